/* The tables as names and texts. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "registry.h"

#define GRC_NAME(name, ...) #name,
static const char *const activations[] = {GRC_ACTIVATIONS(GRC_NAME)};
static const char *const losses[] = {GRC_LOSSES(GRC_NAME, GRC_NO_PARAMETER, GRC_NO_PARAMETER)};
static const char *const optimizers[] = {GRC_OPTIMIZERS(GRC_NAME)};
#define GRC_KIND(name, kind) kind,
static const char *const layers[] = {GRC_OPS(GRC_KIND)};

static const struct {
    const char *alpha, *lowest, *initializer, *formula;
} activation_rows[] = {
#define GRC_ACTIVATION_TEXT(name, saves, alpha, lowest, init, formula) {#alpha, #lowest, #init, formula},
    GRC_ACTIVATIONS(GRC_ACTIVATION_TEXT)};
static const struct {
    const char *range, *dies, *ulp;
} activation_facts[GRC_ACT_COUNT] = {
#define GRC_FACTS_TEXT(name, range, dies, ulp) [GRC_ACT_##name] = {range, dies, #ulp},
    GRC_ACTIVATION_FACTS(GRC_FACTS_TEXT)};
static const struct {
    const char *target;
    int classifies;
    const char *vector, *parameters, *formula;
} loss_rows[] = {
#define GRC_TARGET_VALUES "values"
#define GRC_TARGET_LABELS "labels"
#define GRC_TARGET_HALVES "halves"
#define GRC_RIGHT_REGRESSES 0
#define GRC_RIGHT_CLASSIFIES 1
#define GRC_LOSS_TEXT(name, target, right, vector, parameters, formula) \
    {GRC_TARGET_##target, GRC_RIGHT_##right, vector, GRC_WITHOUT_FIRST("" parameters), formula},
#define GRC_WITHOUT_FIRST(text) &(text)[sizeof(text) > 1]
#define GRC_PARAMETER_TEXT(name, value, range) " " #name ":" #value ":" #range
#define GRC_ABSENT_TEXT(name, range) " " #name ":nan:" #range
    GRC_LOSSES(GRC_LOSS_TEXT, GRC_PARAMETER_TEXT, GRC_ABSENT_TEXT)};
/* The same parameters as numbers: nothing reads them out of the text. */
static const grc_loss_parameter loss_parameters[][GRC_LOSS_PARAMETERS + 1] = {
#define GRC_LOSS_NUMBERS(name, target, right, vector, parameters, formula) {parameters{NULL, 0, 0}},
#define GRC_PARAMETER_NUMBERS(name, value, range) {#name, value, GRC_RANGE_##range},
#define GRC_ABSENT_NUMBERS(name, range) {#name, (double)NAN, GRC_RANGE_##range},
    GRC_LOSSES(GRC_LOSS_NUMBERS, GRC_PARAMETER_NUMBERS, GRC_ABSENT_NUMBERS)};
static const struct {
    const char *kind, *hypers, *ranges, *formula;
} optimizer_rows[] = {
#define GRC_OPT_TEXT(name, kind, slot0, slot1, slot2, slot3, hypers, ranges, formula) {#kind, hypers, ranges, formula},
    GRC_OPTIMIZERS(GRC_OPT_TEXT)};

