/* What a trainer has learnt, and what can be asked of it: gradients, norms, state for checkpoints, weights from
 * outside, groups of parameters, progress. */
#include <math.h>
#include <string.h>

#include "../base/sums.h"
#include "averages.h"
#include "constraints.h"
#include "update.h"

static grc_status trainable(const gradcore_network *n, int64_t index, gradcore_error *error)
{
    if (index < 0 || index >= n->parameter_count || !n->parameters[index].trainable)
        return grc_fail(error, GRADCORE_INVALID, "index: expected a trainable parameter, got %lld", (long long)index);
    return GRADCORE_OK;
}

/* Copies parameter `index` of a parameter vector to dst. */
static grc_status read_vector(gradcore_trainer *trainer, const void *vector, int64_t index, void *dst,
                              gradcore_error *error)
{
    grc_status status = dst ? trainable(trainer->net, index, error)
                            : grc_fail(error, GRADCORE_INVALID, "dst: expected a pointer, got NULL");
    if (status == GRADCORE_OK) {
        const grc_parameter *p = &trainer->net->parameters[index];
        grc_read_parameter(trainer->net, p, vector, dst);
    }
    return status;
}

grc_status gradcore_trainer_gradient(gradcore_trainer *trainer, int64_t index, void *dst, gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = trainer->has_gradients
                 ? read_vector(trainer, trainer->plan->grad, index, dst, error)
                 : grc_fail(error, GRADCORE_STATE, "trainer: expected a step or gradients before, got neither");
    grc_trainer_leave(trainer);
    return status;
}

typedef struct norms_call {
    const gradcore_trainer *trainer;
    double *norms;
} norms_call;
static void measure_norms(void *context, grc_team *team, int t, int count)
{
    const norms_call *c = context;
    const gradcore_network *n = c->trainer->net;
    const grc_plan *plan = c->trainer->plan;
    (void)team, (void)t, (void)count;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const size_t size = grc_panels(n, grc_stored_cols(p)) * n->kernels->panel * grc_stored_rows(p);
        const size_t first = plan->chunk_first[i], chunks = plan->chunk_first[i + 1] - first;
        c->norms[2 * i] = p->trainable ? sqrt(grc_sum(chunks, plan->chunk_norm + first)) : 0;
        c->norms[2 * i + 1] = p->trainable ? sqrt(n->kernels->sum_squares(size, grc_at(n, n->w, p->offset))) : 0;
    }
}

grc_status gradcore_trainer_norms(gradcore_trainer *trainer, double *norms, gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    norms_call c = {trainer, norms};
    if (!norms)
        status = grc_fail(error, GRADCORE_INVALID, "norms: expected a pointer, got NULL");
    else if (!trainer->has_gradients)
        status = grc_fail(error, GRADCORE_STATE, "norms: expected a step or gradients before, got neither");
    else if (!grc_lock_read(trainer->net))
        status = grc_network_refused(trainer->net, error);
    else {
        grc_team_run(1, trainer->net->flush_denormals, &measure_norms, &c);
        grc_unlock_read(trainer->net);
    }
    grc_trainer_leave(trainer);
    return status;
}

/* ---- state ---- */

int32_t gradcore_trainer_state_slots(const gradcore_trainer *trainer)
{
    return trainer ? __builtin_popcount(trainer->plan->slot_mask) + trainer->average_count + grc_head_means(trainer)
                   : 0;
}

/* The slot-th of those in use, averages behind the optimizer's, means of heads last, or NULL. */
static void *slot_vector(const gradcore_trainer *trainer, int32_t slot)
{
    if (slot < 0 || slot >= gradcore_trainer_state_slots(trainer))
        return NULL;
    for (int i = 0; i < GRC_SLOTS; i++)
        if (trainer->plan->slots[i] && slot-- == 0)
            return trainer->plan->slots[i];
    return slot < trainer->average_count ? trainer->averages[slot].vector
                                         : grc_head_mean(trainer, slot - trainer->average_count);
}

static grc_status bad_slot(const gradcore_trainer *trainer, int32_t slot, gradcore_error *error)
{
    return grc_fail(error, GRADCORE_INVALID, "slot: expected 0 to %d, got %d",
                    gradcore_trainer_state_slots(trainer) - 1, slot);
}

static void adopt_alone(void *context, grc_team *team, int t, int count)
{
    gradcore_trainer *trainer = context;
    grc_adopt(trainer, team, t, count);
    if (trainer->net->derives && grc_has_constraints(trainer, GRC_MASKS))
        grc_derive(trainer->net, GRC_NEW_VALUES, t, count);
}

/* What the next slice would begin with. The caller has the network, and makes the next version of it. */
static void adopt_weights(gradcore_trainer *trainer)
{
    grc_team_run(1, trainer->net->flush_denormals, &adopt_alone, trainer);
    trainer->evaluated = atomic_load(&trainer->net->version) + 1;
}

