/* The update of a step.
 *
 * Words. An update is *risky* when it could leave the finite numbers; then it is made with a *way back*. A *verdict* is
 * what all threads return alike. The optimizer's own weights are those that it *trains*; see live_weights.c. */
#ifndef GRC_UPDATE_H
#define GRC_UPDATE_H

#include "../optimizers/driver.h"
#include "trainer.h"

typedef enum grc_verdict { GRC_APPLIED, GRC_SKIPPED } grc_verdict;

/* All threads of a team call these with the same arguments. */

/* Moments, decay and weights of what thread t owns; skipped, all state is as it was. norm: of all gradients. */
grc_verdict grc_optimize(grc_driver *d, gradcore_trainer *trainer, grc_team *team, const double *hypers, double norm,
                         int t, int count);
/* After it: the weights as masks and bounds allow them. */
void grc_constrain_update(grc_driver *d, gradcore_trainer *trainer, grc_team *team, double limit, int t, int count);
/* The running numbers after the update. */
void grc_advance(const grc_driver *d, double *running);

/* ---- live_weights.c ---- */

/* After weights that others may have set, and once there was an update: whatever else the trainer keeps of the weights
 * begins at those that have changed, within the masks. */
void grc_adopt(gradcore_trainer *trainer, grc_team *team, int t, int count);
/* Where the optimizer has a LIVE slot: the weights of what thread t owns become those that are trained, and back
 * those to evaluate, as the trainer's constraints have them; where none was updated, those that were shown before. */
void grc_enter_training(gradcore_trainer *trainer, int t, int count);
void grc_leave_training(gradcore_trainer *trainer, grc_team *team, const double *running, int updated, int t,
                        int count);

#endif
