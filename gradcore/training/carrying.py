"""An optimizer's state, from a training to one that was made from it by an edit.

The core counts updates once for all parameters, and corrects moments by that count. So what cannot have the
count of the others, such as the moments of a new parameter, decides with which count all go on:

- Rules without corrections (SGD, RMSprop, Adagrad, Adadelta, Lion, Rprop, LARS) keep it; new arrays begin as
  ever.
- Adam and its like go on with a small count, 1 / (1 - beta1) at most, and carried moments are scaled so that,
  corrected, they are the same as before. Then a new parameter's steps are at most some 13 % longer than those
  of a new trainer; with the old count they would be up to 6.5 times as long.
- For all others, everything begins anew, from count 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .. import _core
from ..errors import ArgumentError
from ..optimizers.interface import Average
from ..schedules.scalars import LR, OWN
from . import core_trainer
from .reloading import form
from .state import TrainingState

# What the slots of rules hold that have the same thing in the same scale.
_MEANINGS = {
    "adam": ("mean", "square", "largest square"),
    "adamw": ("mean", "square", "largest square"),
    "radam": ("mean", "square"),
    "lamb": ("mean", "square"),
    "yogi": ("mean", "square"),
    "ademamix": ("mean", "square", "slow mean"),
    "adamax": ("mean", "greatest"),
    "adabelief": ("mean", "deviation"),
}
_CORRECTED = {"mean": "beta1", "square": "beta2", "largest square": "beta2", "deviation": "beta2"}
_MAY_BEGIN = {"largest square", "slow mean", "greatest"}  # later than the others
_RESCALED = _MEANINGS.keys() - {"yogi"}  # whose moments are linear in what they are made of
_UNCORRECTED = {"sgd", "rmsprop", "adagrad", "adadelta", "lion", "rprop", "lars"}
_STARTS = {("rmsprop", 0): "initial", ("adagrad", 0): "initial", ("rprop", 1): "lr"}


@dataclass
class Carriage:
    """What of the state of `old` goes on in `new`, by slots and averages, and with which count of updates."""

    old: TrainingState
    new: TrainingState
    places: dict[int, int]  # old place by new one, of trainable parameters whose state is kept
    kept: bool = False  # whether anything is
    waits: int = 0  # gradients that wait for the rest of their update
    count: int = 0  # updates
    slots: dict[int, tuple[int, str]] = field(default_factory=dict)  # old slot and its correction, by new one
    averages: dict[int, int] = field(default_factory=dict)
    whole: bool = False  # the same form, of the same parameters


def planned(old: TrainingState, new: TrainingState, places: Mapping[int, int], same: bool) -> Carriage:
    """What can be carried; `places` are of the parameters that keep state, `same` whether these are all, and
    the loss as it was. ArgumentError for an average that would have to have begun."""
    plan = Carriage(old, new, {at: place for at, place in places.items() if new.model.infos[at]["trainable"]})
    core = old.core
    if core is None:
        return plan
    forms = form(old.optimizer, old.model), form(new.optimizer, new.model)
    parts = _parts(old.optimizer.averages()), _parts(new.optimizer.averages())
    count = core.updates // parts[0]
    plan.averages = _averages(old, new)
    if same and forms[0] == forms[1] and len(plan.averages) == len(new.optimizer.averages()):
        plan.slots = {slot: (slot, "") for slot in range(core.slots)}
        plan.kept = plan.whole = True
        plan.count, plan.waits = count, core.updates % parts[0]
        return plan
    plan.slots = _slots(old, new, forms[0][0] == forms[1][0])
    plan.count = _count(plan, count, (core.updates + old.forgotten) // parts[1])
    plan.kept = plan.count > 0
    if plan.kept:
        _check_averages(plan)
    return plan


def carry(plan: Carriage) -> None:
    """Write it into the core of the new training, which has no state yet; `settle` has to follow."""
    old, new = plan.old.core, plan.new.core
    assert old is not None and new is not None
    done = old.updates + plan.old.forgotten >= _parts(plan.old.optimizer.averages())
    parts = _parts(plan.new.optimizer.averages())
    new.set_progress(old.step, min(old.step, parts) if done else 0)  # constraints hold after an update
    if plan.whole:
        core_trainer.move_factors(old, new, plan.places)
        for slot, (before, _) in plan.slots.items():
            core_trainer.move_slot(old, new, before, slot, plan.places)
    elif plan.kept:
        _carry_moments(plan)
        _carry_averages(plan)


def settle(plan: Carriage) -> None:
    """The counts and numbers of the new training, once its weights are what they are to be."""
    old, new = plan.old.core, plan.new.core
    assert old is not None and new is not None
    updates = plan.count * _parts(plan.new.optimizer.averages()) + plan.waits
    new.set_progress(old.step, updates)
    plan.new.forgotten = old.updates + plan.old.forgotten - updates
    if plan.whole:
        core_trainer.move_numbers(old, new)
    elif plan.kept and plan.slots and plan.old.optimizer.name == plan.new.optimizer.name:
        new.running_write(old.running_read())


def _parts(averages: tuple[Average, ...]) -> int:
    """Gradients of an update."""
    return math.prod(average.every for average in averages if average.kind == "accumulate")


# ---- What can be carried ----


def _used(state: TrainingState) -> list[int]:
    """The numbers of the slots that a rule uses, in the order of the core's."""
    bits = _core.optimizer_slots(state.optimizer.name, state.optimizer.flags())
    return [slot for slot in range(_core.SLOTS) if bits >> slot & 1]


