"""The X of a network: columns put in order by their names, converted, centred, their codes checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, FormatError, ShapeError
from ..validation import frames
from ..validation.arrays import Array, as_dtype, as_table, check_finite, columns_contiguous
from ..validation.frames import Label
from . import scaling

if TYPE_CHECKING:
    from .network import Network

CENTRE = "0.centre"  # the tensor of a file


class InputTable(NamedTuple):
    """A checked X in the type that it came in, its columns in the network's order."""

    values: Array
    labels: tuple[Label, ...] | None  # the names that it gives to a network without names


def check_columns(names: object, count: int, where: str) -> tuple[Label, ...]:
    """`names` as different texts or integers, one for each of `count` columns."""
    if isinstance(names, str | bytes) or not isinstance(names, Sequence):
        raise DTypeError(f"{where}: expected a sequence of names, got a {type(names).__name__}")
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise DTypeError(f"{where}: expected texts or integers, got a {type(name).__name__}")
    if len(names) != count:
        raise ShapeError(f"{where}: expected {count} names, one for each input, got {len(names)}")
    twice = frames.first_twice(names)
    if twice is not None:
        raise ArgumentError(f"{where}: expected different names, got {twice!r} twice")
    return tuple(names)


def table(net: Network, X: object, name: str, columns: tuple[Label, ...] | None = None) -> InputTable:
    """`X` with its columns in the order of those that `net` knows, or else of `columns`."""
    if type(X) is np.ndarray:
        return InputTable(as_table(X, name, net.inputs), None)
    try:
        given = frames.labels(X)
    except Exception as error:  # an attribute that cannot be read
        raise DTypeError(f"{name}: expected an array of numbers, got a {type(X).__name__}: {error}") from None
    known = net._columns or columns
    order = None
    if given is not None and known is not None:
        order = frames.order_of(known, given, name)
    values = as_table(X, name, net.inputs)
    if given is not None and known is None:
        twice = frames.first_twice(given)
        if twice is not None:
            raise ArgumentError(f"{name}: expected different column names, got {twice!r} twice")
        known = given
    return InputTable(values if order is None else values[:, order], None if given is None else known)


def cast(
    net: Network, source: InputTable, name: str, *, finite: bool, centre: NDArray[np.float64] | None
) -> Array:
    """The values as the core of `net` takes them, less the centres of its columns."""
    labels = net._columns or source.labels
    x = net._core.plain(source.values) if centre is None else None
    if x is None:
        if centre is None:
            x = as_dtype(source.values, name, net.dtype)
        else:
            x = scaling.centred(source.values, name, net.dtype, centre)
        x = columns_contiguous(x, name)
    if finite:
        check_finite(x, name, labels)
    for column, cardinality, where in net._tables:
        named = "" if labels is None else f", column {labels[column]!r}"
        codes = _arriving(net, x[:, column], column)
        _check_codes(codes, cardinality, f"{name}[{{}}, {column}]{named}", where)
    return x


def convert(
    net: Network, X: object, name: str, *, finite: bool = False, columns: tuple[Label, ...] | None = None
) -> Array:
    """`X` as the core of `net` takes it."""
    return cast(net, table(net, X, name, columns), name, finite=finite, centre=net._centre)


def learn(net: Network, source: InputTable, rows: NDArray[np.int64] | None, weight: Any) -> scaling.Scaling:
    """What Standardize takes from these rows; `weight` by head counts as the mean of the heads'."""
    if weight is not None and not isinstance(weight, np.ndarray):
        parts = [np.ones(len(source.values)) if part is None else part for part in weight]
        weight = np.mean(parts, axis=0)
    codes = [column for column, _, _ in net._tables]
    return scaling.learn(source.values, net.dtype, rows, weight, codes)


def centre_from(tensors: Mapping[str, Array], net: Network) -> NDArray[np.float64] | None:
    """The centres in a file; None if it has none."""
    centre = tensors.get(CENTRE)
    if centre is None or "0.mean" not in net._index:
        return None
    if centre.shape != (net.inputs,) or centre.dtype != np.float64 or not np.isfinite(centre).all():
        raise FormatError(f"{CENTRE}: expected {net.inputs} finite numbers of float64")
    return centre if centre.any() else None


def _arriving(net: Network, codes: Array, column: int) -> Array:
    """What the embedding gets for them: the same, unless somebody gave Standardize numbers for codes."""
    if "0.mean" not in net._index:
        return codes
    mean, scale = net._read("0.mean")[column], net._read("0.inverse_std")[column]
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
