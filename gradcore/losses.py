"""Losses, as instances or by name: ``Trainer(net, losses.Huber(delta=0.5), ...)`` or ``(net, "mse", ...)``.

A loss takes what the last layer returns: classification losses take logits, so the output layer stays
linear. The loss of a batch is the weighted mean of its rows, the sum of weight times loss over the sum of the
weights. The loss of a row is the mean over its outputs, but where a class says otherwise.

A Python function of arrays will do, too: see `Custom`, and `check` for its gradient. `L1`, `L2` and `Elastic`
are penalties on the weights of a layer.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import _core
from .checks import choice, shown
from .errors import DTypeError
from .lazy import on_demand
from .loss_base import Loss
from .schedules.base import Checked

if TYPE_CHECKING:
    from .custom_loss import Custom, LossFunction, check
    from .head_losses import PerHead
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
    from .penalties import L1, L2, Elastic
    from .penalty import Penalty
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            ".custom_loss": ("Custom", "check"),
            ".head_losses": ("PerHead",),
            ".loss_classes": (
                "BinaryCrossEntropy",
                "BinaryFocal",
                "CrossEntropy",
                "Focal",
                "Hinge",
                "KLDivergence",
                "SquaredHinge",
            ),
            ".loss_regression": (
                "MAE",
                "MSE",
                "Cosine",
                "GaussianNLL",
                "Huber",
                "LogCosh",
                "Poisson",
                "Quantile",
                "SmoothL1",
            ),
            ".penalties": ("L1", "L2", "Elastic"),
            ".penalty": ("Penalty",),
        },
    )

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

_CLASSES = {  # by the core's name
    "mse": "MSE",
    "mae": "MAE",
    "huber": "Huber",
    "smooth_l1": "SmoothL1",
    "log_cosh": "LogCosh",
    "quantile": "Quantile",
    "poisson": "Poisson",
    "gaussian_nll": "GaussianNLL",
    "cosine": "Cosine",
    "binary_cross_entropy": "BinaryCrossEntropy",
    "hinge": "Hinge",
    "squared_hinge": "SquaredHinge",
    "binary_focal": "BinaryFocal",
    "cross_entropy": "CrossEntropy",
    "focal": "Focal",
    "kl_divergence": "KLDivergence",
}


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
        from .head_losses import PerHead

        return PerHead(value)
    if callable(value) and not isinstance(value, type | Checked):
        from .custom_loss import Custom

        return Custom(value)
    if not isinstance(value, str):
        raise DTypeError(f"loss: expected a loss, its name or a function, got {shown(value)}")
    return named(choice(value, "loss", _core.names("loss")))()


def named(name: str) -> type[Loss]:
    """The class of a loss's name."""
    found: type[Loss] = getattr(sys.modules[__name__], _CLASSES[name])
    return found
