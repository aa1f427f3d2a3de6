"""Activations: value(x, alpha), derivative(x, alpha); full relative accuracy in both tails."""

import math

import numpy as np

from .exact import two_product

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717

erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid(x, alpha=0.0):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e / (1 + e), 1 / (1 + e))


def d_sigmoid(x, alpha=0.0):
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def softplus(x, alpha=0.0):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def d_tanh(x, alpha=0.0):
    e = np.exp(-2 * np.abs(x))
    return 4 * e / (1 + e) ** 2


def _elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _d_elu(x, alpha):
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0)))


def _nan_kept(f):
    """`where(x > 0, ...)` would turn NaN into a number."""
    return lambda x, alpha: np.where(np.isnan(x), np.nan, f(x, alpha))


def normal_cdf(x):
    """erfc(-x / sqrt 2) / 2; the rounding of its argument, which the tail magnifies x^2 times, is undone."""
    root, rest = 0.7071067811865476, -4.833646656726457e-17  # 1 / sqrt 2 in two parts
    argument, error = two_product(-x, root)
    slope = -2 / math.sqrt(math.pi) * np.exp(-argument * argument)
    return 0.5 * (erfc(argument) + slope * np.where(np.abs(x) < 60, error - x * rest, 0.0))


def normal_pdf(x):
    square, error = two_product(x, x)
    return np.exp(-0.5 * square) * (1 - 0.5 * np.where(np.abs(x) < 60, error, 0.0)) / math.sqrt(2 * math.pi)


def _d_gelu(x, alpha):
    x = np.clip(x, -60.0, 60.0)  # beyond, the derivative is 0 or 1, and inf * 0 would be NaN
    return normal_cdf(x) + x * normal_pdf(x)


def _gelu(x, alpha):
    return np.where(x == -np.inf, -0.0, x * normal_cdf(x))


def _silu(x, alpha):
    return np.where(x == -np.inf, -0.0, x * sigmoid(x))


def _d_silu(x, alpha):
    s = sigmoid(x)
    x = np.clip(x, -800.0, 800.0)
    return s + x * d_sigmoid(x)


def _wide_gelu_tanh(x):
    """x, s(w), w' of x s(w), s the sigmoid; in extended precision, as the tail magnifies errors of w."""
    x = np.clip(x, -60.0, 60.0).astype(np.longdouble)
    c1 = 2 * np.sqrt(2 / np.longdouble("3.14159265358979323846264338327950288"))
    c3 = c1 * np.longdouble("0.044715")
    return x, 1 / (1 + np.exp(-(c1 * x + c3 * x**3))), c1 + 3 * c3 * x**2


def _gelu_tanh(x, alpha):
    _, s, _ = _wide_gelu_tanh(x)
    return np.where(x == -np.inf, -0.0, x * s).astype(np.float64)


def _d_gelu_tanh(x, alpha):
    x, s, slope = _wide_gelu_tanh(x)
    return (s + x * s * (1 - s) * slope).astype(np.float64)


def _mish(x, alpha):
    return np.where(x == -np.inf, -0.0, x * np.tanh(softplus(x)))


def _d_mish(x, alpha):
    x = np.clip(x, -800.0, 800.0)
    t = np.tanh(softplus(x))
    return t + x * d_tanh(softplus(x)) * sigmoid(x)


def _sin(x, alpha, quadrants=0):
    """sin or cos of the exact product up to 2^20, beyond of that rounded to float64."""
    exact, rounded = np.asarray(x, np.longdouble) * np.longdouble(alpha), alpha * x
    p = np.where(np.abs(rounded) <= 2.0**20, exact, rounded)
    return (np.cos(p) if quadrants else np.where(p == 0, p, np.sin(p))).astype(np.float64)


def _squareplus(x, alpha):
    s = np.hypot(x, math.sqrt(alpha))
    return np.where(x < 0, alpha / 4 / (s / 2 + np.abs(x) / 2), x / 2 + s / 2)


def _gaussian(x, alpha):
    x = np.clip(x, -30.0, 30.0)
    square, error = two_product(x, x)
    return np.exp(-square) * (1 - error)


def _d_hard_swish(x, alpha):
    return np.where(x <= -3, 0.0, np.where(x < 3, x / 3 + 0.5, 1.0))


def _between(low, high):
    return lambda x, alpha: np.where((x > low) & (x < high), 1.0, 0.0)


