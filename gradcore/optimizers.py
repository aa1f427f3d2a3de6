"""Optimizers: frozen descriptions that a Trainer compiles, and that also update plain arrays.

Every scalar hyperparameter is a number or a schedule. The rules are PyTorch's; weight decay leaves biases
alone unless ``decay_bias=True``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from . import _core
from .checks import compact_repr, flag
from .errors import ArgumentError, DTypeError
from .hypers import LR, NOT_NEGATIVE, OWN, POSITIVE, SHARE, WEIGHT_DECAY, Column, Hypers, Range, scalar
from .plain import Gradients, Parameters, PlainState
from .rule import Rule
from .schedules import Scalar

if TYPE_CHECKING:
    from .second_order import LBFGS, ConjugateGradient, LevenbergMarquardt, Minimum, NewtonCG, minimize

# fmt: off
__all__ = [
    "LBFGS", "SGD", "Adam", "AdamW", "ConjugateGradient", "LevenbergMarquardt", "Minimum", "NewtonCG",
    "Optimizer", "RMSprop", "minimize",
]
# fmt: on

ON_DEMAND = ("LBFGS", "ConjugateGradient", "LevenbergMarquardt", "Minimum", "NewtonCG", "minimize")


def __getattr__(name: str) -> Any:
    """What looks at the whole objective is imported when it is first named."""
    if name in ON_DEMAND:
        return getattr(importlib.import_module("gradcore.second_order"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Optimizer(Rule):
    """Base of the optimizers, which are frozen dataclasses with the options named here and their own."""

    name: ClassVar[str]
    ranges: ClassVar[dict[str, Range]]  # of the scalar options other than lr and weight_decay

    lr: Scalar
    weight_decay: Scalar
    decay_bias: bool
    _plain: PlainState | None  # of `update`, made by its first call

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "lr", scalar(self.lr, f"{name}: lr", POSITIVE))
        object.__setattr__(
            self, "weight_decay", scalar(self.weight_decay, f"{name}: weight_decay", NOT_NEGATIVE)
        )
        object.__setattr__(self, "decay_bias", flag(self.decay_bias, f"{name}: decay_bias"))
        for key, range_ in self.ranges.items():
            object.__setattr__(self, key, scalar(getattr(self, key), f"{name}: {key}", range_))
        self.reset()

    def own(self) -> dict[str, Scalar]:
        """The hyperparameters besides lr and weight_decay, under the core's names."""
        return {key: getattr(self, key) for key in self.ranges}

    def flags(self) -> int:
        """The core's option bits."""
        return _core.DECAY_ALL if self.decay_bias else 0

    def columns(self) -> list[Column]:
        """Every hyperparameter with its place in the core's rows."""
        own = self.own()
        order = (_core.describe("optimizer", self.name, "hyperparameters") or "").split()
        limits = {**self.ranges, "beta1": SHARE, "beta2": SHARE}
        return [
            Column(LR, "optimizer.lr", self.lr, NOT_NEGATIVE),
            Column(WEIGHT_DECAY, "optimizer.weight_decay", self.weight_decay, NOT_NEGATIVE),
            *(Column(OWN + i, f"optimizer.{key}", own[key], limits[key]) for i, key in enumerate(order)),
        ]

    def update(self, params: Parameters, grads: Gradients) -> None:
        """One update of plain arrays, in place, with the kernels of the training step.

        The state (moments and the step number) is kept in this object, by position or by key, until
        `reset`; a Trainer with the same optimizer has a state of its own. Weight decay applies to every
        array here, as in PyTorch. Nothing is changed if any array is refused.

        Parameters
        ----------
        params : list or dict of float32 or float64 arrays
            Updated in place; any strides.
        grads : the same
            Same keys, shapes and dtypes; left as they are.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import optimizers
        >>> w = np.array([1.0, -2.0])
        >>> sgd = optimizers.SGD(0.1)
        >>> sgd.update([w], [np.array([1.0, 1.0])])
        >>> w
        array([ 0.9, -2.1])
        """
        if self._plain is None:
            state = PlainState(self.name, self.flags() | _core.DECAY_ALL, Hypers(self.columns()))
            object.__setattr__(self, "_plain", state)
        assert self._plain is not None
        self._plain.update(params, grads)

    def reset(self) -> None:
        """Forget the state of `update`."""
        object.__setattr__(self, "_plain", None)


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent: ``g += decay * w; v = momentum * v + g; w -= lr * v``.

    With `nesterov` the update is ``w -= lr * (g + momentum * v)``.

    Parameters
    ----------
    lr : float or Schedule
        > 0.
    momentum : float or Schedule, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Needs momentum.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient).
    decay_bias : bool, default False

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep learning",
    ICML 2013.
    """

    lr: Scalar
    momentum: Scalar = 0.0
    nesterov: bool = False
    weight_decay: Scalar = 0.0
    decay_bias: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "sgd"
    ranges: ClassVar[dict[str, Range]] = {"momentum": SHARE}
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "nesterov", flag(self.nesterov, "SGD: nesterov"))
        if self.nesterov and not self.momentum:
            raise ArgumentError("SGD: nesterov: expected momentum > 0 with it, got momentum 0")

    def flags(self) -> int:
        """The core's option bits."""
        bits = _core.MOMENTUM if self.momentum else 0
        return super().flags() | bits | (_core.NESTEROV if self.nesterov else 0)


