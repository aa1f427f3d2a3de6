/* Counter-based random numbers. Every number is a pure function of
 * (seed, stream, step, index): no state, the same bits on every platform and for any thread count. */
#ifndef GRC_RNG_H
#define GRC_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11. */
#define GRC_PHILOX_ROUNDS 10
#define GRC_PHILOX_M0 0xD2511F53u
#define GRC_PHILOX_M1 0xCD9E8D57u
#define GRC_PHILOX_W0 0x9E3779B9u
#define GRC_PHILOX_W1 0xBB67AE85u

/* Packing: key = {seed low, seed high}; counter = {block bits 0..31,
 * block bits 32..47 | step bits 32..47 << 16, step bits 0..31, stream}.
 * So block and step count to 2^48; higher bits are dropped. */
#define GRC_PHILOX_COUNTER1(block, step) (((uint32_t)((block) >> 32) & 0xffffu) | (uint32_t)((step) >> 32) << 16)

/* Streams keep uses of one seed apart. Layers count theirs from 0; these are taken. */
#define GRC_STREAM_SHUFFLE 0xffffffffu

/* The four words of one block. Element e of a stream is word e % 4 of block e / 4. */
void grc_philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t block, uint32_t out[4]);

/* Number `index` of a stream, uniform on the multiples of 2^-53 in [0, 1):
 * the high 53 bits of words 2h+1 (high) and 2h (low) of block index / 2, h = index % 2. */
double grc_uniform(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);

/* order (n) = a permutation of 0..n-1, every one equally likely: Fisher-Yates with unbiased bounded
 * integers. Keyed by seed and epoch alone. Returns 0, or -1 (nothing written) where n > INT64_MAX. */
int grc_shuffle(uint64_t seed, uint64_t epoch, size_t n, int64_t *order);

#endif
