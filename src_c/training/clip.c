/* Rules on gradients before the update and on weights after it. The work is cut into tasks of whole units, so
 * a unit is one thread's, added up in order, and no bit depends on who did it. */
#include <math.h>

#include "clip.h"
#include "../base/rng.h"

enum { MOST_LANES = 16 };
#define NOISE_STREAM 0x80000000u /* plus the parameter; dropout counts from 0, shuffling has the last */
#define SMALLEST_NORM 1e-6       /* adaptive: what a gradient's norm is at least taken for */

/* ---- units ---- */

static int rows_are_units(const grc_parameter *p)
{
    return p->ndim == 1 || p->turned;
}

static void *panel_of(const gradcore_network *n, const grc_parameter *p, void *vector, size_t panel)
{
    return grc_at(n, vector, p->offset + panel * grc_stored_rows(p) * n->kernels->panel);
}

static double fold(enum grc_reduction kind, size_t lanes, const double *lane)
{
    double total = 0;
    for (size_t j = 0; j < lanes; j++)
        if (kind != GRC_MAX_ABS)
            total += lane[j];
        else if (lane[j] > total || lane[j] != lane[j])
            total = lane[j];
    return total;
}

/* Lanes of `panel` that hold elements, not padding. */
static size_t lanes_of(const gradcore_network *n, const grc_parameter *p, size_t panel)
{
    return grc_min(n->kernels->panel, grc_stored_cols(p) - panel * n->kernels->panel);
}

/* The reduction of stored row i of a parameter whose rows are units. */
static double reduce_row(const gradcore_network *n, const grc_parameter *p, void *vector, size_t i,
                         enum grc_reduction kind)
{
    const size_t pw = n->kernels->panel, panels = grc_panels(n, grc_stored_cols(p));
    double total = 0;
    for (size_t panel = 0; panel < panels; panel++) {
        double lane[MOST_LANES] = {0};
        n->kernels->strip_reduce(kind, 1, grc_at(n, panel_of(n, p, vector, panel), i * pw), lane);
        const double part = fold(kind, lanes_of(n, p, panel), lane);
        if (kind != GRC_MAX_ABS)
            total += part;
        else if (part > total || part != part)
            total = part;
    }
    return total;
}

static void map_row(const gradcore_network *n, const grc_parameter *p, void *vector, size_t i, double scale,
                    double shift)
{
    const size_t pw = n->kernels->panel, panels = grc_panels(n, grc_stored_cols(p));
    for (size_t panel = 0; panel < panels; panel++) {
        double scales[MOST_LANES], shifts[MOST_LANES];
        for (size_t j = 0; j < pw; j++) {
            scales[j] = scale;
            shifts[j] = j < lanes_of(n, p, panel) ? shift : -0.0;
        }
        n->kernels->strip_affine(1, scales, shifts, grc_at(n, panel_of(n, p, vector, panel), i * pw));
    }
}

/* What a unit's numbers are multiplied by, from the norms of its gradient and of its weights. slack: how far a norm
 * may be off, as a part of the limit. */
static double unit_factor(const grc_rule *r, double limit, double slack, double gradient, double weight)
{
    switch (r->kind) {
    case GRC_RULE_adaptive: {
        const double most = limit * fmax(weight, r->other);
        return gradient < most || gradient != gradient ? 1 : most / fmax(gradient, SMALLEST_NORM);
    }
    case GRC_RULE_max_norm: return weight > limit * (1 + slack) ? limit / weight : 1;
    case GRC_RULE_unit_norm:
        return weight > 0 && !(fabs(weight - limit) <= limit * slack) ? limit / weight : 1;
    default: return 1;
    }
}

