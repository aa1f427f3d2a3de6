"""Time of each kernel next to NumPy: products, activations, losses, optimizers, layers, instruction sets.

    python bench/kernels.py                              # everything: some minutes
    python bench/kernels.py --only gemm                  # cases whose title contains this
    python bench/kernels.py --only "activation gelu" --quick

The shares of peak are of the float32 FMA rate that peak.c reaches in the same run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module

import harness
from harness import Record, Unsupported, Worker, WorkerError, say
from kernel_cases import Case, all_cases
from peak import fma_peak

LIBRARIES = ("gradcore", "gradcore 1 thread", "numpy")
ROUNDS = 9


def measure(case: Case, workers: dict[str, Worker], arguments: argparse.Namespace) -> list[Record]:
    say(case.title)
    ready = {}
    for library, worker in workers.items():
        try:
            worker.open("kernel_cases:open_case", {"library": library, "fields": asdict(case)})
            ready[library] = worker
        except Unsupported as reason:
            if library == "gradcore":
                say(f"  {library}: left out, {reason}")
    rounds = arguments.rounds or (2 if arguments.quick else ROUNDS)
    turn = 0.002 if arguments.quick else arguments.turn
    records = []
    for library, (calls, samples) in harness.interleave(ready, "call", rounds, turn).items():
        median = harness.quartiles(samples)[1]
        if case.flops:
            notes = {"rate": f"{case.flops / median / 1e9:.3g} GFLOP/s"}
        else:
            notes = {"rate": f"{case.rows * case.columns / median / 1e9:.3g} Gelem/s"}
        records.append(
            harness.make_record("kernels", case.title, library, samples, unit="call", calls=calls, **notes)
        )
    return records


def add_share_of_peak(records: Sequence[Record], cases: Sequence[Case]) -> str:
    """Note each product's share of the FMA peak of the cores it had; say how the peak was found."""
    peak = fma_peak()
    flops = {case.title: case.flops for case in cases if case.flops}
    rates = {id(r): flops[r.case] / r.median / 1e9 for r in records if r.case in flops}
    if not rates:
        return ""
    one, every = peak or (max(rates.values()), max(rates.values()))
    for r in records:
        if id(r) in rates:
            alone = r.contender == "gradcore 1 thread" or r.case.startswith("isa ")
            r.notes["of peak"] = f"{100 * rates[id(r)] / (one if alone else every):.0f} %"
    if peak is None:
        return f"No C compiler: shares are of the fastest product here, {one:.0f} GFLOP/s."
    return f"FMA peak, float32: {one:.0f} GFLOP/s on one core, {every:.0f} on all cores at once."


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Kernel times of gradcore and NumPy.",
        epilog='example: python bench/kernels.py --only "gemm forward" --jsonl new.jsonl',
    )
    parser.add_argument("--only", default="", help="cases whose title contains this")
    harness.add_common_options(parser)
    parser.set_defaults(turn=0.03)
    arguments = parser.parse_args(argv)
    core = import_module("gradcore._core")
    cases = [case for case in all_cases(core) if arguments.only in case.title]
    workers: dict[str, Worker] = {}
    records: list[Record] = []
    try:
        for library in LIBRARIES:
            workers[library] = Worker("kernel_cases:ready", {})
        for case in cases:
            records += measure(case, workers, arguments)
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    finally:
        for worker in workers.values():
            worker.close()
    peak = add_share_of_peak(records, cases)
    text = "\n\n".join(filter(None, [peak, harness.table(records, columns=["rate", "of peak"])]))
    if arguments.quick:
        text += "\n\nA quick run: the times mean nothing."
    harness.finish_report(arguments, records, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
