"""Steps and gradients of one batch."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from .. import _core
from ..errors import StateError
from ..network import inputs
from ..network.scaling import Scaling
from ..validation.arrays import Array
from .batches import arrays, numbered
from .core_trainer import reserve
from .state import TrainingState


def step(state: TrainingState, X: object, y: object, sample_weight: object) -> float:
    """One update on a batch of whatever a step takes; where it fails, nothing has changed."""
    model = state.model
    source = inputs.table(model, X, "X")
    labels, classes = numbered(state, y, "y")
    x, target, weight = arrays(state, source, labels, sample_weight, finite=not model.standardized)
    learned = None if model.standardized else _learn(state, source, weight)
    if learned is not None:
        x = inputs.cast(model, source, "X", finite=True, centre=learned.centre)
    before = state.loss, state.core
    state.loss = state.loss.named({**model.classes, **classes})
    if learned is not None:
        model.set_scaling(learned)
    try:
        loss = step_of(state, x, target, weight)
    except BaseException:
        if state.loss is not before[0]:  # no core was there: it could not have had the loss
            state.loss, state.core = before
        if learned is not None:
            model.forget_scaling()
        raise
    model.remember(source.labels, classes)
    return loss


def plain_step(state: TrainingState, core: _core.CoreTrainer, X: object, target: Array) -> float | None:
    """One update on a plain X; None if it is not plain."""
    model, hypers = state.model, state.constant
    if model.keeper is not state.weak:
        x = core.plain(X)
        if x is None:
            return None
        X, model.keeper = x, state.weak
    if hypers is not None:
        return core.step_now(X, target, hypers, model.turns)
    model.turns.begin_step()
    try:
        hypers = state.hypers.row(core.step)
        state.set_rates(core, 1)
        return core.step_now(X, target, hypers, model.turns)
    finally:
        model.turns.end_step()


def step_of(state: TrainingState, x: Array, target: Any, weight: Any) -> float:
    """One update on arrays as `batches.arrays` makes them."""
    core = reserve(state, len(x), target)
    turns = state.model.turns
    turns.begin_step()
    try:
        state.set_rates(core, 1)
        state.model.keeper = state.weak
        row = state.hypers.row(core.step)
        return state.patiently(partial(core.train_step, x, target, weight, row))
    finally:
        turns.end_step()


def gradients_of(state: TrainingState, x: Array, target: Any, weight: Any) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of arrays as `batches.arrays` makes them."""
    core = reserve(state, len(x), target)
    state.set_rates(core, 1)
    loss = state.patiently(partial(core.gradients, x, target, weight))
    return loss, state.model.trainable(core.gradient)


def _learn(state: TrainingState, source: inputs.InputTable, weight: Any) -> Scaling:
    """What Standardize takes from the batch of a first step."""
    if len(source.values) < 2:
        raise StateError(
            "step: expected a Standardize layer with mean and deviation, which one row cannot tell; "
            "call net.standardize(X) with the training rows first"
        )
    warnings.warn(
        f"step: Standardize takes mean and deviation from the {len(source.values)} rows of this first "
        "batch; call net.standardize(X) with all training rows before the first step",
        RuntimeWarning,
        stacklevel=4,
    )
    return inputs.learn(state.model, source, None, weight)
