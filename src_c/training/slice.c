/* A slice of training steps inside one parallel region; forward_backward.c has the recipe of one step. */
#include <math.h>
#include <string.h>

#include "../base/rng.h"
#include "slice.h"

/* The rows that the slice takes, before anything changes. */
static grc_status check_rows(const slice *s, gradcore_error *error)
{
    const int64_t batches = (s->end - s->begin - 1) / s->batch + 1;
    const int64_t last = s->steps == batches ? s->end : s->begin + s->steps * s->batch;
    return grc_check_rows(s->t, s->data, s->order, s->begin, last, error);
}

/* Of the same rows the codes of an embedding; the caller holds the network. */
static grc_status check_codes(const slice *s, gradcore_error *error)
{
    const int64_t all = s->end - s->begin, some = s->steps < all / s->batch ? s->steps * s->batch : all;
    return grc_check_codes(s->t->net, s->data->x, s->data->x_stride, s->order, s->begin, s->begin + some, error);
}

/* Gradients of heads that wait as their sum cannot be weighed one by one any more. */
static grc_status check_waiting(const gradcore_trainer *t, const gradcore_data *data, gradcore_error *error)
{
    const uint64_t place = t->updates % grc_accumulated(t);
    if (place == 0 || t->waiting.by_head || !grc_divisors_differ(t, data))
        return GRADCORE_OK;
    return grc_fail(error, GRADCORE_STATE,
                    "weight: expected row weights of heads from the first batch of an update on, got them after %llu",
                    (unsigned long long)place);
}

/* ---- rows ---- */

/* Are the inputs used where they lie? Not where rows a power of two apart would meet in the same cache sets:
 * the network's own buffer has another leading dimension. */
static int is_in_place(const slice *s)
{
    const gradcore_network *n = s->t->net;
    return !s->order && n->reads_in_place
           && ((size_t)s->data->x_stride * n->item % 1024 != 0 || n->values[0].width * n->item < 1024);
}

/* Rows of the data as they lie, from position `at` on. */
static const void *rows_at(const slice *s, int64_t at)
{
    return (const char *)s->data->x + (size_t)(at * s->data->x_stride) * s->t->net->item;
}

static void load_inputs(slice *s, int64_t first, size_t row, size_t rows)
{
    grc_exec *x = s->t->x;
    const size_t bytes = x->net->values[0].width * x->net->item;
    for (size_t r = row; r < row + rows; r++)
        memcpy(grc_row(x, x->value, 0, r), rows_at(s, grc_row_at(s, first + (int64_t)r)), bytes);
}

/* Nothing is copied where rows are taken in order, but labels: real targets never, the inputs if the network can. */
static void load_rows(slice *s, int64_t first, size_t row, size_t rows)
{
    if (!is_in_place(s))
        load_inputs(s, first, row, rows);
    if (!s->t->loss_function)
        grc_load_targets(s, first, row, rows);
}

/* Of the step whose batch begins at position `first`. */
static const double *hypers_of(const slice *s, int64_t first)
{
    return s->turns[(first - s->begin) / s->batch % 2].hypers;
}

/* Has something come up that ends the slice? The same for all threads once the batch's rows are through. */
static int is_over(const slice *s)
{
    return s->failed != GRADCORE_OK || atomic_load_explicit(&s->intrusion.found, memory_order_relaxed);
}

/* Rules on single rows, after their backward. */
static void clip_rows(const slice *s, int64_t first, size_t row, size_t rows)
{
    if (s->update && rows > 0)
        grc_clip_rows(s->t, hypers_of(s, first), row, rows);
}

/* Forward, loss and backward of thread t's rows. */
static void train_own_rows(slice *s, grc_team *team, int64_t first, int t, int count)
{
    grc_exec *x = s->t->x;
    const int blocks = grc_uses_partials(x);
    size_t row, last;
    grc_rows_of(x->rows, blocks ? GRC_KC : 1, t, count, &row, &last);
    grc_weigh_rows(s, first, row, last, t);
    if (x->net->meets || (!blocks && x->rows <= (size_t)count * GRC_KC)) { /* op by op; else block by block */
        load_rows(s, first, row, last - row);
        grc_forward_team(x, team, row, last - row, t, count);
        if (row < last)
            grc_lose_rows(s, first, row, last - row);
        grc_backward_team(x, team, row, last - row, t, count);
        clip_rows(s, first, row, last - row);
        for (; blocks && row < last; row += GRC_KC)
            grc_gradients_of_rows(x, row, grc_min(GRC_KC, last - row),
                                  grc_at(x->net, x->partial, row / GRC_KC * x->net->vector));
        return;
    }
    while (row < last) {
        const size_t rows = grc_min(GRC_KC, last - row);
        load_rows(s, first, row, rows);
        grc_forward(x, row, rows);
        grc_lose_rows(s, first, row, rows);
        grc_backward(x, row, rows);
        clip_rows(s, first, row, rows);
        if (blocks)
            grc_gradients_of_rows(x, row, rows, grc_at(x->net, x->partial, row / GRC_KC * x->net->vector));
        row += rows;
    }
}

