"""The matrix product: its bits by the numerics contract, and its accuracy for long sums."""

import itertools

import numpy as np
import pytest
from gradcore import _core
from oracle import exact
from support import cases, raw

ROWS = (1, 2, 3, 5, 6, 7, 13, 14, 15, 28, 29, 113)


def operands(m, n, k, dtype, make=cases.normal):
    return make((m, k), dtype, "a", m, k), make((k, n), dtype, "b", k, n), cases.normal(n, dtype, "bias", n)


@pytest.mark.parametrize("k", cases.CHAIN_SIZES)
@pytest.mark.quick
def test_a_product_is_chains_of_fma_in_blocks_of_256(isa, dtype, k):
    a, b, bias = operands(5, 48, k, dtype)
    kernels = raw.Kernels(isa, dtype)
    assert exact.same_bits(kernels.product(a, b), exact.gemm(a, b))
    assert exact.same_bits(kernels.product(a, b, bias), exact.gemm(a, b, bias))


@pytest.mark.parametrize("m", ROWS)
def test_the_tile_leaves_no_trace(isa, dtype, m):
    """Rows in a tile of any height, columns in any panel, from weights as rows or as packed panels."""
    kernels = raw.Kernels(isa, dtype)
    a, b, bias = operands(m, 5 * kernels.panel, 300, dtype)
    whole = kernels.product(a, b, bias)
    assert exact.same_bits(kernels.product(a, b, bias, panels=True), whole)
    assert exact.same_bits(np.concatenate([kernels.product(a[i : i + 1], b, bias) for i in range(m)]), whole)
    for panel in range(5):
        part = slice(panel * kernels.panel, (panel + 1) * kernels.panel)
        columns = kernels.product(a, np.ascontiguousarray(b[:, part]), np.ascontiguousarray(bias[part]))
        assert exact.same_bits(columns, np.ascontiguousarray(whole[:, part]))


@pytest.mark.parametrize("layout", [cases.fortran, cases.row_strided, cases.column_strided, cases.padded,
                                    cases.reversed_rows, cases.off_by_one_element])  # fmt: skip
def test_strides_of_a_leave_no_trace(isa, dtype, layout):
    kernels = raw.Kernels(isa, dtype)
    a, b, bias = operands(17, 2 * kernels.panel, 31, dtype)
    assert exact.same_bits(kernels.product(layout(a), b, bias), kernels.product(a, b, bias))


@pytest.mark.quick
def test_instruction_sets_agree(dtype):
    a, b, bias = operands(37, 64, 700, dtype)
    products = [raw.Kernels(isa, dtype).product(a, b, bias) for isa in _core.names("isa")]
    assert all(exact.same_bits(product, products[0]) for product in products)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (7, 9, 11), (64, 33, 257), (129, 200, 64)])
def test_the_public_product_has_the_same_bits_for_any_threads(dtype, m, n, k):
    a, b, bias = operands(m, n, k, dtype)
    want = exact.gemm(a, b, bias)
    for isa, threads in itertools.product(_core.names("isa"), (1, 2, 3, 5, 8)):
        assert exact.same_bits(_core.gemm(a, b, bias, None, threads, isa), want), (isa, threads)


@pytest.mark.parametrize("layout", [cases.fortran, cases.row_strided, cases.column_strided, cases.padded,
                                    cases.reversed_rows, cases.read_only])  # fmt: skip
def test_the_public_product_takes_strided_operands(dtype, layout):
    a, b, bias = operands(19, 21, 23, dtype)
    want = _core.gemm(a, b, bias, None)
    assert exact.same_bits(_core.gemm(layout(a), layout(b), bias, None), want)


def test_the_public_product_fills_out(dtype):
    a, b, _ = operands(19, 21, 23, dtype)
    out = np.full((19, 21), np.nan, dtype)
    assert _core.gemm(a, b, None, out) is out
    assert exact.same_bits(out, _core.gemm(a, b, None, None))


@pytest.mark.parametrize("make", [cases.normal, cases.positive])
@pytest.mark.parametrize("k", [1, 10, 100, 1000, 4096])
def test_error_ratio_is_at_most_eight(isa, dtype, make, k):
    """|C - C64| / (u |A||B|): 4096 additions of one sign in one chain would give several hundred."""
    a, b, _ = operands(9, 32, k, dtype, make)
    wide = np.float64 if dtype == "float32" else np.longdouble
    true = a.astype(wide) @ b.astype(wide)
    size = np.abs(a).astype(wide) @ np.abs(b).astype(wide)
    ratio = np.abs(raw.Kernels(isa, dtype).product(a, b) - true) / (cases.unit(dtype) * size)
    assert ratio.max() <= 8


def test_nan_and_infinity_reach_every_element_that_they_touch(isa, dtype):
    kernels = raw.Kernels(isa, dtype)
    a, b, _ = operands(7, 2 * kernels.panel, 40, dtype)
    a[3, 5], b[7, 9] = np.nan, np.inf
    got = kernels.product(a, b)
    assert np.isnan(got[3]).all()
    others = np.delete(got, 3, axis=0)
    assert np.isinf(others[:, 9]).all()
    assert np.isfinite(np.delete(others, 9, axis=1)).all()


def test_denormals_are_kept(isa, dtype):
    kernels = raw.Kernels(isa, dtype)
    tiny = np.finfo(dtype).smallest_subnormal
    a = np.full((3, 4), tiny, dtype)
    b = np.ones((4, kernels.panel), dtype)
    assert exact.same_bits(kernels.product(a, b), np.full((3, kernels.panel), 4 * tiny, dtype))
