/* gradcore_network_initialize: what layers derive from their weights is that of the new ones. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 5, INPUTS = 7, HIDDEN = 20, OUTPUTS = 3 };

static double x[ROWS * INPUTS];

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer plain[] = {LAYER(.kind = "dense", .units = HIDDEN, .activation = "tanh"),
                                       LAYER(.kind = "dense", .units = OUTPUTS)};
#define RESCALED(name)                                                                                   \
    {LAYER(.kind = "dense", .units = HIDDEN, .flags = GRADCORE_LAYER_RESCALED | GRADCORE_LAYER_NO_BIAS), \
     LAYER(.kind = name, .flags = GRADCORE_LAYER_CONTINUES),                                             \
     LAYER(.kind = "activation", .activation = "tanh", .flags = GRADCORE_LAYER_CONTINUES),               \
     LAYER(.kind = "dense", .units = OUTPUTS)}
static const gradcore_layer by_weight_norm[] = RESCALED("weight_norm");
static const gradcore_layer by_spectral_norm[] = RESCALED("spectral_norm");

static gradcore_network *make(const gradcore_layer *layers, size_t count)
{
    const gradcore_network_options o = {.size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = 1};
    gradcore_network *n = NULL;
    gradcore_error error = {0};
    CHECK_NOTE(gradcore_network_create(&o, layers, count, &n, &error) == GRADCORE_OK, "%s", error.message);
    return n;
}

static void predict(gradcore_network *n, uint64_t seed, double *y)
{
    CHECK(gradcore_network_initialize(n, seed, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_predict(n, x, INPUTS, ROWS, y, OUTPUTS, NULL) == GRADCORE_OK);
}

/* A network that had other weights before predicts what a new one does. */
static void test_again(const gradcore_layer *layers, size_t count)
{
    double first[ROWS * OUTPUTS], other[ROWS * OUTPUTS], again[ROWS * OUTPUTS];
    gradcore_network *one = make(layers, count), *two = make(layers, count);
    predict(one, 3, first);
    predict(two, 99, other);
    predict(two, 3, again);
    CHECK(memcmp(first, other, sizeof first) != 0);
    CHECK(memcmp(first, again, sizeof first) == 0);
    gradcore_network_destroy(one);
    gradcore_network_destroy(two);
}

/* The first layer's weight is (INPUTS, HIDDEN); y = tanh(x w / norm) v, biases being 0. */
static void reference(gradcore_network *n, double norm, double *y)
{
    double w[INPUTS * HIDDEN], v[HIDDEN * OUTPUTS];
    gradcore_parameter_info p = {.size = sizeof p};
    int second = 1;
    while (gradcore_network_parameter(n, second, &p) == GRADCORE_OK && p.ndim != 2)
        second++;
    CHECK(p.rows == HIDDEN && p.cols == OUTPUTS);
    CHECK(gradcore_network_read(n, 0, w, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_read(n, second, v, NULL) == GRADCORE_OK);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < OUTPUTS; c++) {
            double sum = 0;
            for (int h = 0; h < HIDDEN; h++) {
                double z = 0;
                for (int i = 0; i < INPUTS; i++)
                    z += x[r * INPUTS + i] * w[i * HIDDEN + h];
                sum += tanh(z / norm) * v[h * OUTPUTS + c];
            }
            y[r * OUTPUTS + c] = sum;
        }
}

/* The largest singular value of the first layer's weight, by many power iterations. */
static double largest_singular_value(gradcore_network *n)
{
    double w[INPUTS * HIDDEN], u[INPUTS], v[HIDDEN], size = 0;
    CHECK(gradcore_network_read(n, 0, w, NULL) == GRADCORE_OK);
    for (int i = 0; i < INPUTS; i++)
        u[i] = 1 + i;
    for (int turn = 0; turn < 2000; turn++) {
        double length = 0;
        for (int h = 0; h < HIDDEN; h++) {
            v[h] = 0;
            for (int i = 0; i < INPUTS; i++)
                v[h] += w[i * HIDDEN + h] * u[i];
            length += v[h] * v[h];
        }
        size = 0;
        for (int i = 0; i < INPUTS; i++) {
            u[i] = 0;
            for (int h = 0; h < HIDDEN; h++)
                u[i] += w[i * HIDDEN + h] * v[h] / sqrt(length);
            size += u[i] * u[i];
        }
        size = sqrt(size);
        for (int i = 0; i < INPUTS; i++)
            u[i] /= size;
    }
    return size;
}

static void test_values(const gradcore_layer *layers, size_t count, int spectral, double tolerance)
{
    double got[ROWS * OUTPUTS], wanted[ROWS * OUTPUTS];
    gradcore_network *n = make(layers, count);
    predict(n, 3, got);
    reference(n, spectral ? largest_singular_value(n) : 1, wanted);
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        CHECK_NOTE(fabs(got[i] - wanted[i]) <= tolerance, "%g instead of %g", got[i], wanted[i]);
    gradcore_network_destroy(n);
}

int main(void)
{
    CHECK(gradcore_fill("uniform", 1, 0, ROWS, INPUTS, -1, 1, x, NULL) == GRADCORE_OK);
    test_again(plain, 2);
    test_again(by_weight_norm, 4);
    test_again(by_spectral_norm, 4);
    test_values(plain, 2, 0, 1e-14);
    test_values(by_weight_norm, 4, 0, 1e-14);
    test_values(by_spectral_norm, 4, 1, 0.05);
    return check_report();
}
