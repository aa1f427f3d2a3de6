/* A trainer's losses at work. Batches begin at position `first`; rows are those of the batch. */
#ifndef GRC_LOSSES_H
#define GRC_LOSSES_H

#include "slice_view.h"

/* Room for the rows of each task, as many as the plan's, which is to be the trainer's; all or nothing. */
grc_status grc_make_room(gradcore_trainer *trainer, grc_plan *plan, gradcore_error *error);
void grc_place_tasks(gradcore_trainer *trainer, const gradcore_data *data);
/* May the divisors of its losses on this data have different ratios in different batches? */
int grc_divisors_differ(const gradcore_trainer *trainer, const gradcore_data *d);

/* ---- a batch ---- */

/* The row of the data at position `at` of the order; the one way to read that. */
int64_t grc_row_at(slice *s, int64_t at);
/* Rows [from, to) get their weight in each task, and their scale, which is weight / divisor times the task's share. */
void grc_weigh_rows(slice *s, int64_t first, size_t from, size_t to, int t);
/* Targets of rows [row, row + rows), where they are not used as they lie: labels, and those of a shuffled batch. */
void grc_load_targets(slice *s, int64_t first, size_t row, size_t rows);
/* Losses of these rows, and their derivatives into the deltas. */
void grc_compute_losses(const slice *s, int64_t first, size_t row, size_t rows);
/* Thread 0 alone: the loss of the whole batch by the caller's function, and its gradient in place of the last delta. */
grc_status grc_call_loss_function(slice *s, int64_t first);

/* ---- what came of it: of the batch of `rows` rows, after the barrier behind that. The plan may have the next one
 * ---- */

double grc_batch_loss(const gradcore_trainer *trainer, size_t rows);    /* without penalties */
double grc_batch_correct(const gradcore_trainer *trainer, size_t rows); /* 0 with heads */
double grc_batch_weight(const gradcore_trainer *trainer);
/* Numbers that a step reports of its heads; these, to `out`. */
#define GRC_HEAD_REPORT(trainer) (3 * (trainer)->net->head_count + 2)
void grc_report_heads(const gradcore_trainer *trainer, size_t rows, double *out);

#endif
