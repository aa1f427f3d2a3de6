"""The labels that hold, in a file, and the command that goes on verifying.

    gradcore bench health labels --minutes 10

A line a label; it may be stopped at any time and goes on where it stood: what comes next is a function of the
lines that are there. A line for a case that was dropped says only what kind it was of, and why.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from harness import Parser, positive_number, say

from . import draws
from .cases import Case
from .faults import FAULTS
from .sound import ODD
from .verify import Dropped, Label, make_mild, verify

FILE = Path(__file__).with_name("labels.jsonl")
GROSS, MILD, EACH_ODD, PLAIN = 9, 6, 9, 220  # labels to find: of a fault, of an oddity, without either
RARE = 2.5  # mild ones are looked for so much more often
NAMES = [field.name for field in fields(Case)]


@dataclass
class Labels:
    """What the file holds."""

    held: list[Label]
    dropped: list[tuple[str, str, str]]  # kind, data, reason

    @property
    def lines(self) -> int:
        return len(self.held) + len(self.dropped)

    def of(self, label: str) -> list[Label]:
        """Those that are "broken", or "sound"."""
        return [one for one in self.held if one.label == label]


def to_line(found: Label | Dropped) -> str:
    """As the file has it."""
    case = found.case
    if isinstance(found, Dropped):
        return json.dumps(
            {"dropped": found.reason, "kind": case.kind, "data": case.data}, separators=(",", ":")
        )
    line: dict[str, Any] = {
        "case": list(case.fields().values()),
        "label": found.label,
        "score": [_floored(value) for value in found.score],
    }
    if found.label == "broken":
        line |= {"twin": [_floored(value) for value in found.twin], "causes": found.causes}
        if found.refused:
            line["refused"] = True
    elif found.best:
        line |= {"best": found.best, "excess": round(found.excess, 3)}
    return json.dumps(line, separators=(",", ":"))


def _floored(value: float) -> float:
    return math.floor(value * 1e4) / 1e4


def from_line(text: str) -> Label | tuple[str, str, str]:
    """A label, or (kind, data, reason) of what was dropped."""
    line = json.loads(text)
    if "dropped" in line:
        return line["kind"], line["data"], line["dropped"]
    return Label(
        Case(**dict(zip(NAMES, line["case"], strict=True))),
        line["label"],
        tuple(line["score"]),
        tuple(line.get("twin", ())),
        tuple(line.get("causes", ())),
        line.get("refused", False),
        line.get("best", ""),
        line.get("excess", 0.0),
    )


def read(path: Path = FILE) -> Labels:
    """All whole lines of the file; none where there is no file."""
    text = path.read_text() if path.exists() else ""
    found = [from_line(line) for line in text.split("\n")[:-1] if line]
    return Labels([f for f in found if isinstance(f, Label)], [f for f in found if not isinstance(f, Label)])


def wanted(labels: Labels) -> dict[tuple[str, str], float]:
    """(kind, strength) of what is still to be found; less often what is mostly dropped."""
    have = Counter((one.case.kind, one.strength) for one in labels.held)
    kept = Counter(one.case.kind for one in labels.held)
    lost = Counter(kind for kind, _, _ in labels.dropped)
    goals: dict[tuple[str, str], int] = {(kind, ""): EACH_ODD for kind in ODD} | {("plain", ""): PLAIN}
    for kind, fault in FAULTS.items():
        goals[kind, "gross"] = GROSS
        if fault.search:
            goals[kind, "mild"] = MILD
    weights = {}
    for (kind, strength), goal in goals.items():
        left = goal - have[kind, strength]
        if left > 0:
            hope = (kept[kind] + 2) / (kept[kind] + lost[kind] + 4)
            weights[kind, strength] = left * hope * (RARE if strength == "mild" else 1.0)
    return weights


def next_label(labels: Labels) -> Label | Dropped | None:
    """Draw a case and verify it; None where all has been found."""
    weights = wanted(labels)
    if not weights:
        return None
    rng = np.random.default_rng([20, labels.lines])
    choice = draws.pick(rng, {f"{kind} {strength}": weight for (kind, strength), weight in weights.items()})
    kind, strength = choice.split(" ")
    case = draws.suiting(rng, kind)
    if case is None:
        raise RuntimeError(f"{kind}: no case that it suits in {draws.TRIES} draws")
    if strength == "mild":
        mild = make_mild(case)
        if isinstance(mild, Dropped):
            return mild
        case = mild
    return verify(case)


def go_on(path: Path, seconds: float) -> Labels:
    """Verify until the time is over; every result is in the file at once."""
    labels = read(path)
    end = time.monotonic() + seconds
    _mend_end(path)
    with open(path, "a") as file:
        while time.monotonic() < end:
            found = next_label(labels)
            if found is None:
                break
            line = to_line(found)
            file.write(line + "\n")
            file.flush()
            kept = from_line(line)
            if isinstance(kept, Label):
                labels.held.append(kept)
            else:
                labels.dropped.append(kept)
            if labels.lines % 20 == 0:
                broken, sound = len(labels.of("broken")), len(labels.of("sound"))
                say(f"{labels.lines} cases: {broken} broken, {sound} sound")
    return labels


def _mend_end(path: Path) -> None:
    """Cut off the line that a process was writing when it was stopped."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)


def main(argv: Sequence[str]) -> int:
    """``gradcore bench health labels``."""
    parser = Parser(
        prog="gradcore bench health labels",
        description="Draw cases and verify their labels; may be stopped at any time.",
        epilog="example: gradcore bench health labels --minutes 10",
    )
    parser.add_argument("--minutes", type=positive_number, default=10.0, metavar="N", help="default: 10")
    parser.add_argument("--file", type=Path, default=FILE, help="default: bench/health/labels.jsonl")
    arguments = parser.parse_args(argv)
    if hasattr(os, "nice"):
        os.nice(max(0, 10 - os.nice(0)))
    go_on(arguments.file, 60 * arguments.minutes)
    return 0
