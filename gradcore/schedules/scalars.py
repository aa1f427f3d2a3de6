"""A number or a schedule, within a range: what every scalar hyperparameter accepts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..validation.checks import number, shown
from .base import Scalar

# Columns: OWN is the first of the optimizer's own, AVERAGE of those of averages around it.
LR, WEIGHT_DECAY, CLIP, OWN, AVERAGE = _core.LR, _core.WEIGHT_DECAY, _core.CLIP, _core.OWN, _core.AVERAGE


@dataclass(frozen=True)
class Range:
    """Legal values of a hyperparameter, as a test and as words."""

    text: str
    contains: Callable[[float], bool]


POSITIVE = Range("> 0", lambda x: 0.0 < x < math.inf)
NOT_NEGATIVE = Range(">= 0", lambda x: 0.0 <= x < math.inf)
SHARE = Range("in [0, 1)", lambda x: 0.0 <= x < 1.0)
UNIT = Range("in [0, 1]", lambda x: 0.0 <= x <= 1.0)
DEVIATION = Range("from 0 to 1e30", lambda x: 0.0 <= x <= 1e30)
STRENGTH = Range("from 0 to 1e10", lambda x: 0.0 <= x <= 1e10)
PERCENT = Range("in [0, 100]", lambda x: 0.0 <= x <= 100.0)
OPEN = Range("in (0, 1)", lambda x: 0.0 < x < 1.0)


@dataclass(frozen=True)
class Column:
    """One hyperparameter: its column, its name in messages, its value, and what a schedule may return."""

    index: int
    name: str
    value: Scalar
    scheduled: Range


def scalar(value: Scalar, name: str, range_: Range) -> Scalar:
    """A number within the range as a float, or a callable as it is."""
    if callable(value):
        return value
    try:
        result = number(value, name)
    except DTypeError:
        raise DTypeError(f"{name}: expected a number or a schedule, got {shown(value)}") from None
    if not range_.contains(result):
        raise ArgumentError(f"{name}: expected a number {range_.text}, got {result}")
    return result
