"""gradcore.kernels and updates of plain arrays against the NumPy code that a user would write instead.

Every cell is measured in two ways. In turns: each library in a process of its own, all cells of a group one
after the other, then the other library's turn, so that threads that spin after a call are waited for once a
group instead of once a cell. Interleaved: both libraries in one process, a call of one after a call of the
other. And each with nothing else on the machine and beside a busy process.
"""

from __future__ import annotations

import argparse
import inspect
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from time import perf_counter
from typing import Any

import harness
import numpy as np
from contention import busy
from harness import Record, Worker, say
from kernel_cases import make_optimizer
from nets import Array
from peers import Fields, numpy_kernels

LOADS = {"idle": 0, "1 busy": 1}
WAYS = ("turns", "interleaved")
SIDES = ("gradcore", "numpy")
TURN, QUICK_TURN = 3e-3, 1e-4  # seconds of a cell
ROUNDS = 5
GROUP = 24  # cells
LEAST, AHEAD_SHARE = 0.95, 0.9  # NumPy's time over ours in every cell; the share of cells where it is above 1
TINY, ALLOWANCE = 2e-6, 0.4e-6  # where NumPy takes less, ours may take so much more instead
WORST = 12

PRODUCTS = ((1, 32, 32), (32, 32, 1), (7, 33, 9), (1, 784, 128), (100, 300, 50), (64, 784, 128),
            (256, 512, 24), (255, 511, 129), (2048, 64, 10), (2048, 100, 100), (256, 512, 512),
            (900, 900, 900))  # fmt: skip
SIZES = ((1, 10), (1, 1000), (7, 33), (32, 64), (101, 100), (256, 512), (2047, 129), (2048, 1024))
LOSS_SIZES = ((1, 10), (7, 3), (64, 10), (255, 33), (512, 1000), (2048, 16))
UPDATES = ((1, 100), (1, 10_001), (1, 1_000_000))
LARGEST_FLOAT64 = 300_000  # numbers: beyond, float64 tells nothing new and takes long
COMMON = ("relu", "tanh", "sigmoid")  # activations at every size and dtype; the others at two
COMMON_LOSSES = ("mse", "cross_entropy")
FEW = (((7, 33), "float64"), ((256, 512), "float32"))
FEW_LOSSES = (((7, 3), "float64"), ((255, 33), "float32"))
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Cell:
    """family: product, activation, backward, loss, softmax or update; options: of the function."""

    family: str
    function: str
    rows: int
    columns: int
    inner: int = 0
    dtype: str = "float32"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        size = (self.rows, self.inner, self.columns) if self.inner else (self.rows, self.columns)
        words = [self.function, *map(str, self.options.values()), "×".join(map(str, size)), self.dtype]
        return " ".join(words)


def all_cells() -> list[Cell]:
    """Every function that this gradcore has and NumPy has a short program for."""
    kernels: Any = import_module("gradcore.kernels")
    fused = "activation" in inspect.signature(kernels.dense_forward).parameters
    cells = []
    for dtype in DTYPES:
        for rows, inner, columns in PRODUCTS:
            if dtype == "float64" and inner * columns > LARGEST_FLOAT64:
                continue
            size = {"rows": rows, "columns": columns, "inner": inner, "dtype": dtype}
            cells.append(Cell("product", "gemm", **size))
            if hasattr(kernels, "pack"):
                cells.append(Cell("product", "gemm", **size, options={"b": "packed"}))
            cells.append(Cell("product", "dense_forward", **size))
            if fused:
                cells.append(Cell("product", "dense_forward", **size, options={"activation": "relu"}))
            cells.append(Cell("product", "dense_backward", **size))
    names = [n for n in numpy_kernels.ACTIVATIONS if hasattr(kernels, n)]
    for name in names:
        points = grid(SIZES) if name in COMMON else FEW
        for (rows, columns), dtype in points:
            cells.append(Cell("activation", name, rows, columns, dtype=dtype))
            cells.append(Cell("backward", f"{name}_backward", rows, columns, dtype=dtype))
    for name in numpy_kernels.LOSSES:
        points = grid(LOSS_SIZES) if name in COMMON_LOSSES else FEW_LOSSES
        for (rows, columns), dtype in points:
            cells.append(Cell("loss", name, rows, columns, dtype=dtype))
    cells += [Cell("softmax", "softmax", *size, dtype=dtype) for size, dtype in grid(LOSS_SIZES)]
    for name in numpy_kernels.OPTIMIZERS:
        cells += [Cell("update", name, *size, dtype=dtype) for size, dtype in grid(UPDATES)]
    return cells


def grid(sizes: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, int], str]]:
    return [
        (size, dtype) for size in sizes for dtype in DTYPES
        if dtype == "float32" or math.prod(size) <= LARGEST_FLOAT64
    ]  # fmt: skip


