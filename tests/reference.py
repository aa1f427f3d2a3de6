"""The oracle: what gradcore computes, in plain float64 NumPy, written from the formulas and not from the
engine's code. ORACLES, at the end, has a row for every name that the engine's tables know.
"""

import math
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import reference_losses
import reference_optimizers
from exact import two_product
from reference_heads import HeadsNet
from reference_layers import (
    LAYERS,
    effective_weight,
    effective_weight_backward,
    residual,
    residual_backward,
)

# ---- Activations: value(x, alpha), derivative(x, alpha); full relative accuracy in both tails ----

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


def activation(name, x, alpha=0.0):
    with np.errstate(all="ignore"):
        return ACTIVATIONS[name][0](np.asarray(x, np.float64), alpha)


def d_activation(name, x, alpha=0.0):
    """The derivative at x; where the function has a kink, the engine's choice: that of the left."""
    with np.errstate(all="ignore"):
        return ACTIVATIONS[name][1](np.asarray(x, np.float64), alpha)


# ---- Losses: reference_losses.py has them ----

LOSSES = reference_losses.LOSSES
loss = reference_losses.mean


# ---- Layers and networks ----


@dataclass
class Net:
    """A list of layers, each a dict with `kind` and the fields of a LayerSpec; a residual has `layers`.
    parameters maps the engine's names ("2.1.weight") to float64 arrays; masks maps a dropout's name to
    its mask, already scaled by 1 / (1 - rate)."""

    layers: list
    parameters: dict
    masks: dict = field(default_factory=dict)
    training: bool = False
    kept: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)

    def forward(self, x):
        self.outputs = {}
        self.kept = {}
        return self._forward(self.layers, "", np.asarray(x, np.float64))

    def _forward(self, layers, prefix, x):
        for i, layer in enumerate(layers):
            name = f"{prefix}{i}"
            x = self._forward_one(layer, name, x)
            self.outputs[name] = x
        return x

    def _forward_one(self, layer, name, x):
        kind = layer["kind"]
        if kind == "residual":
            return residual(self, layer, name, x, self._forward(layer["layers"], f"{name}.", x))
        if kind == "dropout":
            return x * self.masks[name] if name in self.masks else x
        if kind == "standardize":
            return (x - self.parameters[f"{name}.mean"]) * self.parameters[f"{name}.inverse_std"]
        if kind in LAYERS:
            return LAYERS[kind][0](self, layer, name, x)
        z = x
        if kind == "dense":
            z = x @ effective_weight(self, layer, name)
            if layer.get("bias", True):
                z = z + self.parameters[f"{name}.bias"]
        self.kept[name] = (x, z)
        return activation(layer.get("activation", "identity"), z, alpha_of(layer))

    def backward(self, d):
        self.gradients = {}
        return self._backward(self.layers, "", np.asarray(d, np.float64))

    def _backward(self, layers, prefix, d):
        for i in reversed(range(len(layers))):
            d = self._backward_one(layers[i], f"{prefix}{i}", d)
        return d

    def _backward_one(self, layer, name, d):
        kind = layer["kind"]
        if kind == "residual":
            block, skip = residual_backward(self, layer, name, d)
            return skip + self._backward(layer["layers"], f"{name}.", block)
        if kind == "dropout":
            return d * self.masks[name] if name in self.masks else d
        if kind == "standardize":
            return d * self.parameters[f"{name}.inverse_std"]
        if kind in LAYERS:
            return LAYERS[kind][1](self, layer, name, d)
        x, z = self.kept[name]
        d = d * d_activation(layer.get("activation", "identity"), z, alpha_of(layer))
        if kind == "activation":
            return d
        effective_weight_backward(self, layer, name, x.T @ d)
        if layer.get("bias", True):
            self.gradients[f"{name}.bias"] = d.sum(axis=0)
        return d @ effective_weight(self, layer, name).T


DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0, "celu": 1.0, "sin": 30.0, "squareplus": 4.0}


def alpha_of(layer):
    alpha = layer.get("alpha")
    return DEFAULT_ALPHA.get(layer.get("activation"), 0.0) if alpha is None else alpha


def four_point(f, x, h=1e-3):
    """d f / d x by the five-point stencil (error of order h^4), for a scalar f of an array x."""
    d = np.empty_like(x)
    flat, d_flat = x.reshape(-1), d.reshape(-1)
    for i in range(flat.size):
        kept = flat[i]
        values = []
        for shift in (2 * h, h, -h, -2 * h):
            flat[i] = kept + shift
            values.append(f())
        flat[i] = kept
        d_flat[i] = (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * h)
    return d


# ---- Optimizers: update(w, g, state, lr, step, **own), PyTorch's conventions; state starts empty ----


