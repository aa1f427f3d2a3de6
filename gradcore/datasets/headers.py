"""Whether the first line of a text table has the names of its columns, or is a row like those below."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from functools import cached_property

# What a cell of a number column may hold instead of a number, in lower case.
MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
SAMPLE = 1000  # rows below the first line that it is compared with

_SURE = 8  # so many numbers do not stand in a sequence by accident
_WHOLE = re.compile(r"[+-]?\d+")

Row = Sequence[str]


def is_number(cell: str) -> bool:
    """Whether a cell is written as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def has_names(first: Row, below: Sequence[Row], quoted: Collection[int] = ()) -> bool | None:
    """Compare the first line with the columns below it.

    Names are all different, differ in kind from what stands below them (a text or nothing above numbers,
    whole numbers above fractions), or count (0, 1, 2, ...; 2019, 2020, ...) where the rows below do not.

    Parameters
    ----------
    first : sequence of str
        The cells of the first line.
    below : sequence of rows
        Some of the rows below it, each with as many cells.
    quoted : collection of int
        The positions of cells that stand in quotes while those below them do not.

    Returns
    -------
    bool or None
        None: it could be either.
    """
    line = _FirstLine(first, below)
    if not line.numbers:
        # A line of texts is a header by custom, unless its texts are values of their columns.
        return True if line.titled or not line.repeats else None
    if not line.different:
        return None if line.titled_by_text else False
    if all(i in quoted for i in line.numbers):
        return True
    if line.repeats:
        return None if line.titled or (line.counts and line.finer) else False
    if not line.whole:
        return None if line.titled_by_text or line.counts else False
    if line.counts and (line.titled or (line.finer and len(line.numbers) > 1) or len(line.numbers) >= _SURE):
        return True
    if line.titled:
        return True if line.finer else None
    if line.finer or (line.counts and (len(line.numbers) > 2 or line.outside)):
        return None
    return False


class _FirstLine:
    """A first line, and what can be seen of it next to the rows below."""

    def __init__(self, first: Row, below: Sequence[Row]) -> None:
        self.cells = [cell.strip() for cell in first]
        self.below = below
        self.columns = [[row[i].strip() for row in below] for i in range(len(first))]
        self.blank = [i for i, cell in enumerate(self.cells) if cell.lower() in MISSING]
        self.numbers = [i for i, cell in enumerate(self.cells) if i not in self.blank and is_number(cell)]
        self.texts = [i for i in range(len(first)) if i not in self.blank and i not in self.numbers]

    @cached_property
    def of_numbers(self) -> set[int]:
        """Columns most of whose cells are numbers."""
        return {
            i
            for i, cells in enumerate(self.columns)
            if 2 * sum(is_number(cell) and cell.lower() not in MISSING for cell in cells) > len(cells)
        }

    @cached_property
    def titled_by_text(self) -> bool:
        """Whether a text stands above numbers."""
        return any(i in self.of_numbers for i in self.texts)

    @cached_property
    def titled(self) -> bool:
        """Whether a text stands above numbers, or nothing above numbers none of which is missing."""
        return self.titled_by_text or any(
            bool(self.below) and all(map(is_number, self.columns[i])) for i in self.blank
        )

    @cached_property
    def repeats(self) -> bool:
        """Whether at least half of the texts are found again below themselves."""
        again = sum(self.cells[i] in self.columns[i] for i in self.texts)
        return bool(self.texts) and 2 * again >= len(self.texts)

    @cached_property
    def different(self) -> bool:
        """Whether no two cells are the same, as names have to be."""
        told = [cell for i, cell in enumerate(self.cells) if i not in self.blank]
        return len(set(told)) == len(told)

    @cached_property
    def whole(self) -> bool:
        return all(_WHOLE.fullmatch(self.cells[i]) for i in self.numbers)

    @cached_property
    def finer(self) -> bool:
        """Whether every number stands above fractions: most cells below it have a point or an exponent."""
        return self.whole and all(
            2 * sum(is_number(cell) and not _WHOLE.fullmatch(cell) for cell in self.columns[i])
            > max(3, len(self.columns[i]))
            for i in self.numbers
        )

    @cached_property
    def counts(self) -> bool:
        """Whether the numbers go up by equal steps, and those of the rows below do not."""
        if len(self.numbers) == 1:
            return self.cells[self.numbers[0]] == "0"
        if not self._steps(self.cells):
            return False
        return 2 * sum(self._steps(row) for row in self.below) <= len(self.below)

    def _steps(self, row: Row) -> bool:
        cells = [row[i] for i in self.numbers]
        if not all(map(is_number, cells)):
            return False
        values = [float(cell) for cell in cells]
        step = (values[-1] - values[0]) / (len(values) - 1)
        even = all(
            math.isclose(value, values[0] + i * step, rel_tol=1e-9, abs_tol=1e-9)
            for i, value in enumerate(values)
        )
        return even and (step > 0 if len(values) > 2 else step == 1)

    @cached_property
    def outside(self) -> bool:
        """Whether each number is smaller, or larger, than all below it, and those are a few."""
        for i in self.numbers:
            values = [float(cell) for cell in self.columns[i] if is_number(cell)]
            if len(values) < 3 or min(values) <= float(self.cells[i]) <= max(values):
                return False
        return True
