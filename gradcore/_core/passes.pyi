"""Pass: forward and backward by hand."""

import numpy as np
from numpy.typing import NDArray

from .arrays import Array
from .network import CoreNetwork

class Pass:
    """Forward and backward by hand; keeps the activations of one batch."""

    capacity: int
    def __init__(self, network: CoreNetwork, capacity: int) -> None: ...
    def forward(self, x: Array, training: bool, seed: int, step: int) -> Array: ...
    def set_rates(self, first: int, rates: NDArray[np.float64]) -> None: ...  # (steps, scheduled layers)
    def backward(self, d_out: Array) -> Array: ...  # d_x
    def gradient(self, index: int) -> Array: ...  # of parameters[index], which must be trainable
    def activations(self) -> dict[str, Array]: ...  # {"0": (rows, width), ...}, containers included
