"""Writes vectors/matrices.npz: Muon of other libraries in float64, on vectors/make_torch.py's gradients.

Run: python -m tests.vectors matrix, once where PyTorch 2.13 and optax 0.2.8 are, once where Keras 3.15
with the backend JAX is; each adds its own. PyTorch iterates in bfloat16.
"""

import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np
from vectors import make_torch

PATH = Path(__file__).parent / "matrices.npz"
RATES = (2.0**-6, 2.0**-8)

# name: (peer, its options, our options besides lr); optax' rest has no decay unless told
CONFIGURATIONS = {
    "optax": ("optax", {}, {"style": "optax"}),
    "optax_rms": ("optax", {"consistent_rms": 0.3, "weight_decay": 0.01, "adam_weight_decay": 0.01,
                            "beta": 0.9},
                  {"style": "optax", "scale": "rms", "rms": 0.3, "weight_decay": 0.01, "momentum": 0.9}),
    "optax_heavy_ball": ("optax", {"nesterov": False, "adam_b2": 0.99, "ns_steps": 7},
                         {"style": "optax", "nesterov": False, "betas": (0.9, 0.99), "steps": 7}),
    "optax_cubic": ("optax", {"ns_coeffs": (1.5, -0.5, 0.0), "ns_steps": 12},
                    {"style": "optax", "coefficients": (1.5, -0.5, 0.0), "steps": 12}),
    "keras": ("keras", {}, {"style": "keras"}),
    "keras_heavy_ball": ("keras", {"nesterov": False, "weight_decay": None, "adam_weight_decay": None,
                                   "rms_rate": 0.5},
                         {"style": "keras", "nesterov": False, "weight_decay": 0.0, "rms": 0.5}),
    "torch": ("torch", {}, {}),
    "torch_rms": ("torch", {"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.01, "nesterov": False},
                  {"scale": "rms", "weight_decay": 0.01, "nesterov": False}),
}  # fmt: skip


def run(update):
    """All parameters after every step of update(step, gradients) -> weights."""
    return np.array(
        [
            np.concatenate([np.array(w, np.float64).reshape(-1) for w in update(step, gradients)])
            for step, gradients in enumerate(make_torch.gradients())
        ]
    )


def by_optax(options):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    rule = optax.contrib.muon(
        learning_rate=lambda count: jax.numpy.where(count >= make_torch.CHANGE, RATES[1], RATES[0]),
        **options,
    )
    params = [jax.numpy.asarray(value) for value in make_torch.start()]
    state = rule.init(params)

    def update(step, gradients):
        nonlocal params, state
        updates, state = rule.update([jax.numpy.asarray(g) for g in gradients], state, params)
        params = optax.apply_updates(params, updates)
        return params

    return run(update)


def by_torch(options):
    """Muon takes matrices only, each the transpose of ours: so the vector is left as it is."""
    import torch

    start = make_torch.start()
    tensors = [torch.nn.Parameter(torch.tensor(value.T.copy())) for value in start[:2]]
    optimizer = torch.optim.Muon(tensors, lr=RATES[0], **options)

    def update(step, gradients):
        optimizer.param_groups[0]["lr"] = RATES[step >= make_torch.CHANGE]
        for tensor, value in zip(tensors, gradients[:2], strict=True):
            tensor.grad = torch.tensor(value.T.copy())
        optimizer.step()
        return [*(tensor.detach().numpy().T for tensor in tensors), start[2]]

    return run(update)


def by_keras(options):
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_enable_x64", True)
    import keras

    keras.config.set_floatx("float64")  # its rate, and the root of the factor of a shape
    rule = importlib.import_module("keras.src.optimizers.muon")
    rule.ops.norm = lambda x, axis, keepdims: (
        jax.numpy.linalg.norm(  # keras' own rounds to float32 on the way
            keras.ops.convert_to_tensor(x), axis=axis, keepdims=keepdims
        )
    )
    variables = [keras.Variable(value, dtype="float64") for value in make_torch.start()]
    optimizer = keras.optimizers.Muon(learning_rate=RATES[0], **options)
    optimizer.build(variables)

    def update(step, gradients):
        optimizer.learning_rate = RATES[step >= make_torch.CHANGE]
        optimizer.apply([keras.ops.convert_to_tensor(g, "float64") for g in gradients], variables)
        return [keras.ops.convert_to_numpy(variable) for variable in variables]

    return run(update)


def main():
    vectors = dict(np.load(PATH)) if PATH.exists() else {}
    for name, (peer, options, _) in CONFIGURATIONS.items():
        if importlib.util.find_spec(peer):
            vectors[name] = globals()[f"by_{peer}"](options)
    np.savez_compressed(PATH, **vectors)
    print(f"{PATH}: {sorted(vectors)}, {PATH.stat().st_size} bytes")
