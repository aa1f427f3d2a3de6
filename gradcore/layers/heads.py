"""`Heads`: several named outputs from one trunk, and what that makes of a network's arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..validation.by_head import is_pair
from ..validation.checks import flag, shown
from .base import Layer, check_layers

if TYPE_CHECKING:
    from .._core import LayerSpec

__all__ = ["Heads"]

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_-]{{0,{_core.HEAD_NAME - 1}}}", re.ASCII)


@dataclass(frozen=True, init=False, repr=False)
class Heads(Layer):
    """Several named outputs: branches that start from the same value, each a layer or a list of layers.

    Only as the last layer of a network. `Network.predict` and `forward` then return a dict of arrays,
    `backward` and targets are dicts, and a Trainer takes a dict of losses: see `losses.PerHead`. Parameters
    are named by position, head and position in the head: ``2.steer.0.weight``.

    Parameters
    ----------
    branches : dict of name to Layer or list of Layer
        Names of 1 to 32 letters, digits, ``_`` and ``-``, beginning with a letter or ``_``. The order of the
        dict is that of the parameters.
    uncertainty : bool, default False
        Weigh the losses by learned variances: one trained parameter more, ``2.log_variance`` (heads,), zeros
        in the beginning, whose elements s make of a head's loss L the term ``exp(-s) L / 2 + s / 2`` for a
        regression loss and ``exp(-s) L + s / 2`` for a classification loss. Predictions do not depend on it.

    References
    ----------
    Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", CVPR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Heads, Network
    >>> heads = Heads({"steer": Dense(1), "gear": [Dense(4, "relu"), Dense(3)]})
    >>> net = Network([Dense(8, "relu"), heads], inputs=5)
    >>> {name: y.shape for name, y in net.predict(np.zeros((2, 5))).items()}
    {'steer': (2, 1), 'gear': (2, 3)}
    >>> [name for name in net.parameters() if name.startswith("1.gear")]
    ['1.gear.0.weight', '1.gear.0.bias', '1.gear.1.weight', '1.gear.1.bias']
    """

    branches: tuple[tuple[str, tuple[Layer, ...]], ...]
    uncertainty: bool = False

    def __init__(
        self,
        branches: Mapping[str, Layer | Sequence[Layer]] | Sequence[tuple[str, Sequence[Layer]]],
        *,
        uncertainty: bool = False,
    ) -> None:
        object.__setattr__(self, "branches", _branches(branches))
        object.__setattr__(self, "uncertainty", flag(uncertainty, "Heads: uncertainty"))

    def __repr__(self) -> str:
        parts = [f"{name!r}: {_stack(layers)}" for name, layers in self.branches]
        return f"Heads({{{', '.join(parts)}}}{', uncertainty=True' if self.uncertainty else ''})"

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "heads"}
        for name, layers in self.branches:
            yield {"kind": "head", "name": name}
            for layer in layers:
                yield from layer.specs()
        yield {"kind": "end_heads", "uncertain": self.uncertainty}

    def width_after(self, width: int, position: str) -> int:
        """Columns of all heads together; raises inside another block."""
        if not position.isdigit():
            raise ArgumentError(f"layers[{position}]: expected Heads only as the last layer of a network")
        return sum(self.widths(width, position))

    def widths(self, width: int, position: str) -> Iterator[int]:
        """Columns of each head."""
        for name, layers in self.branches:
            inner = width
            for index, layer in enumerate(layers):
                inner = layer.width_after(inner, f"{position}.{name}.{index}")
            yield inner

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of the matrices of all heads."""
        for name, layers in self.branches:
            inner = width
            for index, layer in enumerate(layers):
                yield from layer.matrices(inner, f"{position}.{name}.{index}")
                inner = layer.width_after(inner, f"{position}.{name}.{index}")

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """It and the layers inside the heads, each with its position."""
        yield position, self
        for name, layers in self.branches:
            for index, layer in enumerate(layers):
                yield from layer.walk(f"{position}.{name}.{index}")


def _stack(layers: tuple[Layer, ...]) -> str:
    return repr(layers[0]) if len(layers) == 1 else f"[{', '.join(map(repr, layers))}]"


def _branches(value: object) -> tuple[tuple[str, tuple[Layer, ...]], ...]:
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if not isinstance(value, tuple | list) or not all(map(is_pair, value)):
        raise DTypeError(f"Heads: expected a dict of layers by name, got {shown(value)}")
    if not value:
        raise ArgumentError("Heads: expected at least one head, got none")
    result: dict[str, tuple[Layer, ...]] = {}
    for name, layers in value:
        if not isinstance(name, str):
            raise DTypeError(f"Heads: expected names of heads, got {shown(name)}")
        if not _NAME.fullmatch(name):
            raise ArgumentError(
                f"Heads: expected names of 1 to {_core.HEAD_NAME} letters, digits, '_' and '-', beginning "
                f"with a letter or '_', got {name!r}"
            )
        if name in result:
            raise ArgumentError(f"Heads: expected names that differ, got {name!r} twice")
        result[name] = check_layers((layers,) if isinstance(layers, Layer) else layers, f"Heads[{name!r}]")
    return tuple(result.items())


def check_position(layers: Sequence[Layer]) -> None:
    """Refuse Heads before the last layer."""
    for index, layer in enumerate(layers[:-1]):
        if isinstance(layer, Heads):
            raise ArgumentError(f"layers[{index}]: expected Heads only as the last layer of a network")
