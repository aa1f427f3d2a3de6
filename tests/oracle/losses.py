"""The oracle of the losses: per row (loss, d loss / d z, right or not), in float64 and from the formulas.

Options have the names of the classes in gradcore.losses; `class_weight`, `alpha` and `pos_weight` are arrays
here. A row's `mass` is what it adds to the divisor of the mean.
"""

import math

import numpy as np


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e / (1 + e), 1 / (1 + e))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _wrong(z):
    return np.zeros(len(z), bool)


def _mean(values, slopes, z, right=None):
    """Rows from the terms of the outputs."""
    return values.mean(axis=1), slopes / values.shape[1], _wrong(z) if right is None else right


def mse(z, target):
    return _mean((z - target) ** 2, 2 * (z - target), z)


def mae(z, target):
    return _mean(np.abs(z - target), np.sign(z - target), z)


def huber(z, target, delta=1.0):
    e = z - target
    near = np.abs(e) <= delta
    return _mean(np.where(near, e * e / 2, delta * (np.abs(e) - delta / 2)),
                 np.where(near, e, delta * np.sign(e)), z)  # fmt: skip


def smooth_l1(z, target, beta=1.0):
    if beta == 0:
        return mae(z, target)
    values, slopes, right = huber(z, target, beta)
    return values / beta, slopes / beta, right


def log_cosh(z, target):
    e = z - target
    a = np.abs(e)
    near = np.log1p(2 * np.sinh(np.minimum(a, 1) / 2) ** 2)
    return _mean(np.where(a < 1, near, a + np.log1p(np.exp(-2 * a)) - math.log(2)), np.tanh(e), z)


def quantile(z, target, q=0.5):
    low = z < target
    slope = np.where(low, -q, np.where(z > target, 1 - q, 0.0))
    return _mean(np.where(low, q * (target - z), (1 - q) * (z - target)), slope, z)


def poisson(z, target, log_input=True, full=False, eps=1e-8):
    if log_input:
        values, slopes = np.exp(z) - target * z, np.exp(z) - target
    else:
        values, slopes = z - target * np.log(z + eps), 1 - target / (z + eps)
    if full:
        t = np.maximum(target, 1)
        values = values + np.where(target > 1, t * np.log(t) - t + np.log(2 * np.pi * t) / 2, 0)
    return _mean(values, slopes, z)


def gaussian_nll(z, target, log_variance=True, full=False, eps=1e-6):
    half = z.shape[1] // 2
    mean, s = z[:, :half], z[:, half:]
    raw = np.exp(s) if log_variance else s
    v = np.maximum(raw, eps)
    e = mean - target
    values = (np.log(v) + e * e / v) / 2 + (math.log(2 * math.pi) / 2 if full else 0)
    by_v = (1 / v - e * e / v**2) / 2
    slopes = np.concatenate([e / v, by_v * raw if log_variance else by_v], axis=1)
    return values.mean(axis=1), slopes / half, _wrong(z)


def cosine(z, target, eps=1e-8):
    n = np.sqrt((z * z).sum(axis=1, keepdims=True))
    m = np.maximum(np.sqrt((target * target).sum(axis=1, keepdims=True)), eps)
    value = (z * target).sum(axis=1, keepdims=True) / np.maximum(n, eps) / m
    d = target / np.maximum(n, eps) / m - np.where(n < eps, 0, value * z / np.maximum(n, eps) ** 2)
    return 1 - value[:, 0], -d, _wrong(z)


def binary_cross_entropy(z, target, pos_weight=1.0):
    values = pos_weight * target * _softplus(-z) + (1 - target) * _softplus(z)
    slopes = (1 - target) * _sigmoid(z) - pos_weight * target * _sigmoid(-z)
    return _mean(values, slopes, z, ((z > 0) == (target > 0.5)).all(axis=1))


def hinge(z, target):
    s = np.where(target > 0, 1.0, -1.0)
    lack = np.maximum(0, 1 - s * z)
    return _mean(lack, np.where(lack > 0, -s, 0), z, ((z > 0) == (target > 0)).all(axis=1))


def squared_hinge(z, target):
    s = np.where(target > 0, 1.0, -1.0)
    lack = np.maximum(0, 1 - s * z)
    return _mean(lack**2, -2 * s * lack, z, ((z > 0) == (target > 0)).all(axis=1))


def binary_focal(z, target, gamma=2.0, alpha=None):
    x = np.where(target > 0.5, z, -z)
    factor = 1.0 if alpha is None else np.where(target > 0.5, alpha, 1 - alpha)
    focus = factor * np.exp(-gamma * _softplus(x))  # sigmoid(-x) ** gamma
    by_x = -focus * (gamma * _sigmoid(x) * _softplus(-x) + _sigmoid(-x))
    right = ((z > 0) == (target > 0.5)).all(axis=1)
    return _mean(focus * _softplus(-x), by_x * np.where(target > 0.5, 1, -1), z, right)


