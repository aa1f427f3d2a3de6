"""Losses, and the conversion and checks of their targets.

A loss is given to a Trainer as an instance or by its name. Losses take what the last layer returns:
classification losses take logits, so the output layer stays linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import _core
from .arrays import Array, as_array, as_dtype, columns_contiguous
from .checks import choice, compact_repr
from .errors import ArgumentError, DTypeError, ShapeError

__all__ = ["MSE", "BinaryCrossEntropy", "CrossEntropy", "Loss", "get"]


_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


class Loss:
    """Base of the losses."""

    name: ClassVar[str]
    classifies: ClassVar[bool] = False  # whether an accuracy can be told

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network whose number of outputs does not suit the loss."""

    def ready(self, y: Array, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as the core of a network of `dtype` takes it, if that is quickly done; None if it is not."""
        raise NotImplementedError

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """Any array-like `y` as the core takes it; values may still be NaN or infinite."""
        raise NotImplementedError

    def classes(self, target: Array) -> Array | None:
        """The class of every row of a converted target, for class weights; None if there are no classes."""
        return None


class _Values(Loss):
    """Losses with a real number for every output."""

    def ready(self, y: Array, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` of `dtype` as a matrix."""
        if y.dtype is not dtype:
            return None
        return y if y.ndim == 2 else y.reshape(-1, 1)

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` of shape (rows, outputs), or (rows,) for one output, as a matrix of `dtype`."""
        array = as_array(y, name)
        if array.shape == (rows,) and outputs == 1:
            array = array.reshape(-1, 1)
        if array.shape != (rows, outputs):
            shapes = f"({rows},) or ({rows}, 1)" if outputs == 1 else f"({rows}, {outputs})"
            raise ShapeError(f"{name}: expected shape {shapes}, got {array.shape}")
        return columns_contiguous(as_dtype(array, name, dtype))


@dataclass(frozen=True, repr=False)
class MSE(_Values):
    """Mean over rows and outputs of ``(output - target)**2``, without a factor of one half.

    Targets: (rows, outputs), or (rows,) for one output.
    """

    name: ClassVar[str] = "mse"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class BinaryCrossEntropy(_Values):
    """Mean over rows and outputs of ``softplus(z) - target * z`` for logits z.

    Targets: (rows, outputs), or (rows,) for one output, in [0, 1]; bool, int or float.
    """

    name: ClassVar[str] = "binary_cross_entropy"
    classifies: ClassVar[bool] = True
    __repr__ = compact_repr

    def ready(self, y: Array, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` of `dtype` as a matrix, if all of it lies in [0, 1]."""
        inside = y.size and np.minimum.reduce(y, axis=None) >= 0 and np.maximum.reduce(y, axis=None) <= 1
        return super().ready(y, outputs, dtype) if inside else None

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as a matrix of `dtype`, all of it in [0, 1]."""
        array = super().target(y, rows, outputs, dtype, name)
        if not (array.min() >= 0 and array.max() <= 1):
            row, col = np.argwhere(~((array >= 0) & (array <= 1)))[0]
            raise ArgumentError(f"{name}: expected values in [0, 1], got {array[row, col]} at [{row}, {col}]")
        return array

    def classes(self, target: Array) -> Array | None:
        """The class, 0 or 1, of every row; None for several outputs or soft targets."""
        if target.shape[1] != 1 or not np.isin(target, (0, 1)).all():
            return None
        return target[:, 0].astype(np.int64)


@dataclass(frozen=True, repr=False)
class CrossEntropy(Loss):
    """Mean over rows of ``-log softmax(logits)[label]``.

    Targets: class ids (rows,), whole numbers from 0 to outputs - 1.
    """

    name: ClassVar[str] = "cross_entropy"
    classifies: ClassVar[bool] = True
    __repr__ = compact_repr

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network with one output."""
        if outputs < 2:
            raise ShapeError(
                f"loss: expected a network of at least 2 outputs for cross_entropy, got {outputs}; "
                "use binary_cross_entropy for one output"
            )

    def ready(self, y: Array, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """int32 labels themselves, whose range the core checks; int64 ones in range as int32."""
        if y.dtype is _INT32:
            return y
        if y.dtype is _INT64 and y.ndim == 1 and y.size and np.maximum.reduce(y.view(np.uint64)) < outputs:
            return y.astype(np.int32)
        return None

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
        if labels.min() < 0 or labels.max() >= outputs:
            at = int(np.argmax((labels < 0) | (labels >= outputs)))
            raise ArgumentError(f"{name}: expected class ids in 0..{outputs - 1}, got {labels[at]} at [{at}]")
        return np.require(labels, np.int32, ["C", "A"])

    def classes(self, target: Array) -> Array | None:
        """The labels."""
        return target


_LOSSES: dict[str, type[Loss]] = {loss.name: loss for loss in (MSE, CrossEntropy, BinaryCrossEntropy)}


def get(value: Loss | str) -> Loss:
    """A loss from itself or its name.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.get("cross_entropy")
    CrossEntropy()
    """
    if isinstance(value, Loss):
        return value
    if not isinstance(value, str):
        raise DTypeError(f"loss: expected a loss or its name, got {value!r}")
    return _LOSSES[choice(value, "loss", _core.names("loss"))]()
