/* A trainer as an object: its making and its end. */
#include <math.h>
#include <string.h>

#include "gradient_surgery.h"
#include "losses.h"
#include "matrices.h"
#include "rules.h"

static grc_status bad_name(gradcore_error *error, const char *argument, const char *family, const char *got)
{
    char known[GRC_NAMES_LENGTH];
    return grc_fail(error, GRADCORE_INVALID, "%s: expected one of %s, got '%.40s'", argument,
                    grc_names(family, known, sizeof known), got ? got : "(null)");
}

static grc_status read_options(const gradcore_trainer_options *o, gradcore_trainer *trainer, gradcore_error *error)
{
    if ((trainer->optimizer = grc_find_optimizer(o->optimizer)) == GRC_NONE)
        return bad_name(error, "optimizer", "optimizer", o->optimizer);
    if (o->flags & ~(uint32_t)GRADCORE_OPTIMIZER_OPTIONS)
        return grc_fail(error, GRADCORE_INVALID, "flags: expected known bits, got 0x%x", o->flags);
    if ((o->flags & GRADCORE_OPTIMIZER_NESTEROV) && !(o->flags & GRADCORE_OPTIMIZER_MOMENTUM))
        return grc_fail(error, GRADCORE_INVALID, "nesterov: expected a momentum with it, got none");
    trainer->fused_rule = o->clip ? grc_find_rule(o->clip) : GRC_NONE;
    if (o->clip && trainer->fused_rule != GRC_RULE_value && trainer->fused_rule != GRC_RULE_global_norm)
        return grc_fail(error, GRADCORE_INVALID, "clip: expected 'value' or 'global_norm', got '%.40s'", o->clip);
    if (!o->nonfinite || strcmp(o->nonfinite, "skip") == 0)
        trainer->nonfinite = GRC_NONFINITE_SKIP;
    else if (strcmp(o->nonfinite, "raise") == 0)
        trainer->nonfinite = GRC_NONFINITE_RAISE;
    else if (strcmp(o->nonfinite, "propagate") == 0)
        trainer->nonfinite = GRC_NONFINITE_PROPAGATE;
    else
        return grc_fail(error, GRADCORE_INVALID, "nonfinite: expected 'skip', 'raise' or 'propagate', got '%.40s'",
                        o->nonfinite);
    if (o->capacity < 1 || o->capacity > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "capacity: expected 1 to 2147483647 rows, got %lld",
                        (long long)o->capacity);
    trainer->flags = o->flags;
    trainer->seed = o->seed;
    return GRADCORE_OK;
}

grc_status gradcore_trainer_create(gradcore_network *n, const gradcore_trainer_options *options, gradcore_trainer **out,
                                   gradcore_error *error)
{
    gradcore_trainer draft = {.net = n};
    if (!n || !options || !out)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL",
                        !n         ? "network"
                        : !options ? "options"
                                   : "out");
    const size_t first_size = offsetof(gradcore_trainer_options, loss_options), size = options->size;
    if (size < first_size || size > sizeof *options)
        return grc_fail(error, GRADCORE_INVALID, "options.size: expected %zu to %zu, got %zu", first_size,
                        sizeof *options, size);
    gradcore_trainer_options o = {.size = sizeof o}; /* what an older caller does not know is zero */
    memcpy(&o, options, size);
    grc_status status = grc_open_tasks(n, &o, &draft.tasks, &draft.task_count, error);
    draft.loss_function = o.loss_function;
    draft.loss_context = o.loss_context;
    if (status == GRADCORE_OK)
        status = read_options(&o, &draft, error);
    gradcore_trainer *trainer = NULL;
    if (status == GRADCORE_OK && !(trainer = grc_allocate(&n->allocator, sizeof *trainer)))
        status = grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for it, got none");
    if (status != GRADCORE_OK) {
        grc_close_tasks(n, draft.tasks, draft.task_count);
        return status;
    }
    *trainer = draft;
    grc_lock_open(&trainer->lock);
    atomic_init(&trainer->step, 0);
    atomic_init(&trainer->updates, 0);
    trainer->limit = (double)NAN;
    status =
        grc_plan_create(n, GRC_PLAN_TRAIN, (size_t)o.capacity, grc_optimizer_slots(trainer->optimizer, trainer->flags),
                        grc_measures(trainer->optimizer), grc_target_bytes(trainer->tasks, n), &trainer->plan, error);
    if (status == GRADCORE_OK)
        status = grc_make_room(trainer, trainer->plan, error);
    if (status == GRADCORE_OK && (o.head_flags & GRADCORE_GRADIENT_SURGERY))
        status = grc_surgery_create(trainer, 1, error);
    const size_t parameters = (size_t)n->parameter_count + 1;
    if (status == GRADCORE_OK
        && (!(trainer->groups = grc_allocate(&n->allocator, parameters * sizeof *trainer->groups))
            || !(trainer->ledger = grc_allocate(&n->allocator, parameters * sizeof *trainer->ledger))
            || !(trainer->held = grc_allocate(&n->allocator, (size_t)n->op_count))
            || (grc_find_slot(trainer->optimizer, GRC_START_LIVE) != GRC_NONE && !grc_make_room_to_show(trainer))))
        status = grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its parameters, got none");
    if (status != GRADCORE_OK) {
        gradcore_trainer_destroy(trainer);
        return status;
    }
    for (int i = 0; i < n->parameter_count; i++) {
        trainer->groups[i] = (grc_group){1, (double)NAN, 0};
        trainer->ledger[i] = (grc_tally){0};
    }
    trainer->plan->view.seed = trainer->seed;
    trainer->plan->view.held = trainer->held;
    *out = trainer;
    return GRADCORE_OK;
}

