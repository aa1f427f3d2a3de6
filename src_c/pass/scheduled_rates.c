/* Rates of dropout, deviations of noise and strengths of penalties that differ from step to step. A table, keyed by
 * the number of the step, lies beside the pass: ops look their rate up when they draw, as they look up the step that
 * keys the draw; those of a penalty, when its chunks' gradients are there. */
#include <string.h>

#include "../training/trainer.h"

void grc_schedule_op(grc_builder *b, grc_op *op)
{
    if (b->layer->flags & GRADCORE_LAYER_SCHEDULED)
        op->scheduled = ++b->net->scheduled;
}

/* The row of a step, or NULL. */
static const double *rates_at(const grc_exec *x)
{
    const uint64_t at = x->step - x->rate_first; /* huge for an earlier step */
    return at < x->rate_steps ? x->rates + at * x->rate_columns : NULL;
}

double grc_rate_of(const grc_op *op, const grc_exec *x, double constant)
{
    const double *rates = op->scheduled ? rates_at(x) : NULL;
    return rates ? rates[op->scheduled - 1] : constant;
}

const double *grc_strength_of(const grc_parameter *p, const grc_exec *x)
{
    const double *rates = p->scheduled && (size_t)p->scheduled < x->rate_columns ? rates_at(x) : NULL;
    return rates ? rates + p->scheduled - 1 : p->strength;
}

void grc_keep_strengths(grc_exec *x, uint64_t step)
{
    x->step = step;
    for (int i = 0; x->net->penalized && i < x->net->parameter_count; i++) {
        grc_parameter *p = &x->net->parameters[i];
        const double *strength = grc_strength_of(p, x);
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
        const int share = op && op->class != &grc_op_gaussian_noise;
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

void grc_release_rates(grc_exec *x)
{
    if (x->rates)
        grc_release(&x->net->allocator, x->rates, x->rate_room * sizeof(double));
    x->rates = NULL;
    x->rate_steps = x->rate_room = 0;
}

grc_status grc_set_rates(grc_exec *x, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                         gradcore_error *error)
{
    const grc_status status = check(x->net, first, steps, layers, rates, error);
    if (status != GRADCORE_OK)
        return status;
    const size_t room = (size_t)steps * (size_t)layers;
    if (room > x->rate_room) {
        double *made = grc_allocate(&x->net->allocator, room * sizeof(double));
        if (!made)
            return grc_fail(error, GRADCORE_NO_MEMORY, "rates: expected memory for %lld steps, got none",
                            (long long)steps);
        grc_release_rates(x);
        x->rates = made;
        x->rate_room = room;
    }
    memcpy(x->rates, rates, room * sizeof(double));
    x->rate_columns = (size_t)layers;
    x->rate_first = first;
    x->rate_steps = (size_t)steps;
    return GRADCORE_OK;
}

grc_status gradcore_trainer_set_rates(gradcore_trainer *t, uint64_t first, int64_t steps, int64_t layers,
                                      const double *rates, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_set_rates(t->x, first, steps, layers, rates, error);
    grc_trainer_leave(t);
    return status;
}
