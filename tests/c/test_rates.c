/* Rates of dropout that differ from step to step, and a run's ledger of clips, through the public header: the same
 * as a constant rate step by step, failed allocations, misuse that must be refused and change nothing. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

enum { ROWS = 32, INPUTS = 9, HIDDEN = 20, OUTPUTS = 2, STEPS = 4, PARAMETERS = 4 };

static float x[ROWS * INPUTS], y[ROWS * OUTPUTS];

/* rate < 0: a scheduled one. */
static gradcore_trainer *make(double rate, const char *clip, int threads, const gradcore_allocator *allocator,
                              gradcore_network **net)
{
    const gradcore_layer layers[] = {
        {.size = sizeof *layers, .alpha = NAN, .kind = "dense", .units = HIDDEN, .activation = "relu"},
        {.size = sizeof *layers,
         .alpha = NAN,
         .kind = "dropout",
         .rate = rate < 0 ? 0 : rate,
         .flags = rate < 0 ? GRADCORE_LAYER_SCHEDULED : 0},
        {.size = sizeof *layers, .alpha = NAN, .kind = "dense", .units = OUTPUTS},
    };
    const gradcore_network_options about = {
        .size = sizeof about, .inputs = INPUTS, .dtype = GRADCORE_FLOAT32, .threads = threads, .allocator = allocator};
    const gradcore_trainer_options options = {
        .size = sizeof options, .loss = "mse", .optimizer = "sgd", .capacity = ROWS, .seed = 5, .clip = clip};
    gradcore_trainer *t = NULL;
    CHECK(gradcore_network_create(&about, layers, 3, net, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(*net, 3, NULL) == GRADCORE_OK);
    CHECK(gradcore_trainer_create(*net, &options, &t, NULL) == GRADCORE_OK);
    return t;
}

static void destroy(gradcore_network *n, gradcore_trainer *t)
{
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

static gradcore_status train(gradcore_trainer *t, int steps, double clip, double *ledger, double *loss)
{
    double hypers[STEPS][GRADCORE_HYPERS] = {{0}};
    gradcore_report reports[STEPS];
    const gradcore_data data = {
        .size = sizeof data, .x = x, .x_stride = INPUTS, .target = y, .target_stride = OUTPUTS, .rows = ROWS};
    for (int i = 0; i < steps; i++) {
        hypers[i][GRADCORE_LR] = 0.05;
        hypers[i][GRADCORE_CLIP] = clip;
    }
    gradcore_run run = {.size = sizeof run,
                        .data = &data,
                        .end = ROWS,
                        .batch = ROWS / STEPS,
                        .steps = steps,
                        .hypers = hypers[0],
                        .reports = reports,
                        .ledger = ledger};
    if (!ledger)
        run.size = offsetof(gradcore_run, ledger); /* an older caller */
    const gradcore_status status = gradcore_trainer_run(t, &run, NULL);
    for (int i = 0; i < steps; i++)
        loss[i] = reports[i].loss;
    return status;
}

static void a_step_has_the_rate_of_its_number(void)
{
    const double rates[STEPS] = {0.0, 0.5, 0.25, 0.9};
    double loss[STEPS], first[STEPS];
    gradcore_network *n = NULL;
    gradcore_trainer *t = make(-1, NULL, 2, NULL, &n);
    CHECK(gradcore_trainer_set_rates(t, 0, STEPS, 1, rates, NULL) == GRADCORE_OK);
    CHECK(train(t, STEPS, 0, NULL, first) == GRADCORE_OK);
    destroy(n, t);
    t = make(-1, NULL, 1, NULL, &n);
    for (int i = 0; i < STEPS; i++) { /* by a table of one row each; the losses are of other rows */
        CHECK(gradcore_trainer_set_rates(t, (uint64_t)i, 1, 1, rates + i, NULL) == GRADCORE_OK);
        CHECK(train(t, 1, 0, NULL, loss) == GRADCORE_OK);
        CHECK(i > 0 || loss[0] == first[0]);
    }
    destroy(n, t);
    t = make(rates[1], NULL, 1, NULL, &n);
    gradcore_network *other = NULL;
    gradcore_trainer *scheduled = make(-1, NULL, 1, NULL, &other);
    const double same[STEPS] = {0.5, 0.5, 0.5, 0.5};
    CHECK(gradcore_trainer_set_rates(scheduled, 0, STEPS, 1, same, NULL) == GRADCORE_OK);
    CHECK(train(t, STEPS, 0, NULL, first) == GRADCORE_OK && train(scheduled, STEPS, 0, NULL, loss) == GRADCORE_OK);
    CHECK(memcmp(first, loss, sizeof loss) == 0);
    destroy(n, t);
    destroy(other, scheduled);
}

/* Small tables, large ones, small ones again, by trainers of their own: all of the same bits as one large table. */
static void a_table_grows_and_shrinks(void)
{
    counter c = {0};
    const gradcore_allocator allocator = {counter_allocate, counter_release, &c};
    const double rates[STEPS] = {0.0, 0.5, 0.25, 0.9}, other[STEPS] = {0.7, 0.7, 0.7, 0.7};
    double loss[STEPS], first[STEPS];
    gradcore_network *n = NULL;
    gradcore_trainer *t = make(-1, NULL, 1, NULL, &n);
    CHECK(gradcore_trainer_set_rates(t, 0, STEPS, 1, rates, NULL) == GRADCORE_OK);
    CHECK(train(t, STEPS, 0, NULL, first) == GRADCORE_OK);
    destroy(n, t);
    for (int grown = 1; grown <= STEPS; grown++) {
        t = make(-1, NULL, 1, &allocator, &n);
        CHECK(gradcore_trainer_set_rates(t, 0, grown, 1, other, NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_set_rates(t, 0, STEPS, 1, rates, NULL) == GRADCORE_OK);
        CHECK(train(t, STEPS, 0, NULL, loss) == GRADCORE_OK);
        CHECK(memcmp(first, loss, sizeof loss) == 0);
        CHECK(gradcore_trainer_set_rates(t, STEPS, 1, 1, other, NULL) == GRADCORE_OK);
        destroy(n, t);
        CHECK(c.live == 0 && c.live_bytes == 0);
    }
}

static void misuse_and_failed_allocations_leave_the_table(void)
{
    counter c = {0};
    const gradcore_allocator allocator = {counter_allocate, counter_release, &c};
    const double rates[2] = {0.5, 0.5}, bad[2] = {0.5, 1.0}, nan[1] = {NAN};
    double loss[STEPS], before[STEPS];
    gradcore_error error = {0};
    gradcore_network *n = NULL, *twin = NULL;
    gradcore_trainer *t = make(-1, NULL, 1, &allocator, &n), *plain = make(0.5, NULL, 1, NULL, &twin);
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 1, rates, NULL) == GRADCORE_OK);
    c.fail_at = c.calls + 1;
    CHECK(gradcore_trainer_set_rates(t, 0, 2, 1, rates, &error) == GRADCORE_NO_MEMORY);
    CHECK(gradcore_trainer_set_rates(t, 0, 2, 1, bad, &error) == GRADCORE_INVALID);
    CHECK(strstr(error.message, "at step 1, got 1") != NULL);
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 1, nan, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 1, NULL, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_set_rates(t, 0, 0, 1, rates, NULL) == GRADCORE_SHAPE);
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 2, rates, NULL) == GRADCORE_SHAPE);
    CHECK(gradcore_trainer_set_rates(plain, 0, 1, 1, rates, NULL) == GRADCORE_SHAPE);
    CHECK(train(t, 1, 0, NULL, loss) == GRADCORE_OK && train(plain, 1, 0, NULL, before) == GRADCORE_OK);
    CHECK(loss[0] == before[0]);
    destroy(n, t);
    destroy(twin, plain);
    CHECK(c.live == 0 && c.live_bytes == 0);
}

