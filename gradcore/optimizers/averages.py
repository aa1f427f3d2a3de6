"""Around an optimizer: averages of weights (EMA, SWA, Lookahead) and gradients (Accumulate), and SAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from .. import _core
from ..errors import ArgumentError, DTypeError, StateError
from ..schedules.base import Scalar
from ..schedules.scalars import AVERAGE, NOT_NEGATIVE, SHARE, UNIT, Column, Range, scalar
from ..validation.arrays import Array
from ..validation.checks import flag, integer, shown
from .base import FirstOrder, Optimizer
from .interface import AnyOptimizer, Average, mean_of_weights
from .plain import Parameters

__all__ = ["Accumulate", "EMA", "Lookahead", "SAM", "SWA"]


@dataclass(frozen=True, repr=False)
class Averaging(Optimizer):
    """Base of the wrappers: an `optimizer`, and how its weights are averaged."""

    abstract: ClassVar[bool] = True

    optimizer: Optimizer

    kind: ClassVar[str]  # the core's name

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.optimizer, Optimizer):
            raise DTypeError(
                f"{name}: optimizer: expected one of gradcore.optimizers, got {shown(self.optimizer)}"
            )
        if self.optimizer.rule.name.startswith("schedule_free") and self.kind not in ("accumulate", "sam"):
            raise ArgumentError(
                f"{name}: optimizer: expected one without an average of its own, got a schedule-free one"
            )
        most = _core.HYPERS - AVERAGE
        if len(self.averages()) > most:
            raise ArgumentError(
                f"{name}: optimizer: expected at most {most} averages, got {len(self.averages())}"
            )
        object.__setattr__(self, "name", self.rule.name)
        self.reset()

    @property
    def rule(self) -> FirstOrder:
        """The rule inside."""
        return self.optimizer.rule

    def with_rate(self, lr: Scalar) -> AnyOptimizer:
        """The same around an optimizer with another learning rate."""
        return replace(self, optimizer=self.optimizer.with_rate(lr))  # type: ignore[arg-type]

    def flags(self) -> int:
        """The core's option bits."""
        return self.rule.flags()

    def settings(self, names: Sequence[str]) -> list[tuple[float, float, bool]]:
        """Factor of lr, weight decay (NaN: the optimizer's) and frozen, for each parameter's name."""
        return self.rule.settings(names)

    def whole(
        self, shapes: Mapping[str, tuple[int, ...]], roles: Mapping[str, str] | None = None
    ) -> set[str]:
        """The names of the parameters that are taken as matrices."""
        return self.rule.whole(shapes, roles)

    @property
    def largest_factor(self) -> int:
        """Sides of a matrix with more rows have no factor of their own."""
        return self.rule.largest_factor

    def _own(self) -> Average:
        raise NotImplementedError

    def averages(self) -> tuple[Average, ...]:
        """Those of the optimizer inside, then its own."""
        return (*self.optimizer.averages(), self._own())

    def columns(self) -> list[Column]:
        """Every hyperparameter with its place in the core's rows."""
        index = AVERAGE + len(self.optimizer.averages())
        own = [Column(index, f"optimizer.{key}", value, range_) for key, value, range_ in self._scalars()]
        return [*self.optimizer.columns(), *own]

    def _scalars(self) -> list[tuple[str, Scalar, Range]]:
        return []

    def averaged(self, params: Parameters) -> dict[Any, Array]:
        """The averages of plain arrays that `update` trains: copies, by position or key.

        `Trainer.averaged` gives those of a network.
        """
        index = mean_of_weights(self.averages())
        if index is None:
            raise StateError("averaged: expected an optimizer within EMA, SWA or Lookahead, got one without")
        return self._state().average_of(params, index)

    def __repr__(self) -> str:
        shown = [repr(self.optimizer)]
        shown += [f"{item.name}={getattr(self, item.name)!r}" for item in fields(self)[1:]]
        return f"{type(self).__name__}({', '.join(shown)})"


def _set(target: Averaging, key: str, value: object) -> None:
    object.__setattr__(target, key, value)


@dataclass(frozen=True, repr=False)
class EMA(Averaging):
    """An exponential average of the weights, beside them: ``average += (1 - decay) * (w - average)``.

    It starts as the weights after the first update. `Trainer.averaged` is the network that has it.

    Parameters
    ----------
    optimizer : Optimizer
    decay : float or Schedule, default 0.999
        In [0, 1).

    References
    ----------
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.EMA(optimizers.Adam(), decay=0.99)
    EMA(Adam(), decay=0.99)
    """

    optimizer: Optimizer
    decay: Scalar = 0.999

    kind: ClassVar[str] = "ema"

    def __post_init__(self) -> None:
        _set(self, "decay", scalar(self.decay, "EMA: decay", SHARE))
        super().__post_init__()

    def _own(self) -> Average:
        return Average(self.kind, 1, 0)

    def _scalars(self) -> list[tuple[str, Scalar, Range]]:
        return [("decay", self.decay, SHARE)]


