/* A loss with its options: read and checked once, then the same for every batch. */
#include <math.h>
#include <string.h>

#include "loss.h"

#define GRC_MOST_OPTION 1e30 /* of a vector option, as of parameters: its products with float32 stay finite */

static const struct {
    double low, high;
    int open; /* neither end belongs to it */
    const char *text;
} ranges[] = {
#define GRC_END_OUTSIDE 1
#define GRC_END_INSIDE 0
#define GRC_RANGE_ROW(name, low, high, ends, text) {low, high, GRC_END_##ends, text},
    GRC_RANGES(GRC_RANGE_ROW)};

/* The parameters, each its default where NaN or where there are no options. */
static grc_status read_parameters(grc_loss *l, const gradcore_loss_options *o, gradcore_error *error)
{
    const grc_loss_parameter *p = grc_loss_parameters(l->kind);
    for (int i = 0; p[i].name; i++) {
        const enum grc_range range = p[i].range;
        const double value = o ? o->parameters[i] : (double)NAN;
        l->args.p[i] = isnan(value) ? p[i].value : value;
        if (isnan(value))
            continue;
        const int within = ranges[range].open ? value > ranges[range].low && value < ranges[range].high
                                              : value >= ranges[range].low && value <= ranges[range].high;
        if (!within || (range == GRC_RANGE_flag && value != 0 && value != 1))
            return grc_fail(error, GRADCORE_INVALID, "%s: expected %s, got %g", p[i].name, ranges[range].text, value);
    }
    return GRADCORE_OK;
}

static grc_status check_options(const grc_loss *l, const char *name, const gradcore_loss_options *o,
                                gradcore_error *error)
{
    const char *vector = grc_loss_vector(l->kind);
    const uint32_t own = l->kind == GRC_LOSS_cross_entropy
                             ? GRADCORE_LOSS_BY_COUNT | GRADCORE_LOSS_IGNORES | GRADCORE_LOSS_PROBABILITIES
                             : 0;
    if (o->size != sizeof *o)
        return grc_fail(error, GRADCORE_INVALID, "loss options.size: expected %zu, got %u", sizeof *o, o->size);
    if (o->flags & ~own)
        return grc_fail(error, GRADCORE_INVALID, "loss options.flags: expected flags of %s, got 0x%x", name, o->flags);
    if ((o->flags & GRADCORE_LOSS_IGNORES) && (o->flags & GRADCORE_LOSS_PROBABILITIES))
        return grc_fail(error, GRADCORE_INVALID, "ignore_index: expected labels with it, got probabilities");
    if (!o->vector)
        return GRADCORE_OK;
    if (!*vector)
        return grc_fail(error, GRADCORE_INVALID, "loss options.vector: expected none for %s, got one", name);
    if (o->vector_size != (int64_t)l->outputs)
        return grc_fail(error, GRADCORE_SHAPE, "%s: expected %zu numbers, one for each output, got %lld", vector,
                        l->outputs, (long long)o->vector_size);
    for (size_t i = 0; i < l->outputs; i++)
        if (!(o->vector[i] >= 0 && o->vector[i] <= GRC_MOST_OPTION))
            return grc_fail(error, GRADCORE_INVALID, "%s[%zu]: expected a number from 0 to 1e30, got %g", vector, i,
                            o->vector[i]);
    return GRADCORE_OK;
}

/* Keeps the vector option twice: as doubles, for the sums of row weights, and as the kernels take it. */
static grc_status keep_vector(grc_loss *l, const double *vector, int dtype, gradcore_error *error)
{
    const size_t item = dtype == GRC_F32 ? sizeof(float) : sizeof(double);
    char *narrow = NULL;
    for (int pass = 0; pass < 2; pass++) {
        grc_arena arena = {l->block, 0, 0};
        l->vector = grc_take(&arena, l->outputs, sizeof(double));
        narrow = grc_take(&arena, l->outputs, item);
        l->block_size = arena.used;
        if (pass == 0 && !(l->block = grc_allocate(l->allocator, arena.used)))
            return grc_fail(error, GRADCORE_NO_MEMORY, "loss: expected %zu bytes for its options, got none",
                            arena.used);
    }
    for (size_t i = 0; i < l->outputs; i++) {
        const float rounded = (float)vector[i];
        l->vector[i] = dtype == GRC_F32 ? (double)rounded : vector[i];
        memcpy(narrow + i * item, dtype == GRC_F32 ? (const void *)&rounded : (const void *)&vector[i], item);
    }
    l->args.weight = narrow;
    return GRADCORE_OK;
}

grc_status grc_loss_unknown(const char *name, gradcore_error *error)
{
    char known[GRC_NAMES_LENGTH];
    return grc_fail(error, GRADCORE_INVALID, "loss: expected one of %s, got '%.40s'",
                    grc_names("loss", known, sizeof known), name ? name : "(null)");
}

grc_status grc_loss_open(grc_loss *l, const gradcore_allocator *allocator, const char *name,
                         const gradcore_loss_options *options, int dtype, size_t outputs, gradcore_error *error)
{
    const int kind = grc_find_loss(name);
    if (kind == GRC_NONE) {
        *l = (grc_loss){.kind = GRC_NONE};
        return grc_loss_unknown(name, error);
    }
    return grc_loss_open_kind(l, allocator, kind, options, dtype, outputs, error);
}

