"""An elementwise function as a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _core
from ..errors import ArgumentError
from ..validation.checks import choice, compact_repr, number
from ..validation.intervals import Interval, of_activation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import LayerSpec
    from ..validation.arrays import Array
from .base import Layer

__all__ = ["Activation"]


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An elementwise function as a layer of its own.

    Parameters
    ----------
    name : str
        One of ``gradcore.names("activation")``.
    alpha : float, optional
        Slope, scale or frequency of the functions that have one (leaky_relu, elu, celu, sin, squareplus).

    Examples
    --------
    >>> from gradcore import Activation
    >>> Activation("leaky_relu", alpha=0.2)
    Activation('leaky_relu', alpha=0.2)
    """

    name: str
    alpha: float | None = None
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        choice(self.name, "activation", _core.names("activation"))
        if self.alpha is not None:
            object.__setattr__(self, "alpha", number(self.alpha, "Activation: alpha"))
            if not float(_core.describe("activation", self.name, "alpha") or 0.0):
                raise ArgumentError(f"Activation: alpha: expected none for {self.name}, got {self.alpha}")
            lowest = float(_core.describe("activation", self.name, "lowest_alpha") or 0.0)
            if self.alpha < lowest:
                raise ArgumentError(f"Activation: alpha: expected a number >= {lowest:g}, got {self.alpha}")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        spec: LayerSpec = {"kind": "activation", "activation": self.name}
        if self.alpha is not None:
            spec["alpha"] = self.alpha
        yield spec

    def flat(self, x: Array, own: Mapping[str, Array]) -> NDArray[np.bool_] | None:
        """Which outputs lie on a flat side of the function; None for the identity."""
        from .flat import is_flat

        return None if self.name == "identity" else is_flat(self.name, self.alpha, x)

    def reach(self, given: Interval) -> Interval:
        """What the function returns there."""
        return of_activation(self.name, self.alpha, given)
