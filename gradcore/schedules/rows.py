"""Rows of hyperparameters for the core: one row a step, one column a hyperparameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..validation.checks import shown
from .base import Schedule
from .listening import Listener, hear
from .plateau import PlateauState, ReduceOnPlateau
from .scalars import Column


class Hypers:
    """The hyperparameters of a run of steps.

    Constants are written once; schedules are called once a step and checked every time. `plateaus` says where
    those that listen to metrics stand, by the name of the hyperparameter and, inside another schedule, where
    in it; rows of several kinds may share it.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        width: int = _core.HYPERS,
        plateaus: dict[str, PlateauState] | None = None,
    ) -> None:
        self._columns = columns if any(callable(column.value) for column in columns) else ()  # for a twin
        self._constant = np.zeros(width)
        self._scheduled: list[tuple[Column, Schedule]] = []
        self._listeners: list[Listener] = []
        self.plateaus = {} if plateaus is None else plateaus
        self.listening: set[str] = set()  # hyperparameters whose schedule is a ReduceOnPlateau itself
        for column, name in zip(columns, _distinct(columns), strict=True):
            if not callable(column.value):
                self._constant[column.index] = column.value
                continue
            heard = hear(column.value, name, self.plateaus)
            self._scheduled.append((column, heard.value))
            self._listeners += heard.listeners
            if isinstance(column.value, ReduceOnPlateau) and name == column.name:
                self.listening.add(name)
        self._one = self._constant.copy()
        self.constant = None if self._scheduled else self._one  # the row of all steps, if it never changes
        self._many = self._constant.reshape(1, -1).copy()

    def twin(self, plateaus: dict[str, PlateauState] | None = None) -> Hypers:
        """One that stands where this stands, and goes on by itself; with those of `plateaus`, if given."""
        if self.constant is not None:
            return self
        made = Hypers(self._columns, len(self._constant), plateaus)
        made.plateaus.update({name: replace(state) for name, state in self.plateaus.items()})
        return made

    def row(self, step: int) -> NDArray[np.float64]:
        """(columns,) for one step; valid until the next call."""
        if self._scheduled:
            for column, schedule in self._scheduled:
                self._one[column.index] = _value(column, schedule, step)
        return self._one

    def rows(self, step: int, count: int) -> NDArray[np.float64]:
        """(count, columns) for steps step, step + 1, ...; valid until the next call."""
        if len(self._many) < count:
            self._many = np.tile(self._constant, (count, 1))
        rows = self._many[:count]
        for column, schedule in self._scheduled:
            rows[:, column.index] = [_value(column, schedule, s) for s in range(step, step + count)]
        return rows

    def at(self, index: int, step: int) -> float:
        """One column of one step."""
        for column, schedule in self._scheduled:
            if column.index == index:
                return _value(column, schedule, step)
        return float(self._constant[index])

    def see(self, row: Mapping[str, float], step: int) -> None:
        """Show the row of an epoch to the schedules that listen; `step` is the next one."""
        for listener in self._listeners:
            listener.see(self.plateaus, row, step)

    def check_monitors(self, check: Callable[[str, str], None], validated: bool) -> None:
        """Refuse a training whose history will lack what a schedule listens to.

        `check` refuses a column that the loss does not give, and is told who asks for it.
        """
        for listener in self._listeners:
            if (monitor := listener.rule.monitor) is not None:
                check(monitor, listener.name)
                if monitor.startswith("val_") and not validated:
                    raise ArgumentError(
                        f"{listener.name}: expected validation data to monitor {monitor}, got none"
                    )


def _distinct(columns: Sequence[Column]) -> list[str]:
    """The names of columns, told apart by a number where two have the same, as those of an average of an
    average do."""
    names: list[str] = []
    for column in columns:
        count = sum(other.name == column.name for other in columns[: len(names)])
        names.append(f"{column.name}#{count + 1}" if count else column.name)
    return names


def _value(column: Column, schedule: Schedule, step: int) -> float:
    value = schedule(step)
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise DTypeError(
            f"{column.name}: expected a number from its schedule at step {step}, got {shown(value)}"
        ) from None
    if not column.scheduled.contains(result):
        raise ArgumentError(
            f"{column.name}: expected a finite value {column.scheduled.text} from its schedule, "
            f"got {result} at step {step}"
        )
    return result
