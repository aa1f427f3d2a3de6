/* What the files of the core share. Nothing outside src_c/ includes it.
 *
 * Words. A *value* is the matrix between two ops, (rows, width) with a padded leading dimension ld; value
 * 0 is the input. A *delta* is the gradient of the loss by a value. The *parameter vector* holds every
 * parameter array one after the other, each 64-byte aligned: weights as packed panels (kernels.h),
 * vectors padded to whole panels with zeros. Gradients and optimizer slots have the same shape, so
 * one offset serves all of them. Offsets and leading dimensions count elements.
 */
#ifndef GRC_INTERNAL_H
#define GRC_INTERNAL_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../gradcore/include/gradcore/gradcore.h"
#include "kernels/kernels.h"

#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#define GRC_PRINTF(text, first) __attribute__((format(printf, text, first)))

typedef gradcore_status grc_status;

/* ---- memory.c ---- */

GRC_PRINTF(3, 4) grc_status grc_fail(gradcore_error *error, grc_status status, const char *format, ...);
extern const gradcore_allocator grc_default_allocator;
/* Zeroed, 64-byte aligned; NULL when there is no memory. */
void *grc_allocate(const gradcore_allocator *allocator, size_t size);
void grc_release(const gradcore_allocator *allocator, void *pointer, size_t size);

/* Two-pass layout: with base NULL it measures, with the allocation it assigns. overflow sticks. */
typedef struct grc_arena {
    char *base;
    size_t used;
    int overflow;
} grc_arena;
void *grc_take(grc_arena *arena, size_t count, size_t item); /* 64-byte aligned region of count items */

/* ---- cpu.c ---- */

/* The table pair [dtype] of an instruction set by name (NULL: the best allowed), or NULL with an error. */
const grc_kernels *grc_kernels_find(const char *isa, int dtype, gradcore_error *error);
const char *grc_isa_default(const char **reason);
const char *grc_isa_name(int32_t index); /* i-th that this CPU runs, NULL past the end */

/* ---- threads.c ---- */

typedef struct grc_team grc_team;
typedef void grc_team_fn(void *context, grc_team *team, int thread, int count);
/* Calls run(context, team, 0..count-1, count) on count <= wanted threads at once; 1 never enters the
 * OpenMP runtime. Each call runs under round-to-nearest, with denormals kept unless flush. */
void grc_team_run(int wanted, int flush_denormals, grc_team_fn *run, void *context);
/* The same with as many as others leave: callers at work at once share the CPUs, and while threads come late everybody
 * works alone. Returns how many were taken. */
int grc_team_lend(int wanted, int flush_denormals, grc_team_fn *run, void *context);
void grc_barrier(grc_team *team);
/* Thread 0: nanoseconds that it waited in this job so far for threads that had no core. */
int64_t grc_team_lost(const grc_team *team);

/* OpenMP's maximum, and whether it binds threads to places; 0 without it. */
int grc_openmp_threads(int *bound);

/* ---- crowding.c ---- */

int64_t grc_nanoseconds(void); /* of a clock that only goes on */

/* Threads for one more caller, who leaves in the end. */
int grc_crowd_enter(int wanted);
void grc_crowd_leave(void);
/* A team was at work for so many nanoseconds, of which it lost some to threads that had no core. */
void grc_crowd_worked(int64_t worked, int64_t lost);
int grc_threads_counted(const char **reason); /* by default, and why so many */
int grc_threads_default(void); /* the same, as it was a second ago at most */

/* ---- locks.c ---- */

typedef struct grc_lock {
    atomic_uint_fast64_t state;
    atomic_int torn; /* who changed the thing has vanished in a fork */
} grc_lock;
/* Readers share. Who has a thing alone keeps it in order at every moment, or is changing it. */
enum grc_use { GRC_SHARED, GRC_KEEPING, GRC_CHANGING };
/* TAKEN_OVER: from threads of the parent process that are not in this one. */
enum grc_taken { GRC_TAKEN_BY_OTHERS, GRC_TAKEN, GRC_TAKEN_OVER };
enum grc_taken grc_lock_take(grc_lock *l, enum grc_use use);
void grc_lock_drop(grc_lock *l, enum grc_use use);
int grc_lock_is_torn(const grc_lock *l);
grc_status grc_busy(gradcore_error *error, const char *what);
/* The number of forks between the first process that has used the core and this one; counted once watched. */
unsigned grc_generation(void);
void grc_watch_forks(void);

