/* The plan of a pass: its memory, and how the work is divided.
 *
 * Words. A plan is for one *mode*: to predict, for a pass by hand, or to train. Its *capacity* are the rows that
 * there is room for, its *batch* those that it has now. A *block* of rows are GRC_KC of them; where gradients are
 * made block by block, each block's are *partial* and the fold adds them up in order. */
#ifndef GRC_PLAN_H
#define GRC_PLAN_H

#include "../ops/ops.h"

enum { GRC_PLAN_PREDICT, GRC_PLAN_PASS, GRC_PLAN_TRAIN };

typedef struct grc_plan {
    grc_spare spare; /* first: see grc_network */
    /* view's `rows`, `step`, `only` and where value 0 lies, and `limit` belong to forward, loss, backward and
     * gradients. In training one thread may set those of the next batch while others are still at the update, which
     * therefore is told what it needs of them. */
    grc_view view;
    int mode, want_dx;
    void *input;            /* the buffer of value 0, which view.value[0] may leave for the caller's rows */
    uint64_t version;       /* of the weights that view.transposed mirrors */

    /* Not in prediction. */
    void *grad;             /* parameter vector */
    void *scratch;          /* (threads, widest value): partial bias gradients */
    size_t widest;
    void *partial;          /* (blocks, vector): gradients by blocks of rows, or NULL */
    double *chunk_norm;     /* sum of squares of every gradient chunk */
    size_t *chunk_first;    /* [parameter + 1]: its chunks */

    /* Training only. */
    double *chunk_penalty;  /* of its parameters */
    double (*chunk_beyond)[2]; /* of elements beyond +-limit, where that is finite: kernels' beyond */
    double limit;
    unsigned slot_mask;
    int measures;
    void *slots[GRC_SLOTS]; /* NULL where its bit is not in slot_mask */
    double *chunk_sum[2];   /* [chunk]: what an optimizer that measures has measured; else NULL */
    void *backup;           /* (1 + slots) parameter vectors, touched only by a careful update */
    void *target;           /* gathered: real rows (outputs wide) or int32 labels */
    double *row_weight, *row_scale, *row_loss, *row_correct;
    int32_t *row_right;

    void *block;
    size_t block_size;
} grc_plan;

/* measures: with chunk_sum. target_bytes: of one row's target. */
grc_status grc_plan_create(gradcore_network *n, int mode, size_t capacity, unsigned slot_mask, int measures,
                           size_t target_bytes, grc_plan **out, gradcore_error *error);
/* What one plan has of a trainer's state, to another for the same layers: slots, gradients, their norms, the seed. */
void grc_plan_carry(const grc_plan *from, grc_plan *to);
void grc_plan_destroy(grc_plan *plan);
/* Are the weight gradients of this batch made block by block (plan->partial)? Same bits either way. */
int grc_uses_partials(const grc_plan *plan);

/* ---- how many threads pay ---- */

/* Microseconds that one thread of a fast core would take: measured on nets of width 8 to 2048 with batches of 1 to
 * 4096 rows, which it meets within a half wherever the number of threads is in doubt. products: 1 forward, 2
 * backward, 3 both; update: of the parameters. */
double grc_work(const gradcore_network *n, int products, size_t rows, int update);
/* Runs them: as many as others leave, or all of them if the network's count is exact. Returns how many. */
int grc_team_for(const gradcore_network *n, int threads, grc_team_fn *run, void *context);
/* Threads for a pass of `rows`, without an update. */
int grc_threads_for(const gradcore_network *n, int products, size_t rows);

#endif
