/* What keeps vectors beside the optimizer: averages of weights, gradients that wait, the point up the slope. All
 * threads of a team call these with the same arguments. */
#ifndef GRC_AVERAGES_H
#define GRC_AVERAGES_H

#include "trainer.h"

/* ---- averages.c ---- */

grc_status grc_check_rate(const grc_average *a, double rate, gradcore_error *error);
/* Before the first update, and after every one: `step` counts updates. Where the fast weights go back to the slow ones,
 * both are constrained. */
void grc_start_averages(gradcore_trainer *trainer, int t, int count);
void grc_average_weights(gradcore_trainer *trainer, grc_team *team, uint64_t step, const double *hypers, int t,
                         int count);

/* ---- accumulation.c ---- */

int grc_accumulates(const gradcore_trainer *trainer);
uint64_t grc_accumulated(const gradcore_trainer *trainer); /* gradients of an update, 1 without accumulation */
/* Adds the gradients of what thread t owns to those that wait, `done` of them taken since the trainer was made.
 * Returns 1 if the update has to wait for more; else plan->grad and its norms are those of one batch of all their
 * rows. `waiting` is the thread's copy. */
int grc_accumulate(gradcore_trainer *trainer, grc_team *team, grc_waiting *waiting, uint64_t done, int climbed,
                   size_t rows, int t, int count);
/* How many vectors behind all other state hold means of heads; the i-th of them. */
int grc_head_means(const gradcore_trainer *trainer);
void *grc_head_mean(const gradcore_trainer *trainer, int head);

/* ---- sharpness_aware.c ---- */

/* Both end with a barrier. Once the gradient of the batch is there: weights += rho g / |g|, adaptive:
 * rho w^2 g / |w g|. What the batch tells the ops besides is put aside. */
void grc_sam_climb(gradcore_trainer *trainer, grc_team *team, double rho, size_t rows, int t, int count);
/* The weights as they were. */
void grc_sam_return(gradcore_trainer *trainer, grc_team *team, int t, int count);
/* grc_settle, or what was put aside by a climb. */
void grc_learn(gradcore_trainer *trainer, int climbed, size_t rows, int t, int count);

#endif