/* 1 when taken; else grc_network_refused says why. */
int grc_lock_read(gradcore_network *n);
void grc_unlock_read(gradcore_network *n);
int grc_lock_write(gradcore_network *n);
void grc_unlock_write(gradcore_network *n);
/* To write that makes even half of a change whole again; grc_remade once it is done. */
int grc_lock_remake(gradcore_network *n);
void grc_remade(gradcore_network *n);
grc_status grc_network_refused(const gradcore_network *n, gradcore_error *error);

/* ---- network.c ---- */

typedef struct grc_value {
    size_t width, ld;
    int buffer; /* of its data: values of a fork share their input's */
} grc_value;

enum { GRC_NONE = -1 };

typedef struct grc_op {
    const struct grc_op_class *class;
    int index;              /* in the list; also the random stream of dropout */
    int in, out;            /* values */
    int fork;               /* join, head: index of its fork op */
    int head;               /* the head that it belongs to, from 1; 0: none, all of them build on it */
    int trains_before;      /* an op with trainable parameters comes before: backward must reach it */
    enum grc_activation activation;
    double alpha, rate, eps, momentum, std;
    int scheduled;          /* 1 + the column of the rates that has its own, or 0 */
    int projects;           /* join: it has a projection */
    int cumulative;         /* batch normalisation: running averages weigh all batches alike */
    size_t running_mean, running_variance, batches;
    size_t column;          /* embedding */
    int rescaled;           /* dense: the next op, of rescale.c, scales its output */
    size_t magnitude, left, right, scale, inverse_square, sums; /* of rescale.c */
    int has_bias, has_scale; /* normalisation: beta, gamma; join: gain */
    int narrow;             /* dense of few outputs: the parameter vector holds its weight's transpose */
    size_t fan_in, fan_out;
    size_t weight, bias;    /* offsets in the parameter vector; standardize: mean, inverse_std; normalisation:
                               gamma, beta; join: projection, gain */
    size_t transposed;      /* dense, unless narrow: offset of the transposed weight panels */
    int first_parameter;    /* index of its first parameter (trainable ones come first), or GRC_NONE */
} grc_op;

typedef struct grc_parameter {
    const char *role;
    int op, trainable, ndim;
    int turned;                 /* the vector holds its transpose, (cols, rows) */
    double initial;             /* every element of a vector */
    double strength[2];         /* l1, l2: its penalty is l1 sum |w| + l2 sum w^2; scheduled: of the last step */
    int scheduled;              /* 1 + the column of the rates that has its l1, before that of l2; or 0 */
    size_t rows, cols, offset;
    char name[80]; /* behind what every step reads */
} grc_parameter;

typedef struct grc_position { /* a layer as the user counts them, for activations() */
    char name[64];
    int value;
} grc_position;

typedef struct grc_head { /* a named output */
    char name[GRADCORE_HEAD_NAME + 1];
    int value;     /* what its last layer returns */
    size_t column; /* where that begins in the last value, which has the heads side by side */
} grc_head;

struct gradcore_network {
    gradcore_allocator allocator;
    const grc_kernels *kernels;
    int dtype;
    size_t item; /* bytes of an element */
    int threads, flush_denormals;
    int exact_threads; /* so many, whatever the work */
    int reads_in_place; /* the caller's rows may serve as value 0: every op that reads it is any_ld */

    grc_op *ops;
    grc_value *values;
    grc_parameter *parameters;
    grc_position *positions;
    grc_head *heads;
    int op_count, value_count, parameter_count, position_count, head_count;
    int meets;                /* an op has meet_forward */
    int derives;              /* an op has derive */
    int scheduled;            /* columns of a step's rates: of ops, then of penalties */
    size_t vector;            /* elements of the parameter vector */
    size_t transposed;        /* elements of all transposed weights */
    size_t trainable;         /* numbers that train */
    int penalized;            /* some parameter has a penalty */

