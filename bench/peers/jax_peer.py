"""JAX: one jitted update with donated state per step, or lax.scan over a whole epoch in one call.

Everything lives on the device before timing. Steps are dispatched without waiting; only the end of a
turn waits. Labels become one-hot rows inside the jitted loss: on CPUs an indexed pick has a slow
scatter as its gradient.
"""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, LEARNING_RATE, Array, Weights

from peers import Contender


class Jax(Contender):
    def __init__(self) -> None:
        self.jax: Any = import_module("jax")
        self.jax.config.update("jax_platforms", "cpu")

    def setup(self, weights: Weights) -> None:
        jax, jnp = self.jax, self.jax.numpy
        parameters = [(jnp.array(weight), jnp.array(bias)) for weight, bias in weights]
        zeros = partial(jax.tree.map, jnp.zeros_like)
        self.state = (parameters, zeros(parameters), zeros(parameters), jnp.zeros((), jnp.int32))
        y = self.data.y.astype(np.int32) if self.net.loss == "cross_entropy" else self.data.y
        self.x, self.y = jnp.array(self.data.x), jnp.array(y)
        batch = self.net.batch
        starts = range(0, len(self.x), batch)
        self.batches = [(self.x[s : s + batch], self.y[s : s + batch]) for s in starts]
        self.position = 0
        self.key = jax.random.key(4)
        self.forward = jax.jit(self.outputs)
        self.update = jax.jit(self.train_batch, donate_argnums=0)
        self.scan = jax.jit(self.train_epoch, donate_argnums=0)

    def outputs(self, parameters: Any, x: Any) -> Any:
        activation = self.jax.nn.relu if self.net.activation == "relu" else self.jax.numpy.tanh
        for weight, bias in parameters[:-1]:
            x = activation(x @ weight + bias)
        weight, bias = parameters[-1]
        return x @ weight + bias

    def objective(self, parameters: Any, x: Any, y: Any) -> Any:
        z = self.outputs(parameters, x)
        if self.net.loss == "mse":
            return self.jax.numpy.mean((z - y) ** 2)
        hot = self.jax.nn.one_hot(y, z.shape[1])
        return -self.jax.numpy.mean(self.jax.numpy.sum(hot * self.jax.nn.log_softmax(z), axis=1))

    def train_batch(self, state: Any, x: Any, y: Any) -> Any:
        jax, jnp = self.jax, self.jax.numpy
        parameters, first, second, count = state
        gradients = jax.grad(self.objective)(parameters, x, y)
        count = count + 1
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, second, gradients)
        # 1 - beta^t in float32 without cancellation.
        step_size = -LEARNING_RATE / jnp.expm1(count * math.log(BETA1))
        root_scale = jnp.sqrt(-1 / jnp.expm1(count * math.log(BETA2)))
        parameters = jax.tree.map(
            lambda w, m, v: w - step_size * m / (jnp.sqrt(v) * root_scale + EPS), parameters, first, second
        )
        return parameters, first, second, count

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
