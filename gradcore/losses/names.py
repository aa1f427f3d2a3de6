"""Losses by the core's names."""

from __future__ import annotations

from .. import _core
from ..errors import DTypeError
from ..lazy import by_letters, find
from ..validation.checks import choice, shown
from .base import Loss


def named(name: str) -> type[Loss]:
    """The class of a loss's name."""
    for own in by_letters(__package__, name):
        found = find(__package__, own)
        if getattr(found, "name", None) == name:
            kind: type[Loss] = found
            return kind
    raise KeyError(name)


def one(value: object) -> Loss:
    """A loss from itself or its name, with what it has by default."""
    if isinstance(value, Loss):
        return value
    if not isinstance(value, str):
        raise DTypeError(f"loss: expected a loss, its name or a function, got {shown(value)}")
    return named(choice(value, "loss", _core.names("loss")))()
