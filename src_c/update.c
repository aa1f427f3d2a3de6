/* The update of a step: every thread changes what it owns, or nobody changes anything. */
#include <math.h>
#include <string.h>

#include "trainer.h"

/* Calls visit for each contiguous piece of the trainable parameters that thread t owns. */
typedef void visit_fn(grc_exec *x, size_t offset, size_t size, int is_vector, void *context);
static void visit_own(grc_exec *x, int t, int count, visit_fn *visit, void *context)
{
    const gradcore_network *n = x->net;
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, t, count);
        const size_t down = grc_stored_rows(p);
        if (!p->trainable || !r.rows)
            continue;
        if (r.rows == down)
            visit(x, p->offset + r.panel * down * pw, r.panels * down * pw, p->ndim == 1, context);
        else
            for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
                visit(x, p->offset + (panel * down + r.row) * pw, r.rows * pw, 0, context);
    }
}

typedef struct update {
    const gradcore_trainer *t;
    grc_opt_args args;
    double decay;
} update;

static void apply(grc_exec *x, size_t offset, size_t size, int is_vector, void *context)
{
    const gradcore_network *n = x->net;
    update *u = context;
    void *slot[3];
    for (int i = 0; i < 3; i++)
        slot[i] = x->slots[i] ? grc_at(n, x->slots[i], offset) : NULL;
    u->args.weight_decay = is_vector && !(u->t->flags & GRADCORE_DECAY_ALL) ? 0 : u->decay;
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
static void keep(grc_exec *x, size_t offset, size_t size, int is_vector, void *context)
{
    (void)is_vector, (void)context;
    copy_state(x, offset, size, 0);
}
static void restore(grc_exec *x, size_t offset, size_t size, int is_vector, void *context)
{
    (void)is_vector, (void)context;
    copy_state(x, offset, size, 1);
}
static void look_for_nonfinite(grc_exec *x, size_t offset, size_t size, int is_vector, void *context)
{
    const gradcore_network *n = x->net;
    atomic_int *spoiled = context;
    (void)is_vector;
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
    grc_clip_gradients(tr, team, h, t, count);
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
    grc_constrain(tr, team, h, t, count);
    if (x->net->derives) {
        grc_barrier(team);
        grc_derive(x->net, GRC_NEW_UPDATE, t, count);
    }
    grc_refresh(x, t, count);
    grc_settle(x, a->rows, t, count);
    return GRC_APPLIED;
}
