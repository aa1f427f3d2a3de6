"""The loop behind `Trainer.fit`: epochs cut into slices of steps that the core runs in one call each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, FormatError
from ..losses.base import Loss
from ..network.network import compiled_of
from ..network.sharing import when_free
from ..optimizers.interface import AnyOptimizer
from ..schedules.scalars import LR
from ..validation.arrays import Array
from ..validation.checks import flag, integer, shown
from . import setup_checks
from .averages import averaged, norms_of, plain_average
from .core_trainer import reserve
from .early_stopping import EarlyStopping
from .evaluation import score
from .fit_data import Untaken, prepare, take
from .fit_state import Data, FitState, Sums, Terms
from .history import History
from .hooks import call, check_callbacks
from .interrupts import Interrupt
from .progress import progress_for
from .resuming import choose, identify
from .skips import Skips
from .state import Run, TrainingState

SLICE_SECONDS = 0.03  # aimed at; Ctrl-C is heard between slices
MAX_SLICE = 16384  # steps
BATCH = 32  # rows of an update where nothing is said


def fit(
    trainer: object,
    state: TrainingState,
    X: object,
    y: object,
    *,
    epochs: int,
    batch_size: int | None,
    validation: object,
    shuffle: bool,
    sample_weight: object,
    class_weight: object,
    early_stopping: EarlyStopping | int | None,
    callbacks: Iterable[object],
    progress: bool | None,
    resume: bool | None,
    evaluate_averaged: bool,
) -> History:
    """Run a fit from where the training stands in it, or a new one; see `Trainer.fit`.

    Callbacks are handed `trainer`; everything else is in `state`.
    """
    epochs = integer(epochs, "epochs", 1)
    shuffle = flag(shuffle, "shuffle")
    hooks = check_callbacks(callbacks)
    progress = progress if progress is None else flag(progress, "progress")
    resume = resume if resume is None else flag(resume, "resume")
    data = prepare(state, X, y, validation, sample_weight, class_weight)
    loop_kind = state.optimizer.fit_loop() or Loop
    batch_size = loop_kind.batch_size(batch_size, data.count)
    rule, monitor = _stopping_rule(early_stopping, state.loss, data)
    averaged = _whether_averaged(evaluate_averaged, state.averages, data)
    for listener in state.listeners:
        listener.check_monitors(state.loss.check_monitor, data.validation is not None)
    before = state.fit
    terms = Terms(epochs, monitor, averaged)
    new = FitState(data.count, batch_size, shuffle, first_row=len(state.history), terms=terms)
    fit = choose(before, new, data, resume)
    untaken, shown = Untaken(state), None
    try:
        take(state, data)
        if not state.steps and not state.epochs:
            what = state.model, state.loss, state.full_batch, data.x, data.target, batch_size
            when_free(lambda: setup_checks.check_targets(*what))
        reserve(state, loop_kind.rows_at_once(state, batch_size), data.target)
        shown = progress_for(progress, state.epochs - fit.epoch + epochs, fit.steps_left())
        loop = loop_kind(trainer, state, data, fit, hooks, shown.advance)
        state.fit, fit.data = fit, data
        with Interrupt() as interrupted:
            loop.check = interrupted
            call(hooks, "on_train_begin", trainer)
            while fit.epoch < epochs and not fit.ended:
                loop.epoch(rule, monitor)
                loop.close_epoch(rule, monitor)
                row = state.history.last() if hooks or shown.shows else {}
                shown.epoch(row)
                for hook in hooks:
                    for answer in call([hook], "on_epoch_end", trainer, row):
                        fit.ended = fit.ended or answer is True
                    state.history.complete(row)
                interrupted()
            loop.skips.end(stacklevel=3)
            if not loop.restore_best(monitor):
                loop.refresh_norms()
            loop.refresh_average()
            state.fit = None
            call(hooks, "on_train_end", trainer)
            interrupted()
    except BaseException:
        if state.fit is fit:
            _keep_for_later(state, fit, before)
        untaken.give_back()
        raise
    finally:
        fit.data, fit.loaded = None, False
        if shown is not None:
            shown.close()
    return state.history.since(fit.first_row)


def _keep_for_later(state: TrainingState, fit: FitState, before: FitState | None) -> None:
    """Leave a fit that was interrupted so that another call can go on with it; one that has not taken a step
    leaves things as they were."""
    if fit.epoch == 0 and fit.position == 0:
        state.fit = before
        return
    state.fit = None  # where a second Ctrl-C comes in between, nothing is left to go on with
    identify(fit)
    state.fit = fit


class Loop:
    """One fit's epochs: the order of the rows, and slices whose length follows the clock."""

    @staticmethod
    def batch_size(value: int | None, rows: int) -> int:
        """Rows of an update."""
        return min(BATCH if value is None else integer(value, "batch_size", 1), rows)

    @staticmethod
    def rows_at_once(state: TrainingState, batch_size: int) -> int:
        """Rows that the core must have room for."""
        return batch_size

    @staticmethod
    def read_run(
        method: AnyOptimizer, about: Mapping[str, Any], tensors: Mapping[str, Array], elements: int
    ) -> Run:
        """How far a method that works on the whole data set has come, from a file."""
        raise FormatError(f"run: expected none for {method!r}")

    def __init__(
        self,
        trainer: object,
        state: TrainingState,
        data: Data,
        fit: FitState,
        hooks: list[Any],
        advance: Callable[[int], None],
    ) -> None:
        self.trainer, self.state, self.data, self.fit = trainer, state, data, fit
        self.hooks, self.advance = hooks, advance
        self.check: Callable[[], None] = lambda: None
        self._pace = 1
        self._every = [hook.every_steps for hook in hooks if getattr(hook, "every_steps", None)]
        self._reports = np.zeros(0, _core.REPORT_DTYPE)
        self._slices = any(getattr(hook, "on_slice", None) is not None for hook in hooks)
        self.skips = Skips()

    def begin_epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Call the callbacks, and keep the parameters that the epoch begins with where it measures those."""
        if self.fit.position == 0:
            call(self.hooks, "on_epoch_begin", self.trainer, self.state.epochs + 1)
        if rule is not None and rule.restore_best and not monitor.startswith("val_"):
            if self.fit.position == 0 or not self.fit.stop.begun:
                self.fit.stop.begun = self.state.model.parameters()

    def epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Train on the rest of the current epoch."""
        fit = self.fit
        self.begin_epoch(rule, monitor)
        order = self._order()
        batches = -(-fit.rows // fit.batch_size)
        while fit.position < fit.rows:
            self._slice(order, batches - fit.position // fit.batch_size)
            self.check()

    def close_epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Evaluate, write the history's row, and move on to the next epoch."""
        state, fit = self.state, self.fit
        started = time.perf_counter()
        row, net = self.row(), state.net
        if self.data.validation is not None:
            net = averaged(state) if fit.terms.averaged else state.net
            scores = score(compiled_of(net), state.loss, *self.data.validation, self.check)
            row.update({f"val_{key}": value for key, value in scores.items()})
        row["seconds"] = fit.sums.seconds + time.perf_counter() - started
        with state.model.turns.changing():
            state.history.append(row)
            state.epochs += 1
            for listener in state.listeners:
                listener.see(row, state.steps)
            state.keep_strengths()
            fit.epoch, fit.position, fit.sums = fit.epoch + 1, 0, Sums()
            if rule is not None:
                fit.stop.see(rule, monitor, row, compiled_of(net).parameters)
                state.history.best_epoch = fit.stop.best_epoch or None
                fit.ended = fit.ended or fit.stop.stopped

    def restore_best(self, monitor: str) -> bool:
        """At the end of the fit go back to the best parameters; whether there were others than the last.

        A column of the training pass was measured before the updates of its epoch. Where the last epoch is
        the best one, nothing has been measured since; then the parameters as they are now are measured as
        well, and stay if they are better.
        """
        stop, state = self.fit.stop, self.state
        if not stop.parameters:
            return False
        if stop.begun and not stop.waited:
            value = self.measure(monitor)
            stop.begun = {}
            if stop.signed(monitor, value) < (math.inf if stop.best is None else stop.best):
                stop.parameters = {}
                return False
        when_free(lambda: state.model.set_parameters(stop.parameters))
        return True

    def refresh_norms(self) -> None:
        """Make the running averages of a network whose weights are an average those of its weights: a
        schedule-free optimizer trains, and BatchNorm sees, others."""
        state = self.state
        if state.schedule_free and state.model.has_norms:
            found = norms_of(state, self.fit, state.model, self.check)
            when_free(lambda: state.model.set_parameters(found))

    def refresh_average(self) -> None:
        """Keep the running averages that the averaged weights have with the rows of this fit."""
        state, core = self.state, self.state.core
        if core is not None and core.updates and state.averages and state.model.has_norms:
            found = norms_of(state, self.fit, compiled_of(plain_average(state)), self.check)
            state.norms = core.updates, found

    def measure(self, monitor: str) -> float:
        """A column of the training pass for the parameters as they are, on the training rows."""
        if monitor == "grad_norm":
            return self.gradient_norm()
        data, at = self.data, slice(None) if self.data.rows is None else self.data.rows
        weight = None if data.weight is None else data.weight[at]
        scores = score(self.state.model, self.state.loss, data.x[at], data.target[at], weight, self.check)
        return scores.get(monitor, math.nan)

    def gradient_norm(self) -> float:
        """The mean over the batches of the gradient's norm, without updates."""
        data, core, norms = self.data, self.state.core, []
        assert core is not None
        rows = np.arange(len(data.x)) if data.rows is None else data.rows
        for start in range(0, len(rows), self.fit.batch_size):
            at = rows[start : start + self.fit.batch_size]
            weight = None if data.weight is None else data.weight[at]
            core.gradients(data.x[at], data.target[at], weight)
            parts = self.state.model.trainable(core.gradient).values()
            norms.append(math.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)))
            self.check()
        return float(np.mean(norms))

    def _order(self) -> NDArray[np.int64] | None:
        if not self.fit.shuffle:
            return self.data.rows
        order = _core.shuffle(self.state.seed, self.state.epochs, self.fit.rows)
        return order if self.data.rows is None else self.data.rows[order]

    def _ledger(self) -> NDArray[np.float64] | None:
        """Of the epoch so far, where a rule on gradients scales something."""
        if not self.state.plan.scales:
            return None
        return np.array(self.fit.sums.ledger or [[0.0] * 3] * len(self.state.model.infos))

    def _slice(self, order: NDArray[np.int64] | None, left: int) -> None:
        state, fit, core = self.state, self.fit, self.state.core
        assert core is not None
        first = core.step
        count = min(self._pace, left, *(every - first % every for every in self._every))
        hypers = state.hypers.rows(first, count)
        if len(self._reports) < count:
            self._reports = np.zeros(count, _core.REPORT_DTYPE)
        reports, heads = self._reports[:count], state.loss.report(count)
        ledger = self._ledger()
        end = min(fit.position + count * fit.batch_size, fit.rows)
        data = self.data
        turns = state.model.turns
        turns.offer()
        started = time.perf_counter()
        with turns.changing():  # the weights, and where the fit stands with them
            try:
                at = (order, fit.position, end, fit.batch_size)
                out = (reports, heads, ledger)
                if state.rates is not None:
                    when_free(lambda: state.set_rates(core, count))
                when_free(lambda: core.run(data.x, data.target, data.weight, *at, hypers, *out))
            finally:
                done = core.step - first
                seconds = time.perf_counter() - started
                fit.sums.add(reports, done, seconds)
                if ledger is not None:
                    fit.sums.ledger = ledger.tolist()
                if heads is not None:
                    state.loss.add(fit.sums.heads, heads[:done][reports[:done]["applied"] != 0], _chain)
                fit.position = min(fit.position + done * fit.batch_size, fit.rows)
        self.advance(done)
        self.report(reports)
        wanted = count * SLICE_SECONDS / max(seconds, 1e-6)
        self._pace = max(1, min(int(wanted), 4 * self._pace, MAX_SLICE))

    def report(self, reports: NDArray[np.void], stacklevel: int = 6) -> None:
        """After a slice: warn of updates that were skipped, and call the callbacks."""
        self.skips.see(reports["applied"], self.state.steps - len(reports), stacklevel)
        if self._slices:
            call(self.hooks, "on_slice", self.trainer, reports)

    def row(self) -> dict[str, float]:
        """The history's row of the epoch, without validation."""
        state, sums = self.state, self.fit.sums
        steps = state.steps
        row: dict[str, float] = {
            "epoch": state.epochs + 1,
            "step": steps,
            "loss": sums.loss / sums.weight if sums.weight else math.nan,
            "lr": float(state.hypers.row(max(0, steps - 1))[LR]),
            "grad_norm": sums.norm / sums.normed if sums.normed else math.nan,
            "skipped": sums.skipped,
        }
        if state.loss.classifies:
            row["accuracy"] = sums.correct / sums.weight if sums.weight else math.nan
        if state.plan.scales:
            row["clipped"] = sums.clipped / sums.steps if sums.steps else 0.0
            row["clip_scale"] = sums.scale / sums.normed if sums.normed else math.nan
            for info, (seen, scaled, factors) in zip(state.model.infos, sums.ledger, strict=False):
                if seen:
                    row[f"{info['name']}.clipped"] = scaled / seen
                    row[f"{info['name']}.clip_scale"] = factors / seen
        return {**row, **state.loss.row(sums.heads)}


