"""What fit() calls while it trains.

A callback is any object with some of the methods of `Callback`; it need not inherit from it.
"""

from .training.callbacks import Callback, Checkpoint
from .training.early_stopping import EarlyStopping

__all__ = ["Callback", "Checkpoint", "EarlyStopping"]


def __dir__() -> list[str]:
    return __all__
