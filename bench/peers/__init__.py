"""Contenders of the training benchmark: one file per library, one class per way to use it.

`CONTENDERS` is the registry. A worker process imports only the module that it runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

import numpy as np
from nets import Array, Data, Net, Norms, Rule, Weights, make_data, make_norms, make_weights

# name: (module and class, arguments, measured only on request)
CONTENDERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "gradcore": ("gradcore_peer:Gradcore", {}, False),
    "numpy": ("numpy_peer:NumPy", {}, False),
    "sklearn": ("sklearn_peer:ScikitLearn", {}, False),
    "torch": ("torch_peer:Torch", {"fused": False}, False),
    "torch-fused": ("torch_peer:Torch", {"fused": True}, False),
    "torch-compile": ("torch_peer:Torch", {"fused": False, "compiled": True}, True),
    "torch-compile-fused": ("torch_peer:Torch", {"fused": True, "compiled": True}, True),
    "jax": ("jax_peer:Jax", {}, False),
    "jax-loss": ("jax_peer:Jax", {"reads_loss": True}, True),
    "keras": ("keras_peer:Keras", {}, False),
}


Fields = dict[str, Any]


class Unsupported(Exception):
    """This contender cannot run this net or mode; the reason is the message."""


class Contender(ABC):
    """One library training one net.

    setup() gets the starting weights and the data and may convert them to whatever the library likes
    best: conversions are not timed. step() makes one update on the next batch, cyclically in order;
    epoch() makes one update per batch of the whole data set. Both may return before the work is done;
    finish() waits for it.
    """

    net: Net
    rule: Rule
    norms: Norms
    data: Data

    @abstractmethod
    def setup(self, weights: Weights) -> None:
        """Build model, optimizer and batches from `weights`, self.norms, self.net, self.rule, self.data."""

    @abstractmethod
    def step(self) -> None: ...

    def epoch(self) -> None:
        """One pass over the data, in a new random order if the net asks for it."""
        raise Unsupported("no epoch mode")

    def finish(self) -> None:  # noqa: B027 - synchronous libraries have nothing to wait for
        """Wait until every update so far has been made."""

    @abstractmethod
    def predict(self, x: Array) -> Array:
        """Outputs of the current weights for NumPy rows; logits up to a constant per row."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Version, threads and whatever else explains the speed."""

    def close(self) -> None:  # noqa: B027 - most have nothing to release
        """Release what setup() built."""

    def run(self, mode: str, calls: int) -> None:
        """`calls` steps or epochs, finished."""
        call = self.step if mode == "step" else self.epoch
        for _ in range(calls):
            call()
        self.finish()

    def loss(self) -> float:
        """Loss of the current weights on the first batch, in float64, the same formula for everyone."""
        x, target = self.data.batches()[0]
        z = np.asarray(self.predict(x), np.float64).reshape(len(x), -1)
        if self.net.loss == "mse":
            return float(np.mean((z - target) ** 2))
        z -= z.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(z).sum(axis=1))
        return float(np.mean(log_sum - z[np.arange(len(z)), target]))

    def accuracy(self, x: Array, labels: Array) -> float:
        return float(np.mean(np.argmax(self.predict(x), axis=1) == labels))


def open_contender(
    name: str, net: Fields, rows: int, rule: Fields | None = None, options: Fields | None = None
) -> Contender:
    """Import the library, build the contender and set it up on the first `rows` rows of the data.

    `net` and `rule` are the fields of a Net and a Rule; `options` are arguments of the contender's class.
    """
    target, arguments, _ = CONTENDERS[name]
    module, class_name = target.split(":")
    contender: Contender = getattr(import_module(f"peers.{module}"), class_name)(
        **arguments, **(options or {})
    )
    contender.net, contender.rule = Net(**net), Rule(**(rule or {}))
    contender.norms = make_norms(contender.net)
    contender.data = make_data(contender.net, rows)
    contender.setup(make_weights(contender.net))
    return contender
