/* Residual block: "residual" forks the running value, "end" joins: output = gain block(input) + input P, where
 * gain is a learned number (1 without), and P a learned projection (the identity without). */
#include <string.h>

#include "ops.h"

typedef struct join {
    int fork; /* index of the op that it closes */
    int projects, has_gain;
    size_t projection, gain; /* offsets in the parameter vector */
    size_t transposed;       /* offset of the projection's transposed panels */
} join;

static grc_status describe_fork(grc_builder *b)
{
    grc_add_op(b, &grc_op_fork, grc_value_width(b));
    return GRADCORE_OK;
}

static void forward_fork(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    (void)op, (void)x, (void)row, (void)rows; /* the branch reads the same buffer */
}

static const grc_op *join_of(const grc_op *fork)
{
    for (const grc_op *op = fork + 1;; op++) {
        const join *own = op->own;
        if (op->class == &grc_op_join && own->fork == fork->index)
            return op;
    }
}

/* The deltas of the two ways meet: the block's, already in this buffer, and the skip's. */
static void backward_fork(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const gradcore_network *n = x->net;
    const grc_op *end = join_of(op);
    const join *own = end->own;
    const grc_value *in = &n->values[op->in], *out = &n->values[end->out];
    const void *skip = grc_row(x, x->delta, end->out, row);
    if (own->projects) {
        const size_t pw = n->kernels->panel;
        void *way = grc_at(n, x->saved[end->index], row * in->ld);
        const grc_gemm g = {.m = rows,
                            .n = grc_panels(n, in->width) * pw,
                            .k = out->width,
                            .a = skip,
                            .a_row = (ptrdiff_t)out->ld,
                            .a_col = 1,
                            .b = grc_at(n, x->transposed, own->transposed),
                            .b_row = (ptrdiff_t)pw,
                            .b_panel = (ptrdiff_t)(pw * out->width),
                            .c = way,
                            .c_row = (ptrdiff_t)in->ld,
                            .c_panel = (ptrdiff_t)pw,
                            .init = NULL};
        n->kernels->gemm(&g);
        skip = way;
    }
    n->kernels->add(rows, in->width, skip, own->projects ? in->ld : out->ld, grc_row(x, x->delta, op->in, row), in->ld);
}

static grc_status describe_join(grc_builder *b)
{
    gradcore_network *n = b->net;
    const gradcore_layer *l = b->layer;
    const uint32_t known = GRADCORE_LAYER_PROJECTION | GRADCORE_LAYER_GAIN;
    const int fork = b->open_fork[b->depth];
    const size_t width = n->values[n->ops[fork].in].width, out = grc_value_width(b);
    if (l->flags & ~known)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].flags: expected known bits, got 0x%x", b->name,
                        l->flags);
    if (out != width && !(l->flags & GRADCORE_LAYER_PROJECTION))
        return grc_fail(b->error, GRADCORE_SHAPE,
                        "layers[%s]: expected the residual block to keep its input's width %zu, got %zu", b->name,
                        width, out);
    if ((l->flags & GRADCORE_LAYER_GAIN) && !(l->initial >= -1e30 && l->initial <= 1e30))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].initial: expected a number from -1e30 to 1e30, got %g",
                        b->name, l->initial);
    grc_op *op = grc_add_op(b, &grc_op_join, out);
    join *own = op->own;
    own->fork = fork;
    own->projects = (l->flags & GRADCORE_LAYER_PROJECTION) != 0;
    own->has_gain = (l->flags & GRADCORE_LAYER_GAIN) != 0;
    if (own->projects && (own->projection = grc_add_matrix(b, op, "projection", 0, width, out)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->has_gain && (own->gain = grc_add_vector(b, op, "gain", 1, l->initial, 1)) == SIZE_MAX)
        return GRADCORE_NO_MEMORY;
    if (own->projects)
        own->transposed = grc_add_transposed(b, width, out);
    return GRADCORE_OK;
}

static size_t saves_join(const grc_op *op, const grc_view *x) /* the skip's delta on its way through P */
{
    const join *own = op->own;
    return own->projects ? x->capacity * x->net->values[x->net->ops[own->fork].in].ld : 0;
}

