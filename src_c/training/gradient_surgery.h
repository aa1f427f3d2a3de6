/* A gradient for each head: surgery, which projects conflicts away, or just kept apart. All threads of a team call
 * these with the same arguments. */
#ifndef GRC_GRADIENT_SURGERY_H
#define GRC_GRADIENT_SURGERY_H

#include "slice_view.h"

/* projects: surgery; else each head's gradient is just kept apart. */
grc_status grc_surgery_create(gradcore_trainer *trainer, int projects, gradcore_error *error);
/* That of `from`, whose twin the trainer is. */
grc_status grc_surgery_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error);
void grc_surgery_destroy(gradcore_trainer *trainer);
int grc_projects(const gradcore_trainer *trainer);
/* Element `offset` of the gradient of a head, counted from 0. */
void *grc_head_gradient(const gradcore_trainer *trainer, int head, size_t offset);
/* plan->grad and its norms from the heads' gradients; begins and ends with a barrier. */
void grc_combine_heads(gradcore_trainer *trainer, grc_team *team, int t, int count);
typedef void grc_gradients_fn(slice *s, grc_team *team, int64_t first, int t, int count);
/* make_gradients once a head, then plan->grad and its norms of what all of them agree on; ends with a barrier. */
void grc_project_conflicts(slice *s, grc_team *team, grc_gradients_fn *make_gradients, int64_t first, int t, int count);

void grc_surgery_report(const gradcore_trainer *trainer, double out[2]); /* mean cosine, share of conflicts */
void grc_count_conflicts(gradcore_trainer *trainer); /* into the ledger: of gradients that an update has taken */

#endif
