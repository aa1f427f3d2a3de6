"""A learning rate that falls when a metric of the history stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar

from ..errors import ArgumentError
from ..validation.checks import choice, flag, history_column, number
from .base import NOT_NEGATIVE, Check, Checked, Scalar, count, natural, optional, scalar, value_at, within

__all__ = ["ReduceOnPlateau"]

# The name of the hyperparameter whose schedule, a function that cannot be looked into, a training calls.
AT_WORK: ContextVar[str] = ContextVar("AT_WORK", default="")
_SMALLEST_CHANGE = 1e-8  # PyTorch's eps: a smaller reduction is not made
_BELOW_ONE = within("in (0, 1)", lambda x: 0 < x < 1)


@dataclass(frozen=True, repr=False)
class ReduceOnPlateau(Checked):
    """Multiplied by `factor` when an epoch's metric has not improved for a while.

    `fit` shows it the row of every epoch, inside `Warmup`, `Join` and `Scale` too; where each of them stands
    is part of the trainer and of its checkpoints. By itself, in `values` and `plot`, and in
    `Optimizer.update`, it is what it begins as. A function of your own that calls one is refused in a
    training, where it would never reduce.

    Parameters
    ----------
    schedule : Schedule or float
        What is reduced.
    factor : float, default 0.1
        In (0, 1).
    patience : int, default 10
        PyTorch reduces at the bad epoch after so many (the 11th), Keras and optax at the last of them (the
        10th); `style` decides. >= 1, or 0 in PyTorch's style.
    threshold : float, default 1e-4
        >= 0: a smaller change is no improvement.
    relative : bool, optional
        Whether `threshold` is a share of the best value. Default: as the style has it.
    cooldown : int, default 0
        Epochs after a reduction in which none is counted as bad.
    lowest : float, default 0.0
        The value is never below it, reduced or not. At most `schedule` where that is a number.
    monitor : str, optional
        "loss", "accuracy", "val_loss", "val_accuracy" or "grad_norm", or of a head, as "val_steer.loss";
        accuracies should rise, others fall. `fit` refuses what its history will not have.
        Default: "val_loss" with validation data, else "loss".
    style : {"torch", "keras", "optax"}, default "torch"
        How patience counts, and the kind of threshold: relative, but absolute in Keras' style. There the
        last epoch of a cooldown may be bad already; in PyTorch's, a reduction by 1e-8 or less is not made.

    Examples
    --------
    >>> from gradcore import optimizers, schedules
    >>> lr = schedules.ReduceOnPlateau(0.1, factor=0.5, patience=3)
    >>> optimizers.SGD(lr)
    SGD(ReduceOnPlateau(0.1, factor=0.5, patience=3))
    """

    schedule: Scalar
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    relative: bool | None = None
    cooldown: int = 0
    lowest: float = 0.0
    monitor: str | None = None
    style: str = "torch"
    checks: ClassVar[dict[str, Check]] = {
        "schedule": scalar,
        "factor": _BELOW_ONE,
        "patience": natural,
        "threshold": NOT_NEGATIVE,
        "relative": optional(flag),
        "cooldown": natural,
        "lowest": number,
        "monitor": optional(history_column),
        "style": lambda value, name: choice(value, name, ("torch", "keras", "optax")),
    }

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""
        if self.style != "torch":
            count(self.patience, f"ReduceOnPlateau: patience in the style of {self.style}")
        if isinstance(self.schedule, ReduceOnPlateau):
            raise self.refuse("schedule", "another schedule than a ReduceOnPlateau")
        from .decay import Constant

        start = self.schedule.value if isinstance(self.schedule, Constant) else self.schedule
        if not callable(start) and start < self.lowest:
            raise self.refuse("lowest", f"at most {start}, where it begins")

    def __call__(self, step: int) -> float:
        if name := AT_WORK.get():
            raise ArgumentError(
                f"{name}: expected a ReduceOnPlateau by itself or inside schedules.Warmup, Join or Scale, "
                f"where it hears of the metrics, got a function that calls {self!r}"
            )
        return self.reduced(step, 1.0)

    def reduced(self, step: int, scale: float) -> float:
        """The value at a step once the reductions amount to `scale`."""
        return max(value_at(self.schedule, step) * scale, self.lowest)


@dataclass
class PlateauState:
    """Where a ReduceOnPlateau stands in a training."""

    scale: float = 1.0
    best: float | None = None
    bad: int = 0
    cooling: int = 0

    def see(self, rule: ReduceOnPlateau, row: Mapping[str, float], step: int) -> None:
        """Take in the row of an epoch; `step` is the next one. NaN is no improvement."""
        column = rule.monitor or ("val_loss" if "val_loss" in row else "loss")
        value = row.get(column, math.nan)
        better = self._improves(rule, -value if column.endswith("accuracy") else value)
        if rule.style == "torch":
            self.bad = 0 if better else self.bad + 1
            if self.cooling:
                self.cooling, self.bad = self.cooling - 1, 0
            due = self.bad > rule.patience
        elif rule.style == "keras":
            if self.cooling:
                self.cooling, self.bad = self.cooling - 1, 0
            if better:
                self.bad = 0
            elif not self.cooling:
                self.bad += 1
            due = self.bad >= rule.patience
        else:
            self.bad = 0 if better or self.cooling else self.bad + 1
            self.cooling = max(0, self.cooling - 1)
            due = self.bad >= rule.patience
        if due:
            self._reduce(rule, step)

    def _improves(self, rule: ReduceOnPlateau, value: float) -> bool:
        limit = math.inf if self.best is None else self.best
        if math.isfinite(limit):
            relative = rule.style != "keras" if rule.relative is None else rule.relative
            if relative:
                limit *= 1.0 - rule.threshold if limit >= 0 else 1.0 + rule.threshold
            else:
                limit -= rule.threshold
        if not value < limit:
            return False
        self.best = value
        return True

    def _reduce(self, rule: ReduceOnPlateau, step: int) -> None:
        before = rule.reduced(step, self.scale)
        after = rule.reduced(step, self.scale * rule.factor)
        if rule.style == "keras" and not before > rule.lowest:
            return  # Keras neither counts anew nor cools down
        if rule.style != "torch" or before - after > _SMALLEST_CHANGE:
            self.scale *= rule.factor
        self.bad, self.cooling = 0, rule.cooldown
