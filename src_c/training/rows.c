/* The rows of a batch, block by block. */
#include <math.h>
#include <string.h>

#include "checks.h"
#include "losses.h"
#include "rows.h"
#include "rules.h"

/* Are the inputs used where they lie? Not where rows a power of two apart would meet in the same cache sets:
 * the network's own buffer has another leading dimension. */
static int is_in_place(const slice *s)
{
    const gradcore_network *n = s->trainer->net;
    return !s->order && n->reads_in_place
           && ((size_t)s->data->x_stride * n->item % 1024 != 0 || n->values[0].width * n->item < 1024);
}

/* Rows of the data as they lie, from position `at` on. */
static const void *rows_at(const slice *s, int64_t at)
{
    return (const char *)s->data->x + (size_t)(at * s->data->x_stride) * s->trainer->net->item;
}

void grc_prepare_step(slice *s, int64_t i, uint64_t step)
{
    grc_plan *plan = s->trainer->plan;
    const int64_t first = grc_batch_of(s, i);
    grc_turn *turn = &s->turns[i % 2];
    memcpy(turn->hypers, s->hypers + i * GRADCORE_HYPERS, sizeof turn->hypers);
    turn->failed = s->update ? grc_check_step(s->trainer, turn->hypers, s->error) : GRADCORE_OK;
    plan->view.rows = (size_t)(s->end - first < s->batch ? s->end - first : s->batch);
    plan->view.step = step;
    plan->limit = s->update ? grc_clip_value(s->trainer, turn->hypers) : (double)INFINITY;
    if (is_in_place(s))
        grc_place_input(plan, rows_at(s, first), (size_t)s->data->x_stride);
}

grc_share grc_share_of(const slice *s, int t, int count)
{
    const grc_plan *plan = s->trainer->plan;
    const int blocks = grc_uses_partials(plan);
    grc_share share;
    grc_rows_of(plan->view.rows, blocks ? GRC_KC : 1, t, count, &share.begin, &share.end);
    share.whole = plan->view.net->meets || (!blocks && plan->view.rows <= (size_t)count * GRC_KC);
    share.step = share.whole ? grc_max(share.end - share.begin, 1) : GRC_KC;
    return share;
}

static size_t rows_of(const grc_share *share, size_t row)
{
    return grc_min(share->step, share->end - row);
}

static void load_inputs(slice *s, int64_t first, size_t row, size_t rows)
{
    grc_view *x = &s->trainer->plan->view;
    const size_t bytes = x->net->values[0].width * x->net->item;
    for (size_t r = row; r < row + rows; r++)
        memcpy(grc_row(x, x->value, 0, r), rows_at(s, grc_row_at(s, first + (int64_t)r)), bytes);
}

void grc_load_block(slice *s, int64_t first, const grc_share *share, size_t row)
{
    if (!is_in_place(s))
        load_inputs(s, first, row, rows_of(share, row));
    if (!s->trainer->loss_function)
        grc_load_targets(s, first, row, rows_of(share, row));
}

void grc_forward_block(slice *s, grc_team *team, const grc_share *share, size_t row, int t, int count)
{
    grc_view *x = &s->trainer->plan->view;
    if (share->whole)
        grc_forward_team(x, team, row, rows_of(share, row), t, count);
    else
        grc_forward(x, row, rows_of(share, row));
}

void grc_loss_of_block(slice *s, int64_t first, const grc_share *share, size_t row)
{
    if (row < share->end)
        grc_compute_losses(s, first, row, rows_of(share, row));
}

void grc_loss_of_batch(slice *s, grc_team *team, int64_t first, int t)
{
    grc_barrier(team);
    if (t == 0 && !grc_is_over(s))
        s->failed = grc_call_loss_function(s, first);
    grc_barrier(team);
}

void grc_backward_block(slice *s, grc_team *team, const grc_share *share, size_t row, int t, int count)
{
    grc_view *x = &s->trainer->plan->view;
    if (share->whole)
        grc_backward_team(x, team, row, rows_of(share, row), t, count);
    else
        grc_backward(x, row, rows_of(share, row));
}

void grc_clip_block(slice *s, int64_t first, const grc_share *share, size_t row)
{
    if (s->update && row < share->end)
        grc_clip_rows(s->trainer, grc_hypers_of(s, first), row, rows_of(share, row));
}

void grc_reduce_block(slice *s, const grc_share *share, size_t row)
{
    const grc_plan *plan = s->trainer->plan;
    const size_t end = row + rows_of(share, row);
    for (; grc_uses_partials(plan) && row < end; row += GRC_KC)
        grc_gradients_of_rows(&s->trainer->plan->view, row, grc_min(GRC_KC, end - row),
                              grc_at(plan->view.net, plan->partial, row / GRC_KC * plan->view.net->vector));
}
