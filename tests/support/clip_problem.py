"""A network whose widths do not fill panels, and a batch for it."""

import numpy as np
from gradcore import Dense, Network, clipping
from oracle.clipping import STATISTICS

from . import public


def network(widths=(70, 33, 16), outputs=2, dtype="float64", **more):
    layers = [Dense(width, "tanh") for width in widths]
    return Network([*layers, Dense(outputs)], inputs=9, dtype=dtype, seed=3, **more)


def batch(outputs=2, rows=12):
    rng = np.random.default_rng(5)
    return rng.standard_normal((rows, 9)), rng.standard_normal((rows, outputs))


def statistics():
    """Rules from statistics of the norms, one of each class."""
    made = [eval(text, public(clipping)) for text in STATISTICS]
    return list({type(rule): rule for rule in reversed(made)}.values())
