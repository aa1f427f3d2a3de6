"""Layers that gate, choose or bend: GLU, Maxout, PReLU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import _core
from ..errors import ArgumentError, ShapeError
from ..initializers.base import Initializer
from ..initializers.draws import Constant
from ..initializers.lookup import get as initializer
from ..initializers.lookup import names
from ..validation.checks import choice, compact_repr, flag, integer, number
from .activation import Activation
from .base import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import LayerSpec
    from ..validation.arrays import Array

__all__ = ["GLU", "Maxout", "PReLU"]


@dataclass(frozen=True, repr=False)
class GLU(Layer):
    """``a * f(b)``, where a is the left and b the right half of the columns: the output is half as wide.

    A gated layer of n units is ``Dense(2 * n), GLU(...)``. The gate is the right half, as in PyTorch's
    ``glu``; papers that write ``silu(x W) * (x V)`` have W in the right half and V in the left.

    Parameters
    ----------
    gate : str or Activation, default "sigmoid"
        f: "sigmoid" makes it GLU, "silu" SwiGLU, "gelu" or "gelu_tanh" GEGLU, "relu" ReGLU, "identity" the
        bilinear layer; any of ``gradcore.names("activation")``.

    Raises
    ------
    ShapeError
        In a network, where the number of columns before it is odd.

    References
    ----------
    Dauphin et al., "Language Modeling with Gated Convolutional Networks", ICML 2017. Shazeer, "GLU Variants
    Improve Transformer", arXiv:2002.05202.

    Examples
    --------
    >>> from gradcore import Dense, GLU, Network
    >>> Network([Dense(64), GLU("silu"), Dense(3)], inputs=4).parameters()["2.weight"].shape
    (32, 3)
    """

    gate: str | Activation = field(default="sigmoid", metadata={"positional": True})
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        if not isinstance(self.gate, Activation):
            choice(self.gate, "GLU: gate", _core.names("activation"))

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        (spec,) = self._function().specs()
        yield {**spec, "kind": "glu"}

    def _function(self) -> Activation:
        return self.gate if isinstance(self.gate, Activation) else Activation(self.gate)

    def flat(self, x: Array, own: Mapping[str, Array]) -> NDArray[np.bool_] | None:
        """Which gates lie on a flat side of f, open or shut."""
        return self._function().flat(x[:, x.shape[1] // 2 :], {})

    def width_after(self, width: int, position: str) -> int:
        """Half of the columns; raises where they are odd."""
        if width % 2:
            raise ShapeError(f"layers[{position}]: expected an even number of columns to halve, got {width}")
        return width // 2


@dataclass(frozen=True, repr=False)
class Maxout(Layer):
    """The largest of `pieces` linear functions of x, for each of `units` outputs.

    ``Z = X W + b`` with W of shape (fan_in, pieces * units); output j is the largest of Z's columns j,
    units + j, 2 units + j, and so on. At a tie the gradient goes to the first of them.

    Parameters
    ----------
    units : int
        Columns of the output.
    pieces : int, default 2
    bias : bool, default True
    weight_init : Initializer or str, default "glorot_uniform"
        Glorot's fan_out is that of all pieces.
    bias_init : float or Initializer, default 0.0

    References
    ----------
    Goodfellow et al., "Maxout Networks", ICML 2013.

    Examples
    --------
    >>> from gradcore import Dense, Maxout, Network
    >>> Network([Maxout(16, 3), Dense(1)], inputs=4).parameters()["0.weight"].shape
    (4, 48)
    """

    units: int
    pieces: int = field(default=2, metadata={"positional": True})
    bias: bool = field(default=True, kw_only=True)
    weight_init: Initializer | str = field(default="glorot_uniform", kw_only=True)
    bias_init: float | Initializer = field(default=0.0, kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", integer(self.units, "Maxout: units", 1))
        object.__setattr__(self, "pieces", integer(self.pieces, "Maxout: pieces", 1))
        object.__setattr__(self, "bias", flag(self.bias, "Maxout: bias"))
        if not isinstance(self.weight_init, str):
            initializer(self.weight_init, "Maxout: weight_init")
        else:
            choice(self.weight_init, "Maxout: weight_init", names())
        if not isinstance(self.bias_init, Initializer):
            object.__setattr__(self, "bias_init", number(self.bias_init, "Maxout: bias_init"))

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "maxout", "units": self.units, "pieces": self.pieces, "bias": self.bias}

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output for `width` columns of input."""
        return self.units

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of its weight."""
        yield f"{position}.weight", (width, self.units * self.pieces)

    def initializer(self, role: str) -> Initializer:
        """The rule for the initial values of the parameter with this role, "weight" or "bias"."""
        if role == "bias":
            value = self.bias_init
            return value if isinstance(value, Initializer) else Constant(value)
        return initializer(self.weight_init)


@dataclass(frozen=True, repr=False)
class PReLU(Layer):
    """``x > 0 ? x : alpha x`` with a learned slope: the parameter ``alpha``.

    Weight decay leaves the slope alone, as it does biases, unless it is told to decay all.

    Parameters
    ----------
    shared : bool, default False
        One slope for all columns, as PyTorch's default is, instead of one for each.
    initial : float, default 0.25
        From -1e6 to 1e6. Weights of ``initializers.gain("leaky_relu", initial)`` keep signals as large.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> from gradcore import Dense, Network, PReLU
    >>> Network([Dense(3), PReLU()], inputs=2).parameters()["1.alpha"]
    array([0.25, 0.25, 0.25], dtype=float32)
    """

    shared: bool = field(default=False, kw_only=True)
    initial: float = field(default=0.25, kw_only=True)
    in_files: ClassVar[str] = "prelu"
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "shared", flag(self.shared, "PReLU: shared"))
        object.__setattr__(self, "initial", number(self.initial, "PReLU: initial"))
        if not abs(self.initial) <= 1e6:
            raise ArgumentError(f"PReLU: initial: expected a number from -1e6 to 1e6, got {self.initial}")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "prelu", "units": int(self.shared), "alpha": self.initial}

    def flat(self, x: Array, own: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Which outputs lie on a side whose slope is small beside the other's."""
        from .flat import SHARE

        slope = np.abs(own["alpha"])
        one, share = slope.dtype.type(1), slope.dtype.type(SHARE)  # a slope of 0.01 is not below that
        flat: NDArray[np.bool_] = np.where(x <= 0, slope, one) < share * np.maximum(slope, one)
        return flat
