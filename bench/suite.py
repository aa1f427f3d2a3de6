"""All benchmarks one after the other: startup, kernels, scaling, contention, regret, training.

python bench/suite.py --output results         # hours; results/*.md, *.jsonl and pictures
python bench/suite.py --quick                  # under two minutes: does everything run and agree?
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

import contention
import harness
import plot
from harness import say
from peers import CONTENDERS

SUITES = ("startup", "kernels", "scaling", "contention", "regret", "training")
# The names of CONTENDERS that a suite knows, where it does not know them all.
KNOWN = {
    "startup": ("gradcore", "numpy", "torch", "jax", "sklearn", "keras"),
    "kernels": ("gradcore", "numpy"),
    "contention": ("gradcore", *contention.PEERS),
    "regret": ("gradcore",),
}
ALONE = ("regret",)  # has no contenders to choose from


def options_of(suite: str, quick: bool, contenders: Sequence[str]) -> list[str] | None:
    """What a suite is called with; None if it knows none of the contenders."""
    options = ["--quick"] if quick else []
    if contenders:
        known = [name for name in contenders if name in KNOWN.get(suite, CONTENDERS)]
        if suite in ALONE:
            return options if known else None
        return [*options, "--contenders", *known] if known else None
    return options


def main(argv: Sequence[str] | None = None) -> int:
    parser = harness.Parser(
        prog="gradcore bench",
        description=f"All benchmarks one after the other: {', '.join(SUITES)}.",
        epilog="example: gradcore bench --quick",
    )
    parser.add_argument("--quick", action="store_true", help="few short turns: does it run, not how fast")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=[], metavar="NAME",
        help=f"of {', '.join(CONTENDERS)}; each suite takes those it knows (default: as each suite has it)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write reports, JSON lines and pictures here"
    )
    arguments = parser.parse_args(argv)
    folder: Path | None = arguments.output
    if folder:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--output: {folder}: {error.strerror}")
    status, files = 0, []
    for suite in SUITES:
        options = options_of(suite, arguments.quick, arguments.contenders)
        if options is None:
            continue
        say(f"== {suite}")
        run = import_module(suite).main
        if folder is None:
            print(f"# {suite}\n", flush=True)
            status = max(status, run(options))
            print()
            continue
        jsonl = folder / f"{suite}.jsonl"
        with open(folder / f"{suite}.md", "w") as report, redirect_stdout(report):
            failed = run([*options, "--jsonl", str(jsonl)])
        status = max(status, failed)
        files += [] if failed else [jsonl]
    if folder and files:
        try:
            plot.draw_all(files, folder)
        except plot.Missing as error:
            say(f"no pictures: {error}")
    return status


if __name__ == "__main__":
    harness.run_script(main)
