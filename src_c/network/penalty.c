/* Penalties l1 sum |w| + l2 sum w^2 of parameters: part of a trainer's loss and gradient. forward_backward.c adds them
 * chunk by chunk while a gradient is at hand; here they are set, and added up alone. scheduled_rates.c has those of
 * schedules. */
#include "../base/sums.h"
#include "../base/team.h"
#include "op.h"

static grc_status check_index(const gradcore_network *n, int64_t index, gradcore_error *error)
{
    if (!n)
        return grc_fail(error, GRADCORE_INVALID, "network: expected a pointer, got NULL");
    if (index < 0 || index >= n->parameter_count || !n->parameters[index].trainable)
        return grc_fail(error, GRADCORE_INVALID, "index: expected a trainable parameter, got %lld", (long long)index);
    return GRADCORE_OK;
}

grc_status gradcore_network_set_penalty(gradcore_network *n, int64_t index, double l1, double l2, gradcore_error *error)
{
    const grc_status status = check_index(n, index, error);
    if (status != GRADCORE_OK)
        return status;
    if (!(l1 >= 0 && l1 <= GRC_MOST_PENALTY && l2 >= 0 && l2 <= GRC_MOST_PENALTY))
        return grc_fail(error, GRADCORE_INVALID, "l1, l2: expected numbers from 0 to %g, got %g and %g",
                        GRC_MOST_PENALTY, l1, l2);
    if (!grc_lock_write(n))
        return grc_network_refused(n, error);
    n->parameters[index].strength[0] = l1;
    n->parameters[index].strength[1] = l2;
    n->penalized = 0;
    for (int i = 0; i < n->parameter_count; i++)
        n->penalized |=
            n->parameters[i].scheduled || n->parameters[i].strength[0] > 0 || n->parameters[i].strength[1] > 0;
    grc_unlock_write(n);
    return GRADCORE_OK;
}

grc_status gradcore_network_schedule_penalty(gradcore_network *n, int64_t index, gradcore_error *error)
{
    const grc_status status = check_index(n, index, error);
    if (status != GRADCORE_OK)
        return status;
    if (!grc_lock_write(n))
        return grc_network_refused(n, error);
    if (!n->parameters[index].scheduled) {
        n->parameters[index].scheduled = n->scheduled + 1;
        n->scheduled += 2;
        n->penalized = 1;
    }
    grc_unlock_write(n);
    return GRADCORE_OK;
}

double grc_penalize_chunk(const gradcore_network *n, const grc_parameter *p, const double strength[2], size_t row,
                          size_t panel, size_t size, void *grad)
{
    const size_t at = p->offset + (panel * grc_stored_rows(p) + row) * n->kernels->panel;
    if (strength[0] == 0 && strength[1] == 0)
        return 0;
    const grc_op *op = &n->ops[p->op];
    if (op->rescaled && p->ndim == 2)
        return op[1].class->rescaling->penalize(op + 1, n, p, strength, row, panel, size, grad);
    return n->kernels->penalize(size, grc_at(n, n->w, at), strength[0], strength[1], grad ? grc_at(n, grad, at) : NULL);
}

typedef struct penalty_call {
    const gradcore_network *net;
    double sum;
} penalty_call;

/* In the order and with the fold of grc_sum over all chunks. */
static void add_up(void *context, grc_team *team, int t, int count)
{
    penalty_call *c = context;
    const gradcore_network *n = c->net;
    double lane[8] = {0};
    size_t chunk = 0;
    (void)team, (void)t, (void)count;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        if (p->ndim == 1) {
            lane[chunk++ % 8] += grc_penalize_chunk(n, p, p->strength, 0, 0, p->cols, NULL);
            continue;
        }
        const size_t stored = grc_stored_rows(p), panels = grc_panels(n, grc_stored_cols(p));
        for (size_t panel = 0; panel < panels; panel++)
            for (size_t row = 0; row < stored; row += GRC_CHUNK_ROWS) {
                const size_t rows = grc_min(GRC_CHUNK_ROWS, stored - row);
                lane[chunk++ % 8] += grc_penalize_chunk(n, p, p->strength, row, panel, rows * n->kernels->panel, NULL);
            }
    }
    c->sum = grc_fold_lanes(lane);
}

grc_status gradcore_network_penalty(gradcore_network *n, double *value, gradcore_error *error)
{
    if (!n || !value)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "value" : "network");
    if (!grc_lock_read(n))
        return grc_network_refused(n, error);
    penalty_call c = {.net = n};
    grc_team_run(1, n->flush_denormals, &add_up, &c);
    grc_unlock_read(n);
    *value = c.sum;
    return GRADCORE_OK;
}
