"""Branches: a training's twin in memory, which goes on by itself."""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace

from ..network.network import network_of
from ..network.sharing import Turn
from .core_trainer import scale_rule
from .fit_state import FitState
from .state import TrainingState


def branch(state: TrainingState) -> TrainingState:
    """See `Trainer.branch`. What never changes is shared: descriptions, functions, masks, data."""
    model = state.model
    twin = TrainingState.__new__(TrainingState)
    with model.turns.steady("branch"):
        twin.__dict__.update(state.__dict__)
        if state.core is None:
            core = model.core.branch()
        else:
            core, twin.core = state.core.branch()
        twin.model = model.twin(core)
        twin.net = network_of(twin.model)
        twin.history = state.history.since(0)
        twin.hypers = state.hypers.twin()
        if state.rates is not None:
            twin.rates = state.rates.twin(twin.hypers.plateaus)
        twin.constant = twin.hypers.constant if twin.rates is None else None
        twin.fit = None if state.fit is None else _fit(state.fit)
        twin.fitting = Turn()
        twin.masks = dict(state.masks)
        twin.ledger = state.ledger.copy()
        if state.conflicts is not None:
            twin.conflicts = state.conflicts.copy()
        if state.run is not None:
            twin.run = copy.deepcopy(state.run)
        if state.plan.statistic is not None:
            twin.plan = replace(state.plan)
            twin.plan.read_statistic(state.plan.statistic.state())
        if twin.core is not None:
            twin.core.set_scale(scale_rule(twin.plan, twin.hypers))
    twin.weak = weakref.ref(twin)
    if model.keeper is state.weak:
        twin.model.keeper = twin.weak
    return twin


def _fit(fit: FitState) -> FitState:
    """Where it stands, for a call with the same arguments to go on with; its data tell these from others."""
    sums = replace(fit.sums, heads=list(fit.sums.heads), ledger=[list(row) for row in fit.sums.ledger])
    return replace(fit, sums=sums, stop=replace(fit.stop), terms=replace(fit.terms), loaded=True)
