"""A training as the files of this package share it.

`Trainer` is what users hold; `state_of` gives its state. The loop of a fit, its callbacks, checkpoints and
steps by hand all work on this one object. Nothing here is for users.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np

from .. import _core
from ..clipping.base import Plan
from ..errors import StateError
from ..losses.base import Loss
from ..network.compiled import Keeper
from ..network.network import Network, compiled_of
from ..network.penalties import set_strengths
from ..network.sharing import Turn
from ..optimizers.base import LEARNED
from ..optimizers.interface import AnyOptimizer, mean_of_weights
from ..schedules.rows import Hypers
from ..validation.arrays import Array
from .fit_state import FitState
from .history import History


class Run(Protocol):
    """How far a method that works on the whole data set has come."""

    memory: dict[str, Any]
    reason: str  # why it ended

    def tensors(self, method: AnyOptimizer) -> list[tuple[str, Array]]:
        """The memory's vectors, for a file."""

    def description(self, method: AnyOptimizer) -> dict[str, Any]:
        """All else, as JSON data."""


class TrainingState:
    """A network, a loss and an optimizer, and how far they have come.

    Attributes
    ----------
    net, model : Network, Compiled
        The network that is trained, as users hold it and as the package does.
    hypers, rates : Hypers
        The rows of hyperparameters, and of scheduled rates of layers; `constant` is the one row of all steps
        where nothing is scheduled.
    groups : list of (int, (float, float, bool))
        By the place of a parameter: factor of lr, weight decay, frozen.
    core : _core.CoreTrainer, optional
        Made by the first step, for batches of its size and targets of its kind.
    soft : int
        Not 0: the core takes targets that are probabilities where labels would do too.
    fit : FitState, optional
        The fit that runs, or was interrupted; `fitting` is held while one runs.
    epochs : int
        Completed, over all fits.
    ledger, conflicts
        What cores for other targets have counted of rules on gradients, and of heads that disagree.
    averages : bool
        Whether there are averaged weights: beside the network, or in it.
    forgotten : int
        Updates of before the optimizer's state began anew, which the core does not count.
    norms : tuple, optional
        The running averages of BatchNorm for the averaged weights, after so many updates.
    run : Run, optional
        Of a method that works on the whole data set.
    """

    def __init__(
        self, net: Network, loss: Loss, optimizer: AnyOptimizer, plan: Plan, nonfinite: str, seed: int
    ) -> None:
        model = compiled_of(net)
        self.net, self.model = net, model
        self.loss, self.optimizer, self.plan = loss, optimizer, plan
        self.nonfinite, self.seed = nonfinite, seed
        self.history = History()
        self.hypers = Hypers([*optimizer.columns(), *plan.columns])
        scheduled = model.scheduled
        self.rates = Hypers(scheduled, len(scheduled), self.hypers.plateaus) if scheduled else None
        self.constant = self.hypers.constant if self.rates is None else None
        meant = [
            (index, info)
            for index, info in enumerate(model.infos)
            if info["trainable"] or info["role"] in LEARNED
        ]
        settings = optimizer.settings([info["name"] for _, info in meant])
        self.groups = [
            (index, group if info["trainable"] else (1.0, math.nan, group[2]))
            for (index, info), group in zip(meant, settings, strict=True)
        ]
        shapes = {info["name"]: info["shape"] for info in model.infos if info["trainable"]}
        whole = optimizer.whole(shapes, {info["name"]: info["role"] for info in model.infos})
        self.whole = bytes(info["name"] in whole for info in model.infos)
        self.outputs, self.dtype = model.outputs, model.dtype
        self.core: _core.CoreTrainer | None = None
        self.soft = 0
        self.fit: FitState | None = None
        self.fitting = Turn()
        self.epochs = 0
        self.forgotten = 0
        self.masks: dict[str, Array] = {}
        self.ledger = np.zeros((len(model.infos), 3))
        self.conflicts: Array | None = None
        self.full_batch = optimizer.full_batch
        self.schedule_free = optimizer.name.startswith("schedule_free")
        self.averages = self.schedule_free or mean_of_weights(optimizer.averages()) is not None
        self.norms: tuple[int, dict[str, Array]] | None = None
        self.run: Run | None = None
        self.weak: weakref.ref[Keeper] = weakref.ref(self)

    @property
    def steps(self) -> int:
        """Updates tried so far, those that were skipped included."""
        return 0 if self.core is None else self.core.step

    @property
    def skipped(self) -> int:
        """Those that were skipped."""
        return 0 if self.core is None else self.core.step - self.core.updates - self.forgotten

    @property
    def listeners(self) -> list[Hypers]:
        """The rows whose schedules may listen to metrics."""
        return [self.hypers] if self.rates is None else [self.hypers, self.rates]

    def frozen(self) -> set[int]:
        """The places of frozen parameters."""
        return {at for at, (_, _, frozen) in self.groups if frozen}

    def patiently(self, call: Callable[[], float]) -> float:
        """The result of a call of the core, after a wait for threads that predict if it must be."""
        return self.model.turns.write(self.model.core, call)

    # ---- Rates that differ from step to step ----

    def set_rates(self, core: _core.CoreTrainer, steps: int) -> None:
        """Tell the core the scheduled rates of layers for the next `steps`."""
        if self.rates is not None:
            core.set_rates(core.step, self.rates.rows(core.step, steps))

    def keep_strengths(self) -> None:
        """Leave the scheduled strengths of the last step for evaluation, as metrics have them now."""
        if self.model.strengths and self.rates is not None and self.steps:
            set_strengths(self.model.core, self.model.strengths, self.rates.row(self.steps - 1))

    # ---- What it promises of the weights ----

    def kept(self) -> dict[int, Array]:
        """The masks by the places of their parameters, as the core takes them."""
        return {self.model.index[name]: mask.astype(self.dtype) for name, mask in self.masks.items()}

    def write(self, values: Mapping[int, Array]) -> None:
        """Parameters from outside into the network, as masks and constraints allow them."""
        model, core = self.model, self.core
        if core is not None:
            try:
                model.turns.write(model.core, partial(core.write, model.core, values))
                return
            except StateError:  # a fork has cut a step in two: this trainer cannot go on, but its network can
                pass
        masks = {model.index[name]: mask for name, mask in self.masks.items()}
        model.write({i: np.where(masks[i], value, 0) if i in masks else value for i, value in values.items()})
