"""What a prediction may be turned into."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .. import _core
from ..errors import ArgumentError, DTypeError, StateError
from ..validation.arrays import Array
from ..validation.by_head import Places, by_head
from ..validation.checks import choice
from ..validation.class_names import Names, labels

NAMES = ("raw", "softmax", "sigmoid", "class", "label")


def softmax(z: Array) -> Array:
    """``exp(z) / sum(exp(z))`` of each row, by the kernels' exp and order of sums: the same bits everywhere.

    The largest is taken off first, so nothing overflows; a row with NaN, or whose largest is infinite, is
    NaN.
    """
    rows = np.require(z, requirements=["C", "A"])
    shares: Array = np.empty(rows.shape, rows.dtype)
    if rows.size and _core.softmax(rows, shares, 0) is None:
        raise DTypeError(f"z: expected a float32 or float64 matrix, got {rows.dtype} of shape {rows.shape}")
    return shares


def check(output: object, columns: int, classes: Names | None = None) -> str:
    """`output`; refuses what is none of NAMES, the softmax of a single column, which is 1 throughout, and
    labels of classes that have none."""
    name = choice(output, "output", NAMES)
    if output == "softmax" and columns == 1:
        raise ArgumentError("output: expected 'sigmoid' for a network with a single output, got 'softmax'")
    if output == "label" and classes is None:
        raise StateError(
            "output: expected net.classes, which a training on labels that are texts gives, for 'label', got "
            "none; 'class' gives the numbers of classes"
        )
    return name


def transform(z: Array, output: str, classes: Names | None = None) -> Array:
    """Raw outputs as one of NAMES has them; `z` may be overwritten."""
    if output == "softmax":
        return softmax(z)
    if output == "sigmoid":
        return _core.activation_forward("sigmoid", z, z, 0.0)
    if output == "class":
        return z.argmax(axis=1) if z.shape[1] > 1 else (z[:, 0] > 0).astype(np.intp)
    if output == "label" and classes is not None:
        return labels(transform(z, "class"), classes)
    return z


def check_by_head(output: object, places: Places, classes: Mapping[str, Names]) -> dict[str, str]:
    """What each head's prediction is to be turned into: one name for all, or a dict, "raw" by default."""
    names = [name for name, _, _ in places]
    if isinstance(output, Mapping):
        kinds = {**dict.fromkeys(names, "raw"), **by_head(output, names, "output", some=True)}
    else:
        kinds = dict.fromkeys(names, output)
    return {name: check(kinds[name], width, classes.get(name)) for name, _, width in places}
