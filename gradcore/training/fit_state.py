"""Where a fit stands: all that a checkpoint must know to finish it, and the data while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..losses.base import Loss
from ..network.scaling import Scaling
from ..validation.arrays import Array
from ..validation.class_names import ByEnd
from ..validation.frames import Label
from .early_stopping import StopState


@dataclass
class Terms:
    """What decides the bits of a fit besides rows, batch size and shuffling.

    Files that were written before these were kept have none of them; what is unknown is not compared.
    """

    epochs: int = 0
    monitor: str | None = None  # of early stopping; "" without
    averaged: bool = False  # whether the average is evaluated
    contents: dict[str, str] = field(default_factory=dict)  # a digest by argument


@dataclass
class Data:
    """Checked arrays of a fit."""

    x: Array
    target: Any  # an array, or a ByHead of arrays
    weight: Any  # the same, or None
    rows: NDArray[np.int64] | None  # the rows to train on; None: all
    validation: tuple[Array, Any, Any] | None
    loss: Loss  # with what it takes from the training rows
    scaling: Scaling | None  # for a Standardize layer that has none yet
    labels: tuple[Label, ...] | None  # of the columns of x, if they have names
    classes: ByEnd  # of targets that are texts

    @property
    def count(self) -> int:
        """Rows to train on."""
        return len(self.x) if self.rows is None else len(self.rows)


@dataclass
class Sums:
    """What the steps of an unfinished epoch have added up to, in step order."""

    loss: float = 0.0
    correct: float = 0.0
    weight: float = 0.0
    norm: float = 0.0
    normed: int = 0
    clipped: int = 0
    scale: float = 0.0
    skipped: int = 0
    steps: int = 0
    seconds: float = 0.0
    heads: list[float] = field(default_factory=list)  # as PerHead.add has them
    ledger: list[list[float]] = field(default_factory=list)  # of rules on gradients, as core.run adds it up

    def add(self, reports: NDArray[np.void], done: int, seconds: float) -> None:
        """Add the first `done` reports of a slice; the result does not depend on how an epoch is sliced."""
        sums = self.loss, self.correct, self.weight, self.norm, self.scale
        self.loss, self.correct, self.weight, self.norm, self.scale, applied, clipped = _core.add_reports(
            reports, done, *sums
        )
        self.normed += applied
        self.clipped += clipped
        self.skipped += done - applied
        self.steps += done
        self.seconds += seconds


@dataclass
class FitState:
    """A fit that has begun and has not ended."""

    rows: int
    batch_size: int
    shuffle: bool
    first_row: int  # of the history, of this fit
    epoch: int = 0  # complete
    position: int = 0  # rows of the current epoch that have been trained on
    sums: Sums = field(default_factory=Sums)
    stop: StopState = field(default_factory=StopState)
    ended: bool = False  # a callback or early stopping asked for the end
    terms: Terms = field(default_factory=Terms)
    loaded: bool = False  # it came from a file, and has not gone on since
    data: Data | None = None  # while it runs

    def steps_left(self) -> int:
        """Updates up to the end of the fit."""
        left = (self.terms.epochs - self.epoch) * -(-self.rows // self.batch_size)
        return max(0, left - self.position // self.batch_size)
