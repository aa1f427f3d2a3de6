/* Weights from outside, within what a trainer's rules allow: gradcore_trainer_write and what it refuses. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { INPUTS = 5, HIDDEN = 19, OUTPUTS = 2, ROWS = 6, MOST = INPUTS * HIDDEN };

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer plain[] = {LAYER(.kind = "dense", .units = HIDDEN, .activation = "tanh"),
                                       LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer normed[] = {
    LAYER(.kind = "dense", .units = HIDDEN, .flags = GRADCORE_LAYER_RESCALED | GRADCORE_LAYER_NO_BIAS),
    LAYER(.kind = "weight_norm", .flags = GRADCORE_LAYER_CONTINUES | GRADCORE_LAYER_NO_BIAS),
    LAYER(.kind = "dense", .units = OUTPUTS),
};
enum { WEIGHT, SECOND, PARAMETERS = 4 }; /* of both: the first weight, its bias or magnitude, weight, bias */
static const int64_t sizes[PARAMETERS] = {MOST, HIDDEN, HIDDEN * OUTPUTS, OUTPUTS};

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS];
static double values[PARAMETERS][MOST]; /* what is written */

static double next_random(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1;
}

static void fill(double *out, int64_t count, double least)
{
    for (int64_t i = 0; i < count; i++) {
        out[i] = next_random();
        out[i] += out[i] < 0 ? -least : least;
    }
}

typedef struct pair {
    gradcore_network *n;
    gradcore_trainer *t;
} pair;

