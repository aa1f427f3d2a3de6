"""Second-order products of a network: exact Hessian-vector products, Gauss-Newton ones, and Jacobians.

A network becomes a list of nodes, each with its forward, its tangent (how outputs change along a direction of
the parameters), its backward, and the tangent of its backward. Sums over rows run in the kernels of the
training step, so that results have the same bits for any number of threads and instruction set.

Reference: Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..errors import ArgumentError, ShapeError
from ..layers.activation import Activation
from ..layers.base import Layer
from ..layers.dense import Dense
from ..layers.dropout import Dropout
from ..layers.residual import Residual
from ..layers.standardize import Standardize
from ..optimizers.interface import Model
from ..validation.arrays import Array, as_array, as_dtype, as_weights, check_finite
from . import inputs
from .compiled import Compiled
from .effective import is_rescaled

if TYPE_CHECKING:
    from ..losses.base import Loss

Values = Mapping[str, Array]


# ---- Second derivatives of activations, from argument, value and first derivative ----


def _flat(z: Array, y: Array, d: Array) -> Array:
    return np.zeros_like(z)


def _exponential(z: Array, y: Array, d: Array) -> Array:
    """Of elu and selu: below 0 all derivatives are alike."""
    return d * (z <= 0)


def _gelu(z: Array, y: Array, d: Array) -> Array:
    square = np.minimum(np.abs(z), 40.0) ** 2  # beyond, the density is 0 and so is the result
    bell = _core.activation_forward("elu", -0.5 * square, None, 1.0) + 1
    second: Array = bell * (2 - square) / math.sqrt(2 * math.pi)
    return second


def _silu(z: Array, y: Array, d: Array) -> Array:
    s = _core.activation_forward("sigmoid", z, None, 0.0)
    slope = s * (1 - s)
    second: Array = slope * (2 + z * (1 - 2 * s))
    return second


SECOND: dict[str, Callable[[Array, Array, Array], Array]] = {
    "identity": _flat,
    "relu": _flat,
    "leaky_relu": _flat,
    "tanh": lambda z, y, d: -2 * y * d,
    "sigmoid": lambda z, y, d: d * (1 - 2 * y),
    "elu": _exponential,
    "selu": _exponential,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": lambda z, y, d: _core.activation_backward("sigmoid", z, np.ones_like(z), None, 0.0),
}


# ---- Losses: product of the Hessian by the outputs with a tangent, row by row ----


def _mse(z: Array, target: Array, slope: Array) -> Callable[[Array], Array]:
    return lambda r: r * z.dtype.type(2 / z.shape[1])


def _binary_cross_entropy(z: Array, target: Array, slope: Array) -> Callable[[Array], Array]:
    bend = _core.activation_backward("sigmoid", z, np.full_like(z, 1 / z.shape[1]), None, 0.0)
    return lambda r: r * bend


def _cross_entropy(z: Array, target: Array, slope: Array) -> Callable[[Array], Array]:
    share = slope.copy()  # softmax - target, which is a label or a row of probabilities
    if target.ndim == 2:
        share += target
    else:
        share[np.arange(len(z)), target] += 1
    return lambda r: share * (r - (share * r).sum(axis=1, keepdims=True))


LOSSES: dict[str, Callable[[Array, Array, Array], Callable[[Array], Array]]] = {
    "mse": _mse,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
}


# ---- Nodes ----


class Node:
    """A step of the network; `forward` and `tangent` keep what the later passes need."""

    def forward(self, x: Array) -> Array:
        """The output."""
        raise NotImplementedError

    def tangent(self, rx: Array | None, v: Values) -> Array | None:
        """The change of the output with a change `rx` of the input and `v` of the parameters; None: none."""
        raise NotImplementedError

    def backward(self, d: Array, out: dict[str, Array]) -> Array:
        """Gradients into `out`; the derivative by the input."""
        raise NotImplementedError

    def bend(self, d: Array, rd: Array, v: Values, out: dict[str, Array]) -> tuple[Array, Array]:
        """The tangent of `backward` into `out`; derivative by the input and its tangent."""
        raise NotImplementedError

    def rows(self, d: Array, out: dict[str, Array]) -> Array:
        """`backward` of each row for itself, for d (rows, k, width): arrays (rows, k, ...) into `out`."""
        raise NotImplementedError


class _Linear(Node):
    def __init__(self, position: str, values: Values, threads: int) -> None:
        self.weight, self.bias = f"{position}.weight", f"{position}.bias"
        self.w, self.b = values[self.weight], values.get(self.bias)
        self.threads = threads

    def _product(self, a: Array, b: Array, bias: Array | None = None) -> Array:
        return _core.gemm(a, b, bias, None, self.threads)

    def _sums(self, d: Array, out: dict[str, Array]) -> None:
        if self.b is not None:
            out[self.bias] = self._product(np.ones((1, len(d)), d.dtype), d)[0]

    def forward(self, x: Array) -> Array:
        self.x = x
        return self._product(x, self.w, self.b)

    def tangent(self, rx: Array | None, v: Values) -> Array | None:
        self.rx = rx
        change = self._product(self.x, v[self.weight], v.get(self.bias))
        return change if rx is None else change + self._product(rx, self.w)

    def backward(self, d: Array, out: dict[str, Array]) -> Array:
        out[self.weight] = self._product(self.x.T, d)
        self._sums(d, out)
        return self._product(d, self.w.T)

    def bend(self, d: Array, rd: Array, v: Values, out: dict[str, Array]) -> tuple[Array, Array]:
        out[self.weight] = self._product(self.x.T, rd)
        if self.rx is not None:
            out[self.weight] += self._product(self.rx.T, d)
        self._sums(rd, out)
        changed = self._product(rd, self.w.T) + self._product(d, v[self.weight].T)
        return self._product(d, self.w.T), changed

    def rows(self, d: Array, out: dict[str, Array]) -> Array:
        out[self.weight] = self.x[:, None, :, None] * d[:, :, None, :]
        if self.b is not None:
            out[self.bias] = d
        width = d.shape[2]
        return self._product(d.reshape(-1, width), self.w.T).reshape(*d.shape[:2], -1)


class _Elementwise(Node):
    def __init__(self, name: str, alpha: float) -> None:
        self.name, self.alpha = name, alpha

    def forward(self, x: Array) -> Array:
        self.z = x
        self._second: Array | None = None
        self.y = _core.activation_forward(self.name, x, None, self.alpha)
        self.slope = _core.activation_backward(self.name, x, np.ones_like(x), None, self.alpha)
        return self.y

    @property
    def second(self) -> Array:
        """Only the Hessian needs it."""
        if self._second is None:
            self._second = SECOND[self.name](self.z, self.y, self.slope)
        return self._second

    def tangent(self, rx: Array | None, v: Values) -> Array | None:
        self.rx = rx
        return None if rx is None else rx * self.slope

    def backward(self, d: Array, out: dict[str, Array]) -> Array:
        return d * self.slope

    def bend(self, d: Array, rd: Array, v: Values, out: dict[str, Array]) -> tuple[Array, Array]:
        changed = rd * self.slope
        return d * self.slope, changed if self.rx is None else changed + d * self.second * self.rx

    def rows(self, d: Array, out: dict[str, Array]) -> Array:
        return d * self.slope[:, None, :]


class _Scale(Node):
    def __init__(self, position: str, values: Values) -> None:
        self.mean, self.factor = values[f"{position}.mean"], values[f"{position}.inverse_std"]

    def forward(self, x: Array) -> Array:
        return np.ascontiguousarray((x - self.mean) * self.factor)

    def tangent(self, rx: Array | None, v: Values) -> Array | None:
        return None if rx is None else rx * self.factor

    def backward(self, d: Array, out: dict[str, Array]) -> Array:
        return d * self.factor

    def bend(self, d: Array, rd: Array, v: Values, out: dict[str, Array]) -> tuple[Array, Array]:
        return d * self.factor, rd * self.factor

    def rows(self, d: Array, out: dict[str, Array]) -> Array:
        return d * self.factor


class _Chain(Node):
    """Nodes one after the other; with `skip`, plus the input."""

    def __init__(self, nodes: Sequence[Node], skip: bool) -> None:
        self.nodes, self.skip = nodes, skip

    def forward(self, x: Array) -> Array:
        y = x
        for node in self.nodes:
            y = node.forward(y)
        return x + y if self.skip else y

    def tangent(self, rx: Array | None, v: Values) -> Array | None:
        ry = rx
        for node in self.nodes:
            ry = node.tangent(ry, v)
        return ry if rx is None or ry is None or not self.skip else rx + ry

    def backward(self, d: Array, out: dict[str, Array]) -> Array:
        dx = d
        for node in reversed(self.nodes):
            dx = node.backward(dx, out)
        return d + dx if self.skip else dx

    def bend(self, d: Array, rd: Array, v: Values, out: dict[str, Array]) -> tuple[Array, Array]:
        dx, rdx = d, rd
        for node in reversed(self.nodes):
            dx, rdx = node.bend(dx, rdx, v, out)
        return (d + dx, rd + rdx) if self.skip else (dx, rdx)

    def rows(self, d: Array, out: dict[str, Array]) -> Array:
        dx = d
        for node in reversed(self.nodes):
            dx = node.rows(dx, out)
        return d + dx if self.skip else dx


def _elementwise(activation: str | Activation | None) -> Iterator[Node]:
    if isinstance(activation, Activation):
        name, alpha = activation.name, activation.alpha
    else:
        name, alpha = activation or "identity", None
    if name != "identity":
        default = float(_core.describe("activation", name, "alpha") or 0.0)
        yield _Elementwise(name, default if alpha is None else alpha)


def _nodes(layer: Layer, position: str, values: Values, threads: int) -> Iterator[Node]:
    if isinstance(layer, Dense):
        yield _Linear(position, values, threads)
        yield from _elementwise(layer.activation)
    elif isinstance(layer, Activation):
        yield from _elementwise(layer)
    elif isinstance(layer, Standardize):
        yield _Scale(position, values)
    elif isinstance(layer, Residual):
        inner = [
            node
            for index, part in enumerate(layer.layers)
            for node in _nodes(part, f"{position}.{index}", values, threads)
        ]
        yield _Chain(inner, True)


def check_supported(model: Model, loss: Loss) -> None:
    """Refuse layers, activations and losses without second derivatives here."""
    known: set[str] = set()
    for position, inner in model.places.items():
        if not isinstance(inner, Dense | Activation | Standardize | Residual | Dropout):
            raise ArgumentError(
                f"layers[{position}]: expected Dense, Activation, Standardize, Residual or Dropout "
                f"for second-order products, got {inner!r}"
            )
        if is_rescaled(inner):
            raise ArgumentError(
                f"layers[{position}]: expected Dense without weight_norm and spectral_norm "
                f"for second-order products, got {inner!r}"
            )
        activation = inner.activation if isinstance(inner, Dense) else inner
        name = activation.name if isinstance(activation, Activation) else activation
        if isinstance(name, str) and name not in SECOND:
            raise ArgumentError(
                f"layers[{position}]: expected one of the activations {', '.join(SECOND)} "
                f"for second-order products, got {name}"
            )
        if isinstance(inner, Dense):
            known |= {f"{position}.weight", f"{position}.bias"}
    for info in model.infos:
        if info["trainable"] and info["name"] not in known:
            raise ArgumentError(
                f"{info['name']}: expected parameters of Dense layers alone for second-order products"
            )
    if model.penalized:
        raise ArgumentError(
            "net: expected no penalties for second-order products (use weight_decay), got some"
        )
    if loss.name not in LOSSES or loss != type(loss)():
        raise ArgumentError(
            f"loss: expected one of {', '.join(LOSSES)}, without options, for second-order products, "
            f"got {loss!r}"
        )


class Curvature:
    """The loss of one batch near one set of parameters, in evaluation mode.

    Parameters
    ----------
    model : Compiled
        Its layers; the parameters are `values`.
    values : dict of name to array
    x, target, weight
        As `Trainer._batch` returns them.
    loss : Loss
    """

    def __init__(
        self, model: Compiled, values: Values, x: Array, target: Array, weight: Array | None, loss: Loss
    ) -> None:
        nodes = [
            node
            for index, layer in enumerate(model.layers)
            for node in _nodes(layer, str(index), values, model.core.threads)
        ]
        self._chain = _Chain(nodes, False)
        self._names = [info["name"] for info in model.infos if info["trainable"]]
        self.outputs = np.ascontiguousarray(self._chain.forward(np.ascontiguousarray(x)))
        _, mean_slope = _core.loss(loss.name, self.outputs, np.ascontiguousarray(target), True)
        assert mean_slope is not None
        slope = mean_slope * x.dtype.type(len(x))
        part = np.full(len(x), 1 / len(x)) if weight is None else weight / weight.sum()
        self._share = part.astype(x.dtype)[:, None]
        self._slope = slope * self._share
        self._bend = LOSSES[loss.name](self.outputs, target, slope)

    def _tangent(self, v: Values) -> Array:
        r = self._chain.tangent(None, v)
        return np.zeros_like(self.outputs) if r is None else r

    def _in_order(self, found: dict[str, Array]) -> dict[str, Array]:
        return {name: found[name] for name in self._names}

    def hessian(self, v: Values) -> dict[str, Array]:
        """The product of the Hessian with `v`."""
        found: dict[str, Array] = {}
        r = self._tangent(v)
        self._chain.bend(self._slope, self._bend(r) * self._share, v, found)
        return self._in_order(found)

    def gauss_newton(self, v: Values) -> dict[str, Array]:
        """The product of ``J^T H J`` with `v`; J is the outputs' Jacobian, H the loss's Hessian by them."""
        found: dict[str, Array] = {}
        r = self._tangent(v)
        self._chain.backward(self._bend(r) * self._share, found)
        return self._in_order(found)

    def jacobian(self) -> Array:
        """Of the outputs, row by row: (rows, outputs, trainable numbers)."""
        rows, outputs = self.outputs.shape
        unit = np.broadcast_to(np.eye(outputs, dtype=self.outputs.dtype), (rows, outputs, outputs))
        found: dict[str, Array] = {}
        self._chain.rows(np.ascontiguousarray(unit), found)
        parts = [part.reshape(rows, outputs, -1) for part in self._in_order(found).values()]
        return np.concatenate(parts, axis=2)


def product(
    model: Compiled, X: object, y: object, loss: Loss, v: Any, sample_weight: object, kind: str
) -> dict[str, Array] | Array:
    """What `Network.hvp` and `Network.gnvp` return."""
    loss.check_outputs(model.outputs)
    check_supported(model, loss)
    x = inputs.convert(model, X, "X", finite=True)
    weight = None if sample_weight is None else as_weights(sample_weight, "sample_weight", len(x))
    y, classes = loss.numbered(y, model.classes, model.outputs, "y")
    loss = loss.named({**model.classes, **classes})
    target = loss.target(loss.filled(y, weight, "y"), len(x), model.outputs, model.dtype)
    check_finite(target, "y")
    infos = [info for info in model.infos if info["trainable"]]
    names = [info["name"] for info in infos]
    if isinstance(v, Mapping):
        if set(v) != set(names):
            raise ArgumentError(f"v: expected the names {', '.join(names)}, got {', '.join(map(str, v))}")
        parts = model.checked(v)
        direction = {name: parts[model.index[name]] for name in names}
    else:
        given = as_array(v, "v")
        split(given, infos, "v")  # compares shapes before anything is converted
        flat = np.ascontiguousarray(as_dtype(given, "v", model.dtype))
        direction = split(flat, infos, "v")
        check_finite(flat, "v")
    curvature = Curvature(model, model.core_parameters(), x, target, weight, loss)
    found = curvature.hessian(direction) if kind == "hessian" else curvature.gauss_newton(direction)
    return found if isinstance(v, Mapping) else np.concatenate([part.reshape(-1) for part in found.values()])


def split(flat: Array, infos: Sequence[Any], name: str) -> dict[str, Array]:
    """A flat vector as views by parameter name."""
    sizes = [math.prod(info["shape"]) for info in infos]
    if flat.shape != (sum(sizes),):
        raise ShapeError(f"{name}: expected shape ({sum(sizes)},) or a dict of arrays, got {flat.shape}")
    parts, start = {}, 0
    for info, size in zip(infos, sizes, strict=True):
        parts[info["name"]] = flat[start : start + size].reshape(info["shape"])
        start += size
    return parts
