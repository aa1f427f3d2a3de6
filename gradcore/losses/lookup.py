"""Losses from what a Trainer is given: themselves, their names, functions, dicts by head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..schedules.base import Checked
from .base import Loss
from .names import one

if TYPE_CHECKING:
    from .custom import LossFunction

__all__ = ["get"]


def get(value: Loss | str | LossFunction | Mapping[str, Loss | str]) -> Loss:
    """A loss from itself, its name, a function of your own, or a dict with one for each head.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.get("cross_entropy")
    CrossEntropy()
    """
    if isinstance(value, Mapping):
        from .per_head import PerHead

        return PerHead(value)
    if callable(value) and not isinstance(value, Loss | type | Checked):
        from .custom import Custom

        return Custom(value)
    return one(value)
