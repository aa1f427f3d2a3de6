"""The cases of kernels.py, and how gradcore and NumPy run each. A worker opens one case at a time.

Every name comes from the engine's own tables and every size from tests/cases.py, so a new activation,
loss, optimizer, layer or instruction set is measured without an edit here. Where NumPy has no short
program for it, gradcore runs alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from nets import NETS, Array
from peers import Unsupported, numpy_kernels

TESTS = Path(__file__).parent.parent / "tests"
GEMM_FORMS = ("forward", "backward-data", "backward-weight")
ISA_DEPTH = 256  # k of the products that compare instruction sets: one KC block


@dataclass(frozen=True)
class Case:
    """family: gemm, activation, loss, optimizer, layer or isa. depth: k of a product, else 0."""

    family: str
    name: str
    rows: int
    columns: int
    direction: str = ""
    depth: int = 0

    @property
    def title(self) -> str:
        size = f"{self.rows}×{self.depth}×{self.columns}" if self.depth else f"{self.rows}×{self.columns}"
        return " ".join(filter(None, [self.family, self.name, self.direction, size]))

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.columns * self.depth

    def arrays(self, count: int) -> list[Array]:
        """Standard normal float32 matrices (rows, columns)."""
        rng = np.random.default_rng(5)
        return [rng.standard_normal((self.rows, self.columns), dtype=np.float32) for _ in range(count)]

    def target(self, labels: bool) -> Array:
        if labels:
            return np.random.default_rng(6).integers(self.columns, size=self.rows).astype(np.int32)
        return (self.arrays(2)[1] > 0).astype(np.float32)

    def operands(self) -> tuple[Array, Array, Array]:
        """A (rows, depth) and B (depth, columns) as the training step has them in memory, and C."""
        rng = np.random.default_rng(7)
        a = rng.standard_normal((self.rows, self.depth), dtype=np.float32)
        b = rng.standard_normal((self.depth, self.columns), dtype=np.float32)
        if self.name == "backward-data":  # dX = dY Wᵀ: B is the transpose of a row-major W
            b = np.ascontiguousarray(b.T).T
        if self.name == "backward-weight":  # dW = Xᵀ dY: A is the transpose of a row-major X
            a = np.ascontiguousarray(a.T).T
        return a, b, np.empty((self.rows, self.columns), np.float32)


def all_cases(core: Any) -> Iterator[Case]:
    """The products of every Dense layer of the nets, then the table rows at the shared sizes."""
    layers = {
        (net.batch, fan_in, fan_out)
        for net in NETS.values()
        for fan_in, fan_out in zip(net.widths[:-1], net.widths[1:], strict=True)
    }
    for rows, fan_in, fan_out in sorted(layers, key=lambda s: (s[0] * s[1] * s[2], s)):
        yield Case("gemm", GEMM_FORMS[0], rows, fan_out, depth=fan_in)
        yield Case("gemm", GEMM_FORMS[1], rows, fan_in, depth=fan_out)
        yield Case("gemm", GEMM_FORMS[2], fan_in, fan_out, depth=rows)
    sys.path.append(str(TESTS))
    for family, name, rows, columns in import_module("cases").bench_cases(core):
        if family == "activation":
            yield Case(family, name, rows, columns, "forward")
            yield Case(family, name, rows, columns, "backward")
        elif name != "end":  # closes a residual block, no layer of its own
            yield Case(family, name, rows, columns, depth=ISA_DEPTH if family == "isa" else 0)


class Runner:
    """What a worker needs: run(mode, calls)."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def run(self, mode: str, calls: int) -> None:
        call = self.call
        for _ in range(calls):
            call()

    def close(self) -> None:
        pass


def ready() -> None:
    """What a worker opens before its first case."""


def open_case(library: str, fields: dict[str, Any]) -> Runner:
    """library: "gradcore", "gradcore 1 thread" (products only) or "numpy"."""
    case = Case(**fields)
    if library == "numpy":
        return Runner(numpy_call(case))
    threads = 1 if library == "gradcore 1 thread" else 0
    if threads and case.family != "gemm":
        raise Unsupported("only products have a thread count of their own")
    return Runner(gradcore_call(case, threads))


