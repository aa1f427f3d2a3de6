/* Muon, SOAP and SAM through the C interface: the same bits on any number of threads; every allocation failing in
 * turn; misuse that must be refused; a checkpoint's way through the factors. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 150, INPUTS = 7, OUTPUTS = 3, STEPS = 5 };

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "dense", .units = 33, .activation = "tanh"),
    LAYER(.kind = "batch_norm", .eps = 1e-5, .momentum = 0.1),
    LAYER(.kind = "dense", .units = 70, .activation = "tanh"),
    LAYER(.kind = "dense", .units = OUTPUTS),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS];

static void make_data(void)
{
    uint64_t state = 1;
    for (int i = 0; i < ROWS * (INPUTS + OUTPUTS); i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double v = (double)(int32_t)(state >> 32) / 2147483648.0;
        *(i < ROWS * INPUTS ? &x[i] : &y[i - ROWS * INPUTS]) = v;
    }
}

/* The hyperparameters of a step. */
static void fill(const char *optimizer, double *h)
{
    const double muon[] = {0.02, 0.01, 0, 0.95, 3.4445, -4.775, 2.0315, 1e-7, 5, 0, 0.9, 0.999, 0.01};
    const double soap[] = {0.02, 0.01, 0, 0.95, 0.95, 1e-8, 0.95, 2};
    memset(h, 0, GRADCORE_HYPERS * sizeof *h);
    if (strcmp(optimizer, "muon") == 0)
        memcpy(h, muon, sizeof muon);
    else
        memcpy(h, soap, sizeof soap);
    h[GRADCORE_AVERAGE] = 0.05;
}

static gradcore_status train(gradcore_trainer *t, const char *optimizer, int steps)
{
    static double hypers[STEPS][GRADCORE_HYPERS];
    gradcore_report reports[STEPS];
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    for (int i = 0; i < steps; i++)
        fill(optimizer, hypers[i]);
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS / STEPS,
                        .steps = steps,
                        .hypers = hypers[0],
                        .reports = reports};
    return gradcore_trainer_run(t, &run, NULL);
}

/* A network and a trainer that takes all its matrices as wholes; either may be NULL afterwards. */
static gradcore_status make(const char *optimizer, int threads, const gradcore_allocator *allocator,
                            gradcore_network **n, gradcore_trainer **t)
{
    const gradcore_network_options network = {.size = sizeof network,
                                              .inputs = INPUTS,
                                              .dtype = GRADCORE_FLOAT64,
                                              .threads = threads,
                                              .allocator = allocator};
    const gradcore_trainer_options options = {
        .size = sizeof options, .loss = "mse", .optimizer = optimizer, .capacity = ROWS, .seed = 5};
    gradcore_network_info info = {.size = sizeof info};
    uint8_t mask[64] = {0};
    gradcore_status status = gradcore_network_create(&network, layers, LAYERS, n, NULL);
    if (status == GRADCORE_OK)
        status = gradcore_network_initialize(*n, 1, NULL);
    if (status == GRADCORE_OK)
        status = gradcore_trainer_create(*n, &options, t, NULL);
    if (status != GRADCORE_OK)
        return status;
    gradcore_network_get_info(*n, &info);
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(*n, i, &p);
        mask[i] = p.ndim == 2;
    }
    status = gradcore_trainer_set_matrices(*t, mask, 60, NULL);
    return status == GRADCORE_OK ? gradcore_trainer_add_average(*t, "sam", 1, 0, NULL) : status;
}

static uint64_t hash_of(gradcore_network *n)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a over the bytes of every parameter */
    gradcore_network_info info = {.size = sizeof info};
    static double values[33 * 70];
    gradcore_network_get_info(n, &info);
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(n, i, &p);
        CHECK(gradcore_network_read(n, i, values, NULL) == GRADCORE_OK);
        for (size_t b = 0; b < (size_t)(p.rows * p.cols) * sizeof *values; b++)
            hash = (hash ^ ((const unsigned char *)values)[b]) * 1099511628211u;
    }
    return hash;
}

