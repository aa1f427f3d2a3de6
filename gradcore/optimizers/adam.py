"""Adam and AdamW."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, POSITIVE, Range
from .base import BY_STYLE, FirstOrder

__all__ = ["Adam", "AdamW"]


@dataclass(frozen=True, repr=False)
class Adam(FirstOrder):
    """``w -= lr * m_hat / (sqrt(v_hat) + eps)``.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    amsgrad : bool, default False
        Divide by the largest second moment so far.
    eps_root : float or Schedule, default 0.0
        >= 0: added under the root.
    eps_hat : bool, default False
        eps beside the uncorrected root, so larger at first. Keras, sklearn: True.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", ICLR 2018 (`amsgrad`).

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adam(style="keras").eps
    1e-07
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    amsgrad: bool = field(default=False, kw_only=True)
    eps_root: Scalar = field(default=0.0, kw_only=True)
    eps_hat: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "adam"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "eps_root": NOT_NEGATIVE}
    defaults: ClassVar[dict[str, Any]] = {"eps": 1e-8, "eps_hat": False, "decoupled": False}
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"eps": 1e-7, "eps_hat": True, "decoupled": True},
        "optax": {},
        "sklearn": {"eps_hat": True},
    }


@dataclass(frozen=True, repr=False)
class AdamW(FirstOrder):
    """Adam with decoupled weight decay: ``w *= 1 - lr * weight_decay`` before Adam's update.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.01
        >= 0. Keras: 0.004; optax: 1e-4.
    amsgrad : bool, default False
        Divide by the largest second moment so far.
    eps_root : float or Schedule, default 0.0
        >= 0: added under the root.
    eps_hat : bool, default False
        eps beside the uncorrected root, so larger at first. Keras, sklearn: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.AdamW(style="optax").weight_decay
    0.0001
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = BY_STYLE
    amsgrad: bool = field(default=False, kw_only=True)
    eps_root: Scalar = field(default=0.0, kw_only=True)
    eps_hat: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "adamw"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "eps_root": NOT_NEGATIVE}
    defaults: ClassVar[dict[str, Any]] = {"eps": 1e-8, "eps_hat": False, "weight_decay": 0.01}
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"eps": 1e-7, "eps_hat": True, "weight_decay": 0.004},
        "optax": {"weight_decay": 1e-4},
    }
