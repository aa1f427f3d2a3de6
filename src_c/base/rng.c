/* Philox, uniform numbers and the shuffle. */
#include "base.h"
#include "rng.h"

void grc_philox(uint64_t seed, uint32_t stream, uint64_t step, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = GRC_PHILOX_COUNTER1(block, step), c2 = (uint32_t)step, c3 = stream;
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < GRC_PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)GRC_PHILOX_M0 * c0, p1 = (uint64_t)GRC_PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)p0;
        key0 += GRC_PHILOX_W0;
        key1 += GRC_PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double grc_uniform(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint32_t words[4];
    grc_philox(seed, stream, step, index / 2, words);
    const uint32_t *pair = words + 2 * (index % 2);
    uint64_t bits = (uint64_t)pair[1] << 32 | pair[0];
    return (double)(bits >> 11) * 0x1p-53;
}

/* The words of one stream in order. */
typedef struct word_source {
    uint64_t seed, step, block;
    uint32_t words[4];
    int left;
} word_source;

static uint32_t next_word(word_source *source)
{
    if (source->left == 0) {
        grc_philox(source->seed, GRC_STREAM_SHUFFLE, source->step, source->block++, source->words);
        source->left = 4;
    }
    return source->words[4 - source->left--];
}

/* Uniform on 0..range-1, range >= 1. Up to 2^32 - 1 by Lemire's multiplication, beyond by rejecting
 * the last incomplete run of remainders; both are exact. */
static uint64_t next_below(word_source *source, uint64_t range)
{
    if (range <= UINT32_MAX) {
        uint32_t bound = (uint32_t)range;
        uint64_t product = (uint64_t)next_word(source) * bound;
        if ((uint32_t)product < bound) {
            uint32_t uneven = (uint32_t)-bound % bound;
            while ((uint32_t)product < uneven)
                product = (uint64_t)next_word(source) * bound;
        }
        return product >> 32;
    }
    for (;;) {
        uint64_t low = next_word(source), word = (uint64_t)next_word(source) << 32 | low;
        uint64_t run = word - word % range; /* start of the run of `range` numbers that word is in */
        if (run <= UINT64_MAX - (range - 1))
            return word - run;
    }
}

int grc_shuffle(uint64_t seed, uint64_t epoch, size_t n, int64_t *order)
{
    if ((uint64_t)n > (uint64_t)INT64_MAX)
        return -1;
    for (size_t i = 0; i < n; i++)
        order[i] = (int64_t)i;
    word_source source = {.seed = seed, .step = epoch};
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)next_below(&source, i);
        int64_t moved = order[i - 1];
        order[i - 1] = order[j];
        order[j] = moved;
    }
    return 0;
}
