/* A loss with its options, shared by those who call loss kernels. */
#ifndef GRC_LOSS_H
#define GRC_LOSS_H

#include "internal.h"

typedef struct {
    int kind;            /* its row of tables.h */
    int labels;          /* targets are int32 class ids, else real matrices */
    int by_count;        /* the divisor is the number of rows, not the sum of their weights */
    size_t outputs, target_width;
    grc_loss_args args;
    double *vector;      /* the vector option, rounded to the element type, or NULL */
    const gradcore_allocator *allocator;
    void *block;
    size_t block_size;
} grc_loss;

/* options NULL: the defaults. The allocator must outlive the loss. */
grc_status grc_loss_open(grc_loss *l, const gradcore_allocator *allocator, const char *name,
                         const gradcore_loss_options *options, int dtype, size_t outputs, gradcore_error *error);
void grc_loss_close(grc_loss *l);
/* Is the divisor of a batch just the sum of its row weights? */
int grc_loss_is_plain(const grc_loss *l);
/* What a row adds to the divisor, before its own weight: 1, its class weight, or -1 where it is ignored. */
double grc_loss_mass(const grc_loss *l, const grc_kernels *kernels, const void *target);
/* The weight of a row of the data, 0 where it is ignored, and what it adds to the divisor in *mass. */
double grc_loss_weigh(const grc_loss *l, const gradcore_network *n, const gradcore_data *d, int64_t row,
                      double *mass);
grc_status grc_loss_check_label(const grc_loss *l, int32_t label, int64_t row, gradcore_error *error);

#endif
