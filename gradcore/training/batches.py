"""What users give of batches and data sets, as the core takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network import inputs
from ..validation.arrays import Array, check_finite
from ..validation.class_names import ByEnd
from .state import TrainingState


def batch(state: TrainingState, X: object, y: object, sample_weight: object) -> tuple[Array, Any, Any]:
    """Checked arrays as the core takes them, by head where there are heads."""
    source = inputs.table(state.model, X, "X")
    return arrays(state, source, numbered(state, y, "y")[0], sample_weight)


def numbered(state: TrainingState, y: object, name: str, more: ByEnd | None = None) -> tuple[object, ByEnd]:
    """`y` with numbers for labels that are texts, and their classes; beside the network's, `more` are
    known."""
    known = state.model.classes
    if known:
        state.loss = state.loss.named(known)
    return state.loss.numbered(y, {**known, **more} if more else known, state.outputs, name)


def arrays(
    state: TrainingState,
    source: inputs.InputTable,
    y: object,
    sample_weight: object,
    names: Sequence[str] = ("X", "y"),
    finite: bool = True,
    centre: NDArray[np.float64] | None = None,
) -> tuple[Array, Any, Any]:
    """Checked arrays as the core takes them; `centre`, where given, is what the network is to have."""
    own = state.model.centre if centre is None else centre
    x = inputs.cast(state.model, source, names[0], finite=finite, centre=own)
    weight = None if sample_weight is None else state.loss.row_weights(sample_weight, len(x))
    y = state.loss.filled(y, weight, names[1])
    target = state.loss.target(y, len(x), state.outputs, state.dtype, names[1])
    if finite:
        for name, part in state.loss.parts(target, names[1]):
            check_finite(part, name)
    return x, target, weight
