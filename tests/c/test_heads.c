/* Networks with heads through the public header: trained with a loss for each, with and without surgery, on any
 * number of threads with the same bits; where memory fails; from callers of an older header; what is refused. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 300, INPUTS = 5, OUTPUTS = 6, HEADS = 3, STEPS = 4, REPORT = 3 * HEADS + 2 };

typedef union numbers {
    float f32[ROWS * OUTPUTS];
    double f64[ROWS * OUTPUTS];
} numbers;
static numbers x, real, y, d_x;
static double weights[ROWS];
static int32_t labels[ROWS];

static void make_data(int dtype)
{
    uint64_t state = 7;
    for (int i = 0; i < ROWS * OUTPUTS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double v = (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1;
        if (dtype == GRADCORE_FLOAT32)
            x.f32[i] = (float)v, real.f32[i] = v > 0;
        else
            x.f64[i] = v, real.f64[i] = v > 0;
        labels[i / OUTPUTS] = (i / OUTPUTS) % 3;
        weights[i / OUTPUTS] = i / OUTPUTS % 5;
    }
}

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
static const gradcore_layer layers[] = {
    LAYER(.kind = "dense", .units = 37, .activation = "tanh"),
    LAYER(.kind = "batch_norm"),
    LAYER(.kind = "heads"),
    LAYER(.kind = "head", .name = "kind"),
    LAYER(.kind = "dense", .units = 3),
    LAYER(.kind = "head", .name = "angle"),
    LAYER(.kind = "activation", .activation = "gelu"),
    LAYER(.kind = "dropout", .rate = 0.1),
    LAYER(.kind = "dense", .units = 2),
    LAYER(.kind = "head", .name = "stop"),
    LAYER(.kind = "residual"),
    LAYER(.kind = "dense", .units = 37, .activation = "relu"),
    LAYER(.kind = "end"),
    LAYER(.kind = "batch_norm"),
    LAYER(.kind = "dense", .units = 1),
    LAYER(.kind = "end_heads", .flags = GRADCORE_LAYER_UNCERTAIN),
};
enum { LAYERS = sizeof layers / sizeof *layers };

static const gradcore_head_loss losses[HEADS] = {
    {.size = sizeof *losses, .loss = "cross_entropy", .weight = 1},
    {.size = sizeof *losses, .loss = "mse", .weight = 2},
    {.size = sizeof *losses, .loss = "binary_cross_entropy", .weight = 0.5},
};
static const gradcore_head_data targets[HEADS] = {
    {.size = sizeof *targets, .target = labels},
    {.size = sizeof *targets, .target = &real, .target_stride = 2, .weight = weights},
    {.size = sizeof *targets, .target = &real, .target_stride = 1},
};
static const gradcore_data data = {.size = sizeof data, .x = &x, .x_stride = INPUTS, .target = targets, .rows = ROWS};

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u; /* FNV-1a */
    return hash;
}

static gradcore_status create(int dtype, int threads, const gradcore_allocator *allocator, gradcore_network **n)
{
    const gradcore_network_options about = {
        .size = sizeof about, .inputs = INPUTS, .dtype = dtype, .threads = threads, .allocator = allocator};
    const gradcore_status status = gradcore_network_create(&about, layers, LAYERS, n, NULL);
    return status == GRADCORE_OK ? gradcore_network_initialize(*n, 3, NULL) : status;
}

static gradcore_trainer_options options_for(int64_t batch, uint32_t flags)
{
    return (gradcore_trainer_options){.size = sizeof(gradcore_trainer_options),
                                      .optimizer = "adam",
                                      .clip = "global_norm",
                                      .capacity = batch,
                                      .seed = 5,
                                      .heads = losses,
                                      .head_count = HEADS,
                                      .head_flags = flags};
}

static gradcore_status train(gradcore_trainer *t, int64_t batch, double *heads, gradcore_error *error)
{
    double hypers[STEPS][GRADCORE_HYPERS];
    gradcore_report reports[STEPS];
    const int steps = (int)((ROWS + batch - 1) / batch < STEPS ? (ROWS + batch - 1) / batch : STEPS);
    for (int i = 0; i < steps; i++) {
        const double row[GRADCORE_HYPERS] = {0.01, 0.0, 0.5, 0.9, 0.999, 1e-8};
        memcpy(hypers[i], row, sizeof row);
    }
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = batch,
                        .steps = steps,
                        .hypers = hypers[0],
                        .reports = reports,
                        .heads = heads};
    if (!heads)
        run.size = offsetof(gradcore_run, heads); /* an older caller */
    return gradcore_trainer_run(t, &run, error);
}

