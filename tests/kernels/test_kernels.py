"""The other kernels: layouts, sums, masks. Each against NumPy, on all sizes, with equal bits everywhere."""

import math

import numpy as np
import oracle
import pytest
from gradcore import _core, _testing
from oracle import exact
from support import cases, raw

SHAPES = [(1, 1), (3, 5), (2, 8), (7, 9), (4, 15), (5, 16), (16, 17), (17, 31), (33, 32), (40, 33), (3, 127)]


def padded(a, ld):
    wide = np.full((a.shape[0], ld), 7, a.dtype)
    wide[:, : a.shape[1]] = a
    return wide


def fold(lanes):
    """((0+8)+(4+12)) ...: halves onto halves."""
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [a + b for a, b in zip(lanes[:half], lanes[half:], strict=True)]
    return lanes[0]


@pytest.mark.quick
def test_the_binding_lists_what_the_engine_has():
    assert _testing.isas() == _core.names("isa")
    assert _testing.isas()[0] == "scalar"
    assert _testing.KC == exact.KC
    for isa in _testing.isas():
        for dtype, panel in (("float32", 16), ("float64", 8)):
            assert raw.Kernels(isa, dtype).panel == panel


@pytest.mark.quick
def test_philox_is_the_published_generator():
    for seed, stream, step, block in ((0, 0, 0, 0), (2**64 - 1, 7, 2**40, 3), (5, 2**32 - 1, 9, 2**35)):
        want = oracle.rng.words(seed, stream, step, 8)[4:] if block == 1 else None
        counter = [block & 0xFFFFFFFF, (block >> 32 & 0xFFFF) | (step >> 32 & 0xFFFF) << 16,
                   step & 0xFFFFFFFF, stream]  # fmt: skip
        want = oracle.rng.philox(counter, [seed & 0xFFFFFFFF, seed >> 32])
        assert list(_testing.philox(seed, stream, step, block)) == want.tolist()


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_add(isa, dtype, rows, cols):
    x, y = (cases.normal((rows, cols), dtype, name, rows, cols) for name in "xy")
    wide = padded(y, cols + 5)
    raw.Kernels(isa, dtype).add(rows, cols, padded(x, cols + 3), cols + 3, wide, cols + 5)
    assert exact.same_bits(wide[:, :cols], x + y)
    assert (wide[:, cols:] == 7).all()


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_multiply(isa, dtype, rows, cols):
    x, m = (padded(cases.normal((rows, cols), dtype, name, rows, cols), cols + 3) for name in "xm")
    y = np.full_like(x, 5)
    raw.Kernels(isa, dtype).multiply(rows, cols, x, m, y, cols + 3)
    assert exact.same_bits(y[:, :cols], (x * m)[:, :cols])
    assert (y[:, cols:] == 5).all()
    want = y[:, :cols].copy()
    raw.Kernels(isa, dtype).multiply(rows, cols, x, m, x, cols + 3)
    assert exact.same_bits(x[:, :cols], want)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_standardize(isa, dtype, rows, cols):
    x, mean, scale = (cases.normal(shape, dtype, name) for name, shape in
                      (("x", (rows, cols)), ("mean", cols), ("scale", cols)))  # fmt: skip
    y = np.full((rows, cols + 2), 5, dtype)
    raw.Kernels(isa, dtype).standardize(rows, cols, padded(x, cols + 3), cols + 3, mean, scale, y, cols + 2)
    assert exact.same_bits(y[:, :cols], (x - mean) * scale)
    assert (y[:, cols:] == 5).all()


@pytest.mark.parametrize(("rows", "cols"), [*SHAPES, (700, 3), (257, 70)])
def test_column_sums_add_in_row_order(isa, dtype, rows, cols):
    x = cases.normal((rows, cols), dtype, rows, cols)
    want = x[0].copy()
    for row in x[1:]:
        want = want + row
    sums = np.full(cols + 2, 5, dtype)
    raw.Kernels(isa, dtype).column_sums(rows, cols, padded(x, cols + 3), cols + 3, sums)
    assert exact.same_bits(sums[:cols], want)
    assert (sums[cols:] == 5).all()


