/* Prints the FMA peak of one core in GFLOP/s: independent chains of fused multiply-adds in registers, no
 * memory. Compiled and run by peak.py, once for each instruction set and element type (REAL), on one core
 * and on every core at once. */
#include <stdio.h>
#include <time.h>

#ifndef REAL
#define REAL float
#endif
#if defined(__AVX512F__)
#define BYTES 64
#define CHAINS 12 /* latency 4 to 5 cycles times 2 units, rounded up */
#elif defined(__AVX__)
#define BYTES 32
#define CHAINS 12 /* two more vectors hold the constants: 14 of 16 registers */
#else
#define BYTES 16
#define CHAINS 12
#endif
#define LANES (BYTES / sizeof(REAL))

typedef REAL vector __attribute__((vector_size(BYTES)));

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs the chains `steps` times; the result depends on all of them. start: any number but 0. */
double spin(long steps, int start)
{
    vector chain[CHAINS];
    vector factor = {0}, term = {0};
    for (size_t i = 0; i < LANES; i++) {
        factor[i] = (REAL)0.5 / (REAL)start;
        term[i] = (REAL)start;
    }
    for (int c = 0; c < CHAINS; c++)
        chain[c] = term * (REAL)c;
    for (long s = 0; s < steps; s++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            chain[c] = chain[c] * factor + term;
    double total = 0;
    for (int c = 0; c < CHAINS; c++)
        total += (double)chain[c][0];
    return total;
}

/* Operations of a step of spin. */
long spin_flops(void)
{
    return 2L * CHAINS * (long)LANES;
}

int main(int argc, char **argv)
{
    (void)argv;
    const long steps = 2000000;
    double best = 0, total = 0;
    for (int round = 0; round < 20; round++) {
        double start = now();
        total += spin(steps, argc);
        double rate = (double)steps * (double)spin_flops() / (now() - start) * 1e-9;
        if (rate > best)
            best = rate;
    }
    printf("%.1f %g\n", best, total);
    return 0;
}