static void test_threads(const char *optimizer)
{
    uint64_t first = 0;
    for (int threads = 1; threads <= 4; threads++) {
        gradcore_network *n = NULL;
        gradcore_trainer *t = NULL;
        CHECK(make(optimizer, threads, NULL, &n, &t) == GRADCORE_OK);
        CHECK(train(t, optimizer, STEPS) == GRADCORE_OK);
        CHECK(train(t, optimizer, STEPS) == GRADCORE_OK);
        const uint64_t hash = hash_of(n);
        first = threads == 1 ? hash : first;
        CHECK_NOTE(hash == first, "%s, %d threads", optimizer, threads);
        gradcore_trainer_destroy(t);
        gradcore_network_destroy(n);
    }
}

static void test_no_memory(const char *optimizer)
{
    for (long fail_at = 1;; fail_at++) {
        counter count = {.fail_at = fail_at};
        const gradcore_allocator allocator = {&counter_allocate, &counter_release, &count};
        gradcore_network *n = NULL;
        gradcore_trainer *t = NULL;
        gradcore_status status = make(optimizer, 2, &allocator, &n, &t);
        if (status == GRADCORE_OK)
            status = train(t, optimizer, 3);
        gradcore_trainer_destroy(t);
        gradcore_network_destroy(n);
        CHECK(count.live == 0 && count.live_bytes == 0);
        if (count.calls < fail_at) {
            CHECK(status == GRADCORE_OK);
            break;
        }
        CHECK(status == GRADCORE_NO_MEMORY);
    }
}

/* Threads keep and restore the factors each in its own part: of many matrices, more than all the room behind them. An
 * update that would not be finite leaves them as they were, and the next one is that of one thread. */
