/* Sharpness-aware minimisation: the gradient of an update is that at a point up the slope (Foret, Kleiner, Mobahi and
 * Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021; adaptive: Kwon, Kim,
 * Park and Choi, "ASAM", ICML 2021). The vector of its average is two parameter vectors: the weights as they
 * were, and scratch that ends with what the batch has told the ops (running averages) at those weights. */
#include <math.h>

#include "trainer.h"

#define LEAST 1e-12 /* added to the norm, as in the published implementations */

typedef struct climb {
    gradcore_trainer *t;
    void *kept, *scratch;
    double rate; /* of the step up */
    int adaptive;
} climb;

static climb climb_of(gradcore_trainer *t)
{
    const grc_average *a = &t->averages[t->sam - 1];
    const gradcore_network *n = t->net;
    return (climb){.t = t, .kept = a->vector, .scratch = grc_at(n, a->vector, n->vector),
                   .adaptive = grc_average_is_adaptive(a)};
}

/* Calls visit for every chunk, or whole vector, of thread t's part of what is not frozen. */
typedef void visit_fn(climb *c, size_t offset, size_t size, size_t chunk);
static void visit(climb *c, visit_fn *body, int t, int count)
{
    const gradcore_network *n = c->t->net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, t, count);
        const size_t down = grc_stored_rows(p), chunks = (down + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
        const size_t first = c->t->x->chunk_first[i];
        if (!p->trainable || c->t->groups[i].frozen || !r.rows)
            continue;
        if (p->ndim == 1) {
            body(c, p->offset, r.panels * pw, first);
            continue;
        }
        for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
            for (size_t row = r.row; row < r.row + r.rows; row += GRC_CHUNK_ROWS)
                body(c, p->offset + (panel * down + row) * pw, grc_min(GRC_CHUNK_ROWS, r.row + r.rows - row) * pw,
                     first + panel * chunks + row / GRC_CHUNK_ROWS);
    }
}

/* scratch = w g, and its sum of squares in place of that of g. */
static void weigh(climb *c, size_t offset, size_t size, size_t chunk)
{
    const gradcore_network *n = c->t->net;
    void *product = grc_at(n, c->scratch, offset);
    n->kernels->multiply(1, size, grc_at(n, n->w, offset), grc_at(n, c->t->x->grad, offset), product, size);
    c->t->x->chunk_norm[chunk] = n->kernels->sum_squares(size, product);
}

static void ascend(climb *c, size_t offset, size_t size, size_t chunk)
{
    const gradcore_network *n = c->t->net;
    void *w = grc_at(n, n->w, offset), *product = grc_at(n, c->scratch, offset);
    (void)chunk;
    if (c->adaptive)
        n->kernels->multiply(1, size, w, product, product, size);
    n->kernels->combine(size, c->rate, c->adaptive ? product : grc_at(n, c->t->x->grad, offset), 1, w);
}

/* Of what is not frozen, by every thread alike. */
static double slope(const gradcore_trainer *t)
{
    const grc_exec *x = t->x;
    double sum = 0;
    for (int i = 0; i < t->net->parameter_count; i++)
        if (t->net->parameters[i].trainable && !t->groups[i].frozen)
            sum += grc_sum(x->chunk_first[i + 1] - x->chunk_first[i], x->chunk_norm + x->chunk_first[i]);
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

void grc_sam_climb(gradcore_trainer *tr, grc_team *team, double rho, size_t rows, int t, int count)
{
    gradcore_network *n = tr->net;
    climb c = climb_of(tr);
    move_all(n, n->w, c.kept, t, count);
    grc_barrier(team); /* kept; and all have read the norms of the gradient */
    if (c.adaptive) {
        visit(&c, &weigh, t, count);
        grc_barrier(team);
    }
    c.rate = rho / (slope(tr) + LEAST);
    grc_settle(tr->x, rows, t, count);
    move_settled(n, n->w, c.scratch, t, count);
    visit(&c, &ascend, t, count);
    if (n->derives) {
        grc_barrier(team);
        grc_derive_update(tr->x, t, count);
    }
    grc_refresh(tr->x, t, count);
    grc_barrier(team);
}

void grc_sam_return(gradcore_trainer *tr, grc_team *team, int t, int count)
{
    const climb c = climb_of(tr);
    grc_barrier(team);
    move_all(tr->net, c.kept, tr->net->w, t, count);
    grc_barrier(team);
    grc_refresh(tr->x, t, count);
    grc_barrier(team);
}

void grc_learn(gradcore_trainer *tr, int climbed, size_t rows, int t, int count)
{
    if (climbed)
        move_settled(tr->net, climb_of(tr).scratch, tr->net->w, t, count);
    else
        grc_settle(tr->x, rows, t, count);
}
