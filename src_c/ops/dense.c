/* Dense: y = f(x W + b), x (rows, fan_in), W (fan_in, fan_out) as packed panels, y (rows, fan_out). */
#include <string.h>

#include "ops.h"

static grc_status describe(grc_builder *b)
{
    const gradcore_layer *l = b->layer;
    const size_t fan_in = grc_value_width(b);
    if (l->units < 1 || l->units > INT32_MAX)
        return grc_fail(b->error, GRADCORE_SHAPE, "layers[%s].units: expected 1 to 2147483647, got %lld", b->name,
                        (long long)l->units);
    if (l->flags & ~(uint32_t)(GRADCORE_LAYER_NO_BIAS | GRADCORE_LAYER_RESCALED))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    grc_op *op = grc_add_op(b, &grc_op_dense, (size_t)l->units);
    grc_dense *own = op->own;
    const grc_status status = grc_set_activation(b, l->activation, l->alpha, op);
    if (status != GRADCORE_OK)
        return status;
    own->fan_in = fan_in;
    own->fan_out = (size_t)l->units;
    own->has_bias = !(l->flags & GRADCORE_LAYER_NO_BIAS);
    op->rescaled = (l->flags & GRADCORE_LAYER_RESCALED) != 0;
    own->narrow = !op->rescaled && own->fan_out * GRC_NARROW <= b->net->kernels->panel;
    op->any_ld = !own->narrow; /* weight gradients of narrow layers read whole panels of rows */
    if (op->rescaled && (own->has_bias || op->activation != GRC_ACT_identity))
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers[%s]: expected no bias and no activation where the output is rescaled", b->name);
    own->weight = grc_add_matrix(b, op, "weight", own->narrow, fan_in, own->fan_out);
    if (own->weight == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->has_bias && (own->bias = grc_add_vector(b, op, "bias", 1, 0, own->fan_out)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (!own->narrow)
        own->transposed = grc_add_transposed(b, fan_in, own->fan_out);
    return GRADCORE_OK;
}

static size_t saves(const grc_op *op, const grc_view *x)
{
    const int pre = grc_saves_of(op->activation) == GRC_SAVES_INPUT;
    return pre ? x->capacity * x->net->values[op->out].ld : 0;
}

/* Rows [row, row + rows) of the output, of it panels [panel, panel + panels). */
static void forward_part(const grc_op *op, grc_view *x, size_t row, size_t rows, size_t panel, size_t panels)
{
    const grc_dense *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, column = panel * pw, width = panels * pw;
    const size_t ld_in = grc_input_ld(x, op), ld_out = n->values[op->out].ld;
    void *y = grc_at(n, grc_row(x, x->value, op->out, row), column);
    void *z = x->saved[op->index] ? grc_at(n, x->saved[op->index], row * ld_out + column) : y;
    const void *in = grc_input(x, op, row);
    const void *bias = own->has_bias ? grc_at(n, n->w, own->bias + column) : NULL;
    const grc_gemm g = {.m = rows,
                        .n = width,
                        .k = own->fan_in,
                        .a = in,
                        .a_row = (ptrdiff_t)ld_in,
                        .a_col = 1,
                        .b = grc_at(n, n->w, own->weight + column * own->fan_in),
                        .b_row = (ptrdiff_t)pw,
                        .b_panel = (ptrdiff_t)(pw * own->fan_in),
                        .c = z,
                        .c_row = (ptrdiff_t)ld_out,
                        .c_panel = (ptrdiff_t)pw,
                        .init = bias};
    if (own->narrow)
        n->kernels->narrow(rows, own->fan_in, own->fan_out, in, ld_in, grc_at(n, n->w, own->weight), bias, z, ld_out);
    else
        n->kernels->gemm(&g);
    if (op->activation != GRC_ACT_identity)
        n->kernels->act_forward[op->activation](rows, width, z, y, ld_out, op->alpha);
}

static void forward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_dense *own = op->own;
    forward_part(op, x, row, rows, 0, grc_panels(x->net, own->fan_out));
}

static void forward_columns(const grc_op *op, grc_view *x, size_t panel, size_t panels)
{
    forward_part(op, x, 0, x->rows, panel, panels);
}

/* delta out becomes the delta of the pre-activation, in place; delta in = that times W transposed. */
static void backward(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const grc_dense *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, width = grc_panels(n, own->fan_out) * pw;
    const size_t ld_in = n->values[op->in].ld, ld_out = n->values[op->out].ld;
    void *d = grc_row(x, x->delta, op->out, row);
    if (op->activation != GRC_ACT_identity) {
        const void *kept = grc_saves_of(op->activation) == GRC_SAVES_INPUT
                               ? grc_at(n, x->saved[op->index], row * ld_out)
                               : grc_row(x, x->value, op->out, row);
        n->kernels->act_backward[op->activation](rows, width, kept, d, ld_out, op->alpha);
    }
    if (!x->delta[op->in])
        return;
    const grc_gemm g = {.m = rows,
                        .n = grc_panels(n, own->fan_in) * pw,
                        .k = own->fan_out,
                        .a = d,
                        .a_row = (ptrdiff_t)ld_out,
                        .a_col = 1,
                        .b = own->narrow ? grc_at(n, n->w, own->weight) : grc_at(n, x->transposed, own->transposed),
                        .b_row = (ptrdiff_t)pw,
                        .b_panel = (ptrdiff_t)(pw * own->fan_out),
                        .c = grc_row(x, x->delta, op->in, row),
                        .c_row = (ptrdiff_t)ld_in,
                        .c_panel = (ptrdiff_t)pw,
                        .init = NULL};
    n->kernels->gemm(&g);
}

/* Columns past fan_in of rows that the product took from whole panels of activations: no weights. */
static void clear_padding(const gradcore_network *n, const grc_op *op, grc_region r, void *panels)
{
    const grc_dense *own = op->own;
    const size_t pw = n->kernels->panel, used = own->fan_in % pw;
    if (used && (r.panel + r.panels) * pw > own->fan_in)
        for (size_t i = 0; i < r.rows; i++)
            memset(grc_at(n, panels, ((r.panels - 1) * own->fan_out + i) * pw + used), 0, (pw - used) * n->item);
}

/* dW = X^T dZ, or its transpose dZ^T X where that is what the vector holds; db = column sums of dZ. */
static void gradient(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                     void *out)
{
    const grc_dense *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, down = grc_stored_rows(p);
    const void *value = grc_input(x, op, row), *delta = grc_row(x, x->delta, op->out, row);
    const size_t ld_value = grc_input_ld(x, op), ld_delta = n->values[op->out].ld;
    if (p->ndim == 1) {
        n->kernels->column_sums(rows, r.panels * pw, delta, ld_delta, out);
        return;
    }
    void *c = grc_at(n, out, (r.panel * down + r.row) * pw);
    const grc_gemm g = {.m = r.rows,
                        .n = r.panels * pw,
                        .k = rows,
                        .a = grc_at(n, own->narrow ? delta : value, r.row),
                        .a_row = 1,
                        .a_col = (ptrdiff_t)(own->narrow ? ld_delta : ld_value),
                        .b = grc_at(n, own->narrow ? value : delta, r.panel * pw),
                        .b_row = (ptrdiff_t)(own->narrow ? ld_value : ld_delta),
                        .b_panel = (ptrdiff_t)pw,
                        .c = c,
                        .c_row = (ptrdiff_t)pw,
                        .c_panel = (ptrdiff_t)(down * pw),
                        .init = NULL};
    n->kernels->gemm(&g);
    if (own->narrow)
        clear_padding(n, op, r, c);
}

static void finish(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, void *out)
{
    const grc_op *next = &x->net->ops[op->index + 1];
    if (op->rescaled && p->ndim == 2)
        next->class->rescaling->correct(next, x, r, out);
}

/* The transposed copy of what thread t owns of the weights. */
static void refresh(const grc_op *op, grc_view *x, int t, int count)
{
    const grc_dense *own = op->own;
    const gradcore_network *n = x->net;
    if (own->narrow || !x->delta[op->in])
        return;
    const grc_region mine = grc_region_of(own->fan_in, grc_panels(n, own->fan_out), t, count);
    if (mine.rows && mine.panels)
        n->kernels->transpose(own->fan_in, own->fan_out, grc_at(n, n->w, own->weight), mine.row, mine.rows, mine.panel,
                              mine.panels, grc_at(n, x->transposed, own->transposed));
}

const grc_op_class grc_op_dense = {.describe = &describe,
                                   .forward = &forward,
                                   .backward = &backward,
                                   .forward_columns = &forward_columns,
                                   .gradient = &gradient,
                                   .finish = &finish,
                                   .refresh = &refresh,
                                   .saves = &saves,
                                   .delta = GRC_DELTA_OWN,
                                   .any_ld = 1,
                                   .own_size = sizeof(grc_dense)};