@dataclass(frozen=True, repr=False)
class Accumulate(Averaging):
    """An update for the gradient of every `every` batches as one: large batches in the memory of small ones.

    The steps in between change no weight; schedules count them. Clipping and the optimizer see the gradient
    of one batch of all their rows, to rounding: batches count by what their losses were divided by, the sum
    of their rows' weights (times class weights; ignored rows left out), and each of several heads by its own.
    A loss of your own counts as a mean over rows. Penalties count once. What is not the large batch's:
    the statistics of `BatchNorm`, which are each batch's own and move the averages once for each,
    random numbers, and the points that `SAM` climbs to, one for each batch.

    A batch whose loss or gradient is not finite is left out, and another one takes its place; where
    the update of all of them overflows, all are dropped. Batches of an epoch that do not fill an update wait
    for the next epoch's. `update` of plain arrays takes all gradients alike.

    Parameters
    ----------
    optimizer : Optimizer
    every : int
        Batches of an update.

    References
    ----------
    Ott, Edunov, Grangier and Auli, "Scaling Neural Machine Translation", WMT 2018.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Accumulate(optimizers.Adam(), 4)
    Accumulate(Adam(), every=4)
    """

    optimizer: Optimizer
    every: int

    kind: ClassVar[str] = "accumulate"

    def __post_init__(self) -> None:
        _set(self, "every", integer(self.every, "Accumulate: every", 1))
        super().__post_init__()
        if any(average.kind == self.kind for average in self.optimizer.averages()):
            raise ArgumentError(
                "Accumulate: optimizer: expected one that does not accumulate, got one that does"
            )

    def _own(self) -> Average:
        return Average(self.kind, self.every, 0)


@dataclass(frozen=True, repr=False)
class SWA(Averaging):
    """The plain mean of the weights after every `every`-th update, from update `start` on.

    Parameters
    ----------
    optimizer : Optimizer
    start : int, default 0
        Updates before the first that counts.
    every : int, default 1
        Updates from one that counts to the next; the steps of an epoch for the mean over epochs.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima and Better
    Generalization", UAI 2018.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.SWA(optimizers.SGD(0.1), start=1000, every=100)
    SWA(SGD(0.1), start=1000, every=100)
    """

    optimizer: Optimizer
    start: int = field(default=0, kw_only=True)
    every: int = field(default=1, kw_only=True)

    kind: ClassVar[str] = "swa"

    def __post_init__(self) -> None:
        _set(self, "start", integer(self.start, "SWA: start"))
        _set(self, "every", integer(self.every, "SWA: every", 1))
        super().__post_init__()

    def _own(self) -> Average:
        return Average(self.kind, self.every, self.start)


@dataclass(frozen=True, repr=False)
class Lookahead(Averaging):
    """Slow weights that go a part of the way every `every` updates, and from where the fast ones go on.

    Parameters
    ----------
    optimizer : Optimizer
    every : int, default 5
        Updates from one synchronisation to the next.
    alpha : float or Schedule, default 0.5
        In [0, 1]: the part of the way.

    References
    ----------
    Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Lookahead(optimizers.Adam(), every=6)
    Lookahead(Adam(), every=6, alpha=0.5)
    """

    optimizer: Optimizer
    every: int = 5
    alpha: Scalar = 0.5

    kind: ClassVar[str] = "lookahead"

    def __post_init__(self) -> None:
        _set(self, "every", integer(self.every, "Lookahead: every", 1))
        _set(self, "alpha", scalar(self.alpha, "Lookahead: alpha", UNIT))
        super().__post_init__()

    def _own(self) -> Average:
        return Average(self.kind, self.every, 0)

    def _scalars(self) -> list[tuple[str, Scalar, Range]]:
        return [("alpha", self.alpha, UNIT)]


@dataclass(frozen=True, repr=False)
class SAM(Averaging):
    """Sharpness-aware minimisation: the update is by the gradient at ``w + rho * g / |g|``.

    So every step takes two gradients of the same batch, under the same masks of dropout; the loss of a step
    and the running averages of BatchNorm are those of the first, without the step up. Clipping and the
    optimizer see the second. Frozen parameters stay, and are no part of ``|g|``. Where the first gradient
    is not finite there is no second. `update` of plain arrays needs a function that makes gradients.

    Parameters
    ----------
    optimizer : Optimizer
    rho : float or Schedule, default 0.05
        >= 0: the length of the step up.
    adaptive : bool, default False
        ASAM: up by ``rho * w**2 * g / |w * g|``, which does not depend on the scale of the weights; there rho
        is about ten times as large.

    References
    ----------
    Foret, Kleiner, Mobahi and Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving
    Generalization", ICLR 2021; Kwon, Kim, Park and Choi, "ASAM: Adaptive Sharpness-Aware Minimization", ICML
    2021.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import optimizers
    >>> sam = optimizers.SAM(optimizers.SGD(0.1), rho=0.5)
    >>> w = np.array([3.0, 4.0])
    >>> sam.update([w], lambda params: [params[0].copy()])  # the gradient of |w|^2 / 2, at |w| = 5.5
    >>> w
    array([2.67, 3.56])
    """

    optimizer: Optimizer
    rho: Scalar = 0.05
    adaptive: bool = field(default=False, kw_only=True)

    kind: ClassVar[str] = "sam"

    def __post_init__(self) -> None:
        _set(self, "rho", scalar(self.rho, "SAM: rho", NOT_NEGATIVE))
        _set(self, "adaptive", flag(self.adaptive, "SAM: adaptive"))
        super().__post_init__()
        if any(average.is_sam for average in self.optimizer.averages()):
            raise ArgumentError("SAM: optimizer: expected one without SAM, got one within it")

    def _own(self) -> Average:
        return Average("asam" if self.adaptive else "sam", 1, 0)

    def _scalars(self) -> list[tuple[str, Scalar, Range]]:
        return [("rho", self.rho, NOT_NEGATIVE)]
