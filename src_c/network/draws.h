/* Random arrays: fills of doubles, from the counter-based generator.
 *
 * The fills write n doubles, element i from number i of (seed, stream, step 0); a row-major (rows, cols) array has
 * n = rows * cols. Only correctly rounded operations and this library's own logarithm are used, so no bit depends
 * on the C library. */
#ifndef GRC_DRAWS_H
#define GRC_DRAWS_H

#include "../base/rng.h"

/* Number `index` of (seed, stream, step), standard normal, as the fills below make it. */
double grc_normal(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index);

/* low + (high - low) u, u in [0, 1); high itself occurs only by rounding. */
void grc_fill_uniform(uint64_t seed, uint32_t stream, size_t n, double low, double high, double *out);

/* Normal with the given mean and standard deviation, by the inverse distribution function
 * (AS 241 PPND16, relative error about 1e-16). */
void grc_fill_normal(uint64_t seed, uint32_t stream, size_t n, double mean, double deviation, double *out);

/* sigma times a standard normal truncated to [-2, 2], mean 0, by the inverse distribution function.
 * The standard deviation of the result is 0.87962566103423978 sigma: divide by that to prescribe it. */
void grc_fill_truncated_normal(uint64_t seed, uint32_t stream, size_t n, double sigma, double *out);

#endif
