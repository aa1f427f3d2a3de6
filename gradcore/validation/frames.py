"""Tables of other packages, by their columns: pandas, polars and Arrow, none of which is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, MemoryLimitError, ShapeError

__all__ = ["Label", "by_columns", "check_columns", "first_twice", "labels", "listed", "nullable", "order_of"]

Label = str | int


def labels(value: object) -> tuple[Label, ...] | None:
    """The names of a table's columns in order: texts and integers as they are, others as their text.

    None for what has no named columns.
    """
    if isinstance(value, np.ndarray | list | tuple):
        return None
    found = getattr(value, "column_names", None)  # Arrow's: `columns` are its arrays
    if found is None:
        found = getattr(value, "columns", None)
    shape = getattr(value, "shape", None)
    if found is None or isinstance(found, str | bytes) or not isinstance(shape, tuple) or len(shape) != 2:
        return None
    try:
        names = tuple(_label(name) for name in found)
    except TypeError:  # not iterable
        return None
    return names if len(names) == shape[1] else None


def _label(name: object) -> Label:
    if isinstance(name, str):
        return str(name)
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name)
    return str(name)


def are_default(names: Sequence[Label]) -> bool:
    """Whether the names only count the columns, as pandas has them for tables without names."""
    return tuple(names) == tuple(range(len(names)))


def first_twice(names: Sequence[Label]) -> Label | None:
    """The first name that an earlier column has too."""
    seen: set[Label] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def check_columns(names: object, count: int, where: str) -> tuple[Label, ...]:
    """`names` as different texts or integers, one for each of `count` columns."""
    if isinstance(names, str | bytes) or not isinstance(names, Sequence):
        raise DTypeError(f"{where}: expected a sequence of names, got a {type(names).__name__}")
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise DTypeError(f"{where}: expected texts or integers, got a {type(name).__name__}")
    if len(names) != count:
        raise ShapeError(f"{where}: expected {count} names, one for each input, got {len(names)}")
    twice = first_twice(names)
    if twice is not None:
        raise ArgumentError(f"{where}: expected different names, got {twice!r} twice")
    return tuple(names)


def listed(names: Sequence[Label]) -> str:
    """Names for a message, at most ten."""
    return ", ".join(map(repr, names[:10])) + (" ..." if names[10:] else "")


def order_of(known: Sequence[Label], given: Sequence[Label], name: str) -> NDArray[np.intp] | None:
    """Where the columns `known` lie among `given`; None if they are in order, or `given` has no names.

    Raises
    ------
    ArgumentError
        If a column is missing, unknown or there twice.
    """
    if tuple(known) == tuple(given) or are_default(given):
        return None
    if are_default(known) and not any(isinstance(label, int) for label in given):
        return None  # what it was fitted on had no names
    twice = first_twice(given)
    if twice is not None:
        raise ArgumentError(f"{name}: expected different column names, got {twice!r} twice")
    place = {label: index for index, label in enumerate(given)}
    missing = [label for label in known if label not in place]
    known_set = set(known)
    extra = [label for label in given if label not in known_set]
    if missing or extra:
        wrong = f"none named {listed(missing)}" if missing else ""
        more = f"also {listed(extra)}" if extra else ""
        raise ArgumentError(
            f"{name}: expected the columns {listed(known)} that the network was fitted on, in any order, "
            f"got {' and '.join(filter(None, (wrong, more)))}"
        )
    return np.array([place[label] for label in known], np.intp)


def by_columns(table: Any, names: Sequence[Label], name: str) -> NDArray[Any]:
    """A table as a matrix of the narrowest dtype that holds all columns; what is missing is NaN.

    Raises
    ------
    DTypeError
        Naming the first column that does not hold real numbers.
    """
    parts = []
    for index, label in enumerate(names):
        column = _column(table, index, label)
        part = nullable(column)
        if part is None or part.ndim != 1:
            raise DTypeError(
                f"{name}: expected real numbers, got {_kind(column)} in column {label!r}{_advice(column)}"
            )
        parts.append(part)
    if not parts:
        return np.empty((len(table), 0))
    dtype = np.result_type(*(part.dtype for part in parts))
    try:
        matrix = np.empty((len(parts[0]), len(parts)), dtype)
    except MemoryError as error:
        raise MemoryLimitError(f"{name}: {error}") from None
    for index, part in enumerate(parts):
        matrix[:, index] = part
    return matrix


def _column(table: Any, index: int, label: Label) -> Any:
    if hasattr(table, "iloc"):  # pandas
        return table.iloc[:, index]
    if hasattr(table, "get_columns"):  # polars
        return table.get_columns()[index]
    if hasattr(table, "column_names"):  # Arrow
        return table.column(index)
    return table[label]


def nullable(column: Any) -> NDArray[Any] | None:
    """A column of numbers or of yes and no as an array, NaN where a value is missing; None for others."""
    array = np.asarray(column)
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind != "O":
        return None
    if getattr(getattr(column, "dtype", None), "kind", "O") in "biuf" and hasattr(column, "to_numpy"):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if hasattr(column, "type") and len(array):  # Arrow's yes and no with nulls
        if all(item is None or isinstance(item, bool | np.bool_) for item in array.flat):
            return np.array([np.nan if item is None else float(item) for item in array.flat])
    return None


def _kind(column: Any) -> str:
    return f"dtype {getattr(column, 'dtype', getattr(column, 'type', type(column).__name__))}"


def _advice(column: Any) -> str:
    items = np.asarray(column)
    if any(isinstance(item, str) for item in items.flat[:100]):
        return "; turn texts into numbers first, as pandas.get_dummies or gradcore.datasets.Encoding do"
    return "; turn it into numbers first, as astype(float) does" if items.dtype.kind == "O" else ""
