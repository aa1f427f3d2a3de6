"""Pruning: weights of small magnitude held at 0 while training goes on, and units taken out of a network.

"Weights" are those that multiply x: see `effective`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Array
from .callbacks import Callback
from .checks import choice, compact_repr, integer, number, shown
from .clipping.base import layers as check_layers
from .effective import effective_weight, of_network, split
from .errors import ArgumentError, DTypeError, GradcoreError
from .hypers import Range as Span
from .hypers import scalar
from .layers import Activation, Dense, Dropout
from .network import Network
from .schedules.base import Scalar
from .schedules.listening import listens

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Magnitude", "compact", "magnitude_masks", "shrink", "sparsity"]

_SPARSITY = Span("in [0, 1)", lambda x: 0.0 <= x < 1.0)
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
    if not _SPARSITY.contains(share):
        raise ArgumentError(f"sparsity: expected a number {_SPARSITY.text}, got {share}")
    choice(scope, "scope", ("global", "layer"))
    weights = _weights(net, check_layers(skip, "skip"))
    if scope == "layer":
        return {name: _largest(np.abs(w).reshape(-1), share).reshape(w.shape) for name, w in weights.items()}
    sizes = np.concatenate([np.abs(w).reshape(-1) for w in weights.values()])
    kept = _largest(sizes, share)
    ends = np.cumsum([w.size for w in weights.values()])
    parts = np.split(kept, ends[:-1])
    return {name: part.reshape(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)}


def _weights(net: Network, skip: tuple[str, ...]) -> dict[str, Array]:
    return of_network(net, _kept(net, skip))


def _kept(net: Network, skip: tuple[str, ...]) -> list[str]:
    """The names of all weights but those of the layers `skip`."""
    names = [info["name"] for info in net._info if info["role"] == "weight"]
    for layer in skip:
        if not any(name.startswith(f"{layer}.") for name in names):
            raise ArgumentError(f"skip: expected layers that have weights, got {layer!r}")
    kept = [name for name in names if not any(name.startswith(f"{layer}.") for layer in skip)]
    if not kept:
        raise ArgumentError("skip: expected a layer with weights left, got none")
    return kept


def _largest(sizes: NDArray[Any], share: float) -> NDArray[np.bool_]:
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
        object.__setattr__(self, "sparsity", scalar(self.sparsity, "Magnitude: sparsity", _SPARSITY))
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
        fit = trainer._fit
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
        if not _SPARSITY.contains(share):
            raise ArgumentError(
                f"Magnitude: sparsity: expected a number {_SPARSITY.text} from its schedule, "
                f"got {shown(value)} at step {step}"
            )
        return share


def _frozen(trainer: Trainer) -> list[str]:
    """Layers whose weights are frozen, or their magnitudes, which new masks would change."""
    found = (trainer.net._info[index] for index, (_, _, frozen) in trainer._groups if frozen)
    return [info["name"].rpartition(".")[0] for info in found if info["role"] in ("weight", "magnitude")]


def _free(net: Network, skip: tuple[str, ...], frozen: list[str]) -> None:
    """Refuse to skip layers that are not there, and to skip and freeze all of them."""
    kept = _kept(net, skip)
    if not any(name.rpartition(".")[0] not in frozen for name in kept):
        raise ArgumentError(
            "Magnitude: expected a layer with weights that are neither skipped nor frozen, got none: frozen "
            f"are the layers {', '.join(dict.fromkeys(frozen))}"
        )


# ---- Units ----


@dataclass
class _Hidden:
    """A hidden Dense whose units can be taken out, and the Dense that reads them."""

    index: int
    between: list[Activation]
    reader: int


def _hidden(net: Network) -> list[_Hidden]:
    """Dense layers followed, through activations and dropout alone, by another."""
    found = []
    for index, layer in enumerate(net.layers):
        reader = index + 1
        while reader < len(net.layers) and isinstance(net.layers[reader], Activation | Dropout):
            reader += 1
        if isinstance(layer, Dense) and reader < len(net.layers) and isinstance(net.layers[reader], Dense):
            between = [one for one in net.layers[index + 1 : reader] if isinstance(one, Activation)]
            found.append(_Hidden(index, between, reader))
    return found


def shrink(net: Network, share: float, *, skip: tuple[str, ...] = ()) -> Network:
    """A smaller network without the least important units of its hidden layers.

    A unit counts as much as the norm of its incoming weights times that of its outgoing ones. Hidden layers
    that something else than an activation, dropout and another Dense follows, as inside a Residual, stay as
    they are. The network is a new one that predicts something else; train it on.

    Parameters
    ----------
    net : Network
        Not changed.
    share : float
        In [0, 1): the share of the units of each hidden layer to take out, rounded down.
    skip : list of str, default ()
        Layers left alone, by position: "2".

    Returns
    -------
    Network

    Examples
    --------
    >>> from gradcore import Dense, Network, pruning
    >>> pruning.shrink(Network([Dense(8, "relu"), Dense(2)], inputs=4), 0.5)
    Network([Dense(4, 'relu'), Dense(2)], inputs=4)
    """
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    part = number(share, "share")
    if not _SPARSITY.contains(part):
        raise ArgumentError(f"share: expected a number {_SPARSITY.text}, got {part}")
    left = check_layers(skip, "skip")
    values = net.parameters()
    kept: dict[int, Array] = {}
    for hidden in _hidden(net):
        if str(hidden.index) in left:
            continue
        incoming, outgoing = _around(net, hidden, values)
        importance = np.linalg.norm(incoming.astype(np.float64), axis=0) * np.linalg.norm(
            outgoing.astype(np.float64), axis=1
        )
        keep = _largest(importance, part)
        if not keep.all():
            _check_free(net, hidden)
        kept[hidden.index] = keep
    return _without_units(net, values, kept)


def _around(net: Network, hidden: _Hidden, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """What multiplies into a hidden layer and out of it."""
    incoming, outgoing = (
        effective_weight(net.layers[at], str(at), values) for at in (hidden.index, hidden.reader)
    )
    return incoming, outgoing


def _is_spectral(net: Network, at: int) -> bool:
    layer = net.layers[at]
    return isinstance(layer, Dense) and layer.spectral_norm


def _check_free(net: Network, hidden: _Hidden) -> None:
    for at in (hidden.index, hidden.reader):
        if _is_spectral(net, at):
            raise ArgumentError(
                f"net: expected layers without spectral_norm to take units out of, since what is left has "
                f"another largest singular value, got layers[{at}]: {net.layers[at]!r}; "
                f"skip=[{str(hidden.index)!r}] leaves the units of layers[{hidden.index}]"
            )


def compact(net: Network) -> Network:
    """The network without units that cannot matter: the same function, in smaller matrices.

    Those are units that nothing reads, all outgoing weights being 0, and units that are constant, all
    incoming weights being 0; what these give goes into the biases of the next layer, if it has any. A layer
    keeps at least one unit. Beside a layer with `spectral_norm` a unit stays unless its row or column there
    is 0 too, since the others make the largest singular value that the layer is divided by.

    Parameters
    ----------
    net : Network
        Not changed.

    Returns
    -------
    Network
        Its predictions are those of `net` up to rounding.
    """
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    values = net.parameters()
    kept: dict[int, Array] = {}
    for hidden in _hidden(net):
        incoming, outgoing = _around(net, hidden, values)
        read = np.any(outgoing, axis=1)
        constant: Array = ~np.any(incoming, axis=0) & read
        given = _constants(net, hidden, values)
        bias = f"{hidden.reader}.bias"
        if bias not in values:
            constant &= given == 0
        keep: Array = read & ~constant
        if _is_spectral(net, hidden.index):
            keep |= np.any(values[f"{hidden.index}.weight"], axis=0)
        if _is_spectral(net, hidden.reader):
            keep |= np.any(values[f"{hidden.reader}.weight"], axis=1)
        constant &= ~keep
        if not keep.any():  # one stays, and goes on giving what it gives
            keep[0], constant[0] = True, False
        if bias in values:
            moved = given[constant].astype(np.float64) @ outgoing[constant].astype(np.float64)
            values[bias] = (values[bias] + moved).astype(net.dtype)
        kept[hidden.index] = keep
    return _without_units(net, values, kept)


def _constants(net: Network, hidden: _Hidden, values: Mapping[str, Array]) -> Array:
    """What the units give that no input reaches: their biases through the activations."""
    dense = net.layers[hidden.index]
    assert isinstance(dense, Dense)
    bias = values.get(f"{hidden.index}.bias", np.zeros(dense.units, net.dtype))
    chain = [dense.activation] if isinstance(dense.activation, Activation) else []
    if isinstance(dense.activation, str):
        chain = [Activation(dense.activation)]
    stages = [*chain, *hidden.between]
    if not stages:
        return bias
    alone = Network(stages, inputs=dense.units, dtype=net.dtype, threads=1)
    given: Array = alone.predict(bias.reshape(1, -1))[0]
    return given


def _without_units(net: Network, values: dict[str, Array], kept: Mapping[int, Array]) -> Network:
    layers = list(net.layers)
    for hidden in _hidden(net):
        keep = kept.get(hidden.index)
        dense = layers[hidden.index]
        if keep is None or keep.all() or not isinstance(dense, Dense):
            continue
        layers[hidden.index] = replace(dense, units=int(keep.sum()))
        _keep_rows(net, hidden.reader, values, keep)
        for role in ("weight", "magnitude", "bias", "right"):
            name = f"{hidden.index}.{role}"
            if name in values:
                values[name] = values[name][..., keep]
    made = Network(
        layers,
        net.inputs,
        seed=net.seed,
        dtype=net.dtype,
        threads=net._threads,
        isa=net._isa,
        flush_denormals=net._flush_denormals,
    )
    made.set_parameters(values)
    made._take_inputs(net)
    made.metadata = dict(net.metadata)
    return made


def _keep_rows(net: Network, at: int, values: dict[str, Array], keep: Array) -> None:
    """Leave some inputs of a layer; what multiplies them stays."""
    position, layer = str(at), net.layers[at]
    rows = effective_weight(layer, position, values)[keep]
    for role in ("weight", "left"):
        if f"{position}.{role}" in values:
            values[f"{position}.{role}"] = values[f"{position}.{role}"][keep]
    if not _is_spectral(net, at):
        name = f"{position}.weight"
        values |= split(layer, position, values, rows, net.seed, net._index[name])
