/* The plan of a pass: where every buffer lies, who owns which part of the work, how many threads pay. */
#include <math.h>
#include <string.h>

#include "../internal.h"

/* ---- memory ---- */

/* Values whose delta backward must reach: 0 where wanted, and all behind a trainable parameter. */
static int needs_delta(const grc_exec *x, int value)
{
    const gradcore_network *n = x->net;
    if (value == 0)
        return x->want_dx;
    for (int i = 0; i < n->op_count; i++)
        if (n->ops[i].out == value) {
            const grc_op *op = &n->ops[i];
            if (op->first_parameter != GRC_NONE && n->parameters[op->first_parameter].trainable)
                return 1;
            return x->want_dx || op->trains_before;
        }
    return 0;
}

static void lay_out_values(grc_exec *x, grc_arena *a)
{
    const gradcore_network *n = x->net;
    for (int v = 0; v < n->value_count; v++) {
        const grc_value *value = &n->values[v];
        void *data = value->buffer == v ? grc_take(a, x->capacity * value->ld, n->item) : NULL;
        if (x->value)
            x->value[v] = value->buffer == v ? data : x->value[value->buffer];
    }
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        const int saves = op->class->saves && x->mode != GRC_EXEC_PREDICT;
        const size_t elements = saves ? op->class->saves(op, x) : 0;
        void *kept = elements ? grc_take(a, elements, n->item) : NULL;
        if (x->saved)
            x->saved[i] = kept;
    }
}

static void lay_out_tips(grc_exec *x, grc_arena *a)
{
    const gradcore_network *n = x->net;
    for (int i = 0; i < n->head_count; i++) {
        const int v = n->heads[i].value;
        void *d = grc_take(a, x->capacity * n->values[v].ld, n->item);
        if (x->delta)
            x->delta[v] = d;
    }
}

/* From the last value back: an op either shares its output's delta with its input or gives it a new one. */
static void lay_out_deltas(grc_exec *x, grc_arena *a)
{
    const gradcore_network *n = x->net;
    int v = n->value_count - 1;
    void *d = grc_take(a, x->capacity * n->values[v].ld, n->item);
    if (x->delta)
        x->delta[v] = d;
    for (int i = n->op_count - 1; i >= 0; i--) {
        const grc_op *op = &n->ops[i];
        void *own = NULL;
        if (op->class->delta == GRC_DELTA_TIPS) {
            lay_out_tips(x, a);
            continue;
        }
        if (op->class->delta == GRC_DELTA_SUM && op->head < n->head_count)
            continue; /* the last head, which backward comes to first, has made it */
        if (op->class->delta != GRC_DELTA_SHARED && needs_delta(x, op->in))
            own = grc_take(a, x->capacity * n->values[op->in].ld, n->item);
        if (x->delta)
            x->delta[op->in] = !needs_delta(x, op->in)                  ? NULL
                               : op->class->delta != GRC_DELTA_SHARED ? own
                                                                      : x->delta[op->out];
    }
}