static void forward_join(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const join *own = op->own;
    const gradcore_network *n = x->net;
    const int skip = n->ops[own->fork].in;
    const grc_value *v = &n->values[op->out], *from = &n->values[skip];
    const void *block = grc_row(x, x->value, op->in, row);
    void *out = grc_row(x, x->value, op->out, row);
    if (own->projects) {
        const size_t pw = n->kernels->panel;
        const grc_gemm g = {.m = rows,
                            .n = grc_panels(n, v->width) * pw,
                            .k = from->width,
                            .a = grc_row(x, x->value, skip, row),
                            .a_row = (ptrdiff_t)from->ld,
                            .a_col = 1,
                            .b = grc_at(n, n->w, own->projection),
                            .b_row = (ptrdiff_t)pw,
                            .b_panel = (ptrdiff_t)(pw * from->width),
                            .c = out,
                            .c_row = (ptrdiff_t)v->ld,
                            .c_panel = (ptrdiff_t)pw,
                            .init = NULL};
        n->kernels->gemm(&g);
    } else {
        memcpy(out, own->has_gain ? grc_row(x, x->value, skip, row) : block, ((rows - 1) * v->ld + v->width) * n->item);
    }
    if (own->has_gain)
        n->kernels->scale_add(rows, v->width, grc_get(n, n->w, own->gain), block, v->ld, out, v->ld);
    else if (own->projects)
        n->kernels->add(rows, v->width, block, v->ld, out, v->ld);
    else
        n->kernels->add(rows, v->width, grc_row(x, x->value, skip, row), from->ld, out, v->ld);
}

static void backward_join(const grc_op *op, grc_view *x, size_t row, size_t rows)
{
    const join *own = op->own;
    const gradcore_network *n = x->net;
    const grc_value *v = &n->values[op->out];
    const void *d = grc_row(x, x->delta, op->out, row);
    if (!x->delta[op->in])
        return;
    void *to = grc_row(x, x->delta, op->in, row);
    const size_t size = ((rows - 1) * v->ld + grc_panels(n, v->width) * n->kernels->panel) * n->item;
    if (own->has_gain) {
        memset(to, 0, size);
        n->kernels->scale_add(rows, v->width, grc_get(n, n->w, own->gain), d, v->ld, to, v->ld);
    } else {
        memcpy(to, d, size);
    }
}

/* dP = input^T delta; dgain = the sum of delta times the block's output, row after row in double. */
static void gradient_join(const grc_op *op, grc_view *x, const grc_parameter *p, grc_region r, size_t row, size_t rows,
                          void *out)
{
    const join *own = op->own;
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    const int skip = n->ops[own->fork].in;
    const grc_value *v = &n->values[op->out], *from = &n->values[skip];
    if (p->ndim == 1) {
        double sum = 0;
        for (size_t i = row; i < row + rows; i++)
            sum += n->kernels->dot(v->width, grc_row(x, x->delta, op->out, i), grc_row(x, x->value, op->in, i));
        grc_set(n, out, 0, sum);
        grc_zero_tail(n, p, out);
        return;
    }
    const grc_gemm g = {.m = r.rows,
                        .n = r.panels * pw,
                        .k = rows,
                        .a = grc_at(n, grc_row(x, x->value, skip, row), r.row),
                        .a_row = 1,
                        .a_col = (ptrdiff_t)from->ld,
                        .b = grc_at(n, grc_row(x, x->delta, op->out, row), r.panel * pw),
                        .b_row = (ptrdiff_t)v->ld,
                        .b_panel = (ptrdiff_t)pw,
                        .c = grc_at(n, out, (r.panel * p->rows + r.row) * pw),
                        .c_row = (ptrdiff_t)pw,
                        .c_panel = (ptrdiff_t)(p->rows * pw),
                        .init = NULL};
    n->kernels->gemm(&g);
}

static void refresh_join(const grc_op *op, grc_view *x, int t, int count)
{
    const join *own = op->own;
    const gradcore_network *n = x->net;
    const int skip = n->ops[own->fork].in;
    if (!own->projects || !x->delta[skip])
        return;
    const size_t rows = n->values[skip].width, cols = n->values[op->out].width;
    const grc_region mine = grc_region_of(rows, grc_panels(n, cols), t, count);
    if (mine.rows && mine.panels)
        n->kernels->transpose(rows, cols, grc_at(n, n->w, own->projection), mine.row, mine.rows, mine.panel,
                              mine.panels, grc_at(n, x->transposed, own->transposed));
}

const grc_op_class grc_op_fork = {.describe = &describe_fork,
                                  .forward = &forward_fork,
                                  .backward = &backward_fork,
                                  .delta = GRC_DELTA_SHARED,
                                  .shares_value = 1};
const grc_op_class grc_op_join = {.describe = &describe_join,
                                  .forward = &forward_join,
                                  .backward = &backward_join,
                                  .gradient = &gradient_join,
                                  .refresh = &refresh_join,
                                  .saves = &saves_join,
                                  .delta = GRC_DELTA_OWN,
                                  .own_size = sizeof(join)};
