/* What a single line of the core decides, and hardly anything else shows: the host's locale after a message, an old
 * errno, memory of files, mean gradients of unequal batches, layers that pass on what they get, names in messages;
 * losses of the caller, settings of running averages, state that is read while others read the network, sums of single
 * parameters and of single threads, what lies past the last column, networks of processes that have forked. */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <stdint.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#define HAVE_FORK 1
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
    const gradcore_data data = {.size = sizeof data,
                                .x = x + first * INPUTS,
                                .x_stride = INPUTS,
                                .target = y + first * OUTPUTS,
                                .target_stride = OUTPUTS,
                                .rows = rows};
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = rows,
                        .batch = rows,
                        .steps = 1,
                        .hypers = hypers,
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
        LAYER(.kind = "head", .name = "full"),
        LAYER(.kind = "dense", .units = 2),
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

/* ---- trainers ---- */

static double hypers[GRADCORE_HYPERS]; /* of all steps to come */

static void set_hypers(double lr, double own0, double own1, double own2)
{
    const double row[GRADCORE_HYPERS] = {lr, 0, 0, own0, own1, own2};
    memcpy(hypers, row, sizeof row);
}

static gradcore_data batch_of(const double *in, int64_t inputs, int64_t outputs, int64_t rows)
{
    return (gradcore_data){.size = sizeof(gradcore_data),
                           .x = in,
                           .x_stride = inputs,
                           .target = y,
                           .target_stride = outputs,
                           .rows = rows};
}

static gradcore_report run(gradcore_trainer *t, const gradcore_data *data, const int64_t *order)
{
    gradcore_report report = {0};
    gradcore_error error = {0};
    gradcore_run run = {.size = sizeof run,
                        .data = data,
                        .order = order,
                        .end = data->rows,
                        .batch = data->rows,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = &report};
    CHECK_NOTE(gradcore_trainer_run(t, &run, &error) == GRADCORE_OK, "%s", error.message);
    return report;
}

static gradcore_trainer *trainer_of(gradcore_network *n, const char *optimizer)
{
    const gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = optimizer, .capacity = ROWS};
    gradcore_trainer *t = NULL;
    CHECK(gradcore_trainer_create(n, &o, &t, NULL) == GRADCORE_OK);
    return t;
}

static gradcore_network *network_on(const gradcore_layer *layers, size_t count, int64_t inputs, int dtype, int threads,
                                    const char *isa)
{
    const gradcore_network_options o = {
        .size = sizeof o, .inputs = inputs, .dtype = dtype, .threads = threads, .isa = isa};
    gradcore_network *n = NULL;
    CHECK(gradcore_network_create(&o, layers, count, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

static double norm_of(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

static gradcore_status mean_square(void *context, const gradcore_loss_batch *b, double *loss, gradcore_error *error)
{
    const double share = 1.0 / (double)(b->rows * b->outputs);
    (void)context, (void)error;
    *loss = 0;
    for (int64_t r = 0; r < b->rows; r++)
        for (int64_t j = 0; j < b->outputs; j++) {
            const int64_t row = b->order ? b->order[r] : b->first + r;
            const double rest = ((const double *)b->output)[r * b->output_stride + j]
                                - ((const double *)b->target)[row * b->outputs + j];
            *loss += rest * rest * share;
            ((double *)b->d_output)[r * b->d_output_stride + j] = 2 * rest * share;
        }
    return GRADCORE_OK;
}

/* A loss of the caller sees the rows of each batch, in order or shuffled. */
static void a_loss_of_the_caller_meets_its_rows(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = OUTPUTS)};
    const gradcore_trainer_options o = {
        .size = sizeof o, .loss_function = &mean_square, .optimizer = "sgd", .capacity = ROWS};
    const gradcore_data data = batch_of(x, INPUTS, OUTPUTS, ROWS);
    static double want[INPUTS * OUTPUTS], got[INPUTS * OUTPUTS];
    int64_t order[ROWS];
    for (int i = 0; i < ROWS; i++)
        order[i] = i * 37 % ROWS;
    set_hypers(0.1, 0, 0, 0);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        gradcore_network *a = network(layers, 1, INPUTS, NULL), *b = network(layers, 1, INPUTS, NULL);
        gradcore_trainer *built_in = trainer(a), *own = NULL;
        CHECK(gradcore_trainer_create(b, &o, &own, NULL) == GRADCORE_OK);
        const gradcore_report reports[] = {run(built_in, &data, shuffled ? order : NULL),
                                           run(own, &data, shuffled ? order : NULL)};
        CHECK_NOTE(fabs(reports[0].loss - reports[1].loss) < 1e-13, "%g, %g", reports[0].loss, reports[1].loss);
        CHECK(gradcore_network_read(a, 0, want, NULL) == GRADCORE_OK);
        CHECK(gradcore_network_read(b, 0, got, NULL) == GRADCORE_OK);
        for (int i = 0; i < INPUTS * OUTPUTS; i++)
            CHECK_NOTE(fabs(want[i] - got[i]) < 1e-13, "element %d: %g, %g", i, want[i], got[i]);
        gradcore_trainer_destroy(built_in);
        gradcore_trainer_destroy(own);
        gradcore_network_destroy(a);
        gradcore_network_destroy(b);
    }
}

/* Running averages may be frozen, and have no lr and decay of their own. */
static void running_averages_may_be_frozen(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "batch_norm", .eps = 1e-5)};
    gradcore_network *n = network(layers, 1, OUTPUTS, NULL);
    gradcore_trainer *t = trainer(n);
    const gradcore_data data = batch_of(x, OUTPUTS, OUTPUTS, ROWS);
    double mean[OUTPUTS];
    set_hypers(0.1, 0, 0, 0);
    for (int frozen = 1; frozen >= 0; frozen--) {
        gradcore_error error = {0};
        for (int64_t i = 2; i < 4; i++)
            CHECK_NOTE(gradcore_trainer_set_group(t, i, 1, NAN, frozen, &error) == GRADCORE_OK, "%s", error.message);
        CHECK(gradcore_trainer_set_group(t, 2, 2, NAN, frozen, NULL) == GRADCORE_INVALID);
        CHECK(gradcore_trainer_set_group(t, 2, 1, 0, frozen, NULL) == GRADCORE_INVALID);
        run(t, &data, NULL);
        CHECK(gradcore_network_read(n, 2, mean, NULL) == GRADCORE_OK);
        CHECK((mean[0] == 0) == frozen);
    }
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

