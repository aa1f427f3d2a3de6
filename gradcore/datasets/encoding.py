"""From tables to the arrays that a network takes, and back: categories, classes, target scaling."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, FormatError, MemoryLimitError
from ..validation.arrays import as_table
from ..validation.checks import choice, flag, shown
from .tables import Column, Table, class_name, first_not_number, is_text, parse_number, share_of_numbers

__all__ = ["Encoding"]

_MOST_CLASSES = 20  # of a target of whole numbers; with more different values it is a quantity
_MOST_CATEGORIES = 100  # of a text column; one with more is an identifier or free text

_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")

Task = Literal["classes", "number"]


@dataclass(frozen=True)
class Encoding:
    """How the columns of a table become X and y; made by `learn`, stored with the model.

    Columns of numbers are taken as they are. A column of texts becomes one 0/1 column for each category.
    The target is a class, numbered in the order of `classes`, or a number, which is scaled to mean 0 and
    standard deviation 1.

    Attributes
    ----------
    features : tuple of str
        The columns that X is made of, in order.
    categories : mapping of str to tuple of str
        The categories of the text columns among them.
    target : str
    classes : tuple of str
        Empty: the target is a number.
    mean, scale : float
        Of a target that is a number.
    header : bool
        Whether the table came with names; otherwise columns are known by their positions.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore.datasets import Encoding, Table
    >>> sizes, towns = np.array([50.0, 80.0, 65.0]), np.array(["Oslo", "Bern", "Oslo"], object)
    >>> table = Table("flats", ("size", "town", "price"), (sizes, towns, np.array([1.5, 2.5, 3.5])))
    >>> encoding = Encoding.learn(table, "price")
    >>> encoding.inputs(table)
    array([[50.,  0.,  1.],
           [80.,  1.,  0.],
           [65.,  0.,  1.]], dtype=float32)
    """

    features: tuple[str, ...]
    target: str
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    header: bool = True

    @classmethod
    def learn(cls, table: Table, target: str, *, task: Task | None = None) -> Encoding:
        """The encoding that a table calls for.

        Parameters
        ----------
        table : Table
        target : str
            The column to predict; all others are features.
        task : {"classes", "number"}, optional
            Default: classes for texts, booleans, and whole numbers of at most 20 different values.
        """
        _check_table(table)
        values = table[target]
        _refuse_missing(table, target)
        if not is_text(values):
            _numbers(table, target)
        features = tuple(name for name in table.names if name != target)
        if not features:
            raise FormatError(f"{table.source}: expected a column besides the target {target!r}, got none")
        categories = {name: _categories(table, name) for name in features if is_text(table[name])}
        if task is not None:
            choice(task, "task", ("classes", "number"))
        if (task or _task(values)) == "classes":
            different = _different(values)
            _refuse_misread(table, target, different)
            if len(different) < 2:
                raise FormatError(
                    f"{table.source}: column {target!r}: expected 2 or more classes, got {different[0]!r}"
                )
            return cls(features, target, categories, tuple(different), header=table.header)
        numbers = _numbers(table, target)
        scale = float(numbers.std())
        if not scale > 0:
            raise FormatError(
                f"{table.source}: column {target!r}: expected different values, got {numbers[0]} only"
            )
        return cls(features, target, categories, (), float(numbers.mean()), scale, table.header)

    @property
    def task(self) -> Task:
        """What the target is."""
        return "classes" if self.classes else "number"

    @property
    def width(self) -> int:
        """Columns of X."""
        return len(self.features) + sum(len(known) - 1 for known in self.categories.values())

    @property
    def outputs(self) -> int:
        """Outputs that the network needs."""
        return len(self.classes) or 1

    def inputs(self, table: Table, *, exact: bool = False) -> NDArray[Any]:
        """X, (rows, width), of a table that has the features; other columns are ignored.

        Parameters
        ----------
        table : Table
        exact : bool, default False
            Whether X is float64 where float32 would round a number; a network that begins with Standardize
            takes means off before it rounds. Otherwise X is float32 always.

        Raises
        ------
        FormatError
            Naming the row and column of what is missing, not a number, or no category seen in training.
        """
        _check_table(table)
        absent = [name for name in self.features if name not in table]
        if absent:
            hint = "" if table.header else "; it has no header, so its columns are named by their positions"
            raise FormatError(
                f"{table.source}: expected the columns of the training data, "
                f"got none named {', '.join(map(repr, absent[:5]))}{' ...' if absent[5:] else ''}{hint}"
            )
        if self.header and not table.header:
            raise FormatError(
                f"{table.source}: expected a header with the names of the training data, "
                f"{', '.join(self.features[:5])}{' ...' if self.features[5:] else ''}, got none"
            )
        exact = flag(exact, "exact") and any(
            _is_rounded(table, name) for name in self.features if name not in self.categories
        )
        x = np.zeros((len(table), self.width), np.float64 if exact else np.float32)
        at = 0
        for name in self.features:
            if name in self.categories:
                known = self.categories[name]
                x[np.arange(len(table)), at + _codes(table, name, known)] = 1.0
                at += len(known)
            else:
                x[:, at] = _numbers(table, name)
                at += 1
        return x

    def targets(self, table: Table) -> NDArray[Any]:
        """y of a table that has the target: class numbers, int64, or scaled numbers, float32."""
        _check_table(table)
        if self.classes:
            return _codes(table, self.target, self.classes)
        return ((_numbers(table, self.target) - self.mean) / self.scale).astype(np.float32)

    def unscaled(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """The numbers that the outputs of a network stand for, (rows,)."""
        column = as_table(outputs, "outputs")[:, 0]
        try:
            return column.astype(np.float64) * self.scale + self.mean
        except MemoryError as error:
            raise MemoryLimitError(f"outputs: expected an array that fits in memory: {error}") from None

    def to_json(self) -> str:
        """As text, for the metadata of a model file."""
        return json.dumps(
            {
                "features": self.features,
                "target": self.target,
                "categories": dict(self.categories),
                "classes": self.classes,
                "mean": self.mean,
                "scale": self.scale,
                "header": self.header,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Encoding:
        """The encoding that `to_json` wrote."""
        try:
            parts = json.loads(text)
            features = tuple(map(str, parts["features"]))
            if not (math.isfinite(parts["mean"]) and 0 < parts["scale"] < math.inf):
                raise ValueError("expected a finite mean and scale")
            return cls(
                features=features,
                target=str(parts["target"]),
                categories={str(k): tuple(map(str, v)) for k, v in parts["categories"].items()},
                classes=tuple(map(str, parts["classes"])),
                mean=float(parts["mean"]),
                scale=float(parts["scale"]),
                # Where the file does not say it: positions as names come from tables without a header.
                header=bool(parts.get("header", not all(map(str.isdecimal, features)))),
            )
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise FormatError(
                f"data: expected the description of a table, got {shown(text)[:80]}: {error}"
            ) from None


def _check_table(table: object) -> None:
    if not isinstance(table, Table):
        raise DTypeError(f"table: expected a Table, as load_csv returns it, got {shown(table)}")


def _task(values: Column) -> Task:
    if is_text(values) or values.dtype.kind == "b":
        return "classes"
    different = np.unique(values)
    whole = bool((different == np.floor(different)).all())
    return "classes" if whole and len(different) <= _MOST_CLASSES else "number"


def _different(values: Column) -> list[str]:
    """The different values as text, in order: texts by alphabet, numbers by size."""
    return [class_name(value) for value in sorted(set(values.tolist()))]


def _refuse_misread(table: Table, target: str, classes: list[str]) -> None:
    """Refuse classes that are numbers with decimal commas, or whole numbers that float64 has rounded."""
    values = table[target]
    if not is_text(values):
        rounded = np.abs(values.astype(np.float64)) >= 2.0**53
        if rounded.any():
            raise FormatError(
                f"{table.place(int(np.argmax(rounded)), target)}: expected class numbers below 2**53; "
                "read longer ones as texts (--text, or the argument text)"
            )
    elif len(classes) > _MOST_CLASSES and all(_DECIMAL_COMMA.fullmatch(name) for name in classes):
        raise FormatError(
            f"{table.place(0, target)}: expected numbers with a decimal point, got {values[0]!r}"
        )


def _categories(table: Table, name: str) -> tuple[str, ...]:
    values = table[name]
    _refuse_missing(table, name)
    if 0.5 < share_of_numbers(values) < 1.0:
        row = first_not_number(values)
        if row is not None:
            raise FormatError(f"{table.place(row, name)}: expected a number, got {values[row]!r}")
    known = _different(values)
    if len(known) > _MOST_CATEGORIES:
        raise FormatError(
            f"{table.source}: column {name!r}: expected at most {_MOST_CATEGORIES} different texts, "
            f"got {len(known)}; leave the column out or group its values"
        )
    return tuple(known)


def _codes(table: Table, name: str, known: tuple[str, ...]) -> NDArray[np.int64]:
    """The position in `known` of every cell of a column."""
    _refuse_missing(table, name)
    number = {text: code for code, text in enumerate(known)}
    values = table[name]
    if is_text(values):
        codes = np.array([number.get(cell, -1) for cell in values], np.int64)
    else:
        different, inverse = np.unique(values, return_inverse=True)
        codes = np.array([number.get(class_name(value), -1) for value in different], np.int64)[inverse]
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        listed = ", ".join(known[:10]) + (" ..." if known[10:] else "")
        raise FormatError(
            f"{table.place(row, name)}: expected one of {listed}, as in the training data, "
            f"got {class_name(values[row])!r}"
        )
    return codes


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    values = table[name]
    if is_text(values):
        row = first_not_number(values)
        if row is not None:
            raise FormatError(f"{table.place(row, name)}: expected a number, got {values[row]!r}")
        values = np.array([parse_number(cell) for cell in values])
    _refuse_missing(table, name, values)
    largest = np.finfo(np.float32).max
    if values.dtype.kind == "f" and len(values) and not np.abs(values).max() <= largest:
        row = int(np.argmin(np.abs(values) <= largest))
        raise FormatError(
            f"{table.place(row, name)}: expected a number that float32 can hold, got {values[row]}"
        )
    return values.astype(np.float64, copy=False)


def _is_rounded(table: Table, name: str) -> bool:
    """Whether float32 would round a number of the column."""
    values = _numbers(table, name)
    return bool((values.astype(np.float32) != values).any())


def _refuse_missing(table: Table, name: str, values: Column | None = None) -> None:
    column = table[name] if values is None else values
    if is_text(column):
        missing = column == ""
    elif column.dtype.kind == "f":
        missing = np.isnan(column)
    else:
        return
    if missing.any():
        count = int(missing.sum())
        more = f" (and {count - 1} more in this column)" if count > 1 else ""
        raise FormatError(
            f"{table.place(int(np.argmax(missing)), name)}: missing value{more}; "
            "fill it in, or leave out the row or the column"
        )


def column_at(table: Table, name: str) -> str:
    """The column that a user named: by its name or by its position, negative ones from the end."""
    if name in table:
        return name
    try:
        return table.names[int(name)]
    except (ValueError, IndexError):
        raise ArgumentError(
            f"target: expected one of the columns {', '.join(table.names[:20])}"
            f"{' ...' if table.names[20:] else ''}, got {name!r}"
        ) from None
