/* What is chosen by time and changes no number: how many threads, and who may have an object. */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pass/thread_choice.h"
#include "api/ranges.h"
#include "check.h"

/* ---- locks ---- */

static void test_who_may_have_an_object(void)
{
    for (int held = GRC_SHARED; held <= GRC_CHANGING; held++)
        for (int wanted = GRC_SHARED; wanted <= GRC_CHANGING; wanted++) {
            grc_lock lock;
            atomic_init(&lock.state, (uint64_t)grc_generation() << 32);
            atomic_init(&lock.torn, 0);
            CHECK(grc_lock_take(&lock, (enum grc_use)held) == GRC_TAKEN);
            const int both = held == GRC_SHARED && wanted == GRC_SHARED;
            CHECK_NOTE(grc_lock_take(&lock, (enum grc_use)wanted) == (both ? GRC_TAKEN : GRC_TAKEN_BY_OTHERS),
                       "%d beside %d", wanted, held);
            if (both)
                grc_lock_drop(&lock, GRC_SHARED);
            grc_lock_drop(&lock, (enum grc_use)held);
            CHECK(grc_lock_take(&lock, GRC_CHANGING) == GRC_TAKEN);
            CHECK(!grc_lock_is_torn(&lock));
        }
}

/* ---- estimates ---- */

static gradcore_network *network(int units, int threads)
{
    const gradcore_layer layers[] = {{.size = sizeof(gradcore_layer), .alpha = NAN, .kind = "dense", .units = units}};
    const gradcore_network_options o = {.size = sizeof o, .inputs = units, .threads = threads};
    gradcore_network *n = NULL;
    gradcore_error error;
    CHECK(gradcore_network_create(&o, layers, 1, &n, &error) == GRADCORE_OK);
    return n;
}

static void test_estimates_grow_with_the_work(void)
{
    gradcore_network *small = network(16, 1), *large = network(256, 1);
    CHECK(grc_work(large, 1, 64, 0) > 20 * grc_work(small, 1, 64, 0)); /* 240 times the weights */
    CHECK(grc_work(large, 1, 64, 0) < 500 * grc_work(small, 1, 64, 0));
    CHECK(fabs(grc_work(small, 3, 64, 0) / grc_work(small, 1, 64, 0) - 3) < 1e-9);
    CHECK(fabs(grc_work(small, 1, 640, 0) / grc_work(small, 1, 64, 0) - 10) < 1e-9);
    CHECK(grc_work(large, 3, 1, 1) > grc_work(large, 3, 1, 0));
    gradcore_network_destroy(small);
    gradcore_network_destroy(large);
    CHECK(grc_threads_worth(8, 100, 10) == 8 && grc_threads_worth(8, 79, 10) == 4 && grc_threads_worth(8, 1, 10) == 1);
}

static void test_threads_for_work_on_arrays(void)
{
    const int most = grc_threads_default();
    CHECK(grc_threads_for_work(3, 0) == 3);
    CHECK(grc_threads_for_work(0, 0.5 * GRC_WORTH_SHARING) == 1);
    for (int halves = 2; halves < 20; halves++) {
        const int got = grc_threads_for_work(0, (halves + 0.5) * GRC_WORTH_SHARING / 2);
        CHECK_NOTE(got == (halves < most ? halves : most), "%d for %d halves, of %d", got, halves, most);
    }
}

/* ---- the tuner ---- */

static void work_for(double microseconds)
{
    const int64_t end = grc_nanoseconds() + (int64_t)(1e3 * microseconds);
    while (grc_nanoseconds() < end)
        ;
}

/* Threads at first, and the one it goes on with where `took` has microseconds by count. */
static int settled(uint64_t key, const double took[5], int *first)
{
    int threads = 0;
    for (int i = 0; i < 400; i++) {
        grc_tuner *u = grc_tuner_of(key, 200, 4, &threads);
        CHECK(u != NULL);
        if (!u)
            return 0;
        if (i == 0)
            *first = threads;
        int other = 0;
        CHECK(grc_tuner_of(key, 200, 4, &other) == NULL && other == 4); /* one at a time; the estimate for others */
        work_for(took[threads]);
        grc_tuner_done(u, threads);
    }
    return threads;
}

static void test_the_fastest_count_is_found(void)
{
    static const double middle[5] = {0, 300, 60, 0, 150}, one[5] = {0, 60, 150, 0, 300}, all[5] = {0, 300, 150, 0, 60};
    int first = 0, hits = 0;
    for (int i = 0; i < 3; i++) { /* a machine that is busy may spoil one */
        hits += settled(1000 + (uint64_t)i, middle, &first) == 2;
        CHECK(first == 4); /* the estimate's: 200 us */
        hits += settled(2000 + (uint64_t)i, one, &first) == 1;
        hits += settled(3000 + (uint64_t)i, all, &first) == 4;
    }
    CHECK_NOTE(hits >= 6, "%d of 9", hits);
}

static void test_little_work_begins_on_one_thread(void)
{
    int threads = 0;
    CHECK(grc_tuner_of(4000, 5, 4, &threads) == NULL && threads == 1); /* too little to try */
    CHECK(grc_tuner_of(4000, 1000, 1, &threads) == NULL && threads == 1);
    grc_tuner *u = grc_tuner_of(4001, 30, 4, &threads);
    CHECK(u != NULL && threads == 1); /* in doubt: first one, tried later */
    if (u)
        grc_tuner_done(u, 1);
    u = grc_tuner_of(4001, 30, 4, &threads);
    CHECK(u != NULL && threads == 1);
    if (u)
        grc_tuner_done(u, 1);
}

static void test_other_batches_begin_anew_in_the_end(void)
{
    gradcore_network *n = network(128, 4);
    grc_tuner u = {0};
    int64_t steps = 1000;
    CHECK(grc_tuner_start(&u, n, 64, 1, 0, &steps) >= 1 && u.rows == 64);
    grc_tuner_stop(&u, 1, u.count, 0);
    for (int i = 0; i < GRC_TUNER_UNSEEN; i++) {
        steps = 1000;
        grc_tuner_start(&u, n, 32, 1, 0, &steps);
        CHECK(u.rows == 64 && u.unseen);
        grc_tuner_stop(&u, 1, 1, 0);
    }
    steps = 1000;
    grc_tuner_start(&u, n, 32, 1, 0, &steps);
    CHECK(u.rows == 32 && !u.unseen);
    grc_tuner_stop(&u, 1, u.count, 0);
    gradcore_network_destroy(n);
}

int main(void)
{
    unsetenv("GRADCORE_EXACT_THREADS"); /* which leaves nothing to choose */
    test_who_may_have_an_object();
    test_estimates_grow_with_the_work();
    test_threads_for_work_on_arrays();
    test_the_fastest_count_is_found();
    test_little_work_begins_on_one_thread();
    test_other_batches_begin_anew_in_the_end();
    return check_report();
}
