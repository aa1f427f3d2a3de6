/* Threads of one team, of several at once, and arrays that change while a call runs. What is trained here meets every
 * barrier of the engine: under ThreadSanitizer nothing may be reported, and a stress build (-DGRC_STRESS), which
 * makes a random thread late at every barrier, has to give the bits of one thread.
 *
 * test_threads [RUNS]: so many trainings of a loss that is not finite, before a batch that is shorter. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#ifdef __linux__
#include <sys/resource.h>
#include <unistd.h>
#endif

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"
#include "base/team.h"

enum { ROWS = 150, INPUTS = 8, OUTPUTS = 3, MOST_STEPS = 12, MOST_THREADS = 4 };

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS], weights[ROWS];
static int32_t labels[ROWS];
static int64_t order[ROWS];

static void make_data(void)
{
    CHECK(gradcore_fill("uniform", 1, 0, ROWS, INPUTS, -1, 1, x, NULL) == GRADCORE_OK);
    CHECK(gradcore_fill("uniform", 2, 0, ROWS, OUTPUTS, -1, 1, y, NULL) == GRADCORE_OK);
    CHECK(gradcore_fill("uniform", 3, 0, ROWS, 1, 0, 2, weights, NULL) == GRADCORE_OK);
    CHECK(gradcore_shuffle(4, 0, ROWS, order, NULL) == GRADCORE_OK);
    for (int r = 0; r < ROWS; r++)
        labels[r] = (int32_t)(fabs(x[r * INPUTS]) * OUTPUTS);
}

/* ---- what is trained ---- */

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
#define DENSE(n) LAYER(.kind = "dense", .units = n, .activation = "tanh")
static const gradcore_layer plain[] = {DENSE(40), LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer tiny[] = {LAYER(.kind = "dense", .units = OUTPUTS, .flags = GRADCORE_LAYER_NO_BIAS)};
static const gradcore_layer wide[] = {DENSE(600), LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer normed[] = {DENSE(40),
                                        LAYER(.kind = "batch_norm"),
                                        LAYER(.kind = "dropout", .rate = 0.2),
                                        DENSE(20),
                                        LAYER(.kind = "batch_norm", .flags = GRADCORE_LAYER_CUMULATIVE),
                                        LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer derived[] = {
    LAYER(.kind = "dense", .units = 40, .flags = GRADCORE_LAYER_RESCALED | GRADCORE_LAYER_NO_BIAS),
    LAYER(.kind = "weight_norm", .flags = GRADCORE_LAYER_CONTINUES),
    LAYER(.kind = "layer_norm"),
    LAYER(.kind = "dense", .units = 40, .flags = GRADCORE_LAYER_RESCALED | GRADCORE_LAYER_NO_BIAS),
    LAYER(.kind = "spectral_norm", .flags = GRADCORE_LAYER_CONTINUES),
    LAYER(.kind = "prelu"),
    LAYER(.kind = "residual"),
    DENSE(20),
    LAYER(.kind = "end", .flags = GRADCORE_LAYER_PROJECTION),
    LAYER(.kind = "dense", .units = OUTPUTS)};
static const gradcore_layer headed[] = {DENSE(40),
                                        LAYER(.kind = "batch_norm"),
                                        LAYER(.kind = "heads"),
                                        LAYER(.kind = "head", .name = "a"),
                                        LAYER(.kind = "dense", .units = OUTPUTS),
                                        LAYER(.kind = "head", .name = "b"),
                                        DENSE(20),
                                        LAYER(.kind = "dense", .units = OUTPUTS),
                                        LAYER(.kind = "end_heads", .flags = GRADCORE_LAYER_UNCERTAIN)};
static const gradcore_head_loss head_losses[] = {{.size = sizeof *head_losses, .loss = "cross_entropy", .weight = 1},
                                                 {.size = sizeof *head_losses, .loss = "mse", .weight = 2}};
static const gradcore_head_data head_targets[] = {
    {.size = sizeof *head_targets, .target = labels},
    {.size = sizeof *head_targets, .target = y, .target_stride = OUTPUTS, .weight = weights}};

#define RULE(...) {.size = sizeof(gradcore_rule), .order = 2, __VA_ARGS__}
static const gradcore_rule rules[] = {RULE(.name = "example_norm", .limit = 0.5),
                                      RULE(.name = "centralize"),
                                      RULE(.name = "noise", .limit = 0.01),
                                      RULE(.name = "tensor_norm", .limit = 0.3),
                                      RULE(.name = "adaptive", .limit = 0.01, .other = 1e-3),
                                      RULE(.name = "value", .limit = 0.05),
                                      RULE(.name = "global_norm", .limit = 0.2),
                                      RULE(.name = "max_norm", .limit = 0.8),
                                      RULE(.name = "box", .limit = 0.5, .other = -0.5)};
enum { RULES = sizeof rules / sizeof *rules };

enum {
    CLASSES = 1,
    SHUFFLED = 2,
    WEIGHED = 4,
    OWN_LOSS = 8,
    SCALED = 16,
    RULED = 32,
    MATRICES = 64,
    SURGERY = 128,
    HEADS = 256,
    CLASS_WEIGHTS = 512,
    PENALIZED = 1024
};

typedef struct scenario {
    const char *name;
    const gradcore_layer *layers;
    size_t layer_count;
    const char *optimizer, *clip, *nonfinite;
    int what;
    int batch;
    double hypers[GRADCORE_HYPERS];
    const char *average;
    int every;
    int epochs;  /* 0: two */
    int bad_row; /* from 1: a target there of which the loss is infinite, the gradient is not */
} scenario;

#define NET(l) .layers = l, .layer_count = sizeof(l) / sizeof *(l)
#define SGD .optimizer = "sgd", .hypers = {0.05, 0.01, 0.5, 0.9}
#define ADAM .optimizer = "adam", .hypers = {0.01, 0, 0.5, 0.9, 0.999, 1e-8, 0, [GRADCORE_AVERAGE] = 0.5}
static const scenario scenarios[] = {
    {.name = "short last batch", NET(plain), SGD, .batch = 64},
    {.name = "classes", NET(plain), ADAM, .what = CLASSES | CLASS_WEIGHTS | WEIGHED | SHUFFLED, .batch = 40},
    {.name = "columns", NET(wide), SGD, .batch = 64, .clip = "value"},
    {.name = "one row", NET(plain), ADAM, .batch = 1},
    {.name = "not finite, skip", NET(plain), SGD, .batch = 64, .bad_row = 100},
    {.name = "not finite, raise", NET(plain), SGD, .batch = 64, .bad_row = 100, .nonfinite = "raise"},
    {.name = "not finite, propagate", NET(plain), SGD, .batch = 64, .bad_row = 150, .nonfinite = "propagate"},
    {.name = "undone update", NET(plain), .optimizer = "sgd", .hypers = {1e300, 1e10}, .batch = 16, .epochs = 12},
    {.name = "batch norm", NET(normed), ADAM, .what = SHUFFLED, .batch = 37, .clip = "global_norm"},
    {.name = "derived weights", NET(derived), ADAM, .batch = 64, .what = PENALIZED},
    {.name = "sam", NET(normed), ADAM, .batch = 64, .average = "sam"},
    {.name = "asam, not finite", NET(derived), ADAM, .batch = 64, .average = "asam", .bad_row = 100},
    {.name = "accumulate", NET(normed), ADAM, .batch = 32, .average = "accumulate", .every = 2},
    {.name = "accumulate, not finite",
     NET(plain),
     ADAM,
     .batch = 32,
     .average = "accumulate",
     .every = 3,
     .bad_row = 40},
    {.name = "ema", NET(plain), ADAM, .batch = 64, .average = "ema"},
    {.name = "lookahead", NET(plain), ADAM, .batch = 32, .average = "lookahead", .every = 2},
    {.name = "lookahead, rules", NET(plain), ADAM, .what = RULED, .batch = 32, .average = "lookahead", .every = 2},
    {.name = "heads", NET(headed), ADAM, .what = HEADS | SHUFFLED, .batch = 64},
    {.name = "surgery", NET(headed), ADAM, .what = HEADS | SURGERY, .batch = 64, .clip = "global_norm"},
    {.name = "surgery and sam", NET(headed), ADAM, .what = HEADS | SURGERY, .batch = 64, .average = "sam"},
    {.name = "rules", NET(plain), SGD, .what = RULED, .batch = 64},
    {.name = "own scale", NET(plain), SGD, .what = SCALED, .batch = 64, .bad_row = 100},
    {.name = "own loss", NET(normed), SGD, .what = OWN_LOSS | SHUFFLED, .batch = 64},
    {.name = "muon",
     NET(normed),
     .optimizer = "muon",
     .what = MATRICES,
     .batch = 64,
     .hypers = {0.02, 0.01, 0, 0.95, 3.4445, -4.775, 2.0315, 1e-7, 5, 0, 0.9, 0.999, 0.01}},
    {.name = "soap",
     NET(plain),
     .optimizer = "soap",
     .what = MATRICES,
     .batch = 32,
     .hypers = {0.02, 0.01, 0, 0.95, 0.95, 1e-8, 0.95, 2}},
    {.name = "lamb", NET(plain), .optimizer = "lamb", .hypers = {0.01, 0.01, 0, 0.9, 0.999, 1e-6}, .batch = 64},
    {.name = "prodigy",
     NET(plain),
     .optimizer = "prodigy",
     .batch = 64,
     .hypers = {1, 0, 0, 0.9, 0.999, 0.99, 1e-8, 1e-6, 1, INFINITY}},
    {.name = "schedule-free",
     NET(normed),
     .optimizer = "schedule_free_adamw",
     .batch = 64,
     .hypers = {0.01, 0, 0, 0.9, 0.999, 1e-8, 2, 0, 2}},
    {.name = "schedule-free, rules",
     NET(plain),
     .optimizer = "schedule_free_sgd",
     .what = RULED,
     .batch = 32,
     .hypers = {0.1, 0, 0, 0.9, 3, 0, 2}},
    /* One matrix, of one panel: all threads but the last own nothing, and the first keeps the running numbers. */
    {.name = "nadam, owners of nothing",
     NET(tiny),
     .optimizer = "nadam",
     .batch = 20,
     .hypers = {0.01, 0, 0, 0.9, 0.999, 1e-8, 0.004}},
    {.name = "schedule-free, owners of nothing",
     NET(tiny),
     .optimizer = "schedule_free_sgd",
     .batch = 20,
     .hypers = {0.1, 0, 0, 0.9, 3, 0, 2}},
    {.name = "prodigy, owners of nothing",
     NET(tiny),
     .optimizer = "prodigy",
     .batch = 20,
     .hypers = {1, 0, 0, 0.9, 0.999, 0.99, 1e-8, 1e-6, 1, INFINITY}},
    {.name = "lamb, owners of nothing",
     NET(tiny),
     .optimizer = "lamb",
     .hypers = {0.01, 0.01, 0, 0.9, 0.999, 1e-6},
     .batch = 20},
};
enum { SCENARIOS = sizeof scenarios / sizeof *scenarios };

static gradcore_status own_loss(void *context, const gradcore_loss_batch *b, double *loss, gradcore_error *error)
{
    (void)context, (void)error;
    *loss = 0;
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t row = b->order ? b->order[r] : b->first + r;
        for (int64_t j = 0; j < b->outputs; j++) {
            const double z = ((const double *)b->output)[r * b->output_stride + j] - y[row * OUTPUTS + j];
            ((double *)b->d_output)[r * b->d_output_stride + j] = z / (double)b->rows;
            *loss += z * z / (double)(2 * b->rows);
        }
    }
    return GRADCORE_OK;
}

/* What somebody else writes while a call runs: the number at its place becomes `value`. */
typedef struct intruder {
    int32_t *label;
    int64_t *position;
    int hyper; /* from 1: of step 1 */
    double *number, value;
    long wait; /* for so many calls more */
} intruder;

static void intrude(intruder *who)
{
    if (!who || who->wait-- != 0)
        return;
    if (who->label)
        *who->label = (int32_t)who->value;
    if (who->position)
        *who->position = (int64_t)who->value;
    if (who->number)
        *who->number = who->value;
}

/* Called within a step, when its own rows have been read. */
static double own_scale(void *context, double norm)
{
    intrude(context);
    return norm > 0.5 ? 0.5 / norm : 1;
}

typedef struct subject { /* a network in training */
    gradcore_network *net;
    gradcore_trainer *trainer;
    gradcore_network_info about;
    double hypers[ROWS][GRADCORE_HYPERS];
} subject;

static gradcore_network *make_network(const scenario *c, int threads, const gradcore_allocator *allocator)
{
    gradcore_network *n = NULL;
    const gradcore_network_options options = {.size = sizeof options,
                                              .inputs = INPUTS,
                                              .dtype = GRADCORE_FLOAT64,
                                              .threads = threads,
                                              .allocator = allocator};
    CHECK_NOTE(gradcore_network_create(&options, c->layers, c->layer_count, &n, NULL) == GRADCORE_OK, "%s", c->name);
    CHECK(gradcore_network_initialize(n, 3, NULL) == GRADCORE_OK);
    return n;
}

static const double class_weights[OUTPUTS] = {1, 2, 0.5};
static const gradcore_loss_options weighing = {
    .size = sizeof weighing, .parameters = {NAN, NAN, NAN, NAN}, .vector = class_weights, .vector_size = OUTPUTS};

static subject make(const scenario *c, int threads)
{
    subject s = {.net = make_network(c, threads, NULL), .about = {.size = sizeof s.about}};
    gradcore_trainer_options options = {.size = sizeof options,
                                        .optimizer = c->optimizer,
                                        .clip = c->clip,
                                        .nonfinite = c->nonfinite,
                                        .capacity = ROWS,
                                        .seed = 5,
                                        .loss = c->what & CLASSES ? "cross_entropy" : "mse"};
    options.flags = strcmp(c->optimizer, "sgd") == 0 ? GRADCORE_OPTIMIZER_MOMENTUM : 0;
    if (c->what & CLASS_WEIGHTS)
        options.loss_options = &weighing;
    if (c->what & (HEADS | OWN_LOSS))
        options.loss = NULL;
    if (c->what & HEADS)
        options.heads = head_losses, options.head_count = 2;
    options.head_flags = c->what & SURGERY ? GRADCORE_GRADIENT_SURGERY : 0;
    if (c->what & OWN_LOSS)
        options.loss_function = &own_loss;
    gradcore_network_get_info(s.net, &s.about);
    for (int i = 0; i < ROWS; i++)
        memcpy(s.hypers[i], c->hypers, sizeof s.hypers[i]);
    CHECK_NOTE(gradcore_trainer_create(s.net, &options, &s.trainer, NULL) == GRADCORE_OK, "%s", c->name);
    if (c->average)
        CHECK(gradcore_trainer_add_average(s.trainer, c->average, c->every ? c->every : 1, 0, NULL) == GRADCORE_OK);
    if (c->what & RULED)
        CHECK(gradcore_trainer_set_rules(s.trainer, rules, RULES, NULL) == GRADCORE_OK);
    uint8_t mask[64] = {0};
    for (int64_t i = 0; i < s.about.parameters; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(s.net, i, &p);
        mask[i] = p.trainable && p.ndim == 2;
        if (c->what & PENALIZED && p.trainable)
            CHECK(gradcore_network_set_penalty(s.net, i, 1e-4, 1e-3, NULL) == GRADCORE_OK);
    }
    if (c->what & MATRICES)
        CHECK(gradcore_trainer_set_matrices(s.trainer, mask, 64, NULL) == GRADCORE_OK);
    return s;
}

static void destroy(subject *s)
{
    gradcore_trainer_destroy(s->trainer);
    gradcore_network_destroy(s->net);
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

static uint64_t hash_numbers(uint64_t hash, const double *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++) /* a NaN has many patterns */
        hash = isnan(numbers[i]) ? hash_bytes(hash, "nan", 3) : hash_bytes(hash, numbers + i, sizeof *numbers);
    return hash;
}

/* Of all parameters, and of the optimizer's state. */
static uint64_t hash_of(const subject *s, uint64_t hash)
{
    double values[40 * 600];
    for (int64_t i = 0; i < s->about.parameters; i++) {
        gradcore_parameter_info p = {.size = sizeof p};
        gradcore_network_parameter(s->net, i, &p);
        CHECK(gradcore_network_read(s->net, i, values, NULL) == GRADCORE_OK);
        hash = hash_numbers(hash, values, p.rows * p.cols);
        for (int32_t k = 0; p.trainable && k < gradcore_trainer_state_slots(s->trainer); k++) {
            CHECK(gradcore_trainer_state_read(s->trainer, k, i, values, NULL) == GRADCORE_OK);
            hash = hash_numbers(hash, values, p.rows * p.cols);
        }
    }
    return hash;
}

static gradcore_status train_rows(subject *s, const scenario *c, const double *targets, intruder *who,
                                  gradcore_report *reports, gradcore_run *run, gradcore_error *error)
{
    gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = targets, .target_stride = OUTPUTS, .rows = ROWS};
    if (c->what & CLASSES)
        data.target = labels;
    if (c->what & HEADS)
        data.target = head_targets;
    if (c->what & WEIGHED)
        data.weight = weights;
    *run = (gradcore_run){.size = sizeof *run,
                          .data = &data,
                          .end = ROWS,
                          .batch = c->batch,
                          .steps = (ROWS - 1) / c->batch + 1,
                          .hypers = s->hypers[0],
                          .reports = reports,
                          .order = c->what & SHUFFLED ? order : NULL,
                          .scale = c->what & SCALED ? &own_scale : NULL,
                          .scale_context = who};
    return gradcore_trainer_run(s->trainer, run, error);
}

/* Epochs of training, then gradients of everything, an evaluation and a prediction. */
static uint64_t result_of(const scenario *c, int threads, int epochs)
{
    subject s = make(c, threads);
    double targets[ROWS * OUTPUTS], out[ROWS * 2 * OUTPUTS];
    gradcore_report reports[ROWS];
    gradcore_run run;
    gradcore_error error = {0};
    uint64_t hash = 14695981039346656037u;
    memcpy(targets, y, sizeof targets);
    if (c->bad_row)
        targets[(c->bad_row - 1) * OUTPUTS] = 1e155;
    const int raises = c->nonfinite && strcmp(c->nonfinite, "raise") == 0;
    for (int epoch = 0; epoch < epochs; epoch++) {
        const gradcore_status status = train_rows(&s, c, targets, NULL, reports, &run, &error);
        CHECK_NOTE(status == (raises ? GRADCORE_NONFINITE : GRADCORE_OK), "%s: %s", c->name, error.message);
        for (int64_t i = 0; i < run.done; i++) {
            const double told[] = {reports[i].loss,    reports[i].norm,    reports[i].scale, reports[i].weight,
                                   reports[i].correct, reports[i].applied, reports[i].rows};
            hash = hash_numbers(hash, told, 7);
        }
        hash = hash_of(&s, hash);
    }
    if (!(c->what & HEADS)) {
        gradcore_score score = {.size = sizeof score};
        const gradcore_data data = {.size = sizeof data,
                                    .x = x,
                                    .x_stride = INPUTS,
                                    .rows = ROWS,
                                    .target_stride = OUTPUTS,
                                    .target = c->what & CLASSES ? (const void *)labels : y};
        CHECK(gradcore_network_evaluate(s.net, c->what & CLASSES ? "cross_entropy" : "mse", &data, &score, NULL)
              == GRADCORE_OK);
        hash = hash_numbers(hash, &score.loss, 1);
        if (c->what & OWN_LOSS || !c->layers)
            CHECK(gradcore_trainer_gradients(s.trainer, &data, reports, NULL) == GRADCORE_OK);
    }
    CHECK(gradcore_network_predict(s.net, x, INPUTS, ROWS, out, s.about.outputs, NULL) == GRADCORE_OK);
    hash = hash_numbers(hash, out, ROWS * s.about.outputs);
    destroy(&s);
    return hash;
}

static void test_bits_of_one_thread(void)
{
    for (int i = 0; i < SCENARIOS; i++) {
        const int epochs = scenarios[i].epochs ? scenarios[i].epochs : 2;
        const uint64_t one = result_of(&scenarios[i], 1, epochs);
        for (int threads = 2; threads <= MOST_THREADS; threads++)
            CHECK_NOTE(result_of(&scenarios[i], threads, epochs) == one, "%s, %d threads", scenarios[i].name, threads);
    }
}

/* The loss of the second batch is not finite, and the third is shorter: a thread that comes late to what it decides
 * from must find what the others found. */
static void test_short_batch_behind_a_loss_that_is_not_finite(long runs)
{
    const scenario c = {.name = "late", NET(plain), SGD, .batch = 64, .bad_row = 128};
    const uint64_t one = result_of(&c, 1, 20);
    for (long i = 0; i < runs; i++)
        CHECK_NOTE(result_of(&c, 2 + (int)(i % 3), 20) == one, "run %ld", i);
}

/* ---- several callers at once ---- */

typedef struct caller {
    const scenario *scenario;
    gradcore_network *shared;
    int threads;
    uint64_t hash;
} caller;

static void *train_beside_others(void *context)
{
    caller *c = context;
    c->hash = result_of(c->scenario, c->threads, 2);
    return NULL;
}

static void *predict_beside_others(void *context)
{
    caller *c = context;
    double out[ROWS * OUTPUTS];
    gradcore_score score = {.size = sizeof score};
    const gradcore_data data = {.size = sizeof data, .x = x, .x_stride = INPUTS, .rows = ROWS, .target = labels};
    c->hash = 1;
    for (int i = 0; i < 5; i++) {
        CHECK(gradcore_network_predict(c->shared, x, INPUTS, ROWS, out, OUTPUTS, NULL) == GRADCORE_OK);
        CHECK(gradcore_network_evaluate(c->shared, "cross_entropy", &data, &score, NULL) == GRADCORE_OK);
        c->hash = hash_numbers(hash_numbers(c->hash, out, ROWS * OUTPUTS), &score.loss, 1);
    }
    return NULL;
}

static void run_together(caller *callers, int count, void *(*body)(void *))
{
    pthread_t ids[8];
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&ids[i], NULL, body, &callers[i]) == 0);
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(ids[i], NULL) == 0);
}

