/* The update of a step: every thread changes what it owns, or nobody changes anything. */
#include <math.h>
#include <string.h>

#include "trainer.h"

/* Calls visit for each contiguous piece of the trainable parameters that thread t owns. */
typedef void visit_fn(grc_exec *x, int parameter, size_t offset, size_t size, void *context);
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
            visit(x, i, p->offset + r.panel * down * pw, r.panels * down * pw, context);
        else
            for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
                visit(x, i, p->offset + (panel * down + r.row) * pw, r.rows * pw, context);
    }
}

/* ---- the optimizer ---- */

typedef struct update {
    const gradcore_trainer *t;
    grc_opt_args args;  /* of `parameter` */
    double lr, decay;
    int parameter;      /* that args are for, or GRC_NONE */
    int measured;       /* norms and sums are known: the second half */
    double total[2];
} update;

static void slots_at(const grc_exec *x, size_t offset, void *slot[GRC_SLOTS])
{
    for (int i = 0; i < GRC_SLOTS; i++)
        slot[i] = x->slots[i] ? grc_at(x->net, x->slots[i], offset) : NULL;
}

/* What is the same for all elements of a parameter. */
static void turn_to(update *u, int parameter)
{
    const gradcore_trainer *t = u->t;
    const grc_exec *x = t->x;
    const grc_parameter *p = &t->net->parameters[parameter];
    const grc_group *group = &t->groups[parameter];
    const int spared = p->ndim == 1 && !(t->flags & GRADCORE_DECAY_ALL);
    const int elementwise = grc_optimizer_kind(t->optimizer) == GRC_OPT_ELEMENTWISE;
    const double lr = u->lr * group->lr;
    const int prepared = elementwise && u->parameter != GRC_NONE && u->args.lr == lr; /* powers cost a while */
    u->parameter = parameter;
    u->args.lr = lr;
    u->args.lr_factor = group->lr;
    u->args.weight_decay = !isnan(group->decay) ? group->decay : spared ? 0 : u->decay;
    if (!prepared)
        grc_opt_prepare(t->optimizer, &u->args);
    if (u->measured && grc_optimizer_kind(t->optimizer) == GRC_OPT_TENSOR) {
        const size_t first = x->chunk_first[parameter], chunks = x->chunk_first[parameter + 1] - first;
        const double sum[2] = {grc_sum(chunks, x->chunk_sum[0] + first),
                               grc_sum(chunks, x->chunk_sum[1] + first)};
        grc_opt_finish(t->optimizer, &u->args, sum);
    } else if (u->measured)
        grc_opt_finish(t->optimizer, &u->args, u->total);
}

static void apply(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    update *u = context;
    void *slot[GRC_SLOTS];
    if (u->t->groups[parameter].frozen || grc_is_matrix(u->t, parameter))
        return;
    if (u->parameter != parameter)
        turn_to(u, parameter);
    slots_at(x, offset, slot);
    n->kernels->opt[u->t->optimizer](size, grc_at(n, n->w, offset), grc_at(n, x->grad, offset), slot, &u->args);
    for (int i = 0; i < GRC_SLOTS; i++)
        if (slot[i] && grc_slot_has_floor(u->t->optimizer, i))
            grc_clear_lanes(n, &n->parameters[parameter], x->slots[i], offset, size);
}

