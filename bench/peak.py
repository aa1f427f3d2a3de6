"""The float32 FMA peak of this machine, measured with peak.c where a C compiler is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from machine import cores


def fma_peak() -> tuple[float, float] | None:
    """(one core, all cores at once) in GFLOP/s, or None without a compiler that accepts -march=native."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        source = Path(__file__).parent / "peak.c"
        flags = ["-O2", "-march=native", "-ffp-contract=fast"]
        built = subprocess.run([*compiler.split(), *flags, str(source), "-o", str(program)], check=False)
        if built.returncode:
            return None
        alone = run_copies(program, 1)
        return alone, run_copies(program, cores())


def run_copies(program: Path, count: int) -> float:
    """The sum over `count` processes that run at the same time."""
    running = [subprocess.Popen([program], stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(process.communicate()[0].split()[0]) for process in running)
