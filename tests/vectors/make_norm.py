"""Writes vectors/norms.npz: PyTorch's normalisation layers in float64. Run once, with PyTorch 2.13.

python -m tests.vectors norm
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "norms.npz"
ROWS = (9, 5, 2, 64)  # of the batches that a BatchNorm sees one after the other
WIDTH = 19

# name: (torch class, its options, the engine's class and options)
ROW_NORMS = {
    "layer": ("LayerNorm", {}, "LayerNorm", {}),
    "layer_eps": ("LayerNorm", {"eps": 1e-2}, "LayerNorm", {"eps": 1e-2}),
    "layer_no_shift": ("LayerNorm", {"bias": False}, "LayerNorm", {"shift": False}),
    "layer_plain": ("LayerNorm", {"elementwise_affine": False}, "LayerNorm",
                    {"scale": False, "shift": False}),
    "rms": ("RMSNorm", {"eps": 1e-6}, "RMSNorm", {}),
    "rms_plain": ("RMSNorm", {"eps": 1e-3, "elementwise_affine": False}, "RMSNorm",
                  {"eps": 1e-3, "scale": False}),
}  # fmt: skip
BATCH_NORMS = {
    "batch": ({}, {}),
    "batch_momentum": ({"momentum": 0.7, "eps": 1e-3}, {"momentum": 0.7, "eps": 1e-3}),
    "batch_cumulative": ({"momentum": None}, {"momentum": None}),
    "batch_plain": ({"affine": False}, {"scale": False, "shift": False}),
}


def arrays(rows, key):
    """x and the derivative by y; the columns have means of their own."""
    rng = np.random.default_rng([20260201, rows, key])
    return rng.standard_normal((rows, WIDTH)) * 3 + np.arange(WIDTH) * 10, rng.standard_normal((rows, WIDTH))


def affine():
    rng = np.random.default_rng(20260202)
    return rng.standard_normal(WIDTH), rng.standard_normal(WIDTH)


def run(torch, layer, rows, key, out, name):
    """y, dx, dgamma, dbeta of one batch into `out`."""
    x, d = arrays(rows, key)
    x = torch.tensor(x, requires_grad=True)
    layer.zero_grad()
    y = layer(x)
    y.backward(torch.tensor(d))
    out[f"{name}.y"], out[f"{name}.dx"] = y.detach().numpy(), x.grad.numpy()
    for own, theirs in (("gamma", "weight"), ("beta", "bias")):
        parameter = getattr(layer, theirs, None)
        if parameter is not None:
            out[f"{name}.{own}"] = parameter.grad.numpy().copy()


def set_affine(torch, layer):
    for theirs, value in zip(("weight", "bias"), affine(), strict=True):
        parameter = getattr(layer, theirs, None)
        if parameter is not None:
            parameter.data = torch.tensor(value)


def main():
    import torch

    out = {}
    for name, (kind, options, *_) in ROW_NORMS.items():
        layer = getattr(torch.nn, kind)(WIDTH, dtype=torch.float64, **options)
        set_affine(torch, layer)
        run(torch, layer, 9, 0, out, name)
    for name, (options, _) in BATCH_NORMS.items():
        layer = torch.nn.BatchNorm1d(WIDTH, dtype=torch.float64, **options)
        set_affine(torch, layer)
        for key, rows in enumerate(ROWS):
            run(torch, layer, rows, key, out, f"{name}.{key}")
            out[f"{name}.{key}.running_mean"] = layer.running_mean.numpy().copy()
            out[f"{name}.{key}.running_var"] = layer.running_var.numpy().copy()
        layer.eval()
        run(torch, layer, 9, 9, out, f"{name}.eval")
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **out)
    print(f"{PATH}: {len(out)} arrays, {PATH.stat().st_size} bytes, torch {torch.__version__}")
