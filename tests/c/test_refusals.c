/* What the C interface refuses: every limit from both sides, with the status and the argument's name. A call that is
 * refused leaves the object fit for the next one, so all of a section's calls go to one object. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "../../src_c/base/tables.h"
#include "check.h"

enum { ROWS = 8, INPUTS = 3, OUTPUTS = 2, PARAMETERS = 4 };

static float x[ROWS * INPUTS], y[ROWS * OUTPUTS];
static gradcore_error error;

#define ACCEPTED(call)                                                                       \
    do {                                                                                     \
        error.message[0] = 0;                                                                \
        const gradcore_status got = (call);                                                  \
        CHECK_NOTE(got == GRADCORE_OK, "status %d: %s: %s", (int)got, error.message, #call); \
    } while (0)
#define REFUSED(wanted, about, call)                                                                            \
    do {                                                                                                        \
        error.message[0] = 0;                                                                                   \
        const gradcore_status got = (call);                                                                     \
        CHECK_NOTE(got == GRADCORE_##wanted && (gradcore_status)error.status == got, "status %d: %s", (int)got, \
                   #call);                                                                                      \
        CHECK_NOTE(strncmp(error.message, about, strlen(about)) == 0, "'%s': %s", error.message, #call);        \
    } while (0)

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}

static gradcore_network *network(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = 5, .activation = "tanh"),
                                            LAYER(.kind = "dense", .units = OUTPUTS)};
    const gradcore_network_options o = {.size = sizeof o, .inputs = INPUTS, .threads = 1};
    gradcore_network *n = NULL;
    ACCEPTED(gradcore_network_create(&o, layers, 2, &n, &error));
    ACCEPTED(gradcore_network_initialize(n, 3, &error));
    return n;
}

static gradcore_trainer *trainer(gradcore_network *n, const char *optimizer)
{
    const gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = optimizer, .capacity = 4};
    gradcore_trainer *t = NULL;
    ACCEPTED(gradcore_trainer_create(n, &o, &t, &error));
    return t;
}

static gradcore_data data(void)
{
    return (gradcore_data){
        .size = sizeof(gradcore_data), .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
}

/* ---- Plain arrays ---- */

static gradcore_status product(int64_t m, int64_t n, int64_t k, int64_t ldc, int32_t threads, const char *isa)
{
    static const float a[6] = {1, 2, 3, 4, 5, 6};
    static float c[64];
    return gradcore_gemm(GRADCORE_FLOAT32, m, n, k, a, 1, 1, a, 1, 1, NULL, c, ldc, threads, isa, &error);
}

static void test_products(void)
{
    ACCEPTED(product(2, 2, 2, 2, 0, NULL));
    ACCEPTED(product(1, 1, 1, 1, 1024, "scalar"));
    REFUSED(SHAPE, "gemm", product(0, 2, 2, 2, 0, NULL));
    REFUSED(SHAPE, "gemm", product(2, 0, 2, 2, 0, NULL));
    REFUSED(SHAPE, "gemm", product(2, 2, 0, 2, 0, NULL));
    REFUSED(SHAPE, "gemm", product(2, 2, 2, 1, 0, NULL));
    REFUSED(SHAPE, "gemm", product((int64_t)INT32_MAX + 1, 2, 2, 2, 0, NULL));
    REFUSED(SHAPE, "gemm", product(2, (int64_t)INT32_MAX + 1, 2, (int64_t)INT32_MAX + 1, 0, NULL));
    REFUSED(SHAPE, "gemm", product(2, 2, (int64_t)INT32_MAX + 1, 2, 0, NULL));
    REFUSED(INVALID, "threads", product(2, 2, 2, 2, -1, NULL));
    REFUSED(INVALID, "threads", product(2, 2, 2, 2, 1025, NULL));
    REFUSED(INVALID, "isa: expected one of 'scalar'", product(2, 2, 2, 2, 0, "mmx"));
    float c[4];
    REFUSED(SHAPE, "gemm", gradcore_gemm(0, 2, 2, 2, NULL, 1, 1, x, 1, 1, NULL, c, 2, 0, NULL, &error));
    REFUSED(SHAPE, "gemm", gradcore_gemm(0, 2, 2, 2, x, 1, 1, NULL, 1, 1, NULL, c, 2, 0, NULL, &error));
    REFUSED(SHAPE, "gemm", gradcore_gemm(0, 2, 2, 2, x, 1, 1, x, 1, 1, NULL, NULL, 2, 0, NULL, &error));
    REFUSED(INVALID, "dtype", gradcore_gemm(2, 2, 2, 2, x, 1, 1, x, 1, 1, NULL, c, 2, 0, NULL, &error));
    REFUSED(INVALID, "dtype", gradcore_gemm(-1, 2, 2, 2, x, 1, 1, x, 1, 1, NULL, c, 2, 0, NULL, &error));
}

static gradcore_dense dense(int64_t m, int64_t n, int64_t k)
{
    static float d_x[6], d_w[6], d_b[2];
    return (gradcore_dense){.size = sizeof(gradcore_dense),
                            .m = m,
                            .n = n,
                            .k = k,
                            .x = x,
                            .x_row = 3,
                            .x_col = 1,
                            .w = x,
                            .w_row = 2,
                            .w_col = 1,
                            .d_y = y,
                            .ldd = 2,
                            .d_x = d_x,
                            .d_w = d_w,
                            .d_b = d_b,
                            .alpha = NAN};
}

