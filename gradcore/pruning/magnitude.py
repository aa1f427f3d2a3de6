"""Weights of small magnitude held at 0 while training goes on.

"Weights" are those that multiply x: see `effective`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clipping.base import layers as check_layers
from ..errors import ArgumentError, DTypeError, GradcoreError
from ..network.effective import of_network
from ..network.network import Network, compiled_of
from ..schedules.base import Scalar
from ..schedules.listening import listens
from ..schedules.scalars import SHARE, scalar
from ..training.callbacks import Callback
from ..training.trainer import Trainer, state_of
from ..validation.arrays import Array
from ..validation.checks import choice, compact_repr, integer, number, shown

__all__ = ["Magnitude", "magnitude_masks", "sparsity"]

_LOOKED_AT = 10_000  # steps of a schedule before a fit


def magnitude_masks(
    net: Network, sparsity: float, *, scope: str = "global", skip: tuple[str, ...] = ()
) -> dict[str, Array]:
    """Masks, for `Trainer.set_masks`, that are False for the weights of smallest magnitude.

    Parameters
    ----------
    net : Network
    sparsity : float
        In [0, 1): the share of the weights that is masked, rounded down. Of equal magnitudes those that come
        first in a matrix go first. Compared are the weights that multiply x, `Network.effective_weights`.
    scope : {"global", "layer"}, default "global"
        Compare all weights, or those of every matrix among themselves.
    skip : list of str, default ()
        Layers left alone, by position: "2" or "2.1".

    Returns
    -------
    dict of name to bool ndarray
        Of the weight matrices; biases are never masked.

    Examples
    --------
    >>> from gradcore import Dense, Network, pruning
    >>> net = Network([Dense(8), Dense(2)], inputs=4)
    >>> masks = pruning.magnitude_masks(net, 0.75)
    >>> sum(int(mask.sum()) for mask in masks.values())
    12
    """
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    share = number(sparsity, "sparsity")
    if not SHARE.contains(share):
        raise ArgumentError(f"sparsity: expected a number {SHARE.text}, got {share}")
    choice(scope, "scope", ("global", "layer"))
    weights = _weights(net, check_layers(skip, "skip"))
    if scope == "layer":
        return {name: largest(np.abs(w).reshape(-1), share).reshape(w.shape) for name, w in weights.items()}
    sizes = np.concatenate([np.abs(w).reshape(-1) for w in weights.values()])
    kept = largest(sizes, share)
    ends = np.cumsum([w.size for w in weights.values()])
    parts = np.split(kept, ends[:-1])
    return {name: part.reshape(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)}


def _weights(net: Network, skip: tuple[str, ...]) -> dict[str, Array]:
    return of_network(compiled_of(net), _kept(net, skip))


def _kept(net: Network, skip: tuple[str, ...]) -> list[str]:
    """The names of all weights but those of the layers `skip`."""
    names = [info["name"] for info in compiled_of(net).infos if info["role"] == "weight"]
    for layer in skip:
        if not any(name.startswith(f"{layer}.") for name in names):
            raise ArgumentError(f"skip: expected layers that have weights, got {layer!r}")
    kept = [name for name in names if not any(name.startswith(f"{layer}.") for layer in skip)]
    if not kept:
        raise ArgumentError("skip: expected a layer with weights left, got none")
    return kept


def largest(sizes: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """True for all but the floor(share * n) smallest."""
    kept = np.ones(len(sizes), np.bool_)
    kept[np.argsort(sizes, kind="stable")[: math.floor(share * len(sizes))]] = False
    return kept


def sparsity(net: Network) -> float:
    """The share of the weights (without biases) that are exactly 0."""
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    weights = _weights(net, ())
    return float(sum((w == 0).sum() for w in weights.values()) / sum(w.size for w in weights.values()))


@dataclass(frozen=True, repr=False)
class Magnitude(Callback):
    """A callback of `fit` that masks the weights of smallest magnitude, more of them as training goes on.

    Every so many steps the masks are made anew from the weights as they are, with the sparsity that the
    schedule has for that step. Between, masked weights stay 0. The masks are part of the trainer and of its
    checkpoints, and stay when the fit is over. Masks of other parameters stay as they were set.

    Parameters
    ----------
    sparsity : float or Schedule
        In [0, 1). The paper's schedule is ``schedules.Polynomial(0, 0.9, steps, power=3, begin=...)``.
    every_steps : int, default 100
        >= 1.
    scope : {"global", "layer"}, default "global"
        As in `magnitude_masks`.
    skip : list of str, default ()
        Layers left alone. Those whose weights are frozen are, too.

    Raises
    ------
    ArgumentError
        By `fit`, before the first step: if no layer is left, or the schedule leaves its range.

    References
    ----------
    Zhu and Gupta, "To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression", 2017.

    Examples
    --------
    >>> from gradcore import pruning, schedules
    >>> callback = pruning.Magnitude(schedules.Polynomial(0.0, 0.9, steps=2000, power=3))
    """

    sparsity: Scalar
    every_steps: int = 100
    scope: str = "global"
    skip: tuple[str, ...] = ()
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", scalar(self.sparsity, "Magnitude: sparsity", SHARE))
        if listens(self.sparsity):
            raise ArgumentError(
                "Magnitude: sparsity: expected a schedule of the step alone, got one that hears of metrics: "
                f"{self.sparsity!r}"
            )
        object.__setattr__(self, "every_steps", integer(self.every_steps, "Magnitude: every_steps", 1))
        choice(self.scope, "Magnitude: scope", ("global", "layer"))
        object.__setattr__(self, "skip", check_layers(self.skip, "Magnitude: skip"))

    def on_train_begin(self, trainer: Trainer) -> None:
        """Refuse a trainer without a layer to prune, and a schedule that will leave its range in this fit."""
        _free(trainer.net, self.skip, _frozen(trainer))
        fit = state_of(trainer).fit
        left = 0 if fit is None else fit.steps_left()
        first = -(-(trainer.steps + 1) // self.every_steps) * self.every_steps
        steps = range(first, trainer.steps + left + 1, self.every_steps)
        if callable(self.sparsity):
            for step in (*steps[:: max(1, len(steps) // _LOOKED_AT)], *steps[-1:]):
                self._share(step)

    def on_slice(self, trainer: Trainer, reports: NDArray[np.void]) -> None:
        """Make new masks at multiples of every_steps."""
        if trainer.steps % self.every_steps == 0:
            share = self._share(trainer.steps)
            skip = dict.fromkeys((*self.skip, *_frozen(trainer)))
            made = magnitude_masks(trainer.net, share, scope=self.scope, skip=tuple(skip))
            trainer.set_masks({**trainer.masks(), **made})

    def _share(self, step: int) -> float:
        """The sparsity of a step."""
        if not callable(self.sparsity):
            return self.sparsity
        value = self.sparsity(step)
        try:
            share = number(value, "")
        except GradcoreError:
            share = math.nan
        if not SHARE.contains(share):
            raise ArgumentError(
                f"Magnitude: sparsity: expected a number {SHARE.text} from its schedule, "
                f"got {shown(value)} at step {step}"
            )
        return share


def _frozen(trainer: Trainer) -> list[str]:
    """Layers whose weights are frozen, or their magnitudes, which new masks would change."""
    state = state_of(trainer)
    found = (state.model.infos[index] for index in sorted(state.frozen()))
    return [info["name"].rpartition(".")[0] for info in found if info["role"] in ("weight", "magnitude")]


def _free(net: Network, skip: tuple[str, ...], frozen: list[str]) -> None:
    """Refuse to skip layers that are not there, and to skip and freeze all of them."""
    kept = _kept(net, skip)
    if not any(name.rpartition(".")[0] not in frozen for name in kept):
        raise ArgumentError(
            "Magnitude: expected a layer with weights that are neither skipped nor frozen, got none: frozen "
            f"are the layers {', '.join(dict.fromkeys(frozen))}"
        )
