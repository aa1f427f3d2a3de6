/* One update by an optimizer, of arrays one after the other: a trainer's parameters and plain arrays alike.
 *
 * Words. The driver is *turned to* an array: its arguments are then those of that array. *Elements* are a
 * contiguous part of one, with their slots where they begin. */
#ifndef GRC_DRIVER_H
#define GRC_DRIVER_H

#include "../base/registry.h"
#include "scalars.h"

typedef struct grc_driver {
    int optimizer;
    double lr, decay;  /* before an array's own */
    grc_opt_args args; /* of `array` */
    int array;         /* that it is turned to, or GRC_NONE */
} grc_driver;

typedef struct grc_elements {
    size_t n;
    void *w;
    const void *g;
    void *slots[GRC_SLOTS];
} grc_elements;

/* step: 1 for the first update. Gradients are taken as they are; grad_scale and grad_limit of args may be set after. */
grc_driver grc_drive(int optimizer, uint32_t flags, uint64_t step, const double *hypers, const double *running);
/* decay: the array's own, NaN: the optimizer's. sum: what was measured, of this array or, for optimizers that take all
 * arrays together, of all; NULL where nothing was, or not yet. */
void grc_turn_to(grc_driver *d, int array, double lr_factor, double decay, const double *sum);
/* Before the first update: the slots that do not start at 0. */
void grc_start_slots(const grc_driver *d, const grc_kernels *k, size_t item, double lr_factor, const grc_elements *e);

static inline void grc_measure_elements(const grc_driver *d, const grc_kernels *k, const grc_elements *e, double sum[2])
{
    GRC_ASSERT(d->array != GRC_NONE && k->opt_measure[d->optimizer]);
    k->opt_measure[d->optimizer](e->n, e->w, e->g, e->slots, &d->args, sum);
}
static inline void grc_update_elements(const grc_driver *d, const grc_kernels *k, const grc_elements *e)
{
    GRC_ASSERT(d->array != GRC_NONE);
    k->opt[d->optimizer](e->n, e->w, e->g, e->slots, &d->args);
}

#endif
