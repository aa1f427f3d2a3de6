/* The plan of a pass: where every buffer lies, who owns which part of the work, how many threads pay. */
#include <math.h>
#include <string.h>

#include "plan.h"

/* ---- memory ---- */

/* Values whose delta backward must reach: 0 where wanted, and all behind a trainable parameter. */
static int needs_delta(const grc_plan *plan, int value)
{
    const gradcore_network *n = plan->view.net;
    if (value == 0)
        return plan->want_dx;
    for (int i = 0; i < n->op_count; i++)
        if (n->ops[i].out == value) {
            const grc_op *op = &n->ops[i];
            if (op->first_parameter != GRC_NONE && n->parameters[op->first_parameter].trainable)
                return 1;
            return plan->want_dx || op->trains_before;
        }
    return 0;
}

static void lay_out_values(grc_plan *plan, grc_arena *a)
{
    const gradcore_network *n = plan->view.net;
    for (int v = 0; v < n->value_count; v++) {
        const grc_value *value = &n->values[v];
        void *data = value->buffer == v ? grc_take(a, plan->view.capacity * value->ld, n->item) : NULL;
        if (plan->view.value)
            plan->view.value[v] = value->buffer == v ? data : plan->view.value[value->buffer];
    }
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        const int saves = op->class->saves && plan->mode != GRC_PLAN_PREDICT;
        const size_t elements = saves ? op->class->saves(op, &plan->view) : 0;
        void *kept = elements ? grc_take(a, elements, n->item) : NULL;
        if (plan->view.saved)
            plan->view.saved[i] = kept;
    }
}

static void lay_out_tips(grc_plan *plan, grc_arena *a)
{
    const gradcore_network *n = plan->view.net;
    for (int i = 0; i < n->head_count; i++) {
        const int v = n->heads[i].value;
        void *d = grc_take(a, plan->view.capacity * n->values[v].ld, n->item);
        if (plan->view.delta)
            plan->view.delta[v] = d;
    }
}

/* From the last value back: an op either shares its output's delta with its input or gives it a new one. */
static void lay_out_deltas(grc_plan *plan, grc_arena *a)
{
    const gradcore_network *n = plan->view.net;
    int v = n->value_count - 1;
    void *d = grc_take(a, plan->view.capacity * n->values[v].ld, n->item);
    if (plan->view.delta)
        plan->view.delta[v] = d;
    for (int i = n->op_count - 1; i >= 0; i--) {
        const grc_op *op = &n->ops[i];
        void *own = NULL;
        if (op->class->delta == GRC_DELTA_TIPS) {
            lay_out_tips(plan, a);
            continue;
        }
        if (op->class->delta == GRC_DELTA_SUM && op->head < n->head_count)
            continue; /* the last head, which backward comes to first, has made it */
        if (op->class->delta != GRC_DELTA_SHARED && needs_delta(plan, op->in))
            own = grc_take(a, plan->view.capacity * n->values[op->in].ld, n->item);
        if (plan->view.delta)
            plan->view.delta[op->in] = !needs_delta(plan, op->in)             ? NULL
                                       : op->class->delta != GRC_DELTA_SHARED ? own
                                                                              : plan->view.delta[op->out];
    }
}

/* By blocks of rows where the parameters are few and the rows many: the copies stay in the cache. */
static size_t partial_blocks(const gradcore_network *n, size_t rows)
{
    const size_t blocks = (rows + GRC_KC - 1) / GRC_KC;
    return blocks >= 4 && n->vector <= 65536 ? blocks : 0;
}

int grc_uses_partials(const grc_plan *plan)
{
    return plan->partial && partial_blocks(plan->view.net, plan->view.rows) > 0;
}

