"""Dense neural networks on the CPU: fast, and bit for bit the same for any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import build_info, names
from .alerts import GradcoreWarning, SetupWarning
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
from .lazy import on_demand

if TYPE_CHECKING:
    from . import (
        callbacks,
        clipping,
        datasets,
        health,
        initializers,
        kernels,
        losses,
        optimizers,
        pruning,
        schedules,
        search,
    )
    from .embedding import Embedding
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
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            ".callbacks": (),
            ".clipping": (),
            ".datasets": (),
            ".embedding": ("Embedding",),
            ".gates": ("GLU", "Maxout", "PReLU"),
            ".heads": ("Heads",),
            ".health": (),
            ".history": ("History",),
            ".initializers": (),
            ".kernels": (),
            ".layers": (
                "Activation",
                "AlphaDropout",
                "Dense",
                "Dropout",
                "GaussianNoise",
                "Layer",
                "LayerScale",
                "Residual",
                "Standardize",
            ),
            ".losses": (),
            ".network": ("Network",),
            ".norms": ("BatchNorm", "LayerNorm", "RMSNorm"),
            ".optimizers": (),
            ".pruning": (),
            ".schedules": (),
            ".search": (),
            ".trainer": ("Trainer",),
        },
    )

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
