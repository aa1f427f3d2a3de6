/* Gradient surgery, PCGrad: Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020. Each head has a
 * gradient of the trunk's parameters by a pass of its own; where two of them point against each other, one loses
 * its part along the other.
 *
 * All that the projections make are sums of the g_j, so they are done on coefficients: the products g_i . g_j
 * are summed once, in double, by chunks in order; what is left of g_i is sum_j c_j g_j, its product with g_k is
 * sum_j c_j (g_j . g_k), and the update takes one sum over j with the coefficients of all i added up. */
#include <math.h>
#include <string.h>

#include "../base/rng.h"
#include "slice.h"

#define GRC_STREAM_SURGERY 0xfffffffeu

struct grc_surgery {
    int projects;           /* else the gradients are kept apart for their own sake */
    void *gradients;        /* (heads, vector) */
    double *dots;           /* (pairs, chunks): i <= j, row after row; 0 for what is no trunk's */
    double *gram;           /* (heads, heads) */
    double *rest, *total;   /* (heads): coefficients of one, and of the sum */
    int *order;             /* (heads) */
    double *ledger;         /* (heads, heads, 3): steps with both gradients, in conflict, sum of cosines */
    void *block;
    size_t block_size;
};

/* ---- as an object ---- */

static void lay_out(const gradcore_trainer *t, struct grc_surgery *s, grc_arena *a)
{
    const gradcore_network *n = t->net;
    const size_t heads = (size_t)n->head_count, chunks = t->x->chunk_first[n->parameter_count];
    s->gradients = grc_take(a, heads * n->vector, n->item);
    s->dots = grc_take(a, heads * (heads + 1) / 2 * chunks, sizeof(double));
    s->gram = grc_take(a, heads * heads, sizeof(double));
    s->rest = grc_take(a, heads, sizeof(double));
    s->total = grc_take(a, heads, sizeof(double));
    s->order = grc_take(a, heads, sizeof(int));
    s->ledger = grc_take(a, heads * heads * 3, sizeof(double));
}

grc_status grc_surgery_create(gradcore_trainer *t, int projects, gradcore_error *error)
{
    grc_arena arena = {NULL, 0, 0};
    struct grc_surgery *s = t->surgery = grc_allocate(&t->net->allocator, sizeof *s);
    if (s) {
        lay_out(t, s, &arena);
        s->block_size = arena.used;
        s->block = arena.base = arena.overflow ? NULL : grc_allocate(&t->net->allocator, s->block_size);
    }
    if (!arena.base) {
        grc_surgery_destroy(t);
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for a gradient a head, got none");
    }
    arena.used = 0;
    lay_out(t, s, &arena);
    s->projects = projects;
    return GRADCORE_OK;
}

int grc_projects(const gradcore_trainer *t)
{
    return t->surgery && t->surgery->projects;
}

void grc_surgery_destroy(gradcore_trainer *t)
{
    if (!t->surgery)
        return;
    grc_release(&t->net->allocator, t->surgery->block, t->surgery->block_size);
    grc_release(&t->net->allocator, t->surgery, sizeof *t->surgery);
    t->surgery = NULL;
}

/* ---- pieces: what a thread owns, chunk by chunk ---- */

typedef void visit_fn(gradcore_trainer *tr, int parameter, size_t chunk, size_t offset, size_t size);

static void visit_own(gradcore_trainer *tr, int t, int count, visit_fn *visit)
{
    const gradcore_network *n = tr->net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, t, count);
        const size_t first = tr->x->chunk_first[i], down = grc_stored_rows(p);
        const size_t chunks = (down + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
        if (!p->trainable || !r.rows)
            continue;
        if (p->ndim == 1) {
            visit(tr, i, first, p->offset, r.panels * pw);
            continue;
        }
        for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
            for (size_t row = r.row; row < r.row + r.rows; row += GRC_CHUNK_ROWS)
                visit(tr, i, first + panel * chunks + row / GRC_CHUNK_ROWS, p->offset + (panel * down + row) * pw,
                      grc_min(GRC_CHUNK_ROWS, r.row + r.rows - row) * pw);
    }
}

