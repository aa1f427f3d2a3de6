/* How many threads slices and products take. Where the estimate leaves no doubt, it decides; in between it makes the
 * first choice, and then the counts in question take turns and the fastest goes on. What a cache line costs on its way
 * from one core to another differs between machines by ten times, and on a virtual machine from one minute to the next:
 * a step of 64-64-64 with 64 rows takes two threads 0.7 of what it takes one on the first, 1.3 on the next, so no
 * estimate holds for both. So the question is asked again when a step's time leaves what was seen, and now and then
 * anyway. A slice runs in parts, between which all of this happens. The bits never depend on the count. */
#include "thread_choice.h"

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
#define COST 20         /* times what a question took: to the next one, at least, */
#define LEAST_COST 8    /* even if the time leaves what was seen: beside other programs it does so all the time */
enum { ROUNDS = GRC_TUNER_ROUNDS };

static double seconds(void)
{
    return 1e-9 * (double)grc_nanoseconds();
}

/* heavy: the optimizer has products of its own, which the estimate does not know. */
static void begin(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy)
{
    const double work = grc_work(n, 3, rows, update);
    *u = (grc_tuner){.rows = rows,
                     .update = update,
                     .least = grc_threads_worth(n->threads, work, AMPLE_WORK),
                     .most = heavy ? n->threads : grc_threads_worth(n->threads, work, LEAST_WORK),
                     .mean = 1e-6 * work,
                     .pause = SOON,
                     .next = SETTLED};
    u->count = heavy ? u->least : grc_threads_worth(n->threads, work, LIKELY_WORK);
}

static void ask(grc_tuner *u)
{
    u->asking = 1;
    u->turn = u->round = 0;
    u->warm = u->taken = 0;
    u->steps = 0;
    u->before = u->count;
    u->count = u->most;
    u->asked = u->spent;
}

static int64_t steps_in(double time, double step)
{
    return step > 0 && time / step < 1e9 ? (int64_t)(time / step) + 1 : 1;
}

/* The next part begins: with so many threads. */
static int go(grc_tuner *u)
{
    if (!u->asking && u->most != u->least && u->spent >= u->next)
        ask(u);
    u->begin = seconds();
    return u->count;
}

int grc_tuner_start(grc_tuner *u, const gradcore_network *n, size_t rows, int update, int heavy, int64_t *steps)
{
    const int same = u->most && rows == u->rows && update == u->update;
    u->unseen = 0;
    if (n->exact_threads)
        return n->threads;
    if (u->most && !same && u->unseen_parts++ < GRC_TUNER_UNSEEN) { /* such as the last batch of an epoch */
        u->unseen = 1;
        return grc_threads_worth(n->threads, grc_work(n, 3, rows, update), LIKELY_WORK);
    }
    if (!same)
        begin(u, n, rows, update, heavy);
    u->unseen_parts = 0;
    if (u->most == 1) /* the clock takes a while, too */
        return 1;
    const int count = go(u);
    const int64_t most = steps_in(u->asking ? (u->warm < WARM ? WARM : TURN) : PART, u->mean);
    *steps = *steps < most ? *steps : most;
    return count;
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
    const double cost = u->spent - u->asked;
    u->soonest = u->spent + LEAST_COST * cost;
    u->next = u->spent + (u->pause > COST * cost ? u->pause : COST * cost);
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
    if (u->unseen || u->most <= 1 || steps == 0)
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
        u->next = u->soonest < u->next ? u->soonest : u->next;
        u->pause = SOON;
    }
}

/* ---- work on plain arrays ---- */

#define AMPLE_ALONE 5e3 /* microseconds a thread of work that needs no question */

/* By key; of two at the same place each begins anew when its turn comes. One caller has a place at a time. */
enum { PLACES = 64 };
typedef struct place {
    atomic_int taken;
    uint64_t key;
    int ceiling; /* as many threads as might be had */
    grc_tuner tuner; /* last */
} place;
static place places[PLACES];

grc_tuner *grc_tuner_of(uint64_t key, double microseconds, int most, int *threads)
{
    const int trial = grc_threads_worth(most, microseconds, LEAST_WORK);
    *threads = grc_threads_worth(most, microseconds, LIKELY_WORK);
    place *p = &places[(key * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
    if (trial == 1 || atomic_exchange_explicit(&p->taken, 1, memory_order_acquire))
        return NULL;
    if (p->key != key || p->ceiling != most) {
        p->key = key;
        p->ceiling = most;
        p->tuner = (grc_tuner){.least = grc_threads_worth(most, microseconds, AMPLE_ALONE),
                               .most = trial,
                               .count = *threads,
                               .mean = 1e-6 * microseconds,
                               .pause = SOON,
                               .next = SETTLED};
    }
    *threads = go(&p->tuner);
    return &p->tuner;
}

void grc_tuner_done(grc_tuner *u, int count)
{
    place *p = (place *)((char *)u - offsetof(place, tuner));
    grc_tuner_stop(u, 1, count, 0);
    atomic_store_explicit(&p->taken, 0, memory_order_release);
}
