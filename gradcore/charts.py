"""Bar charts on a logarithmic scale: in the terminal, and as a picture where matplotlib is installed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import FileError
from .validation.checks import file_path
from .validation.optional import optional

__all__ = ["check_matplotlib", "log_bars", "new_axes", "save_axes", "save_log_bars"]


def log_bars(
    labels: Sequence[str],
    values: Sequence[float],
    *,
    width: int = 40,
    low: float | None = None,
    high: float | None = None,
    block: str = "█",
) -> str:
    """One line for each value: label, number, and a bar whose length is the logarithm.

    Parameters
    ----------
    labels, values : sequences of equal length
        A value that is 0 or not finite gets no bar.
    width : int, default 40
        Characters of the longest bar.
    low, high : float, optional
        Values of an empty and of a full bar, to give several charts one scale. Default: the decades around
        the values.

    Examples
    --------
    >>> from gradcore.charts import log_bars
    >>> print(log_bars(["first", "last"], [1e-4, 1e-1], width=8, low=1e-5, block="#"))
    first  1.0e-04  ##
    last   1.0e-01  ########
    """
    usable = [value for value in values if 0 < value < math.inf]
    bottom = low or 10.0 ** math.floor(math.log10(min(usable, default=1.0)) - 1)
    top = high or max(usable, default=1.0)
    span = math.log(top / bottom) or 1.0
    column = max(map(len, labels), default=0)
    lines = []
    for label, value in zip(labels, values, strict=True):
        share = math.log(value / bottom) / span if 0 < value < math.inf else 0.0
        bar = block * round(width * min(1.0, max(0.0, share)))
        lines.append(f"{label:<{column}}  {value:7.1e}  {bar}".rstrip())
    return "\n".join(lines)


def check_matplotlib() -> None:
    """Refuse to go on without matplotlib."""
    optional("matplotlib.figure", "to draw a picture")


def save_log_bars(path: str, title: str, ylabel: str, series: Mapping[str, Sequence[float]]) -> None:
    """A picture of grouped bars, one group for each position; the suffix of `path` decides the format.

    Raises
    ------
    DependencyError
        Without matplotlib.
    FileError
        If the file cannot be written.
    """
    axes = new_axes()
    thickness = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        positions = [x + 1 + (i - (len(series) - 1) / 2) * thickness for x in range(len(values))]
        axes.bar(positions, values, thickness, label=name)
    axes.set(yscale="log", title=title, xlabel="layer", ylabel=ylabel)
    axes.set_xticks(range(1, 1 + max(len(values) for values in series.values())))
    axes.figure.legend(loc="outside upper right", ncols=len(series))
    save_axes(axes, path)


def new_axes() -> Any:
    """The axes of a new figure, which no window shows.

    Raises
    ------
    DependencyError
        Without matplotlib.
    """
    check_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


def save_axes(axes: Any, path: object) -> None:
    """The figure of `axes` as a file; the suffix of `path` decides the format.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    name = os.fsdecode(file_path(path))
    try:
        axes.figure.savefig(name, dpi=120)
    except OSError as error:
        raise FileError(f"{name}: {error.strerror or error}") from None
    except ValueError as error:
        raise FileError(f"{name}: {error}") from None