def _slots(old: TrainingState, new: TrainingState, same_rule: bool) -> dict[int, tuple[int, str]]:
    """Slots with the same meaning; empty if one is missing without which the others mean nothing."""
    names = old.optimizer.name, new.optimizer.name
    if not same_rule and not all(name in _MEANINGS for name in names):
        return {}
    before, now = (
        [_MEANINGS[name][slot] if name in _MEANINGS else str(slot) for slot in _used(state)]
        for name, state in zip(names, (old, new), strict=True)
    )
    if not same_rule and any(one not in before and one not in _MAY_BEGIN for one in now):
        return {}
    return {now.index(one): (before.index(one), _CORRECTED.get(one, "")) for one in now if one in before}


def _averages(old: TrainingState, new: TrainingState) -> dict[int, int]:
    """The averages of weights that are the same ones, in order; the old place by the new one."""
    found: dict[int, int] = {}
    before, free = old.optimizer.averages(), 0
    for index, average in enumerate(new.optimizer.averages()):
        match = [i for i in range(free, len(before)) if _is_same(before[i], average)]
        if match:
            found[index], free = match[0], match[0] + 1
    return found


def _is_same(before: Average, now: Average) -> bool:
    """A mean counts its updates; other averages go on at another rhythm."""
    if before.kind == "swa" or before.kind == "accumulate":
        return before == now
    return before.kind == now.kind


def _count(plan: Carriage, count: int, most: int) -> int:
    """The count of updates to go on with; 0: everything begins anew."""
    name, state = plan.new.optimizer.name, plan.new
    if plan.new.full_batch or plan.old.full_batch:
        return 0
    if plan.old.optimizer.name != name and not plan.slots:
        return 0
    fresh = _fresh(plan)
    goal = min(count, most)
    if fresh and name in _RESCALED:
        goal = min(goal, round(1.0 / (1.0 - _column(state, "beta1", plan.old.steps))))
    elif fresh and not _is_uncorrected(state):
        return 0
    if goal < count and name not in _RESCALED and not _is_uncorrected(state):
        return 0
    averages = state.optimizer.averages()
    means = [averages[index] for index in plan.averages if averages[index].kind == "swa"]
    if (fresh or goal < count) and any(mean.start < count for mean in means):
        return 0
    rhythm = (goal - count) % math.lcm(*(a.every for a in averages if a.kind == "lookahead"))
    return goal - rhythm if goal > rhythm else goal


