"""One array, a list or a dict of arrays as one flat float64 vector, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, MemoryLimitError, ShapeError
from ..validation.arrays import Array, as_array, check_finite
from .points import Vector

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Variables:
    """The structure of `x0`: keys, shapes and types. Arrays of other types than floats become float64."""

    def __init__(self, x0: object) -> None:
        self._kind: type = (
            dict if isinstance(x0, Mapping) else list if isinstance(x0, list | tuple) else Array
        )
        if self._kind is list and not any(isinstance(item, np.ndarray) for item in x0):  # type: ignore[attr-defined]
            self._kind = Array  # a list of numbers
        self._label = "x0"
        parts = {key: as_array(value, name) for key, name, value in self._items(x0)}
        self._shapes = {key: part.shape for key, part in parts.items()}
        self._dtypes = {
            key: part.dtype if part.dtype in _FLOATS else np.dtype(np.float64) for key, part in parts.items()
        }
        if not sum(part.size for part in parts.values()):
            raise ShapeError("x0: expected at least one number, got none")
        try:
            self.start = self.flat(x0, "x0")
        except MemoryError as error:
            raise MemoryLimitError(f"x0: expected arrays that fit in memory: {error}") from None
        for (_, name, _), part in zip(self._items(x0), parts.values(), strict=True):
            check_finite(part, name)
        self.precision = max(float(np.finfo(dtype).eps) for dtype in self._dtypes.values())
        self._plain = all(dtype == np.float64 for dtype in self._dtypes.values())

    def _items(self, value: Any) -> list[tuple[Any, str, Any]]:
        """Key, name in messages and array of every part."""
        if self._kind is dict:
            return [(key, f"{self._label}[{key!r}]", part) for key, part in value.items()]
        if self._kind is list:
            return [(index, f"{self._label}[{index}]", part) for index, part in enumerate(value)]
        return [(0, self._label, value)]

    def flat(self, value: object, name: str) -> Vector:
        """A new vector from a value of this structure; NaN and infinities pass."""
        return np.concatenate(self._pieces(value, name, ()))

    def flat_rows(self, value: object, name: str, rows: int) -> Vector:
        """A new matrix, a row for each of the first axis of the parts: (rows, *shape) each."""
        pieces = self._pieces(value, name, (rows,))
        return np.ascontiguousarray(np.concatenate([piece.reshape(rows, -1) for piece in pieces], axis=1))

    def _pieces(self, value: object, name: str, lead: tuple[int, ...]) -> list[Vector]:
        self._label = name
        if self._kind is dict and not isinstance(value, Mapping):
            raise DTypeError(f"{name}: expected a dict as x0 is, got a {type(value).__name__}")
        if self._kind is list and not isinstance(value, list | tuple):
            raise DTypeError(f"{name}: expected a list as x0 is, got a {type(value).__name__}")
        items = {key: (label, part) for key, label, part in self._items(value)}
        if items.keys() != self._shapes.keys():
            raise ArgumentError(f"{name}: expected the parts {list(self._shapes)}, got {list(items)}")
        pieces = []
        for key, shape in self._shapes.items():
            label, part = items[key]
            array = as_array(part, label)
            if array.shape != lead + shape:
                raise ShapeError(f"{label}: expected shape {lead + shape} as in x0, got {array.shape}")
            pieces.append(np.asarray(array, np.float64).reshape(-1))
        return pieces

    def structured(self, flat: Vector) -> Any:
        """New arrays of the structure's shapes and types."""
        parts: dict[Any, Array] = {}
        start = 0
        with np.errstate(over="ignore"):
            for key, shape in self._shapes.items():
                end = start + int(np.prod(shape))
                parts[key] = flat[start:end].astype(self._dtypes[key]).reshape(shape)
                start = end
        if self._kind is dict:
            return parts
        return list(parts.values()) if self._kind is list else parts[0]

    def rounded(self, flat: Vector) -> Vector:
        """The nearest vector that the parts' types can hold, as a new array."""
        return flat.copy() if self._plain else self.flat(self.structured(flat), "x")
