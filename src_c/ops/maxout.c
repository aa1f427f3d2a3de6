/* Maxout: a linear dense layer of pieces * units columns, then y[j] = the largest of columns j, units + j,
 * 2 units + j, ... Its weights are those of the dense op; this op is the choice. */
#include "ops.h"

typedef struct maxout {
    size_t pieces;
} maxout;

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    if (l->units < 1 || l->units > INT32_MAX)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].units: expected 1 to 2147483647, got %lld", b->name,
                        (long long)l->units);
    if (l->pieces < 1 || l->pieces > INT32_MAX / l->units)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].pieces: expected 1 to %lld, got %lld", b->name,
                        (long long)(INT32_MAX / l->units), (long long)l->pieces);
    gradcore_layer dense = *l;
    dense.activation = NULL;
    dense.units = l->units * l->pieces;
    b->layer = &dense;
    const grc_status status = grc_op_dense.describe(b);
    b->layer = l;
    if (status != GRADCORE_OK)
        return status;
    grc_op *op = grc_add_op(b, &grc_op_maxout, (size_t)l->units);
    maxout *own = op->own;
    own->pieces = (size_t)l->pieces;
    return GRADCORE_OK;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const maxout *own = op->own;
    const grc_value *in = &x->net->values[op->in], *out = &x->net->values[op->out];
    x->net->kernels->maxout_forward(rows, out->width, own->pieces, grc_row(x, x->value, op->in, row), in->ld,
                                    grc_row(x, x->value, op->out, row), out->ld);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const maxout *own = op->own;
    const grc_value *in = &x->net->values[op->in], *out = &x->net->values[op->out];
    if (x->delta[op->in])
        x->net->kernels->maxout_backward(rows, out->width, own->pieces, grc_row(x, x->value, op->in, row), in->ld,
                                         grc_row(x, x->delta, op->out, row), out->ld,
                                         grc_row(x, x->delta, op->in, row));
}

const grc_op_class grc_op_maxout = {.describe = &describe,
                                    .forward = &forward,
                                    .backward = &backward,
                                    .delta = GRC_DELTA_OWN,
                                    .own_size = sizeof(maxout)};
