"""Losses, as instances or by name: ``Trainer(net, losses.Huber(delta=0.5), ...)`` or ``(net, "mse", ...)``.

A loss takes what the last layer returns: classification losses take logits, so the output layer stays
linear. The loss of a batch is the weighted mean of its rows, the sum of weight times loss over the sum of the
weights. The loss of a row is the mean over its outputs, but where a class says otherwise.

A Python function of arrays will do, too: see `Custom`, and `check` for its gradient. `L1`, `L2` and `Elastic`
are penalties on the weights of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import _core
from .checks import choice, shown
from .custom_loss import Custom, LossFunction, check
from .errors import DTypeError
from .head_losses import PerHead
from .loss_base import Loss
from .loss_classes import (
    BinaryCrossEntropy,
    BinaryFocal,
    CrossEntropy,
    Focal,
    Hinge,
    KLDivergence,
    SquaredHinge,
)
from .loss_regression import MAE, MSE, Cosine, GaussianNLL, Huber, LogCosh, Poisson, Quantile, SmoothL1
from .penalties import L1, L2, Elastic, Penalty
from .schedules.base import Checked

__all__ = [
    "L1",
    "L2",
    "MAE",
    "MSE",
    "BinaryCrossEntropy",
    "BinaryFocal",
    "Cosine",
    "CrossEntropy",
    "Custom",
    "Elastic",
    "Focal",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "Penalty",
    "PerHead",
    "Poisson",
    "Quantile",
    "SmoothL1",
    "SquaredHinge",
    "check",
    "get",
]

_LOSSES: dict[str, type[Loss]] = {
    item.name: item
    for item in (
        MSE, MAE, Huber, SmoothL1, LogCosh, Quantile, Poisson, GaussianNLL, Cosine, BinaryCrossEntropy, Hinge,
        SquaredHinge, BinaryFocal, CrossEntropy, Focal, KLDivergence,
    )
}  # fmt: skip


def get(value: Loss | str | LossFunction | Mapping[str, Loss | str]) -> Loss:
    """A loss from itself, its name, a function of your own, or a dict with one for each head.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.get("cross_entropy")
    CrossEntropy()
    """
    if isinstance(value, Loss):
        return value
    if isinstance(value, Mapping):
        return PerHead(value)
    if callable(value) and not isinstance(value, type | Checked):
        return Custom(value)
    if not isinstance(value, str):
        raise DTypeError(f"loss: expected a loss, its name or a function, got {shown(value)}")
    return _LOSSES[choice(value, "loss", _core.names("loss"))]()


def named(name: str) -> type[Loss]:
    """The class of a loss's name."""
    return _LOSSES[name]
