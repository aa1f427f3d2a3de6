"""What a fit is given: arrays checked and converted, rows held out, and what is learnt from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, ShapeError
from ..network import inputs
from ..network.sharing import when_free
from ..validation.arrays import Array
from ..validation.checks import number
from .batches import arrays, numbered
from .fit_state import Data
from .state import TrainingState

_SPLIT_EPOCH = 2**63  # the permutation that decides what is held out is no epoch's


def prepare(
    state: TrainingState,
    X: object,
    y: object,
    validation: object,
    sample_weight: object,
    class_weight: object,
) -> Data:
    """Check and convert everything that fit() gets; nothing changes yet, not even a Standardize layer."""
    model = state.model
    source = inputs.table(model, X, "X")
    y, classes = numbered(state, y, "y")
    x, target, weight = arrays(state, source, y, sample_weight)
    rows: NDArray[np.int64] | None = None
    held_rows: NDArray[np.int64] | None = None
    pair = validation if isinstance(validation, tuple | list) else None
    if pair is not None and len(pair) not in (2, 3):
        raise ArgumentError(f"validation: expected (X, y) or (X, y, sample_weight), got {len(pair)} parts")
    if pair is None and validation is not None:
        rows, held_rows = held_out(validation, len(x), state.seed)
    if weight is not None and not (weight if rows is None else weight[rows]).sum() > 0:
        raise ArgumentError("sample_weight: expected a positive sum over the training rows, got 0")
    learned = None if model.standardized else inputs.learn(model, source, rows, weight)
    centre = model.centre if learned is None else learned.centre
    if learned is not None and centre is not None:
        x = inputs.cast(model, source, "X", finite=True, centre=centre)
    held: tuple[Array, Any, Any] | None = None
    if pair is not None:
        names = ("validation X", "validation y")
        own_weight = pair[2] if len(pair) == 3 else None
        held_source = inputs.table(model, pair[0], names[0], source.labels)
        held_y, _ = numbered(state, pair[1], names[1], classes)
        held = arrays(state, held_source, held_y, own_weight, names, centre=centre)
    elif held_rows is not None:
        held = x[held_rows], target[held_rows], None if weight is None else weight[held_rows]
        if held[2] is not None and not held[2].sum() > 0:
            raise ArgumentError("validation: expected held-out rows with a positive sum of sample_weight")
    absent = state.loss.absent(y, weight, "y")
    known = {**model.classes, **classes}
    loss = state.loss.named(known).fitted(target, rows, model.outputs, absent)
    if class_weight is not None:
        factors = loss.class_factors(class_weight, target, rows, model.outputs, absent=absent, known=known)
        weight = factors if weight is None else weight * factors
    if weight is not None and not (weight if rows is None else weight[rows]).sum() > 0:
        raise ArgumentError("sample_weight: expected a positive sum over the training rows, got 0")
    return Data(x, target, weight, rows, held, loss, learned, source.labels, classes)


def take(state: TrainingState, data: Data) -> None:
    """Let trainer and network have what was learnt from the data: the loss's numbers, scaling, names."""
    state.loss = data.loss
    learned = data.scaling
    if learned is not None:
        when_free(lambda: state.model.set_scaling(learned))
    state.model.remember(data.labels, data.classes)


class Untaken:
    """A training as it was before `take`, for a fit that ends before its first step."""

    def __init__(self, state: TrainingState) -> None:
        model = state.model
        self._state, self._at = state, (state.steps, state.epochs)
        self._loss, self._core = state.loss, state.core
        self._names, self._standardized = (model.columns, model.classes), model.standardized

    def give_back(self) -> None:
        """Unless there was a step after all, in a callback."""
        state, model = self._state, self._state.model
        if (state.steps, state.epochs) != self._at:
            return
        state.loss = self._loss
        if self._core is None:  # one that was made since has the loss of this fit
            state.core = None
        if model.standardized and not self._standardized:
            when_free(model.forget_scaling)
        model.columns, model.classes = self._names


def held_out(validation: object, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those to validate with, for a share of them."""
    try:
        share = number(validation, "validation")
    except DTypeError:
        raise DTypeError(
            f"validation: expected (X, y), a share in (0, 1) or None, got a {type(validation).__name__}"
        ) from None
    if not 0.0 < share < 1.0:
        raise ArgumentError(f"validation: expected a share in (0, 1), got {share}")
    held = max(1, round(share * count))
    if held >= count:
        raise ShapeError(f"validation: expected rows left to train on, got {held} of {count} held out")
    order = _core.shuffle(seed, _SPLIT_EPOCH, count)
    return np.sort(order[: count - held]), np.sort(order[count - held :])
