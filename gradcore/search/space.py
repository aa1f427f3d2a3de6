"""What a search may choose from: one class for each kind of range, drawn from seed, trial and name alone."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..validation.checks import Abstract, compact_repr, integer, number, shown

__all__ = ["Choice", "Integer", "LogUniform", "Uniform"]


class Range(Abstract):
    """Base of the ranges."""

    abstract: ClassVar[bool] = True

    def at(self, share: float) -> Any:
        """The value for a number in [0, 1)."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Uniform(Range):
    """A number in [low, high).

    Parameters
    ----------
    low, high : float
        low < high.
    """

    low: float
    high: float
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        name = type(self).__name__
        for key in ("low", "high"):
            object.__setattr__(self, key, number(getattr(self, key), f"{name}: {key}"))
        if not self.low < self.high:
            raise ArgumentError(f"{name}: high: expected a number > low = {self.low}, got {self.high}")

    def at(self, share: float) -> float:
        """The value for a number in [0, 1)."""
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True, repr=False)
class LogUniform(Uniform):
    """A number in [low, high), every decade as likely as another.

    Parameters
    ----------
    low, high : float
        0 < low < high.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low > 0:
            raise ArgumentError(f"LogUniform: low: expected a number > 0, got {self.low}")

    def at(self, share: float) -> float:
        """The value for a number in [0, 1)."""
        return self.low * math.exp(math.log(self.high / self.low) * share)


@dataclass(frozen=True, repr=False)
class Integer(Range):
    """A whole number from low to high, both included.

    Parameters
    ----------
    low, high : int
        low <= high.
    """

    low: int
    high: int
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        for key in ("low", "high"):
            value = integer(getattr(self, key), f"Integer: {key}", -(2**53), 2**53)
            object.__setattr__(self, key, value)
        if self.low > self.high:
            raise ArgumentError(
                f"Integer: high: expected a whole number >= low = {self.low}, got {self.high}"
            )

    def at(self, share: float) -> int:
        """The value for a number in [0, 1)."""
        return self.low + int(share * (self.high - self.low + 1))


@dataclass(frozen=True, repr=False)
class Choice(Range):
    """One of some values of any kind.

    Parameters
    ----------
    values : list
        At least one.
    """

    values: tuple[Any, ...]
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        if not isinstance(self.values, list | tuple):
            raise DTypeError(f"Choice: values: expected a list, got {shown(self.values)}")
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise ArgumentError("Choice: values: expected at least one, got none")

    def at(self, share: float) -> Any:
        """The value for a number in [0, 1)."""
        return self.values[int(share * len(self.values))]


def check_space(space: object) -> dict[str, Any]:
    """A space as a dict; a value that is no range stands for itself."""
    if not isinstance(space, Mapping) or not space:
        raise DTypeError(f"space: expected a dict of names to ranges, not empty, got {shown(space)}")
    for name in space:
        if not isinstance(name, str):
            raise DTypeError(f"space: expected names that are strings, got {shown(name)}")
    return dict(space)


def draw(space: Mapping[str, Any], seed: int, trial: int) -> dict[str, Any]:
    """The configuration of a trial. A name's values do not depend on which other names there are."""
    return {
        name: of.at(_share(name, seed, trial)) if isinstance(of, Range) else of for name, of in space.items()
    }


def _share(name: str, seed: int, trial: int) -> float:
    key = (seed ^ zlib.crc32(name.encode()) * 0x9E3779B97F4A7C15) % 2**64
    return float(_core.fill("uniform", key, trial, 1, 1, 0.0, 1.0).item())