def numpy_call(case: Case) -> Callable[[], object]:
    if case.family == "gemm":
        a, b, out = case.operands()
        return lambda: np.matmul(a, b, out=out)
    if case.family == "activation" and case.name in numpy_kernels.ACTIVATIONS:
        forward, backward = numpy_kernels.ACTIVATIONS[case.name]
        x, d, out = case.arrays(3)
        return (lambda: forward(x, out)) if case.direction == "forward" else (lambda: backward(x, d, out))
    if case.family == "loss" and case.name in numpy_kernels.LOSSES:
        loss = numpy_kernels.LOSSES[case.name]
        z, out = case.arrays(2)
        target = case.target(case.name == "cross_entropy")
        return lambda: loss(z, target, out)
    if case.family == "optimizer" and case.name in numpy_kernels.OPTIMIZERS:
        update = numpy_kernels.OPTIMIZERS[case.name]
        w, g, s, v, t = case.arrays(5)
        slots = [s, np.abs(v)]
        return lambda: update(w, g, slots, t)
    raise Unsupported("no NumPy program")


def gradcore_call(case: Case, threads: int) -> Callable[[], object]:
    core: Any = import_module("gradcore._core")
    if case.family == "gemm":
        a, b, out = case.operands()
        return lambda: core.gemm(a, b, None, out, threads)
    if case.family == "activation":
        x, d, out = case.arrays(3)
        alpha = float(core.describe("activation", case.name, "alpha") or 0)
        if case.direction == "forward":
            return lambda: core.activation_forward(case.name, x, out, alpha)
        return lambda: core.activation_backward(case.name, x, d, out, alpha)
    if case.family == "loss":
        (z,) = case.arrays(1)
        kind = core.describe("loss", case.name, "target")
        target = case.target(kind == "labels")
        if kind == "halves":
            target = np.ascontiguousarray(target[:, : case.columns // 2])
        return lambda: core.loss(case.name, z, target, True)
    if case.family == "optimizer":
        return optimizer_call(case, core)
    if case.family == "layer":
        return layer_call(case, core)
    return isa_call(case)


def optimizer_call(case: Case, core: Any) -> Callable[[], object]:
    values = {"momentum": 0.0 if case.name == "rmsprop" else 0.9, "alpha": 0.99, "eps": 1e-8}
    values |= {"beta1": 0.9, "beta2": 0.999, "largest": 50.0, "smallest": 1e-6, "grow": 1.2}
    names = (core.describe("optimizer", case.name, "hyperparameters") or "").split()
    own = [values.get(key, 0.5) for key in names]
    decay = 0.01 if case.name == "adamw" else 0.0
    hypers = np.array([1e-3, decay, 0.0, *own, *[0.0] * core.HYPERS][: core.HYPERS])
    w, g, s, v, extra = case.arrays(5)
    slots = [s, np.abs(v), extra, extra.copy()]
    flags = core.MOMENTUM if case.name == "sgd" else 0
    return lambda: core.optimizer_update(case.name, flags, 100, hypers, w, g, slots)


def layer_call(case: Case, core: Any) -> Callable[[], object]:
    """Forward and backward of a network that has only this layer."""
    dense = {"kind": "dense", "units": case.columns, "activation": "relu"}
    specs: dict[str, list[dict[str, Any]]] = {
        "dense": [dense],
        "activation": [{"kind": "activation", "activation": "relu"}],
        "dropout": [{"kind": "dropout", "rate": 0.5}],
        "standardize": [{"kind": "standardize"}],
        "residual": [{"kind": "residual"}, dense, {"kind": "end"}],
        "batch_norm": [{"kind": "batch_norm"}],
        "layer_scale": [{"kind": "layer_scale", "initial": 0.1}],
        "alpha_dropout": [{"kind": "alpha_dropout", "rate": 0.5}],
        "gaussian_noise": [{"kind": "gaussian_noise", "std": 0.5}],
        "layer_norm": [{"kind": "layer_norm"}],
        "rms_norm": [{"kind": "rms_norm"}],
    }
    if case.name not in specs:
        raise Unsupported("no description of this layer in kernel_cases.py")
    network = core.Network(specs[case.name], case.columns)
    steps = core.Pass(network, case.rows)
    x, d = case.arrays(2)

    def call() -> None:
        steps.forward(x, True, 0, 0)
        steps.backward(d)

    return call


def isa_call(case: Case) -> Callable[[], object]:
    """The product kernel alone, on one core: row-major A and C, B in panels."""
    kernels: Any = import_module("gradcore._testing").Kernels(case.name, "float32")
    a, b, out = case.operands()
    panel = kernels.panel
    packed = np.zeros(-(-case.columns // panel) * case.depth * panel, np.float32)
    kernels.pack(case.depth, case.columns, b, case.columns, packed)
    m, n, k = case.rows, case.columns, case.depth
    return lambda: kernels.gemm(m, n, k, a, k, 1, packed, panel, panel * k, out, n, panel)
