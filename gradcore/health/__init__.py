"""How healthy a training is: how gradients flow through the layers."""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
