"""The kernels of the training step on plain NumPy arrays.

Arrays are float32 or float64, all of one call alike; nothing is converted but Python lists. Results are the
bits that a network computes. For every activation of ``gradcore.names("activation")`` there are two
functions, such as ``relu(x)`` and ``relu_backward(x, d_y)``, and for every loss one, such as
``mse(z, target)``; `softmax_cross_entropy` is another name of ``cross_entropy``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _core, losses
from .arrays import Array, as_array, as_dtype, columns_contiguous
from .checks import flag, integer, number
from .errors import ArgumentError, DTypeError, ShapeError
from .outputs import softmax as _softmax

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _float_array(value: object, name: str, dtype: np.dtype[Any] | None = None) -> Array:
    array = as_array(value, name)
    if not isinstance(value, np.ndarray):
        array = as_dtype(array, name, dtype or np.dtype(np.float64))
    if array.dtype not in _FLOATS:
        raise DTypeError(f"{name}: expected float32 or float64 in native byte order, got {array.dtype}")
    if dtype is not None and array.dtype != dtype:
        raise DTypeError(f"{name}: expected {dtype} like the other arrays, got {array.dtype}")
    return array


def _float_matrix(
    value: object,
    name: str,
    dtype: np.dtype[Any] | None = None,
    rows: int | None = None,
    cols: int | None = None,
) -> Array:
    array = _float_array(value, name, dtype)
    fits = array.ndim == 2 and rows in (None, len(array)) and cols in (None, array.shape[1])
    if not fits or array.size == 0:
        raise ShapeError(
            f"{name}: expected shape ({rows or 'rows'}, {cols or 'cols'}), none of them 0, got {array.shape}"
        )
    return array if array.flags.aligned else array.copy()


def _output(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "out") -> Array:
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise DTypeError(f"{name}: expected a {dtype} array, got {getattr(out, 'dtype', type(out).__name__)}")
    if out.shape != shape:
        raise ShapeError(f"{name}: expected shape {shape}, got {out.shape}")
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ArgumentError(f"{name}: expected a contiguous, aligned, writable array")
    return out


def _outputs(
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
        results.append(_output(array, shape, dtype, name))
        for other, memory in others.items():
            if np.may_share_memory(results[-1], memory):
                raise ArgumentError(f"{name}: expected memory apart from {other}, got an overlap")
        others[name] = results[-1]
    return results


def _kind(value: object) -> str:
    count = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{count}"


def gemm(
    a: ArrayLike,
    b: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    out: Array | None = None,
    threads: int | None = None,
    isa: str | None = None,
) -> Array:
    """``a @ b + bias``; every element is one chain of fused multiply-adds in a fixed order.

    Parameters
    ----------
    a : (rows, inner)
    b : (inner, cols)
        Any strides, so that transposes cost no copy.
    bias : (cols,), optional
    out : ndarray (rows, cols), optional
        Contiguous; must not overlap a or b.
    threads : int, optional
    isa : str, optional

    Returns
    -------
    ndarray (rows, cols)

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> kernels.gemm(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    left = _float_matrix(a, "a")
    right = _float_matrix(b, "b", left.dtype, rows=left.shape[1])
    added = None if bias is None else _vector(bias, "bias", left.dtype, right.shape[1])
    result = _output(out, (left.shape[0], right.shape[1]), left.dtype)
    count = 0 if threads is None else integer(threads, "threads", 1, 2**31 - 1)
    return _core.gemm(left, right, added, result, count, isa)


def _vector(value: object, name: str, dtype: np.dtype[Any], size: int) -> Array:
    array = _float_array(value, name, dtype)
    if array.shape != (size,):
        raise ShapeError(f"{name}: expected shape ({size},), got {array.shape}")
    return np.require(array, requirements=["C", "A"])


def dense_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None, *, out: Array | None = None
) -> Array:
    """``x @ w + b``, a dense layer without its activation.

    Parameters
    ----------
    x : (rows, fan_in)
    w : (fan_in, fan_out)
    b : (fan_out,), optional
    out : ndarray (rows, fan_out), optional

    Returns
    -------
    ndarray (rows, fan_out)
    """
    left = _float_matrix(x, "x")
    right = _float_matrix(w, "w", left.dtype, rows=left.shape[1])
    added = None if b is None else _vector(b, "b", left.dtype, right.shape[1])
    return _core.gemm(left, right, added, _output(out, (left.shape[0], right.shape[1]), left.dtype))


def dense_backward(
    x: ArrayLike,
    w: ArrayLike,
    d_y: ArrayLike,
    *,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Array, Array, Array]:
    """Derivatives of a loss by x, w and b, from its derivative by ``x @ w + b``.

    Parameters
    ----------
    x : (rows, fan_in)
    w : (fan_in, fan_out)
    d_y : (rows, fan_out)
    out : tuple of three arrays, optional
        For d_x, d_w and d_b; each contiguous and apart from all others, or None for a new one.

    Returns
    -------
    d_x : ndarray (rows, fan_in)
    d_w : ndarray (fan_in, fan_out)
    d_b : ndarray (fan_out,)

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> d_x, d_w, d_b = kernels.dense_backward(x, w, np.array([[1.0]]))
    >>> d_x, d_w.ravel(), d_b
    (array([[3., 4.]]), array([1., 2.]), array([1.]))
    """
    left = _float_matrix(x, "x")
    right = _float_matrix(w, "w", left.dtype, rows=left.shape[1])
    grad = _float_matrix(d_y, "d_y", left.dtype, left.shape[0], right.shape[1])
    ones = np.ones((1, left.shape[0]), left.dtype)
    shapes = (left.shape, right.shape, (right.shape[1],))
    inputs = {"x": left, "w": right, "d_y": grad}
    d_x, d_w, d_b = _outputs(out, [(shape, left.dtype) for shape in shapes], inputs)
    _core.gemm(grad, right.T, None, d_x)
    _core.gemm(left.T, grad, None, d_w)
    _core.gemm(ones, grad, None, d_b.reshape(1, -1))
    return d_x, d_w, d_b


def _contiguous(array: Array) -> Array:
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def _alpha(name: str, alpha: float | None) -> float:
    default = float(_core.describe("activation", name, "alpha") or 0.0)
    if alpha is None:
        return default
    if not default:
        raise ArgumentError(f"alpha: expected none for {name}, got {alpha!r}")
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
