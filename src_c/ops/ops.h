/* The classes of ops, and what is asked of single ones by their own names. */
#ifndef GRC_OPS_H
#define GRC_OPS_H

#include "../base/registry.h"
#include "../base/sums.h"
#include "../base/team.h"
#include "../network/builder.h"
#include "view.h"

#define GRC_DECLARE_OP(name, kind) extern const grc_op_class grc_op_##name;
GRC_OPS(GRC_DECLARE_OP)

#define GRC_MOST_CODES 16777216 /* whole numbers that float can tell apart */
#define GRC_LEAST_EPS 1e-30     /* of a normalisation: its inverse root is finite in float */

/* ---- dense.c: W (fan_in, fan_out) and b ---- */

typedef struct grc_dense {
    size_t fan_in, fan_out;
    size_t weight, bias; /* offsets in the parameter vector */
    size_t transposed;   /* offset of the transposed weight panels, unless narrow */
    int has_bias;
    int narrow;          /* few outputs: the parameter vector holds the weight's transpose */
} grc_dense;

/* ---- standardize.c ---- */

typedef struct grc_standardize {
    size_t mean, inverse_std;
} grc_standardize;

/* ---- rescale.c: weight and spectral normalisation ---- */

typedef struct grc_rescale {
    size_t fan_in, fan_out, weight; /* of the dense layer before */
    size_t bias;
    int has_bias;
    size_t magnitude;   /* of weight normalisation */
    size_t left, right; /* of spectral normalisation: singular vectors */
    size_t scale, inverse_square, sums; /* derived */
} grc_rescale;

/* ---- heads.c ---- */

/* May a layer of this kind stand here, as far as heads are concerned? */
grc_status grc_check_heads(const grc_builder *b, const char *kind);

/* ---- embedding.c ---- */

/* Are the input's codes, at positions [begin, end) of `order` or as they lie, all rows of their tables?
 * The caller holds the network. */
grc_status grc_check_codes(const gradcore_network *n, const void *x, int64_t stride, const int64_t *order,
                           int64_t begin, int64_t end, gradcore_error *error);

#endif
