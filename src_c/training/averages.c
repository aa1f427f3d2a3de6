/* Averages beside the optimizer: of the weights (EMA, SWA, Lookahead), and of gradients before it sees them; here
 * too is what else keeps a vector and a rate beside it, sharpness_aware.c. */
#include <math.h>
#include <string.h>

#include "trainer.h"

static const char *const kinds[] = {"ema", "swa", "lookahead", "accumulate", "sam", "asam"};
enum { EMA, SWA, LOOKAHEAD, ACCUMULATE, SAM, ASAM, KINDS };

grc_status grc_describe_average(const char *kind, int64_t every, int64_t start, grc_average *out,
                                gradcore_error *error)
{
    for (int i = 0; kind && i < KINDS; i++)
        if (strcmp(kinds[i], kind) == 0) {
            if (every < 1 || start < 0)
                return grc_fail(error, GRADCORE_INVALID, "every, start: expected at least 1 and 0, got %lld and %lld",
                                (long long)every, (long long)start);
            *out = (grc_average){.kind = i, .every = (uint64_t)every, .start = (uint64_t)start};
            return GRADCORE_OK;
        }
    return grc_fail(error, GRADCORE_INVALID, "kind: expected 'ema', 'swa', 'lookahead', 'accumulate', 'sam' or 'asam', "
                    "got '%.40s'", kind ? kind : "(null)");
}

static int is_sam(const grc_average *a)
{
    return a->kind == SAM || a->kind == ASAM;
}

int grc_average_is_adaptive(const grc_average *a)
{
    return a->kind == ASAM;
}

grc_status grc_check_rate(const grc_average *a, double rate, gradcore_error *error)
{
    if (a->kind == EMA && !(rate >= 0 && rate < 1))
        return grc_fail(error, GRADCORE_INVALID, "decay: expected a number in [0, 1), got %g", rate);
    if (a->kind == LOOKAHEAD && !(rate >= 0 && rate <= 1))
        return grc_fail(error, GRADCORE_INVALID, "alpha: expected a number in [0, 1], got %g", rate);
    if (is_sam(a) && !(rate >= 0 && rate <= 1e30))
        return grc_fail(error, GRADCORE_INVALID, "rho: expected a number from 0 to 1e30, got %g", rate);
    return GRADCORE_OK;
}

static const grc_average *accumulation(const gradcore_trainer *t)
{
    for (int i = 0; i < t->average_count; i++)
        if (t->averages[i].kind == ACCUMULATE)
            return &t->averages[i];
    return NULL;
}

uint64_t grc_accumulated(const gradcore_trainer *t)
{
    const grc_average *a = accumulation(t);
    return a ? a->every : 1;
}

int grc_head_means(const gradcore_trainer *t)
{
    return t->task_count > 1 && accumulation(t) ? t->task_count : 0;
}

void *grc_head_mean(const gradcore_trainer *t, int head)
{
    return grc_at(t->net, accumulation(t)->vector, (size_t)(head + 1) * t->net->vector);
}

/* What the losses of the batches were divided by, this one included. */
static double divisor_with(const gradcore_trainer *t, const grc_waiting *w, int task, uint64_t place)
{
    const double own = t->tasks[task].divisor;
    if (place == 0)
        return own;
    return (w->divisor[task] < 0 ? (double)place * own : w->divisor[task]) + own; /* restored without it */
}

/* mean += share (gradient - mean), which cannot overflow where the gradients do not. The last gradient of an update
 * becomes what the mean would be instead: whatever the update meets, what waits is as it was. */
static void add_share(const gradcore_network *n, double share, int last, size_t size, void *gradient, void *mean)
{
    _Alignas(GRC_PANEL_BYTES) char room[64 * GRC_PANEL_BYTES];
    const size_t most = sizeof room / n->item;
    if (share == 1) {
        if (!last)
            memcpy(mean, gradient, size * n->item);
        return;
    }
    for (size_t done = 0, take; last && done < size; done += take) {
        take = grc_min(most, size - done);
        memcpy(room, grc_at(n, mean, done), take * n->item);
        n->kernels->blend(take, share, grc_at(n, gradient, done), room);
        memcpy(grc_at(n, gradient, done), room, take * n->item);
    }
    if (!last)
        n->kernels->blend(size, share, gradient, mean);
}

