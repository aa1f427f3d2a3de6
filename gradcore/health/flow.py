"""Gradient flow: what every layer and every trainable parameter gets, on one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ArgumentError, DTypeError
from ..losses.base import Loss
from ..network import inputs
from ..network.compiled import Compiled
from ..network.effective import Values, effective_weight, norm_of_gradient
from ..network.network import Network, compiled_of
from ..optimizers import SGD
from ..training.trainer import Targets, Trainer, state_of
from ..validation.arrays import Array
from ..validation.checks import shown

if TYPE_CHECKING:
    from ..losses.custom import LossFunction

__all__ = ["ActivationFlow", "GradientFlow", "LayerFlow", "ParameterFlow", "gradient_flow"]


@dataclass(frozen=True)
class LayerFlow:
    """One weighted layer on one batch.

    Attributes
    ----------
    name : str
        The layer's position.
    gradient_norm, weight_norm : float
        2-norms of the gradient by the weight that multiplies x, and of that weight. Where other parameters
        make it (`weight_norm`, `spectral_norm`), the gradient is the part of it that they can follow.
    ratio : float
        gradient_norm / weight_norm; 0 for a zero weight.
    mean, std : float
        Of the layer's outputs.
    zeros : float
        Share of its outputs that are exactly 0.
    dead : float
        Share of its units that are dead: exactly 0 for every row, or on a flat side, whatever the value
        there, for every row.
    flat : float
        Share of its outputs on a flat side of its activation: see `ActivationFlow`; 0 without one.
    """

    name: str
    gradient_norm: float
    weight_norm: float
    ratio: float
    mean: float
    std: float
    zeros: float
    dead: float
    flat: float = 0.0


@dataclass(frozen=True)
class ActivationFlow:
    """One elementwise function f on one batch: of a layer with an activation, or a layer of its own.

    Attributes
    ----------
    name : str
        The layer's position.
    mean, std : float
        Of the layer's outputs.
    zeros : float
        Share of its outputs that are exactly 0.
    flat : float
        Share of its outputs on a flat side: the derivative is less than 1 % of the function's largest, or of
        that at 0 where there is no largest (exponential). At just 1 %, as in leaky_relu by default, it is not
        flat. Of a `GLU` the gates count, of `PReLU` the slopes that it has learned.
    dead : float
        Share of its units that are exactly 0 for every row, or on a flat side, whatever the value there, for
        every row.
    """

    name: str
    mean: float
    std: float
    zeros: float
    flat: float
    dead: float


@dataclass(frozen=True)
class ParameterFlow:
    """One trainable parameter on one batch, as it is stored.

    Attributes
    ----------
    name : str
        As in `Network.parameters`.
    layer : str
        The position of its layer, as in `Network.activations`.
    role : str
        What it is to the layer: "weight", "bias", "gamma", "gain", "projection", "table" and so on.
    gradient_norm, norm : float
        2-norms of the gradient by it, and of the parameter itself.
    ratio : float
        gradient_norm / norm; 0 for a parameter of zeros.
    elements : int
        Its numbers.
    zeros : int
        How many of them have a gradient of exactly 0.
    frozen : bool
        Whether the optimizer leaves it as it is; its gradient is measured all the same.
    masked : int
        How many of its numbers a mask holds at 0.
    """

    name: str
    layer: str
    role: str
    gradient_norm: float
    norm: float
    ratio: float
    elements: int
    zeros: int
    frozen: bool = False
    masked: int = 0


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` found; iterating gives `rows`.

    Attributes
    ----------
    loss : float
    rows : tuple of LayerFlow
        One a weighted layer.
    activations : tuple of ActivationFlow
        One a position with an elementwise function, in the order of `Network.activations`.
    parameters : tuple of ParameterFlow
        All trainable ones, in the order of `Network.parameters`.
    """

    loss: float
    rows: tuple[LayerFlow, ...]
    activations: tuple[ActivationFlow, ...] = ()
    parameters: tuple[ParameterFlow, ...] = ()

    def __iter__(self) -> Iterator[LayerFlow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        """The layers, functions that are layers of their own, and the parameters, a table each."""
        head = ("layer", "|gradient|", "|weight|", "ratio", "mean", "std", "zeros", "flat", "dead")
        layers = [
            (
                row.name,
                *_numbers(row.gradient_norm, row.weight_norm, row.ratio, row.mean, row.std),
                *_shares(row.zeros, row.flat, row.dead),
            )
            for row in self.rows
        ]
        weighted = {row.name for row in self.rows}
        functions = [
            (one.name, *_numbers(one.mean, one.std), *_shares(one.zeros, one.flat, one.dead))
            for one in self.activations
            if one.name not in weighted
        ]
        parameters = [
            (
                one.name,
                *_numbers(one.gradient_norm, one.norm, one.ratio),
                f"{one.zeros} of {one.elements}",
                ", ".join(["frozen"] * one.frozen + [f"{one.masked} masked"] * bool(one.masked)),
            )
            for one in self.parameters
        ]
        tables = (
            _table(head, layers),
            _table(("activation", "mean", "std", "zeros", "flat", "dead"), functions),
            _table(("parameter", "|gradient|", "|value|", "ratio", "without gradient", ""), parameters),
        )
        return "\n\n".join([*filter(None, tables), f"loss {self.loss:.4g}"])


def _numbers(*values: float) -> list[str]:
    return [f"{x:.3g}" for x in values]


def _shares(*values: float) -> list[str]:
    return [f"{100 * x:.0f} %" for x in values]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned on the right; nothing without rows."""
    if not rows:
        return ""
    cells = [head, *rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def gradient_flow(
    model: Trainer | Network,
    X: ArrayLike,
    y: Targets,
    *,
    loss: Loss | str | LossFunction | Mapping[str, Loss | str] | None = None,
) -> GradientFlow:
    """How gradients and signals go through a network, on one batch: every weighted layer, every activation,
    every trainable parameter.

    Gradients are those of the next step, in training mode, before clipping and without weight decay; outputs
    are those of evaluation mode. Nothing is changed.

    Parameters
    ----------
    model : Trainer or Network
    X : array-like (rows, inputs)
    y : array-like
        Targets as the loss takes them; with `Heads` a dict of such by head.
    loss : Loss, str or function
        Only for a Network, which has none of its own; with `Heads` a dict of such by head.

    Returns
    -------
    GradientFlow
        A table of it is its ``str``.

    Raises
    ------
    ArgumentError
        If a Trainer comes with a `loss`, or a Network without.
    ShapeError, DTypeError, ArgumentError
        If X or y is not such an array, or `model` neither.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, health
    >>> net = Network([Dense(4, "relu"), Dense(2)], inputs=3)
    >>> flow = health.gradient_flow(net, np.eye(3), [0, 1, 1], loss="cross_entropy")
    >>> [row.name for row in flow]
    ['0', '1']
    >>> [parameter.name for parameter in flow.parameters if parameter.gradient_norm > 0]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """
    if isinstance(model, Trainer):
        if loss is not None:
            raise ArgumentError("loss: expected none for a Trainer, which has its own")
        trainer = model
    elif isinstance(model, Network):
        if loss is None:
            raise ArgumentError("loss: expected a loss for a Network, got none")
        trainer = Trainer(model, loss, SGD(1.0))
    else:
        raise DTypeError(f"model: expected a Trainer or a Network, got {shown(model)}")
    net = trainer.net
    value, gradients = trainer.gradients(X, y)
    measured = _Measured(compiled_of(net), X, gradients, net.parameters(), net.activations(X))
    return GradientFlow(
        value, tuple(measured.rows()), tuple(measured.activations()), tuple(measured.parameters(trainer))
    )


class _Measured:
    """A network on one batch."""

    def __init__(
        self, compiled: Compiled, X: ArrayLike, gradients: Values, values: Values, outputs: Values
    ) -> None:
        self.compiled, self.gradients, self.values, self.outputs = compiled, gradients, values, outputs
        self.x = inputs.convert(compiled, X, "X")
        self.weights = [name.removesuffix(".weight") for name in gradients if name.endswith(".weight")]
        own: dict[str, dict[str, Array]] = {position: {} for position in compiled.places}
        for name, value in values.items():
            position, _, last = name.rpartition(".")
            own[position][last] = value
        self.flat = {position: self._flat(position, own[position]) for position in outputs}

    def rows(self) -> Iterator[LayerFlow]:
        for position in self.weights:
            layer = self.compiled.places[position]
            gradient_norm = norm_of_gradient(layer, position, self.gradients, self.values)
            weight_norm = _norm(effective_weight(layer, position, self.values))
            mean, std, zeros, flat, dead = self._of_outputs(position)
            ratio = gradient_norm / weight_norm if weight_norm else 0.0
            yield LayerFlow(position, gradient_norm, weight_norm, ratio, mean, std, zeros, dead, flat)

    def activations(self) -> Iterator[ActivationFlow]:
        for position, flat in self.flat.items():
            if flat is not None:
                yield ActivationFlow(position, *self._of_outputs(position))

    def parameters(self, trainer: Trainer) -> Iterator[ParameterFlow]:
        state, infos = state_of(trainer), self.compiled.infos
        frozen, masks = state.frozen(), state.masks
        for name, gradient in self.gradients.items():
            at = self.compiled.index[name]
            gradient_norm, norm = _norm(gradient), _norm(self.values[name])
            yield ParameterFlow(
                name=name,
                layer=self._layer_of(name),
                role=infos[at]["role"],
                gradient_norm=gradient_norm,
                norm=norm,
                ratio=gradient_norm / norm if norm else 0.0,
                elements=gradient.size,
                zeros=gradient.size - int(np.count_nonzero(gradient)),
                frozen=at in frozen,
                masked=int(np.count_nonzero(~masks[name])) if name in masks else 0,
            )

    def _of_outputs(self, position: str) -> tuple[float, float, float, float, float]:
        """Mean, deviation, zeros, flat, dead."""
        output, flat = self.outputs[position], self.flat[position]
        zero = output == 0
        dead = zero.all(axis=0)
        if flat is not None:
            dead |= flat.all(axis=0)
        with np.errstate(all="ignore"):  # the outputs may be infinite
            mean, std = float(output.mean(dtype=np.float64)), float(output.std(dtype=np.float64))
        return (
            mean,
            std,
            float(zero.mean()),
            0.0 if flat is None else float(flat.mean()),
            float(dead.mean()),
        )

    def _flat(self, position: str, own: dict[str, Array]) -> NDArray[np.bool_] | None:
        """Outputs on a flat side; None where there is no elementwise function."""
        layer = self.compiled.places[position]
        if position in self.weights:
            own["weight"] = effective_weight(layer, position, self.values)
        return layer.flat(self._entering(position), own)

    def _entering(self, position: str) -> Array:
        """What the layer at a position gets: the output of the one before it, or the input of its block."""
        block, _, at = position.rpartition(".")
        while at == "0" and block:
            while block not in self.compiled.places:  # the name of a head
                block = block.rpartition(".")[0]
            block, _, at = block.rpartition(".")
        if at == "0":
            return self.x
        return self.outputs[f"{block}.{int(at) - 1}" if block else str(int(at) - 1)]

    def _layer_of(self, name: str) -> str:
        """The position of a parameter's layer, which has an output: tables of an Embedding have none."""
        position = name.rpartition(".")[0]
        while position not in self.outputs:
            position = position.rpartition(".")[0]
        return position


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))
