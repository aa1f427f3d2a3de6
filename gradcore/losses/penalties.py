"""Penalties on the weights of a layer: ``Dense(64, "relu", penalty=losses.L2(1e-4))``.

A penalty is part of the loss that a trainer reports, in training and in evaluate(), and of its gradient,
before clipping and before the optimizer scales it. Weight decay is neither: that is the optimizer's own.
Biases are not penalised. Nothing is divided by the number of rows.

The weights are those that multiply x. With `weight_norm`, L2 is ``strength * sum(magnitude**2)``; with
`spectral_norm` the largest singular value is part of what is derived. Weight decay is of what is stored, as
PyTorch's is.

A strength may be a schedule, by the number of the training step; evaluate() then counts the strength of the
last step that the network was trained with, before any that of step 0. Full-batch methods refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..schedules.base import Scalar
from ..schedules.scalars import STRENGTH, scalar
from ..validation.checks import compact_repr
from .penalty import Penalty

__all__ = ["Elastic", "L1", "L2"]


def _check(self: Penalty, *names: str) -> None:
    for name in names:
        where = f"{type(self).__name__}: {name}"
        object.__setattr__(self, name, scalar(getattr(self, name), where, STRENGTH))


@dataclass(frozen=True, repr=False)
class L1(Penalty):
    """``strength * sum(|w|)``, Keras's ``L1``; its derivative at 0 is 0.

    Parameters
    ----------
    strength : float or schedule
        From 0 to 1e10.
    """

    strength: Scalar
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        _check(self, "strength")

    def factors(self) -> tuple[Scalar, Scalar]:
        """l1 and l2."""
        return self.strength, 0.0


@dataclass(frozen=True, repr=False)
class L2(Penalty):
    """``strength * sum(w**2)``, without a factor of one half: Keras's ``L2``.

    scikit-learn's ``alpha`` of a batch of n rows is ``strength = alpha / (2 n)``; PyTorch's ``weight_decay``
    of SGD is ``strength = weight_decay / 2``.

    Parameters
    ----------
    strength : float or schedule
        From 0 to 1e10.

    Examples
    --------
    >>> from gradcore import Dense, losses
    >>> Dense(8, "relu", penalty=losses.L2(1e-4))
    Dense(8, 'relu', penalty=L2(0.0001))
    """

    strength: Scalar
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        _check(self, "strength")

    def factors(self) -> tuple[Scalar, Scalar]:
        """l1 and l2."""
        return 0.0, self.strength


@dataclass(frozen=True, repr=False)
class Elastic(Penalty):
    """``l1 * sum(|w|) + l2 * sum(w**2)``, Keras's ``L1L2``.

    Parameters
    ----------
    l1, l2 : float or schedule
        From 0 to 1e10.

    References
    ----------
    Zou and Hastie, "Regularization and Variable Selection via the Elastic Net", JRSS B 67, 2005.
    """

    l1: Scalar
    l2: Scalar
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        _check(self, "l1", "l2")

    def factors(self) -> tuple[Scalar, Scalar]:
        """l1 and l2."""
        return self.l1, self.l2