@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """``s = alpha * s + (1 - alpha) * g**2; w -= lr * g / (sqrt(s) + eps)``: PyTorch's rule.

    With `momentum`, the quotient goes through ``b = momentum * b + quotient; w -= lr * b``; with
    `centered`, s is reduced by the square of the gradient's running mean.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
    alpha : float or Schedule, default 0.99
        In [0, 1).
    eps : float or Schedule, default 1e-8
        > 0, outside the root (Keras and optax have it inside).
    momentum : float or Schedule, default 0.0
        In [0, 1).
    centered : bool, default False
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled.
    decay_bias : bool, default False

    References
    ----------
    Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
    """

    lr: Scalar = 1e-2
    alpha: Scalar = 0.99
    eps: Scalar = 1e-8
    momentum: Scalar = 0.0
    centered: bool = False
    weight_decay: Scalar = 0.0
    decay_bias: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "rmsprop"
    ranges: ClassVar[dict[str, Range]] = {"alpha": SHARE, "eps": POSITIVE, "momentum": SHARE}
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "centered", flag(self.centered, "RMSprop: centered"))

    def flags(self) -> int:
        """The core's option bits."""
        bits = _core.MOMENTUM if self.momentum else 0
        return super().flags() | bits | (_core.CENTERED if self.centered else 0)


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """``w -= lr * m_hat / (sqrt(v_hat) + eps)``, PyTorch's rule.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient).
    decay_bias : bool, default False

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    decay_bias: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "adam"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        try:
            beta1, beta2 = self.betas
        except (TypeError, ValueError):
            raise DTypeError(f"{name}: betas: expected two numbers, got {self.betas!r}") from None
        pair = (scalar(beta1, f"{name}: betas[0]", SHARE), scalar(beta2, f"{name}: betas[1]", SHARE))
        object.__setattr__(self, "betas", pair)

    def own(self) -> dict[str, Scalar]:
        """The hyperparameters besides lr and weight_decay, under the core's names."""
        return {"beta1": self.betas[0], "beta2": self.betas[1], "eps": self.eps}


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: ``w *= 1 - lr * weight_decay`` before Adam's update.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
    betas : pair of float or Schedule, default (0.9, 0.999)
    eps : float or Schedule, default 1e-8
    weight_decay : float or Schedule, default 0.01
    decay_bias : bool, default False

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    weight_decay: Scalar = 0.01

    name: ClassVar[str] = "adamw"
    __repr__ = compact_repr
