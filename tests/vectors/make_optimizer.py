"""Writes vectors/catalogue.npz: optimizers of other libraries in float64, on make_torch.py's gradients.

Run once: python -m tests.vectors optimizer, with PyTorch 2.13, optax, timm, scikit-learn, schedulefree.
Rules of Keras are written out below in NumPy; vectors/make_keras.py has Keras itself.
"""

import importlib
import importlib.util
import math
import sys
import types
from pathlib import Path

import numpy as np
from vectors import make_torch

PATH = Path(__file__).parent / "catalogue.npz"
KEPT = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 18, 24)  # steps whose parameters are stored

# name: (peer, its class or function, its options, rates before and after CHANGE, our class, our options)
CONFIGURATIONS = {
    "sgd_dampening": ("torch", "SGD", {"momentum": 0.9, "dampening": 0.4}, (0.1, 0.03),
                      "SGD", {"momentum": 0.9, "dampening": 0.4}),
    "sgd_maximize": ("torch", "SGD", {"momentum": 0.9, "weight_decay": 0.01, "maximize": True}, (0.1, 0.03),
                     "SGD", {"momentum": 0.9, "weight_decay": 0.01, "maximize": True}),
    "sgd_optax": ("optax", "sgd", {"momentum": 0.9, "nesterov": True}, (0.1, 0.03),
                  "SGD", {"momentum": 0.9, "nesterov": True, "style": "optax"}),
    "sgd_sklearn": ("sklearn", "SGDOptimizer", {"momentum": 0.9, "nesterov": True}, (0.1, 0.03),
                    "SGD", {"style": "sklearn"}),
    "sgd_keras": ("keras", "sgd", {"momentum": 0.9, "nesterov": False, "decay": 0.02}, (0.1, 0.03),
                  "SGD", {"momentum": 0.9, "weight_decay": 0.02, "style": "keras"}),
    "sgd_keras_nesterov": ("keras", "sgd", {"momentum": 0.9, "nesterov": True, "decay": 0.0}, (0.1, 0.03),
                           "SGD", {"momentum": 0.9, "nesterov": True, "style": "keras"}),
    "adagrad": ("torch", "Adagrad", {"lr_decay": 0.01, "weight_decay": 0.01}, (1e-2, 3e-3),
                "Adagrad", {"lr_decay": 0.01, "weight_decay": 0.01}),
    "adagrad_initial": ("torch", "Adagrad", {"initial_accumulator_value": 0.3}, (1e-2, 3e-3),
                        "Adagrad", {"initial": 0.3}),
    "adagrad_optax": ("optax", "adagrad", {}, (1e-2, 3e-3), "Adagrad", {"style": "optax"}),
    "adagrad_keras": ("keras", "adagrad", {"decay": 0.02}, (1e-3, 3e-3),
                      "Adagrad", {"weight_decay": 0.02, "style": "keras"}),
    "adadelta": ("torch", "Adadelta", {"weight_decay": 0.01}, (1.0, 0.3), "Adadelta", {"weight_decay": 0.01}),
    "adadelta_optax": ("optax", "adadelta", {"rho": 0.9, "eps": 1e-6}, (1.0, 0.3),
        "Adadelta", {"style": "optax"}),
    "adadelta_keras": ("keras", "adadelta", {}, (1e-3, 3e-3), "Adadelta", {"style": "keras"}),
    "rmsprop_optax": ("optax", "rmsprop", {"decay": 0.9, "momentum": 0.8}, (1e-2, 3e-3),
                      "RMSprop", {"momentum": 0.8, "style": "optax"}),
    "rmsprop_keras": ("keras", "rmsprop", {"momentum": 0.8, "centered": False}, (1e-3, 3e-3),
                      "RMSprop", {"momentum": 0.8, "style": "keras"}),
    "rmsprop_timm": ("timm", "RMSpropTF", {"momentum": 0.9}, (1e-2, 3e-3),
                     "RMSprop", {"momentum": 0.9, "style": "timm"}),
    "adam_amsgrad": ("torch", "Adam", {"amsgrad": True, "weight_decay": 0.1}, (1e-3, 1e-2),
                     "Adam", {"amsgrad": True, "weight_decay": 0.1}),
    "adam_optax": ("optax", "adam", {"eps_root": 1e-6}, (1e-3, 1e-2),
        "Adam", {"eps_root": 1e-6, "style": "optax"}),
    "adam_keras": ("keras", "adam", {"decay": 0.0}, (1e-3, 1e-2), "Adam", {"style": "keras"}),
    "adam_sklearn": ("sklearn", "AdamOptimizer", {}, (1e-3, 1e-2), "Adam", {"style": "sklearn"}),
    "adamw_optax": ("optax", "adamw", {"weight_decay": 1e-4}, (1e-3, 1e-2), "AdamW", {"style": "optax"}),
    "adamw_keras": ("keras", "adam", {"decay": 0.004}, (1e-3, 1e-2), "AdamW", {"style": "keras"}),
    "adamax": ("torch", "Adamax", {"weight_decay": 0.1}, (2e-3, 1e-2), "Adamax", {"weight_decay": 0.1}),
    "adamax_optax": ("optax", "adamax", {}, (2e-3, 1e-2), "Adamax", {"style": "optax"}),
    "adamax_keras": ("keras", "adamax", {}, (1e-3, 1e-2), "Adamax", {"style": "keras"}),
    "nadam": ("torch", "NAdam", {"weight_decay": 0.1}, (2e-3, 1e-2), "NAdam", {"weight_decay": 0.1}),
    "nadam_decoupled": ("torch", "NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, (2e-3, 1e-2),
                        "NAdam", {"weight_decay": 0.1, "decoupled": True}),
    "nadam_optax": ("optax", "nadam", {}, (2e-3, 1e-2), "NAdam", {"style": "optax"}),
    "nadam_keras": ("keras", "nadam", {}, (1e-3, 1e-2), "NAdam", {"style": "keras"}),
    "radam": ("torch", "RAdam", {"weight_decay": 0.1}, (1e-3, 1e-2), "RAdam", {"weight_decay": 0.1}),
    "radam_optax": ("optax", "radam", {}, (1e-3, 1e-2), "RAdam", {"style": "optax"}),
    "adabelief": ("optax", "adabelief", {}, (1e-3, 1e-2), "AdaBelief", {}),
    "adabelief_eps": ("optax", "adabelief", {"eps": 1e-8, "eps_root": 1e-8}, (1e-3, 1e-2),
                      "AdaBelief", {"eps": 1e-8, "eps_root": 1e-8}),
    "yogi": ("optax", "yogi", {}, (1e-2, 3e-3), "Yogi", {}),
    "adan": ("optax", "adan", {"weight_decay": 0.05}, (1e-3, 1e-2), "Adan", {"weight_decay": 0.05}),
    "lion": ("optax", "lion", {"weight_decay": 1e-3}, (1e-4, 1e-3), "Lion", {}),
    "lion_keras": ("keras", "lion", {}, (1e-3, 1e-2), "Lion", {"style": "keras"}),
    "adopt": ("optax", "contrib.adopt", {}, (1e-3, 1e-2), "ADOPT", {}),
    "adopt_nesterov": ("optax", "contrib.adopt", {"nesterov": True, "use_clipping": False}, (1e-3, 1e-2),
                       "ADOPT", {"nesterov": True, "clipped": False}),
    "ademamix": ("optax", "contrib.ademamix", {"weight_decay": 0.1}, (1e-3, 1e-2),
        "AdEMAMix", {"weight_decay": 0.1}),
    "rprop": ("torch", "Rprop", {}, (1e-2, 1e-2), "Rprop", {}),
    "schedule_free_sgd": ("schedulefree", "SGDScheduleFree", {"warmup_steps": 5, "weight_decay": 0.01},
                          (0.1, 0.3),
                          "ScheduleFreeSGD", {"warmup": 5, "weight_decay": 0.01}),
    "schedule_free_adamw": ("schedulefree", "AdamWScheduleFree",
                            {"warmup_steps": 5, "weight_decay": 0.01, "r": 0.5}, (2.5e-3, 1e-2),
                            "ScheduleFreeAdamW", {"warmup": 5, "weight_decay": 0.01, "power": 0.5}),
    "lamb": ("optax", "lamb", {"weight_decay": 0.05}, (1e-2, 3e-2), "LAMB", {"weight_decay": 0.05}),
    "lamb_timm": ("timm", "Lamb", {"max_grad_norm": None, "weight_decay": 0.05, "trust_clip": True},
                  (1e-2, 3e-2),
                  "LAMB", {"weight_decay": 0.05, "trust_clip": True, "style": "timm"}),
    "lars": ("timm", "Lars", {"momentum": 0.9, "weight_decay": 0.05, "always_adapt": True}, (1.0, 0.3),
             "LARS", {"weight_decay": 0.05}),
    "lars_optax": ("optax", "lars", {"weight_decay": 0.05}, (1.0, 0.3),
        "LARS", {"weight_decay": 0.05, "style": "optax"}),
    "prodigy": ("optax", "contrib.prodigy", {"weight_decay": 0.01}, (1.0, 0.3),
        "Prodigy", {"weight_decay": 0.01}),
    "prodigy_safeguard": ("optax", "contrib.prodigy", {"safeguard_warmup": True}, (0.3, 1.0),
                          "Prodigy", {"safeguard": True}),
}  # fmt: skip


