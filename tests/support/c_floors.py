"""The floors of the core: which file includes which, and which calls which.

A floor is a folder of src_c. A file includes, and calls, its own floor's files and those of lower ones; no
files call each other in a circle. Kernels are reached through tables of pointers, ops through their classes:
what is reached by a pointer is no arrow.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# From the ground up.
FLOORS = ("base", "kernels", "network", "ops", "pass", "optimizers", "training", "files", "api")

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def floor_of(path: Path, root: Path) -> str:
    """The folder of src_c that a file lies in."""
    return path.relative_to(root).parts[0]


def upward_includes(root: Path) -> list[str]:
    """A line for every include of a file on a higher floor. `root` is the folder src_c."""
    found = []
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".c", ".h", ".inc")):
        for name in _INCLUDE.findall(path.read_text()):
            target = (path.parent / name).resolve()
            if not target.is_relative_to(root.resolve()):
                continue  # the public header
            own, other = floor_of(path, root), floor_of(target, root.resolve())
            if FLOORS.index(other) > FLOORS.index(own):
                found.append(f"{path.relative_to(root)} includes {name}: {own} stands below {other}")
    return found


def compile_object(root: Path, source: str, folder: Path) -> Path:
    """The object, without optimization, of a source named from src_c on."""
    output = folder / (source.replace("/", "_") + ".o")
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-O0", "-fopenmp", "-w", "-c", str(root / source), "-o", str(output)], check=True
    )
    return output


def compile_objects(root: Path, folder: Path) -> dict[str, Path]:
    """The same of all sources but the instruction sets' (k_*.c), by their names."""
    sources = [str(path.relative_to(root)) for path in sorted(root.glob("*/*.c")) if path.name[:2] != "k_"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(
            zip(sources, pool.map(lambda source: compile_object(root, source, folder), sources), strict=True)
        )


def calls(objects: dict[str, Path]) -> dict[str, dict[str, list[str]]]:
    """File -> file that it calls, or whose data it names -> the names."""
    owner: dict[str, str] = {}
    wanted: dict[str, list[str]] = {}
    for file, path in objects.items():
        lines = subprocess.run(
            ["nm", str(path)], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        for line in lines:
            kind, name = line.split()[-2:]
            if kind == "U":
                wanted.setdefault(file, []).append(name)
            elif kind in "TDRBCV":
                owner[name] = file
    arrows: dict[str, dict[str, list[str]]] = {file: {} for file in objects}
    for file, names in wanted.items():
        for name in names:
            if name in owner:
                arrows[file].setdefault(owner[name], []).append(name)
    return arrows


def upward_calls(arrows: dict[str, dict[str, list[str]]]) -> list[str]:
    """A line for every call of a file on a higher floor."""
    level = {file: FLOORS.index(file.split("/")[0]) for file in arrows}
    return [
        f"{file} calls {other} ({', '.join(names)})"
        for file, others in arrows.items()
        for other, names in others.items()
        if level[other] > level[file]
    ]


def circles(arrows: dict[str, dict[str, list[str]]]) -> list[list[str]]:
    """The sets of several files that reach each other: Tarjan's strongly connected components."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(file: str) -> None:
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in arrows[file]:
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            circle = stack[stack.index(file) :]
            del stack[stack.index(file) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for file in arrows:
        if file not in index:
            visit(file)
    return found


def ties(circle: Iterable[str], arrows: dict[str, dict[str, list[str]]]) -> str:
    """What ties a circle, a line an arrow."""
    inside = set(circle)
    return "\n".join(
        f"    {file} -> {other}: {', '.join(arrows[file][other])}"
        for file in sorted(inside)
        for other in sorted(inside & set(arrows[file]))
    )
