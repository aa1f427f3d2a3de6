"""Masks of parameters, as `Trainer.set_masks` takes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DTypeError, ShapeError
from ..network.compiled import Compiled
from ..network.effective import masked_parameters
from ..validation.arrays import Array, as_array
from ..validation.checks import choice
from .state import TrainingState


def set_masks(state: TrainingState, masks: Mapping[str, ArrayLike]) -> None:
    """See `Trainer.set_masks`."""
    model = state.model
    model.core.require_free()
    checked, old = checked_masks(model, masks), state.masks
    frozen = {model.infos[at]["name"] for at in state.frozen()}
    values = masked_parameters(model, checked, old, frozen)
    _tell(state, checked)
    try:
        state.write({model.index[name]: value for name, value in values.items()})
    except BaseException:
        _tell(state, old)
        raise
    model.keeper = state.weak
    if state.fit is not None:
        state.fit.stop.within(checked)
    if state.run is not None and not _equal(checked, old):
        state.run.memory = {}  # of steps in another space


def _tell(state: TrainingState, masks: dict[str, Array]) -> None:
    before, state.masks = state.masks, masks
    try:
        if state.core is not None:
            state.core.set_rules(state.plan.rules, state.kept())
    except BaseException:
        state.masks = before
        raise


def checked_masks(model: Compiled, masks: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Copies of masks that fit the trainable parameters they are named after."""
    if not isinstance(masks, Mapping):
        raise DTypeError(f"masks: expected a dict of arrays, got a {type(masks).__name__}")
    trainable = {info["name"]: info["shape"] for info in model.infos if info["trainable"]}
    checked = {}
    for name, value in masks.items():
        choice(name, "masks", trainable)
        mask = as_array(value, f"masks[{name!r}]")
        if mask.dtype != np.bool_:
            raise DTypeError(f"masks[{name!r}]: expected booleans, got {mask.dtype}")
        if mask.shape != trainable[name]:
            raise ShapeError(f"masks[{name!r}]: expected shape {trainable[name]}, got {mask.shape}")
        checked[name] = mask.copy()
    return checked


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
