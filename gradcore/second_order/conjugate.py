"""Nonlinear conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..validation.checks import compact_repr, integer
from .points import NO_PROGRESS, Advance, Memory, Objective, Point, dot, first_step
from .searching import Searching

__all__ = ["ConjugateGradient"]

POWELL = 0.2  # successive gradients whose cosine, relative to the new one, is larger are not orthogonal
FORMULAS = ("polak_ribiere", "hestenes_stiefel")


@dataclass(frozen=True, repr=False)
class ConjugateGradient(Searching):
    """Nonlinear conjugate gradients with restarts: two vectors of memory.

    With `minimize`, and with a Trainer that then takes one iteration an epoch.

    Parameters
    ----------
    formula : {"polak_ribiere", "hestenes_stiefel"}, default "polak_ribiere"
        Of beta, which is not allowed below 0.
    max_iterations : int, optional
        Of one fit() or `minimize` at most. Default: no limit in fit(), 1000 in `minimize`.
    tolerance : float, default 1e-7
        Stop at a gradient whose largest absolute element is no larger.
    restart : int, optional
        Go along the gradient every so many iterations, >= 1. Default: the number of variables. A direction
        that does not descend, or a gradient far from orthogonal to the last one, restarts as well.
    c1, c2 : float, default 1e-4 and 0.1
        Constants of the strong-Wolfe line search, 0 < c1 < c2 < 1.
    max_evaluations : int, default 25
        Of a line search.
    weight_decay : float, default 0.0
        >= 0, for networks: adds half of it times the sum of all squared weights, biases left out, to what is
        minimised. The history shows the loss without it.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", 2nd edition, section 5.2: PR+ and equations 5.46, 5.52.
    """

    formula: str = "polak_ribiere"
    max_iterations: int | None = None
    tolerance: float = 1e-7
    restart: int | None = None
    c1: float = 1e-4
    c2: float = 0.1
    max_evaluations: int = 25
    weight_decay: float = 0.0
    kept: ClassVar[dict[str, str]] = {
        "direction": "vectors",
        "gradient": "vectors",
        "since": "number",
        "step": "number",
        "slope": "number",
    }
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("formula", FORMULAS)
        if self.restart is not None:
            self._set("restart", integer(self.restart, self._label("restart"), 1))

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One step; with nothing lower along the direction, one along the gradient."""
        direction, step = -point.gradient, first_step(point)
        since = 0
        if memory and memory["since"] < (self.restart or len(point.x)):
            beta = self._beta(point, memory)
            conjugate = beta * memory["direction"][0] - point.gradient
            if beta > 0 and dot(conjugate, point.gradient) < 0:
                direction, since = conjugate, int(memory["since"])
        slope = dot(direction, point.gradient)
        if memory and slope:  # the first-order change of the last step, along this one
            step = memory["step"] * memory["slope"] / slope
        found = self.search(objective, point, direction, step)
        if found is None and memory:
            since, direction = 0, -point.gradient
            slope = dot(direction, point.gradient)
            found = self.search(objective, point, direction, first_step(point))
        if found is None:
            return Advance(point, {}, 0.0, NO_PROGRESS)
        remembered: Memory = {
            "direction": [direction],
            "gradient": [point.gradient],
            "since": float(since + 1),
            "step": found[0],
            "slope": slope,
        }
        return Advance(found[1], remembered, found[0])

    def _beta(self, point: Point, memory: Memory) -> float:
        """The share of the last direction; 0 restarts."""
        old, direction = memory["gradient"][0], memory["direction"][0]
        new = point.gradient
        square = dot(new, new)
        if abs(dot(new, old)) >= POWELL * square:
            return 0.0
        change = new - old
        below = dot(old, old) if self.formula == "polak_ribiere" else dot(direction, change)
        return max(0.0, dot(new, change) / below) if below > 0 else 0.0