/* l1 and l2 of the first weight are two columns behind the dropout's: the loss of step i has those of row i. */
static void strengths_of_penalties_are_columns_too(void)
{
    const double rates[STEPS][3] = {{0, 0.5, 0}, {0, 0, 0.25}, {0, 0, 0}, {0, 1, 2}}, bad[3] = {0, -1, 0};
    double loss[STEPS], want[STEPS], value = 0, after = 0;
    gradcore_network *n = NULL, *twin = NULL;
    gradcore_trainer *t = make(-1, NULL, 2, NULL, &n), *constant = make(0, NULL, 1, NULL, &twin);
    CHECK(gradcore_network_schedule_penalty(NULL, 0, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_schedule_penalty(n, 99, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_schedule_penalty(n, 0, NULL) == GRADCORE_OK);
    CHECK(gradcore_network_schedule_penalty(n, 0, NULL) == GRADCORE_OK); /* once more changes nothing */
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 1, rates[0], NULL) == GRADCORE_SHAPE);
    CHECK(gradcore_trainer_set_rates(t, 0, 1, 3, bad, NULL) == GRADCORE_INVALID);
    for (int i = 0; i < STEPS; i++) {
        CHECK(gradcore_trainer_set_rates(t, 0, STEPS, 3, rates[0], NULL) == GRADCORE_OK);
        CHECK(gradcore_network_set_penalty(twin, 0, rates[i][1], rates[i][2], NULL) == GRADCORE_OK);
        CHECK(train(t, 1, 0, NULL, loss) == GRADCORE_OK && train(constant, 1, 0, NULL, want) == GRADCORE_OK);
        CHECK(loss[0] == want[0]);
        CHECK(gradcore_network_penalty(n, &value, NULL) == GRADCORE_OK);
        CHECK(gradcore_network_penalty(twin, &after, NULL) == GRADCORE_OK && value == after);
    }
    destroy(n, t);
    destroy(twin, constant);
}

