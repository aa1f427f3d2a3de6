/* A part of gradcore.h, which includes it: optimizers, products and losses on plain arrays; random numbers. */
#ifndef GRADCORE_H
#error "include gradcore/gradcore.h"
#endif
#ifndef GRADCORE_ARRAYS_H
#define GRADCORE_ARRAYS_H

/* ---- Plain arrays ---- */

/* One array of an update: slots not in use are NULL; lr_factor and weight_decay as in set_group, but NaN is
 * the optimizer's decay for every array. With rows, muon and soap take it as a matrix: (rows, n / rows); soap's
 * slots 2 and 3 are then the factors of its rows and of its columns, as in gradcore_trainer_factor_read, each
 * NULL where there shall be none. */
typedef struct gradcore_array {
    int32_t dtype;
    int32_t rows;
    int64_t n;
    void *w;
    const void *g;
    void *slots[GRADCORE_SLOTS];
    double lr_factor, weight_decay;
} gradcore_array;
/* What update `step` does to one array of such an average (and, for lookahead, to w); rate: decay or alpha. */
GRADCORE_API gradcore_status gradcore_average(const char *kind, int64_t every, int64_t start, uint64_t step,
                                              double rate, int32_t dtype, int64_t n, void *w, void *average,
                                              gradcore_error *error);
/* Bit i: gradcore_optimizer_step needs slot i. 0 for an unknown optimizer. */
GRADCORE_API uint32_t gradcore_optimizer_slots(const char *optimizer, uint32_t flags);
/* One optimizer update of all arrays of a model. hypers: GRADCORE_HYPERS values, clip unused. step is 1 for the
 * first update, which also gives slots their starting values other than 0. running: GRADCORE_RUNNING numbers
 * to keep from update to update, 0 at first. */
GRADCORE_API gradcore_status gradcore_optimizer_step(const char *optimizer, uint32_t flags, uint64_t step,
                                                     const double *hypers, double *running, int64_t count,
                                                     const gradcore_array *arrays, gradcore_error *error);
/* The same on at most so many threads; 0, as above: as many as each array is worth. The bits are the same. */
GRADCORE_API gradcore_status gradcore_optimizer_step_on(int32_t threads, const char *optimizer, uint32_t flags,
                                                        uint64_t step, const double *hypers, double *running,
                                                        int64_t count, const gradcore_array *arrays,
                                                        gradcore_error *error);
/* The same for one array, and numbers that are not kept. Slots that the optimizer never uses are not read. */
GRADCORE_API gradcore_status gradcore_optimizer_update(const char *optimizer, int32_t dtype, uint32_t flags,
                                                       uint64_t step, const double *hypers, int64_t n, void *w,
                                                       const void *g, void *const *slots, gradcore_error *error);

/* C (m, n) = A (m, k) B (k, n) + bias (n, or NULL), threads 0: automatic. isa NULL: automatic. C may not
 * overlap A or B. a_row, a_col, b_row, b_col: strides in elements; C is row-major with stride ldc. */
GRADCORE_API gradcore_status gradcore_gemm(int32_t dtype, int64_t m, int64_t n, int64_t k, const void *a, int64_t a_row,
                                           int64_t a_col, const void *b, int64_t b_row, int64_t b_col, const void *bias,
                                           void *c, int64_t ldc, int32_t threads, const char *isa,
                                           gradcore_error *error);
/* The same with more to it: C = f(A B + bias), f an activation with its alpha (NULL: the identity, alpha unused);
 * with `packed`, b is what gradcore_pack has made of B, whose strides are not read. size: sizeof(gradcore_product). */
typedef struct gradcore_product {
    uint32_t size;
    int32_t dtype;
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    int32_t packed, threads;
    const void *bias;
    void *c;
    int64_t ldc;
    const char *activation;
    double alpha;
    const char *isa;
} gradcore_product;
GRADCORE_API gradcore_status gradcore_multiply(const gradcore_product *product, gradcore_error *error);
/* Bytes of a packed B (k, n), the same on every instruction set; -1 for a dtype or size that cannot be. */
GRADCORE_API int64_t gradcore_packed_size(int32_t dtype, int64_t k, int64_t n);
/* Packs B; panels has room for that many bytes, 64-byte aligned for speed. */
GRADCORE_API gradcore_status gradcore_pack(int32_t dtype, int64_t k, int64_t n, const void *b, int64_t b_row,
                                           int64_t b_col, void *panels, gradcore_error *error);
/* Derivatives of a loss by x (m, k), w (k, n) and the bias, from d_y, its derivative by y = f(x w + bias). x and w
 * have any strides; d_y, z and y are row-major with such strides; d_x (m, k), d_w (k, n) and d_b (n) are
 * contiguous, NULL where not wanted, and overlap nothing. With an activation, either z, its argument, or y, which
 * serves where the derivative is known from it. size: sizeof(gradcore_dense). */
