"""What the kernels do, as a NumPy user writes it: preallocated `out`, no more passes than needed.

Activations: forward(x, out) and backward(x, d_y, out), the derivative from the input as gradcore.kernels
has it. gelu has no entry: NumPy has no erf. Constants are float32, which arrays of float64 widen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from nets import Array

Forward = Callable[[Array, Array], object]
Backward = Callable[[Array, Array, Array], object]

SELU_SCALE, SELU_ALPHA = np.float32(1.0507009873554805), np.float32(1.6732632423543772)
ONE = np.float32(1)


def sigmoid(x: Array, out: Array) -> Array:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += ONE
    return np.reciprocal(out, out=out)


def tanh_backward(x: Array, d: Array, out: Array) -> None:
    np.tanh(x, out=out)
    np.multiply(out, out, out=out)
    np.subtract(ONE, out, out=out)
    out *= d


def sigmoid_backward(x: Array, d: Array, out: Array) -> None:
    y = sigmoid(x, out)
    np.multiply(y, ONE - y, out=out)
    out *= d


def elu(x: Array, out: Array) -> None:
    np.minimum(x, 0, out=out)
    np.expm1(out, out=out)
    np.copyto(out, x, where=x > 0)


def elu_backward(x: Array, d: Array, out: Array) -> None:
    np.minimum(x, 0, out=out)
    np.exp(out, out=out)
    out *= d


def selu(x: Array, out: Array) -> None:
    np.minimum(x, 0, out=out)
    np.expm1(out, out=out)
    out *= SELU_ALPHA
    np.copyto(out, x, where=x > 0)
    out *= SELU_SCALE


def selu_backward(x: Array, d: Array, out: Array) -> None:
    np.minimum(x, 0, out=out)
    np.exp(out, out=out)
    out *= SELU_SCALE * SELU_ALPHA
    np.copyto(out, SELU_SCALE, where=x > 0)
    out *= d


def silu_backward(x: Array, d: Array, out: Array) -> None:
    s = sigmoid(x, out)
    np.multiply(s, ONE + x * (ONE - s), out=out)
    out *= d


def celu_backward(x: Array, d: Array, out: Array) -> None:
    elu_backward(x, d, out)  # alpha is 1


def gelu_tanh(x: Array, out: Array) -> None:
    gelu_tanh_core(x, out)
    out += ONE
    out *= x
    out *= np.float32(0.5)


def gelu_tanh_core(x: Array, out: Array) -> None:
    """tanh(sqrt(2 / pi) (x + 0.044715 x^3))"""
    np.multiply(x, x, out=out)
    out *= np.float32(0.044715 * 0.7978845608028654)
    out += np.float32(0.7978845608028654)
    out *= x
    np.tanh(out, out=out)


def gelu_tanh_backward(x: Array, d: Array, out: Array) -> None:
    gelu_tanh_core(x, out)
    slope = x * x
    slope *= np.float32(3 * 0.044715 * 0.7978845608028654)
    slope += np.float32(0.7978845608028654)
    slope *= x
    slope *= ONE - out * out
    out += ONE
    out += slope
    out *= np.float32(0.5)
    out *= d


def mish(x: Array, out: Array) -> None:
    np.logaddexp(x, np.float32(0), out=out)
    np.tanh(out, out=out)
    out *= x


def mish_backward(x: Array, d: Array, out: Array) -> None:
    t = np.tanh(np.logaddexp(x, np.float32(0)))
    sigmoid(x, out)
    out *= x
    out *= ONE - t * t
    out += t
    out *= d


def hard_sigmoid(x: Array, out: Array) -> Array:
    np.add(x, np.float32(3), out=out)
    np.clip(out, 0, 6, out=out)
    out *= np.float32(1 / 6)
    return out


def hard_swish_backward(x: Array, d: Array, out: Array) -> None:
    np.multiply(x, np.float32(1 / 3), out=out)
    out += np.float32(0.5)
    out *= x > -3
    np.copyto(out, ONE, where=x >= 3)
    out *= d


def inside(low: float, high: float, slope: float) -> Backward:
    """The slope between two corners, 0 outside."""

    def backward(x: Array, d: Array, out: Array) -> None:
        np.multiply(d, (x > low) & (x < high), out=out)
        if slope != 1:
            out *= np.float32(slope)

    return backward


def softsign(x: Array, out: Array) -> None:
    np.abs(x, out=out)
    out += ONE
    np.divide(x, out, out=out)


def softsign_backward(x: Array, d: Array, out: Array) -> None:
    np.abs(x, out=out)
    out += ONE
    out *= out
    np.divide(d, out, out=out)


def log_sigmoid(x: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.logaddexp(out, np.float32(0), out=out)
    np.negative(out, out=out)


def log_sigmoid_backward(x: Array, d: Array, out: Array) -> None:
    np.negative(x, out=out)
    np.multiply(d, sigmoid(out, out), out=out)


def squareplus(x: Array, out: Array) -> None:
    np.multiply(x, x, out=out)
    out += np.float32(4)
    np.sqrt(out, out=out)
    out += x
    out *= np.float32(0.5)


def squareplus_backward(x: Array, d: Array, out: Array) -> None:
    np.multiply(x, x, out=out)
    out += np.float32(4)
    np.sqrt(out, out=out)
    np.divide(x, out, out=out)
    out += ONE
    out *= np.float32(0.5)
    out *= d


def gaussian(x: Array, out: Array) -> Array:
    np.multiply(x, x, out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)


def gaussian_backward(x: Array, d: Array, out: Array) -> None:
    gaussian(x, out)
    out *= x
    out *= np.float32(-2)
    out *= d


def sine_backward(x: Array, d: Array, out: Array) -> None:
    np.multiply(x, np.float32(30), out=out)
    np.cos(out, out=out)
    out *= np.float32(30)
    out *= d


ACTIVATIONS: dict[str, tuple[Forward, Backward]] = {
    "identity": (lambda x, out: np.copyto(out, x), lambda x, d, out: np.copyto(out, d)),
    "relu": (lambda x, out: np.maximum(x, 0, out=out), lambda x, d, out: np.multiply(d, x > 0, out=out)),
    "leaky_relu": (
        lambda x, out: np.maximum(x, np.multiply(x, np.float32(0.01), out=out), out=out),
        lambda x, d, out: np.multiply(d, np.where(x > 0, ONE, np.float32(0.01)), out=out),
    ),
    "tanh": (lambda x, out: np.tanh(x, out=out), tanh_backward),
    "sigmoid": (sigmoid, sigmoid_backward),
    "elu": (elu, elu_backward),
    "selu": (selu, selu_backward),
    "silu": (lambda x, out: np.multiply(x, sigmoid(x, out), out=out), silu_backward),
    "softplus": (
        lambda x, out: np.logaddexp(x, np.float32(0), out=out),
        lambda x, d, out: np.multiply(d, sigmoid(x, out), out=out),
    ),
    "celu": (elu, celu_backward),
    "gelu_tanh": (gelu_tanh, gelu_tanh_backward),
    "mish": (mish, mish_backward),
    "hard_swish": (lambda x, out: np.multiply(x, hard_sigmoid(x, out), out=out), hard_swish_backward),
    "hard_sigmoid": (hard_sigmoid, inside(-3, 3, 1 / 6)),
    "hard_tanh": (lambda x, out: np.clip(x, -1, 1, out=out), inside(-1, 1, 1)),
    "relu6": (lambda x, out: np.clip(x, 0, 6, out=out), inside(0, 6, 1)),
    "softsign": (softsign, softsign_backward),
    "log_sigmoid": (log_sigmoid, log_sigmoid_backward),
    "exponential": (
        lambda x, out: np.exp(x, out=out),
        lambda x, d, out: np.multiply(d, np.exp(x, out=out), out=out),
    ),
    "sin": (
        lambda x, out: np.sin(np.multiply(x, np.float32(30), out=out), out=out),
        sine_backward,
    ),
    "squareplus": (squareplus, squareplus_backward),
    "gaussian": (gaussian, gaussian_backward),
}


def mse(z: Array, target: Array, d: Array) -> float:
    np.subtract(z, target, out=d)
    value = float(np.vdot(d, d)) / d.size
    d *= np.float32(2 / d.size)
    return value


def cross_entropy(z: Array, labels: Array, d: Array) -> float:
    rows = np.arange(len(z))
    np.subtract(z, z.max(axis=1, keepdims=True), out=d)
    picked = d[rows, labels]
    np.exp(d, out=d)
    total = d.sum(axis=1, keepdims=True)
    d /= total
    d[rows, labels] -= ONE
    d *= np.float32(1 / len(z))
    return float(np.mean(np.log(total[:, 0]) - picked))


def binary_cross_entropy(z: Array, target: Array, d: Array) -> float:
    value = float(np.mean(np.logaddexp(z, np.float32(0)) - target * z))
    sigmoid(z, d)
    d -= target
    d *= np.float32(1 / d.size)
    return value


def mae(z: Array, target: Array, d: Array) -> float:
    np.subtract(z, target, out=d)
    value = float(np.mean(np.abs(d)))
    np.sign(d, out=d)
    d *= np.float32(1 / d.size)
    return value


def huber(z: Array, target: Array, d: Array) -> float:
    e = z - target
    np.clip(e, -1, 1, out=d)
    e -= np.multiply(d, np.float32(0.5))
    e *= d  # |e| <= 1: e e / 2; beyond: |e| - 1/2
    d *= np.float32(1 / d.size)
    return float(np.mean(e))


def log_cosh(z: Array, target: Array, d: Array) -> float:
    np.subtract(z, target, out=d)
    value = float(np.mean(np.logaddexp(d, -d))) - math.log(2)
    np.tanh(d, out=d)
    d *= np.float32(1 / d.size)
    return value


def squared_hinge(z: Array, target: Array, d: Array) -> float:
    """Targets are 0 and 1."""
    sign = 2 * target - ONE
    np.multiply(z, sign, out=d)
    np.subtract(ONE, d, out=d)
    np.maximum(d, 0, out=d)
    value = float(np.vdot(d, d)) / d.size
    d *= sign
    d *= np.float32(-2 / d.size)
    return value


def hinge(z: Array, target: Array, d: Array) -> float:
    """Targets are 0 and 1."""
    sign = 2 * target - ONE
    margin = ONE - z * sign
    np.multiply(sign, margin > 0, out=d)
    d *= np.float32(-1 / d.size)
    return float(np.mean(np.maximum(margin, 0)))


def poisson(z: Array, target: Array, d: Array) -> float:
    np.exp(z, out=d)
    value = float(np.mean(d - target * z))
    d -= target
    d *= np.float32(1 / d.size)
    return value


LOSSES: dict[str, Callable[[Array, Array, Array], float]] = {
    "mse": mse,
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "mae": mae,
    "huber": huber,
    "log_cosh": log_cosh,
    "hinge": hinge,
    "squared_hinge": squared_hinge,
    "poisson": poisson,
}


def softmax(z: Array, out: Array) -> None:
    np.subtract(z, z.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)


def sgd(w: Array, g: Array, slots: list[Array], t: Array) -> None:
    (v,) = slots[:1]
    v *= np.float32(0.9)
    v += g
    np.multiply(v, np.float32(1e-3), out=t)
    w -= t


def rmsprop(w: Array, g: Array, slots: list[Array], t: Array) -> None:
    s = slots[0]
    s *= np.float32(0.99)
    np.multiply(g, g, out=t)
    t *= np.float32(0.01)
    s += t
    np.sqrt(s, out=t)
    t += np.float32(1e-8)
    np.divide(g, t, out=t)
    t *= np.float32(1e-3)
    w -= t


def adam(w: Array, g: Array, slots: list[Array], t: Array) -> None:
    m, v = slots[:2]
    np.subtract(g, m, out=t)
    t *= np.float32(0.1)
    m += t
    np.multiply(g, g, out=t)
    t *= np.float32(1e-3)
    v *= np.float32(0.999)
    v += t
    np.sqrt(v, out=t)
    t += np.float32(1e-8)
    np.divide(m, t, out=t)
    t *= np.float32(1e-3)
    w -= t


def adamw(w: Array, g: Array, slots: list[Array], t: Array) -> None:
    w *= np.float32(1 - 1e-3 * 0.01)
    adam(w, g, slots, t)


OPTIMIZERS: dict[str, Callable[[Array, Array, list[Array], Array], None]] = {
    "sgd": sgd,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def clip_global_norm(w: Array, g: Array, t: Array) -> None:
    """g scaled to a global norm of at most 1, and an update of plain SGD."""
    norm = float(np.sqrt(np.vdot(g, g)))
    np.multiply(g, g.dtype.type(1e-3 * min(1.0, 1.0 / norm)), out=t)
    w -= t


def clip_value(w: Array, g: Array, t: Array) -> None:
    np.clip(g, -1, 1, out=t)
    t *= t.dtype.type(1e-3)
    w -= t


CLIPS: dict[str, Callable[[Array, Array, Array], None]] = {
    "global_norm": clip_global_norm,
    "value": clip_value,
}


def standardize(x: Array, y: Array) -> None:
    np.subtract(x, x[0], out=y)
    y *= x[1]


STATISTICS: dict[str, Callable[[Array, Array], object]] = {
    "sum_squares": lambda x, y: np.vdot(x, x),
    "max_abs": lambda x, y: max(x.max(), -x.min()),
    "column_sums": lambda x, y: x.sum(axis=0),
    "accumulate": lambda x, y: np.add(x, y, out=y),
    "add": lambda x, y: np.add(x, y, out=y),
    "multiply": lambda x, y: np.multiply(x, y, out=y),
    "standardize": standardize,
    "exp": lambda x, y: np.exp(x, out=y),
    "log": lambda x, y: np.log(x, out=y),
    "tanh": lambda x, y: np.tanh(x, out=y),
    "pack": lambda x, y: np.copyto(y, x),
    "unpack": lambda x, y: np.copyto(y, x),
    "transpose": lambda x, y: np.copyto(y.reshape(x.T.shape), x.T),
}
