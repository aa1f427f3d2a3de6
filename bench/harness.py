"""Turn-taking measurement shared by the benchmarks, and the comparison of two runs.

    python bench/harness.py compare old.jsonl new.jsonl

Contenders sit in processes of their own and take turns A B C, B C A, ...; while one computes, the others
block on a pipe read. A turn is a pause until no other worker's threads spin any more, a few calls that
are not measured, then as many calls as fill the turn. The result is the median over turns with quartiles.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, NoReturn

from machine import environment

HERE = Path(__file__).parent
LOOK = 0.01  # seconds before a turn, and between two looks whether the others are idle: a tick of any system
BLIND = 0.05  # seconds before a turn where the system does not tell of another process
IDLE = 0.0005  # seconds of processor time in a look that still count as idle
SETTLE = 1.0  # seconds to wait at most for the others; a worker that spins for ever is no reason to hang
PATIENCE = 900.0  # seconds that one request may take
QUICK_TURN = 0.005  # a turn of a quick run; turns as short as this wait for nobody


class Unsupported(Exception):
    """A contender that cannot take part; the message is the reason."""


class WorkerError(Exception):
    """A contender that failed; the message is its traceback."""


@dataclass(frozen=True)
class Record:
    """One contender on one case. Times are seconds per unit (step, call, import ...)."""

    suite: str
    case: str
    contender: str
    unit: str
    median: float
    q1: float
    q3: float
    samples: list[float]
    calls: int  # units per sample
    notes: dict[str, Any] = field(default_factory=dict)


class Worker:
    """A contender in its own process, opened by `factory(**keywords)` in worker.py."""

    def __init__(
        self,
        factory: str,
        keywords: dict[str, Any],
        python: str = sys.executable,
        variables: dict[str, str] | None = None,
    ) -> None:
        """variables: of the environment, on top of those that are there."""
        self.connection, far_end = Pipe()
        command = [python, str(HERE / "worker.py"), str(far_end.fileno())]
        try:
            self.process = subprocess.Popen(
                command, pass_fds=[far_end.fileno()], cwd=HERE, env={**os.environ, **(variables or {})}
            )
        except OSError as error:
            self.connection.close()
            raise WorkerError(f"{python}: {error.strerror}") from None
        finally:
            far_end.close()
        try:
            self.open(factory, keywords)
        except BaseException:
            self.close()
            raise

    def open(self, factory: str, keywords: dict[str, Any]) -> None:
        self.request("open", factory, keywords)

    def request(self, *message: Any) -> Any:
        self.post(*message)
        return self.answer(str(message[0]))

    def post(self, *message: Any) -> None:
        """Ask without waiting, so that several workers are at it together; answer() is due afterwards."""
        try:
            self.connection.send(message)
        except ConnectionError:
            raise WorkerError(f"worker died, exit status {self.process.wait()}") from None

    def answer(self, wanted: str) -> Any:
        """wanted: what it was asked, for the message where nothing comes."""
        try:
            if not self.connection.poll(PATIENCE):
                raise WorkerError(f"no answer to {wanted} within {PATIENCE:.0f} s")
            status, result = self.connection.recv()
        except (EOFError, ConnectionError):
            raise WorkerError(f"worker died, exit status {self.process.wait()}") from None
        if status == "unsupported":
            raise Unsupported(result)
        if status == "error":
            raise WorkerError(result)
        return result

    def call(self, method: str, *arguments: Any) -> Any:
        return self.request("call", method, *arguments)

    def time(self, mode: str, warm: int, calls: int) -> float:
        """Seconds that `calls` calls took together."""
        return float(self.request("time", mode, warm, calls))

    def processor_time(self) -> float:
        """Seconds of all its threads so far, on Linux."""
        return time.clock_gettime((~self.process.pid << 3) | 2)  # what clock_getcpuclockid(3) makes of a pid

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def settle(workers: Sequence[Worker]) -> None:
    """Wait until no worker computes: OpenBLAS threads, for one, spin for up to 0.15 s after a call."""
    if not workers:
        return
    if not sys.platform.startswith("linux"):
        time.sleep(BLIND)
        return
    deadline = time.monotonic() + SETTLE
    before = sum(worker.processor_time() for worker in workers)
    while True:
        time.sleep(LOOK)
        after = sum(worker.processor_time() for worker in workers)
        if after - before < IDLE or time.monotonic() > deadline:
            return
        before = after


def calibrate(worker: Worker, mode: str, turn: float) -> int:
    """Calls that fill about `turn` seconds, found by doubling; this is the warm-up as well."""
    calls = 1
    worker.time(mode, 0, 1)
    while True:
        seconds = worker.time(mode, 0, calls)
        if seconds >= turn / 2:
            return max(1, round(calls * turn / seconds))
        calls = min(calls * 8, max(calls + 1, round(calls * turn / max(seconds, 1e-9))))


Samples = dict[str, tuple[int, list[float]]]  # {contender: (calls per turn, seconds per call of each turn)}


def take_turns(subjects: dict[str, tuple[Worker, str]], rounds: int, turn: float) -> Samples:
    """Time {name: (worker, mode)} in turns A B C, B C A, ..."""
    everyone = [worker for worker, _ in subjects.values()] if turn > QUICK_TURN else []
    calls = {}
    for name, (worker, mode) in subjects.items():
        settle(everyone)
        calls[name] = calibrate(worker, mode, turn)
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    names = list(subjects)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            worker, mode = subjects[name]
            settle(everyone)
            # Long calls warm themselves; short ones get a tenth of the turn unmeasured.
            warm = -(-calls[name] // 10) if calls[name] > 1 else 0
            samples[name].append(worker.time(mode, warm, calls[name]) / calls[name])
    return {name: (calls[name], samples[name]) for name in names}


def interleave(workers: dict[str, Worker], mode: str, rounds: int, turn: float) -> Samples:
    """Time one mode of every worker in turns."""
    return take_turns({name: (worker, mode) for name, worker in workers.items()}, rounds, turn)


def quartiles(samples: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(samples) < 2:
        return samples[0], samples[0], samples[0]
    q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return q1, median, q3


def make_record(
    suite: str, case: str, contender: str, samples: Sequence[float], *, unit: str, calls: int, **notes: Any
) -> Record:
    q1, median, q3 = quartiles(samples)
    rounded = [float(f"{s:.4g}") for s in samples]
    return Record(suite, case, contender, unit, median, q1, q3, rounded, calls, notes)


def duration(seconds: float) -> str:
    """Three significant digits with a unit that a reader likes."""
    rounded = float(f"{seconds:.3g}")
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if rounded >= scale:
            return f"{rounded / scale:.4g} {unit}"
    return f"{rounded * 1e9:.3g} ns"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table(records: Sequence[Record], baseline: str = "gradcore", columns: Sequence[str] = ()) -> str:
    """One row a record; `columns` are notes to show; the ratio says how many times `baseline` it takes."""
    base = {r.case: r.median for r in records if r.contender == baseline}
    rows = []
    for r in records:
        ratio = f"{r.median / base[r.case]:.2f}" if r.case in base else ""
        spread = f"{duration(r.q1)} to {duration(r.q3)}"
        notes = [str(r.notes.get(column, "")) for column in columns]
        rows.append([r.case, r.contender, duration(r.median), spread, ratio, *notes])
    unit = "/".join(dict.fromkeys(r.unit for r in records))
    header = ["case", "contender", f"median per {unit}", "quartiles", f"× {baseline}", *columns]
    return markdown(header, rows)


def report_environment(facts: dict[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in facts.items())


def say(text: str) -> None:
    """Progress goes to stderr: stdout is the report."""
    print(text, file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Usage errors are one line, as everywhere in gradcore's command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"gradcore: error: {message}; see {self.prog} --help\n")


def positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1, got {text!r}")
    return value


def positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def add_common_options(parser: argparse.ArgumentParser, turn: float = 0.1) -> None:
    parser.add_argument("--quick", action="store_true", help="few short turns: does it run, not how fast")
    parser.add_argument("--rounds", type=positive_integer, metavar="N", help="turns of each contender")
    parser.add_argument(
        "--turn", type=positive_number, metavar="S", help=f"seconds of a turn (default: {turn:g})"
    )
    parser.add_argument("--jsonl", type=Path, metavar="FILE", help="write environment and records here")
    parser.set_defaults(default_turn=turn)


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the length of a turn filled in; a file that cannot be written is refused now."""
    arguments = parser.parse_args(argv)
    default = arguments.__dict__.pop("default_turn")
    arguments.turn = arguments.turn or (QUICK_TURN if arguments.quick else default)
    if arguments.jsonl and (arguments.jsonl.is_dir() or not arguments.jsonl.parent.is_dir()):
        parser.error(f"--jsonl: expected a file in an existing folder, got {arguments.jsonl}")
    return arguments


