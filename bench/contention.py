"""Time of steps, fits, predictions and products beside other work, and of many trainers at once.

    python bench/contention.py --only step --nets b c --loads "1 busy" numpy
    python bench/contention.py --only trainers --counts 1 4 16
    python bench/contention.py --quick

gradcore with its own choice of threads is held against itself with one thread and with all cores, under the
same load and in turns with them: its mean may be LIMIT_MEAN times that of the better of them, its 95th
percentile LIMIT_P95 times that of the same one.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import harness
from harness import Record, Unsupported, Worker, WorkerError, say
from machine import cores
from nets import NETS, Net

JOBS = ("step", "fit", "predict", "gemm", "trainers")
# load: (busy processes, what happens in the process of the contender)
LOADS = {
    "idle": (0, ""),
    "1 busy": (1, ""),
    "2 busy": (2, ""),
    "numpy": (0, "numpy"),
    "loader": (0, "loader"),
}
EXTRA_NETS = (
    Net("wide", (800, 500, 400, 10), 128, "relu", "cross_entropy", 20, 128 * 20, 31),
    Net("shallow", (700, 120, 12), 80, "relu", "cross_entropy", 20, 80 * 20, 31),
)
CASES = {net.name: net for net in (NETS["b"], NETS["c"], NETS["d"], *EXTRA_NETS)}
CROWDED = ("b", "c")  # nets of the trainers
PRODUCTS = {"32×32·32×1": (32, 32, 1), "100×300·300×50": (100, 300, 50),
            "256×512·512×512": (256, 512, 512), "900³": (900, 900, 900)}  # fmt: skip
PEERS = ("numpy", "sklearn", "torch", "torch-fused", "jax")
COUNTS = (1, 2, 4, 8, 16)
FIT_BATCHES = 20
ROUNDS = 8
LIMIT_MEAN, LIMIT_P95 = 1.15, 1.3
LEAST_RATE = 0.9  # of many trainers, as a share of that with one thread each, and of one trainer alone
DEFAULT_CONTENDERS = ("gradcore", "sklearn", "torch-fused", "jax", "numpy")
# Of a quick run: nets, the largest product, loads, contenders (the others take seconds to import).
QUICK_NETS, QUICK_FLOPS = ("shallow",), 1e7
QUICK_LOADS, QUICK_CONTENDERS = ("idle", "1 busy", "numpy", "loader"), ("gradcore", "numpy")
# A process that computes until its parent has gone; the parent ends it sooner.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10000))"


@dataclass(frozen=True)
class Subject:
    """One contender: a library and, for gradcore, a fixed number of threads."""

    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, factory: str, keywords: dict[str, Any]) -> Worker:
        exact = {"GRADCORE_EXACT_THREADS": "1"} if self.options else {}
        return Worker(factory, {"name": self.name, "options": self.options, **keywords}, variables=exact)

    def open(self, worker: Worker, factory: str, keywords: dict[str, Any]) -> None:
        worker.open(factory, {"name": self.name, "options": self.options, **keywords})


def subjects_of(contenders: Sequence[str], counts: Sequence[int]) -> list[Subject]:
    """gradcore as it comes and with every fixed number of threads, then the peers."""
    own = []
    if "gradcore" in contenders:
        own = [Subject("gradcore", "gradcore")]
        own += [Subject(f"gradcore {counted(n)}", "gradcore", {"threads": n}) for n in counts]
    return own + [Subject(name, name) for name in contenders if name != "gradcore"]


def counted(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that do nothing but compute."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def percentile_95(samples: Sequence[float]) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


# ---- One job under a load ----


@dataclass(frozen=True)
class Job:
    """A row of the report: what is called, and how a worker opens it."""

    kind: str
    case: str
    factory: str
    keywords: dict[str, Any]


def jobs_of(kinds: Sequence[str], nets: Sequence[str], quick: bool) -> Iterator[Job]:
    for kind in kinds:
        if kind == "gemm":
            for title, size in PRODUCTS.items():
                if quick and 2 * math.prod(size) > QUICK_FLOPS:
                    continue
                yield Job(kind, title, "contention_jobs:open_product", {"size": size})
        elif kind != "trainers":
            for name in nets:
                net = CASES[name]
                batches = min(net.step_batches, FIT_BATCHES)
                keywords = {"job": kind, "net": asdict(net), "rows": net.batch * batches}
                yield Job(kind, name, "contention_jobs:open_job", keywords)


def start(job: Job, subjects: Sequence[Subject], workers: dict[str, Worker]) -> dict[str, Worker]:
    """The workers of those that can take part, opened; `workers` are processes to use again."""
    ready = {}
    for subject in subjects:
        try:
            if subject.label in workers:
                subject.open(workers[subject.label], job.factory, job.keywords)
            else:
                workers[subject.label] = subject.start(job.factory, job.keywords)
            ready[subject.label] = workers[subject.label]
        except Unsupported as reason:
            say(f"  {subject.label}: left out, {reason}")
    return ready


def measure(job: Job, load: str, ready: dict[str, Worker], rounds: int, turn: float) -> list[Record]:
    """A record a contender: its samples are the means of its turns, its notes tell of all calls together."""
    say(f"{job.kind} {job.case}, {load}")
    processes, beside = LOADS[load]
    calls: dict[str, list[list[float]]] = {label: [] for label in ready}
    labels = list(ready)
    everyone = list(ready.values()) if turn > harness.QUICK_TURN else []
    with busy(processes):
        for i in range(rounds):
            first = i % len(labels)
            for label in labels[first:] + labels[:first]:
                harness.settle(everyone)
                calls[label].append(ready[label].call("sample", beside, turn))
    return [job_record(job, load, label, turns) for label, turns in calls.items()]


def job_record(job: Job, load: str, label: str, turns: list[list[float]]) -> Record:
    every = [seconds for turn in turns for seconds in turn]
    means = [statistics.fmean(turn) for turn in turns]
    record = harness.make_record(
        "contention", f"{job.kind} {job.case}, {load}", label, means, unit=job.kind, calls=len(every)
    )
    record.notes.update(
        {"mean": statistics.fmean(every), "p95": percentile_95(every), "one": statistics.median(every)}
    )
    return record


def by_case(records: Sequence[Record]) -> dict[str, dict[str, Record]]:
    cases: dict[str, dict[str, Record]] = {}
    for record in records:
        cases.setdefault(record.case, {})[record.contender] = record
    return cases


def is_fixed(label: str) -> bool:
    return label.startswith("gradcore ")


def calls_report(records: Sequence[Record]) -> str:
    """Mean, 95th percentile and median of a call, by case and contender."""
    rows = []
    for case, found in by_case(records).items():
        own = found.get("gradcore")
        for label, record in found.items():
            times = [harness.duration(record.notes[key]) for key in ("mean", "p95", "one")]
            ratio = f"{record.notes['mean'] / own.notes['mean']:.2f}" if own else ""
            rows.append([case, label, *times, str(record.calls), ratio])
    header = ["case", "contender", "mean", "95th percentile", "median", "calls", "mean × gradcore"]
    return harness.markdown(header, rows) if rows else ""


@dataclass(frozen=True)
class Verdict:
    """gradcore's own choice over the better fixed number of threads."""

    case: str
    best: str
    mean: float  # of all calls
    rounds: float  # the median over the rounds of the ratio of the turns' means
    p95: float

    @property
    def met(self) -> bool:
        return self.mean <= LIMIT_MEAN and self.p95 <= LIMIT_P95