grc_status grc_loss_open_kind(grc_loss *l, const gradcore_allocator *allocator, int kind,
                              const gradcore_loss_options *options, int dtype, size_t outputs, gradcore_error *error)
{
    const char *name = grc_list("loss", kind), *target = grc_loss_target(kind);
    *l = (grc_loss){.kind = kind, .outputs = outputs, .allocator = allocator};
    if (!name)
        return grc_fail(error, GRADCORE_INVALID, "loss: expected 0 to %d, got %d", GRC_LOSS_COUNT - 1, kind);
    grc_status status = options ? check_options(l, name, options, error) : GRADCORE_OK;
    if (status == GRADCORE_OK)
        status = read_parameters(l, options, error);
    if (status != GRADCORE_OK)
        return status;
    l->args.probabilities = options && (options->flags & GRADCORE_LOSS_PROBABILITIES);
    l->args.ignores = options && (options->flags & GRADCORE_LOSS_IGNORES);
    l->args.ignore = options ? options->ignore_index : 0;
    l->by_count = options && (options->flags & GRADCORE_LOSS_BY_COUNT);
    l->labels = strcmp(target, "labels") == 0 && !l->args.probabilities;
    l->target_width = l->labels ? 1 : strcmp(target, "halves") == 0 ? outputs / 2 : outputs;
    if (strcmp(target, "labels") == 0 && outputs < 2)
        return grc_fail(error, GRADCORE_SHAPE, "loss: expected at least 2 outputs for class labels, got %zu", outputs);
    if (strcmp(target, "halves") == 0 && outputs % 2)
        return grc_fail(error, GRADCORE_SHAPE, "loss: expected an even number of outputs, means and variances, got %zu",
                        outputs);
    return options && options->vector ? keep_vector(l, options->vector, dtype, error) : GRADCORE_OK;
}

grc_status grc_loss_copy(grc_loss *l, const grc_loss *from, const gradcore_allocator *allocator, gradcore_error *error)
{
    *l = *from;
    l->allocator = allocator;
    if (!from->block)
        return GRADCORE_OK;
    if (!(l->block = grc_copy(allocator, from->block, from->block_size)))
        return grc_fail(error, GRADCORE_NO_MEMORY, "loss: expected %zu bytes for its options, got none",
                        from->block_size);
    l->vector = grc_moved(from->block, l->block, from->vector);
    l->args.weight = grc_moved(from->block, l->block, from->args.weight);
    return GRADCORE_OK;
}

void grc_loss_close(grc_loss *l)
{
    grc_release(l->allocator, l->block, l->block_size);
    l->block = NULL;
}

int grc_loss_is_plain(const grc_loss *l)
{
    return !(l->by_count || l->args.ignores || (l->kind == GRC_LOSS_cross_entropy && l->vector));
}

double grc_loss_mass(const grc_loss *l, const grc_kernels *kernels, const void *target)
{
    const int32_t label = l->labels ? *(const int32_t *)target : 0;
    if (l->args.ignores && label == l->args.ignore)
        return -1;
    if (l->by_count || !l->vector || l->kind != GRC_LOSS_cross_entropy)
        return 1;
    return l->labels ? l->vector[label] : kernels->dot(l->outputs, l->args.weight, target);
}

double grc_loss_weigh(const grc_loss *l, const grc_kernels *kernels, double weight, const void *target, double *mass)
{
    if (grc_loss_is_plain(l))
        return *mass = weight;
    const double own = grc_loss_mass(l, kernels, target);
    *mass = own < 0 ? 0 : l->by_count ? 1 : weight > 0 ? own * weight : 0; /* probabilities may be NaN then */
    return own < 0 ? 0 : weight;
}

static int takes_label(const grc_loss *l, int64_t label)
{
    return (label >= 0 && (size_t)label < l->outputs) || (l->args.ignores && label == l->args.ignore);
}

grc_status grc_loss_check_label(const grc_loss *l, int64_t label, int64_t row, gradcore_error *error)
{
    if (takes_label(l, label))
        return GRADCORE_OK;
    return grc_fail(error, GRADCORE_INVALID, "target[%lld]: expected a class from 0 to %lld, got %lld", (long long)row,
                    (long long)l->outputs - 1, (long long)label);
}

/* ---- what changes under our hands ---- */

void grc_note_intrusion(grc_intrusion *in, const char *array, int64_t at, int64_t got, int64_t most)
{
    int none = 0;
    if (!atomic_compare_exchange_strong(&in->found, &none, 1))
        return;
    in->array = array;
    in->at = at;
    in->got = got;
    in->most = most;
}

grc_status grc_report_intrusion(const grc_intrusion *in, gradcore_error *error)
{
    if (!atomic_load(&in->found))
        return GRADCORE_OK;
    return grc_fail(error, GRADCORE_INVALID,
                    "%s[%lld]: expected 0 to %lld, got %lld; it was in range when the call began: another thread has "
                    "written into the array since",
                    in->array, (long long)in->at, (long long)in->most, (long long)in->got);
}

int32_t grc_found_label(const grc_loss *l, int64_t label, int64_t row, grc_intrusion *in)
{
    if (takes_label(l, label))
        return (int32_t)label;
    grc_note_intrusion(in, "target", row, label, (int64_t)l->outputs - 1);
    return 0;
}

int32_t grc_take_label(const grc_loss *l, const void *labels, int64_t row, grc_intrusion *in)
{
    return grc_found_label(l, ((const volatile int32_t *)labels)[row], row, in);
}
