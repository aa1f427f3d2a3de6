"""Optimizer updates of plain arrays: the state behind `Optimizer.update`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _core
from ..errors import ArgumentError, DTypeError, ShapeError
from ..schedules.rows import Hypers
from ..schedules.scalars import AVERAGE
from ..validation.arrays import Array
from .interface import AnyOptimizer, Average

Parameters = Sequence[Array] | Mapping[Any, Array]
Gradients = Sequence[Array] | Mapping[Any, Array]
GradientFunction = Callable[[Parameters], Gradients]


class PlainState:
    """Moments by position or key, the numbers that an optimizer keeps, and the number of updates done."""

    def __init__(self, rule: AnyOptimizer, flags: int, hypers: Hypers, averages: Sequence[Average]) -> None:
        self._rule, self._name, self._flags, self._hypers = rule, rule.name, flags, hypers
        self._averages = averages
        self._means: dict[Hashable, list[Array]] = {}
        self._calls = 0
        self._running = np.zeros(_core.RUNNING)
        self._slots: dict[Hashable, list[Array | None]] = {}
        self._again: _core.UpdateAgain | None = None  # the last update, where all of it was plain

    def again(self, params: object, grads: object) -> bool:
        """The last update once more, of arrays like its; False, and nothing done, where they are not."""
        if self._again is None:
            return False
        done = self._again(params, grads, self._calls + 1, self._hypers.row)
        self._calls += done
        return done

    def update(self, params: Parameters, grads: Gradients) -> None:
        """One update of all arrays; nothing is changed if one of them is refused."""
        pairs = _pairs(params, grads)
        for key, (parameter, _) in pairs.items():
            known = [*self._slots.get(key, ()), *self._means.get(key, ())]
            first = next((array for array in known if array is not None), None)
            if first is not None and (first.shape != parameter.shape or first.dtype != parameter.dtype):
                raise ShapeError(
                    f"params[{key!r}]: expected {first.dtype} of shape {first.shape} as in the last update, "
                    f"got {parameter.dtype} of shape {parameter.shape}; call reset() to start anew"
                )
        row = self._hypers.row(self._calls)
        settings = self._rule.settings([str(key) for key in pairs])
        whole = self._rule.whole({str(key): parameter.shape for key, (parameter, _) in pairs.items()})
        parts = math.prod(average.every for average in self._averages if average.kind == "accumulate")
        step, place = self._calls // parts + 1, self._calls % parts
        work, arrays = [], []
        for (key, (parameter, gradient)), (lr_factor, decay, frozen) in zip(
            pairs.items(), settings, strict=True
        ):
            rows = _rows(parameter) if str(key) in whole and parameter.size else 0
            slots = self._slots.get(key) or self._new_slots(parameter, rows)
            w, g = _contiguous(parameter), _contiguous(gradient)
            means = self._means.setdefault(key, [w.copy() for _ in self._averages])
            for average, mean in zip(self._averages, means, strict=True):
                if average.kind == "accumulate":  # the plain mean so far
                    _core.average("swa", 1, 0, place + 1, 0.0, np.array(g), mean)
                    g = mean
            work.append((key, parameter, w, slots))
            if w.size and not frozen:
                arrays.append((w, g, slots, lr_factor, decay, rows))
        self._calls += 1
        if place + 1 < parts:
            return
        _core.optimizer_step(self._name, self._flags, step, row, self._running, arrays)
        for key, parameter, w, slots in work:
            for i, (average, mean) in enumerate(zip(self._averages, self._means[key], strict=True)):
                rate = row[AVERAGE + i]
                _core.average(average.kind, average.every, average.start, step, rate, w, mean)
            if w is not parameter:
                parameter[...] = w
            self._slots[key] = slots
        self._again = None
        if len(arrays) == len(pairs) and not self._averages:
            keys = list(pairs) if isinstance(params, Mapping) else None
            self._again = _core.UpdateAgain(self._name, self._flags, self._running, keys, arrays)

    def gradients(self, params: Parameters, function: GradientFunction) -> Gradients:
        """What the function makes of params; with SAM, of a point up its slope. They are back afterwards."""
        first = function(params)
        index = next((i for i, average in enumerate(self._averages) if average.is_sam), None)
        if index is None:
            return first
        pairs = _pairs(params, first)
        settings = self._rule.settings([str(key) for key in pairs])
        moving = [pair for pair, (_, _, frozen) in zip(pairs.values(), settings, strict=True) if not frozen]
        adaptive = self._averages[index].kind == "asam"
        slopes = [(w * g if adaptive else g).astype(np.float64, copy=False) for w, g in moving]
        squares = [float(np.square(slope).sum()) for slope in slopes]
        rate = float(self._hypers.row(self._calls)[AVERAGE + index]) / (math.sqrt(sum(squares)) + 1e-12)
        if not math.isfinite(sum(squares)):
            return first
        kept = [w.copy() for w, _ in moving]
        try:
            for w, g in moving:
                w += w.dtype.type(rate) * (w * (w * g) if adaptive else g)
            return function(params)
        finally:
            for (w, _), value in zip(moving, kept, strict=True):
                w[...] = value

    def _new_slots(self, like: Array, rows: int) -> list[Array | None]:
        used = _core.optimizer_slots(self._name, self._flags)
        slots = [np.zeros(like.shape, like.dtype) if used >> i & 1 else None for i in range(_core.SLOTS)]
        for i, order in enumerate((rows, like.size // rows) if rows else ()):
            if 1 < order <= self._rule.largest_factor:
                slots[2 + i] = np.zeros((2 * order, order), like.dtype)
        return slots

    def average_of(self, params: Parameters, index: int) -> dict[Hashable, Array]:
        """One of the averages, by position or key."""
        pairs = _pairs(params, params)
        return {
            key: self._means[key][index].copy() if key in self._means else np.array(w)
            for key, (w, _) in pairs.items()
        }

    def averaged(self, params: Parameters) -> dict[Hashable, Array]:
        """By position or key, where a schedule-free optimizer wants its model evaluated."""
        pairs = _pairs(params, params)
        rate = self._running[-1]  # 1 - 1 / beta1 of the last update
        found = {}
        for key, (y, _) in pairs.items():
            z = self._slots[key][0] if key in self._slots else None
            found[key] = y.copy() if z is None else (y + y.dtype.type(rate) * (z - y)).astype(y.dtype)
        return found


def _contiguous(array: Array) -> Array:
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array, order="C")


def _rows(array: Array) -> int:
    return array.shape[0] if array.ndim == 2 else 1


def _pairs(params: Parameters, grads: Gradients) -> dict[Hashable, tuple[Array, Array]]:
    by_key = isinstance(params, Mapping)
    if by_key != isinstance(grads, Mapping):
        raise DTypeError(
            f"grads: expected a {'dict' if by_key else 'list'} as params is, got a {type(grads).__name__}"
        )
    for name, value in (("params", params), ("grads", grads)):
        if not by_key and not isinstance(value, list | tuple):
            raise DTypeError(f"{name}: expected a list or dict of arrays, got a {type(value).__name__}")
    first: dict[Hashable, Any] = dict(params) if by_key else dict(enumerate(params))  # type: ignore[arg-type]
    second: dict[Hashable, Any] = dict(grads) if by_key else dict(enumerate(grads))  # type: ignore[arg-type]
    if first.keys() != second.keys():
        raise ArgumentError(f"grads: expected one gradient for each of {list(first)}, got {list(second)}")
    for key, parameter in first.items():
        _check(parameter, f"params[{key!r}]")
        _check(second[key], f"grads[{key!r}]")
        gradient = second[key]
        if not parameter.flags.writeable:
            raise ArgumentError(f"params[{key!r}]: expected a writable array, got a read-only one")
        if gradient.dtype != parameter.dtype:
            raise DTypeError(f"grads[{key!r}]: expected {parameter.dtype}, got {gradient.dtype}")
        if gradient.shape != parameter.shape:
            raise ShapeError(f"grads[{key!r}]: expected shape {parameter.shape}, got {gradient.shape}")
    return {key: (parameter, second[key]) for key, parameter in first.items()}


def _check(array: object, name: str) -> None:
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"{name}: expected a NumPy array, got a {type(array).__name__}")
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DTypeError(f"{name}: expected float32 or float64 in native byte order, got {array.dtype}")
