"""Array-likes of users into arrays that the core takes.

Taken: nested lists, NumPy arrays of any real dtype, stride and byte order, read-only or memory-mapped ones,
pandas frames, and whatever else `numpy.asarray` understands. An array that already has the right dtype
and contiguous columns is passed on without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, GradcoreError, MemoryLimitError, ShapeError
from . import frames

Array = NDArray[Any]

_CHUNK = 1 << 20  # elements looked at in one go, so that a check of a large array needs little memory


def as_array(value: object, name: str) -> Array:
    """Any array-like of real numbers as an ndarray of a bool, integer or float dtype."""
    if type(value) is np.ndarray:
        array: Array = value
    else:
        if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):
            raise ArgumentError(f"{name}: expected no masked values; fill them first, as in {name}.filled(0)")
        array = _converted(value, name)
    if array.dtype.kind not in "biuf":
        got = f"dtype {array.dtype}" if array.ndim else _brief(value)
        raise DTypeError(f"{name}: expected real numbers, got {got}{_hint(value, array, name)}")
    return array


def _converted(value: object, name: str) -> Array:
    try:
        array: Array = np.asarray(value)
        if array.dtype.kind != "O":
            return array
        columns = frames.labels(value)
        if columns is not None:
            return frames.by_columns(value, columns, name)
        column = frames.nullable(value) if hasattr(value, "dtype") and type(value) is not np.ndarray else None
        return array if column is None else column
    except GradcoreError:
        raise
    except MemoryError as error:
        raise _no_memory(name, error) from None
    except ValueError as error:
        raise ShapeError(f"{name}: expected a rectangular array, got {_brief(value)}: {error}") from None
    except Exception as error:
        raise DTypeError(f"{name}: expected an array of numbers, got {_brief(value)}: {error}") from None


def _no_memory(name: str, error: MemoryError) -> MemoryLimitError:
    return MemoryLimitError(f"{name}: expected an array that fits in memory: {error}")


def _hint(value: object, array: Array, name: str) -> str:
    """What to do about an array-like that holds no real numbers; empty where nothing simple helps."""
    if hasattr(value, "toarray"):
        return f"; use {name}.toarray() for a sparse matrix"
    if isinstance(value, Iterator):
        return f"; use list({name})"
    text = array.dtype.kind in "USO" and any(isinstance(item, str | bytes) for item in array.flat[:100])
    if text and array.ndim == 1:
        return f"; for labels that are texts, use classes, {name} = numpy.unique({name}, return_inverse=True)"
    if text:
        return "; turn texts into numbers first, as gradcore.datasets.Encoding does"
    return f"; use {name}.astype(float)" if array.ndim and array.dtype.kind == "O" else ""


def as_dtype(array: Array, name: str, dtype: np.dtype[Any]) -> Array:
    """`array` in native `dtype`; a finite value that overflows there is refused with its position."""
    if array.dtype == dtype:
        return array
    try:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            result = array.astype(dtype)
    except MemoryError as error:
        raise _no_memory(name, error) from None
    if array.dtype.kind == "f" and array.dtype.itemsize > dtype.itemsize:
        _refuse(array, result, name, dtype)
    return result


def as_matrix(
    value: object, name: str, dtype: np.dtype[Any], columns: int | None = None, *, finite: bool = False
) -> Array:
    """`value` as (rows, columns) of `dtype` with contiguous columns, rows >= 1.

    With `finite`, NaN and infinities are refused with their position.
    """
    array = columns_contiguous(as_dtype(as_table(value, name, columns), name, dtype), name)
    if finite:
        check_finite(array, name)
    return array


def as_table(value: object, name: str, columns: int | None = None) -> Array:
    """`value` as (rows, columns) of the real dtype that it has, rows >= 1."""
    array = as_array(value, name)
    if array.ndim == 1:
        raise ShapeError(
            f"{name}: expected shape (rows, {columns or 'columns'}), got {array.shape}; "
            f"use {name}.reshape(1, -1) for one row or {name}.reshape(-1, 1) for one column"
        )
    if array.ndim != 2 or (columns is not None and array.shape[1] != columns):
        raise ShapeError(f"{name}: expected shape (rows, {columns or 'columns'}), got {array.shape}")
    if array.size == 0:
        raise ShapeError(f"{name}: expected at least one row and one column, got shape {array.shape}")
    return array


def as_weights(value: object, name: str, rows: int) -> NDArray[np.float64]:
    """Row weights: (rows,) float64, finite, none negative, not all zero."""
    array = as_array(value, name)
    if array.shape != (rows,):
        raise ShapeError(f"{name}: expected shape ({rows},), got {array.shape}")
    try:
        weights = np.require(as_dtype(array, name, np.dtype(np.float64)), requirements=["C", "A"])
    except MemoryError as error:
        raise _no_memory(name, error) from None
    check_finite(weights, name)
    lowest = int(np.argmin(weights))
    if weights[lowest] < 0:
        raise ArgumentError(f"{name}: expected values >= 0, got {weights[lowest]} at [{lowest}]")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not 0 < total < np.inf:
        raise ArgumentError(f"{name}: expected a positive, finite sum, got {total}")
    return weights


def columns_contiguous(array: Array, name: str = "array") -> Array:
    """`array` itself where the core can read it, else a contiguous copy."""
    item = array.itemsize
    if array.flags.aligned and (
        array.flags.c_contiguous
        or (
            array.strides[1] == item
            and array.strides[0] % item == 0
            and array.strides[0] >= array.shape[1] * item
        )
    ):
        return array
    try:
        return np.array(array, order="C")
    except MemoryError as error:
        raise _no_memory(name, error) from None


def check_finite(array: Array, name: str, columns: Sequence[frames.Label] | None = None) -> None:
    """Refuse NaN and infinities, naming the first one's position, and its column if columns have names."""
    if array.dtype.kind != "f" or _core.all_finite(array):
        return
    for start, part in _chunks(array):
        good = np.isfinite(part)
        if not good.all():
            where = np.argwhere(~good)[0]
            place = _position(start, where)
            if columns is not None:
                place += f", column {columns[where[1]]!r}"
            raise ArgumentError(f"{name}: expected finite values, got {part[tuple(where)]} at {place}")


def _refuse(source: Array, result: Array, name: str, dtype: np.dtype[Any]) -> None:
    for (start, part), (_, cast) in zip(_chunks(source), _chunks(result), strict=True):
        bad = np.isinf(cast)
        if bad.any() and (bad := bad & np.isfinite(part)).any():
            where = np.argwhere(bad)[0]
            raise ArgumentError(
                f"{name}: expected values that {dtype} can hold, got {part[tuple(where)]} "
                f"at {_position(start, where)}"
            )


def _chunks(array: Array) -> list[tuple[int, Array]]:
    if array.ndim == 0:
        return [(0, array)]
    rows = max(1, _CHUNK // max(1, array.size // max(1, len(array))))
    return [(start, array[start : start + rows]) for start in range(0, len(array), rows)]


def _position(start: int, where: Array) -> str:
    index = [int(i) for i in where]
    if index:
        index[0] += start
    return f"[{', '.join(map(str, index))}]"


def _brief(value: object) -> str:
    return f"a {type(value).__name__}"
