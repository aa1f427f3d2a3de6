/* One step, as a recipe. Every thread of a team calls these; what is shared is written by its owner only.
 *
 *   rows:      load, forward, loss, backward of the thread's own rows of the batch      | barrier
 *   gradients: dW = X^T dZ and db of the thread's own part of every matrix              | barrier
 *   update:    clip, decay, moments, weights and their transposed copies, same part     | barrier
 */
#include <math.h>
#include <string.h>

#include "../internal.h"

void grc_place_input(grc_exec *x, const void *rows, size_t ld)
{
    const gradcore_network *n = x->net;
    for (int v = 0; v < n->value_count; v++)
        if (n->values[v].buffer == 0)
            x->value[v] = rows ? (void *)rows : x->input;
    x->input_ld = rows ? ld : n->values[0].ld;
}

void grc_load_rows(grc_exec *x, size_t row, size_t rows, const void *from, size_t stride)
{
    const gradcore_network *n = x->net;
    const size_t bytes = n->values[0].width * n->item;
    for (size_t r = 0; r < rows; r++)
        memcpy(grc_row(x, x->value, 0, row + r), grc_at(n, from, r * stride), bytes);
}

void grc_forward(grc_exec *x, size_t row, size_t rows)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (!grc_stands_still(x, op))
            op->class->forward(op, x, row, rows);
    }
}

/* Splitting by rows, every thread reads all weights, and every update has to take them back from the other
 * cores' caches; splitting by columns, the layer's input crosses instead, between two barriers. */
static int splits_columns(const grc_exec *x, const grc_op *op, int count)
{
    const size_t panels = op->class->forward_columns ? grc_panels(x->net, op->fan_out) : 0;
    return count > 1 && panels >= (size_t)count && panels % (size_t)count == 0 && op->fan_out >= 2 * x->rows
           && op->fan_in * op->fan_out >= 4096;
}

void grc_forward_team(grc_exec *x, grc_team *team, size_t row, size_t rows, int t, int count)
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
            const size_t mine = grc_panels(x->net, op->fan_out) / (size_t)count;
            grc_barrier(team);
            op->class->forward_columns(op, x, (size_t)t * mine, mine);
            grc_barrier(team);
        } else if (rows > 0) {
            op->class->forward(op, x, row, rows);
        }
    }
}

void grc_backward(grc_exec *x, size_t row, size_t rows)
{
    for (int i = x->net->op_count - 1; i >= 0; i--) {
        const grc_op *op = &x->net->ops[i];
        if (x->delta[op->out] && !grc_stands_still(x, op))
            op->class->backward(op, x, row, rows);
    }
}

void grc_backward_team(grc_exec *x, grc_team *team, size_t row, size_t rows, int t, int count)
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

/* ---- gradients ---- */

/* Rows of a matrix whose gradient is made at a time: two chunks, one block of gemm. */
#define GRC_BLOCK_ROWS (2 * GRC_CHUNK_ROWS)

/* Element (row, 0) of panel `panel` of a parameter whose first element is at `base`. */
static void *part_of(const gradcore_network *n, const grc_parameter *p, void *base, size_t row, size_t panel)
{
    return grc_at(n, base, (panel * grc_stored_rows(p) + row) * n->kernels->panel);
}

/* A chunk's gradient is there: its penalty on top if it has none yet, then its sum of squares. */
static void finish_chunk(grc_exec *x, const grc_parameter *p, size_t chunk, size_t row, size_t panel,
                         size_t size, int penalize)
{
    const gradcore_network *n = x->net;
    if (penalize && x->chunk_penalty && !x->only)
        x->chunk_penalty[chunk] = grc_penalize(x, p, row, panel, size);
    const void *gradient = part_of(n, p, grc_at(n, x->grad, p->offset), row, panel);
    x->chunk_norm[chunk] = n->kernels->sum_squares(size, gradient);
    if (x->limit < (double)INFINITY)
        n->kernels->beyond(size, x->limit, gradient, x->chunk_beyond[chunk]);
}

