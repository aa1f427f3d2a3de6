"""The dense layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..initializers.base import Initializer
from ..initializers.draws import Constant
from ..initializers.lookup import get as initializer
from ..losses.penalty import Penalty
from ..validation.checks import choice, compact_repr, flag, integer, number, shown
from ..validation.intervals import ANY, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import LayerSpec
    from ..validation.arrays import Array
from .activation import Activation
from .base import Layer

__all__ = ["Dense"]


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """``Y = activation(X W + b)`` with W of shape (fan_in, units), as NumPy, Keras and scikit-learn have it.

    PyTorch's ``Linear.weight`` is the transpose.

    Parameters
    ----------
    units : int
        Columns of the output.
    activation : str or Activation, optional
        Default: none, a linear layer.
    bias : bool, default True
    weight_init : Initializer or str, optional
        Default: what suits the layer's activation (He for ReLU and relatives, LeCun for SELU, Siren for
        sin, Glorot else).
    bias_init : float or Initializer, default 0.0
    penalty : Penalty, optional
        ``losses.L1``, ``L2`` or ``Elastic`` of the weights that multiply x, without the bias, as part of a
        trainer's loss.
    weight_norm : bool, default False
        Learn direction and length of each output's weights apart: W is ``weight * magnitude / |weight|``, the
        norm being that of each column. ``magnitude`` (units,) begins as those norms, so that W begins as
        without it. A column of zeros gives 0, and stays; where `weight_init` draws one it gets a direction
        and the magnitude 0, from which it trains. `Network.effective_weights` shows W.
    spectral_norm : bool, default False
        Divide W by its largest singular value ``left @ weight @ right``, so that the layer cannot lengthen a
        difference of inputs. The vectors are found by power iteration, 15 times in the beginning and once
        after every applied update; they are parameters that no optimizer touches, and constants to gradients.

    References
    ----------
    Salimans and Kingma, "Weight Normalization", NeurIPS 2016. Miyato et al., "Spectral Normalization for
    Generative Adversarial Networks", ICLR 2018. Formulas are those of PyTorch's parametrizations.

    Examples
    --------
    >>> from gradcore import Dense, initializers
    >>> Dense(64, "tanh", weight_init=initializers.Orthogonal(gain=1.5))
    Dense(64, 'tanh', weight_init=Orthogonal(gain=1.5))
    """

    units: int
    activation: str | Activation | None = field(default=None, metadata={"positional": True})
    bias: bool = field(default=True, kw_only=True)
    weight_init: Initializer | str | None = field(default=None, kw_only=True)
    bias_init: float | Initializer = field(default=0.0, kw_only=True)
    penalty: Penalty | None = field(default=None, kw_only=True)
    weight_norm: bool = field(default=False, kw_only=True)
    spectral_norm: bool = field(default=False, kw_only=True)
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", integer(self.units, "Dense: units", 1))
        if self.activation is not None and not isinstance(self.activation, Activation):
            choice(self.activation, "Dense: activation", _core.names("activation"))
        for name in ("bias", "weight_norm", "spectral_norm"):
            object.__setattr__(self, name, flag(getattr(self, name), f"Dense: {name}"))
        if self.weight_norm and self.spectral_norm:
            raise ArgumentError("Dense: spectral_norm: expected False beside weight_norm=True, got True")
        if self.weight_init is not None:
            object.__setattr__(self, "weight_init", initializer(self.weight_init, "Dense: weight_init"))
        if not isinstance(self.bias_init, Initializer):
            object.__setattr__(self, "bias_init", number(self.bias_init, "Dense: bias_init"))
        if self.penalty is not None and not isinstance(self.penalty, Penalty):
            raise DTypeError(
                f"Dense: penalty: expected losses.L1, L2 or Elastic, or None, got {shown(self.penalty)}"
            )

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        spec: LayerSpec = {"kind": "dense", "units": self.units, "bias": self.bias}
        activation: LayerSpec = {}
        if isinstance(self.activation, Activation):
            (own,) = self.activation.specs()
            activation["activation"] = own["activation"]
            if "alpha" in own:
                activation["alpha"] = own["alpha"]
        elif self.activation is not None:
            activation["activation"] = self.activation
        if not self.weight_norm and not self.spectral_norm:
            yield spec | activation
            return
        yield spec | {"bias": False, "rescaled": True}
        kind = "weight_norm" if self.weight_norm else "spectral_norm"
        yield {"kind": kind, "bias": self.bias, "continues": True}
        if activation:
            yield {"kind": "activation", "continues": True} | activation

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output for `width` columns of input."""
        return self.units

    def reach(self, given: Interval) -> Interval:
        """What its activation returns."""
        function = self._function()
        return ANY if function is None else function.reach(ANY)

    def flat(self, x: Array, own: Mapping[str, Array]) -> NDArray[np.bool_] | None:
        """Which outputs lie on a flat side of its activation."""
        function = self._function()
        if function is None:
            return None
        return function.flat(_core.gemm(x, own["weight"], own.get("bias"), None), {})

    def _function(self) -> Activation | None:
        own = self.activation
        return Activation(own) if isinstance(own, str) else own

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of its weight."""
        yield f"{position}.weight", (width, self.units)

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of the parameter with this role, "weight" or "bias"."""
        if role not in ("weight", "bias"):
            return None
        if role == "bias":
            value = self.bias_init
            return value if isinstance(value, Initializer) else Constant(value)
        if self.weight_init is not None:
            return initializer(self.weight_init)
        activation = self.activation.name if isinstance(self.activation, Activation) else self.activation
        default = _core.describe("activation", activation or "identity", "initializer")
        if default == "siren":
            from ..initializers.structured import Siren

            return Siren(_alpha_of(self.activation))
        return initializer(default or "glorot_uniform")


def _alpha_of(activation: str | Activation | None) -> float:
    if isinstance(activation, Activation) and activation.alpha is not None:
        return activation.alpha
    name = activation.name if isinstance(activation, Activation) else activation
    return float(_core.describe("activation", name or "identity", "alpha") or 0.0)