typedef struct onlooker {
    gradcore_trainer *t;
    int calls;
} onlooker;

static gradcore_status look(void *context, const gradcore_loss_batch *batch, double *loss, gradcore_error *error)
{
    onlooker *o = context;
    double state[INPUTS * OUTPUTS];
    gradcore_error told = {0};
    CHECK_NOTE(gradcore_trainer_state_read(o->t, 0, 0, state, &told) == GRADCORE_OK, "%s", told.message);
    o->calls++;
    return mean_square(NULL, batch, loss, error);
}

/* State that fits the weights already is read while others read the network. */
static void state_is_read_beside_readers(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = OUTPUTS)};
    const gradcore_data data = batch_of(x, INPUTS, OUTPUTS, ROWS);
    double state[INPUTS * OUTPUTS];
    set_hypers(0.1, 0.9, 0.999, 1e-8);
    hypers[GRADCORE_AVERAGE] = 0.5;
    for (int averages = 0; averages < 2; averages++) {
        gradcore_network *n = network(layers, 1, INPUTS, NULL);
        onlooker seen = {.t = trainer_of(n, "adam")};
        const gradcore_trainer_options o = {
            .size = sizeof o, .loss_function = &look, .loss_context = &seen, .optimizer = "sgd", .capacity = ROWS};
        gradcore_trainer *reader = NULL;
        gradcore_report report;
        CHECK(gradcore_trainer_create(n, &o, &reader, NULL) == GRADCORE_OK);
        if (averages)
            CHECK(gradcore_trainer_add_average(seen.t, "lookahead", 3, 0, NULL) == GRADCORE_OK);
        run(seen.t, &data, NULL);
        CHECK(gradcore_trainer_state_read(seen.t, 0, 0, state, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_gradients(reader, &data, &report, NULL) == GRADCORE_OK);
        CHECK(seen.calls == 1);
        gradcore_trainer_destroy(reader);
        gradcore_trainer_destroy(seen.t);
        gradcore_network_destroy(n);
    }
}

