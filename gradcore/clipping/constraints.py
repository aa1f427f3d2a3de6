"""Rules on the weights after the update. Vectors (biases, gammas) are left alone unless a rule says so.

The weights are those that multiply x: with `weight_norm` the rules hold for
``weight * magnitude / |weight|``, the norms of which are magnitudes. With `spectral_norm` only `NonNegative`
can be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ArgumentError
from ..validation.checks import flag, number
from .base import Constraint, Parameters, apart_from, layers

__all__ = ["Box", "MaxNorm", "NonNegative", "UnitNorm"]


def _positive(value: object, name: str) -> float:
    result = number(value, name)
    if not result > 0:
        raise ArgumentError(f"{name}: expected a number > 0, got {result}")
    return result


class _Weights(Constraint):
    """What the constraints share: layers to skip, and whether biases are meant too."""

    skip: tuple[str, ...]
    of_signs: ClassVar[bool] = False  # it holds for a weight if it does for any positive multiple of it

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "skip", layers(self.skip, f"{name}: skip"))
        if hasattr(self, "biases"):
            object.__setattr__(self, "biases", flag(self.biases, f"{name}: biases"))

    def applies(self, to: Parameters) -> list[bool]:
        """Whether it does, for each parameter of a network."""

        def meant(info: Any) -> bool:
            biases = getattr(self, "biases", False) and info["role"] == "bias"
            return bool(info["role"] == "weight" or biases)

        result = apart_from(self.skip, to, f"{type(self).__name__}: skip", meant)
        if not self.of_signs:
            self._check_free(to, result)
        return result

    def _check_free(self, to: Parameters, applies: list[bool]) -> None:
        for info, one in zip(to.infos, applies, strict=True):
            position = info["name"].rpartition(".")[0]
            if one and info["role"] == "weight" and getattr(to.places[position], "spectral_norm", False):
                raise ArgumentError(
                    f"constraint: expected layers without spectral_norm for {self!r}, since no stored weight "
                    f"gives what it asks for and a largest singular value of 1, got layers[{position}]; "
                    f"skip=[{position!r}] leaves that alone"
                )


@dataclass(frozen=True, repr=False)
class Box(_Weights):
    """Clamp every weight to [low, high]: weight clipping.

    Parameters
    ----------
    low, high : float
        low <= high.
    biases : bool, default False
        Biases too.
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    References
    ----------
    Arjovsky, Chintala and Bottou, "Wasserstein Generative Adversarial Networks", ICML 2017.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.Box(-0.01, 0.01)
    Box(-0.01, 0.01)
    """

    low: float
    high: float
    biases: bool = False
    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "box"
    bounded: ClassVar[str] = "high"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("low", "high"):
            object.__setattr__(self, key, number(getattr(self, key), f"Box: {key}"))
        if self.low > self.high:
            raise ArgumentError(f"Box: high: expected a number >= low = {self.low}, got {self.high}")

    def other(self) -> float:
        """The lower end."""
        return self.low


@dataclass(frozen=True, repr=False)
class NonNegative(_Weights):
    """Weights below 0 become 0.

    Parameters
    ----------
    biases : bool, default False
        Biases too.
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.NonNegative()
    NonNegative()
    """

    biases: bool = False
    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "box"
    of_signs: ClassVar[bool] = True

    def bound(self) -> float:
        """No upper end."""
        return float("inf")


@dataclass(frozen=True, repr=False)
class MaxNorm(_Weights):
    """Scale the incoming weights of an output to a 2-norm of at most `max_norm`.

    Keras' MaxNorm with its default axis 0, without its epsilon.

    Parameters
    ----------
    max_norm : float
        > 0.
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 2014.

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.MaxNorm(3.0)
    MaxNorm(3.0)
    """

    max_norm: float
    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "max_norm"
    bounded: ClassVar[str] = "max_norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "max_norm", _positive(self.max_norm, "MaxNorm: max_norm"))


@dataclass(frozen=True, repr=False)
class UnitNorm(_Weights):
    """Scale the incoming weights of every output to the 2-norm `norm`; weights that are all 0 stay.

    Parameters
    ----------
    norm : float, default 1.0
        In (0, 1e10].
    skip : list of str, default ()
        Layers that it leaves alone, by position: "2" or "2.1".

    Examples
    --------
    >>> from gradcore import clipping
    >>> clipping.UnitNorm()
    UnitNorm()
    """

    norm: float = 1.0
    skip: tuple[str, ...] = ()
    name: ClassVar[str] = "unit_norm"
    bounded: ClassVar[str] = "norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "norm", _positive(self.norm, "UnitNorm: norm"))
        if self.norm > 1e10:
            raise ArgumentError(f"UnitNorm: norm: expected a number <= 1e10, got {self.norm}")
