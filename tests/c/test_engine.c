/* The engine through its public header alone: one hash of trained weights for every instruction set, thread
 * count and platform; every allocation failing in turn; misuse that must be refused and change nothing. */
#include <fenv.h>
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 700, INPUTS = 21, CLASSES = 7 };

static uint64_t random_state;
static double next_random(void) /* in (-1, 1); the same on every platform */
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(random_state >> 11) / 4503599627370496.0 - 1;
}

typedef union sample {
    float f32[ROWS * INPUTS];
    double f64[ROWS * INPUTS];
} sample;
static sample x;
static int32_t labels[ROWS];
static double weights[ROWS];

static void make_data(int dtype)
{
    random_state = 1;
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int i = 0; i < INPUTS; i++) {
            const double v = next_random();
            sum += v * (i + 1);
            if (dtype == GRADCORE_FLOAT32)
                x.f32[r * INPUTS + i] = (float)v;
            else
                x.f64[r * INPUTS + i] = v;
        }
        labels[r] = (int32_t)floor(fabs(sum)) % CLASSES;
        weights[r] = 1 + next_random() / 2;
    }
}

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "standardize"),
    LAYER(.kind = "dense", .units = 67, .activation = "gelu"),
    LAYER(.kind = "residual"),
    LAYER(.kind = "dense", .units = 33, .activation = "tanh"),
    LAYER(.kind = "dropout", .rate = 0.2),
    LAYER(.kind = "dense", .units = 67, .flags = GRADCORE_LAYER_NO_BIAS),
    LAYER(.kind = "activation", .activation = "silu"),
    LAYER(.kind = "end"),
    LAYER(.kind = "dense", .units = CLASSES),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static gradcore_status make_network(int dtype, const char *isa, int threads, const gradcore_allocator *allocator,
                                    gradcore_network **out)
{
    const gradcore_network_options options = {.size = sizeof options,
                                              .inputs = INPUTS,
                                              .dtype = dtype,
                                              .threads = threads,
                                              .isa = isa,
                                              .allocator = allocator};
    return gradcore_network_create(&options, layers, LAYERS, out, NULL);
}

static gradcore_status make_trainer(gradcore_network *n, gradcore_trainer **out)
{
    const gradcore_trainer_options options = {.size = sizeof options,
                                              .loss = "cross_entropy",
                                              .optimizer = "adamw",
                                              .clip = "global_norm",
                                              .capacity = ROWS,
                                              .seed = 5};
    return gradcore_trainer_create(n, &options, out, NULL);
}

static gradcore_status train(gradcore_trainer *t, int steps, int batch, double lr, gradcore_report *reports)
{
    double hypers[16][GRADCORE_HYPERS];
    const gradcore_data data = {
        .size = sizeof data, .x = &x, .x_stride = INPUTS, .target = labels, .weight = weights, .rows = ROWS};
    for (int i = 0; i < steps; i++) {
        const double row[GRADCORE_HYPERS] = {lr, 0.01, 0.5, 0.9, 0.999, 1e-8};
        memcpy(hypers[i], row, sizeof row);
    }
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = batch,
                        .steps = steps,
                        .hypers = hypers[0],
                        .reports = reports};
    return gradcore_trainer_run(t, &run, NULL);
}

static uint64_t hash_parameters(gradcore_network *n, int dtype)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a over the bytes of every parameter */
    gradcore_network_info info = {.size = sizeof info};
    static double values[67 * 67];
    gradcore_network_get_info(n, &info);
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(n, i, &p);
        CHECK(gradcore_network_read(n, i, values, NULL) == GRADCORE_OK);
        const size_t bytes = (size_t)(p.rows * p.cols) * (dtype == GRADCORE_FLOAT32 ? 4 : 8);
        for (size_t b = 0; b < bytes; b++)
            hash = (hash ^ ((const unsigned char *)values)[b]) * 1099511628211u;
    }
    return hash;
}