static gradcore_network *network(const gradcore_layer *layers, size_t count, const char *isa)
{
    const gradcore_network_options o = {
        .size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .isa = isa, .threads = 1};
    gradcore_network *n = NULL;
    CHECK(gradcore_network_create(&o, layers, count, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

static pair make(const gradcore_layer *layers, size_t count, const char *isa)
{
    const gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = "sgd", .capacity = ROWS};
    pair p = {network(layers, count, isa), NULL};
    CHECK(gradcore_trainer_create(p.n, &o, &p.t, NULL) == GRADCORE_OK);
    return p;
}

static void destroy(pair p)
{
    gradcore_trainer_destroy(p.t);
    gradcore_network_destroy(p.n);
}

static void step(pair p, double lr)
{
    double hypers[GRADCORE_HYPERS] = {0};
    gradcore_report report;
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = &report};
    hypers[GRADCORE_LR] = lr;
    CHECK(gradcore_trainer_run(p.t, &run, NULL) == GRADCORE_OK && report.applied);
}

static void read(gradcore_network *n, int64_t index, double *out)
{
    CHECK(gradcore_network_read(n, index, out, NULL) == GRADCORE_OK);
}

static void write_all(pair p, gradcore_network *n)
{
    const void *src[PARAMETERS];
    gradcore_error error = {0};
    for (int i = 0; i < PARAMETERS; i++)
        src[i] = values[i];
    CHECK_NOTE(gradcore_trainer_write(p.t, n, src, &error) == GRADCORE_OK, "%s", error.message);
}

#define RULE(...) {.size = sizeof(gradcore_rule), .order = 2, __VA_ARGS__}
static void rules(pair p, const gradcore_rule *array, size_t count)
{
    gradcore_error error = {0};
    CHECK_NOTE(gradcore_trainer_set_rules(p.t, array, count, &error) == GRADCORE_OK, "%s", error.message);
}

static double keep[PARAMETERS][MOST];
static const void *const kept[PARAMETERS] = {keep[0], NULL, keep[2], NULL};
static const gradcore_rule a_mask = RULE(.name = "mask", .keep = kept);

static void make_masks(void)
{
    for (int i = 0; i < PARAMETERS; i++)
        for (int64_t e = 0; e < sizes[i]; e++)
            keep[i][e] = e % 3 == 0 ? 0 : 1; /* the very first is masked, a whole column is not */
}

/* Masks hold at once, the box from the first update on; what has neither is what was written, bit for bit. */
static void promises_hold(const char *isa)
{
    const gradcore_rule both[] = {RULE(.name = "box", .limit = 0.25, .other = -0.5), a_mask};
    pair p = make(plain, 2, isa);
    double got[MOST];
    rules(p, both, 2);
    for (int updated = 0; updated < 2; updated++) {
        write_all(p, p.n);
        for (int i = 0; i < PARAMETERS; i++) {
            read(p.n, i, got);
            for (int64_t e = 0; e < sizes[i]; e++) {
                const double v = values[i][e], within = v < -0.5 ? -0.5 : v > 0.25 ? 0.25 : v;
                const double want = kept[i] && keep[i][e] == 0 ? 0 : updated ? within : v;
                CHECK_NOTE(got[e] == want, "parameter %d, element %d: %g is not %g", i, (int)e, got[e], want);
            }
        }
        step(p, 0.01);
    }
    destroy(p);
}

/* What is not written stays, and so do the promises. */
static void some_may_be_null(void)
{
    pair p = make(plain, 2, NULL);
    double before[MOST], got[MOST];
    const void *src[PARAMETERS] = {NULL, values[1], NULL, NULL};
    read(p.n, WEIGHT, before);
    rules(p, &a_mask, 1);
    CHECK(gradcore_trainer_write(p.t, p.n, src, NULL) == GRADCORE_OK);
    read(p.n, SECOND, got);
    CHECK(memcmp(got, values[1], HIDDEN * sizeof *got) == 0);
    read(p.n, WEIGHT, got);
    for (int e = 0; e < MOST; e++)
        CHECK(got[e] == (keep[0][e] == 0 ? 0 : before[e]));
    const void *none[PARAMETERS] = {NULL};
    CHECK(gradcore_trainer_write(p.t, p.n, none, NULL) == GRADCORE_OK);
    destroy(p);
}

/* Frozen parameters are masked, and bound by nothing else. */
static void frozen_ones_are_masked_alone(void)
{
    const gradcore_rule both[] = {RULE(.name = "box", .limit = 0.25, .other = -0.5), a_mask};
    pair p = make(plain, 2, NULL);
    double got[MOST];
    CHECK(gradcore_trainer_set_group(p.t, WEIGHT, 1, NAN, 1, NULL) == GRADCORE_OK);
    rules(p, both, 2);
    step(p, 0.01);
    write_all(p, p.n);
    read(p.n, WEIGHT, got);
    for (int e = 0; e < MOST; e++)
        CHECK(got[e] == (keep[0][e] == 0 ? 0 : values[0][e]));
    read(p.n, 2, got);
    for (int e = 0; e < HIDDEN * OUTPUTS; e++)
        CHECK(got[e] <= 0.25 && got[e] >= -0.5);
    destroy(p);
}

/* Another network takes them within this trainer's rules, and the trainer's own stays as it is. */
static void another_network(void)
{
    pair p = make(plain, 2, NULL);
    gradcore_network *other = network(plain, 2, NULL), *unlike = network(normed, 3, NULL);
    double before[MOST], got[MOST];
    const void *src[PARAMETERS] = {values[0], values[1], values[2], values[3]};
    read(p.n, WEIGHT, before);
    rules(p, &a_mask, 1);
    write_all(p, other);
    read(other, WEIGHT, got);
    for (int e = 0; e < MOST; e++)
        CHECK(got[e] == (keep[0][e] == 0 ? 0 : values[0][e]));
    read(p.n, WEIGHT, got);
    CHECK(memcmp(got, before, sizeof got) == 0);
    read(unlike, WEIGHT, before);
    gradcore_error error = {0};
    CHECK(gradcore_trainer_write(p.t, unlike, src, &error) == GRADCORE_INVALID);
    CHECK(strncmp(error.message, "network: expected", 17) == 0);
    read(unlike, WEIGHT, got);
    CHECK(memcmp(got, before, sizeof got) == 0);
    gradcore_network_destroy(other);
    gradcore_network_destroy(unlike);
    destroy(p);
}

static void misuse_changes_nothing(void)
{
    pair p = make(plain, 2, NULL);
    double before[MOST], got[MOST], wrong[OUTPUTS] = {1, INFINITY};
    const void *src[PARAMETERS] = {values[0], values[1], values[2], wrong};
    read(p.n, WEIGHT, before);
    rules(p, &a_mask, 1);
    CHECK(gradcore_trainer_write(NULL, p.n, src, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_write(p.t, NULL, src, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_write(p.t, p.n, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_write(p.t, p.n, src, NULL) == GRADCORE_INVALID);
    const void *const spoiled[PARAMETERS] = {keep[0], NULL, NULL, wrong};
    const gradcore_rule with = RULE(.name = "mask", .keep = spoiled);
    CHECK(gradcore_trainer_set_rules(p.t, &with, 1, NULL) == GRADCORE_INVALID);
    read(p.n, WEIGHT, got);
    CHECK(memcmp(got, before, sizeof got) == 0);
    destroy(p);
}

/* What a trainer keeps of the weights begins at those that were written: here Lookahead's slow ones. */
static void what_is_kept_begins_there(void)
{
    pair p = make(plain, 2, NULL);
    double got[MOST];
    CHECK(gradcore_trainer_add_average(p.t, "lookahead", 0, 0, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_add_average(p.t, "lookahead", 2, -1, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_add_average(p.t, "lookahead", 4, 0, NULL) == GRADCORE_OK);
    step(p, 0.1);
    CHECK(gradcore_trainer_add_average(p.t, "ema", 1, 0, NULL) == GRADCORE_STATE);
    write_all(p, p.n);
    const int32_t slot = gradcore_trainer_state_slots(p.t) - 1;
    for (int i = 0; i < PARAMETERS; i++) {
        CHECK(gradcore_trainer_state_read(p.t, slot, i, got, NULL) == GRADCORE_OK);
        CHECK(memcmp(got, values[i], (size_t)sizes[i] * sizeof *got) == 0);
    }
    destroy(p);
}

/* ---- with weight_norm, where the weight that multiplies x is weight * magnitude / |weight|, column by column ---- */

static void multiply(const double *w, const double *magnitude, double *out)
{
    for (int c = 0; c < HIDDEN; c++) {
        double total = 0;
        for (int r = 0; r < INPUTS; r++)
            total += w[r * HIDDEN + c] * w[r * HIDDEN + c];
        for (int r = 0; r < INPUTS; r++)
            out[r * HIDDEN + c] = total > 0 ? w[r * HIDDEN + c] * magnitude[c] / sqrt(total) : 0;
    }
}

static void effective(gradcore_network *n, double *out)
{
    double w[MOST], magnitude[HIDDEN];
    read(n, WEIGHT, w);
    read(n, SECOND, magnitude);
    multiply(w, magnitude, out);
}

static double column_norm(const double *w, int c)
{
    double total = 0;
    for (int r = 0; r < INPUTS; r++)
        total += w[r * HIDDEN + c] * w[r * HIDDEN + c];
    return sqrt(total);
}

static int near(double got, double want)
{
    return fabs(got - want) <= 1e-12 * (1 + fabs(want));
}

static void masks_of_what_multiplies(const char *isa)
{
    pair p = make(normed, 3, isa);
    double want[MOST], got[MOST];
    multiply(values[WEIGHT], values[SECOND], want);
    rules(p, &a_mask, 1);
    for (int updated = 0; updated < 2; updated++) {
        write_all(p, p.n);
        effective(p.n, got);
        for (int e = 0; e < MOST; e++)
            CHECK_NOTE(near(got[e], keep[0][e] == 0 ? 0 : want[e]), "element %d: %g, %g", e, got[e], want[e]);
        step(p, 0.01);
        effective(p.n, got);
        for (int e = 0; e < MOST; e++)
            CHECK(keep[0][e] != 0 || got[e] == 0);
    }
    destroy(p);
}

static void norms_of_what_multiplies(const char *name, double limit, const char *isa)
{
    static const uint8_t first[PARAMETERS] = {1};
    const gradcore_rule rule = RULE(.name = name, .limit = limit, .mask = first);
    pair p = make(normed, 3, isa);
    double want[MOST], got[MOST];
    multiply(values[WEIGHT], values[SECOND], want);
    rules(p, &rule, 1);
    step(p, 0.01);
    write_all(p, p.n);
    effective(p.n, got);
    int bound = 0;
    for (int c = 0; c < HIDDEN; c++) {
        const double norm = column_norm(want, c);
        const double factor = strcmp(name, "unit_norm") == 0 || norm > limit ? limit / norm : 1;
        bound += factor != 1;
        for (int e = c; e < MOST; e += HIDDEN)
            CHECK_NOTE(near(got[e], want[e] * factor), "%s, column %d: %g, %g", name, c, got[e], want[e] * factor);
    }
    CHECK(bound > 0 && (bound == HIDDEN || strcmp(name, "max_norm") == 0));
    destroy(p);
}

static void elements_of_what_multiplies(const char *isa)
{
    static const uint8_t first[PARAMETERS] = {1};
    const gradcore_rule rule = RULE(.name = "box", .limit = 0.2, .other = -0.1, .mask = first);
    pair p = make(normed, 3, isa);
    double want[MOST], got[MOST];
    multiply(values[WEIGHT], values[SECOND], want);
    rules(p, &rule, 1);
    step(p, 0.01);
    write_all(p, p.n);
    effective(p.n, got);
    for (int e = 0; e < MOST; e++) {
        const double within = want[e] < -0.1 ? -0.1 : want[e] > 0.2 ? 0.2 : want[e];
        CHECK_NOTE(near(got[e], within), "element %d: %g, %g", e, got[e], within);
    }
    double stored[PARAMETERS][MOST]; /* what fits already stays as it is, written as often as you like */
    const void *src[PARAMETERS] = {stored[0], stored[1], stored[2], stored[3]};
    for (int i = 0; i < PARAMETERS; i++)
        read(p.n, i, stored[i]);
    for (int again = 0; again < 3; again++)
        CHECK(gradcore_trainer_write(p.t, p.n, src, NULL) == GRADCORE_OK);
    for (int i = 0; i < PARAMETERS; i++) {
        read(p.n, i, got);
        CHECK_NOTE(memcmp(got, stored[i], (size_t)sizes[i] * sizeof *got) == 0, "parameter %d", i);
    }
    destroy(p);
}

/* An element at an end of the box, or a rounding past it, is within: its column stays as it was split, bit for bit. */
static void ends_are_within(const char *isa)
{
    static const uint8_t first[PARAMETERS] = {1};
    const gradcore_rule rule = RULE(.name = "box", .limit = 0.2, .other = -0.1, .mask = first);
    pair p = make(normed, 3, isa);
    double w[MOST] = {0}, magnitude[HIDDEN], got[MOST];
    const void *src[PARAMETERS] = {w, magnitude};
    for (int c = 0; c < HIDDEN; c++) {
        w[c] = c % 2 ? -1.0 - c : 1.5 + c;
        magnitude[c] = c % 2 ? 0.1 : 0.2;
    }
    rules(p, &rule, 1);
    step(p, 0.01);
    CHECK(gradcore_trainer_write(p.t, p.n, src, NULL) == GRADCORE_OK);
    read(p.n, WEIGHT, got);
    for (int e = 0; e < MOST; e++)
        CHECK_NOTE(got[e] == w[e], "element %d: %.17g, %.17g", e, got[e], w[e]);
    read(p.n, SECOND, got);
    CHECK(memcmp(got, magnitude, sizeof magnitude) == 0);
    destroy(p);
}

int main(void)
{
    fill(x, ROWS * INPUTS, 0);
    fill(y, ROWS * OUTPUTS, 0);
    for (int i = 0; i < PARAMETERS; i++)
        fill(values[i], sizes[i], 0.01);
    make_masks();
    some_may_be_null();
    frozen_ones_are_masked_alone();
    another_network();
    misuse_changes_nothing();
    what_is_kept_begins_there();
    for (int32_t i = 0; gradcore_list("isa", i); i++) {
        promises_hold(gradcore_list("isa", i));
        masks_of_what_multiplies(gradcore_list("isa", i));
        norms_of_what_multiplies("max_norm", 0.5, gradcore_list("isa", i));
        norms_of_what_multiplies("unit_norm", 1.5, gradcore_list("isa", i));
        elements_of_what_multiplies(gradcore_list("isa", i));
        ends_are_within(gradcore_list("isa", i));
    }
    return check_report();
}
