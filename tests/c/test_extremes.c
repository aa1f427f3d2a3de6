/* Every public function with NULL for each pointer and the ends of the range for each integer: a status, and
 * nothing that a sanitizer minds. What such a call leaves is then shown to work as before. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 6, INPUTS = 5, OUTPUTS = 3, MOST = 64 };

#define LAYER(...) {.size = sizeof(gradcore_layer), .alpha = NAN, __VA_ARGS__}
#define REFUSED(call) CHECK_NOTE((call) != GRADCORE_OK, "%s", #call)

static const int64_t far64[] = {INT64_MIN, INT64_MIN + 1, -1, INT64_MAX - 1, INT64_MAX};
static const int32_t far32[] = {INT32_MIN, INT32_MIN + 1, -1, INT32_MAX - 1, INT32_MAX};
enum { FAR = 5, NEGATIVE = 3 };

static double x[ROWS * INPUTS], y[ROWS * OUTPUTS], room[MOST];
static int64_t order[MOST];
static const double hypers[GRADCORE_HYPERS] = {0.01, 0, 0, 0.9, 0.999, 1e-8};

static gradcore_network *make_network(void)
{
    const gradcore_layer layers[] = {LAYER(.kind = "dense", .units = 4, .activation = "tanh"),
                                     LAYER(.kind = "dropout", .rate = 0.1, .flags = GRADCORE_LAYER_SCHEDULED),
                                     LAYER(.kind = "dense", .units = OUTPUTS)};
    const gradcore_network_options options = {.size = sizeof options, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64};
    gradcore_network *n = NULL;
    CHECK(gradcore_network_create(&options, layers, 3, &n, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n, 1, NULL) == GRADCORE_OK);
    return n;
}

static gradcore_trainer *make_trainer(gradcore_network *n, const char *optimizer)
{
    const gradcore_trainer_options options = {
        .size = sizeof options, .loss = "mse", .optimizer = optimizer, .capacity = ROWS};
    gradcore_trainer *t = NULL;
    CHECK(gradcore_trainer_create(n, &options, &t, NULL) == GRADCORE_OK);
    return t;
}

static gradcore_data data_of(void)
{
    return (gradcore_data){
        .size = sizeof(gradcore_data), .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
}

static gradcore_status train(gradcore_trainer *t)
{
    gradcore_report report;
    const gradcore_data data = data_of();
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS,
                        .steps = 1,
                        .hypers = hypers,
                        .reports = &report};
    return gradcore_trainer_run(t, &run, NULL);
}

static void test_descriptions(void)
{
    gradcore_layer layer = LAYER(.kind = "dense", .units = 2);
    gradcore_network_options options = {.size = sizeof options, .inputs = INPUTS};
    gradcore_network *n = NULL;
    for (int i = 0; i < FAR; i++) {
        REFUSED(gradcore_network_create(&options, &layer, (size_t)far64[i], &n, NULL));
        options.inputs = far64[i];
        REFUSED(gradcore_network_create(&options, &layer, 1, &n, NULL));
        options.inputs = INPUTS;
        options.dtype = far32[i];
        REFUSED(gradcore_network_create(&options, &layer, 1, &n, NULL));
        options.dtype = 0;
        options.threads = far32[i];
        REFUSED(gradcore_network_create(&options, &layer, 1, &n, NULL));
        options.threads = 0;
        const char *const kinds[] = {"dense", "maxout", "prelu", "embedding"};
        for (int k = 0; k < 4; k++) {
            gradcore_layer far = LAYER(.kind = kinds[k], .units = far64[i], .pieces = 2, .width = 2);
            REFUSED(gradcore_network_create(&options, &far, 1, &n, NULL));
            far.units = 2;
            far.pieces = far.width = far.column = far64[i];
            if (k == 1 || k == 3)
                REFUSED(gradcore_network_create(&options, &far, 1, &n, NULL));
        }
    }
    REFUSED(gradcore_network_create(NULL, &layer, 1, &n, NULL));
    REFUSED(gradcore_network_create(&options, NULL, 1, &n, NULL));
    REFUSED(gradcore_network_create(&options, &layer, 1, NULL, NULL));
    layer.kind = NULL;
    REFUSED(gradcore_network_create(&options, &layer, 1, &n, NULL));
    CHECK(!n);
    for (int i = 0; i < NEGATIVE; i++)
        CHECK(!gradcore_list("loss", far32[i]) && !gradcore_list(NULL, far32[i]));
    CHECK(!gradcore_list("loss", INT32_MAX) && !gradcore_list("layer", INT32_MAX) && !gradcore_list("isa", INT32_MAX));
    CHECK(!gradcore_describe(NULL, "mse", "formula") && !gradcore_describe("loss", NULL, "formula"));
    CHECK(!gradcore_describe("loss", "mse", NULL) && !gradcore_get_api(UINT32_MAX, UINT32_MAX));
    gradcore_get_build_info(NULL);
}

static void test_networks(gradcore_network *n)
{
    gradcore_parameter_info info = {.size = sizeof info};
    gradcore_head_info head = {.size = sizeof head};
    const void *const none[8] = {NULL};
    gradcore_data data = data_of();
    gradcore_score score = {.size = sizeof score};
    for (int i = 0; i < FAR; i++) {
        REFUSED(gradcore_network_parameter(n, far64[i], &info));
        REFUSED(gradcore_network_read(n, far64[i], room, NULL));
        REFUSED(gradcore_network_set_penalty(n, far64[i], 0, 0, NULL));
        REFUSED(gradcore_network_schedule_penalty(n, far64[i], NULL));
        REFUSED(gradcore_network_head(n, far64[i], &head));
        REFUSED(gradcore_network_predict(n, x, far64[i], ROWS, room, OUTPUTS, NULL));
        REFUSED(gradcore_network_predict(n, x, INPUTS, far64[i], room, OUTPUTS, NULL));
        if (i < NEGATIVE)
            REFUSED(gradcore_network_predict(n, x, INPUTS, ROWS, room, far64[i], NULL));
        data.x_stride = far64[i];
        REFUSED(gradcore_network_evaluate(n, "mse", &data, &score, NULL));
        data = data_of();
        data.target_stride = far64[i];
        REFUSED(gradcore_network_evaluate(n, "mse", &data, &score, NULL));
        data = data_of();
        data.rows = i < NEGATIVE ? far64[i] : 0;
        REFUSED(gradcore_network_evaluate(n, "mse", &data, &score, NULL));
        data = data_of();
    }
    gradcore_network_get_info(n, NULL);
    gradcore_network_get_info(NULL, NULL);
    REFUSED(gradcore_network_parameter(NULL, 0, &info));
    REFUSED(gradcore_network_parameter(n, 0, NULL));
    REFUSED(gradcore_network_read(NULL, 0, room, NULL));
    REFUSED(gradcore_network_read(n, 0, NULL, NULL));
    REFUSED(gradcore_network_write(NULL, none, NULL));
    REFUSED(gradcore_network_write(n, NULL, NULL));
    REFUSED(gradcore_network_initialize(NULL, 1, NULL));
    REFUSED(gradcore_network_set_penalty(NULL, 0, 0, 0, NULL));
    REFUSED(gradcore_network_schedule_penalty(NULL, 0, NULL));
    REFUSED(gradcore_network_penalty(NULL, room, NULL));
    REFUSED(gradcore_network_penalty(n, NULL, NULL));
    REFUSED(gradcore_network_predict(NULL, x, INPUTS, ROWS, room, OUTPUTS, NULL));
    REFUSED(gradcore_network_predict(n, NULL, INPUTS, ROWS, room, OUTPUTS, NULL));
    REFUSED(gradcore_network_predict(n, x, INPUTS, ROWS, NULL, OUTPUTS, NULL));
    REFUSED(gradcore_network_evaluate(NULL, "mse", &data, &score, NULL));
    REFUSED(gradcore_network_evaluate(n, NULL, &data, &score, NULL));
    REFUSED(gradcore_network_evaluate(n, "mse", NULL, &score, NULL));
    REFUSED(gradcore_network_evaluate(n, "mse", &data, NULL, NULL));
    REFUSED(gradcore_network_evaluate_heads(NULL, NULL, &data, &score, NULL));
    REFUSED(gradcore_network_evaluate_heads(n, NULL, &data, &score, NULL));
    REFUSED(gradcore_network_evaluate_heads(n, NULL, NULL, NULL, NULL));
    CHECK(gradcore_network_heads(NULL) == 0 && gradcore_network_heads(n) == 0);
    REFUSED(gradcore_network_head(NULL, 0, &head));
    REFUSED(gradcore_network_head(n, 0, NULL));
    gradcore_network_destroy(NULL);
    CHECK(gradcore_network_predict(n, x, INPUTS, ROWS, room, OUTPUTS, NULL) == GRADCORE_OK);
}

static void test_passes(gradcore_network *n)
{
    gradcore_pass *p = NULL;
    int64_t width;
    const char *name;
    CHECK(gradcore_pass_create(n, ROWS, &p, NULL) == GRADCORE_OK);
    for (int i = 0; i < FAR; i++) {
        gradcore_pass *none = NULL;
        REFUSED(gradcore_pass_create(n, i == 3 ? 0 : far64[i], &none, NULL));
        REFUSED(gradcore_pass_forward(p, x, INPUTS, far64[i], 1, UINT64_MAX, UINT64_MAX, NULL, 0, NULL));
        if (i < NEGATIVE) {
            REFUSED(gradcore_pass_forward(p, x, far64[i], ROWS, 1, 0, 0, NULL, 0, NULL));
            REFUSED(gradcore_pass_forward(p, x, INPUTS, ROWS, 1, 0, 0, room, far64[i], NULL));
        }
        CHECK(gradcore_pass_forward(p, x, INPUTS, ROWS, far32[i], 0, UINT64_MAX, NULL, 0, NULL) == GRADCORE_OK);
        REFUSED(gradcore_pass_activation(p, far64[i], &width, &name, room, NULL));
        if (i < NEGATIVE)
            REFUSED(gradcore_pass_backward(p, y, far64[i], NULL, 0, NULL));
        if (i < NEGATIVE)
            REFUSED(gradcore_pass_backward(p, y, OUTPUTS, room, far64[i], NULL));
        REFUSED(gradcore_pass_gradient(p, far64[i], room, NULL));
        REFUSED(gradcore_pass_set_rates(p, UINT64_MAX, i < NEGATIVE ? far64[i] : INT64_MAX, 1, room, NULL));
        REFUSED(gradcore_pass_set_rates(p, UINT64_MAX, 1, far64[i], room, NULL));
    }
    REFUSED(gradcore_pass_create(NULL, ROWS, &p, NULL));
    REFUSED(gradcore_pass_create(n, ROWS, NULL, NULL));
    REFUSED(gradcore_pass_forward(NULL, x, INPUTS, ROWS, 1, 0, 0, NULL, 0, NULL));
    REFUSED(gradcore_pass_forward(p, NULL, INPUTS, ROWS, 1, 0, 0, NULL, 0, NULL));
    REFUSED(gradcore_pass_set_rates(NULL, 0, 1, 1, room, NULL));
    REFUSED(gradcore_pass_set_rates(p, 0, 1, 1, NULL, NULL));
    room[0] = 0.5;
    CHECK(gradcore_pass_set_rates(p, UINT64_MAX, 1, 1, room, NULL) == GRADCORE_OK);
    CHECK(gradcore_pass_forward(p, x, INPUTS, ROWS, 1, 0, UINT64_MAX, NULL, 0, NULL) == GRADCORE_OK);
    CHECK(gradcore_pass_forward(p, x, INPUTS, ROWS, 1, 0, 0, NULL, 0, NULL) == GRADCORE_OK);
    REFUSED(gradcore_pass_backward(NULL, y, OUTPUTS, NULL, 0, NULL));
    REFUSED(gradcore_pass_backward(p, NULL, OUTPUTS, NULL, 0, NULL));
    REFUSED(gradcore_pass_gradient(NULL, 0, room, NULL));
    REFUSED(gradcore_pass_activation(NULL, 0, &width, &name, room, NULL));
    CHECK(gradcore_pass_activation(p, 0, NULL, NULL, room, NULL) != GRADCORE_BUSY);
    CHECK(gradcore_pass_backward(p, y, OUTPUTS, NULL, 0, NULL) == GRADCORE_OK);
    REFUSED(gradcore_pass_gradient(p, 0, NULL, NULL));
    CHECK(gradcore_pass_gradient(p, 0, room, NULL) == GRADCORE_OK);
    gradcore_pass_destroy(p);
    gradcore_pass_destroy(NULL);
}

static void test_trainer_making(gradcore_network *n)
{
    gradcore_trainer *t = NULL;
    gradcore_trainer_options options = {.size = sizeof options, .loss = "mse", .optimizer = "adam", .capacity = ROWS};
    for (int i = 0; i < FAR; i++) {
        options.capacity = far64[i];
        REFUSED(gradcore_trainer_create(n, &options, &t, NULL));
        options.capacity = ROWS;
        options.head_count = far64[i];
        REFUSED(gradcore_trainer_create(n, &options, &t, NULL));
        options.head_count = 0;
    }
    REFUSED(gradcore_trainer_create(NULL, &options, &t, NULL));
    REFUSED(gradcore_trainer_create(n, NULL, &t, NULL));
    REFUSED(gradcore_trainer_create(n, &options, NULL, NULL));
    options.loss = NULL;
    REFUSED(gradcore_trainer_create(n, &options, &t, NULL));
    options.loss = "mse";
    options.optimizer = NULL;
    REFUSED(gradcore_trainer_create(n, &options, &t, NULL));
    const gradcore_loss_options bad = {.size = sizeof bad,
                                       .vector = room,
                                       .vector_size = INT64_MIN,
                                       .ignore_index = INT32_MIN,
                                       .parameters = {NAN, NAN, NAN, NAN}};
    options.optimizer = "adam";
    options.loss = "cross_entropy";
    options.loss_options = &bad;
    REFUSED(gradcore_trainer_create(n, &options, &t, NULL));
    CHECK(!t);
    gradcore_trainer_destroy(NULL);
}

/* The slots of Adam and of an average of it; rows, batches and steps of runs; progress; rates; rules; groups. */
static void test_trainers(gradcore_network *n)
{
    gradcore_trainer *t = make_trainer(n, "adam");
    gradcore_report report;
    double ledger[64];
    for (int i = 0; i < FAR; i++) {
        REFUSED(gradcore_trainer_add_average(t, "ema", i < NEGATIVE ? far64[i] : 0, 0, NULL));
        if (i < NEGATIVE)
            REFUSED(gradcore_trainer_add_average(t, "ema", 1, far64[i], NULL));
        REFUSED(gradcore_trainer_set_matrices(t, NULL, far64[i], NULL));
        CHECK(gradcore_trainer_factor_order(t, far64[i], far32[i]) == 0);
        CHECK(gradcore_trainer_factor_order(t, 0, far32[i]) == 0);
    }
    CHECK(gradcore_trainer_add_average(t, "swa", INT64_MAX, INT64_MAX, NULL) == GRADCORE_OK);
    CHECK(train(t) == GRADCORE_OK);
    for (int i = 0; i < FAR; i++) {
        REFUSED(gradcore_trainer_state_read(t, far32[i], 0, room, NULL));
        REFUSED(gradcore_trainer_state_write(t, far32[i], 0, room, NULL));
        REFUSED(gradcore_trainer_state_read(t, 0, far64[i], room, NULL));
        REFUSED(gradcore_trainer_state_write(t, 0, far64[i], room, NULL));
        REFUSED(gradcore_trainer_gradient(t, far64[i], room, NULL));
        REFUSED(gradcore_trainer_set_group(t, far64[i], 1, 0, 0, NULL));
        REFUSED(gradcore_trainer_factor_read(t, far64[i], far32[i], room, NULL));
        REFUSED(gradcore_trainer_factor_write(t, far64[i], far32[i], room, NULL));
        REFUSED(gradcore_trainer_set_rates(t, UINT64_MAX, i < NEGATIVE ? far64[i] : INT64_MAX, 1, room, NULL));
        REFUSED(gradcore_trainer_set_rates(t, UINT64_MAX, 1, far64[i], room, NULL));
        REFUSED(gradcore_trainer_set_progress(t, (uint64_t)far64[i], 0, NULL));
        REFUSED(gradcore_trainer_set_progress(t, 0, (uint64_t)far64[i], NULL));
        for (int field = 0; field < 7; field++) {
            gradcore_data data = data_of();
            gradcore_run run = {.size = sizeof run,
                                .data = &data,
                                .end = ROWS,
                                .batch = ROWS,
                                .steps = 1,
                                .hypers = hypers,
                                .reports = &report};
            int64_t *const fields[] = {&run.begin,          &run.end,  &run.batch, &run.steps, &data.x_stride,
                                       &data.target_stride, &data.rows};
            *fields[field] = far64[i];
            const int fits = field == 6 && far64[i] > 0; /* rows that nobody asks for */
            if (!fits)
                CHECK_NOTE(gradcore_trainer_run(t, &run, NULL) != GRADCORE_OK, "field %d is %lld", field,
                           (long long)far64[i]);
            CHECK(run.done == 0);
            data.rows = field == 6 && fits ? ROWS : data.rows;
            if (field > 3 && !fits)
                REFUSED(gradcore_trainer_gradients(t, &data, &report, NULL));
        }
    }
    CHECK(gradcore_trainer_state_slots(t) == 3 && gradcore_trainer_state_slots(NULL) == 0);
    REFUSED(gradcore_trainer_state_read(t, 3, 0, room, NULL));
    REFUSED(gradcore_trainer_run(NULL, NULL, NULL));
    REFUSED(gradcore_trainer_run(t, NULL, NULL));
    REFUSED(gradcore_trainer_set_rules(NULL, NULL, 0, NULL));
    REFUSED(gradcore_trainer_set_rules(t, NULL, 1, NULL));
    REFUSED(gradcore_trainer_set_rules(t, NULL, SIZE_MAX, NULL));
    REFUSED(gradcore_trainer_ledger(NULL, ledger, NULL));
    REFUSED(gradcore_trainer_ledger(t, NULL, NULL));
    REFUSED(gradcore_trainer_gradients(NULL, NULL, &report, NULL));
    REFUSED(gradcore_trainer_gradients(t, NULL, &report, NULL));
    REFUSED(gradcore_trainer_gradient(NULL, 0, room, NULL));
    REFUSED(gradcore_trainer_gradient(t, 0, NULL, NULL));
    REFUSED(gradcore_trainer_norms(NULL, room, NULL));
    REFUSED(gradcore_trainer_norms(t, NULL, NULL));
    REFUSED(gradcore_trainer_state_read(NULL, 0, 0, room, NULL));
    REFUSED(gradcore_trainer_state_read(t, 0, 0, NULL, NULL));
    REFUSED(gradcore_trainer_state_write(NULL, 0, 0, room, NULL));
    REFUSED(gradcore_trainer_state_write(t, 0, 0, NULL, NULL));
    REFUSED(gradcore_trainer_running_read(NULL, room, NULL));
    REFUSED(gradcore_trainer_running_read(t, NULL, NULL));
    REFUSED(gradcore_trainer_running_write(NULL, room, NULL));
    REFUSED(gradcore_trainer_running_write(t, NULL, NULL));
    REFUSED(gradcore_trainer_accumulated_read(NULL, room, NULL));
    REFUSED(gradcore_trainer_accumulated_read(t, NULL, NULL));
    REFUSED(gradcore_trainer_accumulated_read(t, room, NULL));
    REFUSED(gradcore_trainer_accumulated_write(NULL, room, NULL));
    REFUSED(gradcore_trainer_accumulated_write(t, NULL, NULL));
    REFUSED(gradcore_trainer_accumulated_write(t, room, NULL));
    REFUSED(gradcore_trainer_add_average(NULL, "ema", 1, 0, NULL));
    REFUSED(gradcore_trainer_add_average(t, NULL, 1, 0, NULL));
    REFUSED(gradcore_trainer_set_group(NULL, 0, 1, 0, 0, NULL));
    REFUSED(gradcore_trainer_set_matrices(NULL, NULL, 1, NULL));
    CHECK(gradcore_trainer_factor_order(NULL, 0, 0) == 0);
    REFUSED(gradcore_trainer_factor_read(NULL, 0, 0, room, NULL));
    REFUSED(gradcore_trainer_factor_write(NULL, 0, 0, room, NULL));
    REFUSED(gradcore_trainer_set_rates(NULL, 0, 1, 1, room, NULL));
    REFUSED(gradcore_trainer_set_rates(t, 0, 1, 1, NULL, NULL));
    REFUSED(gradcore_trainer_conflicts(NULL, ledger, NULL));
    REFUSED(gradcore_trainer_conflicts(t, ledger, NULL));
    REFUSED(gradcore_trainer_set_progress(NULL, 0, 0, NULL));
    gradcore_trainer_get_progress(NULL, NULL, NULL);
    CHECK(train(t) == GRADCORE_OK);
    gradcore_trainer_destroy(t);
}

