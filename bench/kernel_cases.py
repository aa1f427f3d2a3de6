"""The cases of kernels.py, and how gradcore and NumPy run each. A worker opens one case at a time.

Every name comes from the engine's own tables and every size from tests/support/cases.py, so a new activation,
loss, optimizer, layer or instruction set is measured without an edit here. Where NumPy has no short
program for it, gradcore runs alone.
"""

from __future__ import annotations

import math
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
DTYPES = ("float32", "float64")
GEMM_FORMS = ("forward", "backward-data", "backward-weight")
ISA_DEPTH = 256  # k of the products that compare instruction sets: one KC block
# Arrays that a row of the family reads and writes; losses and optimizers are counted in Case.bytes.
STATISTICS = {
    "sum_squares": 1, "max_abs": 1, "column_sums": 1, "accumulate": 3, "add": 3, "multiply": 3,
    "standardize": 2, "exp": 2, "log": 2, "tanh": 2, "pack": 2, "unpack": 2, "transpose": 2,
}  # fmt: skip
CLIPS = ("global_norm", "value")
# Arrays that these read again, since norms or sums of all come before the first new weight: w, m, v; w, g;
# w, m, v, less the store of prodigy's first weights, which never change.
READ_AGAIN = {"lamb": 3, "lars": 2, "prodigy": 2}
STREAMED = 50_000_000  # bytes from which a case's share is of a copy that runs in turns with it
COPIED = 128 << 20  # bytes of that copy's arrays, each
LARGEST_FLOAT64 = 2e10  # flops of a product; above it, float64 tells nothing new and takes seconds


@dataclass(frozen=True)
class Case:
    """family: gemm, activation, loss, optimizer, clip, statistic, layer or isa. depth: k of a product."""

    family: str
    name: str
    rows: int
    columns: int
    direction: str = ""
    depth: int = 0
    dtype: str = "float32"

    @property
    def title(self) -> str:
        size = f"{self.rows}×{self.depth}×{self.columns}" if self.depth else f"{self.rows}×{self.columns}"
        return " ".join(filter(None, [self.family, self.name, self.direction, size, self.dtype]))

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.columns * self.depth

    @property
    def bytes(self) -> int:
        """What the kernel must at least read and write; 0 where that is not what bounds it."""
        arrays = {"activation": 3 if self.direction == "backward" else 2, "loss": 3, "clip": 4}
        if self.family == "statistic":
            arrays[self.family] = STATISTICS[self.name]
        if self.family == "optimizer":
            arrays[self.family] = 3 + 2 * used_slots(self.name) + READ_AGAIN.get(self.name, 0)
        size = self.rows * self.columns * np.dtype(self.dtype).itemsize
        return size * arrays.get(self.family, 0)

    def arrays(self, count: int) -> list[Array]:
        """Standard normal matrices (rows, columns)."""
        rng = np.random.default_rng(5)
        return [rng.standard_normal((self.rows, self.columns), self.dtype) for _ in range(count)]

    def target(self, labels: bool) -> Array:
        if labels:
            return np.random.default_rng(6).integers(self.columns, size=self.rows).astype(np.int32)
        return (self.arrays(2)[1] > 0).astype(self.dtype)

    def operands(self) -> tuple[Array, Array, Array]:
        """A (rows, depth) and B (depth, columns) as the training step has them in memory, and C."""
        rng = np.random.default_rng(7)
        a = rng.standard_normal((self.rows, self.depth), self.dtype)
        b = rng.standard_normal((self.depth, self.columns), self.dtype)
        if self.name == "backward-data":  # dX = dY Wᵀ: B is the transpose of a row-major W
            b = np.ascontiguousarray(b.T).T
        if self.name == "backward-weight":  # dW = Xᵀ dY: A is the transpose of a row-major X
            a = np.ascontiguousarray(a.T).T
        return a, b, np.empty((self.rows, self.columns), self.dtype)


def optimizer_class(name: str) -> Any:
    """The public class of an engine's optimizer; its constructor gets lr alone."""
    module: Any = import_module("gradcore.optimizers")
    kinds = (getattr(module, item) for item in module.__all__)
    return next(kind for kind in kinds if getattr(kind, "name", "") == name and not kind.full_batch)


def used_slots(name: str) -> int:
    """State arrays that an update writes to."""
    optimizer = make_optimizer(name)
    w = np.ones(4)
    for gradient in (1.0, 2.0):
        optimizer.update([w], [np.full(4, gradient)])
    return sum(slot is not None and bool(slot.any()) for slot in optimizer._plain._slots[0])


def make_optimizer(name: str) -> Any:
    """With its defaults, and with momentum where that is what the optimizer is used with."""
    return optimizer_class(name)(lr=1e-3, **({"momentum": 0.9} if name == "sgd" else {}))


def all_cases(core: Any, dtypes: tuple[str, ...] = DTYPES) -> Iterator[Case]:
    """The products of every Dense layer of the nets, then the table rows at the shared sizes."""
    sys.path.append(str(TESTS))
    shared = import_module("support.cases")
    for dtype in dtypes:
        yield from products(dtype)
        for family, name, rows, columns in shared.bench_cases(core):
            if family == "activation":
                yield Case(family, name, rows, columns, "forward", dtype=dtype)
                yield Case(family, name, rows, columns, "backward", dtype=dtype)
            elif name not in shared.BRACKETS:
                depth = ISA_DEPTH if family == "isa" else 0
                yield Case(family, name, rows, columns, depth=depth, dtype=dtype)
        for rows, columns in shared.BENCH_SIZES["activation"]:
            for name in STATISTICS:
                yield Case("statistic", name, rows, columns, dtype=dtype)
        for rows, columns in shared.BENCH_SIZES["optimizer"]:
            for name in CLIPS:
                yield Case("clip", name, rows, columns, dtype=dtype)


