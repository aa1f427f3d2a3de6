/* A step of a slice.
 *
 * Words. What every thread *counts* for itself, all count alike. A step is *broken off* when nothing of it counts,
 * *refused* when the caller's function says so. With accumulation it *waits* for more gradients, or is *joined* to
 * those that waited. */
#ifndef GRC_STEP_H
#define GRC_STEP_H

#include "averages.h"
#include "slice_view.h"
#include "update.h"

typedef struct grc_counts {
    uint64_t step, updates; /* see gradcore_trainer */
    double running[GRADCORE_RUNNING];
    grc_waiting waiting;
} grc_counts;

/* What all threads know of a step alike. */
typedef struct grc_step {
    int64_t first;        /* position where the batch begins */
    const double *hypers;
    size_t rows;          /* of the batch; the plan may have the next one's by the time that they are asked for */
    uint64_t update;      /* that it makes or takes part in: 1 for the first one */
    double loss, norm, scale; /* norm: of all gradients; scale: what they are multiplied by */
    double correct;       /* thread 0 */
    int finite;           /* loss and norm are */
    int climbed;          /* the gradient is from a point up the slope */
    int waits, joined, refused;
    grc_verdict verdict;
} grc_step;

/* Step i. All threads call it. */
enum grc_outcome { GRC_WENT_ON, GRC_STOPPED, GRC_BROKEN_OFF };
enum grc_outcome grc_take_step(slice *s, grc_team *team, grc_counts *counts, int64_t i, int t, int count);

/* ---- step_numbers.c: by every thread alike ---- */

grc_step grc_begin_step(const slice *s, grc_counts *counts, int64_t i);
/* Loss, norm, whether they are finite, and whether a climb follows; thread 0 reports the heads, as they are before
 * it. */
void grc_measure_step(const slice *s, grc_step *step, int64_t i, int t);
void grc_measure_climb(const slice *s, grc_step *step);
/* With accumulation: its gradient waits, or is joined by those that did. */
void grc_accumulate_step(slice *s, grc_team *team, grc_counts *counts, grc_step *step, int t, int count);
/* The trainer's fused rule, and the caller's function, asked by one. */
void grc_find_scale(slice *s, grc_team *team, const grc_counts *counts, grc_step *step, int t);
int grc_is_to_update(const slice *s, const grc_step *step);
grc_driver grc_drive_step(const gradcore_trainer *trainer, const grc_counts *counts, const grc_step *step);
/* Takes the step into the counts. */
enum grc_outcome grc_count_step(const slice *s, grc_counts *counts, const grc_step *step);
/* Thread 0: the step's report, and what the trainer keeps of it. */
void grc_report_step(slice *s, const grc_step *step, int64_t i);

#endif
