/* One step, as a recipe. Every thread of a team calls these; what is shared is written by its owner only.
 *
 *   rows:      load, forward, loss, backward of the thread's own rows of the batch      | barrier
 *   gradients: dW = X^T dZ and db of the thread's own part of every matrix              | barrier
 *   update:    clip, decay, moments, weights and their transposed copies, same part     | barrier
 */
#include <string.h>

#include "internal.h"

void grc_place_input(grc_exec *x, const void *rows, size_t ld)
{
    const gradcore_network *n = x->net;
    for (int v = 0; v < n->value_count; v++)
        if (n->values[v].buffer == 0)
            x->value[v] = rows ? (void *)rows : x->input;
    x->input_ld = rows ? ld : n->values[0].ld;
}

void grc_load_rows(grc_exec *x, size_t row, size_t rows, const void *from, size_t stride, const int64_t *order)
{
    const gradcore_network *n = x->net;
    const size_t bytes = n->values[0].width * n->item;
    for (size_t r = 0; r < rows; r++) {
        const size_t source = order ? (size_t)order[r] : r;
        memcpy(grc_row(x, x->value, 0, row + r), (const char *)from + source * stride * n->item, bytes);
    }
}

void grc_forward(grc_exec *x, size_t row, size_t rows)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        op->class->forward(op, x, row, rows);
    }
}

/* Splitting by rows, every thread reads all weights, and every update has to take them back from the other
 * cores' caches; splitting by columns, the layer's input crosses instead, between two barriers. */
static int splits_columns(const grc_exec *x, const grc_op *op, int count)
{
    const size_t panels = op->class == &grc_op_dense ? grc_panels(x->net, op->fan_out) : 0;
    return count > 1 && panels >= (size_t)count && panels % (size_t)count == 0 && op->fan_out >= 2 * x->rows
           && op->fan_in * op->fan_out >= 32768;
}

