/* A loss with its options, shared by those who call loss kernels.
 *
 * Words. The *divisor* is what the sum of the losses of a batch's rows is divided by; a row's *mass* is what it adds to
 * that. An *intrusion* is a change of the caller's arrays while a call works with them. */
#ifndef GRC_LOSS_H
#define GRC_LOSS_H

#include <stdatomic.h>

#include "../base/registry.h"
#include "../kernels/kernels.h"

#define GRC_MOST_WEIGHT 1e100 /* of a row: its product with any loss stays finite */

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
/* The same by its row of tables.h. */
grc_status grc_loss_open_kind(grc_loss *l, const gradcore_allocator *allocator, int kind,
                              const gradcore_loss_options *options, int dtype, size_t outputs, gradcore_error *error);
/* The options of `from`, in memory of their own. */
grc_status grc_loss_copy(grc_loss *l, const grc_loss *from, const gradcore_allocator *allocator, gradcore_error *error);
grc_status grc_loss_unknown(const char *name, gradcore_error *error);
void grc_loss_close(grc_loss *l);
/* Is the divisor of a batch just the sum of its row weights? */
int grc_loss_is_plain(const grc_loss *l);
/* What a row adds to the divisor, before its own weight: 1, its class weight, or -1 where it is ignored. */
double grc_loss_mass(const grc_loss *l, const grc_kernels *kernels, const void *target);
/* The weight of a row, given its own weight and target: 0 where it is ignored; what it adds to the divisor in *mass. */
double grc_loss_weigh(const grc_loss *l, const grc_kernels *kernels, double weight, const void *target, double *mass);
grc_status grc_loss_check_label(const grc_loss *l, int64_t label, int64_t row, gradcore_error *error);

/* Arrays of the caller are checked before a call does anything, but the caller's other threads can write into them
 * while it runs. What decides an address is therefore read once, where it is used, and judged again there; what is
 * out of range by now is replaced by 0 and noted, and the call ends with an error. Any thread may note. */
typedef struct grc_intrusion {
    atomic_int found;   /* the fields below are written by the one that has made it 1 */
    const char *array;
    int64_t at, got, most;
} grc_intrusion;
void grc_note_intrusion(grc_intrusion *in, const char *array, int64_t at, int64_t got, int64_t most);
/* Once the threads are done: an error if one of them has noted something. */
grc_status grc_report_intrusion(const grc_intrusion *in, gradcore_error *error);
/* The label of a row as it was found there, which has been in range. */
int32_t grc_found_label(const grc_loss *l, int64_t label, int64_t row, grc_intrusion *in);
/* labels[row], a class or the ignored index; nothing else reads labels that were handed in. */
int32_t grc_take_label(const grc_loss *l, const void *labels, int64_t row, grc_intrusion *in);

#endif
