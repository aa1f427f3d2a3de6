/* Gradients of the parameters: every thread's own part of each, with penalties and norms by chunks. */
#include <math.h>
#include <string.h>

#include "gradients.h"

/* Rows of a matrix whose gradient is made at a time: two chunks, one block of gemm. */
#define GRC_BLOCK_ROWS (2 * GRC_CHUNK_ROWS)

/* Element (row, 0) of panel `panel` of a parameter whose first element is at `base`. */
static void *part_of(const gradcore_network *n, const grc_parameter *p, void *base, size_t row, size_t panel)
{
    return grc_at(n, base, (panel * grc_stored_rows(p) + row) * n->kernels->panel);
}

static int has_magnitude(const grc_op *op) /* it is the first of its parameters */
{
    return op->class->rescaling && op->class->rescaling->bound_norms;
}

/* The penalty of a chunk, whose gradient is added: with what a parameter of a rescaled weight's adds to its own. */
static double penalize(const grc_plan *plan, const grc_parameter *p, size_t row, size_t panel, size_t size)
{
    const gradcore_network *n = plan->view.net;
    const grc_op *op = &n->ops[p->op];
    const grc_rates *rates = &plan->view.rates;
    const uint64_t step = plan->view.step;
    if (has_magnitude(op) && p == &n->parameters[op->first_parameter]) {
        const double *strength = grc_strength_of(&n->parameters[op[-1].first_parameter], rates, step);
        if (strength[0] != 0 || strength[1] != 0)
            op->class->rescaling->penalize(op, n, p, strength, row, panel, size, plan->grad);
    }
    return grc_penalize_chunk(n, p, grc_strength_of(p, rates, step), row, panel, size, plan->grad);
}

/* A chunk's gradient is there: its penalty on top if it has none yet, then its sum of squares. */
static void finish_chunk(grc_plan *plan, const grc_parameter *p, size_t chunk, size_t row, size_t panel, size_t size,
                         int penalized)
{
    const gradcore_network *n = plan->view.net;
    GRC_ASSERT(chunk < plan->chunk_first[n->parameter_count]);
    if (penalized && plan->chunk_penalty && !plan->view.only)
        plan->chunk_penalty[chunk] = n->penalized ? penalize(plan, p, row, panel, size) : 0;
    const void *gradient = part_of(n, p, grc_at(n, plan->grad, p->offset), row, panel);
    plan->chunk_norm[chunk] = n->kernels->sum_squares(size, gradient);
    if (plan->limit < (double)INFINITY)
        n->kernels->beyond(size, plan->limit, gradient, plan->chunk_beyond[chunk]);
}

/* The region's chunks: whole ones, since regions are cut between them. */
static void finish_chunks(grc_plan *plan, int index, grc_region r, int penalized)
{
    const gradcore_network *n = plan->view.net;
    const grc_parameter *p = &n->parameters[index];
    const size_t pw = n->kernels->panel, first = plan->chunk_first[index];
    const size_t chunks = (grc_stored_rows(p) + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    if (p->ndim == 1) {
        finish_chunk(plan, p, first, 0, 0, p->cols, penalized);
        return;
    }
    for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
        for (size_t i = r.row; i < r.row + r.rows; i += GRC_CHUNK_ROWS) {
            const size_t rows = grc_min(GRC_CHUNK_ROWS, r.row + r.rows - i);
            finish_chunk(plan, p, first + panel * chunks + i / GRC_CHUNK_ROWS, i, panel, rows * pw, penalized);
        }
}

static void finish(grc_plan *plan, const grc_parameter *p, grc_region r)
{
    const grc_op *op = &plan->view.net->ops[p->op];
    if (op->class->finish)
        op->class->finish(op, &plan->view, p, r, grc_at(plan->view.net, plan->grad, p->offset));
}

void grc_norms_of_gradient(grc_plan *plan, int penalized, int t, int count)
{
    for (int i = 0; i < plan->view.net->parameter_count; i++) {
        const grc_region mine = grc_own(plan->view.net, i, t, count);
        if (plan->view.net->parameters[i].trainable && mine.rows)
            finish_chunks(plan, i, mine, penalized);
    }
}

/* Blocks of KC rows, folded in order, as the products are. */
static void vector_gradient(grc_plan *plan, int index, grc_region r, int t)
{
    const gradcore_network *n = plan->view.net;
    const grc_parameter *p = &n->parameters[index];
    const grc_op *op = &n->ops[p->op];
    void *sum = grc_at(n, plan->grad, p->offset), *block = grc_at(n, plan->scratch, (size_t)t * plan->widest);
    for (size_t row = 0; row < plan->view.rows; row += GRC_KC) {
        op->class->gradient(op, &plan->view, p, r, row, grc_min(GRC_KC, plan->view.rows - row), row ? block : sum);
        if (row)
            n->kernels->accumulate(r.panels * n->kernels->panel, block, sum);
    }
}

void grc_gradients(grc_plan *plan, int t, int count)
{
    const gradcore_network *n = plan->view.net;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_op *op = &n->ops[p->op];
        const grc_region mine = grc_own(n, i, t, count);
        if (!p->trainable || !mine.panels || grc_stands_still(&plan->view, op))
            continue;
        if (p->ndim == 1) {
            vector_gradient(plan, i, mine, t);
            finish_chunks(plan, i, mine, 1);
            continue;
        }
        for (size_t done = 0; done < mine.rows; done += GRC_BLOCK_ROWS) {
            grc_region part = mine;
            part.row = mine.row + done;
            part.rows = grc_min(GRC_BLOCK_ROWS, mine.rows - done);
            op->class->gradient(op, &plan->view, p, part, 0, plan->view.rows, grc_at(n, plan->grad, p->offset));
            finish(plan, p, part);
            finish_chunks(plan, i, part, 1);
        }
    }
}

void grc_gradients_of_rows(grc_view *x, size_t row, size_t rows, void *out)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_op *op = &n->ops[p->op];
        if (p->trainable && !grc_stands_still(x, op))
            op->class->gradient(op, x, p, grc_own(n, i, 0, 1), row, rows, grc_at(n, out, p->offset));
    }
}

/* `size` elements of plan->grad from `offset` = the same of partial 0 + partial 1 + ..., in order. */
static void fold(grc_plan *plan, size_t blocks, size_t offset, size_t size)
{
    const gradcore_network *n = plan->view.net;
    GRC_ASSERT(plan->partial && blocks > 0 && offset + size <= n->vector);
    void *sum = grc_at(n, plan->grad, offset);
    memcpy(sum, grc_at(n, plan->partial, offset), size * n->item);
    for (size_t b = 1; b < blocks; b++)
        n->kernels->accumulate(size, grc_at(n, plan->partial, b * n->vector + offset), sum);
}

static void fold_partials(grc_plan *plan, size_t blocks, int t, int count)
{
    const gradcore_network *n = plan->view.net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region mine = grc_own(n, i, t, count);
        if (!p->trainable || !mine.rows || grc_stands_still(&plan->view, &n->ops[p->op]))
            continue;
        for (size_t panel = mine.panel; panel < mine.panel + mine.panels; panel++)
            fold(plan, blocks, p->offset + (panel * grc_stored_rows(p) + mine.row) * pw, mine.rows * pw);
        finish(plan, p, mine);
        finish_chunks(plan, i, mine, 1);
    }
}

void grc_reduce(grc_plan *plan, int t, int count)
{
    if (grc_uses_partials(plan))
        fold_partials(plan, (plan->view.rows + GRC_KC - 1) / GRC_KC, t, count);
    else
        grc_gradients(plan, t, count);
}
