/* Rates of dropout, deviations of noise and strengths of penalties that differ from step to step. A table, keyed by
 * the number of the step, lies beside the pass: ops look their rate up when they draw, as they look up the step that
 * keys the draw; those of a penalty, when its chunks' gradients are there. */
#include <string.h>

#include "scheduled_rates.h"

/* The row of a step, or NULL. */
static const double *rates_at(const grc_rates *r, uint64_t step)
{
    const uint64_t at = step - r->first; /* huge for an earlier step */
    return at < r->steps ? r->table + at * r->columns : NULL;
}

double grc_rate_of(const grc_op *op, const grc_rates *r, uint64_t step, double constant)
{
    const double *rates = op->scheduled ? rates_at(r, step) : NULL;
    return rates ? rates[op->scheduled - 1] : constant;
}

const double *grc_strength_of(const grc_parameter *p, const grc_rates *r, uint64_t step)
{
    const double *rates = p->scheduled && (size_t)p->scheduled < r->columns ? rates_at(r, step) : NULL;
    return rates ? rates + p->scheduled - 1 : p->strength;
}

void grc_keep_strengths(const grc_rates *r, gradcore_network *n, uint64_t step)
{
    for (int i = 0; n->penalized && i < n->parameter_count; i++) {
        grc_parameter *p = &n->parameters[i];
        const double *strength = grc_strength_of(p, r, step);
        p->strength[0] = strength[0];
        p->strength[1] = strength[1];
    }
}

/* The op that the column belongs to, or NULL: it is a penalty's. */
static const grc_op *op_of(const gradcore_network *n, int column)
{
    for (int i = 0; i < n->op_count; i++)
        if (n->ops[i].scheduled == column + 1)
            return &n->ops[i];
    return NULL;
}

static grc_status check(const gradcore_network *n, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                        gradcore_error *error)
{
    if (!rates)
        return grc_fail(error, GRADCORE_INVALID, "rates: expected a pointer, got NULL");
    if (layers < 1 || layers != n->scheduled)
        return grc_fail(error, GRADCORE_SHAPE, "rates: expected %d columns, for what is scheduled, got %lld",
                        n->scheduled, (long long)layers);
    if (steps < 1 || steps > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "rates: expected 1 to 2147483647 steps, got %lld", (long long)steps);
    for (int c = 0; c < n->scheduled; c++) {
        const grc_op *op = op_of(n, c);
        const int share = op && op->class->rate_is_share;
        const double most = share ? 1 : op ? 1e30 : GRC_MOST_PENALTY;
        const char *range = share ? "in [0, 1)" : op ? "from 0 to 1e30" : "from 0 to 1e10";
        for (int64_t s = 0; s < steps; s++) {
            const double rate = rates[s * n->scheduled + c];
            if (!(rate >= 0 && (share ? rate < most : rate <= most)))
                return grc_fail(error, GRADCORE_INVALID, "rates: expected a number %s at step %llu, got %g", range,
                                (unsigned long long)first + (uint64_t)s, rate);
        }
    }
    return GRADCORE_OK;
}

void grc_release_rates(grc_rates *r, const gradcore_network *n)
{
    if (r->table)
        grc_release(&n->allocator, r->table, r->room * sizeof(double));
    *r = (grc_rates){.first = r->first, .columns = r->columns};
}

grc_status grc_copy_rates(grc_rates *r, const grc_rates *from, const gradcore_network *n, gradcore_error *error)
{
    *r = *from;
    if (from->table && !(r->table = grc_copy(&n->allocator, from->table, from->room * sizeof(double)))) {
        *r = (grc_rates){0};
        return grc_fail(error, GRADCORE_NO_MEMORY, "rates: expected memory for %zu steps, got none", from->steps);
    }
    return GRADCORE_OK;
}

grc_status grc_set_rates(grc_rates *r, const gradcore_network *n, uint64_t first, int64_t steps, int64_t columns,
                         const double *rates, gradcore_error *error)
{
    const grc_status status = check(n, first, steps, columns, rates, error);
    if (status != GRADCORE_OK)
        return status;
    const size_t room = (size_t)steps * (size_t)columns;
    if (room > r->room) {
        double *made = grc_allocate(&n->allocator, room * sizeof(double));
        if (!made)
            return grc_fail(error, GRADCORE_NO_MEMORY, "rates: expected memory for %lld steps, got none",
                            (long long)steps);
        grc_release_rates(r, n);
        r->table = made;
        r->room = room;
    }
    memcpy(r->table, rates, room * sizeof(double));
    r->columns = (size_t)columns;
    r->first = first;
    r->steps = (size_t)steps;
    return GRADCORE_OK;
}
