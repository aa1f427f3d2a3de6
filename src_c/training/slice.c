/* A slice of training steps inside one parallel region; step.c has the recipe of one. */
#include <math.h>
#include <string.h>

#include "checks.h"
#include "constraints.h"
#include "gradient_surgery.h"
#include "losses.h"
#include "rows.h"
#include "step.h"

/* The rows that the slice takes, before anything changes. */
static grc_status check_rows(const slice *s, gradcore_error *error)
{
    const int64_t batches = (s->end - s->begin - 1) / s->batch + 1;
    const int64_t last = s->steps == batches ? s->end : s->begin + s->steps * s->batch;
    return grc_check_rows(s->trainer, s->data, s->order, s->begin, last, error);
}

/* Of the same rows the codes of an embedding; the caller holds the network. */
static grc_status check_codes(const slice *s, gradcore_error *error)
{
    const int64_t all = s->end - s->begin, some = s->steps < all / s->batch ? s->steps * s->batch : all;
    return grc_check_codes(s->trainer->net, s->data->x, s->data->x_stride, s->order, s->begin, s->begin + some, error);
}

/* Gradients of heads that wait as their sum cannot be weighed one by one any more. */
static grc_status check_waiting(const gradcore_trainer *trainer, const gradcore_data *data, gradcore_error *error)
{
    const uint64_t place = trainer->updates % grc_accumulated(trainer);
    if (place == 0 || trainer->waiting.by_head || !grc_divisors_differ(trainer, data))
        return GRADCORE_OK;
    return grc_fail(error, GRADCORE_STATE,
                    "weight: expected row weights of heads from the first batch of an update on, got them after %llu",
                    (unsigned long long)place);
}

/* ---- a part ---- */

/* After weights to train and weights to evaluate were exchanged. */
static void derive_again(gradcore_trainer *trainer, grc_team *team, int t, int count)
{
    if (!trainer->net->derives)
        return;
    grc_barrier(team);
    grc_derive(trainer->net, GRC_NEW_VALUES, t, count);
}

/* Is there another part? Only then do the weights stay as they are trained: to show them and to go on rounds. */
static int goes_on(const slice *s, int64_t done)
{
    return done == s->part && done < s->steps && !grc_is_over(s);
}

/* Weights that others have set, weights to train instead of those to evaluate, and what follows from both. */
static void enter_part(slice *s, grc_team *team, uint64_t updates, int t, int count)
{
    gradcore_trainer *trainer = s->trainer;
    const int enters = s->live && s->done == 0 && updates > 0;
    if (s->adopt)
        grc_adopt(trainer, team, t, count);
    if (enters)
        grc_enter_training(trainer, t, count);
    if ((s->adopt && grc_has_constraints(trainer, GRC_MASKS)) || enters)
        derive_again(trainer, team, t, count);
    if (s->refresh)
        grc_refresh(&trainer->plan->view, t, count);
}

/* Thread 0, after step i: the next one, unless threads had no core. */
static void look_ahead(slice *s, grc_team *team, int64_t i, uint64_t step)
{
    if (grc_team_lost(team) > 0)
        s->part = i + 1; /* the rest goes on with other threads, or none */
    if (i + 1 < s->part)
        grc_prepare_step(s, i + 1, step);
    s->lost = grc_team_lost(team);
}

/* The steps of a part. */
static void run_team(void *context, grc_team *team, int t, int count)
{
    slice *s = context;
    gradcore_trainer *trainer = s->trainer;
    int64_t i = s->done;
    const uint64_t parts = grc_accumulated(trainer); /* gradients of an update */
    grc_counts counts = {.step = trainer->step, .updates = trainer->updates, .waiting = trainer->waiting};
    memcpy(counts.running, trainer->running, sizeof counts.running);
    enter_part(s, team, counts.updates / parts, t, count);
    if (t == 0)
        grc_prepare_step(s, i, counts.step);
    grc_barrier(team);
    while (i < s->part && s->turns[i % 2].failed == GRADCORE_OK) {
        const enum grc_outcome outcome = grc_take_step(s, team, &counts, i, t, count);
        if (outcome == GRC_BROKEN_OFF)
            break;
        if (t == 0)
            look_ahead(s, team, i, counts.step);
        grc_barrier(team);
        if (outcome == GRC_STOPPED)
            break;
        i++;
    }
    if (!goes_on(s, i) && counts.updates / parts > 0) {
        grc_leave_training(trainer, team, counts.running, counts.updates / parts != s->updates / parts, t, count);
        if (s->live)
            derive_again(trainer, team, t, count);
    }
    if (t == 0) {
        memcpy(trainer->running, counts.running, sizeof counts.running);
        trainer->waiting = counts.waiting;
        trainer->step = counts.step;
        trainer->updates = counts.updates;
        s->done = i;
    }
}

/* ---- the slice ---- */

