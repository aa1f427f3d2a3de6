"""Keras on TensorFlow: one XLA-compiled step, or whole epochs by Model.fit with jit_compile.

A step is a tf.function(jit_compile=True) over forward, loss, gradient and the optimizer's update, on tensors
made before timing: the fastest of the documented ways. Its Adam adds epsilon before the bias correction, so
its losses agree only to a few decimals: see TOLERANCE in training.py.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, MOMENTUM, NORM_EPS, Array, Weights

from peers import Contender


class Keras(Contender):
    def __init__(self) -> None:
        self.tf: Any = import_module("tensorflow")
        self.keras: Any = self.tf.keras

    def setup(self, weights: Weights) -> None:
        tf, keras = self.tf, self.keras
        layers = keras.layers
        tf.random.set_seed(4)
        x = inputs = keras.Input((self.net.widths[0],))
        values: list[Array] = []
        for i, (weight, bias) in enumerate(weights):
            dense = layers.Dense(len(bias), self.net.activation if i < len(weights) - 1 else None)
            if i in self.norms:
                x = layers.Add()([x, dense(layers.LayerNormalization(epsilon=NORM_EPS)(x))])
                values += self.norms[i]
            else:
                x = dense(x)
            values += [weight, bias]
        self.model = keras.Model(inputs, x)
        self.model.set_weights(values)
        self.optimizer = self.make_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self.objective = (
            keras.losses.MeanSquaredError()
            if self.net.loss == "mse"
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        self.model.compile(self.optimizer, self.objective, jit_compile=True)
        y = self.data.y.astype(np.int32) if self.net.loss == "cross_entropy" else self.data.y
        self.batches = [(tf.constant(a), tf.constant(b)) for a, b in self.cut(self.data.x, y)]
        self.rows = tf.data.Dataset.from_tensor_slices((self.data.x, y)).cache()
        self.position = 0
        self.update = tf.function(self.train_batch, jit_compile=True)

    def make_optimizer(self) -> Any:
        kinds, rule = self.keras.optimizers, self.rule
        if rule.optimizer == "adam":
            return kinds.Adam(rule.lr, beta_1=BETA1, beta_2=BETA2, epsilon=EPS, global_clipnorm=rule.clip)
        momentum = MOMENTUM if rule.optimizer == "momentum" else 0.0
        return kinds.SGD(rule.lr, momentum=momentum, global_clipnorm=rule.clip)

    def cut(self, x: Array, y: Array) -> list[tuple[Array, Array]]:
        batch = self.net.batch
        return [(x[s : s + batch], y[s : s + batch]) for s in range(0, len(x), batch)]

    def train_batch(self, x: Any, y: Any) -> None:
        with self.tf.GradientTape() as tape:
            loss = self.objective(y, self.model(x, training=True))
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def step(self) -> None:
        self.update(*self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def epoch(self) -> None:
        rows = self.rows.shuffle(len(self.data.x)) if self.net.shuffle else self.rows
        self.model.fit(rows.batch(self.net.batch).prefetch(2), epochs=1, verbose=0)

    def finish(self) -> None:
        np.asarray(self.optimizer.iterations)

    def predict(self, x: Array) -> Array:
        result: Array = self.model(x, training=False).numpy()
        return result

    def about(self) -> dict[str, Any]:
        return {"version": self.tf.__version__, "keras": self.keras.__version__}