/* adaptive, centralize, max_norm, unit_norm: each unit of the target, which is the gradient or weights, by itself. */
static void map_units(const gradcore_trainer *tr, const grc_rule *r, void *target, double limit, double slack,
                      const grc_clip_task *k, grc_tally *seen)
{
    const gradcore_network *n = tr->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    const int weights = r->stage == GRC_ON_WEIGHTS, mean = r->kind == GRC_RULE_centralize;
    const enum grc_reduction kind = mean ? GRC_SUM : GRC_SUM_SQUARES;
    const double fan_in = (double)p->rows;
    if (rows_are_units(p)) {
        for (size_t i = 0; i < grc_stored_rows(p); i++) {
            const double total = reduce_row(n, p, target, i, kind);
            const double weight = mean || weights ? total : reduce_row(n, p, n->w, i, kind);
            const double factor = mean ? 1 : unit_factor(r, limit, slack, sqrt(total), sqrt(weight));
            if (mean || factor != 1)
                map_row(n, p, target, i, factor, mean ? -total / fan_in : -0.0);
            if (!mean && !weights)
                grc_count_factor(seen, factor);
        }
        return;
    }
    const size_t rows = p->rows, lanes = lanes_of(n, p, k->panel);
    void *at = panel_of(n, p, target, k->panel);
    double total[MOST_LANES] = {0}, weight[MOST_LANES] = {0}, scale[MOST_LANES], shift[MOST_LANES];
    int changes = mean;
    n->kernels->strip_reduce(kind, rows, at, total);
    if (!mean && !weights)
        n->kernels->strip_reduce(kind, rows, panel_of(n, p, n->w, k->panel), weight);
    for (size_t j = 0; j < n->kernels->panel; j++) {
        scale[j] = 1;
        shift[j] = -0.0; /* leaves every number its bits */
        if (j >= lanes)
            continue;
        if (mean) {
            shift[j] = -total[j] / fan_in;
            continue;
        }
        scale[j] = unit_factor(r, limit, slack, sqrt(total[j]), sqrt(weights ? total[j] : weight[j]));
        changes |= scale[j] != 1;
        if (!weights)
            grc_count_factor(seen, scale[j]);
    }
    if (changes)
        n->kernels->strip_affine(rows, scale, shift, at);
}

/* ---- rules on elements and on whole norms ---- */

static void clamp_task(const gradcore_network *n, void *vector, const grc_clip_task *k, double low,
                       double high)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++) {
        const size_t pw = n->kernels->panel, lanes = lanes_of(n, p, panel);
        void *at = panel_of(n, p, vector, panel);
        if (lanes == pw)
            n->kernels->clamp(grc_stored_rows(p) * pw, low, high, at);
        else /* the padding is 0 and stays so */
            for (size_t i = 0; i < grc_stored_rows(p); i++)
                n->kernels->clamp(lanes, low, high, grc_at(n, at, i * pw));
    }
}

/* The padding is 0, and so within any limit. */
static void count_beyond(const gradcore_network *n, void *vector, const grc_clip_task *k, double limit,
                         grc_tally *seen)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t stored = grc_stored_rows(p), pw = n->kernels->panel;
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++) {
        const double all = (double)(stored * lanes_of(n, p, panel));
        double beyond[2];
        n->kernels->beyond(stored * pw, limit, panel_of(n, p, vector, panel), beyond);
        seen->seen += all;
        seen->scaled += beyond[0];
        seen->sum += all - beyond[0] + beyond[1];
    }
}

static void mask_task(const gradcore_network *n, const grc_rule *r, void *vector, const grc_clip_task *k)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t size = k->panels * grc_stored_rows(p) * n->kernels->panel;
    void *w = panel_of(n, p, vector, k->panel);
    n->kernels->multiply(1, size, w, panel_of(n, p, r->keep, k->panel), w, size);
}

/* Element (i, j) as the user counts them has the same noise in every layout. */
static void add_noise(const gradcore_trainer *tr, const grc_clip_task *k, double deviation)
{
    const gradcore_network *n = tr->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t pw = n->kernels->panel;
    const uint32_t stream = NOISE_STREAM + (uint32_t)k->parameter;
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++)
        for (size_t i = 0; i < grc_stored_rows(p); i++) {
            double scale[MOST_LANES], shift[MOST_LANES];
            for (size_t j = 0; j < pw; j++) {
                const size_t across = panel * pw + j;
                const uint64_t element = p->turned ? across * p->cols + i : i * p->cols + across;
                scale[j] = 1;
                shift[j] = -0.0;
                if (j < lanes_of(n, p, panel))
                    shift[j] = deviation * grc_normal(tr->seed, stream, tr->x->step, element);
            }
            n->kernels->strip_affine(1, scale, shift, grc_at(n, panel_of(n, p, tr->x->grad, panel), i * pw));
        }
}

