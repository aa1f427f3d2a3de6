/* The numbers of a step: what is decided from, what is counted, what is reported. */
#include <math.h>

#include "../base/sums.h"
#include "gradient_surgery.h"
#include "losses.h"
#include "rules.h"
#include "step.h"

/* Sum of squares of all gradients. */
static double norm_of_gradient(const gradcore_trainer *trainer)
{
    const grc_plan *plan = trainer->plan;
    return sqrt(grc_sum(plan->chunk_first[trainer->net->parameter_count], plan->chunk_norm));
}

grc_step grc_begin_step(const slice *s, grc_counts *counts, int64_t i)
{
    const uint64_t parts = grc_accumulated(s->trainer);
    if (counts->updates % parts == 0)
        counts->waiting.by_head = s->by_head;
    return (grc_step){.first = grc_batch_of(s, i),
                      .hypers = s->turns[i % 2].hypers,
                      .rows = s->trainer->plan->view.rows,
                      .update = counts->updates / parts + 1,
                      .scale = 1,
                      .verdict = GRC_SKIPPED};
}

void grc_measure_step(const slice *s, grc_step *step, int64_t i, int t)
{
    const gradcore_trainer *trainer = s->trainer;
    const grc_plan *plan = trainer->plan;
    step->norm = norm_of_gradient(trainer);
    step->loss = trainer->loss_function ? s->own_loss : grc_batch_loss(trainer, step->rows);
    if (trainer->net->penalized)
        step->loss += grc_sum(plan->chunk_first[trainer->net->parameter_count], plan->chunk_penalty);
    step->finite = isfinite(step->norm) && isfinite(step->loss);
    step->climbed = s->update && trainer->sam && step->finite;
    if (t)
        return;
    step->correct = grc_batch_correct(trainer, step->rows);
    if (plan->view.tips && s->heads)
        grc_report_heads(trainer, step->rows, s->heads + i * GRC_HEAD_REPORT(trainer));
}

void grc_measure_climb(const slice *s, grc_step *step)
{
    step->norm = norm_of_gradient(s->trainer);
    step->finite = isfinite(step->norm);
}

/* Does what is not finite go on all the same? */
static int goes_on(const slice *s, const grc_step *step)
{
    return step->finite || s->trainer->nonfinite == GRC_NONFINITE_PROPAGATE;
}

void grc_accumulate_step(slice *s, grc_team *team, grc_counts *counts, grc_step *step, int t, int count)
{
    gradcore_trainer *trainer = s->trainer;
    if (!s->update || grc_accumulated(trainer) == 1 || !goes_on(s, step))
        return;
    step->waits = grc_accumulate(trainer, team, &counts->waiting, counts->updates, step->climbed, step->rows, t, count);
    step->joined = !step->waits;
    if (step->waits) {
        step->verdict = GRC_APPLIED;
        step->finite = 1;
        return;
    }
    step->norm = norm_of_gradient(trainer);
    step->finite = isfinite(step->norm) && isfinite(step->loss);
}

void grc_find_scale(slice *s, grc_team *team, const grc_counts *counts, grc_step *step, int t)
{
    if (step->waits)
        return;
    step->scale = grc_clip_scale(s->trainer, step->hypers, step->norm);
    if (!s->scale || !step->finite)
        return;
    if (t == 0) {
        s->trainer->step = counts->step; /* for the caller's eyes */
        s->scaled = s->scale(s->scale_context, step->norm);
    }
    grc_barrier(team);
    step->scale *= s->scaled;
    step->refused = isnan(step->scale);
}

int grc_is_to_update(const slice *s, const grc_step *step)
{
    return s->update && !step->waits && !step->refused && goes_on(s, step);
}

grc_driver grc_drive_step(const gradcore_trainer *trainer, const grc_counts *counts, const grc_step *step)
{
    grc_driver d = grc_drive(trainer->optimizer, trainer->flags, step->update, step->hypers, counts->running);
    d.args.grad_scale = step->scale;
    d.args.grad_limit = grc_clip_value(trainer, step->hypers);
    return d;
}

enum grc_outcome grc_count_step(const slice *s, grc_counts *counts, const grc_step *step)
{
    const int skipped = step->verdict == GRC_SKIPPED;
    if (step->refused || (s->update && skipped && s->trainer->nonfinite == GRC_NONFINITE_RAISE))
        return GRC_STOPPED;
    counts->step += (uint64_t)s->update;
    counts->updates += !skipped;
    if (step->joined && skipped) /* what had waited goes with it: one of them may be what is too large */
        counts->updates -= counts->updates % grc_accumulated(s->trainer);
    return GRC_WENT_ON;
}

void grc_report_step(slice *s, const grc_step *step, int64_t i)
{
    gradcore_trainer *trainer = s->trainer;
    const int applied = step->verdict == GRC_APPLIED;
    const int ruled = s->update && !step->refused && !step->waits && goes_on(s, step);
    const int by_norm = trainer->fused_rule == GRC_RULE_global_norm || s->scale != NULL;
    const double parts = ruled ? grc_enter_clips(trainer, step->scale, by_norm, step->rows, s->ledger) : 1;
    s->refused = step->refused;
    s->reports[i] = (gradcore_report){.loss = step->loss,
                                      .correct = step->correct,
                                      .weight = grc_batch_weight(trainer),
                                      .norm = step->norm,
                                      .scale = step->scale * parts,
                                      .applied = applied,
                                      .rows = (int32_t)step->rows};
    if (s->update && applied && !step->waits)
        grc_count_conflicts(trainer);
    if (s->update && applied)
        trainer->limit = step->hypers[GRADCORE_CLIP];
}