def _stopping_rule(
    early_stopping: EarlyStopping | int | None, loss: Loss, data: Data
) -> tuple[EarlyStopping | None, str]:
    if early_stopping is None:
        return None, ""
    rule = early_stopping
    if not isinstance(rule, EarlyStopping):
        try:
            rule = EarlyStopping(patience=integer(rule, "early_stopping", 1))
        except DTypeError:
            raise DTypeError(
                f"early_stopping: expected an EarlyStopping, a number of epochs or None, got {shown(rule)}"
            ) from None
    monitor = rule.monitor or ("loss" if data.validation is None else "val_loss")
    if monitor.startswith("val_") and data.validation is None:
        raise ArgumentError(f"early_stopping: expected validation data to monitor {monitor}, got none")
    loss.check_monitor(monitor)
    return rule, monitor


def _whether_averaged(value: bool, averages: bool, data: Data) -> bool:
    if not flag(value, "evaluate_averaged"):
        return False
    if not averages:
        raise ArgumentError(
            "evaluate_averaged: expected False for an optimizer without an average of the weights, got True; "
            "EMA, SWA, Lookahead and schedule-free ones have one"
        )
    if data.validation is None:
        raise ArgumentError("evaluate_averaged: expected validation data to evaluate, got none")
    return True


def _chain(start: float, values: Array) -> float:
    """start + values[0] + values[1] + ... in that order."""
    return float(np.add.accumulate(np.concatenate(([start], values)))[-1])
