/* The matrices of a trainer that its optimizer takes as wholes. */
#ifndef GRC_MATRICES_H
#define GRC_MATRICES_H

#include "trainer.h"

int grc_is_matrix(const gradcore_trainer *trainer, int parameter); /* it has an update as a whole */
/* That update. All threads call it; begins and ends with a barrier. */
void grc_matrix_step(const gradcore_trainer *trainer, grc_team *team, int parameter, const grc_opt_args *args, int t,
                     int count);
/* soap's state: a copy of this thread's share, or back; whether its share is finite. */
void grc_keep_factors(const gradcore_trainer *trainer, int restore, int t, int count);
int grc_factors_are_finite(const gradcore_trainer *trainer, int t, int count);
/* To where the plan has the gradients and slots now. */
void grc_matrices_follow(const gradcore_trainer *trainer);
/* Those of `from`, whose twin the trainer is, with their state. */
grc_status grc_matrices_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error);
void grc_matrices_destroy(gradcore_trainer *trainer);

#endif