static uint64_t trained_hash(int dtype, int threads, int64_t batch, uint32_t flags)
{
    const size_t item = dtype == GRADCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    const gradcore_trainer_options options = options_for(batch, flags);
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_pass *p = NULL;
    double heads[STEPS * REPORT] = {0}, ledger[HEADS * HEADS * 3] = {0};
    gradcore_score scores[HEADS] = {{.size = sizeof *scores}, {.size = sizeof *scores}, {.size = sizeof *scores}};
    CHECK(create(dtype, threads, NULL, &n) == GRADCORE_OK);
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    CHECK(train(t, batch, heads, NULL) == GRADCORE_OK);
    const int told = flags != 0;
    CHECK(isnan(heads[REPORT - 1]) == !told);
    CHECK(gradcore_trainer_conflicts(t, ledger, NULL) == (told ? GRADCORE_OK : GRADCORE_STATE));
    uint64_t hash = hash_bytes(14695981039346656037u, ledger, sizeof ledger);
    for (int i = 0; i < STEPS * REPORT; i++)
        if (!isnan(heads[i]))
            hash = hash_bytes(hash, &heads[i], sizeof heads[i]);
    CHECK(gradcore_network_predict(n, &x, INPUTS, ROWS, &y, OUTPUTS, NULL) == GRADCORE_OK);
    hash = hash_bytes(hash, &y, ROWS * OUTPUTS * item);
    CHECK(gradcore_network_evaluate_heads(n, losses, &data, scores, NULL) == GRADCORE_OK);
    for (int i = 0; i < HEADS; i++)
        hash = hash_bytes(hash, &scores[i].loss, sizeof scores[i].loss);
    CHECK(isnan(scores[1].accuracy) && !isnan(scores[0].accuracy));
    CHECK(gradcore_pass_create(n, batch, &p, NULL) == GRADCORE_OK);
    CHECK(gradcore_pass_forward(p, &x, INPUTS, batch, 1, 1, 2, &y, OUTPUTS, NULL) == GRADCORE_OK);
    CHECK(gradcore_pass_backward(p, &y, OUTPUTS, &d_x, INPUTS, NULL) == GRADCORE_OK);
    hash = hash_bytes(hash, &d_x, (size_t)batch * INPUTS * item);
    gradcore_pass_destroy(p);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
    return hash;
}

static void test_one_hash(void)
{
    const int64_t batches[] = {1, 2, 70, ROWS};
    for (int dtype = 0; dtype < 2; dtype++) {
        make_data(dtype);
        for (int b = 0; b < 4; b++)
            for (uint32_t flags = 0; flags <= GRADCORE_GRADIENT_SURGERY; flags++) {
                const uint64_t one = trained_hash(dtype, 1, batches[b], flags);
                for (int threads = 2; threads < 6; threads++)
                    CHECK(trained_hash(dtype, threads, batches[b], flags) == one);
            }
    }
}

static void test_where_memory_fails(void)
{
    const gradcore_trainer_options options = options_for(70, GRADCORE_GRADIENT_SURGERY);
    make_data(GRADCORE_FLOAT64);
    for (long at = 1;; at++) {
        counter c = {.fail_at = at};
        const gradcore_allocator allocator = {&counter_allocate, &counter_release, &c};
        gradcore_network *n = NULL;
        gradcore_trainer *t = NULL;
        gradcore_score scores[HEADS] = {{.size = sizeof *scores}, {.size = sizeof *scores}, {.size = sizeof *scores}};
        gradcore_status status = create(GRADCORE_FLOAT64, 2, &allocator, &n);
        if (status == GRADCORE_OK)
            status = gradcore_trainer_create(n, &options, &t, NULL);
        CHECK((status == GRADCORE_OK) == (t != NULL));
        if (status == GRADCORE_OK)
            status = train(t, 70, NULL, NULL);
        if (status == GRADCORE_OK)
            status = gradcore_network_evaluate_heads(n, losses, &data, scores, NULL);
        CHECK(status == GRADCORE_OK || status == GRADCORE_NO_MEMORY);
        gradcore_trainer_destroy(t);
        gradcore_network_destroy(n);
        CHECK(c.live == 0 && c.live_bytes == 0);
        if (c.calls < at)
            break;
    }
}

static void test_heads_of_a_network(void)
{
    const char *const names[] = {"kind", "angle", "stop"};
    const int64_t widths[] = {3, 2, 1};
    int64_t column = 0;
    gradcore_network *n = NULL;
    gradcore_head_info info = {.size = sizeof info};
    CHECK(create(GRADCORE_FLOAT32, 1, NULL, &n) == GRADCORE_OK);
    CHECK(gradcore_network_heads(n) == HEADS && gradcore_network_heads(NULL) == 0);
    for (int i = 0; i < HEADS; i++) {
        CHECK(gradcore_network_head(n, i, &info) == GRADCORE_OK);
        CHECK(strcmp(info.name, names[i]) == 0 && info.column == column && info.width == widths[i]);
        column += widths[i];
    }
    CHECK(gradcore_network_head(n, HEADS, &info) == GRADCORE_INVALID);
    CHECK(gradcore_network_head(n, -1, &info) == GRADCORE_INVALID);
    gradcore_network_destroy(n);
}

