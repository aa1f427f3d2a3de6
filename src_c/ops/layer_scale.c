/* LayerScale: y = x gamma, a learned factor for each column. */
#include "ops.h"

typedef struct layer_scale {
    size_t gamma; /* offset in the parameter vector */
} layer_scale;

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    const size_t width = grc_value_width(b);
    if (!(l->initial >= -1e30 && l->initial <= 1e30))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].initial: expected a number from -1e30 to 1e30, got %g",
                        b->name, l->initial);
    grc_op *op = grc_add_op(b, &grc_op_layer_scale, width);
    layer_scale *own = op->own;
    own->gamma = grc_add_vector(b, op, "gamma", 1, l->initial, width);
    return own->gamma == SIZE_MAX ? GRADCORE_NO_MEMORY : GRADCORE_OK;
}

static void scale(const grc_op *op, const grc_view *x, size_t rows, const void *from, void *to)
{
    const layer_scale *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    n->kernels->standardize(rows, v->width, from, v->ld, x->zeros, grc_at(n, n->w, own->gamma), to, v->ld);
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    scale(op, x, rows, grc_row(x, x->value, op->in, row), grc_row(x, x->value, op->out, row));
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    if (!x->delta[op->in])
        return;
    grc_clear_padding(x, x->delta, op->in, row, rows);
    scale(op, x, rows, grc_row(x, x->delta, op->out, row), grc_row(x, x->delta, op->in, row));
}

static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const gradcore_network *n = x->net;
    const grc_norm g = {.rows = rows, .cols = p->cols, .ld = n->values[op->out].ld};
    (void)r;
    n->kernels->norm_columns(&g, grc_row(x, x->delta, op->out, row), grc_row(x, x->value, op->in, row), NULL, out);
    grc_zero_tail(n, p, out);
}

const grc_op_class grc_op_layer_scale = {.describe = &describe,
                                         .forward = &forward,
                                         .backward = &backward,
                                         .gradient = &gradient,
                                         .delta = GRC_DELTA_OWN,
                                         .own_size = sizeof(layer_scale)};
