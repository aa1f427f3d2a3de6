"""Minimising a function of arrays by any of the optimizers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, NonFiniteError, ShapeError
from ..optimizers import Optimizer
from ..optimizers.interface import AnyOptimizer
from ..validation.arrays import as_array
from ..validation.checks import choice, integer, number, shown
from .conjugate import ConjugateGradient
from .full_batch import FullBatch
from .lbfgs import LBFGS
from .levenberg import LARGEST, LevenbergMarquardt
from .newton import NewtonCG
from .points import GRADIENT, ITERATIONS, NOT_FINITE, Point, Vector, dot
from .residuals import Residuals
from .run import Run
from .variables import Variables

__all__ = ["Minimum", "minimize"]

METHODS: dict[str, type[FullBatch]] = {
    "lbfgs": LBFGS,
    "ncg": ConjugateGradient,
    "newton-cg": NewtonCG,
    "lm": LevenbergMarquardt,
}
CALLBACK = "callback"
STEPS, TOLERANCE = 1000, 1e-7


@dataclass(frozen=True)
class Minimum:
    """What `minimize` found.

    Attributes
    ----------
    x : as x0
        The lowest point that was reached.
    value : float
    gradient_norm : float
        The largest absolute element of the gradient there.
    iterations, evaluations : int
        Evaluations of `fun`, those for products with the Hessian included.
    reason : str
        Why it ended: "gradient tolerance", "no progress" (nothing lower was found), "iterations" (as many
        as allowed), "not finite" or "callback".
    history : tuple of float
        The value at x0 and after every iteration.
    """

    x: Any
    value: float
    gradient_norm: float
    iterations: int
    evaluations: int
    reason: str
    history: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether the gradient is within the tolerance."""
        return self.reason == GRADIENT


def minimize(
    fun: Callable[[Any], tuple[Any, Any]],
    x0: Any,
    method: str | AnyOptimizer = "lbfgs",
    *,
    steps: int | None = None,
    tolerance: float | None = None,
    hvp: Callable[[Any, Any], Any] | None = None,
    callback: Callable[[Any, float], object] | None = None,
) -> Minimum:
    """Minimise a function of arrays from its values and gradients.

    Parameters
    ----------
    fun : callable
        Of x, which has the structure, shapes and types of x0 and may be kept; returns value and gradient,
        the latter of x's structure; for "lm" an array (n,) of residuals and their Jacobian, which has x's
        structure with n rows in each part: (n, *shape). A value that is not finite makes a step shorter;
        what `fun` raises comes through.
    x0 : array-like, or list or dict of arrays
        Where to start; left as it is. float32 and float64 arrays keep their type, others become float64.
    method : {"lbfgs", "ncg", "newton-cg", "lm"} or Optimizer, default "lbfgs"
        Any of `gradcore.optimizers` with its options, such as ``LBFGS(history=20)`` or ``Adam(1e-2)``;
        "lm", Levenberg-Marquardt, minimises half the sum of the squares of residuals. Whatever state an
        optimizer has from `update` is neither used nor changed.
    steps : int, optional
        Iterations at most. Default: the method's max_iterations, else 1000.
    tolerance : float, optional
        Stop at a gradient whose largest absolute element is no larger. Default: the method's own, else 1e-7.
    hvp : callable, optional
        For NewtonCG: the product of the Hessian at x, the first argument, with v, the second, which has x's
        structure as the result has. Default: a difference of gradients.
    callback : callable, optional
        Of x and value, after every iteration. Returning True ends.

    Returns
    -------
    Minimum

    Raises
    ------
    NonFiniteError
        If value or gradient is not finite at x0.
    ShapeError, DTypeError, ArgumentError
        If an argument, or what `fun` or `hvp` returns, is not as above.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import optimizers
    >>> def rosenbrock(x):
    ...     a, b = 1 - x[0], x[1] - x[0] ** 2
    ...     return a * a + 100 * b * b, np.array([-2 * a - 400 * x[0] * b, 200 * b])
    >>> found = optimizers.minimize(rosenbrock, [-1.2, 1.0])
    >>> found.x.round(6), found.reason
    (array([1., 1.]), 'gradient tolerance')
    >>> def residuals(x):
    ...     return np.array([1 - x[0], 10 * (x[1] - x[0] ** 2)]), np.array([[-1, 0], [-20 * x[0], 10]])
    >>> optimizers.minimize(residuals, [-1.2, 1.0], method="lm").x.round(6)
    array([1., 1.])
    """
    if not callable(fun):
        raise DTypeError(f"fun: expected a function of x, got {shown(fun)}")
    for name, value in (("hvp", hvp), ("callback", callback)):
        if value is not None and not callable(value):
            raise DTypeError(f"{name}: expected a function or None, got {shown(value)}")
    rule = _method(method)
    if isinstance(rule, FullBatch) and rule.weight_decay:
        raise ArgumentError(f"method: expected no weight_decay, which is for networks, got {rule!r}")
    if hvp is not None and not isinstance(rule, NewtonCG):
        raise ArgumentError(f"hvp: expected none for {type(rule).__name__}, which does not use it")
    if isinstance(rule, NewtonCG) and rule.curvature != "hessian":
        raise ArgumentError(f"method: expected NewtonCG with curvature 'hessian', got {rule.curvature!r}")
    own_steps = rule.max_iterations if isinstance(rule, FullBatch) else None
    limit = own_steps or STEPS if steps is None else integer(steps, "steps", 1)
    bound = rule.tolerance if isinstance(rule, FullBatch) else TOLERANCE
    if tolerance is not None:
        bound = number(tolerance, "tolerance")
        if bound < 0:
            raise ArgumentError(f"tolerance: expected a number >= 0, got {tolerance}")
    variables = Variables(x0)
    least_squares = isinstance(rule, LevenbergMarquardt)
    if least_squares and variables.start.size > LARGEST:
        raise ArgumentError(f"x0: expected at most {LARGEST:,} numbers for lm, got {variables.start.size:,}")
    objective = Residuals(fun, variables) if least_squares else _Function(fun, hvp, variables)
    start = objective(variables.start)
    if not start.finite:
        raise NonFiniteError(f"fun: expected a finite value and gradient at x0, got the value {start.value}")
    best, reason, values = _descend(rule, objective, start, limit, bound, callback)
    return Minimum(
        variables.structured(best.x),
        best.value,
        _size(best.gradient),
        len(values) - 1,
        objective.evaluations,
        reason,
        tuple(values),
    )


