"""Arrays as the core takes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of the network's dtype

# Arrays of plain types, native byte order and any strides as the core takes them: themselves or copies.
# None: not plain, or not in range; the Python layer looks closer. `dtype` is float32 or float64.
def plain_targets(
    y: object, dtype: np.dtype[Any], low: float | None = None, high: float | None = None, whole: bool = False
) -> Array | None: ...  # (rows, columns), or (rows,) as one column
def all_finite(value: object) -> bool | None: ...  # None: no contiguous array of float32 or float64
def plain_labels(y: object, classes: int, ignored: int | None = None) -> Array | None: ...  # int32 (rows,)
