/* Room for larger batches: a trainer that got it on its way goes on as one that had it from the start, bit for bit. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { INPUTS = 5, OUTPUTS = 3, ROWS = 300, FEW = 4, MOST = 64 * 64, PARAMETERS = 16 };

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "dense", .units = 19, .activation = "gelu"),
    LAYER(.kind = "batch_norm"),
    LAYER(.kind = "dropout", .rate = 0.2, .flags = GRADCORE_LAYER_SCHEDULED),
    LAYER(.kind = "dense", .units = OUTPUTS),
};
static const gradcore_layer plain[] = {LAYER(.kind = "dense", .units = 19, .activation = "tanh"),
                                       LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer headed[] = {
    LAYER(.kind = "dense", .units = 9, .activation = "tanh"),
    LAYER(.kind = "heads"),
    LAYER(.kind = "head", .name = "left"),
    LAYER(.kind = "dense", .units = OUTPUTS),
    LAYER(.kind = "head", .name = "right"),
    LAYER(.kind = "dense", .units = OUTPUTS),
    LAYER(.kind = "end_heads", .flags = GRADCORE_LAYER_UNCERTAIN),
};

typedef struct problem {
    const char *name, *optimizer, *average, *rule;
    const gradcore_layer *layers;
    size_t count;
    int heads;
} problem;
#define OF(list) list, sizeof list / sizeof *list
static const problem problems[] = {
    {"plain", "adamw", NULL, NULL, OF(layers), 0},
    {"measuring", "lamb", NULL, NULL, OF(layers), 0},
    {"in total", "prodigy", NULL, NULL, OF(layers), 0},
    {"muon", "muon", NULL, NULL, OF(layers), 0},
    {"soap", "soap", NULL, NULL, OF(layers), 0},
    {"live", "schedule_free_adamw", NULL, NULL, OF(layers), 0},
    {"lookahead", "adam", "lookahead", NULL, OF(layers), 0},
    {"accumulating", "adam", "accumulate", NULL, OF(layers), 0},
    {"sam", "adam", "sam", NULL, OF(layers), 0},
    {"rows", "adam", NULL, "example_norm", OF(plain), 0},
    {"norms", "adam", NULL, "max_norm", OF(layers), 0},
    {"heads", "adam", "accumulate", NULL, OF(headed), 1},
};

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS], weight[ROWS];

static double next_random(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1;
}

static gradcore_network *network(const problem *p)
{
    const gradcore_network_options o = {.size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = 2};
    gradcore_network *n = NULL;
    CHECK(gradcore_network_create(&o, p->layers, p->count, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

static gradcore_trainer *trainer(const problem *p, gradcore_network *n, int64_t capacity)
{
    const gradcore_head_loss each[] = {{.size = sizeof *each, .loss = "mse", .weight = 1},
                                       {.size = sizeof *each, .loss = "huber", .weight = 2}};
    gradcore_trainer_options o = {
        .size = sizeof o, .loss = "mse", .optimizer = p->optimizer, .capacity = capacity, .seed = 7};
    gradcore_network_info info = {.size = sizeof info};
    gradcore_trainer *t = NULL;
    uint8_t mask[PARAMETERS] = {0};
    if (p->heads) {
        o.loss = NULL;
        o.heads = each;
        o.head_count = 2;
        o.head_flags = GRADCORE_GRADIENT_SURGERY;
    }
    CHECK(gradcore_trainer_create(n, &o, &t, NULL) == GRADCORE_OK);
    gradcore_network_get_info(n, &info);
    CHECK(info.parameters <= PARAMETERS);
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info about = {.size = sizeof about};
        gradcore_network_parameter(n, i, &about);
        mask[i] = about.trainable && about.ndim == 2;
    }
    if (strcmp(p->optimizer, "muon") == 0 || strcmp(p->optimizer, "soap") == 0)
        CHECK(gradcore_trainer_set_matrices(t, mask, 10000, NULL) == GRADCORE_OK);
    if (p->average)
        CHECK(gradcore_trainer_add_average(t, p->average, 2, 0, NULL) == GRADCORE_OK);
    const gradcore_rule rule = {.size = sizeof rule, .name = p->rule, .limit = 0.1, .order = 2, .mask = mask};
    if (p->rule)
        CHECK(gradcore_trainer_set_rules(t, &rule, 1, NULL) == GRADCORE_OK);
    return t;
}

/* Steps of one batch each, from row 0 on. */
static void train(const problem *p, gradcore_trainer *t, int64_t batch, int steps)
{
    const gradcore_head_data targets[] = {
        {.size = sizeof *targets, .target = y, .target_stride = OUTPUTS, .weight = weight},
        {.size = sizeof *targets, .target = y, .target_stride = OUTPUTS}};
    gradcore_data data = {.size = sizeof data,
                          .x = x,
                          .x_stride = INPUTS,
                          .rows = ROWS,
                          .target = y,
                          .target_stride = OUTPUTS,
                          .weight = weight};
    if (p->heads) {
        data.target = targets;
        data.weight = NULL;
    }
    double hypers[GRADCORE_HYPERS] = {0.01, 0.02, 0, 0.9, 0.95, 0.9, 1e-3, 1e-3, 1, 1e-8, 1e-8, 1e-8, 0.01};
    if (strcmp(p->optimizer, "adam") == 0 || strcmp(p->optimizer, "adamw") == 0)
        hypers[GRADCORE_OWN + 2] = 1e-8;
    if (strcmp(p->optimizer, "soap") == 0)
        hypers[GRADCORE_OWN + 4] = 2; /* every other update */
    for (int j = GRADCORE_AVERAGE; j < GRADCORE_HYPERS; j++)
        hypers[j] = 0.5;
    for (int i = 0; i < steps; i++) {
        gradcore_report report;
        gradcore_error error = {0};
        gradcore_run run = {.size = sizeof run,
                            .data = &data,
                            .end = batch,
                            .batch = batch,
                            .steps = 1,
                            .hypers = hypers,
                            .reports = &report};
        CHECK_NOTE(gradcore_trainer_run(t, &run, &error) == GRADCORE_OK, "%s: %s", p->name, error.message);
    }
}