/* The first half of an optimizer that measures: the piece's sums, chunk by chunk. */
static void measure(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const grc_parameter *p = &n->parameters[parameter];
    const size_t pw = n->kernels->panel, rows = grc_stored_rows(p);
    const size_t chunks = (rows + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    update *u = context;
    if (u->t->groups[parameter].frozen)
        return;
    if (u->parameter != parameter)
        turn_to(u, parameter);
    for (size_t done = 0, take; done < size; done += take) {
        const size_t at = (offset + done - p->offset) / pw, row = at % rows, panel = at / rows;
        const size_t chunk = x->chunk_first[parameter] + (p->ndim == 1 ? 0 : panel * chunks + row / GRC_CHUNK_ROWS);
        void *slot[GRC_SLOTS];
        double sum[2];
        take = p->ndim == 1 ? size : grc_min(GRC_CHUNK_ROWS, rows - row) * pw;
        slots_at(x, offset + done, slot);
        n->kernels->opt_measure[u->t->optimizer](take, grc_at(n, n->w, offset + done),
                                                 grc_at(n, x->grad, offset + done), slot, &u->args, sum);
        x->chunk_sum[0][chunk] = sum[0];
        x->chunk_sum[1][chunk] = sum[1];
    }
}

/* Before the first update: the slots that do not start at 0. */
static void start(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const update *u = context;
    for (int i = 0; i < GRC_SLOTS; i++) {
        if (!x->slots[i])
            continue;
        void *slot = grc_at(n, x->slots[i], offset);
        const enum grc_start how = grc_slot_start(u->t->optimizer, i);
        if (how == GRC_START_WEIGHTS)
            memcpy(slot, grc_at(n, n->w, offset), size * n->item);
        else if (how == GRC_START_INITIAL || how == GRC_START_RATE) {
            n->kernels->fill(size, grc_slot_value(u->t->optimizer, i, u->args.p, u->lr * u->t->groups[parameter].lr),
                             slot);
            grc_clear_lanes(n, &n->parameters[parameter], x->slots[i], offset, size);
        }
    }
}

/* The matrices that the optimizer takes as wholes, one after the other, each by all threads. */
static void apply_to_matrices(update *u, grc_team *team, int t, int count)
{
    for (int i = 0; i < u->t->net->parameter_count; i++)
        if (grc_is_matrix(u->t, i) && !u->t->groups[i].frozen) {
            turn_to(u, i);
            grc_matrix_step(u->t, team, i, &u->args, t, count);
        }
}

static void run_optimizer(update *u, grc_team *team, int t, int count)
{
    grc_exec *x = u->t->x;
    if (u->args.step == 1)
        visit_own(x, t, count, &start, u);
    apply_to_matrices(u, team, t, count);
    if (grc_measures(u->t->optimizer)) {
        visit_own(x, t, count, &measure, u);
        grc_barrier(team);
        const size_t chunks = x->chunk_first[x->net->parameter_count];
        u->total[0] = grc_sum(chunks, x->chunk_sum[0]);
        u->total[1] = grc_sum(chunks, x->chunk_sum[1]);
        u->measured = 1;
        u->parameter = GRC_NONE;
    }
    visit_own(x, t, count, &apply, u);
}

/* The running numbers after the update: the same for all parameters, whatever their groups. A thread that
 * owns nothing has none yet. */
static void advance(update *u, double *running)
{
    if (u->parameter == GRC_NONE)
        turn_to(u, 0);
    memcpy(running, u->args.next, sizeof u->args.next);
}

/* ---- averages ---- */

typedef struct averaging {
    const gradcore_trainer *t;
    const double *hypers;
    uint64_t step;
    int index; /* of the average whose turn it is */
} averaging;

/* Before the first update. */
static void start_averages(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const averaging *c = context;
    (void)parameter;
    for (int i = 0; i < c->t->average_count; i++)
        if (grc_average_leads(&c->t->averages[i]))
            memcpy(grc_at(n, c->t->averages[i].vector, offset), grc_at(n, n->w, offset), size * n->item);
}
/* What is frozen has no past: its average is what it is. */
static void average(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const averaging *c = context;
    const grc_average *a = &c->t->averages[c->index];
    void *w = grc_at(n, n->w, offset), *mean = grc_at(n, a->vector, offset);
    if (!c->t->groups[parameter].frozen)
        grc_average_piece(a, n->kernels, c->step, c->hypers[GRADCORE_AVERAGE + c->index], size, n->item, w, mean);
    else if (grc_averages_weights(a))
        memcpy(mean, w, size * n->item);
}
/* The slow weights are those that the fast ones went back to, as the trainer's promises have made them. */
static void agree(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const averaging *c = context;
    (void)parameter;
    memcpy(grc_at(n, c->t->averages[c->index].vector, offset), grc_at(n, n->w, offset), size * n->item);
}

static void run_averages(gradcore_trainer *tr, grc_team *team, averaging *c, int t, int count)
{
    for (c->index = 0; c->index < tr->average_count; c->index++) {
        visit_own(tr->x, t, count, &average, c);
        if (!grc_average_pulls(&tr->averages[c->index], c->step) || !grc_promises(tr, GRC_PROMISES))
            continue;
        grc_hold(tr, team, tr->net->w, GRC_PROMISES, c->hypers[GRADCORE_CLIP], grc_slack(tr->net), t, count);
        visit_own(tr->x, t, count, &agree, c);
    }
}

/* ---- masks and constraints ---- */

/* Schedule-free: z is a vector of weights as any other, and held as such. y = (1 - beta) z + beta x, where x is a mean
 * of all z, goes along: what z was moved by moves y by `share` of that. So x, which is never stored, is a mean of
 * weights as the promises have them. */
typedef struct following {
    const gradcore_trainer *t;
    void *plain, *before; /* z; what it was, later by how much it was moved */
    double share;
} following;
static void remember(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const following *f = context;
    (void)parameter;
    memcpy(grc_at(n, f->before, offset), grc_at(n, f->plain, offset), size * n->item);
}
static void follow(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const following *f = context;
    void *moved = grc_at(n, f->before, offset);
    if (f->t->groups[parameter].frozen) /* even -0.0 stays */
        return;
    n->kernels->combine(size, 1, grc_at(n, f->plain, offset), -1, moved);
    n->kernels->combine(size, f->share, moved, 1, grc_at(n, n->w, offset));
}

/* After the optimizer: the weights as masks and constraints allow them. */
static void hold_update(update *u, gradcore_trainer *tr, grc_team *team, double limit, int t, int count)
{
    grc_exec *x = tr->x;
    const int live = grc_find_slot(tr->optimizer, GRC_START_LIVE);
    if (!grc_promises(tr, GRC_PROMISES))
        return;
    if (live == GRC_NONE) {
        grc_hold(tr, team, x->net->w, GRC_PROMISES, limit, 0, t, count);
        return;
    }
    if (u->parameter == GRC_NONE) /* a thread that owns nothing */
        turn_to(u, 0);
    following f = {.t = tr, .plain = x->slots[grc_find_slot(tr->optimizer, GRC_START_WEIGHTS)], .before = x->backup,
                   .share = 1 - u->args.p[0] * (1 - u->args.d[1])};
    visit_own(x, t, count, &remember, &f);
    grc_hold(tr, team, f.plain, GRC_PROMISES, limit, 0, t, count);
    visit_own(x, t, count, &follow, &f);
    grc_hold(tr, team, x->net->w, GRC_MASKS, limit, 0, t, count);
}

/* ---- a way back ---- */

/* w and the slots in use, one after the other, to the backup (or back). */
static void copy_state(grc_exec *x, size_t offset, size_t size, int restore)
{
    const gradcore_network *n = x->net;
    for (size_t i = 0, k = 0; i <= GRC_SLOTS; i++) {
        void *from = i ? x->slots[i - 1] : n->w;
        if (from) {
            void *live = grc_at(n, from, offset), *kept = grc_at(n, x->backup, k++ * n->vector + offset);
            memcpy(restore ? live : kept, restore ? kept : live, size * n->item);
        }
    }
}
static void keep(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    (void)parameter, (void)context;
    copy_state(x, offset, size, 0);
}
static void restore(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    (void)parameter, (void)context;
    copy_state(x, offset, size, 1);
}
static void look_for_nonfinite(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    atomic_int *spoiled = context;
    (void)parameter;
    for (int i = 0; i <= GRC_SLOTS; i++) {
        const void *state = i ? x->slots[i - 1] : n->w;
        if (state && !isfinite(n->kernels->max_abs(size, grc_at(n, state, offset))))
            atomic_store(spoiled, 1);
    }
}

/* Could this update leave the finite numbers? Far from the edge it cannot, and nothing is checked; near it
 * the update is made with a way back. The bounds leave many orders of magnitude for momentum. Ratios of norms
 * know no bounds. */
static int is_risky(const gradcore_trainer *t, const double *h, double norm)
{
    const int single = t->net->dtype == GRC_F32;
    const double lr = fabs(h[GRADCORE_LR]), decay = lr * fabs(h[GRADCORE_WEIGHT_DECAY]);
    return t->careful || grc_optimizer_kind(t->optimizer) != GRC_OPT_ELEMENTWISE
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
                .lr = h[GRADCORE_LR],
                .decay = h[GRADCORE_WEIGHT_DECAY],
                .parameter = GRC_NONE,
                .args = {.base_lr = h[GRADCORE_LR],
                         .grad_scale = a->scale,
                         .grad_limit = tr->clip == GRC_CLIP_VALUE ? h[GRADCORE_CLIP] : (double)INFINITY,
                         .step = a->step,
                         .flags = tr->flags}};
    memcpy(u.args.p, h + GRADCORE_OWN, sizeof u.args.p);
    memcpy(u.args.running, a->running, sizeof u.args.running);
    const int careful = !propagate && is_risky(tr, h, a->norm);
    averaging averages = {.t = tr, .hypers = h, .step = a->step};
    if (a->step == 1 && tr->average_count)
        visit_own(x, t, count, &start_averages, &averages);
    if (careful) {
        visit_own(x, t, count, &keep, NULL);
        grc_keep_factors(tr, 0, t, count);
        run_optimizer(&u, team, t, count);
        visit_own(x, t, count, &look_for_nonfinite, &tr->spoiled);
        if (!grc_factors_are_finite(tr, t, count))
            atomic_store(&tr->spoiled, 1);
        grc_barrier(team);
        const int spoiled = atomic_load(&tr->spoiled);
        grc_barrier(team);
        if (t == 0)
            atomic_store(&tr->spoiled, 0);
        if (spoiled) {
            visit_own(x, t, count, &restore, NULL);
            grc_keep_factors(tr, 1, t, count);
            return GRC_SKIPPED;
        }
    } else {
        run_optimizer(&u, team, t, count);
    }
    hold_update(&u, tr, team, h[GRADCORE_CLIP], t, count);
    run_averages(tr, team, &averages, t, count);
    advance(&u, a->running);
    if (x->net->derives) {
        grc_barrier(team);
        grc_derive_update(x, t, count);
    }
    grc_refresh(x, t, count);
    grc_learn(tr, a->climbed, a->rows, t, count);
    return GRC_APPLIED;
}

