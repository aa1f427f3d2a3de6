/* Sums in eight lanes. */
#include "sums.h"

double grc_weighted_sum(size_t n, const double *weight, const double *x)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += weight[i + (size_t)j] * x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += weight[i] * x[i];
    return grc_fold_lanes(lane);
}

double grc_sum(size_t n, const double *x)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += x[i + (size_t)j];
    for (int j = 0; i < n; i++, j++)
        lane[j] += x[i];
    return grc_fold_lanes(lane);
}
