/* Optimizers that take matrices as wholes: the matrices, the room that they work in, and their updates. */
#ifndef GRC_MATRIX_H
#define GRC_MATRIX_H

#include "orthogonal.h"

/* The gram matrix of one side of a gradient, (order, ld) with zeros behind, its eigenvectors as columns, and those
 * transposed. order 0: that side is left as it is. */
typedef struct grc_side {
    size_t order, ld;
    void *gram, *basis, *turned;
} grc_side;
enum { GRC_ROWS, GRC_COLS };

/* w, g and the slots are packed panels of (rows, cols), as the parameter vector has them. */
typedef struct grc_matrix {
    const grc_kernels *k;
    size_t item, rows, cols;
    size_t fan_in, fan_out; /* rows and cols, or the other way round */
    void *w;
    const void *g;
    void *slot[2];
    grc_side side[2]; /* soap */
} grc_matrix;

/* Scratch for the largest of several matrices, shared by them. */
typedef struct grc_room {
    void *packed[3];    /* panels of a matrix or of its transpose */
    void *plain[3];     /* muon: (short side, long side), its transpose, the first again; soap: (rows, cols) twice */
    void *gram[2];      /* muon: (short side, short side) */
    double *sums;       /* muon: a row each */
    grc_orthogonal orthogonal; /* soap, this and what follows: of the largest order */
    double *z, *work, *estimates;
    size_t *order;
    void *strips;       /* for each thread GRC_STRIP rows */
} grc_room;
enum { GRC_STRIP = 32 };

static inline size_t grc_padded(const grc_matrix *m, size_t cols)
{
    return grc_round_up(cols, m->k->panel);
}
static inline void *grc_element(const grc_matrix *m, const void *base, size_t element)
{
    return (char *)base + element * m->item;
}
/* Rows [row, end) between packed panels and row-major (rows, padded cols). */
void grc_unpack_rows(const grc_matrix *m, const void *packed, void *plain, size_t row, size_t end);
void grc_pack_rows(const grc_matrix *m, const void *plain, void *packed, size_t row, size_t end);

/* Gram matrices for the sides that are wanted and have more than one row. */
void grc_lay_out_sides(grc_matrix *m, int rows, int cols, grc_arena *arena);
void grc_lay_out_room(grc_room *room, int optimizer, const grc_matrix *matrices, size_t count, int threads,
                      grc_arena *arena);
/* A side's gram matrix and basis to and from (2, order, order), contiguous. */
void grc_read_side(const grc_matrix *m, const grc_side *side, void *dst);
void grc_write_side(const grc_matrix *m, const grc_side *side, const void *src);

/* matrix_update.c: one update. All threads of a team call it; begins and ends with a barrier. */
void grc_update_matrix(int optimizer, const grc_matrix *m, const grc_room *room, const grc_opt_args *args,
                       grc_team *team, int t, int count);
void grc_muon(const grc_matrix *m, const grc_room *room, const grc_opt_args *args, grc_team *team, int t, int count);
void grc_soap(const grc_matrix *m, const grc_room *room, const grc_opt_args *args, grc_team *team, int t, int count);

#endif
