"""Random numbers and orders, the same on every machine."""

import numpy as np
from numpy.typing import NDArray

def fill(
    kind: str, seed: int, stream: int, rows: int, cols: int, a: float, b: float
) -> NDArray[np.float64]: ...
def shuffle(seed: int, epoch: int, n: int) -> NDArray[np.int64]: ...