/* Two trainers, more callers than pools are kept for, and a network that several ask at once. */
static void test_several_callers(void)
{
    for (int i = 0; i + 1 < SCENARIOS; i += 5) {
        caller two[2] = {{.scenario = &scenarios[i], .threads = 2}, {.scenario = &scenarios[i + 1], .threads = 2}};
        run_together(two, 2, &train_beside_others);
        for (int k = 0; k < 2; k++)
            CHECK_NOTE(two[k].hash == result_of(two[k].scenario, 1, 2), "%s", two[k].scenario->name);
    }
    caller many[6] = {{0}};
    gradcore_network *shared = make_network(&scenarios[0], 2, NULL);
    for (int i = 0; i < 6; i++)
        many[i] = (caller){.shared = shared, .scenario = &scenarios[0], .threads = 2};
    run_together(many, 6, &train_beside_others);
    for (int i = 0; i < 6; i++)
        CHECK(many[i].hash == many[0].hash);
    run_together(many, 6, &predict_beside_others);
    for (int i = 0; i < 6; i++)
        CHECK(many[i].hash == many[0].hash);
    gradcore_network_destroy(shared);
}

/* ---- a team that cannot be had ---- */

static void count_team(void *context, grc_team *team, int thread, int count)
{
    int *seen = context;
    (void)team;
    seen[thread] = count;
}

