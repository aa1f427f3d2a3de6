"""Training: a network, a loss and an optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike

from .. import _core
from ..clipping.base import Clip, Constraint, plan
from ..errors import ArgumentError, BusyError, DTypeError, ShapeError, StateError
from ..losses.base import Loss
from ..losses.lookup import get as loss_from
from ..network.network import Network, compiled_of
from ..optimizers.interface import AnyOptimizer
from ..schedules.scalars import LR
from ..validation.arrays import Array
from ..validation.checks import choice, integer, shown
from . import batches, setup_checks, steps
from .evaluation import score
from .history import History
from .state import TrainingState

if TYPE_CHECKING:
    from ..layers.base import Layer
    from ..losses.custom import LossFunction
    from .early_stopping import EarlyStopping

__all__ = ["Trainer"]

_NONFINITE = ("skip", "raise", "propagate")
Targets = ArrayLike | Mapping[str, ArrayLike]  # dicts: by head


class Trainer:
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
        optimizer: AnyOptimizer,
        clip: Clip | Sequence[Clip] | None = None,
        nonfinite: Literal["skip", "raise", "propagate"] = "skip",
        *,
        seed: int | None = None,
        constraint: Constraint | Sequence[Constraint] | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise DTypeError(f"net: expected a Network, got {shown(net)}")
        if not isinstance(optimizer, AnyOptimizer):
            raise DTypeError(f"optimizer: expected one of gradcore.optimizers, got {shown(optimizer)}")
        model = compiled_of(net)
        bound = loss_from(loss).bound(model.outputs, model.heads).named(model.classes)
        bound.check_optimizer(optimizer, optimizer.full_batch)
        setup_checks.check_ends(model, bound)
        optimizer.check(model, bound, clip=clip, constraint=constraint)
        rules = plan(clip, constraint, model)
        choice(nonfinite, "nonfinite", _NONFINITE)
        own = net.seed if seed is None else integer(seed, "seed", 0, 2**64 - 1)
        self._state = TrainingState(net, bound, optimizer, rules, nonfinite, own)

    # ---- What it is ----

    @property
    def net(self) -> Network:
        """The network that it trains."""
        return self._state.net

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._state.loss

    @property
    def optimizer(self) -> AnyOptimizer:
        """The optimizer's description."""
        return self._state.optimizer

    @property
    def clip(self) -> Clip | tuple[Clip, ...] | None:
        """The rules on gradients, if any."""
        return self._state.plan.clip

    @property
    def constraint(self) -> Constraint | tuple[Constraint, ...] | None:
        """The rules on weights, if any."""
        return self._state.plan.constraint

    @property
    def nonfinite(self) -> str:
        """What a step does when something is not finite."""
        return self._state.nonfinite

    @property
    def seed(self) -> int:
        """The seed of dropout and of the order of the rows."""
        return self._state.seed

    @property
    def history(self) -> History:
        """What training has seen: one row an epoch, over all fits."""
        return self._state.history

    @history.setter
    def history(self, history: History) -> None:
        self._state.history = history

    @property
    def steps(self) -> int:
        """Updates tried so far, those that were skipped included."""
        return self._state.steps

    @property
    def skipped(self) -> int:
        """Updates that were skipped so far because something was not finite."""
        return self._state.skipped

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._state.hypers.row(self.steps)[LR])

    @property
    def stop_reason(self) -> str:
        """Why an optimizer that works on the whole data set ended the last fit; empty if nothing ended it."""
        run = self._state.run
        return "" if run is None else run.reason

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
        state = self._state
        core = state.core
        if core is not None and sample_weight is None and state.model.direct and not state.full_batch:
            target = state.loss.ready(y, state.outputs, state.dtype)
            if target is not None:
                try:
                    loss = steps.plain_step(state, core, X, target)
                    if loss is not None:
                        return loss
                except (ShapeError, DTypeError, ArgumentError):
                    pass  # converted below, or refused with the name of the argument
                except BusyError:
                    pass  # there it waits for threads that read
        if state.full_batch:
            raise StateError(
                f"step: expected an optimizer that takes batches, got {self.optimizer!r}; use fit"
            )
        return steps.step(state, X, y, sample_weight)

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
        batch = batches.batch(self._state, X, y, sample_weight)
        self._state.model.warn_unless_standardized("gradients")
        return steps.gradients_of(self._state, *batch)

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
        state = self._state
        arrays = batches.batch(state, X, y, sample_weight)
        return score(state.model, state.loss, *arrays, lambda: None)

    def branch(self) -> Trainer:
        """An independent twin that stands where this trainer stands, its network included.

        It goes on with the same bits as this one would, and what either does the other does not see: to try
        something, such as another rate, without a risk. Unlike ``copy.deepcopy`` it takes no way through a
        file: it costs less than two steps and some microseconds, and functions (losses, schedules, layers)
        are shared.

        Inside a fit, in a callback, the twin is one whose fit was interrupted there: `fit` with the same
        arguments finishes it.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Trainer, optimizers
        >>> trainer = Trainer(Network([Dense(1)], inputs=2), "mse", optimizers.SGD(0.1))
        >>> twin = trainer.branch()
        >>> twin.step(np.eye(2), [1, 2]) == trainer.step(np.eye(2), [1, 2])
        True
        """
        from .branching import branch

        twin = type(self).__new__(type(self))
        twin._state = branch(self._state)
        return twin

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
        state, model = self._state, self._state.model
        total = state.ledger
        if state.core is not None:
            total = total + model.turns.read(model.core, state.core.ledger, "clip_ledger")
        return {
            info["name"]: {"clipped": float(scaled / seen), "scale": float(factors / seen)}
            for info, (seen, scaled, factors) in zip(model.infos, total, strict=True)
            if seen
        }

    def conflicts(self) -> dict[tuple[str, str], dict[str, float]]:
        """How the gradients of every two heads, by the layers before the heads, point: since this trainer was
        made or loaded, over all steps with an update in which neither was zero.

        Returns
        -------
        dict of (head, head) to dict
            "cosine": the mean cosine of the angle between the two gradients; "conflicts": the share of steps
            in which it was negative; "steps": their number. Without steps, the pair is absent.

        Raises
        ------
        StateError
            If the trainer's loss has no surgery.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Heads, Network, Trainer, losses, optimizers
        >>> net = Network([Dense(4), Heads({"up": Dense(1), "down": Dense(1)})], inputs=2)
        >>> loss = losses.PerHead({"up": "mse", "down": "mse"}, surgery=True)
        >>> trainer = Trainer(net, loss, optimizers.SGD(0.1))
        >>> before = trainer.step(np.eye(2), {"up": [1, 2], "down": [-1, 3]})
        >>> sorted(trainer.conflicts()["up", "down"])
        ['conflicts', 'cosine', 'steps']
        """
        from .conflicts import conflicts

        return conflicts(self._state)

    def masks(self) -> dict[str, Array]:
        """Copies of the masks in force, bool arrays by the name of their parameter: False stays 0."""
        return {name: mask.copy() for name, mask in self._state.masks.items()}

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
        from .masks import set_masks

        set_masks(self._state, masks)

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
        from .averages import averaged

        return averaged(self._state)

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
        from . import fit_loop

        state, core = self._state, self._state.model.core
        if not state.fitting.take():
            raise BusyError("fit: this trainer is in another fit")
        owns = False
        try:
            owns = core.own()
            state.model.keeper = state.weak
            return fit_loop.fit(
                self,
                state,
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
                core.disown()
            state.fitting.leave()

    def abandon_fit(self) -> None:
        """Forget that a fit was interrupted: no fit() goes on with it. Parameters stay as they are."""
        self._state.model.core.require_free()
        self._state.fit = None

    def edited(
        self,
        *,
        optimizer: AnyOptimizer | EllipsisType = ...,
        clip: Clip | Sequence[Clip] | EllipsisType | None = ...,
        constraint: Constraint | Sequence[Constraint] | EllipsisType | None = ...,
        loss: Loss | str | LossFunction | Mapping[str, Loss | str] | EllipsisType = ...,
        layers: Sequence[Layer] | EllipsisType = ...,
        parameters: Mapping[str, ArrayLike] | None = None,
        positions: Mapping[str, str | None] | None = None,
    ) -> Trainer:
        """A new trainer that goes on from here on a copy of the network, changed as the arguments say.

        This trainer and its network stay as they are. Kept are steps, epochs, history, seed, masks,
        parameters, running averages, the scaling of a Standardize, names of columns and classes; losses and
        schedules that are functions are shared. Without arguments the new trainer goes on bit for bit as this
        one would.

        Parameters
        ----------
        optimizer : Optimizer, optional
            Its state is kept where the new one keeps the same things: the same rule, or one with the same
            moments (Adam, AdamW, RAdam, LAMB, Yogi and AdEMAMix among each other); so are averages around it
            of the same kind, while new ones begin at the weights as they are. Otherwise the state begins
            anew, with averages. Schedules go on from the step in every case.
        clip : Clip, list of Clip or None, optional
            None: no rule. Statistics of `AutoClip` and `ZClip`, and the ledger, are kept where the rule is
            equal.
        constraint : Constraint, list of Constraint or None, optional
            None: no rule. Weights are within a new one at once, if there has been an update.
        loss : Loss, str, callable or dict, optional
            Moments are kept.
        layers : sequence of Layer, optional
            For the same inputs. The old and the new layers are aligned: equal ones in their order, as in a
            longest common subsequence, those inside `Residual` and `Heads` too, whether a block is around
            them now or was before; then what stands in the place of one of the same class. Of several equal
            ones the first is meant. A parameter is kept, with its moments and mask, where layer, role and
            shape are the same; all others begin as in ``Network(layers, ...)`` with the network's seed.
            A Dense that gains or loses `weight_norm` or `spectral_norm` keeps the weight that multiplies x.
            With another number of outputs, or other heads, `loss` has to be given as well.
        parameters : dict of name to array-like, optional
            Written last, as `Network.set_parameters` does, under the new names; masks and constraints hold.
        positions : dict of new position to old position or None, optional
            Which layers are the same, against the alignment: ``{"1": None, "2": "1"}``; None: a new one. What
            is said of a block holds for what is inside.

        Returns
        -------
        Trainer

        Raises
        ------
        ArgumentError, DTypeError, ShapeError
            If something does not suit: a loss that cannot have these outputs, an optimizer that refuses the
            network, patterns of groups or of rules that mean other layers now, an `SWA` that would have to
            have begun, parameters that are kept and not finite.

        Notes
        -----
        The core counts updates once for all parameters. Where some of them are new, optimizers of Adam's kind
        (Adam, AdamW, RAdam, LAMB, AdEMAMix, Adamax, AdaBelief) go on with the count ``1 / (1 - beta1)`` at
        most, and kept moments are scaled so that they are the same when they are corrected: no step of a new
        parameter is then more than some 13 % too long. Rules without such corrections need none of this; with
        all others the whole state begins anew.

        A fit that was interrupted goes on in the new trainer, as in a copy, if optimizer, clip, constraint or
        parameters alone are changed and the optimizer keeps the same things; else it is forgotten there, and
        so is the memory of the methods that work on the whole data set. Gradients that wait in `Accumulate`
        are dropped in these cases.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import Dense, Network, Residual, Trainer, optimizers
        >>> net = Network([Dense(2, "tanh"), Dense(1)], inputs=2)
        >>> trainer = Trainer(net, "mse", optimizers.Adam(0.1))
        >>> loss = trainer.step(np.eye(2), [1, 2])
        >>> block = Residual(Dense(2, "relu"), gain=0.0)
        >>> deeper = trainer.edited(layers=[net.layers[0], block, net.layers[1]])
        >>> deeper.steps, np.array_equal(deeper.net.predict(np.eye(2)), net.predict(np.eye(2)))
        (1, True)
        >>> trainer.edited(optimizer=optimizers.Adam(0.01)).learning_rate
        0.01
        """
        from .editing import Edit, edited

        edit = Edit(optimizer, clip, constraint, loss, layers, parameters, positions)
        return edited(Trainer._made, self._state, edit)

    # ---- Checkpoints ----

    def save(self, path: object) -> None:
        """Save everything that training needs to go on bit for bit, to one file, whole or not at all.

        Raises
        ------
        ArgumentError
            If a schedule or the loss is a function of your own, which no file can hold.
        """
        from . import checkpoint

        checkpoint.save(self._state, path)

    @classmethod
    def load(
        cls,
        path: object,
        *,
        threads: int | None = None,
        isa: str | None = None,
        optimizer: AnyOptimizer | None = None,
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

        return checkpoint.load(cls._made, path, threads, isa, Changes(optimizer, clip, frozen))

    @classmethod
    def _made(cls, net: Network, **arguments: Any) -> tuple[Trainer, TrainingState]:
        trainer = cls(net, **arguments)
        return trainer, trainer._state

    def __reduce__(self) -> tuple[Any, ...]:
        from . import checkpoint

        model = self._state.model
        return _unpickle, (checkpoint.encode(self._state), model.asked_threads, model.asked_isa)

    def __repr__(self) -> str:
        clip = "" if self.clip is None else f", clip={self.clip!r}"
        policy = "" if self.nonfinite == "skip" else f", nonfinite={self.nonfinite!r}"
        rest = "" if self.seed == self.net.seed else f", seed={self.seed}"
        if self.constraint is not None:
            rest += f", constraint={self.constraint!r}"
        plain = self.loss.name in _core.names("loss") and self.loss == loss_from(self.loss.name)
        loss = repr(self.loss.name) if plain else f"losses.{self.loss!r}"
        return f"Trainer({self.net!r}, {loss}, {self.optimizer!r}{clip}{policy}{rest})"


def _unpickle(data: bytes, threads: int | None, isa: str | None) -> Trainer:
    from . import checkpoint

    return checkpoint.decode(Trainer._made, data, threads, isa)


def state_of(trainer: Trainer) -> TrainingState:
    """What the package itself works with; for its own files only."""
    return trainer._state
