/* SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., "SOAP: Improving and Stabilizing Shampoo
 * using Adam", 2024). The first moment is kept in that basis and rotated when the basis changes. */
#include <math.h>

#include "matrix.h"

enum { BETA1, BETA2, EPS, SHAMPOO_BETA, FREQUENCY };

typedef struct work { /* of one thread */
    const grc_matrix *m;
    const grc_room *room;
    const grc_opt_args *a;
    grc_team *team;
    int t, count;
    size_t cols;      /* padded */
    size_t row, end;  /* own rows */
    size_t from, to;  /* own elements of the panels */
} work;

/* Own rows of out = L' x R, or back, L x R': x and out panels, L and R the bases. Nobody may change x meanwhile. */
static void project(const work *w, const void *x, void *out, int back)
{
    const grc_matrix *m = w->m;
    const grc_side *left = &m->side[GRC_ROWS], *right = &m->side[GRC_COLS];
    const ptrdiff_t pw = (ptrdiff_t)m->k->panel, cols = (ptrdiff_t)w->cols, down = pw * (ptrdiff_t)m->rows;
    void *half = grc_element(m, w->room->plain[0], w->row * w->cols);
    if (w->row == w->end)
        return;
    if (left->order) {
        const void *basis = back ? left->basis : left->turned;
        const grc_gemm g = {.m = w->end - w->row,
                            .n = w->cols,
                            .k = m->rows,
                            .a = grc_element(m, basis, w->row * left->ld),
                            .a_row = (ptrdiff_t)left->ld,
                            .a_col = 1,
                            .b = x,
                            .b_row = pw,
                            .b_panel = down,
                            .c = half,
                            .c_row = cols,
                            .c_panel = pw};
        m->k->gemm(&g);
    } else
        grc_unpack_rows(m, x, w->room->plain[0], w->row, w->end);
    if (right->order) {
        const grc_gemm g = {.m = w->end - w->row,
                            .n = w->cols,
                            .k = m->cols,
                            .a = half,
                            .a_row = cols,
                            .a_col = 1,
                            .b = back ? right->turned : right->basis,
                            .b_row = (ptrdiff_t)right->ld,
                            .b_panel = pw,
                            .c = grc_element(m, out, w->row * (size_t)pw),
                            .c_row = pw,
                            .c_panel = down};
        m->k->gemm(&g);
    } else
        grc_pack_rows(m, w->room->plain[0], out, w->row, w->end);
}

/* Own rows of gram = beta gram + (1 - beta) seen seen', and of the other side's with seen' seen. `seen` and its
 * transpose are panels, `plain` is seen by rows. */
static void learn(const work *w, const void *seen, const void *transposed, const void *plain)
{
    const grc_matrix *m = w->m;
    const ptrdiff_t pw = (ptrdiff_t)m->k->panel, cols = (ptrdiff_t)w->cols;
    void *strip = grc_element(m, w->room->strips, (size_t)w->t * GRC_STRIP * w->room->orthogonal.ld);
    for (int i = 0; i < 2; i++) {
        const grc_side *side = &m->side[i];
        const size_t depth = i == GRC_ROWS ? m->cols : m->rows;
        size_t row, end;
        grc_rows_of(side->order, 1, w->t, w->count, &row, &end);
        for (size_t rows; row < end; row += rows) {
            rows = grc_min(GRC_STRIP, end - row);
            const grc_gemm g = {.m = rows,
                                .n = side->ld,
                                .k = depth,
                                .a = grc_element(m, plain, i == GRC_ROWS ? row * w->cols : row),
                                .a_row = i == GRC_ROWS ? cols : 1,
                                .a_col = i == GRC_ROWS ? 1 : cols,
                                .b = i == GRC_ROWS ? transposed : seen,
                                .b_row = pw,
                                .b_panel = pw * (ptrdiff_t)depth,
                                .c = strip,
                                .c_row = (ptrdiff_t)side->ld,
                                .c_panel = pw};
            m->k->gemm(&g);
            m->k->blend(rows * side->ld, 1.0 - w->a->p[SHAMPOO_BETA], strip,
                        grc_element(m, side->gram, row * side->ld));
        }
    }
}

