/* Residual block: "residual" forks the running value, "end" joins: output = block(input) + input. */
#include <string.h>

#include "../internal.h"

static grc_status describe_fork(grc_builder *b)
{
    grc_add_op(b, &grc_op_fork, grc_value_width(b));
    return GRADCORE_OK;
}

static void forward_fork(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    (void)op, (void)x, (void)row, (void)rows; /* the branch reads the same buffer */
}

/* The deltas of the two ways meet: the block's, already in this buffer, and the skip's. */
static void backward_fork(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    int join = op->index + 1;
    while (n->ops[join].fork != op->index)
        join++;
    const int out = n->ops[join].out;
    n->kernels->add(rows, n->values[op->in].width, grc_row(x, x->delta, out, row), n->values[out].ld,
                    grc_row(x, x->delta, op->in, row), n->values[op->in].ld);
}

static grc_status describe_join(grc_builder *b)
{
    const int fork = b->open_fork[b->depth];
    const size_t width = b->net->values[b->net->ops[fork].in].width;
    if (grc_value_width(b) != width)
        return grc_fail(b->error, GRADCORE_SHAPE,
                        "layers[%s]: expected the residual block to keep its input's width %zu, got %zu",
                        b->name, width, grc_value_width(b));
    grc_op *op = grc_add_op(b, &grc_op_join, width);
    op->fork = fork;
    return GRADCORE_OK;
}

static void forward_join(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    const int skip = n->ops[op->fork].in;
    void *out = grc_row(x, x->value, op->out, row);
    memcpy(out, grc_row(x, x->value, op->in, row), ((rows - 1) * v->ld + v->width) * n->item);
    n->kernels->add(rows, v->width, grc_row(x, x->value, skip, row), n->values[skip].ld, out, v->ld);
}

static void backward_join(const grc_op *op, grc_exec *x, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[op->out];
    if (x->delta[op->in])
        memcpy(grc_row(x, x->delta, op->in, row), grc_row(x, x->delta, op->out, row),
               ((rows - 1) * v->ld + grc_panels(x->net, v->width) * x->net->kernels->panel) * x->net->item);
}

const grc_op_class grc_op_fork = {.describe = &describe_fork, .forward = &forward_fork,
                                  .backward = &backward_fork, .delta = GRC_DELTA_SHARED, .shares_value = 1};
const grc_op_class grc_op_join = {.describe = &describe_join, .forward = &forward_join,
                                  .backward = &backward_join, .delta = GRC_DELTA_OWN};
