"""Inputs of mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ArgumentError
from ..validation.checks import compact_repr

if TYPE_CHECKING:
    from .._core import LayerSpec
from .base import Layer

__all__ = ["Standardize"]


@dataclass(frozen=True, repr=False)
class Standardize(Layer):
    """``(x - mean) * inverse_std`` for every input column; only as the first layer of a network.

    The first fit() sets both from its training rows and their sample weights (see `Network.standardize`),
    unless they were set before; a first step() sets them from its batch, with a warning. They are parameters
    that no optimizer touches, and travel with the saved network. Columns of codes for an `Embedding` right
    behind it stay as they are.
    """

    __repr__ = compact_repr

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "standardize"}

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output; raises if this is not the network's first layer."""
        if position != "0":
            raise ArgumentError(f"layers[{position}]: expected Standardize only as the first layer")
        return width
