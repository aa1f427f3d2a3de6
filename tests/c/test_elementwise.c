/* Functions of plain arrays by index and on threads: refusals, labels of every type, the bits of one thread.
 *   cc -O2 -fopenmp tests/c/test_elementwise.c libgradcore.a -lm && ./a.out */
#include <math.h>
#include <string.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 200, CLASSES = 5, N = ROWS * CLASSES };

static gradcore_error error;

static int index_of(const char *family, const char *name)
{
    int i = 0;
    while (strcmp(gradcore_list(family, i), name) != 0)
        i++;
    return i;
}

static void fill(double *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = (double)(i * 37 % 101 - 50) / 17;
}

static void activations(void)
{
    static double x[N], d[N], y[N], other[N];
    const int tanh_ = index_of("activation", "tanh");
    fill(x, N);
    for (int i = 0; i < N; i++)
        d[i] = 1;
    CHECK(gradcore_activation_forward("tanh", GRADCORE_FLOAT64, 0, N, x, y, &error) == GRADCORE_OK);
    for (int i = 0; i < N; i++)
        CHECK(fabs(y[i] - tanh(x[i])) <= 1e-15);
    for (int threads = 0; threads <= 8; threads++) {
        CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, N, x, NULL, other, threads, &error) == GRADCORE_OK);
        CHECK(memcmp(y, other, sizeof y) == 0);
    }
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, N, x, d, other, 3, &error) == GRADCORE_OK);
    for (int i = 0; i < N; i++)
        CHECK(fabs(other[i] - (1 - y[i] * y[i])) <= 1e-15);
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, N, x, d, d, 3, &error) == GRADCORE_OK);
    CHECK(memcmp(d, other, sizeof d) == 0);
    CHECK(gradcore_activation(-1, GRADCORE_FLOAT64, 0, N, x, NULL, y, 0, &error) == GRADCORE_INVALID);
    CHECK(strstr(error.message, "activation: expected 0 to"));
    CHECK(gradcore_activation(1000, GRADCORE_FLOAT64, 0, N, x, NULL, y, 0, &error) == GRADCORE_INVALID);
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, N, x, NULL, y, -1, &error) == GRADCORE_INVALID);
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, N, x, NULL, y, 1025, &error) == GRADCORE_INVALID);
    CHECK(strstr(error.message, "threads: expected 0 to 1024, got 1025"));
    CHECK(gradcore_activation(tanh_, 2, 0, N, x, NULL, y, 0, &error) == GRADCORE_INVALID);
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, -1, x, NULL, y, 0, &error) == GRADCORE_INVALID);
    CHECK(gradcore_activation(tanh_, GRADCORE_FLOAT64, 0, 0, x, NULL, y, 4, &error) == GRADCORE_OK);
}

static void softmax(void)
{
    static double z[N], y[N], other[N];
    fill(z, N);
    CHECK(gradcore_softmax(GRADCORE_FLOAT64, ROWS, CLASSES, z, y, 1, &error) == GRADCORE_OK);
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++)
            sum += exp(z[r * CLASSES + c]);
        for (int c = 0; c < CLASSES; c++)
            CHECK(fabs(y[r * CLASSES + c] - exp(z[r * CLASSES + c]) / sum) <= 1e-15);
    }
    for (int threads = 0; threads <= 8; threads++) {
        memcpy(other, z, sizeof z);
        CHECK(gradcore_softmax(GRADCORE_FLOAT64, ROWS, CLASSES, other, other, threads, &error) == GRADCORE_OK);
        CHECK(memcmp(y, other, sizeof y) == 0);
    }
    CHECK(gradcore_softmax(GRADCORE_FLOAT64, 0, CLASSES, z, y, 0, &error) == GRADCORE_SHAPE);
    CHECK(gradcore_softmax(GRADCORE_FLOAT64, INT64_MAX, 2, z, y, 0, &error) == GRADCORE_SHAPE);
    CHECK(gradcore_softmax(GRADCORE_FLOAT64, 1, 1, NULL, y, 0, &error) == GRADCORE_SHAPE);
    CHECK(gradcore_softmax(7, 1, 1, z, y, 0, &error) == GRADCORE_INVALID);
}

static gradcore_loss_call call_of(const char *loss, const double *z, const void *target, double *losses, double *d)
{
    return (gradcore_loss_call){.size = sizeof(gradcore_loss_call),
                                .loss = index_of("loss", loss),
                                .dtype = GRADCORE_FLOAT64,
                                .rows = ROWS,
                                .cols = CLASSES,
                                .z = z,
                                .target = target,
                                .label_type = GRADCORE_INT32,
                                .label_stride = 4,
                                .losses = losses,
                                .d = d};
}

