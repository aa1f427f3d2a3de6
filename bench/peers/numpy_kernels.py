"""What the kernels do, as a NumPy user writes it: float32, preallocated `out`, no more passes than needed.

Activations: forward(x, out) and backward(x, d_y, out), the derivative from the input as gradcore.kernels
has it. gelu has no entry: NumPy has no erf.
"""

from __future__ import annotations

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


LOSSES: dict[str, Callable[[Array, Array, Array], float]] = {
    "mse": mse,
    "cross_entropy": cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
}


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
