"""The kernels of one chosen instruction set, called alone through gradcore._testing: always one thread.

Products have B in panels, as weights are in a network; packing is not part of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from kernel_cases import Case, make_optimizer
from nets import Array
from peers import Unsupported


def isa_call(case: Case, isa: str) -> Callable[[], object]:
    kernels: Any = import_module("gradcore._testing").Kernels(isa, case.dtype)
    makers = {"gemm": product, "isa": product, "activation": activation, "loss": loss,
              "optimizer": optimizer, "clip": clip, "statistic": statistic}  # fmt: skip
    if case.family not in makers:
        raise Unsupported("a layer is no single kernel")
    return makers[case.family](case, kernels)


def panels(kernels: Any, b: Array) -> Array:
    """B (depth, columns) in panels; zeros behind the last column."""
    depth, columns = b.shape
    packed = np.zeros(-(-columns // kernels.panel) * depth * kernels.panel, b.dtype)
    kernels.pack(depth, columns, np.ascontiguousarray(b), columns, packed)
    return packed


def spread(x: Array, panel: int) -> Array:
    """A copy with the leading dimension that a network gives its values.

    It is an odd number of panels where there are more than four, so that rows do not share sets of a cache.
    """
    if x.strides[0] < x.strides[1]:
        return spread(x.T, panel).T
    count = -(-x.shape[1] // panel)
    room = np.zeros((len(x), (count + (count > 4 and count % 2 == 0)) * panel), x.dtype)
    room[:, : x.shape[1]] = x
    return room[:, : x.shape[1]]


def product(case: Case, kernels: Any) -> Callable[[], object]:
    a, b, _ = case.operands()
    m, n, k, panel = case.rows, case.columns, case.depth, kernels.panel
    wide = -(-n // panel) * panel
    packed, a, out = panels(kernels, b), spread(a, panel), spread(np.empty((m, wide), case.dtype), panel)
    row, column = (step // a.itemsize for step in a.strides)
    ld = out.strides[0] // out.itemsize
    return lambda: kernels.gemm(m, wide, k, a, row, column, packed, panel, panel * k, out, ld, panel)


def activation(case: Case, kernels: Any) -> Callable[[], object]:
    core: Any = import_module("gradcore._core")
    alpha = float(core.describe("activation", case.name, "alpha") or 0)
    x, d = case.arrays(2)
    out, rows, columns = np.empty_like(x), case.rows, case.columns
    if case.direction == "forward":
        return lambda: kernels.act_forward(case.name, rows, columns, x, out, columns, alpha)
    d[...] = 0  # multiplied in place, call after call: other numbers would end as slow denormal ones
    return lambda: kernels.act_backward(case.name, rows, columns, x, d, columns, alpha)


def loss(case: Case, kernels: Any) -> Callable[[], object]:
    core: Any = import_module("gradcore._core")
    z, d = case.arrays(2)
    target = case.target(core.describe("loss", case.name, "target").lower() == "labels")
    scale = np.full(case.rows, 1 / case.rows)
    values, correct = np.empty(case.rows), np.empty(case.rows, np.int32)
    rows, columns = case.rows, case.columns
    return lambda: kernels.loss(
        case.name, rows, columns, z, columns, target, columns, scale, d, values, correct
    )


def optimizer(case: Case, kernels: Any) -> Callable[[], object]:
    rule = make_optimizer(case.name)
    own = [column.value for column in sorted(rule.columns(), key=lambda c: c.index) if column.index >= 3]
    w, g, s, v, extra = case.arrays(5)
    v, flags, size = np.abs(v), rule.flags(), w.size
    return lambda: kernels.opt(
        case.name, size, w, g, s, v, extra, extra, lr=1e-3, p=own, step=100, flags=flags
    )


def clip(case: Case, kernels: Any) -> Callable[[], object]:
    """The norm and a scaled update of plain SGD, or an update with clamped gradients."""
    w, g = case.arrays(2)
    size = w.size

    def global_norm() -> None:
        norm = float(np.sqrt(kernels.sum_squares(size, g)))
        kernels.opt("sgd", size, w, g, lr=1e-3, grad_scale=min(1.0, 1.0 / norm))

    def value() -> None:
        kernels.opt("sgd", size, w, g, lr=1e-3, grad_limit=1.0)

    return global_norm if case.name == "global_norm" else value


def statistic(case: Case, kernels: Any) -> Callable[[], object]:
    x, y = case.arrays(2)
    rows, columns, size, panel = case.rows, case.columns, case.rows * case.columns, kernels.panel
    name = case.name
    kernel = getattr(kernels, name)
    if name in ("sum_squares", "max_abs"):
        return lambda: kernel(size, x)
    if name in ("accumulate", "exp", "log", "tanh"):
        x = np.abs(x) if name == "log" else x
        return lambda: kernel(size, x, y)
    if name == "column_sums":
        sums = np.empty(columns, case.dtype)
        return lambda: kernel(rows, columns, x, columns, sums)
    if name == "add":
        return lambda: kernel(rows, columns, x, columns, y, columns)
    if name == "multiply":
        out = np.empty_like(x)
        return lambda: kernel(rows, columns, x, y, out, columns)
    if name == "standardize":
        mean, scale = x.mean(axis=0), 1 / x.std(axis=0)
        return lambda: kernel(rows, columns, x, columns, mean, scale, y, columns)
    packed = panels(kernels, x)
    if name == "pack":
        return lambda: kernel(rows, columns, x, columns, packed)
    if name == "unpack":
        return lambda: kernel(rows, columns, packed, y, columns)
    out = np.empty(-(-rows // panel) * columns * panel, case.dtype)
    count = -(-columns // panel)
    return lambda: kernel(rows, columns, packed, 0, rows, 0, count, out)
