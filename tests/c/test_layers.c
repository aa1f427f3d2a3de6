/* Every kind of layer in one network, through the public header: trained, predicted, passed by hand, on any number
 * of threads with the same bits; and descriptions that must be refused. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 300, INPUTS = 19, OUTPUTS = 3 };

typedef union numbers {
    float f32[ROWS * INPUTS];
    double f64[ROWS * INPUTS];
} numbers;
static numbers x, y, d, d_x;
static int32_t labels[ROWS];

static void set(numbers *to, int dtype, int i, double value)
{
    if (dtype == GRADCORE_FLOAT32)
        to->f32[i] = (float)value;
    else
        to->f64[i] = value;
}

static void make_data(int dtype)
{
    uint64_t state = 1;
    for (int i = 0; i < ROWS * INPUTS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double v = (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1;
        set(&x, dtype, i, i % INPUTS == 4 ? fabs(floor(v * 6)) : v); /* codes 0 to 6 */
        set(&d, dtype, i, v);
        labels[i / INPUTS] = (i / INPUTS) % OUTPUTS;
    }
}

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "embedding", .column = 4, .units = 7, .width = 18),
    LAYER(.kind = "gaussian_noise", .std = 0.1),
    LAYER(.kind = "dense", .units = 37, .flags = GRADCORE_LAYER_NO_BIAS | GRADCORE_LAYER_RESCALED),
    LAYER(.kind = "weight_norm", .flags = GRADCORE_LAYER_CONTINUES),
    LAYER(.kind = "activation", .activation = "gelu", .flags = GRADCORE_LAYER_CONTINUES),
    LAYER(.kind = "batch_norm"),
    LAYER(.kind = "residual"),
    LAYER(.kind = "layer_norm"),
    LAYER(.kind = "dense", .units = 65, .flags = GRADCORE_LAYER_NO_BIAS | GRADCORE_LAYER_RESCALED),
    LAYER(.kind = "spectral_norm", .flags = GRADCORE_LAYER_CONTINUES),
    LAYER(.kind = "alpha_dropout", .rate = 0.2),
    LAYER(.kind = "layer_scale", .initial = 0.5),
    LAYER(.kind = "end", .flags = GRADCORE_LAYER_PROJECTION | GRADCORE_LAYER_GAIN, .initial = 0.5),
    LAYER(.kind = "rms_norm", .flags = GRADCORE_LAYER_NO_SCALE),
    LAYER(.kind = "batch_norm", .flags = GRADCORE_LAYER_CUMULATIVE | GRADCORE_LAYER_NO_SHIFT),
    LAYER(.kind = "dense", .units = OUTPUTS),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

