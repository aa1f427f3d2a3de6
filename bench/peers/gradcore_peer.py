"""gradcore: trainer.step() per batch from Python, or trainer.fit() for whole epochs in one call."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, LEARNING_RATE, Array, Weights

from peers import Contender


class Gradcore(Contender):
    def setup(self, weights: Weights) -> None:
        gc: Any = import_module("gradcore")
        hidden = [gc.Dense(width, self.net.activation) for width in self.net.widths[1:-1]]
        layers = [*hidden, gc.Dense(self.net.widths[-1])]
        self.network = gc.Network(layers, inputs=self.net.widths[0], seed=0)
        named: dict[str, Array] = {}
        for i, (weight, bias) in enumerate(weights):
            named |= {f"{i}.weight": weight, f"{i}.bias": bias}
        self.network.set_parameters(named)
        adam = gc.optimizers.Adam(lr=LEARNING_RATE, betas=(BETA1, BETA2), eps=EPS)
        self.trainer = gc.Trainer(self.network, loss=self.net.loss, optimizer=adam)
        self.x = self.data.x
        # int32 labels are what the core reads; other integers would be converted at every call.
        self.y = self.data.y.astype(np.int32) if self.net.loss == "cross_entropy" else self.data.y
        starts = range(0, len(self.x), self.net.batch)
        self.batches = [(self.x[s : s + self.net.batch], self.y[s : s + self.net.batch]) for s in starts]
        self.position = 0

    def step(self) -> None:
        self.trainer.step(*self.batches[self.position])
        self.position = (self.position + 1) % len(self.batches)

    def run(self, mode: str, calls: int) -> None:
        """Epochs of one turn are one fit(), which checks its arrays once, as in any training."""
        if mode == "step":
            super().run(mode, calls)
        else:
            self.trainer.fit(self.x, self.y, calls, self.net.batch, shuffle=self.net.shuffle, progress=False)

    def predict(self, x: Array) -> Array:
        result: Array = self.network.predict(x)
        return result

    def about(self) -> dict[str, Any]:
        gc: Any = import_module("gradcore")
        info = {"version": getattr(gc, "__version__", "unknown")}
        return info | {k: getattr(self.network, k) for k in ("threads", "isa") if hasattr(self.network, k)}
