/* The contracts of products. *Panels* are blocks of PW columns, see kernels.h; a *chain* is a run of fused
 * multiply-adds that begins at a given number. */
#ifndef GRC_KERNELS_GEMM_H
#define GRC_KERNELS_GEMM_H

#include "act.h"

#define GRC_KC 256 /* products are chains of at most GRC_KC fused multiply-adds: part of the numerics */
#define GRC_NARROW 4 /* outputs that fill at most a GRC_NARROW-th of a panel are narrow */

/* C (m, n) = init + A (m, k) · B (k, n), n a multiple of PW.
 * Element (i, j): block 0 is the chain acc = fma(a[i][p], b[p][j], acc) over p = 0..KC-1 from
 * acc = init[j] (0 where init is NULL); every later block of KC starts a chain at 0, and its result
 * is added to the sum so far. Nothing else about it is free.
 * A is element-strided both ways; B and C are panels of PW columns: element (p, j) of B lies at
 * b + (j / PW) * b_panel + p * b_row + j % PW. So weights (packed panels: b_row = PW,
 * b_panel = PW * k) and row-major matrices (b_row = ld, b_panel = PW) both fit. */
typedef struct grc_gemm {
    size_t m, n, k;
    const void *a;
    ptrdiff_t a_row, a_col; /* elements between rows (m) and between columns (k) */
    const void *b;
    ptrdiff_t b_row, b_panel;
    void *c;
    ptrdiff_t c_row, c_panel;
    const void *init; /* n elements or NULL */
} grc_gemm;
typedef void grc_gemm_fn(const grc_gemm *g);

/* C (m, n) = f(init + A (m, k) · B (k, n)) for any n, by the chains of gemm; c_row >= n. A and B are
 * element-strided both ways, or B is panels as `pack` makes them: those of n columns of a B with k rows. act is NULL
 * where f is the identity. Where product_packs(g) is not 0, scratch is 64-byte aligned memory, of GRC_A_BYTES and
 * behind them GRC_B_BYTES, or what min(k, GRC_KC) rows of B's panels take if that is less; what was in it does not
 * matter. C may not overlap anything else. */
typedef struct grc_product {
    size_t m, n, k;
    const void *a;
    ptrdiff_t a_row, a_col;
    const void *b;
    ptrdiff_t b_row, b_col;
    int packed;
    void *c;
    ptrdiff_t c_row;
    const void *init; /* n elements or NULL */
    grc_act_forward_fn *act;
    double alpha;
    void *scratch;
} grc_product;
#define GRC_A_BYTES ((size_t)288 << 10)
#define GRC_B_BYTES ((size_t)1 << 20)

/* (rows, cols) row-major with ld <-> panels [ceil(cols / PW)][rows][PW], zero-filled at the end. */
typedef void grc_pack_fn(size_t rows, size_t cols, const void *x, size_t ld, void *panels);
typedef void grc_unpack_fn(size_t rows, size_t cols, const void *panels, void *x, size_t ld);

/* Panels of W (rows, cols) -> the part of the panels of its transpose (cols, rows) that comes from
 * W's rows [row, row + row_count) and panels [panel, panel + panel_count). row is a multiple of PW;
 * so is row_count unless it reaches the end. Element (i, j) of W goes to
 * out[(i / PW) * cols * PW + j * PW + i % PW]; rows past the end of W are written as 0. */
typedef void grc_transpose_fn(size_t rows, size_t cols, const void *panels, size_t row, size_t row_count, size_t panel,
                              size_t panel_count, void *out);

/* Y (rows, n) = init + X (rows, k) · W, by the chains of gemm, for n <= PW / 4: init is bias (n) or, where
 * NULL, 0; w holds the panels of W's transpose, [ceil(k / PW)][n][PW]. ldy >= PW, and columns n..PW-1 of
 * Y are set to 0. */
typedef void grc_narrow_fn(size_t rows, size_t k, size_t n, const void *x, size_t ldx, const void *w, const void *bias,
                           void *y, size_t ldy);

typedef void grc_product_fn(const grc_product *g);
typedef int grc_product_packs_fn(const grc_product *g);

/* All of B of such a product as panels, whatever its strides. */
typedef void grc_pack_any_fn(const grc_product *g, void *panels);

#endif
