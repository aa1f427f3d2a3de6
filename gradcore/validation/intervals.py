"""Intervals of numbers that a layer can return, and those of the activations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .. import _core
from .arrays import Array

_FAR = 50.0  # a bound beyond it binds nothing that is learnt: sigmoid(50) is 1 in float64
_POINTS = np.concatenate([np.linspace(0.0, 10.0, 4001), np.geomspace(10.0, 1e12, 100)])


@dataclass(frozen=True)
class Interval:
    """From low to high, both included, either of them infinite."""

    low: float = -math.inf
    high: float = math.inf

    def holds(self, other: Interval) -> bool:
        """Whether all of another interval is in it."""
        return self.low <= other.low and other.high <= self.high

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        if math.isinf(self.low) or math.isinf(self.high):
            if math.isinf(self.low) and math.isinf(self.high):
                return "any number"
            if math.isinf(self.high):
                return f"nothing below {self.low:.3g}"
            return f"nothing above {self.high:.3g}"
        return f"nothing outside [{self.low:.3g}, {self.high:.3g}]"


ANY = Interval()


@dataclass(frozen=True)
class Expected:
    """What a loss takes outputs for, whatever the targets are."""

    words: str
    reach: Interval | None = None  # they must be able to be anything in it
    within: Interval = ANY  # and nothing outside of it
    then: str = ""  # how a prediction is had from them


def logits(output: str) -> Expected:
    """Any numbers; `output` of `Network.predict` turns them into probabilities."""
    then = f"; net.predict(X, output={output!r}) gives probabilities"
    return Expected("logits, any numbers,", ANY, then=then)


def of_activation(name: str, alpha: float | None, given: Interval = ANY) -> Interval:
    """What an activation returns for numbers of an interval; a far bound counts as none."""
    usual = float(_core.describe("activation", name, "alpha") or 0.0)
    return _of(name, usual if alpha is None else alpha, given)


@lru_cache(maxsize=256)
def _of(name: str, alpha: float, given: Interval) -> Interval:
    points = np.concatenate([-_POINTS[::-1], _POINTS])
    ends = [end for end in (given.low, given.high) if math.isfinite(end)]
    points = np.concatenate([points[(points >= given.low) & (points <= given.high)], ends])
    values = _core.activation_forward(name, points.reshape(1, -1), None, alpha)
    low, high = (round(value, 6) + 0.0 if abs(value) < _FAR else value for value in _extremes(values))
    return Interval(low if low > -_FAR else -math.inf, high if high < _FAR else math.inf)


def _extremes(values: Array) -> tuple[float, float]:
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
