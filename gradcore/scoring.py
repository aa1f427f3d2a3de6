"""What `Trainer.evaluate` returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from . import losses
from .arrays import Array
from .losses import Loss
from .network import Network


def score(
    net: Network, loss: Loss, x: Array, target: Any, weight: Any, check: Callable[[], None]
) -> dict[str, float]:
    """Scores in pieces of a size that only the network decides; `check` is called after each."""
    read = partial(net._turns.read, net._core, name="evaluate")
    penalty = read(net._core.penalty) if net._penalized else 0.0
    if isinstance(loss, losses.Custom):
        return {"loss": loss(read(partial(net._core.predict, x)), target)[0] + penalty}
    if isinstance(loss, losses.PerHead):
        scores = loss.score(net, x, target, weight, check)
        return {**scores, "loss": scores["loss"] + penalty}
    step = max(256, 2**28 // max(1, net.elements))
    total = summed = mass = accuracy = 0.0
    options = loss.options(net.outputs, target)
    for start in range(0, len(x), step):
        at = slice(start, start + step)
        part = None if weight is None else weight[at]
        if part is not None and not part.any():
            continue
        of_part, right, divisor, weights = read(
            partial(net._core.evaluate, loss.name, x[at], target[at], part, options)
        )
        total, summed = total + divisor, summed + divisor * of_part
        mass, accuracy = mass + weights, accuracy + weights * right
        check()
    result = {"loss": (summed / total if total else 0.0) + penalty}
    if mass and not math.isnan(accuracy):
        result["accuracy"] = accuracy / mass
    return result
