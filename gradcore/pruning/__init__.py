"""Pruning: weights of small magnitude held at 0 while training goes on, and units taken out of a network.

"Weights" are those that multiply x: see `Network.effective_weights`.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