    void *w;                  /* the parameter vector */
    void *tables;             /* one allocation for the arrays above */
    size_t tables_size, w_size;
    grc_lock lock;            /* of the parameters */
    atomic_uint_fast64_t version; /* of w: passes compare it with that of their transposed copies */
    struct grc_exec *_Atomic spare; /* one idle prediction workspace */
};

/* Parameters were updated by a step, some were set from outside, or all weights were made anew. */
enum grc_news { GRC_NEW_UPDATE, GRC_NEW_VALUES, GRC_NEW_WEIGHTS };
/* Brings all derived numbers up to date: each thread of a team calls it. */
void grc_derive(gradcore_network *n, enum grc_news news, int t, int count);
/* Of gradcore_network_write: checks and writes the values that are not NULL, and leaves the network taken; after all
 * that follows from them, grc_end_write. whole, out: none is NULL. */
grc_status grc_begin_write(gradcore_network *n, const void *const *src, int *whole, gradcore_error *error);
void grc_end_write(gradcore_network *n, int whole);
/* Sets a vector to its initial value; matrices are left alone. */
void grc_fill_vector(gradcore_network *n, const grc_parameter *p);

/* ---- ops/: one file an op ---- */

struct grc_exec;
#define GRC_MOST_CODES 16777216 /* whole numbers that float can tell apart */
#define GRC_MOST_PANEL (GRC_PANEL_BYTES / 4) /* elements */
#define GRC_DEPTH 16          /* of nested blocks */
#define GRC_MOST_OPS 2        /* of a layer */
#define GRC_MOST_PARAMETERS 5 /* of an op */

/* The network while it is being described, layer by layer. */
typedef struct grc_builder {
    struct gradcore_network *net;
    const gradcore_layer *layer;
    char name[64];                /* position, "2.0" */
    int value;                    /* the running value */
    int trains;                   /* a trainable parameter exists so far */
    enum { GRC_HEADS_NONE, GRC_HEADS_OPEN, GRC_HEADS_CLOSED } heads;
    int heads_train;              /* one of the heads so far has a trainable parameter, or what is before them */
    int depth;                    /* open blocks */
    int counter[GRC_DEPTH + 1];   /* next position at each depth */
    int open_fork[GRC_DEPTH];     /* op of each open block */
    gradcore_error *error;
} grc_builder;
/* A new op from the running value to a new one of `width`. Room was made for all ops beforehand. */
grc_op *grc_add_op(grc_builder *b, const struct grc_op_class *class, size_t width);
/* Each returns the offset of a new parameter in the vector, or SIZE_MAX with the error set. */
size_t grc_add_matrix(grc_builder *b, grc_op *op, const char *role, int turned, size_t rows, size_t cols);
size_t grc_add_vector(grc_builder *b, grc_op *op, const char *role, int trainable, double initial, size_t cols);
/* The same for numbers behind the parameters that an op derives from them: no parameter, and no gradient. */
size_t grc_add_derived(grc_builder *b, size_t cols);
/* A parameter in C order, contiguous, from and to a vector of the parameter vector's shape. */
void grc_read_parameter(const gradcore_network *n, const grc_parameter *p, const void *vector, void *dst);
void grc_write_parameter(const gradcore_network *n, const grc_parameter *p, const void *src, void *vector);
size_t grc_value_width(const grc_builder *b);
/* The layer's activation and alpha into op; a wrong name or value is an error. */
grc_status grc_set_activation(grc_builder *b, const char *name, double alpha, grc_op *op);

/* May a layer of this kind stand here, as far as heads are concerned? */
grc_status grc_check_heads(const grc_builder *b, const char *kind);

/* Of delta in: delta out's, changed in place; a buffer of its own; one that all heads add to; one a head. */
enum grc_delta { GRC_DELTA_SHARED, GRC_DELTA_OWN, GRC_DELTA_SUM, GRC_DELTA_TIPS };

/* A chunk is the unit of gradient work and of norms: up to GRC_CHUNK_ROWS rows of one panel. */
#define GRC_CHUNK_ROWS 64

