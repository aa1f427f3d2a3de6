/* The contract of every kernel, stated once. A kernel is a serial leaf: it takes pointers and sizes,
 * returns nothing but numbers, allocates nothing, knows no thread and checks no argument.
 *
 * Element type. `void *` data is float in the first table of an instruction set and double in the
 * second; scalars come as double and are rounded to the element type once, inside.
 * Panel. PW elements fill 64 bytes: 16 floats or 8 doubles. Reductions across lanes use PW virtual
 * lanes on every instruction set, folded as ((0+8)+(4+12))... by grc fold, so bits never depend on it.
 * Rows. A matrix argument is (rows, cols) with leading dimension ld in elements, ld >= cols. Any cols,
 * any alignment; tails go through the same arithmetic by masks; nothing outside is read or written.
 * Aliasing. Only where a kernel says "may alias".
 * NaN and infinity propagate through everything unless a kernel says otherwise.
 */
#ifndef GRC_KERNELS_H
#define GRC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "../base/tables.h"

#define GRC_KC 256 /* products are chains of at most GRC_KC fused multiply-adds: part of the numerics */
#define GRC_PANEL_BYTES 64
#define GRC_NARROW 4 /* outputs that fill at most a GRC_NARROW-th of a panel are narrow */

enum grc_dtype { GRC_F32, GRC_F64, GRC_DTYPE_COUNT };

/* C (m, n) = init + A (m, k) · B (k, n), n a multiple of PW.
 * Element (i, j): block 0 is the chain acc = fma(a[i][p], b[p][j], acc) over p = 0..KC-1 from
 * acc = init[j] (0 where init is NULL); every later block of KC starts a chain at 0, and its result
 * is added to the sum so far. Nothing else about it is free.
 * A is element-strided both ways; B and C are panels of PW columns: element (p, j) of B lies at
 * b + (j / PW) * b_panel + p * b_row + j % PW. So weights (packed panels: b_row = PW,
 * b_panel = PW * k) and row-major matrices (b_row = ld, b_panel = PW) both fit. */
typedef struct grc_gemm {
    size_t m, n, k;
    const void *a;
    ptrdiff_t a_row, a_col; /* elements between rows (m) and between columns (k) */
    const void *b;
    ptrdiff_t b_row, b_panel;
    void *c;
    ptrdiff_t c_row, c_panel;
    const void *init; /* n elements or NULL */
} grc_gemm;
typedef void grc_gemm_fn(const grc_gemm *g);

/* y = f(z) elementwise; y may alias z exactly. */
typedef void grc_act_forward_fn(size_t rows, size_t cols, const void *z, void *y, size_t ld, double alpha);
/* d *= f'(.) elementwise, from `saved`: the output or the pre-activation, as tables.h says. */
typedef void grc_act_backward_fn(size_t rows, size_t cols, const void *saved, void *d, size_t ld, double alpha);

/* d_x = d_y f'(x) elementwise, whatever the training step keeps; d_x may be d_y. */
typedef void grc_act_gradient_fn(size_t n, const void *x, const void *d_y, void *d_x, double alpha);

/* C (m, n) = f(init + A (m, k) · B (k, n)) for any n, by the chains of gemm; c_row >= n. A and B are
 * element-strided both ways, or B is panels as `pack` makes them: those of n columns of a B with k rows. act is NULL
 * where f is the identity. Where product_packs(g) is not 0, scratch is 64-byte aligned memory, of GRC_A_BYTES and behind
 * them GRC_B_BYTES, or what min(k, GRC_KC) rows of B's panels take if that is less; what was in it does not matter. C may
 * not overlap anything else. */
typedef struct grc_product {
    size_t m, n, k;
    const void *a;
    ptrdiff_t a_row, a_col;
    const void *b;
    ptrdiff_t b_row, b_col;
    int packed;
    void *c;
    ptrdiff_t c_row;
    const void *init; /* n elements or NULL */
    grc_act_forward_fn *act;
    double alpha;
    void *scratch;
} grc_product;
#define GRC_A_BYTES ((size_t)288 << 10)
#define GRC_B_BYTES ((size_t)1 << 20)

