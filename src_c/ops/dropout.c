/* Inverted dropout: in training y = x m with m = 1 / (1 - rate) or 0; otherwise y = x. The mask depends on
 * seed, op, step and element alone (rng.h). */
#include <string.h>

#include "../internal.h"

static grc_status describe(grc_builder *b)
{
    const double rate = b->layer->rate;
    if (!(rate >= 0 && rate < 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].rate: expected a number in [0, 1), got %g",
                        b->name, rate);
    grc_add_op(b, &grc_op_dropout, grc_value_width(b))->rate = rate;
    return GRADCORE_OK;
}

static size_t saves(const grc_op *op, const grc_exec *x) /* the mask */
{
    return op->rate > 0 ? x->capacity * x->net->values[op->out].ld : 0;
}

static void forward(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[op->out];
    const void *in = grc_row(x, x->value, op->in, row);
    void *out = grc_row(x, x->value, op->out, row);
    if (!x->training || op->rate == 0) {
        memcpy(out, in, ((rows - 1) * v->ld + v->width) * x->net->item);
        return;
    }
    void *mask = grc_at(x->net, x->saved[op->index], row * v->ld);
    const uint32_t keep = (uint32_t)((1 - op->rate) * 4294967296.0 - 0.5); /* 1 - rate, to 2^-32 */
    x->net->kernels->dropout_mask(rows, v->width, v->ld, row, x->seed, (uint32_t)op->index, x->step, keep,
                                  1 / (1 - op->rate), mask);
    x->net->kernels->multiply(rows, v->width, in, mask, out, v->ld);
}

static void backward(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[op->out];
    void *d = grc_row(x, x->delta, op->out, row);
    if (x->training && op->rate > 0)
        x->net->kernels->multiply(rows, v->width, d, grc_at(x->net, x->saved[op->index], row * v->ld), d,
                                  v->ld);
}

const grc_op_class grc_op_dropout = {.describe = &describe, .forward = &forward, .backward = &backward,
                                     .saves = &saves, .delta = GRC_DELTA_SHARED};
