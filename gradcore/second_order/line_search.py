"""Line search: a step along a ray that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ArgumentError, DTypeError
from ..validation.checks import integer, number, shown

_NARROW = 1e-14  # relative width at which a bracket holds nothing new
_MARGIN = 0.1  # share of a bracket that interpolation leaves free at its ends
_SHRINK = 0.66  # that two trials must take off a bracket, else it is halved
_FAR = 9.0  # an extrapolation goes at most so many times the last distance further


@dataclass(frozen=True)
class LineSearch:
    """What a line search found.

    Attributes
    ----------
    step : float
        0 where no lower point was found.
    value, slope : float
        phi and its derivative there.
    evaluations : int
    converged : bool
        Whether both conditions hold. If not, `step` is the lowest point that satisfies the first.
    """

    step: float
    value: float
    slope: float
    evaluations: int
    converged: bool


@dataclass(frozen=True)
class _Trial:
    step: float
    value: float
    slope: float


def strong_wolfe(
    phi: Callable[[float], tuple[float, float]],
    phi0: float,
    dphi0: float,
    step: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    max_evaluations: int = 25,
) -> LineSearch:
    """A step t with ``phi(t) <= phi0 + c1 t dphi0`` and ``|dphi(t)| <= c2 |dphi0|``.

    Trials grow until they bracket such a step; a bracket is then narrowed by cubic interpolation of the
    values and slopes at its ends. A value or slope that is not finite counts as too high a value.

    Parameters
    ----------
    phi : callable
        Of a step > 0; returns value and slope.
    phi0, dphi0 : float
        Value and slope at 0; the slope is negative.
    step : float
        The first trial, > 0.
    c1, c2 : float, default 1e-4 and 0.9
        0 < c1 < c2 < 1.
    max_evaluations : int, default 25

    Returns
    -------
    LineSearch

    Raises
    ------
    ArgumentError, DTypeError
        If an argument is not as above.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 3.5 and 3.6.

    Examples
    --------
    >>> from gradcore.search_line import strong_wolfe
    >>> found = strong_wolfe(lambda t: ((t - 3) ** 2, 2 * (t - 3)), phi0=9.0, dphi0=-6.0, step=1.0, c2=0.1)
    >>> found.step, found.converged
    (3.0, True)
    """
    phi0, dphi0, step = number(phi0, "phi0"), number(dphi0, "dphi0"), number(step, "step")
    c1, c2 = number(c1, "c1"), number(c2, "c2")
    if not callable(phi):
        raise DTypeError(f"phi: expected a function of the step, got {shown(phi)}")
    if dphi0 >= 0:
        raise ArgumentError(f"dphi0: expected a slope < 0, got {dphi0}")
    if step <= 0:
        raise ArgumentError(f"step: expected a number > 0, got {step}")
    if not 0 < c1 < c2 < 1:
        raise ArgumentError(f"c1, c2: expected 0 < c1 < c2 < 1, got {c1} and {c2}")
    return _Search(phi, phi0, dphi0, c1, c2, integer(max_evaluations, "max_evaluations", 1)).run(step)


class _Search:
    """One search: the function, the two conditions and the evaluations that are left."""

    def __init__(
        self,
        phi: Callable[[float], tuple[float, float]],
        phi0: float,
        dphi0: float,
        c1: float,
        c2: float,
        limit: int,
    ) -> None:
        self.phi, self.limit, self.used = phi, limit, 0
        self.start = _Trial(0.0, phi0, dphi0)
        self.decrease, self.flat = c1 * dphi0, c2 * -dphi0

    def run(self, step: float) -> LineSearch:
        """Lengthen the step until a bracket is found."""
        previous = self.start
        while self.used < self.limit and math.isfinite(step):
            trial = self.evaluate(step)
            if self.satisfies(trial):
                return self.result(trial, True)
            if self.too_high(trial) or trial.value >= previous.value:
                return self.zoom(previous, trial)
            if trial.slope >= 0:
                return self.zoom(trial, previous)
            step = _beyond(previous, trial)
            previous = trial
        return self.result(previous, False)

    def zoom(self, low: _Trial, high: _Trial) -> LineSearch:
        """Narrow the bracket; `low` has the lowest value so far among steps of sufficient decrease, and
        falls towards `high`."""
        widths = [math.inf, math.inf]
        while self.used < self.limit:
            width = abs(high.step - low.step)
            if width <= _NARROW * max(high.step, low.step):
                break
            halve = width > _SHRINK * widths[-2]
            widths.append(width)
            trial = self.evaluate((low.step + high.step) / 2 if halve else _between(low, high))
            if self.satisfies(trial):
                return self.result(trial, True)
            if self.too_high(trial) or trial.value >= low.value:
                high = trial
                continue
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
        return self.result(low, False)

    def evaluate(self, step: float) -> _Trial:
        """One evaluation; what is not finite becomes an infinite value."""
        self.used += 1
        answer = self.phi(step)
        try:
            value, slope = (float(item) for item in answer)
        except (TypeError, ValueError):
            raise DTypeError(f"phi: expected value and slope at step {step}, got {answer!r}") from None
        if not (math.isfinite(value) and math.isfinite(slope)):
            value, slope = math.inf, math.inf
        return _Trial(step, value, slope)

    def too_high(self, trial: _Trial) -> bool:
        """Whether the first condition fails."""
        return trial.value > self.start.value + trial.step * self.decrease

    def satisfies(self, trial: _Trial) -> bool:
        """Whether both hold."""
        return not self.too_high(trial) and abs(trial.slope) <= self.flat

    def result(self, trial: _Trial, converged: bool) -> LineSearch:
        """The trial as an answer."""
        return LineSearch(trial.step, trial.value, trial.slope, self.used, converged)


def _cubic_minimum(a: _Trial, b: _Trial) -> float:
    """Where the cubic through both values and slopes is lowest; NaN where it has no minimum."""
    if not math.isfinite(a.value + b.value):
        return math.nan
    first = a.slope + b.slope - 3 * ((a.value - b.value) / (a.step - b.step))
    square = first * first - a.slope * b.slope
    if not 0 <= square < math.inf:
        return math.nan
    second = math.copysign(math.sqrt(square), b.step - a.step)
    below = b.slope - a.slope + 2 * second
    return b.step - (b.step - a.step) * ((b.slope + second - first) / below) if below else math.nan


def _beyond(previous: _Trial, trial: _Trial) -> float:
    """The next, longer step."""
    distance = trial.step - previous.step
    best = _cubic_minimum(previous, trial)
    far = trial.step + _FAR * distance
    return min(max(best, trial.step + distance), far) if best > trial.step else far


def _between(low: _Trial, high: _Trial) -> float:
    """A step inside the bracket and not too near to its ends."""
    width = high.step - low.step
    best = _cubic_minimum(low, high)
    if math.isnan(best):
        return low.step + width / 2
    share = (best - low.step) / width
    return low.step + width * min(max(share, _MARGIN), 1 - _MARGIN)