/* Per row r: loss[r] = l_r (double, with the weights of args but without a row's own, mean over outputs where
 * the loss has several values), correct[r] = 1 where the prediction is right (argmax, ties to the lowest
 * index; sign for binary, all outputs right; 0 for losses that do not classify), and d = row_scale[r] * d l_r / d z. d may be NULL (evaluation) or alias
 * z exactly; when not NULL, elements cols..round_up(cols, PW)-1 of its row are set to 0 if they fit in ld.
 * target: real matrix (rows, target_ld), or int32 labels (one a row, checked before) for LABELS. */
typedef struct grc_loss_args {
    double p[4];        /* the loss's own, in the order of its row in tables.h */
    const void *weight; /* its vector option, (cols) of the element type, or NULL: all 1 */
    int probabilities;  /* targets of a LABELS loss are a real matrix of class probabilities */
    int ignores;        /* rows with label `ignore` have loss and gradient 0 and are not right */
    int32_t ignore;
} grc_loss_args;
typedef void grc_loss_fn(size_t rows, size_t cols, const void *z, size_t ld, const void *target,
                         size_t target_ld, const double *row_scale, void *d, double *loss, int32_t *correct,
                         const grc_loss_args *args);

/* The option bits of gradcore.h; GRADCORE_DECAY_ALL, 8, is no business of a kernel. */
enum {
    GRC_OPT_MOMENTUM = 1,
    GRC_OPT_NESTEROV = 2,
    GRC_OPT_CENTERED = 4,
    GRC_OPT_LR_IN_MOMENTUM = 16,
    GRC_OPT_EPS_INSIDE = 32,
    GRC_OPT_AMSGRAD = 64,
    GRC_OPT_EPS_HAT = 128,
    GRC_OPT_MAXIMIZE = 256,
    GRC_OPT_DECOUPLED = 512,
    GRC_OPT_CONSTANT_MOMENTUM = 1024,
    GRC_OPT_TRUST_CLIP = 2048,
    GRC_OPT_DECAY_IN_NORM = 4096,
    GRC_OPT_SAFEGUARD = 8192,
    GRC_OPT_CLIPPED = 16384,
    GRC_OPT_CORRECTED = 32768,
    GRC_OPT_UNCLAMPED = 65536
};
enum { GRC_OPT_OWN = 10, GRC_OPT_DERIVED = 6, GRC_OPT_RUNNING = 4 };
enum { GRC_OPT_BLEND = 3 }; /* with a LIVE slot, the running number 1 - 1 / beta1 */
enum { GRC_MUON_EPS = 4, GRC_MUON_STEPS, GRC_MUON_RMS, GRC_MUON_BETA1, GRC_MUON_ADAM_LR = 9 }; /* in p */
typedef struct grc_opt_args {
    double lr, weight_decay; /* of this array */
    double lr_factor;        /* the array's own, which lr has in it */
    double base_lr;    /* lr before an array's own factor: what running numbers are made of */
    double grad_scale; /* multiplies g first: the global-norm clip; 1 leaves the bits alone */
    double grad_limit; /* then g is clamped to +-limit, NaN stays; HUGE_VAL: no limit */
    double p[GRC_OPT_OWN]; /* the optimizer's own, in the order of its row in tables.h */
    uint64_t step;     /* 1 for the first update */
    uint32_t flags;    /* GRC_OPT_*: slot 0 of sgd is touched only with MOMENTUM, and so on */
    double running[GRC_OPT_RUNNING], next[GRC_OPT_RUNNING]; /* numbers kept from update to update; 0 at first */
    double d[GRC_OPT_DERIVED];                              /* of grc_opt_prepare, then grc_opt_finish */
} grc_opt_args;
/* One update of n parameters w from gradients g and state slots; g is left as it was. Slots not in use may
 * be NULL. */
typedef void grc_opt_fn(size_t n, void *w, const void *g, void *const *slots, const grc_opt_args *args);
/* TENSOR and TOTAL: the half of an update that comes before its norms are known. Changes slots, and puts
 * two sums over the n elements into sum, in double, in 16 (8) virtual lanes. The opt function is the rest. */