static const grc_op *op_of(const gradcore_network *n, int parameter)
{
    return &n->ops[n->parameters[parameter].op];
}

static int is_trunk(const gradcore_network *n, int parameter)
{
    const grc_op *op = op_of(n, parameter);
    return op->head == 0 && op->class != &grc_op_heads_end;
}

void *grc_head_gradient(const gradcore_trainer *tr, int head, size_t offset)
{
    return grc_at(tr->net, tr->surgery->gradients, (size_t)head * tr->net->vector + offset);
}

static void keep(gradcore_trainer *tr, int parameter, size_t chunk, size_t offset, size_t size)
{
    const grc_op *op = op_of(tr->net, parameter);
    (void)chunk;
    if (!grc_stands_still(tr->x, op))
        memcpy(grc_head_gradient(tr, tr->x->only - 1, offset), grc_at(tr->net, tr->x->grad, offset), size * tr->net->item);
}

static void multiply(gradcore_trainer *tr, int parameter, size_t chunk, size_t offset, size_t size)
{
    const gradcore_network *n = tr->net;
    double *dots = tr->surgery->dots + chunk;
    for (int i = 0; i < n->head_count && is_trunk(n, parameter); i++)
        for (int j = i; j < n->head_count; j++, dots += tr->x->chunk_first[n->parameter_count])
            *dots = n->kernels->dot(size, grc_head_gradient(tr, i, offset), grc_head_gradient(tr, j, offset));
}

/* A head's own gradients are those of its pass; the log variances' are the sum of all passes'. */
static void combine(gradcore_trainer *tr, int parameter, size_t chunk, size_t offset, size_t size)
{
    const gradcore_network *n = tr->net;
    const int head = op_of(n, parameter)->head, trunk = is_trunk(n, parameter);
    void *to = grc_at(n, tr->x->grad, offset);
    (void)chunk;
    if (head) {
        memcpy(to, grc_head_gradient(tr, head - 1, offset), size * n->item);
        return;
    }
    memset(to, 0, size * n->item);
    for (int j = 0; j < n->head_count; j++)
        n->kernels->scale_add(1, size, trunk && tr->surgery->projects ? tr->surgery->total[j] : 1, grc_head_gradient(tr, j, offset), size, to, size);
}

/* ---- the projections, by one thread ---- */

static void add_up(const gradcore_trainer *tr)
{
    const size_t heads = (size_t)tr->net->head_count, chunks = tr->x->chunk_first[tr->net->parameter_count];
    const double *dots = tr->surgery->dots;
    for (size_t i = 0; i < heads; i++)
        for (size_t j = i; j < heads; j++, dots += chunks)
            tr->surgery->gram[i * heads + j] = tr->surgery->gram[j * heads + i] = grc_sum(chunks, dots);
}

/* The other heads in the order of this step for head i: Fisher-Yates. */
static void shuffle_others(const gradcore_trainer *tr, int i)
{
    int *order = tr->surgery->order, others = 0;
    for (int j = 0; j < tr->net->head_count; j++)
        if (j != i)
            order[others++] = j;
    for (int left = others; left > 1; left--) {
        uint32_t word[4];
        grc_philox(tr->seed, GRC_STREAM_SURGERY, tr->x->step, (uint64_t)i * GRADCORE_MOST_HEADS + (uint64_t)left,
                   word);
        const int pick = (int)((uint64_t)word[0] * (uint64_t)left >> 32), last = order[left - 1];
        order[left - 1] = order[pick];
        order[pick] = last;
    }
}

