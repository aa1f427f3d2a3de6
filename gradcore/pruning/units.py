"""Units taken out of a network.

"Weights" are those that multiply x: see `effective`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..clipping.base import layers as check_layers
from ..errors import ArgumentError, DTypeError
from ..layers.activation import Activation
from ..layers.dense import Dense
from ..layers.dropout import Dropout
from ..network.effective import effective_weight, split
from ..network.network import Network, compiled_of, network_of
from ..schedules.scalars import SHARE
from ..validation.arrays import Array
from ..validation.checks import number, shown
from .magnitude import largest

__all__ = ["compact", "shrink"]

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
    if not SHARE.contains(part):
        raise ArgumentError(f"share: expected a number {SHARE.text}, got {part}")
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
        keep = largest(importance, part)
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
    model = compiled_of(net)
    made = model.again(layers)
    made.set_parameters(values)
    made.take_inputs(model)
    made.metadata = dict(net.metadata)
    return network_of(made)


def _keep_rows(net: Network, at: int, values: dict[str, Array], keep: Array) -> None:
    """Leave some inputs of a layer; what multiplies them stays."""
    position, layer = str(at), net.layers[at]
    rows = effective_weight(layer, position, values)[keep]
    for role in ("weight", "left"):
        if f"{position}.{role}" in values:
            values[f"{position}.{role}"] = values[f"{position}.{role}"][keep]
    if not _is_spectral(net, at):
        name = f"{position}.weight"
        values |= split(layer, position, values, rows, net.seed, compiled_of(net).index[name])
