"""Optimizers that look at whole arrays: LAMB, LARS, Prodigy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, POSITIVE, SHARE, Range, scalar
from .base import BY_STYLE, FirstOrder

__all__ = ["LAMB", "LARS", "Prodigy"]


@dataclass(frozen=True, repr=False)
class LAMB(FirstOrder):
    """Adam whose step in every array is as long as the array is: ``w -= lr * norm(w) / norm(u) * u``.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-6
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.0
        >= 0; in u.
    trust_clip : bool, default False
        A ratio of norms of at most 1.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", ICLR 2020.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.LAMB(style="keras").eps
    1e-07
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    trust_clip: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "lamb"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    defaults: ClassVar[dict[str, Any]] = {"eps": 1e-6}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}, "keras": {"eps": 1e-7}, "timm": {}}


@dataclass(frozen=True, repr=False)
class LARS(FirstOrder):
    """Momentum with a rate for every array: ``trust * norm(w) / (norm(g) + decay * norm(w) + eps)`` times lr.

    Parameters
    ----------
    lr : float or Schedule
        > 0.
    momentum : float or Schedule, default 0.9
        In [0, 1).
    nesterov : bool, default False
        Needs momentum.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled, and part of the ratio.
    trust : float or Schedule, default 0.001
        > 0.
    eps : float or Schedule, default 1e-8
        >= 0. optax: 0.
    trust_clip : bool, default False
        The ratio over lr is at most 1.
    lr_in_momentum : bool, default False
        The velocity is made of ``lr * g``. optax: True.
    decay_in_norm : bool, default False
        Divide by ``norm(g + decay * w) + eps``. optax: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", arXiv:1708.03888, 2017.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.LARS(0.5, trust=0.01)
    LARS(0.5, trust=0.01)
    """

    lr: Scalar
    momentum: Scalar = 0.9
    nesterov: bool = False
    weight_decay: Scalar = 0.0
    trust: Scalar = field(default=1e-3, kw_only=True)
    eps: Scalar = field(default=BY_STYLE, kw_only=True)
    trust_clip: bool = field(default=False, kw_only=True)
    lr_in_momentum: bool = field(default=BY_STYLE, kw_only=True)
    decay_in_norm: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "lars"
    ranges: ClassVar[dict[str, Range]] = {"momentum": SHARE, "trust": POSITIVE, "eps": NOT_NEGATIVE}
    defaults: ClassVar[dict[str, Any]] = {"eps": 1e-8, "lr_in_momentum": False, "decay_in_norm": False}
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "timm": {},
        "optax": {"eps": 0.0, "lr_in_momentum": True, "decay_in_norm": True},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ArgumentError("LARS: nesterov: expected momentum > 0 with it, got momentum 0")


@dataclass(frozen=True, repr=False)
class Prodigy(FirstOrder):
    """Adam that estimates the distance to a solution and makes its learning rate of it.

    lr is a factor, to be left at 1 or scheduled down from it.

    Parameters
    ----------
    lr : float or Schedule, default 1.0
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, times the estimated rate.
    beta3 : float or Schedule, default sqrt(betas[1])
        Decay of the estimate's sums, in [0, 1).
    initial : float or Schedule, default 1e-6
        > 0: the first estimate.
    coefficient : float or Schedule, default 1.0
        >= 0: multiplies estimates.
    safeguard : bool, default False
        Leave lr out of the denominator: steadier with a warmup.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", ICML 2024.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Prodigy(coefficient=2.0).coefficient
    2.0
    """

    lr: Scalar = 1.0
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    beta3: Scalar | None = field(default=None, kw_only=True)
    initial: Scalar = field(default=1e-6, kw_only=True)
    coefficient: Scalar = field(default=1.0, kw_only=True)
    safeguard: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "prodigy"
    ranges: ClassVar[dict[str, Range]] = {
        "eps": POSITIVE,
        "beta3": SHARE,
        "initial": POSITIVE,
        "coefficient": NOT_NEGATIVE,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}

    def __post_init__(self) -> None:
        if self.beta3 is None and isinstance(self.betas, tuple) and len(self.betas) == 2:
            if callable(self.betas[1]):
                raise ArgumentError("Prodigy: beta3: expected a number beside a scheduled betas[1], got none")
            self._set("beta3", scalar(self.betas[1], "Prodigy: betas[1]", SHARE) ** 0.5)  # type: ignore[operator]
        super().__post_init__()
