/* BatchNorm: y = (x - mean) / sqrt(variance + eps) gamma + beta, column by column. In training, mean and
 * variance are those of the batch, and threads meet to make them; otherwise, for a batch of one row, and where the
 * op is held, they are running averages, which a training step that is applied brings up to date. */
#include <float.h>

#include "ops.h"

/* Offsets in the parameter vector. */
typedef struct batch_norm {
    double eps, momentum;
    int has_scale, has_shift;
    int cumulative; /* running averages weigh all batches alike */
    size_t gamma, beta, running_mean, running_variance, batches;
} batch_norm;

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    const size_t width = grc_value_width(b);
    const uint32_t known = GRADCORE_LAYER_NO_SCALE | GRADCORE_LAYER_NO_SHIFT | GRADCORE_LAYER_CUMULATIVE;
    if (l->flags & ~known)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    if (!(l->momentum >= 0 && l->momentum <= 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].momentum: expected a number from 0 to 1, got %g",
                        b->name, l->momentum);
    if (l->eps != 0 && !(l->eps >= GRC_LEAST_EPS && l->eps <= 1))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].eps: expected a number from %g to 1, got %g", b->name,
                        GRC_LEAST_EPS, l->eps);
    grc_op *op = grc_add_op(b, &grc_op_batch_norm, width);
    batch_norm *own = op->own;
    own->eps = l->eps != 0 ? l->eps : 1e-5;
    own->momentum = l->momentum != 0 ? l->momentum : 0.1;
    own->cumulative = (l->flags & GRADCORE_LAYER_CUMULATIVE) != 0;
    own->has_scale = !(l->flags & GRADCORE_LAYER_NO_SCALE);
    own->has_shift = !(l->flags & GRADCORE_LAYER_NO_SHIFT);
    if (own->has_scale && (own->gamma = grc_add_vector(b, op, "gamma", 1, 1, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->has_shift && (own->beta = grc_add_vector(b, op, "beta", 1, 0, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if ((own->running_mean = grc_add_vector(b, op, "running_mean", 0, 0, width)) == SIZE_MAX
        || (own->running_variance = grc_add_vector(b, op, "running_var", 0, 1, width)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->cumulative && (own->batches = grc_add_vector(b, op, "batches", 0, 0, 1)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    return GRADCORE_OK;
}

/* ---- what a pass keeps: four rows of doubles ---- */

enum { MEAN, VARIANCE, SUM, PRODUCT, KEPT };

static size_t saves(const grc_op *op, const grc_view *x)
{
    return KEPT * x->net->values[op->out].ld * (sizeof(double) / x->net->item);
}

static double *kept(const grc_op *op, const grc_view *x, int which)
{
    return (double *)x->saved[op->index] + (size_t)which * x->net->values[op->out].ld;
}

/* Frozen, it normalises by its running averages in training too, as in Keras: what stands still is the function. */
static int uses_batch(const grc_op *op, const grc_view *x)
{
    return x->training && x->rows > 1 && !grc_is_held(x, op);
}

/* Of columns [first, first + cols). */
static grc_batch arguments(const grc_op *op, const grc_view *x, size_t rows, size_t first, size_t cols)
{
    const batch_norm *own = op->own;
    const gradcore_network *n = x->net;
    const int batch = uses_batch(op, x);
    return (grc_batch){.rows = rows,
                       .cols = cols,
                       .ld = n->values[op->out].ld,
                       .eps = own->eps,
                       .mean = batch ? kept(op, x, MEAN) + first : NULL,
                       .variance = batch ? kept(op, x, VARIANCE) + first : NULL,
                       .running_mean = grc_at(n, n->w, own->running_mean + first),
                       .running_variance = grc_at(n, n->w, own->running_variance + first),
                       .gamma = own->has_scale ? grc_at(n, n->w, own->gamma + first) : NULL,
                       .beta = own->has_shift ? grc_at(n, n->w, own->beta + first) : NULL};
}

/* The columns of thread t: whole panels. */
static size_t own_columns(const grc_op *op, const grc_view *x, int t, int count, size_t *first)
{
    size_t last;
    grc_rows_of(x->net->values[op->out].width, x->net->kernels->panel, t, count, first, &last);
    return last - *first;
}

/* ---- the pass ---- */

static void meet_forward(const grc_op *op, grc_view *x, int t, int count)
{
    size_t first;
    const size_t cols = own_columns(op, x, t, count, &first);
    if (uses_batch(op, x) && cols)
        x->net->kernels->batch_moments(x->rows, cols, grc_at(x->net, grc_row(x, x->value, op->in, 0), first),
                                       x->net->values[op->in].ld, kept(op, x, MEAN) + first,
                                       kept(op, x, VARIANCE) + first);
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_batch g = arguments(op, x, rows, 0, x->net->values[op->out].width);
    x->net->kernels->batch_forward(&g, grc_row(x, x->value, op->in, row), grc_row(x, x->value, op->out, row));
}

static void meet_backward(const grc_op *op, grc_view *x, int t, int count)
{
    size_t first;
    const size_t cols = own_columns(op, x, t, count, &first);
    const grc_batch g = arguments(op, x, x->rows, first, cols);
    if (cols)
        x->net->kernels->batch_sums(&g, grc_at(x->net, grc_row(x, x->delta, op->out, 0), first),
                                    grc_at(x->net, grc_row(x, x->value, op->in, 0), first), kept(op, x, SUM) + first,
                                    kept(op, x, PRODUCT) + first);
}

static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_batch g = arguments(op, x, rows, 0, x->net->values[op->out].width);
    if (x->delta[op->in])
        x->net->kernels->batch_backward(&g, grc_row(x, x->delta, op->out, row), grc_row(x, x->value, op->in, row),
                                        uses_batch(op, x) ? kept(op, x, SUM) : NULL, kept(op, x, PRODUCT), x->rows,
                                        grc_row(x, x->delta, op->in, row));
}

/* The sums of meet_backward are the gradients: all of it counts as that of the first row. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const batch_norm *own = op->own;
    const gradcore_network *n = x->net;
    const double *sum = kept(op, x, own->has_scale && p->offset == own->gamma ? PRODUCT : SUM);
    (void)rows;
    memset(out, 0, r.panels * GRC_PANEL_BYTES);
    for (size_t j = 0; row == 0 && j < p->cols; j++)
        grc_set(n, out, j, sum[j]);
}

/* ---- running averages ---- */

static void settle(const grc_op *op, grc_view *x, size_t batch)
{
    const batch_norm *own = op->own;
    const gradcore_network *n = x->net;
    const double *mean = kept(op, x, MEAN), *variance = kept(op, x, VARIANCE);
    const double rows = (double)batch, largest = n->dtype == GRC_F32 ? (double)FLT_MAX : DBL_MAX;
    double share = own->momentum;
    if (batch < 2)
        return;
    if (own->cumulative) {
        const double batches = grc_get(n, n->w, own->batches) + 1;
        grc_set(n, n->w, own->batches, batches);
        share = 1 / batches;
    }
    for (size_t j = 0; j < n->values[op->out].width; j++) {
        const double unbiased = variance[j] * (rows / (rows - 1));
        const double old_mean = grc_get(n, n->w, own->running_mean + j);
        const double old = grc_get(n, n->w, own->running_variance + j);
        const double next = (1 - share) * old + share * unbiased;
        grc_set(n, n->w, own->running_mean + j, (1 - share) * old_mean + share * mean[j]);
        grc_set(n, n->w, own->running_variance + j, next > largest ? largest : next);
    }
}

const grc_op_class grc_op_batch_norm = {.describe = &describe,
                                        .forward = &forward,
                                        .backward = &backward,
                                        .meet_forward = &meet_forward,
                                        .meet_backward = &meet_backward,
                                        .gradient = &gradient,
                                        .settle = &settle,
                                        .saves = &saves,
                                        .delta = GRC_DELTA_OWN,
                                        .own_size = sizeof(batch_norm)};
