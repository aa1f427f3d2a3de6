"""Initial values that are drawn element by element."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..validation.checks import choice, compact_repr, flag, number
from .base import Initializer

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
]

# Of a standard normal cut at -2 and 2: its standard deviation, sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_TRUNCATED = 0.87962566103423978


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
        > 0. The values' own deviation is 0.8796 of it, as with Keras' ``TruncatedNormal``. (PyTorch's
        ``trunc_normal_`` cuts at a and b instead, whatever std is.)
    corrected : bool, default False
        Let `std` be that of the values, as Keras' ``VarianceScaling`` does.

    Examples
    --------
    >>> from gradcore import initializers
    >>> rule = initializers.TruncatedNormal(std=1.0, corrected=True)
    >>> values = rule.values((300, 300), seed=0, stream=0)
    >>> round(float(values.std()), 2), float(abs(values).max()) <= 2 / 0.8796
    (1.0, True)
    """

    corrected: bool = field(default=False, kw_only=True)
    __repr__ = compact_repr
    kind: ClassVar[str] = "truncated_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "corrected", flag(self.corrected, "TruncatedNormal: corrected"))

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        return self.kind, self.mean, self.std / (_TRUNCATED if self.corrected else 1.0)


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
class VarianceScaling(Initializer):
    """Values of variance ``scale / fan``; Keras' rule with Keras' options.

    Parameters
    ----------
    scale : float, default 1.0
        > 0; ``gain(activation) ** 2`` is what an activation wants.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
    distribution : {"truncated_normal", "normal", "uniform"}, default "truncated_normal"
        "truncated_normal" is cut at two deviations of the normal, which is widened so that the variance holds
        (Keras' HeNormal, LecunNormal and GlorotNormal are of this kind); "normal" is not cut.

    Examples
    --------
    >>> from gradcore import initializers
    >>> keras_he_normal = initializers.VarianceScaling(2.0)
    >>> round(float(keras_he_normal.values((200, 300), seed=0, stream=0).var() * 200), 2)
    2.0
    """

    scale: float = 1.0
    mode: str = field(default="fan_in", kw_only=True)
    distribution: str = field(default="truncated_normal", kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", number(self.scale, "VarianceScaling: scale"))
        if self.scale <= 0:
            raise ArgumentError(f"VarianceScaling: scale: expected a number > 0, got {self.scale}")
        choice(self.mode, "VarianceScaling: mode", ("fan_in", "fan_out", "fan_avg"))
        kinds = ("truncated_normal", "normal", "uniform")
        choice(self.distribution, "VarianceScaling: distribution", kinds)

    def draw(self, fan_in: int, fan_out: int) -> tuple[str, float, float]:
        """What the core draws: the kind and its two numbers."""
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        deviation = math.sqrt(self.scale / fans[self.mode])
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * deviation
            return "uniform", -limit, limit
        return self.distribution, 0.0, deviation / (_TRUNCATED if self.distribution != "normal" else 1.0)
