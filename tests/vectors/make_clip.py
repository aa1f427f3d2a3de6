"""Writes vectors/clipping.npz: gradients clipped by PyTorch 2.13, optax 0.2.8 and timm 1.0 in float64.

python -m tests.vectors clip
"""

import importlib.util
import math
from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "clipping.npz"
FAN_IN, FAN_OUT = 5, 7

# name: (the engine's rule, the peer, its arguments)
RULES = {
    "torch_2": ("GlobalNorm(1.5, eps=1e-6)", "torch_norm", (1.5, 2.0)),
    "torch_2_large": ("GlobalNorm(1e3, eps=1e-6)", "torch_norm", (1e3, 2.0)),
    "torch_1": ("GlobalNorm(2.5, order=1, eps=1e-6)", "torch_norm", (2.5, 1.0)),
    "torch_inf": ("GlobalNorm(0.5, order=math.inf, eps=1e-6)", "torch_norm", (0.5, math.inf)),
    "torch_value": ("ByValue(0.4)", "torch_value", (0.4,)),
    "torch_each": ("TensorNorm(0.9, eps=1e-6)", "torch_each", (0.9,)),
    "optax_2": ("GlobalNorm(1.5)", "clip_by_global_norm", (1.5,)),
    "optax_value": ("ByValue(0.4)", "clip", (0.4,)),
    "optax_adaptive": ("Adaptive(0.3)", "adaptive_grad_clip", (0.3,)),
    "optax_adaptive_eps": ("Adaptive(0.3, eps=2.0)", "adaptive_grad_clip", (0.3, 2.0)),
    "timm_adaptive": ("Adaptive(0.3)", "timm", (0.3,)),
    "timm_adaptive_small": ("Adaptive(0.01)", "timm", (0.01,)),
    "optax_centralize": ("Centralize()", "centralize", ()),
}


def arrays():
    """Weights and the gradient of one dense layer; one unit has no gradient, one has no weights."""
    rng = np.random.default_rng(20260104)
    weight, gradient = rng.standard_normal((FAN_IN, FAN_OUT)), rng.standard_normal((FAN_IN, FAN_OUT))
    gradient[:, 2] = 0.0
    weight[:, 4] = 0.0
    gradient[1, 3] = 1e-20
    return {"weight": weight, "bias": rng.standard_normal(FAN_OUT)}, {
        "weight": gradient,
        "bias": gradient.sum(axis=0),
    }


def by_torch(torch, peer, arguments):
    weights, gradients = arrays()
    tensors = []
    for name in ("weight", "bias"):
        tensors.append(torch.nn.Parameter(torch.tensor(weights[name].T.copy())))
        tensors[-1].grad = torch.tensor(gradients[name].T.copy())
    utils = torch.nn.utils
    if peer == "torch_norm":
        utils.clip_grad_norm_(tensors, arguments[0], arguments[1], foreach=False)
    elif peer == "torch_each":
        for tensor in tensors:
            utils.clip_grad_norm_([tensor], *arguments, foreach=False)
    elif peer == "torch_value":
        utils.clip_grad_value_(tensors, *arguments, foreach=False)
    else:
        timm_agc().adaptive_clip_grad(tensors, *arguments)
    return [tensor.grad.numpy().T for tensor in tensors]


def timm_agc():
    """timm.utils.agc alone: the package needs torchvision."""
    package = importlib.util.find_spec("timm").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("agc", Path(package) / "utils" / "agc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_optax(optax, peer, arguments):
    weights, gradients = arrays()
    rule = optax.centralize() if peer == "centralize" else getattr(optax, peer)(*arguments)
    if peer == "centralize":  # optax centralises over all axes but the first: a unit there is a row
        updates, _ = rule.update({"weight": gradients["weight"].T}, rule.init(weights), None)
        return [np.asarray(updates["weight"]).T, gradients["bias"]]
    updates, _ = rule.update(gradients, rule.init(weights), weights)
    return [np.asarray(updates[name]) for name in ("weight", "bias")]


def main():
    import jax

    jax.config.update("jax_enable_x64", True)
    import optax
    import torch

    vectors = {}
    for name, (_, peer, arguments) in RULES.items():
        torches = peer.startswith("torch") or peer == "timm"
        clipped = by_torch(torch, peer, arguments) if torches else by_optax(optax, peer, arguments)
        vectors[name] = np.concatenate([part.reshape(-1) for part in clipped])
        assert vectors[name].dtype == np.float64
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **vectors)
    print(f"{PATH}: {len(vectors)} gradients, {PATH.stat().st_size} bytes, torch {torch.__version__}")
