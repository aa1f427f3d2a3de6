/* Rules on gradients and weights through the public header: one hash for every instruction set and thread
 * count, failed allocations, a caller's own factor, misuse that must be refused and change nothing. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 64, INPUTS = 150, HIDDEN = 201, OUTPUTS = 3, PARAMETERS = 4 };

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS];

static void make_data(void)
{
    CHECK(gradcore_fill("uniform", 1, 0, ROWS, INPUTS, -1, 1, x, NULL) == GRADCORE_OK);
    CHECK(gradcore_fill("uniform", 2, 0, ROWS, OUTPUTS, -1, 1, y, NULL) == GRADCORE_OK);
}

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "dense", .units = HIDDEN, .activation = "tanh"),
    LAYER(.kind = "dense", .units = OUTPUTS),
};

static gradcore_trainer *make(const char *isa, int threads, const gradcore_allocator *allocator, gradcore_network **net)
{
    const gradcore_network_options options = {.size = sizeof options,
                                              .inputs = INPUTS,
                                              .dtype = GRADCORE_FLOAT64,
                                              .threads = threads,
                                              .isa = isa,
                                              .allocator = allocator};
    const gradcore_trainer_options more = {
        .size = sizeof more, .loss = "mse", .optimizer = "sgd", .capacity = ROWS, .seed = 5};
    gradcore_trainer *t = NULL;
    CHECK(gradcore_network_create(&options, layers, 2, net, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(*net, 3, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_create(*net, &more, &t, NULL) == GRADCORE_OK);
    return t;
}

static gradcore_status train(gradcore_trainer *t, double limit, double (*scale)(void *, double), void *context,
                             gradcore_report *reports)
{
    double hypers[4][GRADCORE_HYPERS] = {{0}};
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    for (int i = 0; i < 4; i++) {
        hypers[i][GRADCORE_LR] = 0.1;
        hypers[i][GRADCORE_CLIP] = limit;
    }
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS / 4,
                        .steps = 4,
                        .hypers = hypers[0],
                        .reports = reports,
                        .scale = scale,
                        .scale_context = context};
    return gradcore_trainer_run(t, &run, NULL);
}

static uint64_t hash(gradcore_network *n)
{
    static double values[INPUTS * HIDDEN];
    uint64_t sum = 14695981039346656037u;
    for (int64_t i = 0; i < PARAMETERS; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(n, i, &p);
        CHECK(gradcore_network_read(n, i, values, NULL) == GRADCORE_OK);
        for (size_t b = 0; b < (size_t)(p.rows * p.cols) * sizeof(double); b++)
            sum = (sum ^ ((const unsigned char *)values)[b]) * 1099511628211u;
    }
    return sum;
}

static void destroy(gradcore_network *n, gradcore_trainer *t)
{
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

#define RULE(...) {.size = sizeof(gradcore_rule), .order = 2, __VA_ARGS__}
static const uint8_t weights_only[PARAMETERS] = {1, 0, 1, 0};
static const gradcore_rule rules[] = {
    RULE(.name = "centralize"),
    RULE(.name = "noise", .limit = 0.01),
    RULE(.name = "tensor_norm", .scheduled = 1, .order = 1),
    RULE(.name = "adaptive", .limit = 0.01, .other = 1e-3),
    RULE(.name = "global_norm", .limit = 0.05, .order = INFINITY),
    RULE(.name = "example_norm", .limit = 0.1),
    RULE(.name = "max_norm", .limit = 0.8, .mask = weights_only),
    RULE(.name = "box", .limit = 0.2, .other = -0.1, .mask = weights_only),
};
enum { RULES = sizeof rules / sizeof *rules };

static void one_hash_for_all(void)
{
    uint64_t first = 0;
    gradcore_report reports[4];
    for (int32_t i = 0; gradcore_list("isa", i); i++)
        for (int threads = 1; threads <= 3; threads++) {
            gradcore_network *n = NULL;
            gradcore_trainer *t = make(gradcore_list("isa", i), threads, NULL, &n);
            CHECK(gradcore_trainer_set_rules(t, rules, RULES, NULL) == GRADCORE_OK);
            CHECK(train(t, 2.0, NULL, NULL, reports) == GRADCORE_OK);
            CHECK(train(t, 0.2, NULL, NULL, reports) == GRADCORE_OK);
            CHECK(reports[3].scale < 1 && reports[3].applied);
            const uint64_t sum = hash(n);
            first = first ? first : sum;
            CHECK_NOTE(sum == first, "%s, %d threads", gradcore_list("isa", i), threads);
            double ledger[PARAMETERS][3];
            CHECK(gradcore_trainer_ledger(t, ledger[0], NULL) == GRADCORE_OK);
            for (int p = 0; p < PARAMETERS; p++)
                CHECK(ledger[p][0] > 0 && ledger[p][1] <= ledger[p][0] && ledger[p][2] <= ledger[p][0]);
            destroy(n, t);
        }
}

static void failed_allocations_leave_the_rules(void)
{
    counter c = {0};
    const gradcore_allocator allocator = {counter_allocate, counter_release, &c};
    gradcore_network *n = NULL, *twin = NULL;
    gradcore_trainer *t = make(NULL, 1, &allocator, &n), *other = make(NULL, 1, NULL, &twin);
    gradcore_report reports[4];
    CHECK(gradcore_trainer_set_rules(t, rules, RULES, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_set_rules(other, rules, RULES, NULL) == GRADCORE_OK);
    c.fail_at = c.calls + 1;
    CHECK(gradcore_trainer_set_rules(t, rules, 1, NULL) == GRADCORE_NO_MEMORY);
    CHECK(train(t, 0.5, NULL, NULL, reports) == GRADCORE_OK);
    CHECK(train(other, 0.5, NULL, NULL, reports) == GRADCORE_OK);
    CHECK(hash(n) == hash(twin));
    CHECK(gradcore_trainer_set_rules(t, NULL, 0, NULL) == GRADCORE_OK);
    CHECK(train(t, 0.5, NULL, NULL, reports) == GRADCORE_OK && reports[0].scale == 1);
    destroy(n, t);
    destroy(twin, other);
    CHECK(c.live == 0 && c.live_bytes == 0);
}

static double half_then_nan(void *context, double norm)
{
    int *calls = context;
    CHECK(norm > 0 && isfinite(norm));
    return ++*calls < 3 ? 0.5 : NAN;
}

static void a_callers_factor_counts_and_can_end_the_run(void)
{
    gradcore_network *n = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        gradcore_trainer *t = make(NULL, threads, NULL, &n);
        gradcore_report reports[4];
        uint64_t step = 0, updates = 0;
        int calls = 0;
        CHECK(train(t, 0, &half_then_nan, &calls, reports) == GRADCORE_STATE);
        gradcore_trainer_get_progress(t, &step, &updates);
        CHECK(calls == 3 && step == 2 && updates == 2 && reports[1].scale == 0.5);
        destroy(n, t);
    }
}

/* A gradient whose norm is bounded moves a parameter by lr times the bound, and no further. */
static void rules_bound_what_a_step_moves(void)
{
    static double before[INPUTS * HIDDEN], after[INPUTS * HIDDEN];
    const gradcore_rule rule[] = {RULE(.name = "tensor_norm", .limit = 1e-3), RULE(.name = "max_norm", .limit = 1e3)};
    gradcore_network *n = NULL;
    gradcore_trainer *t = make(NULL, 2, NULL, &n);
    gradcore_report reports[4];
    double hypers[GRADCORE_HYPERS] = {0}, ledger[PARAMETERS][3];
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = reports};
    hypers[GRADCORE_LR] = 0.5;
    CHECK(gradcore_trainer_set_rules(t, rule, 2, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_read(n, 0, before, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_run(t, &run, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_read(n, 0, after, NULL) == GRADCORE_OK);
    double moved = 0;
    for (int i = 0; i < INPUTS * HIDDEN; i++)
        moved += (after[i] - before[i]) * (after[i] - before[i]);
    CHECK_NOTE(fabs(sqrt(moved) - 0.5e-3) < 1e-12, "moved by %g", sqrt(moved));
    CHECK(gradcore_trainer_ledger(t, ledger[0], NULL) == GRADCORE_OK);
    CHECK(ledger[0][0] == 1 && ledger[0][1] == 1 && ledger[0][2] > 0 && ledger[0][2] < 1);
    destroy(n, t);
}

static void misuse_is_refused(void)
{
    gradcore_network *n = NULL;
    gradcore_trainer *t = make(NULL, 1, NULL, &n);
    const gradcore_rule bad[] = {
        RULE(.name = "no such rule"),
        RULE(.name = NULL),
        RULE(.name = "value", .limit = -1),
        RULE(.name = "value", .limit = NAN),
        RULE(.name = "box", .other = 1),
        RULE(.name = "adaptive", .other = NAN),
        RULE(.name = "mask"),
        {.name = "value", .order = 2},
        {.size = sizeof(gradcore_rule), .name = "tensor_norm", .order = 3},
        {.size = sizeof(gradcore_rule), .name = "tensor_norm", .order = -INFINITY},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_NOTE(gradcore_trainer_set_rules(t, &bad[i], 1, NULL) == GRADCORE_INVALID, "rule %zu", i);
    const gradcore_rule twice[] = {rules[2], rules[2]}, rows[] = {rules[5], rules[5]};
    CHECK(gradcore_trainer_set_rules(t, twice, 2, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rules(t, rows, 2, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rules(t, rules, 13, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rules(t, NULL, 1, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rules(NULL, rules, 1, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_ledger(t, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_ledger(NULL, x, NULL) == GRADCORE_INVALID);
    destroy(n, t);
}

int main(void)
{
    make_data();
    one_hash_for_all();
    failed_allocations_leave_the_rules();
    a_callers_factor_counts_and_can_end_the_run();
    rules_bound_what_a_step_moves();
    misuse_is_refused();
    return check_report();
}
