/* gradcore: dense neural networks trained on CPUs. The one public C header.
 *
 * Conventions. Every function that can fail returns a status and, when `error` is not NULL, writes the
 * reason there; a failed call leaves every object as it was, bit for bit. Option structs begin with
 * their own size, so that later versions can append fields. Kinds, activations, losses and optimizers
 * are named by strings (gradcore_list enumerates them), so their numbers are nobody's ABI.
 * Matrices are row-major; a stride is counted in elements between the starts of two rows. `void *` data
 * has the network's element type: float or double. Class labels are int32_t.
 * Lifetimes. A network outlives its passes and trainers. Arrays that a call was given may not change while
 * it runs.
 * Threads. Any number of threads may predict with one network at a time. Calls that change a network or
 * use one trainer or pass exclude each other: the later one gets GRADCORE_BUSY.
 */
#ifndef GRADCORE_H
#define GRADCORE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GRADCORE_API __attribute__((visibility("default")))
#else
#define GRADCORE_API
#endif

#define GRADCORE_VERSION_MAJOR 1
#define GRADCORE_VERSION_MINOR 0
#define GRADCORE_NUMERICS_VERSION 3 /* raised when the same seed and data give other bits */

#ifdef __cplusplus
extern "C" {
#endif

typedef enum gradcore_status {
    GRADCORE_OK = 0,
    GRADCORE_INVALID = 1,   /* an argument has a value that it may not have */
    GRADCORE_SHAPE = 2,     /* sizes do not fit each other */
    GRADCORE_NO_MEMORY = 3,
    GRADCORE_BUSY = 4,      /* another thread is using the object */
    GRADCORE_NONFINITE = 5, /* a step met NaN or infinity and the policy is "raise" */
    GRADCORE_NOT_FOUND = 6, /* no such file */
    GRADCORE_IO = 7,        /* the operating system refused */
    GRADCORE_FORMAT = 8,    /* the file is not what it should be */
    GRADCORE_STATE = 9      /* the call needs another call before it */
} gradcore_status;

typedef struct gradcore_error {
    int32_t status;
    char message[508]; /* "argument: expected ..., got ..." */
} gradcore_error;

typedef enum gradcore_dtype { GRADCORE_FLOAT32 = 0, GRADCORE_FLOAT64 = 1 } gradcore_dtype;

/* malloc-like hook; `alignment` is a power of two, free gets the size that was asked for. */
typedef struct gradcore_allocator {
    void *(*allocate)(void *context, size_t size, size_t alignment);
    void (*release)(void *context, void *pointer, size_t size);
    void *context;
} gradcore_allocator;

/* ---- About this build and machine ---- */

typedef struct gradcore_build_info {
    uint32_t size;
    int32_t openmp;          /* _OPENMP of the build, 0 without */
    const char *compiler;
    const char *flags;       /* the compiler's, or "unknown" */
    const char *isa;         /* the instruction set that a new network gets */
    const char *isa_reason;  /* why: "best of this CPU", "GRADCORE_ISA" */
    int32_t threads;         /* the count that a new network gets before its cost model */
    const char *threads_reason;
} gradcore_build_info;
GRADCORE_API void gradcore_get_build_info(gradcore_build_info *info);

/* The i-th name of a family ("activation", "loss", "optimizer", "layer", "isa"), NULL past the end.
 * "isa" lists those that this build has and this CPU can run. */
GRADCORE_API const char *gradcore_list(const char *family, int32_t index);
/* A property of a named row: ("activation", "gelu", "formula" | "initializer" | "alpha" | "lowest_alpha"
 * | "range" | "derivative_dies" | "ulp"),
 * ("loss", name, "formula" | "target" | "parameters" | "vector"), parameters as "name:default:range ...",
 * ("optimizer", name, "hyperparameters"). NULL if unknown. */
GRADCORE_API const char *gradcore_describe(const char *family, const char *name, const char *property);

/* ---- Networks ---- */

typedef struct gradcore_network gradcore_network;

enum {
    GRADCORE_LAYER_NO_BIAS = 1,
    GRADCORE_LAYER_NO_SCALE = 2, /* normalisation: no gamma */
    GRADCORE_LAYER_NO_SHIFT = 4, /* layer_norm, batch_norm: no beta */
    GRADCORE_LAYER_CUMULATIVE = 8, /* batch_norm: running averages weigh all batches alike */
    GRADCORE_LAYER_PROJECTION = 16, /* end: input times a learned matrix is added, widths may differ */
    GRADCORE_LAYER_GAIN = 32,    /* end: the block's output is multiplied by a learned number */
    GRADCORE_LAYER_RESCALED = 64, /* dense, without bias and activation: weight_norm or spectral_norm follows */
    GRADCORE_LAYER_UNCERTAIN = 256, /* end_heads: a learned log variance a head weighs the losses; heads.h */
    GRADCORE_LAYER_CONTINUES = 128, /* weight_norm, spectral_norm, activation, embedding: one with that before it */
    GRADCORE_LAYER_SCHEDULED = 512 /* dropout, alpha_dropout, gaussian_noise: set_rates has a step's rate or std */
};
/* One layer. A "residual" opens a block that the matching "end" closes: output = input + block(input). The
 * options of the block are those of its "end". "heads", as the last layer, opens named outputs that "end_heads"
 * closes: each "head" begins one, of the layers behind it, from the value before the heads; the network's output
 * has theirs side by side. */
typedef struct gradcore_layer {
    uint32_t size;
    uint32_t flags;
    const char *kind;       /* one of gradcore_list("layer", i) */
    const char *activation; /* dense, activation; NULL: identity */
    int64_t units;          /* dense, maxout: fan_out; prelu: 1 for one slope, 0 for one a column; embedding: codes */
    int64_t pieces;         /* maxout: linear functions a unit */
    double alpha;           /* activation's parameter; NaN: its default */
    double rate;            /* dropout, alpha_dropout: probability of zero, in [0, 1) */
    double eps;             /* normalisation: added to the variance, 1e-30 to 1; 0: the layer's default */
    double momentum;        /* batch_norm: weight of a new batch in the running averages, to 1; 0: 0.1 */
    double std;             /* gaussian_noise */
    int64_t column;         /* embedding: the input column of codes, 0 to units - 1; others: GRADCORE_INVALID */
    int64_t width;          /* embedding: columns that replace it */
    double initial;         /* layer_scale, end with a gain: what the factor begins with */
    const char *name;       /* head: 1 to GRADCORE_HEAD_NAME letters, digits, '_', '-'; no digit, no '-' first */
} gradcore_layer;
enum { GRADCORE_HEAD_NAME = 32, GRADCORE_MOST_HEADS = 256 };

enum { GRADCORE_FLUSH_DENORMALS = 1 };
typedef struct gradcore_network_options {
    uint32_t size;
    uint32_t flags;
    int64_t inputs;
    int32_t dtype;
    int32_t threads;  /* 0: automatic */
    const char *isa;  /* NULL: automatic */
    const gradcore_allocator *allocator; /* NULL: aligned malloc; copied */
} gradcore_network_options;

GRADCORE_API gradcore_status gradcore_network_create(const gradcore_network_options *options,
                                                     const gradcore_layer *layers, size_t layer_count,
                                                     gradcore_network **out, gradcore_error *error);
/* A twin: the same layers, parameters and numbers of threads in memory of its own, to be destroyed like others. */
GRADCORE_API gradcore_status gradcore_network_branch(gradcore_network *network, gradcore_network **out,
                                                     gradcore_error *error);
/* The caller sees to it that nothing uses the network any more. NULL is fine. */
GRADCORE_API void gradcore_network_destroy(gradcore_network *network);

typedef struct gradcore_network_info {
    uint32_t size;
    int32_t dtype;
    int64_t inputs, outputs;
    int64_t parameters;     /* arrays, trainable or not */
    int64_t elements;       /* trainable numbers */
    int64_t layers;         /* positions that have an activation, containers included */
    int32_t threads;
    int32_t reserved;
    const char *isa;
} gradcore_network_info;
GRADCORE_API void gradcore_network_get_info(const gradcore_network *network, gradcore_network_info *info);

typedef struct gradcore_parameter_info {
    uint32_t size;
    int32_t trainable;
    const char *name;       /* "0.weight", "2.1.bias", "0.mean": lives as long as the network */
    const char *role;       /* "weight", "bias", "mean", "inverse_std", "gamma", "beta", ... */
    int32_t ndim;           /* 2: (rows, cols) = (fan_in, fan_out); 1: (cols) */
    int32_t reserved;
    int64_t rows, cols;     /* rows is 1 for vectors */
    const char *activation; /* of the layer, for the choice of an initialiser */
    double alpha;
} gradcore_parameter_info;
GRADCORE_API gradcore_status gradcore_network_parameter(const gradcore_network *network, int64_t index,
                                                        gradcore_parameter_info *info);
/* Copies parameter `index` to contiguous row-major dst. */
GRADCORE_API gradcore_status gradcore_network_read(gradcore_network *network, int64_t index, void *dst,
                                                   gradcore_error *error);
/* Sets all parameters with src[index] not NULL (contiguous row-major); values must be finite. */
GRADCORE_API gradcore_status gradcore_network_write(gradcore_network *network, const void *const *src,
                                                    gradcore_error *error);
/* Every trainable parameter anew: the default initialiser of each layer's activation, biases 0. */
GRADCORE_API gradcore_status gradcore_network_initialize(gradcore_network *network, uint64_t seed,
                                                         gradcore_error *error);

/* l1 sum |w| + l2 sum w^2 of trainable parameter `index` becomes part of the loss and gradient of every trainer
 * of the network; passes and evaluation leave it to the caller. 0, 0: none. Not a weight decay: an optimizer
 * scales it like any other gradient. */
GRADCORE_API gradcore_status gradcore_network_set_penalty(gradcore_network *network, int64_t index, double l1,
                                                          double l2, gradcore_error *error);
/* From now on l1 and l2 of the parameter are two columns more of the rates that set_rates takes, in the order of these
 * calls, behind those of layers. A trainer's step leaves its own as those of penalty(); set_penalty says what they are
 * at steps without rates. */
GRADCORE_API gradcore_status gradcore_network_schedule_penalty(gradcore_network *network, int64_t index,
                                                               gradcore_error *error);
/* The sum of all penalties at the present parameters. */
GRADCORE_API gradcore_status gradcore_network_penalty(gradcore_network *network, double *value, gradcore_error *error);

/* Evaluation mode. x (rows, inputs), y (rows, outputs); they may not overlap. */
GRADCORE_API gradcore_status gradcore_network_predict(gradcore_network *network, const void *x, int64_t x_stride,
                                                      int64_t rows, void *y, int64_t y_stride, gradcore_error *error);

/* ---- Losses ---- */

enum {
    GRADCORE_LOSS_BY_COUNT = 1,      /* cross_entropy: divide by the number of rows, not by the sum of weights */
    GRADCORE_LOSS_IGNORES = 2,       /* cross_entropy: rows with label ignore_index do not count */
    GRADCORE_LOSS_PROBABILITIES = 4, /* cross_entropy: targets are (rows, outputs) of the element type */
    GRADCORE_LOSS_PARAMETERS = 4
};
/* Where a loss is named, NULL options mean its defaults. Everything is copied. */
typedef struct gradcore_loss_options {
    uint32_t size;
    uint32_t flags;
    double parameters[GRADCORE_LOSS_PARAMETERS]; /* in the order of gradcore_describe("loss", name,
                                                    "parameters"); NaN: the default */
    const double *vector;   /* one number for each output, or NULL; gradcore_describe("loss", name, "vector")
                               names it: "class_weight", "pos_weight", "alpha", "" where there is none */
    int64_t vector_size;
    int32_t ignore_index;
    int32_t reserved;
} gradcore_loss_options;

typedef struct gradcore_data {
    uint32_t size;
    uint32_t reserved;
    const void *x;
    int64_t x_stride;
    const void *target;     /* (rows, outputs) of the element type, or int32_t labels (rows); half as many
                               columns where the description of the loss's target says "halves". Where every
                               head has a loss: const gradcore_head_data [heads]; weight is NULL then */
    int64_t target_stride;
    const double *weight;   /* a row's weight, 0 to 1e100, or NULL: all 1. Losses are weighted means, / sum w,
                               where a class weight of cross_entropy multiplies w; a batch whose weights are all
                               0 has loss and gradient 0. */
    int64_t rows;
} gradcore_data;

typedef struct gradcore_score {
    uint32_t size;
    uint32_t reserved;
    double loss;     /* weighted mean */
    double accuracy; /* weighted share of right predictions; NaN for a regression loss */
    double weight;   /* sum of the row weights, which accuracy was divided by */
    double divisor;  /* what loss was divided by */
} gradcore_score;
GRADCORE_API gradcore_status gradcore_network_evaluate(gradcore_network *network, const char *loss,
                                                       const gradcore_data *data, gradcore_score *score,
                                                       gradcore_error *error);
GRADCORE_API gradcore_status gradcore_network_evaluate_loss(gradcore_network *network, const char *loss,
                                                            const gradcore_loss_options *options,
                                                            const gradcore_data *data, gradcore_score *score,
                                                            gradcore_error *error);

/* ---- Passes: forward and backward by hand ---- */

typedef struct gradcore_pass gradcore_pass;
/* capacity: the most rows that a forward may have. The network must outlive the pass. */
GRADCORE_API gradcore_status gradcore_pass_create(gradcore_network *network, int64_t capacity, gradcore_pass **out,
                                                  gradcore_error *error);
GRADCORE_API void gradcore_pass_destroy(gradcore_pass *pass);
/* y may be NULL. training: dropout is active, its masks keyed by (seed, step). */
GRADCORE_API gradcore_status gradcore_pass_forward(gradcore_pass *pass, const void *x, int64_t x_stride, int64_t rows,
                                                   int32_t training, uint64_t seed, uint64_t step, void *y,
                                                   int64_t y_stride, gradcore_error *error);
/* See gradcore_trainer_set_rates; of the steps that forward is called with. Ends what forward kept. */
GRADCORE_API gradcore_status gradcore_pass_set_rates(gradcore_pass *pass, uint64_t first, int64_t steps, int64_t layers,
                                                     const double *rates, gradcore_error *error);
/* d_out (rows, outputs) of the last forward; d_x (rows, inputs) may be NULL and may not overlap d_out. Fills
 * the gradients. May be called once a forward, with the weights that it used: it destroys what forward kept. */
GRADCORE_API gradcore_status gradcore_pass_backward(gradcore_pass *pass, const void *d_out, int64_t d_out_stride,
                                                    void *d_x, int64_t d_x_stride, gradcore_error *error);
/* Gradient of trainable parameter `index` of the last backward, contiguous row-major. */
GRADCORE_API gradcore_status gradcore_pass_gradient(gradcore_pass *pass, int64_t index, void *dst,
                                                    gradcore_error *error);
/* Output of layer position `layer` of the last forward: its width, its name, and, where dst is not
 * NULL, its values (rows, width) contiguous. */
GRADCORE_API gradcore_status gradcore_pass_activation(gradcore_pass *pass, int64_t layer, int64_t *width,
                                                      const char **name, void *dst, gradcore_error *error);

/* ---- Training ---- */

/* A loss of the caller's own, called for every batch by the thread that called the core, while the trainer and
 * its network are busy. It reads `output`, fills `d_output` with the derivative of *loss by it, and returns a
 * status: any but GRADCORE_OK, with a reason in *error, ends the call that led here with that status; the batch
 * has changed nothing then. NaN and infinities are treated as the trainer's policy says. */
typedef struct gradcore_loss_batch {
    uint32_t size;
    uint32_t reserved;
    int64_t rows, outputs;
    const int64_t *order;   /* the numbers of the rows, or NULL: first, first + 1, ... */
    int64_t first;
    const void *target;     /* the data's, which the core does not read */
    const void *output;     /* (rows, outputs) of the element type */
    int64_t output_stride;
    void *d_output;         /* (rows, outputs) */
    int64_t d_output_stride;
} gradcore_loss_batch;
typedef gradcore_status gradcore_loss_function(void *context, const gradcore_loss_batch *batch, double *loss,
                                               gradcore_error *error);

typedef struct gradcore_trainer gradcore_trainer;
#include "options.h"
typedef struct gradcore_trainer_options {
    uint32_t size;
    uint32_t flags;
    const char *loss;
    const char *optimizer;
    const char *clip;      /* NULL, "value" or "global_norm"; the limit is a hyperparameter */
    const char *nonfinite; /* NULL or "skip", "raise", "propagate" */
    int64_t capacity;      /* the largest batch */
    uint64_t seed;         /* of dropout */
    const gradcore_loss_options *loss_options; /* NULL: the defaults */
    gradcore_loss_function *loss_function; /* instead of a loss, which is NULL then; rows have no weights */
    void *loss_context;
    const struct gradcore_head_loss *heads; /* instead of a loss, one for each head of the network; copied */
    int64_t head_count;
    uint32_t head_flags;   /* GRADCORE_GRADIENT_SURGERY */
    uint32_t reserved;
} gradcore_trainer_options;

/* Hyperparameters of one step, in this order; unused ones are ignored. */
enum {
    GRADCORE_LR = 0,
    GRADCORE_WEIGHT_DECAY = 1,
    GRADCORE_CLIP = 2,     /* limit of clip "value", max_norm of "global_norm" */
    GRADCORE_OWN = 3,      /* 3..12: the optimizer's own, in the order of gradcore_describe */
    GRADCORE_AVERAGE = 13, /* 13..15: ema: decay; lookahead: alpha; sam, asam: rho */
    GRADCORE_HYPERS = 16
};
enum { GRADCORE_SLOTS = 4, GRADCORE_RUNNING = 4 }; /* the most state arrays and running numbers */
enum { GRADCORE_AVERAGES = 3 };                    /* the most averages of a trainer */

/* What one step saw. */
typedef struct gradcore_report {
    double loss;      /* weighted mean over the batch, and the penalties, before the update */
    double correct;   /* weighted count of right predictions */
    double weight;    /* sum of the row weights */
    double norm;      /* global 2-norm of the gradient before clipping */
    double scale;     /* what the global-norm clip multiplied by; 1: not clipped */
    int32_t applied;  /* 0: the update was skipped (non-finite) */
    int32_t rows;
} gradcore_report;

typedef struct gradcore_run {
    uint32_t size;
    uint32_t reserved;
    const gradcore_data *data;
    const int64_t *order;  /* row numbers in training order, or NULL: 0, 1, 2 ... */
    int64_t begin, end;    /* positions of `order`: step i takes [begin + i batch, ...) cut at end */
    int64_t batch;
    int64_t steps;         /* steps to run */
    const double *hypers;  /* (steps, GRADCORE_HYPERS) */
    gradcore_report *reports; /* (steps) */
    int64_t done;          /* out: steps finished; fewer only with an error */
    /* Or NULL: called once for each step with the finite 2-norm of its gradients, by the calling thread; what
     * it returns multiplies them. NaN ends the run before that step's update, with GRADCORE_STATE. The number of the
     * step is what gradcore_trainer_get_progress then says. */
    double (*scale)(void *context, double norm);
    void *scale_context;
    double *heads;         /* NULL, or out: what each step saw of the heads, see heads.h */
    double *ledger;        /* NULL, or (parameters, 3), added to as gradcore_trainer_ledger counts */
} gradcore_run;

/* A rule beyond the clip of the options, on gradients before the update or on parameters after it. A unit is
 * the incoming weights of one output, or a whole vector. `order`: 1, 2 or INFINITY, of a norm.
 *   example_norm   the gradient of each row is scaled to a norm of at most `limit` (networks of dense layers)
 *   value          gradients are clamped to +-limit
 *   global_norm    all gradients are scaled by limit / (norm + other) where that is below 1
 *   tensor_norm    the same for every parameter by itself
 *   adaptive       every unit's gradient to at most limit * max(norm of the unit's weights, other), by norm 2
 *   centralize     the mean of every unit is subtracted from its gradient; matrices only
 *   noise          gradients get normal noise of deviation `limit`, keyed by seed, step and element
 *   box            parameters are clamped to [other, limit]
 *   max_norm       units are scaled to a 2-norm of at most `limit`
 *   unit_norm      units are scaled to the 2-norm `limit`; zeros stay
 *   mask           parameters are multiplied by `keep`: where that is 0 they stay 0, whatever other rules say
 * Of a layer with weight normalisation, box, max_norm, unit_norm and mask are rules on the weight that multiplies x.
 * With spectral normalisation that can only be masked and held to signs: a box whose ends are 0 or infinite. */
typedef struct gradcore_rule {
    uint32_t size;
    uint32_t scheduled;    /* the limit is hypers[GRADCORE_CLIP] of each step instead */
    const char *name;
    double limit, other, order;
    const uint8_t *mask;   /* (parameters) not 0: the rule applies; NULL: to all that are trainable */
    const void *const *keep; /* mask: (parameters) arrays of finite numbers of the network's dtype, each NULL
                              * or contiguous row-major; copied */
} gradcore_rule;

GRADCORE_API gradcore_status gradcore_trainer_create(gradcore_network *network, const gradcore_trainer_options *options,
                                                     gradcore_trainer **out, gradcore_error *error);
GRADCORE_API void gradcore_trainer_destroy(gradcore_trainer *trainer);
/* Room for batches of so many rows, where it was made for fewer: all else of the trainer stays as it is, and with it
 * every bit of what follows. */
GRADCORE_API gradcore_status gradcore_trainer_reserve(gradcore_trainer *trainer, int64_t rows, gradcore_error *error);
/* A twin of a trainer and one of its network, in memory of their own, to be destroyed like others: what the two train
 * and what their twins train are different things from then on, with the same bits if it is the same. Where the loss
 * is a function, both call it with the same context. */
GRADCORE_API gradcore_status gradcore_trainer_branch(gradcore_trainer *trainer, gradcore_network **network,
                                                     gradcore_trainer **twin, gradcore_error *error);
/* A slice of training steps in one call. Labels and row numbers are checked before the first step. */
GRADCORE_API gradcore_status gradcore_trainer_run(gradcore_trainer *trainer, gradcore_run *run, gradcore_error *error);
/* The rules of this trainer, in the order in which they apply; replaces those it had. */
GRADCORE_API gradcore_status gradcore_trainer_set_rules(gradcore_trainer *trainer, const gradcore_rule *rules, size_t n,
                                                        gradcore_error *error);
/* What the clip and the rules on gradients have done so far: ledger (parameters, 3): units seen, units scaled, sum of
 * the factors. Rules on the whole gradient count steps, example_norm rows, both for all parameters; the clip "value"
 * counts elements, the rule of that name nothing. */
GRADCORE_API gradcore_status gradcore_trainer_ledger(gradcore_trainer *trainer, double *ledger, gradcore_error *error);
/* Loss and gradients of one batch in training mode, as the next step would see them; no update. */
GRADCORE_API gradcore_status gradcore_trainer_gradients(gradcore_trainer *trainer, const gradcore_data *batch,
                                                        gradcore_report *report, gradcore_error *error);
/* Gradient of the last gradients call or step, contiguous row-major. */
GRADCORE_API gradcore_status gradcore_trainer_gradient(gradcore_trainer *trainer, int64_t index, void *dst,
                                                       gradcore_error *error);
/* 2-norm of each trainable parameter's gradient at the last step or gradients call, and of the parameter
 * as it is now: norms (parameters, 2), 0 for those not trainable. */
GRADCORE_API gradcore_status gradcore_trainer_norms(gradcore_trainer *trainer, double *norms, gradcore_error *error);

/* gradcore_network_write to the trainer's network, or to another that was described alike, within what the trainer's
 * rules on parameters allow: masks at once, the others once it has applied an update; those leave frozen parameters
 * alone. Whatever the trainer keeps of the weights of its own network begins at the new ones where they differ. All src
 * may be NULL. After gradcore_network_write itself that happens as the next slice begins, and with masks alone. */
GRADCORE_API gradcore_status gradcore_trainer_write(gradcore_trainer *trainer, gradcore_network *network,
                                                    const void *const *src, gradcore_error *error);

/* State for checkpoints: slots of the optimizer (slot < count from _state_slots) and the counters. Read after the
 * weights were set from outside, it is the state that the next slice would begin with. */
GRADCORE_API int32_t gradcore_trainer_state_slots(const gradcore_trainer *trainer);
GRADCORE_API gradcore_status gradcore_trainer_state_read(gradcore_trainer *trainer, int32_t slot, int64_t index,
                                                         void *dst, gradcore_error *error);
GRADCORE_API gradcore_status gradcore_trainer_state_write(gradcore_trainer *trainer, int32_t slot, int64_t index,
                                                          const void *src, gradcore_error *error);
/* The optimizer's running numbers (GRADCORE_RUNNING of them; 0 where it has none): state for checkpoints. Read before
 * the weights, it makes the masks true of those as the next slice would. */
GRADCORE_API gradcore_status gradcore_trainer_running_read(gradcore_trainer *trainer, double *running,
                                                           gradcore_error *error);
GRADCORE_API gradcore_status gradcore_trainer_running_write(gradcore_trainer *trainer, const double *running,
                                                            gradcore_error *error);
/* Adds an average of the weights, before the first step: "ema", "swa" (a plain mean) or "lookahead" (whose slow
 * weights the trained ones go back to), of the weights after update start + 1 and every `every`-th from there
 * (lookahead: after `every` updates). Or "accumulate": an update takes the gradient of one batch of all rows of
 * `every` steps, which the progress counts as updates: their mean, weighted by what their losses were divided by. It
 * is one more state slot, the last so far; behind all slots, an accumulation with a loss for each head has one for each
 * of them, where their gradients wait if rows or classes have weights or labels are ignored, or with surgery. Or "sam"
 * and "asam": the gradient of an update is that of the same batch at the weights + rho g / |g|, adaptive: rho w^2 g / |w g|. */
GRADCORE_API gradcore_status gradcore_trainer_add_average(gradcore_trainer *trainer, const char *kind, int64_t every,
                                                          int64_t start, gradcore_error *error);
/* State for checkpoints of a trainer that accumulates, to be written after the progress: 1 + one number, or 1 + one for
 * each head. Whether gradients of heads wait apart, 0 or 1; the sum of what the losses of the batches that wait were
 * divided by, -1 if it is not known: then they count as many times the next batch. */
GRADCORE_API gradcore_status gradcore_trainer_accumulated_read(gradcore_trainer *trainer, double *numbers,
                                                               gradcore_error *error);
GRADCORE_API gradcore_status gradcore_trainer_accumulated_write(gradcore_trainer *trainer, const double *numbers,
                                                                gradcore_error *error);
/* What trainable parameter `index` has of its own: a factor of lr, a weight decay (NaN: the optimizer's,
 * which leaves vectors alone without GRADCORE_DECAY_ALL), or no changes at all, not by rules on parameters either. The
 * running averages of batch_norm and the vectors of spectral_norm may be frozen too (lr_factor 1, weight_decay NaN);
 * they are where gamma and beta, or the weight, are frozen. A batch_norm whose averages are frozen normalises by them
 * in training. */
GRADCORE_API gradcore_status gradcore_trainer_set_group(gradcore_trainer *trainer, int64_t index, double lr_factor,
                                                        double weight_decay, int32_t frozen, gradcore_error *error);
/* Before the first step: the trainable parameters (mask: not 0) that muon or soap take as matrices; the others are
 * updated element by element. muon: matrices only. largest: soap's factors are of sides of up to that many. */
GRADCORE_API gradcore_status gradcore_trainer_set_matrices(gradcore_trainer *trainer, const uint8_t *mask,
                                                           int64_t largest, gradcore_error *error);
/* The order of the factor of a matrix' rows (side 0) or columns (1), 0 where there is none; the factor, state for
 * checkpoints: (2, order, order), a running mean of gradients times themselves, and its eigenvectors as columns. */
GRADCORE_API int64_t gradcore_trainer_factor_order(const gradcore_trainer *trainer, int64_t index, int32_t side);
GRADCORE_API gradcore_status gradcore_trainer_factor_read(gradcore_trainer *trainer, int64_t index, int32_t side,
                                                          void *dst, gradcore_error *error);
GRADCORE_API gradcore_status gradcore_trainer_factor_write(gradcore_trainer *trainer, int64_t index, int32_t side,
                                                           const void *src, gradcore_error *error);
/* rates (steps, layers): of steps from `first` on, of the layers with the flag SCHEDULED in their order, then l1 and l2
 * of the penalties that gradcore_network_schedule_penalty named. Copied, in place of the table before. At other steps
 * a layer has the rate of its description. */
GRADCORE_API gradcore_status gradcore_trainer_set_rates(gradcore_trainer *trainer, uint64_t first, int64_t steps,
                                                        int64_t layers, const double *rates, gradcore_error *error);
/* step: steps tried, which keys dropout; updates: those applied, which the optimizer counts. */
GRADCORE_API void gradcore_trainer_get_progress(const gradcore_trainer *trainer, uint64_t *step, uint64_t *updates);
GRADCORE_API gradcore_status gradcore_trainer_set_progress(gradcore_trainer *trainer, uint64_t step, uint64_t updates,
                                                           gradcore_error *error);

#include "arrays.h"
#include "files.h"
#include "heads.h"

#include "api.h"

#ifdef __cplusplus
}
#endif

#endif
