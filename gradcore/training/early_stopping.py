"""Early stopping: its rule, and how far it has come in a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import ArgumentError
from ..validation.arrays import Array
from ..validation.checks import compact_repr, flag, history_column, integer, number


@dataclass(frozen=True, repr=False)
class EarlyStopping:
    """Ends a fit() once a column of the history has not improved for `patience` epochs.

    Parameters
    ----------
    monitor : str, optional
        "loss", "accuracy", "val_loss", "val_accuracy" or "grad_norm", or of a head, as "val_steer.loss";
        accuracies should rise, others fall.
        Default: "val_loss" with validation data, else "loss".
    patience : int, default 10
        >= 1. Training ends at the `patience`-th epoch in a row without improvement, as in Keras.
    min_delta : float, default 0.0
        >= 0: a smaller change is no improvement.
    restore_best : bool, default True
        At the end of the fit, early or not, go back to the best parameters, with the running averages of
        BatchNorm that belong to them. For ``val_`` columns those are the parameters at the end of the best
        epoch. The others are measured while an epoch trains, before each update: they go back to the
        parameters with which the best epoch began. Where that is the last epoch, the parameters at the end
        of the fit are measured on the training rows too, and stay if they are better.

    Examples
    --------
    >>> from gradcore.callbacks import EarlyStopping
    >>> EarlyStopping(patience=3)
    EarlyStopping(patience=3)
    """

    monitor: str | None = None
    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        if self.monitor is not None:
            history_column(self.monitor, "EarlyStopping: monitor")
        object.__setattr__(self, "patience", integer(self.patience, "EarlyStopping: patience", 1))
        object.__setattr__(self, "min_delta", number(self.min_delta, "EarlyStopping: min_delta"))
        object.__setattr__(self, "restore_best", flag(self.restore_best, "EarlyStopping: restore_best"))
        if self.min_delta < 0:
            raise ArgumentError(f"EarlyStopping: min_delta: expected a number >= 0, got {self.min_delta}")


@dataclass
class StopState:
    """How far early stopping has come in a fit."""

    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    stopped: bool = False
    parameters: dict[str, Array] = field(default_factory=dict)  # what was measured then
    begun: dict[str, Array] = field(default_factory=dict)  # what a column of the training pass measures
    spoiled: bool = False  # masks have changed since, and that cannot come back

    @staticmethod
    def signed(monitor: str, value: float) -> float:
        """The value of a column with the sign by which less is better."""
        return -value if monitor.endswith("accuracy") else value

    def see(
        self,
        rule: EarlyStopping,
        monitor: str,
        row: Mapping[str, float],
        parameters: Callable[[], dict[str, Array]],
    ) -> None:
        """Take in the row of an epoch; NaN is no improvement.

        It was measured with what the epoch began with where that is kept, else with what `parameters` gives.
        """
        if self.spoiled:
            self.spoiled = False
            return
        signed = self.signed(monitor, row.get(monitor, math.nan))
        best = self.best
        if signed == signed and (best is None or signed < best - rule.min_delta):
            self.best, self.best_epoch, self.waited = signed, int(row["epoch"]), 0
            if rule.restore_best:
                self.parameters = self.begun or parameters()
            return
        self.waited += 1
        self.stopped = self.waited >= rule.patience

    def within(self, masks: Mapping[str, Array]) -> None:
        """Masks have changed: forget a best epoch whose weights they do not allow; it cannot come back."""
        if not _fits(self.parameters, masks):
            self.best, self.best_epoch, self.waited, self.parameters = None, 0, 0, {}
        self.spoiled = self.spoiled or not _fits(self.begun, masks)


def _fits(parameters: Mapping[str, Array], masks: Mapping[str, Array]) -> bool:
    return not any((parameters[name][~mask] != 0).any() for name, mask in masks.items() if name in parameters)
