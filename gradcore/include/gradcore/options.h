/* Option bits of optimizers: part of gradcore.h, which includes it, and all that the kernels know of that. */
#ifndef GRADCORE_OPTIONS_H
#define GRADCORE_OPTIONS_H

enum {
    GRADCORE_OPTIMIZER_MOMENTUM = 1,               /* sgd, rmsprop: keep a momentum buffer */
    GRADCORE_OPTIMIZER_NESTEROV = 2,               /* sgd */
    GRADCORE_OPTIMIZER_CENTERED = 4,               /* rmsprop */
    GRADCORE_DECAY_ALL = 8,                        /* weight decay on biases too */
    GRADCORE_OPTIMIZER_LR_IN_MOMENTUM = 16,        /* sgd, rmsprop, lars: the velocity is made of lr g */
    GRADCORE_OPTIMIZER_EPS_INSIDE = 32,            /* rmsprop, adagrad: under the root; adamax: in the maximum */
    GRADCORE_OPTIMIZER_AMSGRAD = 64,               /* adam, adamw: the largest second moment so far */
    GRADCORE_OPTIMIZER_EPS_HAT = 128,              /* adam, adamw, radam: eps beside the uncorrected root */
    GRADCORE_OPTIMIZER_MAXIMIZE = 256,             /* all: the gradient's sign is turned */
    GRADCORE_OPTIMIZER_DECOUPLED = 512,            /* all but lamb, lars: decay shrinks w by 1 - lr decay */
    GRADCORE_OPTIMIZER_CONSTANT_MOMENTUM = 1024,   /* nadam: mu_t = beta1 */
    GRADCORE_OPTIMIZER_TRUST_CLIP = 2048,          /* lamb, lars: a ratio of at most 1 */
    GRADCORE_OPTIMIZER_DECAY_IN_NORM = 4096,       /* lars: the norm of g + decay w */
    GRADCORE_OPTIMIZER_SAFEGUARD = 8192,           /* prodigy: no lr in the sum s */
    GRADCORE_OPTIMIZER_CLIPPED = 16384,            /* adopt: ratios within t^0.25 */
    GRADCORE_OPTIMIZER_CORRECTED = 32768,          /* muon: momentum without the bias of its start */
    GRADCORE_OPTIMIZER_UNCLAMPED = 65536,          /* muon: sqrt(fan_out / fan_in), below 1 too */
    GRADCORE_OPTIMIZER_OPTIONS = 2 * GRADCORE_OPTIMIZER_UNCLAMPED - 1 /* all of them: of the last one */
};

#endif
