"""Writes vectors/curvature.npz: PyTorch's second-order products in float64. Run once, with PyTorch 2.13.

python -m tests.vectors curvature
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "curvature.npz"
SHAPES = {
    "0.weight": (4, 6), "0.bias": (6,), "1.weight": (6, 5), "1.bias": (5,),
    "2.weight": (5, 3), "2.bias": (3,),
}  # fmt: skip
ACTIVATIONS = ("tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "selu")
CASES = [f"{a} {loss}" for a in ACTIVATIONS for loss in ("mse", "cross_entropy", "binary_cross_entropy")]
ROWS = 8


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}


def data(loss):
    rng = np.random.default_rng(20260201)
    x = rng.standard_normal((ROWS, 4))
    if loss == "cross_entropy":
        return x, rng.integers(0, 3, ROWS)
    return x, rng.uniform(0, 1, (ROWS, 3))


def products(torch, activation, loss):
    """(hvp, gnvp) as flat vectors, by torch.func."""
    functional = torch.nn.functional
    act = getattr(torch, activation, None) or getattr(functional, activation)
    x, y = (torch.tensor(part) for part in data(loss))
    criterion = {
        "mse": functional.mse_loss,
        "cross_entropy": functional.cross_entropy,
        "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    }[loss]

    def network(p):
        h = act(x @ p["0.weight"] + p["0.bias"])
        h = act(h @ p["1.weight"] + p["1.bias"])
        return h @ p["2.weight"] + p["2.bias"]

    start, v = ({k: torch.tensor(value) for k, value in parameters(seed).items()} for seed in (1, 2))
    # Hessians are symmetric, so reverse mode twice gives the same products.
    (hvp,) = torch.func.vjp(torch.func.grad(lambda p: criterion(network(p), y)), start)[1](v)
    z, change = torch.func.jvp(network, (start,), (v,))
    (bent,) = torch.func.vjp(torch.func.grad(lambda out: criterion(out, y)), z)[1](change)
    (gnvp,) = torch.func.vjp(network, start)[1](bent)
    return [np.concatenate([part[k].detach().numpy().reshape(-1) for k in SHAPES]) for part in (hvp, gnvp)]


def main():
    import torch

    found = {}
    for case in CASES:
        found[f"{case} hvp"], found[f"{case} gnvp"] = products(torch, *case.split())
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **found)
    print(f"{PATH}: {len(CASES)} cases, {PATH.stat().st_size} bytes, torch {torch.__version__}")
