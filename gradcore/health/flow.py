"""Gradient flow: one row a weight, from the first layer to the last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ArgumentError, DTypeError
from ..losses.base import Loss
from ..network.effective import Values, effective_weight, norm_of_gradient
from ..network.network import Network, compiled_of
from ..optimizers import SGD
from ..training.trainer import Trainer
from ..validation.arrays import Array
from ..validation.checks import shown

__all__ = ["GradientFlow", "LayerFlow", "gradient_flow"]


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
        Share of its units that are exactly 0 for every row.
    """

    name: str
    gradient_norm: float
    weight_norm: float
    ratio: float
    mean: float
    std: float
    zeros: float
    dead: float


@dataclass(frozen=True)
class GradientFlow:
    """What `gradient_flow` found: the loss, and a row for every weighted layer."""

    loss: float
    rows: tuple[LayerFlow, ...]

    def __iter__(self) -> Iterator[LayerFlow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        head: tuple[str, ...] = ("layer", "|gradient|", "|weight|", "ratio", "mean", "std", "zeros", "dead")
        cells = [head]
        for row in self.rows:
            numbers = (row.gradient_norm, row.weight_norm, row.ratio, row.mean, row.std)
            shares = (row.zeros, row.dead)
            cells.append((row.name, *(f"{x:.3g}" for x in numbers), *(f"{100 * x:.0f} %" for x in shares)))
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        lines = [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in cells
        ]
        return "\n".join([*lines, f"loss {self.loss:.4g}"])


def gradient_flow(
    model: Trainer | Network, X: ArrayLike, y: ArrayLike, *, loss: Loss | str | None = None
) -> GradientFlow:
    """Norms of gradients and weights and statistics of the outputs of every weighted layer, on one batch.

    Nothing is changed.

    Parameters
    ----------
    model : Trainer or Network
    X : array-like (rows, inputs)
    y : array-like
        Targets as the loss takes them.
    loss : Loss or str
        Only for a Network, which has none of its own.

    Returns
    -------
    GradientFlow

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, health
    >>> net = Network([Dense(4, "relu"), Dense(2)], inputs=3)
    >>> flow = health.gradient_flow(net, np.eye(3), [0, 1, 1], loss="cross_entropy")
    >>> [row.name for row in flow]
    ['0', '1']
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
    value, gradients = trainer.gradients(X, y)
    outputs = trainer.net.activations(X)
    values = trainer.net.parameters()
    rows = (
        _row(trainer.net, name.removesuffix(".weight"), gradients, values, outputs)
        for name in gradients
        if name.endswith(".weight")
    )
    return GradientFlow(value, tuple(rows))


def _row(net: Network, position: str, gradients: Values, values: Values, outputs: Values) -> LayerFlow:
    layer, output = compiled_of(net).places[position], outputs[position]
    gradient_norm = norm_of_gradient(layer, position, gradients, values)
    weight_norm = _norm(effective_weight(layer, position, values))
    zero = output == 0
    return LayerFlow(
        name=position,
        gradient_norm=gradient_norm,
        weight_norm=weight_norm,
        ratio=gradient_norm / weight_norm if weight_norm else 0.0,
        mean=float(output.mean(dtype=np.float64)),
        std=float(output.std(dtype=np.float64)),
        zeros=float(zero.mean()),
        dead=float(zero.all(axis=0).mean()),
    )


def _norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))
