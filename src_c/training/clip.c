/* Rules on gradients, at work. */
#include <math.h>

#include "../network/draws.h"
#include "rules.h"

#define NOISE_STREAM 0x80000000u /* plus the parameter; dropout counts from 0, shuffling has the last */

/* ---- the fused rule ---- */

double grc_clip_scale(const gradcore_trainer *trainer, const double *hypers, double norm)
{
    const int clips = trainer->fused_rule == GRC_RULE_global_norm && norm > hypers[GRADCORE_CLIP];
    return clips ? hypers[GRADCORE_CLIP] / norm : 1;
}

double grc_clip_value(const gradcore_trainer *trainer, const double *hypers)
{
    return trainer->fused_rule == GRC_RULE_value ? hypers[GRADCORE_CLIP] : (double)INFINITY;
}

/* ---- rules on elements and on whole norms ---- */

/* The padding is 0, and so within any limit. */
static void count_beyond(const gradcore_network *n, void *vector, const grc_clip_task *k, double limit, grc_tally *seen)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t stored = grc_stored_rows(p), pw = n->kernels->panel;
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++) {
        const double all = (double)(stored * grc_lanes_of(n, p, panel));
        double beyond[2];
        n->kernels->beyond(stored * pw, limit, grc_panel_of(n, p, vector, panel), beyond);
        seen->seen += all;
        seen->scaled += beyond[0];
        seen->sum += all - beyond[0] + beyond[1];
    }
}

/* Element (i, j) as the user counts them has the same noise in every layout. */
static void add_noise(const gradcore_trainer *trainer, const grc_clip_task *k, double deviation)
{
    const gradcore_network *n = trainer->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t pw = n->kernels->panel;
    const uint32_t stream = NOISE_STREAM + (uint32_t)k->parameter;
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++)
        for (size_t i = 0; i < grc_stored_rows(p); i++) {
            double scale[GRC_MOST_LANES], shift[GRC_MOST_LANES];
            for (size_t j = 0; j < pw; j++) {
                const size_t across = panel * pw + j;
                const uint64_t element = p->turned ? across * p->cols + i : i * p->cols + across;
                scale[j] = 1;
                shift[j] = -0.0;
                if (j < grc_lanes_of(n, p, panel))
                    shift[j] = deviation * grc_normal(trainer->seed, stream, trainer->plan->view.step, element);
            }
            n->kernels->strip_affine(1, scale, shift,
                                     grc_at(n, grc_panel_of(n, p, trainer->plan->grad, panel), i * pw));
        }
}

static double reduce_task(const gradcore_trainer *trainer, const grc_clip_task *k, enum grc_reduction kind)
{
    const gradcore_network *n = trainer->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    double lane[GRC_MOST_LANES] = {0}, total = 0;
    if (!grc_rows_are_units(p)) {
        n->kernels->strip_reduce(kind, p->rows, grc_panel_of(n, p, trainer->plan->grad, k->panel), lane);
        return grc_fold_reduction(kind, grc_lanes_of(n, p, k->panel), lane);
    }
    for (size_t i = 0; i < grc_stored_rows(p); i++) {
        const double part = grc_reduce_row(n, p, trainer->plan->grad, i, kind);
        if (kind != GRC_MAX_ABS)
            total += part;
        else if (part > total || part != part)
            total = part;
    }
    return total;
}

static void scale_task(const gradcore_trainer *trainer, const grc_clip_task *k, double factor)
{
    const gradcore_network *n = trainer->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    double scale[GRC_MOST_LANES], shift[GRC_MOST_LANES];
    for (int j = 0; j < GRC_MOST_LANES; j++) {
        scale[j] = factor;
        shift[j] = -0.0;
    }
    for (size_t panel = k->panel; factor != 1 && panel < k->panel + k->panels; panel++)
        n->kernels->strip_affine(grc_stored_rows(p), scale, shift, grc_panel_of(n, p, trainer->plan->grad, panel));
}

/* From what the norm was reduced to. NaN scales nothing, as in the trainer's own clip. */
static double norm_factor(const grc_rule *r, double limit, double total)
{
    const double norm = (r->reduction == GRC_SUM_SQUARES ? sqrt(total) : total) + r->other;
    return norm > limit ? limit / norm : 1;
}

