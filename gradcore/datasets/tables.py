"""Tables: named columns of numbers or texts, read from CSV or Parquet files."""

from __future__ import annotations

import csv
import gzip
import os
import re
import warnings
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DTypeError, FileError, FormatError, NotFoundError
from ..validation.checks import integer, path_name, shown, texts
from ..validation.optional import optional
from .headers import MISSING, SAMPLE, has_names, is_number

__all__ = ["Table", "load_csv", "load_parquet"]

Column = NDArray[Any]


@dataclass(frozen=True, repr=False)
class Table:
    """Columns of equal length, each of numbers (NaN: missing) or of texts (empty: missing).

    Attributes
    ----------
    source : str
        Where it came from, for messages.
    names : tuple of str
    columns : tuple of ndarray
        A numeric dtype, or object holding str.
    header : bool
        Whether the names came from the file; otherwise they are the positions, counted from 0.
    lines : ndarray, optional
        The line of the file that each row stands in; None: rows are counted from 1.
    """

    source: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    header: bool = True
    lines: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Column:
        if not isinstance(name, str):
            raise DTypeError(f"{self.source}: expected the name of a column, got {shown(name)}")
        if name not in self.names:
            some = ", ".join(self.names[:20]) + (" ..." if self.names[20:] else "")
            raise ArgumentError(f"{self.source}: expected a column {name!r}, got {some}")
        return self.columns[self.names.index(name)]

    def __repr__(self) -> str:
        return f"<Table {self.source}: {len(self)} rows, columns {', '.join(self.names)}>"

    def without(self, names: Collection[str]) -> Table:
        """The table without some columns, all of which it must have."""
        names = texts(names, "names")
        for name in names:
            self[name]
        kept = [i for i, name in enumerate(self.names) if name not in names]
        return Table(
            self.source,
            tuple(self.names[i] for i in kept),
            tuple(self.columns[i] for i in kept),
            self.header,
            self.lines,
        )

    def place(self, row: int, name: str) -> str:
        """Where a cell stands, for a message."""
        row = integer(row, "row", 0, max(0, len(self) - 1))
        if not isinstance(name, str):
            raise DTypeError(f"name: expected the name of a column, got {shown(name)}")
        where = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{self.source}: {where}, column {name!r}"


def is_text(column: Column) -> bool:
    """Whether a column holds texts."""
    return column.dtype.kind in "OU"


@contextmanager
def opening(name: str) -> Iterator[None]:
    """While a file is opened or read: what the operating system refuses is a gradcore error."""
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(f"{name}: no such file") from None
    except OSError as error:
        raise FileError(f"{name}: {error.strerror or error}") from None


