"""Schedules that go up and down: restarts, cycles, one cycle with its momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..validation.checks import flag, number
from .base import POSITIVE, SHARE, Check, Checked, count, one_of, within
from .decay import scaled_power

__all__ = ["Cyclic", "OneCycle", "OneCycleMomentum", "WarmRestarts"]

_FROM_ONE = within(">= 1", lambda x: x >= 1)


@dataclass(frozen=True, repr=False)
class WarmRestarts(Checked):
    """Half cosines from `initial` to `final`, one after the other: SGDR.

    Parameters
    ----------
    initial : float
    steps : int
        Length of the first, >= 1.
    final : float, default 0.0
    multiplier : float, default 1.0
        >= 1: each is longer than the one before by it (PyTorch's T_mult, Keras' t_mul).
    decay : float, default 1.0
        > 0: each begins at this times where the one before began (Keras' m_mul).

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.WarmRestarts(1.0, steps=10, multiplier=2)
    >>> [round(lr(step), 4) for step in (0, 5, 10, 20, 30)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    initial: float
    steps: int
    final: float = 0.0
    multiplier: float = 1.0
    decay: float = 1.0
    checks: ClassVar[dict[str, Check]] = {
        "initial": number,
        "steps": count,
        "final": number,
        "multiplier": _FROM_ONE,
        "decay": POSITIVE,
    }

    def __call__(self, step: int) -> float:
        cycle, share = self._position(step)
        initial = scaled_power(self.initial, self.decay, cycle)
        return self.final + (initial - self.final) * (0.5 * (1.0 + math.cos(math.pi * share)))

    def _position(self, step: int) -> tuple[int, float]:
        """The cycle that a step falls into, and how much of it is over."""
        m = self.multiplier
        if m == 1.0:
            return step // self.steps, step % self.steps / self.steps

        def start(cycle: int) -> float:
            return self.steps * (m**cycle - 1.0) / (m - 1.0)

        cycle = int(math.log1p(step * (m - 1.0) / self.steps) / math.log(m))
        while start(cycle + 1) <= step:  # the logarithm may be wrong by one at a restart
            cycle += 1
        while cycle and start(cycle) > step:
            cycle -= 1
        return cycle, (step - start(cycle)) / (self.steps * m**cycle)


class _OnePolicy(Checked):
    """The timing that a rate and its momentum share; they declare the fields, in their own order."""

    steps: int
    warm_share: float
    shape: str
    three_phases: bool

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if self.three_phases and self.warm_share > 0.5:
            raise self.refuse("warm_share", "at most 0.5 with three_phases")

    def _between(self, step: int, low: float, high: float, last: float) -> float:
        """From `low` to `high` and on to `last`; with three phases by way of `low`."""
        turn, end = self.warm_share * self.steps - 1.0, self.steps - 1.0
        points = [(0.0, low), (turn, high)]
        if self.three_phases:
            points.append((2.0 * turn, low))
        points.append((end, last))
        phase = next((i for i, (until, _) in enumerate(points[1:-1]) if step <= until), len(points) - 2)
        (begin, first), (until, then) = points[phase : phase + 2]
        share = min(1.0, (step - begin) / (until - begin)) if until > begin else 1.0
        if self.shape == "cosine":
            return then + (first - then) * 0.5 * (1.0 + math.cos(math.pi * share))
        return first + (then - first) * share


_ONE_CHECKS: dict[str, Check] = {
    "steps": count,
    "warm_share": SHARE,
    "shape": one_of("cosine", "linear"),
    "three_phases": flag,
}


@dataclass(frozen=True, repr=False)
class OneCycle(_OnePolicy):
    """Up to `peak`, then down to almost nothing, over the whole training: PyTorch's OneCycleLR.

    The momentum that goes the other way is ``lr.momentum()``.

    Parameters
    ----------
    peak : float
    steps : int
        Of the whole training; afterwards it stays at its last value (PyTorch raises).
    warm_share : float, default 0.3
        Part of the steps that go up, in [0, 1].
    div : float, default 25.0
        > 0: it begins at ``peak / div``.
    final_div : float, default 1e4
        > 0: it ends at ``peak / div / final_div``.
    shape : {"cosine", "linear"}, default "cosine"
    three_phases : bool, default False
        Back to the first value as fast as it went up, then to the last: the original form. Needs warm_share
        of at most a half.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    2018.

    Examples
    --------
    >>> from gradcore import optimizers, schedules
    >>> lr = schedules.OneCycle(1.0, steps=100)
    >>> [round(lr(step), 4) for step in (0, 29, 99)]
    [0.04, 1.0, 0.0]
    >>> sgd = optimizers.SGD(lr, momentum=lr.momentum())
    """

    peak: float
    steps: int
    warm_share: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    shape: str = "cosine"
    three_phases: bool = False
    checks: ClassVar[dict[str, Check]] = {
        "peak": number,
        "div": POSITIVE,
        "final_div": POSITIVE,
        **_ONE_CHECKS,
    }

    def __call__(self, step: int) -> float:
        first = self.peak / self.div
        return self._between(step, first, self.peak, first / self.final_div)

    def momentum(self, high: float = 0.95, low: float = 0.85) -> OneCycleMomentum:
        """The momentum of the same cycle: from `high` to `low` while the rate rises, and back."""
        return OneCycleMomentum(self.steps, high, low, self.warm_share, self.shape, self.three_phases)


@dataclass(frozen=True, repr=False)
class OneCycleMomentum(_OnePolicy):
    """The companion of `OneCycle`: from `high` down to `low` while the rate rises, then up again.

    Parameters
    ----------
    steps : int
    high : float, default 0.95
    low : float, default 0.85
    warm_share : float, default 0.3
    shape : {"cosine", "linear"}, default "cosine"
    three_phases : bool, default False

    Examples
    --------
    >>> from gradcore import schedules
    >>> momentum = schedules.OneCycleMomentum(100)
    >>> [round(momentum(step), 4) for step in (0, 29, 99)]
    [0.95, 0.85, 0.95]
    """

    steps: int
    high: float = 0.95
    low: float = 0.85
    warm_share: float = 0.3
    shape: str = "cosine"
    three_phases: bool = False
    checks: ClassVar[dict[str, Check]] = {"high": number, "low": number, **_ONE_CHECKS}

    def __call__(self, step: int) -> float:
        return self._between(step, self.high, self.low, self.high)


@dataclass(frozen=True, repr=False)
class Cyclic(Checked):
    """A saw between `low` and `high`: PyTorch's CyclicLR.

    Parameters
    ----------
    low, high : float
    up : int
        Steps from low to high, >= 1.
    down : int, optional
        Steps back, >= 1. Default: `up`.
    mode : {"triangular", "triangular2", "exp_range"}, default "triangular"
        All cycles alike; half the height each time; or the height times ``gamma ** step``.
    gamma : float, default 1.0
        > 0.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Cyclic(0.0, 1.0, up=2, mode="triangular2")
    >>> [lr(step) for step in range(9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]
    """

    low: float
    high: float
    up: int
    down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    checks: ClassVar[dict[str, Check]] = {
        "low": number,
        "high": number,
        "up": count,
        "down": lambda value, name: None if value is None else count(value, name),
        "mode": one_of("triangular", "triangular2", "exp_range"),
        "gamma": POSITIVE,
    }

    def __call__(self, step: int) -> float:
        down = self.up if self.down is None else self.down
        cycle, at = divmod(step, self.up + down)
        height = (self.high - self.low) * (at / self.up if at <= self.up else (self.up + down - at) / down)
        if self.mode == "triangular2":
            height = math.ldexp(height, -cycle)
        elif self.mode == "exp_range":
            height = scaled_power(height, self.gamma, step)
        return self.low + height
