"""Writes what PyTorch 2.13 computes in float64, once: vectors/optimizers.npz, 25 steps of its optimizers, and
vectors/activations.npz, its activations with their derivatives; vectors/gates.npz, its gated layers.

python -m tests.vectors torch
"""

from pathlib import Path

import numpy as np

STEPS = 25
CHANGE = 10  # the step, counted from 0, at which the learning rate changes
SHAPES = ((5, 7), (7, 1), (7,))
PATH = Path(__file__).parent / "optimizers.npz"

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


# ---- Activations ----

ACTIVATION_PATH, GATE_PATH = PATH.with_name("activations.npz"), PATH.with_name("gates.npz")
ALPHA = {"leaky_relu": 0.17, "elu": 1.3, "celu": 0.5, "sin": 0.875, "squareplus": 3.0}
ACTIVATIONS = {
    "identity": lambda torch, x: x + 0,
    "relu": lambda torch, x: torch.relu(x),
    "leaky_relu": lambda torch, x: torch.nn.functional.leaky_relu(x, ALPHA["leaky_relu"]),
    "tanh": lambda torch, x: torch.tanh(x),
    "sigmoid": lambda torch, x: torch.sigmoid(x),
    "elu": lambda torch, x: torch.nn.functional.elu(x, ALPHA["elu"]),
    "selu": lambda torch, x: torch.selu(x),
    "gelu": lambda torch, x: torch.nn.functional.gelu(x),
    "silu": lambda torch, x: torch.nn.functional.silu(x),
    "softplus": lambda torch, x: torch.nn.functional.softplus(x),
    "celu": lambda torch, x: torch.celu(x, ALPHA["celu"]),
    "gelu_tanh": lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
    "mish": lambda torch, x: torch.nn.functional.mish(x),
    "hard_swish": lambda torch, x: torch.nn.functional.hardswish(x),
    "hard_sigmoid": lambda torch, x: torch.nn.functional.hardsigmoid(x),
    "hard_tanh": lambda torch, x: torch.nn.functional.hardtanh(x),
    "relu6": lambda torch, x: torch.nn.functional.relu6(x),
    "softsign": lambda torch, x: torch.nn.functional.softsign(x),
    "log_sigmoid": lambda torch, x: torch.nn.functional.logsigmoid(x),
    "exponential": lambda torch, x: torch.exp(x),
    "sin": lambda torch, x: torch.sin(ALPHA["sin"] * x),
    "squareplus": lambda torch, x: (x + torch.sqrt(x * x + ALPHA["squareplus"])) / 2,
    "gaussian": lambda torch, x: torch.exp(-x * x),
}


def activation_points():
    """From -9 to 9, with every kink and its neighbours."""
    kinks = np.array([-3.0, -1.0, 0.0, 1.0, 3.0, 6.0])
    return np.concatenate([np.linspace(-9, 9, 73), kinks, np.nextafter(kinks, 9), np.nextafter(kinks, -9)])


def activation_vectors(torch):
    """x, and for each activation the rows f(x) and f'(x)."""
    vectors = {"x": activation_points()}
    for name, function in ACTIVATIONS.items():
        x = torch.tensor(vectors["x"], requires_grad=True)
        y = function(torch, x)
        y.sum().backward()
        vectors[name] = np.array([y.detach().numpy(), x.grad.numpy()])
    return vectors


def gate_vectors(torch):
    """x (6, 8) and d; of each layer y, the derivative by x and, of prelu, by its slopes."""
    rng = np.random.default_rng(20260103)
    x, d, slopes = rng.standard_normal((6, 8)), rng.standard_normal((6, 8)), rng.uniform(-0.3, 0.6, 8)
    x[2, 3] = x[4, 7] = 0.0
    layers = {
        "glu": lambda t, a: torch.nn.functional.glu(t),
        "swiglu": lambda t, a: t[:, :4] * torch.nn.functional.silu(t[:, 4:]),
        "geglu": lambda t, a: t[:, :4] * torch.nn.functional.gelu(t[:, 4:]),
        "maxout": lambda t, a: t.reshape(6, 2, 4).max(dim=1).values,
        "prelu": lambda t, a: torch.nn.functional.prelu(t, a),
        "shared": lambda t, a: torch.nn.functional.prelu(t, a[:1]),
    }
    vectors = {"x": x, "d": d, "slopes": slopes}
    for name, layer in layers.items():
        t, a = torch.tensor(x, requires_grad=True), torch.tensor(slopes, requires_grad=True)
        y = layer(t, a)
        (y * torch.tensor(d[:, : y.shape[1]])).sum().backward()
        vectors[f"{name} y"], vectors[f"{name} dx"] = y.detach().numpy(), t.grad.numpy()
        if a.grad is not None:
            vectors[f"{name} da"] = a.grad.numpy()
    return vectors


def main():
    import torch

    vectors = {name: trajectory(torch, name) for name in CONFIGURATIONS}
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **vectors)
    print(f"{PATH}: {len(vectors)} trajectories, {PATH.stat().st_size} bytes, torch {torch.__version__}")
    np.savez_compressed(ACTIVATION_PATH, **activation_vectors(torch))
    np.savez_compressed(GATE_PATH, **gate_vectors(torch))
