/* Room for larger batches: a trainer that got it on its way goes on as one that had it from the start, bit for bit. */
#include "trainers.inc"

static void test_reserved_and_fresh_alike(const problem *p)
{
    gradcore_network *n[2];
    gradcore_trainer *t[2];
    const double rates[] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
    for (int i = 0; i < 2; i++) {
        n[i] = network(p);
        t[i] = trainer(p, n[i], i ? ROWS : FEW);
        if (p->layers == layers)
            CHECK(gradcore_trainer_set_rates(t[i], 0, 8, 1, rates, NULL) == GRADCORE_OK);
        train(p, t[i], FEW, 3); /* an odd number: an accumulation waits */
    }
    CHECK(gradcore_trainer_reserve(t[0], ROWS, NULL) == GRADCORE_OK);
    compare(p, n, t); /* the last gradient, too */
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 2);
    compare(p, n, t);
    CHECK(gradcore_trainer_reserve(t[0], FEW, NULL) == GRADCORE_OK); /* there is room */
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 1);
    compare(p, n, t);
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_destroy(t[i]);
        gradcore_network_destroy(n[i]);
    }
}

static void test_refusals(void)
{
    gradcore_network *n = network(problems);
    gradcore_trainer *t = trainer(problems, n, FEW);
    gradcore_error error;
    CHECK(gradcore_trainer_reserve(NULL, 1, NULL) == GRADCORE_INVALID);
    CHECK(gradcore_trainer_reserve(t, 0, &error) == GRADCORE_SHAPE && strstr(error.message, "rows: expected"));
    CHECK(gradcore_trainer_reserve(t, (int64_t)INT32_MAX + 1, &error) == GRADCORE_SHAPE);
    gradcore_trainer_destroy(t);
    gradcore_network_destroy(n);
}

/* Without memory the trainer is as it was, whichever allocation fails. */
static void test_no_memory(const problem *p)
{
    counter c = {0};
    const gradcore_allocator allocator = {&counter_allocate, &counter_release, &c};
    const gradcore_network_options o = {
        .size = sizeof o, .inputs = INPUTS, .dtype = GRADCORE_FLOAT64, .threads = 1, .allocator = &allocator};
    gradcore_network *n[2] = {NULL, network(p)};
    CHECK(gradcore_network_create(&o, p->layers, p->count, &n[0], NULL) == GRADCORE_OK);
    CHECK(gradcore_network_initialize(n[0], 3, NULL) == GRADCORE_OK);
    gradcore_trainer *t[2] = {trainer(p, n[0], FEW), trainer(p, n[1], ROWS)};
    for (int i = 0; i < 2; i++)
        train(p, t[i], FEW, 3);
    int failures = 0;
    for (gradcore_status status = GRADCORE_NO_MEMORY; status != GRADCORE_OK; failures++) {
        c.calls = 0;
        c.fail_at = failures + 1;
        status = gradcore_trainer_reserve(t[0], ROWS, NULL);
        CHECK(status == GRADCORE_OK || status == GRADCORE_NO_MEMORY);
        c.fail_at = 0;
        if (status != GRADCORE_OK)
            for (int i = 0; i < 2; i++)
                train(p, t[i], FEW, 1);
    }
    CHECK(failures > 2);
    for (int i = 0; i < 2; i++)
        train(p, t[i], ROWS, 2);
    compare(p, n, t);
    for (int i = 0; i < 2; i++) {
        gradcore_trainer_destroy(t[i]);
        gradcore_network_destroy(n[i]);
    }
    CHECK(c.live == 0 && c.live_bytes == 0);
}

int main(void)
{
    fill_data();
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        test_reserved_and_fresh_alike(&problems[i]);
        test_no_memory(&problems[i]);
    }
    test_refusals();
    return check_report();
}
