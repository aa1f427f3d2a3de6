/* Pieces of work that anybody may take, callers that share the CPUs, pauses after threads that came late. */
#define _GNU_SOURCE
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fiber.h"
#include "base/locks.h"
#include "base/team.h"
#include "check.h"

/* ---- pieces ---- */

enum { SHARES = 4, PIECES = 300 };

typedef struct ring { /* every share adds what its neighbour had at the last barrier */
    uint64_t number[2][SHARES];
    int visits[SHARES], count;
    pthread_t caller;
    int by_caller, first_by_others; /* pieces of other shares by the caller; of the first by others */
} ring;

static void turn_ring(void *context, grc_team *team, int share, int count)
{
    ring *r = context;
    volatile char deep[4096]; /* its stack is its own, whoever steps onto it */
    memset((char *)deep, share + 1, sizeof deep);
    if (share == 0)
        CHECK(grc_team_lost(team) == 0);
    for (int i = 0; i < PIECES; i++) {
        const uint64_t *before = r->number[i % 2];
        r->number[(i + 1) % 2][share] = 31 * before[share] + before[(share + 1) % count] + (uint64_t)i;
        r->visits[share]++;
        const int called = pthread_equal(pthread_self(), r->caller) != 0;
        if (share > 0)
            __atomic_fetch_add(&r->by_caller, called, __ATOMIC_RELAXED);
        else
            r->first_by_others += !called;
        grc_barrier(team);
        for (size_t k = 0; k < sizeof deep; k += 64)
            CHECK(deep[k] == share + 1);
    }
    if (share == 0)
        r->count = count;
}

static void test_pieces(void)
{
    uint64_t number[2][SHARES] = {{1, 2, 3, 4}};
    int helped = 0;
    for (int i = 0; i < PIECES; i++)
        for (int s = 0; s < SHARES; s++)
            number[(i + 1) % 2][s] = 31 * number[i % 2][s] + number[i % 2][(s + 1) % SHARES] + (uint64_t)i;
    for (int run = 0; run < 20; run++) {
        ring r = {.number = {{1, 2, 3, 4}}, .caller = pthread_self()};
        grc_team_run(SHARES, 0, &turn_ring, &r);
        if (r.count != SHARES) /* built without threads, or none can be had */
            return;
        for (int s = 0; s < SHARES; s++)
            CHECK(r.number[PIECES % 2][s] == number[PIECES % 2][s] && r.visits[s] == PIECES);
        CHECK(r.first_by_others == 0); /* callbacks run in the caller's thread, on its stack */
        helped += r.by_caller;
    }
#ifdef GRC_STRESS
    CHECK(helped > 0);
#else
    (void)helped;
#endif
}

/* ---- floating-point state ---- */

typedef struct denormal {
    double sum[SHARES];
} denormal;

static void add_denormals(void *context, grc_team *team, int share, int count)
{
    denormal *d = context;
    (void)count;
    for (int i = 0; i < 50; i++) {
        volatile double least = 4.9406564584124654e-324;
        d->sum[share] += least + least;
        grc_barrier(team);
    }
}

static void test_denormals_whoever_adds_them(void)
{
    for (int run = 0; run < 10; run++) {
        denormal kept = {{0}}, flushed = {{0}};
        grc_team_run(SHARES, 0, &add_denormals, &kept);
        grc_team_run(SHARES, 1, &add_denormals, &flushed);
        for (int s = 0; s < SHARES; s++) {
            CHECK(kept.sum[s] == 100 * 4.9406564584124654e-324 || kept.sum[s] == 0); /* 0: a share that did not come */
#if defined(__x86_64__) || defined(__aarch64__)
            CHECK(flushed.sum[s] == 0);
#endif
        }
        CHECK(kept.sum[0] > 0);
    }
}

/* ---- signals ---- */

#if defined(__linux__) && defined(_OPENMP) && !defined(__SANITIZE_THREAD__) /* which has a thread of its own */
/* They are for the host's own threads: a worker takes none. */
static void test_workers_take_no_signals(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int workers = 0;
    for (struct dirent *d; tasks && (d = readdir(tasks));) {
        char path[300], line[200];
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *f = atol(d->d_name) > 0 && atol(d->d_name) != (long)getpid() ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        while (fgets(line, sizeof line, f) && sscanf(line, "SigBlk: %llx", &blocked) != 1)
            ;
        fclose(f);
        for (int s = 1; s < 32; s++)
            CHECK_NOTE(s == SIGKILL || s == SIGSTOP || blocked >> (s - 1) & 1, "signal %d of %llx", s, blocked);
        workers++;
    }
    if (tasks)
        closedir(tasks);
    CHECK(!tasks || !GRC_FIBERS || workers > 0);
}
#endif

/* ---- callers at once ---- */

