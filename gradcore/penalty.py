"""The base of the penalties, and how the core of a network is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from . import _core
from .checks import Abstract
from .hypers import STRENGTH, Column
from .schedules.base import Scalar

__all__ = ["Penalty"]


class Penalty(Abstract):
    """Base of the penalties, ``l1 * sum(|w|) + l2 * sum(w**2)``."""

    abstract: ClassVar[bool] = True
    file_suffix: ClassVar[str] = "_penalty"

    def factors(self) -> tuple[Scalar, Scalar]:
        """l1 and l2."""
        raise NotImplementedError


def schedule_penalties(
    core: _core.Network, penalties: Mapping[int, tuple[str, Penalty]], columns: list[Column]
) -> dict[int, int]:
    """Tell the core the penalties, {parameter: (position of its layer, penalty)}.

    Where a strength is a schedule, both are two `columns` more; the result says where they begin.
    """
    begins: dict[int, int] = {}
    for index, (position, penalty) in penalties.items():
        l1, l2 = penalty.factors()
        if not callable(l1) and not callable(l2):
            core.set_penalty(index, l1, l2)
            continue
        core.schedule_penalty(index)
        begins[index] = len(columns)
        for name, value in (("l1", l1), ("l2", l2)):
            columns.append(Column(len(columns), f"layers[{position}]: penalty: {name}", value, STRENGTH))
    return begins


def set_strengths(core: _core.Network, begins: Mapping[int, int], row: NDArray[np.float64]) -> None:
    """Those of a step's row, for evaluation until the next one."""
    for index, first in begins.items():
        core.set_penalty(index, row[first], row[first + 1])
