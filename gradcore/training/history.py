"""What training saw: one row an epoch, in plain columns."""

from __future__ import annotations

import math
import numbers
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, FileError
from ..validation.checks import file_path, integer, shown
from ..validation.optional import optional

__all__ = ["History"]


@dataclass(repr=False, eq=False)
class History:
    """One list for every column, one entry an epoch; NaN where there is nothing to say.

    Attributes
    ----------
    epoch : list of int
        From 1, counted over all fits of the trainer.
    step : list of int
        Updates tried at the end of the epoch.
    loss, accuracy : list of float
        Weighted means over the epoch's batches, each before its update (accuracy for classification);
        skipped updates are left out.
    val_loss, val_accuracy : list of float
        On the validation data, after the epoch.
    lr : list of float
        Of the last step.
    grad_norm : list of float
        Mean over the steps of the gradient's 2-norm before clipping.
    clipped : list of float
        Share of steps whose gradient a rule scaled, all of it or a part.
    clip_scale : list of float
        Mean over the steps of what it was multiplied by; in a step, the mean over the tensors, units, rows or
        elements that the rule counts.
    skipped : list of int
        Steps whose update was skipped because something was not finite.
    seconds : list of float
    heads : dict of str to list of float
        Columns of networks with `Heads`, which ``history["steer.loss"]`` reads too: "steer.loss",
        "steer.accuracy" and the same with "val_" before, for every head; with gradient surgery "cosine" and
        "conflicts": means over the steps of the mean cosine of two heads' gradients, and of the share of
        pairs that point against each other.
    layers : dict of str to list of float
        Columns of trainings with a rule on gradients, which ``history["0.weight.clipped"]`` reads too: for
        every parameter "0.weight.clipped", the share of what the rule counts (steps, tensors, units, rows or
        elements) that was scaled in the epoch, and "0.weight.clip_scale", the mean factor.
    added : dict of str to list of float
        Columns that callbacks have put into their row, which ``history["name"]`` reads too.
    best_epoch : int or None
        The epoch whose column was best, of the last fit with early stopping.

    Examples
    --------
    >>> from gradcore.history import History
    >>> history = History()
    >>> history.append({"epoch": 1, "step": 10, "loss": 0.5, "lr": 0.1, "skipped": 0, "seconds": 0.01})
    >>> history.loss, len(history)
    ([0.5], 1)
    """

    epoch: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clipped: list[float] = field(default_factory=list)
    clip_scale: list[float] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    heads: dict[str, list[float]] = field(default_factory=dict)
    layers: dict[str, list[float]] = field(default_factory=dict)
    added: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int | None = None

    def __len__(self) -> int:
        return len(self.epoch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        columns = self.columns()
        return columns == other.columns() and all(
            str(self[column]) == str(other[column])  # NaN equals NaN
            for column in columns
        )

    def __getitem__(self, column: str) -> list[Any]:
        for table in (vars(self) if column in _COLUMNS else {}, self.heads, self.layers, self.added):
            if column in table:
                values: list[Any] = table[column]
                return values
        raise ArgumentError(f"column: expected one of {', '.join(self.columns())}, got {column!r}")

    def columns(self) -> list[str]:
        """The names of all columns; those of heads, of layers, and of callbacks come last."""
        return [*_COLUMNS, *self.heads, *self.layers, *self.added]

    def append(self, row: Mapping[str, float]) -> None:
        """Add one epoch; columns that `row` lacks get NaN."""
        for column, value in _items(row):
            _check_entry(column, value)
        own, more = vars(self), (self.heads, self.layers, self.added)
        for column in row:
            if column in _OWN or any(column in table for table in more):
                continue
            table = self.layers if column.endswith(_OF_LAYERS) else self.heads
            if not (column in _OF_HEADS or "." in column):
                table = self.added
            table[column] = [math.nan] * len(self)
        for column in _COLUMNS:
            own[column].append(row.get(column, math.nan))
        for table in more:
            for column, values in table.items():
                values.append(row.get(column, math.nan))

    def complete(self, row: Mapping[str, object]) -> None:
        """Take what a callback has added to the last row, numbers by name; it may change nothing else."""
        if not len(self):
            return
        last = self.last()
        for column, value in _items(row):
            _check_entry(column, value)
            before = last.get(column)
            if before is None and not math.isnan(value):
                if column not in self.columns():
                    self.added[column] = [math.nan] * len(self)
                self[column][-1] = float(value)
            elif before is not None and before != value:
                if column not in self.added:
                    raise ArgumentError(
                        f"row[{column!r}]: expected {before!r}, as it was measured, got {value!r}; "
                        "use a name of your own"
                    )
                self.added[column][-1] = float(value)

    def last(self) -> dict[str, float]:
        """The last row, without columns that are NaN; empty before the first epoch."""
        if not len(self):
            return {}
        own = vars(self)
        row = {column: value for column in _COLUMNS if (value := own[column][-1]) == value}
        for table in (self.heads, self.layers, self.added):
            for column, values in table.items():
                if values[-1] == values[-1]:
                    row[column] = values[-1]
        return row

    def since(self, start: int) -> History:
        """A copy of the rows from number `start` on."""
        start = integer(start, "start")
        own, result = vars(self), History(best_epoch=self.best_epoch)
        for column in _COLUMNS:
            setattr(result, column, own[column][start:])
        for name in ("heads", "layers", "added"):
            if own[name]:
                setattr(result, name, {column: values[start:] for column, values in own[name].items()})
        return result

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns that have any value, as a dict of lists."""
        return {
            column: list(self[column])
            for column in self.columns()
            if not self[column] or not all(math.isnan(value) for value in self[column])
        }

    def to_csv(self, path: object) -> None:
        """Write the columns that have any value as comma-separated text with a header."""
        import csv

        columns = self.to_dict()
        try:
            with open(file_path(path), "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
        except OSError as error:
            raise FileError(f"{path}: {error.strerror or error}") from None

    def to_pandas(self) -> Any:
        """The columns that have any value as a pandas DataFrame."""
        return optional("pandas", "by History.to_pandas").DataFrame(self.to_dict())

    def __repr__(self) -> str:
        columns = self.to_dict() if len(self) else {column: [] for column in ("epoch", "loss")}
        columns = {column: values for column, values in columns.items() if column not in self.layers}
        cells = [[column, *map(_cell, values)] for column, values in columns.items()]
        widths = [max(map(len, column)) for column in cells]
        lines = [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for row in zip(*cells, strict=True)
        ]
        if len(lines) > 61:
            lines = [*lines[:31], f"... {len(lines) - 61} more rows ...", *lines[-30:]]
        return "\n".join(lines)


_COLUMNS = tuple(
    column.name for column in fields(History) if column.name not in ("heads", "layers", "added", "best_epoch")
)
_OWN = frozenset(_COLUMNS)
_OF_HEADS = ("cosine", "conflicts")
_OF_LAYERS = (".clipped", ".clip_scale")


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.4g}"


def _items(row: object) -> ItemsView[Any, Any]:
    if not isinstance(row, Mapping):
        raise DTypeError(f"row: expected a dict of numbers by column, got {shown(row)}")
    return row.items()


def _check_entry(column: object, value: object) -> None:
    if not isinstance(column, str) or not column:
        raise DTypeError(f"row: expected names of columns, got {shown(column)}")
    if type(value) is float or type(value) is int:  # to ask for a `Real` takes long
        return
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise DTypeError(f"row[{column!r}]: expected a number, got {shown(value)}")
