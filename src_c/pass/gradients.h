/* Gradients of the parameters, their penalties, and their norms. */
#ifndef GRC_GRADIENTS_H
#define GRC_GRADIENTS_H

#include "plan.h"

/* Gradients of what thread t owns, into plan->grad, and their chunk norms. */
void grc_gradients(grc_plan *plan, int t, int count);
/* Gradients of the block of rows [row, row + rows) into out (a parameter vector). */
void grc_gradients_of_rows(grc_view *x, size_t row, size_t rows, void *out);
/* grc_gradients, or the fold of those blocks where they were made (grc_uses_partials). */
void grc_reduce(grc_plan *plan, int t, int count);
/* Sums of squares of the chunks of plan->grad that thread t owns; penalized: once their penalties are added. */
void grc_norms_of_gradient(grc_plan *plan, int penalized, int t, int count);

#endif
