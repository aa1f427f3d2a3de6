/* Weight and spectral normalisation of the dense layer before: y = z s + b, where z = x W. Weight normalisation,
 * W g / |W| by columns: s_j = magnitude_j / |W_j|. Spectral normalisation, W / sigma: s = 1 / sigma, where sigma
 * is the largest singular value as power iteration sees it, left^T W right; each applied update is followed
 * by one iteration. The products are those of W itself, so that scaling costs a pass over z and not over W.
 *
 * Both keep, behind the vector's parameters, s and what `correct` and `penalize` need: derived numbers, always up to
 * date. */
#include <math.h>

#include "../base/rng.h"
#include "ops.h"

#define FIRST_ITERATIONS 15 /* where there is no state yet; PyTorch's number */

static grc_status describe(grc_builder *b, const grc_op_class *class)
{
    gradcore_network *n = b->net;
    const gradcore_layer *l = b->layer;
    const uint32_t known = GRADCORE_LAYER_NO_BIAS | GRADCORE_LAYER_CONTINUES;
    const grc_op *before = n->op_count ? &n->ops[n->op_count - 1] : NULL;
    if (l->flags & ~known)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    if (!before || !before->rescaled || !(l->flags & GRADCORE_LAYER_CONTINUES))
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers[%s]: expected %s to continue a dense layer with the flag RESCALED", b->name, l->kind);
    const grc_dense *dense = before->own;
    const size_t fan_in = dense->fan_in, width = dense->fan_out;
    const int spectral = class == &grc_op_spectral_norm;
    grc_op *op = grc_add_op(b, class, width);
    grc_rescale *own = op->own;
    own->fan_in = fan_in;
    own->fan_out = width;
    own->weight = dense->weight;
    own->has_bias = !(l->flags & GRADCORE_LAYER_NO_BIAS);
    if (!spectral && (own->magnitude = grc_add_vector(b, op, "magnitude", 1, 1, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->has_bias && (own->bias = grc_add_vector(b, op, "bias", 1, 0, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (spectral
        && ((own->left = grc_add_vector(b, op, "left", 0, 0, fan_in)) == SIZE_MAX
            || (own->right = grc_add_vector(b, op, "right", 0, 0, width)) == SIZE_MAX))
        return GRADCORE_NO_MEMORY;
    if ((own->scale = grc_add_derived(b, width)) == SIZE_MAX
        || (own->inverse_square = grc_add_derived(b, width)) == SIZE_MAX
        || (own->sums = grc_add_derived(b, spectral ? 2 : width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    return GRADCORE_OK;
}

static grc_status describe_weight(grc_builder *b)
{
    return describe(b, &grc_op_weight_norm);
}

static grc_status describe_spectral(grc_builder *b)
{
    return describe(b, &grc_op_spectral_norm);
}

/* ---- the pass ---- */

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_rescale *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    void *y = grc_row(x, x->value, op->out, row);
    n->kernels->standardize(rows, v->width, grc_row(x, x->value, op->in, row), v->ld, x->zeros,
                            grc_at(n, n->w, own->scale), y, v->ld);
    if (own->has_bias)
        n->kernels->add(rows, v->width, grc_at(n, n->w, own->bias), 0, y, v->ld);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_rescale *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    grc_clear_padding(x, x->delta, op->in, row, rows);
    n->kernels->standardize(rows, v->width, grc_row(x, x->delta, op->out, row), v->ld, x->zeros,
                            grc_at(n, n->w, own->scale), grc_row(x, x->delta, op->in, row), v->ld);
}

/* d magnitude_j = sum of delta z / |W_j|. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const grc_rescale *own = op->own;
    const gradcore_network *n = x->net;
    const grc_norm g = {.rows = rows, .cols = p->cols, .ld = n->values[op->out].ld};
    const void *d = grc_row(x, x->delta, op->out, row);
    (void)r;
    if (own->has_bias && p->offset == own->bias) {
        n->kernels->column_sums(rows, p->cols, d, g.ld, out);
    } else {
        n->kernels->norm_columns(&g, d, grc_row(x, x->value, op->in, row), NULL, out);
        for (size_t j = 0; j < p->cols; j++)
            grc_set(n, out, j, grc_get(n, out, j) * sqrt(grc_get(n, n->w, own->inverse_square + j)));
    }
    grc_zero_tail(n, p, out);
}

/* By way of |W_j|: dW_j -= W_j e_j / |W_j|^2, with e_j = sum of the delta of z times z. */
static void correct_weight(const grc_op *op, grc_view *x, grc_region r, void *out)
{
    const grc_rescale *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    double zeros[GRC_MOST_PANEL] = {0}, ones[GRC_MOST_PANEL], plain[GRC_MOST_PANEL], along[GRC_MOST_PANEL];
    _Alignas(GRC_PANEL_BYTES) char factor[GRC_MOST_PANEL * sizeof(double)];
    _Alignas(GRC_PANEL_BYTES) char part[GRC_CHUNK_ROWS * GRC_PANEL_BYTES];
    for (size_t j = 0; j < pw; j++)
        ones[j] = 1;
    for (size_t panel = r.panel; panel < r.panel + r.panels; panel++) {
        const size_t first = panel * pw, cols = grc_min(pw, own->fan_out - first);
        const grc_batch g = {
            .rows = x->rows, .cols = cols, .ld = n->values[op->in].ld, .mean = zeros, .variance = ones};
        n->kernels->batch_sums(&g, grc_at(n, grc_row(x, x->delta, op->in, 0), first),
                               grc_at(n, grc_row(x, x->value, op->in, 0), first), plain, along);
        for (size_t j = 0; j < pw; j++)
            grc_set(n, factor, j, j < cols ? along[j] * grc_get(n, n->w, own->inverse_square + first + j) : 0);
        for (size_t i = r.row; i < r.row + r.rows; i += GRC_CHUNK_ROWS) {
            const size_t count = grc_min(GRC_CHUNK_ROWS, r.row + r.rows - i), at = (panel * own->fan_in + i) * pw;
            n->kernels->standardize(count, pw, grc_at(n, n->w, own->weight + at), pw, x->zeros, factor, part, pw);
            n->kernels->scale_add(1, count * pw, -1, part, count * pw, grc_at(n, out, at), count * pw);
        }
    }
}

/* By way of sigma = left^T W right, the vectors being constants: dW -= left right^T e / sigma, e over all z. */
static void correct_spectral(const grc_op *op, grc_view *x, grc_region r, void *out)
{
    const grc_rescale *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    double sum = 0;
    for (size_t i = 0; i < x->rows; i++)
        sum += n->kernels->dot(own->fan_out, grc_row(x, x->delta, op->in, i), grc_row(x, x->value, op->in, i));
    sum *= grc_get(n, n->w, own->scale);
    for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
        for (size_t i = r.row; i < r.row + r.rows; i++)
            n->kernels->scale_add(1, pw, -sum * grc_get(n, n->w, own->left + i),
                                  grc_at(n, n->w, own->right + panel * pw), pw,
                                  grc_at(n, out, (panel * own->fan_in + i) * pw), pw);
}

/* ---- penalties on the weight that multiplies x ---- */

static double sign_of(double x)
{
    return (double)((x > 0) - (x < 0));
}

static void add_to(const gradcore_network *n, void *array, size_t i, double value)
{
    grc_set(n, array, i, grc_get(n, array, i) + value);
}

/* l1 sum |s_j v| + l2 sum (s_j v)^2 of lane j of a chunk. */
static double penalty_of_lane(const gradcore_network *n, const void *w, const double strength[2], double scale,
                              size_t j, size_t size)
{
    double sum = 0, squares = 0;
    for (size_t e = j; e < size; e += n->kernels->panel) {
        const double value = scale * grc_get(n, w, e);
        sum += fabs(value);
        squares += value * value;
    }
    return strength[0] * sum + strength[1] * squares;
}

/* With v a column of W, a = |v|_1 and g its magnitude, the penalty of the column is l1 |g| a / |v| + l2 g^2. So the
 * direction hears of l1 alone: l1 |s| (sign v - v a / |v|^2). */
static double penalize_weight(const grc_op *op, const gradcore_network *n, const grc_parameter *p,
                              const double strength[2], size_t row, size_t panel, size_t size, void *grad)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, first = panel * pw;
    double total = 0;
    if (p->ndim == 1) {
        for (size_t j = 0; grad && j < own->fan_out; j++) {
            const double inverse = grc_get(n, n->w, own->inverse_square + j), g = grc_get(n, n->w, own->magnitude + j);
            if (inverse > 0)
                add_to(n, grad, own->magnitude + j,
                       strength[0] * sign_of(g) * grc_get(n, n->w, own->sums + j) * sqrt(inverse)
                           + 2 * strength[1] * g);
        }
        return 0;
    }
    const size_t at = own->weight + (panel * own->fan_in + row) * pw;
    for (size_t j = 0; j < grc_min(pw, own->fan_out - first); j++) {
        const double inverse = grc_get(n, n->w, own->inverse_square + first + j);
        const double scale = grc_get(n, n->w, own->scale + first + j), pull = strength[0] * fabs(scale);
        const double back = grc_get(n, n->w, own->sums + first + j) * inverse;
        total += penalty_of_lane(n, grc_at(n, n->w, at), strength, scale, j, size);
        for (size_t e = at + j; grad && pull > 0 && e < at + size; e += pw) {
            const double v = grc_get(n, n->w, e);
            add_to(n, grad, e, pull * (sign_of(v) - v * back));
        }
    }
    return total;
}

/* Of l1 |W|_1 / sigma + l2 |W|^2 / sigma^2, by way of sigma = left^T W right too. */
static double penalize_spectral(const grc_op *op, const gradcore_network *n, const grc_parameter *p,
                                const double strength[2], size_t row, size_t panel, size_t size, void *grad)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, first = panel * pw, at = own->weight + (panel * own->fan_in + row) * pw;
    const double scale = grc_get(n, n->w, own->scale);
    const double l1 = strength[0] * fabs(scale), l2 = 2 * strength[1] * scale * scale;
    const double back =
        scale * ((l1 > 0 ? l1 * grc_get(n, n->w, own->sums) : 0) + (l2 > 0 ? l2 * grc_get(n, n->w, own->sums + 1) : 0));
    double total = 0;
    (void)p;
    for (size_t j = 0; j < grc_min(pw, own->fan_out - first); j++) {
        total += penalty_of_lane(n, grc_at(n, n->w, at), strength, scale, j, size);
        for (size_t i = 0; grad && scale != 0 && i < size / pw; i++) {
            const double v = grc_get(n, n->w, at + i * pw + j);
            add_to(n, grad, at + i * pw + j,
                   l1 * sign_of(v) + l2 * v
                       - back * grc_get(n, n->w, own->left + row + i) * grc_get(n, n->w, own->right + first + j));
        }
    }
    return total;
}

/* ---- derived numbers ---- */

/* The sums of squares of the columns of a panel, padding included. */
static void square_columns(const grc_op *op, const gradcore_network *n, const void *vector, size_t panel,
                           double square[GRC_MOST_PANEL])
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel;
    const void *w = grc_at(n, vector, own->weight + panel * pw * own->fan_in);
    double zeros[GRC_MOST_PANEL] = {0}, ones[GRC_MOST_PANEL], plain[GRC_MOST_PANEL];
    for (size_t j = 0; j < pw; j++)
        ones[j] = 1;
    const grc_batch g = {.rows = own->fan_in, .cols = pw, .ld = pw, .mean = zeros, .variance = ones};
    n->kernels->batch_sums(&g, w, w, plain, square);
}

static void derive_weight(const grc_op *op, gradcore_network *n, enum grc_news news, int t, int count)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel;
    size_t first, last;
    double square[GRC_MOST_PANEL];
    grc_rows_of(own->fan_out, pw, t, count, &first, &last);
    for (; first < last; first += pw) {
        double sum[GRC_MOST_PANEL] = {0};
        square_columns(op, n, n->w, first / pw, square);
        n->kernels->strip_reduce(GRC_SUM_ABS, own->fan_in, grc_at(n, n->w, own->weight + first * own->fan_in), sum);
        for (size_t j = 0; j < pw && first + j < last; j++) {
            grc_set(n, n->w, own->sums + first + j, sum[j]);
            const double inverse = square[j] > 0 ? 1 / square[j] : 0;
            if (news == GRC_NEW_WEIGHTS)
                grc_set(n, n->w, own->magnitude + first + j, sqrt(square[j]));
            grc_set(n, n->w, own->inverse_square + first + j, inverse);
            grc_set(n, n->w, own->scale + first + j, grc_get(n, n->w, own->magnitude + first + j) * sqrt(inverse));
        }
    }
}

/* ---- rules on the weight that multiplies x: weight normalisation alone can follow them ---- */

/* A column that leaves the limits is split anew: W becomes the clamped column and the magnitude its norm. Where that
 * is all 0, the magnitude is and W stays, since from W = 0 no gradient leads away. */
static void clamp_weight(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, double low,
                         double high, double slack)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, first = panel * pw, lanes = grc_min(pw, own->fan_out - first);
    void *w = grc_at(n, vector, own->weight + first * own->fan_in);
    double square[GRC_MOST_PANEL], scale[GRC_MOST_PANEL] = {0};
    const double least = slack > 0 ? low - slack * fabs(low) : low, most = slack > 0 ? high + slack * fabs(high) : high;
    int beyond[GRC_MOST_PANEL] = {0}, left[GRC_MOST_PANEL] = {0}, any = 0;
    square_columns(op, n, vector, panel, square);
    for (size_t j = 0; j < lanes; j++)
        scale[j] = square[j] > 0 ? grc_get(n, vector, own->magnitude + first + j) / sqrt(square[j]) : 0;
    for (size_t i = 0; i < own->fan_in; i++)
        for (size_t j = 0; j < lanes; j++) {
            const double value = scale[j] * grc_get(n, w, i * pw + j);
            const int out = value < least || value > most;
            beyond[j] |= out;
            left[j] |= out ? (value < low ? low : high) != 0 : value != 0;
            any |= out;
        }
    if (!any)
        return;
    for (size_t i = 0; i < own->fan_in; i++)
        for (size_t j = 0; j < lanes; j++)
            if (beyond[j] && left[j]) {
                const double value = scale[j] * grc_get(n, w, i * pw + j);
                grc_set(n, w, i * pw + j, value < low ? low : value > high ? high : value);
            }
    square_columns(op, n, vector, panel, square);
    for (size_t j = 0; j < lanes; j++)
        if (beyond[j])
            grc_set(n, vector, own->magnitude + first + j, left[j] ? sqrt(square[j]) : 0);
}

/* The norm of a column is its magnitude without the sign. */
static void bound_norms(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, int exactly,
                        double limit)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, first = panel * pw, lanes = grc_min(pw, own->fan_out - first);
    for (size_t j = 0; j < lanes; j++) {
        const double magnitude = grc_get(n, vector, own->magnitude + first + j);
        if (exactly ? magnitude != 0 : fabs(magnitude) > limit)
            grc_set(n, vector, own->magnitude + first + j, copysign(limit, magnitude));
    }
}

/* What is kept goes on multiplying x by what it did: as W gets shorter, so does the magnitude. */
static void mask_weight(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, const void *keep)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, first = panel * pw, lanes = grc_min(pw, own->fan_out - first);
    void *w = grc_at(n, vector, own->weight + first * own->fan_in);
    double before[GRC_MOST_PANEL], after[GRC_MOST_PANEL];
    square_columns(op, n, vector, panel, before);
    n->kernels->multiply(1, own->fan_in * pw, w, keep, w, own->fan_in * pw);
    square_columns(op, n, vector, panel, after);
    for (size_t j = 0; j < lanes; j++)
        if (after[j] != before[j])
            grc_set(n, vector, own->magnitude + first + j,
                    grc_get(n, vector, own->magnitude + first + j) * sqrt(after[j] / before[j]));
}

