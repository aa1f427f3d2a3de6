"""Points, objectives, and one iteration of a method that works on the whole data set.

A method is a frozen description; `advance` takes a point and the method's memory and returns the next ones,
changing neither, so that an iteration that fails or is interrupted leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Memory = dict[str, Any]  # lists of vectors, lists of floats and floats: what a checkpoint can hold

GRADIENT = "gradient tolerance"
NO_PROGRESS = "no progress"
NOT_FINITE = "not finite"
ITERATIONS = "iterations"

NOTICEABLE = 1e-8  # relative change of the variables that a first step makes at least
LONGEST = 1e300


@dataclass(frozen=True)
class Point:
    """Variables, value and gradient of the objective; of networks, the loss without weight decay, and the
    weight of right and of all rows."""

    x: Vector
    value: float
    gradient: Vector
    loss: float = math.nan
    correct: float = math.nan
    weight: float = math.nan

    @property
    def finite(self) -> bool:
        """Whether value and gradient are finite."""
        return math.isfinite(self.value) and bool(np.isfinite(self.gradient).all())


class Objective(Protocol):
    """A function of a float64 vector."""

    precision: float  # relative rounding error of its values

    def rounded(self, x: Vector) -> Vector:
        """The nearest point that the variables' own type can hold, as a new array."""

    def __call__(self, x: Vector) -> Point:
        """Evaluate at a point that `rounded` returned; the array is not changed afterwards."""

    def product(self, point: Point, kind: str) -> Callable[[Vector], Vector]:
        """``v -> H v`` at the point, H the Hessian or another matrix of that `kind`."""

    def normal_matrix(self, point: Point) -> tuple[Vector, Vector]:
        """``J^T J`` and ``J^T r`` of the residuals at the point."""


@dataclass(frozen=True)
class Advance:
    """One iteration: where it ended, what to remember, how long the step was, and why to stop, if so."""

    point: Point
    memory: Memory
    step: float
    reason: str = ""


class Method(Protocol):
    """A description of such a method, as what runs it sees it."""

    @property
    def tolerance(self) -> float:
        """The largest element of a gradient that ends it."""

    @property
    def max_iterations(self) -> int | None:
        """Of one fit at most."""

    @property
    def weight_decay(self) -> float:
        """Of networks."""

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One iteration from a point with a finite value."""


def dot(a: Vector, b: Vector) -> float:
    """Sum of products in a fixed order, unlike BLAS whose order depends on the machine."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is seen where it matters
        return float(np.add.reduce(a * b))


def first_step(point: Point) -> float:
    """A step along the negative gradient: of no more than 1 in 1-norm, and long enough to move the point."""
    sizes = np.abs(point.gradient)
    largest = float(sizes.max())
    if not 0 < largest < math.inf:
        return 1.0
    least = NOTICEABLE * float(np.abs(point.x).max()) / largest
    return min(max(min(1.0, 1.0 / float(np.add.reduce(sizes))), least), LONGEST)