static void compare(const problem *p, gradcore_network *n[2], gradcore_trainer *t[2])
{
    static double one[MOST], other[MOST];
    gradcore_network_info info = {.size = sizeof info};
    gradcore_network_get_info(n[0], &info);
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info about = {.size = sizeof about};
        gradcore_network_parameter(n[0], i, &about);
        const size_t bytes = (size_t)(about.rows * about.cols) * sizeof(double);
        CHECK(gradcore_network_read(n[0], i, one, NULL) == GRADCORE_OK);
        CHECK(gradcore_network_read(n[1], i, other, NULL) == GRADCORE_OK);
        CHECK_NOTE(memcmp(one, other, bytes) == 0, "%s: %s", p->name, about.name);
        for (int32_t s = 0; about.trainable && s < gradcore_trainer_state_slots(t[0]); s++) {
            CHECK(gradcore_trainer_state_read(t[0], s, i, one, NULL) == GRADCORE_OK);
            CHECK(gradcore_trainer_state_read(t[1], s, i, other, NULL) == GRADCORE_OK);
            CHECK_NOTE(memcmp(one, other, bytes) == 0, "%s: slot %d of %s", p->name, s, about.name);
        }
        if (about.trainable) {
            CHECK(gradcore_trainer_gradient(t[0], i, one, NULL) == GRADCORE_OK);
            CHECK(gradcore_trainer_gradient(t[1], i, other, NULL) == GRADCORE_OK);
            CHECK_NOTE(memcmp(one, other, bytes) == 0, "%s: gradient of %s", p->name, about.name);
        }
    }
}

static void test_reserved_and_fresh_alike(const problem *p)
{
    gradcore_network *n[2];
    gradcore_trainer *t[2];
    const double rates[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
    for (int i = 0; i < 2; i++) {
        n[i] = network(p);
        t[i] = trainer(p, n[i], i ? ROWS : FEW);
        if (p->layers == layers)
            CHECK(gradcore_trainer_set_rates(t[i], 0, 8, 1, rates, NULL) == GRADCORE_OK);
        train(p, t[i], FEW, 3); /* an odd number: an accumulation waits */
    }
    CHECK(gradcore_trainer_reserve(t[0], ROWS, NULL) == GRADCORE_OK);
    compare(p, n, t); /* the last gradient, too */
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 2);
    compare(p, n, t);
    CHECK(gradcore_trainer_reserve(t[0], FEW, NULL) == GRADCORE_OK); /* there is room */
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 1);
    compare(p, n, t);
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_destroy(t[i]);
        gradcore_network_destroy(n[i]);
    }
}

static void test_refusals(void)
{
    gradcore_network *n = network(problems);
    gradcore_trainer *t = trainer(problems, n, FEW);
    gradcore_error error;
    CHECK(gradcore_trainer_reserve(NULL, 1, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_reserve(t, 0, &error) == GRADCORE_SHAPE && strstr(error.message, "rows: expected"));
    CHECK(gradcore_trainer_reserve(t, (int64_t)INT32_MAX + 1, &error) == GRADCORE_SHAPE);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Without memory the trainer is as it was, whichever allocation fails. */
static void test_no_memory(const problem *p)
{
    counter c = {0};
    const gradcore_allocator allocator = {&counter_allocate, &counter_release, &c};
    const gradcore_network_options o = {
        .size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = 1, .allocator = &allocator};
    gradcore_network *n[2] = {NULL, network(p)};
    CHECK(gradcore_network_create(&o, p->layers, p->count, &n[0], NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n[0], 3, NULL) == GRADCORE_OK);
    gradcore_trainer *t[2] = {trainer(p, n[0], FEW), trainer(p, n[1], ROWS)};
    for (int i = 0; i < 2; i++)
        train(p, t[i], FEW, 3);
    int failures = 0;
    for (gradcore_status status = GRADCORE_NO_MEMORY; status != GRADCORE_OK; failures++) {
        c.calls = 0;
        c.fail_at = failures + 1;
        status = gradcore_trainer_reserve(t[0], ROWS, NULL);
        CHECK(status == GRADCORE_OK || status == GRADCORE_NO_MEMORY);
        c.fail_at = 0;
        if (status != GRADCORE_OK)
            for (int i = 0; i < 2; i++)
                train(p, t[i], FEW, 1);
    }
    CHECK(failures > 2);
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 2);
    compare(p, n, t);
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_destroy(t[i]);
        gradcore_network_destroy(n[i]);
    }
    CHECK(c.live == 0 && c.live_bytes == 0);
}

int main(void)
{
    for (int i = 0; i < ROWS * INPUTS; i++)
        x[i] = next_random();
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        y[i] = next_random();
    for (int i = 0; i < ROWS; i++)
        weight[i] = 1 + i % 3;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        test_reserved_and_fresh_alike(&problems[i]);
        test_no_memory(&problems[i]);
    }
    test_refusals();
    return check_report();
}
