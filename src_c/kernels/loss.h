/* The contracts of losses. A *label* is the number of a class. */
#ifndef GRC_KERNELS_LOSS_H
#define GRC_KERNELS_LOSS_H

#include <stddef.h>
#include <stdint.h>

/* Per row r: loss[r] = l_r (double, with the weights of args but without a row's own, mean over outputs where the
 * loss has several values), correct[r] = 1 where the prediction is right (argmax, ties to the lowest index; sign
 * for binary, all outputs right; 0 for losses that do not classify), and d = row_scale[r] * d l_r / d z. d may be
 * NULL (evaluation) or alias z exactly; when not NULL, elements cols..round_up(cols, PW)-1 of its row are set to 0
 * if they fit in ld. target: real matrix (rows, target_ld), or int32 labels (one a row, checked before) for LABELS. */
typedef struct grc_loss_args {
    double p[4];        /* the loss's own, in the order of its row in tables.h */
    const void *weight; /* its vector option, (cols) of the element type, or NULL: all 1 */
    int probabilities;  /* targets of a LABELS loss are a real matrix of class probabilities */
    int ignores;        /* rows with label `ignore` have loss and gradient 0 and are not right */
    int32_t ignore;
} grc_loss_args;
typedef void grc_loss_fn(size_t rows, size_t cols, const void *z, size_t ld, const void *target, size_t target_ld,
                         const double *row_scale, void *d, double *loss, int32_t *correct, const grc_loss_args *args);

/* SHARES: rows that are not negative and have the sum 1, to 1e-3. */
enum grc_targets { GRC_IN_UNIT_INTERVAL, GRC_NOT_NEGATIVE, GRC_ZERO_OR_ONE, GRC_MINUS_ONE_OR_ONE, GRC_SHARES };

/* y = exp(z - the largest of the row) over the sum of these, which is added in the order of a product with
 * ones; a row with NaN, or whose largest is infinite, is NaN. y may alias z when ldz == ldy. */
typedef void grc_softmax_fn(size_t rows, size_t cols, const void *z, size_t ldz, void *y, size_t ldy);

/* Are all elements of contiguous x such targets? NaN never is. */
typedef int grc_targets_are_fn(enum grc_targets kind, size_t rows, size_t cols, const void *x);

#endif
