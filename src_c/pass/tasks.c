/* Losses of a network's output or of its heads: opened and closed, with the data of each. */
#include <string.h>

#include "tasks.h"

size_t grc_target_bytes(const grc_task *task, const gradcore_network *n)
{
    return task->loss.labels ? sizeof(int32_t) : task->loss.target_width * n->item;
}

grc_status grc_check_head_losses(const gradcore_network *n, const gradcore_head_loss *losses, int64_t count,
                                 gradcore_error *error)
{
    if (!n->head_count)
        return grc_fail(error, GRADCORE_INVALID, "heads: expected a network with heads, got one without");
    if (!losses || count != n->head_count)
        return grc_fail(error, GRADCORE_SHAPE, "heads: expected %d losses, one for each head, got %lld", n->head_count,
                        losses ? (long long)count : 0);
    for (int i = 0; i < n->head_count; i++) {
        if (losses[i].size != sizeof *losses)
            return grc_fail(error, GRADCORE_INVALID, "heads[%d].size: expected %zu, got %u", i, sizeof *losses,
                            losses[i].size);
        if (!(losses[i].weight >= 0 && losses[i].weight <= 1e30))
            return grc_fail(error, GRADCORE_INVALID, "heads[%d].weight: expected a number from 0 to 1e30, got %g", i,
                            losses[i].weight);
    }
    return GRADCORE_OK;
}

static size_t size_of(int tasks)
{
    return ((size_t)tasks + 1) * sizeof(grc_task);
}

static grc_status open_heads(const gradcore_network *n, const gradcore_trainer_options *o, grc_task *tasks,
                             gradcore_error *error)
{
    const int uncertain = n->parameter_count && strcmp(n->parameters[n->parameter_count - 1].role, "log_variance") == 0;
    grc_status status = grc_check_head_losses(n, o->heads, o->head_count, error);
    if (status == GRADCORE_OK && (o->loss || o->loss_options || o->loss_function))
        status = grc_fail(error, GRADCORE_INVALID, "loss: expected NULL with a loss for each head");
    for (int i = 0; i < n->head_count && status == GRADCORE_OK; i++) {
        const gradcore_head_loss *h = &o->heads[i];
        grc_task *task = &tasks[i];
        task->value = n->heads[i].value;
        task->weight = h->weight;
        status = grc_loss_open(&task->loss, &n->allocator, h->loss, h->options, n->dtype, n->values[task->value].width,
                               error);
        if (status == GRADCORE_OK && uncertain)
            task->factor = grc_loss_classifies(task->loss.kind) ? 1 : 0.5;
    }
    return status;
}

static grc_status open_one(const gradcore_network *n, const gradcore_trainer_options *o, grc_task *task,
                           gradcore_error *error)
{
    task->value = n->value_count - 1;
    task->weight = 1;
    const size_t outputs = n->values[task->value].width;
    if (!o->loss_function)
        return grc_loss_open(&task->loss, &n->allocator, o->loss, o->loss_options, n->dtype, outputs, error);
    if (o->loss || o->loss_options)
        return grc_fail(error, GRADCORE_INVALID, "loss: expected NULL with a loss_function, got '%.40s'",
                        o->loss ? o->loss : "options");
    task->loss = (grc_loss){.kind = GRC_NONE, .outputs = outputs, .allocator = &n->allocator};
    return GRADCORE_OK;
}

grc_status grc_open_tasks(const gradcore_network *n, const gradcore_trainer_options *o, grc_task **out, int *out_count,
                          gradcore_error *error)
{
    const int count = o->heads || o->head_count ? n->head_count : 1;
    if (o->head_flags & ~(uint32_t)GRADCORE_GRADIENT_SURGERY || (o->head_flags && !o->heads))
        return grc_fail(error, GRADCORE_INVALID, "head_flags: expected known bits, with a loss for each head, got 0x%x",
                        o->head_flags);
    grc_task *tasks = *out = grc_allocate(&n->allocator, size_of(count));
    if (!tasks)
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its losses, got none");
    *out_count = count;
    for (int i = 0; i < count; i++)
        tasks[i].loss = (grc_loss){.kind = GRC_NONE, .allocator = &n->allocator};
    return o->heads || o->head_count ? open_heads(n, o, tasks, error) : open_one(n, o, tasks, error);
}

grc_status grc_copy_tasks(const gradcore_network *n, const grc_task *from, int count, grc_task **out,
                          gradcore_error *error)
{
    grc_status status = GRADCORE_OK;
    grc_task *tasks = *out = grc_copy(&n->allocator, from, size_of(count));
    if (!tasks)
        return grc_fail(error, GRADCORE_NO_MEMORY, "trainer: expected memory for its losses, got none");
    for (int i = 0; i < count; i++)
        tasks[i].loss = (grc_loss){.kind = GRC_NONE, .allocator = &n->allocator};
    for (int i = 0; i < count && status == GRADCORE_OK; i++)
        status = grc_loss_copy(&tasks[i].loss, &from[i].loss, &n->allocator, error);
    return status;
}

void grc_close_tasks(const gradcore_network *n, grc_task *tasks, int count)
{
    for (int i = 0; i < count; i++)
        grc_loss_close(&tasks[i].loss);
    grc_release(&n->allocator, tasks, size_of(count));
}

grc_status grc_check_head_data(const gradcore_data *d, int heads, gradcore_error *error)
{
    const gradcore_head_data *h = d->target;
    if (!h || d->weight)
        return grc_fail(error, GRADCORE_INVALID, "%s",
                        d->weight ? "weight: expected NULL with heads, which have their own, got weights"
                                  : "target: expected a pointer, got NULL");
    for (int i = 0; i < heads; i++)
        if (h[i].size != sizeof *h)
            return grc_fail(error, GRADCORE_INVALID, "target[%d].size: expected %zu, got %u", i, sizeof *h, h[i].size);
    return GRADCORE_OK;
}

gradcore_data grc_head_data(const gradcore_data *d, int index)
{
    const gradcore_head_data *h = (const gradcore_head_data *)d->target + index;
    gradcore_data own = *d;
    own.target = h->target;
    own.target_stride = h->target_stride;
    own.weight = h->weight;
    return own;
}
