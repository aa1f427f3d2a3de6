"""Rules that bound the gradient before the update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .checks import compact_repr
from .hypers import CLIP, POSITIVE, Column, scalar
from .schedules import Scalar

__all__ = ["ByValue", "Clip", "GlobalNorm"]


class Clip:
    """Base of the clipping rules."""

    name: ClassVar[str]

    def column(self) -> Column:
        """The limit as a hyperparameter."""
        raise NotImplementedError


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
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", scalar(self.limit, "ByValue: limit", POSITIVE))

    def column(self) -> Column:
        """The limit as a hyperparameter."""
        return Column(CLIP, "clip.limit", self.limit, POSITIVE)


@dataclass(frozen=True, repr=False)
class GlobalNorm(Clip):
    """Scale the whole gradient by ``max_norm / norm`` where its 2-norm over all parameters is larger.

    A gradient within the limit is left as it is, bit for bit; there is no epsilon (the rule of optax, not of
    PyTorch).

    Parameters
    ----------
    max_norm : float or Schedule
        > 0.

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
    name: ClassVar[str] = "global_norm"
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_norm", scalar(self.max_norm, "GlobalNorm: max_norm", POSITIVE))

    def column(self) -> Column:
        """The limit as a hyperparameter."""
        return Column(CLIP, "clip.max_norm", self.max_norm, POSITIVE)
