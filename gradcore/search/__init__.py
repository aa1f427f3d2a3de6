"""Looking for good settings: a learning-rate range test, random search, successive halving, step lengths."""

from .backtracking import LineResult, armijo
from .descent import Descent, line_search_fit
from .space import Choice, Integer, LogUniform, Uniform
from .sweep import RangeTest, range_test
from .trials import SearchResult, Trial, random_search, successive_halving

__all__ = [
    "Choice",
    "Descent",
    "Integer",
    "LineResult",
    "LogUniform",
    "RangeTest",
    "SearchResult",
    "Trial",
    "Uniform",
    "armijo",
    "line_search_fit",
    "random_search",
    "range_test",
    "successive_halving",
]
