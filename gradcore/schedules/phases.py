"""Schedules made of others, and those with phases: warm-up, plateau, decay."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from ..validation.checks import number
from .base import (
    SHARE,
    Check,
    Checked,
    Scalar,
    count,
    increasing_steps,
    natural,
    one_of,
    scalar,
    sequence,
    value_at,
)

__all__ = ["FlatCosine", "Join", "Scale", "Warmup", "WarmupStableDecay"]


@dataclass(frozen=True, repr=False)
class Warmup(Checked):
    """A straight line from `start` to ``schedule(0)`` over `steps` steps, then ``schedule(step - steps)``.

    A `ReduceOnPlateau` in it takes in no epoch that ends on the line, as in timm.

    Parameters
    ----------
    schedule : Schedule or float
        What follows; a number stands for a constant.
    steps : int
        Length of the line, >= 1.
    start : float, default 0.0

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Warmup(schedules.Cosine(1.0, steps=100), steps=10)
    >>> [round(lr(step), 4) for step in (0, 5, 10, 60, 110)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    schedule: Scalar
    steps: int
    start: float = 0.0
    checks: ClassVar[dict[str, Check]] = {"schedule": scalar, "steps": count, "start": number}

    def own_step(self, field: str, index: int | None, step: int) -> int | None:
        """What follows counts from the end of the line."""
        return step - self.steps if step >= self.steps else None

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return value_at(self.schedule, step - self.steps)
        return self.start + (value_at(self.schedule, 0) - self.start) * (step / self.steps)


@dataclass(frozen=True, repr=False)
class Join(Checked):
    """One schedule after the other, each counting from its own step 0: optax's join_schedules.

    A `ReduceOnPlateau` among them takes in the epochs that end while it is its turn.

    Parameters
    ----------
    schedules : list of Schedule or float
    boundaries : list of int
        Increasing: the first step of the second schedule, the third, ...

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Join([schedules.Linear(0, 1, 10), schedules.Cosine(1, 20)], [10])
    >>> [lr(step) for step in (5, 10, 20)]
    [0.5, 1.0, 0.5]
    """

    schedules: tuple[Scalar, ...]
    boundaries: tuple[int, ...]
    checks: ClassVar[dict[str, Check]] = {"schedules": sequence(scalar), "boundaries": increasing_steps}

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if len(self.schedules) != len(self.boundaries) + 1:
            raise self.refuse("schedules", f"{len(self.boundaries) + 1} schedules")

    def own_step(self, field: str, index: int | None, step: int) -> int | None:
        """Each counts from its own first step."""
        at = bisect_right(self.boundaries, step)
        return step - (self.boundaries[at - 1] if at else 0) if at == index else None

    def __call__(self, step: int) -> float:
        at = bisect_right(self.boundaries, step)
        return value_at(self.schedules[at], step - (self.boundaries[at - 1] if at else 0))


@dataclass(frozen=True, repr=False)
class Scale(Checked):
    """A schedule times a factor, which may be a schedule too.

    Parameters
    ----------
    schedule : Schedule or float
    factor : float or Schedule

    Examples
    --------
    >>> from gradcore import schedules
    >>> schedules.Scale(schedules.Linear(1, 0, 10), 0.1)(5)
    0.05
    """

    schedule: Scalar
    factor: Scalar
    checks: ClassVar[dict[str, Check]] = {"schedule": scalar, "factor": scalar}

    def __call__(self, step: int) -> float:
        return value_at(self.schedule, step) * value_at(self.factor, step)


@dataclass(frozen=True, repr=False)
class WarmupStableDecay(Checked):
    """Up in a straight line, at `peak` for most of the time, down at the end.

    Parameters
    ----------
    peak : float
    steps : int
        Of all three phases, >= 1; afterwards it stays at `final`.
    warmup : int
        Steps from `start` to peak, >= 0.
    decay : int
        Steps from peak to `final`, >= 1; ``warmup + decay <= steps``.
    start : float, default 0.0
    final : float, default 0.0
    shape : {"linear", "cosine", "sqrt"}, default "linear"
        Of the decay; "sqrt" is one minus the root of the share that is done.

    References
    ----------
    Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", NeurIPS 2024.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.WarmupStableDecay(1.0, steps=100, warmup=10, decay=20)
    >>> [lr(step) for step in (0, 5, 10, 80, 90, 100)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """

    peak: float
    steps: int
    warmup: int
    decay: int
    start: float = 0.0
    final: float = 0.0
    shape: str = "linear"
    checks: ClassVar[dict[str, Check]] = {
        "peak": number,
        "steps": count,
        "warmup": natural,
        "decay": count,
        "start": number,
        "final": number,
        "shape": one_of("linear", "cosine", "sqrt"),
    }

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if self.warmup + self.decay > self.steps:
            raise self.refuse("decay", f"at most steps - warmup = {self.steps - self.warmup}")

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.start + (self.peak - self.start) * (step / self.warmup)
        if step >= self.steps:
            return self.final
        share = max(0, step - (self.steps - self.decay)) / self.decay
        if self.shape == "cosine":
            left = 0.5 * (1.0 + math.cos(math.pi * share))
        else:
            left = 1.0 - (math.sqrt(share) if self.shape == "sqrt" else share)
        return self.final + (self.peak - self.final) * left


@dataclass(frozen=True, repr=False)
class FlatCosine(Checked):
    """At `initial` for a share of the steps, then half a cosine to `final`: fastai's fit_flat_cos.

    Parameters
    ----------
    initial : float
    steps : int
        >= 1; afterwards it stays at `final`.
    flat : float, default 0.75
        The share, in [0, 1].
    final : float, default 0.0

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.FlatCosine(1.0, steps=100, flat=0.5)
    >>> [round(lr(step), 4) for step in (0, 50, 75, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """

    initial: float
    steps: int
    flat: float = 0.75
    final: float = 0.0
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "steps": count,
        "flat": SHARE,
        "final": number,
    }

    def __call__(self, step: int) -> float:
        share = step / self.steps
        if share >= 1.0:
            return self.final
        if share <= self.flat:
            return self.initial
        left = 0.5 * (1.0 + math.cos(math.pi * (share - self.flat) / (1.0 - self.flat)))
        return self.final + (self.initial - self.final) * left
