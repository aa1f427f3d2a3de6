"""The core's trainer behind a `Trainer`: made for a batch size, and outgrown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import _core
from ..clipping.base import Plan
from ..schedules.rows import Hypers
from ..schedules.scalars import CLIP

if TYPE_CHECKING:
    from .trainer import Trainer


def make_engine(trainer: Trainer, capacity: int, target: Any) -> _core.CoreTrainer:
    """A core's trainer for batches of up to `capacity` rows, for targets like `target`, without any state."""
    engine = _core.CoreTrainer(
        trainer.net._core,
        **trainer.loss.for_core(trainer._outputs, target),
        optimizer=trainer.optimizer.name,
        flags=trainer.optimizer.flags(),
        clip=trainer._plan.option,
        nonfinite=trainer.nonfinite,
        capacity=capacity,
        seed=trainer.seed,
    )
    engine.set_rules(trainer._plan.rules, trainer._kept(trainer._masks))
    engine.set_scale(_scale(trainer._plan, trainer._hypers))
    for average in trainer.optimizer.averages():
        engine.add_average(average.kind, average.every, average.start)
    for index, group in trainer._groups:
        engine.set_group(index, *group)
    if any(trainer._whole):
        engine.set_matrices(trainer._whole, trainer.optimizer.largest_factor)
    return engine


def _scale(plan: Plan, hypers: Hypers) -> Callable[[float, int], float] | None:
    if plan.statistic is None:
        return None
    scheduled = any(callable(column.value) for column in plan.columns)

    def scale(norm: float, step: int) -> float:
        assert plan.statistic is not None
        if scheduled:
            plan.statistic.bound = hypers.at(CLIP, step)
        return plan.statistic(norm)

    return scale


def factors(engine: _core.CoreTrainer, parameters: Sequence[_core.ParameterInfo]) -> list[tuple[int, int]]:
    """The factors that the optimizer keeps of matrices: index of the parameter, and side."""
    return [(i, side) for i in range(len(parameters)) for side in (0, 1) if engine.factor_order(i, side)]


def move_state(
    old: _core.CoreTrainer, new: _core.CoreTrainer, parameters: Sequence[_core.ParameterInfo]
) -> None:
    """The optimizer's state and counters of `old` to `new`, which was made for the same parameters."""
    new.set_progress(old.step, old.updates)
    for index, side in factors(old, parameters):
        new.factor_write(index, side, old.factor_read(index, side))
    new.running_write(old.running_read())
    if old.accumulates:
        new.accumulated_write(old.accumulated_read())
    for slot in range(old.slots):
        for index, info in enumerate(parameters):
            if info["trainable"]:
                new.state_write(slot, index, old.state_read(slot, index))
