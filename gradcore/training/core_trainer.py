"""The core's trainer behind a `Trainer`: made when it is first needed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from ..clipping.base import Plan
from ..schedules.rows import Hypers
from ..schedules.scalars import CLIP
from .conflicts import all_conflicts
from .state import TrainingState


def reserve(state: TrainingState, rows: int, target: Any = None) -> _core.CoreTrainer:
    """The core's trainer with room for batches of `rows`, and for targets like `target`; where those are of
    another kind than before it is a new one, to which state and step number move."""
    state.model.core.require_free()
    old = state.core
    soft = state.soft if target is None else state.loss.soft(target)
    if old is not None and soft == state.soft:
        if old.capacity < rows:
            old.reserve(operator.index(rows))
        return old
    new = _made(state, operator.index(rows if old is None else max(rows, old.capacity)), target)
    if old is not None:
        state.ledger, state.conflicts = state.ledger + old.ledger(), all_conflicts(state)
        move(old, new, state.model.infos)
    state.core, state.soft = new, soft
    return new


def _made(state: TrainingState, capacity: int, target: Any) -> _core.CoreTrainer:
    """A core's trainer for batches of up to `capacity` rows, for targets like `target`, without any state."""
    core = _core.CoreTrainer(
        state.model.core,
        **state.loss.for_core(state.outputs, target),
        optimizer=state.optimizer.name,
        flags=state.optimizer.flags(),
        clip=state.plan.option,
        nonfinite=state.nonfinite,
        capacity=capacity,
        seed=state.seed,
    )
    core.set_rules(state.plan.rules, state.kept())
    core.set_scale(scale_rule(state.plan, state.hypers))
    for average in state.optimizer.averages():
        core.add_average(average.kind, average.every, average.start)
    for index, group in state.groups:
        core.set_group(index, *group)
    if any(state.whole):
        core.set_matrices(state.whole, state.optimizer.largest_factor)
    return core


def scale_rule(plan: Plan, hypers: Hypers) -> Callable[[float, int], float] | None:
    """The factor of a step by a rule made from statistics, for the core to ask for."""
    if plan.statistic is None:
        return None
    scheduled = any(callable(column.value) for column in plan.columns)

    def scale(norm: float, step: int) -> float:
        assert plan.statistic is not None
        if scheduled:
            plan.statistic.bound = hypers.at(CLIP, step)
        return plan.statistic(norm)

    return scale


def factors(core: _core.CoreTrainer, parameters: Sequence[_core.ParameterInfo]) -> list[tuple[int, int]]:
    """The factors that the optimizer keeps of matrices: index of the parameter, and side."""
    return [(i, side) for i in range(len(parameters)) for side in (0, 1) if core.factor_order(i, side)]


def move(old: _core.CoreTrainer, new: _core.CoreTrainer, parameters: Sequence[_core.ParameterInfo]) -> None:
    """The optimizer's state and counters of `old` to `new`, which was made for the same parameters."""
    new.set_progress(old.step, old.updates)
    places = {index: index for index, info in enumerate(parameters) if info["trainable"]}
    move_numbers(old, new)
    move_factors(old, new, places)
    for slot in range(old.slots):
        move_slot(old, new, slot, slot, places)


def move_numbers(old: _core.CoreTrainer, new: _core.CoreTrainer) -> None:
    """What an optimizer keeps beside its arrays, and what the gradients that wait were divided by."""
    new.running_write(old.running_read())
    if old.accumulates:
        new.accumulated_write(old.accumulated_read())


def move_factors(old: _core.CoreTrainer, new: _core.CoreTrainer, places: Mapping[int, int]) -> None:
    """The factors of matrices; `places` has the old place of a parameter by its new one."""
    for index, before in places.items():
        for side in (0, 1):
            if old.factor_order(before, side):
                new.factor_write(index, side, old.factor_read(before, side))


def move_slot(
    old: _core.CoreTrainer,
    new: _core.CoreTrainer,
    before: int,
    slot: int,
    places: Mapping[int, int],
    factor: float = 1.0,
) -> None:
    """One array of state, times a factor, from the slot `before`, for the parameters in `places`."""
    for index, at in places.items():
        value = old.state_read(before, at)
        if factor != 1.0:
            value = (value.astype(np.float64) * factor).astype(value.dtype)
        new.state_write(slot, index, value)
