/* A network as an object: what can be asked of it, and its end. ops/description.c makes it. */
#include "network.h"

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
