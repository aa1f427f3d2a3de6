/* A slice of training steps from the inside: slice.c, with losses.c and gradient_surgery.c. */
#ifndef GRC_SLICE_H
#define GRC_SLICE_H

#include "trainer.h"

typedef struct grc_turn { /* what all threads read of a step, besides what lies in the pass */
    double hypers[GRADCORE_HYPERS]; /* a copy, which nobody else can change */
    grc_status failed;              /* what was found wrong with them */
} grc_turn;

/* What every thread of the team sees. Decisions are made by each thread from the same numbers. A number that decides
 * is therefore either the same for the whole slice, or written by one thread before a barrier and by nobody until all
 * have passed a later one. Thread 0 runs ahead: once it has finished a step it makes the next one ready, while others
 * may still be at their update. Hence the two places for what all read of a step: they are taken in turns. */
typedef struct slice {
    gradcore_trainer *t;
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

/* ---- losses.c: a trainer's losses at work. Batches begin at position `first`; rows are those of the batch ---- */

void grc_place_tasks(gradcore_trainer *t, const gradcore_data *data);
/* Rows [from, to) get their weight in each task, and their scale, which is weight / divisor times the task's share. */
void grc_weigh_rows(slice *s, int64_t first, size_t from, size_t to, int t);
/* The row of the data at position `at` of the order; the one way to read that. */
int64_t grc_row_at(slice *s, int64_t at);
/* Targets of rows [row, row + rows), where they are not used as they lie: labels, and those of a shuffled batch. */
void grc_load_targets(slice *s, int64_t first, size_t row, size_t rows);
/* Losses of these rows, and their derivatives into the deltas. */
void grc_lose_rows(const slice *s, int64_t first, size_t row, size_t rows);

/* ---- gradient_surgery.c ---- */

typedef void grc_gradients_fn(slice *s, grc_team *team, int64_t first, int t, int count);
/* make_gradients once a head, then x->grad and its norms of what all of them agree on; ends with a barrier. */
void grc_operate(slice *s, grc_team *team, grc_gradients_fn *make_gradients, int64_t first, int t, int count);

#endif
