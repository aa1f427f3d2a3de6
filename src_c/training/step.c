/* A training step, the recipe: every thread of a team calls it, and what is shared is written by its owner only.
 *
 *   rows:      load, forward, loss, backward of the thread's own rows of the batch      | barrier
 *   gradients: dW = X^T dZ and db of the thread's own part of every matrix              | barrier
 *   update:    clip, optimize, constrain, average, refresh, of the same part            | barrier
 */
#include "gradient_surgery.h"
#include "losses.h"
#include "rows.h"
#include "rules.h"
#include "step.h"

/* The thread's own rows of the batch, up to the deltas that gradients are made of. */
static void pass_rows(slice *s, grc_team *team, int64_t first, int t, int count)
{
    const grc_share share = grc_share_of(s, t, count);
    const int by_function = s->trainer->loss_function != NULL;
    grc_weigh_rows(s, first, share.begin, share.end, t);
    for (size_t row = share.begin; grc_is_block(&share, row); row += share.step) {
        grc_load_block(s, first, &share, row);
        grc_forward_block(s, team, &share, row, t, count);
        if (by_function)
            continue; /* it sees the whole batch, and backward waits for it */
        grc_loss_of_block(s, first, &share, row);
        grc_backward_block(s, team, &share, row, t, count);
        grc_clip_block(s, first, &share, row);
        grc_reduce_block(s, &share, row);
    }
    if (!by_function)
        return;
    grc_loss_of_batch(s, team, first, t);
    for (size_t row = share.begin; !grc_is_over(s) && grc_is_block(&share, row); row += share.step) {
        grc_backward_block(s, team, &share, row, t, count);
        grc_clip_block(s, first, &share, row);
        grc_reduce_block(s, &share, row);
    }
}

/* Gradients of the batch that begins at position `first`, and their norms; ends with a barrier. */
static void make_gradients(slice *s, grc_team *team, int64_t first, int t, int count)
{
    pass_rows(s, team, first, t, count);
    grc_barrier(team);
    if (grc_is_over(s))
        return;
    grc_reduce(s->trainer->plan, t, count);
    grc_barrier(team);
}

/* The same, the heads' gradients being apart, or reconciled, where the trainer does that. */
static void take_gradients(slice *s, grc_team *team, int64_t first, int by_head, int t, int count)
{
    if (by_head || grc_projects(s->trainer))
        grc_project_conflicts(s, team, &make_gradients, first, t, count);
    else
        make_gradients(s, team, first, t, count);
}

/* The gradients at a point up the slope instead, of the same batch under the same masks. */
static void take_sharpness_aware(slice *s, grc_team *team, const grc_counts *counts, grc_step *step, int t, int count)
{
    gradcore_trainer *trainer = s->trainer;
    grc_sam_climb(trainer, team, step->hypers[GRADCORE_AVERAGE + trainer->sam - 1], step->rows, t, count);
    take_gradients(s, team, step->first, counts->waiting.by_head, t, count);
    grc_sam_return(trainer, team, t, count);
    grc_measure_climb(s, step);
}

static void update(slice *s, grc_team *team, grc_counts *counts, grc_step *step, int t, int count)
{
    gradcore_trainer *trainer = s->trainer;
    const double *h = step->hypers;
    grc_clip_gradients(trainer, team, h, t, count);
    if (step->update == 1)
        grc_start_averages(trainer, t, count);
    grc_driver d = grc_drive_step(trainer, counts, step);
    step->verdict = grc_optimize(&d, trainer, team, h, step->norm, t, count);
    if (step->verdict == GRC_SKIPPED)
        return;
    grc_constrain_update(&d, trainer, team, h[GRADCORE_CLIP], t, count);
    grc_average_weights(trainer, team, step->update, h, t, count);
    grc_advance(&d, counts->running);
    grc_refresh_weights(&trainer->plan->view, team, t, count);
    grc_learn(trainer, step->climbed, step->rows, t, count);
}

enum grc_outcome grc_take_step(slice *s, grc_team *team, grc_counts *counts, int64_t i, int t, int count)
{
    grc_step step = grc_begin_step(s, counts, i);
    GRC_ASSERT(step.rows > 0 && step.rows <= s->trainer->plan->view.capacity);
    take_gradients(s, team, step.first, counts->waiting.by_head, t, count);
    if (grc_is_over(s))
        return GRC_BROKEN_OFF;
    grc_measure_step(s, &step, i, t);
    if (step.climbed)
        take_sharpness_aware(s, team, counts, &step, t, count);
    if (grc_is_over(s))
        return GRC_BROKEN_OFF;
    grc_accumulate_step(s, team, counts, &step, t, count);
    grc_find_scale(s, team, counts, &step, t);
    if (grc_is_to_update(s, &step))
        update(s, team, counts, &step, t, count);
    const enum grc_outcome outcome = grc_count_step(s, counts, &step);
    if (t == 0)
        grc_report_step(s, &step, i);
    return outcome;
}