def _one_hot(target, classes):
    return np.eye(classes)[np.clip(target, 0, classes - 1)]


def _log_softmax(z):
    """log p, with the digits of a log p near 0: the largest is minus log1p of the others."""
    peak = z.argmax(axis=1)
    gap = z[np.arange(len(z)), peak][:, None] - z
    others = np.where(np.arange(z.shape[1]) == peak[:, None], 0, np.exp(-gap)).sum(axis=1, keepdims=True)
    return -gap - np.log1p(others)


def _doubt(z, target):
    """1 - p of the target's class, from the others."""
    rest = np.where(_one_hot(target, z.shape[1]) > 0, -np.inf, _log_softmax(z))
    return np.exp(rest).sum(axis=1)


def cross_entropy(z, target, label_smoothing=0.0, class_weight=None, weighting="sum", ignore_index=None):
    classes = z.shape[1]
    soft = np.ndim(target) == 2
    q = np.asarray(target, np.float64) if soft else _one_hot(target, classes)
    w = np.ones(classes) if class_weight is None else np.asarray(class_weight, np.float64)
    a = w * ((1 - label_smoothing) * q + label_smoothing / classes)
    log_p = _log_softmax(z)
    d = a.sum(axis=1, keepdims=True) * np.exp(log_p) - a
    if not soft:  # p - 1 from the others, which keeps its digits
        if label_smoothing == 0:
            own = w[np.clip(target, 0, classes - 1)]
            d = np.where(q > 0, -(own * _doubt(z, target))[:, None], d)
        right = z.argmax(axis=1) == target
    else:
        right = z.argmax(axis=1) == q.argmax(axis=1)
    values = -(a * np.where(a > 0, log_p, 0)).sum(axis=1)
    if ignore_index is not None and not soft:
        gone = np.asarray(target) == ignore_index
        values, d, right = np.where(gone, 0, values), np.where(gone[:, None], 0, d), right & ~gone
    return values, d, right


def focal(z, target, gamma=2.0, alpha=1.0):
    log_p = _log_softmax(z)
    own = log_p[np.arange(len(z)), target]
    doubt, p = _doubt(z, target), np.exp(own)
    factor = np.broadcast_to(alpha, z.shape[1])[target]
    power = doubt**gamma
    ratio = np.where(doubt > 0, -own / np.where(doubt > 0, doubt, 1), 1)
    slope = factor * power * (1 + gamma * p * ratio)
    d = slope[:, None] * np.where(_one_hot(target, z.shape[1]) > 0, -doubt[:, None], np.exp(log_p))
    return factor * power * -own, d, z.argmax(axis=1) == target


def kl_divergence(z, target):
    log_p = _log_softmax(z)
    safe = np.where(target > 0, target, 1)
    values = np.where(target > 0, target * (np.log(safe) - log_p), 0).sum(axis=1)
    return values, target.sum(axis=1, keepdims=True) * np.exp(log_p) - target, _wrong(z)


LOSSES = {
    item.__name__: item
    for item in (
        mse, cross_entropy, binary_cross_entropy, mae, huber, smooth_l1, log_cosh, quantile, poisson,
        gaussian_nll, cosine, hinge, squared_hinge, binary_focal, focal, kl_divergence,
    )
}  # fmt: skip

# What no other library has: held by these formulas alone, without stored vectors.
ALONE = ("log_cosh",)
# Those with kinks in z, at which a difference quotient is no derivative.
KINKED = ("mae", "huber", "smooth_l1", "quantile", "hinge", "squared_hinge")
# Those that tell right rows from wrong ones.
CLASSIFY = ("cross_entropy", "binary_cross_entropy", "hinge", "squared_hinge", "binary_focal", "focal")


def mass(name, target, class_weight=None, weighting="sum", ignore_index=None, **_):
    """What each row adds to the divisor before its own weight; 0 where it does not count."""
    if name != "cross_entropy":
        return np.ones(len(target))
    own = np.ones(len(target))
    if class_weight is not None and weighting == "sum":
        w = np.asarray(class_weight, np.float64)
        own = target @ w if np.ndim(target) == 2 else w[np.clip(target, 0, len(w) - 1)]
    counts = np.ones(len(target)) if np.ndim(target) == 2 or ignore_index is None else target != ignore_index
    return own * counts


def mean(name, z, target, weight=None, **options):
    """Loss of a batch, its gradient (rows, cols), weighted share of right rows (NaN where there are none)."""
    z = np.asarray(z, np.float64)
    weight = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    values, d, right = LOSSES[name](z, target, **options)
    own = mass(name, target, **options)
    by_count = options.get("weighting") == "count"
    divisor = (own * (1 if by_count else weight)).sum()
    if "ignore_index" in options and np.ndim(target) == 1:
        weight = np.where(target == options["ignore_index"], 0, weight)
    accuracy = float((weight * right).sum() / weight.sum()) if name in CLASSIFY else math.nan
    return float((weight * values).sum() / divisor), d * weight[:, None] / divisor, accuracy
