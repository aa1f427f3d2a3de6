/* A network's description, checked once and compiled: layer by layer, the classes of its ops are asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/instruction_sets.h"
#include "ops.h"

static const struct {
    const char *kind;
    const grc_op_class *class;
} kinds[] = {
#define GRC_KIND_ROW(name, kind) {kind, &grc_op_##name},
    GRC_OPS(GRC_KIND_ROW)};

/* The dotted position of the next layer at the current depth into b->name. */
static grc_status name_position(grc_builder *b)
{
    size_t used = 0;
    for (int d = 0; d <= b->depth; d++) {
        const int number = d < b->depth ? b->counter[d] - 1 : b->counter[d];
        const int branch = d == 1 && b->heads == GRC_HEADS_OPEN && b->net->head_count > 0;
        const int wrote = snprintf(b->name + used, sizeof b->name - used, "%s%s%s%d", d ? "." : "",
                                   branch ? b->net->heads[b->net->head_count - 1].name : "", branch ? "." : "", number);
        used += (size_t)wrote;
        if (used >= sizeof b->name)
            return grc_fail(b->error, GRADCORE_INVALID, "layers: expected positions of at most %zu characters",
                            sizeof b->name - 1);
    }
    return GRADCORE_OK;
}

static grc_status describe_layer(grc_builder *b)
{
    gradcore_network *n = b->net;
    char known[300];
    const char *kind = b->layer->kind;
    const grc_op_class *class = NULL;
    const int opens = kind && (strcmp(kind, "residual") == 0 || strcmp(kind, "heads") == 0);
    const int closes = kind && (strcmp(kind, "end") == 0 || strcmp(kind, "end_heads") == 0);
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            class = kinds[i].class;
    if (!class)
        return grc_fail(b->error, GRADCORE_INVALID, "layers.kind: expected one of %s, got '%.40s'",
                        grc_names("layer", known, sizeof known), kind ? kind : "(null)");
    grc_status status = grc_check_heads(b, kind);
    if (status != GRADCORE_OK)
        return status;
    if (closes && b->depth == 0)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected an open residual block, got 'end'");
    if (opens && b->depth == GRC_DEPTH)
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected at most %d nested blocks", GRC_DEPTH);

    const int continues = (b->layer->flags & GRADCORE_LAYER_CONTINUES) != 0;
    if (continues && (opens || closes || b->counter[b->depth] == 0))
        return grc_fail(b->error, GRADCORE_INVALID, "layers: expected a layer that '%s' could continue", kind);
    const int rescales = n->op_count && n->ops[n->op_count - 1].rescaled;
    if (rescales && !class->rescaling)
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers: expected 'weight_norm' or 'spectral_norm' behind a dense layer with the flag "
                        "RESCALED, got '%s'",
                        kind);
    if (class == &grc_op_head) { /* no layer, but a new count of them */
        b->counter[b->depth] = 0;
        return class->describe(b);
    }
    if (continues)
        b->counter[b->depth]--;
    if (closes) { /* it names the block that it closes */
        b->counter[b->depth--] = 0;
        b->counter[b->depth]--;
    }
    status = name_position(b);
    if (status == GRADCORE_OK)
        status = class->describe(b);
    if (status != GRADCORE_OK)
        return status;
    b->counter[b->depth]++;
    if (opens) {
        b->open_fork[b->depth++] = n->op_count - 1;
        b->counter[b->depth] = 0;
    } else {
        n->position_count -= continues;
        grc_position *p = &n->positions[n->position_count++];
        memcpy(p->name, b->name, sizeof p->name);
        p->value = b->value;
    }
    return GRADCORE_OK;
}

static void *lay_out_tables(gradcore_network *n, size_t layers, grc_builder *b, grc_arena *arena)
{
    n->ops = grc_take(arena, GRC_MOST_OPS * layers, sizeof *n->ops);
    n->values = grc_take(arena, GRC_MOST_OPS * layers + 1, sizeof *n->values);
    n->parameters = grc_take(arena, GRC_MOST_PARAMETERS * layers, sizeof *n->parameters);
    n->positions = grc_take(arena, layers, sizeof *n->positions);
    n->heads = grc_take(arena, layers, sizeof *n->heads);
    b->own = grc_take(arena, GRC_MOST_OPS * layers, GRC_OP_ROOM);
    return arena->base;
}