static void test_backward_of_arrays(void)
{
    gradcore_dense d = dense(2, 2, 3);
    ACCEPTED(gradcore_dense_backward(&d, &error));
    REFUSED(INVALID, "dense", gradcore_dense_backward(NULL, &error));
    d.size--;
    REFUSED(INVALID, "dense", gradcore_dense_backward(&d, &error));
    const int64_t wrong[][3] = {{0, 2, 3},
                                {2, 0, 3},
                                {2, 2, 0},
                                {-1, 2, 3},
                                {2, -1, 3},
                                {2, 2, -1},
                                {(int64_t)INT32_MAX + 1, 2, 3},
                                {2, 2, (int64_t)INT32_MAX + 1},
                                {2, 3, 3}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        d = dense(wrong[i][0], wrong[i][1], wrong[i][2]);
        REFUSED(SHAPE, "dense", gradcore_dense_backward(&d, &error));
    }
    d = dense(2, 2, 3);
    d.x = NULL;
    REFUSED(SHAPE, "dense", gradcore_dense_backward(&d, &error));
    d = dense(2, 2, 3);
    d.w = NULL;
    REFUSED(SHAPE, "dense", gradcore_dense_backward(&d, &error));
    d = dense(2, 2, 3);
    d.d_y = NULL;
    REFUSED(SHAPE, "dense", gradcore_dense_backward(&d, &error));
    d = dense(2, 2, 3);
    d.threads = -1;
    REFUSED(INVALID, "threads", gradcore_dense_backward(&d, &error));
    d = dense(2, 2, 3);
    d.dtype = 2;
    REFUSED(INVALID, "dtype", gradcore_dense_backward(&d, &error));
    d = dense(2, 2, 3);
    d.activation = "tanh"; /* of which it needs either z or y */
    d.alpha = 0;
    REFUSED(INVALID, "activation: expected either z or y", gradcore_dense_backward(&d, &error));
    d.y = y;
    d.ldy = 2;
    ACCEPTED(gradcore_dense_backward(&d, &error));
    d.z = y;
    d.ldz = 2;
    REFUSED(INVALID, "activation: expected either z or y", gradcore_dense_backward(&d, &error));
    d.y = NULL;
    ACCEPTED(gradcore_dense_backward(&d, &error));
}

static void test_activations(void)
{
    float in[3] = {1, 2, 3}, out[3];
    ACCEPTED(gradcore_activation_forward("relu", 0, 0, 3, in, out, &error));
    ACCEPTED(gradcore_activation_forward("relu", 0, 0, 0, in, out, &error));
    ACCEPTED(gradcore_activation_forward("elu", 0, 1e6, 3, in, out, &error));
    REFUSED(INVALID, "alpha", gradcore_activation_forward("elu", 0, 1.1e6, 3, in, out, &error));
    REFUSED(INVALID, "alpha", gradcore_activation_forward("elu", 0, INFINITY, 3, in, out, &error));
    REFUSED(INVALID, "activation: expected one of", gradcore_activation_forward("no", 0, 0, 3, in, out, &error));
    REFUSED(INVALID, "activation: expected one of", gradcore_activation_forward(NULL, 0, 0, 3, in, out, &error));
    REFUSED(INVALID, "activation: expected pointers", gradcore_activation_forward("relu", 0, 0, -1, in, out, &error));
    REFUSED(INVALID, "activation: expected pointers", gradcore_activation_forward("relu", 0, 0, 3, NULL, out, &error));
    REFUSED(INVALID, "activation: expected pointers", gradcore_activation_forward("relu", 0, 0, 3, in, NULL, &error));
    REFUSED(INVALID, "dtype", gradcore_activation_forward("relu", 2, 0, 3, in, out, &error));
    REFUSED(INVALID, "d_y", gradcore_activation_backward("relu", 0, 0, 3, in, NULL, out, &error));
    ACCEPTED(gradcore_activation_backward("relu", 0, 0, 3, in, in, out, &error));
}

static void test_losses_of_arrays(void)
{
    double losses[2];
    const float z[4] = {1, 2, 3, 4}, t[4] = {1, 1, 1, 1};
    float d[4];
    ACCEPTED(gradcore_loss("mse", 0, 2, 2, z, t, losses, d, &error));
    REFUSED(SHAPE, "z", gradcore_loss("mse", 0, 0, 2, z, t, losses, d, &error));
    REFUSED(SHAPE, "z", gradcore_loss("mse", 0, 2, 0, z, t, losses, d, &error));
    REFUSED(INVALID, "dtype", gradcore_loss("mse", 3, 2, 2, z, t, losses, d, &error));
    CHECK(gradcore_loss("no", 0, 2, 2, z, t, losses, d, &error) == GRADCORE_INVALID && error.message[0]);
}

static void test_fills(void)
{
    double out[6];
    int64_t order[3];
    ACCEPTED(gradcore_fill("uniform", 1, 0, 2, 3, -1, 1, out, &error));
    REFUSED(SHAPE, "fill", gradcore_fill(NULL, 1, 0, 2, 3, -1, 1, out, &error));
    REFUSED(SHAPE, "fill", gradcore_fill("uniform", 1, 0, -1, 3, -1, 1, out, &error));
    REFUSED(SHAPE, "fill", gradcore_fill("uniform", 1, 0, 2, -1, -1, 1, out, &error));
    REFUSED(SHAPE, "fill", gradcore_fill("uniform", 1, 0, 2, 3, -1, 1, NULL, &error));
    REFUSED(INVALID, "a, b", gradcore_fill("uniform", 1, 0, 2, 3, NAN, 1, out, &error));
    REFUSED(INVALID, "a, b", gradcore_fill("uniform", 1, 0, 2, 3, -1, INFINITY, out, &error));
    CHECK(gradcore_fill("no", 1, 0, 2, 3, -1, 1, out, &error) == GRADCORE_INVALID && error.message[0]);
    ACCEPTED(gradcore_shuffle(1, 0, 3, order, &error));
    REFUSED(INVALID, "n", gradcore_shuffle(1, 0, -1, order, &error));
    REFUSED(INVALID, "n", gradcore_shuffle(1, 0, 3, NULL, &error));
}

static gradcore_status update(const char *name, uint64_t step, gradcore_array a)
{
    double hypers[GRADCORE_HYPERS] = {[GRADCORE_LR] = 0.1, [3] = 0.9, [4] = 0.999, [5] = 1e-8};
    double running[GRADCORE_RUNNING] = {0};
    return gradcore_optimizer_step(name, 0, step, hypers, running, 1, &a, &error);
}

