/* The only file that starts threads: pools, teams, the barrier.
 *
 * A pool is one OpenMP region that stays open; its threads wait here for jobs. Entering a region anew for every call
 * would leave the waiting to the runtime, which spins for milliseconds; where the system keeps two threads of a team on
 * one core for a while (noisy neighbours, virtual machines that pack their load) each step then costs a time slice:
 * 12 ms instead of 0.2 ms were measured. Here a thread that waits spins for a moment, then sleeps. It never yields: the
 * Linux scheduler takes a whole slice of its due for that, and lets it wait that much longer when there is work.
 *
 * A job is divided into shares, one for each thread, and barriers divide each share into pieces. A piece that nobody
 * has begun belongs to whoever comes first: to the thread that always has this share, whose caches know it, or to one
 * that has finished its own. So nobody waits for a thread that the system has not put on a core, only for pieces that
 * somebody is at work on, and the caller's thread alone would finish every job. For this each share but the first has
 * a stack of its own (fiber.h), onto which any thread of the pool may step. The first is the caller's: what it calls
 * back runs in its thread, on its stack. Who does which piece changes nothing that is computed.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "fiber.h"
#include "locks.h"
#include "team.h"

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

struct grc_team { /* a thread's view of it */
    struct crew *crew; /* NULL: alone */
    int share;
    grc_fiber *runner; /* where the thread came from that is at the share's piece */
};

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
static uint64_t draw(unsigned turn)
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
    return random;
}

static void be_late(unsigned turn, int share, int count, int behind)
{
    const uint64_t random = draw(turn);
    if ((int)(random % (unsigned)count) != share || (int)(random >> 32 & 1) != behind)
        return;
    const int64_t until =
        grc_nanoseconds() + ((random >> 40) % 64 == 0 ? 2000000 : (int64_t)(random >> 48 & 31) * 1000);
    while (grc_nanoseconds() < until)
        sched_yield();
}

/* And pieces are given out at random: who looks for one begins to look anywhere. */
static int look_first(unsigned turn, int thread, int count)
{
    return (int)(draw(turn * 31 + (unsigned)thread) % (unsigned)count);
}
#else
static int look_first(unsigned turn, int thread, int count)
{
    (void)turn, (void)count;
    return thread;
}

static void be_late(unsigned turn, int share, int count, int behind)
{
    (void)turn, (void)share, (void)count, (void)behind;
}
#endif

/* ---- waiting ---- */

typedef struct seats seats;
static void take_free_cpu(seats *s, int thread);

/* A number that only grows; whoever waits for it to move on spins, then sleeps. */
typedef struct gate {
    _Alignas(64) atomic_uint turn;
    atomic_int sleepers;
    pthread_mutex_t lock;
    pthread_cond_t moved;
} gate;

#define GRC_SPIN 25000 /* nanoseconds: farther apart than threads of a step usually arrive */
#define GRC_LATE 50000 /* nanoseconds without a core in a wait from which on a thread counts as late */

/* 1: it has moved on. By the clock, since a pause takes some CPUs ten times what it takes others. */
static int gate_spin(const gate *g, unsigned turn)
{
    int64_t now, end = 0;
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&g->turn, memory_order_acquire) != turn)
                return 1;
#if defined(__x86_64__)
            _mm_pause();
#elif defined(__aarch64__)
            __asm__ volatile("yield");
#endif
        }
        now = grc_nanoseconds();
        end = end ? end : now + GRC_SPIN;
    } while (now < end);
    return 0;
}

/* s (or NULL) is told when the wait is long: perhaps `thread` shares a CPU with the one it waits for. */
static void gate_wait(gate *g, unsigned turn, seats *s, int thread)
{
    if (gate_spin(g, turn))
        return;
    if (s)
        take_free_cpu(s, thread);
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

/* Some systems wake a thread on the CPU of the one that woke it, and keep a team there while others idle: a third
 * of all short steps on a virtual machine of two took five times as long. So the workers are barred from the CPU
 * that the caller is on when a job begins; all note where they run, and a worker that has to wait moves away from a
 * CPU that it shares with a thread before it. The caller's thread is not ours to move.
 *
 * Workers ask for short slices, since a thread with a shorter one may go before a thread that is on its core:
 * beside another program that spins there, as BLAS libraries do, pieces begin after 10 us instead of a slice of
 * its, 1 to 3 ms. It costs the other nothing of its share. */
struct seats {
#ifdef __linux__
    cpu_set_t cpus;   /* for the workers: the caller's, or all places of OMP_PROC_BIND */
    int barred;       /* the caller's of the last job */
    atomic_int *thread; /* [count]: the system's number of each worker, 0 before it is known */
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

#define GRC_SLICE 100000 /* nanoseconds, the least there is */

/* Of sched_setattr(2), which the C library does not offer; before Linux 6.12 a slice has no effect. */
static void ask_for_short_slices(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t slice, deadline, period;
    } a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) != 0 || a.policy != SCHED_OTHER)
        return;
    a.slice = GRC_SLICE;
    syscall(SYS_sched_setattr, 0, &a, 0); /* where it fails, they are as they were */
}