void gradcore_trainer_destroy(gradcore_trainer *trainer)
{
    if (!trainer)
        return;
    gradcore_network *n = trainer->net;
    grc_clipping_destroy(trainer);
    grc_matrices_destroy(trainer);
    grc_surgery_destroy(trainer);
    grc_plan_destroy(trainer->plan);
    grc_close_tasks(n, trainer->tasks, trainer->task_count);
    grc_release(&n->allocator, trainer->rows_block, trainer->rows_size);
    for (int i = 0; i < trainer->average_count; i++)
        grc_release(&n->allocator, trainer->averages[i].vector, trainer->averages[i].size);
    const size_t parameters = (size_t)n->parameter_count + 1;
    grc_release(&n->allocator, trainer->groups, parameters * sizeof *trainer->groups);
    grc_release(&n->allocator, trainer->ledger, parameters * sizeof *trainer->ledger);
    grc_release(&n->allocator, trainer->held, (size_t)n->op_count);
    grc_release(&n->allocator, trainer->shown, n->vector * n->item);
    grc_release(&n->allocator, trainer, sizeof *trainer);
}

/* ---- room for larger batches ---- */

/* What a plan has of the trainer's state, to one with other room for rows. */
static void move_state(grc_plan *from, grc_plan *to)
{
    grc_plan_carry(from, to);
    to->view.rates = from->view.rates;
    from->view.rates = (grc_rates){0};
    to->view.held = from->view.held;
}

grc_status gradcore_trainer_reserve(gradcore_trainer *trainer, int64_t rows, gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    grc_plan *old = trainer->plan, *plan = NULL;
    if (rows < 1 || rows > INT32_MAX)
        status = grc_fail(error, GRADCORE_SHAPE, "rows: expected 1 to 2147483647 rows, got %lld", (long long)rows);
    else if ((size_t)rows > old->view.capacity) {
        status = grc_plan_create(trainer->net, GRC_PLAN_TRAIN, (size_t)rows, old->slot_mask, old->measures,
                                 grc_target_bytes(trainer->tasks, trainer->net), &plan, error);
        if (status == GRADCORE_OK)
            status = grc_clipping_reserve(trainer, (size_t)rows, error);
        if (status == GRADCORE_OK)
            status = grc_make_room(trainer, plan, error);
        if (status == GRADCORE_OK) {
            move_state(old, plan);
            trainer->plan = plan;
            grc_matrices_follow(trainer);
        }
        grc_plan_destroy(status == GRADCORE_OK ? old : plan);
    }
    grc_trainer_leave(trainer);
    return status;
}