static void a_run_adds_its_clips_up(void)
{
    const struct {
        const char *clip;
        double limit;
    } cases[] = {{"global_norm", 0.1}, {"value", 0.01}, {NULL, 0}};
    for (int k = 0; k < 3; k++) {
        double run[PARAMETERS][3] = {{0}}, all[PARAMETERS][3], loss[STEPS];
        gradcore_network *n = NULL;
        gradcore_trainer *t = make(0.0, cases[k].clip, 2, NULL, &n);
        CHECK(train(t, STEPS, cases[k].limit, run[0], loss) == GRADCORE_OK);
        CHECK(train(t, STEPS, cases[k].limit, run[0], loss) == GRADCORE_OK);
        CHECK(gradcore_trainer_ledger(t, all[0], NULL) == GRADCORE_OK);
        CHECK(memcmp(run, all, sizeof all) == 0);
        for (int p = 0; p < PARAMETERS; p++) {
            gradcore_parameter_info info = {.size = sizeof info};
            gradcore_network_parameter(n, p, &info);
            const double each = k == 0 ? 1 : k == 1 ? (double)(info.rows * info.cols) : 0;
            CHECK(all[p][0] == 2 * STEPS * each);
            CHECK(k == 2 || (all[p][1] > 0 && all[p][2] < all[p][0]));
        }
        destroy(n, t);
    }
}

int main(void)
{
    for (int i = 0; i < ROWS * INPUTS; i++)
        x[i] = (float)((i * 37) % 101) / 50 - 1;
    for (int i = 0; i < ROWS * OUTPUTS; i++)
        y[i] = (float)((i * 53) % 29) / 14 - 1;
    a_step_has_the_rate_of_its_number();
    a_table_grows_and_shrinks();
    misuse_and_failed_allocations_leave_the_table();
    strengths_of_penalties_are_columns_too();
    a_run_adds_its_clips_up();
    return check_report();
}
