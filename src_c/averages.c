/* Averages beside the optimizer: of the weights (EMA, SWA, Lookahead), and of gradients before it sees them; here
 * too is what else keeps a vector and a rate beside it, sam.c. */
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

int grc_accumulate(gradcore_trainer *t, grc_team *team, uint64_t done, int climbed, size_t rows, int thread, int count)
{
    grc_exec *x = t->x;
    const gradcore_network *n = x->net;
    const grc_average *a = accumulation(t);
    const size_t pw = n->kernels->panel;
    const uint64_t place = done % a->every;
    const int last = place + 1 == a->every;
    if (last)
        grc_barrier(team); /* all have read the norms of this batch */
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, thread, count);
        if (!p->trainable)
            continue;
        for (size_t panel = r.panel; r.rows && panel < r.panel + r.panels; panel++) {
            const size_t offset = p->offset + (panel * grc_stored_rows(p) + r.row) * pw, size = r.rows * pw;
            void *gradient = grc_at(n, x->grad, offset), *sum = grc_at(n, a->vector, offset);
            /* The mean of the gradients so far: it cannot overflow where they do not. */
            if (place == 0)
                memcpy(sum, gradient, size * n->item);
            else
                n->kernels->blend(size, 1.0 / (double)(place + 1), gradient, sum);
            if (last)
                memcpy(gradient, sum, size * n->item);
        }
        if (last && r.rows)
            grc_chunk_norms(x, i, r);
    }
    if (last)
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
        average.size = (is_sam(&average) ? 2 : 1) * t->net->vector * t->net->item;
        average.vector = grc_allocate(&t->net->allocator, average.size);
        if (average.vector && average.kind == LOOKAHEAD && !grc_show(t)) {
            grc_release(&t->net->allocator, average.vector, average.size);
            average.vector = NULL;
        }
        if (average.vector) {
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
    if (!w || !average || n < 0 || step < 1 || (dtype != GRADCORE_FLOAT32 && dtype != GRADCORE_FLOAT64))
        return grc_fail(error, GRADCORE_INVALID, "average: expected pointers, n >= 0, step >= 1 and a dtype");
    const grc_kernels *kernels = grc_kernels_find(NULL, dtype, error);
    if (!kernels)
        return GRADCORE_INVALID;
    average_call c = {&a, kernels, step, rate, (size_t)n, dtype == GRADCORE_FLOAT32 ? 4 : 8, w, average};
    grc_team_run(1, 0, &average_body, &c);
    return GRADCORE_OK;
}
