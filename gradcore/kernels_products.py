"""Products of plain arrays: `gradcore.kernels` has these functions, too."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from .arrays import Array
from .checks import integer
from .kernels_arrays import float_matrix, output, outputs, vector

__all__ = ["dense_backward", "dense_forward", "gemm"]


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
    left = float_matrix(a, "a")
    right = float_matrix(b, "b", left.dtype, rows=left.shape[1])
    added = None if bias is None else vector(bias, "bias", left.dtype, right.shape[1])
    result = output(out, (left.shape[0], right.shape[1]), left.dtype)
    count = 0 if threads is None else integer(threads, "threads", 1, 2**31 - 1)
    return _core.gemm(left, right, added, result, count, isa)


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
    left = float_matrix(x, "x")
    right = float_matrix(w, "w", left.dtype, rows=left.shape[1])
    added = None if b is None else vector(b, "b", left.dtype, right.shape[1])
    return _core.gemm(left, right, added, output(out, (left.shape[0], right.shape[1]), left.dtype))


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
    left = float_matrix(x, "x")
    right = float_matrix(w, "w", left.dtype, rows=left.shape[1])
    grad = float_matrix(d_y, "d_y", left.dtype, left.shape[0], right.shape[1])
    ones = np.ones((1, left.shape[0]), left.dtype)
    shapes = (left.shape, right.shape, (right.shape[1],))
    inputs = {"x": left, "w": right, "d_y": grad}
    d_x, d_w, d_b = outputs(out, [(shape, left.dtype) for shape in shapes], inputs)
    _core.gemm(grad, right.T, None, d_x)
    _core.gemm(left.T, grad, None, d_w)
    _core.gemm(ones, grad, None, d_b.reshape(1, -1))
    return d_x, d_w, d_b