def products(dtype: str) -> Iterator[Case]:
    layers = {
        (net.batch, fan_in, fan_out)
        for net in NETS.values()
        for fan_in, fan_out in zip(net.widths[:-1], net.widths[1:], strict=True)
    }
    for rows, fan_in, fan_out in sorted(layers, key=lambda s: (s[0] * s[1] * s[2], s)):
        if dtype == "float64" and 2 * rows * fan_in * fan_out > LARGEST_FLOAT64:
            continue
        yield Case("gemm", GEMM_FORMS[0], rows, fan_out, depth=fan_in, dtype=dtype)
        yield Case("gemm", GEMM_FORMS[1], rows, fan_in, depth=fan_out, dtype=dtype)
        yield Case("gemm", GEMM_FORMS[2], fan_in, fan_out, depth=rows, dtype=dtype)


class Runner:
    """What a worker needs: run(mode, calls)."""

    def __init__(self, **calls: Callable[[], object]) -> None:
        self.calls = calls

    def run(self, mode: str, calls: int) -> None:
        call = self.calls[mode]
        for _ in range(calls):
            call()

    def close(self) -> None:
        pass


def ready() -> None:
    """What a worker opens before its first case."""


def open_case(library: str, fields: dict[str, Any]) -> Runner:
    """library: "gradcore", "gradcore 1 thread", "gradcore ISA", "numpy", "numpy 1 thread" or "copy".

    "1 thread" is for products only: no other kernel has threads of its own, in either library.
    """
    case = Case(**fields)
    name, _, way = library.partition(" ")
    if name == "copy":
        if case.bytes < STREAMED:
            raise Unsupported("caches may hold it")
        source, target = (np.full(COPIED, value, np.uint8) for value in (1, 2))
        return Runner(call=lambda: np.copyto(target, source))
    if way == "1 thread" and case.family != "gemm":
        raise Unsupported("only products have a thread count of their own")
    if name == "numpy":
        return Runner(call=numpy_call(case))
    if way and way != "1 thread":
        return Runner(call=import_module("kernel_isas").isa_call(case, way))
    return Runner(call=gradcore_call(case, 1 if way else 0))


def numpy_call(case: Case) -> Callable[[], object]:
    if case.family in ("gemm", "isa"):
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
    if case.family == "clip":
        clip = numpy_kernels.CLIPS[case.name]
        w, g, t = case.arrays(3)
        return lambda: clip(w, g, t)
    if case.family == "statistic":
        statistic = numpy_kernels.STATISTICS[case.name]
        x, y = case.arrays(2)
        x = np.abs(x) if case.name == "log" else x
        return lambda: statistic(x, y)
    raise Unsupported("no NumPy program")


def gradcore_call(case: Case, threads: int) -> Callable[[], object]:
    """The call that a user makes, on the instruction set that gradcore chooses."""
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
        optimizer = make_optimizer(case.name)
        w, g = case.arrays(2)
        if core.describe("optimizer", case.name, "kind") == "MATRIX":
            w, g = (array.reshape(math.isqrt(array.size), -1) for array in (w, g))  # its sizes are squares
        return lambda: optimizer.update([w], [g])
    if case.family == "layer":
        return layer_call(case, core)
    isa = case.name if case.family == "isa" else core.build_info()["isa"]
    call: Callable[[], object] = import_module("kernel_isas").isa_call(case, isa)
    return call


def layer_call(case: Case, core: Any) -> Callable[[], object]:
    """Forward and backward of a network that has only this layer."""
    dense = {"kind": "dense", "units": case.columns, "activation": "relu"}
    linear = {"kind": "dense", "units": case.columns, "bias": False, "rescaled": True}
    # Layers that need more than their name.
    specs: dict[str, list[dict[str, Any]]] = {
        "dense": [dense],
        "activation": [{"kind": "activation", "activation": "relu"}],
        "dropout": [{"kind": "dropout", "rate": 0.5}],
        "residual": [{"kind": "residual"}, dense, {"kind": "end"}],
        "heads": [{"kind": "heads"}, {"kind": "head", "name": "one"}, dense, {"kind": "end_heads"}],
        "batch_norm": [{"kind": "batch_norm"}],
        "layer_scale": [{"kind": "layer_scale", "initial": 0.1}],
        "alpha_dropout": [{"kind": "alpha_dropout", "rate": 0.5}],
        "gaussian_noise": [{"kind": "gaussian_noise", "std": 0.5}],
        "weight_norm": [linear, {"kind": "weight_norm", "continues": True}],
        "spectral_norm": [linear, {"kind": "spectral_norm", "continues": True}],
        "embedding": [{"kind": "embedding", "column": 0, "units": 1000, "width": 1}],
        "layer_norm": [{"kind": "layer_norm"}],
        "rms_norm": [{"kind": "rms_norm"}],
        "glu": [{"kind": "dense", "units": 2 * case.columns}, {"kind": "glu", "activation": "sigmoid"}],
        "maxout": [{"kind": "maxout", "units": case.columns, "pieces": 2}],
        "prelu": [{"kind": "prelu"}],
    }
    network = core.CoreNetwork(specs.get(case.name, [{"kind": case.name}]), case.columns, dtype=case.dtype)
    steps = core.Pass(network, case.rows)
    x, d = case.arrays(2)
    if case.name == "embedding":
        x[:, 0] = np.arange(case.rows) * 7 % 1000  # codes

    def call() -> None:
        steps.forward(x, True, 0, 0)
        steps.backward(d)

    return call
