/* Gated linear unit: y = a f(b), a and b the left and right half of the input's columns, f an activation. */
#include <string.h>

#include "ops.h"

static grc_status describe(grc_builder *b)
{
    const size_t width = grc_value_width(b);
    if (width % 2)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s]: expected an even number of columns to halve, got %zu",
                        b->name, width);
    grc_op *op = grc_add_op(b, &grc_op_glu, width / 2);
    return grc_set_activation(b, b->layer->activation ? b->layer->activation : "sigmoid", b->layer->alpha, op);
}

static size_t saves(const grc_op *op, const grc_view *x) /* f(b) */
{
    return x->capacity * x->net->values[op->out].ld;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    for (size_t r = row; r < row + rows; r++) {
        const void *a = grc_row(x, x->value, op->in, r), *b = grc_at(n, a, v->width);
        void *y = grc_row(x, x->value, op->out, r);
        void *gate = x->saved[op->index] ? grc_at(n, x->saved[op->index], r * v->ld) : y;
        if (op->activation == GRC_ACT_identity)
            memcpy(gate, b, v->width * n->item);
        else
            n->kernels->act_forward[op->activation](1, v->width, b, gate, v->width, op->alpha);
        n->kernels->multiply(1, v->width, gate, a, y, v->width);
    }
}

/* da = dy f(b), db = dy a f'(b) */
static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    const int from_input = grc_saves_of(op->activation) == GRC_SAVES_INPUT;
    for (size_t r = row; x->delta[op->in] && r < row + rows; r++) {
        const void *a = grc_row(x, x->value, op->in, r), *b = grc_at(n, a, v->width);
        const void *gate = grc_at(n, x->saved[op->index], r * v->ld), *d = grc_row(x, x->delta, op->out, r);
        void *da = grc_row(x, x->delta, op->in, r), *db = grc_at(n, da, v->width);
        n->kernels->multiply(1, v->width, gate, d, da, v->width);
        n->kernels->multiply(1, v->width, a, d, db, v->width);
        if (op->activation != GRC_ACT_identity)
            n->kernels->act_backward[op->activation](1, v->width, from_input ? b : gate, db, v->width, op->alpha);
    }
}

const grc_op_class grc_op_glu = {
    .describe = &describe, .forward = &forward, .backward = &backward, .saves = &saves, .delta = GRC_DELTA_OWN};
