"""Training: a network, a loss and an optimizer."""

from __future__ import annotations

import math
import operator
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..clipping.base import plan
from ..errors import ArgumentError, BusyError, DTypeError, ShapeError, StateError
from ..losses.base import Loss
from ..losses.lookup import get as loss_from
from ..network import inputs, scaling
from ..network.effective import masked_parameters
from ..network.network import Network
from ..network.penalties import set_strengths
from ..network.sharing import Turn
from ..optimizers.base import LEARNED
from ..optimizers.plain import mean_of_weights
from ..optimizers.rule import Rule
from ..schedules.rows import Hypers
from ..schedules.scalars import LR
from ..validation import class_names
from ..validation.arrays import Array, check_finite
from ..validation.checks import choice, integer, shown
from . import setup_checks
from .conflicts import Conflicts
from .core_trainer import make_engine, move_state
from .evaluation import score
from .history import History

if TYPE_CHECKING:
    from ..clipping.base import Clip, Constraint
    from ..losses.custom import LossFunction
    from ..second_order.run import Run
    from .callbacks import EarlyStopping
    from .fit_loop import FitState

__all__ = ["Trainer"]

_NONFINITE = ("skip", "raise", "propagate")
Targets = ArrayLike | Mapping[str, ArrayLike]  # dicts: by head