static void test_a_way_back(void)
{
    enum { WIDTH = 24, MOST = 60 };
    static double factor[2 * WIDTH * WIDTH], first[2 * WIDTH * WIDTH], before[2 * WIDTH * WIDTH];
    gradcore_layer many[MOST];
    uint8_t mask[2 * MOST];
    for (int i = 0; i < MOST; i++) {
        many[i] = (gradcore_layer){
            .size = sizeof *many, .kind = "dense", .units = i < MOST - 1 ? WIDTH : OUTPUTS, .alpha = NAN};
        mask[2 * i] = 1;
        mask[2 * i + 1] = 0;
    }
    const char *exact = getenv("GRADCORE_EXACT_THREADS");
    setenv("GRADCORE_EXACT_THREADS", "1", 1);
    for (int threads = 1; threads <= 3; threads += 2) {
        counter count = {.fail_at = 0};
        const gradcore_allocator allocator = {&counter_allocate, &counter_release, &count};
        const gradcore_network_options network = {.size = sizeof network,
                                                  .inputs = INPUTS,
                                                  .dtype = GRADCORE_FLOAT64,
                                                  .threads = threads,
                                                  .allocator = &allocator};
        const gradcore_trainer_options options = {
            .size = sizeof options, .loss = "mse", .optimizer = "soap", .capacity = ROWS};
        const gradcore_data data = {
            .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
        gradcore_network *n = NULL;
        gradcore_trainer *t = NULL;
        gradcore_report report;
        double hypers[GRADCORE_HYPERS];
        gradcore_run run = {.size = sizeof run,
                            .data = &data,
                            .end = ROWS,
                            .batch = ROWS,
                            .steps = 1,
                            .hypers = hypers,
                            .reports = &report};
        CHECK(gradcore_network_create(&network, many, MOST, &n, NULL) == GRADCORE_OK);
        CHECK(gradcore_network_initialize(n, 1, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_set_matrices(t, mask, 60, NULL) == GRADCORE_OK);
        for (int i = 0; i < 4; i++) {
            fill("soap", hypers);
            hypers[GRADCORE_LR] = i == 2 ? 1e308 : 0.02;
            CHECK(gradcore_trainer_factor_read(t, 2, 0, before, NULL) == GRADCORE_OK);
            CHECK(gradcore_trainer_run(t, &run, NULL) == GRADCORE_OK);
            CHECK_NOTE(report.applied == (i != 2), "step %d", i);
            CHECK(gradcore_trainer_factor_read(t, 2, 0, factor, NULL) == GRADCORE_OK);
            CHECK((memcmp(before, factor, sizeof factor) == 0) == (i == 2));
        }
        if (threads == 1)
            memcpy(first, factor, sizeof factor);
        CHECK_NOTE(memcmp(first, factor, sizeof factor) == 0, "%d threads", threads);
        gradcore_trainer_destroy(t);
        gradcore_network_destroy(n);
        CHECK(count.live == 0);
    }
    if (!exact)
        unsetenv("GRADCORE_EXACT_THREADS");
}

static void test_factors(void)
{
    static double factor[2 * 33 * 33];
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    CHECK(make("soap", 2, NULL, &n, &t) == GRADCORE_OK);
    CHECK(train(t, "soap", 3) == GRADCORE_OK);
    CHECK(gradcore_trainer_factor_order(t, 0, 0) == INPUTS && gradcore_trainer_factor_order(t, 0, 1) == 33);
    CHECK(gradcore_trainer_factor_order(t, 1, 0) == 0 && gradcore_trainer_factor_order(NULL, 0, 0) == 0);
    CHECK(gradcore_trainer_factor_order(t, -1, 0) == 0 && gradcore_trainer_factor_order(t, 0, 2) == 0);
    CHECK(gradcore_trainer_factor_read(t, 0, 1, factor, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_factor_write(t, 0, 1, factor, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_factor_read(t, 0, 0, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_factor_read(t, 1, 0, factor, NULL) == GRADCORE_INVALID);
    factor[5] = NAN;
    CHECK(gradcore_trainer_factor_write(t, 0, 1, factor, NULL) == GRADCORE_INVALID);
    const uint8_t mask[64] = {1};
    CHECK(gradcore_trainer_set_matrices(t, mask, 60, NULL) == GRADCORE_STATE);
    CHECK(gradcore_trainer_set_matrices(t, NULL, 60, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_add_average(t, "asam", 1, 0, NULL) == GRADCORE_STATE);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static void test_plain_arrays(void)
{
    double hypers[GRADCORE_HYPERS], running[GRADCORE_RUNNING] = {0}, w[12], m[12], v[12], rows[2 * 9], cols[2 * 16];
    gradcore_array array = {.dtype = GRADCORE_FLOAT64,
                            .rows = 3,
                            .n = 12,
                            .w = w,
                            .g = x,
                            .slots = {m, v, rows, cols},
                            .lr_factor = 1,
                            .weight_decay = (double)NAN};
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    memset(rows, 0, sizeof rows);
    memset(cols, 0, sizeof cols);
    for (int i = 0; i < 12; i++)
        w[i] = 1;
    fill("soap", hypers);
    for (uint64_t step = 1; step < 8; step++) {
        CHECK(gradcore_optimizer_step("soap", 0, step, hypers, running, 1, &array, NULL) == GRADCORE_OK);
        CHECK((w[0] == 1) == (step == 1));
    }
    fill("muon", hypers);
    CHECK(gradcore_optimizer_step("muon", 0, 1, hypers, running, 1, &array, NULL) == GRADCORE_OK);
    array.rows = 5;
    CHECK(gradcore_optimizer_step("muon", 0, 1, hypers, running, 1, &array, NULL) == GRADCORE_SHAPE);
    array.rows = 3;
    CHECK(gradcore_optimizer_step("adam", 0, 1, hypers, running, 1, &array, NULL) == GRADCORE_INVALID);
}

int main(void)
{
    const char *const optimizers[] = {"muon", "soap"};
    make_data();
    for (int i = 0; i < 2; i++) {
        test_threads(optimizers[i]);
        test_no_memory(optimizers[i]);
    }
    test_a_way_back();
    test_factors();
    test_plain_arrays();
    return check_report();
}
