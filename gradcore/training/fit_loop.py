"""The loop behind `Trainer.fit`: epochs cut into slices of steps that the core runs in one call each."""

from __future__ import annotations

import importlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, BusyError, DTypeError, ShapeError
from ..network import inputs
from ..network.refreshing import refreshed
from ..network.scaling import Scaling
from ..schedules.scalars import LR
from ..validation.arrays import Array
from ..validation.checks import flag, integer, number, shown
from ..validation.class_names import ByEnd
from ..validation.frames import Label
from . import setup_checks
from .callbacks import EarlyStopping, StopState, check_callbacks
from .evaluation import score
from .history import History
from .progress import progress_for
from .resuming import Terms, choose, contents

if TYPE_CHECKING:
    from ..losses.base import Loss
    from ..network.network import Network
    from .trainer import Trainer

_SIGNAL: Any = importlib.import_module("_signal")  # what `signal` wraps, making enumerations for 10 µs a fit
SLICE_SECONDS = 0.03  # aimed at; Ctrl-C is heard between slices
MAX_SLICE = 16384  # steps
BATCH = 32  # rows of an update where nothing is said
_SPLIT_EPOCH = 2**63  # the permutation that decides what is held out is no epoch's
_REFRESH_EPOCH = 2**63 + 1  # nor is that of the batches for running averages


@dataclass
class Data:
    """Checked arrays of a fit."""

    x: Array
    target: Any  # an array, or a ByHead of arrays
    weight: Any  # the same, or None
    rows: NDArray[np.int64] | None  # the rows to train on; None: all
    validation: tuple[Array, Any, Any] | None
    loss: Loss  # with what it takes from the training rows
    scaling: Scaling | None  # for a Standardize layer that has none yet
    labels: tuple[Label, ...] | None  # of the columns of x, if they have names
    classes: ByEnd  # of targets that are texts

    @property
    def count(self) -> int:
        """Rows to train on."""
        return len(self.x) if self.rows is None else len(self.rows)


@dataclass
class Sums:
    """What the steps of an unfinished epoch have added up to, in step order."""

    loss: float = 0.0
    correct: float = 0.0
    weight: float = 0.0
    norm: float = 0.0
    normed: int = 0
    clipped: int = 0
    scale: float = 0.0
    skipped: int = 0
    steps: int = 0
    seconds: float = 0.0
    heads: list[float] = field(default_factory=list)  # as PerHead.add has them
    ledger: list[list[float]] = field(default_factory=list)  # of rules on gradients, as core.run adds it up

    def add(self, reports: NDArray[np.void], done: int, seconds: float) -> None:
        """Add the first `done` reports of a slice; the result does not depend on how an epoch is sliced."""
        sums = self.loss, self.correct, self.weight, self.norm, self.scale
        self.loss, self.correct, self.weight, self.norm, self.scale, applied, clipped = _core.add_reports(
            reports, done, *sums
        )
        self.normed += applied
        self.clipped += clipped
        self.skipped += done - applied
        self.steps += done
        self.seconds += seconds


