"""The weight that multiplies x, from stored parameters, in NumPy float64."""

import numpy as np


def effective(parameters, position):
    """Of the layer at a position, from arrays by name."""
    weight = parameters[f"{position}.weight"].astype(np.float64)
    if f"{position}.magnitude" in parameters:
        norms = np.sqrt((weight**2).sum(axis=0))
        magnitude = parameters[f"{position}.magnitude"].astype(np.float64)
        return weight * np.where(norms > 0, magnitude / np.where(norms > 0, norms, 1), 0)
    if f"{position}.left" in parameters:
        left, right = (parameters[f"{position}.{side}"].astype(np.float64) for side in ("left", "right"))
        sigma = left @ weight @ right
        return weight / sigma if sigma else np.zeros_like(weight)
    return weight


def effectives(net):
    """Of all layers with weights, by the name of the weight."""
    parameters = net.parameters()
    names = [name for name in parameters if name.endswith(".weight")]
    return {name: effective(parameters, name.removesuffix(".weight")) for name in names}