static double get(const grc_matrix *m, const void *array, size_t i)
{
    return m->item == sizeof(float) ? (double)((const float *)array)[i] : ((const double *)array)[i];
}
static void set(const grc_matrix *m, void *array, size_t i, double value)
{
    if (m->item == sizeof(float))
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

/* basis = the rows of `vectors` (order, ld of doubles) as columns. Begins and ends with a barrier. */
static void adopt(const work *w, const grc_side *side, const double *vectors, size_t ld)
{
    const grc_matrix *m = w->m;
    size_t row, end;
    grc_barrier(w->team);
    grc_rows_of(side->order, 1, w->t, w->count, &row, &end);
    for (size_t i = row; i < end; i++)
        for (size_t j = 0; j < side->order; j++) {
            set(m, side->turned, i * side->ld + j, vectors[i * ld + j]);
            set(m, side->basis, i * side->ld + j, vectors[j * ld + i]);
        }
    grc_barrier(w->team);
}

/* The first bases: eigenvectors, those of the largest eigenvalues first. */
static void begin_side(const work *w, const grc_side *side)
{
    const grc_matrix *m = w->m;
    const grc_room *room = w->room;
    const size_t n = side->order, ld = grc_round_up(n, room->orthogonal.k->panel);
    size_t row, end;
    grc_rows_of(n, 1, w->t, w->count, &row, &end);
    for (size_t i = row; i < end; i++)
        for (size_t j = 0; j < n; j++)
            room->orthogonal.a[i * ld + j] = get(m, side->gram, i * side->ld + j);
    grc_eigenvectors(n, ld, room->orthogonal.a, room->z, room->work, room->order, w->team, w->t, w->count);
    adopt(w, side, room->z, ld);
}

/* order = the columns of gram times basis by their share of the gram matrix, b' (gram b), the largest first. */
static void sort_columns(const work *w, const grc_side *side, const void *product, size_t *order)
{
    const grc_matrix *m = w->m;
    double *estimate = w->room->estimates;
    const size_t n = side->order;
    size_t from, to;
    grc_rows_of(n, 8, w->t, w->count, &from, &to);
    for (size_t j = from; j < to; j++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += get(m, side->basis, i * side->ld + j) * get(m, product, i * side->ld + j);
        estimate[j] = sum;
    }
    grc_barrier(w->team);
    for (size_t i = 0; w->t == 0 && i < n; i++) {
        size_t j = i;
        for (; j > 0 && estimate[order[j - 1]] < estimate[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
    grc_barrier(w->team);
}

/* The next basis by one power iteration: orthonormal columns of gram times basis. Where the gram matrix says
 * nothing they are any, as they were. */
static void renew_side(const work *w, const grc_side *side, size_t *order)
{
    const grc_matrix *m = w->m;
    const grc_room *room = w->room;
    const ptrdiff_t pw = (ptrdiff_t)m->k->panel, ld = (ptrdiff_t)side->ld;
    const size_t n = side->order;
    void *product = side->turned; /* not needed until the new one is there */
    size_t row, end;
    grc_orthogonal o = room->orthogonal;
    o.count = o.length = n;
    o.ld = grc_round_up(n, o.k->panel);
    grc_rows_of(n, 1, w->t, w->count, &row, &end);
    const grc_gemm g = {.m = end - row,
                        .n = side->ld,
                        .k = n,
                        .a = grc_element(m, side->gram, row * side->ld),
                        .a_row = ld,
                        .a_col = 1,
                        .b = side->basis,
                        .b_row = ld,
                        .b_panel = pw,
                        .c = grc_element(m, product, row * side->ld),
                        .c_row = ld,
                        .c_panel = pw};
    if (end > row)
        m->k->gemm(&g);
    grc_barrier(w->team);
    sort_columns(w, side, product, order);
    for (size_t j = row; j < end; j++) {
        memset(o.a + j * o.ld, 0, o.ld * sizeof *o.a);
        for (size_t i = 0; i < n; i++)
            o.a[j * o.ld + i] = get(m, product, i * side->ld + order[j]);
    }
    grc_orthonormalise(&o, w->team, w->t, w->count);
    adopt(w, side, o.a, o.ld);
}

/* Own rows of the second moments follow their basis vectors. before: a copy of v. */
static void reorder(const work *w, const void *before, void *v, const size_t *rows, const size_t *cols)
{
    const grc_matrix *m = w->m;
    const size_t pw = m->k->panel;
    for (size_t i = w->row; i < w->end; i++)
        for (size_t j = 0; j < m->cols; j++) {
            const size_t c = m->side[GRC_COLS].order ? cols[j] : j, r = m->side[GRC_ROWS].order ? rows[i] : i;
            set(m, v, (j / pw * m->rows + i) * pw + j % pw, get(m, before, (c / pw * m->rows + r) * pw + c % pw));
        }
}

/* New bases, and the moments in them. */
static void renew(const work *w)
{
    const grc_matrix *m = w->m;
    void *plain = w->room->packed[1], *before = w->room->packed[2];
    size_t *order[2] = {w->room->order, w->room->order + w->room->orthogonal.count};
    project(w, m->slot[0], plain, 1);
    memcpy(grc_element(m, before, w->from), grc_element(m, m->slot[1], w->from), (w->to - w->from) * m->item);
    grc_barrier(w->team);
    for (int i = 0; i < 2; i++)
        if (m->side[i].order)
            renew_side(w, &m->side[i], order[i]);
    project(w, plain, m->slot[0], 0);
    reorder(w, before, m->slot[1], order[GRC_ROWS], order[GRC_COLS]);
    grc_barrier(w->team);
}

/* The first update only makes the bases. Later ones: x = L' g R, its moments m and v, and
 * w = (1 - lr decay)(w - lr L (m^ / (sqrt(v^) + eps)) R'); then the gram matrices learn g, and every FREQUENCY
 * updates their bases follow. */
void grc_soap(const grc_matrix *m, const grc_room *room, const grc_opt_args *a, grc_team *team, int t, int count)
{
    work w = {.m = m, .room = room, .a = a, .team = team, .t = t, .count = count, .cols = grc_padded(m, m->cols)};
    const grc_kernels *k = m->k;
    const size_t panels = w.cols / k->panel;
    const uint64_t frequency = (uint64_t)a->p[FREQUENCY];
    void *seen = room->packed[0], *x = room->packed[1], *step = room->packed[2], *plain = room->plain[1];
    size_t panel, last;
    grc_rows_of(m->rows, 1, t, count, &w.row, &w.end);
    grc_rows_of(m->rows * w.cols, k->panel, t, count, &w.from, &w.to);
    grc_rows_of(panels, 1, t, count, &panel, &last);
    const size_t own = w.to - w.from;

    grc_barrier(team);
    k->seen_gradient(own, grc_element(m, m->g, w.from), grc_element(m, seen, w.from), a);
    grc_barrier(team);
    if (a->step > 1) {
        project(&w, seen, x, 0);
        grc_barrier(team);
        k->soap_direction(own, grc_element(m, x, w.from), grc_element(m, m->slot[0], w.from),
                          grc_element(m, m->slot[1], w.from), a);
        grc_barrier(team);
        project(&w, x, step, 1);
        grc_barrier(team);
        void *live = grc_element(m, m->w, w.from);
        k->combine(own, -a->d[0], grc_element(m, step, w.from), 1, live);
        if (a->lr * a->weight_decay != 0)
            k->combine(own, 0, live, 1.0 - a->lr * a->weight_decay, live);
        grc_barrier(team);
    }
    grc_unpack_rows(m, seen, plain, w.row, w.end);
    if (last > panel)
        k->transpose(m->rows, m->cols, seen, 0, m->rows, panel, last - panel, x);
    grc_barrier(team);
    learn(&w, seen, x, plain);
    grc_barrier(team);
    for (int i = 0; i < 2 && a->step == 1; i++)
        if (m->side[i].order)
            begin_side(&w, &m->side[i]);
    if (a->step > 1 && frequency && (a->step - 1) % frequency == 0)
        renew(&w);
}
