/* Rates of dropout and deviations of noise that differ from step to step. A table, keyed by the number of the step,
 * lies beside the pass: ops look their rate up when they draw, as they look up the step that keys the draw. */
#include <string.h>

#include "trainer.h"

void grc_schedule_op(grc_builder *b, grc_op *op)
{
    if (b->layer->flags & GRADCORE_LAYER_SCHEDULED)
        op->scheduled = ++b->net->scheduled;
}

double grc_rate_of(const grc_op *op, const grc_exec *x, double constant)
{
    const uint64_t at = x->step - x->rate_first; /* huge for an earlier step */
    if (!op->scheduled || at >= x->rate_steps)
        return constant;
    return x->rates[at * (uint64_t)x->net->scheduled + (uint64_t)op->scheduled - 1];
}

static grc_status check(const gradcore_network *n, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                        gradcore_error *error)
{
    if (!rates)
        return grc_fail(error, GRADCORE_INVALID, "rates: expected a pointer, got NULL");
    if (layers < 1 || layers != n->scheduled)
        return grc_fail(error, GRADCORE_SHAPE, "rates: expected a column for each of %d scheduled layers, got %lld",
                        n->scheduled, (long long)layers);
    if (steps < 1 || steps > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "rates: expected 1 to 2147483647 steps, got %lld", (long long)steps);
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        for (int64_t s = 0; op->scheduled && s < steps; s++) {
            const double rate = rates[s * n->scheduled + op->scheduled - 1];
            const int noise = op->class == &grc_op_gaussian_noise;
            if (!(rate >= 0 && (noise ? rate <= 1e30 : rate < 1)))
                return grc_fail(error, GRADCORE_INVALID, "rates: expected a number %s at step %llu, got %g",
                                noise ? "from 0 to 1e30" : "in [0, 1)", (unsigned long long)first + (uint64_t)s, rate);
        }
    }
    return GRADCORE_OK;
}

static size_t bytes(const grc_exec *x, size_t steps)
{
    return steps * (size_t)x->net->scheduled * sizeof(double);
}

void grc_release_rates(grc_exec *x)
{
    if (x->rates)
        grc_release(&x->net->allocator, x->rates, bytes(x, x->rate_room));
    x->rates = NULL;
    x->rate_steps = x->rate_room = 0;
}

grc_status grc_set_rates(grc_exec *x, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                         gradcore_error *error)
{
    const grc_status status = check(x->net, first, steps, layers, rates, error);
    if (status != GRADCORE_OK)
        return status;
    if ((size_t)steps > x->rate_room) {
        double *made = grc_allocate(&x->net->allocator, bytes(x, (size_t)steps));
        if (!made)
            return grc_fail(error, GRADCORE_NO_MEMORY, "rates: expected memory for %lld steps, got none",
                            (long long)steps);
        grc_release_rates(x);
        x->rates = made;
        x->rate_room = (size_t)steps;
    }
    memcpy(x->rates, rates, bytes(x, (size_t)steps));
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