/* ---- weights to train and weights to evaluate ---- */

typedef struct passage {
    const gradcore_trainer *t;
    void *live, *plain; /* slots: the trained weights y, and z; or NULL */
    double rate;        /* y + rate (z - y) is the evaluation point */
} passage;

/* What is frozen is evaluated and trained with alike. */
static void enter(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const passage *p = context;
    void *w = grc_at(n, n->w, offset), *live = grc_at(n, p->live, offset);
    if (p->t->groups[parameter].frozen) {
        memcpy(live, w, size * n->item);
        memcpy(grc_at(n, p->plain, offset), w, size * n->item);
    } else
        memcpy(w, live, size * n->item);
}
static void leave(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const passage *p = context;
    void *w = grc_at(n, n->w, offset);
    memcpy(grc_at(n, p->live, offset), w, size * n->item);
    if (!p->t->groups[parameter].frozen)
        n->kernels->blend(size, p->rate, grc_at(n, p->plain, offset), w);
}
static void show_again(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const passage *p = context;
    (void)parameter;
    memcpy(grc_at(n, n->w, offset), grc_at(n, p->t->shown, offset), size * n->item);
}
static void show(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const passage *p = context;
    (void)parameter;
    memcpy(grc_at(n, p->t->shown, offset), grc_at(n, n->w, offset), size * n->item);
}

