/* Threads.
 *
 * Words. A *team* is the caller with the threads that work on one job for it; a thread's number t runs from 0, the
 * caller's, to count - 1. A job is divided into *shares*, one a thread, and a *barrier* divides every share into
 * pieces; behind it, whatever anybody has written before it is there for all. The *crowd* is everybody who runs a
 * team in this process now. */
#ifndef GRC_TEAM_H
#define GRC_TEAM_H

#include "base.h"

/* ---- threads.c ---- */

typedef struct grc_team grc_team;
typedef void grc_team_fn(void *context, grc_team *team, int t, int count);
/* Calls run(context, team, 0..count-1, count) on count <= wanted threads at once; 1 never enters the
 * OpenMP runtime. Each call runs under round-to-nearest, with denormals kept unless flush. */
void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context);
/* The same with as many as others leave: callers at work at once share the CPUs, and while threads come late everybody
 * works alone. Returns how many were taken. */
int grc_team_lend(int wanted, int flush_denormals, grc_team_fn *run, void *context);
void grc_barrier(grc_team *team);
/* Thread 0: nanoseconds that it waited in this job so far for threads that had no core. */
int64_t grc_team_lost(const grc_team *team);

/* ---- cpus.c: how many threads there may be ---- */

int grc_threads_counted(const char **reason); /* by default, and why so many */
int grc_threads_default(void); /* the same, as it was a second ago at most */
int grc_openmp_threads(int *bound); /* OpenMP's maximum, and whether it binds threads to places; 0 without it */
int64_t grc_nanoseconds(void); /* of a clock that only goes on */

/* ---- crowding.c: how many of them others leave ---- */

/* Threads for one more caller, who leaves in the end. */
int grc_crowd_enter(int wanted);
void grc_crowd_leave(void);
/* A team was at work for so many nanoseconds, of which it lost some to threads that had no core. */
void grc_crowd_worked(int64_t worked, int64_t lost);

/* ---- division of work ---- */

/* Rows [first, last) of thread t; whole blocks of `unit` rows. */
static inline void grc_rows_of(size_t rows, size_t unit, int t, int count, size_t *first, size_t *last)
{
    const size_t units = (rows + unit - 1) / unit;
    *first = grc_min(units * (size_t)t / (size_t)count * unit, rows);
    *last = grc_min(units * ((size_t)t + 1) / (size_t)count * unit, rows);
}
/* The count, halved until every thread has work for `each` microseconds: few different pools come of it. */
static inline int grc_threads_worth(int threads, double work, double each)
{
    while (threads > 1 && work < each * threads)
        threads /= 2;
    return threads;
}

#endif