static grc_status check_options(const gradcore_network_options *o, size_t layer_count, gradcore_error *error)
{
    if (!o || o->size != sizeof *o)
        return grc_fail(error, GRADCORE_INVALID, "options: expected a gradcore_network_options with its size set");
    if (o->inputs < 1 || o->inputs > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "inputs: expected 1 to 2147483647, got %lld", (long long)o->inputs);
    if (o->dtype != GRADCORE_FLOAT32 && o->dtype != GRADCORE_FLOAT64)
        return grc_fail(error, GRADCORE_INVALID, "dtype: expected float32 or float64, got %d", o->dtype);
    if (o->threads < 0 || o->threads > 1024)
        return grc_fail(error, GRADCORE_INVALID, "threads: expected 0 (automatic) to 1024, got %d", o->threads);
    if (o->flags & ~(uint32_t)GRADCORE_FLUSH_DENORMALS)
        return grc_fail(error, GRADCORE_INVALID, "flags: expected known bits, got 0x%x", o->flags);
    if (o->allocator && (!o->allocator->allocate || !o->allocator->release))
        return grc_fail(error, GRADCORE_INVALID, "allocator: expected both functions, got NULL");
    if (layer_count < 1 || layer_count > 100000)
        return grc_fail(error, GRADCORE_INVALID, "layers: expected 1 to 100000 layers, got %zu", layer_count);
    return GRADCORE_OK;
}

grc_status gradcore_network_create(const gradcore_network_options *options, const gradcore_layer *layers,
                                   size_t layer_count, gradcore_network **out, gradcore_error *error)
{
    const char *reason;
    if (!out || !layers)
        return grc_fail(error, GRADCORE_INVALID, "%s: expected a pointer, got NULL", out ? "layers" : "out");
    grc_status status = check_options(options, layer_count, error);
    if (status != GRADCORE_OK)
        return status;
    const grc_kernels *kernels = grc_kernels_find(options->isa, options->dtype, error);
    if (!kernels)
        return GRADCORE_INVALID;

    const gradcore_allocator allocator = options->allocator ? *options->allocator : grc_default_allocator;
    gradcore_network *n = grc_allocate(&allocator, sizeof *n);
    if (!n)
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected memory for it, got none");
    n->allocator = allocator;
    n->kernels = kernels;
    n->dtype = options->dtype;
    n->item = n->dtype == GRC_F32 ? sizeof(float) : sizeof(double);
    n->threads = options->threads ? options->threads : grc_threads_counted(&reason);
    n->exact_threads = getenv("GRADCORE_EXACT_THREADS") != NULL;
    n->flush_denormals = (options->flags & GRADCORE_FLUSH_DENORMALS) != 0;
    grc_watch_forks();
    grc_lock_open(&n->lock);
    atomic_init(&n->version, 1);
    atomic_init(&n->spare, NULL);

    grc_builder b = {.net = n, .error = error};
    grc_arena arena = {NULL, 0, 0};
    lay_out_tables(n, layer_count, &b, &arena);
    n->tables_size = arena.used;
    n->tables = arena.base = grc_allocate(&n->allocator, n->tables_size);
    if (!n->tables) {
        gradcore_network_destroy(n);
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected %zu bytes, got none", arena.used);
    }
    arena.used = 0;
    lay_out_tables(n, layer_count, &b, &arena);

    b.value = grc_add_value(n, (size_t)options->inputs, GRC_NONE);
    const size_t size = layers->size; /* an older caller's layers are shorter */
    for (size_t i = 0; i < layer_count && status == GRADCORE_OK; i++) {
        const gradcore_layer *given = (const gradcore_layer *)((const char *)layers + i * size);
        gradcore_layer layer = {.size = sizeof layer};
        b.layer = &layer;
        if (given->size != size || (size != sizeof layer && size != offsetof(gradcore_layer, name)))
            status = grc_fail(error, GRADCORE_INVALID, "layers[%zu].size: expected %zu, got %u", i, sizeof layer,
                              given->size);
        else {
            memcpy(&layer, given, size);
            status = describe_layer(&b);
        }
    }
    if (status == GRADCORE_OK && n->ops[n->op_count - 1].rescaled)
        status = grc_fail(error, GRADCORE_INVALID,
                          "layers: expected 'weight_norm' or 'spectral_norm' behind the last dense layer");
    if (status == GRADCORE_OK && b.depth > 0)
        status = grc_fail(error, GRADCORE_INVALID, "layers: expected every block to be closed by %s",
                          b.heads == GRC_HEADS_OPEN ? "'end_heads'" : "'end'");
    if (status == GRADCORE_OK) {
        n->w_size = grc_round_up((n->vector + n->kernels->panel) * n->item, GRC_PANEL_BYTES);
        n->w = grc_allocate(&n->allocator, n->w_size);
        if (!n->w)
            status = grc_fail(error, GRADCORE_NO_MEMORY, "network: expected %zu bytes for the parameters, got none",
                              n->w_size);
    }
    if (status != GRADCORE_OK) {
        gradcore_network_destroy(n);
        return status;
    }
    for (int i = 0; i < n->parameter_count; i++)
        grc_fill_vector(n, &n->parameters[i]);
    n->reads_in_place = 1;
    for (int i = 0; i < n->op_count; i++)
        n->reads_in_place &= n->values[n->ops[i].in].buffer != 0 || n->ops[i].any_ld;
    *out = n;
    return GRADCORE_OK;
}