def sgd(w, g, state, lr, step, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    if momentum:
        state["v"] = momentum * state["v"] + g if "v" in state else g
        g = g + momentum * state["v"] if nesterov else state["v"]
    return w - lr * g


def rmsprop(w, g, state, lr, step, alpha=0.99, eps=1e-8, momentum=0.0, centered=False, weight_decay=0.0):
    g = g + weight_decay * w
    zero = np.zeros_like(w)
    state["s"] = alpha * state.get("s", zero) + (1 - alpha) * g * g
    second = state["s"]
    if centered:
        state["m"] = alpha * state.get("m", zero) + (1 - alpha) * g
        second = second - state["m"] ** 2
    ratio = g / (np.sqrt(second) + eps)
    if momentum:
        state["b"] = momentum * state.get("b", zero) + ratio
        ratio = state["b"]
    return w - lr * ratio


def adam(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    zero = np.zeros_like(w)
    state["m"] = betas[0] * state.get("m", zero) + (1 - betas[0]) * g
    state["v"] = betas[1] * state.get("v", zero) + (1 - betas[1]) * g * g
    denominator = np.sqrt(state["v"] / (1 - betas[1] ** step)) + eps
    return w - lr * (state["m"] / (1 - betas[0] ** step)) / denominator


def adamw(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return adam(w * (1 - lr * weight_decay), g, state, lr, step, betas, eps)


OPTIMIZERS = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam, "adamw": adamw, **reference_optimizers.OPTIMIZERS}


# ---- Clipping ----


def clip_by_value(gradients, limit):
    return {name: np.clip(g, -limit, limit) for name, g in gradients.items()}


def global_norm(gradients):
    return math.sqrt(sum(float((np.asarray(g, np.float64) ** 2).sum()) for g in gradients.values()))


def clip_global_norm(gradients, max_norm):
    norm = global_norm(gradients)
    scale = max_norm / norm if norm > max_norm else 1.0
    return {name: g * scale for name, g in gradients.items()}


# ---- Schedules: pure functions of the step, counted from 0 ----


def exponential(initial, decay, steps, staircase=False):
    return lambda t: initial * decay ** (t // steps if staircase else t / steps)


def cosine(initial, steps, final=0.0):
    return lambda t: final + 0.5 * (initial - final) * (1 + math.cos(math.pi * min(t, steps) / steps))


def warmup(schedule, steps, start=0.0):
    """From `start` straight to the schedule's first value, which then runs from its own step 0."""
    return lambda t: start + (schedule(0) - start) * t / steps if t < steps else schedule(t - steps)


# ---- Random numbers: Philox4x32-10 (Salmon et al., 2011) ----


def philox(counter, key):
    """Four uint32 words for each counter (..., 4) under key (..., 2), ten rounds."""
    c = np.asarray(counter, np.uint64)
    k = np.asarray(key, np.uint64)
    c0, c1, c2, c3 = (c[..., i] for i in range(4))
    k0, k1 = k[..., 0], k[..., 1]
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & low, (p0 >> 32) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(seed, stream, step, count):
    """The first `count` words of a stream: element e is word e % 4 of block e // 4."""
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    second = ((block >> np.uint64(32)) & np.uint64(0xFFFF)) | np.uint64((step >> 32 & 0xFFFF) << 16)
    fixed = np.ones_like(block)
    counter = np.stack(
        [block & low, second, fixed * np.uint64(step & 0xFFFFFFFF), fixed * np.uint64(stream)], -1
    )
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint64)
    return philox(counter, key).reshape(-1)[:count]


def uniform(seed, stream, count):
    """Multiples of 2^-53 in [0, 1), two words each, the low one first."""
    pairs = words(seed, stream, 0, 2 * count).astype(np.uint64).reshape(-1, 2)
    return ((pairs[:, 1] << np.uint64(32) | pairs[:, 0]) >> np.uint64(11)) * 2.0**-53


def shuffle(seed, epoch, n):
    """Fisher-Yates from the end, bounded by Lemire's multiplication with rejection."""
    source = iter(words(seed, 0xFFFFFFFF, epoch, 2 * n + 64).tolist())
    order = list(range(n))
    for i in range(n, 1, -1):
        product = next(source) * i
        while product % 2**32 < 2**32 % i:
            product = next(source) * i
        j = product >> 32
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


def dropout_mask(rows, columns, rate, seed, stream, step):
    kept = words(seed, stream, step, rows * columns).reshape(rows, columns) < (1 - rate) * 2.0**32
    return kept / (1 - rate)


def normal_numbers(rows, columns, seed, stream, step):
    """The quantiles of the standard normal distribution at (word + 1/2) / 2^32."""
    uniform = (words(seed, stream, step, rows * columns).astype(np.float64) + 0.5) * 2.0**-32
    return np.array([NormalDist().inv_cdf(u) for u in uniform]).reshape(rows, columns)


# ---- Initialisers ----


def initial_limit(name, fan_in, fan_out):
    """The bound of a uniform initialiser, the standard deviation of a normal one."""
    average = (fan_in + fan_out) / 2
    variance = {"glorot": 1 / average, "he": 2 / fan_in, "lecun": 1 / fan_in}
    if name == "siren":  # of a network's first layer
        return 1 / fan_in
    family, _, distribution = name.partition("_")
    return math.sqrt(variance[family] * (3 if distribution == "uniform" else 1))


INITIALIZERS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal",
                "siren")  # fmt: skip


ORACLES = {
    "activation": ACTIVATIONS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "layer": {
        **dict.fromkeys(("dense", "activation", "dropout", "standardize", "residual"), Net),
        **LAYERS,
        "heads": HeadsNet,
    },
}