def left_out() -> list[str]:
    """Public functions that no cell measures."""
    kernels: Any = import_module("gradcore.kernels")
    measured = {cell.function for cell in all_cells()} | {"softmax_cross_entropy", "pack"}
    return [name for name in kernels.__all__ if name not in measured]


@cache
def made(rows: int, columns: int, dtype: str, key: int) -> Array:
    """Standard normal numbers; the cells of a process share them, since a call that writes has its `out`."""
    return np.random.default_rng(key).standard_normal((rows, columns), dtype)


def call_of(cell: Cell, side: str) -> Callable[[], object]:
    return {"product": product, "activation": activation, "backward": backward, "loss": loss,
            "softmax": softmax, "update": update}[cell.family](cell, side)  # fmt: skip


def product(cell: Cell, side: str) -> Callable[[], object]:
    kernels: Any = import_module("gradcore.kernels")
    x, w = made(cell.rows, cell.inner, cell.dtype, 1), made(cell.inner, cell.columns, cell.dtype, 2)
    b = made(1, cell.columns, cell.dtype, 3)[0]
    out = made(cell.rows, cell.columns, cell.dtype, 4)
    if cell.function == "dense_backward":
        d_y = made(cell.rows, cell.columns, cell.dtype, 5)
        d_x, d_w, d_b = made(*x.shape, cell.dtype, 6), made(*w.shape, cell.dtype, 7), np.empty_like(b)
        if side == "gradcore":
            return lambda: kernels.dense_backward(x, w, d_y, out=(d_x, d_w, d_b))

        def whole() -> None:
            np.matmul(d_y, w.T, out=d_x)
            np.matmul(x.T, d_y, out=d_w)
            np.sum(d_y, axis=0, out=d_b)

        return whole
    if cell.function == "gemm":
        if side == "numpy":
            return lambda: np.matmul(x, w, out=out)
        right = kernels.pack(w) if cell.options else w
        return lambda: kernels.gemm(x, right, out=out)
    if side == "gradcore":
        return lambda: kernels.dense_forward(x, w, b, out=out, **cell.options)

    def forward() -> None:
        np.matmul(x, w, out=out)
        np.add(out, b, out=out)
        if cell.options:
            np.maximum(out, 0, out=out)

    return forward


def arrays(cell: Cell) -> list[Array]:
    """Two to read and one to write."""
    return [made(cell.rows, cell.columns, cell.dtype, key) for key in (1, 5, 4)]


def activation(cell: Cell, side: str) -> Callable[[], object]:
    x, _, out = arrays(cell)
    if side == "numpy":
        forward, _ = numpy_kernels.ACTIVATIONS[cell.function]
        return lambda: forward(x, out)
    function = getattr(import_module("gradcore.kernels"), cell.function)
    return lambda: function(x, out=out)


def backward(cell: Cell, side: str) -> Callable[[], object]:
    x, d_y, out = arrays(cell)
    if side == "numpy":
        _, slope = numpy_kernels.ACTIVATIONS[cell.function.removesuffix("_backward")]
        return lambda: slope(x, d_y, out)
    function = getattr(import_module("gradcore.kernels"), cell.function)
    return lambda: function(x, d_y, out=out)


def loss(cell: Cell, side: str) -> Callable[[], object]:
    """With the gradient. Labels are int64, NumPy's own integers."""
    z, other, d_z = arrays(cell)
    labels = cell.function == "cross_entropy"
    target = np.arange(cell.rows) * 7 % cell.columns if labels else (other > 0).astype(cell.dtype)
    if side == "numpy":
        program = numpy_kernels.LOSSES[cell.function]
        return lambda: program(z, target, d_z)
    function = getattr(import_module("gradcore.kernels"), cell.function)
    out = (np.empty(cell.rows), d_z)
    return lambda: function(z, target, gradient=True, out=out)


def softmax(cell: Cell, side: str) -> Callable[[], object]:
    z, _, out = arrays(cell)
    if side == "numpy":
        return lambda: numpy_kernels.softmax(z, out)
    kernels: Any = import_module("gradcore.kernels")
    return lambda: kernels.softmax(z, out=out)


def update(cell: Cell, side: str) -> Callable[[], object]:
    g, _, scratch = arrays(cell)
    w = made(cell.rows, cell.columns, cell.dtype, 8)
    if side == "numpy":
        slots = [np.zeros_like(w), np.zeros_like(w)]
        program = numpy_kernels.OPTIMIZERS[cell.function]
        return lambda: program(w, g, slots, scratch)
    optimizer = make_optimizer(cell.function)
    return lambda: optimizer.update([w], [g])


# ---- In the workers ----


