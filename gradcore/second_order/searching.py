"""The line search of the methods that have one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..schedules.scalars import OPEN
from ..validation.checks import integer
from .full_batch import FullBatch
from .line_search import strong_wolfe
from .points import Objective, Point, Vector, dot

_ULPS = 10.0  # values that differ by less, relative to the first, are taken for equal


class Searching(FullBatch):
    """Base of those with a line search."""

    c1: float
    c2: float
    max_evaluations: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("c1", "c2"):
            self._set(option, self._number(option, OPEN))
        if not self.c1 < self.c2:
            raise ArgumentError(f"{self._label('c1, c2')}: expected c1 < c2, got {self.c1} and {self.c2}")
        limit = integer(self.max_evaluations, self._label("max_evaluations"), 1)
        self._set("max_evaluations", limit)

    def search(
        self, objective: Objective, start: Point, direction: Vector, step: float
    ) -> tuple[float, Point] | None:
        """Step and point of a line search; None where no lower point lies along the direction.

        Where rounding errors hide the decrease, a point that is as low within them and much flatter will do:
        the approximate Wolfe condition of Hager and Zhang.
        """
        slope = dot(start.gradient, direction)
        if not -math.inf < slope < 0 or not 0 < step < math.inf:
            return None
        ray = _Ray(objective, start, direction, slope)
        found = strong_wolfe(ray, start.value, slope, step, self.c1, self.c2, self.max_evaluations)
        for kept in (ray.last, ray.lowest):
            if found.converged and kept is not None and kept[0] == found.step:
                return kept
        if ray.lowest is not None and ray.lowest[1].value < start.value:
            return ray.lowest
        if ray.flattest is not None and ray.least <= self.c2 * -slope:
            return ray.flattest
        return None


@dataclass
class _Ray:
    """The objective along a direction; keeps the trials that a search may end at."""

    objective: Objective
    start: Point
    direction: Vector
    slope: float
    last: tuple[float, Point] | None = None
    lowest: tuple[float, Point] | None = None
    flattest: tuple[float, Point] | None = None  # of those whose value is no higher than rounding errors
    least: float = math.inf  # its slope's size

    def __call__(self, step: float) -> tuple[float, float]:
        x = self.objective.rounded(self.start.x + step * self.direction)
        if np.array_equal(x, self.start.x):  # too short to move
            return self.start.value, self.slope
        point = self.objective(x)
        if not point.finite:
            return math.inf, math.inf
        slope = dot(point.gradient, self.direction)
        self.last = step, point
        if self.lowest is None or point.value < self.lowest[1].value:
            self.lowest = self.last
        near = self.start.value + _ULPS * self.objective.precision * abs(self.start.value)
        if point.value <= near and abs(slope) < self.least:
            self.flattest, self.least = self.last, abs(slope)
        return point.value, slope
