"""What the choice of threads costs over whole first fits: its time over that of the best fixed number.

    python bench/regret.py --widths 8 64 --batches 16 --steps 30 300
    python bench/regret.py --state fresh
    python bench/regret.py --quick

A fit counts from its first step, with all that the choice tries out on the way. Every sample is the first fit
of a new trainer: in a process that has made no step yet ("fresh"), which does not know either what a barrier
costs, and in one that has trained before ("warm").
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import harness
from harness import Record, Worker, WorkerError, say
from machine import cores
from nets import Net
from peers import Contender, Fields, open_contender
from scaling import counted, thread_counts

STATES = ("fresh", "warm")
WIDTHS = (8, 20, 40, 64, 100, 150, 200, 300)
BATCHES = (16, 64, 256)
STEPS = (30, 300, 3000)
ROUNDS = {30: 9, 300: 7, 3000: 3}  # turns of each contender: long fits are means of many steps by themselves
HIDDEN = 2
EPOCH = 30  # steps
GOAL, LIMIT, SHARE = 1.05, 1.10, 0.9
SHORT, ALLOWANCE = 30, 20e-6  # a fit of so many steps may take so many seconds more instead
QUICK_WIDTHS, QUICK_BATCHES, QUICK_STEPS = (8, 40), (16,), (30,)


def make_net(width: int, batch: int) -> Net:
    return Net(f"{width}", (*[width] * (HIDDEN + 1), 10), batch, "relu", "cross_entropy", EPOCH, 0, 1)


CHILD = """
import pickle, sys, regret
options, net, steps = pickle.load(sys.stdin.buffer)
print(regret.Fits(options).warm(net, steps))
"""


class Fits:
    """Whole fits of new trainers, in this process or in new ones that have made no step.

    A new one has imported everything and trained a step of a tiny net on one thread to have done so; no
    thread of the engine has been started and no time of it taken.
    """

    def __init__(self, options: Fields) -> None:
        self.options = options
        tiny = replace(make_net(4, 1), step_batches=1)
        self.make(asdict(tiny), {"threads": 1}).run("epoch", 1)

    def make(self, net: Fields, options: Fields) -> Contender:
        return open_contender("gradcore", net, net["batch"] * net["step_batches"], None, options)

    def warm(self, net: Fields, steps: int) -> float:
        """Seconds of the first fit of a new trainer."""
        contender = self.make(net, self.options)
        start = perf_counter()
        contender.run("epoch", steps // net["step_batches"])
        return perf_counter() - start

    def fresh(self, net: Fields, steps: int) -> float:
        """The same in a new process: a forked child may start no threads."""
        told = pickle.dumps((self.options, net, steps))
        folder = str(Path(__file__).resolve().parent)
        done = subprocess.run(
            [sys.executable, "-c", CHILD], input=told, capture_output=True, cwd=folder, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"a child of regret.py failed: {done.stderr.decode()[-500:]}")
        return float(done.stdout)

    def close(self) -> None:
        pass


def case_name(state: str, steps: int, width: int, batch: int) -> str:
    return f"{state}, {steps} steps, {width} wide, batch {batch}"


def measure(
    state: str, steps: int, width: int, batch: int, workers: dict[str, Worker], rounds: int
) -> list[Record]:
    """A record a contender; samples are seconds of one fit."""
    case = case_name(state, steps, width, batch)
    say(case)
    net = asdict(make_net(width, batch))
    samples: dict[str, list[float]] = {label: [] for label in workers}
    labels = list(workers)
    if state == "warm":  # the process's own measurements are made by now
        for worker in workers.values():
            worker.call(state, net, EPOCH)
    for i in range(rounds):
        first = i % len(labels)
        for label in labels[first:] + labels[:first]:
            harness.settle(list(workers.values()))
            samples[label].append(workers[label].call(state, net, steps))
    return [
        harness.make_record("regret", case, label, taken, unit="fit", calls=1, steps=steps)
        for label, taken in samples.items()
    ]


@dataclass(frozen=True)
class Cell:
    """A point of the grid: the time of gradcore's own choice, and of the best fixed number."""

    case: str
    steps: int
    own: float
    best: float
    label: str

    @property
    def ratio(self) -> float:
        return self.own / self.best

    def within(self, limit: float) -> bool:
        spared = ALLOWANCE if self.steps <= SHORT else 0.0
        return self.own <= max(limit * self.best, self.best + spared)


