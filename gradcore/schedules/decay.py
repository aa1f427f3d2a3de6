"""Schedules that go one way, down or up, and stay there."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import ClassVar

from ..validation.checks import flag, number
from .base import (
    NOT_NEGATIVE,
    POSITIVE,
    Check,
    Checked,
    count,
    increasing_steps,
    natural,
    one_of,
    optional,
    sequence,
)

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "Linear",
    "MultiStep",
    "Piecewise",
    "Polynomial",
    "Step",
]


def scaled_power(initial: float, base: float, exponent: float) -> float:
    """``initial * base ** exponent``, infinite where it overflows."""
    try:
        return float(initial * base**exponent)
    except OverflowError:
        return math.copysign(math.inf, initial) if initial else 0.0


@dataclass(frozen=True, repr=False)
class Constant(Checked):
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
    checks: ClassVar[dict[str, Check]] = {"value": number}

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True, repr=False)
class Step(Checked):
    """``initial * factor ** (step // steps)``: PyTorch's StepLR.

    Parameters
    ----------
    initial : float
    steps : int
        >= 1, between two changes.
    factor : float, default 0.1
        > 0.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Step(1.0, steps=10, factor=0.5)
    >>> [lr(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    initial: float
    steps: int
    factor: float = 0.1
    checks: ClassVar[dict[str, Check]] = {"initial": number, "steps": count, "factor": POSITIVE}

    def __call__(self, step: int) -> float:
        return scaled_power(self.initial, self.factor, step // self.steps)


@dataclass(frozen=True, repr=False)
class MultiStep(Checked):
    """Multiplied by `factor` at each of the `milestones`: PyTorch's MultiStepLR.

    Parameters
    ----------
    initial : float
    milestones : list of int
        Increasing; the step with that number is the first to see the new value.
    factor : float, default 0.1
        > 0.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.MultiStep(1.0, [10, 30], factor=0.5)
    >>> [lr(step) for step in (9, 10, 29, 30)]
    [1.0, 0.5, 0.5, 0.25]
    """

    initial: float
    milestones: tuple[int, ...]
    factor: float = 0.1
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "milestones": increasing_steps,
        "factor": POSITIVE,
    }

    def __call__(self, step: int) -> float:
        return scaled_power(self.initial, self.factor, bisect_right(self.milestones, step))


@dataclass(frozen=True, repr=False)
class Piecewise(Checked):
    """Values by steps: constant between the boundaries, or interpolated.

    Parameters
    ----------
    boundaries : list of int
        Increasing. ``values[i + 1]`` begins at step ``boundaries[i]``, as in optax and PyTorch (Keras'
        PiecewiseConstantDecay begins one step later).
    values : list of float
        One more than boundaries.
    shape : {"constant", "linear", "cosine"}, default "constant"
        Interpolated, ``values[0]`` is that of step 0 and ``values[i + 1]`` that of ``boundaries[i]``, as in
        optax's piecewise_interpolate_schedule; after the last boundary it stays.

    Examples
    --------
    >>> from gradcore import schedules
    >>> [schedules.Piecewise([10, 20], [3, 2, 1])(step) for step in (9, 10, 20)]
    [3.0, 2.0, 1.0]
    >>> schedules.Piecewise([10, 20], [3, 2, 1], shape="linear")(5)
    2.5
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]
    shape: str = "constant"
    checks: ClassVar[dict[str, Check]] = {
        "boundaries": increasing_steps,
        "values": sequence(number),
        "shape": one_of("constant", "linear", "cosine"),
    }

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if len(self.values) != len(self.boundaries) + 1:
            raise self.refuse("values", f"{len(self.boundaries) + 1} numbers")

    def __call__(self, step: int) -> float:
        at = bisect_right(self.boundaries, step)
        if self.shape == "constant" or at == len(self.boundaries):
            return self.values[at]
        begin = self.boundaries[at - 1] if at else 0
        share = (step - begin) / (self.boundaries[at] - begin)
        if self.shape == "cosine":
            share = 0.5 * (1.0 - math.cos(math.pi * share))
        return self.values[at] + (self.values[at + 1] - self.values[at]) * share


@dataclass(frozen=True, repr=False)
class Exponential(Checked):
    """``initial * decay ** ((step - begin) / steps)``; with `decay` > 1 it rises.

    ``Exponential(1e-5, decay=10, steps=100, end_value=1e-1)`` is ten times higher every 100 steps, up to 0.1.

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
    begin : int, default 0
        Steps before the first change.
    end_value : float, optional
        A lower bound where decay < 1, an upper bound otherwise, as in optax.

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
    begin: int = 0
    end_value: float | None = None
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "decay": POSITIVE,
        "steps": count,
        "staircase": flag,
        "begin": natural,
        "end_value": optional(number),
    }

    def __call__(self, step: int) -> float:
        done = max(0, step - self.begin)
        exponent = float(done // self.steps) if self.staircase else done / self.steps
        value = scaled_power(self.initial, self.decay, exponent)
        if self.end_value is None:
            return value
        return max(value, self.end_value) if self.decay < 1.0 else min(value, self.end_value)


@dataclass(frozen=True, repr=False)
class InverseTime(Checked):
    """``initial / (1 + decay * step / steps) ** power``.

    Keras' InverseTimeDecay with power 1; scikit-learn's "invscaling" with decay 1 and steps 1.

    Parameters
    ----------
    initial : float
    decay : float
        >= 0.
    steps : int
        >= 1.
    staircase : bool, default False
        ``step // steps`` instead of ``step / steps``.
    power : float, default 1.0
        > 0.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.InverseTime(1.0, decay=0.5, steps=10)
    >>> [lr(step) for step in (0, 20, 60)]
    [1.0, 0.5, 0.25]
    """

    initial: float
    decay: float
    steps: int
    staircase: bool = False
    power: float = 1.0
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "decay": NOT_NEGATIVE,
        "steps": count,
        "staircase": flag,
        "power": POSITIVE,
    }

    def __call__(self, step: int) -> float:
        time = float(step // self.steps) if self.staircase else step / self.steps
        return scaled_power(self.initial, 1.0 + self.decay * time, -self.power)


@dataclass(frozen=True, repr=False)
class InverseSqrt(Checked):
    """A straight line up to `peak`, then falling as ``1 / sqrt(step)``: the Transformer's schedule.

    ``peak * min((step + 1) / warmup, sqrt(warmup / (step + 1)))``; the paper's own numbers come from
    ``InverseSqrt.noam(width, warmup)``.

    Parameters
    ----------
    peak : float
        Reached at step ``warmup - 1``.
    warmup : int
        >= 1.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.InverseSqrt(1.0, warmup=4)
    >>> [lr(step) for step in (0, 3, 15)]
    [0.25, 1.0, 0.5]
    """

    peak: float
    warmup: int
    checks: ClassVar[dict[str, Check]] = {"peak": number, "warmup": count}

    @classmethod
    def noam(cls, width: int, warmup: int, factor: float = 1.0) -> InverseSqrt:
        """The paper's ``factor / sqrt(width) * min(t ** -0.5, t * warmup ** -1.5)``, t from 1."""
        size = count(width, "InverseSqrt.noam: width") * count(warmup, "InverseSqrt.noam: warmup")
        return cls(number(factor, "InverseSqrt.noam: factor") / math.sqrt(size), warmup)

    def __call__(self, step: int) -> float:
        t = step + 1
        return self.peak * (t / self.warmup if t <= self.warmup else math.sqrt(self.warmup / t))


@dataclass(frozen=True, repr=False)
class Linear(Checked):
    """A straight line from `initial` to `final`, down or up.

    ``Linear(1e-5, 1e-2, steps=100)`` rises; PyTorch's LinearLR without arguments is
    ``Linear(lr / 3, lr, steps=5)``.

    Parameters
    ----------
    initial, final : float
        Values until step `begin` and from step ``begin + steps`` on.
    steps : int
        >= 1.
    begin : int, default 0

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Linear(0.0, 1.0, steps=4, begin=2)
    >>> [lr(step) for step in (0, 2, 3, 6, 7)]
    [0.0, 0.0, 0.25, 1.0, 1.0]
    """

    initial: float
    final: float
    steps: int
    begin: int = 0
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "final": number,
        "steps": count,
        "begin": natural,
    }

    def __call__(self, step: int) -> float:
        done = min(max(0, step - self.begin), self.steps)
        if done == self.steps:
            return self.final
        return self.initial + (self.final - self.initial) * (done / self.steps)


@dataclass(frozen=True, repr=False)
class Polynomial(Checked):
    """``final + (initial - final) * (1 - step / steps) ** power``, then `final`.

    Parameters
    ----------
    initial, final : float
    steps : int
        >= 1.
    power : float, default 1.0
        > 0.
    cycle : bool, default False
        Instead of staying at `final`, stretch to the next multiple of `steps`, as Keras does: the value
        jumps up again after each multiple, less each time.
    begin : int, default 0
        Steps at `initial` before it.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Polynomial(1.0, 0.0, steps=10, power=2.0)
    >>> [lr(step) for step in (0, 5, 10)]
    [1.0, 0.25, 0.0]
    """

    initial: float
    final: float
    steps: int
    power: float = 1.0
    cycle: bool = False
    begin: int = 0
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "final": number,
        "steps": count,
        "power": POSITIVE,
        "cycle": flag,
        "begin": natural,
    }

    def __call__(self, step: int) -> float:
        done, length = max(0, step - self.begin), self.steps
        if self.cycle:
            length *= max(1, -(-done // length))
        elif done >= length:
            return self.final
        return self.final + (self.initial - self.final) * math.pow(1.0 - done / length, self.power)


@dataclass(frozen=True, repr=False)
class Cosine(Checked):
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
    checks: ClassVar[dict[str, Check]] = {"initial": number, "steps": count, "final": number}

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.final
        share = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.final + (self.initial - self.final) * share
