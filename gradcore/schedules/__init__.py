"""Hyperparameters that change over training: pure functions of the step.

A schedule is any callable ``schedule(step) -> float``; `step` is the number of updates done before, so the
first update sees ``schedule(0)``. The classes here can be stored in a checkpoint and print so that they can
be pasted back. A `ReduceOnPlateau` listens to the metrics of `fit` as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .base import Scalar, Schedule
    from .cycles import Cyclic, OneCycle, OneCycleMomentum, WarmRestarts
    from .decay import (
        Constant,
        Cosine,
        Exponential,
        InverseSqrt,
        InverseTime,
        Linear,
        MultiStep,
        Piecewise,
        Polynomial,
        Step,
    )
    from .noise import LogUniform, Uniform, Walk
    from .phases import FlatCosine, Join, Scale, Warmup, WarmupStableDecay
    from .plateau import ReduceOnPlateau
    from .preview import plot, values
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            ".base": ("Scalar", "Schedule"),
            ".cycles": ("Cyclic", "OneCycle", "OneCycleMomentum", "WarmRestarts"),
            ".decay": (
                "Constant",
                "Cosine",
                "Exponential",
                "InverseSqrt",
                "InverseTime",
                "Linear",
                "MultiStep",
                "Piecewise",
                "Polynomial",
                "Step",
            ),
            ".noise": ("LogUniform", "Uniform", "Walk"),
            ".phases": ("FlatCosine", "Join", "Scale", "Warmup", "WarmupStableDecay"),
            ".plateau": ("ReduceOnPlateau",),
            ".preview": ("plot", "values"),
        },
    )

__all__ = [
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "FlatCosine",
    "InverseSqrt",
    "InverseTime",
    "Join",
    "Linear",
    "LogUniform",
    "MultiStep",
    "OneCycle",
    "OneCycleMomentum",
    "Piecewise",
    "Polynomial",
    "ReduceOnPlateau",
    "Scalar",
    "Scale",
    "Schedule",
    "Step",
    "Uniform",
    "Walk",
    "WarmRestarts",
    "Warmup",
    "WarmupStableDecay",
    "plot",
    "values",
]
