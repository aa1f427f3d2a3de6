"""Whether the label of a case holds. What does not is dropped, with a reason.

**Broken**: in each of RUNS runs the twin without the fault scores at least GAIN more on the rows held out.
It is mild if the mean of that is at most MILD. Where another rate alone mends it as well as the twin, that
cause is right too. **Sound**: none of REMEDIES scores more than BETTER above it, in the mean over RUNS
runs. Trainings whose outcome can no longer matter are not made: a score is between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from gradcore import clipping, initializers

from .cases import RUNS, Case
from .faults import FAULTS
from .plans import Plan
from .training import Remedy, train

GAIN, MILD, BETTER = 0.1, 0.25, 0.02
CLEARLY = 0.06  # a remedy that is so much better in the mean of two runs or more is tried no further
EQUAL = 0.02  # the mean of a mended case may be so much below its twin's
RATES = (0.03, 0.1, 0.3, 3.0, 10.0, 30.0)
SEARCH = 6  # levels to try for a mild fault
AIM = (0.12, 0.27)  # the gain that is looked for
RATE_KINDS = ("high_rate", "low_rate")


@dataclass(frozen=True)
class Label:
    """A label that holds, with the scores that say so."""

    case: Case
    label: str  # "broken" or "sound"
    score: tuple[float, ...]  # of each run
    twin: tuple[float, ...] = ()  # the same without the fault
    causes: tuple[str, ...] = ()  # any of them is the right answer
    refused: bool = False  # by fit
    best: str = ""  # of the remedies of a sound case, and how much better it is at most
    excess: float = 0.0

    @property
    def gain(self) -> float:
        """The mean that the twin is better by."""
        return float(np.mean(self.twin) - np.mean(self.score)) if self.twin else 0.0

    @property
    def strength(self) -> str:
        """Mild or gross; empty for a sound case."""
        return "" if not self.twin else "mild" if self.gain <= MILD else "gross"


@dataclass(frozen=True)
class Dropped:
    """A label that does not hold."""

    case: Case
    reason: str


def times_rate(factor: float) -> Remedy:
    """The remedy that multiplies the learning rate."""

    def remedy(plan: Plan) -> None:
        plan.lr *= factor

    return remedy


# ---- Broken ----


def verify_broken(case: Case) -> Label | Dropped:
    """The label of a case with a fault."""
    twins, scores, refused = [], [], False
    for run in range(RUNS):
        twins.append(train(case, run, twin=True).score)
        if twins[-1] < GAIN:
            return Dropped(case, "twin")
        done = train(case, run)
        refused |= bool(done.refused)
        scores.append(done.score)
        if twins[-1] - scores[-1] < GAIN:
            return Dropped(case, "gain")
    causes = FAULTS[case.kind].causes
    if not refused and case.kind not in RATE_KINDS:
        causes += tuple(c for c in causes_of_rate(case, twins) if c not in causes)
    return Label(case, "broken", tuple(scores), tuple(twins), causes, refused)


def causes_of_rate(case: Case, twins: list[float]) -> list[str]:
    """lr_too_high or lr_too_low where a lower or higher rate alone does what the twin does."""
    found = []
    for cause, factors in (
        ("lr_too_high", [f for f in RATES if f < 1][::-1]),
        ("lr_too_low", [f for f in RATES if f > 1]),
    ):
        if any(mends(case, times_rate(factor), twins) for factor in factors):
            found.append(cause)
    return found


def mends(case: Case, remedy: Remedy, twins: list[float]) -> bool:
    """Whether the mean score with the remedy is that of the twin."""
    needed, total = sum(twins) - RUNS * EQUAL, 0.0
    for run in range(RUNS):
        total += train(case, run, remedy=remedy).score
        if total + (RUNS - run - 1) < needed or (run == 0 and total < twins[0] - 0.1):
            return False
    return total >= needed


def make_mild(case: Case) -> Case | Dropped:
    """The case with the level at which its first run loses a little, by bisection."""
    low, high, level = 0.0, 1.0, case.level
    prepared = FAULTS[case.kind].prepare is not None
    twin = None
    for _ in range(SEARCH):
        case = replace(case, level=round(level, 3))
        if twin is None or prepared:
            twin = train(case, 0, twin=True).score
            if twin < GAIN + 0.05:
                return Dropped(case, "twin")
        gain = twin - train(case, 0).score
        if AIM[0] <= gain <= AIM[1]:
            return case
        low, high = (level, high) if gain < AIM[0] else (low, level)
        level = (low + high) / 2
    return Dropped(case, "no mild level")


# ---- Sound ----


def always(norm: bool) -> Remedy:
    """What one may always do: Standardize, He, BatchNorm, Adam 2e-3, clip 1."""

    def remedy(plan: Plan) -> None:
        plan.standardize = True
        plan.weights = {i: initializers.HeNormal() for i in range(plan.depth)}
        plan.biases = {}
        plan.optimizer, plan.lr, plan.settings, plan.schedule = "adam", 2e-3, {}, None
        plan.clip = clipping.GlobalNorm(1.0)
        if plan.style not in ("residual", "rezero"):
            plan.style = "batchnorm" if norm else "plain"

    return remedy


def roomy(plan: Plan) -> None:
    """The same with two or three layers of at least 64 units, all of which train."""
    always(False)(plan)
    plan.style, plan.depth, plan.width = "plain", min(max(plan.depth, 2), 3), max(plan.width, 64)
    plan.weights, plan.frozen, plan.dropout = {}, (), 0.0
    if plan.activation == "identity":
        plan.activation = "relu"


REMEDIES: dict[str, Callable[[Plan], None]] = {
    "rate x 0.3": times_rate(0.3),
    "rate x 3": times_rate(3.0),
    "always": always(norm=True),
    "always, no norm": always(norm=False),
    "roomy": roomy,
}


def verify_sound(case: Case) -> Label | Dropped:
    """The label of a case with nothing wrong."""
    scores = [train(case, run).score for run in range(RUNS)]
    limit = sum(scores) + RUNS * BETTER
    best, excess = "", -1.0
    for name, remedy in REMEDIES.items():
        total = 0.0
        for run in range(RUNS):
            left = RUNS - run
            if total + left <= limit:
                break
            total += train(case, run, remedy=remedy).score
            done = run + 1
            clearly = done > 1 and total > sum(scores[:done]) + done * CLEARLY
            if total > limit or clearly:
                return Dropped(case, name)
        else:
            mean = (total - sum(scores)) / RUNS
            if mean > excess:
                best, excess = name, mean
    return Label(case, "sound", tuple(scores), best=best, excess=max(excess, -1.0))


def verify(case: Case) -> Label | Dropped:
    """The label of a case, or why it has none."""
    return verify_broken(case) if case.kind in FAULTS else verify_sound(case)
