/* A network: its description checked once and compiled into ops, values, parameters and positions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../internal.h"
#include "../base/rng.h"

/* ---- description ---- */

static const struct {
    const char *kind;
    const grc_op_class *class;
} kinds[] = {
#define GRC_KIND_ROW(name, kind) {kind, &grc_op_##name},
    GRC_OPS(GRC_KIND_ROW)};

/* Rows a power of two apart fall into the same cache sets: wide values get an odd number of panels. */
static size_t leading_dimension(const gradcore_network *n, size_t width)
{
    const size_t panels = grc_panels(n, width);
    return (panels > 4 && panels % 2 == 0 ? panels + 1 : panels) * n->kernels->panel;
}

static int add_value(gradcore_network *n, size_t width, int shared_with)
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
    *op = (grc_op){.class = class,
                   .index = n->op_count++,
                   .in = b->value,
                   .fork = GRC_NONE,
                   .head = b->heads == GRC_HEADS_OPEN ? n->head_count : 0,
                   .trains_before = b->trains,
                   .first_parameter = GRC_NONE,
                   .alpha = b->layer->alpha};
    n->meets |= class->meet_forward != NULL;
    n->derives |= class->derive != NULL;
    op->out = b->value = add_value(n, width, class->shares_value ? op->in : GRC_NONE);
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
        grc_fail(b->error, GRADCORE_NO_MEMORY, "layers[%s]: expected sizes that fit in memory, got (%zu, %zu)",
                 b->name, rows, cols);
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
    return add_parameter(b, op, (grc_parameter){.role = role, .trainable = 1, .turned = turned, .ndim = 2,
                                                .rows = rows, .cols = cols});
}

size_t grc_add_vector(grc_builder *b, grc_op *op, const char *role, int trainable, double initial, size_t cols)
{
    return add_parameter(b, op, (grc_parameter){.role = role, .trainable = trainable, .ndim = 1,
                                                .initial = initial, .rows = 1, .cols = cols});
}

static const struct {
    double alpha, lowest;
} alphas[GRC_ACT_COUNT] = {
#define GRC_ALPHAS(name, saves, alpha, lowest, init, formula) {alpha, lowest},
    GRC_ACTIVATIONS(GRC_ALPHAS)};

double grc_lowest_alpha(int activation)
{
    return alphas[activation].lowest;
}

grc_status grc_set_activation(grc_builder *b, const char *name, double alpha, grc_op *op)
{
    char known[400];
    const int found = grc_find_activation(name ? name : "identity");
    if (found == GRC_NONE)
        return grc_fail(b->error, GRADCORE_INVALID, "layers[%s].activation: expected one of %s, got '%.40s'",
                        b->name, grc_names("activation", known, sizeof known), name);
    op->activation = (enum grc_activation)found;
    op->alpha = isnan(alpha) ? alphas[found].alpha : alpha;
    if (!(op->alpha >= alphas[found].lowest && op->alpha <= 1e6))
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers[%s].alpha: expected a number from %g to 1e6, got %g", b->name,
                        alphas[found].lowest, alpha);
    return GRADCORE_OK;
}

/* The dotted position of the next layer at the current depth into b->name. */
static grc_status name_position(grc_builder *b)
{
    size_t used = 0;
    for (int d = 0; d <= b->depth; d++) {
        const int number = d < b->depth ? b->counter[d] - 1 : b->counter[d];
        const int branch = d == 1 && b->heads == GRC_HEADS_OPEN && b->net->head_count > 0;
        const int wrote = snprintf(b->name + used, sizeof b->name - used, "%s%s%s%d", d ? "." : "",
                                   branch ? b->net->heads[b->net->head_count - 1].name : "", branch ? "." : "",
                                   number);
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
    if (rescales && !class->correct)
        return grc_fail(b->error, GRADCORE_INVALID,
                        "layers: expected 'weight_norm' or 'spectral_norm' behind a dense layer with the flag "
                        "RESCALED, got '%s'", kind);
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

static void *lay_out_tables(gradcore_network *n, size_t layers, grc_arena *arena)
{
    n->ops = grc_take(arena, GRC_MOST_OPS * layers, sizeof *n->ops);
    n->values = grc_take(arena, GRC_MOST_OPS * layers + 1, sizeof *n->values);
    n->parameters = grc_take(arena, GRC_MOST_PARAMETERS * layers, sizeof *n->parameters);
    n->positions = grc_take(arena, layers, sizeof *n->positions);
    n->heads = grc_take(arena, layers, sizeof *n->heads);
    return arena->base;
}

static grc_status check_options(const gradcore_network_options *o, size_t layer_count, gradcore_error *error)
{
    if (!o || o->size != sizeof *o)
        return grc_fail(error, GRADCORE_INVALID,
                        "options: expected a gradcore_network_options with its size set");
    if (o->inputs < 1 || o->inputs > INT32_MAX)
        return grc_fail(error, GRADCORE_SHAPE, "inputs: expected 1 to 2147483647, got %lld",
                        (long long)o->inputs);
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
    atomic_init(&n->lock.state, (uint64_t)grc_generation() << 32);
    atomic_init(&n->lock.torn, 0);
    atomic_init(&n->version, 1);
    atomic_init(&n->spare, NULL);

    grc_arena arena = {NULL, 0, 0};
    lay_out_tables(n, layer_count, &arena);
    n->tables_size = arena.used;
    n->tables = arena.base = grc_allocate(&n->allocator, n->tables_size);
    if (!n->tables) {
        gradcore_network_destroy(n);
        return grc_fail(error, GRADCORE_NO_MEMORY, "network: expected %zu bytes, got none", arena.used);
    }
    arena.used = 0;
    lay_out_tables(n, layer_count, &arena);

    grc_builder b = {.net = n, .error = error};
    b.value = add_value(n, (size_t)options->inputs, GRC_NONE);
    const size_t size = layers->size; /* an older caller's layers are shorter */
    for (size_t i = 0; i < layer_count && status == GRADCORE_OK; i++) {
        const gradcore_layer *given = (const gradcore_layer *)((const char *)layers + i * size);
        gradcore_layer layer = {.size = sizeof layer};
        b.layer = &layer;
        if (given->size != size || (size != sizeof layer && size != offsetof(gradcore_layer, name)))
            status = grc_fail(error, GRADCORE_INVALID, "layers[%zu].size: expected %zu, got %u", i,
                              sizeof layer, given->size);
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
            status = grc_fail(error, GRADCORE_NO_MEMORY,
                              "network: expected %zu bytes for the parameters, got none", n->w_size);
    }
    if (status != GRADCORE_OK) {
        gradcore_network_destroy(n);
        return status;
    }
    for (int i = 0; i < n->parameter_count; i++)
        grc_fill_vector(n, &n->parameters[i]);
    n->reads_in_place = 1;
    for (int i = 0; i < n->op_count; i++) /* weight gradients of narrow layers read whole panels of rows */
        if (n->values[n->ops[i].in].buffer == 0 && (!n->ops[i].class->any_ld || n->ops[i].narrow))
            n->reads_in_place = 0;
    *out = n;
    return GRADCORE_OK;
}

void gradcore_network_destroy(gradcore_network *n)
{
    if (!n)
        return;
    grc_exec_destroy(atomic_load(&n->spare));
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
