/* The numbers of an update that are the same for all elements.
 *
 * Words. Numbers are *derived* once an update from an optimizer's own; *running* ones are kept from update to
 * update. An optimizer that measures is *finished* once the sums over an array, or over all of them, are there. */
#ifndef GRC_SCALARS_H
#define GRC_SCALARS_H

#include "../kernels/kernels.h"

/* Sets args->d and args->next from everything else, before the kernel. May be repeated. */
void grc_opt_prepare(int optimizer, grc_opt_args *args);
/* The same between the two halves, from the sums over an array (TENSOR) or over all of them (TOTAL). */
void grc_opt_finish(int optimizer, grc_opt_args *args, const double sum[2]);
/* What muon's direction is made of: mix[0] times the momentum and mix[1] times the gradient. */
void grc_muon_mix(const grc_opt_args *args, double mix[2]);

#endif
