/* Orthonormal rows by Householder reflections in blocks, and random orthogonal matrices: those of a normal one.
 *
 * a (count, length), count <= length, holds independent rows; a = L Q with L lower triangular of positive
 * diagonal, and Q replaces a. A block of reflections H_1 ... H_s, their vectors the rows of V with
 * |v|^2 = 2, is I - V' T V with T upper triangular (Schreiber and Van Loan, "A Storage-Efficient WY
 * Representation", SIAM J. Sci. Stat. Comput. 10, 1989), so nearly all the work is products by the engine's
 * own kernel: the same bits on every instruction set, and, as threads share rows, for any number of them.
 */
#include <math.h>
#include <string.h>

#include "../kernels/instruction_sets.h"
#include "../network/draws.h"
#include "orthogonal.h"

#define BLOCK GRC_ORTHOGONAL_BLOCK /* reflections applied at a time to the rows below */
#define INNER 16                   /* within a block */
#define TILE GRC_ORTHOGONAL_TILE   /* rows, and */
#define STRIP GRC_ORTHOGONAL_STRIP /* columns of a product that is subtracted at a time */

typedef grc_orthogonal orthogonal;

/* Rows [first, end): row k from column k on becomes the vector of the reflection that clears it behind k. */
static void reflect_rows(orthogonal *o, size_t first, size_t end)
{
    for (size_t k = first; k < end; k++) {
        const size_t n = o->length - k;
        double *v = o->a + k * o->ld + k;
        const double norm = sqrt(grc_dot_lanes(n, v, v));
        o->head[k] = v[0] < 0 ? 1 : -1;
        v[0] -= o->head[k] * norm;
        const double square = grc_dot_lanes(n, v, v), factor = square > 0 ? sqrt(2 / square) : 0;
        for (size_t i = 0; i < n; i++)
            v[i] *= factor;
        for (size_t j = k + 1; j < end; j++) {
            double *x = o->a + j * o->ld + k;
            const double along = grc_dot_lanes(n, v, x);
            for (size_t i = 0; i < n; i++)
                x[i] -= along * v[i];
        }
    }
}

/* C (m, n) = A (m, k) B (k, n), all row-major; n counts whole panels. */
static void product(const grc_kernels *kernels, size_t m, size_t n, size_t k, const double *a, size_t lda,
                    const double *b, size_t ldb, double *c, size_t ldc)
{
    const ptrdiff_t panel = (ptrdiff_t)kernels->panel;
    const grc_gemm g = {.m = m,
                        .n = n,
                        .k = k,
                        .a = a,
                        .a_row = (ptrdiff_t)lda,
                        .a_col = 1,
                        .b = b,
                        .b_row = (ptrdiff_t)ldb,
                        .b_panel = panel,
                        .c = c,
                        .c_row = (ptrdiff_t)ldc,
                        .c_panel = panel,
                        .init = NULL};
    kernels->gemm(&g);
}

/* V, V' and T V of the reflections in rows [first, first + size) of a; T' V if backwards. */
static void prepare(orthogonal *o, size_t first, size_t size, int backwards)
{
    const size_t padded = grc_round_up(size, o->k->panel), cols = o->ld - first;
    memset(o->vt, 0, cols * BLOCK * sizeof *o->vt);
    for (size_t i = 0; i < size; i++) {
        double *v = o->v + i * o->ld;
        memset(v, 0, i * sizeof *v);
        memcpy(v + i, o->a + (first + i) * o->ld + first + i, (cols - i) * sizeof *v);
        for (size_t j = i; j < cols; j++)
            o->vt[j * BLOCK + i] = v[j];
    }
    product(o->k, size, padded, cols, o->v, o->ld, o->vt, BLOCK, o->gram, BLOCK);
    memset(o->t, 0, BLOCK * BLOCK * sizeof *o->t);
    for (size_t j = 0; j < size; j++) { /* column j of T: -T (V v_j), and 1 */
        for (size_t i = 0; i < j; i++) {
            double sum = 0;
            for (size_t p = i; p < j; p++)
                sum += (backwards ? o->t[p * BLOCK + i] : o->t[i * BLOCK + p]) * o->gram[p * BLOCK + j];
            o->t[backwards ? j * BLOCK + i : i * BLOCK + j] = -sum;
        }
        o->t[j * BLOCK + j] = 1;
    }
    product(o->k, size, cols, size, o->t, BLOCK, o->v, o->ld, o->tv, o->ld);
}

/* x -= (x V') (T V) for rows [first, end) of a from column `column` on, the prepared block being of `size`. */
static void apply(orthogonal *o, size_t first, size_t end, size_t column, size_t size, int thread)
{
    const size_t padded = grc_round_up(size, o->k->panel), cols = o->ld - column;
    double *w = o->tiles + (size_t)thread * TILE * (BLOCK + STRIP), *change = w + TILE * BLOCK;
    for (size_t row = first; row < end; row += TILE) {
        const size_t rows = grc_min(TILE, end - row);
        double *x = o->a + row * o->ld + column;
        product(o->k, rows, padded, cols, x, o->ld, o->vt, BLOCK, w, BLOCK);
        for (size_t c = 0; c < cols; c += STRIP) {
            const size_t n = grc_min(STRIP, cols - c);
            product(o->k, rows, n, size, w, BLOCK, o->tv + c, o->ld, change, STRIP);
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < n; j++)
                    x[r * o->ld + c + j] -= change[r * STRIP + j];
        }
    }
}

