"""Cases at random: a network, data and an optimizer that go together, and what is to be wrong or odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .cases import Case
from .data import FAMILIES
from .faults import FAULTS
from .plans import CLASS_LOSSES, RATES, VALUE_LOSSES
from .sound import ODD

TRIES = 400
ACTIVATIONS = (
    "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "gelu_tanh", "silu", "softplus", "celu", "mish",
    "hard_swish", "squareplus", "tanh", "sigmoid", "softsign", "hard_tanh", "hard_sigmoid", "gaussian",
)  # fmt: skip
# Those that carry a signal through some layers without a norm.
FADE = ("sigmoid", "hard_sigmoid", "gaussian", "softplus", "squareplus")
CARRY = tuple(a for a in ACTIVATIONS if a not in FADE)
STYLES = ("plain", "plain", "plain", "batchnorm", "layernorm", "residual", "rezero")


def base(rng: np.random.Generator, kind: str) -> Case:
    """A training that ought to go well; at most a second."""
    name = str(rng.choice(list(FAMILIES)))
    style = str(rng.choice(STYLES))
    shallow = [1, 2, 2, 3, 3, 4]
    middle = [3, 4, 5, 6, 8, 10]
    depth = int(rng.choice({"plain": shallow, "batchnorm": middle}.get(style, [*middle, *middle, 16, 24])))
    width = int(rng.choice([8, 12, 16, 24, 32, 32, 48, 64, 96, 128] if depth <= 4 else [12, 16, 24, 32]))
    if depth <= 2 and rng.random() < 0.1:
        width = int(rng.choice([256, 512]))
    options = ACTIVATIONS if depth <= 2 or style != "plain" else CARRY
    activation = "sin" if name == "waves" and depth <= 2 and rng.random() < 0.1 else str(rng.choice(options))
    optimizer = str(rng.choice(list(RATES)))
    low, high = RATES[optimizer]
    classes = FAMILIES[name].classes
    usual = CLASS_LOSSES if classes else VALUE_LOSSES
    loss = usual[0] if rng.random() < 0.75 else str(rng.choice(usual))
    rows = int(rng.choice([300, 400, 600, 800]))
    batch = int(rng.choice([16, 32, 32, 64]))
    steps = int(rng.choice([400, 600, 900] if width < 90 and depth <= 6 else [300, 400]))
    place = rng.random()
    if kind not in FAULTS:  # what ought to be sound gets time enough, and no low rate
        steps, place = steps * 3 // 2, 0.3 + 0.6 * place
    lr = float(f"{low * (high / low) ** place:.3g}")
    if depth > 6:
        lr = float(f"{lr * 0.5:.3g}")
    epochs = max(8, round(steps * batch / rows))
    seed = int(rng.integers(2**31))
    return Case(
        kind, 0.0, name, rows, style, depth, width, activation, optimizer, loss, lr, batch, epochs, seed
    )


def suiting(rng: np.random.Generator, kind: str) -> Case | None:
    """A case that this fault or oddity can be put into; None where none was drawn. Faults are strong ones."""
    entry = FAULTS.get(kind) or ODD.get(kind)
    least = 0.4 if kind in FAULTS else 0.0
    for _ in range(TRIES):
        case = base(rng, kind)
        if entry is None or entry.suits(case):
            return replace(case, level=round(float(rng.uniform(least, 1.0)), 3))
    return None


def pick(rng: np.random.Generator, wanted: dict[str, float]) -> str:
    """One of the names, as often as its weight says."""
    names: Sequence[str] = list(wanted)
    weights = np.array([wanted[name] for name in names])
    return str(names[int(rng.choice(len(names), p=weights / weights.sum()))])