/* Layers as a header without heads had them: shorter, and as far apart. */
static void test_an_older_caller(void)
{
    enum { OLD = offsetof(gradcore_layer, name) };
    char old[2 * OLD];
    gradcore_network *n = NULL;
    const gradcore_network_options about = {.size = sizeof about, .inputs = INPUTS, .dtype = GRADCORE_FLOAT32};
    const gradcore_layer dense = {.size = OLD, .alpha = NAN, .kind = "dense", .units = 4};
    memcpy(old, &dense, OLD);
    memcpy(old + OLD, &dense, OLD);
    union {
        char bytes[sizeof old];
        gradcore_layer first;
    } held;
    memcpy(held.bytes, old, sizeof old);
    CHECK(gradcore_network_create(&about, &held.first, 2, &n, NULL) == GRADCORE_OK);
    gradcore_network_destroy(n);
}

static void test_bad_calls(void)
{
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_error error = {0};
    make_data(GRADCORE_FLOAT32);
    CHECK(create(GRADCORE_FLOAT32, 1, NULL, &n) == GRADCORE_OK);
    gradcore_head_loss bad[HEADS];
    for (int i = 0; i < 6; i++) {
        gradcore_trainer_options o = options_for(70, 0);
        memcpy(bad, losses, sizeof bad);
        o.heads = i == 5 ? NULL : bad;
        o.loss = i == 0 ? "mse" : NULL;
        o.head_count = i == 1 ? 2 : HEADS;
        o.head_flags = i == 2 ? 2 : 0;
        bad[1].size = i == 3 ? 8 : sizeof *bad;
        bad[2].weight = i == 4 ? NAN : 1;
        CHECK(gradcore_trainer_create(n, &o, &t, &error) != GRADCORE_OK);
        CHECK(t == NULL && strstr(error.message, "expected") != NULL);
    }
    const gradcore_trainer_options o = options_for(70, 0);
    CHECK(gradcore_trainer_create(n, &o, &t, NULL) == GRADCORE_OK);
    gradcore_report report;
    gradcore_head_data wrong[HEADS];
    for (int i = 0; i < 5; i++) {
        gradcore_data d = data;
        d.rows = 70;
        memcpy(wrong, targets, sizeof wrong);
        d.target = i == 0 ? NULL : wrong;
        d.weight = i == 1 ? weights : NULL;
        wrong[0].size = i == 2 ? 0 : sizeof *wrong;
        wrong[1].target = i == 3 ? NULL : &real;
        wrong[2].target_stride = i == 4 ? -1 : 1;
        CHECK(gradcore_trainer_gradients(t, &d, &report, &error) != GRADCORE_OK);
        CHECK(strstr(error.message, "expected") != NULL);
        gradcore_score scores[HEADS] = {{.size = sizeof *scores}, {.size = sizeof *scores}, {.size = sizeof *scores}};
        CHECK(gradcore_network_evaluate_heads(n, losses, &d, scores, &error) != GRADCORE_OK);
    }
    gradcore_data d = data;
    d.rows = 70;
    CHECK(gradcore_trainer_gradients(t, &d, &report, NULL) == GRADCORE_OK);
    labels[7] = 3;
    CHECK(gradcore_trainer_gradients(t, &d, &report, &error) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_conflicts(t, weights, NULL) == GRADCORE_STATE);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* ---- surgery ---- */

enum { TRUNK = 4, PATHS = 8 };

/* Three heads on a trunk of zeros, whose gradients of it are rows of a, times a factor. */
static const double a[HEADS][TRUNK] = {{1, 0.5, -0.25, 2}, {-2, 1, 0.5, -0.5}, {0.5, -1.5, 1, -1}};

static void project(double *g, const double *onto)
{
    double product = 0, square = 0;
    for (int j = 0; j < TRUNK; j++) {
        product += g[j] * onto[j];
        square += onto[j] * onto[j];
    }
    for (int j = 0; j < TRUNK && product < 0; j++)
        g[j] -= product / square * onto[j];
}

/* The sum after surgery; bit i of `path`: head i meets the second of the others first. */
static void operate(int path, double *sum)
{
    memset(sum, 0, TRUNK * sizeof *sum);
    for (int i = 0; i < HEADS; i++) {
        const int others[2] = {i == 0 ? 1 : 0, i == 2 ? 1 : 2}, second = path >> i & 1;
        double g[TRUNK];
        memcpy(g, a[i], sizeof g);
        project(g, a[others[second]]);
        project(g, a[others[!second]]);
        for (int j = 0; j < TRUNK; j++)
            sum[j] += g[j];
    }
}

/* Gradients of the trunk at some step, the last head's by a factor smaller. */
static void operated(int64_t step, double factor, double *g)
{
    static const gradcore_layer trunk_and_heads[] = {
        LAYER(.kind = "dense", .units = TRUNK, .flags = GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "heads"),
        LAYER(.kind = "head", .name = "a"),
        LAYER(.kind = "dense", .units = 1, .flags = GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "head", .name = "b"),
        LAYER(.kind = "dense", .units = 1, .flags = GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "head", .name = "c"),
        LAYER(.kind = "dense", .units = 1, .flags = GRADCORE_LAYER_NO_BIAS),
        LAYER(.kind = "end_heads"),
    };
    static const double one[] = {1}, zeros[TRUNK];
    const double wanted[] = {-0.5, -0.5 * factor}; /* the derivative of (0 - y)^2 is -2 y */
    const gradcore_network_options about = {.size = sizeof about, .inputs = 1, .dtype = GRADCORE_FLOAT64, .threads = 1};
    const gradcore_head_loss squares = {.size = sizeof squares, .loss = "mse", .weight = 1};
    const gradcore_head_loss each[HEADS] = {squares, squares, squares};
    const gradcore_trainer_options options = {.size = sizeof options,
                                              .optimizer = "sgd",
                                              .capacity = 1,
                                              .seed = 5,
                                              .heads = each,
                                              .head_count = HEADS,
                                              .head_flags = GRADCORE_GRADIENT_SURGERY};
    const gradcore_head_data near = {.size = sizeof near, .target = &wanted[0], .target_stride = 1};
    const gradcore_head_data far = {.size = sizeof far, .target = &wanted[1], .target_stride = 1};
    const gradcore_head_data all[HEADS] = {near, near, far};
    const gradcore_data row = {.size = sizeof row, .x = one, .x_stride = 1, .target = all, .rows = 1};
    const void *src[] = {zeros, a[0], a[1], a[2]};
    gradcore_network *n = NULL;
    gradcore_trainer *t = NULL;
    gradcore_report report;
    CHECK(gradcore_network_create(&about, trunk_and_heads, sizeof trunk_and_heads / sizeof *trunk_and_heads, &n, NULL)
          == GRADCORE_OK);
    CHECK(gradcore_network_write(n, src, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_set_progress(t, (uint64_t)step, 0, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_gradients(t, &row, &report, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_gradient(t, 0, g, NULL) == GRADCORE_OK);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static double distance(const double *g, const double *want)
{
    double most = 0;
    for (int j = 0; j < TRUNK; j++)
        most = isnan(g[j]) ? INFINITY : fmax(most, fabs(g[j] - want[j]));
    return most;
}

/* Each head meets the others in an order of its own: all eight combinations come up, and nothing else does. */
static void test_orders_of_surgery(void)
{
    double want[PATHS][TRUNK], g[TRUNK];
    int seen[PATHS] = {0};
    for (int path = 0; path < PATHS; path++) {
        operate(path, want[path]);
        for (int other = 0; other < path; other++)
            CHECK(distance(want[path], want[other]) > 1e-3);
    }
    for (int64_t step = 0; step < 100; step++) {
        int found = 0;
        operated(step, 1, g);
        for (int path = 0; path < PATHS; path++)
            if (distance(g, want[path]) < 1e-12)
                found++, seen[path]++;
        CHECK_NOTE(found == 1, "step %d: %d", (int)step, found);
    }
    for (int path = 0; path < PATHS; path++)
        CHECK_NOTE(seen[path] > 0, "path %d", path);
}

/* Nothing is projected onto a gradient whose square is 0, although it points against others. */
static void test_surgery_on_a_tiny_gradient(void)
{
    double g[TRUNK], want[TRUNK], first[TRUNK], second[TRUNK];
    memcpy(first, a[0], sizeof first);
    memcpy(second, a[1], sizeof second);
    project(first, a[1]);
    project(second, a[0]);
    for (int j = 0; j < TRUNK; j++)
        want[j] = first[j] + second[j];
    for (int64_t step = 0; step < 8; step++) {
        operated(step, 1e-170, g);
        CHECK_NOTE(distance(g, want) < 1e-12, "step %d: %g", (int)step, distance(g, want));
    }
}

int main(void)
{
    test_orders_of_surgery();
    test_surgery_on_a_tiny_gradient();
    test_one_hash();
    test_where_memory_fails();
    test_heads_of_a_network();
    test_an_older_caller();
    test_bad_calls();
    return check_report();
}