typedef void grc_opt_measure_fn(size_t n, const void *w, const void *g, void *const *slots,
                                const grc_opt_args *args, double sum[2]);
/* optimizers/scalars.c: sets args->d and args->next from everything else, before the kernel. May be repeated. */
void grc_opt_prepare(int optimizer, grc_opt_args *args);
/* What muon's direction is made of: mix[0] times the momentum and mix[1] times the gradient. */
void grc_muon_mix(const grc_opt_args *args, double mix[2]);
/* The same between the two halves, from the sums over an array (TENSOR) or over all of them (TOTAL). */
void grc_opt_finish(int optimizer, grc_opt_args *args, const double sum[2]);

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
/* SHARES: rows that are not negative and have the sum 1, to 1e-3. */
enum grc_targets { GRC_IN_UNIT_INTERVAL, GRC_NOT_NEGATIVE, GRC_ZERO_OR_ONE, GRC_MINUS_ONE_OR_ONE, GRC_SHARES };
enum grc_reduction { GRC_SUM, GRC_SUM_SQUARES, GRC_SUM_ABS, GRC_MAX_ABS };

typedef struct grc_kernels {
    const char *name; /* of the instruction set */
    size_t panel;     /* PW */
    grc_gemm_fn *gemm;
    grc_act_forward_fn *act_forward[GRC_ACT_COUNT];
    grc_act_backward_fn *act_backward[GRC_ACT_COUNT];
    grc_act_gradient_fn *act_gradient[GRC_ACT_COUNT];
    grc_loss_fn *loss[GRC_LOSS_COUNT];
    grc_opt_fn *opt[GRC_OPT_COUNT];
    grc_opt_measure_fn *opt_measure[GRC_OPT_COUNT]; /* NULL for ELEMENTWISE */

    /* y[r][j] = y[r][j] + x[r][j] */
    void (*add)(size_t rows, size_t cols, const void *x, size_t ldx, void *y, size_t ldy);
    /* y = x * m elementwise; y may alias x. */
    void (*multiply)(size_t rows, size_t cols, const void *x, const void *m, void *y, size_t ld);
    /* y[r][j] = (x[r][j] - mean[j]) * scale[j]; y may alias x when ldx == ldy. */
    void (*standardize)(size_t rows, size_t cols, const void *x, size_t ldx, const void *mean,
                        const void *scale, void *y, size_t ldy);
    /* sum[j] = chain of additions x[0][j] + x[1][j] + ... in row order, from x[0][j]; rows >= 1. */
    void (*column_sums)(size_t rows, size_t cols, const void *x, size_t ld, void *sum);
    /* Sum of x[i]^2 in double: virtual lane i % PW accumulates element i in order, then the fold. */
    double (*sum_squares)(size_t n, const void *x);
    /* Sum of l1 |w[i]| + l2 w[i]^2, added as sum_squares does; g[i] += 2 l2 w[i] + l1 sign(w[i]) where g is not
     * NULL. The derivative of |w| at 0 is 0. */
    double (*penalize)(size_t n, const void *w, double l1, double l2, void *g);
    /* out = how many |x[i]| > limit, and the sum of limit / |x[i]| over those, added as sum_squares does. */
    void (*beyond)(size_t n, double limit, const void *x, double out[2]);
    /* Largest |x[i]|, or NaN if any x[i] is NaN; 0 for n = 0. Order-free. */
    double (*max_abs)(size_t n, const void *x);
    /* mask[r][j] = philox word of element (first_row + r) * cols + j below `threshold` ? scale : 0. */
    void (*dropout_mask)(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                         uint32_t stream, uint64_t step, uint32_t threshold, double scale, void *mask);
    /* (rows, cols) row-major with ld <-> panels [ceil(cols / PW)][rows][PW], zero-filled at the end. */
    void (*pack)(size_t rows, size_t cols, const void *x, size_t ld, void *panels);
    void (*unpack)(size_t rows, size_t cols, const void *panels, void *x, size_t ld);
    /* Panels of W (rows, cols) -> the part of the panels of its transpose (cols, rows) that comes from
     * W's rows [row, row + row_count) and panels [panel, panel + panel_count). row is a multiple of PW;
     * so is row_count unless it reaches the end. Element (i, j) of W goes to
     * out[(i / PW) * cols * PW + j * PW + i % PW]; rows past the end of W are written as 0. */
    void (*transpose)(size_t rows, size_t cols, const void *panels, size_t row, size_t row_count,
                      size_t panel, size_t panel_count, void *out);
    /* Y (rows, n) = init + X (rows, k) · W, by the chains of gemm, for n <= PW / 4: init is bias (n) or, where
     * NULL, 0; w holds the panels of W's transpose, [ceil(k / PW)][n][PW]. ldy >= PW, and columns n..PW-1 of
     * Y are set to 0. */
    void (*narrow)(size_t rows, size_t k, size_t n, const void *x, size_t ldx, const void *w,
                   const void *bias, void *y, size_t ldy);
    /* dst[i] = fma(rate, src[i] - dst[i], dst[i]) */
    void (*blend)(size_t n, double rate, const void *src, void *dst);
    /* dst[i] = value */
    void (*fill)(size_t n, double value, void *dst);
    /* y[r][j] = the largest of x[r][p units + j], p < pieces; NaN if one of them is. */
    void (*maxout_forward)(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx, void *y,
                           size_t ldy);
    /* dx (rows, pieces * units), ld ldx: d[r][j] where that largest one is, the first of equals; else 0. */
    void (*maxout_backward)(size_t rows, size_t units, size_t pieces, const void *x, size_t ldx, const void *d,
                            size_t ldd, void *dx);
    /* y = x > 0 ? x : slope x, slope[0] for all if `shared`, else slope[j]. */
    void (*prelu_forward)(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *y,
                          size_t ld);
    /* by_slope = x > 0 ? 0 : d x, then d = x > 0 ? d : slope d. */
    void (*prelu_backward)(size_t rows, size_t cols, const void *x, const void *slope, int shared, void *d,
                           void *by_slope, size_t ld);
    /* dst[i] = dst[i] + src[i] */
    void (*accumulate)(size_t n, const void *src, void *dst);
    /* Strips: x (rows, PW) contiguous. out[j] goes on, in the order of the rows, as the sum, sum of squares or
     * of magnitudes, or largest magnitude of column j; the largest is NaN if one is. */
    void (*strip_reduce)(enum grc_reduction kind, size_t rows, const void *x, double *out);
    /* x[r][j] = x[r][j] * scale[j] + shift[j], each operation rounded; scale and shift are PW doubles. */
    void (*strip_affine)(size_t rows, const double *scale, const double *shift, void *x);
    /* x[i] = x[i] within [low, high]; NaN stays. */
    void (*clamp)(size_t n, double low, double high, void *x);
    /* The vector math alone, for the accuracy tests: y[i] = f(x[i]). */
    void (*exp)(size_t n, const void *x, void *y);
    void (*log)(size_t n, const void *x, void *y);
    void (*tanh)(size_t n, const void *x, void *y);
    void (*erf)(size_t n, const void *x, void *y);
    /* y and stats from x; stats may be NULL, y may alias x. */
    void (*norm_forward)(const grc_norm *g, const void *x, void *y, void *stats);
    /* dx from d (by y), x and the stats of forward; padding as in grc_loss_fn. dx may not alias d or x. */
    void (*norm_backward)(const grc_norm *g, const void *d, const void *x, const void *stats, void *dx);
    /* y[r][j] = fma(factor, x[r][j], y[r][j]) */
    void (*scale_add)(size_t rows, size_t cols, double factor, const void *x, size_t ldx, void *y, size_t ldy);
    /* Sum of x[i] y[i] in double, as sum_squares sums. */
    double (*dot)(size_t n, const void *x, const void *y);
    /* y[r][j] = fma(std, n, x[r][j]), n standard normal, made of philox word (first_row + r) * cols + j. */
    void (*gaussian_noise)(size_t rows, size_t cols, size_t ld, uint64_t first_row, uint64_t seed,
                           uint32_t stream, uint64_t step, double std, const void *x, void *y);
    /* y = fma(x, m, m == 0 ? dropped : kept) elementwise; y may alias x. */
    void (*alpha_dropout)(size_t rows, size_t cols, const void *x, const void *m, double kept, double dropped,
                          void *y, size_t ld);
    /* Mean and mean square deviation of each column: sums in row order, by chunks of 64 rows, in double. */
    void (*batch_moments)(size_t rows, size_t cols, const void *x, size_t ld, double *mean, double *variance);
    /* y may alias x. */
    void (*batch_forward)(const grc_batch *g, const void *x, void *y);
    /* plain[j] = sum of d[r][j], along[j] = sum of d[r][j] h[r][j]: as batch_moments sums. */
    void (*batch_sums)(const grc_batch *g, const void *d, const void *x, double *plain, double *along);
    /* dx = gamma (d - plain / count - h along / count) / sqrt(...), the sums being those of a batch of `count`
     * rows; plain NULL: of statistics that do not depend on x, dx = gamma d / sqrt(...). Padding as in
     * grc_loss_fn. dx may alias d. */
    void (*batch_backward)(const grc_batch *g, const void *d, const void *x, const double *plain,
                           const double *along, size_t count, void *dx);
    /* sum[j] = chain over the rows, from 0, of fma(d[r][j], h[r][j], sum); stats NULL: h is x. */
    void (*norm_columns)(const grc_norm *g, const void *d, const void *x, const void *stats, void *sum);
    /* The gradient x that the update sees; m += (1 - p[0])(x - m); out = mix[0] m + mix[1] x. */
    void (*muon_direction)(size_t n, const void *g, void *m, void *out, const grc_opt_args *args,
                           const double mix[2]);
    /* Moments m and v of x, which then becomes m / (sqrt(v) + eps). */
    void (*soap_direction)(size_t n, void *x, void *m, void *v, const grc_opt_args *args);
    /* out = g, scaled, clamped and signed as the update sees it. */
    void (*seen_gradient)(size_t n, const void *g, void *out, const grc_opt_args *args);
    /* y[i] = fma(a, x[i], b y[i]); x may be y. */
    void (*combine)(size_t n, double a, const void *x, double b, void *y);
    /* y (cols, rows) = the transpose of x (rows, cols). */
    void (*turn)(size_t rows, size_t cols, const void *x, size_t ldx, void *y, size_t ldy);
    /* y = exp(z - the largest of the row) over the sum of these, which is added in the order of a product with
     * ones; a row with NaN, or whose largest is infinite, is NaN. y may alias z when ldz == ldy. */
    void (*softmax)(size_t rows, size_t cols, const void *z, size_t ldz, void *y, size_t ldy);
    /* Are all elements of contiguous x such targets? NaN never is. */
    int (*targets_are)(enum grc_targets kind, size_t rows, size_t cols, const void *x);
    void (*product)(const grc_product *g);
    int (*product_packs)(const grc_product *g);
    /* All of B of such a product as panels, whatever its strides. */
    void (*pack_any)(const grc_product *g, void *panels);
} grc_kernels;

/* reduce.c. A finite |x| >= 2^15 as q pi / 2 + *high + *low, |*high| <= pi / 4; returns q modulo 4. */
int grc_reduce_angle(double x, double *high, double *low);

/* One table a dtype, for every instruction set this binary was compiled with. */
extern const grc_kernels grc_kernels_scalar[GRC_DTYPE_COUNT];
#if defined(__x86_64__)
extern const grc_kernels grc_kernels_avx2[GRC_DTYPE_COUNT];
extern const grc_kernels grc_kernels_avx512[GRC_DTYPE_COUNT];
#elif defined(__aarch64__)
extern const grc_kernels grc_kernels_neon[GRC_DTYPE_COUNT];
#endif

#endif
