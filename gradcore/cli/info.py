"""``gradcore info``: what this build is and what it found on this machine."""

from __future__ import annotations

import json
import platform
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from .. import build_info, names

# What _OPENMP says, by the version of the standard.
_OPENMP = {201511: "4.5", 201811: "5.0", 202011: "5.1", 202111: "5.2", 202411: "6.0"}


def run(arguments: Namespace) -> None:
    """Print it."""
    build = build_info()
    libraries = _openmp_libraries()
    if arguments.json:
        more = {"isas": names("isa"), "openmp_libraries": libraries, "python": platform.python_version()}
        print(json.dumps({**build, **more, "numpy": np.__version__, "platform": platform.platform()}))
        return
    version = build["openmp"]
    standard = (
        f"{_OPENMP.get(version, version)}, {', '.join(libraries) or 'linked in'}" if version else "none"
    )
    for label, text in (
        ("gradcore", build["version"]),
        ("instruction set", f"{build['isa']}: {build['isa_reason']} (found: {', '.join(names('isa'))})"),
        ("threads", f"{build['threads']}: {build['threads_reason']}"),
        ("OpenMP", standard),
        ("compiler", build["compiler"]),
        ("build flags", build["flags"]),
        ("Python", f"{platform.python_version()}, NumPy {np.__version__}"),
        ("platform", platform.platform()),
    ):
        print(f"{label:<16} {text}")


def _openmp_libraries() -> list[str]:
    """File names of the OpenMP runtimes in this process; empty where the system does not tell."""
    maps = Path("/proc/self/maps")
    if not sys.platform.startswith("linux") or not maps.exists():
        return []
    found = {line.rpartition("/")[2] for line in maps.read_text().splitlines() if "/" in line}
    return sorted(name for name in found if name.startswith(("libgomp", "libomp", "libiomp")))
