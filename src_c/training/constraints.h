/* Masks and bounds: what is made true of weights. */
#ifndef GRC_CONSTRAINTS_H
#define GRC_CONSTRAINTS_H

#include "rules.h"

enum { GRC_MASKS = 1, GRC_BOUNDS = 2, GRC_CONSTRAINTS = 3 };
int grc_has_constraints(const gradcore_trainer *trainer, unsigned what); /* is there such a rule? */
/* Makes constraints true of `vector`, a parameter vector, in one place. Begins and ends with a barrier where there
 * is something to do. what: which of them; bounds leave frozen parameters alone. limit: of a rule with a schedule,
 * NaN where it is not known yet. slack: with grc_slack, a vector that was constrained before stays as it is, bit
 * for bit. */
void grc_constrain(gradcore_trainer *trainer, grc_team *team, void *vector, unsigned what, double limit, double slack,
                   int t, int count);
static inline double grc_slack(const gradcore_network *n)
{
    return n->dtype == GRC_F32 ? 0x1p-22 : 0x1p-51;
}

#endif