def run(update):
    """The kept parameters of update(step, weights, gradients) -> weights."""
    weights, out = make_torch.start(), []
    for step, gradients in enumerate(make_torch.gradients()):
        weights = update(step, weights, gradients)
        out.append(np.concatenate([np.array(w, np.float64).reshape(-1) for w in weights]))
    return np.array(out)[list(KEPT)]


def by_torch(module, kind, options, rates):
    import torch

    torch.set_default_dtype(torch.float64)  # NAdam keeps its product in the default type
    tensors = [torch.nn.Parameter(torch.tensor(value)) for value in make_torch.start()]
    optimizer = getattr(module, kind)(tensors, lr=rates[0], foreach=False, **options)
    if hasattr(optimizer, "train"):
        optimizer.train()

    def update(step, weights, gradients):
        optimizer.param_groups[0]["lr"] = rates[step >= make_torch.CHANGE]
        for tensor, value in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(value)
        optimizer.step()
        return [tensor.detach().numpy().copy() for tensor in tensors]

    return run(update)


def by_optax(kind, options, rates):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    make = optax.contrib if kind.startswith("contrib.") else optax
    rule = getattr(make, kind.removeprefix("contrib."))(
        learning_rate=lambda count: jax.numpy.where(count >= make_torch.CHANGE, rates[1], rates[0]),
        **options,
    )
    params = [jax.numpy.asarray(value) for value in make_torch.start()]
    state = rule.init(params)

    def update(step, weights, gradients):
        nonlocal params, state
        updates, state = rule.update([jax.numpy.asarray(g) for g in gradients], state, params)
        params = optax.apply_updates(params, updates)
        return params

    return run(update)


