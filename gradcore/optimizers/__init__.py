"""Optimizers: frozen descriptions that a Trainer compiles, and that also update plain arrays.

Every scalar hyperparameter is a number or a schedule. Weight decay leaves biases alone unless
``decay_bias=True``. Where libraries differ, `style` says whose rule is followed; PyTorch's, where it
has one, is the default.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
