/* A network as an object: what can be asked of it, its twin, and its end. ops/description.c makes it. */
#include <string.h>

#include "op.h"

grc_status grc_network_twin(const gradcore_network *n, gradcore_network **out, gradcore_error *error)
{
    gradcore_network *twin = grc_allocate(&n->allocator, sizeof *twin);
    if (!twin)
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected memory for its twin, got none");
    memcpy(twin, n, offsetof(gradcore_network, lock));
    twin->tables = grc_copy(&n->allocator, n->tables, n->tables_size);
    twin->w = grc_copy(&n->allocator, n->w, n->w_size);
    grc_lock_open(&twin->lock);
    atomic_init(&twin->version, atomic_load(&n->version));
    atomic_init(&twin->spare, NULL);
    if (!twin->tables || !twin->w) {
        gradcore_network_destroy(twin);
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected %zu bytes for its twin, got none",
                        n->tables_size + n->w_size);
    }
    twin->ops = grc_moved(n->tables, twin->tables, n->ops);
    twin->values = grc_moved(n->tables, twin->tables, n->values);
    twin->parameters = grc_moved(n->tables, twin->tables, n->parameters);
    twin->positions = grc_moved(n->tables, twin->tables, n->positions);
    twin->heads = grc_moved(n->tables, twin->tables, n->heads);
    for (int i = 0; i < twin->op_count; i++)
        twin->ops[i].own = grc_moved(n->tables, twin->tables, n->ops[i].own);
    *out = twin;
    return GRADCORE_OK;
}

grc_status gradcore_network_branch(gradcore_network *n, gradcore_network **out, gradcore_error *error)
{
    if (!n || !out)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", n ? "out" : "network");
    if (!grc_lock_read(n))
        return grc_network_refused(n, error);
    const grc_status status = grc_network_twin(n, out, error);
    grc_unlock_read(n);
    return status;
}

void gradcore_network_destroy(gradcore_network *n)
{
    if (!n)
        return;
    grc_spare *spare = atomic_load(&n->spare);
    if (spare)
        spare->destroy(spare);
    const gradcore_allocator allocator = n->allocator;
    grc_release(&allocator, n->w, n->w_size);
    grc_release(&allocator, n->tables, n->tables_size);
    grc_release(&allocator, n, sizeof *n);
}

int32_t gradcore_network_heads(const gradcore_network *n)
{
    return n ? n->head_count : 0;
}

grc_status gradcore_network_head(const gradcore_network *n, int64_t index, gradcore_head_info *info)
{
    if (!n || !info || info->size < sizeof *info || index < 0 || index >= n->head_count)
        return GRADCORE_INVALID;
    const grc_head *h = &n->heads[index];
    info->name = h->name;
    info->column = (int64_t)h->column;
    info->width = (int64_t)n->values[h->value].width;
    return GRADCORE_OK;
}

void gradcore_network_get_info(const gradcore_network *n, gradcore_network_info *info)
{
    if (!n || !info || info->size < sizeof *info)
        return;
    info->dtype = n->dtype;
    info->inputs = (int64_t)n->values[0].width;
    info->outputs = (int64_t)n->values[n->value_count - 1].width;
    info->parameters = n->parameter_count;
    info->elements = (int64_t)n->trainable;
    info->layers = n->position_count;
    info->threads = n->threads;
    info->isa = n->kernels->name;
}