@dataclass
class FitState:
    """Where a fit stands: all that a checkpoint must know to finish it."""

    rows: int
    batch_size: int
    shuffle: bool
    first_row: int  # of the history, of this fit
    epoch: int = 0  # complete
    position: int = 0  # rows of the current epoch that have been trained on
    sums: Sums = field(default_factory=Sums)
    stop: StopState = field(default_factory=StopState)
    ended: bool = False  # a callback or early stopping asked for the end
    terms: Terms = field(default_factory=Terms)
    loaded: bool = False  # it came from a file, and has not gone on since
    data: Data | None = None  # while it runs

    def steps_left(self) -> int:
        """Updates up to the end of the fit."""
        left = (self.terms.epochs - self.epoch) * -(-self.rows // self.batch_size)
        return max(0, left - self.position // self.batch_size)

    def norms_of(
        self, trainer: Trainer, net: Network, check: Callable[[], None] = lambda: None
    ) -> dict[str, Array]:
        """The running averages that the training rows give the weights of `net`, in batches as in training.

        Empty, so that it keeps those that it has, where they cannot be had: with batches of one row, or
        where something is not finite.
        """
        assert self.data is not None
        order = self.data.rows
        if self.shuffle:
            order = _core.shuffle(trainer.seed, _REFRESH_EPOCH, self.rows)
            order = order if self.data.rows is None else self.data.rows[order]
        rates = None if trainer._rates is None else trainer._rates.row(max(0, trainer.steps - 1))
        options: dict[str, Any] = {"rates": rates, "seed": trainer.seed, "check": check}
        found = refreshed(net, self.data.x, order, self.batch_size, held=trainer._held, **options)
        return found if all(np.isfinite(value).all() for value in found.values()) else {}

    def identify(self) -> None:
        """Make sure that the data can be told from others when the fit goes on."""
        if self.data is not None and not self.terms.contents:
            self.terms.contents = contents(self.data)


def prepare(
    trainer: Trainer, X: object, y: object, validation: object, sample_weight: object, class_weight: object
) -> Data:
    """Check and convert everything that fit() gets; nothing changes yet, not even a Standardize layer."""
    net = trainer.net
    source = inputs.table(net, X, "X")
    y, classes = trainer._numbered(y, "y")
    x, target, weight = trainer._arrays(source, y, sample_weight)
    rows: NDArray[np.int64] | None = None
    held_rows: NDArray[np.int64] | None = None
    pair = validation if isinstance(validation, tuple | list) else None
    if pair is not None and len(pair) not in (2, 3):
        raise ArgumentError(f"validation: expected (X, y) or (X, y, sample_weight), got {len(pair)} parts")
    if pair is None and validation is not None:
        rows, held_rows = _split(validation, len(x), trainer.seed)
    if weight is not None and not (weight if rows is None else weight[rows]).sum() > 0:
        raise ArgumentError("sample_weight: expected a positive sum over the training rows, got 0")
    learned = None if net._standardized else inputs.learn(net, source, rows, weight)
    centre = net._centre if learned is None else learned.centre
    if learned is not None and centre is not None:
        x = inputs.cast(net, source, "X", finite=True, centre=centre)
    held: tuple[Array, Any, Any] | None = None
    if pair is not None:
        names = ("validation X", "validation y")
        own_weight = pair[2] if len(pair) == 3 else None
        held_source = inputs.table(net, pair[0], names[0], source.labels)
        held_y, _ = trainer._numbered(pair[1], names[1], classes)
        held = trainer._arrays(held_source, held_y, own_weight, names, centre=centre)
    elif held_rows is not None:
        held = x[held_rows], target[held_rows], None if weight is None else weight[held_rows]
        if held[2] is not None and not held[2].sum() > 0:
            raise ArgumentError("validation: expected held-out rows with a positive sum of sample_weight")
    absent = trainer.loss.absent(y, weight, "y")
    known = {**net._classes, **classes}
    loss = trainer.loss.named(known).fitted(target, rows, trainer.net.outputs, absent)
    if class_weight is not None:
        factors = loss.class_factors(class_weight, target, rows, net.outputs, absent=absent, known=known)
        weight = factors if weight is None else weight * factors
    if weight is not None and not (weight if rows is None else weight[rows]).sum() > 0:
        raise ArgumentError("sample_weight: expected a positive sum over the training rows, got 0")
    return Data(x, target, weight, rows, held, loss, learned, source.labels, classes)


def take(trainer: Trainer, data: Data) -> None:
    """Let trainer and network have what was learnt from the data: the loss's numbers, scaling, names."""
    trainer._loss = data.loss
    learned = data.scaling
    if learned is not None:
        _when_free(lambda: trainer.net._set_scaling(learned))
    trainer.net._remember(data.labels, data.classes)


class _Untaken:
    """A trainer as it was before `take`, for a fit that ends before its first step."""

    def __init__(self, trainer: Trainer) -> None:
        net = trainer.net
        self._trainer, self._at = trainer, (trainer.steps, trainer._epochs)
        self._loss, self._core = trainer._loss, trainer._core
        self._names, self._standardized = (net._columns, net._classes), net._standardized

    def give_back(self) -> None:
        """Unless there was a step after all, in a callback."""
        trainer, net = self._trainer, self._trainer.net
        if (trainer.steps, trainer._epochs) != self._at:
            return
        trainer._loss = self._loss
        if self._core is None:  # one that was made since has the loss of this fit
            trainer._core = None
        if net._standardized and not self._standardized:
            _when_free(net._forget_scaling)
        net._columns, net._classes = self._names


def _split(validation: object, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    try:
        share = number(validation, "validation")
    except DTypeError:
        raise DTypeError(
            f"validation: expected (X, y), a share in (0, 1) or None, got a {type(validation).__name__}"
        ) from None
    if not 0.0 < share < 1.0:
        raise ArgumentError(f"validation: expected a share in (0, 1), got {share}")
    held = max(1, round(share * count))
    if held >= count:
        raise ShapeError(f"validation: expected rows left to train on, got {held} of {count} held out")
    order = _core.shuffle(seed, _SPLIT_EPOCH, count)
    return np.sort(order[: count - held]), np.sort(order[count - held :])


def fit(
    trainer: Trainer,
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
    """Run a fit from where `trainer` stands in it, or a new one; see `Trainer.fit`."""
    epochs = integer(epochs, "epochs", 1)
    shuffle = flag(shuffle, "shuffle")
    hooks = check_callbacks(callbacks)
    progress = progress if progress is None else flag(progress, "progress")
    resume = resume if resume is None else flag(resume, "resume")
    data = prepare(trainer, X, y, validation, sample_weight, class_weight)
    loop_kind = _loop_of(trainer)
    batch_size = loop_kind.batch_size(batch_size, data.count)
    rule, monitor = _stopping_rule(early_stopping, trainer, data)
    averaged = _whether_averaged(evaluate_averaged, trainer, data)
    for listener in (trainer._hypers, trainer._rates):
        if listener is not None:
            listener.check_monitors(trainer.loss, data.validation is not None)
    before = trainer._fit
    terms = Terms(epochs, monitor, averaged)
    state = FitState(data.count, batch_size, shuffle, first_row=len(trainer.history), terms=terms)
    state = choose(before, state, data, resume)
    untaken, shown = _Untaken(trainer), None
    try:
        take(trainer, data)
        if not trainer.steps and not trainer._epochs:
            _when_free(lambda: setup_checks.check_targets(trainer, data.x, data.target, batch_size))
        trainer._reserve(loop_kind.rows_at_once(trainer, batch_size), data.target)
        shown = progress_for(progress, trainer._epochs - state.epoch + epochs, state.steps_left())
        loop = loop_kind(trainer, data, state, hooks, shown.advance)
        trainer._fit, state.data = state, data
        with _Interrupt() as interrupted:
            loop.check = interrupted
            _call(hooks, "on_train_begin", trainer)
            while state.epoch < epochs and not state.ended:
                loop.epoch(rule, monitor)
                loop.close_epoch(rule, monitor)
                row = trainer.history.last() if hooks or shown.shows else {}
                shown.epoch(row)
                for hook in hooks:
                    for answer in _call([hook], "on_epoch_end", trainer, row):
                        state.ended = state.ended or answer is True
                    trainer.history.complete(row)
                interrupted()
            if not loop.restore_best(monitor):
                loop.refresh_norms()
            loop.refresh_average()
            trainer._fit = None
            _call(hooks, "on_train_end", trainer)
            interrupted()
    except BaseException:
        if trainer._fit is state:
            _keep_for_later(trainer, state, before)
        untaken.give_back()
        raise
    finally:
        state.data, state.loaded = None, False
        if shown is not None:
            shown.close()
    return trainer.history.since(state.first_row)


def _keep_for_later(trainer: Trainer, state: FitState, before: FitState | None) -> None:
    """Leave a fit that was interrupted so that another call can go on with it; one that has not taken a step
    leaves things as they were."""
    if state.epoch == 0 and state.position == 0:
        trainer._fit = before
        return
    trainer._fit = None  # where a second Ctrl-C comes in between, nothing is left to go on with
    state.identify()
    trainer._fit = state


def _loop_of(trainer: Trainer) -> type[Loop]:
    if not trainer.optimizer.full_batch:
        return Loop
    from ..second_order.fit_loop import FullBatchLoop

    return FullBatchLoop


class Loop:
    """One fit's epochs: the order of the rows, and slices whose length follows the clock."""

    @staticmethod
    def batch_size(value: int | None, rows: int) -> int:
        """Rows of an update."""
        return min(BATCH if value is None else integer(value, "batch_size", 1), rows)

    @staticmethod
    def rows_at_once(trainer: Trainer, batch_size: int) -> int:
        """Rows that the core must have room for."""
        return batch_size

    def __init__(
        self, trainer: Trainer, data: Data, state: FitState, hooks: list[Any], advance: Callable[[int], None]
    ) -> None:
        self.trainer, self.data, self.state, self.hooks, self.advance = trainer, data, state, hooks, advance
        self.check: Callable[[], None] = lambda: None
        self._pace = 1
        self._every = [hook.every_steps for hook in hooks if getattr(hook, "every_steps", None)]
        self._reports = np.zeros(0, _core.REPORT_DTYPE)
        self._slices = any(getattr(hook, "on_slice", None) is not None for hook in hooks)
        self._warned = False

    def begin_epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Call the callbacks, and keep the parameters that the epoch begins with where it measures those."""
        if self.state.position == 0:
            _call(self.hooks, "on_epoch_begin", self.trainer, self.trainer._epochs + 1)
        if rule is not None and rule.restore_best and not monitor.startswith("val_"):
            if self.state.position == 0 or not self.state.stop.begun:
                self.state.stop.begun = self.trainer.net.parameters()

    def epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Train on the rest of the current epoch."""
        state = self.state
        self.begin_epoch(rule, monitor)
        order = self._order()
        batches = -(-state.rows // state.batch_size)
        while state.position < state.rows:
            self._slice(order, batches - state.position // state.batch_size)
            self.check()

    def close_epoch(self, rule: EarlyStopping | None, monitor: str) -> None:
        """Evaluate, write the history's row, and move on to the next epoch."""
        trainer, state = self.trainer, self.state
        started = time.perf_counter()
        row, net = self._row(), trainer.net
        if self.data.validation is not None:
            net = trainer.averaged() if state.terms.averaged else net
            scores = score(net, trainer.loss, *self.data.validation, self.check)
            row.update({f"val_{key}": value for key, value in scores.items()})
        row["seconds"] = state.sums.seconds + time.perf_counter() - started
        with trainer.net._turns.changing():
            trainer.history.append(row)
            trainer._epochs += 1
            for listener in (trainer._hypers, trainer._rates):
                if listener is not None:
                    listener.see(row, trainer.steps)
            trainer._keep_strengths()
            state.epoch, state.position, state.sums = state.epoch + 1, 0, Sums()
            if rule is not None:
                state.stop.see(rule, monitor, row, net.parameters)
                trainer.history.best_epoch = state.stop.best_epoch or None
                state.ended = state.ended or state.stop.stopped

    def restore_best(self, monitor: str) -> bool:
        """At the end of the fit go back to the best parameters; whether there were others than the last.

        A column of the training pass was measured before the updates of its epoch. Where the last epoch is
        the best one, nothing has been measured since; then the parameters as they are now are measured as
        well, and stay if they are better.
        """
        stop, trainer = self.state.stop, self.trainer
        if not stop.parameters:
            return False
        if stop.begun and not stop.waited:
            value = self.measure(monitor)
            stop.begun = {}
            if stop.signed(monitor, value) < (math.inf if stop.best is None else stop.best):
                stop.parameters = {}
                return False
        _when_free(lambda: trainer.net.set_parameters(stop.parameters))
        return True

    def refresh_norms(self) -> None:
        """Make the running averages of a network whose weights are an average those of its weights: a
        schedule-free optimizer trains, and BatchNorm sees, others."""
        trainer = self.trainer
        if trainer._schedule_free and trainer.net._has_norms:
            found = self.state.norms_of(trainer, trainer.net, self.check)
            _when_free(lambda: trainer.net.set_parameters(found))

    def refresh_average(self) -> None:
        """Keep the running averages that the averaged weights have with the rows of this fit."""
        trainer, core = self.trainer, self.trainer._core
        if core is not None and core.updates and trainer._averages and trainer.net._has_norms:
            found = self.state.norms_of(trainer, trainer._average(), self.check)
            trainer._norms = core.updates, found

    def measure(self, monitor: str) -> float:
        """A column of the training pass for the parameters as they are, on the training rows."""
        if monitor == "grad_norm":
            return self.gradient_norm()
        data, at = self.data, slice(None) if self.data.rows is None else self.data.rows
        weight = None if data.weight is None else data.weight[at]
        scores = self.trainer._score(data.x[at], data.target[at], weight, self.check)
        return scores.get(monitor, math.nan)

    def gradient_norm(self) -> float:
        """The mean over the batches of the gradient's norm, without updates."""
        data, core, norms = self.data, self.trainer._core, []
        assert core is not None
        rows = np.arange(len(data.x)) if data.rows is None else data.rows
        for start in range(0, len(rows), self.state.batch_size):
            at = rows[start : start + self.state.batch_size]
            weight = None if data.weight is None else data.weight[at]
            core.gradients(data.x[at], data.target[at], weight)
            parts = self.trainer.net._trainable(core.gradient).values()
            norms.append(math.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)))
            self.check()
        return float(np.mean(norms))

    def _order(self) -> NDArray[np.int64] | None:
        if not self.state.shuffle:
            return self.data.rows
        order = _core.shuffle(self.trainer.seed, self.trainer._epochs, self.state.rows)
        return order if self.data.rows is None else self.data.rows[order]

    def _ledger(self) -> NDArray[np.float64] | None:
        """Of the epoch so far, where a rule on gradients scales something."""
        if not self.trainer._plan.scales:
            return None
        return np.array(self.state.sums.ledger or [[0.0] * 3] * len(self.trainer.net._info))

    def _slice(self, order: NDArray[np.int64] | None, left: int) -> None:
        trainer, state, core = self.trainer, self.state, self.trainer._core
        assert core is not None
        first = core.step
        count = min(self._pace, left, *(every - first % every for every in self._every))
        hypers = trainer._hypers.rows(first, count)
        if len(self._reports) < count:
            self._reports = np.zeros(count, _core.REPORT_DTYPE)
        reports, heads = self._reports[:count], trainer.loss.report(count)
        ledger = self._ledger()
        end = min(state.position + count * state.batch_size, state.rows)
        data = self.data
        turns = trainer.net._turns
        turns.offer()
        started = time.perf_counter()
        with turns.changing():  # the weights, and where the fit stands with them
            try:
                at = (order, state.position, end, state.batch_size)
                out = (reports, heads, ledger)
                if trainer._rates is not None:
                    _when_free(lambda: trainer._set_rates(core, count))
                _when_free(lambda: core.run(data.x, data.target, data.weight, *at, hypers, *out))
            finally:
                done = core.step - first
                seconds = time.perf_counter() - started
                state.sums.add(reports, done, seconds)
                if ledger is not None:
                    state.sums.ledger = ledger.tolist()
                if heads is not None:
                    trainer.loss.add(state.sums.heads, heads[:done][reports[:done]["applied"] != 0], _chain)
                state.position = min(state.position + done * state.batch_size, state.rows)
        self.advance(done)
        if not self._warned and state.sums.skipped:
            self._warn()
        if self._slices:
            _call(self.hooks, "on_slice", trainer, reports)
        wanted = count * SLICE_SECONDS / max(seconds, 1e-6)
        self._pace = max(1, min(int(wanted), 4 * self._pace, MAX_SLICE))

    def _warn(self) -> None:
        self._warned = True
        warnings.warn(
            f"step {self.trainer.steps}: the loss or a gradient was not finite; such updates are skipped "
            "(history.skipped counts them)",
            RuntimeWarning,
            stacklevel=6,
        )

    def _row(self) -> dict[str, float]:
        trainer, sums = self.trainer, self.state.sums
        steps = trainer.steps
        row: dict[str, float] = {
            "epoch": trainer._epochs + 1,
            "step": steps,
            "loss": sums.loss / sums.weight if sums.weight else math.nan,
            "lr": float(trainer._hypers.row(max(0, steps - 1))[LR]),
            "grad_norm": sums.norm / sums.normed if sums.normed else math.nan,
            "skipped": sums.skipped,
        }
        if trainer.loss.classifies:
            row["accuracy"] = sums.correct / sums.weight if sums.weight else math.nan
        if trainer._plan.scales:
            row["clipped"] = sums.clipped / sums.steps if sums.steps else 0.0
            row["clip_scale"] = sums.scale / sums.normed if sums.normed else math.nan
            for info, (seen, scaled, factors) in zip(trainer.net._info, sums.ledger, strict=False):
                if seen:
                    row[f"{info['name']}.clipped"] = scaled / seen
                    row[f"{info['name']}.clip_scale"] = factors / seen
        return {**row, **trainer.loss.row(sums.heads)}


def _stopping_rule(
    early_stopping: EarlyStopping | int | None, trainer: Trainer, data: Data
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
    trainer.loss.check_monitor(monitor)
    return rule, monitor


def _whether_averaged(value: bool, trainer: Trainer, data: Data) -> bool:
    if not flag(value, "evaluate_averaged"):
        return False
    if not trainer._averages:
        raise ArgumentError(
            "evaluate_averaged: expected False for an optimizer without an average of the weights, got True; "
            "EMA, SWA, Lookahead and schedule-free ones have one"
        )
    if data.validation is None:
        raise ArgumentError("evaluate_averaged: expected validation data to evaluate, got none")
    return True


def _when_free(call: Callable[[], object]) -> None:
    """`call()`, again after a moment while another thread predicts with the network, for some seconds."""
    patience = 0.0
    while True:
        try:
            call()
            return
        except BusyError:
            patience = patience or time.monotonic() + 5.0
            if time.monotonic() > patience:
                raise
            time.sleep(0.0005)


def _call(hooks: list[Any], name: str, *arguments: Any) -> list[Any]:
    return [getattr(hook, name)(*arguments) for hook in hooks if getattr(hook, name, None) is not None]


def _chain(start: float, values: Array) -> float:
    """start + values[0] + values[1] + ... in that order."""
    return float(np.add.accumulate(np.concatenate(([start], values)))[-1])


class _Interrupt:
    """Turns the first Ctrl-C into a KeyboardInterrupt from `check`, called where all is consistent.

    The second one interrupts at once. Only where Python's own handler is in place.
    """

    def __init__(self) -> None:
        self._pressed = 0
        self._mine = False

    def __enter__(self) -> Callable[[], None]:
        main = threading.get_ident() == threading.main_thread().ident
        if main and _SIGNAL.getsignal(_SIGNAL.SIGINT) is signal.default_int_handler:
            self._mine = True
            _SIGNAL.signal(_SIGNAL.SIGINT, self._handle)
        return self.check

    def __exit__(self, *raised: object) -> None:
        if self._mine:
            _SIGNAL.signal(_SIGNAL.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: object) -> None:
        self._pressed += 1
        if self._pressed > 1:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise it if Ctrl-C was pressed."""
        if self._pressed:
            raise KeyboardInterrupt
