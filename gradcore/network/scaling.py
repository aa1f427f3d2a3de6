"""What `Standardize` takes from training rows: a mean and an inverse deviation for every column.

Statistics are made in float64 from the values as they were given. A column whose values lie close together
and far from zero, such as a time in seconds since 1970, would lose its digits if it were rounded to float32
first; for such a column the mean is taken off in float64, and only the difference is rounded. It is called
the column's centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..validation.arrays import Array, as_dtype

_CHUNK = 1 << 20  # elements looked at in one go
_FAR = 16.0  # deviations from zero; of a mean farther off, rounding the values costs more than 1e-6 of one
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Scaling:
    """Mean and inverse deviation of every column, and the centres of those that need one."""

    mean: NDArray[np.float64]
    inverse_std: NDArray[np.float64]
    centre: NDArray[np.float64] | None = None  # 0: the column has none


def learn(
    values: Array,
    dtype: np.dtype[Any],
    rows: NDArray[np.int64] | None = None,
    weight: NDArray[np.float64] | None = None,
    codes: Sequence[int] = (),
) -> Scaling:
    """The scaling of finite `values` (rows, columns) for a network of `dtype`.

    Parameters
    ----------
    values : ndarray
        Of any real dtype, as they were given.
    dtype : dtype
        Of the network.
    rows : ndarray of int, optional
        Those that count. Default: all.
    weight : ndarray (rows,), optional
        Of the values' rows. Rows with weight 0 do not count at all.
    codes : sequence of int
        Columns that stay as they are.
    """
    narrow = as_dtype(values, "X", dtype)
    mean, inverse, usable = _statistics(narrow, dtype, rows, weight)
    centre = np.zeros(len(mean))
    if values.dtype != dtype and np.result_type(values.dtype, dtype) != dtype:
        far = ~usable | (np.abs(mean) * inverse > _FAR)
        far[list(codes)] = False
        at = np.flatnonzero(far)
        if len(at):
            mean[at], inverse[at], good = _statistics(values[:, at], dtype, rows, weight)
            centre[at] = np.where(good, mean[at], 0.0)
    mean[list(codes)], inverse[list(codes)] = 0.0, 1.0
    return Scaling(mean, inverse, centre if centre.any() else None)


def centres(mean: NDArray[np.float64], inverse_std: NDArray[np.float64]) -> NDArray[np.float64]:
    """The centres for means and inverse deviations that are known; 0 where rounding does no harm."""
    return np.where(np.abs(mean) * inverse_std > _FAR, mean, 0.0)


def centred(values: Array, name: str, dtype: np.dtype[Any], centre: NDArray[np.float64]) -> Array:
    """`values` in `dtype`, less the centres; the difference is made in float64 and rounded once."""
    result = as_dtype(values, name, dtype)
    if result is values:
        result = result.copy()
    for column in np.flatnonzero(centre):
        with np.errstate(over="ignore", invalid="ignore"):
            difference = values[:, column].astype(np.float64) - centre[column]
            result[:, column] = difference
        lost = np.isinf(result[:, column]) & np.isfinite(difference)
        if lost.any():
            row = int(np.argmax(lost))
            raise ArgumentError(
                f"{name}: expected values that {dtype} can hold, got {values[row, column]} "
                f"at [{row}, {column}]"
            )
    return result


def _statistics(
    x: Array, dtype: np.dtype[Any], rows: NDArray[np.int64] | None, weight: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Mean and 1 / deviation of every column by two passes in float64, and where the latter is of use.

    It is 1 where it is of none: in columns that are constant, or constant but for rounding, and where it
    would not be finite.
    """
    if weight is not None:
        counted = np.flatnonzero(weight > 0) if rows is None else rows[weight[rows] > 0]
        rows, weight = counted, weight[counted] / weight[counted].max()
    columns = x.shape[1]
    count = len(x) if rows is None else len(rows)
    mass = float(count) if weight is None else float(weight.sum())
    step = max(1, _CHUNK // max(1, columns))

    def parts() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
        for start in range(0, count, step):
            at = slice(start, start + step)
            part = (x[at] if rows is None else x[rows[at]]).astype(np.float64)
            yield part, None if weight is None else weight[at, None]

    total, low, high = np.zeros(columns), np.full(columns, np.inf), np.full(columns, -np.inf)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for part, heavy in parts():
            total += (part if heavy is None else part * heavy).sum(axis=0)
            low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        mean = total / mass
        # A power of two near the largest deviation's inverse keeps squares in range and changes no other bit.
        shrink = np.ldexp(1.0, -np.clip(np.frexp(np.maximum(high - mean, mean - low))[1], -1000, 1000))
        squares = np.zeros(columns)
        for part, heavy in parts():
            square = np.square((part - mean) * shrink)
            squares += (square if heavy is None else square * heavy).sum(axis=0)
        inverse = 1.0 / np.sqrt(squares / mass) * shrink
        # Values are rounded to their own type, and so is their mean, by up to some sqrt(count) roundings.
        own = float(np.finfo(x.dtype).eps) if x.dtype.kind == "f" else 0.0
        noise = np.maximum(np.abs(low), np.abs(high)) * max(own, 4 * np.sqrt(count) * _EPS)
        limit = float(np.finfo(dtype).max)
        usable = (low < high) & np.isfinite(inverse) & (inverse > 0) & (inverse <= limit)
        usable &= inverse * noise < 1.0
    return np.where(np.isfinite(mean), mean, 0.0), np.where(usable, inverse, 1.0), usable