static double reduce_task(const gradcore_trainer *tr, const grc_clip_task *k, enum grc_reduction kind)
{
    const gradcore_network *n = tr->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    double lane[MOST_LANES] = {0}, total = 0;
    if (!rows_are_units(p)) {
        n->kernels->strip_reduce(kind, p->rows, panel_of(n, p, tr->x->grad, k->panel), lane);
        return fold(kind, lanes_of(n, p, k->panel), lane);
    }
    for (size_t i = 0; i < grc_stored_rows(p); i++) {
        const double part = reduce_row(n, p, tr->x->grad, i, kind);
        if (kind != GRC_MAX_ABS)
            total += part;
        else if (part > total || part != part)
            total = part;
    }
    return total;
}

static void scale_task(const gradcore_trainer *tr, const grc_clip_task *k, double factor)
{
    const gradcore_network *n = tr->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    double scale[MOST_LANES], shift[MOST_LANES];
    for (int j = 0; j < MOST_LANES; j++) {
        scale[j] = factor;
        shift[j] = -0.0;
    }
    for (size_t panel = k->panel; factor != 1 && panel < k->panel + k->panels; panel++)
        n->kernels->strip_affine(grc_stored_rows(p), scale, shift, panel_of(n, p, tr->x->grad, panel));
}

/* From what the norm was reduced to. NaN scales nothing, as in the trainer's own clip. */
static double norm_factor(const grc_rule *r, double limit, double total)
{
    const double norm = (r->reduction == GRC_SUM_SQUARES ? sqrt(total) : total) + r->other;
    return norm > limit ? limit / norm : 1;
}

/* global_norm, tensor_norm. Every thread folds for itself; the last barrier keeps `partial` until then. */
static void clip_norms(gradcore_trainer *tr, grc_team *team, const grc_rule *r, double limit, int t,
                       int count)
{
    struct grc_clipping *c = tr->clipping;
    const int whole = r->kind == GRC_RULE_global_norm;
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count)
        c->partial[i] = r->mask[c->tasks[i].parameter] ? reduce_task(tr, &c->tasks[i], r->reduction) : 0;
    grc_barrier(team);
    double factor = 1;
    for (size_t i = 0; i < c->task_count;) {
        size_t last = i;
        const int parameter = c->tasks[i].parameter;
        while (last < c->task_count && (whole || c->tasks[last].parameter == parameter))
            last++;
        if (whole || r->mask[parameter])
            factor = norm_factor(r, limit, fold(r->reduction, last - i, c->partial + i));
        for (size_t k = i; k < last; k++)
            if (k % (size_t)count == (size_t)t && r->mask[c->tasks[k].parameter]) {
                scale_task(tr, &c->tasks[k], factor);
                if (k == 0 || c->tasks[k - 1].parameter != c->tasks[k].parameter)
                    grc_count_factor(&c->tallies[k], factor);
            }
        i = last;
    }
    grc_barrier(team);
}

/* ---- weights that multiply x by something else than what is stored ---- */

/* The op that rescales what the weight of a task gives, or NULL. */
static const grc_op *rescaler_of(const gradcore_network *n, const grc_clip_task *k)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    return p->ndim == 2 && n->ops[p->op].rescaled ? &n->ops[p->op + 1] : NULL;
}

/* A rule on the weight that multiplies x; 0 where it is to be done on what is stored, whose signs and zeros are those
 * of what multiplies x. */
static int constrain_rescaled(const gradcore_network *n, const grc_rule *r, void *vector, double limit, double slack,
                              const grc_clip_task *k)
{
    const grc_op *op = rescaler_of(n, k);
    if (!op || !op->class->clamp_weight)
        return 0;
    if (r->kind == GRC_RULE_box)
        op->class->clamp_weight(op, n, vector, k->panel, r->other, limit, slack);
    else if (r->kind == GRC_RULE_mask)
        op->class->mask_weight(op, n, vector, k->panel,
                               panel_of(n, &n->parameters[k->parameter], r->keep, k->panel));
    else
        op->class->bound_norms(op, n, vector, k->panel, r->kind == GRC_RULE_unit_norm, limit);
    return 1;
}

