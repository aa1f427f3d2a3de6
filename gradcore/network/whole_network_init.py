"""Initial values that need the whole network: from data (LSUV), from its depth (Fixup, depth_scaled).

"Weights" are those that multiply x: see `effective`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..errors import ArgumentError, DTypeError, StateError
from ..validation.arrays import Array, as_dtype
from ..validation.checks import flag, integer, number, shown
from . import inputs
from .compiled import Compiled
from .effective import check_free, of_network, stored_weights
from .network import Network, compiled_of, network_of

if TYPE_CHECKING:
    from ..layers.base import Layer

__all__ = ["depth_scaled", "fixup", "lsuv"]


def lsuv(net: Network, X: ArrayLike, *, tolerance: float = 0.01, tries: int = 5) -> dict[str, float]:
    """Orthogonal weights, then layer by layer scaled until what a layer gives on X has variance 1.

    Of every layer with weights, in order: they become orthogonal, drawn with the network's seed; then they
    are divided by the standard deviation of ``x W + b``, all rows and columns together and before the
    activation, until its square is within `tolerance` of 1. Biases, projections of residual blocks and other
    parameters stay. Dropout is off. A Standardize layer that has not been fitted is taken as fitted to X.
    With `weight_norm` the magnitudes are set too, so that it is the weight that multiplies x which is scaled.
    The network changes at the end and at once, or, where there is an error, not at all.

    Parameters
    ----------
    net : Network
    X : array-like (rows, inputs)
        A few hundred rows of the training data.
    tolerance : float, default 0.01
        In (0, 1).
    tries : int, default 5
        Divisions of one layer; more than one only where there are biases.

    Returns
    -------
    dict of str to float
        For each weight matrix the variance that its layer had with orthogonal weights.

    Raises
    ------
    StateError
        If a layer gives a constant or no finite number, or does not get within the tolerance.
    ArgumentError
        If the network has heads, or a layer with `spectral_norm`, whose weights have a size of their own.

    References
    ----------
    Mishkin and Matas, "All you need is a good init", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, initializers
    >>> net = Network([Dense(64, "tanh"), Dense(64, "tanh"), Dense(1)], inputs=10)
    >>> X = np.random.default_rng(0).normal(size=(500, 10))
    >>> list(initializers.lsuv(net, X))
    ['0.weight', '1.weight', '2.weight']
    >>> z = net.activations(X)["1"]
    >>> bool(abs(np.arctanh(z.astype(float)).var() - 1) < 0.02)
    True
    """
    model = _checked(net)
    tolerance, tries = number(tolerance, "tolerance"), integer(tries, "tries", 1, 1000)
    if not 0 < tolerance < 1:
        raise ArgumentError(f"tolerance: expected a number in (0, 1), got {tolerance}")
    if model.heads:
        raise ArgumentError(f"net: expected a network without Heads, got {net!r}")
    source = inputs.table(model, X, "X")
    if len(source.values) < 2:
        raise ArgumentError("X: expected at least 2 rows, got 1")
    inputs.cast(model, source, "X", finite=True, centre=model.centre)
    places = list(_walk(net.layers))
    check_free(model, [name for position, layer in places for name in _own(layer, position)], "lsuv")
    work = compiled_of(net.clone())
    if not work.standardized:
        work.set_scaling(inputs.learn(work, source, None, None))
    x = source.values  # which activations converts
    found: dict[str, float] = {}
    names = list(work.parameters())
    changed: set[str] = set()
    for position, layer in places:
        for name in _own(layer, position):
            rows, cols = work.read(name).shape
            values = _core.fill("orthogonal", net.seed, names.index(name), rows, cols, 1.0, 0.0)
            stored = stored_weights(work, {name: values.astype(net.dtype)})
            work.set_parameters(stored)
            changed |= stored.keys()
            found[name] = _to_unit_variance(work, x, position, name, tolerance, tries)
    net.set_parameters({name: value for name, value in work.parameters().items() if name in changed})
    return found


def _to_unit_variance(
    model: Compiled, x: Array, position: str, name: str, tolerance: float, tries: int
) -> float:
    """Scale one weight matrix; the variance it began with."""
    h = _inputs(model, x)[position]
    first = 0.0
    for attempt in range(tries + 1):
        weight = of_network(model, [name])[name]
        bias = model.parameters().get(f"{position}.bias")
        variance = _variance(_core.gemm(h, weight, bias, None))
        first = variance if attempt == 0 else first
        if not (math.isfinite(variance) and variance > 0):
            raise StateError(f"{name}: expected outputs of a variance above 0, got {variance}")
        if abs(variance - 1) <= tolerance:
            return first
        with np.errstate(over="ignore"):
            scaled = (weight / math.sqrt(variance)).astype(model.dtype)
        if not np.isfinite(scaled).all():
            raise StateError(f"{name}: expected outputs of a variance that weights can mend, got {variance}")
        model.set_parameters(stored_weights(model, {name: scaled}))
    raise StateError(
        f"{name}: expected variance 1 after {tries} divisions, got {variance}: are biases large?"
    )


def _variance(z: Array) -> float:
    """Of all elements, by the core's sums: NumPy's order differs from machine to machine."""
    row = z.astype(np.float64).reshape(1, -1)
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = row - _core.gemm(row, np.ones_like(row).T, None, None) / row.size
    return float(_core.gemm(deviation, deviation.T, None, None)[0, 0]) / row.size


def _inputs(model: Compiled, x: Array) -> dict[str, Array]:
    """What each layer gets, by position, in evaluation mode."""
    outputs = network_of(model).activations(x)
    found: dict[str, Array] = {}

    def follow(layers: tuple[Layer, ...], prefix: str, value: Array) -> None:
        for index, layer in enumerate(layers):
            position = f"{prefix}{index}"
            found[position] = np.ascontiguousarray(value)
            if hasattr(layer, "layers"):
                follow(layer.layers, f"{position}.", value)
            value = outputs[position]

    follow(model.layers, "", as_dtype(x, "X", model.dtype))
    return found


def _walk(layers: tuple[Layer, ...]) -> Iterator[tuple[str, Layer]]:
    for index, layer in enumerate(layers):
        yield from layer.walk(str(index))


def _own(layer: Layer, position: str) -> list[str]:
    """Names of a layer's own weight matrices: projections belong to skips, tables to codes."""
    return [name for name, _ in layer.matrices(1, position) if name == f"{position}.weight"]