/* Runs a checked slice; the caller holds the trainer. */
static void run_slice(slice *s)
{
    gradcore_trainer *trainer = s->trainer;
    gradcore_network *n = trainer->net;
    const uint64_t version = atomic_load(&n->version);
    s->live = grc_find_slot(trainer->optimizer, GRC_START_LIVE) != GRC_NONE;
    s->updates = trainer->updates;
    s->adopt = (s->update || s->live) && trainer->evaluated != version;
    s->refresh = s->adopt || trainer->plan->version != version;
    trainer->plan->view.training = 1;
    grc_place_tasks(trainer, s->data);
    s->by_head =
        s->update && grc_accumulated(trainer) > 1 && (grc_projects(trainer) || grc_divisors_differ(trainer, s->data));
    do {
        const int64_t begin = s->done;
        int64_t steps = s->steps - begin;
        const int threads =
            grc_tuner_start(&trainer->tuner, n, (size_t)s->batch, s->update, trainer->matrices != NULL, &steps);
        s->part = begin + steps;
        s->lost = 0;
        const int count = grc_team_for(n, threads, &run_team, s);
        grc_tuner_stop(&trainer->tuner, s->done - begin, count, 1e-9 * (double)s->lost);
        s->adopt = s->refresh = 0;
    } while (goes_on(s, s->done));
    grc_place_input(trainer->plan, NULL, 0);
    if (s->failed == GRADCORE_OK && s->done < s->steps)
        s->failed = s->turns[s->done % 2].failed;
    if (s->failed == GRADCORE_OK)
        s->failed = grc_report_intrusion(&s->intrusion, s->error);
    if (s->update && s->done > 0)
        grc_keep_strengths(&trainer->plan->view.rates, n, trainer->step - 1);
    trainer->has_gradients |= s->failed == GRADCORE_OK || s->done > 0;
    trainer->careful &= s->done == 0;
    trainer->plan->version = s->update ? atomic_fetch_add(&n->version, 1) + 1 : version;
    if (s->update || s->live)
        trainer->evaluated = trainer->plan->version;
}

grc_status gradcore_trainer_run(gradcore_trainer *trainer, gradcore_run *r, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_check_run(trainer, r, error);
    if (status == GRADCORE_OK) {
        slice s = {.trainer = trainer,
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
            status = check_waiting(trainer, r->data, error);
        if (status == GRADCORE_OK && !grc_lock_write(trainer->net))
            status = grc_network_refused(trainer->net, error);
        else if (status == GRADCORE_OK && (status = check_codes(&s, error)) != GRADCORE_OK)
            grc_unlock_write(trainer->net);
        else if (status == GRADCORE_OK) {
            run_slice(&s);
            grc_unlock_write(trainer->net);
            r->done = s.done;
            if (s.failed != GRADCORE_OK)
                status = s.failed;
            else if (s.done < s.steps && s.refused)
                status = grc_fail(error, GRADCORE_STATE, "step %llu: expected a number from scale, got NaN",
                                  (unsigned long long)trainer->step);
            else if (s.done < s.steps)
                status = grc_fail(
                    error, GRADCORE_NONFINITE,
                    "step %llu: expected a finite loss, gradient and update, got loss %g, gradient norm %g",
                    (unsigned long long)trainer->step, fabs(s.reports[s.done].loss), fabs(s.reports[s.done].norm));
        }
    }
    grc_trainer_leave(trainer);
    return status;
}

grc_status gradcore_trainer_gradients(gradcore_trainer *trainer, const gradcore_data *batch, gradcore_report *report,
                                      gradcore_error *error)
{
    const double no_hypers[GRADCORE_HYPERS] = {0};
    /* Only where weights are exchanged for the call, nobody may read them meanwhile. */
    const int exchange = trainer && grc_find_slot(trainer->optimizer, GRC_START_LIVE) != GRC_NONE;
    grc_status status = exchange ? grc_trainer_enter(trainer, error) : grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = report ? grc_check_data(trainer, batch, error)
                    : grc_fail(error, GRADCORE_INVALID, "report: expected a pointer, got NULL");
    if (status == GRADCORE_OK && (size_t)batch->rows > trainer->plan->view.capacity)
        status = grc_fail(error, GRADCORE_SHAPE, "batch: expected 1 to %zu rows, got %lld",
                          trainer->plan->view.capacity, (long long)batch->rows);
    if (status == GRADCORE_OK) {
        slice s = {.trainer = trainer,
                   .data = batch,
                   .end = batch->rows,
                   .batch = batch->rows,
                   .steps = 1,
                   .hypers = no_hypers,
                   .reports = report,
                   .error = error};
        status = check_rows(&s, error);
        if (status == GRADCORE_OK && !(exchange ? grc_lock_write(trainer->net) : grc_lock_read(trainer->net)))
            status = grc_network_refused(trainer->net, error);
        else if (status == GRADCORE_OK) {
            status = check_codes(&s, error);
            if (status == GRADCORE_OK) {
                run_slice(&s);
                status = s.failed;
            }
            if (exchange)
                grc_unlock_write(trainer->net);
            else
                grc_unlock_read(trainer->net);
        }
    }
    grc_trainer_leave(trainer);
    return status;
}
