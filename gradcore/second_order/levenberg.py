"""Levenberg-Marquardt for networks of few parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError
from ..optimizers.interface import Model
from ..schedules.scalars import POSITIVE, Range
from ..validation.checks import compact_repr
from .full_batch import FullBatch
from .points import NO_PROGRESS, Advance, Memory, Objective, Point, Vector

__all__ = ["LevenbergMarquardt"]

DAMPINGS = ("identity", "fletcher")
FACTOR = Range("> 1", lambda x: 1.0 < x < float("inf"))
LARGEST = 20_000  # parameters; the normal matrix then has 3.2 GB
SMALLEST_MU = 1e-20
_BLOCK = 64  # rows that a triangular solve takes at a time


@dataclass(frozen=True, repr=False)
class LevenbergMarquardt(FullBatch):
    """``(J^T J + mu D) step = -J^T r`` for least squares: few iterations, small residuals.

    For float64 networks with the loss "mse" and up to some thousands of parameters, as a Trainer's optimizer:
    an epoch is one iteration, in which mu grows until the loss falls. The exact Jacobian J of the residuals
    r = output - target is made in blocks of rows. With sample weights, residuals are scaled by the roots of
    the weights, whose mean is taken as 1.

    Parameters
    ----------
    mu : float, default 0.001
        The first damping, > 0.
    decrease, increase : float, default 10.0
        > 1: divides mu after an iteration, multiplies it after a trial whose loss did not fall.
    max_mu : float, default 1e10
        Beyond it there is no progress.
    max_iterations : int, optional
        Of one fit() at most. Default: no limit.
    tolerance : float, default 1e-7
        Stop at a gradient of the loss whose largest absolute element is no larger.
    damping : {"identity", "fletcher"}, default "identity"
        D: the identity, or the largest diagonal of ``J^T J`` so far, so that the scales of the parameters do
        not matter.
    weight_decay : float, default 0.0
        >= 0, for networks: adds half of it times the sum of all squared weights, biases left out, to what is
        minimised. The history shows the loss without it.

    References
    ----------
    Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm", IEEE Transactions on
    Neural Networks 5, 1994; Fletcher, "A modified Marquardt subroutine for non-linear least squares", 1971.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, Trainer, optimizers
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> net = Network([Dense(8, "tanh"), Dense(1)], inputs=1, dtype="float64")
    >>> trainer = Trainer(net, "mse", optimizers.LevenbergMarquardt())
    >>> trainer.fit(X, np.sin(3 * X), epochs=30).loss[-1] < 1e-4
    True
    """

    mu: float = 1e-3
    decrease: float = 10.0
    increase: float = 10.0
    max_mu: float = 1e10
    max_iterations: int | None = None
    tolerance: float = 1e-7
    damping: str = "identity"
    weight_decay: float = 0.0
    kept: ClassVar[dict[str, str]] = {"mu": "number", "scale": "vectors"}
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, range_ in (
            ("mu", POSITIVE),
            ("decrease", FACTOR),
            ("increase", FACTOR),
            ("max_mu", POSITIVE),
        ):
            self._set(option, self._number(option, range_))
        if self.max_mu < self.mu:
            raise ArgumentError(
                f"{self._label('max_mu')}: expected at least mu, {self.mu}, got {self.max_mu}"
            )
        self._choice("damping", DAMPINGS)

    def check(self, model: Model, loss: Any, *, clip: object, constraint: object) -> None:
        """Refuse all but small float64 networks with the loss mse."""
        from ..network.curvature import check_supported

        super().check(model, loss, clip=clip, constraint=constraint)
        if loss.name != "mse":
            raise ArgumentError(f"loss: expected mse for LevenbergMarquardt, got {loss.name}")
        if model.dtype != np.float64:
            raise ArgumentError(
                f"optimizer: expected a network of dtype float64 for LevenbergMarquardt, got {model.dtype}"
            )
        if model.elements > LARGEST:
            raise ArgumentError(
                f"optimizer: expected at most {LARGEST:,} parameters for LevenbergMarquardt, "
                f"got {model.elements:,}; use LBFGS"
            )
        check_supported(model, loss)

    def advance(self, objective: Objective, point: Point, memory: Memory) -> Advance:
        """One step to a lower loss."""
        mu = float(memory.get("mu", self.mu))
        matrix, right = objective.normal_matrix(point)
        diagonal = matrix.diagonal().copy()
        scale = np.ones_like(diagonal)
        if self.damping == "fletcher":  # a unit that saturates must not lose its damping, as More found
            scale = np.maximum(diagonal, memory["scale"][0]) if memory else diagonal
        damping = np.where(scale > 0, scale, 1.0)  # a parameter that moves nothing stays, as in MINPACK
        at = np.arange(len(diagonal))
        while mu <= self.max_mu:
            matrix[at, at] = diagonal + mu * damping
            step = _solve(matrix, right)
            if step is not None:
                x = objective.rounded(point.x - step)
                if np.array_equal(x, point.x):
                    break
                reached = objective(x)
                if reached.finite and reached.value < point.value:
                    kept: Memory = {"mu": max(mu / self.decrease, SMALLEST_MU), "scale": [scale]}
                    return Advance(reached, kept, 1.0)
            mu *= self.increase
        return Advance(point, memory, 0.0, NO_PROGRESS)


def _solve(matrix: Vector, right: Vector) -> Vector | None:
    """``matrix x = right`` for a positive definite matrix; None if it is not, or not finite."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    x = right.copy()
    starts = range(0, len(x), _BLOCK)
    for start in starts:
        own, rest = slice(start, start + _BLOCK), slice(start + _BLOCK, None)
        x[own] = np.linalg.solve(lower[own, own], x[own])
        x[rest] -= lower[rest, own] @ x[own]
    for start in reversed(starts):
        own, before = slice(start, start + _BLOCK), slice(0, start)
        x[own] = np.linalg.solve(lower[own, own].T, x[own])
        x[before] -= lower[own, before].T @ x[own]
    return x if np.isfinite(x).all() else None