typedef struct grc_region { /* what one thread owns of a parameter matrix */
    size_t row, rows, panel, panels;
} grc_region;

/* Callbacks that an op does not need are NULL. */
typedef struct grc_op_class {
    /* Checks the layer and adds its op. */
    grc_status (*describe)(grc_builder *b);
    /* Row-local: rows [row, row + rows) of its values. backward reads delta out, writes delta in. */
    void (*forward)(const grc_op *op, struct grc_exec *x, size_t row, size_t rows);
    void (*backward)(const grc_op *op, struct grc_exec *x, size_t row, size_t rows);
    /* What needs all rows of the batch, before any thread's forward (backward) of the op: thread t its share,
     * with barriers around it. Called where all rows pass at once: in training, and in backward by hand. */
    void (*meet_forward)(const grc_op *op, struct grc_exec *x, int t, int count);
    void (*meet_backward)(const grc_op *op, struct grc_exec *x, int t, int count);
    /* Completes region r of a gradient whose sum over all rows of the batch is there. */
    void (*finish)(const grc_op *op, struct grc_exec *x, const grc_parameter *p, grc_region r, void *out);
    /* finish for the weight of the dense layer before it. */
    void (*correct)(const grc_op *op, struct grc_exec *x, grc_region r, void *out);
    /* Rules on the weight that multiplies x, which its parameters and the weight of the dense layer before it make, as
     * `vector` has them, a parameter vector: clamps a panel of it to [low, high], give or take slack; bounds the norms of a panel's columns, or makes those that are not 0 the
     * limit; multiplies a panel by `keep`, a panel too. Derived numbers are brought up to date by the caller. NULL where
     * no parameters make such a weight. */
    void (*clamp_weight)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, double low,
                         double high, double slack);
    void (*bound_norms)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, int exactly,
                        double limit);
    void (*mask_weight)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, const void *keep);
    /* A penalty on the weight that multiplies x: returns that of the chunk of `size` elements from (row, 0) of panel
     * `panel`, and adds its gradient to grad, a parameter vector, where grad is not NULL. p: the weight of the dense
     * layer, or a parameter of the op's own, for which there is a gradient alone. */
    double (*penalize)(const grc_op *op, const gradcore_network *n, const grc_parameter *p, const double strength[2],
                       size_t row, size_t panel, size_t size, void *grad);
    /* Brings its derived numbers up to date after news of the parameters: thread t its share. */
    void (*derive)(const grc_op *op, gradcore_network *n, enum grc_news news, int t, int count);
    /* Brings what is no gradient's business, such as running averages, up to date: see grc_settle. */
    void (*settle)(const grc_op *op, struct grc_exec *x, size_t rows);
    /* Forward of all its rows for panels [panel, panel + panels) of the output alone; needs fan_in, fan_out. */
    void (*forward_columns)(const grc_op *op, struct grc_exec *x, size_t panel, size_t panels);
    /* Of trainable parameter p, the gradient of region r by batch rows [row, row + rows), to `out`, where p
     * begins. All backward is done by then, and delta out is what backward left there. A matrix is asked for
     * all rows of the batch, and folds blocks of KC rows itself; a vector, whose region is the whole, for
     * up to KC rows, and the caller folds. */
    void (*gradient)(const grc_op *op, struct grc_exec *x, const grc_parameter *p, grc_region r, size_t row,
                     size_t rows, void *out);
    /* Brings what the pass derives from the parameters up to date: thread t of count does its share. */
    void (*refresh)(const grc_op *op, struct grc_exec *x, int t, int count);
    /* Elements that forward keeps for backward in x->saved, for x->capacity rows; less than SIZE_MAX / 8. */
    size_t (*saves)(const grc_op *op, const struct grc_exec *x);
    enum grc_delta delta;
    int shares_value;     /* the output is the input's buffer */
    int any_ld;           /* forward and gradients read the input through grc_input, and no padding of it */
} grc_op_class;
#define GRC_DECLARE_OP(name, kind) extern const grc_op_class grc_op_##name;
GRC_OPS(GRC_DECLARE_OP)
/* embedding.c: are the input's codes, at positions [begin, end) of `order` or as they lie, all rows of their tables?
 * The caller holds the network. */