static void test_callers_share_the_cpus(void)
{
    const int cpus = grc_threads_default();
    for (int wanted = 1; wanted <= 64; wanted *= 4) {
        int got[5];
        for (int i = 0; i < 5; i++) {
            got[i] = grc_crowd_enter(wanted);
            CHECK(got[i] >= 1 && got[i] <= wanted);
            CHECK_NOTE(i == 0 || got[i] == 1 || got[i] * (i + 1) <= cpus, "%d of %d for caller %d", got[i], cpus, i);
        }
        for (int i = 0; i < 5; i++)
            grc_crowd_leave();
        const struct timespec forgotten = {0, 30000000};
        nanosleep(&forgotten, NULL); /* so that the next ones count only each other */
    }
}

#ifdef __linux__
static void test_the_reason_for_the_count(void)
{
    const char *reason = NULL;
    int bound;
    const int count = grc_threads_counted(&reason), most = grc_openmp_threads(&bound);
    cpu_set_t set;
    if (getenv("GRADCORE_NUM_THREADS") || getenv("OMP_NUM_THREADS") || bound || most == 0
        || sched_getaffinity(0, sizeof set, &set) != 0)
        return;
    if (count == most) /* neither affinity nor quota allows fewer */
        CHECK_NOTE(strcmp(reason, "OpenMP's maximum") == 0, "%s", reason);
    else if (count == CPU_COUNT(&set))
        CHECK_NOTE(strcmp(reason, "CPU affinity") == 0, "%s", reason);
    else
        CHECK_NOTE(strcmp(reason, "cgroup quota") == 0, "%s", reason);
    CHECK(count <= CPU_COUNT(&set));
}
#endif

/* ---- late threads ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int threads_of_one_caller(int wanted)
{
    const int got = grc_crowd_enter(wanted);
    grc_crowd_leave();
    return got;
}

/* Seconds until teams are tried again. */
static double pause_after(int64_t lost)
{
    const double begin = seconds();
    grc_crowd_worked(0, lost);
    CHECK(threads_of_one_caller(2) == 1);
    while (threads_of_one_caller(2) == 1 && seconds() < begin + 30)
        ;
    return seconds() - begin;
}

static void test_pauses_grow_and_end(void)
{
    while (threads_of_one_caller(2) == 1) /* the callers of the test before are remembered for a while */
        ;
    grc_crowd_worked(0, 9000000);
    CHECK(threads_of_one_caller(2) == 2); /* at first there is some trust */
    const double first = pause_after(2000000), second = pause_after(1000000), third = pause_after(1000000);
    CHECK_NOTE(first >= 4e-3, "%g s", first);
    CHECK_NOTE(second >= 16e-3, "%g s", second); /* lateness right after a pause makes the next one longer */
    CHECK_NOTE(third >= 64e-3, "%g s", third);
    for (int i = 0; i < 3; i++)
        CHECK_NOTE(pause_after(INT64_MAX / 64) >= 0.99, "pause %d", i);
    CHECK(pause_after(1) < 30); /* a second at most; the bound is for slow machines */
}

static void test_teams_that_gain_more_go_on(void)
{
    for (int i = 0; i < 10; i++)
        grc_crowd_worked(2000000, 0);
    grc_crowd_worked(2000000, 1500000); /* of ten milliseconds gained */
    CHECK(threads_of_one_caller(2) == 2);
    grc_crowd_worked(0, 6000000);
    CHECK(threads_of_one_caller(2) == 2);
    grc_crowd_worked(0, 6000000); /* more than is left */
    CHECK(threads_of_one_caller(2) == 1);
    while (threads_of_one_caller(2) == 1)
        ;
    grc_crowd_worked(INT64_MAX / 64, 0);
    grc_crowd_worked(0, 21000000); /* what was gained long ago does not count */
    CHECK(threads_of_one_caller(2) == 1);
    while (threads_of_one_caller(2) == 1)
        ;
}

static void do_nothing(void *context, grc_team *team, int share, int count)
{
    (void)team, (void)share;
    *(int *)context = count;
}

static void test_who_lends_tells_how_many(void)
{
    int count = 0;
    grc_crowd_worked(0, 21000000); /* more than any trust */
    CHECK(grc_team_lend(3, 0, &do_nothing, &count) == 1 && count == 1);
    CHECK(grc_team_lend(1, 0, &do_nothing, &count) == 1 && count == 1);
}

int main(void)
{
    test_pieces();
    test_denormals_whoever_adds_them();
#if defined(__linux__) && defined(_OPENMP) && !defined(__SANITIZE_THREAD__)
    test_workers_take_no_signals(); /* of the teams before */
#endif
#ifdef __linux__
    test_the_reason_for_the_count();
#endif
    if (grc_threads_default() > 1) {
        test_callers_share_the_cpus();
        test_pauses_grow_and_end();
        test_teams_that_gain_more_go_on();
    }
    test_who_lends_tells_how_many();
    return check_report();
}