def by_sklearn(kind, options, rates):
    from sklearn.neural_network import _stochastic_optimizers as rules

    params = make_torch.start()
    rule = getattr(rules, kind)(params, rates[0], **options)

    def update(step, weights, gradients):
        rule.learning_rate = rule.learning_rate_init = rates[step >= make_torch.CHANGE]
        rule.update_params(params, gradients)
        return [p.copy() for p in params]

    return run(update)


# ---- Keras' rules for one number: rule(w, g, s, lr, t) with a state s that starts at 0 everywhere ----


def keras_sgd(momentum, nesterov, decay):
    def rule(w, g, s, lr, t):
        w = w - w * decay * lr
        s["v"] = momentum * s["v"] - lr * g
        return w + (momentum * s["v"] - lr * g if nesterov else s["v"])

    return rule


def keras_adagrad(decay):
    def rule(w, g, s, lr, t):
        w = w - w * decay * lr
        s["G"] = (0.1 if t == 1 else s["G"]) + g * g
        return w - lr * g / np.sqrt(s["G"] + 1e-7)

    return rule


def keras_adadelta():
    def rule(w, g, s, lr, t):
        s["g"] = 0.95 * s["g"] + 0.05 * g * g
        u = -np.sqrt(s["d"] + 1e-7) * g / np.sqrt(s["g"] + 1e-7)
        s["d"] = 0.95 * s["d"] + 0.05 * u * u
        return w + lr * u

    return rule


