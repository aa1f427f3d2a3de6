"""JAX: one jitted update with donated state per step, or lax.scan over a whole epoch in one call.

Everything lives on the device before timing. Steps are dispatched without waiting; only the end of a
turn waits. With `reads_loss` a step also computes the loss and brings it back as a float, as a training
loop that prints it does, and as gradcore's `step` always does. Labels become one-hot rows inside the
jitted loss: on CPUs an indexed pick has a slow scatter as its gradient.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, MOMENTUM, NORM_EPS, Array, Weights

from peers import Contender


class Jax(Contender):
    def __init__(self, reads_loss: bool = False) -> None:
        self.reads_loss = reads_loss
        self.jax: Any = import_module("jax")
        self.jax.config.update("jax_platforms", "cpu")

    def setup(self, weights: Weights) -> None:
        jax, jnp = self.jax, self.jax.numpy
        parameters = jax.tree.map(jnp.array, (weights, self.norms))
        slots = {"sgd": 0, "momentum": 1, "adam": 2}[self.rule.optimizer]
        # Separate zeros for each slot: a donated buffer may appear only once.
        moments = tuple(jax.tree.map(jnp.zeros_like, parameters) for _ in range(slots))
        self.state = (parameters, moments, jnp.zeros((), jnp.int32))
        y = self.data.y.astype(np.int32) if self.net.loss == "cross_entropy" else self.data.y
        self.x, self.y = jnp.array(self.data.x), jnp.array(y)
        batch = self.net.batch
        starts = range(0, len(self.x), batch)
        self.batches = [(self.x[s : s + batch], self.y[s : s + batch]) for s in starts]
        self.position = 0
        self.key = jax.random.key(4)
        self.forward = jax.jit(self.outputs)
        self.update = jax.jit(self.train_batch, donate_argnums=0)
        self.update_with_loss = jax.jit(self.train_with_loss, donate_argnums=0)
        self.scan = jax.jit(self.train_epoch, donate_argnums=0)

    def outputs(self, parameters: Any, x: Any) -> Any:
        jnp = self.jax.numpy
        activation = self.jax.nn.relu if self.net.activation == "relu" else jnp.tanh
        weights, norms = parameters
        for i, (weight, bias) in enumerate(weights[:-1]):
            if i not in norms:
                x = activation(x @ weight + bias)
                continue
            gamma, beta = norms[i]
            centred = x - jnp.mean(x, axis=1, keepdims=True)
            variance = jnp.mean(centred * centred, axis=1, keepdims=True)
            normed = centred * self.jax.lax.rsqrt(variance + NORM_EPS) * gamma + beta
            x = x + activation(normed @ weight + bias)
        weight, bias = weights[-1]
        return x @ weight + bias

    def objective(self, parameters: Any, x: Any, y: Any) -> Any:
        z = self.outputs(parameters, x)
        if self.net.loss == "mse":
            return self.jax.numpy.mean((z - y) ** 2)
        hot = self.jax.nn.one_hot(y, z.shape[1])
        return -self.jax.numpy.mean(self.jax.numpy.sum(hot * self.jax.nn.log_softmax(z), axis=1))

    def train_batch(self, state: Any, x: Any, y: Any) -> Any:
        return self.train_with_loss(state, x, y)[0]

    def train_with_loss(self, state: Any, x: Any, y: Any) -> Any:
        """The new state, and the loss before; whoever drops the loss does not pay for it."""
        jax, jnp = self.jax, self.jax.numpy
        parameters, moments, count = state
        loss, gradients = jax.value_and_grad(self.objective)(parameters, x, y)
        if self.rule.clip is not None:
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
            factor = jnp.minimum(1.0, self.rule.clip / jnp.maximum(norm, 1e-30))
            gradients = jax.tree.map(lambda g: g * factor, gradients)
        count = count + 1
        parameters, moments = self.apply(parameters, gradients, moments, count)
        return (parameters, moments, count), loss

    def apply(self, parameters: Any, gradients: Any, moments: Any, count: Any) -> Any:
        """(parameters, moments) after one update."""
        jax, jnp, lr = self.jax, self.jax.numpy, self.rule.lr
        if self.rule.optimizer == "sgd":
            return jax.tree.map(lambda w, g: w - lr * g, parameters, gradients), moments
        if self.rule.optimizer == "momentum":
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, moments[0], gradients)
            return jax.tree.map(lambda w, v: w - lr * v, parameters, velocity), (velocity,)
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], gradients)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], gradients)
        # 1 - beta^t in float32 without cancellation.
        step_size = -lr / jnp.expm1(count * math.log(BETA1))
        root_scale = jnp.sqrt(-1 / jnp.expm1(count * math.log(BETA2)))
        parameters = jax.tree.map(
            lambda w, m, v: w - step_size * m / (jnp.sqrt(v) * root_scale + EPS), parameters, first, second
        )
        return parameters, (first, second)

    def train_epoch(self, state: Any, x: Any, y: Any, key: Any) -> Any:
        """Full batches in one scan; what is left over is one more step."""
        lax = self.jax.lax
        rows, batch = len(x), self.net.batch
        steps = rows // batch
        if self.net.shuffle:
            order = self.jax.random.permutation(key, rows)

            def gathered(carry: Any, index: Any) -> Any:
                return self.train_batch(carry, x[index], y[index]), None

            state, _ = lax.scan(gathered, state, order[: steps * batch].reshape(steps, batch))
            rest = order[steps * batch :]
            return self.train_batch(state, x[rest], y[rest]) if rows % batch else state

        def sliced(carry: Any, pair: Any) -> Any:
            return self.train_batch(carry, *pair), None

        head = (a[: steps * batch].reshape(steps, batch, *a.shape[1:]) for a in (x, y))
        state, _ = lax.scan(sliced, state, tuple(head))
        return self.train_batch(state, x[steps * batch :], y[steps * batch :]) if rows % batch else state

    def step(self) -> None:
        if self.reads_loss:
            self.state, loss = self.update_with_loss(self.state, *self.batches[self.position])
            float(loss)
        else:
            self.state = self.update(self.state, *self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def epoch(self) -> None:
        self.key, key = self.jax.random.split(self.key)
        self.state = self.scan(self.state, self.x, self.y, key)

    def finish(self) -> None:
        self.jax.block_until_ready(self.state)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.forward(self.state[0], x))

    def about(self) -> dict[str, Any]:
        return {"version": self.jax.__version__, "device": str(self.jax.devices()[0])}