def run_script(main: Callable[[], int]) -> NoReturn:
    """End the process with main's status; a reader of its output that has enough is no error."""
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again at its end
        status = 1
    except KeyboardInterrupt:
        say("gradcore: interrupted")
        status = 130
    sys.exit(status)


def finish_report(arguments: argparse.Namespace, records: Sequence[Record], text: str) -> None:
    """Write the JSON lines where asked, then print the report with its environment.

    In this order, since who reads the report may have enough after its first lines.
    """
    facts = environment()
    if arguments.jsonl:
        lines = [{"environment": facts, "arguments": {k: str(v) for k, v in vars(arguments).items()}}]
        with open(arguments.jsonl, "w") as file:
            for line in [*lines, *map(asdict, records)]:
                file.write(json.dumps(line, default=str) + "\n")
    quick = "\nA quick run: the times mean nothing.\n" if arguments.quick else ""
    print(text, quick + "\nMeasured on:\n", report_environment(facts), sep="\n", flush=True)


class BadFile(Exception):
    """A file of results that cannot be used; the message says which and why."""


def read_records(path: Path) -> dict[tuple[str, str, str], Record]:
    """{(suite, case, contender): record} of a file that --jsonl wrote."""
    result = {}
    try:
        for line in path.read_text().splitlines():
            fields = json.loads(line)
            if "environment" not in fields:
                record = Record(**fields)
                result[record.suite, record.case, record.contender] = record
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise BadFile(f"{path}: expected lines that --jsonl wrote: {error}") from None
    return result


