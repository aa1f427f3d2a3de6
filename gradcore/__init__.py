"""Dense neural networks on the CPU: fast, and bit for bit the same for any number of threads."""

from __future__ import annotations

import importlib
from typing import Any

from . import callbacks, clipping, initializers, losses, optimizers, schedules
from ._core import build_info, names
from .alerts import GradcoreWarning, SetupWarning
from .embedding import Embedding
from .errors import (
    ArgumentError,
    BusyError,
    DependencyError,
    DTypeError,
    FileError,
    FormatError,
    GradcoreError,
    MemoryLimitError,
    NonFiniteError,
    NotFoundError,
    ShapeError,
    StateError,
)
from .gates import GLU, Maxout, PReLU
from .heads import Heads
from .history import History
from .layers import (
    Activation,
    AlphaDropout,
    Dense,
    Dropout,
    GaussianNoise,
    Layer,
    LayerScale,
    Residual,
    Standardize,
)
from .network import Network
from .norms import BatchNorm, LayerNorm, RMSNorm
from .trainer import Trainer

__version__: str = build_info()["version"]

__all__ = [
    "GLU",
    "Activation",
    "AlphaDropout",
    "ArgumentError",
    "BatchNorm",
    "BusyError",
    "DTypeError",
    "Dense",
    "DependencyError",
    "Dropout",
    "Embedding",
    "FileError",
    "FormatError",
    "GaussianNoise",
    "GradcoreError",
    "GradcoreWarning",
    "Heads",
    "History",
    "Layer",
    "LayerNorm",
    "LayerScale",
    "Maxout",
    "MemoryLimitError",
    "Network",
    "NonFiniteError",
    "NotFoundError",
    "PReLU",
    "RMSNorm",
    "Residual",
    "SetupWarning",
    "ShapeError",
    "Standardize",
    "StateError",
    "Trainer",
    "build_info",
    "callbacks",
    "clipping",
    "datasets",
    "health",
    "initializers",
    "kernels",
    "losses",
    "names",
    "optimizers",
    "pruning",
    "schedules",
    "search",
]

_ON_DEMAND = ("datasets", "health", "kernels", "pruning", "search")  # imported when they are first named


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
