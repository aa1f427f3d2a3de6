"""What a Trainer asks of its optimizer: the base of `optimizers` and of the full-batch methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from ..errors import ArgumentError
from ..schedules.base import Scalar
from ..schedules.scalars import Column
from ..validation.checks import Abstract

if TYPE_CHECKING:
    from .._core import ParameterInfo


@dataclass(frozen=True)
class Average:
    """What is averaged after every `every`-th update, the first `start` left out: ema, swa or lookahead.

    Or accumulate, sam and asam, which have a place and a rate among them.
    """

    kind: str
    every: int
    start: int

    @property
    def is_sam(self) -> bool:
        """Whether it makes the gradient of an update that at another point."""
        return self.kind in ("sam", "asam")


def mean_of_weights(averages: Sequence[Average]) -> int | None:
    """Which of them is the outermost average of weights."""
    found = [i for i, a in enumerate(averages) if a.kind != "accumulate" and not a.is_sam]
    return found[-1] if found else None


class Model(Protocol):
    """What an optimizer may ask of the network that it is to train."""

    @property
    def places(self) -> Mapping[str, Any]:
        """The layers, those inside others included, by position."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""

    @property
    def elements(self) -> int:
        """Trainable numbers."""

    @property
    def infos(self) -> Sequence[ParameterInfo]:
        """The parameters."""

    @property
    def penalized(self) -> bool:
        """Whether a layer has a penalty."""

    @property
    def strengths(self) -> Mapping[int, int]:
        """Penalties with a schedule."""


class AnyOptimizer(Abstract):
    """An optimizer as a Trainer sees it."""

    abstract: ClassVar[bool] = True

    name: ClassVar[str]  # in the core
    full_batch: ClassVar[bool] = False  # whether an update looks at the whole data set
    kept: ClassVar[dict[str, str]] = {}  # the memory of those: "vectors", "numbers" or "number" by key

    def with_rate(self, lr: Scalar) -> AnyOptimizer:
        """The same with another learning rate, which must decide how far every update goes."""
        raise ArgumentError(
            f"optimizer: expected one whose learning rate scales every update, got {self!r}, which finds the "
            "length of its steps itself"
        )

    def check(self, model: Model, loss: object, *, clip: object, constraint: object) -> None:
        """Refuse a network, loss, clipping rule or constraint that does not suit the optimizer."""

    def fit_loop(self) -> Any:
        """How a fit goes through its data, a class of loops; None: batch by batch."""
        return None

    def flags(self) -> int:
        """The core's option bits."""
        return 0

    def columns(self) -> list[Column]:
        """Every hyperparameter with its place in the core's rows."""
        raise NotImplementedError

    def averages(self) -> tuple[Average, ...]:
        """What is averaged beside the updates, the innermost first."""
        return ()

    def whole(
        self, shapes: Mapping[str, tuple[int, ...]], roles: Mapping[str, str] | None = None
    ) -> set[str]:
        """The names of the parameters that are taken as matrices. Plain arrays have no roles."""
        return set()

    @property
    def largest_factor(self) -> int:
        """Of those, sides with more rows have no factor of their own."""
        return 0

    def settings(self, names: Sequence[str]) -> list[tuple[float, float, bool]]:
        """Factor of lr, weight decay (NaN: the optimizer's) and frozen, for each parameter's name."""
        return [(1.0, math.nan, False) for _ in names]
