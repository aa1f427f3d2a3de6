"""Weights of classes and outputs: from numbers, sequences, dicts and texts to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, ShapeError, StateError
from ..validation import class_names, frames
from ..validation.arrays import Array, as_array, check_finite
from ..validation.checks import integer, number, shown

_MOST_WEIGHTS = 2**24  # of outputs; more are looked at no closer
Weights = tuple[float, ...] | tuple[tuple[int, float], ...] | tuple[tuple[int | str, float], ...]


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
