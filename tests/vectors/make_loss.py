"""Writes vectors/losses.npz: values and gradients of PyTorch's losses in float64. Run once: PyTorch 2.13.

python -m tests.vectors loss
"""

from pathlib import Path

import numpy as np
from oracle.losses import ALONE
from support import cases
from support.loss_cases import CASES

ROWS, COLS = 12, 4
PATH = Path(__file__).parent / "losses.npz"


def data(name):
    """Outputs, targets and row weights of a case."""
    case = CASES[name]
    z = case.outputs(2 * cases.normal((ROWS, COLS), "float64", "vectors", name))
    if case.name == "cosine":
        z[3] *= 1e-10  # below eps
    return z, case.target(ROWS, COLS, np.float64), cases.generator("vector weights").uniform(0, 2, ROWS)


def row_losses(torch, name, z, y):
    """The loss of every row as PyTorch computes it."""
    f, loss = torch.nn.functional, CASES[name].loss
    vector = loss.vector(COLS)
    vector = None if vector is None else torch.tensor(vector)
    kind = loss.name
    none = {"reduction": "none"}
    if kind == "cross_entropy":
        ignore = -100 if loss.ignore_index is None else loss.ignore_index
        return f.cross_entropy(
            z, y, weight=vector, label_smoothing=loss.label_smoothing, ignore_index=ignore, **none
        )
    if kind == "kl_divergence":
        return f.kl_div(f.log_softmax(z, dim=1), y, **none).sum(dim=1)
    if kind == "cosine":
        return 1 - f.cosine_similarity(z, y, dim=1, eps=loss.eps)
    if kind == "focal":
        log_p = -f.cross_entropy(z, y, **none)
        factor = torch.ones(COLS, dtype=z.dtype)[y] if vector is None else vector[y]
        return factor * (1 - log_p.exp()) ** loss.gamma * -log_p
    if kind == "binary_focal":  # as torchvision.ops.sigmoid_focal_loss
        p = torch.sigmoid(z)
        p_t = p * y + (1 - p) * (1 - y)
        factor = 1.0 if loss.alpha is None else loss.alpha * y + (1 - loss.alpha) * (1 - y)
        values = factor * (1 - p_t) ** loss.gamma * f.binary_cross_entropy_with_logits(z, y, **none)
    elif kind == "gaussian_nll":
        mean, s = z[:, : COLS // 2], z[:, COLS // 2 :]
        variance = s.exp() if loss.log_variance else s
        values = f.gaussian_nll_loss(mean, y, variance, full=loss.full, eps=loss.eps, **none)
    elif kind == "poisson":
        values = f.poisson_nll_loss(z, y, log_input=loss.log_input, full=loss.full, eps=loss.eps, **none)
    elif kind in ("hinge", "squared_hinge"):
        lack = torch.clamp(1 - torch.where(y > 0, 1.0, -1.0) * z, min=0)
        values = lack if kind == "hinge" else lack**2
    elif kind == "quantile":
        values = torch.maximum(loss.q * (y - z), (1 - loss.q) * (z - y))
    else:
        values = {
            "mse": lambda: f.mse_loss(z, y, **none),
            "mae": lambda: f.l1_loss(z, y, **none),
            "huber": lambda: f.huber_loss(z, y, delta=loss.delta, **none),
            "smooth_l1": lambda: f.smooth_l1_loss(z, y, beta=loss.beta, **none),
            "binary_cross_entropy": lambda: f.binary_cross_entropy_with_logits(
                z, y, pos_weight=vector, **none
            ),
        }[kind]()
    return values.mean(dim=1)


def own_mean(torch, name, z, y):
    """The mean as PyTorch's own reduction has it, where it has class weights."""
    f, loss = torch.nn.functional, CASES[name].loss
    if loss.name != "cross_entropy" or (loss.weighting == "count") != (y.ndim == 2):
        return None
    vector = loss.vector(COLS)
    ignore = -100 if loss.ignore_index is None else loss.ignore_index
    return f.cross_entropy(
        z, y, weight=None if vector is None else torch.tensor(vector), ignore_index=ignore,
        label_smoothing=loss.label_smoothing,
    )  # fmt: skip


def masses(torch, name, y):
    """What each row adds to the divisor before its own weight, and whether the rows are counted."""
    loss = CASES[name].loss
    own = torch.ones(ROWS, dtype=torch.float64)
    if loss.name != "cross_entropy":
        return own, False
    vector = loss.vector(COLS)
    counts = own if y.ndim == 2 or loss.ignore_index is None else (y != loss.ignore_index).double()
    if vector is not None and loss.weighting == "sum":
        own = torch.tensor(vector)[y.clamp(min=0)] if y.ndim == 1 else y @ torch.tensor(vector)
    return own * counts, loss.weighting == "count"


def results(torch, name):
    """{part: array} of a case, unweighted and with row weights."""
    z, target, weight = data(name)
    y = torch.tensor(target.astype(np.int64) if target.ndim == 1 else target)
    out = {"z": z, "target": target, "weight": weight}
    for part, w in (("", torch.ones(ROWS, dtype=torch.float64)), ("weighted ", torch.tensor(weight))):
        outputs = torch.tensor(z, requires_grad=True)
        mass, by_count = masses(torch, name, y)
        loss = (w * row_losses(torch, name, outputs, y)).sum() / (mass if by_count else mass * w).sum()
        loss.backward()
        own = None if part else own_mean(torch, name, outputs, y)
        assert own is None or torch.allclose(own, loss, rtol=1e-14), name
        out[f"{part}loss"], out[f"{part}d"] = loss.detach().numpy(), outputs.grad.numpy()
    return out


def main():
    import torch

    vectors = {
        f"{name}/{part}": array
        for name in CASES
        if CASES[name].name not in ALONE
        for part, array in results(torch, name).items()
    }
    np.savez_compressed(PATH, torch_version=torch.__version__.split("+")[0], **vectors)
    print(f"{PATH}: {len(vectors)} arrays, {PATH.stat().st_size} bytes, torch {torch.__version__}")
