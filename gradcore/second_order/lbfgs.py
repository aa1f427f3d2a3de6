"""L-BFGS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..schedules.scalars import POSITIVE
from ..validation.checks import compact_repr, integer
from .points import NO_PROGRESS, NOT_FINITE, Advance, Memory, Objective, Point, Vector, dot, first_step
from .searching import Searching

__all__ = ["LBFGS"]

LINE_SEARCHES = ("strong_wolfe",)
TINY = 1e-300  # what is smaller has lost its digits
CURVATURE = 1e-10  # least y.s of a pair that is kept; relative to |y||s| where that is below 1


@dataclass(frozen=True, repr=False)
class LBFGS(Searching):
    """Limited-memory BFGS: Newton's method with an inverse Hessian told from the last steps.

    With `minimize`, and with a Trainer that then takes one iteration an epoch.

    Parameters
    ----------
    history : int, default 10
        Pairs of steps and gradient changes to remember, >= 1.
    max_iterations : int, optional
        Of one fit() or `minimize` at most. Default: no limit in fit(), 1000 in `minimize`.
    tolerance : float, default 1e-7
        Stop at a gradient whose largest absolute element is no larger.
    line_search : "strong_wolfe" or None, default "strong_wolfe"
        None: steps of `lr` times the direction, whatever they lead to.
    lr : float, default 1.0
        > 0; scales the first trial of every step.
    c1, c2 : float, default 1e-4 and 0.9
        Constants of the line search, 0 < c1 < c2 < 1.
    max_evaluations : int, default 25
        Of a line search.
    weight_decay : float, default 0.0
        >= 0, for networks: adds half of it times the sum of all squared weights, biases left out, to what is
        minimised. The history shows the loss without it.

    References
    ----------
    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
    Programming 45, 1989. A pair is kept if ``y.s > 1e-10 min(1, |y| |s|)``; H0 is ``y.s / y.y``; the first
    step is at most 1 in 1-norm, as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import optimizers
    >>> found = optimizers.minimize(lambda x: (x @ x, 2 * x), np.ones(3), optimizers.LBFGS(history=5))
    >>> found.value < 1e-20, found.reason
    (True, 'gradient tolerance')
    """

    history: int = 10
    max_iterations: int | None = None
    tolerance: float = 1e-7
    line_search: str | None = "strong_wolfe"
    lr: float = 1.0
    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 25
    weight_decay: float = 0.0
    kept: ClassVar[dict[str, str]] = {"s": "vectors", "y": "vectors", "ys": "numbers", "yy": "number"}
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("history", integer(self.history, self._label("history"), 1))
        self._set("lr", self._number("lr", POSITIVE))
        if self.line_search is not None:
            self._choice("line_search", LINE_SEARCHES)

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One step; with nothing lower along the direction, one along the gradient without the history."""
        direction = _direction(point.gradient, memory)
        if memory.get("s") and not -math.inf < dot(direction, point.gradient) < 0:
            memory, direction = {}, -point.gradient
        step = self.lr if memory.get("s") else self.lr * first_step(point)
        if self.line_search is None:
            x = objective.rounded(point.x + step * direction)
            if np.array_equal(x, point.x):
                return Advance(point, memory, 0.0, NO_PROGRESS)
            reached = objective(x)
            if not reached.finite:
                return Advance(point, memory, 0.0, NOT_FINITE)
            return Advance(reached, self._remember(memory, point, reached), step)
        found = self.search(objective, point, direction, step)
        if found is None and memory.get("s"):
            memory = {}
            step = self.lr * first_step(point)
            found = self.search(objective, point, -point.gradient, step)
        if found is None:
            return Advance(point, memory, 0.0, NO_PROGRESS)
        step, reached = found
        return Advance(reached, self._remember(memory, point, reached), step)

    def _remember(self, memory: Memory, old: Point, new: Point) -> Memory:
        s, y = new.x - old.x, new.gradient - old.gradient
        product, length = dot(y, s), dot(y, y)
        bound = CURVATURE * min(1.0, math.sqrt(length * dot(s, s)))
        if not max(bound, TINY) < product < math.inf or not TINY < length < math.inf:
            return memory
        keep = slice(-self.history, None)
        return {
            "s": [*memory.get("s", ()), s][keep],
            "y": [*memory.get("y", ()), y][keep],
            "ys": [*memory.get("ys", ()), product][keep],
            "yy": length,
        }


def _direction(gradient: Vector, memory: Memory) -> Vector:
    """Minus the inverse Hessian times the gradient: the two-loop recursion, oldest pair first in memory."""
    direction = -gradient
    if not memory.get("s"):
        return direction
    pairs = list(zip(memory["s"], memory["y"], memory["ys"], strict=True))
    work = np.empty_like(direction)
    factors = []
    for s, y, ys in reversed(pairs):
        factor = float(np.add.reduce(np.multiply(s, direction, out=work))) / ys
        factors.append(factor)
        direction -= np.multiply(y, factor, out=work)
    direction *= memory["ys"][-1] / memory["yy"]
    for (s, y, ys), factor in zip(pairs, reversed(factors), strict=True):
        change = factor - float(np.add.reduce(np.multiply(y, direction, out=work))) / ys
        direction += np.multiply(s, change, out=work)
    return direction
