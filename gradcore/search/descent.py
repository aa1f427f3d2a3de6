"""Gradient descent whose every step is found by backtracking: no learning rate to choose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..checks import integer, number
from ..errors import ArgumentError, DTypeError
from ..losses import Loss
from ..network import Network
from ..optimizers import SGD
from ..trainer import Trainer
from .backtracking import armijo


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
        Losses computed to find them.
    """

    losses: NDArray[np.float64]
    steps: NDArray[np.float64]
    evaluations: int


def line_search_fit(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    loss: Loss | str,
    steps: int,
    batch_size: int | None = None,
    first_step: float = 1.0,
    growth: float = 2.0,
    c1: float = 0.1,
    shrink: float = 0.5,
    tolerance: float = 0.0,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
) -> Descent:
    """Train by steepest descent; `armijo` finds the length of each step on the rows of its batch.

    Parameters
    ----------
    net : Network
        Trained in place. It must compute the same in training as in evaluation: no dropout.
    X : array-like (rows, inputs)
    y : array-like
        Targets as the loss takes them.
    loss : Loss or str
    steps : int
    batch_size : int, optional
        Rows of a step, in an order made anew for each pass. Default: all rows.
    first_step : float, default 1.0
        > 0, the first length that is tried.
    growth : float, default 2.0
        >= 1: each step first tries the last length times this.
    c1, shrink : float, default 0.1 and 0.5
        As in `armijo`.
    tolerance : float, default 0.0
        >= 0: it ends before a step whose gradient has at most this 2-norm.
    seed : int, default 0
        Of the order of the rows.
    sample_weight : array-like (rows,), optional

    Returns
    -------
    Descent

    References
    ----------
    Vaswani et al., "Painless Stochastic Gradient: Interpolation, Line-Search, and Convergence Rates",
    NeurIPS 2019.

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
        raise DTypeError(f"net: expected a Network, got {net!r}")
    trainer = Trainer(net, loss, SGD(1.0))
    count, seed = integer(steps, "steps", 1), integer(seed, "seed", 0, 2**64 - 1)
    length, growth = number(first_step, "first_step"), number(growth, "growth")
    tolerance = number(tolerance, "tolerance")
    for name, value, text, fits in (
        ("first_step", length, "> 0", length > 0),
        ("growth", growth, ">= 1", growth >= 1),
        ("tolerance", tolerance, ">= 0", tolerance >= 0),
        ("c1", c1, "in (0, 1)", 0 < number(c1, "c1") < 1),
        ("shrink", shrink, "in (0, 1)", 0 < number(shrink, "shrink") < 1),
    ):
        if not fits:
            raise ArgumentError(f"{name}: expected a number {text}, got {value}")
    x, target, weight = trainer._batch(X, y, sample_weight)
    batch = len(x) if batch_size is None else min(len(x), integer(batch_size, "batch_size", 1))
    if not net._standardized:
        net._standardize(x, None)
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
        value, gradient = trainer.gradients(*rows)
        start = {name: net._read(name) for name in gradient}
        square = sum(float((g.astype(np.float64) ** 2).sum()) for g in gradient.values())
        if not math.isfinite(value + square):
            raise ArgumentError(f"net: expected a finite loss and gradient at step {step}, got {value}")
        if math.sqrt(square) <= tolerance or square == 0:
            break
        if not losses:
            _check_same(trainer._score(*rows)["loss"], value)

        def phi(t: float, start=start, gradient=gradient, rows=rows) -> float:  # type: ignore[no-untyped-def]
            moved = {name: start[name] - net.dtype.type(t) * g for name, g in gradient.items()}
            if not all(np.isfinite(w).all() for w in moved.values()):
                return math.inf
            net.set_parameters(moved)
            return trainer._score(*rows)["loss"]

        try:
            found = armijo(phi, value, -square, length, c1=c1, shrink=shrink)
        except BaseException:
            net.set_parameters(start)
            raise
        evaluations += found.evaluations
        if found.step == 0.0:
            net.set_parameters(start)
        losses.append(value)
        lengths.append(found.step)
        length = found.step * growth or length
    return Descent(np.array(losses), np.array(lengths), evaluations)


def _check_same(evaluated: float, trained: float) -> None:
    if not math.isclose(evaluated, trained, rel_tol=1e-4, abs_tol=1e-6):
        raise ArgumentError(
            "net: expected one that computes the same in training as in evaluation, without dropout, "
            f"got losses {trained:g} and {evaluated:g}"
        )
