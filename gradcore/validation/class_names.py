"""Classes that are texts: taken from targets, kept with the network, turned into numbers and back.

The classes of a network are the texts of its targets in sorted order, as scikit-learn's LabelEncoder has
them; the number of a class is its place there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from . import frames
from .arrays import Array
from .checks import shown, texts

Names = tuple[str, ...]
ByEnd = dict[str, Names]  # by head; "" of a network without


def numbered(y: object, classes: int | None, known: Names | None, name: str) -> tuple[object, Names | None]:
    """`y` with numbers for texts, and the classes that it gives to a network without; others as they are.

    Parameters
    ----------
    y : object
        Targets as they came. What holds no texts, or has no shape for labels, is returned as it is.
    classes : int, optional
        How many classes there are. None: the loss takes none.
    known : tuple of str, optional
        The classes in order.
    name : str
        Of `y` in messages.

    Returns
    -------
    object
        int32 labels (rows,); float64 with NaN in the rows where a label is missing.
    tuple of str or None
        The classes of `y`; None if it is not of texts.

    Raises
    ------
    ArgumentError
        If a label is none of `known`, or there are more or fewer than `classes` of them.
    DTypeError
        If there are other things than texts among them.
    """
    labels = None if classes is None else _texts(y)
    if labels is None or classes is None:
        return y, None
    there = [not _is_missing(label) for label in labels]
    for at, label in enumerate(labels):
        if there[at] and not isinstance(label, str):
            raise DTypeError(f"{name}: expected texts only, or numbers only, got {shown(label)} at [{at}]")
    if known is None:
        known = _sorted({str(label) for label, is_there in zip(labels, there, strict=True) if is_there})
        _check_count(known, classes, name)
    place = {label: number for number, label in enumerate(known)}
    numbers = np.fromiter((place.get(label, -1) for label in labels), np.int32, len(labels))
    unknown = (numbers < 0) & np.array(there)
    if unknown.any():
        at = int(np.argmax(unknown))
        raise ArgumentError(
            f"{name}: expected one of the labels {frames.listed(known)} that the network was fitted on, got "
            f"{shown(str(labels[at]))} at [{at}]"
        )
    if not all(there):
        return np.where(numbers < 0, np.nan, numbers), known
    return numbers, known


def weights_by_number(value: Any, known: Names | None, name: str) -> Any:
    """A dict of weights with the numbers of the classes for keys that are texts; anything else as it is."""
    if hasattr(type(value), "to_dict") and hasattr(type(value), "items"):  # a pandas Series
        value = value.to_dict()
    if known is None or not isinstance(value, Mapping):
        return value
    return dict(keys_by_number(value.items(), known, name))


def keys_by_number(pairs: Iterable[tuple[Any, Any]], known: Names, name: str) -> list[tuple[Any, Any]]:
    """Pairs of a class and a weight, with the numbers of the classes that are texts."""
    place = {label: number for number, label in enumerate(known)}
    found = []
    for key, weight in pairs:
        if isinstance(key, str) and key not in place:
            raise ArgumentError(
                f"{name}: expected classes among {frames.listed(known)}, got {shown(str(key))}"
            )
        found.append((place[key] if isinstance(key, str) else key, weight))
    numbers = [key for key, _ in found]
    for number, label in enumerate(known):
        if numbers.count(number) > 1:
            raise ArgumentError(f"{name}: expected every class once, got {label!r} and its number {number}")
    return found


def check_names(names: object, outputs: int, where: str) -> Names:
    """`names` as different texts, one for each of `outputs`; two for a single one."""
    if not isinstance(names, Sequence | np.ndarray):
        raise DTypeError(
            f"{where}: expected a list of texts, in the order of the classes, got {shown(names)}"
        )
    result = texts(names, where)
    wanted = max(2, outputs)
    if len(result) != wanted:
        raise ShapeError(f"{where}: expected {wanted} texts{_each(outputs)}, got {len(result)}")
    twice = frames.first_twice(result)
    if twice is not None:
        raise ArgumentError(f"{where}: expected different texts, got {twice!r} twice")
    _check_text(result, where)
    return result


def labels(classes: Array, known: Names) -> Array:
    """The texts of class numbers, as an array of objects."""
    return np.array(known, object)[classes]


def _texts(y: object) -> list[Any] | None:
    """What may be labels that are texts, (rows,) or (rows, 1); None for what is none."""
    if isinstance(y, np.ma.MaskedArray) or (isinstance(y, list | tuple) and y and type(y[0]) in (int, bool)):
        return None
    if isinstance(y, np.ndarray):
        array: Array = y
    else:
        try:
            array = np.asarray(y)
            if array.dtype.kind in "US":  # numbers among texts would have become texts
                array = np.asarray(y, object)
        except Exception:  # whoever takes it for numbers says what is wrong
            return None
    if array.dtype.kind not in "UTO" or not len(array.shape) or array.shape not in _column(len(array)):
        return None
    found: list[Any] = array.reshape(-1).tolist()
    return found if any(isinstance(label, str) for label in found) else None


def _column(rows: int) -> tuple[tuple[int, ...], ...]:
    return (rows,), (rows, 1)


def _is_missing(label: object) -> bool:
    """None, NaN, or one of pandas' marks."""
    if isinstance(label, str):
        return False
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(label, float | np.floating) and bool(label != label)


def _sorted(found: set[str]) -> Names:
    return tuple(sorted(found))


def _check_count(found: Names, classes: int, name: str) -> None:
    _check_text(found, name)
    if len(found) == classes:
        return
    if len(found) < classes:
        more = "net.classes = [...] names all of them"
    else:
        more = f"a last layer Dense({len(found)}) has an output for each, with a loss such as cross_entropy"
    raise ArgumentError(
        f"{name}: expected {classes} different labels{_each(classes)}, got {len(found)}: "
        f"{frames.listed(found)}; {more}"
    )


def _check_text(names: Names, where: str) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ArgumentError(
                f"{where}: expected labels that a file can hold, got {name!r}: {error.reason}"
            ) from None


def _each(classes: int) -> str:
    return ", one for each output" if classes > 2 else ""
