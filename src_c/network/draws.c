/* Weight initialisers: fills of a double array from the counter-based generator. */
#include "../kernels/prologue.h"
#include "draws.h"

#define DEGREE 8

/* c[0] + c[1] x + ... + c[7] x^7 */
static double polynomial(const double c[DEGREE], double x)
{
    double sum = c[DEGREE - 1];
    for (int i = DEGREE - 2; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

/* The x with P(X < x) = 1/2 + q for a standard normal X, |q| < 1/2: AS 241 PPND16, Wichura 1988.
 * Taking q and not the probability keeps both tails alike: -q gives -x to the bit. */
static double normal_quantile(double q)
{
    static const double center_p[DEGREE] = {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                                            1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                                            3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double center_q[DEGREE] = {1.0,
                                            4.2313330701600911252e1,
                                            6.8718700749205790830e2,
                                            5.3941960214247511077e3,
                                            2.1213794301586595867e4,
                                            3.9307895800092710610e4,
                                            2.8729085735721942674e4,
                                            5.2264952788528545610e3};
    static const double middle_p[DEGREE] = {
        1.42343711074968357734e0, 4.63033784615654529590e0,  5.76949722146069140550e0,  3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double middle_q[DEGREE] = {1.0,
                                            2.05319162663775882187e0,
                                            1.67638483018380384940e0,
                                            6.89767334985100004550e-1,
                                            1.48103976427480074590e-1,
                                            1.51986665636164571966e-2,
                                            5.47593808499534494600e-4,
                                            1.05075007164441684324e-9};
    static const double far_p[DEGREE] = {
        6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,  2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double far_q[DEGREE] = {1.0,
                                         5.99832206555887937690e-1,
                                         1.36929880922735805310e-1,
                                         1.48753612908506148525e-2,
                                         7.86869131145613259100e-4,
                                         1.84631831751005468180e-5,
                                         1.42151175831644588870e-7,
                                         2.04426310338993978564e-15};
    double distance = fabs(q);
    if (distance <= 0.425) {
        double r = 0.180625 - q * q;
        return q * polynomial(center_p, r) / polynomial(center_q, r);
    }
    double tail = 0.5 - distance, log_tail;
    grc_kernels_scalar[GRC_F64].log(1, &tail, &log_tail);
    double r = sqrt(-log_tail), x;
    if (r <= 5.0)
        x = polynomial(middle_p, r - 1.6) / polynomial(middle_q, r - 1.6);
    else
        x = polynomial(far_p, r - 5.0) / polynomial(far_q, r - 5.0);
    return q < 0.0 ? -x : x;
}

/* Number `index` of a stream, uniform on the odd multiples of 2^-53 in (-1/2, 1/2). */
static double centered_uniform(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    uint64_t bits = (uint64_t)(grc_uniform(seed, stream, step, index) * 0x1p52);
    return ((double)bits + 0.5) * 0x1p-52 - 0.5;
}

double grc_normal(uint64_t seed, uint32_t stream, uint64_t step, uint64_t index)
{
    return normal_quantile(centered_uniform(seed, stream, step, index));
}

void grc_fill_uniform(uint64_t seed, uint32_t stream, size_t n, double low, double high, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = low + (high - low) * grc_uniform(seed, stream, 0, i);
}

void grc_fill_normal(uint64_t seed, uint32_t stream, size_t n, double mean, double deviation, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = mean + deviation * normal_quantile(centered_uniform(seed, stream, 0, i));
}

void grc_fill_truncated_normal(uint64_t seed, uint32_t stream, size_t n, double sigma, double *out)
{
    const double within_two = 0.95449973610364158560; /* P(|X| < 2) */
    for (size_t i = 0; i < n; i++) {
        double x = normal_quantile(within_two * centered_uniform(seed, stream, 0, i));
        out[i] = sigma * (x > 2.0 ? 2.0 : x < -2.0 ? -2.0 : x);
    }
}
