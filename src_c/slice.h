/* A slice of training steps from the inside: train.c, with tasks.c and surgery.c. */
#ifndef GRC_SLICE_H
#define GRC_SLICE_H

#include "trainer.h"

/* What every thread of the team sees. Decisions are made by each thread from the same numbers. */
typedef struct slice {
    gradcore_trainer *t;
    const gradcore_data *data;
    const int64_t *order;
    int64_t begin, end, batch, steps;
    const double *hypers;
    gradcore_report *reports;
    int64_t done;
    double (*scale)(void *context, double norm);
    void *scale_context;
    double scaled; /* what it returned for this step */
    int refused;   /* it returned NaN */
    int update;    /* 0: gradients only */
    int refresh;   /* transposed weights are stale */
    double own_loss;   /* of the step's batch, by the trainer's function */
    grc_status failed; /* what that function returned */
    gradcore_error *error;
    int live;      /* the weights that are trained are not those that are evaluated */
    int adopt;     /* others have set the weights since */
    double *heads; /* where reports of the heads go, or NULL */
    double *ledger; /* where the rules on gradients enter what they did, or NULL */
} slice;

/* ---- tasks.c: a trainer's losses at work. Batches begin at position `first`; rows are those of the batch ---- */

void grc_place_tasks(gradcore_trainer *t, const gradcore_data *data);
/* Rows [from, to) get their weight in each task, and their scale, which is weight / divisor times the task's share. */
void grc_weigh_rows(const slice *s, int64_t first, size_t from, size_t to, int t);
/* Targets of rows [row, row + rows) of a shuffled batch. */
void grc_load_targets(const slice *s, int64_t first, size_t row, size_t rows);
/* Losses of these rows, and their derivatives into the deltas. */
void grc_lose_rows(const slice *s, int64_t first, size_t row, size_t rows);

/* ---- surgery.c ---- */

typedef void grc_gradients_fn(slice *s, grc_team *team, int64_t first, int t, int count);
/* make_gradients once a head, then x->grad and its norms of what all of them agree on; ends with a barrier. */
void grc_operate(slice *s, grc_team *team, grc_gradients_fn *make_gradients, int64_t first, int t, int count);

#endif
