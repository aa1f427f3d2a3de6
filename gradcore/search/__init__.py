"""Looking for good settings: a learning-rate range test, random search, successive halving, step lengths."""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