def verdicts(records: Sequence[Record]) -> list[Verdict]:
    result = []
    for case, found in by_case(records).items():
        fixed = {label: record for label, record in found.items() if is_fixed(label)}
        own = found.get("gradcore")
        if own is None or not fixed:
            continue
        best = min(fixed.values(), key=lambda record: record.notes["mean"])
        pairs = zip(own.samples, best.samples, strict=True)
        result.append(
            Verdict(
                case,
                best.contender,
                own.notes["mean"] / best.notes["mean"],
                statistics.median(a / b for a, b in pairs),
                own.notes["p95"] / best.notes["p95"],
            )
        )
    return result


def verdict_report(records: Sequence[Record]) -> str:
    found = verdicts(records)
    if not found:
        return ""
    rows = [
        [v.case, v.best, f"{v.mean:.3f}", f"{v.rounds:.3f}", f"{v.p95:.3f}", "met" if v.met else "MISSED"]
        for v in found
    ]
    header = ["case", "better fixed number", "mean / its mean", "median of rounds", "p95 / its p95",
              f"≤ {LIMIT_MEAN:g}, ≤ {LIMIT_P95:g}"]  # fmt: skip
    worst = max(found, key=lambda v: v.mean)
    text = harness.markdown(header, rows)
    text += f"\n\n{sum(v.met for v in found)} of {len(found)} cases within both limits; "
    return text + f"the largest ratio of means is {worst.mean:.3f}, {worst.case}."


