"""What losses are made of: their parameters as the core takes them, and the checks of their targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import _core, class_names, frames
from .arrays import Array, as_array, as_dtype, check_finite, columns_contiguous
from .arrays import as_weights as row_weights
from .checks import Abstract, choice, flag, integer, number, shown
from .errors import ArgumentError, DTypeError, ShapeError, StateError
from .hypers import NOT_NEGATIVE, POSITIVE, Range
from .intervals import Expected, Interval, logits

if TYPE_CHECKING:
    from .network import Network
    from .rule import Rule

_MOST_WEIGHTS = 2**24  # of outputs; more are looked at no closer
_SUM_TOLERANCE = 1e-3  # of probabilities, which may come from float16
_RANGES = {
    "positive": POSITIVE,
    "not_negative": NOT_NEGATIVE,
    "share": Range("in [0, 1]", lambda x: 0.0 <= x <= 1.0),
    "inside": Range("in (0, 1)", lambda x: 0.0 < x < 1.0),
}
Weights = tuple[float, ...] | tuple[tuple[int, float], ...] | tuple[tuple[int | str, float], ...]


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

    def bound(self, net: Network) -> Loss:
        """The loss for a network that it suits."""
        if net._heads:
            names = ", ".join(name for name, _, _ in net._heads)
            raise ArgumentError(f"loss: expected a dict of losses for the heads {names}, got {self!r}")
        self.check_outputs(net.outputs)
        return self

    def check_optimizer(self, optimizer: Rule) -> None:
        """Refuse an optimizer that cannot train with it."""

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
        self, net: Network, x: Array, target: Any, weight: Any, check: Callable[[], None]
    ) -> dict[str, float]:
        """Mean loss, without penalties, and accuracy, in pieces of a size that only the network decides.

        `check` is called after each of them.
        """
        core, read = net._core, net._turns.read
        step = max(256, 2**28 // max(1, net.elements))
        total = summed = mass = accuracy = 0.0
        options = self.options(net.outputs, target)
        for start in range(0, len(x), step):
            at = slice(start, start + step)
            part = None if weight is None else weight[at]
            if part is not None and not part.any():
                continue
            arguments = self.name, x[at], target[at], part, options
            of_part, right, divisor, weights = read(core, partial(core.evaluate, *arguments), "evaluate")
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


def class_table(value: object, classes: int, name: str) -> NDArray[np.float64]:
    """A factor >= 0 for every class: from an array-like with one for each, or a dict, 1 where it has none."""
    if hasattr(type(value), "to_dict") and hasattr(
        type(value), "items"
    ):  # a pandas Series has classes for its index
        value = value.to_dict()  # type: ignore[attr-defined]
    table = np.ones(classes)
    if isinstance(value, Mapping):
        for label, weight in value.items():
            at = class_index(label, name)
            if at >= classes:
                raise ArgumentError(f"{name}: expected classes in 0..{classes - 1}, got {at}")
            table[at] = number(weight, f"{name}[{at}]")
    else:
        if isinstance(value, int | float | np.number | set | frozenset) or value is None:
            raise DTypeError(
                f"{name}: expected a dict, {classes} numbers or 'balanced', got a {type(value).__name__}"
            )
        array = as_array(value, name)
        if array.shape != (classes,):
            raise ShapeError(
                f"{name}: expected {classes} numbers, one for each class, got shape {array.shape}"
            )
        table[:] = array
        check_finite(table, name)
    if table.min() < 0:
        at = int(np.argmin(table))
        raise ArgumentError(f"{name}[{at}]: expected a number >= 0, got {table[at]}")
    return table


def class_index(label: object, name: str) -> int:
    """The class that a key of a dict means: an integer, True, False, or a whole number of another type."""
    if isinstance(label, str):
        raise ArgumentError(
            f"{name}: expected classes as they are in y, integers, got the text {label!r}; texts are classes "
            "where y is of texts, or net.classes names them"
        )
    if isinstance(label, bool | np.bool_) or (
        isinstance(label, float | np.floating) and float(label).is_integer()
    ):
        label = int(label)
    return integer(label, f"{name}: class", 0)


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


def as_weights(value: object, name: str, *, texts: bool = False) -> Weights | float | None:
    """Numbers >= 0, one for each output: a number, a sequence or a dict from output to number, as a float, a
    tuple of floats or a sorted tuple of pairs, which can be compared and saved. With `texts` classes may be
    known by those."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, tuple) and value and all(isinstance(item, tuple | list) for item in value):
        pairs = [tuple(item) for item in value]
        if any(len(pair) != 2 for pair in pairs):
            raise ShapeError(f"{name}: expected pairs of a class and its weight, got {value!r}")
        found = {
            str(key) if texts and isinstance(key, str) else integer(key, f"{name}: class"): _weight(
                item, f"{name}[{key!r}]"
            )
            for key, item in pairs
        }
        return tuple(sorted(found.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return _weight(value, name)
    array = as_array(value, name)
    if array.ndim != 1 or not len(array):
        raise ShapeError(f"{name}: expected one dimension, a number for each output, got {array.shape}")
    if len(array) > _MOST_WEIGHTS:
        raise ShapeError(f"{name}: expected a number for each output, got {len(array)} of them")
    check_finite(array, name)
    return tuple(_weight(item, f"{name}[{i}]") for i, item in enumerate(array.tolist()))


def has_texts(value: object) -> bool:
    """Whether what `as_weights` returned has classes known by texts."""
    return isinstance(value, tuple) and any(
        isinstance(item, tuple) and isinstance(item[0], str) for item in value
    )


def weights_by_number(value: object, known: class_names.ByEnd, name: str) -> Any:
    """What `as_weights` returned, with numbers for the texts in it once their classes are known."""
    names = known.get("")
    if names is None or not has_texts(value):
        return value
    return dict(class_names.keys_by_number(value, names, name))  # type: ignore[arg-type]


def refuse_texts(value: object, name: str) -> None:
    """Refuse what `as_weights` returned while the classes of its texts are unknown."""
    if has_texts(value):
        raise StateError(
            f"{name}: expected fit() or step() first, which learn the classes from texts in y, or "
            f"net.classes = [...] before, for weights of {frames.listed([key for key, _ in value])}"  # type: ignore[attr-defined]
        )


def _weight(value: object, name: str) -> float:
    result = number(value, name)
    if not 0 <= result <= 1e30:
        raise ArgumentError(f"{name}: expected a number from 0 to 1e30, got {result}")
    return result


def weights_for(value: Weights | float | None, outputs: int, name: str) -> NDArray[np.float64] | None:
    """What `as_weights` returned as an array (outputs,), with 1 where a dict has none.

    None while classes are known by texts.
    """
    if value is None:
        return None
    if isinstance(value, float):
        return np.full(outputs, value)
    if isinstance(value, str):
        raise DTypeError(f"{name}: expected numbers, got {shown(value)}")
    if has_texts(value):
        if len(value) > outputs:
            raise ShapeError(f"{name}: expected at most {outputs} classes, got weights of {len(value)}")
        return None
    if isinstance(value[0], tuple):
        result = np.ones(outputs)
        for key, weight in value:
            assert isinstance(key, int)
            if key >= outputs:
                raise ArgumentError(f"{name}: expected classes in 0..{outputs - 1}, got {key}")
            result[key] = weight
        return result
    if len(value) != outputs:
        raise ShapeError(f"{name}: expected {outputs} numbers, one for each output, got {len(value)}")
    return np.array(value, np.float64)


def balanced(labels: Array, classes: int) -> NDArray[np.float64]:
    """``rows / (classes present * count)`` for each class, 1 for one that is absent; labels < 0 do not count.

    Examples
    --------
    >>> import numpy as np
    >>> balanced(np.array([0, 0, 0, 1]), 2).tolist()
    [0.6666666666666666, 2.0]
    """
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    seen = counts > 0
    table = np.ones(classes)
    table[seen] = counts.sum() / (np.count_nonzero(seen) * counts[seen])
    return table
