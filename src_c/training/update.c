/* The update of a step: every thread changes what it owns, or nobody changes anything. */
#include <math.h>
#include <string.h>

#include "../base/sums.h"
#include "constraints.h"
#include "matrices.h"
#include "update.h"

/* ---- the optimizer ---- */

typedef struct update {
    gradcore_trainer *trainer;
    grc_driver *driver;
    int measured; /* norms and sums are known: the second half */
    double total[2];
} update;

/* To a parameter: its group, and what was measured of it. */
static void turn_to(update *u, int parameter)
{
    const gradcore_trainer *trainer = u->trainer;
    const grc_plan *plan = trainer->plan;
    const grc_group *group = &trainer->groups[parameter];
    const int spared = trainer->net->parameters[parameter].ndim == 1 && !(trainer->flags & GRADCORE_DECAY_ALL);
    const double decay = isnan(group->decay) && spared ? 0 : group->decay;
    double sum[2] = {u->total[0], u->total[1]};
    if (u->measured && grc_optimizer_kind(trainer->optimizer) == GRC_OPT_TENSOR) {
        const size_t first = plan->chunk_first[parameter], chunks = plan->chunk_first[parameter + 1] - first;
        for (int i = 0; i < 2; i++)
            sum[i] = grc_sum(chunks, plan->chunk_sum[i] + first);
    }
    grc_turn_to(u->driver, parameter, group->lr, decay, u->measured ? sum : NULL);
}

static grc_elements elements_of(const gradcore_trainer *trainer, const grc_piece *piece)
{
    const gradcore_network *n = trainer->net;
    grc_elements e = {
        .n = piece->size, .w = grc_at(n, n->w, piece->offset), .g = grc_at(n, trainer->plan->grad, piece->offset)};
    for (int i = 0; i < GRC_SLOTS; i++)
        e.slots[i] = trainer->plan->slots[i] ? grc_at(n, trainer->plan->slots[i], piece->offset) : NULL;
    return e;
}

/* Padding of a slot that is not 0 there after a start or an update. */
static void clear_slot(const gradcore_trainer *trainer, int slot, const grc_piece *piece)
{
    const gradcore_network *n = trainer->net;
    grc_clear_lanes(n, &n->parameters[piece->parameter], trainer->plan->slots[slot], piece->offset, piece->size);
}

static void start(void *context, const grc_piece *piece)
{
    const update *u = context;
    const gradcore_trainer *trainer = u->trainer;
    const grc_elements e = elements_of(trainer, piece);
    grc_start_slots(u->driver, trainer->net->kernels, trainer->net->item, trainer->groups[piece->parameter].lr, &e);
    for (int i = 0; i < GRC_SLOTS; i++) {
        const enum grc_start how = grc_slot_start(trainer->optimizer, i);
        if (e.slots[i] && (how == GRC_START_INITIAL || how == GRC_START_RATE))
            clear_slot(trainer, i, piece);
    }
}

/* The first half of an optimizer that measures: the sums of a chunk. */
static void measure(void *context, const grc_piece *chunk)
{
    update *u = context;
    const gradcore_trainer *trainer = u->trainer;
    const grc_elements e = elements_of(trainer, chunk);
    double sum[2];
    if (trainer->groups[chunk->parameter].frozen)
        return;
    if (u->driver->array != chunk->parameter)
        turn_to(u, chunk->parameter);
    grc_measure_elements(u->driver, trainer->net->kernels, &e, sum);
    trainer->plan->chunk_sum[0][chunk->chunk] = sum[0];
    trainer->plan->chunk_sum[1][chunk->chunk] = sum[1];
}

static void apply(void *context, const grc_piece *piece)
{
    update *u = context;
    const gradcore_trainer *trainer = u->trainer;
    const grc_elements e = elements_of(trainer, piece);
    if (trainer->groups[piece->parameter].frozen || grc_is_matrix(trainer, piece->parameter))
        return;
    if (u->driver->array != piece->parameter)
        turn_to(u, piece->parameter);
    grc_update_elements(u->driver, trainer->net->kernels, &e);
    for (int i = 0; i < GRC_SLOTS; i++)
        if (e.slots[i] && grc_slot_has_floor(trainer->optimizer, i))
            clear_slot(trainer, i, piece);
}

