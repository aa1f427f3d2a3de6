"""Initial values of parameters.

Every random initializer draws from the counter-based generator of the core, keyed by the seed and the
parameter's place in the network: the same seed gives the same bits on every platform. Values are computed
in float64 and then rounded to the network's dtype.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
