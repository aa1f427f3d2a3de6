/* A nonlinearity on its own: y = f(x). (A dense layer's own activation is part of ops/dense.c.) */
#include <string.h>

#include "ops.h"

static grc_status describe(grc_builder *b)
{
    grc_op *op = grc_add_op(b, &grc_op_activation, grc_value_width(b));
    return grc_set_activation(b, b->layer->activation, b->layer->alpha, op);
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[op->out];
    const void *in = grc_row(x, x->value, op->in, row);
    void *out = grc_row(x, x->value, op->out, row);
    if (op->activation == GRC_ACT_identity)
        memcpy(out, in, ((rows - 1) * v->ld + v->width) * x->net->item);
    else
        x->net->kernels->act_forward[op->activation](rows, v->width, in, out, v->ld, op->alpha);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[op->out];
    const int kept = grc_saves_of(op->activation) == GRC_SAVES_INPUT ? op->in : op->out;
    if (op->activation != GRC_ACT_identity)
        x->net->kernels->act_backward[op->activation](rows, v->width, grc_row(x, x->value, kept, row),
                                                      grc_row(x, x->delta, op->out, row), v->ld, op->alpha);
}

const grc_op_class grc_op_activation = {
    .describe = &describe, .forward = &forward, .backward = &backward, .delta = GRC_DELTA_SHARED};
