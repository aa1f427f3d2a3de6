"""Products of plain arrays: `gradcore.kernels` has these functions, too.

Each hands its arguments to the binding as they are, which answers None unless all of them are exact arrays
that serve without a conversion. Only then are they looked at here, one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from .._core import Packed
from ..errors import ArgumentError, DTypeError, ShapeError
from ..validation.arrays import Array
from ..validation.checks import choice, integer, shown
from .arrays import ALPHAS, alpha_of, float_matrix, output, outputs, vector

__all__ = ["Packed", "dense_backward", "dense_forward", "gemm", "pack"]

_product, _backward = _core.product, _core.dense_backward


def gemm(
    a: ArrayLike,
    b: ArrayLike | Packed,
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
        Any strides, so that transposes cost no copy; or what `pack` has made of it.
    bias : (cols,), optional
    out : ndarray (rows, cols), optional
        Contiguous; must not overlap a, b or bias.
    threads : int, optional
        At most so many, of which small products take one.
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
    result = _product(a, b, bias, out, threads, isa)
    if result is None:
        count = 0 if threads is None else integer(threads, "threads", 1, 2**31 - 1)
        result = _checked(("a", a), ("b", b), ("bias", bias), out, count, isa)
    return result


def _checked(
    a: tuple[str, Any],
    b: tuple[str, Any],
    bias: tuple[str, Any],
    out: Array | None,
    threads: int = 0,
    isa: str | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
) -> Array:
    """The product of arguments, each with its name, that are no plain arrays, or wrong."""
    left = float_matrix(a[1], a[0])
    right = _factor(b[1], b[0], left)
    added = None if bias[1] is None else vector(bias[1], bias[0], left.dtype, right.shape[1])
    result = output(out, (left.shape[0], right.shape[1]), left.dtype)
    for name, value in ((a[0], left), (b[0], right), (bias[0], added)):
        if isinstance(value, np.ndarray) and out is not None and np.may_share_memory(result, value):
            raise ArgumentError(f"out: expected memory apart from {name}, got an overlap")
    return _core.gemm(left, right, added, result, threads, isa, activation, alpha)


def _factor(value: Any, name: str, left: Array) -> Array | Packed:
    if not isinstance(value, Packed):
        return float_matrix(value, name, left.dtype, rows=left.shape[1])
    if value.dtype != left.dtype:
        raise DTypeError(f"{name}: expected {left.dtype} like the other arrays, got {value!r}")
    if value.shape[0] != left.shape[1]:
        raise ShapeError(f"{name}: expected shape ({left.shape[1]}, cols), got {value!r}")
    return value


def pack(w: ArrayLike) -> Packed:
    """A copy of w that `gemm` takes as b and `dense_forward` as w, for one that is used again and again.

    Products put their second factor in another order, where that is worth it; a packed one has it already.
    The results are the same, bit for bit.

    Parameters
    ----------
    w : (inner, cols)

    Returns
    -------
    Packed
        It has `shape`, `dtype` and `unpack()`, which returns an array; it can be pickled, and never changes.
        With weights that change, pack again.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> w = kernels.pack(np.eye(20))
    >>> w
    Packed(shape=(20, 20), dtype=float64)
    >>> kernels.gemm(np.ones((1, 20)), w).sum()
    np.float64(20.0)
    """
    return Packed(float_matrix(w, "w"))


def dense_forward(
    x: ArrayLike,
    w: ArrayLike | Packed,
    b: ArrayLike | None = None,
    *,
    activation: str | None = None,
    alpha: float | None = None,
    out: Array | None = None,
) -> Array:
    """``activation(x @ w + b)``, a dense layer in one go.

    Parameters
    ----------
    x : (rows, fan_in)
    w : (fan_in, fan_out)
        An array, or what `pack` has made of it.
    b : (fan_out,), optional
    activation : str, optional
        One of ``gradcore.names("activation")``; without, the result is that of `gemm`.
    alpha : float, optional
        For the activations that have one.
    out : ndarray (rows, fan_out), optional

    Returns
    -------
    ndarray (rows, fan_out)
        The bits of the product and then the function of that name.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> kernels.dense_forward(np.array([[1.0, 2.0]]), np.array([[3.0, -3.0], [4.0, -4.0]]), activation="relu")
    array([[11.,  0.]])
    """
    if activation is None and alpha is None:
        result = _product(x, w, b, out, None, None)
        return _checked(("x", x), ("w", w), ("b", b), out) if result is None else result
    factor = _alpha(activation, alpha)
    result = _product(x, w, b, out, None, None, activation, factor)
    if result is None:
        result = _checked(("x", x), ("w", w), ("b", b), out, 0, None, activation, factor)
    return result


def _alpha(activation: str | None, alpha: float | None) -> float:
    """The alpha to use; refuses an activation that there is none of, and an alpha for one that has none."""
    if activation is None:
        raise ArgumentError(f"alpha: expected none without an activation, got {shown(alpha)}")
    if type(activation) is not str or activation not in ALPHAS:
        activation = choice(activation, "activation", tuple(ALPHAS))
    return alpha_of(activation, alpha)


def dense_backward(
    x: ArrayLike,
    w: ArrayLike,
    d_y: ArrayLike,
    *,
    activation: str | None = None,
    alpha: float | None = None,
    z: ArrayLike | None = None,
    y: ArrayLike | None = None,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> tuple[Array, Array, Array]:
    """Derivatives of a loss by x, w and b, from its derivative by ``y = activation(x @ w + b)``.

    Parameters
    ----------
    x : (rows, fan_in)
    w : (fan_in, fan_out)
    d_y : (rows, fan_out)
    activation : str, optional
    alpha : float, optional
        For the activations that have one.
    z : (rows, fan_out), optional
        With an activation: its argument, ``x @ w + b``.
    y : (rows, fan_out), optional
        Instead of z: what the activation returned, which serves for those whose derivative is known from it,
        such as relu, tanh and sigmoid, and spares the work of making it again.
    out : tuple of three arrays, optional
        For d_x, d_w and d_b; each contiguous and apart from all others, or None for a new one.

    Returns
    -------
    d_x : ndarray (rows, fan_in)
    d_w : ndarray (fan_in, fan_out)
    d_b : ndarray (fan_out,)
        Sums in the order of the rows, by blocks of 256.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> d_x, d_w, d_b = kernels.dense_backward(x, w, np.array([[1.0]]))
    >>> d_x, d_w.ravel(), d_b
    (array([[3., 4.]]), array([1., 2.]), array([1.]))
    """
    factor = 0.0
    if activation is not None or alpha is not None:
        factor = _alpha(activation, alpha)
    saved = _saved(activation, z, y) if z is not None or y is not None or activation is not None else None
    if activation == "identity":
        activation = saved = None
    results = _backward(x, w, d_y, out, activation, factor, saved, y is not None)
    if results is not None:
        return results
    left = float_matrix(x, "x")
    if isinstance(w, Packed):
        raise DTypeError(f"w: expected an array, whose transpose is needed, got {w!r}")
    right = float_matrix(w, "w", left.dtype, rows=left.shape[1])
    grad = np.ascontiguousarray(float_matrix(d_y, "d_y", left.dtype, left.shape[0], right.shape[1]))
    inputs = {"x": left, "w": right, "d_y": grad}
    if saved is not None:
        name = "z" if y is None else "y"
        saved = inputs[name] = np.ascontiguousarray(float_matrix(saved, name, left.dtype, *grad.shape))
    shapes = (left.shape, right.shape, (right.shape[1],))
    kept = outputs(out, [(shape, left.dtype) for shape in shapes], inputs)
    plain = [result.view(np.ndarray) for result in kept]
    if _backward(left, right, grad, plain, activation, factor, saved, y is not None) is None:
        raise DTypeError(f"x: expected arrays of {left.dtype} that the core takes as they are")
    return kept[0], kept[1], kept[2]


def _saved(activation: str | None, z: Any, y: Any) -> Any:
    """What the derivative of the activation is made from, z or y."""
    if activation is None:
        name, value = ("z", z) if z is not None else ("y", y)
        raise ArgumentError(f"{name}: expected none without an activation, got a {type(value).__name__}")
    if (z is None) == (y is None) and activation != "identity":
        got = "none" if z is None else "both"
        raise ArgumentError(f"activation: expected either z or y with {activation}, got {got} of them")
    return z if y is None else y
