"""A case: the description of one training, and the family that it belongs to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

# Every finding names one of these.
CAUSES = (
    "activation_depth", "init_too_small", "init_too_large", "init_symmetric", "dead_units", "depth_gain",
    "lr_too_high", "lr_too_low", "momentum_too_high", "schedule_ends_early", "eps_too_large",
    "decay_too_strong", "clip_too_tight", "loss_scale", "input_scale", "input_outliers", "input_nonfinite",
    "input_codes", "input_constant", "target_scale", "target_nonfinite", "target_range", "target_constant",
    "target_unrelated", "target_contradictory", "class_imbalance", "head_mismatch", "loss_nonfinite",
    "loss_gradient_wrong", "no_nonlinearity", "capacity", "batch_too_small", "dropout_too_strong", "frozen",
    "overfitting",
)  # fmt: skip
RUNS = 5  # seeds of a case: its rows, initial weights and their order are drawn anew in each
RECTIFIED = ("relu", "leaky_relu", "relu6", "squareplus", "softplus")
BOUNDED = ("tanh", "sigmoid", "softsign", "hard_tanh", "hard_sigmoid", "gaussian", "sin")
SIDES = ("fitting", "figures")


@dataclass(frozen=True)
class Case:
    """One training. Everything that its bits depend on, beside the number of the run, is in these fields."""

    kind: str  # a name of faults.FAULTS or of sound.ODD, or "plain"
    level: float  # how strong it is, in [0, 1]
    data: str  # a name of data.FAMILIES
    rows: int  # to train on
    style: str  # a name of plans.STYLES
    depth: int  # hidden layers
    width: int  # of each
    activation: str
    optimizer: str  # a name of plans.RATES
    loss: str
    lr: float
    batch: int
    epochs: int
    seed: int

    @property
    def architecture(self) -> str:
        """What networks of a family have in common."""
        depth = "shallow" if self.depth <= 3 else "middle" if self.depth <= 10 else "deep"
        bent = "rectified" if self.activation in RECTIFIED else "smooth"
        return f"{depth} {self.style} {'bounded' if self.activation in BOUNDED else bent}"

    @property
    def family(self) -> str:
        """Data, architecture and optimizer."""
        return f"{self.data}/{self.architecture}/{self.optimizer}"

    @property
    def side(self) -> str:
        """Rules are fitted on one half of the families; figures come from the other. Never to be changed."""
        return SIDES[hashlib.sha256(f"health 1 {self.family}".encode()).digest()[0] & 1]

    @property
    def key(self) -> str:
        """Names the case; a digest of all fields."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:10]

    def fields(self) -> dict[str, Any]:
        """As the file has it."""
        return asdict(self)
