"""What the full-batch methods share: points, objectives, and the search along a direction.

A method is a frozen description; `advance` takes a point and the method's memory and returns the next ones,
changing neither, so that an iteration that fails or is interrupted leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, StateError
from ..optimizers.rule import Rule
from ..schedules.scalars import LR, NOT_NEGATIVE, Column, Range
from ..validation.checks import choice, integer, number

if TYPE_CHECKING:
    from ..losses.base import Loss
    from ..network.network import Network
    from ..optimizers.plain import Gradients, Parameters

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


class FullBatch(Rule):
    """Base of the full-batch methods."""

    abstract: ClassVar[bool] = True

    name: ClassVar[str] = "sgd"  # of the core's trainer, which computes the gradients and does no update
    full_batch: ClassVar[bool] = True
    max_iterations: int | None
    tolerance: float
    weight_decay: float

    def __post_init__(self) -> None:
        if self.max_iterations is not None:
            self._set("max_iterations", integer(self.max_iterations, self._label("max_iterations"), 1))
        self._set("tolerance", self._number("tolerance", NOT_NEGATIVE))
        self._set("weight_decay", self._number("weight_decay", NOT_NEGATIVE))

    def check(self, net: Network, loss: Loss, *, clip: object, constraint: object) -> None:
        """Refuse what the method cannot train: values must not depend on chance, steps on other rules."""
        kind = type(self).__name__
        for name, rule in (("clip", clip), ("constraint", constraint)):
            if rule is not None:
                raise ArgumentError(f"{name}: expected None for {kind}, got {rule!r}")
        for index, layer in enumerate(net.layers):
            for position, inner in layer.walk(str(index)):
                if inner.random:
                    raise ArgumentError(
                        f"layers[{position}]: expected no {inner!r} for {kind}, which compares losses"
                    )
        if net._strengths:
            raise ArgumentError(
                f"net: expected penalties of constant strength for {kind}, which compares losses, got some"
                " with a schedule"
            )

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One iteration from a point with a finite value."""
        raise NotImplementedError

    def columns(self) -> list[Column]:
        """The core's rows hold nothing but a learning rate that nobody reads."""
        return [Column(LR, "optimizer.lr", 1.0, NOT_NEGATIVE)]

    def update(self, params: Parameters, grads: Gradients) -> None:
        """Refused: gradients at one point are not enough."""
        raise StateError(
            f"update: expected an optimizer that needs only gradients, got {type(self).__name__}; "
            "use optimizers.minimize(fun, x0, method=...)"
        )

    def reset(self) -> None:
        """There is no state of `update`."""

    # ---- For the methods' own options ----

    def _label(self, option: str) -> str:
        return f"{type(self).__name__}: {option}"

    def _set(self, option: str, value: object) -> None:
        object.__setattr__(self, option, value)

    def _number(self, option: str, range_: Range) -> float:
        value = number(getattr(self, option), self._label(option))
        if not range_.contains(value):
            raise ArgumentError(f"{self._label(option)}: expected a number {range_.text}, got {value}")
        return value

    def _choice(self, option: str, valid: tuple[str, ...]) -> None:
        self._set(option, choice(getattr(self, option), self._label(option), valid))