static int find(const char *const *names, int count, const char *name)
{
    for (int i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return GRC_NONE;
}
int grc_find_activation(const char *name)
{
    return find(activations, GRC_ACT_COUNT, name);
}
int grc_find_loss(const char *name)
{
    return find(losses, GRC_LOSS_COUNT, name);
}
int grc_find_optimizer(const char *name)
{
    return find(optimizers, GRC_OPT_COUNT, name);
}

#define GRC_SLOT_ALWAYS {0, GRC_START_ZERO, 0}
#define GRC_SLOT_MOMENTUM {GRADCORE_OPTIMIZER_MOMENTUM, GRC_START_ZERO, 0}
#define GRC_SLOT_CENTERED {GRADCORE_OPTIMIZER_CENTERED, GRC_START_ZERO, 0}
#define GRC_SLOT_AMSGRAD {GRADCORE_OPTIMIZER_AMSGRAD, GRC_START_ZERO, 0}
#define GRC_SLOT_INITIAL {0, GRC_START_INITIAL, 0}
#define GRC_SLOT_RATE {0, GRC_START_RATE, 1}
#define GRC_SLOT_FLOOR {0, GRC_START_ZERO, 1}
#define GRC_SLOT_WEIGHTS {0, GRC_START_WEIGHTS, 0}
#define GRC_SLOT_LIVE {0, GRC_START_LIVE, 0}
#define GRC_SLOT_ABSENT {1u << 31, GRC_START_ZERO, 0}
static const struct {
    unsigned need; /* option bits */
    enum grc_start start;
    int floor; /* above 0 after an update, whatever the gradient */
} slot_rows[][GRC_SLOTS] = {
#define GRC_OPT_SLOTS(name, kind, slot0, slot1, slot2, slot3, ...) \
    {GRC_SLOT_##slot0, GRC_SLOT_##slot1, GRC_SLOT_##slot2, GRC_SLOT_##slot3},
    GRC_OPTIMIZERS(GRC_OPT_SLOTS)};

unsigned grc_optimizer_slots(int optimizer, uint32_t flags)
{
    unsigned present = 0;
    for (int i = 0; i < GRC_SLOTS; i++)
        if ((slot_rows[optimizer][i].need & ~flags) == 0)
            present |= 1u << i;
    return present;
}

enum grc_start grc_slot_start(int optimizer, int slot)
{
    return slot_rows[optimizer][slot].start;
}

int grc_slot_has_floor(int optimizer, int slot)
{
    return slot_rows[optimizer][slot].floor;
}

int grc_find_slot(int optimizer, enum grc_start start)
{
    for (int i = 0; i < GRC_SLOTS; i++)
        if (slot_rows[optimizer][i].start == start)
            return i;
    return GRC_NONE;
}

double grc_slot_value(int optimizer, int slot, const double *own, double lr)
{
    const char *name = optimizer_rows[optimizer].hypers;
    if (slot_rows[optimizer][slot].start == GRC_START_RATE)
        return lr;
    if (slot_rows[optimizer][slot].start == GRC_START_INITIAL)
        for (int i = 0; *name; i++) {
            const size_t length = strcspn(name, " ");
            if (length == 7 && strncmp(name, "initial", 7) == 0)
                return own[i];
            name += length + (name[length] == ' ');
        }
    return 0;
}

enum grc_opt_kind grc_optimizer_kind(int optimizer)
{
#define GRC_OPT_KIND(name, kind, ...) GRC_OPT_##kind,
    static const enum grc_opt_kind kinds[] = {GRC_OPTIMIZERS(GRC_OPT_KIND)};
    return kinds[optimizer];
}

int grc_measures(int optimizer)
{
    const enum grc_opt_kind kind = grc_optimizer_kind(optimizer);
    return kind == GRC_OPT_TENSOR || kind == GRC_OPT_TOTAL;
}

static const struct {
    double alpha, lowest;
} alphas[GRC_ACT_COUNT] = {
#define GRC_ALPHAS(name, saves, alpha, lowest, init, formula) {alpha, lowest},
    GRC_ACTIVATIONS(GRC_ALPHAS)};

double grc_default_alpha(int activation)
{
    return alphas[activation].alpha;
}
double grc_lowest_alpha(int activation)
{
    return alphas[activation].lowest;
}

enum grc_saves grc_saves_of(int activation)
{
#define GRC_SAVES(name, saves, ...) GRC_SAVES_##saves,
    static const enum grc_saves saves[] = {GRC_ACTIVATIONS(GRC_SAVES)};
    return saves[activation];
}

grc_status grc_check_hypers(int optimizer, int dtype, int clipped, const double *h, gradcore_error *error)
{
    const double smallest = dtype == GRC_F32 ? FLT_MIN : DBL_MIN;
    const char *name = optimizer_rows[optimizer].hypers, *range = optimizer_rows[optimizer].ranges;
    if (isnan(h[GRADCORE_LR]))
        return grc_fail(error, GRADCORE_INVALID, "lr: expected a number, got NaN");
    if (!(h[GRADCORE_WEIGHT_DECAY] >= 0 && h[GRADCORE_WEIGHT_DECAY] <= 1e10))
        return grc_fail(error, GRADCORE_INVALID, "weight_decay: expected a number from 0 to 1e10, got %g",
                        h[GRADCORE_WEIGHT_DECAY]);
    if (clipped && !(h[GRADCORE_CLIP] >= 0))
        return grc_fail(error, GRADCORE_INVALID, "clip: expected a number of at least 0, got %g", h[GRADCORE_CLIP]);
    for (int i = GRADCORE_OWN; *name; i++) {
        const int length = (int)strcspn(name, " ");
        const double value = h[i];
        if ((*range == 'e' || *range == 'p') && !(value >= smallest && value <= 1e30))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number from %g to 1e30, got %g", length, name,
                            smallest, value);
        if (*range == 'n' && !(value >= 0 && value <= 1e30))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number from 0 to 1e30, got %g", length, name,
                            value);
        if (*range == 's' && !(value >= 0 && value < 1))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number in [0, 1), got %g", length, name, value);
        if (*range == 'u' && !(value >= 0 && value <= 1))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number in [0, 1], got %g", length, name, value);
        if (*range == 'o' && !(value > 0 && value < 1))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number in (0, 1), got %g", length, name, value);
        if (*range == 'c' && !(value >= 0 && value <= 1e9 && value == floor(value)))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a whole number from 0 to 1e9, got %g", length,
                            name, value);
        if (*range == 'r' && !(value >= -1e30 && value <= 1e30))
            return grc_fail(error, GRADCORE_INVALID, "%.*s: expected a number from -1e30 to 1e30, got %g", length, name,
                            value);
        name += length + (name[length] == ' ');
        range++;
    }
    return GRADCORE_OK;
}

