"""A plan: all that a training is made of, in fields that faults and remedies change before it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradcore import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    LayerNorm,
    Network,
    Residual,
    Standardize,
    Trainer,
    initializers,
    optimizers,
    schedules,
)
from gradcore.clipping import Clip
from gradcore.layers import Layer

from .cases import Case
from .data import Array, Data

STYLES = ("plain", "batchnorm", "layernorm", "residual", "rezero")
# Learning rates to draw from, which train most networks here within some hundred steps.
RATES = {
    "sgd": (0.03, 0.3),
    "momentum": (0.005, 0.05),
    "nesterov": (0.005, 0.05),
    "adam": (1e-3, 1e-2),
    "adamw": (1e-3, 1e-2),
    "nadam": (1e-3, 1e-2),
    "rmsprop": (7e-4, 5e-3),
    "adagrad": (0.02, 0.1),
    "lion": (2e-4, 1.5e-3),
}
# Whose step does not depend on the size of the gradient.
SCALE_FREE = ("adam", "adamw", "nadam", "rmsprop", "adagrad", "lion")
TWO_BETAS = ("adam", "adamw", "nadam", "lion")
HAVE_EPS = ("adam", "adamw", "nadam", "rmsprop", "adagrad")
HE = ("relu", "leaky_relu", "relu6", "elu", "gelu", "silu", "softplus", "celu", "gelu_tanh", "mish",
      "hard_swish", "squareplus")  # fmt: skip
CLASS_LOSSES = ("cross_entropy", "focal")
VALUE_LOSSES = ("mse", "huber", "mae", "log_cosh")

LossFunction = Callable[[Array, Array], tuple[float, Array]]


@dataclass
class Plan:
    """What a case, its fault and its remedies come to."""

    case: Case
    data: Data
    run: int
    style: str
    depth: int
    width: int
    activation: str
    lr: float
    batch: int
    epochs: int
    loss: str | LossFunction
    optimizer: str
    standardize: bool = False
    embed: bool = False
    weights: dict[int, initializers.Initializer] = field(default_factory=dict)  # by Dense; -1: the last one
    biases: dict[int, float] = field(default_factory=dict)
    dropout: float = 0.0
    end: str | None = None  # the activation of the last layer
    settings: dict[str, Any] = field(default_factory=dict)  # of the optimizer
    schedule: Callable[[float, int], schedules.Checked] | None = None  # of the rate and the number of steps
    clip: Clip | None = None
    class_weight: str | None = None
    frozen: tuple[int, ...] = ()  # Dense layers
    refused: bool = False  # whether fit may refuse the data

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * -(-len(self.data.x) // self.batch)

    def gain(self, factor: float) -> initializers.Initializer:
        """The usual initial weights of its activation, times a factor."""
        scale = 2.0 if self.activation in HE else 1.0
        return initializers.VarianceScaling(scale * factor**2, distribution="normal")

    def places(self) -> list[str]:
        """The position of every Dense, the last one included, as in `net.activations`."""
        first = int(self.standardize) + int(self.embed)
        per = 1 + int(self.dropout > 0)
        if self.style in ("plain", "residual", "rezero"):
            found = [str(first + per * i) for i in range(self.depth)]
            inner = {"residual": ".1", "rezero": ".0", "plain": ""}[self.style]
            found[1:] = [place + inner for place in found[1:]]
        else:
            per += 2
            found = [str(first + per * i) for i in range(self.depth)]
        return [*found, str(first + per * self.depth)]

    def layers(self) -> list[Layer]:
        """From the input to the output."""
        found: list[Layer] = [Standardize()] if self.standardize else []
        if self.embed:
            columns = self.data.x.shape[1] - len(self.data.codes)
            found.append(Embedding({columns + i: (n, 6) for i, n in enumerate(self.data.codes)}))
        for i in range(self.depth):
            if self.style in ("plain", "residual", "rezero"):
                dense: Layer = self._dense(i, self.width, self.activation)
                if i and self.style == "residual":
                    dense = Residual(LayerNorm(), dense)
                elif i and self.style == "rezero":
                    dense = Residual(dense, gain=0.0)
                found.append(dense)
            else:
                norm = BatchNorm() if self.style == "batchnorm" else LayerNorm()
                found += [self._dense(i, self.width, None), norm, Activation(self.activation)]
            if self.dropout:
                found.append(Dropout(self.dropout))
        return [*found, self._dense(-1, max(1, self.data.classes), self.end)]

    def _dense(self, index: int, units: int, activation: str | None) -> Dense:
        weights = self.weights.get(index)
        if weights is None and activation is None and index >= 0:
            weights = self.gain(1.0)  # the activation stands behind the norm
        start = self.biases.get(index, 0.0)
        return Dense(units, activation, weight_init=weights, bias_init=start)

    def make_optimizer(self) -> optimizers.Optimizer:
        """With its schedule and what is frozen."""
        places = self.places()
        groups = [(f"{places[i]}.*", {"frozen": True}) for i in self.frozen]
        rate = self.lr if self.schedule is None else self.schedule(self.lr, self.steps)
        kinds: dict[str, tuple[type, dict[str, Any]]] = {
            "sgd": (optimizers.SGD, {}),
            "momentum": (optimizers.SGD, {"momentum": 0.9}),
            "nesterov": (optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
            "adam": (optimizers.Adam, {}),
            "adamw": (optimizers.AdamW, {}),
            "nadam": (optimizers.NAdam, {}),
            "rmsprop": (optimizers.RMSprop, {}),
            "adagrad": (optimizers.Adagrad, {}),
            "lion": (optimizers.Lion, {}),
        }
        kind, usual = kinds[self.optimizer]
        return kind(rate, **{**usual, **self.settings}, groups=groups)

    def trainer(self) -> Trainer:
        """A new network and its trainer, on one thread."""
        seed = 1000 * self.run + self.case.seed % 1000
        net = Network(self.layers(), inputs=self.data.x.shape[1], seed=seed, threads=1)
        return Trainer(net, self.loss, self.make_optimizer(), clip=self.clip)


def plain(case: Case, data: Data, run: int) -> Plan:
    """The training that a case describes, before anything is wrong or odd about it."""
    plan = Plan(
        case, data, run, case.style, case.depth, case.width, case.activation, case.lr, case.batch,
        case.epochs, case.loss, case.optimizer,
    )  # fmt: skip
    plan.embed = bool(data.codes)
    return plan
