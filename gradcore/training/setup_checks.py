"""Warnings about set-ups that run, but can hardly learn what they are meant for.

What a network's last layers can return is an interval, found layer by layer. A loss says what it needs: any
number, as losses of logits do, or the interval of its targets. Targets are looked at in the first fit of a
trainer.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..alerts import SetupWarning
from ..layers.activation import Activation
from ..layers.base import Layer
from ..layers.dense import Dense
from ..layers.heads import Heads
from ..losses.base import Loss
from ..network.compiled import Compiled
from ..validation.arrays import Array
from ..validation.intervals import ANY, Interval

_LARGE = 1000.0  # a root mean square of targets that outputs of about 1 are long in reaching
_SAMPLE = 65536  # rows of the targets that it is taken of
_PREDICTED = 256  # rows whose outputs tell whether they are there already
_PROBE = Interval(-0.123, 0.456)
_QUIET: ContextVar[bool] = ContextVar("_QUIET", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """None of these warnings inside: for trainers that are made from others."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)


def _warn(message: str) -> None:
    """Warn whoever called the package, however deep."""
    if _QUIET.get():
        return
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("gradcore."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, SetupWarning, stacklevel=level)


@dataclass(frozen=True)
class _End:
    """The layers up to the end of a network or of one of its heads, and the loss there."""

    head: str  # "" without heads
    loss: Loss
    layers: tuple[tuple[str, Layer], ...]
    columns: slice  # of the network's output

    @property
    def interval(self) -> Interval:
        """What the outputs can be."""
        found = ANY
        for _, layer in self.layers:
            found = layer.reach(found)
        return found

    def named(self, what: str) -> str:
        """`what` of this head."""
        return f"{what}[{self.head!r}]" if self.head else what

    def says(self) -> str:
        """The layer that bounds the outputs, and how."""
        position, layer = self._bounding()
        return f"layers[{position}], {layer!r}, which returns {self.interval}"

    def remedy(self, activation: str | None = None) -> str:
        """What is to stand there instead: no function, or that one."""
        _, layer = self._bounding()
        if isinstance(layer, Dense):
            return f"write {replace(layer, activation=activation)!r} there"
        if isinstance(layer, Activation):
            return "leave it out" if activation is None else f"write {Activation(activation)!r} there"
        units = f"Dense({len(range(*self.columns.indices(1 << 30)))}"
        return f"put {units}) behind it" if activation is None else f"put {units}, {activation!r}) behind it"

    def _bounding(self) -> tuple[str, Layer]:
        bounding = [place for place in self.layers if place[1].reach(_PROBE) != _PROBE]
        return (bounding or self.layers)[-1]  # those behind it, dropout and the like, pass on what they get


def _ends(model: Compiled, loss: Loss) -> list[_End]:
    stack = [(str(index), layer) for index, layer in enumerate(model.layers)]
    position, last = stack[-1]
    if not isinstance(last, Heads):
        return [_End("", loss, tuple(stack), slice(0, model.outputs))]
    from ..losses.per_head import PerHead

    assert isinstance(loss, PerHead)
    losses = dict(loss.losses)
    columns = {name: slice(first, first + width) for name, first, width in model.heads}
    return [
        _End(
            name,
            losses[name],
            (*stack[:-1], *((f"{position}.{name}.{i}", layer) for i, layer in enumerate(layers))),
            columns[name],
        )
        for name, layers in last.branches
    ]


def check_ends(model: Compiled, loss: Loss) -> None:
    """Warn where the last layer does not return what the loss takes."""
    for end in _ends(model, loss):
        expected, has = end.loss.expects(), end.interval
        if expected is None:
            continue
        if expected.reach is not None and not has.holds(expected.reach):
            remedy = end.remedy()
        elif not expected.within.holds(has):
            remedy = end.remedy("softplus")
        else:
            continue
        _warn(
            f"{end.named('loss')}: expected outputs that are {expected.words} for {end.loss.name}, "
            f"got those of {end.says()}; {remedy}{expected.then}"
        )


def check_targets(
    model: Compiled, loss: Loss, full_batch: bool, x: Array, target: Any, batch_size: int
) -> None:
    """Warn of targets that the outputs can hardly become, and of batches that normalise nothing."""
    if _QUIET.get():
        return
    ends = _ends(model, loss)
    parts = [part for _, part in loss.parts(target, "y")] if len(ends) > 1 or ends[0].head else [target]
    for end, part in zip(ends, parts, strict=True):
        _check_target(model, full_batch, end, x, part)
    if batch_size == 1 and len(x) > 1:
        norms = [(place, layer) for place, layer in model.places.items() if layer.keeps_averages]
        for place, layer in norms[:1]:
            _warn(
                f"batch_size: expected batches of several rows for layers[{place}], {layer!r}, got 1: "
                "a row less its own mean is 0; write batch_size=32, or LayerNorm() there"
            )


def _check_target(model: Compiled, full_batch: bool, end: _End, x: Array, y: Array) -> None:
    name = end.named("y")
    if not end.loss.has_plain_targets or len(y) < 2:
        return
    low, high = float(np.fmin.reduce(y, axis=None)), float(np.fmax.reduce(y, axis=None))
    if low == high:
        _warn(f"{name}: expected targets that differ, got {low:g} in every row: there is nothing to learn")
    elif end.loss.matches_targets and not end.interval.holds(end.loss.aim(low, high)):
        _warn(
            f"{name}: expected targets that the outputs can reach, got some from {low:.4g} to {high:.4g} for "
            f"{end.says()}; {end.remedy()}"
        )
    elif end.loss.matches_targets and max(-low, high) >= _LARGE and end.loss.scales:
        _check_scale(model, full_batch, end, x, y, name)


def _check_scale(model: Compiled, full_batch: bool, end: _End, x: Array, y: Array, name: str) -> None:
    """Warn of large targets, unless a method that finds its own steps or a network that is there already."""
    if full_batch or end.interval != ANY:
        return
    sample = y[:: -(-len(y) // _SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample).all(axis=1)]
    if not len(sample):
        return
    outputs = model.core.predict(x[:_PREDICTED])[:, end.columns].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # targets may be near the largest number
        size = math.sqrt(float(np.max(np.mean(sample**2, axis=0))))
        if size < _LARGE or math.sqrt(float(np.max(np.mean(outputs**2, axis=0)))) > 0.1 * size:
            return
        mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    if sample.shape[1] == 1:
        m, s = f"{mean[0]:.4g}", f"{deviation[0] or abs(mean[0]):.4g}"
        got = f"mean {m} and deviation {deviation[0]:.4g}"
    else:
        m, s = f"{name}.mean(axis=0)", f"{name}.std(axis=0)"
        got = f"means up to {np.abs(mean).max():.4g} and deviations up to {deviation.max():.4g}"
    inverse = f"net.predict(X){f'[{end.head!r}]' if end.head else ''} * {s} + {m}"
    _warn(
        f"{name}: expected targets of about the size that outputs begin with, {np.abs(outputs).mean():.2g}, "
        f"got {got}, which usual steps are very long in reaching; fit with ({name} - {m}) / {s}, and predict "
        f"with {inverse}"
    )
