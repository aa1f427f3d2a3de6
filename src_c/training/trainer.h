/* The trainer's insides, shared by trainer.c and slice.c. */
#ifndef GRC_TRAINER_H
#define GRC_TRAINER_H

#include "../internal.h"
#include "../pass/thread_choice.h"
#include "../pass/loss.h"

#define GRC_MOST_STEPS (UINT64_C(1) << 48) /* as far as random numbers count */
enum grc_clip { GRC_CLIP_NONE, GRC_CLIP_VALUE, GRC_CLIP_GLOBAL_NORM };
enum grc_nonfinite { GRC_NONFINITE_SKIP, GRC_NONFINITE_RAISE, GRC_NONFINITE_PROPAGATE };

struct grc_clipping;
struct grc_matrices;
typedef struct grc_group { /* what a parameter has of its own */
    double lr, decay; /* factor of lr; weight decay, NaN: the optimizer's */
    int frozen;
} grc_group;

typedef struct grc_average { /* averages.c */
    int kind;
    uint64_t every, start;
    void *vector;
    size_t size; /* bytes of it: one parameter vector, two of sharpness_aware.c */
} grc_average;

typedef struct grc_task { /* a loss, and what it reads and writes */
    grc_loss loss;        /* kind GRC_NONE where there is a function instead */
    int value;            /* its outputs */
    double weight;        /* in the whole loss */
    double factor;        /* of its likelihood, where its log variance is learned; else 0 */
    gradcore_data data;   /* of a slice, with the task's own targets and weights */
    void *target;         /* gathered: real rows or int32 labels */
    double *row_weight, *row_scale, *row_loss, *row_correct;
    int32_t *row_right;
    /* Of a batch, set by thread 0: the sum of the row weights, ignored rows left out; the divisor of the loss, which
     * is the same, or with class weights, or the number of rows; factor of the loss, with its uncertainty; what the
     * uncertainty itself costs. */
    double sum, divisor, share, regret;
} grc_task;

struct grc_surgery;

typedef struct grc_waiting { /* of the gradients that wait for the update of an accumulation */
    int by_head; /* those of each head apart: their divisors need not keep one ratio from batch to batch */
    double divisor[GRADCORE_MOST_HEADS]; /* [task]: sum over the batches so far; below 0: not known */
} grc_waiting;

typedef struct grc_tally { /* of what a rule multiplied by a factor of at most 1 */
    double seen, scaled, sum; /* things; those with a factor below 1; sum of all factors */
} grc_tally;

struct gradcore_trainer {
    gradcore_network *net;
    grc_exec *x;
    grc_task *tasks;              /* one, or one for each head */
    int task_count;
    size_t tasks_size, rows_size; /* bytes of the tasks, and of what those behind the first have a row */
    void *rows_block;
    grc_uncertain *uncertain;     /* [head], or NULL */
    struct grc_surgery *surgery;  /* a gradient for each head, or NULL */
    grc_waiting waiting;
    gradcore_loss_function *loss_function;
    void *loss_context;
    int optimizer;
    uint32_t flags;
    enum grc_clip clip;
    enum grc_nonfinite nonfinite;
    uint64_t seed;
    atomic_uint_fast64_t step;    /* tried so far: keys dropout and the schedules */
    atomic_uint_fast64_t updates; /* applied so far: the optimizer's own count */
    grc_average averages[GRADCORE_AVERAGES];
    int average_count;
    int sam;                      /* 1 + the average that is sharpness_aware.c's, or 0 */
    grc_group *groups;            /* [parameter] */
    double running[GRADCORE_RUNNING]; /* the optimizer's numbers, advanced by every applied update */
    uint64_t evaluated;           /* version of the weights that all its copies of them fit */
    void *shown;                  /* where it has such copies: the weights of that version, else NULL */
    double limit;                 /* of the last update, for a rule on weights with a schedule; NaN before it */
    uint8_t *held;                /* [op]: frozen, see grc_is_held */
    int careful;      /* a state came from outside: the next update is made with a way back */
    int has_gradients;
    atomic_int spoiled; /* 0, but inside a careful update that produced NaN or infinity */
    struct grc_clipping *clipping; /* rules beyond `clip`, or NULL */
    grc_tally *ledger;             /* [parameter]: of all rules on gradients so far */
    struct grc_matrices *matrices; /* that the optimizer takes as wholes, or NULL */
    grc_tuner tuner;
    grc_lock lock;
};

/* For one caller at a time: to change it, or only to look, which a fork may interrupt. */
grc_status grc_trainer_enter(gradcore_trainer *t, gradcore_error *error);
grc_status grc_trainer_look(gradcore_trainer *t, gradcore_error *error);
void grc_trainer_leave(gradcore_trainer *t);

