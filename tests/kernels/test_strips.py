"""The kernels of clipping: lane by lane, the same bits on every instruction set, NaN kept."""

import numpy as np
import pytest
from gradcore import _core
from oracle import exact
from support import cases, raw

ROWS = [0, 1, 2, 7, 64, 65]
SUM, SQUARES, MAGNITUDES, LARGEST = range(4)


def strip(isa, dtype, rows):
    kernels = raw.Kernels(isa, dtype)
    return kernels, cases.normal((rows, kernels.panel), dtype, "strip", rows)


@pytest.mark.parametrize("rows", ROWS)
def test_reductions_go_on_in_the_order_of_the_rows(isa, dtype, rows):
    kernels, x = strip(isa, dtype, rows)
    for kind, start in ((SUM, 0.5), (SQUARES, 2.0), (MAGNITUDES, 1.0), (LARGEST, 0.25)):
        out = np.full(kernels.panel, start)
        kernels.strip_reduce(kind, rows, x, out)
        want = np.full(kernels.panel, start)
        for row in x.astype(np.float64):
            parts = {SUM: row, SQUARES: row * row, MAGNITUDES: np.abs(row)}
            want = np.maximum(want, np.abs(row)) if kind == LARGEST else want + parts[kind]
        assert exact.same_bits(out, want)


def test_nan_stays_in_its_lane(isa, dtype):
    kernels, x = strip(isa, dtype, 9)
    x[3, 2] = np.nan
    for kind in (SUM, SQUARES, MAGNITUDES, LARGEST):
        out = np.zeros(kernels.panel)
        kernels.strip_reduce(kind, 9, x, out)
        assert np.isnan(out).tolist() == [lane == 2 for lane in range(kernels.panel)]
    kernels.clamp(x.size, -0.5, 0.5, x)
    assert np.isnan(x).sum() == 1 and np.nanmax(np.abs(x)) == 0.5


@pytest.mark.parametrize("rows", ROWS)
def test_affine_rounds_twice_and_can_leave_every_bit(isa, dtype, rows):
    kernels, x = strip(isa, dtype, rows)
    x[:1, 0] = -0.0
    scale, shift = cases.normal(kernels.panel, "float64", "a"), cases.normal(kernels.panel, "float64", "b")
    want = x * scale.astype(dtype) + shift.astype(dtype)
    kept = x.copy()
    kernels.strip_affine(rows, scale, shift, x)
    assert exact.same_bits(x, want)
    kernels.strip_affine(rows, np.ones(kernels.panel), np.full(kernels.panel, -0.0), kept)
    assert exact.same_bits(kept[1:], cases.normal((rows, kernels.panel), dtype, "strip", rows)[1:])
    assert not rows or np.signbit(kept[0, 0])


@pytest.mark.parametrize("n", [0, *cases.SIZES])
def test_clamp(isa, dtype, n):
    kernels, x = raw.Kernels(isa, dtype), cases.normal(n, dtype, "clamp", n)
    want = np.clip(x, np.dtype(dtype).type(-0.3), np.dtype(dtype).type(0.7))
    kernels.clamp(n, -0.3, 0.7, x)
    assert exact.same_bits(x, want)


def test_instruction_sets_agree(dtype):
    results = []
    for isa in _core.names("isa"):
        kernels, x = strip(isa, dtype, 65)
        out = np.zeros(kernels.panel)
        kernels.strip_reduce(SQUARES, 65, x, out)
        kernels.strip_affine(65, out, out, x)
        results.append((out, x))
    for out, x in results[1:]:
        assert exact.same_bits(out, results[0][0]) and exact.same_bits(x, results[0][1])
