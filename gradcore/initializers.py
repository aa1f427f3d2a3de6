"""Initial values of parameters.

Every random initializer draws from the counter-based generator of the core, keyed by the seed and the
parameter's place in the network: the same seed gives the same bits on every platform. Values are computed
in float64 and then rounded to the network's dtype.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from . import _core
from .checks import choice, compact_repr, flag, number
from .errors import ArgumentError, DTypeError
from .gains import gain

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Orthogonal",
    "Siren",
    "TruncatedNormal",
    "Uniform",
    "gain",
    "get",
]


class Initializer:
    """Base of the initializers: a rule from (shape, seed, stream) to values."""

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


@dataclass(frozen=True, repr=False)
class Constant(Initializer):
    """The same value everywhere.

    Parameters
    ----------
    value : float, default 0.0
    """

    value: float = 0.0
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", number(self.value, "Constant: value"))

    def values(self, shape: tuple[int, ...], seed: int, stream: int) -> NDArray[np.float64]:
        """Initial values of `shape`."""
        return np.full(shape, self.value)


@dataclass(frozen=True, repr=False)
class Uniform(Initializer):
    """Uniform in [low, high).

    Parameters
    ----------
    low, high : float, default -0.05 and 0.05

    Examples
    --------
    >>> from gradcore import initializers
    >>> values = initializers.Uniform(0, 1).values((2, 3), seed=1, stream=0)
    >>> values.shape, bool((values >= 0).all()), bool((values < 1).all())
    ((2, 3), True, True)
    """

    low: float = -0.05
    high: float = 0.05
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", number(self.low, "Uniform: low"))
        object.__setattr__(self, "high", number(self.high, "Uniform: high"))
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise ArgumentError(f"Uniform: expected low < high, got {self.low} and {self.high}")

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        return "uniform", self.low, self.high


@dataclass(frozen=True, repr=False)
class Normal(Initializer):
    """Normal with the given mean and standard deviation.

    Parameters
    ----------
    mean : float, default 0.0
    std : float, default 0.05
        > 0.
    """

    mean: float = 0.0
    std: float = 0.05
    __repr__ = compact_repr
    kind: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "mean", number(self.mean, f"{name}: mean"))
        object.__setattr__(self, "std", number(self.std, f"{name}: std"))
        if self.std <= 0:
            raise ArgumentError(f"{name}: std: expected a number > 0, got {self.std}")

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        return self.kind, self.mean, self.std


@dataclass(frozen=True, repr=False)
class TruncatedNormal(Normal):
    """Normal cut at two standard deviations from the mean; `std` is that of the normal before the cut.

    Parameters
    ----------
    mean : float, default 0.0
    std : float, default 0.05
        > 0.
    """

    __repr__ = compact_repr
    kind: ClassVar[str] = "truncated_normal"


@dataclass(frozen=True, repr=False)
class Orthogonal(Initializer):
    """Rows or columns, whichever are fewer, orthogonal and of length `gain`.

    Parameters
    ----------
    gain : float, default 1.0

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR 2014.

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
class _VarianceScaling(Initializer):
    """Values of variance ``scale / fan``, where `fan` is fan_in or the mean of fan_in and fan_out."""

    __repr__ = compact_repr
    scale: ClassVar[float] = 1.0
    average: ClassVar[bool] = False
    uniform: ClassVar[bool] = False

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        fan = (fan_in + fan_out) / 2.0 if self.average else float(fan_in)
        variance = self.scale / fan
        if self.uniform:
            limit = math.sqrt(3.0 * variance)
            return "uniform", -limit, limit
        return "normal", 0.0, math.sqrt(variance)


class GlorotUniform(_VarianceScaling):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))``: for tanh, sigmoid and linear layers.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """

    average: ClassVar[bool] = True
    uniform: ClassVar[bool] = True


class GlorotNormal(_VarianceScaling):
    """Normal of standard deviation ``sqrt(2 / (fan_in + fan_out))``."""

    average: ClassVar[bool] = True


class HeUniform(_VarianceScaling):
    """Uniform within ``sqrt(6 / fan_in)``."""

    scale: ClassVar[float] = 2.0
    uniform: ClassVar[bool] = True


class HeNormal(_VarianceScaling):
    """Normal of standard deviation ``sqrt(2 / fan_in)``: for ReLU and its relatives.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.
    """

    scale: ClassVar[float] = 2.0


class LecunUniform(_VarianceScaling):
    """Uniform within ``sqrt(3 / fan_in)``."""

    uniform: ClassVar[bool] = True


class LecunNormal(_VarianceScaling):
    """Normal of standard deviation ``sqrt(1 / fan_in)``: for SELU.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NeurIPS 2017.
    """


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


_NAMES: dict[str, type[Initializer]] = {
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "zeros": Constant,
    "siren": Siren,
}


def names() -> list[str]:
    """The names that `get` knows."""
    return list(_NAMES)


def get(value: Initializer | str, name: str = "initializer") -> Initializer:
    """An initializer from itself or its name.

    Examples
    --------
    >>> from gradcore import initializers
    >>> initializers.get("he_normal")
    HeNormal()
    """
    if isinstance(value, Initializer):
        return value
    if not isinstance(value, str):
        raise DTypeError(f"{name}: expected an initializer or its name, got {value!r}")
    return _NAMES[choice(value, name, _NAMES)]()
