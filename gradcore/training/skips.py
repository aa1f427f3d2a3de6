"""Updates that a fit skips because something was not finite: what it says of them, and when."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

HOPELESS = 20  # skipped updates in a row

_CURE = (
    "look for values that are far too large in X and y, lower the learning rate, or clip; nonfinite='raise' "
    "stops at the first one"
)


class Skips:
    """Counts them in order, so that what is said depends on the steps alone and not on how they are sliced.

    Attributes
    ----------
    steps, skipped : int
        Of the fit so far.
    """

    def __init__(self) -> None:
        self.steps = self.skipped = 0
        self._row = 0  # skipped ones at the end of what was seen
        self._hopeless = False

    def see(self, applied: NDArray[np.int32], first: int, stacklevel: int) -> None:
        """Take in the steps of a slice, the first of which is step number `first` of the trainer, from 0."""
        count = len(applied)
        if applied.all():
            self.steps, self._row = self.steps + count, 0
            return
        for at in range(count):
            self.steps += 1
            if applied[at]:
                self._row = 0
                continue
            self.skipped, self._row = self.skipped + 1, self._row + 1
            if self.skipped == 1:
                _warn(
                    f"step {first + at + 1}: the loss or a gradient was not finite; such updates are skipped "
                    "(history.skipped counts them)",
                    stacklevel,
                )
            if self._row == HOPELESS and not self._hopeless:
                self._hopeless = True
                _warn(f"step {first + at + 1}: {self._nothing()}; {_CURE}", stacklevel)

    def end(self, stacklevel: int) -> None:
        """Say that a fit has trained nothing, where it has ended before that was said."""
        if self.steps and self.skipped == self.steps and not self._hopeless:
            _warn(f"fit: {self._nothing()}; {_CURE}", stacklevel)

    def _nothing(self) -> str:
        if self.skipped == self.steps:
            which = "the only update" if self.steps == 1 else f"all {self.steps} updates"
            return (
                f"{which} of this fit had a loss or a gradient that was not finite; nothing was trained, and "
                "the weights are what they were"
            )
        return f"the last {self._row} updates were all skipped; nothing is learnt any more"


def _warn(message: str, stacklevel: int) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 2)