/* The region's chunks: whole ones, since regions are cut between them. */
static void finish_chunks(grc_exec *x, int index, grc_region r, int penalize)
{
    const gradcore_network *n = x->net;
    const grc_parameter *p = &n->parameters[index];
    const size_t pw = n->kernels->panel, first = x->chunk_first[index];
    const size_t chunks = (grc_stored_rows(p) + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    if (p->ndim == 1) {
        finish_chunk(x, p, first, 0, 0, p->cols, penalize);
        return;
    }
    for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
        for (size_t i = r.row; i < r.row + r.rows; i += GRC_CHUNK_ROWS) {
            const size_t rows = grc_min(GRC_CHUNK_ROWS, r.row + r.rows - i);
            finish_chunk(x, p, first + panel * chunks + i / GRC_CHUNK_ROWS, i, panel, rows * pw, penalize);
        }
}

static void finish(grc_exec *x, const grc_parameter *p, grc_region r)
{
    const grc_op *op = &x->net->ops[p->op];
    if (op->class->finish)
        op->class->finish(op, x, p, r, grc_at(x->net, x->grad, p->offset));
}

void grc_chunk_norms(grc_exec *x, int index, grc_region r)
{
    finish_chunks(x, index, r, 0);
}

void grc_penalized_norms(grc_exec *x, int index, grc_region r)
{
    finish_chunks(x, index, r, 1);
}

/* Blocks of KC rows, folded in order, as the products are. */
static void vector_gradient(grc_exec *x, int index, grc_region r, int t)
{
    const gradcore_network *n = x->net;
    const grc_parameter *p = &n->parameters[index];
    const grc_op *op = &n->ops[p->op];
    void *sum = grc_at(n, x->grad, p->offset), *block = grc_at(n, x->scratch, (size_t)t * x->widest);
    for (size_t row = 0; row < x->rows; row += GRC_KC) {
        op->class->gradient(op, x, p, r, row, grc_min(GRC_KC, x->rows - row), row ? block : sum);
        if (row)
            n->kernels->accumulate(r.panels * n->kernels->panel, block, sum);
    }
}

void grc_gradients(grc_exec *x, int t, int count)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region mine = grc_own(n, i, t, count);
        if (!p->trainable || !mine.panels || grc_stands_still(x, &n->ops[p->op]))
            continue;
        if (p->ndim == 1) {
            vector_gradient(x, i, mine, t);
            finish_chunks(x, i, mine, 1);
            continue;
        }
        for (size_t done = 0; done < mine.rows; done += GRC_BLOCK_ROWS) {
            grc_region part = mine;
            part.row = mine.row + done;
            part.rows = grc_min(GRC_BLOCK_ROWS, mine.rows - done);
            n->ops[p->op].class->gradient(&n->ops[p->op], x, p, part, 0, x->rows, grc_at(n, x->grad, p->offset));
            finish(x, p, part);
            finish_chunks(x, i, part, 1);
        }
    }
}

void grc_gradients_of_rows(grc_exec *x, size_t row, size_t rows, void *out)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_op *op = &n->ops[p->op];
        if (p->trainable && !grc_stands_still(x, op))
            op->class->gradient(op, x, p, grc_own(n, i, 0, 1), row, rows, grc_at(n, out, p->offset));
    }
}

/* `size` elements of x->grad from `offset` = the same of partial 0 + partial 1 + ..., in order. */
static void fold(grc_exec *x, size_t blocks, size_t offset, size_t size)
{
    const gradcore_network *n = x->net;
    void *sum = grc_at(n, x->grad, offset);
    memcpy(sum, grc_at(n, x->partial, offset), size * n->item);
    for (size_t b = 1; b < blocks; b++)
        n->kernels->accumulate(size, grc_at(n, x->partial, b * n->vector + offset), sum);
}

void grc_fold_partials(grc_exec *x, size_t blocks, int t, int count)
{
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region mine = grc_own(n, i, t, count);
        if (!p->trainable || !mine.rows || grc_stands_still(x, &n->ops[p->op]))
            continue;
        for (size_t panel = mine.panel; panel < mine.panel + mine.panels; panel++)
            fold(x, blocks, p->offset + (panel * grc_stored_rows(p) + mine.row) * pw, mine.rows * pw);
        finish(x, p, mine);
        finish_chunks(x, i, mine, 1);
    }
}

/* ---- the rest ---- */

void grc_refresh(grc_exec *x, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->refresh)
            op->class->refresh(op, x, t, count);
    }
}

void grc_derive(gradcore_network *n, enum grc_news news, int t, int count)
{
    for (int i = 0; i < n->op_count; i++)
        if (n->ops[i].class->derive)
            n->ops[i].class->derive(&n->ops[i], n, news, t, count);
}

void grc_derive_update(grc_exec *x, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->derive && !grc_is_held(x, op))
            op->class->derive(op, x->net, GRC_NEW_UPDATE, t, count);
    }
}

void grc_settle(grc_exec *x, size_t rows, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (op->class->settle && !grc_is_held(x, op) && i % count == t)
            op->class->settle(op, x, rows);
    }
}

double grc_weighted_sum(size_t n, const double *weight, const double *x)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += weight[i + (size_t)j] * x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += weight[i] * x[i];
    return grc_fold_lanes(lane);
}

double grc_sum(size_t n, const double *x)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += x[i];
    return grc_fold_lanes(lane);
}
