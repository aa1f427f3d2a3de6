/* Inverted dropout: in training y = x m with m = 1 / (1 - rate) or 0; otherwise y = x. Alpha dropout sets what it
 * drops to the limit of selu at -infinity, then restores mean and variance: y = a x + b or a limit + b. The mask
 * depends on seed, op, step and element alone (rng.h). */
#include <math.h>
#include <string.h>

#include "ops.h"

typedef struct dropout {
    double rate; /* unless the step's rates say otherwise */
} dropout;

static grc_status describe(grc_builder *b, const grc_op_class *class)
{
    const double rate = b->layer->rate;
    if (!(rate >= 0 && rate < 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].rate: expected a number in [0, 1), got %g", b->name,
                        rate);
    grc_op *op = grc_add_op(b, class, grc_value_width(b));
    dropout *own = op->own;
    own->rate = rate;
    grc_schedule_op(b, op);
    return GRADCORE_OK;
}

static grc_status describe_plain(grc_builder *b)
{
    return describe(b, &grc_op_dropout);
}

static grc_status describe_alpha(grc_builder *b)
{
    return describe(b, &grc_op_alpha_dropout);
}

static size_t saves(const grc_op *op, const grc_view *x) /* the mask */
{
    const dropout *own = op->own;
    return own->rate > 0 || op->scheduled ? x->capacity * x->net->values[op->out].ld : 0;
}

/* Element-wise keep mask of the rows, scaled; or NULL where nothing is dropped, and then out is in. */
static void *draw(const grc_op *op, grc_view *x, size_t row, size_t rows, double rate, double scale)
{
    const grc_value *v = &x->net->values[op->out];
    if (!x->training || rate == 0) {
        memcpy(grc_row(x, x->value, op->out, row), grc_row(x, x->value, op->in, row),
               ((rows - 1) * v->ld + v->width) * x->net->item);
        return NULL;
    }
    void *mask = grc_at(x->net, x->saved[op->index], row * v->ld);
    const uint32_t keep = (uint32_t)((1 - rate) * 4294967296.0 - 0.5); /* 1 - rate, to 2^-32 */
    x->net->kernels->dropout_mask(rows, v->width, v->ld, row, x->seed, (uint32_t)op->index, x->step, keep, scale, mask);
    return mask;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const dropout *own = op->own;
    const grc_value *v = &x->net->values[op->out];
    const double rate = grc_rate_of(op, &x->rates, x->step, own->rate);
    const void *mask = draw(op, x, row, rows, rate, 1 / (1 - rate));
    if (mask)
        x->net->kernels->multiply(rows, v->width, grc_row(x, x->value, op->in, row), mask,
                                  grc_row(x, x->value, op->out, row), v->ld);
}

static void forward_alpha(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const dropout *own = op->own;
    const double limit = -1.7580993408473766; /* of selu: its scale times its alpha, as PyTorch has it */
    const double rate = grc_rate_of(op, &x->rates, x->step, own->rate);
    const double a = 1 / sqrt((1 - rate) * (1 + rate * limit * limit)), b = -a * limit * rate;
    const grc_value *v = &x->net->values[op->out];
    const void *mask = draw(op, x, row, rows, rate, a);
    if (mask)
        x->net->kernels->alpha_dropout(rows, v->width, grc_row(x, x->value, op->in, row), mask, b, a * limit + b,
                                       grc_row(x, x->value, op->out, row), v->ld);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const dropout *own = op->own;
    const grc_value *v = &x->net->values[op->out];
    void *d = grc_row(x, x->delta, op->out, row);
    if (x->training && grc_rate_of(op, &x->rates, x->step, own->rate) > 0)
        x->net->kernels->multiply(rows, v->width, d, grc_at(x->net, x->saved[op->index], row * v->ld), d, v->ld);
}

const grc_op_class grc_op_dropout = {.describe = &describe_plain,
                                     .forward = &forward,
                                     .backward = &backward,
                                     .saves = &saves,
                                     .delta = GRC_DELTA_SHARED,
                                     .rate_is_share = 1,
                                     .own_size = sizeof(dropout)};
const grc_op_class grc_op_alpha_dropout = {.describe = &describe_alpha,
                                           .forward = &forward_alpha,
                                           .backward = &backward,
                                           .saves = &saves,
                                           .delta = GRC_DELTA_SHARED,
                                           .rate_is_share = 1,
                                           .own_size = sizeof(dropout)};
