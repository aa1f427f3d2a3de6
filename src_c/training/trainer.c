/* A trainer as an object: its making, its state for checkpoints, what can be asked of it. The training
 * itself is in slice.c. */
#include <math.h>
#include <string.h>

#include "trainer.h"

static grc_status bad_name(gradcore_error *error, const char *argument, const char *family, const char *got)
{
    char known[GRC_NAMES_LENGTH];
    return grc_fail(error, GRADCORE_INVALID, "%s: expected one of %s, got '%.40s'", argument,
                    grc_names(family, known, sizeof known), got ? got : "(null)");
}

static grc_status read_options(const gradcore_trainer_options *o, gradcore_trainer *t, gradcore_error *error)
{
    if ((t->optimizer = grc_find_optimizer(o->optimizer)) == GRC_NONE)
        return bad_name(error, "optimizer", "optimizer", o->optimizer);
    if (o->flags & ~(uint32_t)GRC_KNOWN_FLAGS)
        return grc_fail(error, GRADCORE_INVALID, "flags: expected known bits, got 0x%x", o->flags);
    if ((o->flags & GRADCORE_OPTIMIZER_NESTEROV) && !(o->flags & GRADCORE_OPTIMIZER_MOMENTUM))
        return grc_fail(error, GRADCORE_INVALID, "nesterov: expected a momentum with it, got none");
    if (!o->clip)
        t->clip = GRC_CLIP_NONE;
    else if (strcmp(o->clip, "value") == 0)
        t->clip = GRC_CLIP_VALUE;
    else if (strcmp(o->clip, "global_norm") == 0)
        t->clip = GRC_CLIP_GLOBAL_NORM;
    else
        return grc_fail(error, GRADCORE_INVALID, "clip: expected 'value' or 'global_norm', got '%.40s'",
                        o->clip);
    if (!o->nonfinite || strcmp(o->nonfinite, "skip") == 0)
        t->nonfinite = GRC_NONFINITE_SKIP;
    else if (strcmp(o->nonfinite, "raise") == 0)
        t->nonfinite = GRC_NONFINITE_RAISE;
    else if (strcmp(o->nonfinite, "propagate") == 0)
        t->nonfinite = GRC_NONFINITE_PROPAGATE;
    else
        return grc_fail(error, GRADCORE_INVALID,
                        "nonfinite: expected 'skip', 'raise' or 'propagate', got '%.40s'", o->nonfinite);
    if (o->capacity < 1 || o->capacity > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "capacity: expected 1 to 2147483647 rows, got %lld",
                        (long long)o->capacity);
    t->flags = o->flags;
    t->seed = o->seed;
    return GRADCORE_OK;
}

