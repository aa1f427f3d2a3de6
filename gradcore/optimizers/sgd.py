"""Gradient descent with momentum, Rprop, and descent without a schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, OPEN, POSITIVE, SHARE, UNIT, Range
from ..validation.arrays import Array
from .base import BY_STYLE, FirstOrder
from .interface import AnyOptimizer
from .plain import Parameters

__all__ = ["Rprop", "SGD", "ScheduleFreeSGD"]


@dataclass(frozen=True, repr=False)
class SGD(FirstOrder):
    """Stochastic gradient descent: ``g += decay * w; v = momentum * v + g; w -= lr * v``.

    With `nesterov` the update is ``w -= lr * (g + momentum * v)``.

    Parameters
    ----------
    lr : float or Schedule
        > 0.
    momentum : float or Schedule, default 0.0
        In [0, 1). sklearn: 0.9.
    nesterov : bool, default False
        Needs momentum, and no dampening. sklearn: True.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    dampening : float or Schedule, default 0.0
        In [0, 1]: ``v = momentum * v + (1 - dampening) * g``, but for the first step.
    lr_in_momentum : bool, default False
        The velocity is made of ``lr * g``: a change of lr does not reach back. Keras, sklearn: True.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.SGD(0.1, momentum=0.9, style="keras").lr_in_momentum
    True
    """

    lr: Scalar
    momentum: Scalar = BY_STYLE
    nesterov: bool = BY_STYLE
    weight_decay: Scalar = 0.0
    dampening: Scalar = field(default=0.0, kw_only=True)
    lr_in_momentum: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "sgd"
    ranges: ClassVar[dict[str, Range]] = {"momentum": SHARE, "dampening": UNIT}
    defaults: ClassVar[dict[str, Any]] = {
        "momentum": 0.0,
        "nesterov": False,
        "lr_in_momentum": False,
        "decoupled": False,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"lr_in_momentum": True, "decoupled": True},
        "optax": {},
        "sklearn": {"momentum": 0.9, "nesterov": True, "lr_in_momentum": True},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov: expected momentum > 0 with it, got momentum 0")
        if self.nesterov and self.dampening:
            raise ArgumentError(f"SGD: nesterov: expected dampening 0 with it, got {self.dampening}")


@dataclass(frozen=True, repr=False)
class Rprop(FirstOrder):
    """Steps by the signs of full-batch gradients: each number has a step size of its own.

    It grows while the gradient keeps its sign and shrinks where it turns; there no step is made.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        > 0: the first step size; later values of a schedule have no effect.
    shrink : float or Schedule, default 0.5
        In (0, 1).
    grow : float or Schedule, default 1.2
        > 0, usually above 1.
    smallest : float or Schedule, default 1e-6
        > 0: the least step size.
    largest : float or Schedule, default 50.0
        > 0: the greatest step size.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm",
    ICNN 1993.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Rprop(0.1)
    Rprop(lr=0.1)
    """

    lr: Scalar = 1e-2
    shrink: Scalar = 0.5
    grow: Scalar = 1.2
    smallest: Scalar = 1e-6
    largest: Scalar = 50.0
    weight_decay: Scalar = 0.0

    name: ClassVar[str] = "rprop"
    with_rate = AnyOptimizer.with_rate  # refused: lr is where the step sizes begin
    ranges: ClassVar[dict[str, Range]] = {
        "shrink": OPEN,
        "grow": POSITIVE,
        "smallest": POSITIVE,
        "largest": POSITIVE,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {"torch": {}}


@dataclass(frozen=True, repr=False)
class ScheduleFreeSGD(FirstOrder):
    """Gradient descent whose average needs no schedule of the learning rate.

    Gradients are taken at y, between the plain iterate z and its average x; a Trainer keeps x in its network
    whenever it is not training, so that predictions, scores and files are of x.

    Parameters
    ----------
    lr : float or Schedule, default 1.0
        > 0.
    momentum : float or Schedule, default 0.9
        In (0, 1): where y lies between z (0) and x (1).
    weight_decay : float or Schedule, default 0.0
        >= 0; at y, coupled.
    warmup : float or Schedule, default 0.0
        Steps over which lr rises to its value.
    power : float or Schedule, default 0.0
        >= 0: step t has the weight ``t ** power`` in the average.
    lr_power : float or Schedule, default 2.0
        >= 0: times the largest lr so far, to this power.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled", NeurIPS 2024.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.ScheduleFreeSGD(0.5, warmup=100)
    ScheduleFreeSGD(lr=0.5, warmup=100.0)
    """

    lr: Scalar = 1.0
    momentum: Scalar = 0.9
    weight_decay: Scalar = 0.0
    warmup: Scalar = field(default=0.0, kw_only=True)
    power: Scalar = field(default=0.0, kw_only=True)
    lr_power: Scalar = field(default=2.0, kw_only=True)

    name: ClassVar[str] = "schedule_free_sgd"
    ranges: ClassVar[dict[str, Range]] = {
        "momentum": OPEN,
        "warmup": NOT_NEGATIVE,
        "power": NOT_NEGATIVE,
        "lr_power": NOT_NEGATIVE,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {"facebook": {}}

    def averaged(self, params: Parameters) -> dict[Any, Array]:
        """Where to evaluate a model of plain arrays that `update` trains: copies, by position or key.

        A Trainer does this by itself.
        """
        return self._state().averaged(params)
