/* Branches: a twin goes on with the same bits as the trainer that it was made of, and neither sees the other. */
#include "trainers.inc"

static void destroy(gradcore_network *n[2], gradcore_trainer *t[2])
{
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_destroy(t[i]);
        gradcore_network_destroy(n[i]);
    }
}

static void compare_counts(const problem *p, gradcore_trainer *t[2])
{
    uint64_t step[2], updates[2];
    double running[2][GRADCORE_RUNNING], ledger[2][3 * PARAMETERS];
    memset(ledger, 0, sizeof ledger);
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_get_progress(t[i], &step[i], &updates[i]);
        CHECK(gradcore_trainer_running_read(t[i], running[i], NULL) == GRADCORE_OK);
        CHECK(gradcore_trainer_ledger(t[i], ledger[i], NULL) == GRADCORE_OK);
    }
    CHECK_NOTE(step[0] == step[1] && updates[0] == updates[1], "%s", p->name);
    CHECK_NOTE(memcmp(running[0], running[1], sizeof running[0]) == 0, "%s", p->name);
    CHECK_NOTE(memcmp(ledger[0], ledger[1], sizeof ledger[0]) == 0, "%s", p->name);
}

static int alike(gradcore_network *const n[2])
{
    double one[MOST], other[MOST];
    gradcore_parameter_info about = {.size = sizeof about};
    gradcore_network_parameter(n[0], 0, &about);
    for (int i = 0; i < 2; i++)
        CHECK(gradcore_network_read(n[i], 0, i ? other : one, NULL) == GRADCORE_OK);
    return memcmp(one, other, (size_t)(about.rows * about.cols) * sizeof(double)) == 0;
}

/* After an odd number of steps, so that an accumulation waits. */
static void test_twins_go_on_alike(const problem *p)
{
    gradcore_network *n[2] = {network(p), NULL};
    gradcore_trainer *t[2] = {trainer(p, n[0], ROWS), NULL};
    const double rates[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.1};
    if (p->layers == layers)
        CHECK(gradcore_trainer_set_rates(t[0], 0, 9, 1, rates, NULL) == GRADCORE_OK);
    for (int again = 0; again < 2; again++) {
        if (again)
            destroy((gradcore_network *[2]){n[1], NULL}, (gradcore_trainer *[2]){t[1], NULL});
        train(p, t[0], ROWS, 3);
        CHECK(gradcore_trainer_branch(t[0], &n[1], &t[1], NULL) == GRADCORE_OK);
        compare(p, n, t);
        compare_counts(p, t);
    }
    train(p, t[1], ROWS, 2);
    CHECK_NOTE(!alike(n), "%s", p->name); /* what the twin trains is its own */
    train(p, t[0], ROWS, 2);
    compare(p, n, t);
    compare_counts(p, t);
    gradcore_trainer_destroy(t[0]); /* and lives without it */
    gradcore_network_destroy(n[0]);
    n[0] = network(p);
    t[0] = trainer(p, n[0], ROWS);
    if (p->layers == layers)
        CHECK(gradcore_trainer_set_rates(t[0], 0, 9, 1, rates, NULL) == GRADCORE_OK);
    train(p, t[0], ROWS, 9);
    train(p, t[1], ROWS, 1);
    compare(p, n, t);
    compare_counts(p, t);
    destroy(n, t);
}

/* Of one that has made no step, and of networks alone. */
static void test_twins_of_new_ones(const problem *p)
{
    gradcore_network *n[2] = {network(p), NULL};
    gradcore_trainer *t[2] = {NULL, NULL};
    CHECK(gradcore_network_branch(n[0], &n[1], NULL) == GRADCORE_OK && alike(n));
    CHECK(gradcore_network_initialize(n[1], 4, NULL) == GRADCORE_OK && !alike(n));
    gradcore_network_destroy(n[1]);
    t[0] = trainer(p, n[0], FEW);
    CHECK(gradcore_trainer_branch(t[0], &n[1], &t[1], NULL) == GRADCORE_OK);
    for (int i = 0; i < 2; i++)
        train(p, t[i], FEW, 3);
    compare(p, n, t);
    for (int i = 0; i < 2; i++) {
        CHECK(gradcore_trainer_reserve(t[i], ROWS, NULL) == GRADCORE_OK);
        train(p, t[i], ROWS, 2);
    }
    compare(p, n, t);
    destroy(n, t);
}

static void test_refusals(void)
{
    gradcore_network *n = network(problems), *other = NULL;
    gradcore_trainer *t = trainer(problems, n, FEW), *twin = NULL;
    gradcore_error error;
    CHECK(gradcore_network_branch(NULL, &other, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_network_branch(n, NULL, &error) == GRADCORE_INVALID && strstr(error.message, "out: expected"));
    CHECK(gradcore_trainer_branch(NULL, &other, &twin, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_branch(t, NULL, &twin, &error) == GRADCORE_INVALID && strstr(error.message, "network: "));
    CHECK(gradcore_trainer_branch(t, &other, NULL, &error) == GRADCORE_INVALID && strstr(error.message, "twin: "));
    CHECK(!other && !twin);
    train(problems, t, FEW, 1); /* nobody has kept it */
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Whichever allocation fails, there is no twin, nothing is lost, and the trainer goes on. */
static void test_no_memory(const problem *p)
{
    counter c = {0};
    const gradcore_allocator allocator = {&counter_allocate, &counter_release, &c};
    const gradcore_network_options o = {
        .size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = 1, .allocator = &allocator};
    gradcore_network *n[2] = {NULL, NULL};
    CHECK(gradcore_network_create(&o, p->layers, p->count, &n[0], NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n[0], 3, NULL) == GRADCORE_OK);
    gradcore_trainer *t[2] = {trainer(p, n[0], ROWS), NULL};
    train(p, t[0], ROWS, 3);
    const long live = c.live;
    int failures = 0;
    for (gradcore_status status = GRADCORE_NO_MEMORY; status != GRADCORE_OK; failures++) {
        c.calls = 0;
        c.fail_at = failures + 1;
        status = gradcore_trainer_branch(t[0], &n[1], &t[1], NULL);
        CHECK(status == GRADCORE_OK || status == GRADCORE_NO_MEMORY);
        CHECK_NOTE(status == GRADCORE_OK || (c.live == live && !n[1] && !t[1]), "%s: allocation %d", p->name,
                   failures + 1);
        c.fail_at = 0;
    }
    CHECK(failures > 6);
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 2);
    compare(p, n, t);
    destroy(n, t);
    CHECK(c.live == 0 && c.live_bytes == 0);
}

int main(void)
{
    fill_data();
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        test_twins_go_on_alike(&problems[i]);
        test_twins_of_new_ones(&problems[i]);
        test_no_memory(&problems[i]);
    }
    test_refusals();
    return check_report();
}
