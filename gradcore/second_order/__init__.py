"""Methods for whole objectives: L-BFGS, conjugate gradients, truncated Newton, Levenberg-Marquardt.

`gradcore.optimizers` imports them when they are first named.
"""

from .conjugate import ConjugateGradient
from .lbfgs import LBFGS
from .levenberg import LevenbergMarquardt
from .minimizing import Minimum, minimize
from .newton import NewtonCG

__all__ = ["LBFGS", "ConjugateGradient", "LevenbergMarquardt", "Minimum", "NewtonCG", "minimize"]
