"""Rules on the gradient before the update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..errors import ArgumentError
from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, Range
from ..validation.checks import number
from .base import Clip, Parameters, apart_from, check_order, layers

__all__ = ["Adaptive", "ByValue", "Centralize", "GlobalNorm", "Noise", "PerExample", "TensorNorm"]


@dataclass(frozen=True, repr=False)
class ByValue(Clip):
    """Clamp every element of the gradient to [-limit, limit].

    Parameters
    ----------
    limit : float or Schedule
        > 0.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.ByValue(0.5)
    ByValue(0.5)
    """

    limit: Scalar
    name: ClassVar[str] = "value"
    bounded: ClassVar[str] = "limit"

    def alone(self) -> str | None:
        """The core's own clip that does the same."""
        return "value"


@dataclass(frozen=True, repr=False)
class GlobalNorm(Clip):
    """Scale the whole gradient by ``max_norm / norm`` where its norm over all parameters is larger.

    A gradient within the limit is left as it is, bit for bit; without `eps` this is the rule of optax.
    PyTorch adds 1e-6 to the norm: ``GlobalNorm(c, eps=1e-6)``.

    Parameters
    ----------
    max_norm : float or Schedule
        > 0.
    order : {1, 2, math.inf}, default 2
        Of the norm.
    eps : float, default 0.0
        >= 0, added to the norm.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.GlobalNorm(1)
    GlobalNorm(1.0)
    """

    max_norm: Scalar
    order: float = 2
    eps: float = 0.0
    name: ClassVar[str] = "global_norm"
    bounded: ClassVar[str] = "max_norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_order(self.order, f"{name}: order")
        object.__setattr__(self, "eps", _not_negative(self.eps, f"{name}: eps"))

    def alone(self) -> str | None:
        """The core's own clip that does the same."""
        return "global_norm" if self.order == 2 and self.eps == 0 else None

    def other(self) -> float:
        """What is added to the norm."""
        return self.eps

    def norm_order(self) -> float:
        """Of its norm."""
        return float(self.order)


@dataclass(frozen=True, repr=False)
class TensorNorm(GlobalNorm):
    """Every parameter by itself: scaled by ``max_norm / norm`` where its gradient's norm is larger.

    Keras calls it clipnorm.

    Parameters
    ----------
    max_norm : float or Schedule
        > 0.
    order : {1, 2, math.inf}, default 2
    eps : float, default 0.0
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.TensorNorm(1.0, skip=["3"])
    TensorNorm(1.0, skip=('3',))
    """

    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "tensor_norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "skip", layers(self.skip, "TensorNorm: skip"))

    def alone(self) -> str | None:
        """The core has no shorter way."""
        return None

    def applies(self, to: Parameters) -> list[bool]:
        """Whether it does, for each parameter of a network."""
        return apart_from(self.skip, to, "TensorNorm: skip", lambda info: True)


@dataclass(frozen=True, repr=False)
class Adaptive(Clip):
    """Adaptive gradient clipping: a unit's gradient stays small beside its weights.

    A unit is the incoming weights of one output, or a whole bias. Where the norm of its gradient reaches
    ``most = ratio * max(norm of its weights, eps)``, the gradient is scaled by ``most / max(norm, 1e-6)``, as
    timm and optax do it. The paper leaves out the last layer: name it in `skip`.

    Parameters
    ----------
    ratio : float or Schedule, default 0.01
        > 0.
    eps : float, default 1e-3
        >= 0; lets weights of zero move.
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    References
    ----------
    Brock, De, Smith and Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization",
    ICML 2021.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.Adaptive(0.02)
    Adaptive(ratio=0.02)
    """

    ratio: Scalar = 0.01
    eps: float = 1e-3
    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "adaptive"
    bounded: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "eps", _not_negative(self.eps, "Adaptive: eps"))
        object.__setattr__(self, "skip", layers(self.skip, "Adaptive: skip"))

    def other(self) -> float:
        """The least norm that weights are taken for."""
        return self.eps

    def applies(self, to: Parameters) -> list[bool]:
        """Whether it does, for each parameter of a network."""
        return apart_from(self.skip, to, "Adaptive: skip", lambda info: True)


@dataclass(frozen=True, repr=False)
class PerExample(Clip):
    """Scale the gradient of every row of the batch to a norm of at most `max_norm`, then take the mean.

    Exact, and without a gradient for each row in memory: that of a dense layer is the outer product of the
    row's input and delta. Only for networks whose dense layers alone have parameters. Row weights apply
    after it. The norm of the history is that of the clipped mean.

    Parameters
    ----------
    max_norm : float or Schedule
        > 0.

    References
    ----------
    Goodfellow, "Efficient Per-Example Gradient Computations", 2015.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.PerExample(1.0)
    PerExample(1.0)
    """

    max_norm: Scalar
    name: ClassVar[str] = "example_norm"
    bounded: ClassVar[str] = "max_norm"


@dataclass(frozen=True, repr=False)
class Centralize(Clip):
    """Subtract from the gradient of each unit, the incoming weights of one output, its mean.

    Parameters
    ----------
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    References
    ----------
    Yong, Huang, Hua and Zhang, "Gradient Centralization: A New Optimization Technique for Deep Neural
    Networks", ECCV 2020.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clip = [clipping.Centralize(), clipping.TensorNorm(1.0)]  # one after the other
    """

    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "centralize"

    def __post_init__(self) -> None:
        object.__setattr__(self, "skip", layers(self.skip, "Centralize: skip"))

    def applies(self, to: Parameters) -> list[bool]:
        """Whether it does, for each parameter of a network."""
        return apart_from(self.skip, to, "Centralize: skip", lambda info: len(info["shape"]) == 2)


@dataclass(frozen=True, repr=False)
class Noise(Clip):
    """Add normal noise to the gradient, from the trainer's seed, the step and the element alone.

    The annealed noise of the paper is ``Noise(schedules.InverseTime(eta, 1, 1, power=0.275))``, where its
    eta is a variance: give the root.

    Parameters
    ----------
    deviation : float or Schedule
        >= 0.

    References
    ----------
    Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clip = [clipping.GlobalNorm(1.0), clipping.Noise(0.01)]  # clipped first, then noisy
    """

    deviation: Scalar
    name: ClassVar[str] = "noise"
    bounded: ClassVar[str] = "deviation"
    span: ClassVar[Range] = Range("in [0, 1e10]", lambda x: 0 <= x <= 1e10)


def _not_negative(value: object, name: str) -> float:
    result = number(value, name)
    if not NOT_NEGATIVE.contains(result) or math.isinf(result):
        raise ArgumentError(f"{name}: expected a number >= 0, got {result}")
    return result