/* One piece of thread's part of a parameter. */
static void accumulate_piece(gradcore_trainer *t, const grc_waiting *w, const double *share, int last, size_t offset,
                             size_t size)
{
    const gradcore_network *n = t->net;
    for (int i = 0; i < (w->by_head ? t->task_count : 1); i++) {
        void *gradient = w->by_head ? grc_head_gradient(t, i, offset) : grc_at(n, t->x->grad, offset);
        void *mean = grc_at(n, w->by_head ? grc_head_mean(t, i) : accumulation(t)->vector, offset);
        add_share(n, share[i], last, size, gradient, mean);
    }
}

int grc_accumulate(gradcore_trainer *t, grc_team *team, grc_waiting *w, uint64_t done, int climbed, size_t rows,
                   int thread, int count)
{
    grc_exec *x = t->x;
    const gradcore_network *n = x->net;
    const uint64_t every = accumulation(t)->every, place = done % every;
    const size_t pw = n->kernels->panel;
    const int last = place + 1 == every;
    double share[GRADCORE_MOST_HEADS];
    for (int i = 0; i < t->task_count; i++) {
        const double own = t->tasks[i].divisor, sum = divisor_with(t, w, i, place);
        share[i] = place == 0 || sum == own ? 1 : own / sum;
        if (!last)
            w->divisor[i] = sum;
    }
    if (last)
        grc_barrier(team); /* all have read the norms of this batch */
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, thread, count);
        if (!p->trainable)
            continue;
        for (size_t panel = r.panel; r.rows && panel < r.panel + r.panels; panel++)
            accumulate_piece(t, w, share, last, p->offset + (panel * grc_stored_rows(p) + r.row) * pw, r.rows * pw);
        if (last && r.rows && !w->by_head)
            grc_chunk_norms(x, i, r);
    }
    if (last && w->by_head)
        grc_join_heads(t, team, thread, count);
    else if (last)
        grc_barrier(team);
    else
        grc_learn(t, climbed, rows, thread, count);
    return !last;
}

int grc_average_leads(const grc_average *a)
{
    return a->kind == LOOKAHEAD;
}

int grc_average_pulls(const grc_average *a, uint64_t step)
{
    return a->kind == LOOKAHEAD && step % a->every == 0;
}

int grc_averages_weights(const grc_average *a)
{
    return a->kind == EMA || a->kind == SWA || a->kind == LOOKAHEAD;
}

void grc_average_piece(const grc_average *a, const grc_kernels *k, uint64_t step, double rate, size_t n,
                       size_t item, void *w, void *average)
{
    if (a->kind == EMA) {
        if (step == 1)
            memcpy(average, w, n * item);
        else
            k->blend(n, 1.0 - rate, w, average);
    } else if (a->kind == SWA && step > a->start && (step - a->start - 1) % a->every == 0) {
        const uint64_t count = (step - a->start - 1) / a->every + 1;
        if (count == 1)
            memcpy(average, w, n * item);
        else
            k->blend(n, 1.0 / (double)count, w, average);
    } else if (a->kind == SWA && step <= a->start) {
        memcpy(average, w, n * item); /* until it begins, the weights themselves */
    } else if (grc_average_pulls(a, step)) {
        k->blend(n, rate, w, average);
        memcpy(w, average, n * item);
    }
}

grc_status gradcore_trainer_add_average(gradcore_trainer *t, const char *kind, int64_t every, int64_t start,
                                        gradcore_error *error)
{
    grc_average average;
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_describe_average(kind, every, start, &average, error);
    if (status == GRADCORE_OK && average.kind == ACCUMULATE && accumulation(t))
        status = grc_fail(error, GRADCORE_STATE, "average: expected one accumulation, got one more");
    else if (status == GRADCORE_OK && is_sam(&average) && t->sam)
        status = grc_fail(error, GRADCORE_STATE, "average: expected one of sam and asam, got one more");
    else if (status == GRADCORE_OK && t->average_count == GRADCORE_AVERAGES)
        status = grc_fail(error, GRADCORE_STATE, "average: expected at most %d, got one more", GRADCORE_AVERAGES);
    else if (status == GRADCORE_OK && atomic_load(&t->step) > 0)
        status = grc_fail(error, GRADCORE_STATE, "average: expected it before the first step, got it after %llu",
                          (unsigned long long)atomic_load(&t->step));
    else if (status == GRADCORE_OK) {
        const int heads = average.kind == ACCUMULATE && t->task_count > 1;
        const size_t vectors = is_sam(&average) ? 2 : heads ? 1 + (size_t)t->task_count : 1;
        size_t size;
        if (!__builtin_mul_overflow(vectors, t->net->vector * t->net->item, &size)) {
            average.size = size;
            average.vector = grc_allocate(&t->net->allocator, size);
        }
        if (average.vector && average.kind == LOOKAHEAD && !grc_show(t))
            status = grc_fail(error, GRADCORE_NO_MEMORY, "average: expected memory for it, got none");
        if (average.vector && heads && !t->surgery)
            status = grc_surgery_create(t, 0, error);
        if (average.vector && status != GRADCORE_OK)
            grc_release(&t->net->allocator, average.vector, average.size);
        else if (average.vector) {
            t->averages[t->average_count++] = average;
            t->sam = is_sam(&average) ? t->average_count : t->sam;
        } else
            status = grc_fail(error, GRADCORE_NO_MEMORY, "average: expected memory for it, got none");
    }
    grc_trainer_leave(t);
    return status;
}

