/* Masks and bounds on weights, at work. */
#include <math.h>

#include "constraints.h"

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
    if (!op || !op->class->rescaling->clamp_weight)
        return 0;
    if (r->kind == GRC_RULE_box)
        op->class->rescaling->clamp_weight(op, n, vector, k->panel, r->other, limit, slack);
    else if (r->kind == GRC_RULE_mask)
        op->class->rescaling->mask_weight(op, n, vector, k->panel,
                                          grc_panel_of(n, &n->parameters[k->parameter], r->keep, k->panel));
    else
        op->class->rescaling->bound_norms(op, n, vector, k->panel, r->kind == GRC_RULE_unit_norm, limit);
    return 1;
}

/* Masked elements = 0, all others as they are; -0.0 is 0 already. */
static void zero_masked(const gradcore_network *n, const grc_rule *r, void *vector, const grc_clip_task *k)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    void *w = grc_panel_of(n, p, vector, k->panel);
    const void *keep = grc_panel_of(n, p, r->keep, k->panel);
    for (size_t e = 0; e < k->panels * grc_stored_rows(p) * n->kernels->panel; e++)
        if (grc_get(n, keep, e) == 0 && grc_get(n, w, e) != 0)
            grc_set(n, w, e, 0);
}

static void mask_task(const gradcore_network *n, const grc_rule *r, void *vector, const grc_clip_task *k)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    const size_t size = k->panels * grc_stored_rows(p) * n->kernels->panel;
    void *w = grc_panel_of(n, p, vector, k->panel);
    n->kernels->multiply(1, size, w, grc_panel_of(n, p, r->keep, k->panel), w, size);
}

int grc_has_constraints(const gradcore_trainer *trainer, unsigned what)
{
    for (size_t i = 0; trainer->clipping && i < trainer->clipping->rule_count; i++)
        if (trainer->clipping->rules[i].stage == GRC_ON_WEIGHTS
            && what & (trainer->clipping->rules[i].kind == GRC_RULE_mask ? GRC_MASKS : GRC_BOUNDS))
            return 1;
    return 0;
}

/* Masks are there for all; bounds leave frozen parameters alone. With weight normalisation norms are magnitudes,
 * and elements are made of both. */
static int is_bound(const gradcore_trainer *trainer, const grc_rule *r, const grc_clip_task *k)
{
    const grc_op *op = rescaler_of(trainer->net, k);
    const int frozen = trainer->groups[k->parameter].frozen;
    if (!r->mask[k->parameter] || r->kind == GRC_RULE_mask || !op || !op->class->rescaling->bound_norms)
        return r->mask[k->parameter] && (r->kind == GRC_RULE_mask || !frozen);
    return !trainer->groups[op->first_parameter].frozen && (r->kind != GRC_RULE_box || !frozen);
}

/* How a mask is made true: of weights that an update has changed, it first clears what is no part of a norm, and ends
 * as the product that the rule is; weights that were set from outside multiply x, where they are kept, as they would
 * without it. */
enum masking { CLEAR, MULTIPLY, PRESERVE };

static void mask_with(const gradcore_trainer *trainer, const grc_rule *r, void *vector, enum masking how,
                      const grc_clip_task *k)
{
    const grc_op *op = rescaler_of(trainer->net, k);
    /* Is its magnitude frozen? */
    const int held = op && op->class->rescaling->mask_weight && trainer->groups[op->first_parameter].frozen;
    if (how != CLEAR && !held && constrain_rescaled(trainer->net, r, vector, 0, 0, k))
        return;
    if (how == MULTIPLY)
        mask_task(trainer->net, r, vector, k);
    else
        zero_masked(trainer->net, r, vector, k);
}

static void mask_all(gradcore_trainer *trainer, void *vector, enum masking how, int t, int count)
{
    const struct grc_clipping *c = trainer->clipping;
    for (size_t i = 0; i < c->rule_count; i++)
        for (size_t k = (size_t)t; c->rules[i].kind == GRC_RULE_mask && k < c->task_count; k += (size_t)count)
            if (is_bound(trainer, &c->rules[i], &c->tasks[k]))
                mask_with(trainer, &c->rules[i], vector, how, &c->tasks[k]);
}

static void apply_bound(gradcore_trainer *trainer, const grc_rule *r, void *vector, double limit, double slack, int t,
                        int count)
{
    const struct grc_clipping *c = trainer->clipping;
    const gradcore_network *n = trainer->net;
    for (size_t i = (size_t)t; i < c->task_count; i += (size_t)count) {
        const grc_clip_task *k = &c->tasks[i];
        if (!is_bound(trainer, r, k) || constrain_rescaled(n, r, vector, limit, slack, k))
            continue;
        if (r->kind == GRC_RULE_box)
            grc_clamp_task(n, vector, k, r->other, limit);
        else
            grc_map_units(trainer, r, vector, limit, slack, k, NULL);
    }
}

void grc_constrain(gradcore_trainer *trainer, grc_team *team, void *vector, unsigned what, double limit, double slack,
                   int t, int count)
{
    struct grc_clipping *c = trainer->clipping;
    if (!grc_has_constraints(trainer, what))
        return;
    const int masks = grc_has_constraints(trainer, what & GRC_MASKS);
    const int bounds = grc_has_constraints(trainer, what & GRC_BOUNDS);
    GRC_ASSERT(slack >= 0);
    grc_barrier(team);
    /* Masks come before the bounds, since a norm is one of what is left, and after them, since 0 may be
     * outside of a box: what is masked is 0 whatever else is asked for. */
    if (masks && (bounds || trainer->net->derives))
        mask_all(trainer, vector, slack > 0 ? PRESERVE : CLEAR, t, count);
    for (size_t i = 0; bounds && i < c->rule_count; i++) {
        const grc_rule *r = &c->rules[i];
        const double edge = r->scheduled ? limit : r->limit;
        if (r->stage != GRC_ON_WEIGHTS || r->kind == GRC_RULE_mask || isnan(edge))
            continue;
        if (trainer->net->derives) /* a weight's rule may change its magnitudes, which are another task */
            grc_barrier(team);
        apply_bound(trainer, r, vector, edge, slack, t, count);
    }
    if (masks && trainer->net->derives)
        grc_barrier(team);
    if (masks)
        mask_all(trainer, vector, slack > 0 ? PRESERVE : MULTIPLY, t, count);
    grc_barrier(team);
}
