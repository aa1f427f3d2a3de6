"""The kernels of the training step on plain NumPy arrays.

Arrays are float32 or float64, all of one call alike; nothing is converted but Python lists. Results are the
bits that a network computes. For every activation of ``gradcore.names("activation")`` there are two
functions, such as ``relu(x)`` and ``relu_backward(x, d_y)``, and for every loss one, such as
``mse(z, target)``; `softmax_cross_entropy` is another name of ``cross_entropy``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core, losses
from .arrays import Array, columns_contiguous
from .checks import flag, number, shown
from .errors import ArgumentError, MemoryLimitError, ShapeError
from .kernels_arrays import float_array as _float_array
from .kernels_arrays import float_matrix as _float_matrix
from .kernels_arrays import output as _output
from .kernels_arrays import outputs as _outputs
from .kernels_products import dense_backward, dense_forward, gemm
from .outputs import softmax as _softmax


def _contiguous(array: Array) -> Array:
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    try:
        return np.array(array, order="C")
    except MemoryError as error:
        raise MemoryLimitError(f"array: expected one that fits in memory: {error}") from None


def _alpha(name: str, alpha: float | None) -> float:
    default = float(_core.describe("activation", name, "alpha") or 0.0)
    if alpha is None:
        return default
    if not default:
        raise ArgumentError(f"alpha: expected none for {name}, got {shown(alpha)}")
    return number(alpha, "alpha")


def _forward_function(name: str, formula: str) -> Callable[..., Array]:
    def forward(x: ArrayLike, *, out: Array | None = None, alpha: float | None = None) -> Array:
        array = _contiguous(_float_array(x, "x"))
        result = _output(out, array.shape, array.dtype)
        return _core.activation_forward(name, array, result, _alpha(name, alpha)) if array.size else result

    forward.__doc__ = f"""``{formula}``, element by element.

    Parameters
    ----------
    x : array-like
        float32 or float64, any shape.
    out : ndarray, optional
        May be x.
    alpha : float, optional
        For the functions that have one.

    Returns
    -------
    ndarray
        Of x's shape and dtype.
    """
    forward.__name__ = forward.__qualname__ = name
    return forward


def _backward_function(name: str, formula: str) -> Callable[..., Array]:
    def backward(
        x: ArrayLike, d_y: ArrayLike, *, out: Array | None = None, alpha: float | None = None
    ) -> Array:
        array = _contiguous(_float_array(x, "x"))
        grad = _contiguous(_float_array(d_y, "d_y", array.dtype))
        if grad.shape != array.shape:
            raise ShapeError(f"d_y: expected shape {array.shape}, got {grad.shape}")
        result = _output(out, array.shape, array.dtype)
        return (
            _core.activation_backward(name, array, grad, result, _alpha(name, alpha))
            if array.size
            else result
        )

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

    Returns
    -------
    ndarray
        Of x's shape and dtype.
    """
    backward.__name__ = backward.__qualname__ = f"{name}_backward"
    return backward


def _loss_function(name: str, formula: str) -> Callable[..., Any]:
    kind = losses.named(name)

    def loss(
        z: ArrayLike, target: ArrayLike, *, gradient: bool = False, out: Any = None, **options: Any
    ) -> Any:
        rule = kind(**options)
        outputs = columns_contiguous(_float_matrix(z, "z"))
        wanted = rule.target(target, len(outputs), outputs.shape[1], outputs.dtype, "target")
        like = ((len(outputs),), np.dtype(np.float64))
        if flag(gradient, "gradient"):
            kept = _outputs(out, [like, (outputs.shape, outputs.dtype)], {})
        else:
            kept = [_output(out, *like)]
        rule.check_outputs(outputs.shape[1])
        values = _core.loss(
            name,
            _contiguous(outputs),
            _contiguous(wanted),
            gradient,
            rule.options(outputs.shape[1], wanted),
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
        As the loss of the same name takes it.
    gradient : bool, default False
    out : ndarray (rows,) float64, optional
        With `gradient`, a pair: that, and an array for d_z, which may be z.
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
    for name in _core.names("activation"):
        formula = _core.describe("activation", name, "formula") or name
        made[name] = _forward_function(name, formula)
        made[f"{name}_backward"] = _backward_function(name, formula)
    for name in _core.names("loss"):
        made[name] = _loss_function(name, _core.describe("loss", name, "formula") or name)
    made["softmax_cross_entropy"] = made["cross_entropy"]
    for function in made.values():
        function.__module__ = __name__
    globals().update(made)
    return list(made)


def softmax(z: ArrayLike, *, out: Array | None = None) -> Array:
    """``exp(z) / sum(exp(z))`` of each row.

    Parameters
    ----------
    z : array-like (rows, cols)
        float32 or float64.
    out : ndarray (rows, cols), optional
        May be z.

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
    rows = _float_matrix(z, "z")
    result = _output(out, rows.shape, rows.dtype)
    result[...] = _softmax(rows)
    return result


__all__ = ["dense_backward", "dense_forward", "gemm", "softmax", *_define()]


def __getattr__(name: str) -> Callable[..., Any]:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