void grc_forward_team(grc_exec *x, grc_team *team, size_t row, size_t rows, int t, int count)
{
    for (int i = 0; i < x->net->op_count; i++) {
        const grc_op *op = &x->net->ops[i];
        if (splits_columns(x, op, count)) {
            const size_t mine = grc_panels(x->net, op->fan_out) / (size_t)count;
            grc_barrier(team);
            grc_dense_forward(op, x, 0, x->rows, (size_t)t * mine, mine);
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
        if (x->delta[op->out])
            op->class->backward(op, x, row, rows);
    }
}

/* ---- gradients ---- */

/* Rows of a weight matrix whose gradient is made at a time: two chunks, one block of gemm. */
#define GRC_BLOCK_ROWS (2 * GRC_CHUNK_ROWS)

/* Columns past fan_in of rows that the product took from whole panels of activations: no weights. */
static void clear_padding(const gradcore_network *n, const grc_op *op, grc_region r, void *panels)
{
    const size_t pw = n->kernels->panel, used = op->fan_in % pw;
    if (used && (r.panel + r.panels) * pw > op->fan_in)
        for (size_t i = 0; i < r.rows; i++)
            memset(grc_at(n, panels, ((r.panels - 1) * op->fan_out + i) * pw + used), 0, (pw - used) * n->item);
}

/* dW of region r from batch rows [row, row + rows) into `out`, a parameter vector: X^T dZ, or its transpose
 * dZ^T X where that is what the vector holds. */
static void weight_gradient(const grc_exec *x, const grc_op *op, grc_region r, size_t row, size_t rows,
                            void *out)
{
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, down = grc_weight_rows(op);
    const void *value = grc_input(x, op, row), *delta = grc_row(x, x->delta, op->out, row);
    const size_t ld_value = grc_input_ld(x, op), ld_delta = n->values[op->out].ld;
    void *c = grc_at(n, out, op->weight + (r.panel * down + r.row) * pw);
    const grc_gemm g = {.m = r.rows,
                        .n = r.panels * pw,
                        .k = rows,
                        .a = grc_at(n, op->narrow ? delta : value, r.row),
                        .a_row = 1,
                        .a_col = (ptrdiff_t)(op->narrow ? ld_delta : ld_value),
                        .b = grc_at(n, op->narrow ? value : delta, r.panel * pw),
                        .b_row = (ptrdiff_t)(op->narrow ? ld_value : ld_delta),
                        .b_panel = (ptrdiff_t)pw,
                        .c = c,
                        .c_row = (ptrdiff_t)pw,
                        .c_panel = (ptrdiff_t)(down * pw),
                        .init = NULL};
    n->kernels->gemm(&g);
    if (op->narrow)
        clear_padding(n, op, r, c);
}

/* Sums of squares of the region's chunks: whole ones, since regions are cut between them. */
static void weight_norms(grc_exec *x, const grc_op *op, grc_region r)
{
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel, first = x->chunk_first[op->first_parameter];
    const size_t down = grc_weight_rows(op), chunks = (down + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    for (size_t p = r.panel; p < r.panel + r.panels; p++)
        for (size_t i = r.row; i < r.row + r.rows; i += GRC_CHUNK_ROWS) {
            const size_t rows = grc_min(GRC_CHUNK_ROWS, r.row + r.rows - i);
            x->chunk_norm[first + p * chunks + i / GRC_CHUNK_ROWS] =
                n->kernels->sum_squares(rows * pw, grc_at(n, x->grad, op->weight + (p * down + i) * pw));
        }
}

static void bias_norm(grc_exec *x, const grc_op *op)
{
    const gradcore_network *n = x->net;
    x->chunk_norm[x->chunk_first[op->first_parameter + 1]] =
        n->kernels->sum_squares(op->fan_out, grc_at(n, x->grad, op->bias));
}

/* db: column sums by blocks of KC rows, folded in order, as the products are. */
static void bias_gradient(grc_exec *x, const grc_op *op, int t)
{
    const gradcore_network *n = x->net;
    const size_t ld = n->values[op->out].ld, width = grc_panels(n, op->fan_out) * n->kernels->panel;
    void *sum = grc_at(n, x->grad, op->bias), *block = grc_at(n, x->scratch, (size_t)t * x->widest);
    for (size_t row = 0; row < x->rows; row += GRC_KC) {
        const size_t rows = grc_min(GRC_KC, x->rows - row);
        n->kernels->column_sums(rows, width, grc_row(x, x->delta, op->out, row), ld, row ? block : sum);
        if (row)
            n->kernels->accumulate(width, block, sum);
    }
}

void grc_gradients(grc_exec *x, int t, int count)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_dense)
            continue;
        const grc_region mine = grc_weight_region(n, op, t, count);
        for (size_t done = 0; done < mine.rows && mine.panels; done += GRC_BLOCK_ROWS) {
            grc_region part = mine;
            part.row = mine.row + done;
            part.rows = grc_min(GRC_BLOCK_ROWS, mine.rows - done);
            weight_gradient(x, op, part, 0, x->rows, x->grad);
            weight_norms(x, op, part);
        }
        if (op->has_bias && i % count == t) {
            bias_gradient(x, op, t);
            bias_norm(x, op);
        }
    }
}

void grc_gradients_of_rows(grc_exec *x, size_t row, size_t rows, void *out)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_dense)
            continue;
        const grc_region all = {0, grc_weight_rows(op), 0, grc_weight_panels(n, op)};
        weight_gradient(x, op, all, row, rows, out);
        if (op->has_bias)
            n->kernels->column_sums(rows, grc_panels(n, op->fan_out) * n->kernels->panel, grc_row(x, x->delta, op->out, row),
                                    n->values[op->out].ld, grc_at(n, out, op->bias));
    }
}

/* elements [offset, offset + size) of x->grad = the same of partial 0 + partial 1 + ..., in order. */
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
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_dense)
            continue;
        const grc_region mine = grc_weight_region(n, op, t, count);
        for (size_t p = mine.panel; mine.rows && p < mine.panel + mine.panels; p++)
            fold(x, blocks, op->weight + (p * grc_weight_rows(op) + mine.row) * pw, mine.rows * pw);
        weight_norms(x, op, mine);
        if (op->has_bias && i % count == t) {
            fold(x, blocks, op->bias, grc_panels(n, op->fan_out) * pw);
            bias_norm(x, op);
        }
    }
}

/* ---- the rest ---- */

void grc_transpose_weights(grc_exec *x, int t, int count)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_dense || op->narrow || !x->delta[op->in])
            continue;
        const grc_region mine = grc_weight_region(n, op, t, count);
        if (mine.rows && mine.panels)
            n->kernels->transpose(op->fan_in, op->fan_out, grc_at(n, n->w, op->weight), mine.row, mine.rows,
                                  mine.panel, mine.panels, grc_at(n, x->transposed, op->transposed));
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