/* LARS: w -= lr trust |w| / |g| g, with norms of each parameter by itself. */
static void norms_are_those_of_one_parameter(void)
{
    enum { HIDDEN = 70, MATRICES = 3 };
    static const gradcore_layer layers[] = {
        LAYER(.kind = "dense", .units = HIDDEN),
        LAYER(.kind = "dense", .units = HIDDEN),
        LAYER(.kind = "dense", .units = OUTPUTS),
    };
    static const int64_t sizes[MATRICES] = {INPUTS * HIDDEN, HIDDEN * HIDDEN, HIDDEN * OUTPUTS};
    static double before[MATRICES][INPUTS * HIDDEN], after[INPUTS * HIDDEN], g[INPUTS * HIDDEN];
    const gradcore_data data = batch_of(x, INPUTS, OUTPUTS, ROWS);
    gradcore_network *n = network(layers, 3, INPUTS, NULL);
    gradcore_trainer *t = trainer_of(n, "lars");
    for (int i = 0; i < MATRICES; i++)
        CHECK(gradcore_network_read(n, 2 * i, before[i], NULL) == GRADCORE_OK);
    set_hypers(0.5, 0, 0.01, 1e-8);
    run(t, &data, NULL);
    for (int i = 0; i < MATRICES; i++) {
        CHECK(gradcore_network_read(n, 2 * i, after, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_gradient(t, 2 * i, g, NULL) == GRADCORE_OK);
        const double step = 0.5 * 0.01 * norm_of(before[i], sizes[i]) / (norm_of(g, sizes[i]) + 1e-8);
        int near = 0;
        for (int64_t e = 0; e < sizes[i]; e++)
            near += fabs(after[e] - (before[i][e] - step * g[e])) < 1e-12;
        CHECK_NOTE(near == sizes[i], "matrix %d: %d of %d elements", i, near, (int)sizes[i]);
    }
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Each thread adds up its own part alone: two take the steps of one. */
static void two_threads_climb_like_one(void)
{
    enum { INTO = 64, UNITS = 128 }; /* whole chunks of rows, whole panels for each thread */
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = UNITS, .activation = "tanh"),
                                            LAYER(.kind = "dense", .units = OUTPUTS)};
    static double one[INTO * UNITS], two[INTO * UNITS];
    const gradcore_data data = batch_of(x, INTO, OUTPUTS, ROWS);
    set_hypers(0.1, 0, 0, 0);
    hypers[GRADCORE_AVERAGE] = 2;
    const char *exact = getenv("GRADCORE_EXACT_THREADS");
    setenv("GRADCORE_EXACT_THREADS", "1", 1);
    for (int threads = 1; threads <= 2; threads++) {
        gradcore_network *n = network_on(layers, 2, INTO, GRADCORE_FLOAT64, threads, NULL);
        gradcore_trainer *t = trainer(n);
        CHECK(gradcore_trainer_add_average(t, "asam", 1, 0, NULL) == GRADCORE_OK);
        for (int i = 0; i < 20; i++)
            run(t, &data, NULL);
        CHECK(gradcore_network_read(n, 0, threads == 1 ? one : two, NULL) == GRADCORE_OK);
        gradcore_trainer_destroy(t);
        gradcore_network_destroy(n);
    }
    if (!exact)
        unsetenv("GRADCORE_EXACT_THREADS");
    CHECK(memcmp(one, two, sizeof one) == 0);
}

/* ---- past the last column ---- */

/* A layer of few outputs keeps whole panels of inputs. Where there is no weight, signs move nothing. */
static void signs_move_weights_alone(const char *isa)
{
    enum { WIDTH = 5 };
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = 1, .flags = GRADCORE_LAYER_NO_BIAS)};
    gradcore_network *n = network_on(layers, 1, WIDTH, GRADCORE_FLOAT64, 1, isa);
    gradcore_trainer *t = trainer_of(n, "lion");
    const gradcore_data data = batch_of(x, WIDTH, 1, ROWS);
    double w[WIDTH], norms[2];
    set_hypers(0.25, 0.9, 0.99, 0);
    for (int i = 0; i < 8; i++)
        run(t, &data, NULL);
    CHECK(gradcore_network_read(n, 0, w, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_norms(t, norms, NULL) == GRADCORE_OK);
    CHECK_NOTE(fabs(norms[1] - norm_of(w, WIDTH)) < 1e-13, "%g, %g", norms[1], norm_of(w, WIDTH));
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Infinite inputs make NaN wherever there is a weight of 0. That step is left out, and the next begins without it. */
static void nothing_stays_of_infinite_inputs(const char *isa, int64_t units)
{
    enum { WIDTH = 6 };
    const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = units, .activation = "tanh")};
    gradcore_network *n = network_on(layers, 1, WIDTH, GRADCORE_FLOAT64, 1, isa);
    gradcore_trainer *t = trainer(n);
    double spoiled[WIDTH * 4];
    const gradcore_data good = batch_of(x, WIDTH, units, 4), bad = batch_of(spoiled, WIDTH, units, 4);
    for (int i = 0; i < WIDTH * 4; i++)
        spoiled[i] = i % 2 ? INFINITY : -INFINITY;
    set_hypers(0.1, 0, 0, 0);
    CHECK(!run(t, &bad, NULL).applied);
    CHECK_NOTE(run(t, &good, NULL).applied, "%d units on %s", (int)units, isa);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* The sine of an element depends on no other one: at the very end of what is reduced fast, where the product with
 * alpha is rounded, beside one far out. */
