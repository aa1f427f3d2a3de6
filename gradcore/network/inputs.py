"""The X of a network: columns put in order by their names, converted, centred, their codes checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, FormatError
from ..validation import frames
from ..validation.arrays import Array, as_dtype, as_table, check_finite, columns_contiguous
from ..validation.frames import Label
from . import scaling
from .compiled import Compiled

CENTRE = "0.centre"  # the tensor of a file


class InputTable(NamedTuple):
    """A checked X in the type that it came in, its columns in the network's order."""

    values: Array
    labels: tuple[Label, ...] | None  # the names that it gives to a network without names


def table(model: Compiled, X: object, name: str, columns: tuple[Label, ...] | None = None) -> InputTable:
    """`X` with its columns in the order of those that `model` knows, or else of `columns`."""
    if type(X) is np.ndarray:
        return InputTable(as_table(X, name, model.inputs), None)
    try:
        given = frames.labels(X)
    except Exception as error:  # an attribute that cannot be read
        raise DTypeError(f"{name}: expected an array of numbers, got a {type(X).__name__}: {error}") from None
    known = model.columns or columns
    order = None
    if given is not None and known is not None:
        order = frames.order_of(known, given, name)
    values = as_table(X, name, model.inputs)
    if given is not None and known is None:
        twice = frames.first_twice(given)
        if twice is not None:
            raise ArgumentError(f"{name}: expected different column names, got {twice!r} twice")
        known = given
    return InputTable(values if order is None else values[:, order], None if given is None else known)


def cast(
    model: Compiled, source: InputTable, name: str, *, finite: bool, centre: NDArray[np.float64] | None
) -> Array:
    """The values as the core of `model` takes them, less the centres of its columns."""
    labels = model.columns or source.labels
    x = model.core.plain(source.values) if centre is None else None
    if x is None:
        if centre is None:
            x = as_dtype(source.values, name, model.dtype)
        else:
            x = scaling.centred(source.values, name, model.dtype, centre)
        x = columns_contiguous(x, name)
    if finite:
        check_finite(x, name, labels)
    for column, cardinality, where in model.tables:
        named = "" if labels is None else f", column {labels[column]!r}"
        codes = _arriving(model, x[:, column], column)
        _check_codes(codes, cardinality, f"{name}[{{}}, {column}]{named}", where)
    return x


def convert(
    model: Compiled, X: object, name: str, *, finite: bool = False, columns: tuple[Label, ...] | None = None
) -> Array:
    """`X` as the core of `model` takes it."""
    return cast(model, table(model, X, name, columns), name, finite=finite, centre=model.centre)


def learn(
    model: Compiled, source: InputTable, rows: NDArray[np.int64] | None, weight: Any
) -> scaling.Scaling:
    """What Standardize takes from these rows; `weight` by head counts as the mean of the heads'."""
    if weight is not None and not isinstance(weight, np.ndarray):
        parts = [np.ones(len(source.values)) if part is None else part for part in weight]
        weight = np.mean(parts, axis=0)
    codes = [column for column, _, _ in model.tables]
    return scaling.learn(source.values, model.dtype, rows, weight, codes)


def centre_from(tensors: Mapping[str, Array], model: Compiled) -> NDArray[np.float64] | None:
    """The centres in a file; None if it has none."""
    centre = tensors.get(CENTRE)
    if centre is None or "0.mean" not in model.index:
        return None
    if centre.shape != (model.inputs,) or centre.dtype != np.float64 or not np.isfinite(centre).all():
        raise FormatError(f"{CENTRE}: expected {model.inputs} finite numbers of float64")
    return centre if centre.any() else None


def _arriving(model: Compiled, codes: Array, column: int) -> Array:
    """What the embedding gets for them: the same, unless somebody gave Standardize numbers for codes."""
    if "0.mean" not in model.index:
        return codes
    mean, scale = model.read("0.mean")[column], model.read("0.inverse_std")[column]
    return codes if mean == 0 and scale == 1 else (codes - mean) * scale


def _check_codes(codes: Array, cardinality: int, place: str, where: str) -> None:
    """Refuse what is no code of an embedding's table."""
    with np.errstate(invalid="ignore"):
        good = (codes >= 0) & (codes < cardinality) & (codes == np.floor(codes))
    if not good.all():
        row = int(np.argmin(good))
        raise ArgumentError(
            f"{place.replace('{}', str(row), 1)}: expected a code from 0 to {cardinality - 1}, a row of the "
            f"table {where} ({cardinality} rows), got {float(codes[row]):.9g}"
        )
