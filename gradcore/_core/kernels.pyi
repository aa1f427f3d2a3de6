"""Activations, softmax and losses of plain arrays."""

import numpy as np
from numpy.typing import NDArray

from .arrays import Array
from .losses import LossOptions

def activation_forward(name: str, x: Array, out: Array | None, alpha: float, threads: int = 0) -> Array: ...
def activation_backward(
    name: str, x: Array, d_y: Array, out: Array | None, alpha: float, threads: int = 0
) -> Array: ...
def loss(
    name: str, z: Array, target: Array, gradient: bool, options: LossOptions | None = None, threads: int = 0
) -> tuple[NDArray[np.float64], Array | None]: ...

# The same, and softmax, of arguments that need no conversion; None, and nothing done, where one may.
def activation(
    index: int, alpha: float, x: object, d_y: object, out: object, threads: int
) -> Array | None: ...
def softmax(z: object, out: object, threads: int) -> Array | None: ...
def loss_of(
    index: int,
    z: object,
    target: object,
    out: object,
    gradient: object,
    options: LossOptions | None,
    threads: int,
) -> Array | tuple[Array, Array] | None: ...
