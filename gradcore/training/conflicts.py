"""How much the gradients of heads disagree, where they are projected: `PerHead(..., surgery=True)`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import StateError
from .state import TrainingState


def conflicts(state: TrainingState) -> dict[tuple[str, str], dict[str, float]]:
    """See `Trainer.conflicts`."""
    from ..losses.per_head import PerHead

    loss = state.loss
    if not isinstance(loss, PerHead) or not loss.surgery:
        raise StateError("conflicts: expected a trainer with losses.PerHead(..., surgery=True)")
    total = all_conflicts(state)
    result = {}
    for i, first in enumerate(loss.names):
        for j, second in enumerate(loss.names[i + 1 :], i + 1):
            steps, negative, cosines = total[i, j].tolist() if total is not None else (0.0, 0.0, 0.0)
            if steps:
                result[first, second] = {
                    "cosine": cosines / steps,
                    "conflicts": negative / steps,
                    "steps": int(steps),
                }
    return result


def all_conflicts(state: TrainingState) -> NDArray[np.float64] | None:
    """The ledger of this core and those before it; None without surgery or a core."""
    if state.core is None or not getattr(state.loss, "surgery", False):
        return state.conflicts
    own = state.model.turns.read(state.model.core, state.core.conflicts, "conflicts")
    return own if state.conflicts is None else state.conflicts + own
