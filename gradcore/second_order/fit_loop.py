"""Full-batch methods in Trainer.fit: the loss over all rows as an Objective, one iteration an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np

from .. import _core
from ..errors import ArgumentError, NonFiniteError
from ..layers.activation import Activation
from ..layers.dense import Dense
from ..layers.residual import Residual
from ..layers.standardize import Standardize
from ..network.curvature import LOSSES, Curvature, split
from ..network.sharing import when_free
from ..optimizers.interface import AnyOptimizer
from ..training.early_stopping import EarlyStopping
from ..training.fit_loop import Loop
from ..training.fit_state import Data
from ..training.state import TrainingState
from ..validation.arrays import Array
from ..validation.checks import integer
from .points import GRADIENT, ITERATIONS, NOT_FINITE, Method, Point, Vector, dot
from .run import Run

ROWS = 16384  # that the core takes in one go, so that activations need little memory
JACOBIAN = 1 << 22  # elements of a block of the Jacobian


class NetworkObjective:
    """A network's mean loss over a data set, as a function of all its trainable parameters.

    Evaluating it leaves the parameters in the network; `restore` puts others there.
    """

    def __init__(self, state: TrainingState, data: Data, check: Callable[[], None] = lambda: None) -> None:
        at = slice(None) if data.rows is None else data.rows
        self.x, self.target = data.x[at], data.target[at]
        self.weight = None if data.weight is None else data.weight[at]
        self.state, self.model, self.check = state, state.model, check
        self.precision = float(np.finfo(self.model.dtype).eps)
        self.rows_at_once = rows_at_once(state, len(self.x))
        self.mass = float(len(self.x)) if self.weight is None else float(self.weight.sum())
        self._infos = [info for info in self.model.infos if info["trainable"]]
        decay = getattr(state.optimizer, "weight_decay", 0.0)
        weights = [np.full(math.prod(info["shape"]), len(info["shape"]) == 2) for info in self._infos]
        self.follows = self.model.has_norms
        self._decay = decay * np.concatenate([np.zeros(0), *weights])
        self._gradient = np.empty(self.model.elements, self.model.dtype)
        self.masks = state.masks
        self.kept = self._kept()

    def _kept(self) -> Vector | None:
        """1 where a variable is one, 0 where a mask holds it at 0; None without masks."""
        if not self.masks:
            return None
        parts = [
            self.masks.get(info["name"], np.ones(info["shape"], np.bool_)).reshape(-1) for info in self._infos
        ]
        return np.concatenate(parts).astype(np.float64)

    def _within(self, v: Vector) -> Vector:
        """The part of a vector that masks leave: steps along it keep masked variables at 0."""
        return v if self.kept is None else np.where(self.kept != 0, v, 0.0)

    def _chunks(self) -> Iterator[tuple[slice, Array | None, float]]:
        """Rows, their weights, and their share of all weight."""
        for start in range(0, len(self.x), self.rows_at_once):
            at = slice(start, min(start + self.rows_at_once, len(self.x)))
            weight = None if self.weight is None else self.weight[at]
            mass = float(at.stop - start) if weight is None else float(weight.sum())
            if mass > 0:
                yield at, weight, mass / self.mass

    def rounded(self, x: Vector) -> Vector:
        """See Objective."""
        with np.errstate(over="ignore"):
            return x.astype(self.model.dtype).astype(np.float64)

    def parameters(self) -> Vector:
        """What the network holds."""
        return self.model.core.read_flat().astype(np.float64)

    def restore(self, x: Vector) -> None:
        """Put parameters into the network."""
        flat = x.astype(self.model.dtype)
        when_free(lambda: self.model.core.write_flat(flat))

    def follow(self) -> None:
        """Let running averages follow, which only an applied step does: one of length 0."""
        core = self.state.core
        assert core is not None
        if self.follows:
            still = np.zeros(_core.HYPERS)
            when_free(lambda: core.train_step(self.x, self.target, self.weight, still))

    def __call__(self, x: Vector) -> Point:
        """See Objective."""
        self.check()
        if not np.isfinite(x).all():
            return Point(x, math.inf, x, math.inf)
        core = self.state.core
        assert core is not None
        self.restore(x)
        value = correct = mass = 0.0
        gradient = np.zeros(len(x))
        for at, weight, share in self._chunks():
            part = _patiently(core.flat_gradients, self.x[at], self.target[at], weight, self._gradient)
            value += share * part[0]
            correct, mass = correct + part[1], mass + part[2]
            gradient += self._gradient if share == 1.0 else share * self._gradient.astype(np.float64)
            self.check()
        pull = self._decay * x
        return Point(x, value + 0.5 * dot(pull, x), self._within(gradient + pull), value, correct, mass)

    def _curvatures(self, point: Point) -> Iterator[tuple[Curvature, float]]:
        values = self.model.core_parameters() | split(point.x.astype(self.model.dtype), self._infos, "x")
        loss = self.state.loss
        for at, weight, share in self._chunks():
            yield Curvature(self.model, values, self.x[at], self.target[at], weight, loss), share

    def product(self, point: Point, kind: str) -> Callable[[Vector], Vector]:
        """Products with the Hessian or the Gauss-Newton matrix, by the R-operator."""
        parts = list(self._curvatures(point))

        def product(v: Vector) -> Vector:
            self.check()
            v = self._within(v)
            direction = split(v.astype(self.model.dtype), self._infos, "v")
            total = self._decay * v
            for curvature, share in parts:
                found = (
                    curvature.hessian(direction) if kind == "hessian" else curvature.gauss_newton(direction)
                )
                flat = np.concatenate([part.reshape(-1) for part in found.values()])
                total += share * flat.astype(np.float64)
            return self._within(total)

        return product

    def normal_matrix(self, point: Point) -> tuple[Vector, Vector]:
        """``J^T J`` and ``J^T r`` of the residuals output - target, for weights of mean 1."""
        outputs, count = self.model.outputs, len(point.x)
        block = max(1, JACOBIAN // (outputs * count))
        values = self.model.core_parameters() | split(point.x, self._infos, "x")
        total = np.zeros((count, count))
        part = np.empty_like(total)
        for start in range(0, len(self.x), block):
            self.check()
            at = slice(start, start + block)
            curvature = Curvature(self.model, values, self.x[at], self.target[at], None, self.state.loss)
            rows = curvature.jacobian()
            if self.weight is not None:
                rows *= np.sqrt(self.weight[at] * (len(self.x) / self.mass))[:, None, None]
            rows = rows.reshape(-1, count)
            total += _core.gemm(rows.T, rows, None, part, self.model.core.threads)
        scale = len(self.x) * outputs / 2  # of the sum of squares to the mean that is minimised
        total[np.arange(count), np.arange(count)] += scale * self._decay
        if self.kept is not None:  # what is masked is solved for alone, and stays
            total *= self.kept
            total *= self.kept[:, None]
            total[np.arange(count), np.arange(count)] += 1.0 - self.kept
        return total, scale * point.gradient


def rows_at_once(state: TrainingState, rows: int) -> int:
    """Rows of one gradient; all of them where a layer may look at several, or the loss is no plain mean."""
    layers = state.model.places.values()
    local = all(isinstance(layer, Activation | Dense | Residual | Standardize) for layer in layers)
    loss = state.loss
    local = local and loss.name in LOSSES and loss == type(loss)()
    return min(rows, ROWS) if local else rows


def _patiently(
    function: Callable[..., tuple[float, float, float]], *arguments: Any
) -> tuple[float, float, float]:
    """The result of a call that waits while another thread predicts with the network."""
    results: list[tuple[float, float, float]] = []
    when_free(lambda: results.append(function(*arguments)))
    return results[0]


class FullBatchLoop(Loop):
    """Epochs of one iteration each."""

    _objective: NetworkObjective | None = None
    _point: Point | None = None

    @staticmethod
    def batch_size(value: int | None, rows: int) -> int:
        """All rows; a number must say the same."""
        if value is not None and integer(value, "batch_size", 1) != rows:
            raise ArgumentError(
                f"batch_size: expected None or all {rows} training rows for an optimizer that works on the "
                f"whole data set, got {value}"
            )
        return rows

    @staticmethod
    def rows_at_once(state: TrainingState, batch_size: int) -> int:
        """Rows that the core must have room for."""
        return rows_at_once(state, batch_size)

    @staticmethod
    def read_run(
        method: AnyOptimizer, about: Mapping[str, Any], tensors: Mapping[str, Array], elements: int
    ) -> Run:
        """How far the method has come, from a file."""
        return Run.read(method, about, tensors, elements)

    def epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """One iteration, unless a checkpoint was taken after it and before the epoch's end."""
        state, fit = self.state, self.fit
        self.begin_epoch(rule, monitor)
        if fit.position:
            return
        reports = np.zeros(1, _core.REPORT_DTYPE)
        started = time.perf_counter()
        state.model.turns.offer()
        with state.model.turns.changing():
            self._iterate(reports[0])
        fit.sums.add(reports, 1, time.perf_counter() - started)
        fit.position = fit.rows
        self.advance(1)
        self.report(reports, stacklevel=5)
        self.check()

    def gradient_norm(self) -> float:
        """The norm of the gradient that an iteration begins with."""
        objective = NetworkObjective(self.state, self.data, self.check)
        at = objective.parameters()
        try:
            gradient = objective(at).gradient
        finally:
            objective.restore(at)
        return math.sqrt(dot(gradient, gradient))

    def _iterate(self, report: np.void) -> None:
        """One iteration and its report; nothing has changed if it is interrupted."""
        state, core = self.state, self.state.core
        method = cast(Method, state.optimizer)
        assert core is not None
        run = self._run()
        if self.fit.epoch == 0:
            run.begin()
        if self._objective is None or self._objective.masks is not state.masks:
            self._objective, self._point = NetworkObjective(state, self.data, self.check), None
        objective = self._objective
        before = objective.parameters()
        if self._point is None or not np.array_equal(before, self._point.x):  # a callback may have set others
            self._point = objective(before)
        point = reached = self._point
        try:
            if not point.finite:
                run.reason = NOT_FINITE
            elif _size(point) <= method.tolerance:
                run.reason = GRADIENT
            else:
                reached = run.advance(method, objective, point).point
                if _size(reached) <= method.tolerance:
                    run.reason = GRADIENT
                elif method.max_iterations is not None and run.iterations >= method.max_iterations:
                    run.reason = run.reason or ITERATIONS
        finally:
            objective.restore(reached.x)
        if not point.finite and state.nonfinite == "raise":
            raise NonFiniteError(
                f"step {core.step}: expected a finite loss and gradient, got the loss {point.value}"
            )
        state.run, self._point = run, reached
        step, updates = core.step, core.updates
        if point.finite:
            objective.follow()
        core.set_progress(step + 1, updates + point.finite)
        self.fit.ended = self.fit.ended or bool(run.reason)
        norm = math.sqrt(dot(point.gradient, point.gradient))
        values = (point.loss, point.correct, point.weight, norm, 1.0, int(point.finite), len(objective.x))
        for name, value in zip(_core.REPORT_DTYPE.names or (), values, strict=True):
            report[name] = value

    def row(self) -> dict[str, float]:
        """The history's row; `lr` is the length of the step."""
        return {**super().row(), "lr": self._run().step if self.state.run is not None else math.nan}

    def _run(self) -> Run:
        run = self.state.run
        return run if isinstance(run, Run) else Run()


def _size(point: Point) -> float:
    return float(np.abs(point.gradient).max(initial=0.0))
