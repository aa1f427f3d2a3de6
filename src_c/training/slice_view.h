/* A slice of training steps from the inside.
 *
 * Words. A *turn* is what all threads read of a step; a *part* of a slice is what one team does in one go. */
#ifndef GRC_SLICE_VIEW_H
#define GRC_SLICE_VIEW_H

#include "trainer.h"

typedef struct grc_turn { /* besides what lies in the plan */
    double hypers[GRADCORE_HYPERS]; /* a copy, which nobody else can change */
    grc_status failed;              /* what was found wrong with them */
} grc_turn;

/* What every thread of the team sees. Decisions are made by each thread from the same numbers. A number that decides
 * is therefore either the same for the whole slice, or written by one thread before a barrier and by nobody until all
 * have passed a later one. Thread 0 runs ahead: once it has finished a step it makes the next one ready, while others
 * may still be at their update. Hence the two places for what all read of a step: they are taken in turns. */
typedef struct slice {
    gradcore_trainer *trainer;
    const gradcore_data *data;
    const int64_t *order;
    int64_t begin, end, batch, steps;
    const double *hypers;  /* the caller's */
    grc_turn turns[2];     /* of step i: turns[i % 2] */
    gradcore_report *reports;
    int64_t done, part;    /* steps; a part of the slice ends after so many */
    uint64_t updates;      /* of the trainer as the slice began */
    int64_t lost;          /* nanoseconds of the part that thread 0 waited for threads without a core */
    double (*scale)(void *context, double norm);
    void *scale_context;
    double scaled; /* what it returned for this step */
    int refused;   /* it returned NaN */
    int update;    /* 0: gradients only */
    int refresh;   /* transposed weights are stale */
    double own_loss;   /* of the step's batch, by the trainer's function */
    grc_status failed; /* what that function returned */
    grc_intrusion intrusion; /* noted while rows are loaded, read after the barrier behind that */
    gradcore_error *error;
    int by_head;   /* an accumulation that begins keeps the heads' gradients apart */
    int live;      /* the weights that are trained are not those that are evaluated */
    int adopt;     /* others may have set weights since the last slice */
    double *heads; /* where reports of the heads go, or NULL */
    double *ledger; /* where the rules on gradients enter what they did, or NULL */
} slice;

/* Where step i's batch begins, in `order` or in the data; its hyperparameters. */
static inline int64_t grc_batch_of(const slice *s, int64_t i)
{
    return s->begin + i * s->batch;
}
static inline const double *grc_hypers_of(const slice *s, int64_t first)
{
    return s->turns[(first - s->begin) / s->batch % 2].hypers;
}
/* Has something come up that ends the slice? The same for all threads once the batch's rows are through. */
static inline int grc_is_over(const slice *s)
{
    return s->failed != GRADCORE_OK || atomic_load_explicit(&s->intrusion.found, memory_order_relaxed);
}

#endif
