"""Writes vectors/optimizers.npz: 25 steps of PyTorch's optimizers in float64. Run once, with PyTorch 2.13.

python tests/make_vectors.py
"""

from pathlib import Path

import numpy as np

STEPS = 25
CHANGE = 10  # the step, counted from 0, at which the learning rate changes
SHAPES = ((5, 7), (7, 1), (7,))
PATH = Path(__file__).parent / "vectors" / "optimizers.npz"

# name: (torch class, its options, learning rate before and after CHANGE, the engine's optimizer and options)
CONFIGURATIONS = {
    "sgd": ("SGD", {}, (0.1, 0.03), "SGD", {}),
    "sgd_decay": ("SGD", {"weight_decay": 0.05}, (0.1, 0.03), "SGD", {"weight_decay": 0.05}),
    "momentum": ("SGD", {"momentum": 0.9}, (0.1, 0.03), "SGD", {"momentum": 0.9}),
    "momentum_decay": ("SGD", {"momentum": 0.8, "weight_decay": 0.02}, (0.1, 0.03), "SGD",
                       {"momentum": 0.8, "weight_decay": 0.02}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, (0.1, 0.03), "SGD",
                 {"momentum": 0.9, "nesterov": True}),
    "nesterov_decay": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, (0.1, 0.03), "SGD",
                       {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "rmsprop": ("RMSprop", {}, (1e-2, 3e-3), "RMSprop", {}),
    "rmsprop_alpha": ("RMSprop", {"alpha": 0.9, "eps": 1e-6}, (1e-2, 3e-3), "RMSprop",
                      {"alpha": 0.9, "eps": 1e-6}),
    "rmsprop_centered": ("RMSprop", {"centered": True}, (1e-2, 3e-3), "RMSprop", {"centered": True}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.9}, (1e-2, 3e-3), "RMSprop", {"momentum": 0.9}),
    "rmsprop_all": ("RMSprop", {"momentum": 0.7, "centered": True, "weight_decay": 0.01}, (1e-2, 3e-3),
                    "RMSprop", {"momentum": 0.7, "centered": True, "weight_decay": 0.01}),
    "adam": ("Adam", {}, (1e-3, 1e-2), "Adam", {}),
    "adam_betas": ("Adam", {"betas": (0.8, 0.99), "eps": 1e-6}, (1e-3, 1e-2), "Adam",
                   {"betas": (0.8, 0.99), "eps": 1e-6}),
    "adam_decay": ("Adam", {"weight_decay": 0.1}, (1e-3, 1e-2), "Adam", {"weight_decay": 0.1}),
    "adamw": ("AdamW", {"weight_decay": 0.01}, (1e-3, 1e-2), "AdamW", {"weight_decay": 0.01}),
    "adamw_strong": ("AdamW", {"weight_decay": 0.5, "betas": (0.7, 0.95)}, (1e-3, 1e-2), "AdamW",
                     {"weight_decay": 0.5, "betas": (0.7, 0.95)}),
}  # fmt: skip


def start():
    rng = np.random.default_rng(20260101)
    return [rng.standard_normal(shape) for shape in SHAPES]


def gradients():
    """For each step the three gradients: with an exact zero, 1e-20, 1e6, a sign flip and an all-zero step."""
    rng = np.random.default_rng(20260102)
    steps = [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
    for step, tensors in enumerate(steps):
        tensors[0][0, 0] = 0.0
        tensors[0][1, 2] = 1e-20
        tensors[1][3, 0] = abs(tensors[1][3, 0]) * (-1) ** step
    steps[6][0][2, 3] = 1e6
    steps[7][0][2, 3] = -1e6
    steps[12] = [np.zeros(shape) for shape in SHAPES]
    return steps


def trajectory(torch, name):
    """(STEPS, numbers): all parameters after every step."""
    kind, options, rates, *_ = CONFIGURATIONS[name]
    tensors = [torch.nn.Parameter(torch.tensor(value)) for value in start()]
    if kind != "RMSprop":  # the only one that has no fused variant
        options = {**options, "fused": False}
    optimizer = getattr(torch.optim, kind)(tensors, lr=rates[0], foreach=False, **options)
    out = []
    for step, values in enumerate(gradients()):
        optimizer.param_groups[0]["lr"] = rates[step >= CHANGE]
        for tensor, value in zip(tensors, values, strict=True):
            tensor.grad = torch.tensor(value)
        optimizer.step()
        out.append(np.concatenate([tensor.detach().numpy().reshape(-1) for tensor in tensors]))
    return np.array(out)


def main():
    import torch

    vectors = {name: trajectory(torch, name) for name in CONFIGURATIONS}
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **vectors)
    print(f"{PATH}: {len(vectors)} trajectories, {PATH.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
