"""Many small trainings side by side: random search and successive halving over whole configurations."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArgumentError, DTypeError, GradcoreError, NonFiniteError, ShapeError
from ..schedules.base import Checked
from ..training.fit_data import held_out
from ..training.trainer import Targets, Trainer
from ..validation.arrays import as_array
from ..validation.checks import history_column, integer, shown
from .space import check_space, draw

__all__ = ["SearchResult", "Trial", "random_search", "successive_halving"]

Build = Callable[[dict[str, Any], int], Trainer]
Held = tuple[ArrayLike, ...] | float | None


@dataclass(frozen=True)
class Trial:
    """One configuration and how far it came.

    Attributes
    ----------
    index : int
        Its number in the search.
    config : dict
    seed : int
        What its trainer was built with.
    score : float
        Its monitor after the last epoch it got; NaN if that was not finite.
    epochs : int
        How many it got.
    trainer : Trainer
    """

    index: int
    config: dict[str, Any]
    seed: int
    score: float
    epochs: int
    trainer: Trainer


@dataclass(frozen=True)
class SearchResult:
    """The trials of a search, best first.

    Attributes
    ----------
    trials : list of Trial
        Those that got more epochs come first, then those of better score, then those drawn earlier.
    monitor : str
        What was compared.
    """

    trials: list[Trial]
    monitor: str

    @property
    def best(self) -> Trial:
        """The first trial; its `trainer` goes on where the search left it."""
        return self.trials[0]

    def rows(self) -> list[dict[str, Any]]:
        """The trials as plain dicts: index, epochs, score and the configuration, ready for pandas."""
        return [
            {"index": trial.index, "epochs": trial.epochs, self.monitor: trial.score, **trial.config}
            for trial in self.trials
        ]


@dataclass
class _Run:
    index: int
    config: dict[str, Any]
    seed: int
    trainer: Trainer
    score: float = math.nan
    epochs: int = 0


def random_search(
    build: Build,
    space: Mapping[str, Any],
    X: ArrayLike,
    y: Targets,
    *,
    trials: int,
    epochs: int,
    batch_size: int | None,
    validation: Held = 0.2,
    monitor: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    sample_weight: Targets | None = None,
    class_weight: Mapping[Any, Any] | Literal["balanced"] | None = None,
) -> SearchResult:
    """Train `trials` configurations drawn from `space` and rank them.

    Parameters
    ----------
    build : callable
        ``build(config, seed) -> Trainer``, a new one each time. With more than one worker its network must
        have ``threads=1``.
    space : dict
        Names to `Uniform`, `LogUniform`, `Integer`, `Choice`, or to a value that is always the same.
    X : array-like (rows, inputs)
        Data frames keep the names of their columns.
    y : array-like, or dict by head
        Targets as the loss takes them.
    trials, epochs : int
    batch_size : int or None
        As in `Trainer.fit`; None for the optimizers that work on the whole data set.
    validation : (X, y), (X, y, sample_weight), float or None, default 0.2
        Data to compare on, or the share of the rows to hold out: the same rows for every trial.
    monitor : str, optional
        "val_loss", "val_accuracy", "loss" or "accuracy", or of a head, as "val_steer.loss".
        Default: "val_loss" with validation, else "loss".
    seed : int, default 0
        Of the draws; trial i is built with seed + i.
    workers : int, optional
        Trainings at a time; the result does not depend on it. Default: the CPUs that the process may use.
    sample_weight : array-like (rows,), optional
        Of held-out rows too.
    class_weight : dict or "balanced", optional
        As in `Trainer.fit`.

    Returns
    -------
    SearchResult

    Raises
    ------
    ArgumentError, DTypeError
        If an option or what `build` returns is not as it should be.

    References
    ----------
    Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, Trainer, optimizers, search
    >>> X = np.linspace(-1, 1, 80).reshape(-1, 1)
    >>> def build(config, seed):
    ...     net = Network([Dense(config["width"], "tanh"), Dense(1)], inputs=1, seed=seed, threads=1)
    ...     return Trainer(net, "mse", optimizers.Adam(config["lr"]))
    >>> space = {"lr": search.LogUniform(1e-6, 1e-1), "width": search.Choice([8, 16])}
    >>> result = search.random_search(build, space, X, X**2, trials=8, epochs=20, batch_size=16)
    >>> len(result.trials), result.best.config["lr"] > 1e-3
    (8, True)
    """
    length = integer(epochs, "epochs", 1)
    data = (X, y, validation, sample_weight, class_weight)
    with _Searching(build, space, data, trials, batch_size, monitor, seed, workers) as searching:
        searching.train(searching.runs, length)
        return searching.result()


def successive_halving(
    build: Build,
    space: Mapping[str, Any],
    X: ArrayLike,
    y: Targets,
    *,
    trials: int,
    epochs: int,
    batch_size: int | None,
    factor: int = 3,
    min_epochs: int = 1,
    validation: Held = 0.2,
    monitor: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    sample_weight: Targets | None = None,
    class_weight: Mapping[Any, Any] | Literal["balanced"] | None = None,
) -> SearchResult:
    """Train `trials` configurations for `min_epochs`, the best of them `factor` times as long, and so on.

    Every time the best ``1 / factor`` go on from where they are, until those that are left have had `epochs`.

    Parameters
    ----------
    build, space, X, y, trials, batch_size, validation, monitor, seed, workers, sample_weight, class_weight
        As in `random_search`.
    epochs : int
        Of the longest training.
    factor : int, default 3
        >= 2.
    min_epochs : int, default 1
        Of the shortest, <= epochs.

    Returns
    -------
    SearchResult

    References
    ----------
    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
    AISTATS 2016.
    """
    length, times = integer(epochs, "epochs", 1), integer(factor, "factor", 2)
    reached = integer(min_epochs, "min_epochs", 1, length)
    data = (X, y, validation, sample_weight, class_weight)
    with _Searching(build, space, data, trials, batch_size, monitor, seed, workers) as searching:
        left = searching.runs
        while True:
            searching.train(left, reached)
            if reached == length:
                return searching.result()
            left = sorted(left, key=searching.rank)[: math.ceil(len(left) / times)]
            reached = length if len(left) == 1 else min(length, reached * times)


class _Rows:
    """Rows of something that `Trainer.fit` takes: an array-like, a frame that keeps its names, or a dict."""

    def __init__(self, value: Any, name: str) -> None:
        self._parts: dict[str, Any] = {}
        self._dict = isinstance(value, Mapping)
        for key, part in value.items() if self._dict else [("", value)]:
            where = f"{name}[{key!r}]" if self._dict else name
            self._parts[key] = part if hasattr(part, "iloc") else as_array(part, where)
            if not np.shape(self._parts[key]):
                raise ShapeError(f"{where}: expected rows, got a single value")
        self._name = name

    @property
    def count(self) -> int:
        """Rows of the first part."""
        return len(next(iter(self._parts.values()), ()))

    def check(self, count: int) -> None:
        """Refuse another number of rows."""
        for part in self._parts.values():
            if len(part) != count:
                raise ShapeError(f"X, {self._name}: expected as many rows, got {count} and {len(part)}")

    def take(self, rows: NDArray[np.int64]) -> Any:
        """Those rows, of the kind that the value was."""
        parts = {
            key: part.iloc[rows] if hasattr(part, "iloc") else part[rows] for key, part in self._parts.items()
        }
        return parts if self._dict else parts[""]


class _Cancelled(Exception):
    """Another trial failed, or Ctrl-C."""


class _Searching:
    """Checked arguments, the trials, and the threads that train them."""

    def __init__(
        self,
        build: Build,
        space: Mapping[str, Any],
        data: tuple[Any, Any, Held, Any, Any],
        trials: int,
        batch_size: int | None,
        monitor: str | None,
        seed: int,
        workers: int | None,
    ) -> None:
        if not callable(build) or isinstance(build, Checked):
            raise DTypeError(f"build: expected a function of a configuration and a seed, got {shown(build)}")
        self._batch_size = None if batch_size is None else integer(batch_size, "batch_size", 1)
        count, seed = integer(trials, "trials", 1, 2**32 - 1), integer(seed, "seed", 0, 2**64 - 1)
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._workers = min(count, cpus if workers is None else integer(workers, "workers", 1, 1024))
        *_, self._class_weight = data
        self._split(data, seed)
        fallback = "loss" if self._held is None else "val_loss"
        self.monitor = fallback if monitor is None else history_column(monitor, "monitor")
        if self.monitor == "grad_norm":
            raise ArgumentError("monitor: expected a loss or an accuracy, got 'grad_norm'")
        if self.monitor.startswith("val_") and self._held is None:
            raise ArgumentError(f"monitor: expected validation data for {self.monitor}, got none")
        ranges = check_space(space)
        configs = [draw(ranges, seed, index) for index in range(count)]
        self.runs = [
            _Run(index, config, own, self._trainer(build, config, own))
            for index, config in enumerate(configs)
            for own in [(seed + index) % 2**64]
        ]
        trainers = [run.trainer for run in self.runs]
        if len({id(one) for one in trainers}) < count or len({id(one.net) for one in trainers}) < count:
            raise ArgumentError("build: expected a new trainer and network from every call, got one twice")
        self._cancelled = False
        self._pool = ThreadPoolExecutor(self._workers) if self._workers > 1 else None

    def __enter__(self) -> _Searching:
        return self

    def __exit__(self, *about: object) -> None:
        self._cancelled = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _split(self, data: tuple[Any, Any, Held, Any, Any], seed: int) -> None:
        """One division of the rows for all trials."""
        X, y, validation, weight, _ = data
        self._x, self._y, self._held, self._weight = X, y, validation, weight
        if validation is None or isinstance(validation, tuple | list):
            return
        parts = [("X", X), ("y", y)] if weight is None else [("X", X), ("y", y), ("sample_weight", weight)]
        taken = [_Rows(part, name) for name, part in parts]
        count = taken[0].count
        for rows in taken:
            rows.check(count)
        train, held = held_out(validation, count, seed)
        self._held = tuple(rows.take(held) for rows in taken)
        self._x, self._y, *rest = [rows.take(train) for rows in taken]
        self._weight = rest[0] if rest else None

    def _trainer(self, build: Build, config: dict[str, Any], seed: int) -> Trainer:
        trainer = build(dict(config), seed)
        if not isinstance(trainer, Trainer):
            raise DTypeError(
                f"build: expected a function that returns a Trainer, got {shown(trainer)} from it"
            )
        if self._workers > 1 and trainer.net.threads > 1:
            raise ArgumentError(
                f"build: expected a network with threads=1 for {self._workers} workers, got one with "
                f"{trainer.net.threads}"
            )
        trainer.loss.check_monitor(self.monitor, "monitor")
        return trainer

    def rank(self, run: _Run) -> tuple[float, float, int]:
        """What sorts the trials."""
        signed = -run.score if self.monitor.endswith("accuracy") else run.score
        return -run.epochs, math.inf if math.isnan(signed) else signed, run.index

    def train(self, runs: Sequence[_Run], epochs: int) -> None:
        """Train each on until it has had `epochs`."""
        if self._pool is None:
            for run in runs:
                self._train(run, epochs)
        else:
            for done in [self._pool.submit(self._train, run, epochs) for run in runs]:
                done.result()

    def _train(self, run: _Run, epochs: int) -> None:
        if run.epochs == epochs:
            return
        try:
            history = run.trainer.fit(
                self._x,
                self._y,
                epochs=epochs - run.epochs,
                batch_size=self._batch_size,
                validation=self._held,
                sample_weight=self._weight,
                class_weight=self._class_weight,
                callbacks=[self],
                progress=False,
            )
            run.score = float(history[self.monitor][-1])
        except NonFiniteError:
            run.score = math.nan
        except GradcoreError as error:
            raise type(error)(f"trial {run.index}, {run.config}: {error}") from error
        if not math.isfinite(run.score):
            run.score = math.nan
        run.epochs = epochs

    def on_slice(self, trainer: Trainer, reports: NDArray[np.void]) -> None:
        """End a training whose result nobody waits for any more."""
        if self._cancelled:
            raise _Cancelled

    def result(self) -> SearchResult:
        """The trials, best first."""
        trials = [
            Trial(run.index, run.config, run.seed, run.score, run.epochs, run.trainer)
            for run in sorted(self.runs, key=self.rank)
        ]
        return SearchResult(trials, self.monitor)