/* Masked elements = 0, all others as they are; -0.0 is 0 already. */
static void zero_masked(const gradcore_network *n, const grc_rule *r, void *vector, const grc_clip_task *k)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    void *w = panel_of(n, p, vector, k->panel);
    const void *keep = panel_of(n, p, r->keep, k->panel);
    for (size_t e = 0; e < k->panels * grc_stored_rows(p) * n->kernels->panel; e++)
        if (grc_get(n, keep, e) == 0 && grc_get(n, w, e) != 0)
            grc_set(n, w, e, 0);
}

/* ---- the stages ---- */

static void apply_rule(gradcore_trainer *tr, grc_team *team, const grc_rule *r, double limit, int t,
                       int count)
{
    struct grc_clipping *c = tr->clipping;
    if (r->kind == GRC_RULE_global_norm || r->kind == GRC_RULE_tensor_norm) {
        clip_norms(tr, team, r, limit, t, count);
        return;
    }
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count) {
        const grc_clip_task *k = &c->tasks[i];
        if (!r->mask[k->parameter])
            continue;
        if (r->kind == GRC_RULE_value) {
            count_beyond(tr->net, tr->x->grad, k, limit, &c->tallies[i]);
            clamp_task(tr->net, tr->x->grad, k, -limit, limit);
        }
        else if (r->kind == GRC_RULE_noise)
            add_noise(tr, k, limit);
        else
            map_units(tr, r, tr->x->grad, limit, 0, k, &c->tallies[i]);
    }
}

void grc_clip_gradients(gradcore_trainer *tr, grc_team *team, const double *hypers, int t, int count)
{
    struct grc_clipping *c = tr->clipping;
    if (!c)
        return;
    for (size_t i = 0; i < c->rule_count; i++)
        if (c->rules[i].stage == GRC_ON_GRADIENTS)
            apply_rule(tr, team, &c->rules[i], grc_limit_of(&c->rules[i], hypers), t, count);
    grc_barrier(team);
}

int grc_promises(const gradcore_trainer *t, unsigned what)
{
    for (size_t i = 0; t->clipping && i < t->clipping->rule_count; i++)
        if (t->clipping->rules[i].stage == GRC_ON_WEIGHTS
            && what & (t->clipping->rules[i].kind == GRC_RULE_mask ? GRC_MASKS : GRC_CONSTRAINTS))
            return 1;
    return 0;
}

/* Masks are there for all; constraints leave frozen parameters alone. With weight normalisation norms are magnitudes,
 * and elements are made of both. */
static int is_bound(const gradcore_trainer *tr, const grc_rule *r, const grc_clip_task *k)
{
    const grc_op *op = rescaler_of(tr->net, k);
    const int frozen = tr->groups[k->parameter].frozen;
    if (!r->mask[k->parameter] || r->kind == GRC_RULE_mask || !op || !op->class->bound_norms)
        return r->mask[k->parameter] && (r->kind == GRC_RULE_mask || !frozen);
    return !tr->groups[op->first_parameter].frozen && (r->kind != GRC_RULE_box || !frozen);
}

/* How a mask is made true: of weights that an update has changed, it first clears what is no part of a norm, and ends
 * as the product that the rule is; weights that were set from outside multiply x, where they are kept, as they would
 * without it. */
enum masking { CLEAR, MULTIPLY, PRESERVE };

static void mask_with(const gradcore_trainer *tr, const grc_rule *r, void *vector, enum masking how,
                      const grc_clip_task *k)
{
    const grc_op *op = rescaler_of(tr->net, k);
    const int held = op && op->class->mask_weight && tr->groups[op->first_parameter].frozen; /* the magnitude */
    if (how != CLEAR && !held && constrain_rescaled(tr->net, r, vector, 0, 0, k))
        return;
    if (how == MULTIPLY)
        mask_task(tr->net, r, vector, k);
    else
        zero_masked(tr->net, r, vector, k);
}