/* How many came where so many were asked for. */
static int team_of(int wanted)
{
    int seen[16] = {0};
    grc_team_run(wanted, 0, &count_team, seen);
    for (int t = 0; t < 16; t++)
        CHECK(seen[t] == (t < seen[0] ? seen[0] : 0)); /* each of them once, and all were told the same number */
    return seen[0];
}

#if defined(_OPENMP) && defined(__GLIBC__)
/* New threads get stacks of so many bytes. */
static void size_stacks(size_t bytes)
{
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, bytes) == 0);
    CHECK(pthread_setattr_default_np(&attributes) == 0);
    pthread_attr_destroy(&attributes);
}

/* The system grants a few threads, and no more: the OpenMP runtime would end the process if it were asked for more. */
static void test_team_that_is_small(const scenario *c, uint64_t one)
{
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    const size_t stack = (size_t)1 << 30;
    struct rlimit usual, tight;
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%ld", &pages) == 1);
    if (f)
        fclose(f);
    CHECK(getrlimit(RLIMIT_AS, &usual) == 0);
    tight = usual;
    tight.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + 3 * stack + stack / 2;
    size_stacks(stack);
    CHECK(setrlimit(RLIMIT_AS, &tight) == 0);
    const int some = team_of(9);
    CHECK_NOTE(some >= 1 && some < 9, "%d of 9", some);
    CHECK(result_of(c, 9, 2) == one);
    CHECK(setrlimit(RLIMIT_AS, &usual) == 0);
#else
    (void)c, (void)one;
#endif
}

