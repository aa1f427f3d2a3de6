// Learns XOR through the public header alone: build a network, train it, use it.
//
// From the source tree, with the C core compiled in (without -fopenmp: one thread):
//
//     cc -O3 -fopenmp examples/c/xor.c src_c/*/*.c -lm -o xor && ./xor
//
// Against an installed gradcore, whose package folder holds the header and the shared library:
//
//     dir=$(python -c "import gradcore, os; print(os.path.dirname(gradcore.__file__))")
//     cc -O3 -I$dir/include -DINSTALLED examples/c/xor.c $dir/libgradcore-1.so -Wl,-rpath,$dir -o xor && ./xor
#ifdef INSTALLED
#include <gradcore/gradcore.h>
#else
#include "../../gradcore/include/gradcore/gradcore.h"
#endif

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4, STEPS = 500 };

static const float inputs[ROWS][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
static const float targets[ROWS][1] = {{0}, {1}, {1}, {0}};

/* 2 inputs, 8 tanh units, 1 logit. */
static gradcore_status create_network(gradcore_network **network, gradcore_error *error)
{
    gradcore_network_options options = {.size = sizeof options, .inputs = 2, .dtype = GRADCORE_FLOAT32};
    gradcore_layer layers[] = {
        {.size = sizeof *layers, .kind = "dense", .activation = "tanh", .units = 8, .alpha = NAN},
        {.size = sizeof *layers, .kind = "dense", .units = 1, .alpha = NAN},
    };
    gradcore_status status = gradcore_network_create(&options, layers, 2, network, error);
    if (status == GRADCORE_OK)
        status = gradcore_network_initialize(*network, 1, error);
    return status;
}

/* The four rows are one batch. A run may hold many steps; here each has one, to keep the arrays short. */
static gradcore_status train(gradcore_network *network, gradcore_error *error)
{
    gradcore_trainer *trainer = NULL;
    gradcore_trainer_options options = {
        .size = sizeof options, .loss = "binary_cross_entropy", .optimizer = "adam", .capacity = ROWS};
    gradcore_status status = gradcore_trainer_create(network, &options, &trainer, error);
    double hypers[GRADCORE_HYPERS] = {[GRADCORE_LR] = 0.05,
                                      [GRADCORE_OWN] = 0.9,       /* beta1 */
                                      [GRADCORE_OWN + 1] = 0.999, /* beta2 */
                                      [GRADCORE_OWN + 2] = 1e-8}; /* eps */
    gradcore_data data = {
        .size = sizeof data, .x = inputs, .x_stride = 2, .target = targets, .target_stride = 1, .rows = ROWS};
    gradcore_report report;
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = &report};
    for (int i = 0; i < STEPS && status == GRADCORE_OK; i++) {
        status = gradcore_trainer_run(trainer, &run, error);
        if (status == GRADCORE_OK && (i == 0 || i == STEPS - 1))
            printf("step %3d  loss %.4f\n", i + 1, report.loss);
    }
    gradcore_trainer_destroy(trainer);
    return status;
}

/* Prints each row's prediction; *right counts those that are. */
static gradcore_status predict(gradcore_network *network, int *right, gradcore_error *error)
{
    float logits[ROWS][1];
    gradcore_status status = gradcore_network_predict(network, inputs, 2, ROWS, logits, 1, error);
    if (status != GRADCORE_OK)
        return status;
    *right = 0;
    for (int i = 0; i < ROWS; i++) {
        int answer = logits[i][0] > 0;
        printf("%g xor %g = %d\n", inputs[i][0], inputs[i][1], answer);
        *right += answer == (targets[i][0] > 0.5f);
    }
    return GRADCORE_OK;
}

int main(void)
{
    gradcore_network *network = NULL;
    gradcore_error error = {0};
    int right = 0;
    gradcore_status status = create_network(&network, &error);
    if (status == GRADCORE_OK)
        status = train(network, &error);
    if (status == GRADCORE_OK)
        status = predict(network, &right, &error);
    gradcore_network_destroy(network);
    if (status != GRADCORE_OK) {
        fprintf(stderr, "%s\n", error.message);
        return EXIT_FAILURE;
    }
    return right == ROWS ? EXIT_SUCCESS : EXIT_FAILURE;
}