static uint64_t trained_hash(int dtype, int threads, int batch)
{
    const size_t item = dtype == GRADCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    const gradcore_network_options about = {.size = sizeof about, .inputs = INPUTS, .dtype = dtype, .threads = threads};
    const gradcore_trainer_options options = {.size = sizeof options,
                                              .loss = "cross_entropy",
                                              .optimizer = "adam",
                                              .clip = "global_norm",
                                              .capacity = batch,
                                              .seed = 5};
    const gradcore_data data = {.size = sizeof data, .x = &x, .x_stride = INPUTS, .target = labels, .rows = ROWS};
    const int steps = (ROWS + batch - 1) / batch < 5 ? (ROWS + batch - 1) / batch : 5;
    double hypers[5][GRADCORE_HYPERS];
    gradcore_report reports[5];
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_pass *p = NULL;
    gradcore_network_info info = {.size = sizeof info};
    for (int i = 0; i < steps; i++) {
        const double row[GRADCORE_HYPERS] = {0.01, 0.0, 0.5, 0.9, 0.999, 1e-8};
        memcpy(hypers[i], row, sizeof row);
    }
    CHECK(gradcore_network_create(&about, layers, LAYERS, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = batch,
                        .steps = steps,
                        .hypers = hypers[0],
                        .reports = reports};
    CHECK(gradcore_trainer_run(t, &run, NULL) == GRADCORE_OK);
    uint64_t hash = 14695981039346656037u;
    gradcore_network_get_info(n, &info);
    static double values[128 * 128];
    for (int64_t i = 0; i < info.parameters; i++) {
        gradcore_parameter_info parameter = {.size = sizeof parameter};
        CHECK(gradcore_network_parameter(n, i, &parameter) == GRADCORE_OK);
        CHECK(gradcore_network_read(n, i, values, NULL) == GRADCORE_OK);
        hash = hash_bytes(hash, values, (size_t)(parameter.rows * parameter.cols) * item);
    }
    CHECK(gradcore_network_predict(n, &x, INPUTS, ROWS, &y, OUTPUTS, NULL) == GRADCORE_OK);
    hash = hash_bytes(hash, &y, ROWS * OUTPUTS * item);
    CHECK(gradcore_pass_create(n, batch, &p, NULL) == GRADCORE_OK);
    for (int32_t training = 0; training < 2; training++) {
        CHECK(gradcore_pass_forward(p, &x, INPUTS, batch, training, 1, 2, &y, OUTPUTS, NULL) == GRADCORE_OK);
        CHECK(gradcore_pass_backward(p, &d, OUTPUTS, &d_x, INPUTS, NULL) == GRADCORE_OK);
        hash = hash_bytes(hash, &d_x, (size_t)batch * INPUTS * item);
        hash = hash_bytes(hash, &y, (size_t)batch * OUTPUTS * item);
    }
    gradcore_pass_destroy(p);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
    return hash;
}

static void test_one_hash(void)
{
    const int batches[] = {1, 2, 70, ROWS};
    for (int dtype = 0; dtype < 2; dtype++) {
        make_data(dtype);
        for (int b = 0; b < 4; b++) {
            const uint64_t one = trained_hash(dtype, 1, batches[b]);
            for (int threads = 2; threads < 6; threads++)
                CHECK(trained_hash(dtype, threads, batches[b]) == one);
        }
    }
}

static void test_bad_descriptions(void)
{
    const gradcore_layer bad[] = {
        LAYER(.kind = "layer_norm", .eps = -1),
        LAYER(.kind = "layer_norm", .eps = NAN),
        LAYER(.kind = "rms_norm", .eps = 2),
        LAYER(.kind = "rms_norm", .flags = GRADCORE_LAYER_NO_SHIFT),
        LAYER(.kind = "batch_norm", .momentum = 1.5),
        LAYER(.kind = "batch_norm", .momentum = NAN),
        LAYER(.kind = "batch_norm", .flags = GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "layer_scale", .initial = INFINITY),
        LAYER(.kind = "alpha_dropout", .rate = 1),
        LAYER(.kind = "gaussian_noise", .std = -1),
        LAYER(.kind = "gaussian_noise", .std = NAN),
        LAYER(.kind = "embedding", .column = INPUTS, .units = 2, .width = 2),
        LAYER(.kind = "embedding", .column = -1, .units = 2, .width = 2),
        LAYER(.kind = "embedding", .column = 0, .units = 0, .width = 2),
        LAYER(.kind = "embedding", .column = 0, .units = 2, .width = INT64_MAX),
        LAYER(.kind = "weight_norm", .flags = GRADCORE_LAYER_CONTINUES),
        LAYER(.kind = "spectral_norm"),
        LAYER(.kind = "dense", .units = 3, .flags = GRADCORE_LAYER_RESCALED | GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "activation", .activation = "relu", .flags = GRADCORE_LAYER_CONTINUES),
        LAYER(.kind = "end", .flags = GRADCORE_LAYER_PROJECTION),
    };
    const gradcore_network_options about = {.size = sizeof about, .inputs = INPUTS, .dtype = GRADCORE_FLOAT32};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gradcore_error error = {0};
        gradcore_network *n = NULL;
        CHECK(gradcore_network_create(&about, &bad[i], 1, &n, &error) != GRADCORE_OK);
        CHECK(n == NULL && strstr(error.message, "expected") != NULL);
    }
}

