/* How many threads a trainer's slices take. Where the estimate leaves no doubt, it decides; in between it makes the
 * first choice, and then the counts in question take turns and the fastest goes on. What a cache line costs on its way
 * from one core to another differs between machines by ten times, and on a virtual machine from one minute to the next:
 * a step of 64-64-64 with 64 rows takes two threads 0.7 of what it takes one on the first, 1.3 on the next, so no
 * estimate holds for both. So the question is asked again when a step's time leaves what was seen, and now and then
 * anyway. A slice runs in parts, between which all of this happens. The bits never depend on the count. */
#include "trainer.h"

#define LEAST_WORK 3.0  /* estimated microseconds a thread: with less no machine seen gains from it */
#define LIKELY_WORK 24.0 /* most do, */
#define AMPLE_WORK 64.0 /* and all */
#define GAIN 0.97       /* more threads must take less than so much of the time */
#define PART 1e-2       /* seconds that a part of a slice takes, about */
#define WARM 1e-4       /* of a turn that does not count: threads that slept have to wake */
#define TURN 3e-4       /* that count */
#define SETTLED 5e-3    /* before the first question */
#define SOON 5e-2       /* between questions, at first; each time twice as long, */
#define SELDOM 5.0      /* up to this */
#define FAR 1.3         /* times what was seen, or so many times less: the question is asked again */
enum { ROUNDS = GRC_TUNER_ROUNDS };

static double seconds(void)
{
    return 1e-9 * (double)grc_nanoseconds();
}

/* heavy: the optimizer has products of its own, which the estimate does not know. */
static void begin(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy)
{
    const double work = grc_work(n, 3, rows, update);
    *u = (grc_tuner){.rows = rows, .update = update, .least = grc_threads_worth(n, work, AMPLE_WORK),
                     .most = heavy ? n->threads : grc_threads_worth(n, work, LEAST_WORK),
                     .mean = 1e-6 * work, .pause = SOON, .next = SETTLED};
    u->count = heavy ? u->least : grc_threads_worth(n, work, LIKELY_WORK);
}

static void ask(grc_tuner *u)
{
    u->asking = 1;
    u->turn = u->round = 0;
    u->warm = u->taken = 0;
    u->steps = 0;
    u->before = u->count;
    u->count = u->most;
}

static int64_t steps_in(double time, double step)
{
    return step > 0 && time / step < 1e9 ? (int64_t)(time / step) + 1 : 1;
}

int grc_tuner_start(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy, int64_t *steps)
{
    const int same = u->most && rows == u->rows && update == u->update;
    u->stranger = 0;
    if (n->exact_threads)
        return n->threads;
    if (u->most && !same && u->strangers++ < GRC_TUNER_STRANGERS) { /* such as the last batch of an epoch */
        u->stranger = 1;
        return grc_threads_worth(n, grc_work(n, 3, rows, update), LIKELY_WORK);
    }
    if (!same)
        begin(u, n, rows, update, heavy);
    u->strangers = 0;
    if (u->most == 1) /* the clock takes a while, too */
        return 1;
    if (!u->asking && u->most != u->least && u->spent >= u->next)
        ask(u);
    const int64_t most = steps_in(u->asking ? (u->warm < WARM ? WARM : TURN) : PART, u->mean);
    *steps = *steps < most ? *steps : most;
    u->begin = seconds();
    return u->count;
}

static float median_of(const float *took)
{
    float sorted[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1] > took[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = took[i];
    }
    return sorted[ROUNDS / 2];
}

/* The fewest threads among those that are about as fast as any. Medians: two threads that take half the time now and
 * then, when their cores happen to be near, and twice the time else, are not the faster ones. */
static void choose(grc_tuner *u)
{
    float least = 0;
    int turn = 0;
    for (int count = u->most; count >= u->least; count /= 2, turn++) {
        const float took = median_of(u->took[turn]);
        if (turn == 0 || took * (float)GAIN <= least) {
            u->count = count;
            least = took;
        }
    }
    u->asking = 0;
    u->mean = u->seen = least;
    u->next = u->spent + u->pause;
    u->pause = 2 * u->pause < SELDOM ? 2 * u->pause : SELDOM;
}

/* One of the turns goes on, or the next begins. */
static void take_turn(grc_tuner *u, int64_t steps, double taken)
{
    if (u->warm < WARM) {
        u->warm += taken;
        return;
    }
    u->taken += taken;
    u->steps += steps;
    if (u->taken < TURN)
        return;
    u->took[u->turn++][u->round] = (float)(u->taken / (double)u->steps);
    u->warm = u->taken = 0;
    u->steps = 0;
    u->count /= 2;
    if (u->count >= u->least)
        return;
    u->turn = 0;
    u->count = u->most;
    if (++u->round == ROUNDS)
        choose(u);
}

void grc_tuner_stop(grc_tuner *u, int64_t steps, int count, double lost)
{
    if (u->stranger || u->most <= 1 || steps == 0)
        return;
    const double taken = seconds() - u->begin - lost, step = taken / (double)steps;
    u->spent += taken;
    if (count != u->count) { /* others need the cores: nothing is learnt about them */
        if (u->asking) {
            u->asking = 0;
            u->count = u->before;
            u->next = u->spent + u->pause;
        }
        return;
    }
    if (u->asking) {
        take_turn(u, steps, taken);
        return;
    }
    const double share = taken < PART / 2 ? taken / (PART / 2) : 1;
    u->mean += share * ((step < 4 * u->mean || !u->seen ? step : 4 * u->mean) - u->mean);
    if (u->seen && (u->mean > FAR * u->seen || FAR * u->mean < u->seen)) {
        u->seen = u->mean;
        u->next = u->spent < u->next ? u->spent : u->next;
        u->pause = SOON;
    }
}
