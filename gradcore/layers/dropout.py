"""Layers that draw random numbers in training: dropout and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..schedules.base import Scalar
from ..schedules.scalars import DEVIATION, SHARE, Range, scalar
from ..validation.checks import compact_repr
from ..validation.intervals import Interval

if TYPE_CHECKING:
    from .._core import LayerSpec
from .base import Layer

__all__ = ["AlphaDropout", "Dropout", "GaussianNoise"]


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, zero each value with probability `rate` and scale the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    rate : float or schedule
        In [0, 1). A schedule says the rate of every training step, by its number.

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> from gradcore import Dropout, schedules
    >>> Dropout(schedules.Linear(0.5, 0.1, steps=1000))
    Dropout(Linear(0.5, 0.1, 1000))
    """

    rate: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", scalar(self.rate, "Dropout: rate", SHARE))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "rate", self.rate, SHARE

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "dropout"} | _rate_spec("rate", self.rate)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


@dataclass(frozen=True, repr=False)
class AlphaDropout(Layer):
    """Dropout for networks of selu: what is dropped becomes the limit of selu at minus infinity, and a linear
    function restores mean 0 and variance 1. Only in training.

    With the limit -1.7581 and ``a = ((1 - rate) (1 + rate limit^2))^(-1/2)``, a value becomes
    ``a x - a limit rate``, or ``a limit - a limit rate`` with probability `rate`: PyTorch's formula.

    Parameters
    ----------
    rate : float or schedule
        In [0, 1).

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NeurIPS 2017.
    """

    rate: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", scalar(self.rate, "AlphaDropout: rate", SHARE))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "rate", self.rate, SHARE

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "alpha_dropout"} | _rate_spec("rate", self.rate)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


@dataclass(frozen=True, repr=False)
class GaussianNoise(Layer):
    """In training, add normal noise with mean 0 to every value.

    The noise depends on the seed, the step, the layer and the element alone, like the masks of Dropout.

    Parameters
    ----------
    std : float or schedule
        Standard deviation of the noise, at least 0.
    """

    std: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", scalar(self.std, "GaussianNoise: std", DEVIATION))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "std", self.std, DEVIATION

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "gaussian_noise"} | _rate_spec("std", self.std)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


def _rate_spec(key: Literal["rate", "std"], value: Scalar) -> LayerSpec:
    """A number as it is; the core hears a schedule's values step by step."""
    if callable(value):
        return {"scheduled": True}
    return {"rate": value} if key == "rate" else {"std": value}
