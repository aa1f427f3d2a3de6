"""Layers and networks."""

from dataclasses import dataclass, field

import numpy as np

from .activations import activation, alpha_of, d_activation
from .layers import LAYERS, effective_weight, effective_weight_backward, residual, residual_backward


@dataclass
class Net:
    """A list of layers, each a dict with `kind` and the fields of a LayerSpec; a residual has `layers`.
    parameters maps the engine's names ("2.1.weight") to float64 arrays; masks maps a dropout's name to
    its mask, already scaled by 1 / (1 - rate)."""

    layers: list
    parameters: dict
    masks: dict = field(default_factory=dict)
    training: bool = False
    kept: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    gradients: dict = field(default_factory=dict)

    def forward(self, x):
        self.outputs = {}
        self.kept = {}
        return self._forward(self.layers, "", np.asarray(x, np.float64))

    def _forward(self, layers, prefix, x):
        for i, layer in enumerate(layers):
            name = f"{prefix}{i}"
            x = self._forward_one(layer, name, x)
            self.outputs[name] = x
        return x

    def _forward_one(self, layer, name, x):
        kind = layer["kind"]
        if kind == "residual":
            return residual(self, layer, name, x, self._forward(layer["layers"], f"{name}.", x))
        if kind == "dropout":
            return x * self.masks[name] if name in self.masks else x
        if kind == "standardize":
            return (x - self.parameters[f"{name}.mean"]) * self.parameters[f"{name}.inverse_std"]
        if kind in LAYERS:
            return LAYERS[kind][0](self, layer, name, x)
        z = x
        if kind == "dense":
            z = x @ effective_weight(self, layer, name)
            if layer.get("bias", True):
                z = z + self.parameters[f"{name}.bias"]
        self.kept[name] = (x, z)
        return activation(layer.get("activation", "identity"), z, alpha_of(layer))

    def backward(self, d):
        self.gradients = {}
        return self._backward(self.layers, "", np.asarray(d, np.float64))

    def _backward(self, layers, prefix, d):
        for i in reversed(range(len(layers))):
            d = self._backward_one(layers[i], f"{prefix}{i}", d)
        return d

    def _backward_one(self, layer, name, d):
        kind = layer["kind"]
        if kind == "residual":
            block, skip = residual_backward(self, layer, name, d)
            return skip + self._backward(layer["layers"], f"{name}.", block)
        if kind == "dropout":
            return d * self.masks[name] if name in self.masks else d
        if kind == "standardize":
            return d * self.parameters[f"{name}.inverse_std"]
        if kind in LAYERS:
            return LAYERS[kind][1](self, layer, name, d)
        x, z = self.kept[name]
        d = d * d_activation(layer.get("activation", "identity"), z, alpha_of(layer))
        if kind == "activation":
            return d
        effective_weight_backward(self, layer, name, x.T @ d)
        if layer.get("bias", True):
            self.gradients[f"{name}.bias"] = d.sum(axis=0)
        return d @ effective_weight(self, layer, name).T
