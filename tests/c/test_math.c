/* Accuracy of the vector math in float32 against double libm, and equal bits on every instruction set.
 *
 *     cc -O2 tests/c/test_math.c src_c/kernels/k_*.c src_c/kernels/reduce.c -lm -o test_math && ./test_math [--all]
 *
 * A sample of the float32 bit patterns by default; all 2^32 of them with --all (some minutes).
 * Exits nonzero when a bar is exceeded or the instruction sets differ.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../src_c/kernels/kernels.h"

typedef void map_fn(size_t n, const void *x, void *y);

/* name in grc_kernels and in libm, largest error allowed in ULP */
#define FUNCTIONS(X) \
    X(exp, 2.0)      \
    X(log, 2.0)      \
    X(tanh, 2.0)     \
    X(erf, 1.5)

enum { BLOCK = 4096, MAX_ISAS = 3 };

/* The tables that this machine can run, the plain one first; returns how many. */
static int runnable(const grc_kernels **list)
{
    int count = 0;
    list[count++] = grc_kernels_scalar;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        list[count++] = grc_kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl"))
        list[count++] = grc_kernels_avx512;
#elif defined(__aarch64__)
    list[count++] = grc_kernels_neon;
#endif
    return count;
}

/* |got - want| in units of the last place of want in float32, at least the smallest denormal.
 * An infinity on one side only counts as 2^128. */
static double ulp_error(float got, double want)
{
    if (want != want || got != got)
        return want != want && got != got ? 0.0 : INFINITY;
    if (isinf(want) || (isinf(got) && isinf((float)want)))
        return (double)got == (double)(float)want ? 0.0 : INFINITY;
    int exponent;
    frexp(want, &exponent);
    if (exponent < FLT_MIN_EXP)
        exponent = FLT_MIN_EXP;
    double value = isinf(got) ? copysign(0x1p128, (double)got) : (double)got;
    return fabs(value - want) / ldexp(1.0, exponent - FLT_MANT_DIG);
}

/* Bits of two results of `size` bytes an element agree; any NaN equals any other. */
static int same_bits(size_t n, size_t size, const void *a, const void *b)
{
    if (memcmp(a, b, n * size) == 0)
        return 1;
    for (size_t i = 0; i < n; i++) {
        double x = size == sizeof(float) ? (double)((const float *)a)[i] : ((const double *)a)[i];
        double y = size == sizeof(float) ? (double)((const float *)b)[i] : ((const double *)b)[i];
        if (!(x != x && y != y) && memcmp((const char *)a + i * size, (const char *)b + i * size, size) != 0)
            return 0;
    }
    return 1;
}

/* Every stride-th float32: prints the worst error a table, returns the number of failures. */
static int check_float(const char *name, map_fn *const *fn, const grc_kernels *const *isa, int isas,
                       double (*reference)(double), double bar, uint64_t stride)
{
    static float x[BLOCK], y[MAX_ISAS][BLOCK];
    double worst[MAX_ISAS] = {0};
    float worst_x[MAX_ISAS] = {0};
    int equal[MAX_ISAS] = {1, 1, 1}, failed = 0;
    for (uint64_t pattern = 0; pattern <= UINT32_MAX;) {
        size_t n = 0;
        for (; n < BLOCK && pattern <= UINT32_MAX; n++, pattern += stride) {
            uint32_t bits = (uint32_t)pattern;
            memcpy(&x[n], &bits, sizeof bits);
        }
        for (int k = 0; k < isas; k++) {
            fn[k](n, x, y[k]);
            equal[k] &= same_bits(n, sizeof(float), y[0], y[k]);
        }
        for (size_t i = 0; i < n; i++) {
            double want = reference((double)x[i]);
            for (int k = 0; k < isas; k++) {
                double error = ulp_error(y[k][i], want);
                if (error > worst[k]) {
                    worst[k] = error;
                    worst_x[k] = x[i];
                }
            }
        }
    }
    for (int k = 0; k < isas; k++) {
        int ok = worst[k] <= bar && equal[k];
        printf("%-5s %-7s max %.3f ulp at %.9g (bar %.1f)%s%s\n", name, isa[k]->name, worst[k], (double)worst_x[k], bar,
               equal[k] ? "" : ", bits differ from scalar", ok ? "" : "  FAILED");
        failed += !ok;
    }
    return failed;
}

/* Doubles of every exponent and near 0: equal bits only. Returns the number of failures. */
static int check_double(const char *name, map_fn *const *fn, const grc_kernels *const *isa, int isas)
{
    static double x[BLOCK], y[MAX_ISAS][BLOCK];
    uint64_t state = 88172645463325252u;
    int equal[MAX_ISAS] = {1, 1, 1}, failed = 0;
    for (int block = 0; block < 50; block++) {
        for (int i = 0; i < BLOCK; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = state ^ state >> 29;
            memcpy(&x[i], &bits, sizeof bits);
            if (i % 2)
                x[i] = ((double)(bits >> 11) * 0x1p-53 - 0.5) * (i % 4 == 1 ? 8.0 : 1500.0);
        }
        for (int k = 0; k < isas; k++) {
            fn[k](BLOCK - 1, x, y[k]);
            equal[k] &= same_bits(BLOCK - 1, sizeof(double), y[0], y[k]);
        }
    }
    for (int k = 1; k < isas; k++)
        if (!equal[k]) {
            printf("%-5s %-7s float64 bits differ from scalar  FAILED\n", name, isa[k]->name);
            failed++;
        }
    return failed;
}

int main(int argc, char **argv)
{
    const grc_kernels *isa[MAX_ISAS];
    int isas = runnable(isa), failed = 0;
    uint64_t stride = argc > 1 && strcmp(argv[1], "--all") == 0 ? 1 : 1009;
    map_fn *fn[MAX_ISAS];
#define CHECK_FUNCTION(name, bar)                                   \
    for (int k = 0; k < isas; k++)                                  \
        fn[k] = isa[k][GRC_F32].name;                               \
    failed += check_float(#name, fn, isa, isas, name, bar, stride); \
    for (int k = 0; k < isas; k++)                                  \
        fn[k] = isa[k][GRC_F64].name;                               \
    failed += check_double(#name, fn, isa, isas);
    FUNCTIONS(CHECK_FUNCTION)
    return failed != 0;
}