# ---- Many trainers at once ----


def crowd_case(net: str, kind: str, count: int) -> str:
    return f"trainers {net}, {count} in {kind}"


def measure_crowd(
    net: Net, count: int, subjects: Sequence[Subject], kind: str, rounds: int, turn: float,
    workers: dict[str, list[Worker]],
) -> list[Record]:  # fmt: skip
    """`count` trainers of one contender after those of another; samples are seconds per step of all together.

    kind: "threads" of one process, or "processes" with a trainer each. workers: processes to use again.
    """
    case = crowd_case(net.name, kind, count)
    say(case)
    together = 1 if kind == "processes" else count
    keywords = {"net": asdict(net), "rows": net.batch * net.step_batches, "count": together}
    ready: dict[str, list[Worker]] = {}
    for subject in subjects:
        group = workers.setdefault(subject.label, [])
        try:
            needed = count if kind == "processes" else 1
            for worker in group[:needed]:
                subject.open(worker, "contention_jobs:open_crowd", keywords)
            while len(group) < needed:
                group.append(subject.start("contention_jobs:open_crowd", keywords))
            ready[subject.label] = group[:needed]
        except Unsupported as reason:
            say(f"  {subject.label}: left out, {reason}")
    rates: dict[str, list[list[float]]] = {label: [] for label in ready}
    labels = list(ready)
    everyone = [worker for group in ready.values() for worker in group]
    for i in range(rounds):
        first = i % len(labels)
        for label in labels[first:] + labels[:first]:
            harness.settle(everyone if turn > harness.QUICK_TURN else [])
            for worker in ready[label]:
                worker.post("call", "rates", turn)
            rates[label].append([rate for worker in ready[label] for rate in worker.answer("rates")])
    records = []
    for label, turns in rates.items():
        seconds = [1 / sum(each) for each in turns]
        record = harness.make_record("contention", case, label, seconds, unit="step", calls=count)
        record.notes["slowest"] = statistics.median(min(each) * len(each) / sum(each) for each in turns)
        records.append(record)
    return records


def crowd_report(records: Sequence[Record]) -> str:
    """The total rate of every crowd, over that with one thread each and that of one trainer alone."""
    cases = by_case(records)
    rows, ratios = [], {}
    for case, found in cases.items():
        alone = cases.get(f"{case.rpartition(', ')[0]}, 1 in {case.rpartition(' ')[2]}", {})
        single = found.get("gradcore 1 thread")
        for label, record in found.items():
            shares = []
            for base in (single, alone.get(label)):
                share = base.median / record.median if base else None
                shares.append("" if share is None else f"{share:.3f}")
                if label == "gradcore" and share is not None:
                    ratios[case] = min(share, ratios.get(case, share))
            rate, slowest = 1 / record.median, 100 * record.notes["slowest"]
            rows.append([case, label, f"{rate:.4g}", *shares, f"{slowest:.0f} %"])
    if not rows:
        return ""
    header = ["case", "contender", "steps a second, all together", "÷ one thread each", "÷ one alone",
              "slowest ÷ mean"]  # fmt: skip
    text = harness.markdown(header, rows)
    if ratios:
        worst = min(ratios, key=lambda case: ratios[case])
        met = sum(share >= LEAST_RATE for share in ratios.values())
        text += f"\n\n{met} of {len(ratios)} cases with gradcore's own choice reach {LEAST_RATE:g} of both; "
        text += f"the least share is {ratios[worst]:.3f}, {worst}."
    return text