def cells_of(records: Sequence[Record]) -> list[Cell]:
    cases: dict[str, dict[str, Record]] = {}
    for record in records:
        cases.setdefault(record.case, {})[record.contender] = record
    cells = []
    for case, found in cases.items():
        own = found["gradcore"]
        fixed = [record for label, record in found.items() if label != "gradcore"]
        best = min(fixed, key=lambda record: record.median)
        cells.append(Cell(case, own.notes["steps"], own.median, best.median, best.contender))
    return cells


def report(records: Sequence[Record]) -> str:
    """Every point, then a line for each length and state of process."""
    cells = cells_of(records)
    rows, groups = [], {}
    for cell in cells:
        verdict = "" if cell.within(GOAL) else f"> {GOAL:g}" if cell.within(LIMIT) else f"> {LIMIT:g}"
        times = [harness.duration(t / cell.steps) for t in (cell.own, cell.best)]
        more = harness.duration(cell.own - cell.best) if cell.own > cell.best else "0"
        rows.append([cell.case, times[0], times[1], cell.label, f"{cell.ratio:.3f}", more, verdict])
        groups.setdefault(cell.case.split(" steps")[0], []).append(cell)
    header = ["first fit", "auto, a step", "best fixed, a step", "with", "auto / best", "more, a fit", ""]
    lines = [harness.markdown(header, rows), ""]
    for group, found in groups.items():
        good = sum(cell.within(GOAL) for cell in found)
        bad = sum(not cell.within(LIMIT) for cell in found)
        worst = max(found, key=lambda cell: cell.ratio)
        met = good >= SHARE * len(found) and not bad
        lines.append(
            f"- {group} steps: {good} of {len(found)} cells within {GOAL:g} (wanted: {SHARE:.0%}), "
            f"{bad} above {LIMIT:g} (wanted: 0); the largest ratio is {worst.ratio:.3f}: "
            f"{'met' if met else 'MISSED'}"
        )
    return "\n".join(lines)


def whole_epochs(text: str) -> int:
    value = harness.positive_integer(text)
    if value % EPOCH:
        raise argparse.ArgumentTypeError(
            f"expected a multiple of {EPOCH}, the steps of an epoch, got {text!r}"
        )
    return value


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench regret",
        description="Whole first fits with gradcore's own choice of threads against every fixed number.",
        epilog="example: gradcore bench regret --widths 8 64 --steps 30 300 --jsonl regret.jsonl",
    )
    number = {"nargs": "+", "type": harness.positive_integer, "metavar": "N"}
    parser.add_argument("--widths", **number, help=f"default: {' '.join(map(str, WIDTHS))}")
    parser.add_argument("--batches", **number, help=f"default: {' '.join(map(str, BATCHES))}")
    parser.add_argument(
        "--steps", nargs="+", type=whole_epochs, metavar="N",
        help=f"of a fit, multiples of {EPOCH} (default: {' '.join(map(str, STEPS))})",
    )  # fmt: skip
    parser.add_argument("--state", nargs="+", choices=STATES, default=list(STATES), help="default: both")
    parser.add_argument(
        "--threads", **number, help="fixed numbers to try (default: 1, 2, ... up to the cores)"
    )
    harness.add_common_options(parser)
    return parser


def start(counts: Sequence[int]) -> dict[str, Worker]:
    factory = "regret:Fits"
    workers = {"gradcore": Worker(factory, {"options": {}})}
    try:
        for n in counts:
            exact = {"GRADCORE_EXACT_THREADS": "1"}
            workers[counted(n)] = Worker(factory, {"options": {"threads": n}}, variables=exact)
    except BaseException:
        for worker in workers.values():
            worker.close()
        raise
    return workers


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser()
    arguments = harness.parse(parser, argv)
    widths = arguments.widths or (QUICK_WIDTHS if arguments.quick else WIDTHS)
    batches = arguments.batches or (QUICK_BATCHES if arguments.quick else BATCHES)
    lengths = arguments.steps or (QUICK_STEPS if arguments.quick else STEPS)
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    try:
        workers = start(arguments.threads or thread_counts(cores()))
        for state in arguments.state:
            for steps in lengths:
                usual = ROUNDS[min(ROUNDS, key=lambda n: abs(n - steps))]
                rounds = arguments.rounds or (1 if arguments.quick else usual)
                for width in widths:
                    for batch in batches:
                        records += measure(state, steps, width, batch, workers, rounds)
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    finally:
        for worker in workers.values():
            worker.close()
    about = f"Nets are width-width-width-10, relu, cross-entropy, Adam; an epoch has {EPOCH} steps."
    harness.finish_report(arguments, records, f"{about}\n\n{report(records)}")
    return 0


if __name__ == "__main__":
    harness.run_script(main)
