"""Whether a fit() goes on with an interrupted one: what decides a fit, and how it is compared."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import StateError
from ..validation.arrays import Array
from .fit_state import Data, FitState

_BLOCK = 1 << 20  # bytes that are copied at a time where an array is not contiguous
_NEW = "resume=False begins a new one"


def contents(data: Data) -> dict[str, str]:
    """A digest of shapes, types and bytes of everything that a fit reads, by argument.

    It is of the arrays as the core takes them: a list and an array of the same numbers are the same data. All
    bytes are read, about a second for a gigabyte, but only when a fit is saved, interrupted or resumed.
    """
    held = data.validation or (None, None, None)
    return {
        "X": _digest([data.x]),
        "y": _digest(_parts(data.target)),
        "sample_weight or class_weight": _digest(_parts(data.weight)),
        "validation": _digest([data.rows, held[0], *_parts(held[1]), *_parts(held[2])]),
    }


def _parts(value: Any) -> list[Array | None]:
    return [value] if value is None or isinstance(value, np.ndarray) else list(value)


def _digest(arrays: Iterable[Array | None]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            found.update(b"none;")
            continue
        found.update(f"{array.dtype.str}{array.shape};".encode())
        rows = max(1, _BLOCK * len(array) // max(1, array.nbytes))
        step = len(array) if array.flags.c_contiguous else rows
        for start in range(0, len(array), max(1, step)):
            found.update(np.ascontiguousarray(array[start : start + step]).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def identify(fit: FitState) -> None:
    """Make sure that the data can be told from others when the fit goes on."""
    if fit.data is not None and not fit.terms.contents:
        fit.terms.contents = contents(fit.data)


def choose(old: FitState | None, new: FitState, data: Data, resume: bool | None) -> FitState:
    """`old`, to go on with, or `new`; StateError where `resume` asks for what cannot be.

    Without an answer only a fit that came from a file goes on: whoever interrupted one in this process may
    want another now.
    """
    if old is None:
        if resume:
            raise StateError(f"resume: expected a fit that was interrupted, found none; {_NEW}")
        return new
    if resume is False or (resume is None and not old.loaded):
        return new
    difference = _difference(old, new, data)
    if difference and resume:
        raise StateError(f"{difference}; {_NEW}")
    if difference:
        _warn(
            f"fit: this fit is a new one, not the one that was saved in its middle: {difference}; "
            "resume=False says that it is meant, resume=True makes it an error"
        )
        return new
    if old.ended or old.epoch >= (old.terms.epochs or new.terms.epochs):
        _warn(f"fit: the fit that is resumed had come to its end, so that no step is taken; {_NEW}")
    old.terms.epochs = new.terms.epochs
    return old


def _difference(old: FitState, new: FitState, data: Data) -> str:
    """Why the fits are not the same; empty if they are."""
    as_before = "as in the fit that was interrupted"
    rows = "training rows "
    for name, before, now, what in (
        ("X", old.rows, new.rows, rows),
        ("batch_size", old.batch_size, new.batch_size, ""),
        ("shuffle", old.shuffle, new.shuffle, ""),
        ("epochs", old.terms.epochs or new.terms.epochs, new.terms.epochs, ""),
    ):
        if before != now:
            return f"{name}: expected {what}{before} {as_before}, got {now}"
    if old.terms.averaged != new.terms.averaged:
        return f"evaluate_averaged: expected {old.terms.averaged} {as_before}, got {new.terms.averaged}"
    if old.terms.monitor is not None and old.terms.monitor != new.terms.monitor:
        monitors = (f"monitor {m!r}" if m else "no rule" for m in (old.terms.monitor, new.terms.monitor))
        before_, now_ = monitors
        return f"early_stopping: expected {before_} {as_before}, got {now_}"
    identify(old)
    if old.terms.contents:
        found = contents(data)
        for name, digest in old.terms.contents.items():
            if found[name] != digest:
                return f"{name}: expected the same data {as_before}, got other data"
    return ""


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)  # at the call of Trainer.fit
