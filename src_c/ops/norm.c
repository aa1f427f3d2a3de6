/* LayerNorm and RMSNorm: y = (x - mean) / sqrt(variance + eps) gamma + beta of each row, the variance being
 * the mean square deviation; RMSNorm has no mean, takes the mean square, and has no beta. */
#include <string.h>

#include "ops.h"

typedef struct row_norm {
    double eps;
    int has_scale, has_shift;
    size_t gamma, beta; /* offsets in the parameter vector */
} row_norm;

static grc_status describe(grc_builder *b, const grc_op_class *class, uint32_t known, double eps)
{
    const gradcore_layer *l = b->layer;
    const size_t width = grc_value_width(b);
    if (l->flags & ~known)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    if (l->eps != 0 && !(l->eps >= GRC_LEAST_EPS && l->eps <= 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].eps: expected a number from %g to 1, got %g", b->name,
                        GRC_LEAST_EPS, l->eps);
    grc_op *op = grc_add_op(b, class, width);
    row_norm *own = op->own;
    own->eps = l->eps != 0 ? l->eps : eps;
    own->has_scale = !(l->flags & GRADCORE_LAYER_NO_SCALE);
    own->has_shift = (known & GRADCORE_LAYER_NO_SHIFT) && !(l->flags & GRADCORE_LAYER_NO_SHIFT);
    if (own->has_scale && (own->gamma = grc_add_vector(b, op, "gamma", 1, 1, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->has_shift && (own->beta = grc_add_vector(b, op, "beta", 1, 0, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    return GRADCORE_OK;
}

static grc_status describe_layer(grc_builder *b)
{
    return describe(b, &grc_op_layer_norm, GRADCORE_LAYER_NO_SCALE | GRADCORE_LAYER_NO_SHIFT, 1e-5);
}

static grc_status describe_rms(grc_builder *b)
{
    return describe(b, &grc_op_rms_norm, GRADCORE_LAYER_NO_SCALE, 1e-6);
}

static size_t saves(const grc_op *op, const grc_view *x) /* three numbers a row: kernels.h */
{
    (void)op;
    return 3 * x->capacity;
}

static grc_norm arguments(const grc_op *op, const grc_view *x, size_t rows)
{
    const row_norm *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    return (grc_norm){.rows = rows,
                      .cols = v->width,
                      .ld = v->ld,
                      .centered = op->class == &grc_op_layer_norm,
                      .eps = own->eps,
                      .gamma = own->has_scale ? grc_at(n, n->w, own->gamma) : NULL,
                      .beta = own->has_shift ? grc_at(n, n->w, own->beta) : NULL};
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_norm g = arguments(op, x, rows);
    void *stats = x->saved[op->index] ? grc_at(x->net, x->saved[op->index], 3 * row) : NULL;
    x->net->kernels->norm_forward(&g, grc_row(x, x->value, op->in, row), grc_row(x, x->value, op->out, row), stats);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_norm g = arguments(op, x, rows);
    if (x->delta[op->in])
        x->net->kernels->norm_backward(&g, grc_row(x, x->delta, op->out, row), grc_row(x, x->value, op->in, row),
                                       grc_at(x->net, x->saved[op->index], 3 * row), grc_row(x, x->delta, op->in, row));
}

/* dgamma: column sums of delta times the normalised rows; dbeta: of delta. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const row_norm *own = op->own;
    const gradcore_network *n = x->net;
    const grc_norm g = arguments(op, x, rows);
    const void *d = grc_row(x, x->delta, op->out, row);
    (void)r;
    if (own->has_scale && p->offset == own->gamma)
        n->kernels->norm_columns(&g, d, grc_row(x, x->value, op->in, row), grc_at(n, x->saved[op->index], 3 * row),
                                 out);
    else
        n->kernels->column_sums(rows, g.cols, d, g.ld, out);
    grc_zero_tail(n, p, out);
}

const grc_op_class grc_op_layer_norm = {.describe = &describe_layer,
                                        .forward = &forward,
                                        .backward = &backward,
                                        .gradient = &gradient,
                                        .saves = &saves,
                                        .delta = GRC_DELTA_OWN,
                                        .own_size = sizeof(row_norm)};
const grc_op_class grc_op_rms_norm = {.describe = &describe_rms,
                                      .forward = &forward,
                                      .backward = &backward,
                                      .gradient = &gradient,
                                      .saves = &saves,
                                      .delta = GRC_DELTA_OWN,
                                      .own_size = sizeof(row_norm)};
