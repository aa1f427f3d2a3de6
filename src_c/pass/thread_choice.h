/* How many threads take work that comes again and again: steps of a trainer, products of one shape. */
#ifndef GRC_TUNER_H
#define GRC_TUNER_H

#include "plan.h"

enum { GRC_TUNER_COUNTS = 11 /* 1024 threads, halved to one */, GRC_TUNER_ROUNDS = 3, GRC_TUNER_UNSEEN = 8 };

typedef struct grc_tuner { /* most 0: nothing was seen. Times in seconds */
    int most, least;    /* counts in question: most, most / 2, ... down to least */
    int count;          /* in use, or whose turn it is */
    int asking;         /* they take turns */
    int turn, round, before;    /* before: the count in use when the question was asked */
    int64_t steps;      /* of this turn, as far as it counts */
    double warm, taken; /* of this turn: what does not count, what does */
    double begin, spent; /* when the part that runs began; of all parts */
    double mean, seen;  /* of a step: of late; when the count was chosen, or 0 */
    double next, pause; /* value of `spent` at which the question is asked; how long after that it is asked again */
    double asked, soonest; /* value of `spent` when it was, and before which it is not asked again */
    float took[GRC_TUNER_COUNTS][GRC_TUNER_ROUNDS]; /* [turn][round]: of a step */
    size_t rows;        /* of a trainer: the batches that it is for */
    int update;
    int unseen, unseen_parts; /* the part that runs has other batches; so many such parts in a row */
} grc_tuner;

/* Threads for a part of a trainer's slice that begins now, and its steps, of those that are left; heavy: of an
 * optimizer with products of its own. */
int grc_tuner_start(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy, int64_t *steps);
/* Afterwards: so many steps were made, on `count` threads, with `lost` seconds of waiting for others. */
void grc_tuner_stop(grc_tuner *u, int64_t steps, int count, double lost);

/* The tuner for work on plain arrays whose time `key` decides, some `microseconds` of one thread, and the threads to
 * begin it with, `most` at most; NULL: so many threads, and nothing is to be learnt. Given back by grc_tuner_done. */
grc_tuner *grc_tuner_of(uint64_t key, double microseconds, int most, int *threads);
void grc_tuner_done(grc_tuner *u, int count);

#endif
