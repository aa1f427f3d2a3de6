"""What this machine can do at most: the FMA peak of an instruction set, and the bandwidth of a copy.

Both are measured where a C compiler is installed, by peak.c and copy.c; without one they are unknown.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from machine import cores
from peers import Unsupported

HERE = Path(__file__).parent
FLAGS = {"avx512": ["-mavx512f", "-mfma"], "avx2": ["-mavx2", "-mfma"], "neon": []}
SPIN_STEPS = 20_000
REALS = {"float32": "float", "float64": "double"}


@dataclass(frozen=True)
class Limit:
    """GFLOP/s or GB/s."""

    one: float  # one core, the others idle
    every: float  # all cores at once, added up


@cache
def fma_peak(isa: str, dtype: str = "float32") -> Limit | None:
    """The FMA peak of an instruction set that this machine has; None for scalar or without a compiler."""
    if isa not in FLAGS:
        return None
    return measure("peak.c", ["-ffp-contract=fast", f"-DREAL={REALS[dtype]}", *FLAGS[isa]])


@cache
def copy_bandwidth() -> Limit | None:
    """Bytes read and written by a copy that no cache holds."""
    return measure("copy.c", [])


def compiled(source: str, flags: list[str], result: Path) -> bool:
    """Whether there is a C compiler and it made `result`."""
    compiler = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or ""]
    if not shutil.which(compiler[0]):
        return False
    command = [*compiler, "-O2", *flags, str(HERE / source), "-o", str(result)]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


class FmaPeak:
    """A contender that only does fused multiply-adds, in float32: SPIN_STEPS steps of peak.c a call."""

    def __init__(self, isa: str) -> None:
        if isa not in FLAGS:
            raise Unsupported(f"no FMA peak of {isa}")
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "peak.so"
            if not compiled("peak.c", ["-ffp-contract=fast", "-shared", "-fPIC", *FLAGS[isa]], library):
                raise Unsupported("no C compiler")
            self.library = ctypes.CDLL(str(library))
        self.library.spin.argtypes = [ctypes.c_long, ctypes.c_int]
        self.library.spin.restype = ctypes.c_double
        self.library.spin_flops.restype = ctypes.c_long

    def run(self, mode: str, calls: int) -> None:
        self.library.spin(SPIN_STEPS * calls, 1)

    def flops(self) -> int:
        """Operations of one call."""
        return SPIN_STEPS * int(self.library.spin_flops())

    def close(self) -> None:
        pass


def measure(source: str, flags: list[str]) -> Limit | None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program"
        if not compiled(source, flags, program):
            return None
        alone = run_copies(program, 1)
        every = alone if alone is None or cores() == 1 else run_copies(program, cores())
        return None if alone is None or every is None else Limit(alone, every)


def run_copies(program: Path, count: int) -> float | None:
    """The sum over `count` processes that run at the same time; None if one of them fails."""
    running = [subprocess.Popen([program], stdout=subprocess.PIPE, text=True) for _ in range(count)]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        return None
    return sum(float(text.split()[0]) for text in printed)