grc_status grc_check_codes(const gradcore_network *n, const void *x, int64_t stride, const int64_t *order,
                           int64_t begin, int64_t end, gradcore_error *error);

/* ---- plan.c: the memory and the work split of one pass ---- */

enum { GRC_EXEC_PREDICT, GRC_EXEC_PASS, GRC_EXEC_TRAIN };

typedef struct grc_exec {
    gradcore_network *net;
    int mode;
    /* `rows`, `step`, `limit`, `only` and where value 0 lies belong to forward, loss, backward and gradients. In
     * training one thread may set those of the next batch while others are still at the update, which therefore is
     * told what it needs of them. */
    size_t capacity, rows;  /* of the batch */
    int training;           /* dropout active */
    uint64_t seed, step;
    double *rates;          /* (rate_steps, rate_columns): of steps from rate_first on; or NULL */
    uint64_t rate_first;
    size_t rate_steps, rate_columns, rate_room; /* room for so many numbers */
    int want_dx;

    void **value;           /* [value]: data */
    void *input;            /* the buffer of value 0, which value[0] may leave for the caller's rows */
    size_t input_ld;        /* of value 0 as it is now */
    void **delta;           /* [value]: gradients, NULL in prediction or where nobody needs it */
    void **saved;           /* [op]: what its class saves, or NULL */
    void *zeros;            /* the widest value, all zero */
    void *scratch;          /* (threads, widest value): partial bias gradients */
    size_t widest;
    void *grad;             /* parameter vector */
    void *transposed;
    uint64_t version;       /* of the weights that `transposed` mirrors */
    double *chunk_norm;     /* sum of squares of every gradient chunk */
    double *chunk_penalty;  /* of its parameters; training only */
    double (*chunk_beyond)[2]; /* of elements beyond +-limit, where that is finite: kernels' beyond */
    double limit;
    size_t *chunk_first;    /* [parameter + 1]: its chunks */

    /* Training only. */
    int only;               /* a head, from 1: the others stand still; 0: all work */
    int tips;               /* losses read and write the heads' own values, not the last one */
    const struct grc_uncertain *uncertain; /* [head], or NULL: log variances have no gradient */
    const uint8_t *held;    /* [op], or NULL: not 0 where what an op learns besides gradients is frozen */
    unsigned slot_mask;
    int measures;
    void *slots[GRC_SLOTS]; /* NULL where its bit is not in slot_mask */
    double *chunk_sum[2];   /* [chunk]: what an optimizer that measures has measured; else NULL */
    void *backup;           /* (1 + slots) parameter vectors, touched only by a careful update */
    void *partial;          /* (blocks, vector): gradients by KC blocks of rows, or NULL */
    void *target;           /* gathered: real rows (outputs wide) or int32 labels */
    double *row_weight, *row_scale, *row_loss, *row_correct;
    int32_t *row_right;

    void *block;
    size_t block_size;
} grc_exec;

typedef struct grc_uncertain { /* what the gradient of a head's log variance is made of */
    const double *row_scale, *row_loss; /* the sum of their products is the head's share of the loss */
    double half;                        /* of the head's weight; 0 where the batch has no row for it */
} grc_uncertain;

/* measures: with chunk_sum. target_bytes: of one row's target. */
grc_status grc_exec_create(gradcore_network *n, int mode, size_t capacity, unsigned slot_mask, int measures,
                           size_t target_bytes, grc_exec **out, gradcore_error *error);
void grc_exec_destroy(grc_exec *x);

/* ---- scheduled_rates.c: rates of dropout and noise, strengths of penalties, that differ from step to step ---- */

void grc_schedule_op(grc_builder *b, grc_op *op); /* where the flag of the layer's description says so */
/* Replaces the table, all or nothing; a copy is kept. */
grc_status grc_set_rates(grc_exec *x, uint64_t first, int64_t steps, int64_t layers, const double *rates,
                         gradcore_error *error);
