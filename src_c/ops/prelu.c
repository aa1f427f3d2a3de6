/* PReLU: y = x > 0 ? x : alpha x, alpha learned: one number, or one a column. */
#include <math.h>
#include <string.h>

#include "ops.h"

typedef struct prelu {
    size_t slope; /* offset in the parameter vector */
    int shared;   /* one slope for all columns */
} prelu;

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    const size_t width = grc_value_width(b);
    const double initial = isnan(l->alpha) ? 0.25 : l->alpha;
    if (!(fabs(initial) <= 1e6))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].alpha: expected a number from -1e6 to 1e6, got %g",
                        b->name, l->alpha);
    if (l->units != 0 && l->units != 1)
        return grc_fail(b->error, GRADCORE_SHAPE,
                        "layers[%s].units: expected 1 (one slope) or 0 (one a column), "
                        "got %lld",
                        b->name, (long long)l->units);
    grc_op *op = grc_add_op(b, &grc_op_prelu, width);
    prelu *own = op->own;
    own->slope = grc_add_vector(b, op, "alpha", 1, initial, l->units ? 1 : width);
    own->shared = (size_t)l->units; /* 1: shared */
    return own->slope == SIZE_MAX ? GRADCORE_NO_MEMORY : GRADCORE_OK;
}

static size_t saves(const grc_op *op, const grc_view *x) /* delta out times min(x, 0) */
{
    return x->capacity * x->net->values[op->out].ld;
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const prelu *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    n->kernels->prelu_forward(rows, v->width, grc_row(x, x->value, op->in, row), grc_at(n, n->w, own->slope),
                              own->shared == 1, grc_row(x, x->value, op->out, row), v->ld);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const prelu *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    n->kernels->prelu_backward(rows, v->width, grc_row(x, x->value, op->in, row), grc_at(n, n->w, own->slope),
                               own->shared == 1, grc_row(x, x->delta, op->out, row),
                               grc_at(n, x->saved[op->index], row * v->ld), v->ld);
}

/* Column sums of what backward left; a shared slope adds them in order, in double. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const prelu *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    const void *terms = grc_at(n, x->saved[op->index], row * v->ld);
    (void)r;
    if (own->shared != 1) {
        n->kernels->column_sums(rows, v->width, terms, v->ld, out);
        grc_zero_tail(n, p, out);
        return;
    }
    double total = 0, sums[64];
    for (size_t c = 0; c < v->width; c += 64) {
        const size_t cols = grc_min(64, v->width - c);
        n->kernels->column_sums(rows, cols, grc_at(n, terms, c), v->ld, sums);
        for (size_t j = 0; j < cols; j++)
            total += n->dtype == GRC_F32 ? (double)((float *)sums)[j] : sums[j];
    }
    if (n->dtype == GRC_F32)
        *(float *)out = (float)total;
    else
        *(double *)out = total;
    grc_zero_tail(n, p, out);
}

const grc_op_class grc_op_prelu = {.describe = &describe,
                                   .forward = &forward,
                                   .backward = &backward,
                                   .gradient = &gradient,
                                   .saves = &saves,
                                   .delta = GRC_DELTA_SHARED,
                                   .own_size = sizeof(prelu)};
