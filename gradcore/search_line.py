"""The line search of the full-batch methods, by itself."""

from .second_order.line_search import LineSearch, strong_wolfe

__all__ = ["LineSearch", "strong_wolfe"]


def __dir__() -> list[str]:
    return __all__
