"""Masks of parameters, as `Trainer.set_masks` takes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DTypeError, ShapeError
from ..network.network import Network
from ..validation.arrays import Array, as_array
from ..validation.checks import choice


def checked_masks(net: Network, masks: Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Copies of masks that fit the trainable parameters they are named after."""
    if not isinstance(masks, Mapping):
        raise DTypeError(f"masks: expected a dict of arrays, got a {type(masks).__name__}")
    trainable = {info["name"]: info["shape"] for info in net._info if info["trainable"]}
    checked = {}
    for name, value in masks.items():
        choice(name, "masks", trainable)
        mask = as_array(value, f"masks[{name!r}]")
        if mask.dtype != np.bool_:
            raise DTypeError(f"masks[{name!r}]: expected booleans, got {mask.dtype}")
        if mask.shape != trainable[name]:
            raise ShapeError(f"masks[{name!r}]: expected shape {trainable[name]}, got {mask.shape}")
        checked[name] = mask.copy()
    return checked