static size_t chunks_of(const gradcore_network *n, const grc_parameter *p)
{
    if (p->ndim == 1)
        return 1;
    return grc_panels(n, grc_stored_cols(p)) * ((grc_stored_rows(p) + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS);
}

static size_t chunk_count(const gradcore_network *n)
{
    size_t count = 0;
    for (int i = 0; i < n->parameter_count; i++)
        count += chunks_of(n, &n->parameters[i]);
    return count;
}

/* By blocks of rows where the parameters are few and the rows many: the copies stay in the cache. */
static size_t partial_blocks(const gradcore_network *n, size_t rows)
{
    const size_t blocks = (rows + GRC_KC - 1) / GRC_KC;
    return blocks >= 4 && n->vector <= 65536 ? blocks : 0;
}

int grc_uses_partials(const grc_exec *x)
{
    return x->partial && partial_blocks(x->net, x->rows) > 0;
}

static void lay_out(grc_exec *x, size_t target_bytes, grc_arena *a)
{
    const gradcore_network *n = x->net;
    x->value = grc_take(a, (size_t)n->value_count, sizeof(void *));
    x->saved = grc_take(a, (size_t)n->op_count, sizeof(void *));
    x->delta = grc_take(a, (size_t)n->value_count, sizeof(void *));
    x->zeros = grc_take(a, x->widest, n->item);
    lay_out_values(x, a);
    if (x->mode == GRC_EXEC_PREDICT) {
        x->row_loss = grc_take(a, x->capacity, sizeof(double));
        x->row_right = grc_take(a, x->capacity, sizeof(int32_t));
        return;
    }
    lay_out_deltas(x, a);
    x->grad = grc_take(a, n->vector, n->item);
    x->transposed = grc_take(a, n->transposed, n->item);
    x->scratch = grc_take(a, x->widest * (size_t)n->threads, n->item);
    x->chunk_norm = grc_take(a, chunk_count(n) + 1, sizeof(double));
    x->chunk_first = grc_take(a, (size_t)n->parameter_count + 1, sizeof(size_t));
    if (partial_blocks(n, x->capacity) > 0)
        x->partial = grc_take(a, partial_blocks(n, x->capacity) * n->vector, n->item);
    if (x->mode != GRC_EXEC_TRAIN)
        return;
    size_t slots = 0;
    for (int i = 0; i < GRC_SLOTS; i++)
        if (x->slot_mask >> i & 1) {
            x->slots[i] = grc_take(a, n->vector, n->item);
            slots++;
        }
    x->chunk_penalty = grc_take(a, chunk_count(n) + 1, sizeof(double));
    x->chunk_beyond = grc_take(a, chunk_count(n) + 1, sizeof *x->chunk_beyond);
    for (int i = 0; i < 2 && x->measures; i++)
        x->chunk_sum[i] = grc_take(a, chunk_count(n) + 1, sizeof(double));
    x->target = grc_take(a, x->capacity, target_bytes);
    x->row_weight = grc_take(a, x->capacity, sizeof(double));
    x->row_scale = grc_take(a, x->capacity, sizeof(double));
    x->row_loss = grc_take(a, x->capacity, sizeof(double));
    x->row_correct = grc_take(a, x->capacity, sizeof(double));
    x->row_right = grc_take(a, x->capacity, sizeof(int32_t));
    x->backup = grc_take(a, n->vector * (1 + slots), n->item);
}

grc_status grc_exec_create(gradcore_network *n, int mode, size_t capacity, unsigned slot_mask, int measures,
                           size_t target_bytes, grc_exec **out, gradcore_error *error)
{
    grc_exec *x = grc_allocate(&n->allocator, sizeof *x);
    if (!x)
        return grc_fail(error, GRADCORE_NO_MEMORY, "capacity: expected memory for a pass, got none");
    x->net = n;
    x->mode = mode;
    x->capacity = capacity;
    x->slot_mask = slot_mask;
    x->measures = measures;
    x->limit = (double)INFINITY;
    x->want_dx = mode == GRC_EXEC_PASS;
    for (int v = 0; v < n->value_count; v++)
        x->widest = n->values[v].ld > x->widest ? n->values[v].ld : x->widest;

    grc_arena arena = {NULL, 0, 0};
    lay_out(x, target_bytes, &arena);
    x->block_size = arena.used;
    arena.base = arena.overflow ? NULL : grc_allocate(&n->allocator, arena.used);
    if (!arena.base) {
        grc_release(&n->allocator, x, sizeof *x);
        return grc_fail(error, GRADCORE_NO_MEMORY, "capacity: expected memory for %zu rows, got none",
                        capacity);
    }
    x->block = arena.base;
    arena.used = 0;
    lay_out(x, target_bytes, &arena);
    x->input = x->value[0];
    x->input_ld = n->values[0].ld;
    if (x->chunk_first)
        for (int i = 0; i < n->parameter_count; i++)
            x->chunk_first[i + 1] = x->chunk_first[i] + chunks_of(n, &n->parameters[i]);
    *out = x;
    return GRADCORE_OK;
}

void grc_exec_destroy(grc_exec *x)
{
    if (!x)
        return;
    gradcore_network *n = x->net;
    grc_release_rates(x);
    grc_release(&n->allocator, x->block, x->block_size);
    grc_release(&n->allocator, x, sizeof *x);
}

/* ---- work ---- */

grc_region grc_region_of(size_t rows, size_t panels, int t, int count)
{
    const size_t all = (size_t)count, mine = (size_t)t;
    const size_t chunks = (rows + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    /* The largest share decides, compared as a fraction of the whole. */
    const size_t panel_share = (panels + all - 1) / all * chunks, row_share = (chunks + all - 1) / all * panels;
    if (panel_share <= row_share) {
        const size_t first = panels * mine / all, last = panels * (mine + 1) / all;
        return (grc_region){0, rows, first, last - first};
    }
    const size_t first = chunks * mine / all * GRC_CHUNK_ROWS,
                 last = chunks * (mine + 1) / all * GRC_CHUNK_ROWS;
    return (grc_region){first, grc_min(last, rows) - first, 0, panels};
}

grc_region grc_own(const gradcore_network *n, int index, int t, int count)
{
    const grc_parameter *p = &n->parameters[index];
    const size_t panels = grc_panels(n, grc_stored_cols(p));
    if (p->ndim == 1)
        return p->op % count == t ? (grc_region){0, 1, 0, panels} : (grc_region){0, 0, 0, 0};
    const grc_region r = grc_region_of(grc_stored_rows(p), panels, t, count);
    return r.rows && r.panels ? r : (grc_region){0, 0, 0, 0};
}

void grc_rows_of(size_t rows, size_t unit, int t, int count, size_t *first, size_t *last)
{
    const size_t units = (rows + unit - 1) / unit;
    *first = grc_min(units * (size_t)t / (size_t)count * unit, rows);
    *last = grc_min(units * ((size_t)t + 1) / (size_t)count * unit, rows);
}

double grc_work(const gradcore_network *n, int products, size_t rows, int update)
{
    const double size = (double)n->trainable, wide = (double)n->item / sizeof(float);
    return products * (2e-5 * wide * size + 0.025) * (double)rows + (update ? 5e-4 * wide * size : 0);
}

int grc_threads_worth(int threads, double work, double each)
{
    while (threads > 1 && work < each * threads)
        threads /= 2;
    return threads;
}

int grc_team_for(const gradcore_network *n, int threads, grc_team_fn *run, void *context)
{
    if (!n->exact_threads)
        return grc_team_lend(threads, n->flush_denormals, run, context);
    grc_team_run(threads, n->flush_denormals, run, context);
    return threads;
}

/* A thread is worth waking for this many microseconds of forward or backward work. */
#define GRC_WORK_A_THREAD 8.0

int grc_threads_for(const gradcore_network *n, int products, size_t rows)
{
    const double work = grc_work(n, products, rows, 0);
    return n->exact_threads ? n->threads : grc_threads_worth(n->threads, work, GRC_WORK_A_THREAD);
}