class Group:
    """Cells of one library for its turn, or of both for calls that take turns."""

    def __init__(self, cells: list[Fields], sides: list[str]) -> None:
        parsed = [Cell(**fields) for fields in cells]
        self.calls = [[call_of(cell, side) for side in sides] for cell in parsed]
        self.counts: list[int] = []

    def turns(self, seconds: float) -> list[list[float]]:
        """[seconds a call] of each cell, a tenth of the turn unmeasured."""
        each = [call for (call,) in self.calls]
        if not self.counts:
            self.counts = [calls_within(call, seconds) for call in each]
        result = []
        for call, count in zip(each, self.counts, strict=True):
            repeat(call, -(-count // 10) if count > 1 else 0)
            result.append([repeat(call, count) / count])
        return result

    def interleaved(self, seconds: float) -> list[list[float]]:
        """Mean seconds a call of [gradcore, numpy] for each cell."""
        if not self.counts:
            both = [[calls_within(call, seconds) for call in pair] for pair in self.calls]
            self.counts = [max(1, round(2 / sum(1 / count for count in counts))) for counts in both]
        clock = cost_of_clock()
        return [
            alternate(pair, count, clock) for pair, count in zip(self.calls, self.counts, strict=True)
        ]

    def close(self) -> None:
        pass


def repeat(call: Callable[[], object], count: int) -> float:
    start = perf_counter()
    for _ in range(count):
        call()
    return perf_counter() - start


def calls_within(call: Callable[[], object], seconds: float) -> int:
    """Calls that fill about so much time, found by doubling; one at least."""
    count = 1
    repeat(call, 1)
    while (taken := repeat(call, count)) < seconds / 2:
        count = min(count * 8, max(count + 1, round(count * seconds / max(taken, 1e-9))))
    return max(1, round(count * seconds / taken))


def cost_of_clock() -> float:
    """What a look at the clock adds to the time of a call."""
    looks = [perf_counter() for _ in range(200)]
    return statistics.median(b - a for a, b in zip(looks, looks[1:], strict=False))


def alternate(pair: list[Callable[[], object]], count: int, clock: float) -> list[float]:
    first, second = pair
    mine = theirs = 0.0
    if count > 1:
        first()
        second()
    for _ in range(count):
        start = perf_counter()
        first()
        middle = perf_counter()
        second()
        end = perf_counter()
        mine += middle - start
        theirs += end - middle
    return [max(total / count - clock, 1e-9) for total in (mine, theirs)]


# ---- The run ----


def measure(
    cells: Sequence[Cell], load: str, way: str, workers: dict[str, Worker], rounds: int, turn: float
) -> list[Record]:
    """Two records a cell; samples are the means of the turns."""
    sides = {"gradcore": ["gradcore"], "numpy": ["numpy"]} if way == "turns" else {"both": list(SIDES)}
    fields = [asdict(cell) for cell in cells]
    for label, names in sides.items():
        workers[label].open("kernel_library:Group", {"cells": fields, "sides": names})
    samples: dict[tuple[str, int], list[float]] = {}
    with busy(LOADS[load]):
        for i in range(rounds + 1):  # the first counts calls and is left out
            labels = list(sides)
            for label in labels if i % 2 else labels[::-1]:
                harness.settle(list(workers.values()) if turn > QUICK_TURN else [])
                for index, times in enumerate(workers[label].call(way, turn)):
                    for side, seconds in zip(sides[label], times, strict=True):
                        samples.setdefault((side, index), []).append(seconds)
    records = []
    for index, cell in enumerate(cells):
        for side in SIDES:
            taken = samples[side, index][1:]
            case = f"{cell.title}, {load}, {way}"
            record = harness.make_record("kernels", case, side, taken, unit="call", calls=rounds)
            record.notes["mean"] = statistics.fmean(taken)
            records.append(record)
    return records


def groups_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Products apart from the rest: NumPy's threads spin after those alone."""
    apart = [[c for c in cells if c.family == "product"], [c for c in cells if c.family != "product"]]
    return [part[i : i + GROUP] for part in apart for i in range(0, len(part), GROUP)]


def choose_cells(arguments: argparse.Namespace) -> list[Cell]:
    """In a quick run the smallest cell of each function only."""
    cells = [cell for cell in all_cells() if arguments.only in cell.title and cell.dtype in arguments.dtypes]
    if arguments.quick:
        smallest: dict[str, Cell] = {}
        for cell in sorted(cells, key=lambda c: c.rows * c.columns * max(c.inner, 1)):
            smallest.setdefault(cell.function + str(cell.options), cell)
        cells = list(smallest.values())
    return cells


def run(arguments: argparse.Namespace, cells: Sequence[Cell]) -> list[Record]:
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    turn = min(arguments.turn, QUICK_TURN) if arguments.quick else arguments.turn
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    try:
        for label in (*SIDES, "both"):
            workers[label] = Worker("kernel_cases:ready", {})
        for load in LOADS:
            for number, group in enumerate(groups := groups_of(cells), 1):
                say(f"{load}, group {number} of {len(groups)}: {group[0].title} ...")
                for way in WAYS:
                    records += measure(group, load, way, workers, rounds, turn)
    finally:
        for worker in workers.values():
            worker.close()
    return records


# ---- The report ----


@dataclass(frozen=True)
class Pair:
    """NumPy's time and ours of a cell, under a load and in one way."""

    title: str
    setting: str
    own: float
    numpy: float

    @property
    def ratio(self) -> float:
        """Above 1 where gradcore is ahead."""
        return self.numpy / self.own

    @property
    def tiny(self) -> bool:
        return self.numpy < TINY

    @property
    def met(self) -> bool:
        return self.ratio >= LEAST or (self.tiny and self.own - self.numpy <= ALLOWANCE)


def pairs_of(records: Sequence[Record], key: Callable[[Record], float]) -> list[Pair]:
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        found.setdefault(record.case, {})[record.contender] = record
    pairs = []
    for case, both in found.items():
        title, load, way = case.rsplit(", ", 2)
        pairs.append(Pair(title, f"{load}, {way}", key(both["gradcore"]), key(both["numpy"])))
    return pairs


def summary(pairs: Sequence[Pair], kind: str) -> list[str]:
    lines = []
    for setting in dict.fromkeys(pair.setting for pair in pairs):
        cells = [pair for pair in pairs if pair.setting == setting]
        tiny = [pair for pair in cells if pair.tiny]
        ahead = sum(pair.ratio > 1 for pair in cells)
        good = sum(pair.ratio >= LEAST for pair in cells)
        met = sum(pair.met for pair in cells)
        line = f"- {setting}, {kind}: {good} of {len(cells)} cells at {LEAST:g} of NumPy or better, "
        line += f"ahead in {ahead} ({100 * ahead / len(cells):.0f} %, wanted: {AHEAD_SHARE:.0%}); "
        if tiny:
            more = max(pair.own - pair.numpy for pair in tiny)
            close = sum(pair.own - pair.numpy <= ALLOWANCE for pair in tiny)
            line += f"of {len(tiny)} where NumPy takes under {harness.duration(TINY)}, {close} take at most "
            line += f"{harness.duration(ALLOWANCE)} more (the most: {difference(more)}); "
        done = met == len(cells) and ahead >= AHEAD_SHARE * len(cells)
        lines.append(f"{line}{len(cells) - met} cells miss both: {'met' if done else 'MISSED'}")
    return lines


def difference(seconds: float) -> str:
    return ("-" if seconds < 0 else "") + harness.duration(max(abs(seconds), 1e-12))


def report(records: Sequence[Record]) -> str:
    """The settings side by side for every cell, what they come to, and the worst."""
    pairs = pairs_of(records, lambda record: record.median)
    settings = list(dict.fromkeys(pair.setting for pair in pairs))
    cells: dict[str, dict[str, Pair]] = {}
    for pair in pairs:
        cells.setdefault(pair.title, {})[pair.setting] = pair
    rows = []
    for title, found in cells.items():
        first = found[settings[0]]
        shown = [f"{pair.ratio:.2f}{'' if pair.met else ' !'}" for pair in map(found.get, settings) if pair]
        rows.append([title, harness.duration(first.own), harness.duration(first.numpy), *shown])
    parts = [harness.markdown(["call", "gradcore", "NumPy", *settings], rows)]
    parts.append(
        f"{len(cells)} cells. Times are those of {settings[0]}; ratios are NumPy's time over gradcore's. "
        f"! marks what is below {LEAST:g} and, where NumPy takes under {harness.duration(TINY)}, also takes "
        f"more than {harness.duration(ALLOWANCE)} longer."
    )
    means = pairs_of(records, lambda record: record.notes["mean"])
    parts.append("\n".join(summary(pairs, "medians") + summary(means, "means")))
    misses = sorted((pair for pair in pairs if not pair.met), key=lambda pair: pair.ratio)[:WORST]
    if misses:
        worst = [
            [p.title, p.setting, harness.duration(p.own), harness.duration(p.numpy), f"{p.ratio:.2f}",
             difference(p.own - p.numpy)]
            for p in misses
        ]  # fmt: skip
        header = ["the worst", "setting", "gradcore", "NumPy", "NumPy / gradcore", "more"]
        parts.append(harness.markdown(header, worst))
    missing = left_out()
    if missing:
        parts.append(f"Without a short NumPy program and left out: {', '.join(missing)}.")
    return "\n\n".join(parts)