static void mask_all(gradcore_trainer *tr, void *vector, enum masking how, int t, int count)
{
    const struct grc_clipping *c = tr->clipping;
    for (size_t i = 0; i < c->rule_count; i++)
        for (size_t k = (size_t)t; c->rules[i].kind == GRC_RULE_mask && k < c->task_count; k += (size_t)count)
            if (is_bound(tr, &c->rules[i], &c->tasks[k]))
                mask_with(tr, &c->rules[i], vector, how, &c->tasks[k]);
}

static void constrain(gradcore_trainer *tr, const grc_rule *r, void *vector, double limit, double slack, int t, int count)
{
    const struct grc_clipping *c = tr->clipping;
    const gradcore_network *n = tr->net;
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count) {
        const grc_clip_task *k = &c->tasks[i];
        if (!is_bound(tr, r, k) || constrain_rescaled(n, r, vector, limit, slack, k))
            continue;
        if (r->kind == GRC_RULE_box)
            clamp_task(n, vector, k, r->other, limit);
        else
            map_units(tr, r, vector, limit, slack, k, NULL);
    }
}

void grc_hold(gradcore_trainer *tr, grc_team *team, void *vector, unsigned what, double limit, double slack, int t,
              int count)
{
    struct grc_clipping *c = tr->clipping;
    if (!grc_promises(tr, what))
        return;
    const int masks = grc_promises(tr, what & GRC_MASKS), constraints = grc_promises(tr, what & GRC_CONSTRAINTS);
    grc_barrier(team);
    /* Masks come before the constraints, since a norm is one of what is left, and after them, since 0 may be
     * outside of a box: what is masked is 0 whatever else is asked for. */
    if (masks && (constraints || tr->net->derives))
        mask_all(tr, vector, slack > 0 ? PRESERVE : CLEAR, t, count);
    for (size_t i = 0; constraints && i < c->rule_count; i++) {
        const grc_rule *r = &c->rules[i];
        const double bound = r->scheduled ? limit : r->limit;
        if (r->stage != GRC_ON_WEIGHTS || r->kind == GRC_RULE_mask || isnan(bound))
            continue;
        if (tr->net->derives) /* a weight's rule may change its magnitudes, which are another task */
            grc_barrier(team);
        constrain(tr, r, vector, bound, slack, t, count);
    }
    if (masks && tr->net->derives)
        grc_barrier(team);
    if (masks)
        mask_all(tr, vector, slack > 0 ? PRESERVE : MULTIPLY, t, count);
    grc_barrier(team);
}

/* The gradient of a dense layer for one row is the outer product of its input and its delta, so its squared
 * norm is the product of theirs, plus that of the delta for the bias. Deltas carry the weight of the row. */
void grc_clip_rows(gradcore_trainer *tr, const double *hypers, size_t row, size_t rows)
{
    const gradcore_network *n = tr->net;
    grc_exec *x = tr->x;
    const grc_rule *r = grc_row_rule(tr);
    if (!r)
        return;
    const double limit = grc_limit_of(r, hypers);
    double scale[MOST_LANES], shift[MOST_LANES];
    for (size_t i = row; i < row + rows; i++) {
        double total = 0;
        for (int k = 0; k < n->op_count; k++) {
            const grc_op *op = &n->ops[k];
            if (op->class != &grc_op_dense)
                continue;
            const double input = n->kernels->sum_squares(op->fan_in, grc_input(x, op, i));
            const double delta = n->kernels->sum_squares(op->fan_out, grc_row(x, x->delta, op->out, i));
            total += delta * (input + (op->has_bias ? 1 : 0));
        }
        const double weight = x->row_scale[i], norm = weight > 0 ? sqrt(total) / weight : 0;
        const double factor = norm > limit ? limit / norm : 1;
        tr->clipping->row_factor[i] = factor;
        for (int j = 0; j < MOST_LANES; j++) {
            scale[j] = factor;
            shift[j] = -0.0;
        }
        for (int k = 0; k < n->op_count && factor != 1; k++) {
            const grc_op *op = &n->ops[k];
            if (op->class == &grc_op_dense)
                n->kernels->strip_affine(grc_panels(n, op->fan_out), scale, shift,
                                         grc_row(x, x->delta, op->out, i));
        }
    }
}
