/* The only file that knows OpenMP: pools of threads, the barrier, the thread count.
 *
 * A pool is one OpenMP region that stays open: its threads wait here for jobs, and the caller joins in as
 * thread 0. Entering a region anew for every call would leave the waiting to the runtime, which spins for
 * milliseconds; where the system keeps two threads of a team on one core for a while (noisy neighbours,
 * virtual machines that pack their load) each step then costs a time slice: 12 ms instead of 0.2 ms were
 * measured. Here a thread that waits first spins, then yields, then sleeps.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "internal.h"

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

/* ---- being late, in builds for tests ---- */

/* With GRC_STRESS one thread, picked at random, is late at every barrier: before it or behind it, by up to some tens of
 * microseconds, which is long where a step takes three, and now and then by a time slice. What one thread reads while
 * another has gone on shows up then. GRADCORE_STRESS_SEED has other threads picked. */
#ifdef GRC_STRESS
#include <time.h>

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static void be_late(unsigned turn, int thread, int count, int behind)
{
    static atomic_ullong seed;
    unsigned long long key = atomic_load_explicit(&seed, memory_order_relaxed);
    if (!key) {
        const char *wish = getenv("GRADCORE_STRESS_SEED");
        key = (wish ? strtoull(wish, NULL, 10) : 0) * 2 + 1;
        atomic_store_explicit(&seed, key, memory_order_relaxed);
    }
    uint64_t random = (key + turn) * UINT64_C(0x9e3779b97f4a7c15); /* the finaliser of splitmix64 */
    random = (random ^ random >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    random = (random ^ random >> 27) * UINT64_C(0x94d049bb133111eb);
    random ^= random >> 31;
    if ((int)(random % (unsigned)count) != thread || (int)(random >> 32 & 1) != behind)
        return;
    const double until = microseconds() + ((random >> 40) % 64 == 0 ? 2000 : (double)(random >> 48 & 31));
    while (microseconds() < until)
        sched_yield();
}
#else
static void be_late(unsigned turn, int thread, int count, int behind)
{
    (void)turn, (void)thread, (void)count, (void)behind;
}
#endif

/* ---- waiting ---- */

typedef struct seats seats;
static void take_free_cpu(seats *s, int thread);

/* A number that only grows; whoever waits for it to move on spins, yields, then sleeps. */
typedef struct gate {
    atomic_uint turn;
    atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t moved;
} gate;

#define GRC_SPINS 400  /* some microseconds: how far apart threads of a step usually arrive */
#define GRC_YIELDS 100 /* lets a thread on the same core go first */

/* s (or NULL) is told when the wait is long: perhaps `thread` shares a CPU with the one it waits for. */
static void gate_wait(gate *g, unsigned turn, seats *s, int thread)
{
    for (int i = 0; i < GRC_SPINS + GRC_YIELDS; i++) {
        if (atomic_load_explicit(&g->turn, memory_order_acquire) != turn)
            return;
        if (i == GRC_SPINS && s)
            take_free_cpu(s, thread);
        if (i >= GRC_SPINS)
            sched_yield();
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
    pthread_mutex_lock(&g->lock);
    atomic_fetch_add(&g->sleepers, 1);
    while (atomic_load(&g->turn) == turn)
        pthread_cond_wait(&g->moved, &g->lock);
    atomic_fetch_sub(&g->sleepers, 1);
    pthread_mutex_unlock(&g->lock);
}

static void gate_open(gate *g)
{
    atomic_fetch_add(&g->turn, 1);
    if (atomic_load(&g->sleepers) == 0) /* one that goes to sleep after this has seen the new turn */
        return;
    pthread_mutex_lock(&g->lock);
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->lock);
}

static void gate_init(gate *g)
{
    atomic_init(&g->turn, 0);
    atomic_init(&g->sleepers, 0);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->moved, NULL);
}

/* ---- who runs where ---- */

/* Some systems keep the threads of a team on one CPU while others idle: a third of all short steps on a
 * virtual machine of two took five times as long. So threads note where they run, and a worker that has to
 * wait moves away from a CPU that it shares with a thread before it. The caller's thread is not ours to move. */
struct seats {
#ifdef __linux__
    cpu_set_t cpus; /* for the workers: the caller's, or all places of OMP_PROC_BIND */
#endif
    int count;        /* threads */
    atomic_int *cpu;  /* [count]: where each was last seen */
};

#ifdef __linux__
static void note_cpu(seats *s, int thread)
{
    atomic_store_explicit(&s->cpu[thread], sched_getcpu(), memory_order_relaxed);
}

