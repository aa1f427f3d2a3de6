"""Writes vectors/full_batch.npz: iterations of PyTorch's L-BFGS and fits of SciPy's Levenberg-Marquardt.

python -m tests.vectors full_batch

Run once, with PyTorch 2.13 and SciPy 1.17.
"""

from pathlib import Path

import numpy as np

PATH = Path(__file__).parent / "full_batch.npz"
STEPS = 15
WIDTHS = (2, 2, 1)

# name: (history, lr); the function is `valley` from START
TORCH = {"history 3": (3, 1.0), "history 10": (10, 1.0), "short steps": (10, 0.3)}
START = np.array([1.5, -0.5, 1.0, 2.0, -1.0, 0.5])


def valley(x):
    """Smooth and convex, of condition 100 and more: value and gradient."""
    scale = np.geomspace(1, 100, x.size)
    return float((scale * x**2 / 2 + x**4 / 4).sum()), scale * x + x**3


def regression():
    """Rows, noisy outputs of a network, and its parameters to start from: (x, y, [(weight, bias), ...])."""
    rng = np.random.default_rng(20260301)
    x = rng.uniform(-2, 2, (60, 2))
    pairs = zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
    start = [(rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in pairs]
    clean = np.tanh(x @ start[0][0] + start[0][1]) @ start[1][0] + start[1][1]
    return x, clean + 0.02 * rng.standard_normal((60, 1)), start


def torch_steps(torch, history, lr):
    """(STEPS, numbers): the variables after every iteration, without a line search."""
    x = torch.nn.Parameter(torch.tensor(START))
    optimizer = torch.optim.LBFGS(
        [x], lr=lr, max_iter=1, history_size=history, tolerance_grad=0.0, tolerance_change=0.0
    )

    def closure():
        value, gradient = valley(x.detach().numpy())
        x.grad = torch.tensor(gradient)
        return value

    out = []
    for _ in range(STEPS):
        optimizer.step(closure)
        out.append(x.detach().numpy().copy())
    return np.array(out)


def scipy_loss(optimize):
    """The mean squared error where SciPy's method "lm" ends."""
    x, y, start = regression()
    sizes = [part.shape for pair in start for part in pair]

    def residuals(flat):
        at, h = 0, x
        for i in range(0, len(sizes), 2):
            w = flat[at : at + np.prod(sizes[i])].reshape(sizes[i])
            at += w.size
            h = (h if i == 0 else np.tanh(h)) @ w + flat[at : at + sizes[i + 1][0]]
            at += sizes[i + 1][0]
        return (h - y).reshape(-1)

    flat = np.concatenate([part.reshape(-1) for pair in start for part in pair])
    found = optimize.least_squares(residuals, flat, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return (found.fun**2).mean()


def main():
    import scipy.optimize
    import torch

    found = {name: torch_steps(torch, *options) for name, options in TORCH.items()}
    versions = {"torch_version": torch.__version__.split("+")[0], "scipy_version": scipy.__version__}
    np.savez_compressed(PATH, **versions, **found, scipy=scipy_loss(scipy.optimize))
    print(f"{PATH}: {len(found)} runs, {PATH.stat().st_size} bytes, {versions}")
