"""What `Trainer.evaluate` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..losses.base import Loss
from ..network.network import Network
from ..validation.arrays import Array


def score(
    net: Network, loss: Loss, x: Array, target: Any, weight: Any, check: Callable[[], None]
) -> dict[str, float]:
    """The scores of a loss, with the penalties in its value; `check` is called after each piece."""
    core = net._core
    penalty = net._turns.read(core, core.penalty, "evaluate") if net._penalized else 0.0
    scores = loss.score(net, x, target, weight, check)
    return {**scores, "loss": scores["loss"] + penalty} if penalty else scores