/* The matrices that the optimizer takes as wholes, one after the other, each by all threads. */
static void apply_to_matrices(update *u, grc_team *team, int t, int count)
{
    for (int i = 0; i < u->trainer->net->parameter_count; i++)
        if (grc_is_matrix(u->trainer, i) && !u->trainer->groups[i].frozen) {
            turn_to(u, i);
            grc_matrix_step(u->trainer, team, i, &u->driver->args, t, count);
        }
}

static void run_optimizer(update *u, grc_team *team, int t, int count)
{
    const gradcore_network *n = u->trainer->net;
    const grc_plan *plan = u->trainer->plan;
    if (u->driver->args.step == 1)
        grc_each_owned_piece(n, t, count, &start, u);
    apply_to_matrices(u, team, t, count);
    if (grc_measures(u->trainer->optimizer)) {
        grc_each_owned_chunk(n, t, count, &measure, u);
        grc_barrier(team);
        const size_t chunks = plan->chunk_first[n->parameter_count];
        u->total[0] = grc_sum(chunks, plan->chunk_sum[0]);
        u->total[1] = grc_sum(chunks, plan->chunk_sum[1]);
        u->measured = 1;
        u->driver->array = GRC_NONE;
    }
    grc_each_owned_piece(n, t, count, &apply, u);
    if (u->driver->array == GRC_NONE) /* a thread that owns nothing needs the derived numbers all the same */
        turn_to(u, 0);
}

void grc_advance(const grc_driver *d, double *running)
{
    GRC_ASSERT(d->array != GRC_NONE);
    memcpy(running, d->args.next, sizeof d->args.next);
}

/* ---- a way back ---- */

/* w and the slots in use, one after the other, to the backup (or back). */
static void copy_state(const gradcore_trainer *trainer, const grc_piece *piece, int restore)
{
    const gradcore_network *n = trainer->net;
    for (size_t i = 0, k = 0; i <= GRC_SLOTS; i++) {
        void *from = i ? trainer->plan->slots[i - 1] : n->w;
        if (from) {
            void *live = grc_at(n, from, piece->offset);
            void *kept = grc_at(n, trainer->plan->backup, k++ * n->vector + piece->offset);
            memcpy(restore ? live : kept, restore ? kept : live, piece->size * n->item);
        }
    }
}
static void keep(void *context, const grc_piece *piece)
{
    copy_state(context, piece, 0);
}
static void restore(void *context, const grc_piece *piece)
{
    copy_state(context, piece, 1);
}
static void look_for_nonfinite(void *context, const grc_piece *piece)
{
    gradcore_trainer *trainer = context;
    const gradcore_network *n = trainer->net;
    for (int i = 0; i <= GRC_SLOTS; i++) {
        const void *state = i ? trainer->plan->slots[i - 1] : n->w;
        if (state && !isfinite(n->kernels->max_abs(piece->size, grc_at(n, state, piece->offset))))
            atomic_store(&trainer->spoiled, 1);
    }
}

/* Could this update leave the finite numbers? Far from the edge it cannot, and nothing is checked; near it
 * the update is made with a way back. The bounds leave many orders of magnitude for momentum. Ratios of norms
 * know no bounds. */
static int is_risky(const gradcore_trainer *trainer, const double *h, double norm)
{
    const int single = trainer->net->dtype == GRC_F32;
    const double lr = fabs(h[GRADCORE_LR]), decay = lr * fabs(h[GRADCORE_WEIGHT_DECAY]);
    return trainer->careful || grc_optimizer_kind(trainer->optimizer) != GRC_OPT_ELEMENTWISE
           || !(norm < (single ? 1e15 : 1e150) && lr * (norm + 1) < (single ? 1e20 : 1e200) && decay < 1);
}

