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
#include "../base/sums.h"
#include "gradient_surgery.h"

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

static void lay_out(const gradcore_trainer *trainer, struct grc_surgery *s, grc_arena *a)
{
    const gradcore_network *n = trainer->net;
    const size_t heads = (size_t)n->head_count, chunks = trainer->plan->chunk_first[n->parameter_count];
    s->gradients = grc_take(a, heads * n->vector, n->item);
    s->dots = grc_take(a, heads * (heads + 1) / 2 * chunks, sizeof(double));
    s->gram = grc_take(a, heads * heads, sizeof(double));
    s->rest = grc_take(a, heads, sizeof(double));
    s->total = grc_take(a, heads, sizeof(double));
    s->order = grc_take(a, heads, sizeof(int));
    s->ledger = grc_take(a, heads * heads * 3, sizeof(double));
}

grc_status grc_surgery_create(gradcore_trainer *trainer, int projects, gradcore_error *error)
{
    grc_arena arena = {NULL, 0, 0};
    struct grc_surgery *s = trainer->surgery = grc_allocate(&trainer->net->allocator, sizeof *s);
    if (s) {
        lay_out(trainer, s, &arena);
        s->block_size = arena.used;
        s->block = arena.base = arena.overflow ? NULL : grc_allocate(&trainer->net->allocator, s->block_size);
    }
    if (!arena.base) {
        grc_surgery_destroy(trainer);
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for a gradient a head, got none");
    }
    arena.used = 0;
    lay_out(trainer, s, &arena);
    s->projects = projects;
    return GRADCORE_OK;
}

grc_status grc_surgery_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error)
{
    if (!from->surgery)
        return GRADCORE_OK;
    const grc_status status = grc_surgery_create(trainer, from->surgery->projects, error);
    if (status == GRADCORE_OK)
        memcpy(trainer->surgery->block, from->surgery->block, from->surgery->block_size);
    return status;
}

int grc_projects(const gradcore_trainer *trainer)
{
    return trainer->surgery && trainer->surgery->projects;
}