/* The last step that random numbers can tell from others; what is stored then comes back. */
static void test_last_step(gradcore_network *n)
{
    const uint64_t last = UINT64_C(1) << 48;
    gradcore_trainer *t = make_trainer(n, "adam");
    uint64_t step, updates;
    CHECK(gradcore_trainer_set_progress(t, last - 1, last - 1, NULL) == GRADCORE_OK);
    CHECK(train(t) == GRADCORE_OK);
    gradcore_trainer_get_progress(t, &step, &updates);
    CHECK(step == last && updates == last);
    CHECK(train(t) == GRADCORE_STATE);
    gradcore_trainer_get_progress(t, &step, &updates);
    CHECK(step == last && updates == last);
    CHECK(gradcore_trainer_set_progress(t, step, updates, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_set_progress(t, last + 1, last, NULL) == GRADCORE_INVALID);
    gradcore_trainer_destroy(t);
}

static void test_arrays(void)
{
    double running[GRADCORE_RUNNING] = {0};
    void *slots[GRADCORE_SLOTS] = {room, room + 8, NULL, NULL};
    gradcore_array array = {.dtype = GRADCORE_FLOAT64,
                            .n = 4,
                            .w = x,
                            .g = y,
                            .slots = {room, room + 8},
                            .lr_factor = 1,
                            .weight_decay = NAN};
    memset(room, 0, sizeof room);
    for (int i = 0; i < FAR; i++) {
        REFUSED(gradcore_average("ema", i < NEGATIVE ? far64[i] : 0, 0, 1, 0.5, GRADCORE_FLOAT64, 4, x, room, NULL));
        REFUSED(gradcore_average("ema", 1, 0, 1, 0.5, far32[i], 4, x, room, NULL));
        if (i < NEGATIVE) {
            REFUSED(gradcore_average("ema", 1, far64[i], 1, 0.5, GRADCORE_FLOAT64, 4, x, room, NULL));
            REFUSED(gradcore_optimizer_step("adam", 0, 1, hypers, running, far64[i], &array, NULL));
        }
        REFUSED(gradcore_average("ema", 1, 0, 1, 0.5, GRADCORE_FLOAT64, far64[i], x, room, NULL));
        REFUSED(gradcore_optimizer_update("adam", GRADCORE_FLOAT64, 0, 1, hypers, far64[i], x, y, slots, NULL));
        array.n = far64[i];
        REFUSED(gradcore_optimizer_step("adam", 0, 1, hypers, running, 1, &array, NULL));
        array.n = 4;
        REFUSED(gradcore_activation_forward("tanh", GRADCORE_FLOAT64, 0, far64[i], x, room, NULL));
        REFUSED(gradcore_activation_backward("tanh", GRADCORE_FLOAT64, 0, far64[i], x, y, room, NULL));
        REFUSED(gradcore_shuffle(1, UINT64_MAX, far64[i], order, NULL));
        array.rows = far32[i];
        REFUSED(gradcore_optimizer_step("muon", 0, 1, hypers, running, 1, &array, NULL));
        array.rows = 0;
        array.dtype = far32[i];
        REFUSED(gradcore_optimizer_step("adam", 0, 1, hypers, running, 1, &array, NULL));
        array.dtype = GRADCORE_FLOAT64;
        REFUSED(gradcore_optimizer_update("adam", far32[i], 0, 1, hypers, 4, x, y, slots, NULL));
        REFUSED(gradcore_activation_forward("tanh", far32[i], 0, 4, x, room, NULL));
        REFUSED(gradcore_activation_backward("tanh", far32[i], 0, 4, x, y, room, NULL));
        REFUSED(gradcore_loss("mse", far32[i], 2, 2, x, y, room, NULL, NULL));
        REFUSED(gradcore_loss("mse", GRADCORE_FLOAT64, far64[i], 2, x, y, room, NULL, NULL));
        REFUSED(gradcore_loss("mse", GRADCORE_FLOAT64, 2, far64[i], x, y, room, NULL, NULL));
        REFUSED(gradcore_fill("uniform", 1, UINT32_MAX, far64[i], 2, 0, 1, room, NULL));
        REFUSED(gradcore_fill("uniform", 1, UINT32_MAX, 2, far64[i], 0, 1, room, NULL));
        REFUSED(gradcore_fill("orthogonal", 1, 0, far64[i], far64[i], 1, 0, room, NULL));
        REFUSED(gradcore_gemm(far32[i], 2, 2, 2, x, 2, 1, y, 2, 1, NULL, room, 2, 1, NULL, NULL));
        REFUSED(gradcore_gemm(GRADCORE_FLOAT64, far64[i], 2, 2, x, 2, 1, y, 2, 1, NULL, room, 2, 1, NULL, NULL));
        REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, far64[i], 2, x, 2, 1, y, 2, 1, NULL, room, 2, 1, NULL, NULL));
        REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, far64[i], x, 2, 1, y, 2, 1, NULL, room, 2, 1, NULL, NULL));
        if (i < NEGATIVE)
            REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, 2, x, 2, 1, y, 2, 1, NULL, room, far64[i], 1, NULL, NULL));
        REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, 2, x, 2, 1, y, 2, 1, NULL, room, 2, far32[i], NULL, NULL));
    }
    REFUSED(gradcore_average(NULL, 1, 0, 1, 0.5, GRADCORE_FLOAT64, 4, x, room, NULL));
    REFUSED(gradcore_average("ema", 1, 0, 1, 0.5, GRADCORE_FLOAT64, 4, NULL, room, NULL));
    REFUSED(gradcore_average("ema", 1, 0, 1, 0.5, GRADCORE_FLOAT64, 4, x, NULL, NULL));
    CHECK(gradcore_optimizer_slots(NULL, UINT32_MAX) == 0);
    REFUSED(gradcore_optimizer_step(NULL, 0, 1, hypers, running, 1, &array, NULL));
    REFUSED(gradcore_optimizer_step("adam", UINT32_MAX, 1, hypers, running, 1, &array, NULL));
    REFUSED(gradcore_optimizer_step("adam", 0, 1, NULL, running, 1, &array, NULL));
    REFUSED(gradcore_optimizer_step("adam", 0, 1, hypers, NULL, 1, &array, NULL));
    REFUSED(gradcore_optimizer_step("adam", 0, 1, hypers, running, 1, NULL, NULL));
    REFUSED(gradcore_optimizer_update(NULL, GRADCORE_FLOAT64, 0, 1, hypers, 4, x, y, slots, NULL));
    REFUSED(gradcore_optimizer_update("adam", GRADCORE_FLOAT64, 0, 1, NULL, 4, x, y, slots, NULL));
    REFUSED(gradcore_optimizer_update("adam", GRADCORE_FLOAT64, 0, 1, hypers, 4, NULL, y, slots, NULL));
    REFUSED(gradcore_optimizer_update("adam", GRADCORE_FLOAT64, 0, 1, hypers, 4, x, NULL, slots, NULL));
    REFUSED(gradcore_optimizer_update("adam", GRADCORE_FLOAT64, 0, 1, hypers, 4, x, y, NULL, NULL));
    REFUSED(gradcore_activation_forward(NULL, GRADCORE_FLOAT64, 0, 4, x, room, NULL));
    REFUSED(gradcore_activation_forward("tanh", GRADCORE_FLOAT64, 0, 4, NULL, room, NULL));
    REFUSED(gradcore_activation_forward("tanh", GRADCORE_FLOAT64, 0, 4, x, NULL, NULL));
    REFUSED(gradcore_activation_backward("tanh", GRADCORE_FLOAT64, 0, 4, NULL, y, room, NULL));
    REFUSED(gradcore_activation_backward("tanh", GRADCORE_FLOAT64, 0, 4, x, NULL, room, NULL));
    REFUSED(gradcore_activation_backward("tanh", GRADCORE_FLOAT64, 0, 4, x, y, NULL, NULL));
    REFUSED(gradcore_loss(NULL, GRADCORE_FLOAT64, 2, 2, x, y, room, NULL, NULL));
    REFUSED(gradcore_loss("mse", GRADCORE_FLOAT64, 2, 2, NULL, y, room, NULL, NULL));
    REFUSED(gradcore_loss("mse", GRADCORE_FLOAT64, 2, 2, x, NULL, room, NULL, NULL));
    REFUSED(gradcore_loss("mse", GRADCORE_FLOAT64, 2, 2, x, y, NULL, NULL, NULL));
    REFUSED(gradcore_fill(NULL, 1, 0, 2, 2, 0, 1, room, NULL));
    REFUSED(gradcore_fill("normal", 1, 0, 2, 2, 0, 1, NULL, NULL));
    REFUSED(gradcore_shuffle(1, 0, 4, NULL, NULL));
    REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, 2, NULL, 2, 1, y, 2, 1, NULL, room, 2, 1, NULL, NULL));
    REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, 2, x, 2, 1, NULL, 2, 1, NULL, room, 2, 1, NULL, NULL));
    REFUSED(gradcore_gemm(GRADCORE_FLOAT64, 2, 2, 2, x, 2, 1, y, 2, 1, NULL, NULL, 2, 1, NULL, NULL));
    CHECK(gradcore_optimizer_step("adam", 0, UINT64_MAX, hypers, running, 1, &array, NULL) == GRADCORE_OK);
}