/* ---- the largest singular value ---- */

/* v /= max(|v|, 1e-12) */
static void normalise(const gradcore_network *n, size_t size, size_t v)
{
    const double norm = sqrt(n->kernels->sum_squares(size, grc_at(n, n->w, v)));
    for (size_t i = 0; i < size; i++)
        grc_set(n, n->w, v + i, grc_get(n, n->w, v + i) / (norm > 1e-12 ? norm : 1e-12));
}

/* `to` (fan_out, whole panels) = left^T W */
static void apply_left(const grc_op *op, const gradcore_network *n, size_t to)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel;
    const grc_gemm g = {.m = 1,
                        .n = grc_panels(n, own->fan_out) * pw,
                        .k = own->fan_in,
                        .a = grc_at(n, n->w, own->left),
                        .a_row = 0,
                        .a_col = 1,
                        .b = grc_at(n, n->w, own->weight),
                        .b_row = (ptrdiff_t)pw,
                        .b_panel = (ptrdiff_t)(pw * own->fan_in),
                        .c = grc_at(n, n->w, to),
                        .c_row = 0,
                        .c_panel = (ptrdiff_t)pw,
                        .init = NULL};
    n->kernels->gemm(&g);
}

/* right = W^T left, left = W right, each to length 1. */
static void iterate(const grc_op *op, gradcore_network *n)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel, panels = grc_panels(n, own->fan_out);
    apply_left(op, n, own->right);
    normalise(n, own->fan_out, own->right);
    for (size_t i = 0; i < own->fan_in; i++) {
        double sum = 0;
        for (size_t p = 0; p < panels; p++)
            sum += n->kernels->dot(pw, grc_at(n, n->w, own->weight + (p * own->fan_in + i) * pw),
                                   grc_at(n, n->w, own->right + p * pw));
        grc_set(n, n->w, own->left + i, sum);
    }
    normalise(n, own->fan_in, own->left);
}

