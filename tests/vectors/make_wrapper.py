"""Writes vectors/wrappers.npz: averages of weights and gradients, and SAM, of PyTorch and optax in float64.

Run once where both are: python -m tests.vectors wrapper
"""

from pathlib import Path

import numpy as np
from vectors import make_torch

PATH = Path(__file__).parent / "wrappers.npz"
RATE, MOMENTUM, DECAY, EVERY, ALPHA, RHO = 2.0**-4, 0.875, 0.9, 3, 0.3, 0.2


def slopes(weights):
    """The gradient of a sum of fourth powers and squares, a function of the weights as SAM needs one."""
    return [0.1 * w * w * w + 0.5 * w for w in weights]


def flat(weights):
    return np.concatenate([np.array(w, np.float64).reshape(-1) for w in weights])


def by_torch(averager):
    """The averages that AveragedModel has beside SGD with momentum."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.values = torch.nn.ParameterList([torch.tensor(value) for value in make_torch.start()])

    model = Model()
    mean = averager(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, foreach=False)
    out = []
    for gradients in make_torch.gradients():
        for tensor, value in zip(model.values, gradients, strict=True):
            tensor.grad = torch.tensor(value)
        optimizer.step()
        mean.update_parameters(model)
        out.append(flat([tensor.detach().numpy() for tensor in mean.module.values]))
    return np.array(out)


def by_optax(rule, gradients=None):
    import jax
    import optax

    params = [jax.numpy.asarray(value) for value in make_torch.start()]
    params = rule[1](params)
    state = rule[0].init(params)
    out = []
    for given in make_torch.gradients():
        fast = params.fast if hasattr(params, "fast") else params
        g = slopes(fast) if gradients else [jax.numpy.asarray(value) for value in given]
        more = {"grad_fn": lambda p, _: slopes(p)} if gradients else {}
        updates, state = rule[0].update(g, state, params, **more)
        params = optax.apply_updates(params, updates)
        out.append(flat(params.fast if hasattr(params, "fast") else params))
    return np.array(out)


def main():
    import jax
    import optax
    import torch
    from torch.optim import swa_utils

    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)
    sgd = optax.sgd(RATE, momentum=MOMENTUM)
    climb = optax.chain(optax.contrib.normalize(), optax.sgd(RHO))
    vectors = {
        "ema": by_torch(
            lambda m: swa_utils.AveragedModel(m, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(DECAY))
        ),
        "swa": by_torch(swa_utils.AveragedModel),
        "lookahead": by_optax((optax.lookahead(sgd, EVERY, ALPHA), optax.LookaheadParams.init_synced)),
        "accumulate": by_optax((optax.MultiSteps(sgd, EVERY, accumulator_dtype="float64"), lambda p: p)),
        "sam": by_optax(
            (optax.contrib.sam(sgd, climb, sync_period=2, opaque_mode=True, reset_state=False), lambda p: p),
            slopes,
        ),
    }
    np.savez_compressed(PATH, **vectors)
    print(f"{PATH}: {sorted(vectors)}, {PATH.stat().st_size} bytes")
