"""Rules made from the norms that a training has had so far. Each is one class, and its state another."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..schedules.base import Scalar
from ..schedules.scalars import OPEN, PERCENT, POSITIVE, Range
from ..validation.checks import choice, integer, number
from .base import Clip

__all__ = ["AutoClip", "ZClip"]


def _constant(bound: Scalar) -> float:
    """A number; of a schedule 0, until a step has its value."""
    return 0.0 if callable(bound) else bound


@dataclass(frozen=True, repr=False)
class AutoClip(Clip):
    """Scale the whole gradient to at most the `percentile` of the norms so far, its own included.

    Parameters
    ----------
    percentile : float or schedule, default 10.0
        In [0, 100], interpolated linearly as NumPy does.
    window : int, optional
        Norms to remember, >= 1. Default: 1000; None: all of them, as in the paper, which a checkpoint then
        holds too.

    References
    ----------
    Seetharaman, Wichern, Pardo and Le Roux, "AutoClip: Adaptive Gradient Clipping for Source Separation
    Networks", MLSP 2020.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.AutoClip(25)
    AutoClip(percentile=25.0)
    """

    percentile: Scalar = 10.0
    window: int | None = 1000
    name: ClassVar[str] = "auto"
    bounded: ClassVar[str] = "percentile"
    span: ClassVar[Range] = PERCENT

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None:
            object.__setattr__(self, "window", integer(self.window, "AutoClip: window", 1))

    def statistic(self, state: dict[str, Any] | None = None) -> Norms:
        """Its running state."""
        norms = [] if state is None else [number(norm, "norms") for norm in state["norms"]]
        return Norms(_constant(self.percentile), self.window, norms)


class Norms:
    """The last norms, in order of time and of size."""

    def __init__(self, percentile: float, window: int | None, norms: Iterable[float]) -> None:
        self.bound, self._window = percentile, window
        self._recent = deque(norms)
        self._sorted = sorted(self._recent)

    def __call__(self, norm: float) -> float:
        """The factor of a step."""
        if self._window is not None and len(self._recent) == self._window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(norm)
        insort(self._sorted, norm)
        at = self.bound / 100.0 * (len(self._sorted) - 1)
        below = math.floor(at)
        above = min(below + 1, len(self._sorted) - 1)
        low, high = self._sorted[below], self._sorted[above]
        most = low + (high - low) * (at - below)
        return most / norm if norm > most else 1.0

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {"norms": list(self._recent)}


@dataclass(frozen=True, repr=False)
class ZClip(Clip):
    """Scale the whole gradient down where its norm is an outlier among the norms so far.

    Mean and variance of the norms are running means. Where ``z = (norm - mean) / deviation`` exceeds
    `threshold`, the norm becomes ``mean + threshold ** 2 / z * deviation`` (mode "adaptive") or `mean`, and
    that is what the running means take in. The first `warmup` norms only make their start.

    Parameters
    ----------
    threshold : float or schedule, default 2.5
        > 0.
    decay : float, default 0.97
        In (0, 1), of the running means.
    warmup : int, default 25
        >= 2.
    max_norm : float, optional
        > 0: the limit during the warm-up. Default: none.
    mode : {"adaptive", "mean"}, default "adaptive"

    References
    ----------
    Kumar, Owen, Chowdhury and Güra, "ZClip: Adaptive Spike Mitigation for LLM Pre-Training", 2025.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.ZClip(threshold=3)
    ZClip(threshold=3.0)
    """

    threshold: Scalar = 2.5
    decay: float = 0.97
    warmup: int = 25
    max_norm: float | None = None
    mode: str = "adaptive"
    name: ClassVar[str] = "z"
    bounded: ClassVar[str] = "threshold"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, range_ in (("decay", OPEN), ("max_norm", POSITIVE)):
            value = getattr(self, key)
            if key == "max_norm" and value is None:
                continue
            object.__setattr__(self, key, number(value, f"ZClip: {key}"))
            if not range_.contains(getattr(self, key)):
                raise ArgumentError(f"ZClip: {key}: expected a number {range_.text}, got {value}")
        object.__setattr__(self, "warmup", integer(self.warmup, "ZClip: warmup", 2))
        choice(self.mode, "ZClip: mode", ("adaptive", "mean"))

    def statistic(self, state: dict[str, Any] | None = None) -> Moments:
        """Its running state."""
        moments = Moments(**(state or {}))
        moments.first = [number(norm, "first") for norm in moments.first]
        moments.mean, moments.variance = number(moments.mean, "mean"), number(moments.variance, "variance")
        if len(moments.first) > self.warmup or moments.variance < 0:
            raise ArgumentError(f"ZClip: state: expected one that fits {self!r}, got {state!r}")
        moments.rule, moments.bound = self, _constant(self.threshold)
        return moments


_TINY = 1e-6  # beside the deviation, so that norms without any spread are no outliers


@dataclass
class Moments:
    """The warm-up's norms, then their running mean and variance."""

    first: list[float] = field(default_factory=list)
    mean: float = 0.0
    variance: float = 0.0
    rule: ZClip = field(default=ZClip(), repr=False)  # noqa: RUF009  # frozen
    bound: float = 0.0

    def __call__(self, norm: float) -> float:
        """The factor of a step."""
        rule, threshold, most = self.rule, self.bound, norm
        if len(self.first) < rule.warmup:
            self.first.append(norm)
            count = len(self.first)
            if count == rule.warmup:
                self.mean = sum(self.first) / count
                self.variance = sum((one - self.mean) ** 2 for one in self.first) / count
            return rule.max_norm / norm if rule.max_norm is not None and norm > rule.max_norm else 1.0
        deviation = math.sqrt(self.variance)
        z = (norm - self.mean) / (deviation + _TINY)
        if z > threshold:
            most = self.mean + (threshold**2 / z * deviation if rule.mode == "adaptive" else 0.0)
        self.mean = rule.decay * self.mean + (1.0 - rule.decay) * most
        self.variance = rule.decay * self.variance + (1.0 - rule.decay) * (most - self.mean) ** 2
        return most / norm if norm > most else 1.0

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {"first": self.first.copy(), "mean": self.mean, "variance": self.variance}
