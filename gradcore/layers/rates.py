"""Rates of layers that differ from step to step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Layer
from ..schedules.scalars import Column


def rates_of(layers: Iterable[tuple[str, Layer]]) -> list[Column]:
    """The columns of the layers whose rate is a schedule, in the order in which the core counts them."""
    found: list[Column] = []
    for position, layer in layers:
        name, value, range_ = layer.rate_of_a_step()
        if callable(value):
            found.append(Column(len(found), f"layers[{position}]: {name}", value, range_))
    return found