static void take_free_cpu(seats *s, int thread)
{
    const int here = sched_getcpu();
    int shared = 0;
    cpu_set_t mine = s->cpus;
    for (int t = 0; t < s->count; t++) {
        const int cpu = atomic_load_explicit(&s->cpu[t], memory_order_relaxed);
        if (t == thread || cpu < 0 || cpu >= CPU_SETSIZE)
            continue;
        shared |= t < thread && cpu == here;
        CPU_CLR((size_t)cpu, &mine);
    }
    if (thread > 0 && shared && CPU_COUNT(&mine) > 0)
        sched_setaffinity(0, sizeof mine, &mine); /* where it fails, the thread stays */
}

/* All places of OMP_PROC_BIND, which binds the caller and the first worker to the same one; else the caller's. */
static void find_cpus(seats *s)
{
    CPU_ZERO(&s->cpus);
    if (omp_get_proc_bind() == omp_proc_bind_false) {
        sched_getaffinity(0, sizeof s->cpus, &s->cpus);
        return;
    }
    for (int place = 0; place < omp_get_num_places(); place++) {
        int ids[CPU_SETSIZE];
        const int count = omp_get_place_num_procs(place);
        if (count > CPU_SETSIZE)
            return;
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < count; i++)
            if (ids[i] >= 0 && ids[i] < CPU_SETSIZE)
                CPU_SET((size_t)ids[i], &s->cpus);
    }
}

static void use_cpus(const seats *s)
{
    if (CPU_COUNT(&s->cpus) > 0)
        sched_setaffinity(0, sizeof s->cpus, &s->cpus);
}
#else
static void note_cpu(seats *s, int thread)
{
    (void)s, (void)thread;
}
static void take_free_cpu(seats *s, int thread)
{
    (void)s, (void)thread;
}
static void find_cpus(seats *s)
{
    (void)s;
}
static void use_cpus(const seats *s)
{
    (void)s;
}
#endif

/* What the threads of a team share, and one thread's view of it. */
typedef struct crew {
    atomic_int arrived;
    gate passed;
    seats seats;
} crew;

struct grc_team {
    crew *crew; /* NULL: alone */
    int thread;
};

void grc_barrier(grc_team *team)
{
    crew *c = team->crew;
    if (!c)
        return;
    const unsigned turn = atomic_load(&c->passed.turn);
    note_cpu(&c->seats, team->thread);
    be_late(turn, team->thread, c->seats.count, 0);
    if (atomic_fetch_add(&c->arrived, 1) < c->seats.count - 1) {
        gate_wait(&c->passed, turn, &c->seats, team->thread);
    } else {
        atomic_store(&c->arrived, 0);
        gate_open(&c->passed);
    }
    be_late(turn, team->thread, c->seats.count, 1);
}

/* ---- pools ---- */

typedef struct pool {
    crew crew;          /* all workers and the caller take part in every job */
    gate jobs;
    int asked;          /* workers that the caller asked for: what the pool is found by */
    int granted;        /* workers that the system may have; crew.seats.count - 1 came */
    pthread_t host;
    grc_team_fn *run;
    void *context;
    int flush, retired; /* retired: the next job is to end */
    atomic_int left;    /* workers that will not touch the pool again */
    struct pool *next;  /* in the list of idle ones */
} pool;

static void pool_worker(pool *p, int thread)
{
    grc_team team = {&p->crew, thread};
    use_cpus(&p->crew.seats);
    for (unsigned turn = 0;; turn++) {
        gate_wait(&p->jobs, turn, NULL, thread);
        if (p->retired)
            break;
        run_one(p->run, p->context, &team, thread, p->crew.seats.count, p->flush);
        grc_barrier(&team);
    }
    atomic_fetch_add(&p->left, 1);
}

/* Of OpenMP it takes the threads alone: they meet at gates only, which tools that watch threads can see. */
static void *pool_host(void *argument)
{
    pool *p = argument;
#pragma omp parallel num_threads(p->granted)
    {
        if (omp_get_thread_num() == 0) {
            p->crew.seats.count = omp_get_num_threads() + 1; /* may be fewer still */
            gate_open(&p->crew.passed);
        }
        pool_worker(p, omp_get_thread_num() + 1); /* waits for a job, and so for the count */
    }
    return NULL;
}

static void *rehearse(void *open)
{
    void *volatile arena = malloc(64); /* the C library gives a thread that allocates much address space */
    gate_wait(open, 0, NULL, 0);
    free(arena);
    return NULL;
}

/* How many of so many threads may be asked for. The OpenMP runtime ends the process when it cannot have a
 * thread, so whether the system grants them is tried out first; near its limit half of them is enough. */
