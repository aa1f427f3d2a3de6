"""Flat sides: where the derivative of an elementwise function is so small that hardly anything learns.

They are measured, not listed: the core's derivative against the largest that it has anywhere. So they are
found whatever the value there is: 0 of relu, 6 of relu6, 1 of tanh, the fading tail of gelu.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..validation.arrays import Array

SHARE = 0.01  # of the largest derivative; one that is below counts as flat


def is_flat(name: str, alpha: float | None, z: Array) -> NDArray[np.bool_]:
    """Where an activation is flat, for its arguments z (rows, columns); alpha None: the default.

    At just 1 % of the largest derivative, as leaky_relu has it by default, it is not: limit and derivative
    are rounded alike, to the type of z.
    """
    own = float(_core.describe("activation", name, "alpha") or 0.0) if alpha is None else alpha
    flat: NDArray[np.bool_] = _steepness(name, own, z) < SHARE * _largest(name, own)
    return flat


def _steepness(name: str, alpha: float, z: Array) -> Array:
    slope = _core.activation_backward(name, np.ascontiguousarray(z), np.ones(z.shape, z.dtype), None, alpha)
    steepness: Array = np.abs(slope, out=slope)
    return steepness


@lru_cache(maxsize=256)
def _largest(name: str, alpha: float) -> float:
    """The largest |f'|; of one without a bound (exponential), that at 0."""
    half = np.concatenate([np.linspace(0.0, 10.0, 4001), np.geomspace(10.0, 1e12, 100)])
    points = np.concatenate([half, np.nextafter(half, -1.0), np.nextafter(half, np.inf)])  # it may jump there
    found = _steepness(name, alpha, np.stack([points, -points]))
    largest = float(np.fmax.reduce(found, axis=None))
    return largest if math.isfinite(largest) else float(found[0, 0])