/* The system grants no thread, or fewer than are asked for: the caller goes on with what there is, alone if need be. */
static void test_team_that_cannot_be_had(void)
{
    pthread_attr_t usual;
    size_t stack = 0;
    const scenario *c = &scenarios[0];
    const uint64_t one = result_of(c, 1, 2);
    CHECK(team_of(MOST_THREADS) == MOST_THREADS);
    CHECK(pthread_getattr_default_np(&usual) == 0);
    CHECK(pthread_attr_getstacksize(&usual, &stack) == 0);
    pthread_attr_destroy(&usual);
    size_stacks((size_t)1 << 47); /* all that a process can address */
    CHECK(team_of(6) == 1);
    CHECK(result_of(c, 6, 2) == one);
    CHECK(team_of(MOST_THREADS) == MOST_THREADS); /* these are there already */
    test_team_that_is_small(c, one);
    size_stacks(stack);
    CHECK(team_of(6) == 6);
    CHECK(result_of(c, 6, 2) == one);
}
#else
static void test_team_that_cannot_be_had(void)
{
    CHECK(team_of(1) == 1);
}
#endif

/* ---- arrays that change under a call's hands ---- */

/* Step 0 is made, then something is written that step 1 would take for an address or a hyperparameter. */
static void check_intrusion(const scenario *c, intruder one_time, const char *array)
{
    for (int threads = 1; threads <= 3; threads++) {
        gradcore_report reports[ROWS];
        gradcore_run run;
        gradcore_error error = {0};
        subject s = make(c, threads), one = make(c, 1);
        intruder who = one_time;
        who.number = who.hyper ? &s.hypers[1][who.hyper - 1] : NULL;
        make_data();
        CHECK(train_rows(&s, c, y, &who, reports, &run, &error) == GRADCORE_INVALID);
        CHECK_NOTE(run.done == 1 && strstr(error.message, array), "%s, done %lld: %s", c->name, (long long)run.done,
                   error.message);
        make_data();
        memcpy(s.hypers, one.hypers, sizeof s.hypers);
        const gradcore_data data = {.size = sizeof data,
                                    .x = x,
                                    .x_stride = INPUTS,
                                    .target_stride = OUTPUTS,
                                    .target = c->what & CLASSES ? (const void *)labels : y,
                                    .rows = ROWS};
        gradcore_run step = {.size = sizeof step,
                             .data = &data,
                             .end = ROWS,
                             .batch = c->batch,
                             .steps = 1,
                             .hypers = one.hypers[0],
                             .reports = reports,
                             .order = c->what & SHUFFLED ? order : NULL,
                             .scale = &own_scale};
        CHECK(gradcore_trainer_run(one.trainer, &step, NULL) == GRADCORE_OK);
        CHECK(hash_of(&s, 1) == hash_of(&one, 1)); /* the step that failed has changed nothing */
        CHECK(train_rows(&s, c, y, NULL, reports, &run, NULL) == GRADCORE_OK);
        destroy(&s);
        destroy(&one);
    }
}

