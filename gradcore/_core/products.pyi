"""Products of plain arrays, and the gradients of a dense layer."""

from typing import Any

import numpy as np

from .arrays import Array

# Products. a, b: 2-D of one float dtype, any strides that are multiples of the item size.
def gemm(
    a: Array,
    b: Array | Packed,
    bias: Array | None,
    out: Array | None,
    threads: int = 0,
    isa: str | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
) -> Array: ...
def product(  # gemm of exact arrays that serve as they are, and None, nothing done, of anything else
    a: object,
    b: object,
    bias: object,
    out: object,
    threads: object,
    isa: object,
    activation: str | None = None,
    alpha: float = 0.0,
) -> Array | None: ...
def dense_backward(  # (d_x, d_w, d_b), or None likewise; results: three arrays or None
    x: object,
    w: object,
    d_y: object,
    results: object,
    activation: str | None = None,
    alpha: float = 0.0,
    saved: object = None,  # z, or what the activation returned
    from_output: bool = False,
) -> tuple[Array, Array, Array] | None: ...

class Packed:
    def __init__(self, w: Array) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def unpack(self) -> Array: ...
