"""NumPy: the straightforward program, written to be fast.

Buffers are allocated once and every operation writes into them. Parameters, gradients and moments are
flat vectors with views per layer, so Adam makes one pass per operation over blocks that stay in cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, LEARNING_RATE, Array, Weights

from peers import Contender

BLOCK = 32_768  # elements per pass of Adam: five float32 vectors of it fit a 1 MB cache


class NumPy(Contender):
    def setup(self, weights: Weights) -> None:
        flat = np.concatenate([part.ravel() for pair in weights for part in pair])
        self.parameters = flat
        self.gradients = np.zeros_like(flat)
        self.first = np.zeros_like(flat)
        self.second = np.zeros_like(flat)
        self.weights = views(flat, weights)
        self.d_weights = views(self.gradients, weights)
        rows, widths = self.net.batch, self.net.widths
        self.outputs = [np.empty((rows, width), np.float32) for width in widths[1:]]
        self.deltas = [np.empty((rows, width), np.float32) for width in widths[1:]]
        self.scratch = np.empty(min(BLOCK, flat.size), np.float32)
        self.slopes = [np.empty((rows, width), np.float32) for width in widths[1:-1]]
        self.rows = np.arange(rows)
        self.batches = self.data.batches()
        self.gathered = np.empty((rows, widths[0]), np.float32)
        self.rng = np.random.default_rng(4)
        self.count = 0
        self.position = 0

    def step(self) -> None:
        self.update(*self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def epoch(self) -> None:
        if not self.net.shuffle:
            for x, y in self.batches:
                self.update(x, y)
            return
        order = self.rng.permutation(len(self.data.x))
        for start in range(0, len(order), self.net.batch):
            index = order[start : start + self.net.batch]
            # mode="clip" lets take() write into `out` without a hidden copy; indices are in range.
            x = np.take(self.data.x, index, axis=0, out=self.gathered[: len(index)], mode="clip")
            self.update(x, self.data.y[index])

    def update(self, x: Array, target: Array) -> None:
        rows = len(x)
        hidden = x
        for (weight, bias), out in zip(self.weights, self.outputs, strict=True):
            y = np.matmul(hidden, weight, out=out[:rows])
            y += bias
            if out is not self.outputs[-1]:
                activate(self.net.activation, y)
            hidden = y
        self.loss_gradient(hidden, target)
        for layer in range(len(self.weights) - 1, -1, -1):
            delta = self.deltas[layer][:rows]
            below = self.outputs[layer - 1][:rows] if layer else x
            d_weight, d_bias = self.d_weights[layer]
            np.matmul(below.T, delta, out=d_weight)
            np.sum(delta, axis=0, out=d_bias)
            if layer:
                d_below = np.matmul(delta, self.weights[layer][0].T, out=self.deltas[layer - 1][:rows])
                d_below *= slope(self.net.activation, below, self.slopes[layer - 1][:rows])
        self.adam()

    def loss_gradient(self, z: Array, target: Array) -> None:
        delta = self.deltas[-1][: len(z)]
        if self.net.loss == "mse":
            np.subtract(z, target, out=delta)
            delta *= np.float32(2 / z.size)
            return
        np.subtract(z, z.max(axis=1, keepdims=True), out=delta)
        np.exp(delta, out=delta)
        delta /= delta.sum(axis=1, keepdims=True)
        delta[self.rows[: len(z)], target] -= 1
        delta *= np.float32(1 / len(z))

    def adam(self) -> None:
        self.count += 1
        step_size = np.float32(LEARNING_RATE / (1 - BETA1**self.count))
        root_scale = np.float32(1 / math.sqrt(1 - BETA2**self.count))
        for start in range(0, self.parameters.size, BLOCK):
            part = slice(start, start + BLOCK)
            w, g, m, v = self.parameters[part], self.gradients[part], self.first[part], self.second[part]
            t = self.scratch[: w.size]
            # m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g;  w -= a m / (sqrt(v) b + eps)
            np.subtract(g, m, out=t)
            t *= np.float32(1 - BETA1)
            m += t
            g *= g
            g *= np.float32(1 - BETA2)
            v *= np.float32(BETA2)
            v += g
            np.sqrt(v, out=t)
            t *= root_scale
            t += np.float32(EPS)
            np.divide(m, t, out=t)
            t *= step_size
            w -= t

    def predict(self, x: Array) -> Array:
        for weight, bias in self.weights:
            x = x @ weight + bias
            if weight is not self.weights[-1][0]:
                activate(self.net.activation, x)
        return x

    def about(self) -> dict[str, Any]:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return {"version": np.__version__, "blas": f"{blas['name']} {blas['version']}"}


def views(flat: Array, like: Weights) -> Weights:
    """Cut a flat vector into arrays of the shapes of `like`."""
    result, offset = [], 0
    for weight, bias in like:
        after_weight = offset + weight.size
        end = after_weight + bias.size
        result.append((flat[offset:after_weight].reshape(weight.shape), flat[after_weight:end]))
        offset = end
    return result


def activate(name: str, z: Array) -> None:
    if name == "relu":
        np.maximum(z, 0, out=z)
    else:
        np.tanh(z, out=z)


def slope(name: str, y: Array, out: Array) -> Array:
    """Derivative of the activation from its output y."""
    if name == "relu":
        return np.greater(y, 0, out=out, casting="unsafe")
    np.multiply(y, y, out=out)
    return np.subtract(1, out, out=out)