/* Every call that takes inputs refuses what is no code, naming it, and changes nothing. */
static void test_codes_that_name_no_row(void)
{
    const double bad[] = {-1, 7, 0.5, NAN, INFINITY, 1e30};
    const gradcore_layer stack[] = {LAYER(.kind = "standardize"),
                                    LAYER(.kind = "embedding", .column = 4, .units = 7, .width = 3),
                                    LAYER(.kind = "dense", .units = OUTPUTS)};
    for (int first = 0; first < 2; first++)
        for (int dtype = 0; dtype < 2; dtype++) {
            const gradcore_network_options about = {
                .size = sizeof about, .inputs = INPUTS, .dtype = dtype, .threads = 2};
            const gradcore_trainer_options options = {
                .size = sizeof options, .loss = "cross_entropy", .optimizer = "sgd", .capacity = 10};
            const gradcore_data data = {
                .size = sizeof data, .x = &x, .x_stride = INPUTS, .target = labels, .rows = ROWS};
            const gradcore_data batch = {
                .size = sizeof data, .x = &x, .x_stride = INPUTS, .target = labels, .rows = 10};
            const int64_t order[] = {8, 7, 6, 5, 4, 3, 2, 1, 0, 9};
            const double hypers[2][GRADCORE_HYPERS] = {{0.01}, {0.01}};
            gradcore_report reports[2];
            gradcore_network *n = NULL;
            gradcore_trainer *t = NULL;
            gradcore_pass *p = NULL;
            static double before[128], after[128];
            make_data(dtype);
            CHECK(gradcore_network_create(&about, stack + first, 3 - first, &n, NULL) == GRADCORE_OK);
            CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
            CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
            CHECK(gradcore_pass_create(n, ROWS, &p, NULL) == GRADCORE_OK);
            const int64_t table = first ? 0 : 2; /* behind mean and inverse_std */
            CHECK(gradcore_network_read(n, table, before, NULL) == GRADCORE_OK);
            for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                gradcore_score score = {.size = sizeof score};
                gradcore_error error[6] = {{0}};
                gradcore_run run = {.size = sizeof run,
                                    .data = &data,
                                    .end = 10,
                                    .batch = 5,
                                    .steps = 2,
                                    .hypers = hypers[0],
                                    .reports = reports};
                set(&x, dtype, 7 * INPUTS + 4, bad[i]);
                CHECK(gradcore_network_predict(n, &x, INPUTS, ROWS, &y, OUTPUTS, &error[0]) == GRADCORE_INVALID);
                CHECK(gradcore_network_evaluate(n, "cross_entropy", &data, &score, &error[1]) == GRADCORE_INVALID);
                CHECK(gradcore_pass_forward(p, &x, INPUTS, ROWS, 1, 1, 2, &y, OUTPUTS, &error[2]) == GRADCORE_INVALID);
                CHECK(gradcore_trainer_gradients(t, &batch, reports, &error[3]) == GRADCORE_INVALID);
                CHECK(gradcore_trainer_run(t, &run, &error[4]) == GRADCORE_INVALID && run.done == 0);
                run.order = order;
                CHECK(gradcore_trainer_run(t, &run, &error[5]) == GRADCORE_INVALID && run.done == 0);
                for (int e = 0; e < 6; e++)
                    CHECK_NOTE(strstr(error[e].message, "x[7, 4]: expected a code from 0 to 6, a row of the table ")
                                   && strstr(error[e].message, ".4.table (7 rows), got "),
                               "%s", error[e].message);
                CHECK(gradcore_network_read(n, table, after, NULL) == GRADCORE_OK);
                CHECK(memcmp(before, after, sizeof before) == 0);
                CHECK(gradcore_pass_forward(p, &x, INPUTS, 7, 1, 1, 2, &y, OUTPUTS, NULL)
                      == GRADCORE_OK); /* before it */
                set(&x, dtype, 7 * INPUTS + 4, 6);
                CHECK(gradcore_network_predict(n, &x, INPUTS, ROWS, &y, OUTPUTS, NULL) == GRADCORE_OK);
            }
            set(&x, dtype, 7 * INPUTS + 4, 9);
            gradcore_run run = {.size = sizeof run,
                                .data = &data,
                                .end = 10,
                                .batch = 5,
                                .steps = 1,
                                .hypers = hypers[0],
                                .reports = reports};
            CHECK(gradcore_trainer_run(t, &run, NULL) == GRADCORE_OK && run.done == 1); /* which ends before row 7 */
            gradcore_pass_destroy(p);
            gradcore_trainer_destroy(t);
            gradcore_network_destroy(n);
        }
}

int main(void)
{
    test_one_hash();
    test_codes_that_name_no_row();
    test_bad_descriptions();
    return check_report();
}