/* Labels of `type` in every third place of their table, the last row first. */
static void label_types(void)
{
    static double z[N], losses[ROWS], d[N], other[ROWS], d_other[N];
    static int32_t labels[ROWS];
    static char table[ROWS * 24];
    static const int sizes[] = {1, 2, 4, 8, 1, 2, 4, 8};
    fill(z, N);
    for (int r = 0; r < ROWS; r++)
        labels[r] = r * 3 % CLASSES;
    CHECK(gradcore_loss_rows("cross_entropy", NULL, GRADCORE_FLOAT64, ROWS, CLASSES, z, labels, losses, d, &error)
          == GRADCORE_OK);
    for (int type = GRADCORE_INT8; type <= GRADCORE_UINT64; type++) {
        const int size = sizes[type];
        for (int r = 0; r < ROWS; r++) {
            const int8_t a = (int8_t)labels[r];
            const int16_t b = (int16_t)labels[r];
            const int64_t c = labels[r];
            const void *from = size == 1   ? (const void *)&a
                               : size == 2 ? (const void *)&b
                               : size == 4 ? (const void *)&labels[r]
                                           : (const void *)&c;
            memcpy(table + (ROWS - 1 - r) * 3 * size, from, (size_t)size);
        }
        gradcore_loss_call call = call_of("cross_entropy", z, table + (ROWS - 1) * 3 * size, other, d_other);
        call.label_type = type;
        call.label_stride = -3 * size;
        for (call.threads = 0; call.threads <= 8; call.threads++) {
            CHECK(gradcore_loss_of(&call, &error) == GRADCORE_OK);
            CHECK(memcmp(losses, other, sizeof losses) == 0 && memcmp(d, d_other, sizeof d) == 0);
        }
        memset(table + 50 * 3 * size, type < GRADCORE_UINT8 ? 0x80 : 0xff, (size_t)size);
        other[0] = d_other[0] = 77;
        call.threads = 0;
        CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID);
        CHECK(strstr(error.message, "target[149]: expected a class from 0 to 4, got"));
        CHECK(other[0] == 77 && d_other[0] == 77);
    }
}

static void refusals(void)
{
    static double z[N], target[N], losses[ROWS];
    fill(z, N);
    gradcore_loss_call call = call_of("binary_cross_entropy", z, target, losses, NULL);
    call.check_values = 1;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_OK);
    target[N - 1] = 1.5;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID);
    CHECK(strstr(error.message, "target: expected values that binary_cross_entropy takes"));
    call.check_values = 0;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_OK);
    call.size--;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID && strstr(error.message, "loss call.size"));
    call.size++;
    call.loss = 1000;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID && strstr(error.message, "loss: expected 0 to"));
    call = call_of("cross_entropy", z, target, losses, NULL);
    call.label_type = 8;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID && strstr(error.message, "label_type"));
    call.label_type = GRADCORE_INT32;
    call.threads = 2000;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_INVALID && strstr(error.message, "threads"));
    call.threads = 0;
    call.rows = 0;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_SHAPE);
    call.rows = 1;
    call.cols = 1;
    CHECK(gradcore_loss_of(&call, &error) == GRADCORE_SHAPE);
}

static void updates(void)
{
    enum { SIZE = 5000 };
    static double w[2][SIZE], g[SIZE], slots[2][2][SIZE];
    fill(g, SIZE);
    for (int threads = 1; threads <= 8; threads++) {
        double hypers[GRADCORE_HYPERS] = {1e-2, 1e-3}, running[GRADCORE_RUNNING] = {0};
        hypers[GRADCORE_OWN] = 0.9;
        hypers[GRADCORE_OWN + 1] = 0.99;
        hypers[GRADCORE_OWN + 2] = 1e-6;
        const int to = threads > 1;
        fill(w[to], SIZE);
        memset(slots[to], 0, sizeof slots[to]);
        const gradcore_array array = {.dtype = GRADCORE_FLOAT64,
                                      .n = SIZE,
                                      .w = w[to],
                                      .g = g,
                                      .slots = {slots[to][0], slots[to][1]},
                                      .lr_factor = 1,
                                      .weight_decay = (double)NAN};
        for (uint64_t step = 1; step <= 3; step++)
            CHECK(gradcore_optimizer_step_on(threads, "lamb", 0, step, hypers, running, 1, &array, &error)
                  == GRADCORE_OK);
        CHECK(memcmp(w[0], w[to], sizeof w[0]) == 0 && memcmp(slots[0], slots[to], sizeof slots[0]) == 0);
    }
}

int main(void)
{
    activations();
    softmax();
    label_types();
    refusals();
    updates();
    return check_report();
}