ACTIVATIONS = {
    "identity": (lambda x, alpha: x + 0.0, lambda x, alpha: np.ones_like(x)),
    "relu": (_nan_kept(lambda x, alpha: np.maximum(x, 0.0)), lambda x, alpha: (x > 0) * 1.0),
    "leaky_relu": (
        _nan_kept(lambda x, alpha: np.where(x > 0, x, alpha * x)),
        lambda x, alpha: np.where(x > 0, 1.0, alpha),
    ),
    "tanh": (lambda x, alpha: np.tanh(x), d_tanh),
    "sigmoid": (sigmoid, d_sigmoid),
    "elu": (_nan_kept(_elu), _d_elu),
    "selu": (
        _nan_kept(lambda x, alpha: SELU_SCALE * _elu(x, SELU_ALPHA)),
        lambda x, alpha: SELU_SCALE * _d_elu(x, SELU_ALPHA),
    ),
    "gelu": (_nan_kept(_gelu), _d_gelu),
    "silu": (_nan_kept(_silu), _d_silu),
    "softplus": (softplus, lambda x, alpha: sigmoid(x)),
    "celu": (
        _nan_kept(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))),
        lambda x, alpha: np.exp(np.minimum(x, 0) / alpha),
    ),
    "gelu_tanh": (_nan_kept(_gelu_tanh), _d_gelu_tanh),
    "mish": (_mish, _d_mish),
    "hard_swish": (
        _nan_kept(lambda x, alpha: np.where(x < -3, -0.0, x * (np.clip(x + 3, 0, 6) / 6))),
        _d_hard_swish,
    ),
    "hard_sigmoid": (
        lambda x, alpha: np.clip(x + 3, 0, 6) / 6,
        lambda x, alpha: _between(-3, 3)(x, alpha) / 6,
    ),
    "hard_tanh": (lambda x, alpha: np.clip(x, -1, 1), _between(-1, 1)),
    "relu6": (lambda x, alpha: np.clip(x, 0, 6), _between(0, 6)),
    "softsign": (
        lambda x, alpha: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))),
        lambda x, alpha: (1 + np.abs(x)) ** -2.0,
    ),
    "log_sigmoid": (lambda x, alpha: -softplus(-x), lambda x, alpha: sigmoid(-x)),
    "exponential": (lambda x, alpha: np.exp(x), lambda x, alpha: np.exp(x)),
    "sin": (_sin, lambda x, alpha: alpha * _sin(x, alpha, 1)),
    "squareplus": (_squareplus, lambda x, alpha: _squareplus(x, alpha) / np.hypot(x, math.sqrt(alpha))),
    "gaussian": (_nan_kept(_gaussian), lambda x, alpha: -2 * np.clip(x, -30, 30) * _gaussian(x, alpha)),
}


# Of those whose derivative the engine takes from y, the output: the derivative as a function of y and alpha.
FROM_OUTPUT = {
    "tanh": lambda y, alpha: (1 - y) * (1 + y),
    "sigmoid": lambda y, alpha: y * (1 - y),
    "elu": lambda y, alpha: np.where(y > 0, 1.0, y + alpha),
    "selu": lambda y, alpha: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
    "relu": lambda y, alpha: (y > 0) * 1.0,
    "leaky_relu": lambda y, alpha: np.where(y > 0, 1.0, alpha),
    "celu": lambda y, alpha: np.where(y > 0, 1.0, np.minimum(y, 0) / alpha + 1),
    "hard_tanh": lambda y, alpha: (np.abs(y) < 1) * 1.0,
    "relu6": lambda y, alpha: ((y > 0) & (y < 6)) * 1.0,
    "exponential": lambda y, alpha: y,
}

# What no other library has: held by these formulas alone, without stored vectors.
ALONE = ()


def activation(name, x, alpha=0.0):
    with np.errstate(all="ignore"):
        return ACTIVATIONS[name][0](np.asarray(x, np.float64), alpha)


def d_activation(name, x, alpha=0.0):
    """The derivative at x; where the function has a kink, the engine's choice: that of the left."""
    with np.errstate(all="ignore"):
        return ACTIVATIONS[name][1](np.asarray(x, np.float64), alpha)


DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0, "celu": 1.0, "sin": 30.0, "squareplus": 4.0}


def alpha_of(layer):
    alpha = layer.get("alpha")
    return DEFAULT_ALPHA.get(layer.get("activation"), 0.0) if alpha is None else alpha
