"""EMA, SWA, Lookahead, accumulation and SAM around SGD with momentum: PyTorch's and optax' trajectories."""

import numpy as np
import pytest
from gradcore import optimizers
from vectors import make_torch
from vectors import make_wrapper as others

VECTORS = np.load(others.PATH)
BARS = {"float64": 1e-12, "float32": 2e-6}
WRAPPED = {
    "ema": lambda sgd: optimizers.EMA(sgd, decay=others.DECAY),
    "swa": lambda sgd: optimizers.SWA(sgd),
    "lookahead": lambda sgd: optimizers.Lookahead(sgd, every=others.EVERY, alpha=others.ALPHA),
    "accumulate": lambda sgd: optimizers.Accumulate(sgd, others.EVERY),
    "sam": lambda sgd: optimizers.SAM(sgd, others.RHO),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_follow_pytorch_and_optax(name, dtype):
    """25 steps with an exact zero, 1e-20, 1e6, a sign flip and an all-zero step; errors are relative to the
    largest value that the number has had. SAM descends a function instead."""
    optimizer = WRAPPED[name](optimizers.SGD(others.RATE, momentum=others.MOMENTUM))
    weights = [value.astype(dtype) for value in make_torch.start()]
    largest = np.abs(others.flat(weights))
    for want, gradients in zip(VECTORS[name], make_torch.gradients(), strict=True):
        optimizer.update(weights, others.slopes if name == "sam" else [g.astype(dtype) for g in gradients])
        now = weights if name in ("lookahead", "accumulate", "sam") else optimizer.averaged(weights).values()
        got = others.flat(now)
        largest = np.maximum.reduce([largest, np.abs(got), np.abs(others.flat(weights))])
        assert (np.abs(got - want) / np.maximum(largest, np.abs(want))).max() <= BARS[dtype]
