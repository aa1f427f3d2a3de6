"""Relatives of Adam: Adamax, NAdam, RAdam, AdaBelief, AdEMAMix, ADOPT, Lion, without a schedule."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import _core
from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, OPEN, POSITIVE, Range, scalar
from ..validation.arrays import Array
from .base import BY_STYLE, FirstOrder
from .plain import Parameters

__all__ = [
    "ADOPT",
    "AdEMAMix",
    "AdaBelief",
    "Adamax",
    "Adan",
    "Lion",
    "NAdam",
    "RAdam",
    "ScheduleFreeAdamW",
    "Yogi",
]


@dataclass(frozen=True, repr=False)
class Adamax(FirstOrder):
    """``u = max(beta2 * u, abs(g) + eps); w -= lr * m_hat / u``: Adam with the greatest norm.

    Parameters
    ----------
    lr : float or Schedule, default 0.002
        > 0. Keras: 0.001.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    eps_inside : bool, default True
        eps in the maximum; False (Keras): added to u where it divides.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", section 7.1, ICLR 2015.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adamax(style="keras").lr
    0.001
    """

    lr: Scalar = BY_STYLE
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    eps_inside: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "adamax"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    defaults: ClassVar[dict[str, Any]] = {"lr": 2e-3, "eps": 1e-8, "eps_inside": True, "decoupled": False}
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"lr": 1e-3, "eps": 1e-7, "eps_inside": False, "decoupled": True},
        "optax": {},
    }


@dataclass(frozen=True, repr=False)
class NAdam(FirstOrder):
    """Adam with Nesterov's look ahead, and a momentum that grows to beta1.

    Parameters
    ----------
    lr : float or Schedule, default 0.002
        > 0. Keras: 0.001.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0. Keras: 1e-7.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    psi : float or Schedule, default 0.004
        >= 0: how fast ``beta1 * (1 - 0.5 * 0.96 ** (psi * t))`` grows. Keras: 1.
    constant_momentum : bool, default False
        beta1 from the start. optax: True.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.NAdam(style="keras").psi
    1.0
    """

    lr: Scalar = BY_STYLE
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = BY_STYLE
    weight_decay: Scalar = 0.0
    psi: Scalar = field(default=BY_STYLE, kw_only=True)
    constant_momentum: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "nadam"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "psi": NOT_NEGATIVE}
    defaults: ClassVar[dict[str, Any]] = {
        "lr": 2e-3,
        "eps": 1e-8,
        "psi": 4e-3,
        "constant_momentum": False,
        "decoupled": False,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"lr": 1e-3, "eps": 1e-7, "psi": 1.0, "decoupled": True},
        "optax": {"constant_momentum": True},
    }


@dataclass(frozen=True, repr=False)
class RAdam(FirstOrder):
    """Adam whose rate is rectified for the variance of early steps; while that is unknown, momentum alone.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; coupled (added to the gradient) unless `decoupled`.
    eps_hat : bool, default True
        eps beside the uncorrected root. optax: False.
    decoupled : bool, default False
        Decay by ``w *= 1 - lr * weight_decay`` instead. Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.RAdam(style="optax").eps_hat
    False
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    eps_hat: bool = field(default=BY_STYLE, kw_only=True)
    decoupled: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "radam"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    defaults: ClassVar[dict[str, Any]] = {"eps_hat": True, "decoupled": False}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"torch": {}, "optax": {"eps_hat": False}}


@dataclass(frozen=True, repr=False)
class AdaBelief(FirstOrder):
    """Adam that divides by how far gradients are from their running mean.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-16
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, unless `decoupled` is False.
    eps_root : float or Schedule, default 1e-16
        >= 0: added to the second moment at every step.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Zhuang, Tang, Ding, Tatikonda, Dvornek, Papademetris and Duncan, "AdaBelief Optimizer", NeurIPS 2020.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.AdaBelief(1e-2)
    AdaBelief(lr=0.01)
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-16
    weight_decay: Scalar = 0.0
    eps_root: Scalar = field(default=1e-16, kw_only=True)
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "adabelief"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "eps_root": NOT_NEGATIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}


@dataclass(frozen=True, repr=False)
class Yogi(FirstOrder):
    """Adam whose second moment moves towards the squared gradient by a step of its size, not of the distance.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0; the paper starts at 0.01.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Decay of the first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-3
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, unless `decoupled` is False.
    initial : float or Schedule, default 1e-6
        >= 0: where both moments start, as optax has it.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Zaheer, Reddi, Sachan, Kale and Kumar, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Yogi(1e-2)
    Yogi(lr=0.01)
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-3
    weight_decay: Scalar = 0.0
    initial: Scalar = field(default=1e-6, kw_only=True)
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "yogi"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "initial": NOT_NEGATIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}


