"""The oracle: what gradcore computes, in plain float64 NumPy, written from the formulas and not from the
engine's code. ORACLES has a row for every name that the engine's tables know.
"""

from . import (
    activations,
    clipping,
    differences,
    effective,
    exact,
    heads,
    initializers,
    layers,
    losses,
    network,
    optimizers,
    rng,
    schedules,
)
from .activations import activation, alpha_of, d_activation
from .differences import four_point
from .losses import mean as loss
from .network import Net

__all__ = [
    "ORACLES",
    "Net",
    "activation",
    "activations",
    "alpha_of",
    "clipping",
    "d_activation",
    "differences",
    "effective",
    "exact",
    "four_point",
    "heads",
    "initializers",
    "layers",
    "loss",
    "losses",
    "network",
    "optimizers",
    "rng",
    "schedules",
]

ORACLES = {
    "activation": activations.ACTIVATIONS,
    "loss": losses.LOSSES,
    "optimizer": optimizers.OPTIMIZERS,
    "layer": {
        **dict.fromkeys(("dense", "activation", "dropout", "standardize", "residual"), network.Net),
        **layers.LAYERS,
        "heads": heads.HeadsNet,
    },
}
