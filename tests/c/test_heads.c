/* Networks with heads through the public header: trained with a loss for each, with and without surgery, on any
 * number of threads with the same bits; where memory fails; from callers of an older header; what is refused. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 300, INPUTS = 5, OUTPUTS = 6, HEADS = 3, STEPS = 4, REPORT = 3 * HEADS + 2 };

typedef union numbers { float f32[ROWS * OUTPUTS]; double f64[ROWS * OUTPUTS]; } numbers;
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
    return (gradcore_trainer_options){.size = sizeof(gradcore_trainer_options), .optimizer = "adam",
                                      .clip = "global_norm", .capacity = batch, .seed = 5, .heads = losses,
                                      .head_count = HEADS, .head_flags = flags};
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
    gradcore_run run = {.size = sizeof run, .data = &data, .end = ROWS, .batch = batch, .steps = steps,
                        .hypers = hypers[0], .reports = reports, .heads = heads};
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
    union { char bytes[sizeof old]; gradcore_layer first; } held;
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

int main(void)
{
    test_one_hash();
    test_where_memory_fails();
    test_heads_of_a_network();
    test_an_older_caller();
    test_bad_calls();
    return check_report();
}