@pytest.mark.parametrize("n", [0, *cases.SIZES, 1000])
def test_sum_squares_has_one_lane_a_panel_place_and_one_fold(isa, dtype, n):
    x = cases.normal(n, dtype, "squares", n)
    kernels = raw.Kernels(isa, dtype)
    lanes = [0.0] * kernels.panel
    for i, value in enumerate(x.astype(np.float64)):
        lanes[i % kernels.panel] += float(value) * float(value)
    assert kernels.sum_squares(n, x) == fold(lanes)


@pytest.mark.parametrize("n", [0, *cases.SIZES])
def test_max_abs(isa, dtype, n):
    kernels, x = raw.Kernels(isa, dtype), cases.normal(n, dtype, "max", n)
    assert kernels.max_abs(n, x) == (np.abs(x).max() if n else 0)
    if n:
        for value in (-np.inf, np.nan, -np.nan):
            x[n // 2] = value
            got = kernels.max_abs(n, x)
            assert got == math.inf if np.isinf(value) else math.isnan(got)


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
@pytest.mark.quick
def test_pack_and_unpack_are_inverses(isa, dtype, rows, cols):
    kernels = raw.Kernels(isa, dtype)
    width = kernels.panel
    count = -(-cols // width)
    x = cases.normal((rows, cols), dtype, rows, cols)
    panels = np.full((count, rows, width), np.nan, dtype)
    kernels.pack(rows, cols, padded(x, cols + 3), cols + 3, panels)
    want = np.zeros((rows, count * width), dtype)
    want[:, :cols] = x
    assert exact.same_bits(panels, want.reshape(rows, count, width).transpose(1, 0, 2))
    back = np.full((rows, cols + 3), 7, dtype)
    kernels.unpack(rows, cols, panels, back, cols + 3)
    assert exact.same_bits(back, padded(x, cols + 3))


@pytest.mark.parametrize(("rows", "cols"), SHAPES)
def test_transpose_whole_and_in_parts(isa, dtype, rows, cols):
    kernels = raw.Kernels(isa, dtype)
    width = kernels.panel
    x = cases.normal((rows, cols), dtype, rows, cols)
    row_panels, col_panels = -(-rows // width), -(-cols // width)
    panels, want = np.empty((col_panels, rows, width), dtype), np.empty((row_panels, cols, width), dtype)
    kernels.pack(rows, cols, x, cols, panels)
    kernels.pack(cols, rows, np.ascontiguousarray(x.T), rows, want)
    whole = np.full_like(want, np.nan)
    kernels.transpose(rows, cols, panels, 0, rows, 0, col_panels, whole)
    assert exact.same_bits(whole, want)
    parts = np.full_like(want, np.nan)
    for row in range(0, rows, width):
        for panel in range(col_panels):
            kernels.transpose(rows, cols, panels, row, min(width, rows - row), panel, 1, parts)
    assert exact.same_bits(parts, want)


@pytest.mark.parametrize("n", cases.SIZES)
def test_accumulate(isa, dtype, n):
    source, target = cases.normal(n, dtype, "s"), cases.normal(n, dtype, "t")
    want = target + source
    raw.Kernels(isa, dtype).accumulate(n, source, target)
    assert exact.same_bits(target, want)


@pytest.mark.parametrize(("rows", "cols"), [*SHAPES, (5, 200)])
@pytest.mark.parametrize("first_row", [0, 3, 1000])
@pytest.mark.quick
def test_dropout_mask_is_philox_of_the_element(isa, dtype, rows, cols, first_row):
    mask = np.full((rows, cols + 3), 7, dtype)
    seed, stream, step = 2**40 + 11, 3, 2**33 + 5
    raw.Kernels(isa, dtype).dropout_mask(
        rows, cols, cols + 3, first_row, seed, stream, step, 3 * 2**30, 4 / 3, mask
    )
    words = oracle.rng.words(seed, stream, step, (first_row + rows) * cols)[first_row * cols :]
    want = np.where(words < 3 * 2**30, np.dtype(dtype).type(4 / 3), 0).astype(dtype)
    assert exact.same_bits(mask[:, :cols], want.reshape(rows, cols))
    assert (mask[:, cols:] == 7).all()


def test_dropout_thresholds_at_both_ends(isa, dtype):
    for threshold, want in ((0, 0), (2**32 - 1, 2)):
        mask = np.full((4, 50), 7, dtype)
        raw.Kernels(isa, dtype).dropout_mask(4, 50, 50, 0, 1, 0, 0, threshold, 2.0, mask)
        assert (mask == want).all()
