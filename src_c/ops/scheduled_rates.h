/* Rates of dropout, deviations of noise and strengths of penalties that differ from step to step.
 *
 * Words. The *rates* of a step are a row of a table that lies beside the pass; a *column* belongs to an op, or two
 * of them to a parameter's penalty, l1 before l2. */
#ifndef GRC_SCHEDULED_RATES_H
#define GRC_SCHEDULED_RATES_H

#include "../network/op.h"

typedef struct grc_rates {
    double *table;        /* (steps, columns): of steps from `first` on; or NULL */
    uint64_t first;
    size_t steps, columns, room; /* room for so many numbers */
} grc_rates;

/* Replaces the table, all or nothing; a copy is kept. */
grc_status grc_set_rates(grc_rates *r, const gradcore_network *n, uint64_t first, int64_t steps, int64_t columns,
                         const double *rates, gradcore_error *error);
grc_status grc_copy_rates(grc_rates *r, const grc_rates *from, const gradcore_network *n, gradcore_error *error);
void grc_release_rates(grc_rates *r, const gradcore_network *n);
/* What the op draws with at a step: the table's where it has that step, else `constant`. */
double grc_rate_of(const grc_op *op, const grc_rates *r, uint64_t step, double constant);
const double *grc_strength_of(const grc_parameter *p, const grc_rates *r, uint64_t step); /* l1 and l2 */
/* Leaves the strengths of a step with the parameters, where the table has it. The caller has the network. */
void grc_keep_strengths(const grc_rates *r, gradcore_network *n, uint64_t step);

#endif
