/* Elements of plain arrays in ranges, which whoever is there takes. */
#include <stdatomic.h>

#include "../kernels/instruction_sets.h"
#include "ranges.h"

enum { MOST_SHARES = 64, PIECES_A_SHARE = 4 };

/* Each share is a run of neighbouring pieces with a preferred taker, for the caches and the pages. */
typedef struct share {
    _Alignas(GRC_PANEL_BYTES) atomic_size_t next;
    size_t end;
} share;
typedef struct ranges {
    size_t n, piece;
    grc_range_fn *run;
    void *context;
    int count;
    share shares[MOST_SHARES];
} ranges;

static void take(void *context, grc_team *team, int t, int count)
{
    ranges *r = context;
    (void)team, (void)count;
    for (int i = 0; i < r->count; i++) {
        share *s = &r->shares[(t + i) % r->count];
        size_t piece;
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end
               && (piece = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->end)
            r->run(r->context, piece * r->piece, grc_min((piece + 1) * r->piece, r->n));
    }
}

typedef struct alone {
    void (*body)(void *);
    void *context;
} alone;
static void run_body(void *context, grc_team *team, int t, int count)
{
    const alone *a = context;
    (void)team, (void)t, (void)count;
    a->body(a->context);
}

void grc_run_alone(void (*body)(void *), void *context)
{
    alone a = {body, context};
    grc_team_run(1, 0, &run_body, &a);
}

typedef struct one_range {
    size_t n;
    grc_range_fn *run;
    void *context;
} one_range;
static void run_range(void *context)
{
    const one_range *r = context;
    r->run(r->context, 0, r->n);
}

int grc_threads_for_work(int wanted, double microseconds)
{
    if (wanted || microseconds < GRC_WORTH_SHARING)
        return wanted ? wanted : 1;
    const double most = microseconds / (GRC_WORTH_SHARING / 2);
    const int threads = grc_threads_default();
    return threads < most ? threads : (int)most;
}

void grc_run_ranges(int threads, size_t n, size_t unit, grc_range_fn *run, void *context)
{
    const size_t units = (n + unit - 1) / unit;
    threads = (int)grc_min(grc_min((size_t)threads, units), MOST_SHARES);
    if (threads <= 1) {
        one_range all = {n, run, context};
        grc_run_alone(&run_range, &all);
        return;
    }
    ranges r = {.n = n, .run = run, .context = context, .count = threads};
    r.piece = (units / ((size_t)threads * PIECES_A_SHARE) + 1) * unit;
    const size_t pieces = (n + r.piece - 1) / r.piece;
    for (int i = 0; i < threads; i++) {
        atomic_init(&r.shares[i].next, pieces * (size_t)i / (size_t)threads);
        r.shares[i].end = pieces * ((size_t)i + 1) / (size_t)threads;
    }
    grc_team_lend(threads, 0, &take, &r);
}

const grc_kernels *grc_plain_kernels(int32_t dtype, const char *isa, gradcore_error *error)
{
    if (dtype != GRADCORE_FLOAT32 && dtype != GRADCORE_FLOAT64) {
        grc_fail(error, GRADCORE_INVALID, "dtype: expected float32 or float64, got %d", dtype);
        return NULL;
    }
    return grc_kernels_find(isa, dtype, error);
}

size_t grc_item_size(int32_t dtype)
{
    return dtype == GRADCORE_FLOAT32 ? sizeof(float) : sizeof(double);
}

grc_status grc_check_threads(int32_t threads, gradcore_error *error)
{
    if (threads >= 0 && threads <= 1024)
        return GRADCORE_OK;
    return grc_fail(error, GRADCORE_INVALID, "threads: expected 0 to 1024, got %d", threads);
}
