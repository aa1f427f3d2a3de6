/* What a layer's description adds to a network: values, ops, parameters. */
#include <math.h>
#include <stdio.h>

#include "../base/registry.h"
#include "builder.h"

/* Rows a power of two apart fall into the same cache sets: wide values get an odd number of panels. */
static size_t leading_dimension(const gradcore_network *n, size_t width)
{
    const size_t panels = grc_panels(n, width);
    return (panels > 4 && panels % 2 == 0 ? panels + 1 : panels) * n->kernels->panel;
}

int grc_add_value(gradcore_network *n, size_t width, int shared_with)
{
    const int i = n->value_count++;
    n->values[i] = (grc_value){.width = width,
                               .ld = leading_dimension(n, width),
                               .buffer = shared_with == GRC_NONE ? i : n->values[shared_with].buffer};
    return i;
}

size_t grc_value_width(const grc_builder *b)
{
    return b->net->values[b->value].width;
}

grc_op *grc_add_op(grc_builder *b, const grc_op_class *class, size_t width)
{
    gradcore_network *n = b->net;
    grc_op *op = &n->ops[n->op_count];
    GRC_ASSERT(class->own_size <= GRC_OP_ROOM);
    *op = (grc_op){.class = class,
                   .own = b->own + (size_t)n->op_count * GRC_OP_ROOM,
                   .index = n->op_count++,
                   .in = b->value,
                   .head = b->heads == GRC_HEADS_OPEN ? n->head_count : 0,
                   .trains_before = b->trains,
                   .first_parameter = GRC_NONE,
                   .any_ld = class->any_ld,
                   .alpha = b->layer->alpha};
    n->meets |= class->meet_forward != NULL;
    n->derives |= class->derive != NULL;
    op->out = b->value = grc_add_value(n, width, class->shares_value ? op->in : GRC_NONE);
    return op;
}

/* Room for (rows, cols) in the vector: its offset, or SIZE_MAX with the error set. */
static size_t reserve(grc_builder *b, size_t rows, size_t cols)
{
    gradcore_network *n = b->net;
    size_t elements, end;
    const size_t offset = n->vector;
    if (__builtin_mul_overflow(grc_panels(n, cols) * n->kernels->panel, rows, &elements)
        || __builtin_add_overflow(offset, elements, &end) || end > SIZE_MAX / 64) {
        grc_fail(b->error, GRADCORE_NO_MEMORY, "layers[%s]: expected sizes that fit in memory, got (%zu, %zu)", b->name,
                 rows, cols);
        return SIZE_MAX;
    }
    n->vector = end;
    return offset;
}

size_t grc_add_derived(grc_builder *b, size_t cols)
{
    return reserve(b, 1, cols);
}

static size_t add_parameter(grc_builder *b, grc_op *op, grc_parameter about)
{
    gradcore_network *n = b->net;
    const size_t offset = reserve(b, grc_stored_rows(&about), grc_stored_cols(&about));
    if (offset == SIZE_MAX)
        return offset;
    grc_parameter *p = &n->parameters[n->parameter_count];
    *p = about;
    p->op = op->index;
    p->offset = offset;
    snprintf(p->name, sizeof p->name, "%.63s.%.15s", b->name, p->role);
    if (op->first_parameter == GRC_NONE)
        op->first_parameter = n->parameter_count;
    n->parameter_count++;
    if (p->trainable) {
        n->trainable += p->rows * p->cols;
        b->trains = 1;
    }
    return offset;
}

size_t grc_add_matrix(grc_builder *b, grc_op *op, const char *role, int turned, size_t rows, size_t cols)
{
    return add_parameter(
        b, op, (grc_parameter){.role = role, .trainable = 1, .turned = turned, .ndim = 2, .rows = rows, .cols = cols});
}

size_t grc_add_vector(grc_builder *b, grc_op *op, const char *role, int trainable, double initial, size_t cols)
{
    return add_parameter(
        b, op,
        (grc_parameter){.role = role, .trainable = trainable, .ndim = 1, .initial = initial, .rows = 1, .cols = cols});
}

size_t grc_add_transposed(grc_builder *b, size_t rows, size_t cols)
{
    const size_t offset = b->net->transposed;
    b->net->transposed += grc_panels(b->net, rows) * b->net->kernels->panel * cols;
    return offset;
}

grc_status grc_set_activation(grc_builder *b, const char *name, double alpha, grc_op *op)
{
    char known[400];
    const int found = grc_find_activation(name ? name : "identity");
    if (found == GRC_NONE)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].activation: expected one of %s, got '%.40s'", b->name,
                        grc_names("activation", known, sizeof known), name);
    op->activation = (enum grc_activation)found;
    op->alpha = isnan(alpha) ? grc_default_alpha(found) : alpha;
    if (!(op->alpha >= grc_lowest_alpha(found) && op->alpha <= 1e6))
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].alpha: expected a number from %g to 1e6, got %g",
                        b->name, grc_lowest_alpha(found), alpha);
    return GRADCORE_OK;
}

void grc_schedule_op(grc_builder *b, grc_op *op)
{
    if (b->layer->flags & GRADCORE_LAYER_SCHEDULED)
        op->scheduled = ++b->net->scheduled;
}