def keras_rmsprop(momentum, centered):
    def rule(w, g, s, lr, t):
        s["s"] = 0.9 * s["s"] + 0.1 * g * g
        s["m"] = 0.9 * s["m"] + 0.1 * g
        divisor = np.sqrt(s["s"] - (s["m"] ** 2 if centered else 0) + 1e-7)
        s["b"] = momentum * s["b"] + lr * g / divisor
        return w - s["b"]

    return rule


def keras_adam(decay):
    def rule(w, g, s, lr, t):
        w = w - w * decay * lr
        alpha = lr * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        s["m"] = s["m"] + (g - s["m"]) * (1 - 0.9)
        s["v"] = s["v"] + (g * g - s["v"]) * (1 - 0.999)
        return w - alpha * s["m"] / (np.sqrt(s["v"]) + 1e-7)

    return rule


def keras_adamax():
    def rule(w, g, s, lr, t):
        s["m"] = s["m"] + (g - s["m"]) * (1 - 0.9)
        s["u"] = np.maximum(0.999 * s["u"], np.abs(g))
        return w - lr * s["m"] / ((1 - 0.9**t) * (s["u"] + 1e-7))

    return rule


def keras_nadam():
    def rule(w, g, s, lr, t):
        now, then = 0.9 * (1 - 0.5 * 0.96**t), 0.9 * (1 - 0.5 * 0.96 ** (t + 1))
        s["p"] = (1.0 if t == 1 else s["p"]) * now
        s["m"] = s["m"] + (g - s["m"]) * (1 - 0.9)
        s["v"] = s["v"] + (g * g - s["v"]) * (1 - 0.999)
        m = then * s["m"] / (1 - s["p"] * then) + (1 - now) * g / (1 - s["p"])
        return w - lr * m / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-7)

    return rule


def keras_lion():
    def rule(w, g, s, lr, t):
        w = w - lr * np.sign(0.9 * s["m"] + (1 - 0.9) * g)
        s["m"] = 0.99 * s["m"] + (1 - 0.99) * g
        return w

    return rule


class Zeros(dict):
    def __missing__(self, key):
        return 0.0


def by_keras(kind, options, rates):
    rule = globals()[f"keras_{kind}"](**options)
    states = [Zeros() for _ in make_torch.SHAPES]

    def update(step, weights, gradients):
        lr = rates[step >= make_torch.CHANGE]
        return [rule(w, g, s, lr, step + 1) for w, g, s in zip(weights, gradients, states, strict=True)]

    return run(update)


def trajectory(peer, kind, options, rates):
    if peer == "optax":
        return by_optax(kind, options, rates)
    if peer == "sklearn":
        return by_sklearn(kind, options, rates)
    if peer == "keras":
        return by_keras(kind, options, rates)
    if peer == "timm" and "timm" not in sys.modules:  # its models need torchvision, its optimizers do not
        package = types.ModuleType("timm")
        package.__path__ = importlib.util.find_spec("timm").submodule_search_locations
        sys.modules["timm"] = package
        sys.modules["timm.models"] = types.ModuleType("timm.models")
        sys.modules["timm.models"].group_parameters = None
    name = {"torch": "torch.optim", "timm": "timm.optim", "schedulefree": "schedulefree"}[peer]
    return by_torch(importlib.import_module(name), kind, options, rates)


def main():
    vectors = {name: trajectory(*about[:4]) for name, about in CONFIGURATIONS.items()}
    np.savez_compressed(PATH, **vectors)
    print(f"{PATH}: {len(vectors)} trajectories, {PATH.stat().st_size} bytes")
