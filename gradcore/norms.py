"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .checks import compact_repr, flag, number
from .errors import ArgumentError
from .layers import Layer

if TYPE_CHECKING:
    from ._core import LayerSpec

__all__ = ["LayerNorm", "RMSNorm"]


def _check_eps(layer: LayerNorm | RMSNorm) -> None:
    name = f"{type(layer).__name__}: eps"
    object.__setattr__(layer, "eps", number(layer.eps, name))
    if not 1e-30 <= layer.eps <= 1.0:
        raise ArgumentError(f"{name}: expected a number from 1e-30 to 1, got {layer.eps}")


def _check_flags(layer: Layer, *names: str) -> None:
    for name in names:
        object.__setattr__(layer, name, flag(getattr(layer, name), f"{type(layer).__name__}: {name}"))


@dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """``(x - mean) / sqrt(variance + eps) * gamma + beta`` with the mean and variance of each row.

    A row's result depends on that row alone, in training as in prediction. The variance is that of the row
    itself (divided by its columns); statistics are made in float64, so a large mean costs no digits.

    Parameters
    ----------
    eps : float, default 1e-5
        From 1e-30 to 1.
    scale : bool, default True
        Learn a factor for every column, ``gamma`` (columns,), which begins at 1.
    shift : bool, default True
        Learn a summand for every column, ``beta`` (columns,), which begins at 0.

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450. Defaults are PyTorch's; Keras' `epsilon` is
    1e-3.

    Examples
    --------
    A residual block with the norm before (the usual choice for deep networks) and one with it behind:

    >>> from gradcore import Dense, LayerNorm, Network, Residual
    >>> before = Residual(LayerNorm(), Dense(32, "gelu"), Dense(8))
    >>> behind = [Residual(Dense(32, "gelu"), Dense(8)), LayerNorm()]
    >>> net = Network([Dense(8), before, *behind, Dense(2)], inputs=4)
    >>> list(net.parameters())[2:4]
    ['1.0.gamma', '1.0.beta']
    """

    eps: float = field(default=1e-5, kw_only=True)
    scale: bool = field(default=True, kw_only=True)
    shift: bool = field(default=True, kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        _check_eps(self)
        _check_flags(self, "scale", "shift")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "layer_norm", "eps": self.eps, "scale": self.scale, "shift": self.shift}


@dataclass(frozen=True, repr=False)
class RMSNorm(Layer):
    """``x / sqrt(mean(x^2) + eps) * gamma``, the mean being that of each row's squares.

    Parameters
    ----------
    eps : float, default 1e-6
        From 1e-30 to 1. PyTorch's default is the spacing of the type at 1, Keras' is 1e-6.
    scale : bool, default True
        Learn a factor for every column, ``gamma`` (columns,), which begins at 1.

    References
    ----------
    Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Network, RMSNorm
    >>> net = Network([RMSNorm()], inputs=2, dtype="float64")
    >>> net.predict(np.array([[3.0, 4.0]])).round(4).tolist()
    [[0.8485, 1.1314]]
    """

    eps: float = field(default=1e-6, kw_only=True)
    scale: bool = field(default=True, kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        _check_eps(self)
        _check_flags(self, "scale")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "rms_norm", "eps": self.eps, "scale": self.scale}
