/* The kernels of an instruction set, as a table. The headers of their families state the contract of each, once. A
 * kernel is a serial leaf: it takes pointers and sizes, returns nothing but numbers, allocates nothing, knows no thread
 * and checks no argument.
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

#include "../base/elements.h"
#include "../base/tables.h"
#include "act.h"
#include "gemm.h"
#include "loss.h"
#include "norm.h"
#include "optim.h"
#include "vector.h"

typedef struct grc_kernels {
    const char *name; /* of the instruction set */
    size_t panel;     /* PW */

    grc_gemm_fn *gemm;
    grc_pack_fn *pack;
    grc_unpack_fn *unpack;
    grc_transpose_fn *transpose;
    grc_narrow_fn *narrow;
    grc_product_fn *product;
    grc_product_packs_fn *product_packs;
    grc_pack_any_fn *pack_any;

    grc_act_forward_fn *act_forward[GRC_ACT_COUNT];
    grc_act_backward_fn *act_backward[GRC_ACT_COUNT];
    grc_act_gradient_fn *act_gradient[GRC_ACT_COUNT];
    grc_maxout_forward_fn *maxout_forward;
    grc_maxout_backward_fn *maxout_backward;
    grc_prelu_forward_fn *prelu_forward;
    grc_prelu_backward_fn *prelu_backward;

    grc_loss_fn *loss[GRC_LOSS_COUNT];
    grc_softmax_fn *softmax;
    grc_targets_are_fn *targets_are;

    grc_opt_fn *opt[GRC_OPT_COUNT];
    grc_opt_measure_fn *opt_measure[GRC_OPT_COUNT]; /* NULL for ELEMENTWISE */
    grc_blend_fn *blend;
    grc_muon_direction_fn *muon_direction;
    grc_soap_direction_fn *soap_direction;
    grc_seen_gradient_fn *seen_gradient;

    grc_standardize_fn *standardize;
    grc_norm_forward_fn *norm_forward;
    grc_norm_backward_fn *norm_backward;
    grc_batch_moments_fn *batch_moments;
    grc_batch_forward_fn *batch_forward;
    grc_batch_sums_fn *batch_sums;
    grc_batch_backward_fn *batch_backward;
    grc_norm_columns_fn *norm_columns;

    grc_add_fn *add;
    grc_multiply_fn *multiply;
    grc_column_sums_fn *column_sums;
    grc_sum_squares_fn *sum_squares;
    grc_penalize_fn *penalize;
    grc_beyond_fn *beyond;
    grc_max_abs_fn *max_abs;
    grc_dropout_mask_fn *dropout_mask;
    grc_fill_fn *fill;
    grc_accumulate_fn *accumulate;
    grc_strip_reduce_fn *strip_reduce;
    grc_strip_affine_fn *strip_affine;
    grc_clamp_fn *clamp;
    grc_exp_fn *exp;
    grc_log_fn *log;
    grc_tanh_fn *tanh;
    grc_erf_fn *erf;
    grc_scale_add_fn *scale_add;
    grc_dot_fn *dot;
    grc_gaussian_noise_fn *gaussian_noise;
    grc_alpha_dropout_fn *alpha_dropout;
    grc_combine_fn *combine;
    grc_turn_fn *turn;
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
