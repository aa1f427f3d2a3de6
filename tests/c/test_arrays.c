/* Functions on plain arrays through the public header, where an array is longer than the blocks of the work. */
#include <math.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/gradcore.h"
#include "check.h"

static gradcore_error error;

static void test_long_activations(void)
{
    enum { LONG = 1000 };
    static double in[LONG], d[LONG], out[LONG];
    for (int i = 0; i < LONG; i++) {
        in[i] = i % 2 ? 1 : -1;
        d[i] = i + 1;
    }
    CHECK(gradcore_activation_backward("relu", 1, 0, LONG, in, d, out, &error) == GRADCORE_OK);
    for (int i = 0; i < LONG; i++)
        CHECK(out[i] == (i % 2 ? i + 1 : 0));
    CHECK(gradcore_activation_backward("identity", 1, 0, LONG, in, d, out, &error) == GRADCORE_OK);
    for (int i = 0; i < LONG; i++)
        CHECK(out[i] == i + 1);
    CHECK(gradcore_activation_backward("tanh", 1, 0, LONG, in, d, out, &error) == GRADCORE_OK);
    const double slope = 1 - tanh(1) * tanh(1);
    for (int i = 0; i < LONG; i++)
        CHECK(fabs(out[i] - slope * (i + 1)) <= 1e-12 * (i + 1));
}

/* Muon's and soap's arrays apart: one update of a long array is that of its pieces. */
static void test_long_updates(void)
{
    enum { LONG = 3000, PIECE = 7 };
    static double w[LONG], g[LONG], m[LONG], v[LONG], other[PIECE], slope[PIECE], m2[PIECE], v2[PIECE];
    double hypers[GRADCORE_HYPERS] = {[GRADCORE_LR] = 0.1, [3] = 0.9, [4] = 0.99, [5] = 1e-8};
    for (int i = 0; i < LONG; i++)
        g[i] = sin(i);
    void *slots[GRADCORE_SLOTS] = {m, v}, *few[GRADCORE_SLOTS] = {m2, v2};
    for (uint64_t step = 1; step <= 3; step++)
        CHECK(gradcore_optimizer_update("adam", 1, 0, step, hypers, LONG, w, g, slots, &error) == GRADCORE_OK);
    for (int at = LONG - PIECE; at >= 0; at -= 997) {
        for (int i = 0; i < PIECE; i++) {
            slope[i] = g[at + i];
            other[i] = m2[i] = v2[i] = 0;
        }
        for (uint64_t step = 1; step <= 3; step++)
            CHECK(gradcore_optimizer_update("adam", 1, 0, step, hypers, PIECE, other, slope, few, &error)
                  == GRADCORE_OK);
        CHECK(memcmp(other, w + at, sizeof other) == 0);
    }
}

/* An array of zeros has no norm to measure a step by: it moves as the rule without a ratio has it. */
static void test_zeros_under_ratios(void)
{
    double w[3] = {0}, m[3] = {0}, v[3] = {0}, hypers[GRADCORE_HYPERS] = {[GRADCORE_LR] = 0.5, [3] = 0.9, [4] = 1e-3};
    const double g[3] = {1, -2, 4};
    void *slots[GRADCORE_SLOTS] = {m, v};
    CHECK(gradcore_optimizer_update("lars", 1, 0, 1, hypers, 3, w, g, slots, &error) == GRADCORE_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(w[i] == -0.5 * g[i]);
        w[i] = 0;
    }
    hypers[4] = 0.99;
    hypers[5] = 1e-12;
    CHECK(gradcore_optimizer_update("lamb", 1, 0, 1, hypers, 3, w, g, slots, &error) == GRADCORE_OK);
    for (int i = 0; i < 3; i++)
        CHECK(fabs(w[i] + copysign(0.5, g[i])) < 1e-9);
    for (int i = 0; i < 3; i++)
        w[i] = 1 + i;
    const double none[3] = {0};
    memset(m, 0, sizeof m);
    hypers[4] = 1e-3;
    hypers[5] = 0;
    CHECK(gradcore_optimizer_update("lars", 1, 0, 1, hypers, 3, w, none, slots, &error) == GRADCORE_OK);
    for (int i = 0; i < 3; i++)
        CHECK(w[i] == 1 + i);
}

int main(void)
{
    test_zeros_under_ratios();
    test_long_activations();
    test_long_updates();
    return check_report();
}