grc_status gradcore_trainer_create(gradcore_network *n, const gradcore_trainer_options *options,
                                   gradcore_trainer **out, gradcore_error *error)
{
    gradcore_trainer draft = {.net = n};
    if (!n || !options || !out)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL",
                        !n ? "network" : !options ? "options" : "out");
    const size_t first_size = offsetof(gradcore_trainer_options, loss_options), size = options->size;
    if (size < first_size || size > sizeof *options)
        return grc_fail(error, GRADCORE_INVALID, "options.size: expected %zu to %zu, got %zu", first_size,
                        sizeof *options, size);
    gradcore_trainer_options o = {.size = sizeof o}; /* what an older caller does not know is zero */
    memcpy(&o, options, size);
    grc_status status = grc_open_tasks(&draft, &o, error);
    draft.loss_function = o.loss_function;
    draft.loss_context = o.loss_context;
    if (status == GRADCORE_OK)
        status = read_options(&o, &draft, error);
    gradcore_trainer *t = NULL;
    if (status == GRADCORE_OK && !(t = grc_allocate(&n->allocator, sizeof *t)))
        status = grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for it, got none");
    if (status != GRADCORE_OK) {
        grc_close_tasks(&draft);
        return status;
    }
    *t = draft;
    atomic_init(&t->lock.state, (uint64_t)grc_generation() << 32);
    atomic_init(&t->step, 0);
    atomic_init(&t->updates, 0);
    t->limit = (double)NAN;
    status = grc_exec_create(n, GRC_EXEC_TRAIN, (size_t)o.capacity,
                             grc_optimizer_slots(t->optimizer, t->flags),
                             grc_measures(t->optimizer), grc_target_bytes(t->tasks, n), &t->x, error);
    if (status == GRADCORE_OK)
        status = grc_make_room(t, error);
    if (status == GRADCORE_OK && (o.head_flags & GRADCORE_GRADIENT_SURGERY))
        status = grc_surgery_create(t, 1, error);
    const size_t parameters = (size_t)n->parameter_count + 1;
    if (status == GRADCORE_OK
        && (!(t->groups = grc_allocate(&n->allocator, parameters * sizeof *t->groups))
            || !(t->ledger = grc_allocate(&n->allocator, parameters * sizeof *t->ledger))
            || !(t->held = grc_allocate(&n->allocator, (size_t)n->op_count))
            || (grc_find_slot(t->optimizer, GRC_START_LIVE) != GRC_NONE && !grc_show(t))))
        status = grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its parameters, got none");
    if (status != GRADCORE_OK) {
        gradcore_trainer_destroy(t);
        return status;
    }
    for (int i = 0; i < n->parameter_count; i++) {
        t->groups[i] = (grc_group){1, (double)NAN, 0};
        t->ledger[i] = (grc_tally){0};
    }
    t->x->seed = t->seed;
    t->x->held = t->held;
    *out = t;
    return GRADCORE_OK;
}

int grc_show(gradcore_trainer *t)
{
    if (!t->shown)
        t->shown = grc_allocate(&t->net->allocator, t->net->vector * t->net->item);
    return t->shown != NULL;
}

void gradcore_trainer_destroy(gradcore_trainer *t)
{
    if (!t)
        return;
    gradcore_network *n = t->net;
    grc_clipping_destroy(t);
    grc_matrices_destroy(t);
    grc_surgery_destroy(t);
    grc_exec_destroy(t->x);
    grc_close_tasks(t);
    for (int i = 0; i < t->average_count; i++)
        grc_release(&n->allocator, t->averages[i].vector, t->averages[i].size);
    const size_t parameters = (size_t)n->parameter_count + 1;
    grc_release(&n->allocator, t->groups, parameters * sizeof *t->groups);
    grc_release(&n->allocator, t->ledger, parameters * sizeof *t->ledger);
    grc_release(&n->allocator, t->held, (size_t)n->op_count);
    grc_release(&n->allocator, t->shown, n->vector * n->item);
    grc_release(&n->allocator, t, sizeof *t);
}

/* Whoever looked has left the pass as it was then: gradients half made, inputs where they lay. */
static void take_over(gradcore_trainer *t)
{
    grc_place_input(t->x, NULL, 0);
    t->x->only = 0;
    t->x->version = UINT64_MAX;
    t->has_gradients = 0;
    t->tuner = (grc_tuner){0};
}

static grc_status enter(gradcore_trainer *t, enum grc_use use, gradcore_error *error)
{
    if (!t)
        return grc_fail(error, GRADCORE_INVALID, "trainer: expected a trainer, got NULL");
    const enum grc_taken taken = grc_lock_take(&t->lock, use);
    if (taken == GRC_TAKEN_BY_OTHERS)
        return grc_busy(error, "trainer");
    if (taken == GRC_TAKEN_OVER)
        take_over(t);
    if (!grc_lock_is_torn(&t->lock))
        return GRADCORE_OK;
    grc_trainer_leave(t);
    return grc_fail(error, GRADCORE_STATE,
                    "trainer: expected a whole state, got half of a step: this process was forked while another thread "
                    "of its parent trained; make the trainer anew, or load it from a file");
}

grc_status grc_trainer_enter(gradcore_trainer *t, gradcore_error *error)
{
    return enter(t, GRC_CHANGING, error);
}

grc_status grc_trainer_look(gradcore_trainer *t, gradcore_error *error)
{
    return enter(t, GRC_KEEPING, error);
}

