/* Standardize: y = (x - mean) inverse_std, column by column; both are stored, neither trains. */
#include "ops.h"

static grc_status describe(grc_builder *b)
{
    const size_t width = grc_value_width(b);
    grc_op *op = grc_add_op(b, &grc_op_standardize, width);
    grc_standardize *own = op->own;
    own->mean = grc_add_vector(b, op, "mean", 0, 0, width);
    if (own->mean == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    own->inverse_std = grc_add_vector(b, op, "inverse_std", 0, 1, width);
    return own->inverse_std == SIZE_MAX ? GRADCORE_NO_MEMORY : GRADCORE_OK;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_standardize *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    n->kernels->standardize(rows, v->width, grc_input(x, op, row), grc_input_ld(x, op), grc_at(n, n->w, own->mean),
                            grc_at(n, n->w, own->inverse_std), grc_row(x, x->value, op->out, row), v->ld);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_standardize *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    void *d = grc_row(x, x->delta, op->out, row);
    n->kernels->standardize(rows, v->width, d, v->ld, x->zeros, grc_at(n, n->w, own->inverse_std), d, v->ld);
}

const grc_op_class grc_op_standardize = {.describe = &describe,
                                         .forward = &forward,
                                         .backward = &backward,
                                         .delta = GRC_DELTA_SHARED,
                                         .any_ld = 1,
                                         .own_size = sizeof(grc_standardize)};