def _blocks(net: Network) -> list[list[str]]:
    """The weight matrices of the own layers of every residual block that has some, in order."""
    found = []
    for position, layer in _walk(net.layers):
        inner = getattr(layer, "layers", ())
        own = [name for i, part in enumerate(inner) for name in _own(part, f"{position}.{i}")]
        if own:
            found.append(own)
    if not found:
        raise StateError("net: expected a Residual block with a layer that has weights, got none")
    return found


def _checked(net: object) -> Compiled:
    if not isinstance(net, Network):
        raise DTypeError(f"net: expected a Network, got {shown(net)}")
    return compiled_of(net)


def depth_scaled(net: Network) -> float:
    """Divide the last weights of every residual block by sqrt(blocks): their sum keeps its variance.

    Parameters
    ----------
    net : Network

    Returns
    -------
    float
        The factor, 1 / sqrt(blocks).

    Raises
    ------
    StateError
        If no residual block has weights.
    ArgumentError
        If one of these layers has `spectral_norm`, and there is more than one block.

    References
    ----------
    Radford et al., "Language Models are Unsupervised Multitask Learners" (GPT-2), 2019, section 2.3.

    Examples
    --------
    >>> from gradcore import Dense, Network, Residual, initializers
    >>> net = Network([Dense(8), *[Residual(Dense(32, "relu"), Dense(8))] * 4, Dense(1)], inputs=3)
    >>> initializers.depth_scaled(net)
    0.5
    """
    model = _checked(net)
    blocks = _blocks(net)
    factor = 1.0 / math.sqrt(len(blocks))
    if factor < 1.0:
        last = [own[-1] for own in blocks]
        check_free(model, last, "depth_scaled")
        weights = of_network(model, last)
        scaled = {name: (weight * factor).astype(net.dtype) for name, weight in weights.items()}
        net.set_parameters(stored_weights(model, scaled))
    return factor