void grc_release_rates(grc_exec *x);
/* What the op draws with at x->step: the table's where it has that step, else `constant`. */
double grc_rate_of(const grc_op *op, const grc_exec *x, double constant);
const double *grc_strength_of(const grc_parameter *p, const grc_exec *x); /* l1 and l2 at x->step */
/* Leaves the strengths of a step with the parameters, where the table has it. The caller has the network. */
void grc_keep_strengths(grc_exec *x, uint64_t step);

/* What thread `t` of `count` owns of a (rows, panels) matrix: a split in whole chunks. */
grc_region grc_region_of(size_t rows, size_t panels, int t, int count);
/* The same of parameter `index`: matrices are split, vectors go round. Nothing: rows and panels are 0. */
grc_region grc_own(const gradcore_network *n, int index, int t, int count);
/* Rows [first, last) of thread t; whole blocks of `unit` rows. */
void grc_rows_of(size_t rows, size_t unit, int t, int count, size_t *first, size_t *last);
/* Microseconds that one thread of a fast core would take: measured on nets of width 8 to 2048 with batches of 1 to
 * 4096 rows, which it meets within a half wherever the number of threads is in doubt. products: 1 forward, 2
 * backward, 3 both; update: of the parameters. */
double grc_work(const gradcore_network *n, int products, size_t rows, int update);
/* The count, halved until every thread has work for `each` microseconds: few different pools come of it. */
int grc_threads_worth(int threads, double work, double each);
/* Runs them: as many as others leave, or all of them if the network's count is exact. Returns how many. */
int grc_team_for(const gradcore_network *n, int threads, grc_team_fn *run, void *context);
/* Threads for a pass of `rows`, without an update. */
int grc_threads_for(const gradcore_network *n, int products, size_t rows);

/* ---- penalty.c ---- */

/* The penalty of the chunk of `size` elements from (row, 0) of panel `panel` of a parameter, of a weight what it
 * multiplies x by; its gradient is added to that chunk of grad, a parameter vector, where grad is not NULL. */
double grc_penalize_chunk(const gradcore_network *n, const grc_parameter *p, const double strength[2], size_t row,
                          size_t panel, size_t size, void *grad);
/* The same into x->grad at x->step, with what a parameter of a rescaled weight's adds to its gradient. */
double grc_penalize(const grc_exec *x, const grc_parameter *p, size_t row, size_t panel, size_t size);

/* ---- forward_backward.c: the recipe, called by every thread of a team ---- */

void grc_forward(grc_exec *x, size_t row, size_t rows);
/* The same for a whole team, each thread with its own rows, all of which must be loaded. Large layers are
 * split by columns instead, so that a weight is read by the thread that updates it and by no other. */
void grc_forward_team(grc_exec *x, grc_team *team, size_t row, size_t rows, int t, int count);
void grc_backward(grc_exec *x, size_t row, size_t rows);
/* Backward by a team, each thread its own rows. Networks whose ops meet take all rows of the batch at once. */
void grc_backward_team(grc_exec *x, grc_team *team, size_t row, size_t rows, int t, int count);
/* Gradients of what thread t owns, into x->grad, and their chunk norms. */
void grc_gradients(grc_exec *x, int t, int count);
/* Gradients of the block of rows [row, row + rows) into out (a parameter vector). */
void grc_gradients_of_rows(grc_exec *x, size_t row, size_t rows, void *out);
void grc_fold_partials(grc_exec *x, size_t blocks, int t, int count);
/* Brings what the ops derive from the parameters up to date, thread t its share. */
void grc_refresh(grc_exec *x, int t, int count);
/* grc_derive after an update; what is held learns nothing from it. */
void grc_derive_update(grc_exec *x, int t, int count);
/* What ops learn of the batch of `rows` besides gradients, once its update is applied: thread t its share. */
void grc_settle(grc_exec *x, size_t rows, int t, int count);
/* Sums of squares of the chunks of x->grad in region r of a parameter. */
void grc_chunk_norms(grc_exec *x, int index, grc_region r);
/* The same once their penalties are added. */
void grc_penalized_norms(grc_exec *x, int index, grc_region r);
/* Sums over the batch: element i goes to lane i % 8, then the lanes are folded. The order depends on n alone.
 */
