/* Muon: a matrix moves along its momentum made orthogonal by Newton-Schulz iterations (Jordan, "Muon: An optimizer
 * for hidden layers in neural networks", 2024). All products are the engine's own; rows are shared by threads. */
#include <math.h>

#include "matrix.h"
#include "scalars.h"

/* Rows [row, end) of C (m, n) = A (m, k) B (k, n), row-major. */
static void product(const grc_matrix *m, size_t row, size_t end, size_t n, size_t k, const void *a, size_t lda,
                    const void *b, size_t ldb, void *c, size_t ldc)
{
    const ptrdiff_t panel = (ptrdiff_t)m->k->panel;
    const grc_gemm g = {.m = end - row,
                        .n = grc_padded(m, n),
                        .k = k,
                        .a = grc_element(m, a, row * lda),
                        .a_row = (ptrdiff_t)lda,
                        .a_col = 1,
                        .b = b,
                        .b_row = (ptrdiff_t)ldb,
                        .b_panel = panel,
                        .c = grc_element(m, c, row * ldc),
                        .c_row = (ptrdiff_t)ldc,
                        .c_panel = panel};
    if (end > row)
        m->k->gemm(&g);
}

/* What a step of `rate` is multiplied by, so that it means the same in matrices of all shapes. */
static double scale_of(const grc_matrix *m, const grc_opt_args *a)
{
    const double in = (double)m->fan_in, out = (double)m->fan_out, rms = a->p[GRC_MUON_RMS];
    if (rms > 0)
        return rms * sqrt(fmax(in, out));
    return sqrt(a->flags & GRADCORE_OPTIMIZER_UNCLAMPED ? out / in : fmax(1, out / in));
}

/* 1 / |x|, kept from infinity. */
static double normaliser(const grc_opt_args *a, double norm)
{
    const double eps = a->p[GRC_MUON_EPS];
    if (a->flags & GRADCORE_OPTIMIZER_EPS_INSIDE)
        return 1 / fmax(norm, eps);
    /* Keras' momentum is a sum, 1 / (1 - momentum) times this mean: so is what its eps is added to. */
    return 1 / (norm + (a->flags & GRADCORE_OPTIMIZER_EPS_HAT ? eps * (1 - a->p[0]) : eps));
}

/* The shorter side of x counts its rows: x (less, more), its transpose y. On return x has changed places with z. */
static void iterate(const grc_matrix *m, const grc_room *room, const grc_opt_args *a, size_t less, size_t more,
                    void **x, void **z, grc_team *team, int t, int count)
{
    const grc_kernels *k = m->k;
    const size_t ld = grc_padded(m, more), small = grc_padded(m, less);
    void *y = room->plain[1], *gram = room->gram[0], *polynomial = room->gram[1];
    size_t row, end;
    grc_rows_of(less, 1, t, count, &row, &end);
    for (int step = 0; step < (int)fmin(a->p[GRC_MUON_STEPS], 1000); step++) {
        product(m, row, end, less, more, *x, ld, y, small, gram, small);
        grc_barrier(team);
        product(m, row, end, less, less, gram, small, gram, small, polynomial, small);
        k->combine((end - row) * small, a->p[2], grc_element(m, gram, row * small), a->p[3],
                   grc_element(m, polynomial, row * small));
        product(m, row, end, more, less, polynomial, small, *x, ld, *z, ld);
        k->combine((end - row) * ld, a->p[1], grc_element(m, *x, row * ld), 1, grc_element(m, *z, row * ld));
        k->turn(end - row, more, grc_element(m, *z, row * ld), ld, grc_element(m, y, row), small);
        void *old = *x;
        *x = *z;
        *z = old;
        grc_barrier(team);
    }
}

/* m = momentum m + (1 - momentum) g, or with Nesterov a mix of m and g; x = m / |m|;
 * steps times x = (a + b xx' + c (xx')^2) x; w = (1 - lr decay) w - lr scale x. */
void grc_muon(const grc_matrix *m, const grc_room *room, const grc_opt_args *a, grc_team *team, int t, int count)
{
    const grc_kernels *k = m->k;
    const size_t cols = grc_padded(m, m->cols), rows = grc_padded(m, m->rows), size = m->rows * cols;
    const int stands = m->rows > m->cols;
    const size_t less = stands ? m->cols : m->rows, more = stands ? m->rows : m->cols;
    void *direction = room->packed[0], *x = room->plain[0], *y = room->plain[1], *z = room->plain[2];
    void *upright = stands ? y : x, *turned = stands ? x : y; /* (rows, cols) and its transpose */
    double mix[2];
    size_t row, end, from, to;

    grc_barrier(team);
    grc_muon_mix(a, mix);
    grc_rows_of(size, k->panel, t, count, &from, &to);
    k->muon_direction(to - from, grc_element(m, m->g, from), grc_element(m, m->slot[0], from),
                      grc_element(m, direction, from), a, mix);
    grc_barrier(team);
    grc_rows_of(m->rows, 1, t, count, &row, &end);
    grc_unpack_rows(m, direction, upright, row, end);
    k->turn(end - row, m->cols, grc_element(m, upright, row * cols), cols, grc_element(m, turned, row), rows);
    grc_barrier(team);

    const size_t ld = grc_padded(m, more), small = grc_padded(m, less);
    grc_rows_of(less, 1, t, count, &row, &end);
    for (size_t i = row; i < end; i++) {
        memset(grc_element(m, x, i * ld + more), 0, (ld - more) * m->item); /* another matrix may have been here */
        room->sums[i] = k->sum_squares(ld, grc_element(m, x, i * ld));
    }
    grc_barrier(team);
    const double factor = normaliser(a, sqrt(grc_sum(less, room->sums)));
    k->combine((end - row) * ld, 0, grc_element(m, x, row * ld), factor, grc_element(m, x, row * ld));
    grc_rows_of(more, 1, t, count, &row, &end);
    for (size_t i = row; i < end; i++)
        memset(grc_element(m, y, i * small + less), 0, (small - less) * m->item);
    k->combine((end - row) * small, 0, grc_element(m, y, row * small), factor, grc_element(m, y, row * small));
    grc_barrier(team);
    iterate(m, room, a, less, more, &x, &z, team, t, count);

    grc_rows_of(m->rows, 1, t, count, &row, &end);
    grc_pack_rows(m, stands ? y : x, direction, row, end);
    grc_barrier(team);
    k->combine(to - from, -a->lr * scale_of(m, a), grc_element(m, direction, from), 1.0 - a->lr * a->weight_decay,
               grc_element(m, m->w, from));
    grc_barrier(team);
}
