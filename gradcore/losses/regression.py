"""Losses of real targets; `gradcore.losses` has them all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..errors import ShapeError
from ..validation.checks import compact_repr
from ..validation.intervals import ANY, Expected, Interval
from .targets import Bounded, Values

__all__ = ["Cosine", "GaussianNLL", "Huber", "LogCosh", "MAE", "MSE", "Poisson", "Quantile", "SmoothL1"]


@dataclass(frozen=True, repr=False)
class MSE(Values):
    """Mean over rows and outputs of ``(output - target)**2``, without a factor of one half.

    Targets: (rows, outputs), or (rows,) for one output. PyTorch's and Keras's; scikit-learn's has the half.
    """

    name: ClassVar[str] = "mse"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class MAE(Values):
    """Mean over rows and outputs of ``|output - target|``; derivative 0 where both are equal.

    PyTorch's ``l1_loss``.
    """

    name: ClassVar[str] = "mae"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class Huber(Values):
    """With e = output - target: ``e**2 / 2`` where ``|e| <= delta``, else ``delta * (|e| - delta / 2)``.

    Mean over rows and outputs; PyTorch's and Keras's formula.

    Parameters
    ----------
    delta : float, default 1.0
        > 0.

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter", Annals of Statistics 35, 1964.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.Huber(delta=0.5)
    Huber(delta=0.5)
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class SmoothL1(Values):
    """With e = output - target: ``e**2 / (2 beta)`` where ``|e| < beta``, else ``|e| - beta / 2``.

    Mean over rows and outputs; PyTorch's formula. It is Huber's divided by beta.

    Parameters
    ----------
    beta : float, default 1.0
        >= 0; 0 is the mean absolute error.
    """

    beta: float = 1.0
    name: ClassVar[str] = "smooth_l1"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class LogCosh(Values):
    """Mean over rows and outputs of ``log(cosh(output - target))``, which large errors do not overflow.

    Keras's formula.
    """

    name: ClassVar[str] = "log_cosh"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class Quantile(Values):
    """The pinball loss: ``q * (target - output)`` for outputs too low, ``(1 - q) * (output - target)`` else.

    Mean over rows and outputs; its minimum is the q-quantile. scikit-learn's ``mean_pinball_loss``.

    Parameters
    ----------
    q : float, default 0.5
        In (0, 1); 0.5 is half the mean absolute error.

    References
    ----------
    Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978.
    """

    q: float = 0.5
    name: ClassVar[str] = "quantile"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class Poisson(Bounded):
    """Minus the log likelihood of counts: ``exp(z) - target * z``, mean over rows and outputs.

    Targets >= 0. PyTorch's ``poisson_nll_loss``; Keras's ``Poisson`` is ``log_input=False`` with eps 1e-7.

    Parameters
    ----------
    log_input : bool, default True
        Outputs are the logarithm of the rate. False: they are the rate, ``z - target * log(z + eps)``.
    full : bool, default False
        Add Stirling's approximation of ``log(target!)`` for targets above 1.
    eps : float, default 1e-8
    """

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8
    name: ClassVar[str] = "poisson"
    high: ClassVar[float] = float("inf")
    matches_targets: ClassVar[bool] = False
    __repr__ = compact_repr

    def expects(self) -> Expected:
        """Logarithms, or what has one."""
        if self.log_input:
            then = "; np.exp(net.predict(X)) gives rates"
            return Expected("logarithms of rates, any numbers,", ANY, then=then)
        return Expected("rates, not negative,", within=Interval(0.0))


@dataclass(frozen=True, repr=False)
class GaussianNLL(Values):
    """Minus the log likelihood of a normal distribution whose mean and variance the network returns.

    ``(log v + (mean - target)**2 / v) / 2``, mean over rows and means. The first half of the outputs are the
    means, the second half the logarithms of the variances v. Targets: (rows, outputs / 2), or (rows,) for two
    outputs. PyTorch's ``gaussian_nll_loss``, to which a variance below eps counts as eps as well.

    Parameters
    ----------
    log_variance : bool, default True
        False: the second half are the variances themselves; those below eps, negative ones too, count as eps.
    full : bool, default False
        Add the constant ``log(2 pi) / 2``.
    eps : float, default 1e-6

    References
    ----------
    Nix and Weigend, "Estimating the Mean and Variance of the Target Probability Distribution", ICNN 1994.
    """

    log_variance: bool = True
    full: bool = False
    eps: float = 1e-6
    name: ClassVar[str] = "gaussian_nll"
    __repr__ = compact_repr

    def expects(self) -> Expected | None:
        """Any number, where it takes the logarithm of a variance."""
        return Expected("means and logarithms of variances, any numbers,", ANY) if self.log_variance else None

    def check_outputs(self, outputs: int) -> None:
        """Refuse an odd number of outputs."""
        if outputs % 2:
            raise ShapeError(
                f"loss: expected a network with an even number of outputs for gaussian_nll, a mean and a "
                f"variance for each target, got {outputs}"
            )

    def target_columns(self, outputs: int) -> int:
        """Columns of a target: half the outputs."""
        return outputs // 2


@dataclass(frozen=True, repr=False)
class Cosine(Values):
    """Mean over rows of one minus the cosine of the angle between the row of outputs and its target.

    Norms below eps count as eps, as in PyTorch's ``cosine_similarity``, and are constants in the gradient,
    which PyTorch's are not. Keras's ``CosineSimilarity`` is the same less 1.

    Parameters
    ----------
    eps : float, default 1e-8
    """

    eps: float = 1e-8
    name: ClassVar[str] = "cosine"
    scales: ClassVar[bool] = False
    __repr__ = compact_repr

    def aim(self, low: float, high: float) -> Interval:
        """The signs of the targets, not their sizes."""
        return Interval(min(0.0, math.copysign(1e-3, low)), max(0.0, math.copysign(1e-3, high)))