static inline double grc_fold_lanes(const double lane[8])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}
double grc_sum(size_t n, const double *x);
double grc_weighted_sum(size_t n, const double *weight, const double *x);
/* Value 0 = these rows where they lie (they are only read), or its own buffer where rows is NULL. */
void grc_place_input(grc_exec *x, const void *rows, size_t ld);
/* `rows` rows of `from` into rows [row, row + rows) of the input value. */
void grc_load_rows(grc_exec *x, size_t row, size_t rows, const void *from, size_t stride);
/* Are the weight gradients of this batch made block by block (x->partial)? Same bits either way. */
int grc_uses_partials(const grc_exec *x);

/* ---- orthogonal.c ---- */

/* out (rows, cols) = gain * Q: orthonormal rows where rows <= cols, orthonormal columns where
 * rows >= cols; uniform over such matrices (the Q of a normal matrix, signs by the diagonal of its factor).
 * About 8/3 k^3 operations for a square of k. */
grc_status grc_fill_orthogonal(uint64_t seed, uint32_t stream, size_t rows, size_t cols, double gain,
                               double *out, gradcore_error *error);

/* ---- small helpers ---- */

#define GRC_KNOWN_FLAGS                                                                                      \
    (GRADCORE_OPTIMIZER_MOMENTUM | GRADCORE_OPTIMIZER_NESTEROV | GRADCORE_OPTIMIZER_CENTERED                 \
     | GRADCORE_DECAY_ALL | GRADCORE_OPTIMIZER_LR_IN_MOMENTUM | GRADCORE_OPTIMIZER_EPS_INSIDE                \
     | GRADCORE_OPTIMIZER_AMSGRAD | GRADCORE_OPTIMIZER_EPS_HAT | GRADCORE_OPTIMIZER_MAXIMIZE                 \
     | GRADCORE_OPTIMIZER_DECOUPLED | GRADCORE_OPTIMIZER_CONSTANT_MOMENTUM | GRADCORE_OPTIMIZER_TRUST_CLIP   \
     | GRADCORE_OPTIMIZER_DECAY_IN_NORM | GRADCORE_OPTIMIZER_SAFEGUARD | GRADCORE_OPTIMIZER_CLIPPED        \
     | GRADCORE_OPTIMIZER_CORRECTED | GRADCORE_OPTIMIZER_UNCLAMPED)
#define GRC_LEAST_EPS 1e-30   /* of a normalisation: its inverse root is finite in float */
#define GRC_MOST_ELEMENTS (INT64_MAX / 16) /* of an array: no size in bytes overflows */
#define GRC_MOST_PENALTY 1e10
#define GRC_MOST_WEIGHT 1e100 /* of a row: its product with any loss stays finite */
/* Are these the hyperparameters of a step that cannot by itself make finite numbers infinite? */
grc_status grc_check_hypers(int optimizer, int dtype, int clipped, const double *h, gradcore_error *error);

static inline size_t grc_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static inline size_t grc_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t grc_max(size_t a, size_t b)
{
    return a > b ? a : b;
}
static inline void *grc_at(const gradcore_network *n, const void *base, size_t element)
{
    return (char *)base + element * n->item;
}
/* Element (row, 0) of a value or of its delta. */
static inline void *grc_row(const grc_exec *x, void *const *data, int value, size_t row)
{
    return grc_at(x->net, data[value], row * x->net->values[value].ld);
}
/* An any_ld op's input, element (row, 0), and its leading dimension. */
static inline size_t grc_input_ld(const grc_exec *x, const grc_op *op)
{
    const grc_value *v = &x->net->values[op->in];
    return v->buffer == 0 ? x->input_ld : v->ld;
}
static inline void *grc_input(const grc_exec *x, const grc_op *op, size_t row)
{
    return grc_at(x->net, x->value[op->in], row * grc_input_ld(x, op));
}
/* Does what the op would learn of the batches (running averages, singular vectors) stay as it is? */
static inline int grc_is_held(const grc_exec *x, const grc_op *op)
{
    return x->held && x->held[op->index];
}
static inline int grc_stands_still(const grc_exec *x, const grc_op *op)
{
    return x->only && op->head && op->head != x->only;
}
/* Columns past the width of rows of a delta = 0, up to a whole panel. */
static inline void grc_clear_padding(const grc_exec *x, void *const *delta, int value, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[value];
    const size_t pw = x->net->kernels->panel, past = (v->width + pw - 1) / pw * pw - v->width;
    for (size_t r = row; past && r < row + rows; r++)
        memset(grc_at(x->net, grc_row(x, delta, value, r), v->width), 0, past * x->net->item);
}
static inline size_t grc_panels(const gradcore_network *n, size_t cols)
{
    return (cols + n->kernels->panel - 1) / n->kernels->panel;
}
/* The matrix of a parameter as the parameter vector has it; regions are parts of that. */
static inline size_t grc_stored_rows(const grc_parameter *p)
{
    return p->turned ? p->cols : p->rows;
}
static inline size_t grc_stored_cols(const grc_parameter *p)
{
    return p->turned ? p->rows : p->cols;
}
/* Element i of an array of the network's type. */
static inline double grc_get(const gradcore_network *n, const void *array, size_t i)
{
    return n->dtype == GRC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}