static int threads_to_be_had(int workers)
{
    gate open;
    int count = 0;
    pthread_t *trial = calloc((size_t)workers, sizeof *trial);
    if (!trial)
        return 0;
    gate_init(&open);
    while (count < workers && pthread_create(&trial[count], NULL, &rehearse, &open) == 0)
        count++;
    gate_open(&open);
    for (int i = 0; i < count; i++)
        pthread_join(trial[i], NULL);
    free(trial);
    return count == workers ? count : count / 2;
}

static void pool_free(pool *p)
{
    free(p->crew.seats.cpu);
    free(p);
}

static pool *pool_create(int workers)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the callers' threads' business */
    const int granted = threads_to_be_had(workers);
    pool *p = granted ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return NULL;
    }
    p->asked = workers;
    p->granted = granted;
    gate_init(&p->jobs);
    gate_init(&p->crew.passed);
    find_cpus(&p->crew.seats);
    p->crew.seats.cpu = calloc((size_t)granted + 1, sizeof *p->crew.seats.cpu);
    const int failed = !p->crew.seats.cpu || pthread_create(&p->host, NULL, &pool_host, p) != 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        pool_free(p);
        return NULL;
    }
    gate_wait(&p->crew.passed, 0, NULL, 0);
    return p;
}

/* Process-wide state, as threads are: the idle pools, a few of each size.
 * A forked child has the list but not the threads, and the lock may be held by nobody: it touches neither. */
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static pool *idle;

/* A pool of so many workers for this caller alone, or NULL. */
static pool *pool_take(int workers)
{
    pool *found = NULL;
    grc_watch_forks();
    if (grc_generation() > 0 || omp_in_parallel())
        return NULL;
    pthread_mutex_lock(&idle_lock);
    for (pool **p = &idle; *p; p = &(*p)->next)
        if ((*p)->asked == workers) {
            found = *p;
            *p = found->next;
            break;
        }
    pthread_mutex_unlock(&idle_lock);
    return found ? found : pool_create(workers);
}

#define GRC_IDLE_POOLS 4 /* of a size: more callers at once than that make and end theirs */

static void pool_give_back(pool *p)
{
    int alike = 0;
    pthread_mutex_lock(&idle_lock);
    for (const pool *q = idle; q; q = q->next)
        alike += q->asked == p->asked;
    if (alike < GRC_IDLE_POOLS) {
        p->next = idle;
        idle = p;
    }
    pthread_mutex_unlock(&idle_lock);
    if (alike >= GRC_IDLE_POOLS) {
        p->retired = 1;
        gate_open(&p->jobs);
        pthread_join(p->host, NULL); /* its threads may still be leaving the last barrier */
        while (atomic_load(&p->left) < p->crew.seats.count - 1)
            sched_yield(); /* never: the join has seen to it, but by way of the runtime */
        pool_free(p);
    }
}

void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    pool *p = wanted > 1 ? pool_take(wanted - 1) : NULL;
    if (!p) {
        grc_team alone = {NULL, 0};
        run_one(run, context, &alone, 0, 1, flush_denormals);
        return;
    }
    grc_team team = {&p->crew, 0};
    p->run = run;
    p->context = context;
    p->flush = flush_denormals;
    gate_open(&p->jobs);
    run_one(run, context, &team, 0, p->crew.seats.count, flush_denormals);
    grc_barrier(&team);
    pool_give_back(p);
}

#else

struct grc_team {
    int count;
};

void grc_barrier(grc_team *team)
{
    (void)team;
}

void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    grc_team alone = {.count = 1};
    (void)wanted;
    run_one(run, context, &alone, 0, 1, flush_denormals);
}

#endif

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
    const int ignored = wish && *wish;
    if (ignored) {
        char *end;
        const long n = strtol(wish, &end, 10);
        if (*end == '\0' && n >= 1 && n <= 1024) {
            *reason = "GRADCORE_NUM_THREADS";
            return (int)n;
        }
    }
#ifdef _OPENMP
    int n = omp_get_max_threads() < 1024 ? omp_get_max_threads() : 1024;
    if (getenv("OMP_NUM_THREADS")) {
        *reason = "OMP_NUM_THREADS";
        return n;
    }
    *reason =
        ignored ? "OpenMP's maximum (GRADCORE_NUM_THREADS is no count from 1 to 1024)" : "OpenMP's maximum";
#ifdef __linux__
    cpu_set_t set;
    const int bound =
        omp_get_proc_bind() != omp_proc_bind_false; /* this thread to its place, not the process */
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
#else
    (void)ignored;
    *reason = "built without OpenMP";
    return 1;
#endif
}
