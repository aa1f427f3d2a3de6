"""Public functions on plain arrays next to NumPy; with --full the catalogue of all kernels.

    python bench/kernels.py                                     # gradcore.kernels against NumPy: minutes
    python bench/kernels.py --only gemm --dtypes float32        # cells whose title contains this
    python bench/kernels.py --full                              # the catalogue: most of an hour
    python bench/kernels.py --full --only peak                  # "one thread, percent of the FMA peak"
    python bench/kernels.py --full --only "activation gelu" --quick

Without --full see kernel_library.py. Contenders of the catalogue are the call that a user makes, each
instruction set's kernel alone on one thread, and NumPy; it has layers, optimizers, clips and statistics too.
The shares are of the FMA rate and the copy bandwidth that peak.py measures in the same run.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

import harness
import kernel_library
import kernel_peak
from harness import Record, Unsupported, Worker, WorkerError, say
from kernel_cases import COPIED, DTYPES, Case, all_cases
from peak import copy_bandwidth, fma_peak

ROUNDS, FULL_TURN = 9, 0.03  # of the catalogue
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measure(case: Case, workers: dict[str, Worker], rounds: int, turn: float) -> list[Record]:
    say(case.title)
    ready = {}
    for library, worker in workers.items():
        if case.family == "isa" and library.partition(" ")[0] == "gradcore" and library != "gradcore":
            continue  # the case names its instruction set
        try:
            worker.open("kernel_cases:open_case", {"library": library, "fields": asdict(case)})
            ready[library] = worker
        except Unsupported as reason:
            if library == "gradcore":
                say(f"  {library}: left out, {reason}")
    records = []
    timed = harness.interleave(ready, "call", rounds, turn)
    _, copies = timed.pop("copy", (0, []))
    copy = 2e-9 * COPIED / statistics.median(copies) if copies else None
    for library, (calls, samples) in timed.items():
        record = harness.make_record("kernels", case.title, library, samples, unit="call", calls=calls)
        record.notes.update(rates(case, library, record.median, copy))
        records.append(record)
    return records


def rates(case: Case, library: str, seconds: float, copy: float | None = None) -> dict[str, str]:
    """GFLOP/s and the share of the FMA peak, or GB/s and the share of the copy bandwidth.

    copy: GB/s of a copy between the same turns, where there was one: other work on the machine slows both.
    """
    if case.flops:
        rate = case.flops / seconds / 1e9
        notes = {"rate": f"{rate:.3g} GFLOP/s"}
        limit = fma_peak(isa_of(case, library), case.dtype)
        alone = library not in ("gradcore", "numpy") or case.family == "isa"
        if limit:
            notes["of limit"] = f"{100 * rate / (limit.one if alone else limit.every):.0f} % FMA"
        return notes
    if not case.bytes:
        return {"rate": f"{case.rows * case.columns / seconds / 1e9:.3g} Gelem/s"}
    rate = case.bytes / seconds / 1e9
    notes = {"rate": f"{rate:.3g} GB/s"}
    limit = copy_bandwidth()
    if copy or limit:
        notes["of limit"] = f"{100 * rate / (copy or limit.one):.0f} % copy"
    return notes


def isa_of(case: Case, library: str) -> str:
    """The instruction set that a contender runs on; NumPy is held against gradcore's choice."""
    core: Any = import_module("gradcore._core")
    if case.family == "isa" and library == "gradcore":
        return case.name
    way = library.partition(" ")[2]
    return way if way in core.names("isa") else str(core.build_info()["isa"])


