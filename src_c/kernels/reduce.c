/* Exact reduction of huge angles, for the lanes that sine.inc cannot reduce with a few constants. */
#include "prologue.h"

/* 64 zero bits, then the binary fraction of 2 / pi, 32 bits a word. */
static const uint32_t two_over_pi[] = {
    0x00000000u, 0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
    0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu,
    0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu,
    0x1ff897ffu, 0xde05980fu, 0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du,
    0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu,
};
#define WORDS 6 /* of the window of 2 / pi that is used */

/* Payne and Hanek, "Radian reduction for trigonometric functions", SIGNUM 1983. |x| = m 2^e, m an integer of
 * 53 bits. Bits of 2 / pi that weigh 4 or more in m 2^e (2 / pi) only count whole turns; of the others 192
 * are kept, so the product modulo 4 is right to 2^-137, and x comes no nearer to a multiple of pi / 2 than
 * 2^-62. All in integers until the fraction is known: the same bits on every machine. */
int grc_reduce_angle(double x, double *high, double *low)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t m = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    const int e = (int)(bits >> 52 & 0x7ff) - 1075;
    const int first = 62 + e; /* bit of the table that the window begins with */
    uint32_t window[WORDS], product[WORDS] = {0};
    for (int i = 0; i < WORDS; i++) {
        const uint32_t *word = two_over_pi + first / 32 + i;
        window[i] = (uint32_t)((((uint64_t)word[0] << 32 | word[1]) << (first % 32)) >> 32);
    }
    const uint64_t factor[2] = {m & UINT32_MAX, m >> 32};
    for (int half = 0; half < 2; half++) {
        uint64_t carry = 0;
        for (int i = WORDS - 1 - half, j = WORDS - 1; i >= 0; i--, j--) {
            carry += factor[half] * window[j] + product[i];
            product[i] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    int quadrant = (int)(product[0] >> 30);
    for (int i = 0; i < WORDS; i++) /* the two bits leave; a fraction of a quadrant stays */
        product[i] = product[i] << 2 | (i + 1 < WORDS ? product[i + 1] >> 30 : 0);
    const int upper = product[0] >> 31;
    if (upper) { /* to the nearest multiple: minus the complement, up to the last bit */
        quadrant = (quadrant + 1) % 4;
        for (int i = 0; i < WORDS; i++)
            product[i] = ~product[i];
    }
    int zeros = 0; /* leading words, so that what follows keeps 96 bits */
    while (zeros < WORDS - 4 && product[zeros] == 0)
        zeros++;
    double fraction = 0, rest = 0, unit = 0x1p-32;
    for (int i = 0; i < zeros; i++)
        unit *= 0x1p-32;
    fraction = ((double)product[zeros] * 0x1p32 + (double)(product[zeros + 1] & 0xfffff800u)) * (unit * 0x1p-32);
    rest = ((double)(product[zeros + 1] & 0x7ffu) * 0x1p32 + (double)product[zeros + 2]) * (unit * 0x1p-64);
    rest += (double)product[zeros + 3] * (unit * 0x1p-96);
    const double quarter = 0x1.921fb54442d18p+0, quarter_low = 0x1.1a62633145c07p-54;
    double a = fraction * quarter;
    double b = fma(fraction, quarter, -a) + (fraction * quarter_low + rest * quarter);
    if (upper != (int)(bits >> 63)) {
        a = -a;
        b = -b;
    }
    *high = a + b;
    *low = b - (*high - a);
    return bits >> 63 ? (4 - quadrant) % 4 : quadrant;
}
