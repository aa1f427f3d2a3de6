/* A trainer: a network's losses, optimizer, rules and averages, with their state.
 *
 * Words. A *step* takes one batch; an *update* is what an applied step does to the weights, one of several with
 * accumulation. A *slice* is a run of steps in one call. A *group* is what a parameter has of its own. *Masks* and
 * *bounds* are the two kinds of *constraints* on weights. Where an optimizer trains other weights than are
 * evaluated, *live* ones are trained and *shown* ones evaluated. A state is *careful* when it came from outside, so
 * that the next update is made with a way back. A *tally* counts what a rule multiplied by a factor of at most 1. */
#ifndef GRC_TRAINER_H
#define GRC_TRAINER_H

#include "../pass/forward_backward.h"
#include "../pass/gradients.h"
#include "../pass/tasks.h"
#include "../pass/thread_choice.h"

#define GRC_MOST_STEPS (UINT64_C(1) << 48) /* as far as random numbers count */
enum grc_nonfinite { GRC_NONFINITE_SKIP, GRC_NONFINITE_RAISE, GRC_NONFINITE_PROPAGATE };

typedef struct grc_group {
    double lr, decay; /* factor of lr; weight decay, NaN: the optimizer's */
    int frozen;
} grc_group;

enum grc_average_kind { GRC_EMA, GRC_SWA, GRC_LOOKAHEAD, GRC_ACCUMULATE, GRC_SAM, GRC_ASAM, GRC_AVERAGE_KINDS };
typedef struct grc_average { /* what keeps a vector and a rate beside the optimizer */
    enum grc_average_kind kind;
    uint64_t every, start;
    void *vector;
    size_t size; /* bytes of it: one parameter vector, two of sharpness_aware.c */
} grc_average;

typedef struct grc_waiting { /* of the gradients that wait for the update of an accumulation */
    int by_head; /* those of each head apart: their divisors need not keep one ratio from batch to batch */
    double divisor[GRADCORE_MOST_HEADS]; /* [task]: sum over the batches so far; below 0: not known */
} grc_waiting;

typedef struct grc_tally {
    double seen, scaled, sum; /* things; those with a factor below 1; sum of all factors */
} grc_tally;

struct grc_clipping;
struct grc_matrices;
struct grc_surgery;

struct gradcore_trainer {
    gradcore_network *net;
    grc_plan *plan;
    grc_task *tasks;              /* one, or one for each head */
    int task_count;
    size_t rows_size;             /* bytes of what the tasks behind the first have a row */
    void *rows_block;
    grc_uncertain *uncertain;     /* [head], or NULL */
    struct grc_surgery *surgery;  /* a gradient for each head, or NULL */
    grc_waiting waiting;
    gradcore_loss_function *loss_function;
    void *loss_context;
    int optimizer;
    uint32_t flags;
    enum grc_nonfinite nonfinite;
    uint64_t seed;
    atomic_uint_fast64_t step;    /* tried so far: keys dropout and the schedules */
    atomic_uint_fast64_t updates; /* gradients applied so far: the optimizer's own count */
    grc_average averages[GRADCORE_AVERAGES];
    int average_count;
    int sam;                      /* 1 + the average that is sharpness_aware.c's, or 0 */
    grc_group *groups;            /* [parameter] */
    double running[GRADCORE_RUNNING]; /* the optimizer's numbers, advanced by every applied update */
    uint64_t evaluated;           /* version of the weights that all its copies of them fit */
    void *shown;                  /* where it has such copies: the weights of that version, else NULL */
    double limit;                 /* of the last update, for a rule on weights with a schedule; NaN before it */
    uint8_t *held;                /* [op]: frozen, see grc_is_held */
    int careful;
    int has_gradients;
    atomic_int spoiled; /* 0, but inside a careful update that produced NaN or infinity */
    int fused_rule;                /* of the options' clip, see rules.h; or GRC_NONE */
    struct grc_clipping *clipping; /* the other rules, or NULL */
    grc_tally *ledger;             /* [parameter]: of all rules on gradients so far */
    struct grc_matrices *matrices; /* that the optimizer takes as wholes, or NULL */
    grc_tuner tuner;
    grc_lock lock;
};

/* ---- access.c: for one caller at a time ---- */

/* To change it, or only to look, which a fork may interrupt. */
grc_status grc_trainer_enter(gradcore_trainer *trainer, gradcore_error *error);
grc_status grc_trainer_look(gradcore_trainer *trainer, gradcore_error *error);
void grc_trainer_leave(gradcore_trainer *trainer);
/* Room for the weights as they were shown last. 1 when it is there. */
int grc_make_room_to_show(gradcore_trainer *trainer);

#endif
