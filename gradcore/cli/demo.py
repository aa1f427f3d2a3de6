"""``gradcore demo``: a deep network that does not learn, why, and the same depth cured."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .. import Dense, Dropout, Network, Residual, Trainer, datasets, initializers, optimizers, schedules
from ..charts import check_matplotlib, log_bars, save_log_bars
from ..layers.base import Layer
from ..optimizers import Optimizer
from .source import check_writable, solid_block

_HIDDEN, _WIDTH, _BATCH = 12, 128, 32
_BROKEN_EPOCHS, _CURED_EPOCHS = 10, 30

_NEXT = """\
Try next:
  gradcore train --help                     your own CSV, Parquet, NPZ or IDX data
  gradcore demo --output gradients.png      these bars as a picture
  gradcore info                             the instruction set and threads in use"""


@dataclass(frozen=True)
class Outcome:
    """What one network showed: its gradients before the first step, by layer, and what it learned."""

    title: str
    gradient_norms: list[float]
    epochs: int
    loss: float
    test_accuracy: float
    seconds: float

    @property
    def ratio(self) -> float:
        """How many times larger the last layer's gradient is than the first one's."""
        return self.gradient_norms[-1] / self.gradient_norms[0]


@dataclass(frozen=True)
class Digits:
    """The shipped digits, pixels scaled to [-1, 1]."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]


def run(arguments: Namespace) -> None:
    """Train both networks and show them."""
    if arguments.output:
        check_writable(arguments.output)
        check_matplotlib()
    x, y, x_test, y_test = datasets.load_digits()
    digits = Digits(x / np.float32(8) - 1, y, x_test / np.float32(8) - 1, y_test)
    if not arguments.json:
        print(
            f"{len(x):,} handwritten digits to learn, {len(x_test)} to test on, 8 x 8 pixels.\n", flush=True
        )
    broken = _try(
        f"{_HIDDEN} sigmoid layers, weights from N(0, 0.1^2), plain SGD",
        _broken_layers(),
        optimizers.SGD(0.1),
        _BROKEN_EPOCHS,
        digits,
        arguments.threads,
    )
    if not arguments.json:
        _show(1, broken)
        factor = float(f"{broken.ratio:.1g}")
        print(
            f"   The first layer gets {factor:,.0f} times less gradient than the last, because each sigmoid\n"
            "   lets at most a quarter of it through. The loss stays near ln 10 = 2.303: it guesses.\n",
            flush=True,
        )
    steps = _CURED_EPOCHS * math.ceil(len(x) / _BATCH)
    cured = _try(
        "The same depth and width with relu, residual blocks and AdamW",
        _cured_layers(),
        optimizers.AdamW(lr=schedules.Cosine(1e-3, steps=steps)),
        _CURED_EPOCHS,
        digits,
        arguments.threads,
    )
    if arguments.json:
        print(
            json.dumps(
                {"rows": len(x), "test_rows": len(x_test), "broken": asdict(broken), "cured": asdict(cured)}
            )
        )
    else:
        _show(2, cured)
        print("   The blocks also pass the gradient on unchanged, so that every layer gets its share.\n")
    if arguments.output:
        series = {"sigmoid": broken.gradient_norms, "relu, residual": cured.gradient_norms}
        save_log_bars(arguments.output, "Gradient of each layer before training", "2-norm", series)
    if not arguments.json:
        print(f"Picture: {arguments.output}\n" if arguments.output else "", end="")
        print(_NEXT)


def _broken_layers() -> list[Layer]:
    small = initializers.Normal(std=0.1)
    hidden = [Dense(_WIDTH, "sigmoid", weight_init=small) for _ in range(_HIDDEN)]
    return [*hidden, Dense(10, weight_init=small)]


def _cured_layers() -> list[Layer]:
    small = initializers.Normal(std=0.03)  # twelve blocks add up, so each begins near zero
    blocks = [Residual(Dense(_WIDTH, "relu", weight_init=small), Dropout(0.1)) for _ in range(_HIDDEN - 1)]
    return [Dropout(0.1), Dense(_WIDTH, "relu"), *blocks, Dense(10)]


def _try(
    title: str, layers: list[Layer], optimizer: Optimizer, epochs: int, digits: Digits, threads: int | None
) -> Outcome:
    """Measure the gradients of a new network, then train it."""
    net = Network(layers, inputs=64, seed=0, threads=threads or 1)  # too small to gain from more
    trainer = Trainer(net, "cross_entropy", optimizer)
    _, gradients = trainer.gradients(digits.x, digits.y)
    norms = [float(np.linalg.norm(g)) for name, g in gradients.items() if name.endswith("weight")]
    started = perf_counter()
    history = trainer.fit(digits.x, digits.y, epochs=epochs, batch_size=_BATCH, progress=False)
    seconds = perf_counter() - started
    accuracy = trainer.evaluate(digits.x_test, digits.y_test)["accuracy"]
    return Outcome(title, norms, epochs, history.loss[-1], accuracy, seconds)


def _show(number: int, outcome: Outcome) -> None:
    labels = [f"   layer {i + 1}" for i in range(len(outcome.gradient_norms))]
    print(
        f"{number}. {outcome.title}\n   Gradient of each layer's weights before training, logarithmic bars:\n"
    )
    print(log_bars(labels, outcome.gradient_norms, low=1e-9, high=100.0, block=solid_block()))
    print(
        f"\n   {outcome.epochs} epochs in {outcome.seconds:.1f} s: loss {outcome.loss:.3f}, "
        f"test accuracy {100 * outcome.test_accuracy:.1f} %"
    )
