/* Parameters as the user has them, and what every array of the parameter vector's shape must keep to.
 *
 * Words. *Padding* are the numbers behind a vector's last element, or behind the last column of a matrix's panels:
 * 0, since sums, norms and products take whole panels. *Derived* numbers lie behind the parameters, and ops make
 * them from those. A *strength* is that of a penalty, l1 and l2. */
#ifndef GRC_PARAMETERS_H
#define GRC_PARAMETERS_H

#include "network.h"

/* A parameter in C order, contiguous, from and to a vector of the parameter vector's shape. */
void grc_read_parameter(const gradcore_network *n, const grc_parameter *p, const void *vector, void *dst);
void grc_write_parameter(const gradcore_network *n, const grc_parameter *p, const void *src, void *vector);
/* Sets a vector to its initial value; matrices are left alone. */
void grc_fill_vector(gradcore_network *n, const grc_parameter *p);
/* Of gradcore_network_write: checks and writes the values that are not NULL, and leaves the network taken; after all
 * that follows from them, grc_end_write. whole, out: none is NULL. */
grc_status grc_begin_write(gradcore_network *n, const void *const *src, int *whole, gradcore_error *error);
void grc_end_write(gradcore_network *n, int whole);
/* Parameters were updated by a step, some were set from outside, or all weights were made anew. */
enum grc_news { GRC_NEW_UPDATE, GRC_NEW_VALUES, GRC_NEW_WEIGHTS };
/* Brings all derived numbers up to date: each thread of a team calls it. */
void grc_derive(gradcore_network *n, enum grc_news news, int t, int count);

/* Padding among `size` elements from `offset` on of a vector of the parameter vector's shape, all of parameter p and
 * whole rows of its panels: = 0. */
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

/* ---- penalty.c ---- */

/* The penalty of the chunk of `size` elements from (row, 0) of panel `panel` of a parameter, of a weight what it
 * multiplies x by; its gradient is added to that chunk of grad, a parameter vector, where grad is not NULL. */
double grc_penalize_chunk(const gradcore_network *n, const grc_parameter *p, const double strength[2], size_t row,
                          size_t panel, size_t size, void *grad);

#endif