/* The state that fits the weights as they are, whoever has set them. */
static grc_status settle_state(gradcore_trainer *trainer, gradcore_error *error)
{
    if (trainer->evaluated == atomic_load(&trainer->net->version)
        || (!trainer->shown && !grc_has_constraints(trainer, GRC_MASKS)))
        return GRADCORE_OK;
    if (!grc_lock_write(trainer->net))
        return grc_network_refused(trainer->net, error);
    adopt_weights(trainer);
    grc_end_write(trainer->net, 0);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_state_read(gradcore_trainer *trainer, int32_t slot, int64_t index, void *dst,
                                       gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    const void *vector = slot_vector(trainer, slot);
    status = vector ? settle_state(trainer, error) : bad_slot(trainer, slot, error);
    if (status == GRADCORE_OK)
        status = read_vector(trainer, vector, index, dst, error);
    grc_trainer_leave(trainer);
    return status;
}

grc_status gradcore_trainer_state_write(gradcore_trainer *trainer, int32_t slot, int64_t index, const void *src,
                                        gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    void *vector = slot_vector(trainer, slot);
    status = !src     ? grc_fail(error, GRADCORE_INVALID, "src: expected a pointer, got NULL")
             : vector ? trainable(trainer->net, index, error)
                      : bad_slot(trainer, slot, error);
    if (status == GRADCORE_OK) {
        const grc_parameter *p = &trainer->net->parameters[index];
        if (trainer->nonfinite == GRC_NONFINITE_PROPAGATE
            || isfinite(trainer->net->kernels->max_abs(p->rows * p->cols, src))) {
            const size_t size =
                grc_panels(trainer->net, grc_stored_cols(p)) * trainer->net->kernels->panel * grc_stored_rows(p);
            grc_write_parameter(trainer->net, p, src, vector);
            if (trainer->shown)
                memcpy(grc_at(trainer->net, trainer->shown, p->offset),
                       grc_at(trainer->net, trainer->net->w, p->offset), size * trainer->net->item);
            trainer->careful = 1;
            trainer->evaluated = atomic_load(&trainer->net->version); /* the caller has set the weights that fit */
        } else
            status = grc_fail(error, GRADCORE_INVALID, "%s: expected a finite state, got NaN or infinity", p->name);
    }
    grc_trainer_leave(trainer);
    return status;
}

/* ---- weights from outside ---- */

static grc_status check_alike(const gradcore_network *own, const gradcore_network *n, gradcore_error *error)
{
    int alike = n->kernels == own->kernels && n->vector == own->vector && n->parameter_count == own->parameter_count;
    for (int i = 0; alike && i < n->parameter_count; i++) {
        const grc_parameter *a = &n->parameters[i], *b = &own->parameters[i];
        alike = a->offset == b->offset && a->rows == b->rows && a->cols == b->cols && a->turned == b->turned;
    }
    return alike ? GRADCORE_OK
                 : grc_fail(error, GRADCORE_INVALID, "network: expected the trainer's or one like it, got another");
}

typedef struct write_call {
    gradcore_trainer *trainer;
    gradcore_network *n;
} write_call;
static void hold_values(void *context, grc_team *team, int t, int count)
{
    const write_call *c = context;
    gradcore_network *n = c->n;
    const unsigned what = atomic_load(&c->trainer->updates) < grc_accumulated(c->trainer) ? GRC_MASKS : GRC_CONSTRAINTS;
    if (n->derives)
        grc_derive(n, GRC_NEW_VALUES, t, count);
    grc_constrain(c->trainer, team, n->w, what, c->trainer->limit, grc_slack(n), t, count);
    if (n->derives && grc_has_constraints(c->trainer, what))
        grc_derive(n, GRC_NEW_VALUES, t, count);
}

grc_status gradcore_trainer_write(gradcore_trainer *trainer, gradcore_network *n, const void *const *src,
                                  gradcore_error *error)
{
    if (!n || !src)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "src" : "network");
    int whole = 0;
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = check_alike(trainer->net, n, error);
    if (status == GRADCORE_OK)
        status = grc_begin_write(n, src, &whole, error);
    if (status == GRADCORE_OK) {
        write_call c = {trainer, n};
        grc_team_run(1, n->flush_denormals, &hold_values, &c);
        if (n == trainer->net)
            adopt_weights(trainer);
        grc_end_write(n, whole);
    }
    grc_trainer_leave(trainer);
    return status;
}

grc_status gradcore_trainer_running_read(gradcore_trainer *trainer, double *running, gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = running ? settle_state(trainer, error)
                     : grc_fail(error, GRADCORE_INVALID, "running: expected a pointer, got NULL");
    if (status == GRADCORE_OK)
        memcpy(running, trainer->running, sizeof trainer->running);
    grc_trainer_leave(trainer);
    return status;
}

