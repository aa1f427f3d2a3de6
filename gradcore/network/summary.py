"""The table that `Network.summary` prints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..layers.heads import Heads
from ..validation.frames import listed
from .compiled import Compiled


def table(model: Compiled) -> str:
    """A line for each layer, and for each head."""
    rows = [("layer", "description", "outputs", "parameters"), *_rows(model)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
        for row in rows
    ]
    total = f"{model.elements:,} trainable numbers"
    lines.append(f"{model.inputs:,} inputs, {model.outputs:,} outputs, {total}, {model.dtype}")
    if model.columns is not None:
        lines.append(f"columns {listed(model.columns)}")
    return "\n".join(lines)


def _rows(model: Compiled) -> Iterator[tuple[str, str, str, str]]:
    for index, (layer, width) in enumerate(zip(model.layers, model.widths, strict=True)):
        if not isinstance(layer, Heads):
            yield str(index), repr(layer), f"{width:,}", f"{_count(model, f'{index}.'):,}"
            continue
        about = f"Heads({len(layer.branches)}{', uncertainty=True' if layer.uncertainty else ''})"
        yield str(index), about, f"{width:,}", f"{_count(model, f'{index}.log_variance'):,}"
        for (name, layers), (_, _, columns) in zip(layer.branches, model.heads, strict=True):
            at = f"{index}.{name}"
            yield at, ", ".join(map(repr, layers)), f"{columns:,}", f"{_count(model, at + '.'):,}"


def _count(model: Compiled, prefix: str) -> int:
    return sum(
        int(np.prod(info["shape"]))
        for info in model.infos
        if info["trainable"] and info["name"].startswith(prefix)
    )
