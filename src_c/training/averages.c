/* Averages of weights beside the optimizer: EMA, SWA, Lookahead. */
#include <math.h>
#include <string.h>

#include "../kernels/instruction_sets.h"
#include "averages.h"
#include "constraints.h"
#include "gradient_surgery.h"

static const char *const kinds[GRC_AVERAGE_KINDS] = {"ema", "swa", "lookahead", "accumulate", "sam", "asam"};

static grc_status describe(const char *kind, int64_t every, int64_t start, grc_average *out, gradcore_error *error)
{
    for (int i = 0; kind && i < GRC_AVERAGE_KINDS; i++)
        if (strcmp(kinds[i], kind) == 0) {
            if (every < 1 || start < 0)
                return grc_fail(error, GRADCORE_INVALID, "every, start: expected at least 1 and 0, got %lld and %lld",
                                (long long)every, (long long)start);
            *out = (grc_average){.kind = (enum grc_average_kind)i, .every = (uint64_t)every, .start = (uint64_t)start};
            return GRADCORE_OK;
        }
    return grc_fail(error, GRADCORE_INVALID,
                    "kind: expected 'ema', 'swa', 'lookahead', 'accumulate', 'sam' or 'asam', "
                    "got '%.40s'",
                    kind ? kind : "(null)");
}

static int is_sam(const grc_average *a)
{
    return a->kind == GRC_SAM || a->kind == GRC_ASAM;
}

grc_status grc_check_rate(const grc_average *a, double rate, gradcore_error *error)
{
    if (a->kind == GRC_EMA && !(rate >= 0 && rate < 1))
        return grc_fail(error, GRADCORE_INVALID, "decay: expected a number in [0, 1), got %g", rate);
    if (a->kind == GRC_LOOKAHEAD && !(rate >= 0 && rate <= 1))
        return grc_fail(error, GRADCORE_INVALID, "alpha: expected a number in [0, 1], got %g", rate);
    if (is_sam(a) && !(rate >= 0 && rate <= 1e30))
        return grc_fail(error, GRADCORE_INVALID, "rho: expected a number from 0 to 1e30, got %g", rate);
    return GRADCORE_OK;
}

/* ---- of elements ---- */

/* Do the fast weights go back to the slow ones after this update? */
static int pulls(const grc_average *a, uint64_t step)
{
    return a->kind == GRC_LOOKAHEAD && step % a->every == 0;
}

static int averages_weights(const grc_average *a)
{
    return a->kind == GRC_EMA || a->kind == GRC_SWA || a->kind == GRC_LOOKAHEAD;
}

/* n weights after update `step` into the average, and back where they go back to it. */
static void average_elements(const grc_average *a, const grc_kernels *k, uint64_t step, double rate, size_t n,
                             size_t item, void *w, void *average)
{
    if (a->kind == GRC_EMA) {
        if (step == 1)
            memcpy(average, w, n * item);
        else
            k->blend(n, 1.0 - rate, w, average);
    } else if (a->kind == GRC_SWA && step > a->start && (step - a->start - 1) % a->every == 0) {
        const uint64_t count = (step - a->start - 1) / a->every + 1;
        if (count == 1)
            memcpy(average, w, n * item);
        else
            k->blend(n, 1.0 / (double)count, w, average);
    } else if (a->kind == GRC_SWA && step <= a->start) {
        memcpy(average, w, n * item); /* until it begins, the weights themselves */
    } else if (pulls(a, step)) {
        k->blend(n, rate, w, average);
        memcpy(w, average, n * item);
    }
}

/* ---- of a trainer ---- */

typedef struct averaging {
    const gradcore_trainer *trainer;
    const double *hypers;
    uint64_t step;
    int index; /* of the average whose turn it is */
} averaging;

static void start(void *context, const grc_piece *piece)
{
    const averaging *c = context;
    const gradcore_network *n = c->trainer->net;
    for (int i = 0; i < c->trainer->average_count; i++)
        if (c->trainer->averages[i].kind == GRC_LOOKAHEAD)
            memcpy(grc_at(n, c->trainer->averages[i].vector, piece->offset), grc_at(n, n->w, piece->offset),
                   piece->size * n->item);
}

void grc_start_averages(gradcore_trainer *trainer, int t, int count)
{
    averaging c = {.trainer = trainer};
    if (trainer->average_count)
        grc_each_owned_piece(trainer->net, t, count, &start, &c);
}

