/* The contracts of normalisations. */
#ifndef GRC_KERNELS_NORM_H
#define GRC_KERNELS_NORM_H

#include <stddef.h>
#include <stdint.h>

/* Rows of x (rows, cols) normalised: h = (x - mean) / sqrt(variance + eps), y = h gamma + beta. gamma and
 * beta have cols elements, or are NULL: 1 and 0. Not centered, mean is 0 and variance the mean square.
 * All matrices have leading dimension ld. stats: three elements a row, the mean in two parts (their sum is
 * the mean to twice the precision) and 1 / sqrt(...). */
typedef struct grc_norm {
    size_t rows, cols, ld;
    int centered;
    double eps;
    const void *gamma, *beta;
} grc_norm;

/* Columns of x (rows, cols) normalised: h = (x - mean) / sqrt(variance + eps), y = h gamma + beta, with the
 * mean and variance of each column in double or, where `mean` is NULL, the running ones of the element type.
 * gamma and beta may be NULL. All matrices have leading dimension ld. */
typedef struct grc_batch {
    size_t rows, cols, ld;
    double eps;
    const double *mean, *variance;
    const void *running_mean, *running_variance;
    const void *gamma, *beta;
} grc_batch;

/* y[r][j] = (x[r][j] - mean[j]) * scale[j]; y may alias x when ldx == ldy. */
typedef void grc_standardize_fn(size_t rows, size_t cols, const void *x, size_t ldx, const void *mean,
                                const void *scale, void *y, size_t ldy);

/* y and stats from x; stats may be NULL, y may alias x. */
typedef void grc_norm_forward_fn(const grc_norm *g, const void *x, void *y, void *stats);

/* dx from d (by y), x and the stats of forward; padding as in grc_loss_fn. dx may not alias d or x. */
typedef void grc_norm_backward_fn(const grc_norm *g, const void *d, const void *x, const void *stats, void *dx);

/* Mean and mean square deviation of each column: sums in row order, by chunks of 64 rows, in double. */
typedef void grc_batch_moments_fn(size_t rows, size_t cols, const void *x, size_t ld, double *mean, double *variance);

/* y may alias x. */
typedef void grc_batch_forward_fn(const grc_batch *g, const void *x, void *y);

/* plain[j] = sum of d[r][j], along[j] = sum of d[r][j] h[r][j]: as batch_moments sums. */
typedef void grc_batch_sums_fn(const grc_batch *g, const void *d, const void *x, double *plain, double *along);

/* dx = gamma (d - plain / count - h along / count) / sqrt(...), the sums being those of a batch of `count`
 * rows; plain NULL: of statistics that do not depend on x, dx = gamma d / sqrt(...). Padding as in
 * grc_loss_fn. dx may alias d. */
typedef void grc_batch_backward_fn(const grc_batch *g, const void *d, const void *x, const double *plain,
                                   const double *along, size_t count, void *dx);

/* sum[j] = chain over the rows, from 0, of fma(d[r][j], h[r][j], sum); stats NULL: h is x. */
typedef void grc_norm_columns_fn(const grc_norm *g, const void *d, const void *x, const void *stats, void *sum);

#endif
