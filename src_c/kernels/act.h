/* The contracts of activations, and of what Maxout and PReLU need beside them. */
#ifndef GRC_KERNELS_ACT_H
#define GRC_KERNELS_ACT_H

#include <stddef.h>
#include <stdint.h>

/* y = f(z) elementwise; y may alias z exactly. */
typedef void grc_act_forward_fn(size_t rows, size_t cols, const void *z, void *y, size_t ld, double alpha);
/* d *= f'(.) elementwise, from `saved`: the output or the pre-activation, as tables.h says. */
typedef void grc_act_backward_fn(size_t rows, size_t cols, const void *saved, void *d, size_t ld, double alpha);

/* d_x = d_y f'(x) elementwise, whatever the training step keeps; d_x may be d_y. */
typedef void grc_act_gradient_fn(size_t n, const void *x, const void *d_y, void *d_x, double alpha);

/* y[r][j] = the largest of x[r][p units + j], p < pieces; NaN if one of them is. */
typedef void grc_maxout_forward_fn(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx, void *y,
                                   size_t ldy);

/* dx (rows, pieces * units), ld ldx: d[r][j] where that largest one is, the first of equals; else 0. */
typedef void grc_maxout_backward_fn(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx, const void *d,
                                    size_t ldd, void *dx);

/* y = x > 0 ? x : slope x, slope[0] for all if `shared`, else slope[j]. */
typedef void grc_prelu_forward_fn(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *y,
                                  size_t ld);

/* by_slope = x > 0 ? 0 : d x, then d = x > 0 ? d : slope d. */
typedef void grc_prelu_backward_fn(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *d,
                                   void *by_slope, size_t ld);

#endif
