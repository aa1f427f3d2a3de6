"""A function of residuals and their Jacobian, as an objective: half the sum of squares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from ..errors import DTypeError, ShapeError
from ..validation.arrays import as_array
from .points import Point, Vector, dot
from .variables import Variables


class Residuals:
    """The user's function as an Objective."""

    def __init__(self, fun: Callable[..., Any], variables: Variables) -> None:
        self.fun, self.variables, self.precision = fun, variables, variables.precision
        self.evaluations = 0
        self._last: tuple[Vector, Vector, Vector] | None = None  # x, residuals and Jacobian

    def rounded(self, x: Vector) -> Vector:
        """See Objective."""
        return self.variables.rounded(x)

    def __call__(self, x: Vector) -> Point:
        """See Objective."""
        self.evaluations += 1
        answer = self.fun(self.variables.structured(x))
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise DTypeError(
                f"fun: expected it to return residuals and their Jacobian, got a {type(answer).__name__}"
            )
        rest = np.asarray(as_array(answer[0], "fun: residuals"), np.float64)
        if rest.ndim != 1 or not rest.size:
            raise ShapeError(f"fun: residuals: expected shape (n,), got {rest.shape}")
        jacobian = self.variables.flat_rows(answer[1], "fun: Jacobian", len(rest))
        self._last = x, rest, jacobian
        with np.errstate(over="ignore", invalid="ignore"):
            gradient = np.add.reduce(jacobian * rest[:, None])
            finite = bool(np.isfinite(jacobian).all())
            return Point(x, dot(rest, rest) / 2 if finite else math.nan, gradient)

    def product(self, point: Point, kind: str) -> Callable[[Vector], Vector]:
        """Not asked for by what minimises residuals."""
        raise NotImplementedError

    def normal_matrix(self, point: Point) -> tuple[Vector, Vector]:
        """See Objective; the sums have one order, whatever the machine."""
        if self._last is None or self._last[0] is not point.x:
            self(point.x)
        assert self._last is not None
        jacobian = self._last[2]
        return _core.gemm(jacobian.T, jacobian, None, None), point.gradient
