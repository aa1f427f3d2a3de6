/* The contracts of what all families need: elements, sums, strips, random masks, vector math. A *strip* is one panel of
 * a matrix, (rows, PW). */
#ifndef GRC_KERNELS_VECTOR_H
#define GRC_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

enum grc_reduction { GRC_SUM, GRC_SUM_SQUARES, GRC_SUM_ABS, GRC_MAX_ABS };

/* y[r][j] = y[r][j] + x[r][j] */
typedef void grc_add_fn(size_t rows, size_t cols, const void *x, size_t ldx, void *y, size_t ldy);

/* y = x * m elementwise; y may alias x. */
typedef void grc_multiply_fn(size_t rows, size_t cols, const void *x, const void *m, void *y, size_t ld);

/* sum[j] = chain of additions x[0][j] + x[1][j] + ... in row order, from x[0][j]; rows >= 1. */
typedef void grc_column_sums_fn(size_t rows, size_t cols, const void *x, size_t ld, void *sum);

/* Sum of x[i]^2 in double: virtual lane i % PW accumulates element i in order, then the fold. */
typedef double grc_sum_squares_fn(size_t n, const void *x);

/* Sum of l1 |w[i]| + l2 w[i]^2, added as sum_squares does; g[i] += 2 l2 w[i] + l1 sign(w[i]) where g is not
 * NULL. The derivative of |w| at 0 is 0. */
typedef double grc_penalize_fn(size_t n, const void *w, double l1, double l2, void *g);

/* out = how many |x[i]| > limit, and the sum of limit / |x[i]| over those, added as sum_squares does. */
typedef void grc_beyond_fn(size_t n, double limit, const void *x, double out[2]);

/* Largest |x[i]|, or NaN if any x[i] is NaN; 0 for n = 0. Order-free. */
typedef double grc_max_abs_fn(size_t n, const void *x);

/* mask[r][j] = philox word of element (first_row + r) * cols + j below `threshold` ? scale : 0. */
typedef void grc_dropout_mask_fn(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                                 uint32_t stream, uint64_t step, uint32_t threshold, double scale, void *mask);

/* dst[i] = value */
typedef void grc_fill_fn(size_t n, double value, void *dst);

/* dst[i] = dst[i] + src[i] */
typedef void grc_accumulate_fn(size_t n, const void *src, void *dst);

/* Strips: x (rows, PW) contiguous. out[j] goes on, in the order of the rows, as the sum, sum of squares or
 * of magnitudes, or largest magnitude of column j; the largest is NaN if one is. */
typedef void grc_strip_reduce_fn(enum grc_reduction kind, size_t rows, const void *x, double *out);

/* x[r][j] = x[r][j] * scale[j] + shift[j], each operation rounded; scale and shift are PW doubles. */
typedef void grc_strip_affine_fn(size_t rows, const double *scale, const double *shift, void *x);

/* x[i] = x[i] within [low, high]; NaN stays. */
typedef void grc_clamp_fn(size_t n, double low, double high, void *x);

/* The vector math alone, for the accuracy tests: y[i] = f(x[i]). */
typedef void grc_exp_fn(size_t n, const void *x, void *y);
typedef void grc_log_fn(size_t n, const void *x, void *y);
typedef void grc_tanh_fn(size_t n, const void *x, void *y);
typedef void grc_erf_fn(size_t n, const void *x, void *y);

/* y[r][j] = fma(factor, x[r][j], y[r][j]) */
typedef void grc_scale_add_fn(size_t rows, size_t cols, double factor, const void *x, size_t ldx, void *y, size_t ldy);

/* Sum of x[i] y[i] in double, as sum_squares sums. */
typedef double grc_dot_fn(size_t n, const void *x, const void *y);

/* y[r][j] = fma(std, n, x[r][j]), n standard normal, made of philox word (first_row + r) * cols + j. */
typedef void grc_gaussian_noise_fn(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                                   uint32_t stream, uint64_t step, double std, const void *x, void *y);

/* y = fma(x, m, m == 0 ? dropped : kept) elementwise; y may alias x. */
typedef void grc_alpha_dropout_fn(size_t rows, size_t cols, const void *x, const void *m, double kept, double dropped,
                                  void *y, size_t ld);

/* y[i] = fma(a, x[i], b y[i]); x may be y. */
typedef void grc_combine_fn(size_t n, double a, const void *x, double b, void *y);

/* y (cols, rows) = the transpose of x (rows, cols). */
typedef void grc_turn_fn(size_t rows, size_t cols, const void *x, size_t ldx, void *y, size_t ldy);

#endif
