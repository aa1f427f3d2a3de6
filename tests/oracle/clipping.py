"""Rules on gradients and weights in float64, on dicts of arrays by name; weights are (fan_in, fan_out)."""

import math

import numpy as np


def norm(arrays, order=2):
    flat = np.abs(np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64))
    return {1: flat.sum(), 2: math.sqrt((flat**2).sum()), math.inf: flat.max()}[order]


def factor(size, limit, eps=0.0):
    return limit / (size + eps) if size + eps > limit else 1.0


def global_norm(gradients, weights, limit, order=2, eps=0.0):
    scale = factor(norm(gradients.values(), order), limit, eps)
    return {name: scale * g for name, g in gradients.items()}


def tensor_norm(gradients, weights, limit, order=2, eps=0.0, skip=()):
    return {
        name: g if name.startswith(skip) else g * factor(norm([g], order), limit, eps)
        for name, g in gradients.items()
    }


def unit_norms(array):
    return np.sqrt((array**2).sum(axis=0)) if array.ndim == 2 else np.sqrt((array**2).sum())


def adaptive(gradients, weights, ratio, eps=1e-3, skip=()):
    out = {}
    for name, g in gradients.items():
        most = ratio * np.maximum(unit_norms(weights[name]), eps)
        size = unit_norms(g)
        scale = np.where(size < most, 1.0, most / np.maximum(size, 1e-6))
        out[name] = g if name.startswith(skip) else g * scale
    return out


def centralize(gradients, weights):
    return {name: g - g.mean(axis=0) if g.ndim == 2 else g for name, g in gradients.items()}


def by_value(gradients, weights, limit):
    return {name: np.clip(g, -limit, limit) for name, g in gradients.items()}


def max_norm(w, limit):
    size = unit_norms(w)
    return w * np.where(size > limit, limit / np.maximum(size, 1e-300), 1.0)


def unit_norm(w, wanted=1.0):
    size = unit_norms(w)
    return np.where(size > 0, wanted * w / np.where(size > 0, size, 1.0), w)


def auto_clip(norms, percentile):
    """The factor of each step."""
    return [
        min(1.0, np.percentile(norms[: i + 1], percentile) / norms[i]) if norms[i] else 1.0
        for i in range(len(norms))
    ]


def z_clip(norms, threshold=2.5, decay=0.97, warmup=25, mode="adaptive"):
    factors, mean, variance = [], 0.0, 0.0
    for i, size in enumerate(norms):
        if i < warmup:
            if i == warmup - 1:
                mean, variance = np.mean(norms[:warmup]), np.var(norms[:warmup])
            factors.append(1.0)
            continue
        spread = math.sqrt(variance)
        z = (size - mean) / (spread + 1e-6)
        kept = size
        if z > threshold:
            kept = mean + threshold * spread / (z / threshold) if mode == "adaptive" else mean
        mean = decay * mean + (1 - decay) * kept
        variance = decay * variance + (1 - decay) * (kept - mean) ** 2
        factors.append(min(1.0, kept / size))
    return factors


# A rule from statistics of the norms, as it is written in Python: the factor of each step from all norms.
STATISTICS = {
    "AutoClip()": lambda norms: auto_clip(norms, 10),
    "AutoClip(62.5, window=None)": lambda norms: auto_clip(norms, 62.5),
    "ZClip(warmup=10)": lambda norms: z_clip(norms, warmup=10),
    "ZClip(1.5, 0.9, 10, mode='mean')": lambda norms: z_clip(norms, 1.5, 0.9, 10, "mean"),
}
# What no other library has with the same numbers: held by these formulas and by tests of their own.
ALONE = ("PerExample", "Noise")