def fixup(net: Network, *, head: bool = True) -> float:
    """Let residual blocks begin as the identity, and change by steps that fit their number, without norms.

    In each of L blocks with m weight matrices the last matrix becomes 0 and the others are multiplied by
    ``L ** (-1 / (2 m - 2))``; the network's last layer with weights becomes 0, with `Heads` that of every
    head. Begin from the default weights. Only layers that lie directly in a block count as its own. The
    scalar biases and multipliers of the paper are no part of it; biases that the layers have stay. With
    `weight_norm` a matrix becomes 0 by its magnitudes, and keeps the directions to train from.

    Parameters
    ----------
    net : Network
    head : bool, default True
        Whether the network's last layer with weights, outside of blocks, and its other parameters become 0.

    Returns
    -------
    float
        The smallest factor that was applied, 1 where every block has but one matrix.

    Raises
    ------
    StateError
        If no residual block has weights.
    ArgumentError
        If a layer to be scaled or to become 0 has `spectral_norm`.

    References
    ----------
    Zhang, Dauphin and Ma, "Fixup Initialization: Residual Learning Without Normalization", ICLR 2019.

    Examples
    --------
    >>> from gradcore import Dense, Network, Residual, initializers
    >>> net = Network([Dense(8), *[Residual(Dense(32, "relu"), Dense(8))] * 4, Dense(1)], inputs=3)
    >>> initializers.fixup(net)
    0.5
    >>> bool(net.parameters()["1.1.weight"].any())
    False
    """
    model = _checked(net)
    head = flag(head, "head")
    blocks = _blocks(net)
    stored = net.parameters()
    weights = of_network(model, [name for own in blocks for name in own])
    changed: dict[str, Array] = {}
    others: dict[str, Array] = {}
    smallest = 1.0
    for own in blocks:
        changed[own[-1]] = np.zeros_like(weights[own[-1]])
        factor = len(blocks) ** (-1.0 / (2 * len(own) - 2)) if len(own) > 1 else 1.0
        factor = float(np.float32(factor))  # C libraries differ in the last place of powers
        smallest = min(smallest, factor)
        if factor < 1.0:
            changed |= {name: (weights[name] * factor).astype(net.dtype) for name in own[:-1]}
    for own, position in _last_layers(net) if head else ():
        changed |= {name: np.zeros_like(stored[name]) for name in own}
        rest = [name for name in stored if name.rpartition(".")[0] == position and name not in own]
        others |= {name: np.zeros_like(stored[name]) for name in rest}
    check_free(model, changed, "fixup")
    net.set_parameters(others | stored_weights(model, changed))
    return smallest


def _last_layers(net: Network) -> Iterator[tuple[list[str], str]]:
    """Weights and position of the last layer with weights outside of blocks, with `Heads` of every head."""
    heads = getattr(net.layers[-1], "branches", ())
    stacks = [(f"{len(net.layers) - 1}.{name}.", layers) for name, layers in heads] or [("", net.layers)]
    for prefix, layers in stacks:
        weighted = [f"{prefix}{i}" for i, layer in enumerate(layers) if _own(layer, f"{prefix}{i}")]
        if weighted:
            at = int(weighted[-1].rpartition(".")[2])
            yield _own(layers[at], weighted[-1]), weighted[-1]
