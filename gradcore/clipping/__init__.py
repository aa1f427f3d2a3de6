"""Rules that bound the gradient before the update, and the weights after it.

``Trainer(clip=...)`` takes one rule on gradients or a list, applied in order; ``Trainer(constraint=...)`` the
same for weights.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
