/* The driver of an optimizer. */
#include <math.h>

#include "driver.h"

grc_driver grc_drive(int optimizer, uint32_t flags, uint64_t step, const double *hypers, const double *running)
{
    grc_driver d = {
        .optimizer = optimizer, .lr = hypers[GRADCORE_LR], .decay = hypers[GRADCORE_WEIGHT_DECAY], .array = GRC_NONE};
    d.args = (grc_opt_args){
        .base_lr = hypers[GRADCORE_LR], .grad_scale = 1, .grad_limit = (double)INFINITY, .step = step, .flags = flags};
    memcpy(d.args.p, hypers + GRADCORE_OWN, sizeof d.args.p);
    memcpy(d.args.running, running, sizeof d.args.running);
    return d;
}

void grc_turn_to(grc_driver *d, int array, double lr_factor, double decay, const double *sum)
{
    const int elementwise = grc_optimizer_kind(d->optimizer) == GRC_OPT_ELEMENTWISE;
    const double lr = d->lr * lr_factor;
    const int prepared = elementwise && d->array != GRC_NONE && d->args.lr == lr; /* powers cost a while */
    d->array = array;
    d->args.lr = lr;
    d->args.lr_factor = lr_factor;
    d->args.weight_decay = isnan(decay) ? d->decay : decay;
    if (!prepared)
        grc_opt_prepare(d->optimizer, &d->args);
    if (sum)
        grc_opt_finish(d->optimizer, &d->args, sum);
}

void grc_start_slots(const grc_driver *d, const grc_kernels *k, size_t item, double lr_factor, const grc_elements *e)
{
    for (int i = 0; i < GRC_SLOTS; i++) {
        const enum grc_start start = grc_slot_start(d->optimizer, i);
        if (e->slots[i] && start == GRC_START_WEIGHTS)
            memcpy(e->slots[i], e->w, e->n * item);
        else if (e->slots[i] && (start == GRC_START_INITIAL || start == GRC_START_RATE))
            k->fill(e->n, grc_slot_value(d->optimizer, i, d->args.p, d->lr * lr_factor), e->slots[i]);
    }
}
