"""Hyperparameters that change over training: pure functions of the step.

A schedule is any callable ``schedule(step) -> float``; `step` is the number of updates done before, so the
first update sees ``schedule(0)``. The classes here follow optax, can be stored in a checkpoint, and
print so that they can be pasted back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .checks import compact_repr, flag, integer, number
from .errors import ArgumentError, DTypeError

__all__ = ["Constant", "Cosine", "Exponential", "Scalar", "Schedule", "Warmup"]

Schedule = Callable[[int], float]
Scalar = float | Schedule  # what every scalar hyperparameter accepts


@dataclass(frozen=True, repr=False)
class Constant:
    """The same value at every step.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> from gradcore import schedules
    >>> schedules.Constant(0.1)(1000)
    0.1
    """

    value: float
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", number(self.value, "Constant: value"))

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True, repr=False)
class Exponential:
    """``initial * decay ** (step / steps)``.

    Parameters
    ----------
    initial : float
        Value at step 0.
    decay : float
        Factor, > 0, by which the value changes every `steps` steps.
    steps : int
        >= 1.
    staircase : bool, default False
        Change once every `steps` steps instead of smoothly.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Exponential(0.8, decay=0.5, steps=100, staircase=True)
    >>> [lr(step) for step in (0, 99, 100, 250)]
    [0.8, 0.8, 0.4, 0.2]
    """

    initial: float
    decay: float
    steps: int
    staircase: bool = False
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", number(self.initial, "Exponential: initial"))
        object.__setattr__(self, "decay", number(self.decay, "Exponential: decay"))
        object.__setattr__(self, "steps", integer(self.steps, "Exponential: steps", 1))
        object.__setattr__(self, "staircase", flag(self.staircase, "Exponential: staircase"))
        if self.decay <= 0:
            raise ArgumentError(f"Exponential: decay: expected a number > 0, got {self.decay}")

    def __call__(self, step: int) -> float:
        exponent = float(step // self.steps) if self.staircase else step / self.steps
        try:
            return float(self.initial * self.decay**exponent)
        except OverflowError:
            return math.copysign(math.inf, self.initial) if self.initial else 0.0


@dataclass(frozen=True, repr=False)
class Cosine:
    """Half a cosine from `initial` down to `final`, which it then keeps.

    Parameters
    ----------
    initial : float
        Value at step 0.
    steps : int
        Step at which `final` is reached, >= 1.
    final : float, default 0.0

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Cosine(1.0, steps=100)
    >>> [round(lr(step), 4) for step in (0, 50, 100, 1000)]
    [1.0, 0.5, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", number(self.initial, "Cosine: initial"))
        object.__setattr__(self, "steps", integer(self.steps, "Cosine: steps", 1))
        object.__setattr__(self, "final", number(self.final, "Cosine: final"))

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.final
        share = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.final + (self.initial - self.final) * share


@dataclass(frozen=True, repr=False)
class Warmup:
    """A straight line from `start` to ``schedule(0)`` over `steps` steps, then ``schedule(step - steps)``.

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
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            try:
                object.__setattr__(self, "schedule", number(self.schedule, "Warmup: schedule"))
            except DTypeError:
                raise DTypeError(
                    f"Warmup: schedule: expected a schedule or a number, got {self.schedule!r}"
                ) from None
        object.__setattr__(self, "steps", integer(self.steps, "Warmup: steps", 1))
        object.__setattr__(self, "start", number(self.start, "Warmup: start"))

    def __call__(self, step: int) -> float:
        after = self.schedule
        if step >= self.steps:
            return after(step - self.steps) if callable(after) else after
        end = after(0) if callable(after) else after
        return self.start + (end - self.start) * (step / self.steps)
