"""The networks that bench measures: shapes, starting weights and data, the same for every contender.

Everything is a function of the net and a fixed seed, so each worker process makes its own copy instead
of receiving gigabytes through a pipe.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = list[tuple[Array, Array]]  # (fan_in, fan_out) weight and (fan_out,) bias of each Dense
Norms = dict[int, tuple[Array, Array]]  # {Dense: (fan_in,) gamma and beta of the LayerNorm before it}

LEARNING_RATE = 1e-3  # of Adam; RATES has the others
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
MOMENTUM = 0.9
NORM_EPS = 1e-5  # of LayerNorm
RATES = {"sgd": 1e-2, "momentum": 1e-2, "adam": LEARNING_RATE}

# Debian's dataset-fashion-mnist puts it here.
FASHION_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Rule:
    """How a step turns gradients into an update."""

    optimizer: str = "adam"  # a key of RATES
    clip: float | None = None  # the largest global norm of the gradient

    @property
    def title(self) -> str:
        return self.optimizer if self.clip is None else f"{self.optimizer} clip {self.clip:g}"

    @property
    def lr(self) -> float:
        return RATES[self.optimizer]


@dataclass(frozen=True)
class Net:
    """A chain of Dense layers in float32; hidden layers share one activation.

    With `residual` every hidden layer after the first is h + activation(LayerNorm(h) W + b).
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    activation: str  # "relu" or "tanh"; the last layer is linear
    loss: str  # "mse" or "cross_entropy" (on logits)
    step_batches: int  # batches that the step mode cycles through; divides VERIFY_STEPS
    epoch_rows: int  # rows of one epoch call; 0: the epoch mode is not measured
    rounds: int  # turns of each contender
    shuffle: bool = False  # epochs draw a new order each time
    dataset: str = "random"  # or "fashion"
    residual: bool = False

    @property
    def title(self) -> str:
        blocks = ", LayerNorm and residuals" if self.residual else ""
        return f"{'-'.join(map(str, self.widths))} {self.activation}{blocks}, batch {self.batch}"

    def is_block(self, layer: int) -> bool:
        """Whether Dense `layer` sits in a residual block behind a LayerNorm."""
        return self.residual and 0 < layer < len(self.widths) - 2

    @property
    def flops(self) -> int:
        """Floating-point operations of the products of one step: forward and both backward forms."""
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        products = 3 * sum(fan_in * fan_out for fan_in, fan_out in pairs)
        return 2 * self.batch * (products - pairs[0][0] * pairs[0][1])


NETS = {
    net.name: net
    for net in (
        Net("a", (64, 32, 1), 32, "relu", "mse", 20, 32 * 1024, 31),
        Net("b", (784, 128, 10), 64, "relu", "cross_entropy", 20, 64 * 256, 31),
        Net("c", (784, 512, 512, 10), 128, "relu", "cross_entropy", 20, 128 * 64, 31),
        Net("d", (1024,) * 5, 512, "relu", "mse", 4, 0, 15),
        Net("e", (4096,) * 4, 1024, "relu", "mse", 2, 0, 7),
        Net("tanh", (4, 32, 16, 4), 10_000, "tanh", "mse", 1, 0, 31),
        Net("policy", (8, 64, 64, 4), 64, "tanh", "mse", 20, 64 * 512, 31),
        Net("8x64", (64, *[64] * 8, 10), 64, "relu", "cross_entropy", 20, 64 * 128, 31, residual=True),
        Net("3x512", (784, *[512] * 3, 10), 128, "relu", "cross_entropy", 20, 128 * 64, 31, residual=True),
        Net("fashion", (784, 256, 128, 10), 128, "relu", "cross_entropy", 20, 60_000, 9, True, "fashion"),
    )
}


@dataclass(frozen=True)
class Data:
    """Rows to train on. y: (rows, outputs) float32 values, or (rows,) int64 labels."""

    x: Array
    y: Array
    batch: int

    def batches(self) -> list[tuple[Array, Array]]:
        """The batches in order, as views; the last one may be shorter."""
        starts = range(0, len(self.x), self.batch)
        return [(self.x[s : s + self.batch], self.y[s : s + self.batch]) for s in starts]


def make_weights(net: Net) -> Weights:
    """He-normal weights and small biases (not zero, so that a bias in a wrong place shows)."""
    rng = np.random.default_rng(1)
    result = []
    for fan_in, fan_out in zip(net.widths[:-1], net.widths[1:], strict=True):
        weight = rng.standard_normal((fan_in, fan_out), dtype=np.float32)
        weight *= np.float32(math.sqrt(2 / fan_in))
        result.append((weight, 0.01 * rng.standard_normal(fan_out, dtype=np.float32)))
    return result


def make_norms(net: Net) -> Norms:
    """Factors near one and small shifts of each LayerNorm, by the Dense behind it."""
    rng = np.random.default_rng(8)
    result: Norms = {}
    for layer, width in enumerate(net.widths[:-1]):
        if net.is_block(layer):
            gamma, beta = (0.1 * rng.standard_normal(width, dtype=np.float32) for _ in range(2))
            result[layer] = (1 + gamma, beta)
    return result


def make_data(net: Net, rows: int) -> Data:
    """The first `rows` rows of the net's data set; fewer where it has fewer."""
    if net.dataset == "fashion":
        x, y = fashion_mnist("train")
        return Data(x[:rows], y[:rows], net.batch)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((rows, net.widths[0]), dtype=np.float32)
    if net.loss == "cross_entropy":
        return Data(x, rng.integers(net.widths[-1], size=rows), net.batch)
    return Data(x, rng.standard_normal((rows, net.widths[-1]), dtype=np.float32), net.batch)


def fashion_is_real() -> bool:
    return (FASHION_DIRECTORY / "train-images-idx3-ubyte.gz").exists()


def fashion_mnist(part: str) -> tuple[Array, Array]:
    """Images in [0, 1] as (rows, 784) float32 and labels, of part "train" (60,000) or "t10k" (10,000).

    Random pixels and labels of the same shape where the files are not installed.
    """
    if not fashion_is_real():
        rows = 60_000 if part == "train" else 10_000
        rng = np.random.default_rng(3)
        return rng.random((rows, 784), dtype=np.float32), rng.integers(10, size=rows)
    with gzip.open(FASHION_DIRECTORY / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(FASHION_DIRECTORY / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels.reshape(-1, 784).astype(np.float32) / np.float32(255), labels.astype(np.int64)
