"""Writes vectors/rescale.npz: PyTorch's weight norm and spectral norm of a linear layer, and its embedding.

In float64. Run once, with PyTorch 2.13: python -m tests.vectors rescale
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "rescale.npz"
ROWS, FAN_IN, FAN_OUT = 9, 12, 19
CODES = 5  # of the embedding, whose vectors have FAN_OUT numbers


def arrays():
    """By the engine's names: W (fan_in, fan_out); left and right have length 1, no more."""
    rng = np.random.default_rng(20260105)
    values = {
        "weight": rng.standard_normal((FAN_IN, FAN_OUT)), "magnitude": rng.uniform(0.2, 2.0, FAN_OUT),
        "bias": rng.standard_normal(FAN_OUT), "left": rng.uniform(0.5, 1.5, FAN_IN),
        "right": rng.uniform(0.5, 1.5, FAN_OUT), "table": rng.standard_normal((CODES, FAN_OUT)),
    }  # fmt: skip
    for name in ("left", "right"):
        values[name] /= np.sqrt((values[name] ** 2).sum())
    values["weight"] += 9 * np.outer(values["left"], values["right"])  # far from a singular value of 0
    return values


def batch():
    """x, the derivative by y, and codes that leave out the last."""
    rng = np.random.default_rng(20260106)
    x, d = rng.standard_normal((ROWS, FAN_IN)), rng.standard_normal((ROWS, FAN_OUT))
    return x, d, rng.integers(0, CODES - 1, ROWS)


def linear(torch, name, values, out):
    """A Linear under torch.nn.utils.parametrizations; in evaluation, so that no iteration moves u and v."""
    x, d, _ = batch()
    x = torch.tensor(x, requires_grad=True)
    layer = torch.nn.Linear(FAN_IN, FAN_OUT, dtype=torch.float64)
    layer.bias.data = values["bias"].clone()
    getattr(torch.nn.utils.parametrizations, name)(layer)
    layer.eval()
    hidden = layer.parametrizations.weight
    weight = values["weight"].T.contiguous()
    if name == "weight_norm":
        hidden.original0.data, hidden.original1.data = values["magnitude"][:, None].clone(), weight
    else:
        hidden.original.data = weight
        hidden[0]._u, hidden[0]._v = values["right"].clone(), values["left"].clone()
    y = layer(x)
    y.backward(torch.tensor(d))
    out[f"{name}.y"], out[f"{name}.dx"] = y.detach().numpy(), x.grad.numpy()
    out[f"{name}.bias"] = layer.bias.grad.numpy()
    own = hidden.original1 if name == "weight_norm" else hidden.original
    out[f"{name}.weight"] = own.grad.numpy().T.copy()
    if name == "weight_norm":
        out[f"{name}.magnitude"] = hidden.original0.grad.numpy().reshape(-1)


def main():
    import torch

    values = {name: torch.tensor(value) for name, value in arrays().items()}
    out = {}
    for name in ("weight_norm", "spectral_norm"):
        linear(torch, name, values, out)
    _, d, codes = batch()
    table = values["table"].requires_grad_()
    y = torch.nn.functional.embedding(torch.tensor(codes), table)
    y.backward(torch.tensor(d))
    out["embedding.y"], out["embedding.table"] = y.detach().numpy(), table.grad.numpy()
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **out)
    print(f"{PATH}: {len(out)} arrays, {PATH.stat().st_size} bytes, torch {torch.__version__}")
