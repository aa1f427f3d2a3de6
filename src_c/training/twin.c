/* Branches: a trainer's twin on a twin of its network, without a file in between. */
#include <string.h>

#include "gradient_surgery.h"
#include "losses.h"
#include "matrices.h"
#include "rules.h"

/* What a plan has of the trainer's state; all else a pass makes anew. */
static grc_status copy_plan(const gradcore_trainer *from, gradcore_trainer *to, gradcore_error *error)
{
    const grc_plan *old = from->plan;
    const gradcore_network *n = to->net;
    grc_status status = grc_plan_create(to->net, GRC_PLAN_TRAIN, old->view.capacity, old->slot_mask, old->measures,
                                        grc_target_bytes(to->tasks, n), &to->plan, error);
    if (status == GRADCORE_OK)
        status = grc_copy_rates(&to->plan->view.rates, &old->view.rates, n, error);
    if (status == GRADCORE_OK)
        status = grc_make_room(to, to->plan, error);
    if (status != GRADCORE_OK)
        return status;
    grc_plan_carry(old, to->plan);
    to->plan->view.step = old->view.step;
    to->plan->view.held = to->held;
    return GRADCORE_OK;
}

static grc_status copy_arrays(const gradcore_trainer *from, gradcore_trainer *to, gradcore_error *error)
{
    const gradcore_allocator *allocator = &to->net->allocator;
    const size_t parameters = (size_t)to->net->parameter_count + 1;
    int there = (to->groups = grc_copy(allocator, from->groups, parameters * sizeof *from->groups))
                && (to->ledger = grc_copy(allocator, from->ledger, parameters * sizeof *from->ledger))
                && (to->held = grc_copy(allocator, from->held, (size_t)to->net->op_count));
    if (there && from->shown)
        there = (to->shown = grc_copy(allocator, from->shown, to->net->vector * to->net->item)) != NULL;
    for (int i = 0; there && i < from->average_count; i++)
        if (from->averages[i].vector)
            there = (to->averages[i].vector = grc_copy(allocator, from->averages[i].vector, from->averages[i].size))
                    != NULL;
    return there ? GRADCORE_OK
                 : grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its parameters, got none");
}

/* The caller has both trainer and network. */
static grc_status make_twin(const gradcore_trainer *from, gradcore_network *net, gradcore_trainer **out,
                            gradcore_error *error)
{
    gradcore_trainer *to = grc_allocate(&net->allocator, sizeof *to);
    if (!to)
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its twin, got none");
    memcpy(to, from, offsetof(gradcore_trainer, lock));
    grc_lock_open(&to->lock);
    to->net = net;
    to->plan = NULL;
    to->tasks = NULL;
    to->rows_block = NULL;
    to->rows_size = 0;
    to->uncertain = NULL;
    to->surgery = NULL;
    to->clipping = NULL;
    to->matrices = NULL;
    to->groups = NULL;
    to->ledger = NULL;
    to->held = NULL;
    to->shown = NULL;
    for (int i = 0; i < to->average_count; i++)
        to->averages[i].vector = NULL;
    to->task_count = 0; /* of those that are there to be closed */
    grc_status status = grc_copy_tasks(net, from->tasks, from->task_count, &to->tasks, error);
    if (to->tasks)
        to->task_count = from->task_count;
    if (status == GRADCORE_OK)
        status = copy_arrays(from, to, error);
    if (status == GRADCORE_OK)
        status = copy_plan(from, to, error);
    if (status == GRADCORE_OK)
        status = grc_surgery_copy(to, from, error);
    if (status == GRADCORE_OK)
        status = grc_clipping_copy(to, from, error);
    if (status == GRADCORE_OK)
        status = grc_matrices_copy(to, from, error);
    if (status == GRADCORE_OK)
        *out = to;
    else
        gradcore_trainer_destroy(to);
    return status;
}

grc_status gradcore_trainer_branch(gradcore_trainer *trainer, gradcore_network **network, gradcore_trainer **twin,
                                   gradcore_error *error)
{
    gradcore_network *net = NULL;
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    if (!network || !twin)
        status = grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", network ? "twin" : "network");
    else
        status = gradcore_network_branch(trainer->net, &net, error);
    if (status == GRADCORE_OK)
        status = make_twin(trainer, net, twin, error);
    if (status == GRADCORE_OK)
        *network = net;
    else
        gradcore_network_destroy(net);
    grc_trainer_leave(trainer);
    return status;
}