def load_csv(
    path: object,
    *,
    header: bool | None = None,
    text: Collection[str] = (),
    names: Collection[str] = (),
) -> Table:
    """A comma-, semicolon- or tab-separated file, plain or gzipped, in UTF-8.

    A column is one of numbers if every cell is a number or missing (empty, NA, NaN, null, None, ?),
    else one of texts. Empty lines are skipped. A first column of different whole numbers under an empty
    name, the index that pandas writes, is left out.

    Parameters
    ----------
    path : str or path
    header : bool, optional
        Whether the first line has the names. Default: it is compared with the columns below. It has them if
        it differs in kind, as texts above numbers do or 0, 1, 2, ... above fractions; a line that could be
        either is refused.
    text : collection of str
        Columns to keep as texts although they look like numbers.
    names : collection of str
        Names that are known beforehand: a first line with most of them has the names.

    Returns
    -------
    Table

    Raises
    ------
    NotFoundError, FileError, FormatError
        FormatError names the line that is not like the others.
    """
    if header is not None and not isinstance(header, bool | np.bool_):
        raise ArgumentError(f"header: expected True, False or None, got {shown(header)}")
    text, names = texts(text, "text"), texts(names, "names")
    name = path_name(path)
    try:
        with opening(name), _open_text(name) as file:
            delimiter = _delimiter(next((line for line in file if line.strip()), ""))
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            numbered = ((row, reader.line_num) for row in reader if row)
            first, line = next(numbered, (None, 0))
            if first is None:
                raise FormatError(f"{name}: expected a table, got an empty file")
            sample = list(islice(numbered, SAMPLE))
            if header is None:
                header = _has_names(name, first, line, sample, delimiter, names)
            keys = _column_names(name, first, header)
            if not text:
                matrix = _all_numbers(name, delimiter, line if header else 0, len(keys))
                if matrix is not None:
                    return _without_index(Table(name, keys, tuple(matrix.T), header), first, names)
            rows, lines = ([], []) if header else ([first], [line])
            for row, line in chain(sample, numbered):
                if len(row) != len(keys):
                    raise FormatError(f"{name}: line {line}: expected {len(keys)} cells, got {len(row)}")
                rows.append(row)
                lines.append(line)
    except csv.Error as error:
        raise FormatError(f"{name}: line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{name}: expected UTF-8 text: {error.reason} at byte {error.start}") from None
    except (EOFError, zlib.error) as error:
        raise FormatError(f"{name}: damaged gzip data: {error}") from None
    if not rows:
        raise FormatError(f"{name}: expected rows below the header, got none")
    columns = tuple(
        _texts(cells) if key in text else _numbers_or_texts(cells)
        for key, cells in zip(keys, zip(*rows, strict=True), strict=True)
    )
    return _without_index(Table(name, keys, columns, header, np.array(lines, np.int64)), first, names)


def load_parquet(path: object, *, text: Collection[str] = ()) -> Table:
    """A Parquet file with columns of numbers, booleans and texts; needs pyarrow.

    Parameters
    ----------
    path : str or path
    text : collection of str
        Columns to take as texts although they hold numbers.
    """
    text = texts(text, "text")
    pyarrow = optional("pyarrow", "to read Parquet")
    parquet = optional("pyarrow.parquet", "to read Parquet")
    name = path_name(path)
    with opening(name), open(name, "rb") as file:
        try:
            data = parquet.read_table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise FormatError(f"{name}: cannot be read as Parquet: {error}") from None
    kept = [i for i, key in enumerate(data.column_names) if not re.fullmatch(r"__index_level_\d+__", key)]
    names = _column_names(name, [data.column_names[i] for i in kept], True)
    if not names or not data.num_rows:
        raise FormatError(f"{name}: expected a table, got {data.num_rows} rows of {len(names)} columns")
    columns = []
    for key, i in zip(names, kept, strict=True):
        values, kind = data.column(i), data.schema.field(i).type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
            values = values.cast(kind)
        if (
            pyarrow.types.is_boolean(kind)
            or pyarrow.types.is_integer(kind)
            or pyarrow.types.is_floating(kind)
        ):
            cells = values.to_numpy()
            if cells.dtype == object:  # booleans with nulls
                cells = np.array([np.nan if cell is None else float(cell) for cell in cells])
            columns.append(_texts([class_name(cell) for cell in cells]) if key in text else cells)
        elif pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
            columns.append(_texts([cell or "" for cell in values.to_pylist()]))
        else:
            raise FormatError(f"{name}: column {key!r}: expected numbers or texts, got {kind}")
    return Table(name, names, tuple(columns))


def class_name(value: Any) -> str:
    """How the value of a class or category is written: whole numbers without a point."""
    if isinstance(value, str | bool | np.bool_):
        return str(value)
    number = float(value)
    return str(int(number)) if number.is_integer() else str(number)


def first_not_number(column: Column) -> int | None:
    """The first row of a text column that is neither a number nor missing."""
    for row, cell in enumerate(column):
        if cell.strip().lower() not in MISSING and not is_number(cell):
            return row
    return None


def share_of_numbers(column: Column) -> float:
    """The share of the cells of a text column that are numbers."""
    return sum(map(is_number, column)) / len(column)


