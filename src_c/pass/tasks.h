/* Tasks.
 *
 * Words. A *task* is a loss with what it reads and writes: one of the network's output, or one for each head. Where
 * a log variance is learned, its loss is weight factor exp(-log variance) L + weight log variance / 2: the *share*
 * is what multiplies L, the *regret* what is added. */
#ifndef GRC_TASKS_H
#define GRC_TASKS_H

#include "../network/network.h"
#include "loss.h"

typedef struct grc_task {
    grc_loss loss;        /* kind GRC_NONE where there is a function instead */
    int value;            /* its outputs */
    double weight;        /* in the whole loss */
    double factor;        /* of its likelihood, where its log variance is learned; else 0 */
    gradcore_data data;   /* of a slice, with the task's own targets and weights */
    void *target;         /* gathered: real rows or int32 labels */
    double *row_weight, *row_scale, *row_loss, *row_correct;
    int32_t *row_right;
    /* Of a batch, set by thread 0: the sum of the row weights, ignored rows left out; the divisor of the loss, which
     * is the same, or with class weights, or the number of rows; and see above. */
    double sum, divisor, share, regret;
} grc_task;

/* Opens the losses of a trainer's options. After failure, too, *tasks are closed in the end. */
grc_status grc_open_tasks(const gradcore_network *n, const gradcore_trainer_options *o, grc_task **tasks, int *count,
                          gradcore_error *error);
/* The same losses, for a network that is a twin of theirs. Closed in the end after failure, too. */
grc_status grc_copy_tasks(const gradcore_network *n, const grc_task *from, int count, grc_task **out,
                          gradcore_error *error);
void grc_close_tasks(const gradcore_network *n, grc_task *tasks, int count);
size_t grc_target_bytes(const grc_task *task, const gradcore_network *n); /* of a row */

grc_status grc_check_head_losses(const gradcore_network *n, const gradcore_head_loss *losses, int64_t count,
                                 gradcore_error *error);
grc_status grc_check_head_data(const gradcore_data *d, int heads, gradcore_error *error);
/* The data of head `index` by itself. */
gradcore_data grc_head_data(const gradcore_data *d, int index);

#endif