int grc_loss_classifies(int loss)
{
    return loss_rows[loss].classifies;
}
const char *grc_loss_target(int loss)
{
    return loss >= 0 && loss < GRC_LOSS_COUNT ? loss_rows[loss].target : NULL;
}
const char *grc_loss_vector(int loss)
{
    return loss_rows[loss].vector;
}
const grc_loss_parameter *grc_loss_parameters(int loss)
{
    return loss_parameters[loss];
}

const char *grc_list(const char *family, int32_t index)
{
    const struct {
        const char *family;
        const char *const *names;
        int count;
    } families[] = {{"activation", activations, GRC_ACT_COUNT},
                    {"loss", losses, GRC_LOSS_COUNT},
                    {"optimizer", optimizers, GRC_OPT_COUNT},
                    {"layer", layers, (int)(sizeof layers / sizeof *layers)}};
    if (!family || index < 0)
        return NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(family, families[i].family) == 0)
            return index < families[i].count ? families[i].names[index] : NULL;
    return NULL;
}

const char *grc_describe(const char *family, const char *name, const char *property)
{
    int i;
    if (!family || !name || !property)
        return NULL;
    if (strcmp(family, "activation") == 0 && (i = grc_find_activation(name)) != GRC_NONE) {
        if (strcmp(property, "formula") == 0)
            return activation_rows[i].formula;
        if (strcmp(property, "initializer") == 0)
            return activation_rows[i].initializer;
        if (strcmp(property, "alpha") == 0)
            return activation_rows[i].alpha;
        if (strcmp(property, "lowest_alpha") == 0)
            return activation_rows[i].lowest;
        if (strcmp(property, "range") == 0)
            return activation_facts[i].range;
        if (strcmp(property, "derivative_dies") == 0)
            return activation_facts[i].dies;
        if (strcmp(property, "ulp") == 0)
            return activation_facts[i].ulp;
    } else if (strcmp(family, "loss") == 0 && (i = grc_find_loss(name)) != GRC_NONE) {
        if (strcmp(property, "formula") == 0)
            return loss_rows[i].formula;
        if (strcmp(property, "target") == 0)
            return loss_rows[i].target;
        if (strcmp(property, "vector") == 0)
            return loss_rows[i].vector;
        if (strcmp(property, "parameters") == 0)
            return loss_rows[i].parameters;
    } else if (strcmp(family, "optimizer") == 0 && (i = grc_find_optimizer(name)) != GRC_NONE) {
        if (strcmp(property, "hyperparameters") == 0)
            return optimizer_rows[i].hypers;
        if (strcmp(property, "ranges") == 0)
            return optimizer_rows[i].ranges;
        if (strcmp(property, "kind") == 0)
            return optimizer_rows[i].kind;
        if (strcmp(property, "formula") == 0)
            return optimizer_rows[i].formula;
    }
    return NULL;
}

const char *grc_names(const char *family, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; grc_list(family, i) && used < size; i++) {
        const int n = snprintf(text + used, size - used, "%s'%s'", i ? ", " : "", grc_list(family, i));
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}
