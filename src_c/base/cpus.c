/* How many threads there may be: what the environment, OpenMP, the CPUs and the cgroup say. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "team.h"

int64_t grc_nanoseconds(void)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int grc_openmp_threads(int *bound)
{
#ifdef _OPENMP
    *bound = omp_get_proc_bind() != omp_proc_bind_false;
    return omp_get_max_threads();
#else
    *bound = 0;
    return 0;
#endif
}

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
    *reason = ignored ? "OpenMP's maximum (GRADCORE_NUM_THREADS is no count from 1 to 1024)" : "OpenMP's maximum";
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
