/* A network: what its description was compiled into, and its parameters.
 *
 * Words. A *value* is the matrix between two ops, (rows, width) with a padded leading dimension ld; value 0 is the
 * input. The *parameter vector* holds every parameter array one after the other, each 64-byte aligned: weights as
 * packed panels (kernels.h), vectors padded to whole panels with zeros. Gradients and optimizer slots have the same
 * shape, so one offset serves all of them. Offsets and leading dimensions count elements. A matrix that is *turned*
 * is stored as its transpose. A *position* is a layer as the user counts them, a *head* a named output. */
#ifndef GRC_NETWORK_H
#define GRC_NETWORK_H

#include "../base/locks.h"
#include "../kernels/kernels.h"

#define GRC_MOST_PANEL (GRC_PANEL_BYTES / 4) /* elements */
#define GRC_MOST_PENALTY 1e10

typedef struct grc_value {
    size_t width, ld;
    int buffer; /* of its data: values of a fork share their input's */
} grc_value;

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

typedef struct grc_position {
    char name[64];
    int value;
} grc_position;

typedef struct grc_head {
    char name[GRADCORE_HEAD_NAME + 1];
    int value;     /* what its last layer returns */
    size_t column; /* where that begins in the last value, which has the heads side by side */
} grc_head;

/* The first field of a workspace that a network may keep for its next caller. */
typedef struct grc_spare {
    void (*destroy)(struct grc_spare *spare);
} grc_spare;

struct grc_op;
struct gradcore_network {
    gradcore_allocator allocator;
    const grc_kernels *kernels;
    int dtype;
    size_t item; /* bytes of an element */
    int threads, flush_denormals;
    int exact_threads; /* so many, whatever the work */
    int reads_in_place; /* the caller's rows may serve as value 0: every op that reads it is any_ld */

    struct grc_op *ops;
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
    grc_lock lock;            /* of the parameters; it and what follows is a twin's own */
    atomic_uint_fast64_t version; /* of w: passes compare it with that of their transposed copies */
    grc_spare *_Atomic spare; /* one idle prediction workspace, or NULL */
};

/* ---- access.c: 1 when taken; else grc_network_refused says why ---- */

int grc_lock_read(gradcore_network *n);
void grc_unlock_read(gradcore_network *n);
int grc_lock_write(gradcore_network *n);
void grc_unlock_write(gradcore_network *n);
/* To write that makes even half of a change whole again; grc_remade once it is done. */
int grc_lock_remake(gradcore_network *n);
void grc_remade(gradcore_network *n);
grc_status grc_network_refused(const gradcore_network *n, gradcore_error *error);

/* ---- network.c ---- */

/* A twin of a network that the caller has: nothing that it owns is shared. */
grc_status grc_network_twin(const gradcore_network *n, gradcore_network **out, gradcore_error *error);

/* ---- where things lie ---- */

static inline void *grc_at(const gradcore_network *n, const void *base, size_t element)
{
    return (char *)base + element * n->item;
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

#endif
