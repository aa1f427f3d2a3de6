"""The base of the layers: frozen descriptions that a Network compiles. They hold no parameters themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from ..errors import ArgumentError, DTypeError
from ..initializers.base import Initializer
from ..schedules.base import Scalar
from ..schedules.scalars import SHARE, Range
from ..validation.checks import Abstract, number, shown
from ..validation.intervals import ANY, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import LayerSpec
    from ..validation.arrays import Array


__all__ = ["Layer"]


class Layer(Abstract):
    """Base of the layers."""

    abstract: ClassVar[bool] = True

    random: ClassVar[bool] = False  # whether training draws random numbers for it
    keeps_averages: ClassVar[bool] = False  # of what batches were like, to normalise with in evaluation

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        raise NotImplementedError

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output for `width` columns of input; raises where they do not fit."""
        return width

    def reach(self, given: Interval) -> Interval:
        """What its outputs can be, for inputs in an interval and any parameters."""
        return ANY

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of its parameter with this role; None: the core's own value."""
        return None

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of the matrices that it has for `width` columns of input."""
        yield from ()

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step; a number where none does."""
        return "", 0.0, SHARE

    def flat(self, x: Array, own: Mapping[str, Array]) -> NDArray[np.bool_] | None:
        """Which outputs lie on a flat side of the elementwise function that makes them; None without one.

        See flat.py. x (rows, width) is the layer's input; `own` are its parameters by the last part of their
        names, the weight being what multiplies x.
        """
        return None

    def codes(self) -> list[int]:
        """The columns of the input that hold codes, which are no quantities."""
        return []

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """The layer and those inside it, each with its position."""
        yield position, self


def factor(value: object, name: str) -> float:
    """A number that a learned factor may begin with."""
    result = number(value, name)
    if not -1e30 <= result <= 1e30:
        raise ArgumentError(f"{name}: expected a number from -1e30 to 1e30, got {result}")
    return result


def check_layers(layers: object, name: str) -> tuple[Layer, ...]:
    """`layers` as a non-empty tuple of Layer objects."""
    is_table = hasattr(type(layers), "shape")
    if isinstance(layers, Layer | str) or not isinstance(layers, Iterable) or is_table:
        raise DTypeError(f"{name}: expected a list of layers, got {shown(layers)}")
    result = tuple(layers)
    for index, layer in enumerate(result):
        if not isinstance(layer, Layer):
            hint = f"; use {layer.__name__}(...)" if isinstance(layer, type) else ""
            if name == "Residual" and isinstance(layer, list | tuple):
                hint = "; give the layers one by one, as in Residual(*layers)"
            raise DTypeError(f"{name}[{index}]: expected a layer, got {shown(layer)}{hint}")
    if not result:
        raise ArgumentError(f"{name}: expected at least one layer, got none")
    return result
