/* Who may use what: networks, trainers and passes have a lock each, which nobody waits for.
 *
 * A fork copies the locks that the parent's other threads hold, but not these threads. So a lock carries the number of
 * the process that took it, and one of an earlier process is nobody's. What its holder was doing decides: readers leave
 * things as they were; a change may be half made, and then the child is told so for good instead of being given half of
 * an update. */
#if defined(_OPENMP) || !defined(__GLIBC__) || (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 34))
#define GRC_WATCHES_FORKS 1
#include <pthread.h>
#endif

#include "locks.h"

/* ---- which process this is ---- */

static atomic_uint generation; /* 0; one more in a child */

unsigned grc_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

#ifdef GRC_WATCHES_FORKS
static pthread_once_t watch = PTHREAD_ONCE_INIT;

static void on_fork_in_child(void)
{
    atomic_fetch_add(&generation, 1);
}
static void start_watching(void)
{
    pthread_atfork(NULL, NULL, &on_fork_in_child);
}

void grc_watch_forks(void)
{
    pthread_once(&watch, &start_watching);
}
#else
void grc_watch_forks(void)
{
}
#endif

/* ---- locks ---- */

/* The upper half of a state is the generation that it belongs to. The lower: */
#define NOBODY UINT32_C(0)
#define KEPT UINT32_C(0x80000000) /* below it: so many readers */
#define CHANGED UINT32_C(0x80000001)
#define LOWER(state) ((uint32_t)(state))

static uint64_t state_of(uint32_t lower)
{
    return (uint64_t)grc_generation() << 32 | lower;
}

void grc_lock_open(grc_lock *l)
{
    atomic_init(&l->state, state_of(NOBODY));
    atomic_init(&l->torn, 0);
}

enum grc_taken grc_lock_take(grc_lock *l, enum grc_use use)
{
    uint64_t state = atomic_load(&l->state);
    for (;;) {
        const int vanished = (unsigned)(state >> 32) != grc_generation();
        const uint32_t users = LOWER(state);
        if (vanished && users == CHANGED)
            atomic_store(&l->torn, 1);
        if (!vanished && users != NOBODY && (use != GRC_SHARED || users >= KEPT))
            return GRC_TAKEN_BY_OTHERS;
        const uint32_t next = use == GRC_SHARED ? (vanished ? 1 : users + 1) : use == GRC_KEEPING ? KEPT : CHANGED;
        if (atomic_compare_exchange_weak(&l->state, &state, state_of(next)))
            return vanished && users != NOBODY ? GRC_TAKEN_OVER : GRC_TAKEN;
    }
}

void grc_lock_drop(grc_lock *l, enum grc_use use)
{
    uint64_t state = atomic_load(&l->state);
    if (use != GRC_SHARED) {
        atomic_store(&l->state, state_of(NOBODY));
        return;
    }
    for (;;) { /* a reader that has forked meanwhile finds its lock in the hands of an earlier process */
        const int mine = (unsigned)(state >> 32) == grc_generation() && LOWER(state) > 0 && LOWER(state) < KEPT;
        if (atomic_compare_exchange_weak(&l->state, &state, mine ? state - 1 : state_of(NOBODY)))
            return;
    }
}

int grc_lock_is_torn(const grc_lock *l)
{
    return atomic_load(&l->torn);
}

grc_status grc_busy(gradcore_error *error, const char *what)
{
    return grc_fail(error, GRADCORE_BUSY, "%s: expected no other thread to use it now, got a second caller", what);
}
