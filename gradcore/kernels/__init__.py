"""The kernels of the training step on plain NumPy arrays.

Arrays are float32 or float64, all of one call alike; nothing is converted but Python lists. Results are the
bits that a network computes. For every activation of ``gradcore.names("activation")`` there are two
functions, such as ``relu(x)`` and ``relu_backward(x, d_y)``, and for every loss one, such as
``mse(z, target)``; `softmax_cross_entropy` is another name of ``cross_entropy``.

Large arrays are shared among threads: as many as are worth it, up to what ``gradcore.info()`` shows, or up to
`threads`. Results do not depend on how many.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..errors import MemoryLimitError, ShapeError
from ..losses.base import Loss
from ..losses.names import named
from ..validation.arrays import Array, columns_contiguous
from ..validation.checks import flag, integer
from .arrays import ALPHAS, alpha_of
from .arrays import float_array as _float_array
from .arrays import float_matrix as _float_matrix
from .arrays import output as _output
from .arrays import outputs as _outputs
from .products import Packed, dense_backward, dense_forward, gemm, pack

# Every function asks the core first, which takes arrays that are as it wants them and returns None for all
# else: lists, strided arrays, and whatever is to be refused with a reason.


def _contiguous(array: Array) -> Array:
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    try:
        return np.array(array, order="C")
    except MemoryError as error:
        raise MemoryLimitError(f"array: expected one that fits in memory: {error}") from None


def _threads(threads: object) -> int:
    """0, as many as are worth it, for None."""
    return 0 if threads is None else integer(threads, "threads", 1, 1024)


def _forward_function(index: int, name: str, formula: str) -> Callable[..., Array]:
    apply, default = _core.activation, ALPHAS[name]

    def forward(
        x: ArrayLike, *, out: Array | None = None, alpha: float | None = None, threads: int | None = None
    ) -> Array:
        if alpha is None and threads is None:
            done = apply(index, default, x, None, out, 0)
            if done is not None:
                return done
        return closely(x, out, alpha, threads)

    def closely(x: object, out: Array | None, alpha: object, threads: object) -> Array:
        array = _contiguous(_float_array(x, "x"))
        result = _output(out, array.shape, array.dtype)
        count, slope = _threads(threads), alpha_of(name, alpha)
        return _core.activation_forward(name, array, result, slope, count) if array.size else result

    forward.__doc__ = f"""``{formula}``, element by element.

    Parameters
    ----------
    x : array-like
        float32 or float64, any shape.
    out : ndarray, optional
        May be x.
    alpha : float, optional
        For the functions that have one.
    threads : int, optional
        At most so many; by default as many as the array is worth.

    Returns
    -------
    ndarray
        Of x's shape and dtype.
    """
    forward.__name__ = forward.__qualname__ = name
    return forward


def _backward_function(index: int, name: str, formula: str) -> Callable[..., Array]:
    apply, default = _core.activation, ALPHAS[name]

    def backward(
        x: ArrayLike,
        d_y: ArrayLike,
        *,
        out: Array | None = None,
        alpha: float | None = None,
        threads: int | None = None,
    ) -> Array:
        if alpha is None and threads is None and d_y is not None:
            done = apply(index, default, x, d_y, out, 0)
            if done is not None:
                return done
        return closely(x, d_y, out, alpha, threads)

    def closely(x: object, d_y: object, out: Array | None, alpha: object, threads: object) -> Array:
        array = _contiguous(_float_array(x, "x"))
        grad = _contiguous(_float_array(d_y, "d_y", array.dtype))
        if grad.shape != array.shape:
            raise ShapeError(f"d_y: expected shape {array.shape}, got {grad.shape}")
        result = _output(out, array.shape, array.dtype)
        count, slope = _threads(threads), alpha_of(name, alpha)
        return _core.activation_backward(name, array, grad, result, slope, count) if array.size else result

    backward.__doc__ = f"""``d_y`` times the derivative of ``{formula}`` at x.

    Parameters
    ----------
    x : array-like
        float32 or float64, any shape: the function's argument.
    d_y : array-like
        Of x's shape and dtype.
    out : ndarray, optional
        May be d_y.
    alpha : float, optional
        For the functions that have one.
    threads : int, optional
        At most so many; by default as many as the array is worth.

    Returns
    -------
    ndarray
        Of x's shape and dtype.
    """
    backward.__name__ = backward.__qualname__ = f"{name}_backward"
    return backward


@lru_cache(maxsize=256, typed=True)
def _remembered(name: str, **options: Any) -> Loss:
    return named(name)(**options)


def _rule(name: str, options: dict[str, Any]) -> Loss:
    """The loss with its options; those that are plain numbers are checked once."""
    plain = all(type(value) in (int, float, bool) for value in options.values())
    return _remembered(name, **options) if plain else named(name)(**options)


def _loss_function(index: int, name: str, formula: str) -> Callable[..., Any]:
    kind, apply = named(name), _core.loss_of

    def loss(
        z: ArrayLike,
        target: ArrayLike,
        *,
        gradient: bool = False,
        out: Any = None,
        threads: int | None = None,
        **options: Any,
    ) -> Any:
        if threads is None and not options:
            done = apply(index, z, target, out, gradient, None, 0)
            if done is not None:
                return done
        return closely(z, target, gradient, out, threads, options)

    def closely(
        z: object, target: Any, gradient: object, out: Any, threads: object, options: dict[str, Any]
    ) -> Any:
        rule, count = _rule(name, options), _threads(threads)
        outputs = columns_contiguous(_float_matrix(z, "z"))
        cols = outputs.shape[1]
        if type(target) is np.ndarray and target.ndim == 1 and target.dtype.kind in "iu" and cols > 1:
            done = apply(index, outputs, target, out, gradient, rule.options(cols, target), count)
            if done is not None:
                return done
        wanted = rule.target(target, len(outputs), cols, outputs.dtype, "target")
        like = ((len(outputs),), np.dtype(np.float64))
        if flag(gradient, "gradient"):
            kept = _outputs(out, [like, (outputs.shape, outputs.dtype)], {})
        else:
            kept = [_output(out, *like)]
        rule.check_outputs(cols)
        values = _core.loss(
            name,
            _contiguous(outputs),
            _contiguous(wanted),
            bool(gradient),
            rule.options(cols, wanted),
            count,
        )
        for result, value in zip(kept, values, strict=False):
            result[...] = value
        return tuple(kept) if gradient else kept[0]

    loss.__doc__ = f"""The loss of every row; the whole is the {formula}.

    Parameters
    ----------
    z : array-like (rows, outputs)
        float32 or float64.
    target : array-like
        As the loss of the same name takes it. Labels in an array of any integer type are read where they lie.
    gradient : bool, default False
    out : ndarray (rows,) float64, optional
        With `gradient`, a pair: that, and an array for d_z, which may be z.
    threads : int, optional
        At most so many; by default as many as the rows are worth.
    **options
        The parameters of ``losses.{kind.__name__}``.

    Returns
    -------
    losses : ndarray (rows,)
        float64, one a row.
    d_z : ndarray (rows, outputs)
        Only with `gradient`: the derivative of the mean over the rows.
    """
    loss.__name__ = loss.__qualname__ = name
    return loss


def _define() -> list[str]:
    made: dict[str, Callable[..., Any]] = {}
    for index, name in enumerate(_core.names("activation")):
        formula = _core.describe("activation", name, "formula") or name
        made[name] = _forward_function(index, name, formula)
        made[f"{name}_backward"] = _backward_function(index, name, formula)
    for index, name in enumerate(_core.names("loss")):
        made[name] = _loss_function(index, name, _core.describe("loss", name, "formula") or name)
    made["softmax_cross_entropy"] = made["cross_entropy"]
    for function in made.values():
        function.__module__ = __name__
    globals().update(made)
    return list(made)


def softmax(z: ArrayLike, *, out: Array | None = None, threads: int | None = None) -> Array:
    """``exp(z) / sum(exp(z))`` of each row.

    Parameters
    ----------
    z : array-like (rows, cols)
        float32 or float64.
    out : ndarray (rows, cols), optional
        May be z.
    threads : int, optional
        At most so many; by default as many as the rows are worth.

    Returns
    -------
    ndarray (rows, cols)
        A row with NaN, or whose largest is infinite, is NaN.

    Examples
    --------
    >>> from gradcore import kernels
    >>> kernels.softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    done = _core.softmax(z, out, 0) if threads is None else None
    if done is not None:
        return done
    rows = _contiguous(_float_matrix(z, "z"))
    result = _output(out, rows.shape, rows.dtype)
    count = _threads(threads)
    if _core.softmax(rows, result, count) is None:  # they overlap in part, or out is of a subclass
        shares = np.empty(rows.shape, rows.dtype)
        _core.softmax(rows, shares, count)
        result[...] = shares
    return result


__all__ = ["Packed", "dense_backward", "dense_forward", "gemm", "pack", "softmax", *_define()]


def __getattr__(name: str) -> Callable[..., Any]:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
