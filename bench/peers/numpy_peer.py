"""NumPy: the straightforward program, written to be fast.

Buffers are allocated once and every operation writes into them. Parameters, gradients and moments are
flat vectors with views per layer, so an optimizer makes one pass per operation over blocks that stay in
cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, MOMENTUM, NORM_EPS, Array, Weights

from peers import Contender

BLOCK = 32_768  # elements per pass of Adam: five float32 vectors of it fit a 1 MB cache


class NumPy(Contender):
    def setup(self, weights: Weights) -> None:
        pairs = [*weights, *self.norms.values()]
        flat = np.concatenate([part.ravel() for pair in pairs for part in pair])
        self.parameters = flat
        self.gradients = np.zeros_like(flat)
        slots = {"sgd": 0, "momentum": 1, "adam": 2}[self.rule.optimizer]
        self.slots = [np.zeros_like(flat) for _ in range(slots)]
        own, derivatives = views(flat, pairs), views(self.gradients, pairs)
        count, rows, widths = len(weights), self.net.batch, self.net.widths
        self.weights, self.d_weights = own[:count], derivatives[:count]
        self.blocks = {
            layer: LayerNorm(rows, *own[count + i], *derivatives[count + i])
            for i, layer in enumerate(self.norms)
        }
        self.outputs = [np.empty((rows, width), np.float32) for width in widths[1:]]
        self.sums = {layer: np.empty((rows, widths[layer + 1]), np.float32) for layer in self.norms}
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
        rows, last = len(x), len(self.weights) - 1
        inputs, hidden = [], x
        for layer, (weight, bias) in enumerate(self.weights):
            block = self.blocks.get(layer)
            inputs.append(block.forward(hidden) if block else hidden)
            y = np.matmul(inputs[-1], weight, out=self.outputs[layer][:rows])
            y += bias
            if layer < last:
                activate(self.net.activation, y)
            hidden = np.add(hidden, y, out=self.sums[layer][:rows]) if block else y
        self.loss_gradient(hidden, target)
        for layer in range(last, -1, -1):
            block, delta = self.blocks.get(layer), self.deltas[layer][:rows]
            d_z = delta
            if layer < last:
                d_z = slope(self.net.activation, self.outputs[layer][:rows], self.slopes[layer][:rows])
                d_z *= delta
            d_weight, d_bias = self.d_weights[layer]
            np.matmul(inputs[layer].T, d_z, out=d_weight)
            np.sum(d_z, axis=0, out=d_bias)
            if layer:
                below = np.matmul(d_z, self.weights[layer][0].T, out=self.deltas[layer - 1][:rows])
                if block:
                    block.backward(below)
                    below += delta
        if self.rule.clip is not None:
            norm = math.sqrt(float(np.vdot(self.gradients, self.gradients)))
            if norm > self.rule.clip:
                self.gradients *= np.float32(self.rule.clip / norm)
        self.count += 1
        getattr(self, self.rule.optimizer)()

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

    def parts(self) -> Iterator[list[Array]]:
        """[scratch, parameters, gradients, slots ...] block by block."""
        vectors = [self.parameters, self.gradients, *self.slots]
        for start in range(0, self.parameters.size, BLOCK):
            pieces = [vector[start : start + BLOCK] for vector in vectors]
            yield [self.scratch[: pieces[0].size], *pieces]

    def sgd(self) -> None:
        for t, w, g in self.parts():
            w -= np.multiply(g, np.float32(self.rule.lr), out=t)

    def momentum(self) -> None:
        for t, w, g, v in self.parts():
            v *= np.float32(MOMENTUM)
            v += g
            w -= np.multiply(v, np.float32(self.rule.lr), out=t)

    def adam(self) -> None:
        step_size = np.float32(self.rule.lr / (1 - BETA1**self.count))
        root_scale = np.float32(1 / math.sqrt(1 - BETA2**self.count))
        for t, w, g, m, v in self.parts():
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
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(self.weights):
            block = self.blocks.get(layer)
            y = (block.apply(x)[0] if block else x) @ weight + bias
            if layer < last:
                activate(self.net.activation, y)
            x = x + y if block else y
        return x

    def about(self) -> dict[str, Any]:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return {"version": np.__version__, "blas": f"{blas['name']} {blas['version']}"}


class LayerNorm:
    """(x - mean) / sqrt(variance + eps) * gamma + beta for every row, and its derivatives."""

    def __init__(self, rows: int, gamma: Array, beta: Array, d_gamma: Array, d_beta: Array) -> None:
        self.gamma, self.beta, self.d_gamma, self.d_beta = gamma, beta, d_gamma, d_beta
        self.normed, self.output, self.scratch = (np.empty((rows, gamma.size), np.float32) for _ in range(3))

    def apply(self, x: Array, normed: Array | None = None, out: Array | None = None) -> tuple[Array, Array]:
        """The output, and 1 / sqrt(variance + eps) of every row."""
        normed = np.subtract(x, x.mean(axis=1, keepdims=True), out=normed)
        variance = np.einsum("rc,rc->r", normed, normed)[:, None] / np.float32(x.shape[1])
        inverse = 1 / np.sqrt(variance + np.float32(NORM_EPS))
        normed *= inverse
        out = np.multiply(normed, self.gamma, out=out)
        out += self.beta
        return out, inverse

    def forward(self, x: Array) -> Array:
        rows = len(x)
        out, self.inverse = self.apply(x, self.normed[:rows], self.output[:rows])
        return out

    def backward(self, d: Array) -> None:
        """Turn d, the derivative by the output, into that by the input."""
        rows, columns = d.shape
        normed, t = self.normed[:rows], self.scratch[:rows]
        np.einsum("rc,rc->c", d, normed, out=self.d_gamma)
        np.sum(d, axis=0, out=self.d_beta)
        d *= self.gamma
        along = np.einsum("rc,rc->r", d, normed)[:, None] / np.float32(columns)
        d -= d.mean(axis=1, keepdims=True)
        d -= np.multiply(normed, along, out=t)
        d *= self.inverse


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
