"""Cost of starting: import time, memory, size on disk, and the time to the end of a first training step.

    python bench/startup.py --contenders gradcore numpy torch

Each import and each first step runs in a fresh interpreter, and the contenders take turns. The first step is
of net b (784-128-10, batch 64, Adam): import, build, compile where the library compiles, one update.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import harness
from harness import HERE, Record, say
from machine import ROOT

# contender: (what is imported, the contender of training.py that makes the first step)
LIBRARIES = {
    "numpy": ("numpy", "numpy"),
    "gradcore": ("gradcore", "gradcore"),
    "torch": ("torch", "torch-fused"),
    "jax": ("jax", "jax"),
    "sklearn": ("sklearn.neural_network", "sklearn"),
    "keras": ("tensorflow", "keras"),
}
ROUNDS = 11
NET = "b"

# Seconds of the import alone and resident MB after it, from inside a fresh interpreter.
IMPORT = """
import sys, time
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
pages = int(open("/proc/self/statm").read().split()[1]) if sys.platform == "linux" else 0
print(seconds, pages * 4096 / 2**20)
"""
FIRST_STEP = """
import sys, time
start = time.perf_counter()
sys.path.insert(0, {here!r})
from dataclasses import asdict
from nets import NETS
from peers import open_contender
net = NETS[{net!r}]
open_contender({name!r}, asdict(net), net.batch).run("step", 1)
print(time.perf_counter() - start)
"""


def run(program: str) -> list[float]:
    """The numbers that a program prints last, in a new process."""
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def import_once(module: str) -> tuple[float, float]:
    """(seconds, MB); module "" measures the bare interpreter."""
    seconds, megabytes = run(IMPORT.format(statement=f"import {module}" if module else ""))
    return seconds, megabytes


def first_step(name: str) -> float:
    """Seconds from the start of the program to the end of the first update."""
    return run(FIRST_STEP.format(here=str(HERE), name=name, net=NET))[0]


def installed_megabytes(module: str) -> float:
    """Size on disk of what the distribution of `module` installs, without its dependencies.

    An editable install lists none of its modules, so the package folder counts where it is larger.
    """
    top = module.split(".")[0]
    spec = find_spec(top)
    folders = list(spec.submodule_search_locations or []) if spec else []
    in_folder = total_size(path for folder in folders for path in Path(folder).rglob("*"))
    try:
        names = metadata.packages_distributions()[top]
        listed = metadata.distribution(names[0]).files or []
    except (KeyError, metadata.PackageNotFoundError):
        return in_folder
    return max(in_folder, total_size(Path(str(file.locate())) for file in listed))


def total_size(paths: Iterable[Path]) -> float:
    """MB of the files among `paths`, compiled Python left out: it is made on the first import."""
    files = (path for path in paths if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in files) / 2**20


def wheel_megabytes() -> list[str]:
    """Wheels that lie in dist/, with their sizes."""
    wheels = sorted((ROOT / "dist").glob("*.whl"))
    return [f"- {wheel.name}: {wheel.stat().st_size / 2**20:.2f} MB" for wheel in wheels]


def make_parser() -> argparse.ArgumentParser:
    parser = harness.Parser(
        prog="gradcore bench startup",
        description="Import time, memory, size on disk, time to the first step.",
        epilog="example: gradcore bench startup --contenders gradcore numpy",
    )
    parser.add_argument(
        "--contenders", nargs="+", choices=LIBRARIES, default=list(LIBRARIES), metavar="NAME",
        help=f"of {', '.join(LIBRARIES)} (default: all)",
    )  # fmt: skip
    harness.add_common_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = harness.parse(make_parser(), argv)
    rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
    present = []
    for name in arguments.contenders:
        module, contender = LIBRARIES[name]
        try:
            import_once(module)  # fills the file cache and the .pyc files as well
            first_step(contender)
            present.append(name)
        except subprocess.CalledProcessError as error:
            say(f"{name}: left out, {error.stderr.strip().splitlines()[-1]}")
    bare = import_once("")[1]
    imports: dict[str, list[float]] = {name: [] for name in present}
    steps: dict[str, list[float]] = {name: [] for name in present}
    memory = dict.fromkeys(present, 0.0)
    for _ in range(rounds):
        for name in present:
            seconds, megabytes = import_once(LIBRARIES[name][0])
            imports[name].append(seconds)
            memory[name] = max(memory[name], megabytes - bare)
            steps[name].append(first_step(LIBRARIES[name][1]))
    records: list[Record] = []
    for name in present:
        size = installed_megabytes(LIBRARIES[name][0])
        notes = {"MB in memory": f"{memory[name]:.1f}", "MB on disk": f"{size:.1f}"}
        records.append(
            harness.make_record("startup", "import", name, imports[name], unit="start", calls=1, **notes)
        )
    for name in present:
        records.append(harness.make_record("startup", "first step", name, steps[name], unit="start", calls=1))
    text = harness.table(records, columns=["MB in memory", "MB on disk"])
    text += f"\n\nMemory is on top of the bare interpreter's {bare:.1f} MB; sizes are without dependencies."
    wheels = wheel_megabytes()
    if wheels:
        text += "\n\nWheels:\n\n" + "\n".join(wheels)
    harness.finish_report(arguments, records, text)
    return 0


if __name__ == "__main__":
    harness.run_script(main)