static void a_sine_depends_on_no_neighbour(const char *isa)
{
    enum { WIDTH = 8 };
    static const double alphas[] = {3, 7, 0.3, 1.1};
    for (int a = 0; a < 4; a++) {
        const gradcore_layer layers[] = {
            {.size = sizeof *layers, .kind = "activation", .activation = "sin", .alpha = alphas[a]}};
        gradcore_network *n = network_on(layers, 1, WIDTH, GRADCORE_FLOAT64, 1, isa);
        double alone[WIDTH], beside[WIDTH], in[WIDTH];
        for (int i = 0; i < WIDTH; i++)
            in[i] = (i % 2 ? -1 : 1) * 0x1p20 / alphas[a];
        CHECK(gradcore_network_predict(n, in, WIDTH, 1, alone, WIDTH, NULL) == GRADCORE_OK);
        for (int far = 0; far < WIDTH; far++) {
            double mixed[WIDTH];
            memcpy(mixed, in, sizeof in);
            mixed[far] = 1e300;
            CHECK(gradcore_network_predict(n, mixed, WIDTH, 1, beside, WIDTH, NULL) == GRADCORE_OK);
            for (int i = 0; i < WIDTH; i++)
                CHECK_NOTE(i == far || beside[i] == alone[i], "%s, alpha %g, element %d: %.17g, %.17g", isa, alphas[a],
                           i, beside[i], alone[i]);
        }
        gradcore_network_destroy(n);
    }
}

/* ---- a network that somebody was changing as the process forked ---- */

#ifdef HAVE_FORK
/* In the child: the network is nobody's until all of it is written; then nothing is left of what was there. */
static int child_writes(gradcore_network *n)
{
    static const float zeros[8];
    const float in[8] = {1, 2, 3, 4, 5}, target[1] = {1};
    const void *all[] = {zeros};
    const gradcore_trainer_options o = {.size = sizeof o, .loss = "mse", .optimizer = "sgd", .capacity = 1};
    const gradcore_data data = {
        .size = sizeof data, .x = in, .x_stride = 5, .target = target, .target_stride = 1, .rows = 1};
    gradcore_trainer *t = NULL;
    gradcore_report report;
    float w[8];
    double norms[2] = {1, 1};
    const int refused = gradcore_network_read(n, 0, w, NULL) == GRADCORE_STATE;
    const int done = gradcore_network_write(n, all, NULL) == GRADCORE_OK
                     && gradcore_trainer_create(n, &o, &t, NULL) == GRADCORE_OK
                     && gradcore_trainer_gradients(t, &data, &report, NULL) == GRADCORE_OK
                     && gradcore_trainer_norms(t, norms, NULL) == GRADCORE_OK;
    return !refused ? 1 : !done ? 2 : norms[1] != 0 ? 3 : 0;
}

static double fork_now(void *context, double norm)
{
    (void)norm;
    const pid_t child = fork();
    if (child == 0)
        _exit(child_writes(context));
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_NOTE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
    return 1;
}

static void a_torn_network_begins_anew(void)
{
    static const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = 1, .flags = GRADCORE_LAYER_NO_BIAS)};
    const float in[] = {1, 2, 3, 4, 5}, target[] = {1};
    gradcore_network *n = network_on(layers, 1, 5, GRADCORE_FLOAT32, 1, NULL);
    gradcore_trainer *t = trainer(n);
    const gradcore_data data = {
        .size = sizeof data, .x = in, .x_stride = 5, .target = target, .target_stride = 1, .rows = 1};
    gradcore_report report;
    gradcore_run slice = {.size = sizeof slice,
                          .data = &data,
                          .end = 1,
                          .batch = 1,
                          .steps = 1,
                          .hypers = hypers,
                          .reports = &report,
                          .scale = &fork_now,
                          .scale_context = n};
    set_hypers(0.1, 0, 0, 0);
    CHECK(gradcore_trainer_run(t, &slice, NULL) == GRADCORE_OK);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}
#endif

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
#ifdef HAVE_FORK
    a_torn_network_begins_anew(); /* before there are threads */
#endif
    a_loss_of_the_caller_meets_its_rows();
    running_averages_may_be_frozen();
    state_is_read_beside_readers();
    norms_are_those_of_one_parameter();
    two_threads_climb_like_one();
    for (int32_t i = 0; gradcore_list("isa", i); i++) {
        signs_move_weights_alone(gradcore_list("isa", i));
        for (int64_t units = 1; units <= 8; units++)
            nothing_stays_of_infinite_inputs(gradcore_list("isa", i), units);
        a_sine_depends_on_no_neighbour(gradcore_list("isa", i));
    }
    return check_report();
}
