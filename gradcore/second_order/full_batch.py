"""The base of the methods that work on the whole data set."""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ArgumentError, StateError
from ..optimizers.interface import AnyOptimizer, Model
from ..optimizers.plain import Gradients, Parameters
from ..schedules.scalars import LR, NOT_NEGATIVE, Column, Range
from ..validation.checks import choice, integer, number
from .points import Advance, Memory, Objective, Point


class FullBatch(AnyOptimizer):
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

    def fit_loop(self) -> Any:
        """Epochs of one iteration each."""
        from .fit_loop import FullBatchLoop

        return FullBatchLoop

    def check(self, model: Model, loss: Any, *, clip: object, constraint: object) -> None:
        """Refuse what the method cannot train: values must not depend on chance, steps on other rules."""
        kind = type(self).__name__
        for name, rule in (("clip", clip), ("constraint", constraint)):
            if rule is not None:
                raise ArgumentError(f"{name}: expected None for {kind}, got {rule!r}")
        for position, layer in model.places.items():
            if layer.random:
                raise ArgumentError(
                    f"layers[{position}]: expected no {layer!r} for {kind}, which compares losses"
                )
        if model.strengths:
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