static void lay_out(grc_plan *plan, size_t target_bytes, grc_arena *a)
{
    const gradcore_network *n = plan->view.net;
    plan->view.value = grc_take(a, (size_t)n->value_count, sizeof(void *));
    plan->view.saved = grc_take(a, (size_t)n->op_count, sizeof(void *));
    plan->view.delta = grc_take(a, (size_t)n->value_count, sizeof(void *));
    plan->view.zeros = grc_take(a, plan->widest, n->item);
    lay_out_values(plan, a);
    if (plan->mode == GRC_PLAN_PREDICT) {
        plan->row_loss = grc_take(a, plan->view.capacity, sizeof(double));
        plan->row_right = grc_take(a, plan->view.capacity, sizeof(int32_t));
        return;
    }
    lay_out_deltas(plan, a);
    plan->grad = grc_take(a, n->vector, n->item);
    plan->view.transposed = grc_take(a, n->transposed, n->item);
    plan->scratch = grc_take(a, plan->widest * (size_t)n->threads, n->item);
    plan->chunk_norm = grc_take(a, grc_chunk_count(n) + 1, sizeof(double));
    plan->chunk_first = grc_take(a, (size_t)n->parameter_count + 1, sizeof(size_t));
    if (partial_blocks(n, plan->view.capacity) > 0)
        plan->partial = grc_take(a, partial_blocks(n, plan->view.capacity) * n->vector, n->item);
    if (plan->mode != GRC_PLAN_TRAIN)
        return;
    size_t slots = 0;
    for (int i = 0; i < GRC_SLOTS; i++)
        if (plan->slot_mask >> i & 1) {
            plan->slots[i] = grc_take(a, n->vector, n->item);
            slots++;
        }
    plan->chunk_penalty = grc_take(a, grc_chunk_count(n) + 1, sizeof(double));
    plan->chunk_beyond = grc_take(a, grc_chunk_count(n) + 1, sizeof *plan->chunk_beyond);
    for (int i = 0; i < 2 && plan->measures; i++)
        plan->chunk_sum[i] = grc_take(a, grc_chunk_count(n) + 1, sizeof(double));
    plan->target = grc_take(a, plan->view.capacity, target_bytes);
    plan->row_weight = grc_take(a, plan->view.capacity, sizeof(double));
    plan->row_scale = grc_take(a, plan->view.capacity, sizeof(double));
    plan->row_loss = grc_take(a, plan->view.capacity, sizeof(double));
    plan->row_correct = grc_take(a, plan->view.capacity, sizeof(double));
    plan->row_right = grc_take(a, plan->view.capacity, sizeof(int32_t));
    plan->backup = grc_take(a, n->vector * (1 + slots), n->item);
}

static void destroy_spare(grc_spare *spare)
{
    grc_plan_destroy((grc_plan *)spare);
}

grc_status grc_plan_create(gradcore_network *n, int mode, size_t capacity, unsigned slot_mask, int measures,
                           size_t target_bytes, grc_plan **out, gradcore_error *error)
{
    grc_plan *plan = grc_allocate(&n->allocator, sizeof *plan);
    if (!plan)
        return grc_fail(error, GRADCORE_NO_MEMORY, "capacity: expected memory for a pass, got none");
    plan->view.net = n;
    plan->spare.destroy = &destroy_spare;
    plan->mode = mode;
    plan->view.capacity = capacity;
    plan->slot_mask = slot_mask;
    plan->measures = measures;
    plan->limit = (double)INFINITY;
    plan->want_dx = mode == GRC_PLAN_PASS;
    for (int v = 0; v < n->value_count; v++)
        plan->widest = n->values[v].ld > plan->widest ? n->values[v].ld : plan->widest;

    grc_arena arena = {NULL, 0, 0};
    lay_out(plan, target_bytes, &arena);
    plan->block_size = arena.used;
    arena.base = arena.overflow ? NULL : grc_allocate(&n->allocator, arena.used);
    if (!arena.base) {
        grc_release(&n->allocator, plan, sizeof *plan);
        return grc_fail(error, GRADCORE_NO_MEMORY, "capacity: expected memory for %zu rows, got none", capacity);
    }
    plan->block = arena.base;
    arena.used = 0;
    lay_out(plan, target_bytes, &arena);
    plan->input = plan->view.value[0];
    plan->view.input_ld = n->values[0].ld;
    if (plan->chunk_first)
        for (int i = 0; i < n->parameter_count; i++)
            plan->chunk_first[i + 1] = plan->chunk_first[i] + grc_chunks_of(n, &n->parameters[i]);
    GRC_ASSERT(!plan->chunk_first || plan->chunk_first[n->parameter_count] == grc_chunk_count(n));
    GRC_ASSERT(arena.used == plan->block_size);
    *out = plan;
    return GRADCORE_OK;
}

void grc_plan_carry(const grc_plan *from, grc_plan *to)
{
    const gradcore_network *n = to->view.net;
    const size_t vector = n->vector * n->item, chunks = from->chunk_first[n->parameter_count];
    for (int i = 0; i < GRC_SLOTS; i++)
        if (from->slots[i])
            memcpy(to->slots[i], from->slots[i], vector);
    memcpy(to->grad, from->grad, vector);
    memcpy(to->chunk_norm, from->chunk_norm, chunks * sizeof *to->chunk_norm);
    to->view.seed = from->view.seed;
    to->version = UINT64_MAX; /* transposed copies are made anew */
}

void grc_plan_destroy(grc_plan *plan)
{
    if (!plan)
        return;
    gradcore_network *n = plan->view.net;
    grc_release_rates(&plan->view.rates, n);
    grc_release(&n->allocator, plan->block, plan->block_size);
    grc_release(&n->allocator, plan, sizeof *plan);
}

/* ---- work ---- */

double grc_work(const gradcore_network *n, int products, size_t rows, int update)
{
    const double size = (double)n->trainable, wide = (double)n->item / sizeof(float);
    return products * (2e-5 * wide * size + 0.025) * (double)rows + (update ? 5e-4 * wide * size : 0);
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