void grc_trainer_leave(gradcore_trainer *t)
{
    grc_lock_drop(&t->lock, GRC_CHANGING);
}

static grc_status trainable(const gradcore_network *n, int64_t index, gradcore_error *error)
{
    if (index < 0 || index >= n->parameter_count || !n->parameters[index].trainable)
        return grc_fail(error, GRADCORE_INVALID, "index: expected a trainable parameter, got %lld",
                        (long long)index);
    return GRADCORE_OK;
}

/* Copies parameter `index` of a parameter vector to dst. */
static grc_status read_vector(gradcore_trainer *t, const void *vector, int64_t index, void *dst,
                              gradcore_error *error)
{
    grc_status status = dst ? trainable(t->net, index, error)
                            : grc_fail(error, GRADCORE_INVALID, "dst: expected a pointer, got NULL");
    if (status == GRADCORE_OK) {
        const grc_parameter *p = &t->net->parameters[index];
        grc_read_parameter(t->net, p, vector, dst);
    }
    return status;
}

grc_status gradcore_trainer_gradient(gradcore_trainer *t, int64_t index, void *dst, gradcore_error *error)
{
    grc_status status = grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = t->has_gradients
                 ? read_vector(t, t->x->grad, index, dst, error)
                 : grc_fail(error, GRADCORE_STATE, "trainer: expected a step or gradients before, got neither");
    grc_trainer_leave(t);
    return status;
}

typedef struct norms_call {
    const gradcore_trainer *t;
    double *norms;
} norms_call;
static void measure_norms(void *context, grc_team *team, int thread, int count)
{
    const norms_call *c = context;
    const gradcore_network *n = c->t->net;
    const grc_exec *x = c->t->x;
    (void)team, (void)thread, (void)count;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const size_t size = grc_panels(n, grc_stored_cols(p)) * n->kernels->panel * grc_stored_rows(p);
        const size_t first = x->chunk_first[i], chunks = x->chunk_first[i + 1] - first;
        c->norms[2 * i] = p->trainable ? sqrt(grc_sum(chunks, x->chunk_norm + first)) : 0;
        c->norms[2 * i + 1] =
            p->trainable ? sqrt(n->kernels->sum_squares(size, grc_at(n, n->w, p->offset))) : 0;
    }
}

grc_status gradcore_trainer_norms(gradcore_trainer *t, double *norms, gradcore_error *error)
{
    grc_status status = grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    norms_call c = {t, norms};
    if (!norms)
        status = grc_fail(error, GRADCORE_INVALID, "norms: expected a pointer, got NULL");
    else if (!t->has_gradients)
        status = grc_fail(error, GRADCORE_STATE, "norms: expected a step or gradients before, got neither");
    else if (!grc_lock_read(t->net))
        status = grc_network_refused(t->net, error);
    else {
        grc_team_run(1, t->net->flush_denormals, &measure_norms, &c);
        grc_unlock_read(t->net);
    }
    grc_trainer_leave(t);
    return status;
}

/* ---- state ---- */

int32_t gradcore_trainer_state_slots(const gradcore_trainer *t)
{
    return t ? __builtin_popcount(t->x->slot_mask) + t->average_count + grc_head_means(t) : 0;
}

/* The slot-th of those in use, averages behind the optimizer's, means of heads last, or NULL. */
static void *slot_vector(const gradcore_trainer *t, int32_t slot)
{
    if (slot < 0 || slot >= gradcore_trainer_state_slots(t))
        return NULL;
    for (int i = 0; i < GRC_SLOTS; i++)
        if (t->x->slots[i] && slot-- == 0)
            return t->x->slots[i];
    return slot < t->average_count ? t->averages[slot].vector : grc_head_mean(t, slot - t->average_count);
}

static grc_status bad_slot(const gradcore_trainer *t, int32_t slot, gradcore_error *error)
{
    return grc_fail(error, GRADCORE_INVALID, "slot: expected 0 to %d, got %d",
                    gradcore_trainer_state_slots(t) - 1, slot);
}

