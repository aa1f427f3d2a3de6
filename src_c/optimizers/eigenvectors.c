/* Eigenvectors of symmetric matrices: to tridiagonal form by Householder reflections, then by implicit QL steps
 * with Wilkinson's shift (Golub and Van Loan, "Matrix Computations", 8.3; Bowdler, Martin, Reinsch and Wilkinson,
 * "The QR and QL Algorithms for Symmetric Matrices", 1968). Every sum has one order, so the bits do not
 * depend on how many threads share the rows. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "orthogonal.h"

enum { TRIES = 60 }; /* QL steps for one eigenvalue: two are usual, and NaN must end too */

/* Adds alpha x to y. */
static void add_times(size_t n, double alpha, const double *x, double *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

/* diagonal, beside (n - 1): Q' A Q with Q = H_0 ... H_(n-3); row k of a from k + 1 on becomes the vector of
 * H_k = I - v v', |v|^2 = 2. product (n) is scratch. */
static void make_tridiagonal(size_t n, size_t ld, double *a, double *diagonal, double *beside, double *product,
                             grc_team *team, int t, int count)
{
    for (size_t k = 0; k + 1 < n; k++) {
        double *v = a + k * ld + k + 1;
        const size_t m = n - k - 1;
        size_t row, end;
        if (t == 0) {
            const double norm = sqrt(grc_dot_lanes(m, v, v)), head = v[0] < 0 ? norm : -norm;
            diagonal[k] = a[k * ld + k];
            beside[k] = m == 1 ? v[0] : head;
            if (m > 1) {
                v[0] -= head;
                const double square = grc_dot_lanes(m, v, v), factor = square > 0 ? sqrt(2 / square) : 0;
                for (size_t i = 0; i < m; i++)
                    v[i] *= factor;
            }
        }
        if (m == 1)
            break;
        grc_barrier(team);
        grc_rows_of(m, 1, t, count, &row, &end);
        for (size_t i = row; i < end; i++)
            product[i] = grc_dot_lanes(m, a + (k + 1 + i) * ld + k + 1, v);
        grc_barrier(team);
        const double half = grc_dot_lanes(m, v, product) / 2;
        for (size_t i = row; i < end; i++) { /* B - v w' - w v', w = product - half v; symmetric to the bit */
            double *x = a + (k + 1 + i) * ld + k + 1;
            const double w = product[i] - half * v[i];
            for (size_t j = 0; j < m; j++)
                x[j] -= v[i] * (product[j] - half * v[j]) + w * v[j];
        }
        grc_barrier(team);
    }
    if (t == 0)
        diagonal[n - 1] = a[(n - 1) * ld + n - 1];
}

/* Rows [row, end) of z = those of Q', of the reflections in a. */
static void form_rows(size_t n, size_t ld, const double *a, double *z, size_t row, size_t end)
{
    for (size_t j = row; j < end; j++) {
        double *x = z + j * ld;
        memset(x, 0, ld * sizeof *x);
        x[j] = 1;
        for (size_t k = n > 2 ? grc_min(n - 2, j) : 0; k-- > 0;) {
            const double *v = a + k * ld + k + 1;
            add_times(n - k - 1, -grc_dot_lanes(n - k - 1, v, x + k + 1), v, x + k + 1);
        }
    }
}

/* Rows i and i + 1 of z, columns [first, end), by the rotation (c, s). */
static void rotate(size_t ld, double *z, size_t i, double c, double s, size_t first, size_t end)
{
    double *x = z + i * ld, *y = x + ld;
    for (size_t j = first; j < end; j++) {
        const double low = x[j], high = y[j];
        y[j] = s * low + c * high;
        x[j] = c * low - s * high;
    }
}

/* One QL step on the block [low, high] of the tridiagonal matrix, with its rotations of z. */
static void step_down(double *d, double *e, size_t low, size_t high, size_t ld, double *z, size_t first, size_t end)
{
    const double slope = (d[low + 1] - d[low]) / (2 * e[low]), length = sqrt(slope * slope + 1);
    double bulge = d[high] - d[low] + e[low] / (slope + (slope < 0 ? -length : length));
    double s = 1, c = 1, shift = 0;
    for (size_t i = high; i-- > low;) {
        const double f = s * e[i], b = c * e[i], r = sqrt(f * f + bulge * bulge);
        if (i + 1 < high)
            e[i + 1] = r;
        if (!(r > 0)) { /* it has come apart: go on with the parts */
            d[i + 1] -= shift;
            return;
        }
        s = f / r;
        c = bulge / r;
        const double g = d[i + 1] - shift, w = (d[i] - g) * s + 2 * c * b;
        shift = s * w;
        d[i + 1] = g + shift;
        bulge = c * w - b;
        rotate(ld, z, i, c, s, first, end);
    }
    d[low] -= shift;
    e[low] = bulge;
}

/* d (n), e (n - 1): the tridiagonal matrix, of elements up to 1 or so; d becomes the eigenvalues. */
static void diagonalise(size_t n, double *d, double *e, size_t ld, double *z, size_t first, size_t end)
{
    for (size_t low = 0; low + 1 < n; low++)
        for (int tries = 0; tries < TRIES; tries++) {
            size_t high = low;
            while (high + 1 < n && fabs(e[high]) > DBL_EPSILON / 2 * (fabs(d[high]) + fabs(d[high + 1])) + DBL_MIN)
                high++;
            if (high == low)
                break;
            if (high + 1 < n)
                e[high] = 0;
            step_down(d, e, low, high, ld, z, first, end);
        }
}

void grc_eigenvectors(size_t n, size_t ld, double *a, double *z, double *work, size_t *order, grc_team *team, int t,
                      int count)
{
    double *diagonal = work, *beside = work + n, *product = work + 2 * n, *own = work + 3 * n + (size_t)t * 2 * n;
    double largest = 0;
    size_t row, end;
    grc_barrier(team);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            largest = fmax(largest, fabs(a[i * ld + j]));
    grc_barrier(team);
    grc_rows_of(n, 1, t, count, &row, &end);
    for (size_t i = row; i < end; i++)
        for (size_t j = 0; largest > 0 && j < n; j++)
            a[i * ld + j] /= largest; /* squares neither overflow nor vanish */
    grc_barrier(team);
    make_tridiagonal(n, ld, a, diagonal, beside, product, team, t, count);
    form_rows(n, ld, a, z, row, end);
    grc_barrier(team);
    memcpy(own, diagonal, n * sizeof *own); /* every thread takes all the steps, with its columns of z */
    memcpy(own + n, beside, (n - 1) * sizeof *own);
    grc_rows_of(n, 8, t, count, &row, &end);
    diagonalise(n, own, own + n, ld, z, row, end);
    if (t == 0) {
        for (size_t i = 0; i < n; i++) {
            size_t j = i;
            for (; j > 0 && own[order[j - 1]] < own[i]; j--)
                order[j] = order[j - 1];
            order[j] = i;
        }
    }
    grc_barrier(team);
    for (size_t i = 0; i < n; i++) { /* a is free by now: the rows in order, by way of it */
        const double *from = z + order[i] * ld;
        for (size_t j = row; j < end; j++)
            a[i * ld + j] = from[j];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = row; j < end; j++)
            z[i * ld + j] = a[i * ld + j];
    grc_barrier(team);
}