static void test_updates_of_arrays(void)
{
    static float w[4], g[4], m[4], v[4];
#define ARRAY(...) \
    ((gradcore_array){.n = 4, .w = w, .g = g, .slots = {m, v}, .lr_factor = 1, .weight_decay = NAN, __VA_ARGS__})
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif
    ACCEPTED(update("adam", 1, ARRAY(.n = 4)));
    ACCEPTED(update("adam", 1, ARRAY(.n = 0)));
    ACCEPTED(update("adam", 1, ARRAY(.lr_factor = 1e10)));
    ACCEPTED(update("adam", 1, ARRAY(.lr_factor = 0)));
    ACCEPTED(update("adam", 1, ARRAY(.weight_decay = 0)));
    REFUSED(INVALID, "optimizer: expected one of", update("no", 1, ARRAY(.n = 4)));
    REFUSED(INVALID, "optimizer_step", update("adam", 0, ARRAY(.n = 4)));
    REFUSED(INVALID, "dtype", update("adam", 1, ARRAY(.dtype = 2)));
    REFUSED(INVALID, "dtype", update("adam", 1, ARRAY(.dtype = -1)));
    REFUSED(INVALID, "arrays", update("adam", 1, ARRAY(.n = -1)));
    REFUSED(INVALID, "arrays", update("adam", 1, ARRAY(.w = NULL)));
    REFUSED(INVALID, "arrays", update("adam", 1, ARRAY(.g = NULL)));
    REFUSED(INVALID, "slots[1]", update("adam", 1, ARRAY(.slots = {m, NULL})));
    REFUSED(INVALID, "slots[0]", update("adam", 1, ARRAY(.slots = {NULL, v})));
    REFUSED(INVALID, "lr_factor", update("adam", 1, ARRAY(.lr_factor = -0.1)));
    REFUSED(INVALID, "lr_factor", update("adam", 1, ARRAY(.lr_factor = 1.1e10)));
    REFUSED(INVALID, "lr_factor", update("adam", 1, ARRAY(.lr_factor = NAN)));
    REFUSED(INVALID, "weight_decay", update("adam", 1, ARRAY(.weight_decay = -0.1)));
    REFUSED(INVALID, "weight_decay", update("adam", 1, ARRAY(.weight_decay = 1.1e10)));
}

static void test_averages_of_arrays(void)
{
    double w[2] = {3, 5}, a[2] = {1, 1};
    ACCEPTED(gradcore_average("ema", 1, 0, 2, 0.5, 1, 2, w, a, &error));
    CHECK(a[0] == 2 && a[1] == 3 && w[0] == 3);
    REFUSED(INVALID, "every, start", gradcore_average("ema", 0, 0, 2, 0.5, 1, 2, w, a, &error));
    REFUSED(INVALID, "every, start", gradcore_average("ema", 1, -1, 2, 0.5, 1, 2, w, a, &error));
    REFUSED(INVALID, "kind", gradcore_average("no", 1, 0, 2, 0.5, 1, 2, w, a, &error));
    REFUSED(INVALID, "kind", gradcore_average(NULL, 1, 0, 2, 0.5, 1, 2, w, a, &error));
}

/* The names and letters of the ranges of every optimizer's hyperparameters. */
#define ROW(name, kind, a, b, c, d, names, ranges, formula) {#name, names, ranges},
static const struct {
    const char *name, *names, *ranges;
} optimizers[] = {GRC_OPTIMIZERS(ROW)};

/* What the range of a letter takes and refuses. */
static const struct {
    char letter;
    double good[3], bad[5];
    int bads;
} ranges[] = {
    {'e', {1e-8, 1e-37, 1e30}, {0, -1e-8, 1.1e30, NAN}, 4}, {'p', {1e-8, 1e-37, 1e30}, {0, -1e-8, 1.1e30, NAN}, 4},
    {'n', {0, 0.5, 1e30}, {-1e-9, 1.1e30, NAN}, 3},         {'s', {0, 0.5, 0.999999}, {-1e-9, 1, 1.5, NAN}, 4},
    {'u', {0, 0.5, 1}, {-1e-9, 1.0000001, NAN}, 3},         {'o', {1e-9, 0.5, 0.999999}, {0, 1, -1e-9, 1.5, NAN}, 5},
    {'c', {0, 7, 1e9}, {-1, 0.5, 1e9 + 1, NAN}, 4},         {'r', {-1e30, 0, 1e30}, {-1.1e30, 1.1e30, NAN}, 3},
};

static int range_of(char letter)
{
    for (int i = 0; i < (int)(sizeof ranges / sizeof *ranges); i++)
        if (ranges[i].letter == letter)
            return i;
    CHECK_NOTE(0, "a range %c of which this test knows nothing", letter);
    return 0;
}

static gradcore_status steer(const char *name, const double *hypers)
{
    static float w[4], g[4], slot[GRADCORE_SLOTS][4];
    double running[GRADCORE_RUNNING] = {0};
    const gradcore_array a = {
        .n = 4, .w = w, .g = g, .slots = {slot[0], slot[1], slot[2], slot[3]}, .lr_factor = 1, .weight_decay = NAN};
    return gradcore_optimizer_step(name, 0, 1, hypers, running, 1, &a, &error);
}

