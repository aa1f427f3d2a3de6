/* Sums that no order of work changes: element i goes to lane i % 8, then the lanes are folded. The order of the
 * additions depends on n alone. */
#ifndef GRC_SUMS_H
#define GRC_SUMS_H

#include "base.h"

static inline double grc_fold_lanes(const double lane[8])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
double grc_sum(size_t n, const double *x);
double grc_weighted_sum(size_t n, const double *weight, const double *x);

#endif
