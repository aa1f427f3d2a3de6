"""The catalogue of optimizers in plain float64 NumPy, from the papers' formulas.

update(w, g, state, lr, step, **own) is of one array that is the whole model; state starts empty. Options are
those of gradcore.optimizers.
"""

import inspect
import math

import numpy as np


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


def _mean(state, key, beta, value):
    """A running mean that starts at 0."""
    state[key] = beta * state.get(key, 0.0) + (1 - beta) * value
    return state[key]


def adagrad(w, g, state, lr, step, eps=1e-10, initial=0.0, lr_decay=0.0, weight_decay=0.0):
    g = g + weight_decay * w
    state["s"] = state.get("s", initial) + g**2
    return w - lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(state["s"]) + eps)


def adadelta(w, g, state, lr, step, rho=0.9, eps=1e-6, weight_decay=0.0):
    g = g + weight_decay * w
    s = _mean(state, "s", rho, g**2)
    u = np.sqrt(state.get("d", 0.0) + eps) / np.sqrt(s + eps) * g
    _mean(state, "d", rho, u**2)
    return w - lr * u


def adamax(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    m = _mean(state, "m", betas[0], g)
    state["u"] = np.maximum(betas[1] * state.get("u", 0.0), np.abs(g) + eps)
    return w - lr * m / (1 - betas[0] ** step) / state["u"]


def nadam(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, psi=4e-3, weight_decay=0.0):
    g = g + weight_decay * w

    def momentum(t):
        return betas[0] * (1 - 0.5 * 0.96 ** (t * psi))

    product = math.prod(momentum(t) for t in range(1, step + 1))
    m, v = _mean(state, "m", betas[0], g), _mean(state, "v", betas[1], g**2)
    ahead = momentum(step + 1) * m / (1 - product * momentum(step + 1))
    return w - lr * (ahead + (1 - momentum(step)) * g / (1 - product)) / (
        np.sqrt(v / (1 - betas[1] ** step)) + eps
    )


def radam(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    m, v = _mean(state, "m", betas[0], g) / (1 - betas[0] ** step), _mean(state, "v", betas[1], g**2)
    longest = 2 / (1 - betas[1]) - 1
    length = longest - 2 * step * betas[1] ** step / (1 - betas[1] ** step)
    if length <= 5:
        return w - lr * m
    r = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    return w - lr * r * m * math.sqrt(1 - betas[1] ** step) / (np.sqrt(v) + eps)


def adabelief(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-16, eps_root=1e-16, weight_decay=0.0):
    w = w * (1 - lr * weight_decay)
    m = _mean(state, "m", betas[0], g)
    s = _mean(state, "s", betas[1], (g - m) ** 2) + eps_root
    state["s"] = s
    return w - lr * m / (1 - betas[0] ** step) / (np.sqrt(s / (1 - betas[1] ** step)) + eps)


def yogi(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-3, initial=1e-6, weight_decay=0.0):
    w = w * (1 - lr * weight_decay)
    for key in ("m", "v"):
        state.setdefault(key, np.full_like(w, initial))
    m = _mean(state, "m", betas[0], g) / (1 - betas[0] ** step)
    state["v"] = state["v"] - (1 - betas[1]) * np.sign(state["v"] - g**2) * g**2
    return w - lr * m / (np.sqrt(state["v"] / (1 - betas[1] ** step)) + eps)


def adan(w, g, state, lr, step, betas=(0.98, 0.92, 0.99), eps=1e-8, eps_root=1e-8, weight_decay=0.0):
    w = w * (1 - lr * weight_decay)
    d = g - state.get("g", g)
    state["g"] = g.copy()
    means = ("m", g), ("v", d), ("n", (g + (1 - betas[1]) * d) ** 2)
    m, v, n = (
        _mean(state, key, beta, x) / (1 - beta**step) for beta, (key, x) in zip(betas, means, strict=True)
    )
    return w - lr * (m + (1 - betas[1]) * v) / (np.sqrt(n + eps_root) + eps)


def lion(w, g, state, lr, step, betas=(0.9, 0.99), weight_decay=1e-3):
    direction = np.sign(betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g)
    _mean(state, "m", betas[1], g)
    return w - lr * (direction + weight_decay * w)


def adopt(w, g, state, lr, step, betas=(0.9, 0.9999), eps=1e-6, weight_decay=0.0):
    w = w * (1 - lr * weight_decay)
    if step == 1:
        state["v"] = g**2
        return w
    limit = (step - 1) ** 0.25
    m = _mean(state, "m", betas[0], np.clip(g / np.maximum(np.sqrt(state["v"]), eps), -limit, limit))
    _mean(state, "v", betas[1], g**2)
    return w - lr * m


def ademamix(w, g, state, lr, step, betas=(0.9, 0.999, 0.9999), alpha=5.0, eps=1e-8, weight_decay=0.0):
    m, v = _mean(state, "m", betas[0], g), _mean(state, "v", betas[1], g**2)
    above = m / (1 - betas[0] ** step) + alpha * _mean(state, "slow", betas[2], g)
    return w - lr * (above / (np.sqrt(v / (1 - betas[1] ** step)) + eps) + weight_decay * w)


def rprop(w, g, state, lr, step, shrink=0.5, grow=1.2, smallest=1e-6, largest=50.0, weight_decay=0.0):
    g = g + weight_decay * w
    agreement = g * state.get("g", 0.0)
    factor = np.where(agreement > 0, grow, np.where(agreement < 0, shrink, 1.0))
    state["step"] = np.clip(state.get("step", lr) * factor, smallest, largest)
    state["g"] = np.where(agreement < 0, 0.0, g)
    return w - state["step"] * np.sign(state["g"])


def _schedule_free(w, u, state, lr, step, beta, warmup, power, lr_power):
    lr = lr * min(1.0, step / warmup) if warmup else lr
    state["largest"] = max(state.get("largest", 0.0), lr)
    weight = step**power * state["largest"] ** lr_power
    state["sum"] = state.get("sum", 0.0) + weight
    share = weight / state["sum"]
    z = state.get("z", w)
    x = (w - (1 - beta) * z) / beta  # of y = (1 - beta) z + beta x
    state["z"] = z - lr * u
    x = (1 - share) * x + share * state["z"]
    state["x"] = x
    return (1 - beta) * state["z"] + beta * x


def schedule_free_sgd(
    w, g, state, lr, step, momentum=0.9, warmup=0.0, power=0.0, lr_power=2.0, weight_decay=0.0
):
    return _schedule_free(w, g + weight_decay * w, state, lr, step, momentum, warmup, power, lr_power)


def schedule_free_adamw(
    w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, warmup=0.0, power=0.0, lr_power=2.0, weight_decay=0.0
):
    v = _mean(state, "v", betas[1], g**2) / (1 - betas[1] ** step)
    u = g / (np.sqrt(v) + eps) + weight_decay * w
    return _schedule_free(w, u, state, lr, step, betas[0], warmup, power, lr_power)


def lamb(w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
    m, v = _mean(state, "m", betas[0], g) / (1 - betas[0] ** step), _mean(state, "v", betas[1], g**2)
    u = m / (np.sqrt(v / (1 - betas[1] ** step)) + eps) + weight_decay * w
    of_w, of_u = np.sqrt((w**2).sum()), np.sqrt((u**2).sum())
    return w - lr * (of_w / of_u if of_w > 0 and of_u > 0 else 1.0) * u


def lars(w, g, state, lr, step, momentum=0.9, trust=1e-3, eps=1e-8, weight_decay=0.0):
    of_w, of_g = np.sqrt((w**2).sum()), np.sqrt((g**2).sum())
    ratio = trust * of_w / (of_g + weight_decay * of_w + eps) if of_w > 0 and of_g > 0 else 1.0
    state["v"] = momentum * state.get("v", 0.0) + ratio * (g + weight_decay * w)
    return w - lr * state["v"]


def prodigy(
    w, g, state, lr, step, betas=(0.9, 0.999), eps=1e-8, initial=1e-6, coefficient=1.0, weight_decay=0.0
):
    d, start, beta3 = state.get("d", initial), state.setdefault("w", w), math.sqrt(betas[1])
    rate = d * lr * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    m, v = _mean(state, "m", betas[0], d * g), _mean(state, "v", betas[1], (d * g) ** 2)
    state["r"] = beta3 * state.get("r", 0.0) + d / initial * rate * (g * (start - w)).sum()
    state["s"] = beta3 * state.get("s", 0.0) + rate * d * g / initial
    state["d"] = max(d, coefficient * state["r"] / np.abs(state["s"]).sum())
    return w - rate * (m / (np.sqrt(v) + state["d"] * eps) + weight_decay * w)


def muon(
    w,
    g,
    state,
    lr,
    step,
    momentum=0.95,
    steps=5,
    coefficients=(3.4445, -4.7750, 2.0315),
    eps=1e-7,
    weight_decay=0.1,
):
    m = _mean(state, "m", momentum, g)
    x = momentum * m + (1 - momentum) * g
    x = x / max(math.sqrt((x**2).sum()), eps)
    a, b, c = coefficients
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (1 - lr * weight_decay) * w - lr * math.sqrt(max(1.0, w.shape[1] / w.shape[0])) * x


def _eigenbasis(gram):
    """Eigenvectors as columns, those of the largest eigenvalues first."""
    return np.linalg.eigh(gram)[1][:, ::-1]


def soap(
    w,
    g,
    state,
    lr,
    step,
    betas=(0.95, 0.95),
    eps=1e-8,
    frequency=10,
    sides=(True, True),
    weight_decay=0.01,
    bases=None,
):
    """The first moment stays as it is and is turned every time. sides: which of them have a basis; bases: the
    first ones, where the gradient leaves them open."""
    grams = (g @ g.T, g.T @ g)
    if step == 1:
        state["grams"] = [(1 - betas[1]) * gram for gram in grams]
        found = bases or [_eigenbasis(gram) for gram in state["grams"]]
        state["bases"] = [q if side else np.eye(len(q)) for q, side in zip(found, sides, strict=True)]
        return w
    t, (left, right) = step - 1, state["bases"]
    m, v = _mean(state, "m", betas[0], g), _mean(state, "v", betas[1], (left.T @ g @ right) ** 2)
    rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    w = w - rate * left @ (left.T @ m @ right / (np.sqrt(v) + eps)) @ right.T
    state["grams"] = [
        betas[1] * old + (1 - betas[1]) * new for old, new in zip(state["grams"], grams, strict=True)
    ]
    for axis, (gram, side) in enumerate(zip(state["grams"], sides, strict=True)):
        if side and t % frequency == 0:
            q = state["bases"][axis]
            order = np.argsort(-np.diag(q.T @ gram @ q), kind="stable")
            state["bases"][axis] = np.linalg.qr(gram @ q[:, order])[0]
            state["v"] = np.take(state["v"], order, axis=axis)
    return (1 - lr * weight_decay) * w


# Every function above is the rule of its name.
OPTIMIZERS = {name: item for name, item in globals().items() if inspect.isfunction(item) and name[0] != "_"}

# Rules that no other library has: by this formula alone, under the style that is their default.
ALONE = ("SOAP",)

# How fast a class learns: options, then rates for a quadratic of condition 1e4, Rosenbrock's valley, digits
RATES = {
    "SGD": ({"momentum": 0.99}, 5e-3, 2e-4, 5e-3),
    "Rprop": ({}, 0.01, 0.01, 1e-3),
    "ScheduleFreeSGD": ({"momentum": 0.98}, 0.9, 1e-3, 1.0),
    "Adagrad": ({}, 1.0, 0.5, 0.05),
    "Adadelta": ({}, 0.3, 0.3, 1.0),
    "RMSprop": ({}, 0.01, 1e-3, 1e-3),
    "Adam": ({}, 0.05, 0.02, 3e-3),
    "AdamW": ({}, 0.05, 0.02, 3e-3),
    "Adamax": ({}, 0.05, 0.02, 5e-3),
    "NAdam": ({}, 0.05, 0.02, 3e-3),
    "RAdam": ({}, 5e-3, 5e-3, 1e-2),
    "AdaBelief": ({}, 0.05, 0.02, 3e-3),
    "Yogi": ({}, 0.05, 0.02, 1e-2),
    "Adan": ({}, 0.05, 0.02, 3e-3),
    "AdEMAMix": ({"betas": (0.9, 0.999, 0.99), "alpha": 1.0}, 0.02, 0.01, 2e-3),
    "ADOPT": ({"betas": (0.9, 0.99)}, 0.05, 0.02, 3e-3),
    "Lion": ({}, 1e-3, 1e-3, 1e-3),
    "ScheduleFreeAdamW": ({}, 0.1, 0.05, 1e-2),
    "LAMB": ({}, 0.01, 0.01, 1e-2),
    "LARS": ({"trust": 0.02}, 0.5, 0.05, 0.3),
    "Prodigy": ({}, 1.0, 1.0, 1.0),
    "Muon": ({"weight_decay": 0.0}, 0.05, 0.02, 3e-3),
    "SOAP": ({}, 0.05, 0.02, 3e-3),
}
USUAL_RATES = {}, 0.05, 0.02, 3e-3  # of those that are not there
