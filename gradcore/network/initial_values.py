"""The parameters that a new network begins with."""

from __future__ import annotations

import numpy as np

from ..validation.arrays import Array, as_dtype, check_finite
from . import effective
from .compiled import Compiled


def initial_values(model: Compiled) -> dict[int, Array]:
    """Values by the places of the parameters, but of those that the core has set itself."""
    values: dict[int, Array] = {}
    trained: str | None = None  # position of the first layer with something to train
    for index, info in enumerate(model.infos):
        position = info["name"].rpartition(".")[0]
        if info["trainable"]:
            trained = trained or position
        rule = model.places[position].initializer(info["role"])
        if rule is None:  # the core has set it, or it is that of the weight before it
            if info["role"] == "magnitude":
                values[index] = np.linalg.norm(values[index - 1], axis=0)
                if not values[index].all():  # a column of zeros trains from a direction and no length
                    weight = {model.infos[index - 1]["name"]: values[index - 1]}
                    parts = effective.stored_weights(model, weight, weight)
                    values[index - 1] = parts[model.infos[index - 1]["name"]]
            continue
        initial = rule.placed(position == trained).values(info["shape"], model.seed, index)
        value = as_dtype(initial, f"{info['name']}: initial values", model.dtype)
        check_finite(value, f"{info['name']}: initial values")
        values[index] = value
    return values
