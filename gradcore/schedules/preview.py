"""Schedules as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DTypeError
from ..validation.checks import integer, shown
from .base import Scalar, scalar, value_at

__all__ = ["plot", "values"]

_POINTS = 2000  # of a curve; more cannot be seen


def values(schedule: Scalar, steps: int | Iterable[int]) -> NDArray[np.float64]:
    """The values of a schedule, bit for bit those that training sees.

    Parameters
    ----------
    schedule : Schedule or float
    steps : int or iterable of int
        A number of steps, from 0 on, or the steps themselves.

    Returns
    -------
    ndarray (steps,)

    Examples
    --------
    >>> from gradcore import schedules
    >>> schedules.values(schedules.Linear(0, 1, 4), 6)
    array([0.  , 0.25, 0.5 , 0.75, 1.  , 1.  ])
    """
    of = scalar(schedule, "schedule")
    if isinstance(steps, Iterable) and not (isinstance(steps, np.ndarray) and not steps.ndim):
        at = [integer(step, "steps") for step in steps]
    else:
        at = list(range(integer(steps, "steps", 1)))
    found = []
    for step in at:
        value = value_at(of, step)
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            raise DTypeError(f"schedule: expected a number at step {step}, got {value!r}") from None
    return np.array(found, np.float64)


def plot(
    schedule: Scalar | Mapping[str, Scalar],
    steps: int,
    *,
    path: object = None,
    axes: Any = None,
    log: bool = False,
) -> Any:
    """A picture of one schedule or of several; needs matplotlib.

    Parameters
    ----------
    schedule : Schedule, float, or dict of str to these
        The keys of a dict are the names in the legend.
    steps : int
        How far to draw.
    path : str or path, optional
        A file to write; its suffix (.png, .svg, .pdf) decides the format.
    axes : matplotlib Axes, optional
        Where to draw. Default: a figure of its own.
    log : bool, default False
        A logarithmic scale for the values.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DependencyError
        Without matplotlib.
    FileError
        If the file cannot be written.
    """
    count = integer(steps, "steps", 1)
    if isinstance(schedule, Mapping):
        curves = {str(name): scalar(of, f"schedule[{name!r}]") for name, of in schedule.items()}
    else:
        curves = {repr(schedule): scalar(schedule, "schedule")}
    if axes is not None and not hasattr(axes, "plot"):
        raise DTypeError(f"axes: expected matplotlib Axes or None, got {shown(axes)}")
    from ..charts import new_axes, save_axes

    axes = new_axes() if axes is None else axes
    at = np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(np.int64))
    for name, of in curves.items():
        axes.plot(at, values(of, at.tolist()), label=name)
    axes.set(xlabel="step", yscale="log" if log else "linear")
    axes.legend()
    if path is not None:
        save_axes(axes, path)
    return axes
