/* The only file that knows OpenMP: teams, the barrier, the fork guard, the thread count. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "internal.h"

struct grc_team {
    int count;
#ifdef _OPENMP
    atomic_int arrived;
    atomic_uint generation;
    atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
#endif
};

#ifdef _OPENMP
static inline void relax(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int passed(grc_team *team, unsigned generation)
{
    return atomic_load(&team->generation) != generation;
}

/* Sleeping hands the core to whoever holds the others up, which spinning and yielding do not. */
static void sleep_until_passed(grc_team *team, unsigned generation)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->sleepers, 1);
    while (!passed(team, generation))
        pthread_cond_wait(&team->wake, &team->lock);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->lock);
}

#define GRC_SPINS 2000 /* tens of microseconds: a barrier is not expected to last longer */

void grc_barrier(grc_team *team)
{
    if (team->count == 1)
        return;
    const unsigned generation = atomic_load(&team->generation);
    if (atomic_fetch_add(&team->arrived, 1) == team->count - 1) {
        atomic_store(&team->arrived, 0);
        atomic_store(&team->generation, generation + 1);
        if (atomic_load(&team->sleepers)) { /* one that comes after this sees the new generation itself */
            pthread_mutex_lock(&team->lock);
            pthread_cond_broadcast(&team->wake);
            pthread_mutex_unlock(&team->lock);
        }
        return;
    }
    for (int spins = 0; spins < GRC_SPINS; spins++) {
        if (passed(team, generation))
            return;
        relax();
    }
    sleep_until_passed(team, generation);
}
#else
void grc_barrier(grc_team *team)
{
    (void)team;
}
#endif

/* Results must not depend on the caller's rounding mode, nor leave ours behind. */
#if defined(__x86_64__)
#define GRC_MXCSR_PLAIN 0x1f80u /* all exceptions masked, to nearest */
#define GRC_MXCSR_FLUSH 0x8040u /* denormals to zero, out and in */
static unsigned float_state_set(int flush)
{
    const unsigned old = _mm_getcsr();
    _mm_setcsr(GRC_MXCSR_PLAIN | (flush ? GRC_MXCSR_FLUSH : 0));
    return old;
}
static void float_state_restore(unsigned old)
{
    _mm_setcsr(old);
}
#elif defined(__aarch64__)
static uint64_t float_state_set(int flush)
{
    uint64_t old;
    const uint64_t state = flush ? UINT64_C(1) << 24 : 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(state));
    return old;
}
static void float_state_restore(uint64_t old)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(old));
}
#else
static int float_state_set(int flush)
{
    return flush;
}
static void float_state_restore(int old)
{
    (void)old;
}
#endif

static void run_one(grc_team_fn *run, void *context, grc_team *team, int thread, int count, int flush)
{
    const __typeof__(float_state_set(0)) old = float_state_set(flush);
    run(context, team, thread, count);
    float_state_restore(old);
}

#ifdef _OPENMP
/* A forked child has the runtime's records of a pool whose threads did not come along: using it hangs.
 * This flag, set in the child only, is one of two pieces of process-wide state; the other registers it. */
static atomic_int in_forked_child;
static pthread_once_t fork_guard = PTHREAD_ONCE_INIT;

static void on_fork_child(void)
{
    atomic_store(&in_forked_child, 1);
}
static void register_fork_guard(void)
{
    pthread_atfork(NULL, NULL, &on_fork_child);
}

static int may_open_team(void)
{
    return !atomic_load_explicit(&in_forked_child, memory_order_relaxed) && !omp_in_parallel();
}
#endif

void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
#ifdef _OPENMP
    if (wanted > 1 && may_open_team()) {
        grc_team team = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
        pthread_once(&fork_guard, &register_fork_guard);
#pragma omp parallel num_threads(wanted)
        {
            const int count = omp_get_num_threads(); /* may be fewer than wanted */
#pragma omp single
            team.count = count;
            run_one(run, context, &team, omp_get_thread_num(), count, flush_denormals);
        }
        pthread_cond_destroy(&team.wake);
        pthread_mutex_destroy(&team.lock);
        return;
    }
#endif
    (void)wanted;
    grc_team alone = {.count = 1};
    run_one(run, context, &alone, 0, 1, flush_denormals);
}

#if defined(__linux__) && defined(_OPENMP)
/* Whole CPUs of the cgroup's quota, at least 1; a large number without a quota. */
static int cgroup_cpus(void)
{
    long quota = -1, period = 100000;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &quota, &period) != 2) /* "max 100000" */
            quota = -1;
        fclose(f);
    } else if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r"))) {
        if (fscanf(f, "%ld", &quota) != 1)
            quota = -1;
        fclose(f);
        if ((f = fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r"))) {
            if (fscanf(f, "%ld", &period) != 1)
                period = 100000;
            fclose(f);
        }
    }
    if (quota <= 0 || period <= 0)
        return 1 << 16;
    return quota < period ? 1 : (int)(quota / period);
}
#endif

int grc_threads_default(const char **reason)
{
    const char *wish = getenv("GRADCORE_NUM_THREADS");
    if (wish && *wish) {
        char *end;
        const long n = strtol(wish, &end, 10);
        if (*end == '\0' && n >= 1 && n <= 1024) {
            *reason = "GRADCORE_NUM_THREADS";
            return (int)n;
        }
    }
#ifdef _OPENMP
    int n = omp_get_max_threads();
    if (getenv("OMP_NUM_THREADS")) {
        *reason = "OMP_NUM_THREADS";
        return n;
    }
    *reason = "OpenMP's maximum";
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n) {
        n = CPU_COUNT(&set);
        *reason = "CPU affinity";
    }
    if (cgroup_cpus() < n) {
        n = cgroup_cpus();
        *reason = "cgroup quota";
    }
#endif
    return n;
#else
    *reason = "built without OpenMP";
    return 1;
#endif
}