/* global_norm, tensor_norm. Every thread folds for itself; the last barrier keeps `partial` until then. */
static void clip_norms(gradcore_trainer *trainer, grc_team *team, const grc_rule *r, double limit, int t, int count)
{
    struct grc_clipping *c = trainer->clipping;
    const int whole = r->kind == GRC_RULE_global_norm;
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count)
        c->partial[i] = r->mask[c->tasks[i].parameter] ? reduce_task(trainer, &c->tasks[i], r->reduction) : 0;
    grc_barrier(team);
    double factor = 1;
    for (size_t i = 0; i < c->task_count;) {
        size_t last = i;
        const int parameter = c->tasks[i].parameter;
        while (last < c->task_count && (whole || c->tasks[last].parameter == parameter))
            last++;
        if (whole || r->mask[parameter])
            factor = norm_factor(r, limit, grc_fold_reduction(r->reduction, last - i, c->partial + i));
        for (size_t k = i; k < last; k++)
            if (k % (size_t)count == (size_t)t && r->mask[c->tasks[k].parameter]) {
                scale_task(trainer, &c->tasks[k], factor);
                if (k == 0 || c->tasks[k - 1].parameter != c->tasks[k].parameter)
                    grc_count_factor(&c->tallies[k], factor);
            }
        i = last;
    }
    grc_barrier(team);
}

/* ---- the stages ---- */

static void apply_rule(gradcore_trainer *trainer, grc_team *team, const grc_rule *r, double limit, int t, int count)
{
    struct grc_clipping *c = trainer->clipping;
    if (r->kind == GRC_RULE_global_norm || r->kind == GRC_RULE_tensor_norm) {
        clip_norms(trainer, team, r, limit, t, count);
        return;
    }
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count) {
        const grc_clip_task *k = &c->tasks[i];
        if (!r->mask[k->parameter])
            continue;
        if (r->kind == GRC_RULE_value) {
            count_beyond(trainer->net, trainer->plan->grad, k, limit, &c->tallies[i]);
            grc_clamp_task(trainer->net, trainer->plan->grad, k, -limit, limit);
        } else if (r->kind == GRC_RULE_noise)
            add_noise(trainer, k, limit);
        else
            grc_map_units(trainer, r, trainer->plan->grad, limit, 0, k, &c->tallies[i]);
    }
}

void grc_clip_gradients(gradcore_trainer *trainer, grc_team *team, const double *hypers, int t, int count)
{
    struct grc_clipping *c = trainer->clipping;
    if (!c)
        return;
    for (size_t i = 0; i < c->rule_count; i++)
        if (c->rules[i].stage == GRC_ON_GRADIENTS)
            apply_rule(trainer, team, &c->rules[i], grc_limit_of(&c->rules[i], hypers), t, count);
    grc_barrier(team);
}

/* The gradient of a dense layer for one row is the outer product of its input and its delta, so its squared
 * norm is the product of theirs, plus that of the delta for the bias. Deltas carry the weight of the row. */
void grc_clip_rows(gradcore_trainer *trainer, const double *hypers, size_t row, size_t rows)
{
    const gradcore_network *n = trainer->net;
    grc_plan *plan = trainer->plan;
    const grc_rule *r = grc_row_rule(trainer);
    if (!r)
        return;
    const double limit = grc_limit_of(r, hypers);
    double scale[GRC_MOST_LANES], shift[GRC_MOST_LANES];
    for (size_t i = row; i < row + rows; i++) {
        double total = 0;
        for (int k = 0; k < n->op_count; k++) {
            const grc_op *op = &n->ops[k];
            const grc_dense *dense = op->own;
            if (op->class != &grc_op_dense)
                continue;
            const double input = n->kernels->sum_squares(dense->fan_in, grc_input(&plan->view, op, i));
            const double delta =
                n->kernels->sum_squares(dense->fan_out, grc_row(&plan->view, plan->view.delta, op->out, i));
            total += delta * (input + (dense->has_bias ? 1 : 0));
        }
        const double weight = plan->row_scale[i], norm = weight > 0 ? sqrt(total) / weight : 0;
        const double factor = norm > limit ? limit / norm : 1;
        trainer->clipping->row_factor[i] = factor;
        for (int j = 0; j < GRC_MOST_LANES; j++) {
            scale[j] = factor;
            shift[j] = -0.0;
        }
        for (int k = 0; k < n->op_count && factor != 1; k++) {
            const grc_op *op = &n->ops[k];
            if (op->class == &grc_op_dense)
                n->kernels->strip_affine(grc_panels(n, n->values[op->out].width), scale, shift,
                                         grc_row(&plan->view, plan->view.delta, op->out, i));
        }
    }
}
