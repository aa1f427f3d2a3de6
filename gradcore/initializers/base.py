"""The base of the initializers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..validation.checks import Abstract

__all__ = ["Initializer"]


class Initializer(Abstract):
    """Base of the initializers: a rule from (shape, seed, stream) to values."""

    abstract: ClassVar[bool] = True
    file_suffix: ClassVar[str] = "_init"

    def values(self, shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float64]:
        """Initial values of `shape`, (fan_in, fan_out) or (fan_out,), for parameter number `stream`."""
        rows, cols = shape if len(shape) == 2 else (1, shape[0])
        kind, a, b = self.draw(rows, cols)
        return _core.fill(kind, seed, stream, rows, cols, a, b).reshape(shape)

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        raise NotImplementedError

    def placed(self, first: bool) -> Initializer:
        """The rule for a layer of a network; `first`: no layer before it has something to train."""
        return self
