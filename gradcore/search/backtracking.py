"""Backtracking: the step length that lowers a function enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ArgumentError, DTypeError
from ..validation.checks import integer, number, shown

__all__ = ["LineResult", "armijo"]


@dataclass(frozen=True)
class LineResult:
    """A step length and what it cost to find.

    Attributes
    ----------
    step : float
        0.0 if no step lowers the function enough.
    value : float
        The function at `step`.
    evaluations : int
    """

    step: float
    value: float
    evaluations: int


def armijo(
    phi: Callable[[float], float],
    phi0: float,
    dphi0: float,
    step: float = 1.0,
    *,
    c1: float = 1e-4,
    shrink: float = 0.5,
    max_evaluations: int = 25,
) -> LineResult:
    """The first of step, step * shrink, ... with ``phi(step) <= phi0 + c1 * step * dphi0``.

    A value that is not finite counts as too high.

    Parameters
    ----------
    phi : callable
        ``phi(step) -> float``, the function along the direction.
    phi0, dphi0 : float
        Value and derivative at 0; the derivative must be negative.
    step : float, default 1.0
        > 0, the first to try.
    c1 : float, default 1e-4
        In (0, 1).
    shrink : float, default 0.5
        In (0, 1).
    max_evaluations : int, default 25

    Returns
    -------
    LineResult

    References
    ----------
    Armijo, "Minimization of functions having Lipschitz continuous first partial derivatives", 1966;
    Nocedal and Wright, "Numerical Optimization", algorithm 3.1.

    Examples
    --------
    >>> from gradcore import search
    >>> search.armijo(lambda t: (1 - 5 * t) ** 2, 1.0, -10.0)
    LineResult(step=0.25, value=0.0625, evaluations=3)
    """
    if not callable(phi):
        raise DTypeError(f"phi: expected a function of the step, got {shown(phi)}")
    phi0, dphi0, step = number(phi0, "phi0"), number(dphi0, "dphi0"), number(step, "step")
    if not dphi0 < 0:
        raise ArgumentError(f"dphi0: expected a number < 0, a direction of descent, got {dphi0}")
    if not step > 0:
        raise ArgumentError(f"step: expected a number > 0, got {step}")
    c1, shrink = number(c1, "c1"), number(shrink, "shrink")
    for name, value in (("c1", c1), ("shrink", shrink)):
        if not 0 < value < 1:
            raise ArgumentError(f"{name}: expected a number in (0, 1), got {value}")
    for evaluation in range(1, integer(max_evaluations, "max_evaluations", 1) + 1):
        answer = phi(step)
        try:
            value = float(answer)
        except (TypeError, ValueError):
            raise DTypeError(f"phi: expected a number at step {step}, got {answer!r}") from None
        if value <= phi0 + c1 * step * dphi0 and math.isfinite(value):
            return LineResult(step, value, evaluation)
        step *= shrink
    return LineResult(0.0, phi0, max_evaluations)
