"""Networks without their BatchNorm layers, for prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

import numpy as np

from ..layers.activation import Activation
from ..layers.base import Layer
from ..layers.dense import Dense
from ..layers.norms import BatchNorm
from ..layers.residual import Residual
from ..validation.arrays import Array

Parameters = dict[str, Array]
Node = tuple[Layer, Parameters]  # the names of its parameters begin behind its position


def folded(layers: Sequence[Layer], parameters: Parameters) -> tuple[list[Layer], Parameters]:
    """The layers without the BatchNorms that a Dense beside them can take in, and their parameters."""
    exact = {name: value.astype(np.float64) for name, value in parameters.items()}
    nodes = _fold(layers, "", exact)
    names = {f"{i}.{name}": value for i, (_, own) in enumerate(nodes) for name, value in own.items()}
    return [layer for layer, _ in nodes], names


def _fold(layers: Sequence[Layer], prefix: str, parameters: Parameters) -> list[Node]:
    nodes: list[Node] = []
    for index, layer in enumerate(layers):
        node = _node(layer, f"{prefix}{index}.", parameters)
        if nodes and isinstance(layer, BatchNorm) and _is_linear(nodes[-1][0]):
            nodes[-1] = _into_dense_before(nodes[-1], *_line(node))
        elif nodes and isinstance(nodes[-1][0], BatchNorm) and _is_plain(layer):
            nodes[-1] = _into_dense_after(node, *_line(nodes[-1]))
        else:
            nodes.append(node)
    return nodes


def _node(layer: Layer, prefix: str, parameters: Parameters) -> Node:
    own = {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}
    if not isinstance(layer, Residual):
        return layer, own
    inner = _fold(layer.layers, prefix, parameters)
    names = {f"{i}.{name}": value for i, (_, values) in enumerate(inner) for name, value in values.items()}
    names |= {name: own[name] for name in ("projection", "gain") if name in own}
    block = Residual(*[kept for kept, _ in inner], projection=layer.projection, gain=layer.gain)
    return block, names


def _is_plain(layer: Layer) -> TypeGuard[Dense]:
    return isinstance(layer, Dense) and not layer.weight_norm and not layer.spectral_norm


def _is_linear(layer: Layer) -> bool:
    if not _is_plain(layer):
        return False
    name = layer.activation.name if isinstance(layer.activation, Activation) else layer.activation
    return name in (None, "identity")


def _line(node: Node) -> tuple[Array, Array]:
    """scale and shift of what a BatchNorm does in evaluation mode: x * scale + shift."""
    layer, own = node
    assert isinstance(layer, BatchNorm)
    scale = own.get("gamma", 1.0) / np.sqrt(own["running_var"] + layer.eps)
    return scale, own.get("beta", 0.0) - own["running_mean"] * scale


def _into_dense_before(node: Node, scale: Array, shift: Array) -> Node:
    layer, own = node
    assert isinstance(layer, Dense)
    bias = own.get("bias", 0.0) * scale + shift
    return replace(layer, bias=True), {"weight": own["weight"] * scale, "bias": bias}


def _into_dense_after(node: Node, scale: Array, shift: Array) -> Node:
    layer, own = node
    assert isinstance(layer, Dense)
    bias = own.get("bias", 0.0) + shift @ own["weight"]
    return replace(layer, bias=True), {"weight": own["weight"] * scale[:, None], "bias": bias}