def limits(dtypes: Sequence[str], isas: Sequence[str]) -> str:
    lines = []
    for isa in isas:
        for dtype in dtypes:
            peak = fma_peak(isa, dtype)
            if peak:
                lines.append(
                    f"- FMA peak, {isa}, {dtype}: {peak.one:.0f} GFLOP/s on one core, "
                    f"{peak.every:.0f} on all cores at once"
                )
    copy = copy_bandwidth()
    if copy:
        lines.append(f"- Copy bandwidth: {copy.one:.1f} GB/s on one core, {copy.every:.1f} on all at once")
    return "\n".join(lines) or "No C compiler: shares of peak and bandwidth are left out."


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench kernels",
        description="Kernel times of gradcore and NumPy.",
        epilog="example: gradcore bench kernels --only gemm --jsonl new.jsonl",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose title contains this")
    parser.add_argument(
        "--full", action="store_true", help="the catalogue of all kernels, instruction sets and peaks instead"
    )
    parser.add_argument(
        "--contenders", nargs="+", choices=("gradcore", "numpy"), default=["gradcore", "numpy"],
        help="of the catalogue (default: both)",
    )  # fmt: skip
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="default: both; float32 with --quick")
    core: Any = import_module("gradcore._core")
    parser.add_argument(
        "--isas", nargs="*", choices=core.names("isa"), metavar="ISA",
        help=f"to measure alone with --full, of {', '.join(core.names('isa'))} (default: all but scalar)",
    )  # fmt: skip
    harness.add_common_options(parser, turn=kernel_library.TURN)
    return parser


def choose_cases(arguments: argparse.Namespace) -> list[Case]:
    """In a quick run the smallest case of each kernel only."""
    cases = list(all_cases(import_module("gradcore._core"), tuple(arguments.dtypes)))
    if arguments.quick:
        smallest: dict[tuple[str, ...], Case] = {}
        for case in sorted(cases, key=lambda c: c.rows * c.columns * max(c.depth, 1)):
            smallest.setdefault((case.family, case.name, case.direction, case.dtype), case)
        cases = list(smallest.values())
    return [case for case in cases if arguments.only in case.title]


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser()
    arguments = harness.parse(parser, argv)
    if arguments.full and arguments.turn == kernel_library.TURN:
        arguments.turn = FULL_TURN
    return catalogue(parser, arguments) if arguments.full else library(parser, arguments)


def library(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Every public function against NumPy."""
    arguments.dtypes = arguments.dtypes or list(DTYPES)
    cells = kernel_library.choose_cells(arguments)
    if not cells:
        parser.error(f"--only: expected part of a call's title, got {arguments.only!r}")
    try:
        records = kernel_library.run(arguments, cells)
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    harness.finish_report(arguments, records, kernel_library.report(records))
    return 0


def catalogue(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    core: Any = import_module("gradcore._core")
    vector_isas = [isa for isa in core.names("isa") if isa != "scalar"]
    isas = arguments.isas if arguments.isas is not None else vector_isas[::-1]
    arguments.dtypes = arguments.dtypes or (["float32"] if arguments.quick else list(DTYPES))
    cases = choose_cases(arguments)
    rounds = arguments.rounds or (2 if arguments.quick else ROUNDS)
    libraries = []
    if "gradcore" in arguments.contenders:
        libraries += ["gradcore"]
        libraries += [] if arguments.quick else ["gradcore 1 thread", *(f"gradcore {isa}" for isa in isas)]
    if "numpy" in arguments.contenders:
        libraries += ["numpy"] if arguments.quick else ["numpy", "numpy 1 thread"]
    libraries += ["copy"]
    workers: dict[str, Worker] = {}
    records: list[Record] = []
    peaks: list[Record] = []
    try:
        if "gradcore" in arguments.contenders:
            peaks = kernel_peak.measure_all(isas, arguments, rounds)
        if not cases and not peaks:
            parser.error(f"--only: expected part of a case's title, got {arguments.only!r}")
        for library in libraries:
            variables = ONE_THREAD if library == "numpy 1 thread" else {}
            workers[library] = Worker("kernel_cases:ready", {}, variables=variables)
        for case in cases:
            records += measure(case, workers, rounds, arguments.turn)
    except WorkerError as error:
        say(f"failed: {error}")
        return 1
    finally:
        for worker in workers.values():
            worker.close()
    parts = [limits(arguments.dtypes, isas), kernel_peak.report(peaks, isas)]
    if records:
        parts.append(harness.table(records, columns=["rate", "of limit"]))
    harness.finish_report(arguments, [*peaks, *records], "\n\n".join(filter(None, parts)))
    return 0


if __name__ == "__main__":
    harness.run_script(main)