static inline void grc_set(const gradcore_network *n, void *array, size_t i, double value)
{
    if (n->dtype == GRC_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}
/* Padding among `size` elements from `offset` on of a vector of the parameter vector's shape, all of parameter p and
 * whole rows of its panels: = 0. Sums, norms and products take whole panels and count on it. */
static inline void grc_clear_lanes(const gradcore_network *n, const grc_parameter *p, void *vector, size_t offset,
                                   size_t size)
{
    const size_t pw = n->kernels->panel, cols = grc_stored_cols(p), used = cols % pw;
    const size_t last = p->offset + cols / pw * grc_stored_rows(p) * pw; /* where a panel with padding begins */
    for (size_t at = grc_max(offset, last); used && at < offset + size; at += pw)
        memset(grc_at(n, vector, at + used), 0, (pw - used) * n->item);
}
/* The padding behind vector p that begins at `data` = 0. */
static inline void grc_zero_tail(const gradcore_network *n, const grc_parameter *p, void *data)
{
    const size_t padded = grc_panels(n, p->cols) * n->kernels->panel;
    memset(grc_at(n, data, p->cols), 0, (padded - p->cols) * n->item);
}
int grc_find_activation(const char *name);
enum grc_saves grc_saves_of(int activation); /* what its backward needs */
double grc_lowest_alpha(int activation);
int grc_find_loss(const char *name);
int grc_find_optimizer(const char *name);
int grc_loss_classifies(int loss);
const char *grc_loss_target(int loss);     /* "values", "labels" or "halves"; NULL for no loss */
const char *grc_loss_vector(int loss);     /* the name of its vector option, "" for none */
typedef struct grc_loss_parameter {
    const char *name;
    double value; /* where none is given; NaN: none */
    enum grc_range range;
} grc_loss_parameter;
const grc_loss_parameter *grc_loss_parameters(int loss); /* in order, ended by one without a name */
unsigned grc_optimizer_slots(int optimizer, uint32_t flags); /* bit i: state slot i is in use */
/* What a slot holds before the first update. LIVE: see tables.h. */
enum grc_start { GRC_START_ZERO, GRC_START_INITIAL, GRC_START_RATE, GRC_START_WEIGHTS, GRC_START_LIVE };
enum grc_start grc_slot_start(int optimizer, int slot);
int grc_slot_has_floor(int optimizer, int slot); /* an update makes it more than 0 in padding, too */
int grc_find_slot(int optimizer, enum grc_start start); /* the first one that starts so, or GRC_NONE */
double grc_slot_value(int optimizer, int slot, const double *own, double lr); /* INITIAL, RATE: the start */
enum grc_opt_kind grc_optimizer_kind(int optimizer);
int grc_measures(int optimizer); /* TENSOR or TOTAL */
#define GRC_NAMES_LENGTH 400
/* "relu, tanh, ..." of a family into text, for messages about unknown names. */
const char *grc_names(const char *family, char *text, size_t size);

#endif