# ---- The script ----


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench contention",
        description="Times beside busy processes, NumPy, a loading thread, and of many trainers at once.",
        epilog='example: gradcore bench contention --only step --nets b c --loads idle "1 busy"',
    )
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="default: all")
    parser.add_argument("--nets", nargs="+", choices=CASES, help="default: all; with --quick the small ones")
    parser.add_argument("--loads", nargs="+", choices=LOADS, help="default: all")
    parser.add_argument(
        "--contenders", nargs="+", choices=("gradcore", *PEERS), metavar="NAME",
        help=f"of gradcore, {', '.join(PEERS)} (default: all but torch)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", nargs="+", type=harness.positive_integer, metavar="N",
        help="fixed numbers to compare with (default: 1 and all cores)",
    )  # fmt: skip
    parser.add_argument(
        "--counts", nargs="+", type=harness.positive_integer, metavar="N",
        help=f"trainers at once (default: {' '.join(map(str, COUNTS))}; 1 2 with --quick)",
    )  # fmt: skip
    harness.add_common_options(parser, turn=0.2)
    return parser


def run_jobs(arguments: argparse.Namespace, subjects: Sequence[Subject], rounds: int) -> list[Record]:
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    try:
        for job in jobs_of(arguments.only, arguments.nets, arguments.quick):
            ready = start(job, subjects, workers)
            for load in arguments.loads if ready else []:
                if job.kind == "gemm" and load == "loader":
                    continue  # a product has no batch to load
                records += measure(job, load, ready, rounds, arguments.turn)
    finally:
        for worker in workers.values():
            worker.close()
    return records


def run_crowds(arguments: argparse.Namespace, subjects: Sequence[Subject], rounds: int) -> list[Record]:
    records: list[Record] = []
    one = [s for s in subjects if s.options.get("threads", 1) == 1 and s.name != "sklearn"]
    nets = [CASES[name] for name in arguments.nets if name in (QUICK_NETS if arguments.quick else CROWDED)]
    for kind in ("threads", "processes"):
        workers: dict[str, list[Worker]] = {}
        try:
            for net in nets:
                for count in arguments.counts:
                    records += measure_crowd(net, count, one, kind, rounds, arguments.turn, workers)
        finally:
            for group in workers.values():
                for worker in group:
                    worker.close()
    return records


def main(argv: Sequence[str] | None = None) -> int:
    arguments = harness.parse(make_parser(), argv)
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    arguments.loads = arguments.loads or (QUICK_LOADS if arguments.quick else LOADS)
    arguments.contenders = arguments.contenders or (
        QUICK_CONTENDERS if arguments.quick else DEFAULT_CONTENDERS
    )
    arguments.nets = arguments.nets or list(QUICK_NETS if arguments.quick else CASES)
    arguments.counts = arguments.counts or ((1, 2) if arguments.quick else COUNTS)
    subjects = subjects_of(arguments.contenders, arguments.threads or sorted({1, cores()}))
    try:
        calls = run_jobs(arguments, subjects, rounds)
        crowds = run_crowds(arguments, subjects, rounds) if "trainers" in arguments.only else []
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    parts = [f"- {name}: {CASES[name].title}" for name in arguments.nets]
    tables = [calls_report(calls), verdict_report(calls), crowd_report(crowds)]
    text = "\n\n".join(["\n".join(parts), *filter(None, tables)])
    harness.finish_report(arguments, [*calls, *crowds], text)
    return 0


if __name__ == "__main__":
    harness.run_script(main)