/* Thread 0 alone: the caller's loss of the whole batch, and its gradient in place of the last delta. */
static grc_status call_own_loss(slice *s, int64_t first)
{
    grc_exec *x = s->t->x;
    const gradcore_network *n = x->net;
    const int last = n->value_count - 1;
    const size_t width = n->values[last].width, ld = n->values[last].ld;
    const size_t padded = grc_panels(n, width) * n->kernels->panel;
    const gradcore_loss_batch batch = {.size = sizeof batch, .rows = (int64_t)x->rows, .outputs = (int64_t)width,
                                       .order = s->order ? s->order + first : NULL, .first = first,
                                       .target = s->data->target, .output = grc_row(x, x->value, last, 0),
                                       .output_stride = (int64_t)ld, .d_output = grc_row(x, x->delta, last, 0),
                                       .d_output_stride = (int64_t)ld};
    const grc_status status = s->t->loss_function(s->t->loss_context, &batch, &s->own_loss, s->error);
    for (size_t r = 0; r < x->rows; r++) {
        memset(grc_at(n, grc_row(x, x->delta, last, r), width), 0, (padded - width) * n->item);
        x->row_correct[r] = 0;
    }
    return status;
}

/* train_own_rows where the loss is the caller's: it sees the whole batch, between forward and backward. */
static void train_with_own_loss(slice *s, grc_team *team, int64_t first, int t, int count)
{
    grc_exec *x = s->t->x;
    const int blocks = grc_uses_partials(x), meets = x->net->meets;
    size_t begin, end;
    grc_rows_of(x->rows, blocks ? GRC_KC : 1, t, count, &begin, &end);
    grc_weigh_rows(s, first, begin, end, t);
    const size_t step = meets ? end - begin : GRC_KC;
    for (size_t row = begin; row < end; row += step)
        load_rows(s, first, row, grc_min(step, end - row));
    for (size_t row = begin; row < end && !meets; row += step)
        grc_forward(x, row, grc_min(step, end - row));
    if (meets)
        grc_forward_team(x, team, begin, end - begin, t, count);
    grc_barrier(team);
    if (t == 0 && !is_over(s))
        s->failed = call_own_loss(s, first);
    grc_barrier(team);
    if (is_over(s))
        return;
    for (size_t row = begin; row < end && !meets; row += step)
        grc_backward(x, row, grc_min(step, end - row));
    if (meets)
        grc_backward_team(x, team, begin, end - begin, t, count);
    clip_rows(s, first, begin, end - begin);
    for (size_t row = begin; blocks && row < end; row += GRC_KC)
        grc_gradients_of_rows(x, row, grc_min(GRC_KC, end - row),
                              grc_at(x->net, x->partial, row / GRC_KC * x->net->vector));
}

/* ---- the slice ---- */

/* Sum of squares of all gradients, by every thread alike. */
static double gradient_norm(const grc_exec *x)
{
    return sqrt(grc_sum(x->chunk_first[x->net->parameter_count], x->chunk_norm));
}

/* Where step i's batch begins, in `order` or in the data. */
static int64_t batch_of(const slice *s, int64_t i)
{
    return s->begin + i * s->batch;
}

/* By one thread, before a barrier: what all read of step i. Others may still be at the update of the step before. */
static void prepare(slice *s, int64_t i, uint64_t step)
{
    grc_exec *x = s->t->x;
    const int64_t first = batch_of(s, i);
    grc_turn *turn = &s->turns[i % 2];
    memcpy(turn->hypers, s->hypers + i * GRADCORE_HYPERS, sizeof turn->hypers);
    turn->failed = s->update ? grc_check_step(s->t, turn->hypers, s->error) : GRADCORE_OK;
    x->rows = (size_t)(s->end - first < s->batch ? s->end - first : s->batch);
    x->step = step;
    x->limit = s->update && s->t->clip == GRC_CLIP_VALUE ? turn->hypers[GRADCORE_CLIP] : (double)INFINITY;
    if (is_in_place(s))
        grc_place_input(x, rows_at(s, first), (size_t)s->data->x_stride);
}

