"""Schedules at work: every ReduceOnPlateau inside one, at any depth, with a state of its own.

A schedule is a frozen description. `hear` makes from it the function that a training calls: a copy in which
each ReduceOnPlateau is replaced by one that reads its state. A function of the user's own cannot be looked
into; while it runs inside a training, a ReduceOnPlateau that it calls refuses, since it would never reduce.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from typing import Any

from .base import Checked, Scalar, Schedule
from .plateau import AT_WORK, PlateauState, ReduceOnPlateau

Clock = Callable[[int], int | None]  # the step that a part counts at a step of the whole; None: not its turn


@dataclass(frozen=True)
class Listener:
    """One ReduceOnPlateau of a schedule: the name of its state, itself, and the step that it counts."""

    name: str
    rule: ReduceOnPlateau
    clock: Clock

    def see(self, states: Mapping[str, PlateauState], row: Mapping[str, float], step: int) -> None:
        """Take in the row of an epoch if it was in force in the epoch's last step; `step` is the next one."""
        last = self.clock(step - 1) if step else None
        if last is not None:
            states[self.name].see(self.rule, row, last + 1)


@dataclass(frozen=True)
class Heard:
    """A schedule as a training calls it, and what in it listens."""

    value: Schedule
    listeners: tuple[Listener, ...]


def hear(schedule: Schedule, name: str, states: MutableMapping[str, PlateauState]) -> Heard:
    """`schedule` at work, with a new state in `states` for each ReduceOnPlateau in it.

    The state of the schedule itself is called `name`, that of one inside `name` and where it stands, such as
    ``optimizer.lr.schedules[1]``.
    """
    found: list[Listener] = []
    made = _bound(schedule, name, lambda step: step, states, found)
    assert callable(made)
    return Heard(_guarded(made, name) if _has_foreign(schedule) else made, tuple(found))


def listens(schedule: object) -> bool:
    """Whether a ReduceOnPlateau is in it."""
    return isinstance(schedule, ReduceOnPlateau) or any(listens(part) for _, _, part in _parts(schedule))


def _parts(schedule: object) -> Iterator[tuple[str, int | None, Any]]:
    """The schedules directly inside: field, index in it if it holds several, and schedule."""
    if not isinstance(schedule, Checked):
        return
    for field in fields(schedule):  # type: ignore[arg-type]  # every subclass is a dataclass
        value = getattr(schedule, field.name)
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                if callable(item):
                    yield field.name, index, item
        elif callable(value):
            yield field.name, None, value


def _has_foreign(schedule: object) -> bool:
    """Whether a callable that is no class of this package is in it."""
    if callable(schedule) and not isinstance(schedule, Checked):
        return True
    return any(_has_foreign(part) for _, _, part in _parts(schedule))


def _bound(
    schedule: Scalar,
    name: str,
    clock: Clock,
    states: MutableMapping[str, PlateauState],
    found: list[Listener],
) -> Scalar:
    """A copy of `schedule` that reads `states`; itself where nothing in it listens."""
    if not listens(schedule):
        return schedule
    made = copy.copy(schedule)
    for field, index, part in _parts(schedule):
        where = f"{name}.{field}" if index is None else f"{name}.{field}[{index}]"
        inner = _bound(part, where, _inside(schedule, field, index, clock), states, found)
        if index is None:
            object.__setattr__(made, field, inner)
        else:
            several = getattr(made, field)
            object.__setattr__(made, field, (*several[:index], inner, *several[index + 1 :]))
    if not isinstance(made, ReduceOnPlateau):
        return made
    states[name] = PlateauState()
    found.append(Listener(name, made, clock))
    rule: ReduceOnPlateau = made
    return lambda step: rule.reduced(step, states[name].scale)


def _inside(schedule: Any, field: str, index: int | None, clock: Clock) -> Clock:
    def inner(step: int) -> int | None:
        own = clock(step)
        return None if own is None else schedule.own_step(field, index, own)

    return inner


def _guarded(schedule: Schedule, name: str) -> Schedule:
    def guarded(step: int) -> float:
        token = AT_WORK.set(name)
        try:
            return schedule(step)
        finally:
            AT_WORK.reset(token)

    return guarded
