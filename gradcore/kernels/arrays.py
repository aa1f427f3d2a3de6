"""The arrays that functions of `gradcore.kernels` take and fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from ..errors import ArgumentError, DTypeError, MemoryLimitError, ShapeError
from ..validation.arrays import Array, as_array, as_dtype
from ..validation.checks import number, shown

# The alpha of an activation where none is given; 0 where it has none.
ALPHAS = {
    name: float(_core.describe("activation", name, "alpha") or 0.0) for name in _core.names("activation")
}
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def alpha_of(name: str, alpha: object) -> float:
    """The alpha to use with an activation; one that has none is given none."""
    if alpha is None:
        return ALPHAS[name]
    if not ALPHAS[name]:
        raise ArgumentError(f"alpha: expected none for {name}, got {shown(alpha)}")
    return number(alpha, "alpha")


def float_array(value: object, name: str, dtype: np.dtype[Any] | None = None) -> Array:
    array = as_array(value, name)
    if not isinstance(value, np.ndarray):
        array = as_dtype(array, name, dtype or np.dtype(np.float64))
    if array.dtype not in _FLOATS:
        raise DTypeError(f"{name}: expected float32 or float64 in native byte order, got {array.dtype}")
    if dtype is not None and array.dtype != dtype:
        raise DTypeError(f"{name}: expected {dtype} like the other arrays, got {array.dtype}")
    return array


def float_matrix(
    value: object,
    name: str,
    dtype: np.dtype[Any] | None = None,
    rows: int | None = None,
    cols: int | None = None,
) -> Array:
    array = float_array(value, name, dtype)
    fits = array.ndim == 2 and rows in (None, len(array)) and cols in (None, array.shape[1])
    if not fits or array.size == 0:
        raise ShapeError(
            f"{name}: expected shape ({rows or 'rows'}, {cols or 'cols'}), none of them 0, got {array.shape}"
        )
    return array if array.flags.aligned else array.copy()


def output(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "out") -> Array:
    if out is None:
        try:
            return np.empty(shape, dtype)
        except MemoryError as error:
            raise MemoryLimitError(f"{name}: expected a result that fits in memory: {error}") from None
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"{name}: expected a {dtype} array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise DTypeError(f"{name}: expected a {dtype} array, got {out.dtype}")
    if out.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {out.shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ArgumentError(f"{name}: expected a contiguous, aligned, writable array")
    return out


def outputs(
    out: object, like: Sequence[tuple[tuple[int, ...], np.dtype[Any]]], inputs: Mapping[str, Array]
) -> list[Array]:
    """`out` of a function with several results: a tuple, None for a new array, all apart from each other."""
    given = (None,) * len(like) if out is None else out
    if not isinstance(given, tuple | list) or len(given) != len(like):
        raise DTypeError(f"out: expected a tuple of {len(like)} arrays, got {_kind(out)}")
    others = dict(inputs)
    results = []
    for index, (array, (shape, dtype)) in enumerate(zip(given, like, strict=True)):
        name = f"out[{index}]"
        results.append(output(array, shape, dtype, name))
        for other, memory in others.items():
            if np.may_share_memory(results[-1], memory):
                raise ArgumentError(f"{name}: expected memory apart from {other}, got an overlap")
        others[name] = results[-1]
    return results


def _kind(value: object) -> str:
    count = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{count}"


def vector(value: object, name: str, dtype: np.dtype[Any], size: int) -> Array:
    array = float_array(value, name, dtype)
    if array.shape != (size,):
        raise ShapeError(f"{name}: expected shape ({size},), got {array.shape}")
    return np.require(array, requirements=["C", "A"])