/* What all gradients are multiplied by: the trainer's own clip, and the caller's function, asked by one. */
static double scale_of(slice *s, grc_team *team, const double *h, uint64_t step, double norm, int finite, int t)
{
    const int clips = s->t->clip == GRC_CLIP_GLOBAL_NORM && norm > h[GRADCORE_CLIP];
    const double scale = clips ? h[GRADCORE_CLIP] / norm : 1;
    if (!s->scale || !finite)
        return scale;
    if (t == 0) {
        s->t->step = step; /* for the caller's eyes */
        s->scaled = s->scale(s->scale_context, norm);
    }
    grc_barrier(team);
    return scale * s->scaled;
}

/* Gradients of the batch that begins at position `first`, and their norms; ends with a barrier. */
static void make_gradients(slice *s, grc_team *team, int64_t first, int t, int count)
{
    grc_exec *x = s->t->x;
    (s->t->loss_function ? &train_with_own_loss : &train_own_rows)(s, team, first, t, count);
    grc_barrier(team);
    if (is_over(s))
        return;
    if (grc_uses_partials(x))
        grc_fold_partials(x, (x->rows + GRC_KC - 1) / GRC_KC, t, count);
    else
        grc_gradients(x, t, count);
    grc_barrier(team);
}

/* The same for step i, the heads' gradients being reconciled where the trainer does that. */
static void take_gradients(slice *s, grc_team *team, int64_t i, int by_head, int t, int count)
{
    if (by_head || grc_projects(s->t))
        grc_operate(s, team, &make_gradients, batch_of(s, i), t, count);
    else
        make_gradients(s, team, batch_of(s, i), t, count);
}

/* The gradients at a point up the slope instead, of the same batch under the same masks. */
static double look_sharp(slice *s, grc_team *team, int64_t i, size_t rows, int by_head, int t, int count)
{
    gradcore_trainer *tr = s->t;
    grc_sam_climb(tr, team, s->turns[i % 2].hypers[GRADCORE_AVERAGE + tr->sam - 1], rows, t, count);
    take_gradients(s, team, i, by_head, t, count);
    grc_sam_return(tr, team, t, count);
    return gradient_norm(tr->x);
}

/* After weights to train and weights to evaluate were exchanged. */
static void derive_again(gradcore_trainer *tr, grc_team *team, int t, int count)
{
    if (!tr->net->derives)
        return;
    grc_barrier(team);
    grc_derive(tr->net, GRC_NEW_VALUES, t, count);
}

/* Is there another part? Only then do the weights stay as they are trained: to show them and to go on rounds. */
static int goes_on(const slice *s, int64_t done)
{
    return done == s->part && done < s->steps && !is_over(s);
}

