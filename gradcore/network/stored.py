"""A network in a file: its description and tensors, and the network from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from ..errors import FormatError
from ..layers.base import Layer
from ..validation.arrays import Array
from ..validation.checks import choice, flag, integer
from . import files, inputs
from .compiled import Compiled
from .describe import build, describe


def content(model: Compiled, metadata: Mapping[str, str]) -> tuple[files.Tensors, dict[str, str]]:
    """Tensors and metadata of the file of a network."""
    own = files.check_strings(metadata, "metadata")
    return tensors(model), files.header("network", network=description(model), metadata=own)


def tensors(model: Compiled) -> files.Tensors:
    """The parameters, and the centres of columns if there are some."""
    centre: files.Tensors = [] if model.centre is None else [(inputs.CENTRE, model.centre)]
    return [*model.parameters().items(), *centre]


def description(model: Compiled) -> dict[str, Any]:
    """Its architecture, and what it knows of columns and classes, as JSON data."""
    columns = {} if model.columns is None else {"columns": list(model.columns)}
    held = {head: list(names) for head, names in model.classes.items()}
    classes = {"classes": held if model.heads else held[""]} if held else {}
    return {
        "layers": describe(model.layers, "layers"),
        "inputs": model.inputs,
        "seed": model.seed,
        "dtype": str(model.dtype),
        "flush_denormals": model.flush_denormals,
        "standardized": model.standardized,
        **columns,
        **classes,
    }


def restored(
    tensors: dict[str, Array], metadata: dict[str, str], threads: int | None, isa: str | None
) -> Compiled:
    """The network of a file of one, or of a trainer."""
    with files.reading():
        parts = files.parts(metadata, ("network", "trainer"))
        about = parts["network"]
        layers = build(about["layers"])
        own = files.check_strings(parts.get("metadata", {}), "metadata")
    if threads is not None:
        integer(threads, "threads", 1, 2**31 - 1)
    if isa is not None:
        choice(isa, "isa", _core.names("isa"))
    with files.reading():
        _check_weights(layers, about["inputs"], tensors)
        model = Compiled(
            layers, about["inputs"], about["seed"], about["dtype"], threads, isa, about["flush_denormals"]
        )
        values = {
            info["name"]: files.tensor(tensors, info["name"], info["shape"], model.dtype)
            for info in model.infos
        }
        checked = model.checked(values)
        centre = inputs.centre_from(tensors, model)
        if centre is not None:
            at = model.index["0.mean"]
            checked[at] = np.where(centre != 0, 0, checked[at]).astype(model.dtype)
        model.core.write(checked)
        standardized = flag(about["standardized"], "standardized")
        if not standardized and "0.mean" not in model.index:
            raise FormatError("standardized: expected true for a network without Standardize, got false")
        model.read_scaling(centre, standardized)
        model.set_columns(about.get("columns"))
        model.set_classes(about.get("classes"))
        model.metadata = own
    return model


def _check_weights(stack: tuple[Layer, ...], inputs: int, tensors: Mapping[str, Array]) -> None:
    """Refuse a description whose weights are not those of the file before it costs memory."""
    width = inputs
    for index, layer in enumerate(stack):
        for name, shape in layer.matrices(width, str(index)):
            files.tensor(tensors, name, shape)
        width = layer.width_after(width, str(index))
