"""Layers: frozen descriptions that a Network compiles. They hold no parameters themselves."""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
