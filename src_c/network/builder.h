/* The network while it is being described, layer by layer. */
#ifndef GRC_BUILDER_H
#define GRC_BUILDER_H

#include "op.h"

enum {
    GRC_DEPTH = 16 /* of nested blocks */,
    GRC_MOST_OPS = 2 /* of a layer */,
    GRC_MOST_PARAMETERS = 5 /* of an op */
};
enum { GRC_OP_ROOM = 128 }; /* bytes of what an op has of its own */

struct grc_builder {
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
    char *own;                    /* room for what the ops have of their own */
    gradcore_error *error;
};

size_t grc_value_width(const grc_builder *b);
/* A new value, on the buffer of another one or, with GRC_NONE, on its own. */
int grc_add_value(gradcore_network *n, size_t width, int shared_with);
/* A new op from the running value to a new one of `width`. Room was made for all ops beforehand. */
grc_op *grc_add_op(grc_builder *b, const grc_op_class *class, size_t width);
/* Each returns the offset of a new parameter in the vector, or SIZE_MAX with the error set. */
size_t grc_add_matrix(grc_builder *b, grc_op *op, const char *role, int turned, size_t rows, size_t cols);
size_t grc_add_vector(grc_builder *b, grc_op *op, const char *role, int trainable, double initial, size_t cols);
/* The same for derived numbers: no parameter, and no gradient. */
size_t grc_add_derived(grc_builder *b, size_t cols);
/* Room for the transposed copy of a (rows, cols) weight: its offset among all of them. */
size_t grc_add_transposed(grc_builder *b, size_t rows, size_t cols);
/* The layer's activation and alpha into op; a wrong name or value is an error. */
grc_status grc_set_activation(grc_builder *b, const char *name, double alpha, grc_op *op);
/* Gives the op a column of a step's rates, where the flag of the layer's description says so. */
void grc_schedule_op(grc_builder *b, grc_op *op);

#endif