/* Elements that others have set since the weights were shown: every other copy of them begins there. Compared as
 * bits, so that a NaN is itself. */
static void adopt(grc_exec *x, int parameter, size_t offset, size_t size, void *context)
{
    const gradcore_network *n = x->net;
    const passage *p = context;
    (void)parameter;
    for (size_t i = offset; i < offset + size; i++) {
        const void *w = grc_at(n, n->w, i);
        if (memcmp(w, grc_at(n, p->t->shown, i), n->item) == 0)
            continue;
        if (p->live) {
            memcpy(grc_at(n, p->live, i), w, n->item);
            memcpy(grc_at(n, p->plain, i), w, n->item);
        }
        for (int j = 0; j < p->t->average_count; j++)
            if (grc_average_leads(&p->t->averages[j]))
                memcpy(grc_at(n, p->t->averages[j].vector, i), w, n->item);
    }
}

static passage passage_of(const gradcore_trainer *t)
{
    const int live = grc_find_slot(t->optimizer, GRC_START_LIVE);
    const int plain = grc_find_slot(t->optimizer, GRC_START_WEIGHTS);
    return (passage){.t = t, .live = live == GRC_NONE ? NULL : t->x->slots[live],
                     .plain = live == GRC_NONE ? NULL : t->x->slots[plain]};
}

void grc_adopt(gradcore_trainer *tr, grc_team *team, int t, int count)
{
    passage p = passage_of(tr);
    void *w = tr->net->w;
    grc_hold(tr, team, w, GRC_MASKS, 0, 0, t, count);
    if (!tr->shown || atomic_load(&tr->updates) < grc_accumulated(tr)) /* the first update takes the weights as they are */
        return;
    visit_own(tr->x, t, count, &adopt, &p);
    visit_own(tr->x, t, count, &show, &p);
    if (p.live) { /* where the mask is new and the weight was 0 already */
        grc_hold(tr, team, p.live, GRC_MASKS, 0, 0, t, count);
        grc_hold(tr, team, p.plain, GRC_MASKS, 0, 0, t, count);
    }
}

void grc_enter_training(gradcore_trainer *tr, int t, int count)
{
    passage p = passage_of(tr);
    if (p.live)
        visit_own(tr->x, t, count, &enter, &p);
}

void grc_leave_training(gradcore_trainer *tr, grc_team *team, const double *running, int updated, int t, int count)
{
    passage p = passage_of(tr);
    p.rate = running[GRC_OPT_BLEND];
    if (p.live && tr->shown && !updated) { /* set by hand since, they need not be what a blend would make of them */
        visit_own(tr->x, t, count, &show_again, &p);
        return;
    }
    if (p.live) {
        visit_own(tr->x, t, count, &leave, &p);
        grc_hold(tr, team, tr->net->w, GRC_PROMISES, tr->limit, grc_slack(tr->net), t, count);
    }
    if (tr->shown)
        visit_own(tr->x, t, count, &show, &p);
}
