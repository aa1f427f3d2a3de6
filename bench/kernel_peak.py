"""One thread, percent of the FMA peak: the products of a training step on each instruction set.

Forward and backward-data are the product kernel alone, with W (or its transpose) in panels, as a network
keeps it. Backward-weight with its update has no call of its own in the kernel table, so a trainer of one
Dense layer runs it: the time of a whole step on one thread, less the time of an evaluation of the same
batch (forward and loss). What is left holds the product, the update, the loss's gradient and the step's
bookkeeping; only the product's operations are counted.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import harness
import numpy as np
from harness import Record, Unsupported, Worker, say
from kernel_cases import Case, Runner

LONG_TURN = 0.2  # seconds: after the pause before a turn a core needs some time to reach its clock
QUICK_FLOPS = 5e8  # the largest product of a quick run


@dataclass(frozen=True)
class Row:
    """A line of the table: C (rows, columns) with a chain of `depth`; optimizer: through a trainer."""

    title: str
    form: str
    rows: int
    depth: int
    columns: int
    optimizer: str = ""

    @property
    def flops(self) -> int:
        return 2 * self.rows * self.depth * self.columns


ROWS = (
    Row("forward 512×784 · 784×512", "forward", 512, 784, 512),
    Row("backward-data of the same", "backward-data", 512, 512, 784),
    Row("backward-weight of the same with SGD, batch 128", "backward-weight", 784, 128, 512, "SGD"),
    Row("backward-weight of the same with SGD, batch 512", "backward-weight", 784, 512, 512, "SGD"),
    Row("backward-weight of the same with Adam, batch 128", "backward-weight", 784, 128, 512, "Adam"),
    Row("backward-weight of the same with Adam, batch 512", "backward-weight", 784, 512, 512, "Adam"),
    Row("square 1024", "forward", 1024, 1024, 1024),
    Row("1024×4096 · 4096×4096", "forward", 1024, 4096, 4096),
    Row("64 wide, batch 32", "forward", 32, 64, 64),
)


def open_row(fields: dict[str, Any], isa: str) -> Runner:
    row = Row(**fields)
    if row.optimizer:
        return update_runner(row, isa)
    case = Case("gemm", row.form, row.rows, row.columns, depth=row.depth)
    return Runner(product=import_module("kernel_isas").isa_call(case, isa))


def update_runner(row: Row, isa: str) -> Runner:
    gc: Any = import_module("gradcore")
    network = gc.Network([gc.Dense(row.columns)], inputs=row.rows, seed=0, threads=1, isa=isa)
    trainer = gc.Trainer(network, "mse", getattr(gc.optimizers, row.optimizer)(lr=1e-3))
    rng = np.random.default_rng(9)
    x = rng.standard_normal((row.depth, row.rows), np.float32)
    y = rng.standard_normal((row.depth, row.columns), np.float32)
    return Runner(step=lambda: trainer.step(x, y), rest=lambda: trainer.evaluate(x, y))


def measure(
    row: Row, workers: dict[str, Worker], peaks: dict[str, Worker], rounds: int, turn: float
) -> list[Record]:
    """A record an instruction set; its samples are seconds of the product (and update) alone.

    The peak takes its turns with them: a core's clock moves by a third from one minute to the next.
    """
    say(f"peak {row.title}")
    modes = ("step", "rest") if row.optimizer else ("product",)
    for isa, worker in workers.items():
        worker.open("kernel_peak:open_row", {"fields": asdict(row), "isa": isa})
    subjects = {f"{isa} {mode}": (worker, mode) for isa, worker in workers.items() for mode in modes}
    subjects |= {f"{isa} peak": (worker, "peak") for isa, worker in peaks.items()}
    times = harness.take_turns(subjects, rounds, turn)
    records = []
    for isa in workers:
        calls, samples = times[f"{isa} {modes[0]}"]
        if row.optimizer:
            _, rest = times[f"{isa} rest"]
            samples = [whole - part for whole, part in zip(samples, rest, strict=True)]
        median = harness.quartiles(samples)[1]
        rate = row.flops / median / 1e9 if median > 0 else float("nan")
        notes = {"rate": f"{rate:.4g} GFLOP/s"}
        if isa in peaks:
            flops = peaks[isa].call("flops")
            spins = times[f"{isa} peak"][1]
            shares = [row.flops / own / (flops / spin) for own, spin in zip(samples, spins, strict=True)]
            notes["of peak"] = f"{100 * harness.quartiles(shares)[1]:.0f} %"
        record = harness.make_record("kernels", f"peak {row.title}", isa, samples, unit="call", calls=calls)
        record.notes.update(notes)
        records.append(record)
    return records


def measure_all(isas: list[str], arguments: argparse.Namespace, rounds: int) -> list[Record]:
    """The rows that --only names and a quick run has time for, on the instruction sets given."""
    rows = [row for row in ROWS if arguments.only in f"peak {row.title}"]
    if arguments.quick:
        rows = [row for row in rows if row.flops <= QUICK_FLOPS]
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    peaks: dict[str, Worker] = {}
    try:
        for isa in isas:
            workers[isa] = Worker("kernel_cases:ready", {})
            try:
                peaks[isa] = Worker("peak:FmaPeak", {"isa": isa})
            except Unsupported as reason:
                say(f"{isa}: no share of the peak, {reason}")
        for row in rows:
            turn = arguments.turn if arguments.quick else max(arguments.turn, LONG_TURN)
            records += measure(row, workers, peaks, rounds, turn)
    finally:
        for worker in [*workers.values(), *peaks.values()]:
            worker.close()
    return records


def report(records: list[Record], isas: list[str]) -> str:
    """The table, rows as in ROWS, one column an instruction set."""
    found = {(r.case, r.contender): r for r in records}
    rows = []
    for row in ROWS:
        cells = [found.get((f"peak {row.title}", isa)) for isa in isas]
        if any(cells):
            shown = [f"{c.notes.get('of peak', '?')} ({c.notes['rate']})" if c else "" for c in cells]
            rows.append([row.title, *shown])
    if not rows:
        return ""
    head = (
        "One thread, percent of the FMA peak of each instruction set, measured in the same turns (float32):"
    )
    return head + "\n\n" + harness.markdown(["", *isas], rows)
