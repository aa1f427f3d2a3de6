"""The base of the losses: their parameters as the core takes them, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError
from ..schedules.scalars import NOT_NEGATIVE, OPEN, POSITIVE, UNIT
from ..validation import class_names
from ..validation.arrays import Array, as_array
from ..validation.arrays import as_weights as row_weights
from ..validation.by_head import Places
from ..validation.checks import Abstract, choice, flag, number
from ..validation.intervals import Expected, Interval

if TYPE_CHECKING:
    from .._core import HeadLoss
from .class_weights import balanced, class_table

__all__ = ["Loss"]

_RANGES = {
    "positive": POSITIVE,
    "not_negative": NOT_NEGATIVE,
    "share": UNIT,
    "inside": OPEN,
}


class Model(Protocol):
    """What a loss asks of a network to be evaluated, in evaluation mode."""

    @property
    def outputs(self) -> int:
        """Columns of its predictions."""

    @property
    def elements(self) -> int:
        """Its trainable numbers, which decide how many rows are taken at a time."""

    def predict(self, x: Array, call: str) -> Array:
        """(rows, inputs) -> (rows, outputs); `call` is who asks, for messages."""

    def evaluate(
        self, loss: str, x: Array, target: Array, weight: Any, options: _core.LossOptions
    ) -> tuple[float, float, float, float]:
        """Weighted mean loss, accuracy, and what each was divided by."""

    def evaluate_heads(
        self, losses: list[HeadLoss], x: Array, target: Any, weight: Any
    ) -> list[tuple[float, float, float, float]]:
        """The same for each head."""

    def log_variances(self) -> Array | None:
        """Learned logarithms of the variances of heads; None without."""


class Loss(Abstract):
    """Base of the losses, which are frozen dataclasses.

    Fields with the names of the core's parameters are checked against its table; `vector` and `flags` carry
    the others.
    """

    abstract: ClassVar[bool] = True
    file_suffix: ClassVar[str] = "_loss"

    name: ClassVar[str]
    classifies: ClassVar[bool] = False  # whether an accuracy can be told
    has_plain_targets: ClassVar[bool] = True  # numbers that can be looked at
    matches_targets: ClassVar[bool] = False  # whether outputs are to become the targets
    scales: ClassVar[bool] = True  # whether the size of the targets is that of the outputs

    def expects(self) -> Expected | None:
        """What it takes outputs for; None where the targets decide."""
        return None

    def aim(self, low: float, high: float) -> Interval:
        """What outputs must be able to be for targets from `low` to `high`."""
        return Interval(low, high)

    def __post_init__(self) -> None:
        for name, kind in _parameters(self.name):
            value = getattr(self, name)
            where = f"{type(self).__name__}: {name}"
            if kind == "flag":
                object.__setattr__(self, name, flag(value, where))
            elif value is not None or _default(self.name, name) is not None:
                value = number(value, where)
                if not _RANGES[kind].contains(value):
                    raise ArgumentError(f"{where}: expected a number {_RANGES[kind].text}, got {value}")
                object.__setattr__(self, name, value)

    def options(self, outputs: int, target: Array | None = None) -> _core.LossOptions:
        """The loss's parameters as the core takes them, for targets like `target`."""
        values = [getattr(self, name) for name, _ in _parameters(self.name)]
        return {
            "parameters": [math.nan if value is None else float(value) for value in values],
            "vector": self.vector(outputs),
        }

    def for_core(self, outputs: int, target: Any) -> dict[str, Any]:
        """What the core's trainer is to know of it, for targets like `target`."""
        return {"loss": self.name, "loss_options": self.options(outputs, target)}

    def vector(self, outputs: int) -> NDArray[np.float64] | None:
        """The loss's number for each output, if it has such."""
        return None

    def fitted(self, target: Array, rows: Array | None, outputs: int, absent: Any = None) -> Loss:
        """The loss with all that it takes from the training rows; itself where that is nothing."""
        return self

    def check_outputs(self, outputs: int) -> None:
        """Refuse a network whose number of outputs does not suit the loss."""
        self.vector(outputs)

    def bound(self, outputs: int, heads: Places) -> Loss:
        """The loss for a network with so many outputs, and these heads, that it suits."""
        if heads:
            names = ", ".join(name for name, _, _ in heads)
            raise ArgumentError(f"loss: expected a dict of losses for the heads {names}, got {self!r}")
        self.check_outputs(outputs)
        return self

    def check_optimizer(self, optimizer: object, full_batch: bool) -> None:
        """Refuse an optimizer that cannot train with it; `full_batch` says what kind it is of."""

    def class_count(self, outputs: int) -> int | None:
        """How many classes a label tells apart with so many outputs; None: targets are no labels."""
        return None

    def numbered(
        self, y: object, known: class_names.ByEnd, outputs: int, name: str
    ) -> tuple[object, class_names.ByEnd]:
        """`y` with numbers for labels that are texts, and their classes; `known` are those of the network."""
        found, names = class_names.numbered(y, self.class_count(outputs), known.get(""), name)
        return found, {} if names is None else {"": names}

    def named(self, known: class_names.ByEnd) -> Loss:
        """The loss with the numbers of classes that it knows by texts; itself if it knows none so."""
        return self

    def soft(self, target: Array) -> int:
        """Whether a converted target is probabilities where the loss also takes labels."""
        return False

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as the core of a network of `dtype` takes it, if that is quickly done; None if it is not."""
        raise NotImplementedError

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """Any array-like `y` as the core takes it; values may still be NaN or infinite."""
        raise NotImplementedError

    def parts(self, target: Any, name: str) -> Iterator[tuple[str, Array]]:
        """The arrays of a converted target, each with its name in messages."""
        yield name, target

    def row_weights(self, value: object, rows: int) -> Any:
        """Weights of rows as the core takes them."""
        return row_weights(value, "sample_weight", rows)

    def absent(self, y: object, weight: Any, name: str) -> Any:
        """The rows of `y` without a target: of weight 0, with what is not finite. None: there are none."""
        if weight is None or weight.all():
            return None
        array = as_array(y, name)
        if array.dtype.kind != "f" or array.ndim not in (1, 2) or len(array) != len(weight):
            return None
        idle = np.flatnonzero(weight == 0)
        missing = idle[~np.isfinite(array[idle]).reshape(len(idle), -1).all(axis=1)]
        if not len(missing):
            return None
        rows = np.zeros(len(array), bool)
        rows[missing] = True
        return rows

    def filled(self, y: object, weight: Any, name: str) -> object:
        """`y` with another row's target in every row without one: what the loss takes, and nobody counts."""
        rows = self.absent(y, weight, name)
        if rows is None:
            return y
        array = as_array(y, name).copy()
        good = (weight > 0) & np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if good.any():  # else what counts is refused
            array[rows] = array[int(np.argmax(good))]
        return array

    def classes(self, target: Array) -> Array | None:
        """The class of every row of a converted target, -1 where it is ignored; None without classes."""
        return None

    def counted(self, target: Array, absent: Array | None) -> Array | None:
        """The same, -1 where there is no target."""
        labels = self.classes(target)
        return labels if labels is None or absent is None else np.where(absent, -1, labels)

    def class_factors(
        self,
        value: object,
        target: Any,
        rows: Array | None,
        outputs: int,
        name: str = "class_weight",
        absent: Any = None,
        known: class_names.ByEnd | None = None,
    ) -> Any:
        """A factor for each row, by its class; balanced over the training rows `rows`, or all."""
        labels = self.counted(target, absent)
        if labels is None:
            raise ArgumentError(f"{name}: expected labels of classes, got targets of {self.name}")
        classes = max(2, outputs)
        if isinstance(value, str):
            choice(value, name, ["balanced"])
            table = balanced(labels if rows is None else labels[rows], classes)
        else:
            names = None if known is None else known.get("")
            table = class_table(class_names.weights_by_number(value, names, name), classes, name)
        return table[np.maximum(labels, 0)]  # of an ignored row, -1: it does not count anyway

    def check_monitor(self, monitor: str, name: str = "early_stopping") -> None:
        """Refuse a column that the history of such a training does not have; `name` is who asks for it."""
        if "." in monitor:
            raise ArgumentError(f"{name}: expected a network with Heads to monitor {monitor}")
        if monitor.endswith("accuracy") and not self.classifies:
            raise ArgumentError(f"{name}: expected a classification loss to monitor {monitor}")

    # ---- Evaluation ----

    def score(
        self, model: Model, x: Array, target: Any, weight: Any, check: Callable[[], None]
    ) -> dict[str, float]:
        """Mean loss, without penalties, and accuracy, in pieces of a size that only the network decides.

        `check` is called after each of them.
        """
        step = max(256, 2**28 // max(1, model.elements))
        total = summed = mass = accuracy = 0.0
        options = self.options(model.outputs, target)
        for start in range(0, len(x), step):
            at = slice(start, start + step)
            part = None if weight is None else weight[at]
            if part is not None and not part.any():
                continue
            of_part, right, divisor, weights = model.evaluate(self.name, x[at], target[at], part, options)
            total, summed = total + divisor, summed + divisor * of_part
            mass, accuracy = mass + weights, accuracy + weights * right
            check()
        result = {"loss": summed / total if total else 0.0}
        if mass and not math.isnan(accuracy):
            result["accuracy"] = accuracy / mass
        return result

    # ---- What one with heads adds to the sums of an epoch and to its row of the history ----

    def report(self, steps: int) -> NDArray[np.float64] | None:
        """Room for what the core tells of heads; None without."""
        return None

    def add(
        self, sums: list[float], reports: NDArray[np.float64], chain: Callable[[float, Array], float]
    ) -> None:
        """Add steps to the sums."""

    def row(self, sums: Sequence[float]) -> dict[str, float]:
        """Columns of the history."""
        return {}


def _parameters(loss: str) -> list[tuple[str, str]]:
    """Name and range of each of the core's parameters."""
    words = (_core.describe("loss", loss, "parameters") or "").split()
    return [(word.split(":")[0], word.split(":")[2]) for word in words]


def _default(loss: str, parameter: str) -> float | None:
    """The core's default of a parameter; None for one that may be absent."""
    for word in (_core.describe("loss", loss, "parameters") or "").split():
        name, default, _ = word.split(":")
        if name == parameter:
            return None if default == "nan" else float(default)
    return None
