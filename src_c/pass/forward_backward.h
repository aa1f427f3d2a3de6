/* Forward and backward over the ops of a network. Every thread of a team calls these; what is shared is written by its
 * owner only. */
#ifndef GRC_FORWARD_BACKWARD_H
#define GRC_FORWARD_BACKWARD_H

#include "plan.h"

/* Value 0 = these rows where they lie (they are only read), or its own buffer where rows is NULL. */
void grc_place_input(grc_plan *plan, const void *rows, size_t ld);
/* `rows` rows of `from` into rows [row, row + rows) of the input value. */
void grc_load_rows(grc_view *x, size_t row, size_t rows, const void *from, size_t stride);

void grc_forward(grc_view *x, size_t row, size_t rows);
/* The same for a whole team, each thread with its own rows, all of which must be loaded. Large layers are
 * split by columns instead, so that a weight is read by the thread that updates it and by no other. */
void grc_forward_team(grc_view *x, grc_team *team, size_t row, size_t rows, int t, int count);
void grc_backward(grc_view *x, size_t row, size_t rows);
/* Backward by a team, each thread its own rows. Networks whose ops meet take all rows of the batch at once. */
void grc_backward_team(grc_view *x, grc_team *team, size_t row, size_t rows, int t, int count);

/* Brings what the ops derive from the parameters up to date, thread t its share. */
void grc_refresh(grc_view *x, int t, int count);
/* grc_derive after an update; what is held learns nothing from it. */
void grc_derive_update(grc_view *x, int t, int count);
/* Both, after an update. */
void grc_refresh_weights(grc_view *x, grc_team *team, int t, int count);
/* What ops learn of the batch of `rows` besides gradients, once its update is applied: thread t its share. */
void grc_settle(grc_view *x, size_t rows, int t, int count);

#endif