/* Rows [first, end) by inner blocks, alone. */
static void factor_block(orthogonal *o, size_t first, size_t end)
{
    for (size_t k = first; k < end; k += INNER) {
        const size_t next = grc_min(k + INNER, end);
        reflect_rows(o, k, next);
        if (next < end) {
            prepare(o, k, next - k, 0);
            apply(o, next, end, k, next - k, 0);
        }
    }
}

/* Thread 0 does what is sequential; the rows of every product are shared. */
void grc_orthonormalise(grc_orthogonal *o, grc_team *team, int t, int count)
{
    size_t row, end;
    grc_barrier(team);
    for (size_t first = 0; first < o->count; first += BLOCK) {
        const size_t next = grc_min(first + BLOCK, o->count);
        if (t == 0) {
            factor_block(o, first, next);
            prepare(o, first, next - first, 0);
        }
        grc_barrier(team);
        grc_rows_of(o->count - next, 1, t, count, &row, &end);
        apply(o, next + row, next + end, first, next - first, t);
        grc_barrier(team);
    }
    /* Q: the reflections in reverse, from the unit rows. */
    for (size_t first = (o->count - 1) / BLOCK * BLOCK + BLOCK; first > 0;) {
        first -= BLOCK;
        const size_t next = grc_min(first + BLOCK, o->count);
        if (t == 0) {
            prepare(o, first, next - first, 1);
            for (size_t k = first; k < next; k++) {
                memset(o->a + k * o->ld, 0, o->ld * sizeof *o->a);
                o->a[k * o->ld + k] = 1;
            }
        }
        grc_barrier(team);
        grc_rows_of(o->count - first, 1, t, count, &row, &end);
        apply(o, first + row, first + end, first, next - first, t);
        grc_barrier(team);
    }
}

void grc_orthogonal_lay_out(grc_orthogonal *o, int threads, grc_arena *arena)
{
    o->a = grc_take(arena, o->count * o->ld, sizeof(double));
    o->head = grc_take(arena, o->count, sizeof(double));
    o->v = grc_take(arena, BLOCK * o->ld, sizeof(double));
    o->vt = grc_take(arena, BLOCK * o->ld, sizeof(double));
    o->tv = grc_take(arena, BLOCK * o->ld, sizeof(double));
    o->t = grc_take(arena, BLOCK * BLOCK, sizeof(double));
    o->gram = grc_take(arena, BLOCK * BLOCK, sizeof(double));
    o->tiles = grc_take(arena, (size_t)threads * TILE * (BLOCK + STRIP), sizeof(double));
}

typedef struct filling {
    grc_orthogonal *o;
    uint64_t seed;
    uint32_t stream;
} filling;
static void fill(void *context, grc_team *team, int t, int count)
{
    const filling *f = context;
    const grc_orthogonal *o = f->o;
    size_t row, end;
    grc_rows_of(o->count, 1, t, count, &row, &end);
    for (; row < end; row++)
        for (size_t j = 0; j < o->length; j++)
            o->a[row * o->ld + j] = grc_normal(f->seed, f->stream, 0, row * o->length + j);
    grc_orthonormalise(f->o, team, t, count);
}

grc_status grc_fill_orthogonal(uint64_t seed, uint32_t stream, size_t rows, size_t cols, double gain, double *out,
                               gradcore_error *error)
{
    const int turned = rows > cols;
    orthogonal o = {
        .k = grc_kernels_find(NULL, GRC_F64, error), .count = turned ? cols : rows, .length = turned ? rows : cols};
    if (!o.k)
        return GRADCORE_INVALID;
    o.ld = grc_round_up(o.length, o.k->panel);
    const double work = 4.0 * (double)o.count * (double)o.count * (double)o.length;
    const int threads = work < 1e8 ? 1 : grc_threads_default();
    grc_arena arena = {NULL, 0, 0};
    for (int pass = 0; pass < 2; pass++) {
        arena.used = 0;
        grc_orthogonal_lay_out(&o, threads, &arena);
        if (pass == 0 && !(arena.base = arena.overflow ? NULL : grc_allocate(&grc_default_allocator, arena.used)))
            return grc_fail(error, GRADCORE_NO_MEMORY, "fill: expected %zu bytes to work in, got none", arena.used);
    }
    filling f = {&o, seed, stream};
    grc_team_lend(threads, 0, &fill, &f);
    for (size_t i = 0; i < o.count; i++)
        for (size_t j = 0; j < o.length; j++)
            out[turned ? j * cols + i : i * cols + j] = gain * o.head[i] * o.a[i * o.ld + j];
    grc_release(&grc_default_allocator, arena.base, arena.used);
    return GRADCORE_OK;
}
