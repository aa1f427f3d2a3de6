"""Time of a step over threads, width, batch and depth, and how well gradcore chooses its threads.

    python bench/scaling.py --only width batch --contenders gradcore numpy torch-fused
    python bench/scaling.py --only grid          # automatic threads against every fixed number
    python bench/scaling.py --quick

Nets are width-…-width-10 with relu, cross-entropy and Adam. The grid has two hidden layers; its goal is
time(auto) at most 1.05 times the best fixed number at every point.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import harness
from harness import Record, Unsupported, Worker, WorkerError, say
from machine import cores
from nets import Net
from peers import CONTENDERS

FACTORY = "peers:open_contender"
SWEEPS = ("threads", "width", "batch", "depth", "grid")
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
DEPTHS = (1, 2, 4, 8, 16, 32)
THREAD_WIDTHS = (64, 256, 1024)  # nets of the threads sweep
WIDTH, BATCH, HIDDEN = 256, 128, 2  # what a sweep does not vary
GOAL = 1.05
ROUNDS = 5
FLOPS, QUICK_FLOPS = 3e11, 1e7  # of a step: the largest point
SEEN_SECONDS = 0.03  # the kernel counts a thread's time in steps of a few milliseconds
ROWS = 8192  # rows that a point cycles through, where a batch is smaller than a quarter of it


def make_net(width: int, batch: int, hidden: int) -> Net:
    widths = (*[width] * (hidden + 1), 10)
    batches = max(1, min(8, ROWS // batch // 4))
    return Net(f"{width}", widths, batch, "relu", "cross_entropy", batches, 0, ROUNDS)


def points(sweep: str) -> Iterator[tuple[str, Net]]:
    """(case, net) of a sweep over width, batch or depth, and of the threads sweep and the grid."""
    if sweep == "threads":
        yield from ((f"threads, {w} wide", make_net(w, BATCH, HIDDEN)) for w in THREAD_WIDTHS)
    elif sweep == "width":
        yield from ((f"width {w}", make_net(w, BATCH, HIDDEN)) for w in WIDTHS)
    elif sweep == "batch":
        yield from ((f"batch {b}", make_net(WIDTH, b, HIDDEN)) for b in BATCHES)
    elif sweep == "depth":
        yield from ((f"depth {d}", make_net(WIDTH, BATCH, d)) for d in DEPTHS)
    else:
        yield from ((f"grid {w} wide, batch {b}", make_net(w, b, HIDDEN)) for w in WIDTHS for b in BATCHES)


def thread_counts(available: int) -> list[int]:
    """All of up to eight; above, powers of two and the last."""
    if available <= 8:
        return list(range(1, available + 1))
    powers = [2**i for i in range(available.bit_length()) if 2**i < available]
    return [*powers, available]


def counted(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def subjects_of(sweep: str, contenders: Sequence[str], counts: Sequence[int]) -> dict[str, dict[str, Any]]:
    """{label: the name and options of a contender}."""
    fixed = {counted(t): {"name": "gradcore", "options": {"threads": t}} for t in counts}
    if sweep == "threads":
        return fixed
    if sweep == "grid":
        return {"auto": {"name": "gradcore"}, **fixed}
    return {name: {"name": name} for name in contenders}


def measure(
    sweep: str, case: str, net: Net, workers: dict[str, Worker], subjects: dict[str, dict[str, Any]],
    rounds: int, turn: float,
) -> list[Record]:  # fmt: skip
    say(case)
    ready: dict[str, Worker] = {}
    for label, keywords in subjects.items():
        keywords = {**keywords, "net": asdict(net), "rows": net.batch * net.step_batches}
        try:
            if label in workers:
                workers[label].open(FACTORY, keywords)
            else:
                exact = {"GRADCORE_EXACT_THREADS": "1"} if label.endswith(("thread", "threads")) else {}
                workers[label] = Worker(FACTORY, keywords, variables=exact)
            ready[label] = workers[label]
        except Unsupported as reason:
            say(f"  {label}: left out, {reason}")
    records = []
    for label, (calls, samples) in harness.interleave(ready, "step", rounds, turn).items():
        median = harness.quartiles(samples)[1]
        notes: dict[str, Any] = {"GFLOP/s": f"{net.flops / median / 1e9:.1f}"}
        if sweep in ("threads", "grid"):
            notes["threads seen"] = ready[label].call("threads_seen", max(3, round(SEEN_SECONDS / median)))
        record = harness.make_record("scaling", case, label, samples, unit="step", calls=calls)
        record.notes.update(notes)
        records.append(record)
    return records


def grid_report(records: Sequence[Record]) -> str:
    """The ratio auto / best of every point, the share above the goal, and the worst."""
    cases: dict[str, dict[str, Record]] = {}
    for r in records:
        if r.case.startswith("grid "):
            cases.setdefault(r.case.removeprefix("grid "), {})[r.contender] = r
    rows, ratios, chosen = [], {}, {}
    for case, found in cases.items():
        auto = found.pop("auto")
        best = min(found, key=lambda label: found[label].median)
        ratios[case] = auto.median / found[best].median
        times = [harness.duration(r.median) for r in (auto, found[best])]
        seen = auto.notes["threads seen"]
        same = found.get(counted(seen))
        if same:
            chosen[case] = same.median / found[best].median
        told = f"{chosen[case]:.3f}" if same else "?"
        rows.append([case, times[0], str(seen or "?"), times[1], best, f"{ratios[case]:.3f}", told])
    if not rows:
        return ""
    worst = max(ratios, key=lambda case: ratios[case])
    above = sum(ratio > GOAL for ratio in ratios.values())
    header = ["point", "auto", "threads seen", "best fixed", "with", "auto / best", "its number / best"]
    text = harness.markdown(header, rows)
    text += f"\n\n{above} of {len(rows)} points ({100 * above / len(rows):.0f} %) above {GOAL}; "
    text += f"the worst is {worst} with {ratios[worst]:.3f}."
    if chosen:
        missed = sum(ratio > GOAL for ratio in chosen.values())
        worst = max(chosen, key=lambda case: chosen[case])
        text += (
            f"\n\nThe number of threads that auto was seen with, measured as a fixed number, is above {GOAL} "
            f"of the best at {missed} of {len(chosen)} points; the worst is {worst} with {chosen[worst]:.3f}."
        )
    return text


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench scaling",
        description="Time of a step over threads, width, batch and depth; the choice of threads.",
        epilog="example: gradcore bench scaling --only grid --jsonl grid.jsonl",
    )
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS), help="default: all")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=["gradcore", "numpy"], metavar="NAME",
        help=f"of width, batch and depth; of {', '.join(CONTENDERS)} (default: gradcore numpy)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", nargs="+", type=harness.positive_integer, metavar="N",
        help="fixed numbers to try (default: 1, 2, ... up to the cores)",
    )  # fmt: skip
    parser.add_argument(
        "--max-flops", type=harness.positive_number, metavar="F",
        help=f"skip points whose step has more operations (default: {FLOPS:g}; {QUICK_FLOPS:g} with --quick)",
    )  # fmt: skip
    harness.add_common_options(parser, turn=0.03)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = harness.parse(make_parser(), argv)
    rounds = arguments.rounds or (2 if arguments.quick else ROUNDS)
    largest = arguments.max_flops or (QUICK_FLOPS if arguments.quick else FLOPS)
    counts = arguments.threads or thread_counts(cores())
    records: list[Record] = []
    workers: dict[str, Worker] = {}
    skipped = []
    try:
        for sweep in arguments.only:
            subjects = subjects_of(sweep, arguments.contenders, counts)
            for case, net in points(sweep):
                if net.flops > largest:
                    skipped.append(case)
                else:
                    records += measure(sweep, case, net, workers, subjects, rounds, arguments.turn)
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    finally:
        for worker in workers.values():
            worker.close()
    others = [r for r in records if not r.case.startswith("grid ")]
    fixed = [r for r in others if r.case.startswith("threads")]
    sweeps = [r for r in others if r not in fixed]
    parts = [
        f"Where nothing else is said: {WIDTH} wide, {HIDDEN} hidden layers, batch {BATCH}, Adam.",
        harness.table(fixed, baseline=counted(counts[0]), columns=["GFLOP/s", "threads seen"])
        if fixed
        else "",
        harness.table(sweeps, columns=["GFLOP/s"]) if sweeps else "",
        grid_report(records),
        f"Skipped, more than {largest:g} operations a step: {', '.join(skipped)}." if skipped else "",
    ]
    harness.finish_report(arguments, records, "\n\n".join(filter(None, parts)))
    return 0


if __name__ == "__main__":
    harness.run_script(main)
