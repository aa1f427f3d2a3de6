"""Networks: layers compiled for one input width, with their parameters, their files and their copies."""

from ..lazy import by_table

__getattr__, __dir__ = by_table(__name__, (), {"gradcore.network.network": ("Network",)})
