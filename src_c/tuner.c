/* How many threads a trainer's slices take. Where the estimate leaves no doubt, it decides; in between the counts in
 * question take turns, and the fastest goes on. What a cache line costs on its way from one core to another differs
 * between machines by ten times: a step of 64-64-64 with 64 rows takes two threads 0.7 of what it takes one on the
 * first, 1.3 on the next, so no estimate holds for both. The bits never depend on the count. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <time.h>

#include "trainer.h"

#define LEAST_WORK 8.0   /* estimated microseconds a thread: with less no machine seen gains from it */
#define LIKELY_WORK 24.0 /* most do, */
#define AMPLE_WORK 64.0  /* and all */
#define GAIN 0.97        /* more threads must take less than so much of the time */
#define ENOUGH 0.04      /* seconds of turns, in FEWEST_ROUNDS to MOST_ROUNDS of them */
enum { FEWEST_ROUNDS = 3, MOST_ROUNDS = 17, STRANGERS = 8, SLICES_A_CHOICE = 2000 };

static double seconds(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* heavy: the optimizer has products of its own, which the estimate does not know. */
static void ask(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy)
{
    const double work = grc_work(n, 3, rows, update);
    const int most = heavy ? n->threads : grc_threads_worth(n, work, LEAST_WORK);
    *u = (grc_tuner){.rows = rows, .update = update, .most = most, .least = grc_threads_worth(n, work, AMPLE_WORK)};
    u->count = most;
    u->chosen = most == u->least ? most : 0;
}

int grc_tuner_start(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy)
{
    const int same = u->most && rows == u->rows && update == u->update;
    u->timed = 0;
    if (n->exact_threads)
        return n->threads;
    if (u->most && !same && u->strangers++ < STRANGERS) /* such as the last batch of an epoch */
        return grc_threads_worth(n, grc_work(n, 3, rows, update), LIKELY_WORK);
    if (!same || u->slices == SLICES_A_CHOICE)
        ask(u, n, rows, update, heavy);
    u->strangers = 0;
    if (u->chosen) {
        u->slices += u->most != u->least;
        return u->chosen;
    }
    u->timed = 1;
    u->begin = seconds();
    return u->count;
}

/* The fewest threads among those that are about as fast as any. */
static int fastest(const grc_tuner *u)
{
    int count = u->most, best = count, turn = 0, chosen = 0;
    for (; count >= u->least; count /= 2, turn++)
        if (count == u->most || u->best[turn] * GAIN <= u->best[chosen]) {
            best = count;
            chosen = turn;
        }
    return best;
}

void grc_tuner_stop(grc_tuner *u, int64_t steps)
{
    if (!u->timed || steps == 0)
        return;
    const double taken = seconds() - u->begin, step = taken / (double)steps;
    u->spent += taken;
    if (u->round > 0 && (u->round == 1 || step < u->best[u->turn])) /* the first turns wake threads and fill caches */
        u->best[u->turn] = step;
    u->turn++;
    u->count /= 2;
    if (u->count >= u->least)
        return;
    u->turn = 0;
    u->count = u->most;
    u->round++;
    if (u->round >= FEWEST_ROUNDS && (u->round >= MOST_ROUNDS || u->spent >= ENOUGH))
        u->chosen = fastest(u);
}
