"""Random schedules: pure functions of seed and step, so that a resumed run sees the same values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .. import _core
from ..validation.checks import number
from .base import POSITIVE, Check, Checked, word64

__all__ = ["LogUniform", "Uniform", "Walk"]

_KEY = 0x9E3779B97F4A7C15  # sets these draws apart from the initial weights, which share seeds and streams


def _draw(kind: str, seed_: int, step: int, a: float, b: float) -> float:
    """The number of a step, from the core's counter-based generator."""
    key = (seed_ + _KEY * (1 + (step >> 32))) % 2**64
    return float(_core.fill(kind, key, step % 2**32, 1, 1, a, b).item())


@dataclass(frozen=True, repr=False)
class Uniform(Checked):
    """An independent number in [low, high) at every step.

    Parameters
    ----------
    low, high : float
        low < high.
    seed : int, default 0

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Uniform(0.1, 0.2, seed=1)
    >>> 0.1 <= lr(7) < 0.2, lr(7) == lr(7), lr(7) == lr(8)
    (True, True, False)
    """

    low: float
    high: float
    seed: int = 0
    checks: ClassVar[dict[str, Check]] = {"low": number, "high": number, "seed": word64}

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if not self.low < self.high:
            raise self.refuse("high", f"a number > low = {self.low}")

    def __call__(self, step: int) -> float:
        return _draw("uniform", self.seed, step, self.low, self.high)


@dataclass(frozen=True, repr=False)
class LogUniform(Checked):
    """An independent number in [low, high) at every step, every decade as likely as another.

    Parameters
    ----------
    low, high : float
        0 < low < high.
    seed : int, default 0

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.LogUniform(1e-5, 1e-1)
    >>> all(1e-5 <= lr(step) <= 1e-1 for step in range(100))
    True
    """

    low: float
    high: float
    seed: int = 0
    checks: ClassVar[dict[str, Check]] = {"low": POSITIVE, "high": POSITIVE, "seed": word64}

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if not self.low < self.high:
            raise self.refuse("high", f"a number > low = {self.low}")

    def __call__(self, step: int) -> float:
        share = _draw("uniform", self.seed, step, 0.0, 1.0)
        return min(self.high, self.low * math.exp(math.log(self.high / self.low) * share))


@dataclass(frozen=True, repr=False)
class Walk(Checked):
    """A random walk from `initial`: every step multiplies by ``exp(deviation * z)`` with a normal z.

    At `low` and `high` it is reflected. The value of a step does not need those before it: it comes from
    about ``2 log2(step)`` draws, by Lévy's construction.

    Parameters
    ----------
    initial : float
        > 0.
    deviation : float
        > 0, of the logarithm's change in a step.
    low, high : float, optional
        ``low <= initial <= high``, low < high. Default: a hundredth and a hundred times `initial`.
    seed : int, default 0

    References
    ----------
    Lévy, "Processus stochastiques et mouvement brownien", 1948.

    Examples
    --------
    >>> from gradcore import schedules
    >>> lr = schedules.Walk(0.01, 0.1, low=0.001, high=0.1)
    >>> lr(0), all(0.001 <= lr(step) <= 0.1 for step in range(1000))
    (0.01, True)
    """

    initial: float
    deviation: float
    low: float | None = None
    high: float | None = None
    seed: int = 0
    checks: ClassVar[dict[str, Check]] = {
        "initial": POSITIVE,
        "deviation": POSITIVE,
        "low": lambda value, name: None if value is None else POSITIVE(value, name),
        "high": lambda value, name: None if value is None else POSITIVE(value, name),
        "seed": word64,
    }

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        low, high = self._bounds()
        if not low <= self.initial <= high:
            raise self.refuse("initial", f"a number between low = {low} and high = {high}")
        if low == high:
            raise self.refuse("high", f"a number > low = {low}")

    def _bounds(self) -> tuple[float, float]:
        low = self.initial / 100.0 if self.low is None else self.low
        return low, self.initial * 100.0 if self.high is None else self.high

    def __call__(self, step: int) -> float:
        if step == 0:
            return self.initial
        low, high = self._bounds()
        width = math.log(high / low)
        at = (math.log(self.initial / low) + self.deviation * self._sum(step)) % (2.0 * width)
        return min(high, low * math.exp(min(at, 2.0 * width - at)))

    def _sum(self, step: int) -> float:
        """The sum of the first `step` normal numbers. At powers of two it grows by one draw; between two
        known times, the middle is their mean and a draw. Each time has one draw, its own."""
        begin, end, left, right = 0, 1, 0.0, self._normal(1)
        while end < step:
            begin, left = end, right
            end = 2 * begin
            right = left + math.sqrt(begin) * self._normal(end)
        while end != step:
            middle = (begin + end) // 2
            value = 0.5 * (left + right) + 0.5 * math.sqrt(end - begin) * self._normal(middle)
            if step < middle:
                end, right = middle, value
            elif step > middle:
                begin, left = middle, value
            else:
                return value
        return right

    def _normal(self, time: int) -> float:
        return _draw("normal", self.seed, time, 0.0, 1.0)