def _method(method: object) -> AnyOptimizer:
    if isinstance(method, str):
        return METHODS[choice(method, "method", METHODS)]()
    if not isinstance(method, AnyOptimizer):
        raise DTypeError(f"method: expected one of {', '.join(METHODS)} or an optimizer, got {shown(method)}")
    return dataclasses.replace(method)  # type: ignore[type-var]


def _descend(
    rule: AnyOptimizer,
    objective: _Function | Residuals,
    point: Point,
    limit: int,
    tolerance: float,
    callback: Callable[[Any, float], object] | None,
) -> tuple[Point, str, list[float]]:
    """The lowest point, why it ended there, and the values on the way."""
    run, values, best = Run(), [point.value], point
    while True:
        if _size(point.gradient) <= tolerance:
            return best, GRADIENT, values
        if len(values) > limit:
            return best, ITERATIONS, values
        reason = ""
        if isinstance(rule, FullBatch):
            done = run.advance(rule, objective, point)
            point, reason = done.point, run.reason
            if not done.step:
                return best, reason, values
        else:
            assert isinstance(rule, Optimizer)
            point = _first_order(rule, objective, point)
        if not point.finite:
            return best, NOT_FINITE, values
        values.append(point.value)
        lower = point.value < best.value
        as_low = point.value == best.value and _size(point.gradient) <= _size(best.gradient)
        best = point if lower or as_low else best
        if callback is not None and callback(objective.variables.structured(point.x), point.value) is True:
            return best, CALLBACK, values
        if reason and _size(point.gradient) > tolerance:
            return best, reason, values


def _first_order(rule: Optimizer, objective: _Function | Residuals, point: Point) -> Point:
    """One update of the kind that a training step does."""
    variables = objective.variables
    x, gradient = variables.structured(point.x), variables.structured(point.gradient)
    single = isinstance(x, np.ndarray)
    known = [gradient]

    def gradients(_: object) -> Any:  # SAM asks a second time, when x is elsewhere
        found = known.pop() if known else variables.structured(objective(variables.flat(x, "x")).gradient)
        return [found] if single else found

    rule.update([x] if single else x, gradients)
    return objective(variables.flat(x, "x"))


def _size(gradient: Vector) -> float:
    return float(np.abs(gradient).max())


class _Function:
    """The user's function as an Objective."""

    def __init__(self, fun: Callable[..., Any], hvp: Callable[..., Any] | None, variables: Variables) -> None:
        self.fun, self.hvp, self.variables = fun, hvp, variables
        self.precision = variables.precision
        self.evaluations = 0

    def rounded(self, x: Vector) -> Vector:
        """See Objective."""
        return self.variables.rounded(x)

    def __call__(self, x: Vector) -> Point:
        """See Objective."""
        self.evaluations += 1
        answer = self.fun(self.variables.structured(x))
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            got = (
                f"{len(answer)} of them" if isinstance(answer, tuple | list) else repr(type(answer).__name__)
            )
            raise DTypeError(f"fun: expected it to return value and gradient, got {got}")
        value = as_array(answer[0], "fun: value")
        if value.ndim:
            raise ShapeError(f"fun: value: expected a single number, got shape {value.shape}")
        return Point(x, float(value), self.variables.flat(answer[1], "fun: gradient"))

    def product(self, point: Point, kind: str) -> Callable[[Vector], Vector]:
        """Products with the Hessian by `hvp`, else by a difference of gradients."""
        hvp, variables = self.hvp, self.variables
        if hvp is not None:
            return lambda v: variables.flat(
                hvp(variables.structured(point.x), variables.structured(v)), "hvp"
            )
        root = 2 * math.sqrt(self.precision) * (1 + math.sqrt(dot(point.x, point.x)))

        def difference(v: Vector) -> Vector:
            length = math.sqrt(dot(v, v))
            if not length > 0:
                return np.zeros_like(v)
            shift = root / length
            near = self(self.rounded(point.x + shift * v))
            with np.errstate(over="ignore", invalid="ignore"):
                return (near.gradient - point.gradient) / shift

        return difference

    def normal_matrix(self, point: Point) -> tuple[Vector, Vector]:
        """A function has no residuals: `_method` refused what would ask for them."""
        raise NotImplementedError
