"""Where a rule set meets the runs: what it says of each, held against the labels.

A rule set is a function of a `Run`, whose trainer has trained and whose plan has the data and what `fit`
was given. What it needs to see during the training it gets by `Rules.watch`, as callbacks of `fit`; a
trainer's own record needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradcore import Trainer

from .training import Run, train
from .verify import Label


@dataclass(frozen=True)
class Verdict:
    """The first thing that a rule set finds: a name of cases.CAUSES, and the layers at fault."""

    cause: str
    layers: tuple[str, ...] = ()  # positions, as in `net.activations`


def nothing(trainer: Trainer) -> Iterable[object]:
    """No callbacks."""
    return ()


@dataclass(frozen=True)
class Rules:
    """A rule set; None is "sound"."""

    judge: Callable[[Run], Verdict | None]
    watch: Callable[[Trainer], Iterable[object]] = nothing


RULES: dict[str, Rules] = {}  # by name; each in a file of its own


@dataclass
class Tally:
    """What a rule set said of some runs."""

    broken: int = 0
    alarmed: int = 0
    right: int = 0  # alarmed, with a cause that counts as right
    placed: int = 0  # runs with a layer at fault
    found: int = 0  # of those, with that layer among those named
    sound: int = 0
    false: int = 0

    def count(self, label: Label, run: Run, verdict: Verdict | None) -> None:
        """Add one run."""
        if label.label == "sound":
            self.sound += 1
            self.false += verdict is not None
            return
        self.broken += 1
        self.placed += run.place is not None
        if verdict is not None:
            self.alarmed += 1
            self.right += verdict.cause in label.causes
            self.found += run.place is not None and run.place in verdict.layers


def judge(rules: Rules, labels: Sequence[Label], run: int = 0) -> Tally:
    """Train every case once and ask the rule set."""
    tally = Tally()
    for label in labels:
        done = train(label.case, run, watch=rules.watch)
        tally.count(label, done, rules.judge(done))
    return tally


def interval(hits: int, of: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, hits / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, centre - half), min(1.0, centre + half)