static void *intrude_then_allocate(void *context, size_t size, size_t alignment)
{
    void *pointer = NULL;
    intrude(context);
    return posix_memalign(&pointer, alignment, size) ? NULL : pointer;
}
static void release(void *context, void *pointer, size_t size)
{
    (void)context, (void)size;
    free(pointer);
}

/* Between an evaluation's check and its work lies an allocation. */
static void check_evaluation(const scenario *c)
{
    intruder who = {.label = labels + 77, .value = 2e9, .wait = -1};
    const gradcore_allocator allocator = {&intrude_then_allocate, &release, &who};
    gradcore_network *n = make_network(c, 2, &allocator);
    const gradcore_data data = {.size = sizeof data, .x = x, .x_stride = INPUTS, .target = labels, .rows = ROWS};
    int refused = 0;
    for (long call = 0; call < 4; call++) {
        gradcore_score score = {.size = sizeof score, .loss = 7};
        gradcore_error error = {0};
        make_data();
        who.wait = call;
        const gradcore_status status = gradcore_network_evaluate_loss(
            n, "cross_entropy", c->what & CLASS_WEIGHTS ? &weighing : NULL, &data, &score, &error);
        who.wait = -1;
        CHECK(status == (labels[77] < OUTPUTS ? GRADCORE_OK : GRADCORE_INVALID));
        CHECK(status == GRADCORE_OK || (score.loss == 7 && strstr(error.message, "target[77]")));
        refused += status != GRADCORE_OK;
    }
    CHECK(refused > 0);
    gradcore_network_destroy(n);
    make_data();
}

