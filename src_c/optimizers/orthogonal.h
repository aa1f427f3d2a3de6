/* Orthonormal rows, and the eigenvectors of symmetric matrices: in double, by a team. */
#ifndef GRC_ORTHOGONAL_H
#define GRC_ORTHOGONAL_H

#include "../base/sums.h"
#include "../base/team.h"
#include "../kernels/kernels.h"

enum { GRC_ORTHOGONAL_BLOCK = 64, GRC_ORTHOGONAL_TILE = 96, GRC_ORTHOGONAL_STRIP = 512 };

typedef struct grc_orthogonal {
    const grc_kernels *k;     /* of double */
    size_t count, length, ld; /* ld: length rounded up to whole panels, zeros behind */
    double *a;                /* (count, ld) */
    double *head;             /* (count): signs of L's diagonal */
    double *v, *vt, *tv;      /* (BLOCK, ld), (ld, BLOCK), (BLOCK, ld): V, V', T V or T' V */
    double *t, *gram;         /* (BLOCK, BLOCK) each */
    double *tiles;            /* for each thread w (TILE, BLOCK) and (TILE, STRIP) */
} grc_orthogonal;

/* Room for o->count rows of o->ld or fewer: an o with smaller ones may share it. */
void grc_orthogonal_lay_out(grc_orthogonal *o, int threads, grc_arena *arena);
/* The rows of a become orthonormal, in order, each up to its sign (times head it is that of Gram-Schmidt). Rows
 * that depend on those before become anything orthonormal. All threads call it; begins and ends with a barrier. */
void grc_orthonormalise(grc_orthogonal *o, grc_team *team, int t, int count);

/* eigenvectors.c. a (n, ld) symmetric, destroyed; row i of z (n, ld) = an eigenvector of the i-th largest eigenvalue.
 * work: 3 n and, for each thread, 2 n doubles; order: n. All threads call it; begins and ends with a barrier. */
void grc_eigenvectors(size_t n, size_t ld, double *a, double *z, double *work, size_t *order, grc_team *team, int t,
                      int count);

/* Sum of a[i] b[i] in eight lanes, so that compilers may vectorise it without changing a bit. */
static inline double grc_dot_lanes(size_t n, const double *a, const double *b)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += a[i + (size_t)j] * b[i + (size_t)j];
    for (size_t j = 0; i + j < n; j++)
        lane[j] += a[i + j] * b[i + j];
    return grc_fold_lanes(lane);
}

/* out (rows, cols) = gain * Q: orthonormal rows where rows <= cols, orthonormal columns where
 * rows >= cols; uniform over such matrices (the Q of a normal matrix, signs by the diagonal of its factor).
 * About 8/3 k^3 operations for a square of k. */
grc_status grc_fill_orthogonal(uint64_t seed, uint32_t stream, size_t rows, size_t cols, double gain, double *out,
                               gradcore_error *error);

#endif
