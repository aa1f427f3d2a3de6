/* Units of parameters, panel by panel: their reductions, and what rules make of each by itself. The work is cut
 * into tasks of whole units, so a unit is one thread's, added up in order, and no bit depends on who did it. */
#include <math.h>

#include "rules.h"

#define SMALLEST_NORM 1e-6 /* adaptive: what a gradient's norm is at least taken for */

int grc_rows_are_units(const grc_parameter *p)
{
    return p->ndim == 1 || p->turned;
}

void *grc_panel_of(const gradcore_network *n, const grc_parameter *p, void *vector, size_t panel)
{
    return grc_at(n, vector, p->offset + panel * grc_stored_rows(p) * n->kernels->panel);
}

double grc_fold_reduction(enum grc_reduction kind, size_t lanes, const double *lane)
{
    double total = 0;
    for (size_t j = 0; j < lanes; j++)
        if (kind != GRC_MAX_ABS)
            total += lane[j];
        else if (lane[j] > total || lane[j] != lane[j])
            total = lane[j];
    return total;
}

size_t grc_lanes_of(const gradcore_network *n, const grc_parameter *p, size_t panel)
{
    return grc_min(n->kernels->panel, grc_stored_cols(p) - panel * n->kernels->panel);
}

double grc_reduce_row(const gradcore_network *n, const grc_parameter *p, void *vector, size_t i,
                      enum grc_reduction kind)
{
    const size_t pw = n->kernels->panel, panels = grc_panels(n, grc_stored_cols(p));
    double total = 0;
    for (size_t panel = 0; panel < panels; panel++) {
        double lane[GRC_MOST_LANES] = {0};
        n->kernels->strip_reduce(kind, 1, grc_at(n, grc_panel_of(n, p, vector, panel), i * pw), lane);
        const double part = grc_fold_reduction(kind, grc_lanes_of(n, p, panel), lane);
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
        double scales[GRC_MOST_LANES], shifts[GRC_MOST_LANES];
        for (size_t j = 0; j < pw; j++) {
            scales[j] = scale;
            shifts[j] = j < grc_lanes_of(n, p, panel) ? shift : -0.0;
        }
        n->kernels->strip_affine(1, scales, shifts, grc_at(n, grc_panel_of(n, p, vector, panel), i * pw));
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
    case GRC_RULE_unit_norm: return weight > 0 && !(fabs(weight - limit) <= limit * slack) ? limit / weight : 1;
    default: return 1;
    }
}

/* adaptive, centralize, max_norm, unit_norm: each unit of the target, which is the gradient or weights, by itself. */
void grc_map_units(const gradcore_trainer *trainer, const grc_rule *r, void *target, double limit, double slack,
                   const grc_clip_task *k, grc_tally *seen)
{
    const gradcore_network *n = trainer->net;
    const grc_parameter *p = &n->parameters[k->parameter];
    const int weights = r->stage == GRC_ON_WEIGHTS, mean = r->kind == GRC_RULE_centralize;
    const enum grc_reduction kind = mean ? GRC_SUM : GRC_SUM_SQUARES;
    const double fan_in = (double)p->rows;
    if (grc_rows_are_units(p)) {
        for (size_t i = 0; i < grc_stored_rows(p); i++) {
            const double total = grc_reduce_row(n, p, target, i, kind);
            const double weight = mean || weights ? total : grc_reduce_row(n, p, n->w, i, kind);
            const double factor = mean ? 1 : unit_factor(r, limit, slack, sqrt(total), sqrt(weight));
            if (mean || factor != 1)
                map_row(n, p, target, i, factor, mean ? -total / fan_in : -0.0);
            if (!mean && !weights)
                grc_count_factor(seen, factor);
        }
        return;
    }
    const size_t rows = p->rows, lanes = grc_lanes_of(n, p, k->panel);
    void *at = grc_panel_of(n, p, target, k->panel);
    double total[GRC_MOST_LANES] = {0}, weight[GRC_MOST_LANES] = {0}, scale[GRC_MOST_LANES], shift[GRC_MOST_LANES];
    int changes = mean;
    n->kernels->strip_reduce(kind, rows, at, total);
    if (!mean && !weights)
        n->kernels->strip_reduce(kind, rows, grc_panel_of(n, p, n->w, k->panel), weight);
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

void grc_clamp_task(const gradcore_network *n, void *vector, const grc_clip_task *k, double low, double high)
{
    const grc_parameter *p = &n->parameters[k->parameter];
    for (size_t panel = k->panel; panel < k->panel + k->panels; panel++) {
        const size_t pw = n->kernels->panel, lanes = grc_lanes_of(n, p, panel);
        void *at = grc_panel_of(n, p, vector, panel);
        if (lanes == pw)
            n->kernels->clamp(grc_stored_rows(p) * pw, low, high, at);
        else /* the padding is 0 and stays so */
            for (size_t i = 0; i < grc_stored_rows(p); i++)
                n->kernels->clamp(lanes, low, high, grc_at(n, at, i * pw));
    }
}