static uint64_t trained_hash(int dtype, const char *isa, int threads, int batch)
{
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_report reports[16];
    CHECK(make_network(dtype, isa, threads, NULL, &n) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    CHECK(make_trainer(n, &t) == GRADCORE_OK);
    for (int epoch = 0; epoch < 12; epoch++)
        CHECK(train(t, ROWS / batch, batch, 0.01, reports) == GRADCORE_OK);
    CHECK(reports[0].loss < 1.9 && reports[0].applied);
    const uint64_t hash = hash_parameters(n, dtype);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
    return hash;
}

/* Changed once with numerics_version raised, or never. */
static const uint64_t golden[2][2] = {{0x04d7f4fc68e3bd32u, 0x8639be5262790719u},
                                      {0x76a35960b34edb60u, 0x6f0c986c8fa167edu}};

static void test_one_hash(void)
{
    static const int batches[2] = {70, 700}, threads[4] = {1, 2, 3, 5};
    for (int dtype = 0; dtype < 2; dtype++) {
        make_data(dtype);
        for (int b = 0; b < 2; b++)
            for (int i = 0; gradcore_list("isa", i); i++)
                for (int t = 0; t < 4; t++) {
                    const uint64_t hash = trained_hash(dtype, gradcore_list("isa", i), threads[t], batches[b]);
                    CHECK_NOTE(hash == golden[dtype][b], "dtype %d batch %d isa %s threads %d: %016llx", dtype,
                               batches[b], gradcore_list("isa", i), threads[t], (unsigned long long)hash);
                }
    }
}

/* Every allocation of a whole life fails in turn; nothing leaks and what failed says so. */
static void test_no_memory(void)
{
    gradcore_report report[1];
    make_data(GRADCORE_FLOAT32);
    for (long fail_at = 1;; fail_at++) {
        counter count = {.fail_at = fail_at};
        const gradcore_allocator allocator = {&counter_allocate, &counter_release, &count};
        gradcore_network *n = NULL;
        gradcore_trainer *t = NULL;
        gradcore_pass *p = NULL;
        static float y[ROWS * CLASSES];
        gradcore_status status = make_network(GRADCORE_FLOAT32, NULL, 2, &allocator, &n);
        if (status == GRADCORE_OK)
            status = gradcore_network_initialize(n, 1, NULL);
        if (status == GRADCORE_OK)
            status = make_trainer(n, &t);
        if (status == GRADCORE_OK)
            status = train(t, 1, 64, 0.01, report);
        if (status == GRADCORE_OK)
            status = gradcore_network_predict(n, x.f32, INPUTS, ROWS, y, CLASSES, NULL);
        if (status == GRADCORE_OK)
            status = gradcore_pass_create(n, 10, &p, NULL);
        gradcore_pass_destroy(p);
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

/* An update that would leave the finite numbers is undone: same weights, usable afterwards. */
static void test_bad_updates(void)
{
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_report report[1];
    make_data(GRADCORE_FLOAT32);
    CHECK(make_network(GRADCORE_FLOAT32, NULL, 2, NULL, &n) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 1, NULL) == GRADCORE_OK);
    CHECK(make_trainer(n, &t) == GRADCORE_OK);
    CHECK(train(t, 1, 64, 0.01, report) == GRADCORE_OK && report->applied);
    const uint64_t before = hash_parameters(n, GRADCORE_FLOAT32);
    CHECK(train(t, 1, 64, 1e300, report) == GRADCORE_OK && !report->applied); /* the update overflows */
    CHECK(hash_parameters(n, GRADCORE_FLOAT32) == before);
    const float kept = x.f32[5];
    x.f32[5] = NAN;
    CHECK(train(t, 1, 64, 0.01, report) == GRADCORE_OK && !report->applied && isnan(report->loss));
    x.f32[5] = kept;
    CHECK(hash_parameters(n, GRADCORE_FLOAT32) == before);
    labels[3] = CLASSES;
    CHECK(train(t, 1, 64, 0.01, report) == GRADCORE_INVALID);
    labels[3] = 0;
    CHECK(train(t, 1, ROWS + 1, 0.01, report) == GRADCORE_SHAPE);
    CHECK(train(t, 1, 64, NAN, report) == GRADCORE_INVALID);
    CHECK(hash_parameters(n, GRADCORE_FLOAT32) == before);
    CHECK(train(t, 1, 64, 0.01, report) == GRADCORE_OK && report->applied);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Descriptions that must be refused, with a reason. */
static void test_bad_descriptions(void)
{
    const gradcore_layer bad[][2] = {
        {LAYER(.kind = "dense", .units = 0), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dense", .units = -5), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dense", .units = INT64_MAX), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dense", .units = INT32_MAX), LAYER(.kind = "dense", .units = INT32_MAX)},
        {LAYER(.kind = "dense", .units = 3, .activation = "rleu"), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dens", .units = 3), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = NULL), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dense", .units = 3, .flags = 1u << 20), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dropout", .rate = 1), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dropout", .rate = -0.1), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "dropout", .rate = NAN), LAYER(.kind = "dense", .units = 1)},
        {LAYER(.kind = "residual"), LAYER(.kind = "dense", .units = 4)},
        {LAYER(.kind = "end"), LAYER(.kind = "dense", .units = 4)},
        {{.size = 3, .kind = "dense", .units = 4}, LAYER(.kind = "dense", .units = 4)},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const gradcore_network_options options = {.size = sizeof options, .inputs = 4};
        gradcore_network *n = NULL;
        gradcore_error error = {0, ""};
        const gradcore_status status = gradcore_network_create(&options, bad[i], 2, &n, &error);
        CHECK_NOTE(status != GRADCORE_OK && n == NULL && error.message[0], "description %zu", i);
        gradcore_network_destroy(n);
    }
    gradcore_network_destroy(NULL);
    gradcore_trainer_destroy(NULL);
    gradcore_pass_destroy(NULL);
}

