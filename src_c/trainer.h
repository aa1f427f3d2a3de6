/* The trainer's insides, shared by trainer.c and train.c. */
#ifndef GRC_TRAINER_H
#define GRC_TRAINER_H

#include "internal.h"

enum grc_clip { GRC_CLIP_NONE, GRC_CLIP_VALUE, GRC_CLIP_GLOBAL_NORM };
enum grc_nonfinite { GRC_NONFINITE_SKIP, GRC_NONFINITE_RAISE, GRC_NONFINITE_PROPAGATE };

struct gradcore_trainer {
    gradcore_network *net;
    grc_exec *x;
    int loss, optimizer;
    int labels;       /* the loss takes class ids */
    uint32_t flags;
    enum grc_clip clip;
    enum grc_nonfinite nonfinite;
    uint64_t seed;
    atomic_uint_fast64_t step;    /* tried so far: keys dropout and the schedules */
    atomic_uint_fast64_t updates; /* applied so far: the optimizer's own count */
    int careful;      /* a state came from outside: the next update is made with a way back */
    int has_gradients;
    atomic_int busy;
};

grc_status grc_trainer_enter(gradcore_trainer *t, gradcore_error *error);
void grc_trainer_leave(gradcore_trainer *t);

#endif
