"""What a loss is given: types alone, the rest is for other modules of the binding."""

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .arrays import Array

class LossOptions(TypedDict, total=False):
    parameters: Sequence[float]  # in the order of describe(); NaN: the default
    flags: int  # of gradcore_loss_options
    vector: NDArray[np.float64] | None  # (outputs,)
    ignore_index: int

Target = Array | Iterable[Array]  # iterables: of one for each head
RowWeights = NDArray[np.float64] | Iterable[NDArray[np.float64] | None] | None
HeadLoss = tuple[str, LossOptions | None, float]  # name, options, weight