def _fresh(plan: Carriage) -> bool:
    """Whether a parameter has no state that could be carried."""
    new, old = plan.new, plan.old
    trainable = [at for at, info in enumerate(new.model.infos) if info["trainable"]]
    if any(at not in plan.places for at in trainable):
        return True
    return any(new.whole[at] != old.whole[before] for at, before in plan.places.items()) or (
        any(new.whole) and old.optimizer.largest_factor != new.optimizer.largest_factor
    )


def _is_uncorrected(state: TrainingState) -> bool:
    """Whether the count means nothing to the rule; a first gradient without dampening is the exception."""
    rule = getattr(state.optimizer, "rule", None)
    return state.optimizer.name in _UNCORRECTED and getattr(rule, "dampening", 0.0) == 0.0


def _check_averages(plan: Carriage) -> None:
    """A mean that has not begun can; one that began without this training cannot be made up."""
    for index, average in enumerate(plan.new.optimizer.averages()):
        if average.kind == "swa" and index not in plan.averages and average.start < plan.count:
            raise ArgumentError(
                f"optimizer: expected SWA with start={plan.count} or later, of updates that are still to "
                f"come, got start={average.start}"
            )


# ---- Writing ----


def _carry_moments(plan: Carriage) -> None:
    old, new = plan.old.core, plan.new.core
    assert old is not None and new is not None
    before = old.updates // _parts(plan.old.optimizer.averages())
    is_other = plan.old.optimizer.name != plan.new.optimizer.name or plan.count != before
    core_trainer.move_factors(old, new, plan.places)
    for slot, (at, beta) in plan.slots.items():
        factor = 1.0
        if beta and is_other and plan.new.optimizer.name in _MEANINGS:
            factor = _correction(plan.new, beta, old.step, plan.count)
            factor /= _correction(plan.old, beta, old.step, before)
        core_trainer.move_slot(old, new, at, slot, plan.places, factor)
    for slot, number in enumerate(_used(plan.new)):
        what = _STARTS.get((plan.new.optimizer.name, number))
        if what is None:
            continue
        for index, info in enumerate(plan.new.model.infos):
            if info["trainable"] and (index not in plan.places or slot not in plan.slots):
                value = _start(plan.new, index, what)
                new.state_write(slot, index, np.full(info["shape"], value, plan.new.dtype))


def _carry_averages(plan: Carriage) -> None:
    """Averages of weights; those that have no past are the weights."""
    old, new, model = plan.old.core, plan.new.core, plan.new.model
    assert old is not None and new is not None
    first = [len(_used(state)) for state in (plan.old, plan.new)]
    for index, average in enumerate(plan.new.optimizer.averages()):
        if average.kind not in ("ema", "swa", "lookahead"):
            continue
        places = plan.places if index in plan.averages else {}
        if places:
            core_trainer.move_slot(old, new, first[0] + plan.averages[index], first[1] + index, places)
        for at, info in enumerate(model.infos):
            if info["trainable"] and at not in places:
                new.state_write(first[1] + index, at, model.core.read(at))


def _column(state: TrainingState, name: str, step: int) -> float:
    """A hyperparameter at a step."""
    order = (_core.describe("optimizer", state.optimizer.name, "hyperparameters") or "").split()
    return float(state.hypers.row(step)[LR if name == "lr" else OWN + order.index(name)])


def _correction(state: TrainingState, beta: str, step: int, count: int) -> float:
    """What a moment is divided by after so many updates."""
    return 1.0 - float(_column(state, beta, step) ** count)


def _start(state: TrainingState, index: int, what: str) -> float:
    """What an array of state begins with that does not begin at 0."""
    factor = dict(state.groups).get(index, (1.0, math.nan, False))[0] if what == "lr" else 1.0
    return _column(state, what, state.steps) * factor