def _open_text(name: str) -> TextIO:
    if name.endswith(".gz"):
        return gzip.open(name, "rt", encoding="utf-8-sig", newline="")
    return open(name, encoding="utf-8-sig", newline="")


def _delimiter(line: str) -> str:
    """The one of comma, semicolon and tab that the first line has most of, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",;\t", key=bare.count)


def _has_names(
    source: str,
    first: Sequence[str],
    line: int,
    sample: Sequence[tuple[Sequence[str], int]],
    delimiter: str,
    names: Collection[str],
) -> bool:
    """Whether the first line has the names of the columns; one that could be either is refused."""
    told = {cell.strip() for cell in first}
    if names and 2 * sum(name in told for name in names) > len(names):
        return True
    below = [row for row, _ in sample if len(row) == len(first)]
    quoted = set(_quoted(source, delimiter, line, len(first)))
    if sample:
        quoted -= set(_quoted(source, delimiter, sample[0][1], len(first)))
    found = has_names(first, below, quoted)
    if found is None:
        some = ", ".join(map(repr, first[:5])) + (", ..." if first[5:] else "")
        raise FormatError(
            f"{source}: line {line}: expected the names of the columns or a row of data, got {some}, which "
            "could be either; say which by --header or --no-header, in Python by header=True or False"
        )
    return found


def _quoted(source: str, delimiter: str, line: int, width: int) -> list[int]:
    """Which cells of a line stand in quotes; none where the line cannot be cut without heeding them."""
    with _open_text(source) as file:
        text = next(islice(file, line - 1, None), "")
    cells = [cell.strip() for cell in text.split(delimiter)]
    return [i for i, cell in enumerate(cells) if cell.startswith('"')] if len(cells) == width else []


def _without_index(table: Table, first: Sequence[str], wanted: Collection[str]) -> Table:
    """A table without the column of row labels that pandas writes under an empty name."""
    if not table.header or first[0].strip() or len(first) < 2 or table.names[0] in wanted:
        return table
    labels = table.columns[0]
    if is_text(labels) or len(np.unique(labels)) < len(labels) or (labels != np.floor(labels)).any():
        return table
    return table.without([table.names[0]])


def _column_names(source: str, first: Sequence[str], header: bool) -> tuple[str, ...]:
    if not header:
        return tuple(str(i) for i in range(len(first)))
    told = {cell.strip() for cell in first}
    names = tuple(
        cell.strip() or (str(i) if str(i) not in told else f"unnamed {i}") for i, cell in enumerate(first)
    )
    for i, name in enumerate(names):
        if name in names[:i]:
            raise FormatError(f"{source}: expected different column names, got {name!r} twice")
    return names


def _all_numbers(name: str, delimiter: str, skip: int, width: int) -> NDArray[np.float64] | None:
    """The matrix of a file of finite numbers; None if it is not one, and the slower reader says why."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file without rows
            matrix = np.loadtxt(
                os.path.abspath(name),
                delimiter=delimiter,
                skiprows=skip,
                comments=None,  # and no quotes: the slower reader is strict about them
                ndmin=2,
                encoding="utf-8-sig",
            )
    except ValueError:
        return None
    return matrix if matrix.shape[1] == width and matrix.size and np.isfinite(matrix).all() else None


def _numbers_or_texts(cells: Sequence[str]) -> Column:
    try:
        return np.array([parse_number(cell) for cell in cells])
    except ValueError:
        return _texts(cells)


def parse_number(cell: str) -> float:
    """The number of a cell, NaN where it is missing; ValueError for a text."""
    if cell.strip().lower() in MISSING:
        return np.nan
    if "_" in cell:
        raise ValueError
    return float(cell)


def _texts(cells: Sequence[str]) -> Column:
    column = np.empty(len(cells), object)
    column[:] = [cell.strip() for cell in cells]
    return column
