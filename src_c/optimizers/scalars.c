/* The numbers of an update that are the same for all elements, in double: corrections for bias, running
 * products and sums, ratios of norms. Kernels round them to the element type once. */
#include <math.h>
#include <string.h>

#include "scalars.h"

/* x^n by repeated squaring: the same bits everywhere, which pow does not promise. */
static double power(double x, uint64_t n)
{
    double result = 1.0;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

/* x^y for x > 0, of the kernels' own exp and log: the same bits everywhere. */
static double real_power(double x, double y)
{
    const grc_kernels *k = &grc_kernels_scalar[GRC_F64];
    double log_x, result, exponent;
    if (y == 0 || x == 1)
        return 1;
    k->log(1, &x, &log_x);
    exponent = y * log_x;
    k->exp(1, &exponent, &result);
    return result;
}

/* d[0]: what multiplies m / (d[1] sqrt(v) + d[2]); d[3]: 1 / (1 - beta2^t). */
static void prepare_adam(grc_opt_args *a)
{
    const double correction1 = 1.0 - power(a->p[0], a->step), correction2 = 1.0 - power(a->p[1], a->step);
    const int hat = (a->flags & GRADCORE_OPTIMIZER_EPS_HAT) != 0;
    a->d[0] = hat ? a->lr * sqrt(correction2) / correction1 : a->lr / correction1;
    a->d[1] = hat ? 1.0 : 1.0 / sqrt(correction2);
    a->d[2] = a->p[2];
    a->d[3] = 1.0 / correction2;
}

/* d[0], d[1]: what multiply m and the mean of differences; d[2]: 1 / (1 - beta3^t); d[3]: 1 but for the first
 * gradient, which has none before it to differ from. */
static void prepare_adan(grc_opt_args *a)
{
    a->d[0] = a->lr / (1.0 - power(a->p[0], a->step));
    a->d[1] = a->lr * (1.0 - a->p[1]) / (1.0 - power(a->p[1], a->step));
    a->d[2] = 1.0 / (1.0 - power(a->p[2], a->step));
    a->d[3] = a->step > 1;
}

/* Where the variance is not tractable yet, the denominator is 1. */
static void prepare_radam(grc_opt_args *a)
{
    const double beta2 = a->p[1], left = power(beta2, a->step), longest = 2.0 / (1.0 - beta2) - 1.0;
    const double length = longest - 2.0 * (double)a->step * left / (1.0 - left);
    prepare_adam(a);
    if (a->flags & GRADCORE_OPTIMIZER_EPS_HAT ? length > 5 : length >= 5)
        a->d[0] *= sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
    else {
        a->d[0] = a->lr / (1.0 - power(a->p[0], a->step));
        a->d[1] = 0;
        a->d[2] = 1;
    }
}

/* running[0]: the product of the momenta mu_1 ... mu_t. d[0] multiplies m, d[4] multiplies g. */
static void prepare_nadam(grc_opt_args *a)
{
    const int constant = (a->flags & GRADCORE_OPTIMIZER_CONSTANT_MOMENTUM) != 0;
    const double beta1 = a->p[0], psi = a->p[3], t = (double)a->step;
    const double now = constant ? beta1 : beta1 * (1.0 - 0.5 * real_power(0.96, t * psi));
    const double then = constant ? beta1 : beta1 * (1.0 - 0.5 * real_power(0.96, (t + 1) * psi));
    const double product = (a->step == 1 ? 1.0 : a->running[0]) * now;
    prepare_adam(a);
    a->next[0] = product;
    a->d[0] = a->lr * then / (1.0 - product * then);
    a->d[4] = a->lr * (1.0 - now) / (1.0 - product);
}

/* p: momentum (of sgd) or beta1 first, then warmup, power, lr_power from `own` on. running: the largest lr
 * and the sum of the weights. d[0]: lr; d[1]: the share c of the new z; d[2]: what multiplies the direction in
 * y; d[3]: 1 / sqrt(1 - beta2^t). */
static void prepare_schedule_free(grc_opt_args *a, const double *own, double beta2)
{
    const double t = (double)a->step, warm = t < own[0] ? t / own[0] : 1.0;
    const double largest = fmax(a->running[0], a->base_lr * warm);
    const double weight = real_power(t, own[1]) * (largest > 0 ? real_power(largest, own[2]) : 0.0);
    const double sum = a->running[1] + weight, share = sum > 0 ? weight / sum : 0.0;
    a->next[0] = largest;
    a->next[1] = sum;
    a->next[GRC_OPT_BLEND] = 1.0 - 1.0 / a->p[0];
    a->d[0] = a->lr * warm;
    a->d[1] = share;
    a->d[2] = a->lr * warm * (1.0 - a->p[0] * (1.0 - share));
    a->d[3] = 1.0 / sqrt(1.0 - power(beta2, a->step));
}

/* running: the estimate d and the sum r. d[0]: the rate d lr; d[1]: d; d[2]: what s gets d g times. */
static void prepare_prodigy(grc_opt_args *a)
{
    const double estimate = a->step == 1 ? a->p[4] : a->running[0];
    const double correction = sqrt(1.0 - power(a->p[1], a->step)) / (1.0 - power(a->p[0], a->step));
    a->next[0] = a->next[1] = 0;
    a->d[0] = estimate * a->lr * correction;
    a->d[1] = estimate;
    a->d[2] = (a->flags & GRADCORE_OPTIMIZER_SAFEGUARD ? estimate : estimate * a->base_lr * correction) / a->p[4];
    a->d[4] = estimate * a->base_lr * correction;
}

/* d[3]: the denominator's eps, from the new d. */
static void finish_prodigy(grc_opt_args *a, const double sum[2])
{
    const double r = a->p[2] * (a->step == 1 ? 0.0 : a->running[1]) + a->d[1] / a->p[4] * a->d[4] * sum[0];
    const double seen = sum[1] > 0 ? a->p[5] * r / sum[1] : 0.0;
    a->next[0] = seen > a->d[1] ? seen : a->d[1];
    a->next[1] = r;
    a->d[3] = a->next[0] * a->p[3];
}

/* d[0..4] as prepare_adam and prepare_nadam leave them, with the rate d[5]: of what is no matrix. */
static void prepare_muon(grc_opt_args *a)
{
    const double *beta = a->p + GRC_MUON_BETA1;
    grc_opt_args rest = *a;
    rest.p[0] = beta[0];
    rest.p[1] = beta[1];
    rest.p[2] = a->p[GRC_MUON_EPS];
    rest.lr = a->p[GRC_MUON_ADAM_LR] * a->lr_factor;
    prepare_adam(&rest);
    memcpy(a->d, rest.d, sizeof a->d);
    a->d[4] = 0;
    a->d[5] = rest.lr;
    if ((a->flags & GRADCORE_OPTIMIZER_CORRECTED) && (a->flags & GRADCORE_OPTIMIZER_NESTEROV)) {
        a->d[0] = rest.lr * beta[0] / (1.0 - power(beta[0], a->step + 1));
        a->d[4] = rest.lr * (1.0 - beta[0]) / (1.0 - power(beta[0], a->step));
    }
}

void grc_muon_mix(const grc_opt_args *a, double mix[2])
{
    const double momentum = a->p[0];
    const int corrected = (a->flags & GRADCORE_OPTIMIZER_CORRECTED) != 0,
              nesterov = (a->flags & GRADCORE_OPTIMIZER_NESTEROV) != 0;
    const double ahead = 1.0 - power(momentum, a->step + (uint64_t)nesterov), now = 1.0 - power(momentum, a->step);
    mix[0] = (nesterov ? momentum : 1.0) / (corrected ? ahead : 1.0);
    mix[1] = nesterov ? (1.0 - momentum) / (corrected ? now : 1.0) : 0.0;
}

/* The first update only looks at the gradient: all counts are one behind. */
static void prepare_soap(grc_opt_args *a)
{
    const uint64_t t = a->step > 1 ? a->step - 1 : 1;
    a->d[0] = a->lr * sqrt(1.0 - power(a->p[1], t)) / (1.0 - power(a->p[0], t));
}

static void finish_lars(grc_opt_args *a, const double sum[2])
{
    const double w = sqrt(sum[0]), g = sqrt(sum[1]);
    const double decay = a->flags & GRADCORE_OPTIMIZER_DECAY_IN_NORM ? 0.0 : a->weight_decay * w;
    a->d[0] = w > 0 && g > 0 ? a->p[1] * w / (g + decay + a->p[2]) : 1.0;
    if (a->flags & GRADCORE_OPTIMIZER_TRUST_CLIP)
        a->d[0] = a->lr > 0 ? fmin(a->d[0] / a->lr, 1.0) : 0.0;
}

static void finish_lamb(grc_opt_args *a, const double sum[2])
{
    const double w = sqrt(sum[0]), u = sqrt(sum[1]), ratio = w > 0 && u > 0 ? w / u : 1.0;
    a->d[0] = a->lr * (a->flags & GRADCORE_OPTIMIZER_TRUST_CLIP ? fmin(ratio, 1.0) : ratio);
}

void grc_opt_prepare(int optimizer, grc_opt_args *a)
{
    switch (optimizer) {
    case GRC_OPT_adam:
    case GRC_OPT_adamw:
    case GRC_OPT_adabelief:
    case GRC_OPT_ademamix:
    case GRC_OPT_yogi: prepare_adam(a); break;
    case GRC_OPT_adan: prepare_adan(a); break;
    case GRC_OPT_lamb: /* d[4] corrects m */
        prepare_adam(a);
        a->d[4] = 1.0 / (1.0 - power(a->p[0], a->step));
        break;
    case GRC_OPT_nadam: prepare_nadam(a); break;
    case GRC_OPT_radam: prepare_radam(a); break;
    case GRC_OPT_adamax: a->d[0] = a->lr / (1.0 - power(a->p[0], a->step)); break;
    case GRC_OPT_adagrad: a->d[0] = a->lr / (1.0 + (double)(a->step - 1) * a->p[2]); break;
    case GRC_OPT_adopt: /* the first update only fills v */
        a->d[0] = a->step == 1                            ? 0.0
                  : a->flags & GRADCORE_OPTIMIZER_CLIPPED ? sqrt(sqrt((double)(a->step - 1)))
                                                          : (double)INFINITY;
        break;
    case GRC_OPT_schedule_free_sgd: prepare_schedule_free(a, a->p + 1, 0.0); break;
    case GRC_OPT_schedule_free_adamw: prepare_schedule_free(a, a->p + 3, a->p[1]); break;
    case GRC_OPT_prodigy: prepare_prodigy(a); break;
    case GRC_OPT_muon: prepare_muon(a); break;
    case GRC_OPT_soap: prepare_soap(a); break;
    default: break;
    }
}

void grc_opt_finish(int optimizer, grc_opt_args *a, const double sum[2])
{
    if (optimizer == GRC_OPT_lamb)
        finish_lamb(a, sum);
    else if (optimizer == GRC_OPT_lars)
        finish_lars(a, sum);
    else if (optimizer == GRC_OPT_prodigy)
        finish_prodigy(a, sum);
}
