"""Rates by element before Adam: Adagrad, Adadelta, RMSprop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, POSITIVE, SHARE, Range
from .base import BY_STYLE, FirstOrder

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


@dataclass(frozen=True, repr=False)
class Adagrad(FirstOrder):
    """``s += g**2; w -= lr * g / (sqrt(s) + eps)``.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        > 0. Keras: 0.001.
    lr_decay : float or Schedule, default 0.0
        >= 0: lr is divided by ``1 + lr_decay * (t - 1)`` at step t.
    eps : float or Schedule, default 1e-10
        > 0. Keras, optax: 1e-7.
    initial : float or Schedule, default 0.0
        >= 0: where s starts. Keras, optax: 0.1.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    eps_inside : bool, default False
        ``sqrt(s + eps)`` instead. Keras, optax: True.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization",
    JMLR 12, 2011.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adagrad(style="keras").initial
    0.1
    """

    lr: Scalar = BY_STYLE
    lr_decay: Scalar = 0.0
    eps: Scalar = BY_STYLE
    initial: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    eps_inside: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "adagrad"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "initial": NOT_NEGATIVE, "lr_decay": NOT_NEGATIVE}
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 1e-2,
        "eps": 1e-10,
        "initial": 0.0,
        "eps_inside": False,
        "decoupled": False,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"lr": 1e-3, "eps": 1e-7, "initial": 0.1, "eps_inside": True, "decoupled": True},
        "optax": {"eps": 1e-7, "initial": 0.1, "eps_inside": True},
    }


@dataclass(frozen=True, repr=False)
class Adadelta(FirstOrder):
    """``u = sqrt(d + eps) / sqrt(s + eps) * g; w -= lr * u``, s and d running means of g**2 and u**2.

    Parameters
    ----------
    lr : float or Schedule, default 1.0
        > 0. Keras: 0.001.
    rho : float or Schedule, default 0.9
        In [0, 1). Keras: 0.95.
    eps : float or Schedule, default 1e-6
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Zeiler, "ADADELTA: An Adaptive Learning Rate Method", arXiv:1212.5701, 2012.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adadelta(style="keras").rho
    0.95
    """

    lr: Scalar = BY_STYLE
    rho: Scalar = BY_STYLE
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "adadelta"
    ranges: ClassVar[dict[str, Range]] = {"rho": SHARE, "eps": POSITIVE}
    defaults: ClassVar[dict[str, Any]] = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "decoupled": False}
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"lr": 1e-3, "rho": 0.95, "eps": 1e-7, "decoupled": True},
        "optax": {},
    }


@dataclass(frozen=True, repr=False)
class RMSprop(FirstOrder):
    """``s = alpha * s + (1 - alpha) * g**2; w -= lr * g / (sqrt(s) + eps)``.

    With `momentum`, the quotient goes through ``b = momentum * b + quotient; w -= lr * b``; with
    `centered`, s is reduced by the square of the gradient's running mean. Where gradients vanish, eps outside
    the root keeps their steps large, and inside it makes them small.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        > 0. Keras: 0.001.
    alpha : float or Schedule, default 0.99
        In [0, 1). Keras, optax, timm: 0.9.
    eps : float or Schedule, default 1e-8
        > 0. Keras: 1e-7; timm: 1e-10.
    momentum : float or Schedule, default 0.0
        In [0, 1).
    centered : bool, default False
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    initial : float or Schedule, default 0.0
        >= 0: where s starts. timm: 1.
    eps_inside : bool, default False
        ``sqrt(s + eps)`` instead. Keras, optax, timm: True.
    lr_in_momentum : bool, default False
        ``b = momentum * b + lr * quotient; w -= b``. Keras, optax, timm: True.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.RMSprop(style="timm")
    RMSprop(style='timm')
    """

    lr: Scalar = BY_STYLE
    alpha: Scalar = BY_STYLE
    eps: Scalar = BY_STYLE
    momentum: Scalar = 0.0
    centered: bool = False
    weight_decay: Scalar = 0.0
    initial: Scalar = field(default=BY_STYLE, kw_only=True)
    eps_inside: bool = field(default=BY_STYLE, kw_only=True)
    lr_in_momentum: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "rmsprop"
    ranges: ClassVar[dict[str, Range]] = {
        "alpha": SHARE,
        "eps": POSITIVE,
        "momentum": SHARE,
        "initial": NOT_NEGATIVE,
    }
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "initial": 0.0,
        "eps_inside": False,
        "lr_in_momentum": False,
        "decoupled": False,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {
            "lr": 1e-3,
            "alpha": 0.9,
            "eps": 1e-7,
            "eps_inside": True,
            "lr_in_momentum": True,
            "decoupled": True,
        },
        "optax": {"alpha": 0.9, "eps_inside": True, "lr_in_momentum": True},
        "timm": {"alpha": 0.9, "eps": 1e-10, "initial": 1.0, "eps_inside": True, "lr_in_momentum": True},
    }
