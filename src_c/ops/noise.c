/* Gaussian noise: in training y = x + std n, n standard normal; otherwise y = x. The noise depends on seed, op,
 * step and element alone (rng.h). */
#include "ops.h"

typedef struct noise {
    double std; /* unless the step's rates say otherwise */
} noise;

static grc_status describe(grc_builder *b)
{
    const double std = b->layer->std;
    if (!(std >= 0 && std <= 1e30))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].std: expected a number from 0 to 1e30, got %g", b->name,
                        std);
    grc_op *op = grc_add_op(b, &grc_op_gaussian_noise, grc_value_width(b));
    noise *own = op->own;
    own->std = std;
    grc_schedule_op(b, op);
    return GRADCORE_OK;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const noise *own = op->own;
    const grc_value *v = &x->net->values[op->out];
    const void *in = grc_row(x, x->value, op->in, row);
    void *out = grc_row(x, x->value, op->out, row);
    const double std = grc_rate_of(op, &x->rates, x->step, own->std);
    if (x->training && std > 0)
        x->net->kernels->gaussian_noise(rows, v->width, v->ld, row, x->seed, (uint32_t)op->index, x->step, std, in,
                                        out);
    else
        memcpy(out, in, ((rows - 1) * v->ld + v->width) * x->net->item);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    (void)op, (void)x, (void)row, (void)rows; /* the derivative is 1 */
}

const grc_op_class grc_op_gaussian_noise = {.describe = &describe,
                                            .forward = &forward,
                                            .backward = &backward,
                                            .delta = GRC_DELTA_SHARED,
                                            .own_size = sizeof(noise)};