/* Has the update of some thread left the finite numbers? */
static int is_spoiled(gradcore_trainer *trainer, grc_team *team, int t, int count)
{
    grc_each_owned_piece(trainer->net, t, count, &look_for_nonfinite, trainer);
    if (!grc_factors_are_finite(trainer, t, count))
        atomic_store(&trainer->spoiled, 1);
    grc_barrier(team);
    const int spoiled = atomic_load(&trainer->spoiled);
    grc_barrier(team);
    if (t == 0)
        atomic_store(&trainer->spoiled, 0);
    return spoiled;
}

grc_verdict grc_optimize(grc_driver *d, gradcore_trainer *trainer, grc_team *team, const double *hypers, double norm,
                         int t, int count)
{
    update u = {.trainer = trainer, .driver = d};
    if (trainer->nonfinite == GRC_NONFINITE_PROPAGATE || !is_risky(trainer, hypers, norm)) {
        run_optimizer(&u, team, t, count);
        return GRC_APPLIED;
    }
    grc_each_owned_piece(trainer->net, t, count, &keep, trainer);
    grc_keep_factors(trainer, 0, t, count);
    run_optimizer(&u, team, t, count);
    if (!is_spoiled(trainer, team, t, count))
        return GRC_APPLIED;
    grc_each_owned_piece(trainer->net, t, count, &restore, trainer);
    grc_keep_factors(trainer, 1, t, count);
    return GRC_SKIPPED;
}

/* ---- constraints ---- */

/* Schedule-free: z is a vector of weights as any other, and constrained as such. y = (1 - beta) z + beta x, where x
 * is a mean of all z, goes along: what z was moved by moves y by `share` of that. So x, which is never stored, is a
 * mean of weights as the constraints have them. */
typedef struct following {
    const gradcore_trainer *trainer;
    void *plain, *before; /* z; what it was, later by how much it was moved */
    double share;
} following;
static void remember(void *context, const grc_piece *piece)
{
    const following *f = context;
    const gradcore_network *n = f->trainer->net;
    memcpy(grc_at(n, f->before, piece->offset), grc_at(n, f->plain, piece->offset), piece->size * n->item);
}
static void follow(void *context, const grc_piece *piece)
{
    const following *f = context;
    const gradcore_network *n = f->trainer->net;
    void *moved = grc_at(n, f->before, piece->offset);
    if (f->trainer->groups[piece->parameter].frozen) /* even -0.0 stays */
        return;
    n->kernels->combine(piece->size, 1, grc_at(n, f->plain, piece->offset), -1, moved);
    n->kernels->combine(piece->size, f->share, moved, 1, grc_at(n, n->w, piece->offset));
}

void grc_constrain_update(grc_driver *d, gradcore_trainer *trainer, grc_team *team, double limit, int t, int count)
{
    const grc_plan *plan = trainer->plan;
    gradcore_network *n = trainer->net;
    if (!grc_has_constraints(trainer, GRC_CONSTRAINTS))
        return;
    if (grc_find_slot(trainer->optimizer, GRC_START_LIVE) == GRC_NONE) {
        grc_constrain(trainer, team, n->w, GRC_CONSTRAINTS, limit, 0, t, count);
        return;
    }
    following f = {.trainer = trainer,
                   .plain = plan->slots[grc_find_slot(trainer->optimizer, GRC_START_WEIGHTS)],
                   .before = plan->backup,
                   .share = 1 - d->args.p[0] * (1 - d->args.d[1])};
    grc_each_owned_piece(n, t, count, &remember, &f);
    grc_constrain(trainer, team, f.plain, GRC_CONSTRAINTS, limit, 0, t, count);
    grc_each_owned_piece(n, t, count, &follow, &f);
    grc_constrain(trainer, team, n->w, GRC_MASKS, limit, 0, t, count);
}