static void test_arrays_that_change(void)
{
    const scenario in_order = {.name = "in order", NET(plain), ADAM, .what = CLASSES | SCALED, .batch = 50};
    const scenario shuffled = {.name = "shuffled", NET(wide), SGD, .what = CLASSES | SCALED | SHUFFLED, .batch = 50};
    const scenario weighed = {
        .name = "class weights", NET(normed), ADAM, .batch = 50, .what = CLASSES | SCALED | CLASS_WEIGHTS | SHUFFLED};
    const scenario real = {
        .name = "real targets", NET(plain), SGD, .what = SCALED | SHUFFLED, .batch = 50, .clip = "global_norm"};
    const double bad[] = {2e9, -1, OUTPUTS, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        check_intrusion(&in_order, (intruder){.label = labels + 70, .value = bad[i]}, "target[70]");
        check_intrusion(&shuffled, (intruder){.label = labels + order[60], .value = bad[i]}, "target[");
        check_intrusion(&weighed, (intruder){.label = labels + order[60], .value = bad[i]}, "target[");
    }
    check_intrusion(&shuffled, (intruder){.position = order + 70, .value = 1e15}, "order[70]");
    check_intrusion(&weighed, (intruder){.position = order + 70, .value = -1}, "order[70]");
    check_intrusion(&real, (intruder){.position = order + 70, .value = ROWS}, "order[70]");
    check_intrusion(&real, (intruder){.hyper = 1 + GRADCORE_LR, .value = NAN}, "lr");
    check_intrusion(&real, (intruder){.hyper = 1 + GRADCORE_CLIP, .value = -1}, "clip");
    check_evaluation(&in_order);
    check_evaluation(&weighed);
}

int main(int argc, char **argv)
{
    setenv("GRADCORE_EXACT_THREADS", "1", 1);
    make_data();
    test_short_batch_behind_a_loss_that_is_not_finite(argc > 1 ? strtol(argv[1], NULL, 10) : 12);
    test_bits_of_one_thread();
    test_several_callers();
    test_team_that_cannot_be_had();
    test_arrays_that_change();
    return check_report();
}
