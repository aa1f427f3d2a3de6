"""Dicts with an entry for each head of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from .arrays import Array, as_matrix

Places = Sequence[tuple[str, int, int]]  # name, first column and columns of each head


def is_pair(value: object) -> bool:
    """A name and what belongs to it?"""
    return isinstance(value, tuple | list) and len(value) == 2


def by_head(value: object, names: Sequence[str], what: str, *, some: bool = False) -> dict[str, Any]:
    """`value`, a dict with an entry for each head, in the order of `names`; with `some`, entries may lack."""
    listed = ", ".join(names)
    if not isinstance(value, Mapping):
        raise DTypeError(f"{what}: expected a dict with the heads {listed}, got a {type(value).__name__}")
    if value.keys() - set(names) or (not some and len(value) != len(names)):
        got = ", ".join(map(str, value)) or "none"
        raise ArgumentError(f"{what}: expected {'some of ' if some else ''}the heads {listed}, got {got}")
    return {name: value[name] for name in names if name in value}


def split(y: Array, places: Places) -> dict[str, Array]:
    """The columns of each head, copied."""
    return {name: np.ascontiguousarray(y[:, first : first + width]) for name, first, width in places}


def joined(value: object, places: Places, dtype: np.dtype[Any], what: str) -> Array:
    """The heads' matrices side by side."""
    given = by_head(value, [name for name, _, _ in places], what)
    parts = [as_matrix(given[name], f"{what}[{name!r}]", dtype, width) for name, _, width in places]
    for (name, _, _), part in zip(places, parts, strict=True):
        if len(part) != len(parts[0]):
            expected = f"expected {len(parts[0])} rows, as {places[0][0]} has"
            raise ShapeError(f"{what}[{name!r}]: {expected}, got {len(part)}")
    return np.concatenate(parts, axis=1)