static void adopt_alone(void *context, grc_team *team, int thread, int count)
{
    gradcore_trainer *t = context;
    grc_adopt(t, team, thread, count);
    if (t->net->derives && grc_promises(t, GRC_MASKS))
        grc_derive(t->net, GRC_NEW_VALUES, thread, count);
}

/* What the next slice would begin with. The caller has the network, and makes the next version of it. */
static void adopt_weights(gradcore_trainer *t)
{
    grc_team_run(1, t->net->flush_denormals, &adopt_alone, t);
    t->evaluated = atomic_load(&t->net->version) + 1;
}

/* The state that fits the weights as they are, whoever has set them. */
static grc_status settle_state(gradcore_trainer *t, gradcore_error *error)
{
    if (t->evaluated == atomic_load(&t->net->version) || (!t->shown && !grc_promises(t, GRC_MASKS)))
        return GRADCORE_OK;
    if (!grc_lock_write(t->net))
        return grc_network_refused(t->net, error);
    adopt_weights(t);
    grc_end_write(t->net, 0);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_state_read(gradcore_trainer *t, int32_t slot, int64_t index, void *dst,
                                       gradcore_error *error)
{
    grc_status status = grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    const void *vector = slot_vector(t, slot);
    status = vector ? settle_state(t, error) : bad_slot(t, slot, error);
    if (status == GRADCORE_OK)
        status = read_vector(t, vector, index, dst, error);
    grc_trainer_leave(t);
    return status;
}

grc_status gradcore_trainer_state_write(gradcore_trainer *t, int32_t slot, int64_t index, const void *src,
                                        gradcore_error *error)
{
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    void *vector = slot_vector(t, slot);
    status = !src ? grc_fail(error, GRADCORE_INVALID, "src: expected a pointer, got NULL")
             : vector ? trainable(t->net, index, error)
                      : bad_slot(t, slot, error);
    if (status == GRADCORE_OK) {
        const grc_parameter *p = &t->net->parameters[index];
        if (t->nonfinite == GRC_NONFINITE_PROPAGATE
            || isfinite(t->net->kernels->max_abs(p->rows * p->cols, src))) {
            const size_t size = grc_panels(t->net, grc_stored_cols(p)) * t->net->kernels->panel * grc_stored_rows(p);
            grc_write_parameter(t->net, p, src, vector);
            if (t->shown)
                memcpy(grc_at(t->net, t->shown, p->offset), grc_at(t->net, t->net->w, p->offset),
                       size * t->net->item);
            t->careful = 1;
            t->evaluated = atomic_load(&t->net->version); /* the caller has set the weights that fit */
        } else
            status = grc_fail(error, GRADCORE_INVALID, "%s: expected a finite state, got NaN or infinity",
                              p->name);
    }
    grc_trainer_leave(t);
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
    gradcore_trainer *t;
    gradcore_network *n;
} write_call;
static void hold_values(void *context, grc_team *team, int thread, int count)
{
    const write_call *c = context;
    gradcore_network *n = c->n;
    const unsigned what = atomic_load(&c->t->updates) < grc_accumulated(c->t) ? GRC_MASKS : GRC_PROMISES;
    if (n->derives)
        grc_derive(n, GRC_NEW_VALUES, thread, count);
    grc_hold(c->t, team, n->w, what, c->t->limit, grc_slack(n), thread, count);
    if (n->derives && grc_promises(c->t, what))
        grc_derive(n, GRC_NEW_VALUES, thread, count);
}

grc_status gradcore_trainer_write(gradcore_trainer *t, gradcore_network *n, const void *const *src,
                                  gradcore_error *error)
{
    if (!n || !src)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "src" : "network");
    int whole = 0;
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = check_alike(t->net, n, error);
    if (status == GRADCORE_OK)
        status = grc_begin_write(n, src, &whole, error);
    if (status == GRADCORE_OK) {
        write_call c = {t, n};
        grc_team_run(1, n->flush_denormals, &hold_values, &c);
        if (n == t->net)
            adopt_weights(t);
        grc_end_write(n, whole);
    }
    grc_trainer_leave(t);
    return status;
}

