"""Initializers whose weights are not independent draws of one distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError
from ..validation.checks import compact_repr, flag, integer, number
from .base import Initializer

__all__ = ["Identity", "Orthogonal", "Siren", "Sparse"]

# Of parameter p: the stream of a second draw. Parameters have lower numbers, the shuffle has 2^32 - 1.
_SECOND_STREAM = 2**31


@dataclass(frozen=True, repr=False)
class Orthogonal(Initializer):
    """Rows or columns, whichever are fewer, orthogonal and of length `gain`.

    The name "delta_orthogonal" means this too: of a convolution that initializer makes only the central
    element of the kernel, an orthogonal matrix, other than 0, and a dense layer is a convolution whose kernel
    has no other element.

    Parameters
    ----------
    gain : float, default 1.0

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR 2014. Delta-orthogonal: Xiao et al., "Dynamical Isometry and a Mean Field Theory of
    CNNs", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import initializers
    >>> q = initializers.Orthogonal().values((5, 3), seed=0, stream=0)
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """

    gain: float = 1.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", number(self.gain, "Orthogonal: gain"))

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        return "orthogonal", self.gain, 0.0


@dataclass(frozen=True, repr=False)
class Identity(Initializer):
    """`gain` on the diagonal, 0 elsewhere: a layer that begins by passing its inputs on.

    Where there are more inputs than units the last inputs are dropped, where there are fewer the last units
    begin at 0. A vector becomes `gain`, 0, 0, ...

    Parameters
    ----------
    gain : float, default 1.0

    References
    ----------
    Le, Jaitly and Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", 2015.
    """

    gain: float = 1.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", number(self.gain, "Identity: gain"))

    def values(self, shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float64]:
        """Initial values of `shape`."""
        rows, cols = shape if len(shape) == 2 else (1, shape[0])
        return np.eye(rows, cols).reshape(shape) * self.gain


@dataclass(frozen=True, repr=False)
class Sparse(Initializer):
    """Normal weights for a fixed number of inputs of every unit, chosen at random; 0 for the others.

    Parameters
    ----------
    nonzero : int, default 15
        Inputs of a unit with a weight; all of them where there are fewer. (PyTorch's ``sparse_`` takes the
        share of zeros instead.)
    std : float, default 1.0
        > 0. The sum of a unit's inputs has variance ``nonzero * std**2`` however many there are.

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization", ICML 2010, section 5.

    Examples
    --------
    >>> from gradcore import initializers
    >>> (initializers.Sparse(3).values((10, 4), seed=0, stream=0) != 0).sum(axis=0)
    array([3, 3, 3, 3])
    """

    nonzero: int = 15
    std: float = 1.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "nonzero", integer(self.nonzero, "Sparse: nonzero", 1))
        object.__setattr__(self, "std", number(self.std, "Sparse: std"))
        if self.std <= 0:
            raise ArgumentError(f"Sparse: std: expected a number > 0, got {self.std}")

    def values(self, shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float64]:
        """Initial values of `shape`; of a vector, `nonzero` elements are not 0."""
        drawn = super().values(shape, seed, stream).reshape(-1, 1 if len(shape) == 1 else shape[1])
        order = _core.fill("uniform", seed, stream | _SECOND_STREAM, *drawn.shape, 0.0, 1.0)
        zeros = np.argsort(order, axis=0, kind="stable")[self.nonzero :]
        np.put_along_axis(drawn, zeros, 0.0, axis=0)
        return drawn.reshape(shape)

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        return "normal", 0.0, self.std


@dataclass(frozen=True, repr=False)
class Siren(Initializer):
    """For layers with a sine: uniform within ``sqrt(6 / fan_in) / omega``, in the first ``1 / fan_in``.

    So the arguments of every sine but the first layer's are spread like a normal of deviation 1. It is the
    default of Dense layers with "sin". A linear layer after them gets Glorot unless it is given this too.
    Biases start at 0 as everywhere; where inputs are coordinates around 0, ``bias_init=Uniform(...)`` tells
    the units apart, which are all odd functions otherwise.

    Parameters
    ----------
    omega : float, default 30.0
        The alpha of the layer's "sin", > 0.
    first : bool, optional
        Default: decided by the network.

    References
    ----------
    Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions", NeurIPS 2020.

    Examples
    --------
    >>> from gradcore import Dense, Network, initializers
    >>> net = Network([Dense(64, "sin"), Dense(64, "sin"), Dense(1, weight_init="siren")], inputs=2)
    >>> bool(abs(net.parameters()["0.weight"]).max() <= 1 / 2)
    True
    """

    omega: float = 30.0
    first: bool | None = None
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "omega", number(self.omega, "Siren: omega"))
        if self.omega <= 0:
            raise ArgumentError(f"Siren: omega: expected a number > 0, got {self.omega}")
        if self.first is not None:
            object.__setattr__(self, "first", flag(self.first, "Siren: first"))

    def placed(self, first: bool) -> Initializer:
        """The rule for a layer of a network."""
        return self if self.first is not None else replace(self, first=first)

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        limit = 1.0 / fan_in if self.first else math.sqrt(6.0 / fan_in) / self.omega
        return "uniform", -limit, limit
