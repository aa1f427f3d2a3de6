/* The rows of a batch that one thread takes through the network.
 *
 * Words. A thread's *share* of a batch are rows that lie together. It passes *whole*, op by op, where the ops of
 * the network meet or the batch is small, so that large layers can be split by columns; else *block* by block,
 * whose values stay in the cache. */
#ifndef GRC_ROWS_H
#define GRC_ROWS_H

#include "slice_view.h"

typedef struct grc_share {
    size_t begin, end, step; /* rows, and how many pass at a time */
    int whole;
} grc_share;

grc_share grc_share_of(const slice *s, int t, int count);
/* For (size_t row = share.begin; grc_is_block(&share, row); row += share.step): a share that passes whole is one
 * block, even of no rows, since its thread meets the others. */
static inline int grc_is_block(const grc_share *share, size_t row)
{
    return row < share->end || (row == share->begin && share->whole);
}

/* Of the block that begins at `row`. What lies ready is not copied: real targets in order, the inputs if the
 * network can. */
void grc_load_block(slice *s, int64_t first, const grc_share *share, size_t row);
void grc_forward_block(slice *s, grc_team *team, const grc_share *share, size_t row, int t, int count);
void grc_loss_of_block(slice *s, int64_t first, const grc_share *share, size_t row);
void grc_backward_block(slice *s, grc_team *team, const grc_share *share, size_t row, int t, int count);
/* Rules on its rows, and the partial gradients where they are made by blocks of rows. */
void grc_clip_block(slice *s, int64_t first, const grc_share *share, size_t row);
void grc_reduce_block(slice *s, const grc_share *share, size_t row);
/* The caller's loss, of all rows at once, between two barriers. */
void grc_loss_of_batch(slice *s, grc_team *team, int64_t first, int t);

/* By one thread, before a barrier: what all read of step i. Others may still be at the update of the step before. */
void grc_prepare_step(slice *s, int64_t i, uint64_t step);

#endif
