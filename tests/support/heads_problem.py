"""Networks with heads for several test files: layers as cases.py and as gradcore have them, and data."""

import gradcore
import numpy as np
from gradcore import Heads, losses

from support import cases, exact_labels, exact_uniform

HEADS = {
    "kind": [cases.dense(5)],
    "angle": [cases.dense(12, "tanh"), cases.dense(2)],
    "stop": [cases.residual(cases.dense(23, "tanh")), cases.dense(1)],
}
TRUNK = [cases.dense(23, "tanh"), cases.layer_norm(), cases.dense(23, "sigmoid")]
INPUTS = 7
LOSSES = {"kind": ("cross_entropy", {}), "angle": ("mse", {}), "stop": ("binary_cross_entropy", {})}
WEIGHTS = {"angle": 3.0, "stop": 0.5}


def network(trunk=TRUNK, heads=HEADS, uncertainty=False, inputs=INPUTS, **options):
    layers = [cases._public(gradcore, layer) for layer in trunk]
    branches = {name: [cases._public(gradcore, layer) for layer in own] for name, own in heads.items()}
    return gradcore.Network([*layers, Heads(branches, uncertainty=uncertainty)], inputs=inputs, **options)


def data(rows, dtype="float64", inputs=INPUTS, seed=3):
    x = exact_uniform((rows, inputs), dtype, seed)
    y = {
        "kind": exact_labels(rows, 5, seed + 1),
        "angle": exact_uniform((rows, 2), dtype, seed + 2),
        "stop": (exact_uniform(rows, dtype, seed + 3) > 0).astype(dtype),
    }
    return x, y


def row_weights(rows):
    some = (exact_uniform(rows, np.float64, 9) > -0.5).astype(np.float64)
    return {"kind": exact_uniform(rows, np.float64, 8) + 1.0, "angle": some}


def per_head(surgery=False, weights=WEIGHTS):
    return losses.PerHead(
        {name: loss for name, (loss, _) in LOSSES.items()}, weights=weights, surgery=surgery
    )


def as_columns(y):
    """Targets as the oracle takes them."""
    return {**y, "stop": y["stop"].reshape(-1, 1)}
