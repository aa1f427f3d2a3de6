"""The table that `Network.summary` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..layers.heads import Heads
from ..validation.frames import listed

if TYPE_CHECKING:
    from .network import Network


def table(net: Network) -> str:
    """A line for each layer, and for each head."""
    rows = [("layer", "description", "outputs", "parameters"), *_rows(net)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
        for row in rows
    ]
    total = f"{net.elements:,} trainable numbers"
    lines.append(f"{net.inputs:,} inputs, {net.outputs:,} outputs, {total}, {net.dtype}")
    if net.columns is not None:
        lines.append(f"columns {listed(net.columns)}")
    return "\n".join(lines)


def _rows(net: Network) -> Iterator[tuple[str, str, str, str]]:
    for index, (layer, width) in enumerate(zip(net.layers, net._widths, strict=True)):
        if not isinstance(layer, Heads):
            yield str(index), repr(layer), f"{width:,}", f"{_count(net, f'{index}.'):,}"
            continue
        about = f"Heads({len(layer.branches)}{', uncertainty=True' if layer.uncertainty else ''})"
        yield str(index), about, f"{width:,}", f"{_count(net, f'{index}.log_variance'):,}"
        for (name, layers), (_, _, columns) in zip(layer.branches, net._heads, strict=True):
            at = f"{index}.{name}"
            yield at, ", ".join(map(repr, layers)), f"{columns:,}", f"{_count(net, at + '.'):,}"


def _count(net: Network, prefix: str) -> int:
    return sum(
        int(np.prod(info["shape"]))
        for info in net._info
        if info["trainable"] and info["name"].startswith(prefix)
    )
