/* How many threads the others on this machine leave to us right now.
 *
 * A team whose threads the system takes off their cores waits for a time slice at its next barrier: 3 ms and more.
 * So whoever has waited says so; where more is lost than teams have gained of late, for a while everybody in this
 * process works alone, and then teams are tried again. A trial that ends the same way makes the next pause four
 * times as long, a second at most, and costs about one slice, so all of them together cost little. Callers at work
 * at the same time share the CPUs among them. */
#include <stdatomic.h>

#include "team.h"

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