@dataclass(frozen=True, repr=False)
class Adan(FirstOrder):
    """Adam with Nesterov's momentum from the differences of successive gradients.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : three of float or Schedule, default (0.98, 0.92, 0.99)
        Decay of the means of gradients, of their differences and of squares, each in [0, 1); the paper
        has 1 minus these.
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, unless `decoupled` is False.
    eps_root : float or Schedule, default 1e-8
        >= 0: added under the root.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Xie, Zhou, Li, Lin and Yan, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep
    Models", IEEE TPAMI 2024; as optax has it.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adan(1e-2)
    Adan(lr=0.01)
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar, Scalar] = (0.98, 0.92, 0.99)
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    eps_root: Scalar = field(default=1e-8, kw_only=True)
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "adan"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE, "eps_root": NOT_NEGATIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}


@dataclass(frozen=True, repr=False)
class AdEMAMix(FirstOrder):
    """Adam with a second, much slower mean of the gradients: ``m_hat + alpha * m_slow`` above the line.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : three of float or Schedule, default (0.9, 0.999, 0.9999)
        Decay of the fast mean, the second moment and the slow mean, each in [0, 1).
    alpha : float or Schedule, default 5.0
        >= 0; the paper warms it up, as it does the slow mean's beta: give schedules.
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, unless `decoupled` is False.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", ICLR 2025.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.AdEMAMix(alpha=8.0)
    AdEMAMix(alpha=8.0)
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar, Scalar] = (0.9, 0.999, 0.9999)
    alpha: Scalar = 5.0
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "ademamix"
    ranges: ClassVar[dict[str, Range]] = {"alpha": NOT_NEGATIVE, "eps": POSITIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}


@dataclass(frozen=True, repr=False)
class ADOPT(FirstOrder):
    """Adam whose second moment is that of the steps before, which converges with any beta2.

    The first step moves no weight.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.9999)
        Each in [0, 1).
    eps : float or Schedule, default 1e-6
        > 0: the least divisor.
    weight_decay : float or Schedule, default 0.0
        >= 0; decoupled, unless `decoupled` is False.
    nesterov : bool, default False
    clipped : bool, default True
        Normalised gradients within ``(t - 1) ** 0.25`` at step t.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate", NeurIPS 2024.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.ADOPT(clipped=False)
    ADOPT(clipped=False)
    """

    lr: Scalar = 1e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.9999)
    eps: Scalar = 1e-6
    weight_decay: Scalar = 0.0
    nesterov: bool = field(default=False, kw_only=True)
    clipped: bool = field(default=True, kw_only=True)
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "adopt"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}}

    def flags(self) -> int:
        """The core's option bits."""
        return super().flags() | (_core.OPTIMIZER_OPTIONS["momentum"] if self.nesterov else 0)


@dataclass(frozen=True, repr=False)
class Lion(FirstOrder):
    """``w -= lr * sign(beta1 * m + (1 - beta1) * g)``: steps of one size, by the sign of a momentum.

    Parameters
    ----------
    lr : float or Schedule, default 1e-4
        > 0, a tenth of Adam's or less. Keras: 0.001.
    betas : pair of float or Schedule, default (0.9, 0.99)
        Of the direction and of the momentum, each in [0, 1).
    weight_decay : float or Schedule, default 1e-3
        >= 0; decoupled, unless `decoupled` is False. Keras: 0.
    decoupled : bool, default True
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Lion(style="keras").lr
    0.001
    """

    lr: Scalar = BY_STYLE
    betas: tuple[Scalar, Scalar] = (0.9, 0.99)
    weight_decay: Scalar = BY_STYLE
    decoupled: bool = field(default=True, kw_only=True)

    name: ClassVar[str] = "lion"
    defaults: ClassVar[dict[str, Any]] = {"lr": 1e-4, "weight_decay": 1e-3}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"optax": {}, "keras": {"lr": 1e-3, "weight_decay": 0.0}}


@dataclass(frozen=True, repr=False)
class ScheduleFreeAdamW(FirstOrder):
    """AdamW whose average needs no schedule of the learning rate.

    What a Trainer keeps in its network is said at `ScheduleFreeSGD`.

    Parameters
    ----------
    lr : float or Schedule, default 0.0025
        > 0.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Where y lies between z (0) and x (1), in (0, 1); decay of the second moment, in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0.
    weight_decay : float or Schedule, default 0.0
        >= 0; at y, decoupled from the second moment.
    warmup : float or Schedule, default 0.0
        Steps over which lr rises to its value.
    power : float or Schedule, default 0.0
        >= 0: step t has the weight ``t ** power`` in the average.
    lr_power : float or Schedule, default 2.0
        >= 0: times the largest lr so far, to this power. Keras: 0.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled", NeurIPS 2024.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.ScheduleFreeAdamW(warmup=50)
    ScheduleFreeAdamW(warmup=50.0)
    """

    lr: Scalar = 2.5e-3
    betas: tuple[Scalar, Scalar] = (0.9, 0.999)
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    warmup: Scalar = field(default=0.0, kw_only=True)
    power: Scalar = field(default=0.0, kw_only=True)
    lr_power: Scalar = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "schedule_free_adamw"
    ranges: ClassVar[dict[str, Range]] = {
        "eps": POSITIVE,
        "warmup": NOT_NEGATIVE,
        "power": NOT_NEGATIVE,
        "lr_power": NOT_NEGATIVE,
    }
    defaults: ClassVar[dict[str, Any]] = {"lr_power": 2.0}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"facebook": {}, "keras": {"lr_power": 0.0}}

    def __post_init__(self) -> None:
        super().__post_init__()
        scalar(self.betas[0], "ScheduleFreeAdamW: betas[0]", OPEN)

    def averaged(self, params: Parameters) -> dict[Any, Array]:
        """Where to evaluate a model of plain arrays that `update` trains: copies, by position or key.

        A Trainer does this by itself.
        """
        return self._state().averaged(params)