static void project(const gradcore_trainer *tr)
{
    const struct grc_surgery *s = tr->surgery;
    const int heads = tr->net->head_count;
    memset(s->total, 0, (size_t)heads * sizeof(double));
    for (int i = 0; i < heads; i++) {
        memset(s->rest, 0, (size_t)heads * sizeof(double));
        s->rest[i] = 1;
        shuffle_others(tr, i);
        for (int at = 0; at + 1 < heads; at++) {
            const int k = s->order[at];
            const double *row = s->gram + (size_t)k * (size_t)heads;
            double product = 0;
            for (int j = 0; j < heads; j++)
                product += s->rest[j] * row[j];
            if (product < 0 && row[k] > 0)
                s->rest[k] -= product / row[k];
        }
        for (int j = 0; j < heads; j++)
            s->total[j] += s->rest[j];
    }
}

void grc_join_heads(gradcore_trainer *tr, grc_team *team, int t, int count)
{
    if (tr->surgery->projects)
        visit_own(tr, t, count, &multiply);
    grc_barrier(team);
    if (t == 0 && tr->surgery->projects) {
        add_up(tr);
        project(tr);
    }
    grc_barrier(team);
    visit_own(tr, t, count, &combine);
    for (int i = 0; i < tr->net->parameter_count; i++) {
        const grc_region mine = grc_own(tr->net, i, t, count);
        if (tr->net->parameters[i].trainable && mine.rows)
            grc_penalized_norms(tr->x, i, mine);
    }
    grc_barrier(team);
}

void grc_operate(slice *s, grc_team *team, grc_gradients_fn *make_gradients, int64_t first, int t, int count)
{
    gradcore_trainer *tr = s->t;
    for (int head = 1; head <= tr->net->head_count; head++) {
        if (t == 0)
            tr->x->only = head;
        grc_barrier(team);
        make_gradients(s, team, first, t, count);
        visit_own(tr, t, count, &keep);
        grc_barrier(team);
    }
    if (t == 0)
        tr->x->only = 0;
    grc_join_heads(tr, team, t, count);
}

/* ---- how much they disagree ---- */

/* Of the gradients of heads i and j; NaN where one of them is 0 or not finite. */
static double cosine_of(const gradcore_trainer *t, size_t i, size_t j)
{
    const size_t heads = (size_t)t->net->head_count;
    const double *gram = t->surgery->gram;
    const double size = sqrt(gram[i * heads + i]) * sqrt(gram[j * heads + j]), cosine = gram[i * heads + j] / size;
    return size > 0 && isfinite(cosine) ? cosine : (double)NAN;
}

void grc_surgery_report(const gradcore_trainer *t, double out[2])
{
    const size_t heads = (size_t)t->net->head_count;
    double pairs = 0, conflicts = 0, cosines = 0;
    for (size_t i = 0; i < heads; i++)
        for (size_t j = i + 1; j < heads; j++) {
            const double cosine = cosine_of(t, i, j);
            if (isnan(cosine))
                continue;
            pairs += 1;
            conflicts += cosine < 0;
            cosines += cosine;
        }
    out[0] = cosines / pairs;
    out[1] = conflicts / pairs;
}

void grc_count_conflicts(gradcore_trainer *t)
{
    const size_t heads = (size_t)t->net->head_count;
    for (size_t i = 0; grc_projects(t) && i < heads; i++)
        for (size_t j = 0; j < heads; j++) {
            const double cosine = i == j ? (double)NAN : cosine_of(t, i < j ? i : j, i < j ? j : i);
            double *entry = t->surgery->ledger + 3 * (i * heads + j);
            if (isnan(cosine))
                continue;
            entry[0] += 1;
            entry[1] += cosine < 0;
            entry[2] += cosine;
        }
}

grc_status gradcore_trainer_conflicts(gradcore_trainer *t, double *ledger, gradcore_error *error)
{
    grc_status status = grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    const size_t heads = (size_t)t->net->head_count;
    if (!ledger)
        status = grc_fail(error, GRADCORE_INVALID, "ledger: expected a pointer, got NULL");
    else if (!grc_projects(t))
        status = grc_fail(error, GRADCORE_STATE, "conflicts: expected a trainer with gradient surgery, got one without");
    else
        memcpy(ledger, t->surgery->ledger, 3 * heads * heads * sizeof(double));
    grc_trainer_leave(t);
    return status;
}