def compare(old_path: Path, new_path: Path, threshold: float, contender: str | None) -> int:
    """Print what changed; 1 if something became slower by more than `threshold` with quartiles apart."""
    old, new = read_records(old_path), read_records(new_path)
    rows, slower = [], 0
    for key in old.keys() & new.keys():
        a, b = old[key], new[key]
        if contender and a.contender != contender:
            continue
        ratio = b.median / a.median
        verdict = ""
        if ratio > 1 + threshold and b.q1 > a.q3:
            verdict, slower = "slower", slower + 1
        elif ratio < 1 / (1 + threshold) and b.q3 < a.q1:
            verdict = "faster"
        times = [duration(a.median), duration(b.median), f"{ratio:.3f}"]
        rows.append([a.suite, a.case, a.contender, *times, verdict])
    print(markdown(["suite", "case", "contender", "old", "new", "new / old", ""], sorted(rows)))
    for name, keys in (("old", old.keys() - new.keys()), ("new", new.keys() - old.keys())):
        if keys:
            print(f"\nOnly in {name}: " + ", ".join(" ".join(key[1:]) for key in sorted(keys)))
    return 1 if slower else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog="gradcore bench compare",
        description="Compare two runs of a benchmark; exit status 1 if something became slower.",
        epilog="example: gradcore bench compare old.jsonl new.jsonl --contender gradcore",
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument(
        "--threshold", type=share, default=0.05, metavar="SHARE",
        help="smallest change that counts (default: 0.05)",
    )  # fmt: skip
    parser.add_argument("--contender", metavar="NAME", help="look only at this one, e.g. gradcore")
    options = parser.parse_args(argv)
    try:
        return compare(options.old, options.new, options.threshold, options.contender)
    except BadFile as error:
        parser.error(str(error))


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number >= 0, got {text!r}")
    return value


if __name__ == "__main__":
    if sys.argv[1:2] != ["compare"]:
        sys.exit("usage: python bench/harness.py compare OLD NEW [--threshold SHARE] [--contender NAME]")
    run_script(lambda: main(sys.argv[2:]))