static void test_hyperparameters(void)
{
    for (int i = 0; i < (int)(sizeof optimizers / sizeof *optimizers); i++) {
        double hypers[GRADCORE_HYPERS] = {[GRADCORE_LR] = 0.1};
        char names[200], *rest = names;
        const int count = (int)strlen(optimizers[i].ranges);
        CHECK(strlen(optimizers[i].names) < sizeof names);
        strcpy(names, optimizers[i].names);
        for (int j = 0; j < count; j++)
            hypers[GRADCORE_OWN + j] = ranges[range_of(optimizers[i].ranges[j])].good[1];
        ACCEPTED(steer(optimizers[i].name, hypers));
        for (int j = 0; j < count; j++) {
            const char *name = strtok(j ? NULL : rest, " ");
            double *h = &hypers[GRADCORE_OWN + j];
            const int r = range_of(optimizers[i].ranges[j]);
            CHECK(name != NULL);
            for (int k = 0; k < ranges[r].bads; k++) {
                *h = ranges[r].bad[k];
                REFUSED(INVALID, name ? name : "", steer(optimizers[i].name, hypers));
            }
            for (int k = 2; k >= 0; k--) {
                *h = ranges[r].good[k];
                ACCEPTED(steer(optimizers[i].name, hypers));
            }
            *h = ranges[r].good[1];
        }
        const double decays[] = {-1e-9, 1.1e10, NAN};
        for (int k = 0; k < 3; k++) {
            hypers[GRADCORE_WEIGHT_DECAY] = decays[k];
            REFUSED(INVALID, "weight_decay", steer(optimizers[i].name, hypers));
        }
        hypers[GRADCORE_WEIGHT_DECAY] = 0;
        hypers[GRADCORE_LR] = NAN;
        REFUSED(INVALID, "lr", steer(optimizers[i].name, hypers));
    }
    CHECK(gradcore_describe(NULL, "adam", "hyperparameters") == NULL);
    CHECK(gradcore_describe("optimizer", NULL, "hyperparameters") == NULL);
    CHECK(gradcore_describe("optimizer", "adam", NULL) == NULL);
    CHECK(gradcore_describe("optimizer", "adam", "no") == NULL && gradcore_describe("no", "adam", "formula") == NULL);
    CHECK(gradcore_list(NULL, 0) == NULL && gradcore_list("optimizer", -1) == NULL);
    CHECK(gradcore_list("optimizer", (int32_t)(sizeof optimizers / sizeof *optimizers)) == NULL);
}

/* ---- Networks, evaluation, passes ---- */

static void test_networks(void)
{
    gradcore_network *n = NULL;
    gradcore_layer one[] = {LAYER(.kind = "dense", .units = 2)};
    gradcore_network_options o = {.size = sizeof o, .inputs = INPUTS, .threads = 1};
    REFUSED(INVALID, "layers: expected 1", gradcore_network_create(&o, one, 0, &n, &error));
    REFUSED(INVALID, "layers: expected 1", gradcore_network_create(&o, one, 100001, &n, &error));
    for (int i = 0; i < 2; i++) {
        one[0].units = i ? -1 : 0;
        CHECK(gradcore_network_create(&o, one, 1, &n, &error) != GRADCORE_OK && error.message[0]);
    }
    one[0].units = 2;
    one[0].size = 3;
    CHECK(gradcore_network_create(&o, one, 1, &n, &error) == GRADCORE_INVALID);
    one[0].size = sizeof *one;
    one[0].kind = "no";
    CHECK(gradcore_network_create(&o, one, 1, &n, &error) == GRADCORE_INVALID && error.message[0]);
    one[0].kind = "dense";
    one[0].activation = "no";
    REFUSED(INVALID, "layers[0].activation: expected one of", gradcore_network_create(&o, one, 1, &n, &error));
    one[0].activation = NULL;
    o.flags = 2;
    REFUSED(INVALID, "flags", gradcore_network_create(&o, one, 1, &n, &error));
    o.flags = 0;
    o.isa = "mmx";
    REFUSED(INVALID, "isa: expected one of", gradcore_network_create(&o, one, 1, &n, &error));
    o.isa = NULL;
    o.inputs = 0;
    CHECK(gradcore_network_create(&o, one, 1, &n, &error) != GRADCORE_OK);
    o.inputs = INPUTS;
    o.dtype = 2;
    CHECK(gradcore_network_create(&o, one, 1, &n, &error) != GRADCORE_OK);
    o.dtype = 0;
    o.threads = -1;
    CHECK(gradcore_network_create(&o, one, 1, &n, &error) != GRADCORE_OK);
    CHECK(n == NULL);
}

static void test_parameters(void)
{
    gradcore_network *n = network();
    float w[INPUTS * 5];
    double value;
    const void *src[PARAMETERS] = {NULL};
    gradcore_parameter_info p = {.size = sizeof p};
    CHECK(gradcore_network_parameter(n, -1, &p) == GRADCORE_INVALID);
    CHECK(gradcore_network_parameter(n, PARAMETERS, &p) == GRADCORE_INVALID);
    CHECK(gradcore_network_parameter(n, PARAMETERS - 1, &p) == GRADCORE_OK && p.cols == OUTPUTS);
    REFUSED(INVALID, "index", gradcore_network_read(n, -1, w, &error));
    REFUSED(INVALID, "index", gradcore_network_read(n, PARAMETERS, w, &error));
    ACCEPTED(gradcore_network_read(n, 0, w, &error));
    REFUSED(INVALID, "src", gradcore_network_write(n, NULL, &error));
    w[7] = NAN;
    src[0] = w;
    REFUSED(INVALID, "0.weight", gradcore_network_write(n, src, &error));
    w[7] = INFINITY;
    REFUSED(INVALID, "0.weight", gradcore_network_write(n, src, &error));
    REFUSED(INVALID, "network", gradcore_network_initialize(NULL, 1, &error));

    REFUSED(INVALID, "network", gradcore_network_set_penalty(NULL, 0, 1, 1, &error));
    REFUSED(INVALID, "index", gradcore_network_set_penalty(n, -1, 1, 1, &error));
    REFUSED(INVALID, "index", gradcore_network_set_penalty(n, PARAMETERS, 1, 1, &error));
    REFUSED(INVALID, "l1, l2", gradcore_network_set_penalty(n, 0, -1e-9, 1, &error));
    REFUSED(INVALID, "l1, l2", gradcore_network_set_penalty(n, 0, 1, -1e-9, &error));
    REFUSED(INVALID, "l1, l2", gradcore_network_set_penalty(n, 0, NAN, 1, &error));
    REFUSED(INVALID, "l1, l2", gradcore_network_set_penalty(n, 0, 1, INFINITY, &error));
    ACCEPTED(gradcore_network_set_penalty(n, 0, 0, 0, &error));
    ACCEPTED(gradcore_network_set_penalty(n, PARAMETERS - 1, 2, 3, &error));
    REFUSED(INVALID, "value", gradcore_network_penalty(n, NULL, &error));
    REFUSED(INVALID, "network", gradcore_network_penalty(NULL, &value, &error));
    ACCEPTED(gradcore_network_penalty(n, &value, &error));
    CHECK(value == 0); /* the bias is 0 */
    const float bias[OUTPUTS] = {-2, 3};
    src[0] = NULL;
    src[3] = bias;
    ACCEPTED(gradcore_network_write(n, src, &error));
    ACCEPTED(gradcore_network_penalty(n, &value, &error));
    CHECK(value == 2 * (2 + 3) + 3 * (4 + 9));
    gradcore_network_destroy(n);
}

