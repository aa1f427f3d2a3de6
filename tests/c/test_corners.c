/* What a single line of the core decides, and hardly anything else shows: the host's locale after a message, an old
 * errno, memory of files, mean gradients of unequal batches, layers that pass on what they get, names in messages. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdint.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { INPUTS = 300, OUTPUTS = 3, ROWS = 64, FIRST = 40 };

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS];

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}

static gradcore_network *network(const gradcore_layer *layers, size_t count, int64_t inputs, gradcore_error *error)
{
    const gradcore_network_options o = {.size = sizeof o, .inputs = inputs, .dtype = GRADCORE_FLOAT64, .threads = 1};
    gradcore_network *n = NULL;
    if (gradcore_network_create(&o, layers, count, &n, error) == GRADCORE_OK)
        CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

/* A message with numbers in it is written in the locale "C" of this thread, which then has the host's again. */
static void the_locale_of_the_host(void)
{
    static const gradcore_layer wrong[] = {LAYER(.kind = "dropout", .rate = 1.5)};
    const locale_t before = uselocale((locale_t)0);
    gradcore_error error = {0};
    CHECK(network(wrong, 1, INPUTS, &error) == NULL);
    CHECK_NOTE(strstr(error.message, "got 1.5"), "%s", error.message);
    CHECK(uselocale((locale_t)0) == before);
    const locale_t own = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    uselocale(own);
    CHECK(network(wrong, 1, INPUTS, &error) == NULL);
    CHECK(uselocale((locale_t)0) == own);
    uselocale(before);
    freelocale(own);
}

/* errno says something of a call that failed; what an earlier one has left there is nobody's. */
static void an_old_errno(void)
{
    const gradcore_tensor tensor = {.name = "a", .dtype = "F64", .ndim = 1, .shape = {3}, .data = x, .bytes = 24};
    gradcore_error error = {0};
    for (int i = 0; i < 2; i++) { /* a new file, and one that is there */
        errno = EINTR;
        CHECK_NOTE(gradcore_file_save("corners.safetensors", &tensor, 1, NULL, 0, &error) == GRADCORE_OK, "%s",
                   error.message);
    }
    remove("corners.safetensors");
}

static void files_leave_no_memory(void)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const gradcore_tensor tensor = {.name = "a", .dtype = "F64", .ndim = 1, .shape = {3}, .data = x, .bytes = 24};
    void *bytes = NULL;
    size_t size = 0, begun = 0;
    CHECK(gradcore_file_encode(&tensor, 1, NULL, 0, &bytes, &size, NULL) == GRADCORE_OK);
    for (int i = 0; i < 200; i++) {
        gradcore_file *file = NULL;
        CHECK(gradcore_file_decode(bytes, size, &file, NULL) == GRADCORE_OK);
        gradcore_file_close(file);
        begun = i == 99 ? mallinfo2().uordblks : begun;
    }
    CHECK_NOTE(mallinfo2().uordblks < begun + 100, "%zu bytes more", mallinfo2().uordblks - begun);
    gradcore_free(bytes);
#endif
}

static gradcore_trainer *trainer(gradcore_network *n)
{
    const gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = "sgd", .capacity = ROWS};
    gradcore_trainer *t = NULL;
    CHECK(gradcore_trainer_create(n, &o, &t, NULL) == GRADCORE_OK);
    return t;
}

static void step(gradcore_trainer *t, int64_t first, int64_t rows)
{
    double hypers[GRADCORE_HYPERS] = {0};
    gradcore_report report;
    const gradcore_data data = {.size = sizeof data, .x = x + first * INPUTS, .x_stride = INPUTS,
                                .target = y + first * OUTPUTS, .target_stride = OUTPUTS, .rows = rows};
    gradcore_run run = {.size = sizeof run, .data = &data, .end = rows, .batch = rows, .steps = 1, .hypers = hypers,
                        .reports = &report};
    hypers[GRADCORE_LR] = 0.1;
    CHECK(gradcore_trainer_run(t, &run, NULL) == GRADCORE_OK);
}