grc_status gradcore_trainer_running_write(gradcore_trainer *trainer, const double *running, gradcore_error *error)
{
    if (!running)
        return grc_fail(error, GRADCORE_INVALID, "running: expected a pointer, got NULL");
    for (int i = 0; i < GRADCORE_RUNNING; i++)
        if (!isfinite(running[i]))
            return grc_fail(error, GRADCORE_INVALID, "running[%d]: expected a finite number, got %g", i, running[i]);
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    memcpy(trainer->running, running, sizeof trainer->running);
    grc_trainer_leave(trainer);
    return GRADCORE_OK;
}

/* ---- groups ---- */

/* Of an op that learns something besides gradients: what it normalises is frozen as a whole, or what it learns is. */
static int is_held(const gradcore_trainer *trainer, const grc_op *op)
{
    const gradcore_network *n = trainer->net;
    int train = 0, frozen = 0, learned = 0;
    if (!op->class->settle && op->class != &grc_op_spectral_norm)
        return 0;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const int weight = op->class == &grc_op_spectral_norm && p->op == op->index - 1;
        if (!weight && p->op != op->index)
            continue;
        learned |= !p->trainable && trainer->groups[i].frozen;
        if (weight || (p->trainable && op->class->settle)) {
            train++;
            frozen += trainer->groups[i].frozen;
        }
    }
    return learned || (train && frozen == train);
}

static grc_status has_settings(const gradcore_network *n, int64_t index, double lr_factor, double weight_decay,
                               gradcore_error *error)
{
    if (index < 0 || index >= n->parameter_count || n->parameters[index].trainable)
        return trainable(n, index, error);
    const grc_op_class *class = n->ops[n->parameters[index].op].class;
    if (!class->settle && class != &grc_op_spectral_norm)
        return trainable(n, index, error);
    if (lr_factor != 1 || !isnan(weight_decay))
        return grc_fail(error, GRADCORE_INVALID,
                        "lr_factor, weight_decay: expected 1 and NaN for %s, which is not "
                        "trained by gradients, got %g and %g",
                        n->parameters[index].name, lr_factor, weight_decay);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_set_group(gradcore_trainer *trainer, int64_t index, double lr_factor, double weight_decay,
                                      int32_t frozen, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = has_settings(trainer->net, index, lr_factor, weight_decay, error);
    if (status == GRADCORE_OK && !(lr_factor >= 0 && lr_factor <= 1e10))
        status = grc_fail(error, GRADCORE_INVALID, "lr_factor: expected a number from 0 to 1e10, got %g", lr_factor);
    if (status == GRADCORE_OK && !isnan(weight_decay) && !(weight_decay >= 0 && weight_decay <= 1e10))
        status = grc_fail(error, GRADCORE_INVALID, "weight_decay: expected NaN or a number from 0 to 1e10, got %g",
                          weight_decay);
    if (status == GRADCORE_OK) {
        trainer->groups[index] = (grc_group){lr_factor, weight_decay, frozen != 0};
        const int first = trainer->net->parameters[index].op; /* a weight is normalised by the op behind its own */
        for (int i = first; i < trainer->net->op_count && i <= first + 1; i++)
            trainer->held[i] = (uint8_t)is_held(trainer, &trainer->net->ops[i]);
    }
    grc_trainer_leave(trainer);
    return status;
}

void gradcore_trainer_get_progress(const gradcore_trainer *trainer, uint64_t *step, uint64_t *updates)
{
    if (step)
        *step = trainer ? atomic_load(&trainer->step) : 0;
    if (updates)
        *updates = trainer ? atomic_load(&trainer->updates) : 0;
}

grc_status gradcore_trainer_set_progress(gradcore_trainer *trainer, uint64_t step, uint64_t updates,
                                         gradcore_error *error)
{
    if (updates > step || step > GRC_MOST_STEPS)
        return grc_fail(error, GRADCORE_INVALID, "step: expected updates <= step <= 2^48, got %llu and %llu",
                        (unsigned long long)updates, (unsigned long long)step);
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    trainer->step = step;
    trainer->updates = updates;
    trainer->waiting.by_head = 0;
    for (int i = 0; i < trainer->task_count; i++)
        trainer->waiting.divisor[i] = -1;
    grc_trainer_leave(trainer);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_set_rates(gradcore_trainer *trainer, uint64_t first, int64_t steps, int64_t layers,
                                      const double *rates, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    status = grc_set_rates(&trainer->plan->view.rates, trainer->net, first, steps, layers, rates, error);
    grc_trainer_leave(trainer);
    return status;
}