class Trainer(Conflicts):
    """Trains a network; owns the optimizer's state and the history.

    Parameters
    ----------
    net : Network
        Trained in place.
    loss : Loss, str or callable
        One of `gradcore.losses`, such as ``losses.Huber(delta=0.5)``, or its name, one of
        ``gradcore.names("loss")``, or a function ``(output, target) -> (loss, d_output)`` of arrays: see
        `gradcore.losses.Custom`. For a network with `Heads` a dict with a loss for each of them, or
        `losses.PerHead`; targets are dicts then.
    optimizer : Optimizer
    clip : Clip or list of Clip, optional
        ``clipping.GlobalNorm(1.0)`` or another rule on gradients, or several, applied in order.
    nonfinite : {"skip", "raise", "propagate"}, default "skip"
        What a step does when NaN or an infinity arises: leave parameters and optimizer as they are and go on,
        the same with a NonFiniteError, or update all the same.
    seed : int, optional
        Of dropout and of the order of the rows. Default: the network's.
    constraint : Constraint or list of Constraint, optional
        ``clipping.MaxNorm(3.0)`` or another rule on the weights, applied after every update.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, Trainer, optimizers
    >>> net = Network([Dense(8, "tanh"), Dense(1)], inputs=2, seed=0)
    >>> trainer = Trainer(net, "mse", optimizers.Adam(lr=0.05))
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> y = np.array([0, 1, 1, 0])
    >>> history = trainer.fit(X, y, epochs=200, batch_size=4)
    >>> history.loss[-1] < 0.01
    True
    """

    def __init__(
        self,
        net: Network,
        loss: Loss | str | LossFunction | Mapping[str, Loss | str],
        optimizer: Rule,
        clip: Clip | Sequence[Clip] | None = None,
        nonfinite: Literal["skip", "raise", "propagate"] = "skip",
        *,
        seed: int | None = None,
        constraint: Constraint | Sequence[Constraint] | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise DTypeError(f"net: expected a Network, got {shown(net)}")
        if not isinstance(optimizer, Rule):
            raise DTypeError(f"optimizer: expected one of gradcore.optimizers, got {shown(optimizer)}")
        self._net = net
        self._loss = loss_from(loss).bound(net).named(net._classes)
        self._loss.check_optimizer(optimizer)
        setup_checks.check_ends(net, self._loss)
        optimizer.check(net, self._loss, clip=clip, constraint=constraint)
        self._optimizer = optimizer
        self._plan = plan(clip, constraint, net)
        self._nonfinite = choice(nonfinite, "nonfinite", _NONFINITE)
        self._seed = net.seed if seed is None else integer(seed, "seed", 0, 2**64 - 1)
        self.history = History()
        self._hypers = Hypers([*optimizer.columns(), *self._plan.columns])
        scheduled = net._scheduled  # rates of layers
        self._rates = Hypers(scheduled, len(scheduled), self._hypers.plateaus) if scheduled else None
        meant = [
            (index, info)
            for index, info in enumerate(net._info)
            if info["trainable"] or info["role"] in LEARNED
        ]
        settings = optimizer.settings([info["name"] for _, info in meant])
        self._groups = [
            (index, group if info["trainable"] else (1.0, math.nan, group[2]))
            for (index, info), group in zip(meant, settings, strict=True)
        ]
        self._constant = self._hypers.constant if self._rates is None else None
        shapes = {info["name"]: info["shape"] for info in net._info if info["trainable"]}
        whole = optimizer.whole(shapes, {info["name"]: info["role"] for info in net._info})
        self._whole = bytes(info["name"] in whole for info in net._info)
        self._outputs = net.outputs
        self._dtype = net.dtype
        self._core: _core.CoreTrainer | None = None
        self._soft = 0  # not 0: the core takes targets that are probabilities where labels would do too
        self._fit: FitState | None = None
        self._fitting = Turn()
        self._epochs = 0  # completed, over all fits
        self._masks: dict[str, Array] = {}
        self._ledger = np.zeros((len(net._info), 3))  # of cores that this one has outgrown
        self._full_batch = optimizer.full_batch
        self._schedule_free = optimizer.name.startswith("schedule_free")
        # Whether there are averaged weights: beside the network, or in it.
        self._averages = self._schedule_free or mean_of_weights(optimizer.averages()) is not None
        self._norms: tuple[int, dict[str, Array]] | None = None  # of the average after so many updates
        self._run: Run | None = None  # of a full-batch optimizer
        self._weak = weakref.ref(self)

    # ---- What it is ----

    @property
    def net(self) -> Network:
        """The network that it trains."""
        return self._net

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._loss

    @property
    def optimizer(self) -> Rule:
        """The optimizer's description."""
        return self._optimizer

    @property
    def clip(self) -> Clip | tuple[Clip, ...] | None:
        """The rules on gradients, if any."""
        return self._plan.clip

    @property
    def constraint(self) -> Constraint | tuple[Constraint, ...] | None:
        """The rules on weights, if any."""
        return self._plan.constraint

    @property
    def nonfinite(self) -> str:
        """What a step does when something is not finite."""
        return self._nonfinite

    @property
    def seed(self) -> int:
        """The seed of dropout and of the order of the rows."""
        return self._seed

    @property
    def steps(self) -> int:
        """Updates tried so far, those that were skipped included."""
        return 0 if self._core is None else self._core.step

    @property
    def skipped(self) -> int:
        """Updates that were skipped so far because something was not finite."""
        return 0 if self._core is None else self._core.step - self._core.updates

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._hypers.row(self.steps)[LR])

    @property
    def stop_reason(self) -> str:
        """Why an optimizer that works on the whole data set ended the last fit; empty if nothing ended it."""
        return "" if self._run is None else self._run.reason

    # ---- Steps by hand ----

    def step(self, X: ArrayLike, y: Targets, sample_weight: Targets | None = None) -> float:
        """One update on one batch.

        Where other threads predict with the network it waits for them, for 10 s at most; where another thread
        trains it, it does not.

        Arrays of the network's dtype with contiguous columns are read where they are, without a copy; others
        of bool, integers, float32 or float64 cost their conversion, float16, lists and tables more. Values
        that are not finite are the business of `nonfinite`; `skipped` counts the updates that they cost.

        Parameters
        ----------
        X : array-like (rows, inputs)
        y : array-like
            Targets as the loss takes them.
        sample_weight : array-like (rows,), optional
            Weights >= 0; the loss is the weighted mean. A target of weight 0 may be NaN.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If X, y or sample_weight is not such an array; nothing is changed then.
        NonFiniteError
            With ``nonfinite="raise"``.
        BusyError
            If another thread is in a step or a fit of the network.
        """
        core, net = self._core, self._net
        if core is not None and sample_weight is None and net._direct and not self._full_batch:
            target = self._loss.ready(y, self._outputs, self._dtype)
            if target is not None:
                try:
                    loss = self._step_now(core, X, target)
                    if loss is not None:
                        return loss
                except (ShapeError, DTypeError, ArgumentError):
                    pass  # converted below, or refused with the name of the argument
                except BusyError:
                    pass  # there it waits for threads that read
        if self._full_batch:
            raise StateError(
                f"step: expected an optimizer that takes batches, got {self.optimizer!r}; use fit"
            )
        net = self._net
        source = inputs.table(net, X, "X")
        labels, classes = self._numbered(y, "y")
        x, target, weight = self._arrays(source, labels, sample_weight, finite=not net._standardized)
        learned = None if net._standardized else self._learn(source, weight)
        if learned is not None:
            x = inputs.cast(net, source, "X", finite=True, centre=learned.centre)
        before = self._loss, self._core
        self._loss = self._loss.named({**net._classes, **classes})
        if learned is not None:
            net._set_scaling(learned)
        try:
            loss = self._step_of(x, target, weight)
        except BaseException:
            if self._loss is not before[0]:  # no core was there: it could not have had the loss
                self._loss, self._core = before
            if learned is not None:
                net._forget_scaling()
            raise
        net._remember(source.labels, classes)
        return loss

    def _step_now(self, core: _core.CoreTrainer, X: object, target: Array) -> float | None:
        """One update on a plain X; None if it is not plain."""
        net, hypers = self._net, self._constant
        if net._keeper is not self._weak:
            x = core.plain(X)
            if x is None:
                return None
            X, net._keeper = x, self._weak
        if hypers is not None:
            return core.step_now(X, target, hypers, net._turns)
        net._turns.begin_step()
        try:
            hypers = self._hypers.row(core.step)
            self._set_rates(core, 1)
            return core.step_now(X, target, hypers, net._turns)
        finally:
            net._turns.end_step()

    def _step_of(self, x: Array, target: Any, weight: Any) -> float:
        """One update on arrays as `_arrays` makes them."""
        core = self._reserve(len(x), target)
        turns = self._net._turns
        turns.begin_step()
        try:
            self._set_rates(core, 1)
            self._net._keeper = self._weak
            return self._patiently(partial(core.train_step, x, target, weight, self._hypers.row(core.step)))
        finally:
            turns.end_step()

    def _patiently(self, call: Callable[[], float]) -> float:
        """The result of a call of the core, after a wait for threads that predict if it must be."""
        return self._net._turns.write(self._net._core, call)

    def _learn(self, source: inputs.InputTable, weight: Any) -> scaling.Scaling:
        """What Standardize takes from the batch of a first step."""
        if len(source.values) < 2:
            raise StateError(
                "step: expected a Standardize layer with mean and deviation, which one row cannot tell; "
                "call net.standardize(X) with the training rows first"
            )
        warnings.warn(
            f"step: Standardize takes mean and deviation from the {len(source.values)} rows of this first "
            "batch; call net.standardize(X) with all training rows before the first step",
            RuntimeWarning,
            stacklevel=3,
        )
        return inputs.learn(self._net, source, None, weight)

    def gradients(
        self, X: ArrayLike, y: Targets, sample_weight: Targets | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Loss and gradients of one batch, in training mode as the next step would see it; no update.

        Returns
        -------
        loss : float
        gradients : dict of name to ndarray
            Under the names of the trainable parameters; before clipping, without weight decay.
        """
        batch = self._batch(X, y, sample_weight)
        self._net._warn_unless_standardized("gradients")
        return self._gradients_of(*batch)

    def _gradients_of(self, x: Array, target: Any, weight: Any) -> tuple[float, dict[str, Array]]:
        """Loss and gradients of arrays as `_arrays` makes them."""
        core = self._reserve(len(x), target)
        self._set_rates(core, 1)
        loss = self._patiently(partial(core.gradients, x, target, weight))
        return loss, self.net._trainable(core.gradient)

    def evaluate(self, X: ArrayLike, y: Targets, sample_weight: Targets | None = None) -> dict[str, float]:
        """Weighted mean loss and, for classification, accuracy, in evaluation mode.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Trainer, optimizers
        >>> net = Network([Dense(2)], inputs=3)
        >>> scores = Trainer(net, "cross_entropy", optimizers.Adam()).evaluate(np.eye(3), [0, 1, 1])
        >>> sorted(scores)
        ['accuracy', 'loss']
        """
        return self._score(*self._batch(X, y, sample_weight))

    def _score(
        self, x: Array, target: Any, weight: Any, check: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        return score(self.net, self.loss, x, target, weight, check)

    def clip_ledger(self) -> dict[str, dict[str, float]]:
        """What the rules on gradients have done since this trainer was made or loaded, by parameter.

        Rules that scale nothing (`Centralize`, `Noise`) are not in it; those of a list are counted together.
        The history has the same by epoch: see `History.layers`.

        Returns
        -------
        dict of name to dict
            "clipped": the share of what the rule counts that was scaled: steps for rules on the norm of all
            gradients, tensors, units, rows, or elements for `ByValue`; "scale": the mean factor.
        """
        total = self._ledger
        if self._core is not None:
            total = total + self._net._turns.read(self._net._core, self._core.ledger, "clip_ledger")
        return {
            info["name"]: {"clipped": float(scaled / seen), "scale": float(factors / seen)}
            for info, (seen, scaled, factors) in zip(self.net._info, total, strict=True)
            if seen
        }

    def masks(self) -> dict[str, Array]:
        """Copies of the masks in force, bool arrays by the name of their parameter: False stays 0."""
        return {name: mask.copy() for name, mask in self._masks.items()}

    def set_masks(self, masks: Mapping[str, ArrayLike]) -> None:
        """Hold parts of the parameters at 0, from now on and through training; replaces earlier masks.

        `gradcore.pruning` makes masks. They are checked whole before anything changes. They hold in whatever
        the trainer does, in `averaged`, and in `Network.set_parameters`. In a fit, an early stopping whose
        best epoch has other weights than the masks allow forgets that epoch and counts anew.

        In a layer with `weight_norm` the other weights multiply x as before, the magnitudes changing with the
        norms; in one with `spectral_norm` they are divided by the largest singular value of what is left.

        Parameters
        ----------
        masks : dict of name to array-like of bool
            Of trainable parameters, frozen ones too, in their shapes; False: set to 0 now, and after every
            update. An empty dict frees all of them.
        """
        from .masks import checked_masks

        self._net._core.require_free()
        checked, old = checked_masks(self.net, masks), self._masks
        frozen = {self.net._info[at]["name"] for at, (_, _, frozen) in self._groups if frozen}
        values = masked_parameters(self.net, checked, old, frozen)
        self._set_rules(checked)
        try:
            self._masks = checked
            self._write({self.net._index[name]: value for name, value in values.items()})
        except BaseException:
            self._masks = old
            self._set_rules(old)
            raise
        self._net._keeper = self._weak
        if self._fit is not None:
            self._fit.stop.within(checked)
        if self._run is not None and not _equal(checked, old):
            self._run.memory = {}  # of steps in another space

    def _set_rules(self, masks: Mapping[str, Array]) -> None:
        if self._core is not None:
            self._core.set_rules(self._plan.rules, self._kept(masks))

    def _write(self, values: Mapping[int, Array]) -> None:
        """Parameters from outside into the network, as masks and constraints allow them."""
        net, core = self.net, self._core
        if core is not None:
            try:
                net._turns.write(net._core, partial(core.write, net._core, values))
                return
            except StateError:  # a fork has cut a step in two: this trainer cannot go on, but its network can
                pass
        masks = {net._index[name]: mask for name, mask in self._masks.items()}
        net._write({i: np.where(masks[i], value, 0) if i in masks else value for i, value in values.items()})

    def _kept(self, masks: Mapping[str, Array]) -> dict[int, Array]:
        return {self.net._index[name]: mask.astype(self._dtype) for name, mask in masks.items()}

    def averaged(self) -> Network:
        """A copy of the network with the averaged weights of an `EMA`, `SWA` or `Lookahead` optimizer.

        The outermost wrapper's; before the first update, the network's own weights. A schedule-free optimizer
        keeps the average in the network itself: there it is a copy of that. Masks and constraints hold in it,
        and what is frozen is as it is in the network.

        The running averages of `BatchNorm` are those of other weights. At the end of a fit they are made anew
        for the average, as `Network.refresh_norms` does it, from the rows of the fit; and in a callback,
        whenever this is called.

        Raises
        ------
        StateError
            If the optimizer keeps no average.

        Warns
        -----
        RuntimeWarning
            If there is a BatchNorm, and updates since the last fit, or no fit that came to its end: what is
            returned then needs `refresh_norms`.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Trainer, optimizers
        >>> net = Network([Dense(1)], inputs=2)
        >>> trainer = Trainer(net, "mse", optimizers.EMA(optimizers.SGD(0.1), decay=0.9))
        >>> loss = trainer.step(np.eye(2), [1, 2])
        >>> trainer.averaged().predict(np.eye(2)).shape
        (2, 1)
        """
        if not self._averages:
            raise StateError("averaged: expected an optimizer within EMA, SWA or Lookahead, got one without")
        with self._net._turns.steady("averaged"):
            net, core = self._average(), self._core
            updates = 0 if core is None else core.updates
        if not updates or not net._has_norms:
            return net
        fit = self._fit
        if fit is not None and fit.data is not None:
            net.set_parameters(fit.norms_of(self, net))
        elif self._norms is not None and self._norms[0] == updates:
            held = self._held
            norms = self._norms[1].items()
            net.set_parameters({name: v for name, v in norms if name.rpartition(".")[0] not in held})
        else:
            warnings.warn(
                "averaged: the running averages of BatchNorm are those of other weights; call "
                "refresh_norms(X) of the network that is returned",
                RuntimeWarning,
                stacklevel=2,
            )
        return net

    @property
    def _held(self) -> frozenset[str]:
        """Positions of the BatchNorm layers that are frozen: their averages, or all of gamma and beta."""
        frozen = {at for at, (_, _, frozen) in self._groups if frozen}
        layers: dict[str, list[tuple[bool, bool]]] = {}
        for at, info in enumerate(self.net._info):
            position = info["name"].rpartition(".")[0]
            if self.net._places[position].keeps_averages:
                layers.setdefault(position, []).append((info["trainable"], at in frozen))
        return frozenset(
            position
            for position, found in layers.items()
            if (False, True) in found or ((True, True) in found and (True, False) not in found)
        )

    def _average(self) -> Network:
        """A copy of the network with the averaged weights, and the running averages that it has."""
        averages = self.optimizer.averages()
        index = mean_of_weights(averages)
        net, core = self.net.clone(), self._core
        if index is None:
            return net
        waits = math.prod(average.every for average in averages if average.kind == "accumulate")
        if core is not None and core.updates >= waits:
            slot = core.slots - core.head_means - len(averages) + index
            frozen = {at for at, (_, _, frozen) in self._groups if frozen}
            averaged = (at for at, info in enumerate(net._info) if info["trainable"] and at not in frozen)
            core.write(net._core, {at: core.state_read(slot, at) for at in averaged})
        return net

    # ---- Whole trainings ----

    def fit(
        self,
        X: ArrayLike,
        y: Targets,
        epochs: int,
        batch_size: int | None = None,
        validation: tuple[Any, ...] | float | None = None,
        shuffle: bool = True,
        sample_weight: Targets | None = None,
        class_weight: Mapping[Any, Any] | ArrayLike | Literal["balanced"] | None = None,
        early_stopping: EarlyStopping | int | None = None,
        callbacks: Iterable[object] = (),
        progress: bool | None = None,
        *,
        resume: bool | None = None,
        evaluate_averaged: bool = False,
    ) -> History:
        """Train for `epochs` passes over the rows.

        The loss of a batch is its weighted mean: the sum of weight times loss over the sum of the weights, as
        PyTorch's ``cross_entropy(weight=...)`` has it (Keras divides by the number of rows). NaN and
        infinities in the data are refused; `nonfinite` is about those that arise in training.

        A fit that Ctrl-C or an exception interrupted can be finished: by ``fit(..., resume=True)`` with the
        same arguments, where `epochs` is the total of the interrupted fit; the bits are those of an
        uninterrupted one. After ``Trainer.load`` of a file that was saved inside a fit, and in a copy of a
        trainer whose fit was interrupted, the same arguments alone do it. Otherwise fit() trains `epochs`
        more.

        Parameters
        ----------
        X : array-like (rows, inputs)
        y : array-like
            Targets as the loss takes them.
        epochs : int
        batch_size : int, optional
            Rows of an update; the last batch of an epoch has what is left. Default: 32, or all rows where
            there are fewer. For the optimizers that work on the whole data set (LBFGS and its like) all rows:
            one epoch is one iteration there.
        validation : (X, y), (X, y, sample_weight) or float, optional
            Data to evaluate after every epoch; or the share of the rows, in (0, 1), to hold out for it:
            the last of a permutation that only the seed and the number of rows decide.
        shuffle : bool, default True
            A new order every epoch, decided by the seed and the epoch's number.
        sample_weight : array-like (rows,), optional
            Weights >= 0. With `Heads` also a dict of such by head. A target of weight 0 may be NaN.
        class_weight : dict, array-like (classes,) or "balanced", optional
            A factor for the rows of every class, 1 where a dict has none; "balanced":
            ``rows / (classes * count)`` over the training rows that have a target, as scikit-learn has it.
        early_stopping : EarlyStopping or int, optional
            An int is the patience.
        callbacks : iterable of objects
            See `gradcore.callbacks.Callback`.
        progress : bool, optional
            Default: a bar if standard error is a terminal. True: also a line an epoch elsewhere.
        resume : bool, optional
            Whether to go on with a fit that was interrupted. True: yes, or a StateError if there is none, or
            if data, weights, batch size, shuffling, number of epochs or what early stopping monitors are
            others (arrays are compared by a digest of their bytes). False: no. Default: yes if the fit came
            from a file and all that is the same; if something differs, a new one, with a warning that names
            it.

        evaluate_averaged : bool, default False
            Evaluate `averaged` on the validation data instead of the network; early stopping by a ``val_``
            column then goes back to the best average. With BatchNorm that takes another pass over the
            training rows every epoch.

        Returns
        -------
        History
            The epochs of this fit, those before its interruption included; `history` has those of all.

        Raises
        ------
        StateError
            If `resume` is True and there is no such fit.
        BusyError
            If another thread trains the network. While this fit runs, others may predict, evaluate, save and
            read; whatever would change the network or its trainers is refused with a BusyError, unless a
            callback of the fit does it.

        Warns
        -----
        RuntimeWarning
            If the fit that is resumed has nothing left to do, so that no step is taken.
        """
        from . import fit_loop as fitting

        if not self._fitting.take():
            raise BusyError("fit: this trainer is in another fit")
        owns = False
        try:
            owns = self._net._core.own()
            self._net._keeper = self._weak
            return fitting.fit(
                self,
                X,
                y,
                epochs=epochs,
                batch_size=batch_size,
                validation=validation,
                shuffle=shuffle,
                sample_weight=sample_weight,
                class_weight=class_weight,
                early_stopping=early_stopping,
                callbacks=callbacks,
                progress=progress,
                resume=resume,
                evaluate_averaged=evaluate_averaged,
            )
        finally:
            if owns:
                self._net._core.disown()
            self._fitting.leave()

    def abandon_fit(self) -> None:
        """Forget that a fit was interrupted: no fit() goes on with it. Parameters stay as they are."""
        self._net._core.require_free()
        self._fit = None

    # ---- Checkpoints ----

    def save(self, path: object) -> None:
        """Save everything that training needs to go on bit for bit, to one file, whole or not at all.

        Raises
        ------
        ArgumentError
            If a schedule or the loss is a function of your own, which no file can hold.
        """
        from . import checkpoint

        checkpoint.save(self, path)

    def _check_saving(self) -> None:
        """Refuse what no file can hold."""
        from . import checkpoint

        checkpoint.descriptions(self)

    @classmethod
    def load(
        cls,
        path: object,
        *,
        threads: int | None = None,
        isa: str | None = None,
        optimizer: Rule | None = None,
        clip: Clip | Sequence[Clip] | EllipsisType | None = ...,
        frozen: Iterable[str] | None = None,
    ) -> Trainer:
        """The trainer, with its network in `net`, of a file that `save` wrote.

        Parameters
        ----------
        path : str or path
        threads, isa
            See `Network`.
        optimizer : Optimizer, optional
            To go on with instead of the one in the file, with its moments, averages and number of steps:
            another learning rate, weight decay or beta, or other groups. It must keep the same things, as the
            same class with the same switches does. Schedules go on from the step of the file.
        clip : Clip, list of Clip or None, optional
            Instead of the rules in the file; None: no rule.
        frozen : list of str, optional
            Patterns of the names of parameters that are frozen from now on, as in `optimizers.Group`; all
            others are not.

        Raises
        ------
        NotFoundError, FormatError
            If there is no such file, or it is damaged or of another kind.
        ArgumentError, DTypeError
            If the optimizer cannot take over the state, or the clip or the patterns do not suit.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Trainer, optimizers
        >>> trainer = Trainer(Network([Dense(2)], inputs=2), "mse", optimizers.Adam(0.1))
        >>> loss = trainer.step(np.eye(2), np.eye(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer.save(os.path.join(folder, "t"))
        ...     slower = Trainer.load(os.path.join(folder, "t"), optimizer=optimizers.Adam(0.01))
        >>> slower.steps, slower.learning_rate
        (1, 0.01)
        """
        from . import checkpoint
        from .reloading import Changes

        return checkpoint.load(cls, path, threads, isa, Changes(optimizer, clip, frozen))

    def __reduce__(self) -> tuple[Any, ...]:
        from . import checkpoint

        return checkpoint.restore, (checkpoint.encode(self), self.net._threads, self.net._isa)

    def __repr__(self) -> str:
        clip = "" if self.clip is None else f", clip={self.clip!r}"
        policy = "" if self.nonfinite == "skip" else f", nonfinite={self.nonfinite!r}"
        rest = "" if self.seed == self.net.seed else f", seed={self.seed}"
        if self.constraint is not None:
            rest += f", constraint={self.constraint!r}"
        plain = self.loss.name in _core.names("loss") and self.loss == loss_from(self.loss.name)
        loss = repr(self.loss.name) if plain else f"losses.{self.loss!r}"
        return f"Trainer({self.net!r}, {loss}, {self.optimizer!r}{clip}{policy}{rest})"

    # ---- Shared with fitting, checkpoint and health ----

    def _batch(self, X: object, y: object, sample_weight: object) -> tuple[Array, Any, Any]:
        """Checked arrays as the core takes them, by head where there are heads."""
        source = inputs.table(self._net, X, "X")
        return self._arrays(source, self._numbered(y, "y")[0], sample_weight)

    def _numbered(
        self, y: object, name: str, more: class_names.ByEnd | None = None
    ) -> tuple[object, class_names.ByEnd]:
        """`y` with numbers for labels that are texts, and their classes; beside the network's, `more` are
        known."""
        known = self._net._classes
        if known:
            self._loss = self._loss.named(known)
        return self._loss.numbered(y, {**known, **more} if more else known, self._outputs, name)

    def _arrays(
        self,
        source: inputs.InputTable,
        y: object,
        sample_weight: object,
        names: Sequence[str] = ("X", "y"),
        finite: bool = True,
        centre: NDArray[np.float64] | None = None,
    ) -> tuple[Array, Any, Any]:
        """Checked arrays as the core takes them; `centre`, where given, is what the network is to have."""
        own = self._net._centre if centre is None else centre
        x = inputs.cast(self._net, source, names[0], finite=finite, centre=own)
        weight = None if sample_weight is None else self._loss.row_weights(sample_weight, len(x))
        y = self.loss.filled(y, weight, names[1])
        target = self.loss.target(y, len(x), self._outputs, self._dtype, names[1])
        if finite:
            for name, part in self._loss.parts(target, names[1]):
                check_finite(part, name)
        return x, target, weight

    def _set_rates(self, core: _core.CoreTrainer, steps: int) -> None:
        """Tell the core the scheduled rates of layers for the next `steps`."""
        if self._rates is not None:
            core.set_rates(core.step, self._rates.rows(core.step, steps))

    def _keep_strengths(self) -> None:
        """Leave the scheduled strengths of the last step for evaluation, as metrics have them now."""
        if self._net._strengths and self._rates is not None and self.steps:
            set_strengths(self._net._core, self._net._strengths, self._rates.row(self.steps - 1))

    def _reserve(self, rows: int, target: Any = None) -> _core.CoreTrainer:
        """The core's trainer with room for batches of `rows`, and for targets like `target`; state and step
        number move along."""
        self._net._core.require_free()
        old = self._core
        soft = self._soft if target is None else self.loss.soft(target)
        if old is not None and old.capacity >= rows and soft == self._soft:
            return old
        new = make_engine(self, operator.index(rows if old is None else max(rows, old.capacity)), target)
        if old is not None:
            self._ledger, self._conflicts = self._ledger + old.ledger(), self._all_conflicts()
            move_state(old, new, self.net._info)
        self._core, self._soft = new, soft
        return new


def _equal(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
