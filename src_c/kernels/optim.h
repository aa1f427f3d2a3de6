/* The contracts of optimizer updates. A *slot* is a vector of state; numbers *derived* from an optimizer's own are the
 * same for all elements, and optimizers/scalars.c makes them before a kernel is called. */
#ifndef GRC_KERNELS_OPTIM_H
#define GRC_KERNELS_OPTIM_H

#include <stddef.h>
#include <stdint.h>

#include "../../gradcore/include/gradcore/options.h"

enum { GRC_OPT_OWN = 10, GRC_OPT_DERIVED = 6, GRC_OPT_RUNNING = 4 };
enum { GRC_OPT_BLEND = 3 }; /* with a LIVE slot, the running number 1 - 1 / beta1 */
enum { GRC_MUON_EPS = 4, GRC_MUON_STEPS, GRC_MUON_RMS, GRC_MUON_BETA1, GRC_MUON_ADAM_LR = 9 }; /* in p */
typedef struct grc_opt_args {
    double lr, weight_decay; /* of this array */
    double lr_factor;        /* the array's own, which lr has in it */
    double base_lr;    /* lr before an array's own factor: what running numbers are made of */
    double grad_scale; /* multiplies g first: the global-norm clip; 1 leaves the bits alone */
    double grad_limit; /* then g is clamped to +-limit, NaN stays; HUGE_VAL: no limit */
    double p[GRC_OPT_OWN]; /* the optimizer's own, in the order of its row in tables.h */
    uint64_t step;     /* 1 for the first update */
    uint32_t flags;    /* GRADCORE_OPTIMIZER_*: slot 0 of sgd is touched only with MOMENTUM, and so on */
    double running[GRC_OPT_RUNNING], next[GRC_OPT_RUNNING]; /* numbers kept from update to update; 0 at first */
    double d[GRC_OPT_DERIVED];                              /* of grc_opt_prepare, then grc_opt_finish */
} grc_opt_args;
/* One update of n parameters w from gradients g and state slots; g is left as it was. Slots not in use may
 * be NULL. */
typedef void grc_opt_fn(size_t n, void *w, const void *g, void *const *slots, const grc_opt_args *args);
/* TENSOR and TOTAL: the half of an update that comes before its norms are known. Changes slots, and puts
 * two sums over the n elements into sum, in double, in 16 (8) virtual lanes. The opt function is the rest. */
typedef void grc_opt_measure_fn(size_t n, const void *w, const void *g, void *const *slots, const grc_opt_args *args,
                                double sum[2]);

/* dst[i] = fma(rate, src[i] - dst[i], dst[i]) */
typedef void grc_blend_fn(size_t n, double rate, const void *src, void *dst);

/* The gradient x that the update sees; m += (1 - p[0])(x - m); out = mix[0] m + mix[1] x. */
typedef void grc_muon_direction_fn(size_t n, const void *g, void *m, void *out, const grc_opt_args *args,
                                   const double mix[2]);

/* Moments m and v of x, which then becomes m / (sqrt(v) + eps). */
typedef void grc_soap_direction_fn(size_t n, void *x, void *m, void *v, const grc_opt_args *args);

/* out = g, scaled, clamped and signed as the update sees it. */
typedef void grc_seen_gradient_fn(size_t n, const void *g, void *out, const grc_opt_args *args);

#endif