static void test_evaluation(void)
{
    gradcore_network *n = network();
    float out[ROWS * OUTPUTS];
    gradcore_score score = {.size = sizeof score};
    double weight[ROWS] = {1, 0, 1, 1, 1, 1, 1, 1e100};
    ACCEPTED(gradcore_network_predict(n, x, INPUTS, ROWS, out, OUTPUTS, &error));
    ACCEPTED(gradcore_network_predict(n, x, 0, ROWS, out, OUTPUTS, &error));
    REFUSED(INVALID, "network", gradcore_network_predict(NULL, x, INPUTS, ROWS, out, OUTPUTS, &error));
    REFUSED(INVALID, "y", gradcore_network_predict(n, x, INPUTS, ROWS, NULL, OUTPUTS, &error));
    REFUSED(INVALID, "x", gradcore_network_predict(n, NULL, INPUTS, ROWS, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x", gradcore_network_predict(n, x, INPUTS, 0, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x", gradcore_network_predict(n, x, -1, ROWS, out, OUTPUTS, &error));
    REFUSED(SHAPE, "y", gradcore_network_predict(n, x, INPUTS, ROWS, out, OUTPUTS - 1, &error));
    REFUSED(SHAPE, "x", gradcore_network_predict(n, x, INT64_MAX / 16, ROWS, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x", gradcore_network_predict(n, x, INT64_MAX, ROWS, out, OUTPUTS, &error));

    gradcore_data d = data();
    d.weight = weight;
    ACCEPTED(gradcore_network_evaluate(n, "mse", &d, &score, &error));
    score = (gradcore_score){.size = offsetof(gradcore_score, weight), .weight = -7, .divisor = -7};
    ACCEPTED(gradcore_network_evaluate(n, "mse", &d, &score, &error)); /* by an older caller */
    CHECK(score.weight == -7 && score.divisor == -7 && isfinite(score.loss));
    score.size = sizeof score;
    ACCEPTED(gradcore_network_evaluate(n, "mse", &d, &score, &error));
    CHECK(score.weight > 1e99 && score.divisor > 1e99);
    for (int i = 0; i < 3; i++) {
        weight[2] = i == 0 ? -1e-9 : i == 1 ? NAN : 1.1e100;
        REFUSED(INVALID, "weight[2]", gradcore_network_evaluate(n, "mse", &d, &score, &error));
    }
    memset(weight, 0, sizeof weight);
    REFUSED(INVALID, "weight", gradcore_network_evaluate(n, "mse", &d, &score, &error));
    d = data();
    d.target = NULL;
    REFUSED(INVALID, "target", gradcore_network_evaluate(n, "mse", &d, &score, &error));
    d = data();
    d.target_stride = -1;
    REFUSED(SHAPE, "target", gradcore_network_evaluate(n, "mse", &d, &score, &error));
    d.target_stride = 0;
    ACCEPTED(gradcore_network_evaluate(n, "mse", &d, &score, &error));
    d = data();
    d.rows = 0;
    REFUSED(SHAPE, "x", gradcore_network_evaluate(n, "mse", &d, &score, &error));
    d = data();
    CHECK(gradcore_network_evaluate(n, "no", &d, &score, &error) == GRADCORE_INVALID && error.message[0]);
    gradcore_network_destroy(n);
}

static void test_passes(void)
{
    gradcore_network *n = network();
    gradcore_pass *p = NULL;
    float out[ROWS * OUTPUTS], d[ROWS * OUTPUTS] = {0}, g[INPUTS * 5];
    int64_t width;
    const char *name;
    REFUSED(INVALID, "network", gradcore_pass_create(NULL, 4, &p, &error));
    REFUSED(INVALID, "out", gradcore_pass_create(n, 4, NULL, &error));
    REFUSED(SHAPE, "capacity", gradcore_pass_create(n, 0, &p, &error));
    REFUSED(SHAPE, "capacity", gradcore_pass_create(n, (int64_t)INT32_MAX + 1, &p, &error));
    ACCEPTED(gradcore_pass_create(n, 4, &p, &error));
    REFUSED(INVALID, "pass", gradcore_pass_forward(NULL, x, INPUTS, 4, 0, 0, 0, out, OUTPUTS, &error));
    REFUSED(STATE, "activations", gradcore_pass_activation(p, 0, &width, &name, out, &error));
    REFUSED(STATE, "backward: expected a forward before it, got none",
            gradcore_pass_backward(p, d, OUTPUTS, NULL, 0, &error));
    REFUSED(STATE, "gradients", gradcore_pass_gradient(p, 0, g, &error));
    REFUSED(INVALID, "x", gradcore_pass_forward(p, NULL, INPUTS, 4, 0, 0, 0, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x", gradcore_pass_forward(p, x, INPUTS, 0, 0, 0, 0, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x", gradcore_pass_forward(p, x, INPUTS, 5, 0, 0, 0, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x, y: expected strides of at least 0 and 2, got -1 and 2",
            gradcore_pass_forward(p, x, -1, 4, 0, 0, 0, out, OUTPUTS, &error));
    REFUSED(SHAPE, "x, y: expected strides of at least 0 and 2, got 3 and 1",
            gradcore_pass_forward(p, x, INPUTS, 4, 0, 0, 0, out, OUTPUTS - 1, &error));
    ACCEPTED(gradcore_pass_forward(p, x, INPUTS, 4, 1, 0, 0, out, OUTPUTS, &error));
    REFUSED(INVALID, "layer", gradcore_pass_activation(p, -1, &width, &name, out, &error));
    REFUSED(INVALID, "layer", gradcore_pass_activation(p, 2, &width, &name, out, &error));
    ACCEPTED(gradcore_pass_activation(p, 1, &width, &name, out, &error));
    CHECK(width == OUTPUTS && strcmp(name, "1") == 0);
    REFUSED(STATE, "gradients", gradcore_pass_gradient(p, 0, g, &error));
    REFUSED(INVALID, "d_out", gradcore_pass_backward(p, NULL, OUTPUTS, NULL, 0, &error));
    CHECK(gradcore_pass_backward(p, d, -1, NULL, 0, &error) == GRADCORE_SHAPE);
    CHECK(gradcore_pass_backward(p, d, OUTPUTS, out, INPUTS - 1, &error) == GRADCORE_SHAPE);
    ACCEPTED(gradcore_pass_backward(p, d, 0, NULL, 0, &error)); /* one derivative for all rows */
    REFUSED(STATE, "backward: expected a forward before it, got a second backward",
            gradcore_pass_backward(p, d, OUTPUTS, NULL, 0, &error));
    REFUSED(INVALID, "index", gradcore_pass_gradient(p, -1, g, &error));
    REFUSED(INVALID, "index", gradcore_pass_gradient(p, PARAMETERS, g, &error));
    ACCEPTED(gradcore_pass_gradient(p, 0, g, &error));
    gradcore_pass_destroy(p);
    gradcore_network_destroy(n);
}

/* ---- Training ---- */

static void test_making_trainers(void)
{
    gradcore_network *n = network();
    gradcore_trainer *t = NULL;
    gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = "sgd", .capacity = 4};
    REFUSED(INVALID, "network", gradcore_trainer_create(NULL, &o, &t, &error));
    CHECK(gradcore_trainer_create(n, &o, NULL, &error) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_create(n, NULL, &t, &error) == GRADCORE_INVALID);
    o.size = sizeof o + 1;
    REFUSED(INVALID, "options.size", gradcore_trainer_create(n, &o, &t, &error));
    o.size = 8;
    REFUSED(INVALID, "options.size", gradcore_trainer_create(n, &o, &t, &error));
    o.size = sizeof o;
    o.capacity = 0;
    REFUSED(SHAPE, "capacity", gradcore_trainer_create(n, &o, &t, &error));
    o.capacity = (int64_t)INT32_MAX + 1;
    REFUSED(SHAPE, "capacity", gradcore_trainer_create(n, &o, &t, &error));
    o.capacity = 4;
    o.flags = 1u << 30;
    REFUSED(INVALID, "flags", gradcore_trainer_create(n, &o, &t, &error));
    o.flags = GRADCORE_OPTIMIZER_NESTEROV;
    REFUSED(INVALID, "nesterov", gradcore_trainer_create(n, &o, &t, &error));
    o.flags = 0;
    o.clip = "no";
    REFUSED(INVALID, "clip", gradcore_trainer_create(n, &o, &t, &error));
    o.clip = NULL;
    o.optimizer = "no";
    REFUSED(INVALID, "optimizer: expected one of", gradcore_trainer_create(n, &o, &t, &error));
    o.optimizer = "sgd";
    o.loss = "no";
    REFUSED(INVALID, "loss: expected one of", gradcore_trainer_create(n, &o, &t, &error));
    o.loss = "mse";
    o.nonfinite = "no";
    REFUSED(INVALID, "nonfinite", gradcore_trainer_create(n, &o, &t, &error));
    CHECK(t == NULL);
    gradcore_network_destroy(n);
}

static gradcore_status run(gradcore_trainer *t, const gradcore_data *d, const int64_t *order, int64_t begin,
                           int64_t end, int64_t batch, int64_t steps)
{
    double hypers[ROWS][GRADCORE_HYPERS] = {{0}};
    gradcore_report reports[ROWS];
    for (int i = 0; i < ROWS; i++)
        hypers[i][GRADCORE_LR] = 0.1;
    gradcore_run r = {.size = sizeof r,
                      .data = d,
                      .order = order,
                      .begin = begin,
                      .end = end,
                      .batch = batch,
                      .steps = steps,
                      .hypers = hypers[0],
                      .reports = reports};
    return gradcore_trainer_run(t, &r, &error);
}

/* Of every step of a slice, before the first is taken. */
static void test_hypers(void)
{
    gradcore_network *n = network();
    gradcore_trainer *t = trainer(n, "sgd");
    gradcore_data d = data();
    double hypers[ROWS][GRADCORE_HYPERS] = {{0}};
    gradcore_report reports[ROWS];
    uint64_t step, updates;
    for (int bad = 0; bad < ROWS; bad++) {
        for (int i = 0; i < ROWS; i++)
            hypers[i][GRADCORE_LR] = i == bad ? (double)NAN : 0.1;
        gradcore_run r = {.size = sizeof r,
                          .data = &d,
                          .end = ROWS,
                          .batch = 1,
                          .steps = ROWS,
                          .hypers = hypers[0],
                          .reports = reports};
        REFUSED(INVALID, "lr", gradcore_trainer_run(t, &r, &error));
        r.steps = bad;
        if (bad > 0)
            ACCEPTED(gradcore_trainer_run(t, &r, &error));
        gradcore_trainer_get_progress(t, &step, &updates);
        CHECK(step == (uint64_t)(bad * (bad + 1) / 2) && updates == step);
    }
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static void test_slices(void)
{
    gradcore_network *n = network();
    gradcore_trainer *t = trainer(n, "sgd");
    gradcore_data d = data();
    int64_t order[ROWS] = {7, 6, 5, 4, 3, 2, 1, 0};
    double weight[ROWS] = {1, 0, 1, 1, 1, 1, 1, 1e100};
    ACCEPTED(run(t, &d, NULL, 0, ROWS, 4, 2));
    ACCEPTED(run(t, &d, order, 0, ROWS, 3, 3));
    ACCEPTED(run(t, &d, NULL, ROWS - 1, ROWS, 1, 1));
    REFUSED(SHAPE, "batch", run(t, &d, NULL, 0, ROWS, 0, 1));
    REFUSED(SHAPE, "batch", run(t, &d, NULL, 0, ROWS, 5, 1));
    REFUSED(SHAPE, "begin, end", run(t, &d, NULL, -1, ROWS, 4, 1));
    REFUSED(SHAPE, "begin, end", run(t, &d, NULL, 4, 4, 4, 1));
    REFUSED(SHAPE, "begin, end", run(t, &d, NULL, 0, ROWS + 1, 4, 1));
    REFUSED(SHAPE, "steps", run(t, &d, NULL, 0, ROWS, 4, 0));
    REFUSED(SHAPE, "steps", run(t, &d, NULL, 0, ROWS, 4, 3));
    order[2] = -1;
    REFUSED(INVALID, "order[2]", run(t, &d, order, 0, ROWS, 4, 2));
    order[2] = ROWS;
    REFUSED(INVALID, "order[2]", run(t, &d, order, 0, ROWS, 4, 2));
    d.weight = weight;
    ACCEPTED(run(t, &d, NULL, 0, ROWS, 4, 2));
    for (int i = 0; i < 3; i++) {
        weight[2] = i == 0 ? -1e-9 : i == 1 ? NAN : 1.1e100;
        REFUSED(INVALID, "weight[2]", run(t, &d, NULL, 0, ROWS, 4, 2));
    }
    d = data();
    d.size = 1;
    REFUSED(INVALID, "data", run(t, &d, NULL, 0, ROWS, 4, 2));
    REFUSED(INVALID, "data", run(t, NULL, NULL, 0, ROWS, 4, 2));
    d = data();
    d.x = NULL;
    REFUSED(INVALID, "x", run(t, &d, NULL, 0, ROWS, 4, 2));
    d = data();
    d.target = NULL;
    REFUSED(INVALID, "target", run(t, &d, NULL, 0, ROWS, 4, 2));
    d = data();
    d.rows = 0;
    REFUSED(SHAPE, "x: expected at least 1 row", run(t, &d, NULL, 0, ROWS, 4, 2));
    d = data();
    d.x_stride = -1;
    REFUSED(SHAPE, "x: expected a row stride", run(t, &d, NULL, 0, ROWS, 4, 2));
    d.x_stride = INT64_MAX / 16;
    REFUSED(SHAPE, "x: expected a row stride", run(t, &d, NULL, 0, ROWS, 4, 2));
    d = data();
    d.target_stride = -1;
    CHECK(run(t, &d, NULL, 0, ROWS, 4, 2) == GRADCORE_SHAPE);
    gradcore_run r = {.size = 1};
    REFUSED(INVALID, "run", gradcore_trainer_run(t, &r, &error));
    REFUSED(INVALID, "run", gradcore_trainer_run(t, NULL, &error));
    r = (gradcore_run){.size = sizeof r, .data = &d, .end = 4, .batch = 4, .steps = 1};
    REFUSED(INVALID, "run", gradcore_trainer_run(t, &r, &error)); /* neither hypers nor reports */
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static void test_state(void)
{
    gradcore_network *n = network();
    gradcore_trainer *t = trainer(n, "adam");
    float state[INPUTS * 5] = {0};
    double norms[PARAMETERS * 2], running[GRADCORE_RUNNING] = {0};
    REFUSED(INVALID, "trainer", gradcore_trainer_norms(NULL, norms, &error));
    REFUSED(STATE, "norms", gradcore_trainer_norms(t, norms, &error));
    REFUSED(STATE, "trainer", gradcore_trainer_gradient(t, 0, state, &error));
    const int32_t slots[] = {-1, 2, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        REFUSED(INVALID, "slot", gradcore_trainer_state_read(t, slots[i], 0, state, &error));
        REFUSED(INVALID, "slot", gradcore_trainer_state_write(t, slots[i], 0, state, &error));
    }
    ACCEPTED(gradcore_trainer_state_read(t, 1, PARAMETERS - 1, state, &error));
    REFUSED(INVALID, "index", gradcore_trainer_state_read(t, 0, -1, state, &error));
    REFUSED(INVALID, "index", gradcore_trainer_state_read(t, 0, PARAMETERS, state, &error));
    REFUSED(INVALID, "dst", gradcore_trainer_state_read(t, 0, 0, NULL, &error));
    REFUSED(INVALID, "src", gradcore_trainer_state_write(t, 0, 0, NULL, &error));
    state[3] = NAN;
    CHECK(gradcore_trainer_state_write(t, 0, 0, state, &error) == GRADCORE_INVALID && error.message[0]);
    REFUSED(INVALID, "running", gradcore_trainer_running_read(t, NULL, &error));
    REFUSED(INVALID, "running", gradcore_trainer_running_write(t, NULL, &error));
    ACCEPTED(gradcore_trainer_running_write(t, running, &error));
    running[GRADCORE_RUNNING - 1] = INFINITY;
    REFUSED(INVALID, "running[3]", gradcore_trainer_running_write(t, running, &error));
    ACCEPTED(gradcore_trainer_set_progress(t, 1ull << 48, 5, &error));
    REFUSED(INVALID, "step", gradcore_trainer_set_progress(t, 4, 5, &error));
    REFUSED(INVALID, "step", gradcore_trainer_set_progress(t, (1ull << 48) + 1, 5, &error));
    REFUSED(INVALID, "index", gradcore_trainer_set_group(t, -1, 1, NAN, 0, &error));
    REFUSED(INVALID, "index", gradcore_trainer_set_group(t, PARAMETERS, 1, NAN, 0, &error));
    ACCEPTED(gradcore_trainer_set_group(t, 0, 1e10, 1e10, 0, &error));
    REFUSED(INVALID, "lr_factor", gradcore_trainer_set_group(t, 0, -1e-9, NAN, 0, &error));
    REFUSED(INVALID, "lr_factor", gradcore_trainer_set_group(t, 0, 1.1e10, NAN, 0, &error));
    REFUSED(INVALID, "lr_factor", gradcore_trainer_set_group(t, 0, NAN, NAN, 0, &error));
    REFUSED(INVALID, "weight_decay", gradcore_trainer_set_group(t, 0, 1, -1e-9, 0, &error));
    REFUSED(INVALID, "weight_decay", gradcore_trainer_set_group(t, 0, 1, 1.1e10, 0, &error));
    for (int64_t i = -1; i <= PARAMETERS; i++) /* no optimizer of matrices */
        CHECK(gradcore_trainer_factor_order(t, i, 0) == 0 && gradcore_trainer_factor_order(t, i, 1) == 0);
    CHECK(gradcore_trainer_factor_order(NULL, 0, 0) == 0);
    gradcore_trainer_destroy(t);

    t = trainer(n, "sgd");
    REFUSED(INVALID, "every, start", gradcore_trainer_add_average(t, "ema", 0, 0, &error));
    REFUSED(INVALID, "every, start", gradcore_trainer_add_average(t, "ema", 1, -1, &error));
    REFUSED(INVALID, "kind", gradcore_trainer_add_average(t, "no", 1, 0, &error));
    ACCEPTED(gradcore_trainer_add_average(t, "sam", 1, 0, &error));
    REFUSED(STATE, "average: expected one of sam", gradcore_trainer_add_average(t, "asam", 1, 0, &error));
    ACCEPTED(gradcore_trainer_add_average(t, "accumulate", 2, 0, &error));
    REFUSED(STATE, "average: expected one accumulation", gradcore_trainer_add_average(t, "accumulate", 2, 0, &error));
    ACCEPTED(gradcore_trainer_add_average(t, "swa", 1, 0, &error));
    REFUSED(STATE, "average: expected at most 3", gradcore_trainer_add_average(t, "swa", 1, 0, &error));
    gradcore_trainer_destroy(t);

    t = trainer(n, "sgd");
    const gradcore_data d = data();
    ACCEPTED(run(t, &d, NULL, 0, 4, 4, 1)); /* one step is too many already */
    REFUSED(STATE, "average: expected it before", gradcore_trainer_add_average(t, "swa", 1, 0, &error));
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static void test_rules(void)
{
    gradcore_network *n = network();
    gradcore_trainer *t = trainer(n, "sgd");
    float keep[INPUTS * 5];
    const void *keeps[PARAMETERS] = {keep};
    for (int i = 0; i < INPUTS * 5; i++)
        keep[i] = i % 2 ? 1 : 0;
#define RULE(...) ((gradcore_rule){.size = sizeof(gradcore_rule), .order = 2, .limit = 1, __VA_ARGS__})
    gradcore_rule r = RULE(.name = "max_norm");
    ACCEPTED(gradcore_trainer_set_rules(t, &r, 1, &error));
    ACCEPTED(gradcore_trainer_set_rules(t, NULL, 0, &error));
    REFUSED(INVALID, "rules", gradcore_trainer_set_rules(t, NULL, 1, &error));
    REFUSED(INVALID, "rules", gradcore_trainer_set_rules(t, &r, 1000, &error));
    r.size--;
    REFUSED(INVALID, "rules[0]", gradcore_trainer_set_rules(t, &r, 1, &error));
    r = RULE(.name = NULL);
    REFUSED(INVALID, "rules[0]", gradcore_trainer_set_rules(t, &r, 1, &error));
    r = RULE(.name = "no");
    REFUSED(INVALID, "rules[0].name", gradcore_trainer_set_rules(t, &r, 1, &error));
    const double limits[] = {-1, NAN, 1.1e10};
    for (int i = 0; i < 3; i++) {
        r = RULE(.name = "unit_norm");
        r.limit = limits[i];
        REFUSED(INVALID, "rules[0].limit", gradcore_trainer_set_rules(t, &r, 1, &error));
    }
    r = RULE(.name = "adaptive", .other = -1e-9);
    REFUSED(INVALID, "rules[0].other", gradcore_trainer_set_rules(t, &r, 1, &error));
    r.other = NAN;
    REFUSED(INVALID, "rules[0].other", gradcore_trainer_set_rules(t, &r, 1, &error));
    r.other = 0;
    ACCEPTED(gradcore_trainer_set_rules(t, &r, 1, &error));
    r = RULE(.name = "box", .other = 1);
    ACCEPTED(gradcore_trainer_set_rules(t, &r, 1, &error));
    r.other = 1.0001;
    REFUSED(INVALID, "rules[0].other", gradcore_trainer_set_rules(t, &r, 1, &error));
    const double orders[] = {0, 3, -INFINITY, NAN};
    for (int i = 0; i < 4; i++) {
        r = RULE(.name = "global_norm");
        r.order = orders[i];
        REFUSED(INVALID, "rules[0].order", gradcore_trainer_set_rules(t, &r, 1, &error));
    }
    r = RULE(.name = "mask");
    REFUSED(INVALID, "rules[0].keep: expected arrays", gradcore_trainer_set_rules(t, &r, 1, &error));
    r.keep = keeps;
    ACCEPTED(gradcore_trainer_set_rules(t, &r, 1, &error));
    const gradcore_data d = data();
    float w[INPUTS * 5];
    ACCEPTED(run(t, &d, NULL, 0, 4, 4, 1));
    ACCEPTED(gradcore_network_read(n, 0, w, &error));
    for (int i = 0; i < INPUTS * 5; i++)
        CHECK((w[i] == 0) == (keep[i] == 0));
    keep[7] = NAN;
    REFUSED(INVALID, "rules[0].keep: expected finite numbers for 0.weight",
            gradcore_trainer_set_rules(t, &r, 1, &error));
    gradcore_rule two[] = {RULE(.name = "global_norm", .scheduled = 1), RULE(.name = "value", .scheduled = 1)};
    REFUSED(INVALID, "rules: expected one on rows", gradcore_trainer_set_rules(t, two, 2, &error));
    two[0] = two[1] = RULE(.name = "example_norm");
    REFUSED(INVALID, "rules: expected one on rows", gradcore_trainer_set_rules(t, two, 2, &error));
    ACCEPTED(gradcore_trainer_set_rules(t, two, 1, &error));
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

int main(void)
{
    for (int i = 0; i < ROWS * INPUTS; i++)
        x[i] = (float)((i * 7 % 11) - 5) / 5;
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        y[i] = (float)((i * 5 % 7) - 3) / 3;
    test_products();
    test_backward_of_arrays();
    test_activations();
    test_losses_of_arrays();
    test_fills();
    test_updates_of_arrays();
    test_averages_of_arrays();
    test_hyperparameters();
    test_networks();
    test_parameters();
    test_evaluation();
    test_passes();
    test_making_trainers();
    test_hypers();
    test_slices();
    test_state();
    test_rules();
    return check_report();
}
