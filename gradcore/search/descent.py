"""Gradient descent whose every step is found by a line search: no learning rate to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..layers.norms import BatchNorm
from ..losses.base import Loss
from ..losses.custom import LossFunction
from ..network.network import Network, compiled_of
from ..optimizers import SGD
from ..second_order.line_search import strong_wolfe
from ..training import fit_data
from ..training.evaluation import score
from ..training.masks import checked_masks
from ..training.state import TrainingState
from ..training.steps import gradients_of
from ..training.trainer import Targets, Trainer, state_of
from ..validation.arrays import Array
from ..validation.checks import choice, integer, number, shown
from .backtracking import armijo

__all__ = ["Descent", "line_search_fit"]


@dataclass(frozen=True)
class Descent:
    """What `line_search_fit` did.

    Attributes
    ----------
    losses : ndarray (steps,)
        Of the batch, before each step.
    steps : ndarray (steps,)
        The lengths that were taken; 0.0 where none lowered the loss enough.
    evaluations : int
        Losses computed to find them, with "strong_wolfe" gradients too.
    """

    losses: NDArray[np.float64]
    steps: NDArray[np.float64]
    evaluations: int


def line_search_fit(
    net: Network,
    X: ArrayLike,
    y: Targets,
    *,
    loss: Loss | str | LossFunction | Mapping[str, Loss | str],
    steps: int,
    batch_size: int | None = None,
    first_step: float = 1.0,
    growth: float = 2.0,
    method: str = "armijo",
    c1: float = 0.1,
    c2: float = 0.9,
    shrink: float = 0.5,
    tolerance: float = 0.0,
    seed: int = 0,
    sample_weight: Targets | None = None,
    class_weight: Mapping[Any, Any] | Literal["balanced"] | None = None,
    masks: Mapping[str, ArrayLike] | None = None,
) -> Descent:
    """Train by steepest descent; a line search finds the length of each step on the rows of its batch.

    Parameters
    ----------
    net : Network
        Trained in place. It must compute the same in training as in evaluation, and in every step: no
        dropout, no noise, no `BatchNorm`, no penalty whose strength is a schedule. A call that fails or is
        interrupted between two steps leaves what the last of them reached.
    X : array-like (rows, inputs)
    y : array-like, or dict by head
        Targets as the loss takes them.
    loss : Loss, str, callable or dict by head
        As a Trainer takes it. It may be negative: only differences count.
    steps : int
    batch_size : int, optional
        Rows of a step, in an order made anew for each pass. Default: all rows.
    first_step : float, default 1.0
        > 0, the first length that is tried.
    growth : float, default 2.0
        >= 1: each step first tries the last length times this.
    method : {"armijo", "strong_wolfe"}, default "armijo"
        Backtracking until the loss is low enough; or bracketing and cubic interpolation until the slope is
        small enough too, which finds longer steps and takes a gradient for every trial.
    c1 : float, default 0.1
        Share of the decrease that the slope promises, in (0, 1).
    c2 : float, default 0.9
        Share of the slope that may be left, in (c1, 1); for "strong_wolfe".
    shrink : float, default 0.5
        What a trial is multiplied by, in (0, 1); for "armijo".
    tolerance : float, default 0.0
        >= 0: it ends before a step whose gradient has at most this 2-norm.
    seed : int, default 0
        Of the order of the rows.
    sample_weight : array-like (rows,), optional
    class_weight : dict or "balanced", optional
        As in `Trainer.fit`.
    masks : dict of name to array-like of bool, optional
        As `Trainer.set_masks` takes them: where False, the parameter is 0 now and stays 0.

    Returns
    -------
    Descent

    References
    ----------
    Vaswani et al., "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates",
    NeurIPS 2019; Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 3.5 and 3.6.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, search
    >>> X = np.linspace(-1, 1, 32).reshape(-1, 1)
    >>> net = Network([Dense(8, "tanh"), Dense(1)], inputs=1)
    >>> done = search.line_search_fit(net, X, X**2, loss="mse", steps=50)
    >>> bool(done.losses[-1] < 0.5 * done.losses[0])
    True
    """
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    _check_constant(net)
    trainer = Trainer(net, loss, SGD(1.0))
    count, seed = integer(steps, "steps", 1), integer(seed, "seed", 0, 2**64 - 1)
    choice(method, "method", ("armijo", "strong_wolfe"))
    length, growth = number(first_step, "first_step"), number(growth, "growth")
    tolerance = number(tolerance, "tolerance")
    for name, value, text, fits in (
        ("first_step", length, "> 0", length > 0),
        ("growth", growth, ">= 1", growth >= 1),
        ("tolerance", tolerance, ">= 0", tolerance >= 0),
        ("c1", c1, "in (0, 1)", 0 < number(c1, "c1") < 1),
        ("c2", c2, "in (c1, 1)", c1 < number(c2, "c2") < 1 or method != "strong_wolfe"),
        ("shrink", shrink, "in (0, 1)", 0 < number(shrink, "shrink") < 1),
    ):
        if not fits:
            raise ArgumentError(f"{name}: expected a number {text}, got {value}")
    kept = {} if masks is None else checked_masks(compiled_of(net), masks)
    size = None if batch_size is None else integer(batch_size, "batch_size", 1)
    state = state_of(trainer)
    data = fit_data.prepare(state, X, y, None, sample_weight, class_weight)
    x, target, weight = data.x, data.target, data.weight
    batch = len(x) if size is None else min(len(x), size)
    fit_data.take(state, data)
    trainer.set_masks(kept)
    losses: list[float] = []
    lengths: list[float] = []
    evaluations = 0
    each = len(x) // batch  # whole batches only
    order: NDArray[np.int64] | slice = slice(None)
    for step in range(count):
        epoch, position = divmod(step, each)
        if batch < len(x):
            if position == 0:
                shuffled = _core.shuffle(seed, epoch, len(x))
            order = shuffled[position * batch : (position + 1) * batch]
        rows = x[order], target[order], None if weight is None else weight[order]
        if rows[2] is not None and not rows[2].sum() > 0:
            continue
        value, gradient = _gradients(state, rows)
        start = {name: state.model.read(name) for name in gradient}
        square = sum(float((g.astype(np.float64) ** 2).sum()) for g in gradient.values())
        if not math.isfinite(value + square):
            raise ArgumentError(f"net: expected a finite loss and gradient at step {step}, got {value}")
        if math.sqrt(square) <= tolerance or square == 0:
            break
        ray = _Ray(state, rows, start, gradient)
        try:
            if method == "armijo":
                back = armijo(ray.value, value, -square, length, c1=c1, shrink=shrink)
                taken, used = back.step, back.evaluations
            else:
                found = strong_wolfe(ray.value_and_slope, value, -square, length, c1, c2)
                taken, used = found.step, found.evaluations
            ray.move(taken)
        except BaseException:
            net.set_parameters(start)
            raise
        evaluations += used
        losses.append(value)
        lengths.append(taken)
        length = taken * growth or length
    return Descent(np.array(losses), np.array(lengths), evaluations)


@dataclass(frozen=True)
class _Ray:
    """The parameters along the negative gradient, and the loss of `rows` there."""

    state: TrainingState
    rows: tuple[Any, Any, Any]
    start: dict[str, Array]
    gradient: dict[str, Array]

    def move(self, t: float) -> bool:
        """Go to step t; not where parameters are not finite there."""
        if t == 0:
            self.state.model.set_parameters(self.start)
            return True
        length = self.state.model.dtype.type(t)
        moved = {name: self.start[name] - length * g for name, g in self.gradient.items()}
        if not all(np.isfinite(w).all() for w in moved.values()):
            return False
        self.state.model.set_parameters(moved)
        return True

    def value(self, t: float) -> float:
        return (
            score(self.state.model, self.state.loss, *self.rows, lambda: None)["loss"]
            if self.move(t)
            else math.inf
        )

    def value_and_slope(self, t: float) -> tuple[float, float]:
        if not self.move(t):
            return math.inf, math.inf
        value, there = _gradients(self.state, self.rows)
        return value, -sum(
            float((there[name].astype(np.float64) * g.astype(np.float64)).sum())
            for name, g in self.gradient.items()
        )


def _gradients(state: TrainingState, rows: tuple[Any, Any, Any]) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of converted rows; 0 where a mask holds a parameter."""
    loss, gradients = gradients_of(state, *rows)
    for name, mask in state.masks.items():
        gradients[name] = np.where(mask, gradients[name], 0)
    return loss, gradients


def _check_constant(net: Network) -> None:
    """Refuse what makes the loss of a point depend on more than its parameters."""
    for index, outer in enumerate(net.layers):
        for position, layer in outer.walk(str(index)):
            if layer.random or isinstance(layer, BatchNorm):
                raise ArgumentError(
                    f"net: layers[{position}]: expected layers that compute the same in training as in "
                    f"evaluation, whose losses can be compared, got {layer!r}"
                )
    if compiled_of(net).strengths:
        raise ArgumentError("net: expected penalties of constant strength, got some with a schedule")
