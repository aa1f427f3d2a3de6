"""Training: a network, a loss and an optimizer."""

from .training.trainer import Trainer

__all__ = ["Trainer"]


def __dir__() -> list[str]:
    return __all__
