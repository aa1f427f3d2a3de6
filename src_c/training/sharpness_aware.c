/* Sharpness-aware minimisation: the gradient of an update is that at a point up the slope (Foret, Kleiner, Mobahi and
 * Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021; adaptive: Kwon, Kim,
 * Park and Choi, "ASAM", ICML 2021). The vector of its average is two parameter vectors: the weights as they
 * were, and scratch that ends with what the batch has told the ops (running averages) at those weights. */
#include <math.h>

#include "../base/sums.h"
#include "averages.h"

#define LEAST 1e-12 /* added to the norm, as in the published implementations */

typedef struct climb {
    gradcore_trainer *trainer;
    void *kept, *scratch;
    double rate; /* of the step up */
    int adaptive;
} climb;

static climb climb_of(gradcore_trainer *trainer)
{
    const grc_average *a = &trainer->averages[trainer->sam - 1];
    const gradcore_network *n = trainer->net;
    return (climb){.trainer = trainer,
                   .kept = a->vector,
                   .scratch = grc_at(n, a->vector, n->vector),
                   .adaptive = a->kind == GRC_ASAM};
}

/* scratch = w g, and its sum of squares in place of that of g. */
static void weigh(void *context, const grc_piece *chunk)
{
    const climb *c = context;
    const gradcore_network *n = c->trainer->net;
    if (c->trainer->groups[chunk->parameter].frozen)
        return;
    void *product = grc_at(n, c->scratch, chunk->offset);
    n->kernels->multiply(1, chunk->size, grc_at(n, n->w, chunk->offset),
                         grc_at(n, c->trainer->plan->grad, chunk->offset), product, chunk->size);
    c->trainer->plan->chunk_norm[chunk->chunk] = n->kernels->sum_squares(chunk->size, product);
}

static void ascend(void *context, const grc_piece *chunk)
{
    const climb *c = context;
    const gradcore_network *n = c->trainer->net;
    if (c->trainer->groups[chunk->parameter].frozen)
        return;
    void *w = grc_at(n, n->w, chunk->offset), *product = grc_at(n, c->scratch, chunk->offset);
    if (c->adaptive)
        n->kernels->multiply(1, chunk->size, w, product, product, chunk->size);
    n->kernels->combine(chunk->size, c->rate, c->adaptive ? product : grc_at(n, c->trainer->plan->grad, chunk->offset),
                        1, w);
}

/* Of what is not frozen, by every thread alike. */
static double slope(const gradcore_trainer *trainer)
{
    const grc_plan *plan = trainer->plan;
    double sum = 0;
    for (int i = 0; i < trainer->net->parameter_count; i++)
        if (trainer->net->parameters[i].trainable && !trainer->groups[i].frozen)
            sum += grc_sum(plan->chunk_first[i + 1] - plan->chunk_first[i], plan->chunk_norm + plan->chunk_first[i]);
    return sqrt(sum);
}

/* Between w and another vector: the parameters that do not train, of the ops that thread t settles. */
static void move_settled(const gradcore_network *n, const void *from, void *to, int t, int count)
{
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        if (!p->trainable && n->ops[p->op].class->settle && p->op % count == t)
            memcpy(grc_at(n, to, p->offset), grc_at(n, from, p->offset), p->rows * p->cols * n->item);
    }
}

static void move_all(const gradcore_network *n, const void *from, void *to, int t, int count)
{
    size_t first, last;
    grc_rows_of(n->vector, n->kernels->panel, t, count, &first, &last);
    memcpy(grc_at(n, to, first), grc_at(n, from, first), (last - first) * n->item);
}

void grc_sam_climb(gradcore_trainer *trainer, grc_team *team, double rho, size_t rows, int t, int count)
{
    gradcore_network *n = trainer->net;
    climb c = climb_of(trainer);
    move_all(n, n->w, c.kept, t, count);
    grc_barrier(team); /* kept; and all have read the norms of the gradient */
    if (c.adaptive) {
        grc_each_owned_chunk(n, t, count, &weigh, &c);
        grc_barrier(team);
    }
    c.rate = rho / (slope(trainer) + LEAST);
    grc_settle(&trainer->plan->view, rows, t, count);
    move_settled(n, n->w, c.scratch, t, count);
    grc_each_owned_chunk(n, t, count, &ascend, &c);
    grc_refresh_weights(&trainer->plan->view, team, t, count);
    grc_barrier(team);
}

void grc_sam_return(gradcore_trainer *trainer, grc_team *team, int t, int count)
{
    const climb c = climb_of(trainer);
    grc_barrier(team);
    move_all(trainer->net, c.kept, trainer->net->w, t, count);
    grc_barrier(team);
    grc_refresh(&trainer->plan->view, t, count);
    grc_barrier(team);
}

void grc_learn(gradcore_trainer *trainer, int climbed, size_t rows, int t, int count)
{
    if (climbed)
        move_settled(trainer->net, climb_of(trainer).scratch, trainer->net->w, t, count);
    else
        grc_settle(&trainer->plan->view, rows, t, count);
}
