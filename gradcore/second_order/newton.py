"""Truncated Newton: conjugate gradients on the Newton system."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..optimizers.interface import Model
from ..schedules.scalars import NOT_NEGATIVE
from ..validation.checks import compact_repr, integer
from .points import NO_PROGRESS, Advance, Memory, Objective, Point, Vector, dot
from .searching import Searching

__all__ = ["NewtonCG"]

CURVATURES = ("hessian", "gauss_newton")
_FLAT = 1e-14  # curvature along a direction, relative to the first one met, that counts as none


@dataclass(frozen=True, repr=False)
class NewtonCG(Searching):
    """Newton's method whose system is solved by conjugate gradients, from products with the Hessian alone.

    With `minimize`, whose argument `hvp` has the products (default: differences of gradients), and with a
    Trainer that then takes one iteration an epoch and computes the products exactly (`Network.hvp`).

    Parameters
    ----------
    max_iterations : int, optional
        Of one fit() or `minimize` at most. Default: no limit in fit(), 1000 in `minimize`.
    tolerance : float, default 1e-7
        Stop at a gradient whose largest absolute element is no larger.
    inner_iterations : int, default 100
        Products of one iteration at most; no more than there are variables.
    curvature : {"hessian", "gauss_newton"}, default "hessian"
        "gauss_newton", for networks only: the generalised Gauss-Newton matrix, which has no negative
        curvature.
    damping : float, default 0.0
        >= 0; added to the diagonal.
    c1, c2 : float, default 1e-4 and 0.9
        Constants of the strong-Wolfe line search, 0 < c1 < c2 < 1.
    max_evaluations : int, default 25
        Of a line search.
    weight_decay : float, default 0.0
        >= 0, for networks: adds half of it times the sum of all squared weights, biases left out, to what is
        minimised. The history shows the loss without it.

    References
    ----------
    Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.1, with residuals reduced to
    ``min(0.5, sqrt(|g|)) |g|``.
    """

    max_iterations: int | None = None
    tolerance: float = 1e-7
    inner_iterations: int = 100
    curvature: str = "hessian"
    damping: float = 0.0
    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 25
    weight_decay: float = 0.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("inner_iterations", integer(self.inner_iterations, self._label("inner_iterations"), 1))
        self._choice("curvature", CURVATURES)
        self._set("damping", self._number("damping", NOT_NEGATIVE))

    def check(self, model: Model, loss: Any, *, clip: object, constraint: object) -> None:
        """Refuse what has no second derivatives here."""
        from ..network.curvature import check_supported

        super().check(model, loss, clip=clip, constraint=constraint)
        check_supported(model, loss)

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One step; with nothing lower along the direction, one along the gradient."""
        product = objective.product(point, self.curvature)
        found = self.search(objective, point, self._direction(product, point.gradient), 1.0)
        if found is None:
            size = math.sqrt(dot(point.gradient, point.gradient))
            found = self.search(objective, point, -point.gradient, 1.0 / size) if size > 0 else None
        if found is None:
            return Advance(point, memory, 0.0, NO_PROGRESS)
        return Advance(found[1], memory, found[0])

    def _direction(self, product: Callable[[Vector], Vector], gradient: Vector) -> Vector:
        """Where conjugate gradients end: at the residual wanted, or before a direction of no curvature."""
        solution, residual = np.zeros_like(gradient), -gradient
        direction = residual
        square = dot(residual, residual)
        wanted = square * min(0.25, math.sqrt(square))
        flat = 0.0
        for _ in range(min(self.inner_iterations, len(gradient))):
            bent = product(direction)
            if self.damping:
                bent = bent + self.damping * direction
            curvature, length = dot(direction, bent), dot(direction, direction)
            if not length > 0:  # too small to be squared
                break
            flat = flat or _FLAT * abs(curvature) / length
            if not flat * length < curvature < math.inf:
                break
            share = square / curvature
            solution = solution + share * direction
            residual = residual - share * bent
            old, square = square, dot(residual, residual)
            if square <= wanted:
                break
            direction = residual + (square / old) * direction
        return solution if solution.any() else -gradient
