/* Forward and backward over the ops, and what ops make of the parameters and learn of a batch. */
#include <string.h>

#include "forward_backward.h"

void grc_place_input(grc_plan *plan, const void *rows, size_t ld)
{
    const gradcore_network *n = plan->view.net;
    for (int v = 0; v < n->value_count; v++)
        if (n->values[v].buffer == 0)
            plan->view.value[v] = rows ? (void *)rows : plan->input;
    plan->view.input_ld = rows ? ld : n->values[0].ld;
}

void grc_load_rows(grc_view *x, size_t row, size_t rows, const void *from, size_t stride)
{
    const gradcore_network *n = x->net;
    const size_t bytes = n->values[0].width * n->item;
    for (size_t r = 0; r < rows; r++)
        memcpy(grc_row(x, x->value, 0, row + r), grc_at(n, from, r * stride), bytes);
}

void grc_forward(grc_view *x, size_t row, size_t rows)
{
    GRC_ASSERT(rows > 0 && row + rows <= x->capacity);
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (!grc_stands_still(x, op))
            op->class->forward(op, x, row, rows);
    }
}

/* Splitting by rows, every thread reads all weights, and every update has to take them back from the other
 * cores' caches; splitting by columns, the layer's input crosses instead, between two barriers. */
static int splits_columns(const grc_view *x, const grc_op *op, int count)
{
    const size_t in = x->net->values[op->in].width, out = x->net->values[op->out].width;
    const size_t panels = op->class->forward_columns ? grc_panels(x->net, out) : 0;
    return count > 1 && panels >= (size_t)count && panels % (size_t)count == 0 && out >= 2 * x->rows
           && in * out >= 4096;
}

void grc_forward_team(grc_view *x, grc_team *team, size_t row, size_t rows, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (grc_stands_still(x, op))
            continue;
        if (op->class->meet_forward) {
            grc_barrier(team);
            op->class->meet_forward(op, x, t, count);
            grc_barrier(team);
        }
        if (splits_columns(x, op, count)) {
            const size_t mine = grc_panels(x->net, x->net->values[op->out].width) / (size_t)count;
            grc_barrier(team);
            op->class->forward_columns(op, x, (size_t)t * mine, mine);
            grc_barrier(team);
        } else if (rows > 0) {
            op->class->forward(op, x, row, rows);
        }
    }
}

void grc_backward(grc_view *x, size_t row, size_t rows)
{
    GRC_ASSERT(rows > 0 && row + rows <= x->capacity);
    for (int i = x->net->op_count - 1; i >= 0; i--) {
        const grc_op *op = &x->net->ops[i];
        if (x->delta[op->out] && !grc_stands_still(x, op))
            op->class->backward(op, x, row, rows);
    }
}

void grc_backward_team(grc_view *x, grc_team *team, size_t row, size_t rows, int t, int count)
{
    for (int i = x->net->op_count - 1; i >= 0; i--) {
        const grc_op *op = &x->net->ops[i];
        if (!x->delta[op->out] || grc_stands_still(x, op))
            continue;
        if (op->class->meet_backward) {
            grc_barrier(team);
            op->class->meet_backward(op, x, t, count);
            grc_barrier(team);
        }
        if (rows > 0)
            op->class->backward(op, x, row, rows);
    }
}

void grc_refresh(grc_view *x, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->refresh)
            op->class->refresh(op, x, t, count);
    }
}

void grc_derive_update(grc_view *x, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->derive && !grc_is_held(x, op))
            op->class->derive(op, x->net, GRC_NEW_UPDATE, t, count);
    }
}

void grc_refresh_weights(grc_view *x, grc_team *team, int t, int count)
{
    if (x->net->derives) {
        grc_barrier(team);
        grc_derive_update(x, t, count);
    }
    grc_refresh(x, t, count);
}

void grc_settle(grc_view *x, size_t rows, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->settle && !grc_is_held(x, op) && i % count == t)
            op->class->settle(op, x, rows);
    }
}
