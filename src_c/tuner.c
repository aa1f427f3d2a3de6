/* How many threads a trainer's slices take. Where the estimate leaves no doubt, it decides; in between the counts in
 * question take turns, and the fastest goes on. What a cache line costs on its way from one core to another differs
 * between machines by ten times: a step of 64-64-64 with 64 rows takes two threads 0.7 of what it takes one on the
 * first, 1.3 on the next, so no estimate holds for both. The bits never depend on the count. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <time.h>

#include "trainer.h"

#define LEAST_WORK 3.0   /* estimated microseconds a thread: with less no machine seen gains from it */
#define LIKELY_WORK 24.0 /* most do, */
#define AMPLE_WORK 64.0  /* and all */
#define GAIN 0.97        /* more threads must take less than so much of the time */
#define TURN 3e-4        /* seconds at least: threads that come from another count have to find in first */
#define ENOUGH 0.04      /* seconds of turns, in FEWEST_ROUNDS or more of them */
enum { FEWEST_ROUNDS = 3, STRANGERS = 8, SLICES_A_FIRST_CHOICE = 1000, SLICES_A_CHOICE = 10000 };

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
    const int again = u->rows == rows && u->update == update;
    *u = (grc_tuner){.rows = rows, .update = update, .most = most, .again = again,
                     .least = grc_threads_worth(n, work, AMPLE_WORK)};
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
    if (!same || (u->chosen && u->slices >= (u->again ? SLICES_A_CHOICE : SLICES_A_FIRST_CHOICE)))
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

/* Of the rounds but the first, which wakes threads and fills caches. Not the least: two threads that take half the
 * time now and then, when their cores happen to be near, and twice the time else, are not the faster ones. */
static float median_of(const float *took, int rounds)
{
    float sorted[GRC_TUNER_ROUNDS];
    for (int i = 1; i < rounds; i++) {
        int at = i - 1;
        for (; at > 0 && sorted[at - 1] > took[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = took[i];
    }
    return sorted[(rounds - 2) / 2];
}

/* The fewest threads among those that are about as fast as any. */
static int fastest(const grc_tuner *u)
{
    int count = u->most, best = count, turn = 0;
    float least = 0;
    for (; count >= u->least; count /= 2, turn++) {
        const float took = median_of(u->took[turn], u->round);
        if (turn == 0 || took * (float)GAIN <= least) {
            best = count;
            least = took;
        }
    }
    return best;
}

void grc_tuner_stop(grc_tuner *u, int64_t steps)
{
    if (!u->timed || steps == 0)
        return;
    const double taken = seconds() - u->begin;
    if (u->slices++ == 0) {
        u->first = taken / (double)steps;
        u->taken = 0;
        u->steps = 0;
    } else {
        u->taken += taken;
        u->steps += steps;
    }
    u->spent += taken;
    if (u->steps ? u->taken < TURN : taken < TURN)
        return;
    u->took[u->turn++][u->round] = (float)(u->steps ? u->taken / (double)u->steps : u->first);
    u->slices = 0;
    u->count /= 2;
    if (u->count >= u->least)
        return;
    u->turn = 0;
    u->count = u->most;
    u->round++;
    if (u->round >= FEWEST_ROUNDS && (u->round >= GRC_TUNER_ROUNDS || u->spent >= ENOUGH))
        u->chosen = fastest(u);
}
