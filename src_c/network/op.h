/* An op, and the network while it is being described, layer by layer.
 *
 * Words. A *layer* is what the user describes, an *op* a step of the computation that it is compiled into: one, or
 * two. An op's *class* is what all ops of a kind have in common: their functions, of which those that are not
 * needed are NULL. A *view* is a pass's memory as ops see it (ops/view.h). A *delta* is the gradient of the loss by
 * a value. */
#ifndef GRC_OP_H
#define GRC_OP_H

#include "ownership.h"
#include "parameters.h"

struct grc_op_class;
struct grc_view;

/* What every op has; `own` is what its kind needs besides, a struct of its file in ops/. */
typedef struct grc_op {
    const struct grc_op_class *class;
    void *own;
    int index;           /* in the list; also the random stream of dropout */
    int in, out;         /* values */
    int head;            /* the head that it belongs to, from 1; 0: none, all of them build on it */
    int trains_before;   /* an op with trainable parameters comes before: backward must reach it */
    int first_parameter; /* index of its first parameter (trainable ones come first), or GRC_NONE */
    int any_ld;          /* forward and gradients read the input through grc_input, and no padding of it */
    int scheduled;       /* 1 + the column of the rates that has its own, or 0 */
    int rescaled;        /* the next op, of rescale.c, scales its output */
    enum grc_activation activation;
    double alpha;        /* of the activation */
} grc_op;

/* Of delta in: delta out's, changed in place; a buffer of its own; one that all heads add to; one a head. */
enum grc_delta { GRC_DELTA_SHARED, GRC_DELTA_OWN, GRC_DELTA_SUM, GRC_DELTA_TIPS };

typedef struct grc_builder grc_builder;
typedef struct grc_op_class {
    /* Checks the layer and adds its op. */
    grc_status (*describe)(grc_builder *b);
    /* Row-local: rows [row, row + rows) of its values. backward reads delta out, writes delta in. */
    void (*forward)(const grc_op *op, struct grc_view *x, size_t row, size_t rows);
    void (*backward)(const grc_op *op, struct grc_view *x, size_t row, size_t rows);
    /* What needs all rows of the batch, before any thread's forward (backward) of the op: thread t its share,
     * with barriers around it. Called where all rows pass at once: in training, and in backward by hand. */
    void (*meet_forward)(const grc_op *op, struct grc_view *x, int t, int count);
    void (*meet_backward)(const grc_op *op, struct grc_view *x, int t, int count);
    /* Forward of all rows for panels [panel, panel + panels) of the output alone. */
    void (*forward_columns)(const grc_op *op, struct grc_view *x, size_t panel, size_t panels);
    /* Of trainable parameter p, the gradient of region r by batch rows [row, row + rows), to `out`, where p
     * begins. All backward is done by then, and delta out is what backward left there. A matrix is asked for
     * all rows of the batch, and folds blocks of KC rows itself; a vector, whose region is the whole, for
     * up to KC rows, and the caller folds. */
    void (*gradient)(const grc_op *op, struct grc_view *x, const grc_parameter *p, grc_region r, size_t row,
                     size_t rows, void *out);
    /* Completes region r of a gradient whose sum over all rows of the batch is there. */
    void (*finish)(const grc_op *op, struct grc_view *x, const grc_parameter *p, grc_region r, void *out);
    /* Brings its derived numbers up to date after news of the parameters: thread t its share. */
    void (*derive)(const grc_op *op, gradcore_network *n, enum grc_news news, int t, int count);
    /* Brings what is no gradient's business, such as running averages, up to date with a batch of `rows`. */
    void (*settle)(const grc_op *op, struct grc_view *x, size_t rows);
    /* Brings what the pass derives from the parameters up to date: thread t of count does its share. */
    void (*refresh)(const grc_op *op, struct grc_view *x, int t, int count);
    /* Elements that forward keeps for backward in x->saved, for x->capacity rows; less than SIZE_MAX / 8. */
    size_t (*saves)(const grc_op *op, const struct grc_view *x);
    /* Of an op that rescales the output of the dense layer before it; NULL else. */
    const struct grc_rescaling *rescaling;
    size_t own_size;
    enum grc_delta delta;
    int shares_value; /* the output is the input's buffer */
    int any_ld;       /* see grc_op */
    int rate_is_share; /* what may be scheduled of it is a share, in [0, 1), and not any number from 0 */
} grc_op_class;

/* Rules and penalties on the weight that multiplies x, which the parameters of a rescaling op and the weight of the
 * dense layer before it make, as `vector` has them, a parameter vector. Derived numbers are brought up to date by
 * the caller. */
typedef struct grc_rescaling {
    /* finish for the weight of the dense layer. */
    void (*correct)(const grc_op *op, struct grc_view *x, grc_region r, void *out);
    /* Clamps a panel to [low, high], give or take slack; bounds the norms of a panel's columns, or makes those that are
     * not 0 the limit; multiplies a panel by `keep`, a panel too. NULL where no parameters make such a weight. */
    void (*clamp_weight)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, double low,
                         double high, double slack);
    void (*bound_norms)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, int exactly,
                        double limit);
    void (*mask_weight)(const grc_op *op, const gradcore_network *n, void *vector, size_t panel, const void *keep);
    /* Returns the penalty of the chunk of `size` elements from (row, 0) of panel `panel`, and adds its gradient to
     * grad, a parameter vector, where grad is not NULL. p: the weight of the dense layer, or a parameter of the
     * op's own, for which there is a gradient alone. */
    double (*penalize)(const grc_op *op, const gradcore_network *n, const grc_parameter *p, const double strength[2],
                       size_t row, size_t panel, size_t size, void *grad);
} grc_rescaling;

#endif
