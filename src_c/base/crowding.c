/* How many threads there may be, and how many the others on this machine leave to us right now.
 *
 * A team whose threads the system takes off their cores waits for a time slice at its next barrier: 3 ms and more. So
 * whoever has waited says so; where more is lost than teams have gained of late, for a while everybody in this process
 * works alone, and then teams are tried again. A trial that ends the same way makes the next pause four times as long, a
 * second at most, and costs about one slice, so all of them together cost little. Callers at work at the same time share
 * the CPUs among them. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../internal.h"

int64_t grc_nanoseconds(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- late threads ---- */

#define SHORTEST 2000000  /* nanoseconds of a pause */
#define LONGEST 1000000000
#define COST 4            /* times what was lost: the first pause, and how much longer the next one is */
#define GAIN 2            /* of so many nanoseconds that a team works it gains one, or more */
#define MOST_GAIN 20000000

static atomic_llong until;  /* when the pause ends */
static atomic_llong pause;  /* how long it is */
static atomic_llong gained = MOST_GAIN / 2; /* by teams since then, less what they lost; at first some trust */

void grc_crowd_worked(int64_t worked, int64_t lost)
{
    const int64_t before = atomic_load(&gained) + (worked > lost ? worked - lost : 0) / GAIN;
    const int64_t left = (before < MOST_GAIN ? before : MOST_GAIN) - lost;
    atomic_store(&gained, left > 0 ? left : 0); /* what callers at once write over each other is no great loss */
    if (left >= 0)
        return;
    const int64_t now = grc_nanoseconds(), end = atomic_load(&until), last = atomic_load(&pause);
    if (now < end) /* somebody has said so already */
        return;
    const int64_t first = lost * COST;
    int64_t next = now - end > 2 * last ? first : last * COST > first ? last * COST : first;
    next = next < SHORTEST ? SHORTEST : next > LONGEST ? LONGEST : next;
    atomic_store(&pause, next);
    atomic_store(&until, now + next);
}

/* ---- callers at once ---- */

#define REMEMBERED 20000000 /* nanoseconds for which a caller counts that was here */

static atomic_int here;
static atomic_int most;     /* callers at once, of late */
static atomic_llong most_until;

static int callers(int now_here, int64_t now)
{
    const int before = now < atomic_load(&most_until) ? atomic_load(&most) : 1;
    if (now_here > 1 && now_here >= before) {
        atomic_store(&most, now_here);
        atomic_store(&most_until, now + REMEMBERED);
    }
    return now_here > before ? now_here : before;
}

int grc_crowd_enter(int wanted)
{
    const int64_t now = grc_nanoseconds();
    const int crowd = callers(atomic_fetch_add(&here, 1) + 1, now);
    if (now < atomic_load(&until))
        return 1;
    const int cpus = crowd > 1 ? grc_threads_default() : wanted;
    while (wanted > 1 && crowd > 1 && wanted * crowd > cpus)
        wanted /= 2;
    return wanted;
}

void grc_crowd_leave(void)
{
    atomic_fetch_sub(&here, 1);
}

/* ---- CPUs ---- */

#ifdef __linux__
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

int grc_threads_counted(const char **reason)
{
    const char *wish = getenv("GRADCORE_NUM_THREADS");
    const int ignored = wish && *wish;
    if (ignored) {
        char *end;
        const long n = strtol(wish, &end, 10);
        if (*end == '\0' && n >= 1 && n <= 1024) {
            *reason = "GRADCORE_NUM_THREADS";
            return (int)n;
        }
    }
    int bound, n = grc_openmp_threads(&bound);
    if (n == 0) {
        *reason = "built without OpenMP";
        return 1;
    }
    n = n < 1024 ? n : 1024;
    if (getenv("OMP_NUM_THREADS")) {
        *reason = "OMP_NUM_THREADS";
        return n;
    }
    *reason =
        ignored ? "OpenMP's maximum (GRADCORE_NUM_THREADS is no count from 1 to 1024)" : "OpenMP's maximum";
#ifdef __linux__
    cpu_set_t set; /* where threads are bound, this thread's to its place and not the process's */
    if (!bound && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n) {
        n = CPU_COUNT(&set);
        *reason = "CPU affinity";
    }
    if (cgroup_cpus() < n) {
        n = cgroup_cpus();
        *reason = "cgroup quota";
    }
#endif
    return n;
}

#define AGREED 1000000000 /* nanoseconds for which a count holds */

/* The system's calls take some microseconds, which a small product does not. */
int grc_threads_default(void)
{
    static _Thread_local int count;
    static _Thread_local int64_t counted;
    const char *reason;
    const int64_t now = grc_nanoseconds();
    if (!count || now - counted > AGREED) {
        count = grc_threads_counted(&reason);
        counted = now;
    }
    return count;
}
