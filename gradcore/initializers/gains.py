"""By how much weights are to be larger than 1 / sqrt(fan_in), so that signals keep their size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError
from ..validation.checks import choice, number

__all__ = ["gain"]

# torch.nn.init.calculate_gain of PyTorch 2.13; leaky_relu, with its slope, below.
_PYTORCH = {"identity": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_NODES, _LIMIT = 64, 12


def gain(activation: str, alpha: float | None = None) -> float:
    """The factor g of an activation: weights of standard deviation g / sqrt(fan_in) keep signals alive.

    Where PyTorch's ``calculate_gain`` has a number, this is it: identity and sigmoid 1, tanh 5/3, relu
    sqrt(2), leaky_relu sqrt(2 / (1 + alpha^2)), selu 3/4. The others preserve the mean square: for z standard
    normal, ``g = 1 / sqrt(mean of f(z)^2)``, by quadrature in float64 (sin by its closed form). PyTorch's
    relu and leaky_relu are of that kind as well; its tanh (1.59 would preserve), sigmoid (1.85) and selu
    (1.0) are not. With "sin" prefer `Siren`, which knows where the first layer is.

    Parameters
    ----------
    activation : str
        One of ``gradcore.names("activation")``.
    alpha : float, optional
        Default: the activation's own.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If there is no such activation, or alpha is not for it.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> from gradcore import initializers
    >>> initializers.gain("tanh"), round(initializers.gain("gelu"), 4)
    (1.6666666666666667, 1.5335)
    >>> initializers.Orthogonal(gain=initializers.gain("leaky_relu", 0.2))
    Orthogonal(gain=1.3867504905630728)
    """
    choice(activation, "activation", _core.names("activation"))
    own = float(_core.describe("activation", activation, "alpha") or 0.0)
    if alpha is not None:
        alpha = number(alpha, "alpha")
        lowest = float(_core.describe("activation", activation, "lowest_alpha") or 0.0)
        if not own:
            raise ArgumentError(f"alpha: expected none for {activation}, got {alpha}")
        if not lowest <= alpha <= 1e6:
            raise ArgumentError(f"alpha: expected a number from {lowest:g} to 1e6, got {alpha}")
        own = alpha
    if activation == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + own**2))
    if activation in _PYTORCH:
        return _PYTORCH[activation]
    if activation == "sin":
        return 1.0 / math.sqrt(-math.expm1(-2.0 * own**2) / 2.0)
    return 1.0 / math.sqrt(_mean_square(activation, own))


def _mean_square(activation: str, alpha: float) -> float:
    """Of f(z), z standard normal: Gauss and Legendre's rule on unit intervals, whose ends are all kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    z: NDArray[np.float64] = np.concatenate([k + 0.5 + nodes / 2 for k in range(-_LIMIT, _LIMIT)])
    values = _core.activation_forward(activation, z, None, alpha)
    density = np.exp(-(z**2) / 2) / math.sqrt(2.0 * math.pi)
    return float(np.dot(np.tile(weights / 2, 2 * _LIMIT) * density, values**2))
