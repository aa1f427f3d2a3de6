"""How the core of a network is told of its penalties."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..losses.penalty import Penalty
from ..schedules.scalars import STRENGTH, Column


def schedule_penalties(
    core: _core.CoreNetwork, penalties: Mapping[int, tuple[str, Penalty]], columns: list[Column]
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


def set_strengths(core: _core.CoreNetwork, begins: Mapping[int, int], row: NDArray[np.float64]) -> None:
    """Those of a step's row, for evaluation until the next one."""
    for index, first in begins.items():
        core.set_penalty(index, row[first], row[first + 1])
