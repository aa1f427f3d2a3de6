"""The kinds of losses by their targets, with the checks of these: values, bounded ones, yes or no, labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import _core
from ..errors import ArgumentError, ShapeError
from ..validation.arrays import Array, as_array, as_dtype, columns_contiguous
from ..validation.intervals import Expected, logits
from .base import Loss

_SUM_TOLERANCE = 1e-3  # of probabilities, which may come from float16


class Values(Loss):
    """Losses with a real number for every output."""

    abstract: ClassVar[bool] = True

    matches_targets: ClassVar[bool] = True

    def target_columns(self, outputs: int) -> int:
        """Columns of a target."""
        return outputs

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as a matrix of `dtype`."""
        return _core.plain_targets(y, dtype)

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` of shape (rows, columns), or (rows,) for one column, as a matrix of `dtype`."""
        return as_target(y, rows, self.target_columns(outputs), dtype, name)


class Bounded(Values):
    """Losses whose targets lie between bounds."""

    abstract: ClassVar[bool] = True

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as a matrix of `dtype`, if all of it lies between the bounds."""
        return _core.plain_targets(y, dtype, self.low, self.high)

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as a matrix of `dtype`, all of it between the bounds."""
        array = super().target(y, rows, outputs, dtype, name)
        if not (array.min() >= self.low and array.max() <= self.high):
            row, col = np.argwhere(~((array >= self.low) & (array <= self.high)))[0]
            bounds = f"in [{self.low:g}, {self.high:g}]" if self.high < np.inf else f">= {self.low:g}"
            hint = self._value_hint(array, name)
            raise ArgumentError(
                f"{name}: expected values {bounds}, got {array[row, col]} at [{row}, {col}]{hint}"
            )
        return array

    def _value_hint(self, array: Array, name: str) -> str:
        """What targets out of range may have been meant for."""
        return ""


class YesOrNo(Bounded):
    """Losses with a yes or no for every output, as numbers in [0, 1]."""

    abstract: ClassVar[bool] = True

    classifies: ClassVar[bool] = True
    matches_targets: ClassVar[bool] = False

    def expects(self) -> Expected:
        """Logits."""
        return logits("sigmoid")

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as a matrix of `dtype`, all of it between the bounds."""
        if outputs > 1 and (labels := as_array(y, name)).shape in ((rows,), (rows, 1)) and rows:
            count = max(2, int(np.fmax.reduce(labels, axis=None)) + 1) if _are_ids(labels) else 0
            one = f"Dense(1) for a yes or no, or cross_entropy and Dense({count}) for {count} classes"
            raise ShapeError(
                f"{name}: expected shape ({rows}, {outputs}), an answer for each output, got {labels.shape}"
                + (f"; use {one}" if count else "")
            )
        return super().target(y, rows, outputs, dtype, name)

    def _value_hint(self, array: Array, name: str) -> str:
        if np.isin(array, (-1, 1)).all():
            return f"; for labels -1 and 1 use ({name} + 1) / 2, or the loss hinge"
        if array.shape[1] == 1 and _are_ids(array):
            count = int(array.max()) + 1
            return f"; for {count} classes use cross_entropy and a last layer Dense({count})"
        return ""

    def class_count(self, outputs: int) -> int | None:
        """Two, for a single output."""
        return 2 if outputs == 1 else None

    def classes(self, target: Array) -> Array | None:
        """The class, 0 or 1, of every row; None for several outputs or soft targets."""
        if target.shape[1] != 1 or not np.isin(target, (0, 1)).all():
            return None
        return target[:, 0].astype(np.int64)


def _are_ids(values: Array) -> bool:
    """Whether numbers may be ids of classes: whole, not negative, not many."""
    with np.errstate(invalid="ignore"):
        return bool(((values >= 0) & (values < 1 << 20) & (values == np.floor(values))).all())


class Labels(Loss):
    """Losses with one of several classes for every row."""

    abstract: ClassVar[bool] = True

    classifies: ClassVar[bool] = True

    def expects(self) -> Expected:
        """Logits."""
        return logits("softmax")

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network with one output."""
        if outputs < 2:
            raise ShapeError(
                f"loss: expected a network of at least 2 outputs for {self.name}, got {outputs}; "
                f"use {'binary_focal' if self.name == 'focal' else 'binary_cross_entropy'} for one output"
            )
        super().check_outputs(outputs)

    def class_count(self, outputs: int) -> int | None:
        """One for each output."""
        return outputs

    def ignored(self) -> int | None:
        """The label of rows that do not count, if any."""
        return None

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """int32 labels themselves, whose range the core checks; whole numbers in range as int32."""
        return _core.plain_labels(y, outputs, self.ignored())

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` of shape (rows,) or (rows, 1) as int32 labels."""
        labels = as_array(y, name)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.shape != (rows,):
            hint = f"; use {name}.argmax(axis=1) for one-hot rows" if labels.shape == (rows, outputs) else ""
            raise ShapeError(f"{name}: expected class ids of shape ({rows},), got {labels.shape}{hint}")
        if labels.dtype.kind == "f":
            whole = labels == np.floor(labels)
            if not whole.all():
                at = int(np.argmin(whole))
                raise ArgumentError(f"{name}: expected whole class ids, got {labels[at]} at [{at}]")
        ignored = self.ignored()
        bad = (labels < 0) | (labels >= outputs)
        if ignored is not None:
            bad &= labels != ignored
        if bad.any():
            at = int(np.argmax(bad))
            got = labels[at]
            if 0 <= got < outputs:  # it was not when it was judged
                raise ArgumentError(f"{name}[{at}]: expected labels that stay, another thread changes them")
            hint = self._label_hint(labels, outputs, name)
            raise ArgumentError(f"{name}: expected class ids in 0..{outputs - 1}, got {got} at [{at}]{hint}")
        return np.require(labels, np.int32, ["C", "A"])

    def _label_hint(self, labels: Array, outputs: int, name: str) -> str:
        """What labels out of range may have been meant for."""
        counted = labels if self.ignored() is None else labels[labels != self.ignored()]
        begins_at_1 = counted.min() >= 1 and counted.max() == outputs
        return f"; for labels that begin at 1 use {name} - 1" if begins_at_1 else ""

    def classes(self, target: Array) -> Array | None:
        """The labels."""
        if target.ndim != 1:
            return None
        ignored = self.ignored()
        return target if ignored is None else np.where(target == ignored, -1, target)


def as_target(y: object, rows: int, columns: int, dtype: np.dtype[Any], name: str) -> Array:
    """`y` of shape (rows, columns), or (rows,) for one column, as a matrix of `dtype`."""
    array = as_array(y, name)
    if array.shape == (rows,) and columns == 1:
        array = array.reshape(-1, 1)
    if array.shape != (rows, columns):
        shapes = f"({rows},) or ({rows}, 1)" if columns == 1 else f"({rows}, {columns})"
        raise ShapeError(f"{name}: expected shape {shapes}, got {array.shape}")
    return columns_contiguous(as_dtype(array, name, dtype))


def as_probabilities(y: object, rows: int, columns: int, dtype: np.dtype[Any], name: str) -> Array:
    """`y` (rows, columns) as a matrix of `dtype` whose rows are >= 0 and have the sum 1, to 1e-3."""
    array = as_target(y, rows, columns, dtype, name)
    if not array.min() >= 0:
        row, col = np.argwhere(~(array >= 0))[0]
        raise ArgumentError(f"{name}: expected probabilities, got {array[row, col]} at [{row}, {col}]")
    sums = array.sum(axis=1, dtype=np.float64)
    far = ~(np.abs(sums - 1) <= _SUM_TOLERANCE)
    if far.any():
        row = int(np.argmax(far))
        raise ArgumentError(f"{name}: expected rows with the sum 1, got {sums[row]:g} at [{row}]")
    return array