static void test_files(void)
{
    gradcore_tensor tensor = {.name = "a", .dtype = "F64", .ndim = 1, .shape = {4}, .data = x, .bytes = 32};
    const gradcore_tensor good = tensor;
    const gradcore_pair pair = {"key", "value"}, bad = {NULL, NULL};
    void *bytes = NULL;
    size_t size = 0;
    gradcore_file *file = NULL;
    for (int i = 0; i < FAR; i++) {
        tensor.ndim = far32[i];
        REFUSED(gradcore_file_encode(&tensor, 1, NULL, 0, &bytes, &size, NULL));
        tensor = good;
        tensor.shape[0] = far64[i];
        REFUSED(gradcore_file_encode(&tensor, 1, NULL, 0, &bytes, &size, NULL));
        tensor = good;
        tensor.bytes = far64[i];
        REFUSED(gradcore_file_encode(&tensor, 1, NULL, 0, &bytes, &size, NULL));
        tensor = good;
    }
    REFUSED(gradcore_file_encode(NULL, 1, NULL, 0, &bytes, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, SIZE_MAX, NULL, 0, &bytes, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, 1, NULL, 1, &bytes, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, 1, &bad, 1, &bytes, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, 1, &pair, SIZE_MAX, &bytes, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, 1, &pair, 1, NULL, &size, NULL));
    REFUSED(gradcore_file_encode(&tensor, 1, &pair, 1, &bytes, NULL, NULL));
    REFUSED(gradcore_file_save(NULL, &tensor, 1, &pair, 1, NULL));
    REFUSED(gradcore_file_open(NULL, &file, NULL));
    REFUSED(gradcore_file_open("x", NULL, NULL));
    REFUSED(gradcore_file_decode(NULL, 8, &file, NULL));
    REFUSED(gradcore_file_decode(x, 8, NULL, NULL));
    REFUSED(gradcore_file_decode(x, 0, &file, NULL));
    CHECK(gradcore_file_encode(&tensor, 1, &pair, 1, &bytes, &size, NULL) == GRADCORE_OK);
    CHECK(gradcore_file_decode(bytes, size, &file, NULL) == GRADCORE_OK);
    gradcore_pair got;
    REFUSED(gradcore_file_tensor(file, SIZE_MAX, &tensor));
    REFUSED(gradcore_file_tensor(file, 0, NULL));
    REFUSED(gradcore_file_tensor(NULL, 0, &tensor));
    REFUSED(gradcore_file_pair(file, SIZE_MAX, &got));
    REFUSED(gradcore_file_pair(file, 0, NULL));
    REFUSED(gradcore_file_pair(NULL, 0, &got));
    CHECK(gradcore_file_tensors(NULL) == 0 && gradcore_file_pairs(NULL) == 0);
    CHECK(gradcore_file_pair(file, 0, &got) == GRADCORE_OK && strcmp(got.value, "value") == 0);
    gradcore_file_close(file);
    gradcore_file_close(NULL);
    gradcore_free(bytes);
    gradcore_free(NULL);
}

int main(void)
{
    for (int i = 0; i < ROWS * INPUTS; i++)
        x[i] = (i * 37 % 19 - 9) / 10.0;
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        y[i] = (i * 23 % 17 - 8) / 10.0;
    gradcore_network *n = make_network();
    test_descriptions();
    test_networks(n);
    test_passes(n);
    test_trainer_making(n);
    test_trainers(n);
    test_last_step(n);
    test_arrays();
    test_files();
    gradcore_network_destroy(n);
    return check_report();
}