typedef struct gradcore_dense {
    uint32_t size;
    int32_t dtype;
    int64_t m, n, k;
    const void *x;
    int64_t x_row, x_col;
    const void *w;
    int64_t w_row, w_col;
    const void *d_y;
    int64_t ldd;
    const void *z;
    int64_t ldz;
    const void *y;
    int64_t ldy;
    void *d_x, *d_w, *d_b;
    const char *activation;
    double alpha;
    const char *isa;
    int32_t threads, reserved;
} gradcore_dense;
GRADCORE_API gradcore_status gradcore_dense_backward(const gradcore_dense *dense, gradcore_error *error);
/* y = f(x) over n contiguous elements; y may be x. */
GRADCORE_API gradcore_status gradcore_activation_forward(const char *name, int32_t dtype, double alpha, int64_t n,
                                                         const void *x, void *y, gradcore_error *error);
/* d_x = d_y f'(x) over n contiguous elements; d_x may be d_y. Needs x, whatever the training step keeps. */
GRADCORE_API gradcore_status gradcore_activation_backward(const char *name, int32_t dtype, double alpha, int64_t n,
                                                          const void *x, const void *d_y, void *d_x,
                                                          gradcore_error *error);
/* losses (rows, unweighted) and d (rows, cols; NULL or the gradient of the mean) of contiguous z. */
GRADCORE_API gradcore_status gradcore_loss(const char *name, int32_t dtype, int64_t rows, int64_t cols, const void *z,
                                           const void *target, double *losses, void *d, gradcore_error *error);
GRADCORE_API gradcore_status gradcore_loss_rows(const char *name, const gradcore_loss_options *options, int32_t dtype,
                                                int64_t rows, int64_t cols, const void *z, const void *target,
                                                double *losses, void *d, gradcore_error *error);

/* The functions above share large arrays among threads; these take how many at most, 0 for as many as the work is
 * worth, and names as their index in gradcore_list. The bits do not depend on it. */

/* y = f(x), or with d_y y = d_y f'(x): then y may be d_y but not x. */
GRADCORE_API gradcore_status gradcore_activation(int32_t activation, int32_t dtype, double alpha, int64_t n,
                                                 const void *x, const void *d_y, void *y, int32_t threads,
                                                 gradcore_error *error);
/* y = exp(z) / sum(exp(z)) of each row of contiguous z; y may be z. A row with NaN, or whose largest is infinite, is
 * NaN. */
GRADCORE_API gradcore_status gradcore_softmax(int32_t dtype, int64_t rows, int64_t cols, const void *z, void *y,
                                              int32_t threads, gradcore_error *error);

typedef enum gradcore_integer {
    GRADCORE_INT8,
    GRADCORE_INT16,
    GRADCORE_INT32,
    GRADCORE_INT64,
    GRADCORE_UINT8,
    GRADCORE_UINT16,
    GRADCORE_UINT32,
    GRADCORE_UINT64
} gradcore_integer;

/* As the arguments of gradcore_loss_rows. */
typedef struct gradcore_loss_call {
    uint32_t size; /* sizeof(gradcore_loss_call) */
    int32_t loss, dtype, threads;
    int64_t rows, cols;
    const void *z, *target;
    int64_t label_stride;  /* bytes between labels, which may be negative */
    int32_t label_type;    /* gradcore_integer */
    int32_t check_values;  /* refuse targets that are no labels and none that the loss is made for, as [0, 1] */
    double *losses;
    void *d; /* NULL, or the gradient of the mean; may be z */
    const gradcore_loss_options *options; /* NULL: the defaults */
} gradcore_loss_call;
GRADCORE_API gradcore_status gradcore_loss_of(const gradcore_loss_call *call, gradcore_error *error);

/* ---- Random numbers (Philox4x32-10) and initial values, the same on every platform ---- */

/* kind: "uniform" [a, b), "normal" mean a, std b, "truncated_normal" (same, cut at 2 std, not rescaled),
 * "orthogonal" (gain a). out: (rows, cols) doubles, row-major. */
GRADCORE_API gradcore_status gradcore_fill(const char *kind, uint64_t seed, uint32_t stream, int64_t rows, int64_t cols,
                                           double a, double b, double *out, gradcore_error *error);
/* The permutation of 0..n-1 that epoch `epoch` of seed `seed` trains in. */
GRADCORE_API gradcore_status gradcore_shuffle(uint64_t seed, uint64_t epoch, int64_t n, int64_t *order,
                                              gradcore_error *error);

#endif
