"""Updates of plain arrays by an optimizer, and running averages of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Array

def optimizer_update(
    optimizer: str,
    flags: int,
    step: int,
    hypers: NDArray[np.float64],
    w: Array,  # float32 or float64, contiguous, writable; updated in place
    g: Array,  # same dtype and size
    slots: Sequence[Array | None],  # up to SLOTS; same dtype and size; updated in place
) -> None: ...
def average(
    kind: str, every: int, start: int, step: int, rate: float, w: Array, mean: Array
) -> None: ...  # both updated in place
def optimizer_slots(optimizer: str, flags: int) -> int: ...  # bit i: slot i is needed

class UpdateAgain:
    """optimizer_step once more, of arrays of the same shapes; False: they are not, nothing was done."""

    def __init__(
        self,
        optimizer: str,
        flags: int,
        running: NDArray[np.float64],
        keys: list[Any] | None,  # of dicts
        arrays: Sequence[tuple[Array, Array, Sequence[Array | None], float, float, int]],
    ) -> None: ...
    def __call__(
        self, params: Any, grads: Any, step: int, row: Callable[[int], NDArray[np.float64]]
    ) -> bool: ...

def optimizer_step(
    optimizer: str,
    flags: int,
    step: int,
    hypers: NDArray[np.float64],
    running: NDArray[np.float64],  # (RUNNING,), updated in place
    arrays: Sequence[tuple[Array, Array, Sequence[Array | None], float, float, int]],
    threads: int = 0,
) -> None: ...  # (w, g, SLOTS slots, lr_factor, weight_decay or NaN, rows of a matrix or 0) of each