static void run_team(void *context, grc_team *team, int t, int count)
{
    slice *s = context;
    gradcore_trainer *tr = s->t;
    grc_exec *x = tr->x;
    uint64_t step = tr->step, updates = tr->updates; /* each thread counts for itself */
    int64_t i = s->done;

    const uint64_t parts = grc_accumulated(tr); /* gradients of an update */
    double running[GRADCORE_RUNNING];
    grc_waiting waiting = tr->waiting;
    memcpy(running, tr->running, sizeof running);
    if (s->adopt)
        grc_adopt(tr, team, t, count);
    const int enters = s->live && i == 0 && updates / parts > 0;
    if (enters)
        grc_enter_training(tr, t, count);
    if ((s->adopt && grc_promises(tr, GRC_MASKS)) || enters)
        derive_again(tr, team, t, count);
    if (s->refresh)
        grc_refresh(x, t, count);
    if (t == 0)
        prepare(s, i, step);
    grc_barrier(team);
    for (; i < s->part && s->turns[i % 2].failed == GRADCORE_OK; i++) {
        const size_t rows = x->rows;
        const double *h = s->turns[i % 2].hypers;
        if (updates % parts == 0)
            waiting.by_head = s->by_head;
        take_gradients(s, team, i, waiting.by_head, t, count);
        if (is_over(s))
            break;
        double norm = gradient_norm(x);
        double loss = tr->loss_function ? s->own_loss : grc_batch_loss(tr, rows);
        if (tr->net->penalized)
            loss += grc_sum(x->chunk_first[tr->net->parameter_count], x->chunk_penalty);
        const double correct = t == 0 ? grc_batch_correct(tr, rows) : 0;
        int finite = isfinite(norm) && isfinite(loss), waits = 0, joined = 0;
        double *heads = tr->x->tips && s->heads ? s->heads + i * GRC_HEAD_REPORT(tr) : NULL;
        if (t == 0 && heads)
            grc_report_heads(tr, rows, heads); /* of the weights before any climb */
        const int climbed = s->update && tr->sam && finite;
        if (climbed) {
            norm = look_sharp(s, team, i, rows, waiting.by_head, t, count);
            finite = isfinite(norm);
            if (is_over(s))
                break;
        }
        if (s->update && parts > 1 && (finite || tr->nonfinite == GRC_NONFINITE_PROPAGATE)) {
            waits = grc_accumulate(tr, team, &waiting, updates, climbed, rows, t, count);
            joined = !waits;
            norm = waits ? norm : gradient_norm(x);
            finite = waits || (isfinite(norm) && isfinite(loss));
        }
        const double scale = waits ? 1 : scale_of(s, team, h, step, norm, finite, t);
        const grc_update_args args = {.hypers = h, .step = updates / parts + 1, .norm = norm, .scale = scale,
                                      .finite = finite, .climbed = climbed, .rows = rows, .running = running};
        const int refused = isnan(scale);
        const grc_verdict v = waits                   ? GRC_APPLIED
                              : s->update && !refused ? grc_update(tr, team, &args, t, count)
                                                      : GRC_SKIPPED;
        const int stop =
            refused || (s->update && v == GRC_SKIPPED && tr->nonfinite == GRC_NONFINITE_RAISE);
        step += s->update && !stop;
        updates += v == GRC_APPLIED;
        if (joined && v == GRC_SKIPPED && !stop)
            updates -= updates % parts; /* what had waited goes with it: one of them may be what is too large */
        if (t == 0) {
            const int ruled = s->update && !refused && !waits && (finite || tr->nonfinite == GRC_NONFINITE_PROPAGATE);
            const int by_norm = tr->clip == GRC_CLIP_GLOBAL_NORM || s->scale != NULL;
            const double parts_scale = ruled ? grc_enter_clips(tr, scale, by_norm, rows, s->ledger) : 1;
            s->refused = refused;
            s->reports[i] = (gradcore_report){.loss = loss, .correct = correct, .weight = grc_batch_weight(tr),
                                              .norm = norm, .scale = scale * parts_scale,
                                              .applied = v == GRC_APPLIED, .rows = (int32_t)rows};
            if (s->update && v == GRC_APPLIED && !waits)
                grc_count_conflicts(tr);
            if (s->update && v == GRC_APPLIED)
                tr->limit = h[GRADCORE_CLIP];
            if (grc_team_lost(team) > 0)
                s->part = i + 1; /* the rest goes on with other threads, or none */
            if (i + 1 < s->part)
                prepare(s, i + 1, step);
            s->lost = grc_team_lost(team);
        }
        grc_barrier(team);
        if (stop)
            break;
    }
    const int leaves = !goes_on(s, i) && updates / parts > 0;
    if (leaves)
        grc_leave_training(tr, team, running, updates / parts != s->updates / parts, t, count);
    if (leaves && s->live)
        derive_again(tr, team, t, count);
    if (t == 0) {
        memcpy(tr->running, running, sizeof running);
        tr->waiting = waiting;
        tr->step = step;
        tr->updates = updates;
        s->done = i;
    }
}

/* Runs a checked slice; the caller holds the trainer. */
static void run_slice(slice *s)
{
    gradcore_trainer *t = s->t;
    gradcore_network *n = t->net;
    const uint64_t version = atomic_load(&n->version);
    s->live = grc_find_slot(t->optimizer, GRC_START_LIVE) != GRC_NONE;
    s->updates = t->updates;
    s->adopt = (s->update || s->live) && t->evaluated != version;
    s->refresh = s->adopt || t->x->version != version;
    t->x->training = 1;
    grc_place_tasks(t, s->data);
    s->by_head = s->update && grc_accumulated(t) > 1 && (grc_projects(t) || grc_divisors_differ(t, s->data));
    do {
        const int64_t begin = s->done;
        int64_t steps = s->steps - begin;
        const int threads = grc_tuner_start(&t->tuner, n, (size_t)s->batch, s->update, t->matrices != NULL, &steps);
        s->part = begin + steps;
        s->lost = 0;
        const int count = grc_team_for(n, threads, &run_team, s);
        grc_tuner_stop(&t->tuner, s->done - begin, count, 1e-9 * (double)s->lost);
        s->adopt = s->refresh = 0;
    } while (goes_on(s, s->done));
    grc_place_input(t->x, NULL, 0);
    if (s->failed == GRADCORE_OK && s->done < s->steps)
        s->failed = s->turns[s->done % 2].failed;
    if (s->failed == GRADCORE_OK)
        s->failed = grc_report_intrusion(&s->intrusion, s->error);
    if (s->update && s->done > 0)
        grc_keep_strengths(t->x, t->step - 1);
    t->has_gradients |= s->failed == GRADCORE_OK || s->done > 0;
    t->careful &= s->done == 0;
    t->x->version = s->update ? atomic_fetch_add(&n->version, 1) + 1 : version;
    if (s->update || s->live)
        t->evaluated = t->x->version;
}

