"""Writes vectors/keras.npz: optimizers of Keras 3.15 in float64, on vectors/make_torch.py's gradients.

Run once where Keras and JAX are: python -m tests.vectors keras
"""

import os
from pathlib import Path

import numpy as np
from vectors import make_torch

PATH = Path(__file__).parent / "keras.npz"
KEPT = (0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 18, 24)  # steps whose parameters are stored
RATES = {"SGD": (0.1, 0.03), "LAMB": (1e-2, 3e-2)}  # before and after CHANGE; of the others:
RATE = (1e-3, 1e-2)

# name: (Keras' class, its options, our class, our options besides style)
CONFIGURATIONS = {
    "sgd": ("SGD", {}, "SGD", {}),
    "sgd_momentum": ("SGD", {"momentum": 0.9, "weight_decay": 0.02}, "SGD",
                     {"momentum": 0.9, "nesterov": False, "weight_decay": 0.02}),
    "sgd_nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}, "Adagrad", {}),
    "adadelta": ("Adadelta", {}, "Adadelta", {}),
    "rmsprop": ("RMSprop", {}, "RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.8}, "RMSprop", {"momentum": 0.8}),
    "rmsprop_centered": ("RMSprop", {"centered": True, "epsilon": 1e-3}, "RMSprop",
                         {"centered": True, "eps": 1e-3}),
    "adam": ("Adam", {"weight_decay": 0.01}, "AdamW", {"weight_decay": 0.01}),
    "adam_amsgrad": ("Adam", {"amsgrad": True}, "Adam", {"amsgrad": True}),
    "adamw": ("AdamW", {}, "AdamW", {}),
    "adamax": ("Adamax", {}, "Adamax", {}),
    "nadam": ("Nadam", {}, "NAdam", {}),
    "lion": ("Lion", {}, "Lion", {}),
    "lamb": ("Lamb", {}, "LAMB", {}),
    "schedule_free_adamw": ("ScheduleFreeAdamW", {}, "ScheduleFreeAdamW", {}),
}  # fmt: skip


def rates_of(kind):
    return RATES.get(kind, RATE)


def trajectory(keras, name):
    kind, options, ours, _ = CONFIGURATIONS[name]
    rates = rates_of(ours)
    variables = [keras.Variable(value, dtype="float64") for value in make_torch.start()]
    optimizer = getattr(keras.optimizers, kind)(learning_rate=rates[0], **options)
    optimizer.build(variables)
    out = []
    for step, gradients in enumerate(make_torch.gradients()):
        optimizer.learning_rate = rates[step >= make_torch.CHANGE]
        optimizer.apply([keras.ops.convert_to_tensor(g, "float64") for g in gradients], variables)
        weights = [keras.ops.convert_to_numpy(variable) for variable in variables]
        out.append(np.concatenate([w.reshape(-1) for w in weights]))
    return np.array(out)[list(KEPT)]


def main():
    os.environ["KERAS_BACKEND"] = "jax"
    import jax

    jax.config.update("jax_enable_x64", True)
    import keras

    keras.config.set_floatx("float64")
    # keras.ops.norm, of Lamb, rounds to float32 on the way
    keras.ops.norm = lambda x, **more: jax.numpy.linalg.norm(keras.ops.convert_to_tensor(x), **more)
    vectors = {name: trajectory(keras, name) for name in CONFIGURATIONS}
    np.savez_compressed(PATH, **vectors)
    print(f"{PATH}: {len(vectors)} trajectories, {PATH.stat().st_size} bytes")