static void take_seat(seats *s, int thread)
{
    sched_setaffinity(0, sizeof s->cpus, &s->cpus); /* of none at all it takes no notice */
    ask_for_short_slices();
    atomic_store(&s->thread[thread], (int)syscall(SYS_gettid));
}

/* Before a job. */
static void clear_callers_cpu(seats *s)
{
    const int here = sched_getcpu();
    if (here == s->barred || here < 0 || here >= CPU_SETSIZE)
        return;
    cpu_set_t others = s->cpus;
    CPU_CLR((size_t)here, &others);
    int known = CPU_COUNT(&others) >= s->count - 1; /* more threads than CPUs share all of them */
    for (int t = 1; t < s->count && known; t++) {
        const int thread = atomic_load(&s->thread[t]);
        known = thread > 0;
        if (known)
            sched_setaffinity(thread, sizeof others, &others);
    }
    if (known)
        s->barred = here;
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
static void take_seat(seats *s, int thread)
{
    (void)s, (void)thread;
}
static void clear_callers_cpu(seats *s)
{
    (void)s;
}
#endif

/* ---- teams ---- */

typedef struct share {
    _Alignas(64) atomic_uint begun; /* as many barriers as there were before the piece that may be begun next */
    atomic_uint ended; /* the same, once that piece is done */
    atomic_int runner; /* thread that is at the piece */
    int over;          /* the job's function has returned */
    grc_team team;
    grc_fiber fiber;   /* none for share 0 */
} share;

/* The threads of a pool with their caller, thread 0, at a job. */
typedef struct crew {
    gate passed;       /* turn: barriers so far, of all jobs; the last of a job is its end, one begins each */
    _Alignas(64) atomic_int arrived;
    _Alignas(64) int count; /* of shares, and of threads */
    int flush;
    grc_team_fn *run;
    void *context;
    share *shares;     /* [count] */
    seats seats;
    int64_t lost;      /* nanoseconds that the caller waited in this job for threads that were on no core */
#ifdef __linux__
    clockid_t *clock;  /* [thread]: of the processor time of each worker */
#endif
} crew;

/* Another number than any that the next pieces will have. */
static unsigned never(unsigned turn)
{
    return turn + (1u << 31);
}

/* A share's piece of this turn for `thread`, or NULL: all are begun. */
static share *claim(crew *c, int thread, unsigned turn)
{
    const int first = look_first(turn, thread, c->count);
    for (int i = 0; i < c->count; i++) {
        const int at = first + i < c->count ? first + i : first + i - c->count;
        share *s = &c->shares[at];
        unsigned expected = turn;
        if (at > 0 && atomic_load_explicit(&s->begun, memory_order_relaxed) == turn
            && atomic_compare_exchange_strong(&s->begun, &expected, turn + 1))
            return s;
    }
    return NULL;
}

static void arrive(crew *c)
{
    if (atomic_fetch_add(&c->arrived, 1) < c->count - 1)
        return;
    atomic_store(&c->arrived, 0);
    gate_open(&c->passed);
}

/* Off to the share's own stack, until it meets the next barrier or its end. */
static void do_piece(crew *c, share *s, int thread, unsigned turn)
{
    grc_fiber here;
    grc_fiber_here(&here);
    atomic_store_explicit(&s->runner, thread, memory_order_relaxed);
    s->team.runner = &here;
    be_late(turn, s->team.share, c->count, 0);
    grc_fiber_step(&here, &s->fiber);
    be_late(turn, s->team.share, c->count, 1);
    if (s->over)
        atomic_store(&s->begun, never(turn));
    atomic_store(&s->ended, turn + 1);
    arrive(c);
}

static void share_life(void *context, grc_fiber *from)
{
    share *s = context;
    crew *c = s->team.crew;
    s->team.runner = from;
    for (;;) {
        c->run(c->context, &s->team, s->team.share, c->count);
        s->over = 1;
        s->team.runner = grc_fiber_step(&s->fiber, s->team.runner);
        s->over = 0;
    }
}

/* ---- lateness ---- */

#ifdef __linux__
static int64_t time_of(clockid_t clock)
{
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
#endif

/* Thread 0 has nothing left to do until the others' pieces are done. A wait that lasts is timed, by the clock and
 * by the processor time of one that is waited for: what it did not get of its core is lost. */
static void wait_for_pieces(crew *c, unsigned turn)
{
    if (gate_spin(&c->passed, turn))
        return;
    const int64_t begin = grc_nanoseconds();
#ifdef __linux__
    int64_t at_work = 0;
    int who = 0;
    for (int i = 1; i < c->count && !who; i++)
        if (atomic_load(&c->shares[i].begun) != turn && atomic_load(&c->shares[i].ended) != turn + 1)
            who = atomic_load(&c->shares[i].runner);
    if (who)
        at_work = time_of(c->clock[who]);
    gate_wait(&c->passed, turn, NULL, 0);
    const int64_t lost = who ? grc_nanoseconds() - begin - (time_of(c->clock[who]) - at_work) : 0;
#else
    gate_wait(&c->passed, turn, NULL, 0);
    const int64_t lost = grc_nanoseconds() - begin;
#endif
    if (lost < GRC_LATE)
        return;
    c->lost += lost;
}

/* The caller at a barrier: what nobody has begun it does itself. */
static void meet(crew *c)
{
    const unsigned turn = atomic_load(&c->passed.turn);
    note_cpu(&c->seats, 0);
    be_late(turn, 0, c->count, 0);
    arrive(c);
    while (atomic_load_explicit(&c->passed.turn, memory_order_acquire) == turn) {
        share *s = claim(c, 0, turn);
        if (s)
            do_piece(c, s, 0, turn);
        else
            wait_for_pieces(c, turn);
    }
    be_late(turn, 0, c->count, 1);
#ifdef GRC_STRESS
    for (share *s; look_first(turn, 0, 2) && (s = claim(c, 0, turn + 1));) /* somebody else's first */
        do_piece(c, s, 0, turn + 1);
#endif
}

void grc_barrier(grc_team *team)
{
    if (!team->crew)
        return;
    if (team->share > 0)
        team->runner = grc_fiber_step(&team->crew->shares[team->share].fiber, team->runner);
    else
        meet(team->crew);
}

int64_t grc_team_lost(const grc_team *team)
{
    return team->crew ? team->crew->lost : 0;
}

/* ---- pools ---- */

#define GRC_STACK ((size_t)512 << 10) /* bytes of a share; of what is not touched there is only the address */

typedef struct pool {
    crew crew;
    int asked;          /* workers that the caller asked for: what the pool is found by */
    int granted;        /* workers that the system may have; crew.count - 1 came */
    pthread_t host;
    atomic_int retired; /* 1: the workers are to leave */
    atomic_int left;    /* workers that will not touch the pool again */
    struct pool *next;  /* in the list of idle ones */
} pool;

static void pool_worker(pool *p, int thread)
{
    crew *c = &p->crew;
    int flush = -1;
    take_seat(&c->seats, thread);
#ifdef __linux__
    pthread_getcpuclockid(pthread_self(), &c->clock[thread]);
#endif
    for (unsigned turn = 0; !atomic_load(&p->retired);) {
        gate_wait(&c->passed, turn, turn ? &c->seats : NULL, thread); /* at first the count is not known */
        turn = atomic_load(&c->passed.turn);
        for (share *s; (s = claim(c, thread, turn));) {
            if (flush != c->flush)
                float_state_set(flush = c->flush);
            do_piece(c, s, thread, turn);
            note_cpu(&c->seats, thread);
            if (atomic_load(&c->passed.turn) != turn)
                break;
        }
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
            p->crew.count = p->crew.seats.count = omp_get_num_threads() + 1; /* may be fewer still */
            gate_open(&p->crew.passed);
        }
        pool_worker(p, omp_get_thread_num() + 1); /* waits for the gate, and so for the count */
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
    for (int i = 1; i <= p->granted && p->crew.shares; i++)
        grc_fiber_close(&p->crew.shares[i].fiber);
    grc_release(&grc_default_allocator, p->crew.shares, ((size_t)p->granted + 1) * sizeof *p->crew.shares);
    free(p->crew.seats.cpu);
#ifdef __linux__
    free(p->crew.clock);
    free(p->crew.seats.thread);
#endif
    grc_release(&grc_default_allocator, p, sizeof *p);
}

/* Memory for so many threads' shares, one for the caller's. */
static int crew_init(crew *c, size_t threads)
{
    gate_init(&c->passed);
    find_cpus(&c->seats);
    c->seats.cpu = calloc(threads, sizeof *c->seats.cpu);
    c->shares = grc_allocate(&grc_default_allocator, threads * sizeof *c->shares);
#ifdef __linux__
    c->clock = calloc(threads, sizeof *c->clock);
    c->seats.thread = calloc(threads, sizeof *c->seats.thread);
    c->seats.barred = -1;
    if (!c->clock || !c->seats.thread)
        return 0;
#endif
    if (!c->seats.cpu || !c->shares)
        return 0;
    for (size_t i = 0; i < threads; i++) {
        share *s = &c->shares[i];
        s->team = (grc_team){.crew = c, .share = (int)i};
        atomic_init(&s->begun, never(0));
        if (i > 0 && !grc_fiber_open(&s->fiber, GRC_STACK, &share_life, s))
            return 0;
    }
    return 1;
}

static pool *pool_create(int workers)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the callers' threads' business */
    const int granted = threads_to_be_had(workers);
    pool *p = granted ? grc_allocate(&grc_default_allocator, sizeof *p) : NULL;
    int failed = !p;
    if (p) {
        p->asked = workers;
        p->granted = granted;
        failed = !crew_init(&p->crew, (size_t)granted + 1) || pthread_create(&p->host, NULL, &pool_host, p) != 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        if (p)
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
    if (!GRC_FIBERS || grc_generation() > 0 || omp_in_parallel())
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
        atomic_store(&p->retired, 1);
        gate_open(&p->crew.passed);
        pthread_join(p->host, NULL); /* its threads may still be leaving the last barrier */
        while (atomic_load(&p->left) < p->crew.count - 1)
            sched_yield(); /* never: the join has seen to it, but by way of the runtime */
        pool_free(p);
    }
}

/* Nanoseconds lost, or -1: there was no team. */
static int64_t run_team(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    pool *p = wanted > 1 ? pool_take(wanted - 1) : NULL;
    if (!p) {
        grc_team alone = {0};
        run_one(run, context, &alone, 0, 1, flush_denormals);
        return -1;
    }
    crew *c = &p->crew;
    const unsigned turn = atomic_load(&c->passed.turn);
    c->run = run;
    c->context = context;
    c->flush = flush_denormals;
    c->lost = 0;
    for (int i = 1; i < c->count; i++)
        atomic_store_explicit(&c->shares[i].begun, turn + 1, memory_order_relaxed);
    clear_callers_cpu(&c->seats);
    gate_open(&c->passed);
    run_one(run, context, &c->shares[0].team, 0, c->count, flush_denormals);
    meet(c);
    const int64_t lost = c->lost;
    pool_give_back(p);
    return lost;
}

#else

void grc_barrier(grc_team *team)
{
    (void)team;
}

int64_t grc_team_lost(const grc_team *team)
{
    (void)team;
    return 0;
}

static int64_t run_team(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    grc_team alone = {0};
    (void)wanted;
    run_one(run, context, &alone, 0, 1, flush_denormals);
    return -1;
}

#endif

void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    run_team(wanted, flush_denormals, run, context);
}

int grc_team_lend(int wanted, int flush_denormals, grc_team_fn *run, void *context)
{
    const int count = wanted > 1 ? grc_crowd_enter(wanted) : 1;
    const int64_t begin = count > 1 ? grc_nanoseconds() : 0;
    const int64_t lost = run_team(count, flush_denormals, run, context);
    if (lost >= 0)
        grc_crowd_worked(grc_nanoseconds() - begin, lost);
    if (wanted > 1)
        grc_crowd_leave();
    return count;
}
