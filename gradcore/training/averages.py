"""The average of the weights that an optimizer keeps, as a network, with running averages of its own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from ..errors import StateError
from ..network.compiled import Compiled
from ..network.network import Network, compiled_of
from ..network.refreshing import refreshed
from ..optimizers.interface import mean_of_weights
from ..validation.arrays import Array
from .fit_state import FitState
from .state import TrainingState

_REFRESH_EPOCH = 2**63 + 1  # no epoch's: the permutation of the batches for running averages


def averaged(state: TrainingState) -> Network:
    """See `Trainer.averaged`."""
    if not state.averages:
        raise StateError("averaged: expected an optimizer within EMA, SWA or Lookahead, got one without")
    with state.model.turns.steady("averaged"):
        net, core = plain_average(state), state.core
        updates = 0 if core is None else core.updates
    model = compiled_of(net)
    if not updates or not model.has_norms:
        return net
    fit = state.fit
    if fit is not None and fit.data is not None:
        model.set_parameters(norms_of(state, fit, model))
    elif state.norms is not None and state.norms[0] == updates:
        held = _held(state)
        norms = state.norms[1].items()
        model.set_parameters({name: v for name, v in norms if name.rpartition(".")[0] not in held})
    else:
        warnings.warn(
            "averaged: the running averages of BatchNorm are those of other weights; call "
            "refresh_norms(X) of the network that is returned",
            RuntimeWarning,
            stacklevel=3,
        )
    return net


def plain_average(state: TrainingState) -> Network:
    """A copy of the network with the averaged weights, and the running averages that it has."""
    averages = state.optimizer.averages()
    index = mean_of_weights(averages)
    net, core = state.net.clone(), state.core
    if index is None:
        return net
    waits = math.prod(average.every for average in averages if average.kind == "accumulate")
    if core is not None and core.updates >= waits:
        slot = core.slots - core.head_means - len(averages) + index
        frozen, model = state.frozen(), compiled_of(net)
        taken = (at for at, info in enumerate(model.infos) if info["trainable"] and at not in frozen)
        core.write(model.core, {at: core.state_read(slot, at) for at in taken})
    return net


def norms_of(
    state: TrainingState, fit: FitState, model: Compiled, check: Callable[[], None] = lambda: None
) -> dict[str, Array]:
    """The running averages that the training rows of a fit give the weights of `model`, in batches as in
    training.

    Empty, so that it keeps those that it has, where they cannot be had: with batches of one row, or where
    something is not finite.
    """
    assert fit.data is not None
    order = fit.data.rows
    if fit.shuffle:
        order = _core.shuffle(state.seed, _REFRESH_EPOCH, fit.rows)
        order = order if fit.data.rows is None else fit.data.rows[order]
    rates = None if state.rates is None else state.rates.row(max(0, state.steps - 1))
    options: dict[str, Any] = {"rates": rates, "seed": state.seed, "check": check}
    found = refreshed(model, fit.data.x, order, fit.batch_size, held=_held(state), **options)
    return found if all(np.isfinite(value).all() for value in found.values()) else {}


def _held(state: TrainingState) -> frozenset[str]:
    """Positions of the BatchNorm layers that are frozen: their averages, or all of gamma and beta."""
    frozen, model = state.frozen(), state.model
    layers: dict[str, list[tuple[bool, bool]]] = {}
    for at, info in enumerate(model.infos):
        position = info["name"].rpartition(".")[0]
        if model.places[position].keeps_averages:
            layers.setdefault(position, []).append((info["trainable"], at in frozen))
    return frozenset(
        position
        for position, found in layers.items()
        if (False, True) in found or ((True, True) in found and (True, False) not in found)
    )
