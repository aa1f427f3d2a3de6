"""Cost of `import`: time, memory and size on disk of gradcore, NumPy and the peers.

    python bench/startup.py --modules gradcore numpy torch

Each import runs in a fresh interpreter, and the modules take turns.
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
from harness import Record, say
from machine import ROOT

MODULES = ("numpy", "gradcore", "torch", "jax", "sklearn.neural_network")
ROUNDS = 11

# Seconds of the import alone and resident MB after it, from inside a fresh interpreter.
PROGRAM = """
import sys, time
start = time.perf_counter()
{statement}
seconds = time.perf_counter() - start
pages = int(open("/proc/self/statm").read().split()[1]) if sys.platform == "linux" else 0
print(seconds, pages * 4096 / 2**20)
"""


def import_once(module: str) -> tuple[float, float]:
    """(seconds, MB) in a new process; module "" measures the bare interpreter."""
    program = PROGRAM.format(statement=f"import {module}" if module else "")
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Import time and memory.",
        epilog="example: python bench/startup.py --modules gradcore numpy",
    )
    parser.add_argument("--modules", nargs="+", default=list(MODULES), help="default: %(default)s")
    harness.add_common_options(parser)
    arguments = parser.parse_args(argv)
    rounds = arguments.rounds or (2 if arguments.quick else ROUNDS)
    present = []
    for module in arguments.modules:
        try:
            import_once(module)  # fills the file cache and the .pyc files as well
            present.append(module)
        except subprocess.CalledProcessError as error:
            say(f"{module}: left out, {error.stderr.strip().splitlines()[-1]}")
    bare = import_once("")[1]
    times: dict[str, list[float]] = {module: [] for module in present}
    memory = dict.fromkeys(present, 0.0)
    for _ in range(rounds):
        for module in present:
            seconds, megabytes = import_once(module)
            times[module].append(seconds)
            memory[module] = max(memory[module], megabytes - bare)
    records: list[Record] = []
    for module in present:
        size = installed_megabytes(module)
        notes = {"MB in memory": f"{memory[module]:.1f}", "MB on disk": f"{size:.1f}"}
        records.append(
            harness.make_record("startup", "import", module, times[module], unit="import", calls=1, **notes)
        )
    text = harness.table(records, columns=["MB in memory", "MB on disk"])
    text += f"\n\nMemory is on top of the bare interpreter's {bare:.1f} MB."
    wheels = wheel_megabytes()
    if wheels:
        text += "\n\nWheels:\n\n" + "\n".join(wheels)
    harness.finish_report(arguments, records, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
