/* What an op sees of the memory of a pass, which pass/plan.c has laid out.
 *
 * Words. Value and delta as in network/; what an op *saves* is what its forward keeps for its backward. *Rates* are the
 * numbers of a step that its schedules give: see scheduled_rates.h. An op *stands still* in a pass for one head when it
 * belongs to another one; it is *held* when what it learns besides gradients is frozen. */
#ifndef GRC_VIEW_H
#define GRC_VIEW_H

#include "../network/op.h"
#include "scheduled_rates.h"

typedef struct grc_uncertain { /* what the gradient of a head's log variance is made of */
    const double *row_scale, *row_loss; /* the sum of their products is the head's share of the loss */
    double half;                        /* of the head's weight; 0 where the batch has no row for it */
} grc_uncertain;

typedef struct grc_view {
    gradcore_network *net;
    size_t capacity, rows;  /* of the batch */
    int training;           /* dropout is active */
    uint64_t seed, step;    /* of what is drawn */
    grc_rates rates;
    void **value;           /* [value]: data */
    size_t input_ld;        /* of value 0, which may lie where the caller has it */
    void **delta;           /* [value]: gradients; NULL in prediction, and where nobody needs it */
    void **saved;           /* [op]: what it saves, or NULL */
    void *zeros;            /* the widest value, all zero */
    void *transposed;       /* the transposed copies of weights */
    int only;               /* a head, from 1: the others stand still; 0: all work */
    int tips;               /* losses read and write the heads' own values, not the last one */
    const grc_uncertain *uncertain; /* [head], or NULL: log variances have no gradient */
    const uint8_t *held;    /* [op], or NULL */
} grc_view;

/* Element (row, 0) of a value or of its delta. */
static inline void *grc_row(const grc_view *x, void *const *data, int value, size_t row)
{
    GRC_ASSERT(data[value] && row < x->capacity);
    return grc_at(x->net, data[value], row * x->net->values[value].ld);
}
/* An any_ld op's input, element (row, 0), and its leading dimension. */
static inline size_t grc_input_ld(const grc_view *x, const grc_op *op)
{
    const grc_value *v = &x->net->values[op->in];
    return v->buffer == 0 ? x->input_ld : v->ld;
}
static inline void *grc_input(const grc_view *x, const grc_op *op, size_t row)
{
    return grc_at(x->net, x->value[op->in], row * grc_input_ld(x, op));
}
static inline int grc_is_held(const grc_view *x, const grc_op *op)
{
    return x->held && x->held[op->index];
}
static inline int grc_stands_still(const grc_view *x, const grc_op *op)
{
    return x->only && op->head && op->head != x->only;
}
/* Columns past the width of rows of a delta = 0, up to a whole panel. */
static inline void grc_clear_padding(const grc_view *x, void *const *delta, int value, size_t row, size_t rows)
{
    const grc_value *v = &x->net->values[value];
    const size_t pw = x->net->kernels->panel, past = (v->width + pw - 1) / pw * pw - v->width;
    for (size_t r = row; past && r < row + rows; r++)
        memset(grc_at(x->net, grc_row(x, delta, value, r), v->width), 0, past * x->net->item);
}

#endif
