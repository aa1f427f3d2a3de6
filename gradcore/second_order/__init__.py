"""Methods for whole objectives: L-BFGS, conjugate gradients, truncated Newton, Levenberg-Marquardt.

`gradcore.optimizers` offers them.
"""

from ..lazy import by_folder

__getattr__, __dir__ = by_folder(__name__)
