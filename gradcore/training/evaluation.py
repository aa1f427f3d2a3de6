"""What `Trainer.evaluate` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..losses.base import Loss
from ..network.compiled import Compiled
from ..validation.arrays import Array


def score(
    model: Compiled, loss: Loss, x: Array, target: Any, weight: Any, check: Callable[[], None]
) -> dict[str, float]:
    """The scores of a loss, with the penalties in its value; `check` is called after each piece."""
    penalty = model.penalty()
    scores = loss.score(model, x, target, weight, check)
    return {**scores, "loss": scores["loss"] + penalty} if penalty else scores
