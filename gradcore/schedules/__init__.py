"""Hyperparameters that change over training: pure functions of the step.

A schedule is any callable ``schedule(step) -> float``; `step` is the number of updates done before, so the
first update sees ``schedule(0)``. The classes here can be stored in a checkpoint and print so that they can
be pasted back. A `ReduceOnPlateau` listens to the metrics of `fit` as well.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