/* ---- losses.c ---- */

/* Opens the losses of the options. After failure, and in the end, grc_close_tasks. */
grc_status grc_open_tasks(gradcore_trainer *t, const gradcore_trainer_options *o, gradcore_error *error);
/* Room for the rows of each, once t->x is there. */
grc_status grc_make_room(gradcore_trainer *t, gradcore_error *error);
void grc_close_tasks(gradcore_trainer *t);
size_t grc_target_bytes(const grc_task *task, const gradcore_network *n); /* of a row */
grc_status grc_check_head_losses(const gradcore_network *n, const gradcore_head_loss *losses, int64_t count,
                                 gradcore_error *error);
grc_status grc_check_head_data(const gradcore_data *d, int heads, gradcore_error *error);
/* The data of head `index` by itself. */
gradcore_data grc_head_data(const gradcore_data *d, int index);
/* Of the batch of `rows` rows, which x->rows need not be any more: after the barrier behind grc_lose_rows. */
double grc_batch_loss(const gradcore_trainer *t, size_t rows);    /* without penalties */
double grc_batch_correct(const gradcore_trainer *t, size_t rows); /* 0 with heads */
double grc_batch_weight(const gradcore_trainer *t);
/* Numbers that a step reports of its heads; these, to `out`. */
#define GRC_HEAD_REPORT(t) (3 * (t)->net->head_count + 2)
void grc_report_heads(const gradcore_trainer *t, size_t rows, double *out);
/* May the divisors of its losses on this data have different ratios in different batches? */
int grc_divisors_differ(const gradcore_trainer *t, const gradcore_data *d);

/* ---- gradient_surgery.c ---- */

/* projects: surgery; else each head's gradient is just kept apart. */
grc_status grc_surgery_create(gradcore_trainer *t, int projects, gradcore_error *error);
void grc_surgery_destroy(gradcore_trainer *t);
int grc_projects(const gradcore_trainer *t);
/* Element `offset` of the gradient of a head, counted from 0. */
void *grc_head_gradient(const gradcore_trainer *t, int head, size_t offset);
/* x->grad and its norms from the heads' gradients; begins and ends with a barrier. */
void grc_join_heads(gradcore_trainer *t, grc_team *team, int thread, int count);
void grc_surgery_report(const gradcore_trainer *t, double out[2]); /* mean cosine, share of conflicts */
void grc_count_conflicts(gradcore_trainer *t); /* into the ledger: of gradients that an update has taken */

/* ---- checks.c ---- */

grc_status grc_check_data(const gradcore_trainer *t, const gradcore_data *d, gradcore_error *error);
grc_status grc_check_run(const gradcore_trainer *t, gradcore_run *r, gradcore_error *error);
grc_status grc_check_step(const gradcore_trainer *t, const double *hypers, gradcore_error *error); /* of one step */
/* The rows at positions [begin, end) of `order`, or of the data where that is NULL. */
grc_status grc_check_rows(const gradcore_trainer *t, const gradcore_data *d, const int64_t *order, int64_t begin,
                          int64_t end, gradcore_error *error);

/* ---- averages.c ---- */

grc_status grc_describe_average(const char *kind, int64_t every, int64_t start, grc_average *out,
                                gradcore_error *error);
grc_status grc_check_rate(const grc_average *a, double rate, gradcore_error *error);
int grc_average_leads(const grc_average *a); /* lookahead: it starts as the weights before the first update */
int grc_average_pulls(const grc_average *a, uint64_t step); /* it does so after this update */
int grc_averages_weights(const grc_average *a);
/* n weights after update `step` into the average, and back where it leads. */
void grc_average_piece(const grc_average *a, const grc_kernels *k, uint64_t step, double rate, size_t n,
                       size_t item, void *w, void *average);

uint64_t grc_accumulated(const gradcore_trainer *t); /* gradients of an update, 1 without accumulation */
/* Adds the gradients of what thread t owns to those that wait, `done` of them taken since the trainer was made.
 * Returns 1 if the update has to wait for more; else x->grad and its norms are those of one batch of all their
 * rows. `waiting` is the thread's copy. */
int grc_accumulate(gradcore_trainer *t, grc_team *team, grc_waiting *waiting, uint64_t done, int climbed, size_t rows,
                   int thread, int count);
/* How many vectors behind all other state hold means of heads; the i-th of them. */
int grc_head_means(const gradcore_trainer *t);
void *grc_head_mean(const gradcore_trainer *t, int head);
int grc_average_is_adaptive(const grc_average *a); /* asam */

/* ---- sharpness_aware.c ---- */

/* All threads call these with the same arguments; both end with a barrier. Once the gradient of the batch is there:
 * weights += rho g / |g|, adaptive: rho w^2 g / |w g|. What the batch tells the ops besides is put aside. */