grc_status gradcore_trainer_running_read(gradcore_trainer *t, double *running, gradcore_error *error)
{
    grc_status status = grc_trainer_look(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = running ? settle_state(t, error)
                     : grc_fail(error, GRADCORE_INVALID, "running: expected a pointer, got NULL");
    if (status == GRADCORE_OK)
        memcpy(running, t->running, sizeof t->running);
    grc_trainer_leave(t);
    return status;
}

grc_status gradcore_trainer_running_write(gradcore_trainer *t, const double *running, gradcore_error *error)
{
    if (!running)
        return grc_fail(error, GRADCORE_INVALID, "running: expected a pointer, got NULL");
    for (int i = 0; i < GRADCORE_RUNNING; i++)
        if (!isfinite(running[i]))
            return grc_fail(error, GRADCORE_INVALID, "running[%d]: expected a finite number, got %g", i,
                            running[i]);
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    memcpy(t->running, running, sizeof t->running);
    grc_trainer_leave(t);
    return GRADCORE_OK;
}

/* ---- groups ---- */

/* Of an op that learns something besides gradients: what it normalises is frozen as a whole, or what it learns is. */
static int is_held(const gradcore_trainer *t, const grc_op *op)
{
    const gradcore_network *n = t->net;
    int train = 0, frozen = 0, learned = 0;
    if (!op->class->settle && op->class != &grc_op_spectral_norm)
        return 0;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const int weight = op->class == &grc_op_spectral_norm && p->offset == op->weight;
        if (!weight && p->op != op->index)
            continue;
        learned |= !p->trainable && t->groups[i].frozen;
        if (weight || (p->trainable && op->class->settle)) {
            train++;
            frozen += t->groups[i].frozen;
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
        return grc_fail(error, GRADCORE_INVALID, "lr_factor, weight_decay: expected 1 and NaN for %s, which is not "
                        "trained by gradients, got %g and %g", n->parameters[index].name, lr_factor, weight_decay);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_set_group(gradcore_trainer *t, int64_t index, double lr_factor, double weight_decay,
                                      int32_t frozen, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    status = has_settings(t->net, index, lr_factor, weight_decay, error);
    if (status == GRADCORE_OK && !(lr_factor >= 0 && lr_factor <= 1e10))
        status = grc_fail(error, GRADCORE_INVALID, "lr_factor: expected a number from 0 to 1e10, got %g", lr_factor);
    if (status == GRADCORE_OK && !isnan(weight_decay) && !(weight_decay >= 0 && weight_decay <= 1e10))
        status = grc_fail(error, GRADCORE_INVALID, "weight_decay: expected NaN or a number from 0 to 1e10, got %g",
                          weight_decay);
    if (status == GRADCORE_OK) {
        t->groups[index] = (grc_group){lr_factor, weight_decay, frozen != 0};
        const int first = t->net->parameters[index].op; /* a weight is normalised by the op behind its own */
        for (int i = first; i < t->net->op_count && i <= first + 1; i++)
            t->held[i] = (uint8_t)is_held(t, &t->net->ops[i]);
    }
    grc_trainer_leave(t);
    return status;
}

void gradcore_trainer_get_progress(const gradcore_trainer *t, uint64_t *step, uint64_t *updates)
{
    if (step)
        *step = t ? atomic_load(&t->step) : 0;
    if (updates)
        *updates = t ? atomic_load(&t->updates) : 0;
}

grc_status gradcore_trainer_set_progress(gradcore_trainer *t, uint64_t step, uint64_t updates,
                                         gradcore_error *error)
{
    if (updates > step || step > GRC_MOST_STEPS)
        return grc_fail(error, GRADCORE_INVALID, "step: expected updates <= step <= 2^48, got %llu and %llu",
                        (unsigned long long)updates, (unsigned long long)step);
    grc_status status = grc_trainer_enter(t, error);
    if (status != GRADCORE_OK)
        return status;
    t->step = step;
    t->updates = updates;
    t->waiting.by_head = 0;
    for (int i = 0; i < t->task_count; i++)
        t->waiting.divisor[i] = -1;
    grc_trainer_leave(t);
    return GRADCORE_OK;
}
