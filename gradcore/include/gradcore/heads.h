/* A part of gradcore.h, which includes it: networks of several named outputs. */
#ifndef GRADCORE_H
#error "include gradcore/gradcore.h"
#endif
#ifndef GRADCORE_HEADS_H
#define GRADCORE_HEADS_H

typedef struct gradcore_head_info {
    uint32_t size;
    int32_t reserved;
    const char *name;      /* lives as long as the network */
    int64_t column, width; /* its place in the network's output */
} gradcore_head_info;
/* Heads of a network; 0 where its output is one. */
GRADCORE_API int32_t gradcore_network_heads(const gradcore_network *network);
GRADCORE_API gradcore_status gradcore_network_head(const gradcore_network *network, int64_t index,
                                                   gradcore_head_info *info);

enum { GRADCORE_GRADIENT_SURGERY = 1 }; /* of gradcore_trainer_options.head_flags */

/* The loss of a head. A trainer's loss is the sum over the heads of weight * L, with L the loss of the head.
 * With GRADCORE_LAYER_UNCERTAIN it is the sum of weight * (factor exp(-s) L + s / 2), s being the head's element
 * of the trained parameter "log_variance"; the factor is 1 / 2 for a regression loss and 1 for a classification
 * loss. A head without a row of positive weight in a batch adds nothing to it. */
typedef struct gradcore_head_loss {
    uint32_t size;
    uint32_t reserved;
    const char *loss;
    const gradcore_loss_options *options; /* NULL: the defaults */
    double weight;                        /* 0 to 1e30 */
} gradcore_head_loss;

/* What gradcore_data.target points at, one for each head. */
typedef struct gradcore_head_data {
    uint32_t size;
    uint32_t reserved;
    const void *target;
    int64_t target_stride;
    const double *weight; /* (rows), or NULL: all 1 */
} gradcore_head_data;

/* The scores of all heads, scores [heads]; losses [heads] without their weights. */
GRADCORE_API gradcore_status gradcore_network_evaluate_heads(gradcore_network *network,
                                                             const gradcore_head_loss *losses,
                                                             const gradcore_data *data, gradcore_score *scores,
                                                             gradcore_error *error);

/* gradcore_run.heads, where it is not NULL, gets (steps, 3 heads + 2) numbers: of each head the loss, the weighted
 * count of right predictions and the sum of the row weights; then the mean cosine between the gradients of two
 * heads and the share of pairs in which it is negative, NaN without GRADCORE_GRADIENT_SURGERY. The report of such
 * a step has the mean of the sums of row weights for its weight, and 0 for correct.
 *
 * GRADCORE_GRADIENT_SURGERY (PCGrad): each head has its gradient g_i of the parameters before the heads, by a pass
 * of its own. From each, taking the others in an order that seed and step decide, the part against g_j is removed
 * where what is left of g_i points against it: g_i -= (g_i . g_j / g_j . g_j) g_j. The update takes the sum. */

/* Of each pair of heads, ledger (heads, heads, 3): steps with both gradients, steps in conflict, sum of the
 * cosines; since the trainer was made. */
GRADCORE_API gradcore_status gradcore_trainer_conflicts(gradcore_trainer *trainer, double *ledger,
                                                        gradcore_error *error);

#endif