/* The sum of all elements of W, or of their squares; padding is 0. */
static double sum_all(const grc_op *op, const gradcore_network *n, enum grc_reduction kind)
{
    const grc_rescale *own = op->own;
    const size_t pw = n->kernels->panel;
    double total = 0;
    for (size_t panel = 0; panel < grc_panels(n, own->fan_out); panel++) {
        double lane[GRC_MOST_PANEL] = {0};
        n->kernels->strip_reduce(kind, own->fan_in, grc_at(n, n->w, own->weight + panel * pw * own->fan_in), lane);
        for (size_t j = 0; j < pw; j++)
            total += lane[j];
    }
    return total;
}

static void derive_spectral(const grc_op *op, gradcore_network *n, enum grc_news news, int t, int count)
{
    const grc_rescale *own = op->own;
    if (op->index % count != t)
        return;
    const int begins = news == GRC_NEW_WEIGHTS || n->kernels->max_abs(own->fan_in, grc_at(n, n->w, own->left)) == 0;
    for (size_t i = 0; begins && i < own->fan_in; i++)
        grc_set(n, n->w, own->left + i, grc_uniform(0, (uint32_t)op->index, 0, i) - 0.5);
    const int iterations = begins ? FIRST_ITERATIONS : news == GRC_NEW_UPDATE;
    for (int i = 0; i < iterations; i++)
        iterate(op, n);
    apply_left(op, n, own->scale);
    const double sigma = n->kernels->dot(own->fan_out, grc_at(n, n->w, own->scale), grc_at(n, n->w, own->right));
    for (size_t j = 0; j < own->fan_out; j++)
        grc_set(n, n->w, own->scale + j, sigma != 0 ? 1 / sigma : 0);
    grc_set(n, n->w, own->sums, sum_all(op, n, GRC_SUM_ABS));
    grc_set(n, n->w, own->sums + 1, sum_all(op, n, GRC_SUM_SQUARES));
}

static const grc_rescaling weight_rescaling = {.correct = &correct_weight,
                                               .clamp_weight = &clamp_weight,
                                               .bound_norms = &bound_norms,
                                               .mask_weight = &mask_weight,
                                               .penalize = &penalize_weight};
static const grc_rescaling spectral_rescaling = {.correct = &correct_spectral, .penalize = &penalize_spectral};

const grc_op_class grc_op_weight_norm = {.describe = &describe_weight,
                                         .forward = &forward,
                                         .backward = &backward,
                                         .gradient = &gradient,
                                         .derive = &derive_weight,
                                         .rescaling = &weight_rescaling,
                                         .delta = GRC_DELTA_OWN,
                                         .own_size = sizeof(grc_rescale)};
const grc_op_class grc_op_spectral_norm = {.describe = &describe_spectral,
                                           .forward = &forward,
                                           .backward = &backward,
                                           .gradient = &gradient,
                                           .derive = &derive_spectral,
                                           .rescaling = &spectral_rescaling,
                                           .delta = GRC_DELTA_OWN,
                                           .own_size = sizeof(grc_rescale)};
