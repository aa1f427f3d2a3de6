"""gradcore: trainer.step() per batch from Python, or trainer.fit() for whole epochs in one call."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from nets import BETA1, BETA2, EPS, MOMENTUM, NORM_EPS, Array, Weights

from peers import Contender, Unsupported


class Gradcore(Contender):
    def __init__(self, **options: Any) -> None:
        """Options of gradcore.Network, such as threads."""
        self.options = options

    def setup(self, weights: Weights) -> None:
        gc: Any = import_module("gradcore")
        if self.norms and not hasattr(gc, "LayerNorm"):
            raise Unsupported("this version has no LayerNorm")
        layers: list[Any] = []
        named: dict[str, Array] = {}
        for i, (weight, bias) in enumerate(weights):
            hidden = i < len(weights) - 1
            dense = gc.Dense(weight.shape[1], self.net.activation if hidden else None)
            layers.append(gc.Residual(gc.LayerNorm(eps=NORM_EPS), dense) if i in self.norms else dense)
            prefix = f"{i}.1" if i in self.norms else f"{i}"
            named |= {f"{prefix}.weight": weight, f"{prefix}.bias": bias}
            if i in self.norms:
                named |= dict(zip((f"{i}.0.gamma", f"{i}.0.beta"), self.norms[i], strict=True))
        self.network = gc.Network(layers, inputs=self.net.widths[0], seed=0, **self.options)
        self.network.set_parameters(named)
        lr = self.rule.lr
        optimizer = {
            "sgd": lambda: gc.optimizers.SGD(lr),
            "momentum": lambda: gc.optimizers.SGD(lr, momentum=MOMENTUM),
            "adam": lambda: gc.optimizers.Adam(lr, betas=(BETA1, BETA2), eps=EPS),
        }[self.rule.optimizer]()
        clip = None if self.rule.clip is None else gc.clipping.GlobalNorm(self.rule.clip)
        self.trainer = gc.Trainer(self.network, loss=self.net.loss, optimizer=optimizer, clip=clip)
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

    def threads_seen(self, calls: int) -> int:
        """Threads of this process that computed for a good part of `calls` steps; 0 where none can tell."""
        before = thread_seconds()
        start = perf_counter()
        self.run("step", calls)
        wall = perf_counter() - start
        used = [seconds - before.get(task, 0.0) for task, seconds in thread_seconds().items()]
        return sum(seconds > 0.25 * wall for seconds in used)

    def predict(self, x: Array) -> Array:
        result: Array = self.network.predict(x)
        return result

    def about(self) -> dict[str, Any]:
        gc: Any = import_module("gradcore")
        info = {"version": getattr(gc, "__version__", "unknown")}
        return info | {k: getattr(self.network, k) for k in ("threads", "isa") if hasattr(self.network, k)}


def thread_seconds() -> dict[str, float]:
    """{thread: seconds on a core} of this process; empty elsewhere than on Linux."""
    result = {}
    for path in Path("/proc/self/task").glob("*/schedstat"):
        result[path.parent.name] = int(path.read_text().split()[0]) * 1e-9
    return result