void grc_surgery_destroy(gradcore_trainer *trainer)
{
    if (!trainer->surgery)
        return;
    grc_release(&trainer->net->allocator, trainer->surgery->block, trainer->surgery->block_size);
    grc_release(&trainer->net->allocator, trainer->surgery, sizeof *trainer->surgery);
    trainer->surgery = NULL;
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

void *grc_head_gradient(const gradcore_trainer *trainer, int head, size_t offset)
{
    return grc_at(trainer->net, trainer->surgery->gradients, (size_t)head * trainer->net->vector + offset);
}

static void keep(void *context, const grc_piece *chunk)
{
    gradcore_trainer *trainer = context;
    const grc_op *op = op_of(trainer->net, chunk->parameter);
    if (!grc_stands_still(&trainer->plan->view, op))
        memcpy(grc_head_gradient(trainer, trainer->plan->view.only - 1, chunk->offset),
               grc_at(trainer->net, trainer->plan->grad, chunk->offset), chunk->size * trainer->net->item);
}

static void multiply(void *context, const grc_piece *chunk)
{
    gradcore_trainer *trainer = context;
    const gradcore_network *n = trainer->net;
    double *dots = trainer->surgery->dots + chunk->chunk;
    for (int i = 0; i < n->head_count && is_trunk(n, chunk->parameter); i++)
        for (int j = i; j < n->head_count; j++, dots += trainer->plan->chunk_first[n->parameter_count])
            *dots = n->kernels->dot(chunk->size, grc_head_gradient(trainer, i, chunk->offset),
                                    grc_head_gradient(trainer, j, chunk->offset));
}

/* A head's own gradients are those of its pass; the log variances' are the sum of all passes'. */
static void combine(void *context, const grc_piece *chunk)
{
    gradcore_trainer *trainer = context;
    const gradcore_network *n = trainer->net;
    const int head = op_of(n, chunk->parameter)->head, trunk = is_trunk(n, chunk->parameter);
    void *to = grc_at(n, trainer->plan->grad, chunk->offset);
    if (head) {
        memcpy(to, grc_head_gradient(trainer, head - 1, chunk->offset), chunk->size * n->item);
        return;
    }
    memset(to, 0, chunk->size * n->item);
    for (int j = 0; j < n->head_count; j++)
        n->kernels->scale_add(1, chunk->size, trunk && trainer->surgery->projects ? trainer->surgery->total[j] : 1,
                              grc_head_gradient(trainer, j, chunk->offset), chunk->size, to, chunk->size);
}

/* ---- the projections, by one thread ---- */

static void add_up(const gradcore_trainer *trainer)
{
    const size_t heads = (size_t)trainer->net->head_count;
    const size_t chunks = trainer->plan->chunk_first[trainer->net->parameter_count];
    const double *dots = trainer->surgery->dots;
    for (size_t i = 0; i < heads; i++)
        for (size_t j = i; j < heads; j++, dots += chunks)
            trainer->surgery->gram[i * heads + j] = trainer->surgery->gram[j * heads + i] = grc_sum(chunks, dots);
}

/* The other heads in the order of this step for head i: Fisher-Yates. */
static void shuffle_others(const gradcore_trainer *trainer, int i)
{
    int *order = trainer->surgery->order, others = 0;
    for (int j = 0; j < trainer->net->head_count; j++)
        if (j != i)
            order[others++] = j;
    for (int left = others; left > 1; left--) {
        uint32_t word[4];
        grc_philox(trainer->seed, GRC_STREAM_SURGERY, trainer->plan->view.step,
                   (uint64_t)i * GRADCORE_MOST_HEADS + (uint64_t)left, word);
        const int pick = (int)((uint64_t)word[0] * (uint64_t)left >> 32), last = order[left - 1];
        order[left - 1] = order[pick];
        order[pick] = last;
    }
}

static void project(const gradcore_trainer *trainer)
{
    const struct grc_surgery *s = trainer->surgery;
    const int heads = trainer->net->head_count;
    memset(s->total, 0, (size_t)heads * sizeof(double));
    for (int i = 0; i < heads; i++) {
        memset(s->rest, 0, (size_t)heads * sizeof(double));
        s->rest[i] = 1;
        shuffle_others(trainer, i);
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

void grc_combine_heads(gradcore_trainer *trainer, grc_team *team, int t, int count)
{
    if (trainer->surgery->projects)
        grc_each_owned_chunk(trainer->net, t, count, &multiply, trainer);
    grc_barrier(team);
    if (t == 0 && trainer->surgery->projects) {
        add_up(trainer);
        project(trainer);
    }
    grc_barrier(team);
    grc_each_owned_chunk(trainer->net, t, count, &combine, trainer);
    grc_norms_of_gradient(trainer->plan, 1, t, count);
    grc_barrier(team);
}

void grc_project_conflicts(slice *s, grc_team *team, grc_gradients_fn *make_gradients, int64_t first, int t, int count)
{
    gradcore_trainer *trainer = s->trainer;
    for (int head = 1; head <= trainer->net->head_count; head++) {
        if (t == 0)
            trainer->plan->view.only = head;
        grc_barrier(team);
        make_gradients(s, team, first, t, count);
        grc_each_owned_chunk(trainer->net, t, count, &keep, trainer);
        grc_barrier(team);
    }
    if (t == 0)
        trainer->plan->view.only = 0;
    grc_combine_heads(trainer, team, t, count);
}

/* ---- how much they disagree ---- */

/* Of the gradients of heads i and j; NaN where one of them is 0 or not finite. */
static double cosine_of(const gradcore_trainer *trainer, size_t i, size_t j)
{
    const size_t heads = (size_t)trainer->net->head_count;
    const double *gram = trainer->surgery->gram;
    const double size = sqrt(gram[i * heads + i]) * sqrt(gram[j * heads + j]), cosine = gram[i * heads + j] / size;
    return size > 0 && isfinite(cosine) ? cosine : (double)NAN;
}

void grc_surgery_report(const gradcore_trainer *trainer, double out[2])
{
    const size_t heads = (size_t)trainer->net->head_count;
    double pairs = 0, conflicts = 0, cosines = 0;
    for (size_t i = 0; i < heads; i++)
        for (size_t j = i + 1; j < heads; j++) {
            const double cosine = cosine_of(trainer, i, j);
            if (isnan(cosine))
                continue;
            pairs += 1;
            conflicts += cosine < 0;
            cosines += cosine;
        }
    out[0] = cosines / pairs;
    out[1] = conflicts / pairs;
}

void grc_count_conflicts(gradcore_trainer *trainer)
{
    const size_t heads = (size_t)trainer->net->head_count;
    for (size_t i = 0; grc_projects(trainer) && i < heads; i++)
        for (size_t j = 0; j < heads; j++) {
            const double cosine = i == j ? (double)NAN : cosine_of(trainer, i < j ? i : j, i < j ? j : i);
            double *entry = trainer->surgery->ledger + 3 * (i * heads + j);
            if (isnan(cosine))
                continue;
            entry[0] += 1;
            entry[1] += cosine < 0;
            entry[2] += cosine;
        }
}

grc_status gradcore_trainer_conflicts(gradcore_trainer *trainer, double *ledger, gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    const size_t heads = (size_t)trainer->net->head_count;
    if (!ledger)
        status = grc_fail(error, GRADCORE_INVALID, "ledger: expected a pointer, got NULL");
    else if (!grc_projects(trainer))
        status =
            grc_fail(error, GRADCORE_STATE, "conflicts: expected a trainer with gradient surgery, got one without");
    else
        memcpy(ledger, trainer->surgery->ledger, 3 * heads * heads * sizeof(double));
    grc_trainer_leave(trainer);
    return status;
}