/* What is frozen has no past: its average is what it is. */
static void average(void *context, const grc_piece *piece)
{
    const averaging *c = context;
    const gradcore_network *n = c->trainer->net;
    const grc_average *a = &c->trainer->averages[c->index];
    void *w = grc_at(n, n->w, piece->offset), *mean = grc_at(n, a->vector, piece->offset);
    if (!c->trainer->groups[piece->parameter].frozen)
        average_elements(a, n->kernels, c->step, c->hypers[GRADCORE_AVERAGE + c->index], piece->size, n->item, w, mean);
    else if (averages_weights(a))
        memcpy(mean, w, piece->size * n->item);
}

/* The slow weights are those that the fast ones went back to, as the trainer's constraints have made them. */
static void agree(void *context, const grc_piece *piece)
{
    const averaging *c = context;
    const gradcore_network *n = c->trainer->net;
    memcpy(grc_at(n, c->trainer->averages[c->index].vector, piece->offset), grc_at(n, n->w, piece->offset),
           piece->size * n->item);
}

void grc_average_weights(gradcore_trainer *trainer, grc_team *team, uint64_t step, const double *hypers, int t,
                         int count)
{
    averaging c = {.trainer = trainer, .hypers = hypers, .step = step};
    for (; c.index < trainer->average_count; c.index++) {
        grc_each_owned_piece(trainer->net, t, count, &average, &c);
        if (!pulls(&trainer->averages[c.index], step) || !grc_has_constraints(trainer, GRC_CONSTRAINTS))
            continue;
        grc_constrain(trainer, team, trainer->net->w, GRC_CONSTRAINTS, hypers[GRADCORE_CLIP], grc_slack(trainer->net),
                      t, count);
        grc_each_owned_piece(trainer->net, t, count, &agree, &c);
    }
}

grc_status gradcore_trainer_add_average(gradcore_trainer *trainer, const char *kind, int64_t every, int64_t start,
                                        gradcore_error *error)
{
    grc_average average;
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = describe(kind, every, start, &average, error);
    if (status == GRADCORE_OK && average.kind == GRC_ACCUMULATE && grc_accumulates(trainer))
        status = grc_fail(error, GRADCORE_STATE, "average: expected one accumulation, got one more");
    else if (status == GRADCORE_OK && is_sam(&average) && trainer->sam)
        status = grc_fail(error, GRADCORE_STATE, "average: expected one of sam and asam, got one more");
    else if (status == GRADCORE_OK && trainer->average_count == GRADCORE_AVERAGES)
        status = grc_fail(error, GRADCORE_STATE, "average: expected at most %d, got one more", GRADCORE_AVERAGES);
    else if (status == GRADCORE_OK && atomic_load(&trainer->step) > 0)
        status = grc_fail(error, GRADCORE_STATE, "average: expected it before the first step, got it after %llu",
                          (unsigned long long)atomic_load(&trainer->step));
    else if (status == GRADCORE_OK) {
        const int heads = average.kind == GRC_ACCUMULATE && trainer->task_count > 1;
        const size_t vectors = is_sam(&average) ? 2 : heads ? 1 + (size_t)trainer->task_count : 1;
        size_t size;
        if (!__builtin_mul_overflow(vectors, trainer->net->vector * trainer->net->item, &size)) {
            average.size = size;
            average.vector = grc_allocate(&trainer->net->allocator, size);
        }
        if (average.vector && average.kind == GRC_LOOKAHEAD && !grc_make_room_to_show(trainer))
            status = grc_fail(error, GRADCORE_NO_MEMORY, "average: expected memory for it, got none");
        if (average.vector && heads && !trainer->surgery)
            status = grc_surgery_create(trainer, 0, error);
        if (average.vector && status != GRADCORE_OK)
            grc_release(&trainer->net->allocator, average.vector, average.size);
        else if (average.vector) {
            trainer->averages[trainer->average_count++] = average;
            trainer->sam = is_sam(&average) ? trainer->average_count : trainer->sam;
        } else
            status = grc_fail(error, GRADCORE_NO_MEMORY, "average: expected memory for it, got none");
    }
    grc_trainer_leave(trainer);
    return status;
}

/* ---- of plain arrays ---- */

typedef struct average_call {
    const grc_average *average;
    const grc_kernels *kernels;
    uint64_t step;
    double rate;
    size_t n, item;
    void *w, *vector;
} average_call;
static void average_body(void *context, grc_team *team, int t, int count)
{
    const average_call *c = context;
    (void)team, (void)t, (void)count;
    average_elements(c->average, c->kernels, c->step, c->rate, c->n, c->item, c->w, c->vector);
}

grc_status gradcore_average(const char *kind, int64_t every, int64_t start, uint64_t step, double rate, int32_t dtype,
                            int64_t n, void *w, void *average, gradcore_error *error)
{
    grc_average a;
    grc_status status = describe(kind, every, start, &a, error);
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