grc_status gradcore_trainer_run(gradcore_trainer *t, gradcore_run *r, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_check_run(t, r, error);
    if (status == GRADCORE_OK) {
        slice s = {.t = t,
                   .data = r->data,
                   .order = r->order,
                   .begin = r->begin,
                   .end = r->end,
                   .batch = r->batch,
                   .steps = r->steps,
                   .hypers = r->hypers,
                   .reports = r->reports,
                   .scale = r->scale,
                   .scale_context = r->scale_context,
                   .heads = r->size > offsetof(gradcore_run, heads) ? r->heads : NULL,
                   .ledger = r->size > offsetof(gradcore_run, ledger) ? r->ledger : NULL,
                   .error = error,
                   .update = 1};
        status = check_rows(&s, error);
        if (status == GRADCORE_OK)
            status = check_waiting(t, r->data, error);
        if (status == GRADCORE_OK && !grc_lock_write(t->net))
            status = grc_network_refused(t->net, error);
        else if (status == GRADCORE_OK && (status = check_codes(&s, error)) != GRADCORE_OK)
            grc_unlock_write(t->net);
        else if (status == GRADCORE_OK) {
            run_slice(&s);
            grc_unlock_write(t->net);
            r->done = s.done;
            if (s.failed != GRADCORE_OK)
                status = s.failed;
            else if (s.done < s.steps && s.refused)
                status = grc_fail(error, GRADCORE_STATE, "step %llu: expected a number from scale, got NaN",
                                  (unsigned long long)t->step);
            else if (s.done < s.steps)
                status = grc_fail(
                    error, GRADCORE_NONFINITE,
                    "step %llu: expected a finite loss, gradient and update, got loss %g, gradient norm %g",
                    (unsigned long long)t->step, fabs(s.reports[s.done].loss), fabs(s.reports[s.done].norm));
        }
    }
    grc_trainer_leave(t);
    return status;
}

grc_status gradcore_trainer_gradients(gradcore_trainer *t, const gradcore_data *batch, gradcore_report *report,
                                      gradcore_error *error)
{
    const double no_hypers[GRADCORE_HYPERS] = {0};
    /* Only where weights are exchanged for the call, nobody may read them meanwhile. */
    const int exchange = t && grc_find_slot(t->optimizer, GRC_START_LIVE) != GRC_NONE;
    grc_status status = exchange ? grc_trainer_enter(t, error) : grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = report ? grc_check_data(t, batch, error)
                    : grc_fail(error, GRADCORE_INVALID, "report: expected a pointer, got NULL");
    if (status == GRADCORE_OK && (size_t)batch->rows > t->x->capacity)
        status = grc_fail(error, GRADCORE_SHAPE, "batch: expected 1 to %zu rows, got %lld", t->x->capacity,
                          (long long)batch->rows);
    if (status == GRADCORE_OK) {
        slice s = {.t = t,
                   .data = batch,
                   .end = batch->rows,
                   .batch = batch->rows,
                   .steps = 1,
                   .hypers = no_hypers,
                   .reports = report,
                   .error = error};
        status = check_rows(&s, error);
        if (status == GRADCORE_OK && !(exchange ? grc_lock_write(t->net) : grc_lock_read(t->net)))
            status = grc_network_refused(t->net, error);
        else if (status == GRADCORE_OK) {
            status = check_codes(&s, error);
            if (status == GRADCORE_OK) {
                run_slice(&s);
                status = s.failed;
            }
            if (exchange)
                grc_unlock_write(t->net);
            else
                grc_unlock_read(t->net);
        }
    }
    grc_trainer_leave(t);
    return status;
}
