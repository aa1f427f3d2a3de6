"""Losses and their gradients against PyTorch's, by the vectors that vectors/make_loss.py wrote."""

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Network, optimizers
from support.loss_cases import CASES
from vectors import make_loss

VECTORS = np.load(make_loss.PATH)
NAMES = sorted({name.split("/")[0] for name in VECTORS.files if "/" in name})


def part(name, what):
    return VECTORS[f"{name}/{what}"]


@pytest.mark.parametrize("weighted", ["", "weighted "])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_pytorchs(name, weighted):
    """Through a network whose only parameter that matters is the matrix of its outputs: one row of X is one
    row of the identity, so that dW is the gradient by the outputs."""
    z, target = part(name, "z"), part(name, "target")
    net = Network([Dense(z.shape[1], bias=False)], inputs=len(z), seed=0, dtype="float64")
    net.set_parameters({"0.weight": z})
    trainer = gradcore.Trainer(net, CASES[name].loss, optimizers.SGD(0.1))
    weight = part(name, "weight") if weighted else None
    loss, gradients = trainer.gradients(np.eye(len(z)), target, sample_weight=weight)
    want, d_want = float(part(name, f"{weighted}loss")), part(name, f"{weighted}d")
    assert abs(loss - want) <= 1e-12 * max(1.0, abs(want))
    got = gradients["0.weight"]
    if CASES[name].name == "cosine":  # below eps PyTorch goes on to differentiate the norm
        far = np.sqrt((z * z).sum(axis=1)) >= CASES[name].loss.eps
        assert 0 < far.sum() < len(z)
        got, d_want = got[far], d_want[far]
    assert np.abs(got - d_want).max() <= 1e-12 * max(1.0, np.abs(d_want).max())
    scores = trainer.evaluate(np.eye(len(z)), target, sample_weight=weight)
    assert abs(scores["loss"] - want) <= 1e-12 * max(1.0, abs(want))