/* What must be refused where a pointer, a stride, a weight or a hyperparameter is wrong. */
static void test_bad_calls(void)
{
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_pass *p = NULL;
    gradcore_report report[1];
    static float y[ROWS * CLASSES], d[ROWS * CLASSES], big[67 * 67];
    make_data(GRADCORE_FLOAT32);
    CHECK(make_network(GRADCORE_FLOAT32, NULL, 2, NULL, &n) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 1, NULL) == GRADCORE_OK);
    CHECK(make_trainer(n, &t) == GRADCORE_OK);
    CHECK(gradcore_pass_create(n, 10, &p, NULL) == GRADCORE_OK);

    double norms[64];
    const gradcore_data data = {.size = sizeof data, .x = &x, .x_stride = INPUTS, .target = labels, .rows = 10};
    CHECK(gradcore_trainer_norms(t, norms, NULL) == GRADCORE_STATE);
    CHECK(gradcore_trainer_gradient(t, 2, big, NULL) == GRADCORE_STATE);
    CHECK(gradcore_trainer_gradients(t, &data, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_gradients(t, &data, report, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_norms(t, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_norms(t, norms, NULL) == GRADCORE_OK && norms[4] > 0 && norms[5] > 0);
    CHECK(gradcore_trainer_gradient(t, 2, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_state_write(t, 0, 2, NULL, NULL) == GRADCORE_INVALID);
    gradcore_trainer_get_progress(t, NULL, NULL);

    const double good[GRADCORE_HYPERS] = {0.01, 0.01, 0.5, 0.9, 0.999, 1e-8};
    const struct {
        int index;
        double value;
    } bad[] = {{0, NAN}, {1, -1}, {1, 1e11}, {2, -1}, {3, 1}, {4, -0.1}, {5, 0}, {5, 1e-46}, {5, NAN}, {1, INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double h[GRADCORE_HYPERS];
        memcpy(h, good, sizeof h);
        h[bad[i].index] = bad[i].value;
        gradcore_run run = {.size = sizeof run,
                            .data = &data,
                            .end = 10,
                            .batch = 10,
                            .steps = 1,
                            .hypers = h,
                            .reports = report,
                            .done = 7};
        CHECK_NOTE(gradcore_trainer_run(t, &run, NULL) == GRADCORE_INVALID && run.done == 0, "hyper %zu", i);
    }
    const int64_t order[1] = {0};
    gradcore_run far = {.size = sizeof far,
                        .data = &data,
                        .order = order,
                        .end = INT64_MAX,
                        .batch = 1,
                        .steps = 1,
                        .hypers = good,
                        .reports = report};
    CHECK(gradcore_trainer_run(t, &far, NULL) == GRADCORE_OK && far.done == 1);

    CHECK(gradcore_pass_forward(p, &x, INPUTS, 10, 0, 0, 0, y, CLASSES - 1, NULL) == GRADCORE_SHAPE);
    CHECK(gradcore_pass_forward(p, &x, INPUTS, 10, 0, 0, 0, y, CLASSES, NULL) == GRADCORE_OK);
    CHECK(gradcore_pass_backward(p, d, CLASSES, big, INPUTS - 1, NULL) == GRADCORE_SHAPE);
    CHECK(train(t, 1, 64, 0.01, report) == GRADCORE_OK);
    CHECK(gradcore_pass_backward(p, d, CLASSES, NULL, 0, NULL) == GRADCORE_STATE); /* other weights by now */

    const double nothing[10] = {0};
    gradcore_data weighted = data;
    gradcore_score score = {.size = sizeof score};
    weighted.weight = nothing;
    CHECK(gradcore_network_evaluate(n, "cross_entropy", &weighted, &score, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_evaluate(n, "cross_entropy", &data, &score, NULL) == GRADCORE_OK && score.loss > 0);

    const gradcore_allocator broken = {NULL, NULL, NULL};
    gradcore_network *none = NULL;
    CHECK(make_network(GRADCORE_FLOAT32, NULL, 1, &broken, &none) == GRADCORE_INVALID);
    const gradcore_api *api = gradcore_get_api(GRADCORE_VERSION_MAJOR, 0);
    CHECK(api && api->size == sizeof *api && api->network_create == &gradcore_network_create && api->file_close);
    CHECK(!gradcore_get_api(GRADCORE_VERSION_MAJOR + 1, 0) && !gradcore_get_api(GRADCORE_VERSION_MAJOR, 99));
    gradcore_pass_destroy(p);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* The caller's rounding mode reaches no bit. */
static void test_rounding_mode(void)
{
    double plain[64], odd[64];
    const uint64_t hash = trained_hash(GRADCORE_FLOAT32, NULL, 2, 70);
    CHECK(gradcore_fill("normal", 1, 0, 8, 8, 0, 1, plain, NULL) == GRADCORE_OK);
    fesetround(FE_UPWARD);
    const uint64_t other = trained_hash(GRADCORE_FLOAT32, NULL, 2, 70);
    const gradcore_status status = gradcore_fill("normal", 1, 0, 8, 8, 0, 1, odd, NULL);
    fesetround(FE_TONEAREST);
    CHECK(hash == other && status == GRADCORE_OK && memcmp(plain, odd, sizeof odd) == 0);
}

int main(void)
{
    test_one_hash();
    test_no_memory();
    test_bad_updates();
    test_bad_descriptions();
    test_bad_calls();
    test_rounding_mode();
    return check_report();
}
