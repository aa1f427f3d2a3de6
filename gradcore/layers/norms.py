"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..errors import ArgumentError
from ..validation.checks import compact_repr, flag, number
from .base import Layer

if TYPE_CHECKING:
    from .._core import LayerSpec

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm"]


def _check_eps(layer: BatchNorm | LayerNorm | RMSNorm) -> None:
    name = f"{type(layer).__name__}: eps"
    object.__setattr__(layer, "eps", number(layer.eps, name))
    if not 1e-30 <= layer.eps <= 1.0:
        raise ArgumentError(f"{name}: expected a number from 1e-30 to 1, got {layer.eps}")


def _check_flags(layer: Layer, *names: str) -> None:
    for name in names:
        object.__setattr__(layer, name, flag(getattr(layer, name), f"{type(layer).__name__}: {name}"))


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """``(x - mean) / sqrt(variance + eps) * gamma + beta`` with the mean and variance of each column.

    In training they are those of the batch: all rows count alike, whatever their sample weights. Otherwise
    they are running averages, `running_mean` and `running_var`, parameters that no optimizer touches. Every
    applied update of a Trainer moves them by ``momentum`` toward the batch's; one that is skipped leaves them
    alone, as do `Trainer.gradients` and `Network.forward`. A batch of one row has no variance: it is
    normalised with the running averages, in training too, and does not move them.

    Parameters
    ----------
    momentum : float or None, default 0.1
        In (0, 1]: the weight of the new batch, as in PyTorch; Keras' `momentum` is that of the old average,
        0.99 by default. None: the average of all batches so far, whose number is kept in `batches`.
    eps : float, default 1e-5
        From 1e-30 to 1. Keras' is 1e-3.
    scale : bool, default True
        Learn a factor for every column, ``gamma`` (columns,), which begins at 1.
    shift : bool, default True
        Learn a summand for every column, ``beta`` (columns,), which begins at 0.

    Notes
    -----
    `running_var` averages the unbiased variance, divided by rows - 1, as PyTorch does; Keras divides by the
    rows. The batch itself is normalised with the biased one in both. `Network.fold_batchnorm` removes the
    layer from a network that only predicts.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", ICML 2015.

    Examples
    --------
    >>> from gradcore import Activation, BatchNorm, Dense, Network
    >>> net = Network([Dense(8, bias=False), BatchNorm(), Activation("relu"), Dense(2)], inputs=4)
    >>> list(net.parameters())[1:5]
    ['1.gamma', '1.beta', '1.running_mean', '1.running_var']
    """

    keeps_averages: ClassVar[bool] = True

    momentum: float | None = field(default=0.1, kw_only=True)
    eps: float = field(default=1e-5, kw_only=True)
    scale: bool = field(default=True, kw_only=True)
    shift: bool = field(default=True, kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        if self.momentum is not None:
            object.__setattr__(self, "momentum", number(self.momentum, "BatchNorm: momentum"))
            if not 0.0 < self.momentum <= 1.0:
                raise ArgumentError(
                    f"BatchNorm: momentum: expected a number in (0, 1] or None, got {self.momentum}"
                )
        _check_eps(self)
        _check_flags(self, "scale", "shift")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        spec: LayerSpec = {"kind": "batch_norm", "eps": self.eps, "scale": self.scale, "shift": self.shift}
        if self.momentum is None:
            spec["cumulative"] = True
        else:
            spec["momentum"] = self.momentum
        yield spec


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
