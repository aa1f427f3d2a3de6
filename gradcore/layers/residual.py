"""Residual blocks, and the factors that let them begin as the identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ShapeError
from ..initializers.base import Initializer
from ..initializers.lookup import get as initializer
from ..validation.checks import compact_repr, flag
from ..validation.intervals import ANY, Interval

if TYPE_CHECKING:
    from .._core import LayerSpec
from .base import Layer, check_layers, factor

__all__ = ["LayerScale", "Residual"]


@dataclass(frozen=True, repr=False)
class LayerScale(Layer):
    """``x * gamma``: a learned factor for every column.

    Parameters
    ----------
    initial : float, default 1e-4
        What all of ``gamma`` (columns,) begins with: small at the end of a residual block, so that a deep
        network begins close to the identity.

    References
    ----------
    Touvron et al., "Going deeper with Image Transformers", ICCV 2021.

    Examples
    --------
    >>> from gradcore import Dense, LayerNorm, LayerScale, Residual
    >>> Residual(LayerNorm(), Dense(64, "gelu"), Dense(16), LayerScale())
    Residual(LayerNorm(), Dense(64, 'gelu'), Dense(16), LayerScale())
    """

    initial: float = 1e-4
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", factor(self.initial, "LayerScale: initial"))

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "layer_scale", "initial": self.initial}


@dataclass(frozen=True, init=False, repr=False)
class Residual(Layer):
    """``x + block(x)``: the inner layers must return as many columns as they get, or the skip is projected.

    Parameters
    ----------
    *layers : Layer
    projection : bool, default False
        Add ``x @ projection``, a learned matrix (columns in, columns out), instead of x; then the block may
        change the number of columns.
    gain : float, optional
        Multiply the block's output by a learned number, ``gain`` (1,), that begins at this value. At 0 the
        block is absent in the beginning (ReZero), and very deep networks train from the first step on. See
        also `LayerScale`, for a factor a column.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. Bachlechner et al.,
    "ReZero is All You Need: Fast Convergence at Large Depth", UAI 2021.

    Examples
    --------
    >>> from gradcore import Activation, Dense, Network, Residual
    >>> Residual(Dense(8), Activation("relu"), gain=0.0)
    Residual(Dense(8), Activation('relu'), gain=0.0)
    >>> net = Network([Residual(Dense(16, "relu"), projection=True)], inputs=4)
    >>> {name: value.shape for name, value in net.parameters().items()}
    {'0.0.weight': (4, 16), '0.0.bias': (16,), '0.projection': (4, 16)}
    """

    layers: tuple[Layer, ...]
    projection: bool = False
    gain: float | None = None

    def __init__(self, *layers: Layer, projection: bool = False, gain: float | None = None) -> None:
        object.__setattr__(self, "layers", check_layers(layers, "Residual"))
        object.__setattr__(self, "projection", flag(projection, "Residual: projection"))
        object.__setattr__(self, "gain", None if gain is None else factor(gain, "Residual: gain"))

    def __repr__(self) -> str:
        options = ", projection=True" if self.projection else ""
        options += "" if self.gain is None else f", gain={self.gain}"
        return f"Residual({', '.join(map(repr, self.layers))}{options})"

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "residual"}
        for layer in self.layers:
            yield from layer.specs()
        end: LayerSpec = {"kind": "end", "projection": self.projection}
        if self.gain is not None:
            end |= {"gain": True, "initial": self.gain}
        yield end

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output; raises if the block's width does not fit its input."""
        inner = width
        for index, layer in enumerate(self.layers):
            inner = layer.width_after(inner, f"{position}.{index}")
        if inner != width and not self.projection:
            raise ShapeError(
                f"layers[{position}]: expected the Residual's last layer to return {width} columns, "
                f"as many as it gets, got {inner}; projection=True lets them differ"
            )
        return inner

    def reach(self, given: Interval) -> Interval:
        """The sum; a projection and a learned factor can have either sign."""
        inner = given
        for layer in self.layers:
            inner = layer.reach(inner)
        return ANY if self.projection or self.gain is not None else given + inner

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of the projection."""
        return initializer("glorot_uniform") if role == "projection" else None

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of the matrices that it and the layers inside it have."""
        inner = width
        for index, layer in enumerate(self.layers):
            yield from layer.matrices(inner, f"{position}.{index}")
            inner = layer.width_after(inner, f"{position}.{index}")
        if self.projection:
            yield f"{position}.projection", (width, inner)

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """The block and the layers inside it, each with its position."""
        yield position, self
        for index, layer in enumerate(self.layers):
            yield from layer.walk(f"{position}.{index}")
