"""Learned vectors for categorical columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ArgumentError, DTypeError, ShapeError
from ..initializers.base import Initializer
from ..initializers.draws import Normal
from ..initializers.lookup import get as initializer
from ..validation.checks import integer, shown
from .base import Layer
from .standardize import Standardize

if TYPE_CHECKING:
    from .._core import LayerSpec

__all__ = ["Embedding"]

MOST_CODES = 2**24  # whole numbers that float32 can tell apart
_PLACE = "expected Embedding only as the first layer, or right behind Standardize"


@dataclass(frozen=True, repr=False)
class Embedding(Layer):
    """Replace columns of integer codes by learned vectors; only first, or right behind Standardize.

    The other columns stay, in order. A `Standardize` before it leaves columns of codes as they are. A code is
    a whole number from 0 to cardinality - 1; any other value, NaN included, is an ArgumentError that names
    row, column, code and table, in training and prediction.

    Parameters
    ----------
    columns : dict of int to (cardinality, width)
        By column of the input: the number of its codes, at most 2**24, and the columns that replace it.
    weight_init : Initializer or str, default Normal(std=1.0)
        Of the tables, as in PyTorch; Keras draws from Uniform(-0.05, 0.05).

    Notes
    -----
    Column c has the parameter ``0.c.table`` (cardinality, width). Its gradient is an array like every other:
    optimizers with momentum move rows too whose codes are not in the batch.

    References
    ----------
    Guo and Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737.

    Examples
    --------
    >>> from gradcore import Dense, Embedding, Network
    >>> net = Network([Embedding({1: (5, 3)}), Dense(2)], inputs=4)  # columns 0, three for column 1, 2, 3
    >>> {name: value.shape for name, value in net.parameters().items()}
    {'0.1.table': (5, 3), '1.weight': (6, 2), '1.bias': (2,)}
    >>> net.predict([[0.5, 4, 0.1, 0.2]]).shape
    (1, 2)
    """

    columns: Mapping[int, tuple[int, int]] | tuple[tuple[int, int, int], ...]
    weight_init: Initializer | str = field(default=Normal(std=1.0), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _check_columns(self.columns))
        object.__setattr__(self, "weight_init", initializer(self.weight_init, "Embedding: weight_init"))

    def _sizes(self) -> list[tuple[int, int, int]]:
        """(column, cardinality, width), from the last column on: what is replaced moves no other."""
        assert isinstance(self.columns, tuple)
        return sorted(self.columns, reverse=True)

    def __repr__(self) -> str:
        columns = {column: (cardinality, width) for column, cardinality, width in reversed(self._sizes())}
        default = self.weight_init == Normal(std=1.0)
        return f"Embedding({columns}{'' if default else f', weight_init={self.weight_init!r}'})"

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        for index, (column, cardinality, width) in enumerate(self._sizes()):
            spec: LayerSpec = {"kind": "embedding", "column": column, "units": cardinality, "width": width}
            yield spec if index == 0 else spec | {"continues": True}

    def codes(self) -> list[int]:
        """The columns of the input that hold codes."""
        return [column for column, _, _ in self._sizes()]

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output for `width` columns of input; raises where they do not fit."""
        if position not in ("0", "1"):
            raise ArgumentError(f"layers[{position}]: {_PLACE}")
        last = self._sizes()[0][0]
        if last >= width:
            raise ShapeError(f"layers[{position}]: expected columns from 0 to {width - 1}, got {last}")
        return width + sum(added - 1 for _, _, added in self._sizes())

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of its tables."""
        return initializer(self.weight_init)

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of its tables."""
        for column, cardinality, added in self._sizes():
            yield f"{position}.{column}.table", (cardinality, added)

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """The layer, by the positions of its tables too."""
        yield position, self
        for column, _, _ in self._sizes():
            yield f"{position}.{column}", self


def tables(layers: Sequence[Layer]) -> tuple[tuple[int, int, str], ...]:
    """(column, cardinality, name of the table) of every column of codes among a network's inputs."""
    for position, layer in enumerate(layers[:2]):
        if isinstance(layer, Embedding):
            return tuple(
                (column, cardinality, f"{position}.{column}.table")
                for column, cardinality, _ in reversed(layer._sizes())
            )
    return ()


def check_position(layers: Sequence[Layer]) -> None:
    """Raise where an Embedding is the second layer of a network that does not begin with Standardize."""
    if len(layers) > 1 and isinstance(layers[1], Embedding) and not isinstance(layers[0], Standardize):
        raise ArgumentError(f"layers[1]: {_PLACE}")


def _check_columns(columns: object) -> tuple[tuple[int, int, int], ...]:
    """Sorted triples of a dict, or of such triples, which is how files have them."""
    if isinstance(columns, tuple) and all(isinstance(item, tuple) and len(item) == 3 for item in columns):
        columns = {item[0]: item[1:] for item in columns}
    if not isinstance(columns, Mapping):
        raise DTypeError(
            f"Embedding: columns: expected a dict of int to (cardinality, width), got {shown(columns)}"
        )
    result = []
    for key, size in columns.items():
        column = integer(key, "Embedding: column", 0, 2**31 - 1)
        name = f"Embedding: columns[{column}]"
        if not isinstance(size, tuple | list) or len(size) != 2:
            raise DTypeError(f"{name}: expected (cardinality, width), got {shown(size)}")
        cardinality = integer(size[0], f"{name}: cardinality", 1, MOST_CODES)
        result.append((column, cardinality, integer(size[1], f"{name}: width", 1, 2**31 - 1)))
    if not result:
        raise ArgumentError("Embedding: columns: expected at least one column, got none")
    return tuple(sorted(result))