/* Two batches of 40 and 24 rows make the update of one of 64, in a matrix of more rows than are averaged at a time. */
static void unequal_batches_are_the_large_one(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = OUTPUTS)};
    static double whole[INPUTS * OUTPUTS], parts[INPUTS * OUTPUTS];
    gradcore_network *a = network(layers, 1, INPUTS, NULL), *b = network(layers, 1, INPUTS, NULL);
    gradcore_trainer *large = trainer(a), *small = trainer(b);
    CHECK(gradcore_trainer_add_average(small, "accumulate", 2, 0, NULL) == GRADCORE_OK);
    step(large, 0, ROWS);
    step(small, 0, FIRST);
    step(small, FIRST, ROWS - FIRST);
    CHECK(gradcore_network_read(a, 0, whole, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_read(b, 0, parts, NULL) == GRADCORE_OK);
    for (int i = 0; i < INPUTS * OUTPUTS; i++)
        CHECK_NOTE(fabs(whole[i] - parts[i]) < 1e-13, "element %d: %g, %g", i, whole[i], parts[i]);
    gradcore_trainer_destroy(large);
    gradcore_trainer_destroy(small);
    gradcore_network_destroy(a);
    gradcore_network_destroy(b);
}

/* The identity passes on every row, the last one too. */
static void the_identity_passes_on_every_row(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "activation", .activation = "identity"),
                                            LAYER(.kind = "activation", .activation = "identity")};
    double out[ROWS * OUTPUTS];
    for (int count = 1; count <= 2; count++)
        for (int64_t rows = 1; rows <= 5; rows++) {
            gradcore_network *n = network(layers, (size_t)count, OUTPUTS, NULL);
            memset(out, 0xa5, sizeof out);
            CHECK(gradcore_network_predict(n, y, OUTPUTS, rows, out, OUTPUTS, NULL) == GRADCORE_OK);
            CHECK(memcmp(out, y, (size_t)(rows * OUTPUTS) * sizeof *out) == 0);
            gradcore_network_destroy(n);
        }
}

/* An empty head is named: the one that was open. */
static void an_empty_head_is_named(void)
{
    static const gradcore_layer layers[] = {
        LAYER(.kind = "heads"),
        LAYER(.kind = "head", .name = "full"), LAYER(.kind = "dense", .units = 2),
        LAYER(.kind = "head", .name = "hollow"),
        LAYER(.kind = "end_heads"),
    };
    gradcore_error error = {0};
    CHECK(network(layers, 5, INPUTS, &error) == NULL);
    CHECK_NOTE(strstr(error.message, "in head 'hollow'"), "%s", error.message);
}

/* Flags that a layer does not know are refused, those at the end of a block too. */
static void unknown_flags_are_refused(void)
{
    const gradcore_layer layers[] = {LAYER(.kind = "residual"), LAYER(.kind = "dense", .units = INPUTS),
                                     LAYER(.kind = "end", .flags = 1u << 30)};
    gradcore_error error = {0};
    CHECK(network(layers, 3, INPUTS, &error) == NULL);
    CHECK_NOTE(strstr(error.message, "flags: expected known bits"), "%s", error.message);
}

int main(void)
{
    CHECK(gradcore_fill("uniform", 1, 0, ROWS, INPUTS, -1, 1, x, NULL) == GRADCORE_OK);
    CHECK(gradcore_fill("uniform", 2, 0, ROWS, OUTPUTS, -1, 1, y, NULL) == GRADCORE_OK);
    the_locale_of_the_host();
    an_old_errno();
    files_leave_no_memory();
    unequal_batches_are_the_large_one();
    the_identity_passes_on_every_row();
    an_empty_head_is_named();
    unknown_flags_are_refused();
    return check_report();
}
