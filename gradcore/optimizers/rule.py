"""What a Trainer asks of its optimizer: the base of `optimizers` and of the full-batch methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..errors import ArgumentError
from ..validation.checks import Abstract

if TYPE_CHECKING:
    from ..losses.base import Loss
    from ..network.network import Network
    from ..schedules.base import Scalar
    from ..schedules.scalars import Column
    from .plain import Average


class Rule(Abstract):
    """An optimizer as a Trainer sees it."""

    abstract: ClassVar[bool] = True

    name: ClassVar[str]  # in the core
    full_batch: ClassVar[bool] = False  # whether an update looks at the whole data set
    kept: ClassVar[dict[str, str]] = {}  # the memory of those: "vectors", "numbers" or "number" by key

    def with_rate(self, lr: Scalar) -> Rule:
        """The same with another learning rate, which must decide how far every update goes."""
        raise ArgumentError(
            f"optimizer: expected one whose learning rate scales every update, got {self!r}, which finds the "
            "length of its steps itself"
        )

    def check(self, net: Network, loss: Loss, *, clip: object, constraint: object) -> None:
        """Refuse a network, loss, clipping rule or constraint that does not suit the optimizer."""

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
