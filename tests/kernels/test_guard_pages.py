"""No kernel reads or writes outside its arrays. Every argument ends at (and then begins after) a page that
no one may touch, so that one byte too far ends the process; a fresh process runs each instruction set."""

import ctypes
import ctypes.util
import mmap

import numpy as np
import pytest
from support import cases, in_turn, run_python

PAGE = mmap.PAGESIZE
SHAPES = [(1, 1), (2, 3), (3, 7), (1, 8), (5, 9), (2, 15), (3, 16), (4, 17), (17, 31), (16, 33), (3, 64)]


class Fence:
    """Arrays that touch a forbidden page with their last (or first) byte; keeps their memory alive."""

    def __init__(self, at_end, dtype):
        self.at_end, self.dtype = at_end, np.dtype(dtype)
        self.libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        self.libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self.maps = []

    def empty(self, shape, dtype=None):
        dtype = np.dtype(dtype or self.dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        pages = max(1, -(-size // PAGE))
        memory = mmap.mmap(-1, (pages + 2) * PAGE)
        self.maps.append(memory)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for page in (0, pages + 1):
            assert self.libc.mprotect(address + page * PAGE, PAGE, 0) == 0
        offset = (pages + 1) * PAGE - size if self.at_end else PAGE
        return np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape)

    def normal(self, shape, *key):
        array = self.empty(shape)
        array[...] = cases.normal(shape, array.dtype, *key)
        return array

    def full(self, shape, value, dtype=None):
        array = self.empty(shape, dtype)
        array[...] = value
        return array


def run_all(isa, dtype, at_end):
    """Calls every kernel on fenced arrays of every shape."""
    from gradcore import _core
    from support import raw

    kernels, fence = raw.Kernels(isa, dtype), Fence(at_end, dtype)
    for rows, cols in SHAPES:
        for ld in (cols, cols + 3):
            _matrices(kernels, fence, rows, cols, ld, _core)
        _vectors(kernels, fence, rows * cols, _core)
        _panels(kernels, fence, rows, cols)
        fence.maps.clear()


def strided(fence, rows, cols, ld, *key):
    """(rows - 1) ld + cols elements: the last row is not padded."""
    return fence.normal((rows - 1) * ld + cols, *key)


def _matrices(kernels, fence, rows, cols, ld, core):
    x, y = strided(fence, rows, cols, ld, "x"), strided(fence, rows, cols, ld, "y")
    mean, scale = fence.normal(cols, "mean"), fence.normal(cols, "scale")
    for name in core.names("activation"):
        kernels.act_forward(name, rows, cols, x, y, ld, 0.3)
        kernels.act_backward(name, rows, cols, x, y, ld, 0.3)
    row_scale, losses = fence.full(rows, 1.0, np.float64), fence.full(rows, 0.0, np.float64)
    correct, labels = fence.full(rows, 0, np.int32), fence.full(rows, cols - 1, np.int32)
    d = fence.empty((rows, ld))  # whole rows: the kernels zero the padding of the last one too
    for name in core.names("loss"):
        target = labels if core.describe("loss", name, "target").lower() == "labels" else x
        kernels.loss(name, rows, cols, x, ld, target, ld, row_scale, d, losses, correct)
        kernels.loss(name, rows, cols, x, ld, target, ld, None, None, losses, correct)
    weight = fence.normal(cols, "weight")
    for name, options in {
        "binary_cross_entropy": {}, "focal": {}, "cross_entropy": {"p": [0.1]},
        "cross_entropy of shares": {"probabilities": True},
    }.items():  # fmt: skip
        target = labels if name in ("focal", "cross_entropy") else x
        kernels.loss(name.split()[0], rows, cols, x, ld, target, ld, row_scale, d, losses, correct,
                     weight=weight, **options)  # fmt: skip
    kernels.add(rows, cols, x, ld, y, ld)
    kernels.multiply(rows, cols, x, x, y, ld)
    kernels.standardize(rows, cols, x, ld, mean, scale, y, ld)
    kernels.column_sums(rows, cols, x, ld, mean)
    kernels.dropout_mask(rows, cols, ld, 3, 1, 0, 1, 2**31, 2.0, y)
    kernels.gaussian_noise(rows, cols, ld, 3, 1, 0, 1, 0.5, x, y)
    kernels.alpha_dropout(rows, cols, x, x, 0.5, 0.25, y, ld)
    stats = fence.full((rows, 3), 0.5)
    for centered, gamma, beta in ((True, mean, scale), (False, mean, None), (True, None, scale)):
        kernels.norm_forward(rows, cols, x, y, ld, stats, centered, 1e-5, gamma, beta)
        kernels.norm_backward(rows, cols, x, y, stats, d, ld, centered, gamma)
    kernels.norm_columns(rows, cols, x, y, stats, ld, mean)
    kernels.norm_columns(rows, cols, x, y, None, ld, mean)
    kernels.scale_add(rows, cols, 0.5, x, ld, y, ld)
    ones = [fence.full(cols, 1.0, np.float64) for _ in range(4)]
    kernels.batch_moments(rows, cols, x, ld, *ones[:2])
    for running in (False, True):
        stats = [fence.full(cols, 1.0) for _ in range(2)] if running else ones[:2]
        about = (rows, cols, ld, 1e-5, *stats, mean, None if running else scale)
        kernels.batch_forward(*about, x, y, running)
        kernels.batch_sums(*about, x, y, *ones[2:], running)
        kernels.batch_backward(*about, x, y, None if running else ones[2], ones[3], rows, d, running)
    for pieces in (1, cols):
        units = cols // pieces
        kernels.maxout_forward(rows, units, pieces, x, ld, fence.empty((rows, units)), units)
        kernels.maxout_backward(rows, units, pieces, x, ld, fence.empty((rows, units)), units, y)
    for shared, slope in ((True, fence.normal(1, "slope")), (False, mean)):
        kernels.prelu_forward(rows, cols, x, slope, shared, y, ld)
        kernels.prelu_backward(rows, cols, x, slope, shared, y, fence.empty((rows, ld)), ld)


def _vectors(kernels, fence, n, core):
    x, y = fence.normal(n, "x"), fence.normal(n, "y")
    for name in ("exp", "log", "tanh", "erf"):
        getattr(kernels, name)(n, x, y)
    kernels.accumulate(n, x, y)
    kernels.sum_squares(n, x)
    kernels.max_abs(n, x)
    kernels.dot(n, x, y)
    kernels.clamp(n, -1.0, 1.0, x)
    slots = [fence.full(n, 1.0) for _ in range(4)]
    for name in core.names("optimizer"):
        for flags in range(8):
            kernels.opt(name, n, y, x, *slots, lr=0.1, p=[0.5] * 10, flags=flags, weight_decay=0.1)


def _panels(kernels, fence, rows, cols):
    width = kernels.panel
    row_panels, col_panels = -(-rows // width), -(-cols // width)
    x = fence.normal((rows, cols), "x")
    panels, back = fence.empty((col_panels, rows, width)), fence.empty((row_panels, cols, width))
    kernels.pack(rows, cols, x, cols, panels)
    kernels.transpose(rows, cols, panels, 0, rows, 0, col_panels, back)
    kernels.unpack(rows, cols, panels, x, cols)
    # (m, k) = x; B (k, n) as packed panels and as rows; then A transposed, as the weight gradient has it
    for n in (width, 2 * width, 3 * width):
        init = fence.normal(n, "init")
        for m, k, a_row, a_col in ((rows, cols, cols, 1), (cols, rows, 1, cols)):
            b, c = fence.normal((k, n), "b"), fence.empty((m, n))
            kernels.gemm(m, n, k, x, a_row, a_col, b, width, width * k, c, n, width, init)
            kernels.gemm(m, n, k, x, a_row, a_col, b, n, width, c, width, width * m, None)


@pytest.mark.parametrize(("dtype", "at_end"), in_turn(("float32", "float64"), (True, False)))
def test_no_kernel_leaves_its_arrays(isa, dtype, at_end):
    """at_end: the page without access comes after the array, else before it."""
    run_python(f"import test_guard_pages as t; t.run_all({isa!r}, {dtype!r}, {at_end})")


def test_the_fence_bites():
    """One element past the end must end the process: else the tests above show nothing."""
    done = run_python(
        "import test_guard_pages as t\nfrom support import raw\n"
        "fence = t.Fence(True, 'float32')\n"
        "x = fence.normal(5, 'x')\n"
        "raw.Kernels('scalar', 'float32').sum_squares(6, x)",
        check=False,
    )
    assert done.returncode == -11


@pytest.mark.parametrize(("dtype", "at_end"), in_turn(("float32", "float64"), (False, True)))
def test_the_public_entries_stay_inside_too(dtype, at_end):
    run_python(f"import test_guard_pages as t; t.run_public({dtype!r}, {at_end})")


def run_public(dtype, at_end):
    import gradcore
    from gradcore import _core

    fence = Fence(at_end, dtype)
    block = cases.residual(cases.dense(9, "tanh"), cases.dropout(0.5))
    layers = [cases.standardize(), cases.dense(9, "gelu"), block, cases.layer_norm(), cases.batch_norm()]
    layers.append(cases.dense(3))
    for rows in (1, 7, 33):
        net = cases.network(gradcore, layers, 5, dtype=dtype)
        trainer = gradcore.Trainer(net, "cross_entropy", gradcore.optimizers.Adam())
        x, labels = fence.normal((rows, 5), "x"), fence.full(rows, 2, np.int32)
        net.standardize(fence.normal((33, 5), "s"))
        net.predict(x)
        net.forward(x, training=True)
        net.backward(fence.normal((rows, 3), "d"))
        trainer.step(x, labels)
        trainer.fit(x, labels, epochs=1, batch_size=4, progress=False)
        trainer.evaluate(x, labels, fence.full(rows, 1.0, np.float64))
        _core.gemm(x, fence.normal((5, 3), "b"), fence.normal(3, "bias"), fence.empty((rows, 3)))
        _core.activation_forward("silu", x, fence.empty((rows, 5)), 0.0)
        _core.activation_backward("silu", x, x, fence.empty((rows, 5)), 0.0)
        _core.loss("cross_entropy", x, labels, True)