void grc_sam_climb(gradcore_trainer *trainer, grc_team *team, double rho, size_t rows, int t, int count);
/* The weights as they were. */
void grc_sam_return(gradcore_trainer *trainer, grc_team *team, int t, int count);
/* grc_settle, or what was put aside by a climb. */
void grc_learn(gradcore_trainer *trainer, int climbed, size_t rows, int t, int count);

/* ---- matrices.c ---- */

int grc_is_matrix(const gradcore_trainer *t, int parameter); /* it has an update as a whole */
/* That update. All threads call it; begins and ends with a barrier. */
void grc_matrix_step(const gradcore_trainer *t, grc_team *team, int parameter, const grc_opt_args *args, int thread,
                     int count);
/* soap's state: a copy of this thread's share, or back; whether its share is finite. */
void grc_keep_factors(const gradcore_trainer *t, int restore, int thread, int count);
int grc_factors_are_finite(const gradcore_trainer *t, int thread, int count);
void grc_matrices_destroy(gradcore_trainer *t);

/* ---- update.c ---- */

typedef struct grc_update_args {
    const double *hypers; /* of this step */
    uint64_t step;        /* 1 for the first update */
    double norm, scale;   /* of all gradients; what clipping multiplies them by */
    int finite;           /* loss and norm are */
    int climbed;          /* the gradient is from a point that sharpness_aware.c went to */
    size_t rows;          /* of the batch: x->rows may be the next one's by now */
    double *running;      /* in and, when applied, out: every thread has its copy */
} grc_update_args;
typedef enum grc_verdict { GRC_APPLIED, GRC_SKIPPED } grc_verdict;
/* Clip, decay, moments, weights and their transposed copies of what thread t owns. All threads call it with
 * the same arguments and return the same verdict; a skipped update leaves all state as it was. */
grc_verdict grc_update(gradcore_trainer *trainer, grc_team *team, const grc_update_args *args, int t, int count);
/* All threads call these with the same arguments. After weights that others may have set, and once there was an
 * update: whatever else the trainer keeps of the weights begins at those that have changed, within the masks. */
void grc_adopt(gradcore_trainer *trainer, grc_team *team, int t, int count);
/* Where the optimizer has a LIVE slot: the weights of what thread t owns become those that are trained, and back
 * those to evaluate, as the trainer's promises have them; where none was updated, those that were shown before. */
void grc_enter_training(gradcore_trainer *trainer, int t, int count);
void grc_leave_training(gradcore_trainer *trainer, grc_team *team, const double *running, int updated, int t,
                        int count);
/* Room for the weights as they were shown last. 1 when it is there. */
int grc_show(gradcore_trainer *trainer);

/* ---- clip.c: rules on gradients before the update, on weights after it ---- */

/* All threads of a team call these with the same arguments. */

/* Rules on single rows: deltas of rows [row, row + rows) after backward, before the gradients. */
void grc_clip_rows(gradcore_trainer *trainer, const double *hypers, size_t row, size_t rows);
/* Rules on x->grad, in order; ends with a barrier. */
void grc_clip_gradients(gradcore_trainer *trainer, grc_team *team, const double *hypers, int t, int count);
/* What masks and constraints promise of the weights, made true of `vector`, a parameter vector, in one place. Begins
 * and ends with a barrier where there is something to do. what: which of them; constraints leave frozen parameters
 * alone. limit: of a rule with a schedule, NaN where it is not known yet. slack: as unit_factor has it; with
 * grc_slack, a vector that was held before stays as it is, bit for bit. */
enum { GRC_MASKS = 1, GRC_CONSTRAINTS = 2, GRC_PROMISES = 3 };
int grc_promises(const gradcore_trainer *trainer, unsigned what); /* is there such a rule? */
void grc_hold(gradcore_trainer *trainer, grc_team *team, void *vector, unsigned what, double limit, double slack,
              int t, int count);
static inline double grc_slack(const gradcore_network *n)
{
    return n->dtype == GRC_F32 ? 0x1p-22 : 0x1p-51;
}
/* Enters what the step's rules on gradients did into the trainer's ledger, and into `run` where that is not NULL:
 * (parameters, 3), see gradcore_run. by_norm: `scale` was made from the norm of all gradients. Returns the mean of
 * what the rules on less than all gradients multiplied by. For one thread, after a barrier. */
double grc_enter_clips(gradcore_trainer *trainer, double scale, int by_norm, size_t rows, double *run);
int grc_clip_is_scheduled(const gradcore_trainer *trainer); /* a rule takes its limit from the hypers */
void grc_clipping_destroy(gradcore_trainer *trainer);

#endif
