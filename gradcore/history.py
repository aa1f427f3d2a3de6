"""What training saw: one row an epoch, in plain columns."""

from .training.history import History

__all__ = ["History"]


def __dir__() -> list[str]:
    return __all__
