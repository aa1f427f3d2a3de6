/* Options of losses, losses of the caller's own, and penalties, through the C interface alone.
 *   cc -O2 -fopenmp tests/c/test_loss.c libgradcore.a -lm && ./a.out */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { INPUTS = 5, OUTPUTS = 4, ROWS = 600 };
static double x[ROWS * INPUTS], y[ROWS * OUTPUTS];
static int32_t labels[ROWS];

static gradcore_network *make_network(int threads)
{
    const gradcore_layer layers[] = {
        {.size = sizeof *layers, .kind = "dense", .units = 40, .activation = "tanh", .alpha = NAN},
        {.size = sizeof *layers, .kind = "dense", .units = OUTPUTS, .alpha = NAN}};
    const gradcore_network_options options = {
        .size = sizeof options, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = threads};
    gradcore_network *n = NULL;
    CHECK(gradcore_network_create(&options, layers, 2, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

static gradcore_trainer_options trainer_options(const char *loss)
{
    return (gradcore_trainer_options){
        .size = sizeof(gradcore_trainer_options), .loss = loss, .optimizer = "sgd", .capacity = ROWS};
}

static gradcore_status refused(const char *loss, gradcore_loss_options o)
{
    gradcore_network *n = make_network(1);
    gradcore_trainer *t = NULL;
    gradcore_trainer_options options = trainer_options(loss);
    gradcore_error error = {0};
    options.loss_options = &o;
    const gradcore_status status = gradcore_trainer_create(n, &options, &t, &error);
    CHECK(status == GRADCORE_OK || (!t && error.message[0]));
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
    return status;
}

#define NANS {NAN, NAN, NAN, NAN}

static void test_options_are_checked(void)
{
    const double good[OUTPUTS] = {1, 2, 0, 0.5}, bad[OUTPUTS] = {1, -2, 1, 1}, odd[OUTPUTS] = {1, NAN, 1, 1};
    const gradcore_loss_options plain = {.size = sizeof plain, .parameters = NANS};
    gradcore_loss_options o = plain;
    CHECK(refused("huber", o) == GRADCORE_OK);
    o.parameters[0] = 0;
    CHECK(refused("huber", o) == GRADCORE_INVALID);
    CHECK(refused("smooth_l1", o) == GRADCORE_OK);
    o.parameters[0] = 0.5;
    CHECK(refused("poisson", o) == GRADCORE_INVALID); /* a flag is 0 or 1 */
    CHECK(refused("quantile", o) == GRADCORE_OK);
    o.parameters[0] = INFINITY;
    CHECK(refused("focal", o) == GRADCORE_INVALID);
    o = plain;
    o.size--;
    CHECK(refused("huber", o) == GRADCORE_INVALID);
    o = plain;
    o.flags = GRADCORE_LOSS_BY_COUNT;
    CHECK(refused("mse", o) == GRADCORE_INVALID);
    CHECK(refused("cross_entropy", o) == GRADCORE_OK);
    o.flags = GRADCORE_LOSS_IGNORES | GRADCORE_LOSS_PROBABILITIES;
    CHECK(refused("cross_entropy", o) == GRADCORE_INVALID);
    o = plain;
    o.vector = good;
    o.vector_size = OUTPUTS;
    CHECK(refused("cross_entropy", o) == GRADCORE_OK);
    CHECK(refused("hinge", o) == GRADCORE_INVALID);
    o.vector = bad;
    CHECK(refused("focal", o) == GRADCORE_INVALID);
    o.vector = odd;
    CHECK(refused("binary_cross_entropy", o) == GRADCORE_INVALID);
    o.vector_size = OUTPUTS - 1;
    CHECK(refused("binary_cross_entropy", o) == GRADCORE_SHAPE);
    CHECK(refused("no_such", plain) == GRADCORE_INVALID);
}

/* Callers who were compiled with the shorter structs of version 1.0. */
static void test_older_structs(void)
{
    gradcore_network *n = make_network(1);
    gradcore_trainer *t = NULL;
    gradcore_trainer_options options = trainer_options("cross_entropy");
    options.size = offsetof(gradcore_trainer_options, loss_options);
    memset((char *)&options + options.size, 0x55, sizeof options - options.size);
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    const gradcore_data data = {.size = sizeof data, .x = x, .x_stride = INPUTS, .target = labels, .rows = ROWS};
    gradcore_score score = {.size = offsetof(gradcore_score, weight), .weight = 7, .divisor = 7};
    CHECK(gradcore_network_evaluate(n, "cross_entropy", &data, &score, NULL) == GRADCORE_OK);
    CHECK(score.loss > 0 && score.weight == 7 && score.divisor == 7);
    score.size = sizeof score;
    CHECK(gradcore_network_evaluate_loss(n, "cross_entropy", NULL, &data, &score, NULL) == GRADCORE_OK);
    CHECK(score.weight == ROWS && score.divisor == ROWS);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static gradcore_status step(gradcore_trainer *t, const void *target, double *loss, gradcore_error *error)
{
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = target, .target_stride = OUTPUTS, .rows = ROWS};
    const double hypers[GRADCORE_HYPERS] = {0.1};
    gradcore_report report;
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = &report};
    const gradcore_status status = gradcore_trainer_run(t, &run, error);
    *loss = status == GRADCORE_OK ? report.loss : NAN;
    return status;
}

static void test_rows_and_labels(void)
{
    const double weight[OUTPUTS] = {1, 2, 0, 0.5};
    const gradcore_loss_options o = {.size = sizeof o,
                                     .flags = GRADCORE_LOSS_IGNORES,
                                     .parameters = NANS,
                                     .vector = weight,
                                     .vector_size = OUTPUTS,
                                     .ignore_index = -7};
    double losses[3], d[3 * OUTPUTS];
    int32_t some[3] = {1, -7, 3};
    CHECK(gradcore_loss_rows("cross_entropy", &o, GRADCORE_FLOAT64, 3, OUTPUTS, y, some, losses, d, NULL)
          == GRADCORE_OK);
    CHECK(losses[0] > 0 && losses[1] == 0 && losses[2] > 0 && d[OUTPUTS] == 0 && d[0] != 0);
    some[1] = -8;
    CHECK(gradcore_loss_rows("cross_entropy", &o, GRADCORE_FLOAT64, 3, OUTPUTS, y, some, losses, d, NULL)
          == GRADCORE_INVALID);
    CHECK(gradcore_loss("gaussian_nll", GRADCORE_FLOAT64, 3, 3, y, y, losses, d, NULL) == GRADCORE_SHAPE);
}

typedef struct own {
    const double *target;
    int calls, fail_at;
} own;

/* The mean squared error. */
static gradcore_status own_loss(void *context, const gradcore_loss_batch *b, double *loss, gradcore_error *error)
{
    own *c = context;
    const double scale = 1.0 / (double)(b->rows * b->outputs);
    double sum = 0;
    if (c->calls++ == c->fail_at) {
        strcpy(error->message, "own reason");
        return GRADCORE_STATE;
    }
    for (int64_t r = 0; r < b->rows; r++)
        for (int64_t j = 0; j < b->outputs; j++) {
            const int64_t row = b->order ? b->order[r] : b->first + r;
            const double e = ((const double *)b->output)[r * b->output_stride + j] - c->target[row * b->outputs + j];
            ((double *)b->d_output)[r * b->d_output_stride + j] = 2 * e * scale;
            sum += e * e;
        }
    *loss = sum * scale;
    return GRADCORE_OK;
}

static void test_own_loss(void)
{
    for (int threads = 1; threads <= 3; threads += 2) {
        gradcore_network *mine = make_network(threads), *core = make_network(threads);
        own context = {y, 0, 3};
        gradcore_trainer_options options = trainer_options(NULL), plain = trainer_options("mse");
        gradcore_trainer *t = NULL, *u = NULL;
        gradcore_error error = {0};
        double a, b;
        uint64_t steps;
        options.loss_function = &own_loss;
        options.loss_context = &context;
        CHECK(gradcore_trainer_create(mine, &options, &t, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_create(core, &plain, &u, NULL) == GRADCORE_OK);
        for (int i = 0; i < 3; i++) {
            CHECK(step(t, NULL, &a, NULL) == GRADCORE_OK && step(u, y, &b, NULL) == GRADCORE_OK);
            CHECK(fabs(a - b) <= 1e-12 * b);
        }
        double before[INPUTS * 40], after[INPUTS * 40];
        CHECK(gradcore_network_read(mine, 0, before, NULL) == GRADCORE_OK);
        CHECK(step(t, NULL, &a, &error) == GRADCORE_STATE && strcmp(error.message, "own reason") == 0);
        CHECK(gradcore_network_read(mine, 0, after, NULL) == GRADCORE_OK);
        gradcore_trainer_get_progress(t, &steps, NULL);
        CHECK(steps == 3 && memcmp(before, after, sizeof before) == 0);
        CHECK(step(t, NULL, &a, NULL) == GRADCORE_OK);
        gradcore_trainer_destroy(t);
        options.loss = "mse";
        CHECK(gradcore_trainer_create(mine, &options, &t, NULL) == GRADCORE_INVALID);
        gradcore_trainer_destroy(u);
        gradcore_network_destroy(mine);
        gradcore_network_destroy(core);
    }
}

static void test_penalty(void)
{
    gradcore_network *n = make_network(2);
    gradcore_trainer *t = NULL;
    const gradcore_trainer_options options = trainer_options("mse");
    double value, with, without;
    CHECK(gradcore_network_penalty(n, &value, NULL) == GRADCORE_OK && value == 0);
    CHECK(gradcore_network_set_penalty(n, 0, -1, 0, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_set_penalty(n, 0, 0, NAN, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_set_penalty(n, 99, 0, 0, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_set_penalty(n, 0, 0.1, 0.2, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_penalty(n, &value, NULL) == GRADCORE_OK && value > 0);
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    gradcore_score score = {.size = sizeof score};
    CHECK(gradcore_network_evaluate(n, "mse", &data, &score, NULL) == GRADCORE_OK);
    without = score.loss;
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    CHECK(step(t, y, &with, NULL) == GRADCORE_OK && fabs(with - without - value) < 1e-12);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

int main(void)
{
    double values[ROWS * INPUTS];
    CHECK(gradcore_fill("normal", 1, 0, ROWS, INPUTS, 0, 1, values, NULL) == GRADCORE_OK);
    memcpy(x, values, sizeof x);
    CHECK(gradcore_fill("normal", 1, 1, ROWS, OUTPUTS, 0, 1, y, NULL) == GRADCORE_OK);
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % OUTPUTS;
    test_options_are_checked();
    test_older_structs();
    test_rows_and_labels();
    test_own_loss();
    test_penalty();
    return check_report();
}
