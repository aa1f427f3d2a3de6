"""What a reader must know about the machine and the software to judge a number."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ("gradcore", "numpy", "torch", "jax", "jaxlib", "scikit-learn", "tensorflow", "keras")
# Instruction sets that decide the speed of float32 products.
FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
VARIABLES = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "KMP_", "XLA_", "GRADCORE_")


def processor_seconds() -> tuple[float, float] | None:
    """(computed, taken by the host) on all processors since the start of the system; None but on Linux."""
    path = Path("/proc/stat")
    if not path.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, path.read_text().split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


BEGIN, LOAD, PROCESSOR = time.monotonic(), os.getloadavg(), processor_seconds()  # when a suite starts


def others() -> str:
    """What everything but this process and its children took of the cores since the start."""
    end = processor_seconds()
    if end is None or PROCESSOR is None:
        return "unknown"
    own = sum(os.times()[:4])
    room = max(time.monotonic() - BEGIN, 1e-9) * (os.cpu_count() or 1)
    computed = max(end[0] - PROCESSOR[0] - own, 0.0)
    host = end[1] - PROCESSOR[1]
    by = f"{100 * computed / room:.0f} % of all cores by other processes"
    return f"{by}, {100 * host / room:.0f} % by the host"


def environment() -> dict[str, Any]:
    """The children must have been waited for."""
    cpu = cpu_info()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "instruction sets": " ".join(f for f in FLAGS if f in cpu.get("flags", "").split()),
        "cores": cores(),
        "caches": caches(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        "packages": ", ".join(filter(None, map(package, PACKAGES))),
        "variables": " ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)),
        "load at the start": f"{LOAD[0]:.1f} over 1 min, {LOAD[1]:.1f} over 5 min",
        "taken meanwhile": others(),
        "load at the end": f"{os.getloadavg()[0]:.1f} over 1 min, {os.getloadavg()[1]:.1f} over 5 min",
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in first.splitlines())}


def caches() -> str:
    """L1d, L2 and L3 of the first core."""
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def package(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return ""
