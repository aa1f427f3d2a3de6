/* The update of a step: every thread changes what it owns, or nobody changes anything. */
#include <math.h>
#include <string.h>

#include "trainer.h"

/* Calls visit for each contiguous piece of the parameter vector that thread t owns. */
typedef void visit_fn(grc_exec *x, size_t offset, size_t size, int is_bias, void *context);
static void visit_own(grc_exec *x, int t, int count, visit_fn *visit, void *context)
{
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->op_count; i++) {
        const grc_op *op = &n->ops[i];
        if (op->class != &grc_op_dense)
            continue;
        const grc_region r = grc_weight_region(n, op, t, count);
        const size_t rows = grc_weight_rows(op);
        if (r.panels && r.rows == rows)
            visit(x, op->weight + r.panel * rows * pw, r.panels * rows * pw, 0, context);
        else if (r.rows)
            for (size_t p = r.panel; p < r.panel + r.panels; p++)
                visit(x, op->weight + (p * rows + r.row) * pw, r.rows * pw, 0, context);
        if (op->has_bias && i % count == t)
            visit(x, op->bias, grc_panels(n, op->fan_out) * pw, 1, context);
    }
}

typedef struct update {
    const gradcore_trainer *t;
    grc_opt_args args;
    double decay;
} update;

static void apply(grc_exec *x, size_t offset, size_t size, int is_bias, void *context)
{
    const gradcore_network *n = x->net;
    update *u = context;
    void *slot[3];
    for (int i = 0; i < 3; i++)
        slot[i] = x->slots[i] ? grc_at(n, x->slots[i], offset) : NULL;
    u->args.weight_decay = is_bias && !(u->t->flags & GRADCORE_DECAY_ALL) ? 0 : u->decay;
    n->kernels->opt[u->t->optimizer](size, grc_at(n, n->w, offset), grc_at(n, x->grad, offset), slot[0],
                                     slot[1], slot[2], &u->args);
}

/* w and the slots in use, one after the other, to the backup (or back). */
static void copy_state(grc_exec *x, size_t offset, size_t size, int restore)
{
    const gradcore_network *n = x->net;
    void *from[4] = {n->w, x->slots[0], x->slots[1], x->slots[2]};
    for (size_t i = 0, k = 0; i < 4; i++)
        if (from[i]) {
            void *live = grc_at(n, from[i], offset), *kept = grc_at(n, x->backup, k++ * n->vector + offset);
            memcpy(restore ? live : kept, restore ? kept : live, size * n->item);
        }
}
static void keep(grc_exec *x, size_t offset, size_t size, int is_bias, void *context)
{
    (void)is_bias, (void)context;
    copy_state(x, offset, size, 0);
}
static void restore(grc_exec *x, size_t offset, size_t size, int is_bias, void *context)
{
    (void)is_bias, (void)context;
    copy_state(x, offset, size, 1);
}
static void look_for_nonfinite(grc_exec *x, size_t offset, size_t size, int is_bias, void *context)
{
    const gradcore_network *n = x->net;
    atomic_int *spoiled = context;
    (void)is_bias;
    void *state[4] = {n->w, x->slots[0], x->slots[1], x->slots[2]};
    for (int i = 0; i < 4; i++)
        if (state[i] && !isfinite(n->kernels->max_abs(size, grc_at(n, state[i], offset))))
            atomic_store(spoiled, 1);
}

/* Could this update leave the finite numbers? Far from the edge it cannot, and nothing is checked; near it
 * the update is made with a way back. The bounds leave many orders of magnitude for momentum. */
static int is_risky(const gradcore_trainer *t, const double *h, double norm)
{
    const int single = t->net->dtype == GRC_F32;
    const double lr = fabs(h[GRADCORE_LR]), decay = lr * fabs(h[GRADCORE_WEIGHT_DECAY]);
    return t->careful
           || !(norm < (single ? 1e15 : 1e150) && lr * (norm + 1) < (single ? 1e20 : 1e200) && decay < 1);
}

grc_verdict grc_update(gradcore_trainer *tr, grc_team *team, const grc_update_args *a, int t, int count)
{
    grc_exec *x = tr->x;
    const double *h = a->hypers;
    const int propagate = tr->nonfinite == GRC_NONFINITE_PROPAGATE;
    if (!a->finite && !propagate)
        return GRC_SKIPPED;
    update u = {.t = tr,
                .decay = h[GRADCORE_WEIGHT_DECAY],
                .args = {.lr = h[GRADCORE_LR],
                         .grad_scale = a->scale,
                         .grad_limit = tr->clip == GRC_CLIP_VALUE ? h[GRADCORE_CLIP] : (double)INFINITY,
                         .step = a->step,
                         .flags = tr->flags}};
    memcpy(u.args.p, h + GRADCORE_OWN, sizeof u.args.p);
    const int careful = !propagate && is_risky(tr, h, a->norm);
    if (careful) {
        visit_own(x, t, count, &keep, NULL);
        visit_own(x, t, count, &apply, &u);
        visit_own(x, t, count, &look_for_nonfinite, &tr->spoiled);
        grc_barrier(team);
        const int spoiled = atomic_load(&tr->spoiled);
        grc_barrier(team);
        if (t == 0)
            atomic_store(&tr->spoiled, 0);
        if (spoiled) {
            visit_own(x, t, count, &restore, NULL);
            return GRC_SKIPPED;
        }
    } else {
        visit_own(x, t, count, &apply, &u);
    }
    grc_transpose_weights(x, t, count);
    return GRC_APPLIED;
}