typedef struct average_call {
    const grc_average *average;
    const grc_kernels *kernels;
    uint64_t step;
    double rate;
    size_t n, item;
    void *w, *vector;
} average_call;
static void average_body(void *context, grc_team *team, int thread, int count)
{
    const average_call *c = context;
    (void)team, (void)thread, (void)count;
    grc_average_piece(c->average, c->kernels, c->step, c->rate, c->n, c->item, c->w, c->vector);
}

grc_status gradcore_average(const char *kind, int64_t every, int64_t start, uint64_t step, double rate,
                            int32_t dtype, int64_t n, void *w, void *average, gradcore_error *error)
{
    grc_average a;
    grc_status status = grc_describe_average(kind, every, start, &a, error);
    if (status == GRADCORE_OK)
        status = grc_check_rate(&a, rate, error);
    if (status != GRADCORE_OK)
        return status;
    if (!w || !average || n < 0 || n > GRC_MOST_ELEMENTS || step < 1
        || (dtype != GRADCORE_FLOAT32 && dtype != GRADCORE_FLOAT64))
        return grc_fail(error, GRADCORE_INVALID, "average: expected pointers, n >= 0, step >= 1 and a dtype");
    const grc_kernels *kernels = grc_kernels_find(NULL, dtype, error);
    if (!kernels)
        return GRADCORE_INVALID;
    average_call c = {&a, kernels, step, rate, (size_t)n, dtype == GRADCORE_FLOAT32 ? 4 : 8, w, average};
    grc_team_run(1, 0, &average_body, &c);
    return GRADCORE_OK;
}

/* ---- state for checkpoints ---- */

static grc_status enter_accumulation(gradcore_trainer *t, const double *numbers, gradcore_error *error)
{
    if (!numbers)
        return grc_fail(error, GRADCORE_INVALID, "accumulated: expected a pointer, got NULL");
    const grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK || accumulation(t))
        return status;
    grc_trainer_leave(t);
    return grc_fail(error, GRADCORE_STATE, "accumulated: expected a trainer that accumulates, got one that does not");
}

grc_status gradcore_trainer_accumulated_read(gradcore_trainer *t, double *numbers, gradcore_error *error)
{
    const grc_status status = enter_accumulation(t, numbers, error);
    if (status != GRADCORE_OK)
        return status;
    numbers[0] = t->waiting.by_head;
    memcpy(numbers + 1, t->waiting.divisor, (size_t)t->task_count * sizeof(double));
    grc_trainer_leave(t);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_accumulated_write(gradcore_trainer *t, const double *numbers, gradcore_error *error)
{
    grc_status status = enter_accumulation(t, numbers, error);
    if (status != GRADCORE_OK)
        return status;
    if (numbers[0] != 0 && !(numbers[0] == 1 && grc_head_means(t)))
        status = grc_fail(error, GRADCORE_INVALID, "accumulated[0]: expected 0, or 1 with heads, got %g", numbers[0]);
    for (int i = 1; i <= t->task_count && status == GRADCORE_OK; i++)
        if (!(isfinite(numbers[i]) && (numbers[i] >= 0 || numbers[i] == -1)))
            status = grc_fail(error, GRADCORE_INVALID,
                              "accumulated[%d]: expected a finite sum of weights, or -1, got %g", i, numbers[i]);
    if (status == GRADCORE_OK) {
        t->waiting.by_head = numbers[0] != 0;
        memcpy(t->waiting.divisor, numbers + 1, (size_t)t->task_count * sizeof(double));
    }
    grc_trainer_leave(t);
    return status;
}
