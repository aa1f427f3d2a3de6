"""Rules that bound the gradient before the update, and the weights after it.

``Trainer(clip=...)`` takes one rule on gradients or a list, applied in order; ``Trainer(constraint=...)`` the
same for weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .base import Clip, Constraint
    from .constraints import Box, MaxNorm, NonNegative, UnitNorm
    from .gradients import Adaptive, ByValue, Centralize, GlobalNorm, Noise, PerExample, TensorNorm
    from .statistics import AutoClip, ZClip
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            ".base": ("Clip", "Constraint"),
            ".constraints": ("Box", "MaxNorm", "NonNegative", "UnitNorm"),
            ".gradients": (
                "Adaptive",
                "ByValue",
                "Centralize",
                "GlobalNorm",
                "Noise",
                "PerExample",
                "TensorNorm",
            ),
            ".statistics": ("AutoClip", "ZClip"),
        },
    )

__all__ = [
    "Adaptive",
    "AutoClip",
    "Box",
    "ByValue",
    "Centralize",
    "Clip",
    "Constraint",
    "GlobalNorm",
    "MaxNorm",
    "Noise",
    "NonNegative",
    "PerExample",
    "TensorNorm",
    "UnitNorm",
    "ZClip",
]
