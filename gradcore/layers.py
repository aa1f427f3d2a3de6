"""Layers: frozen descriptions that a Network compiles. They hold no parameters themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from . import _core, initializers
from .checks import Abstract, choice, compact_repr, flag, integer, number, shown
from .errors import ArgumentError, DTypeError, ShapeError
from .hypers import DEVIATION, SHARE, Range, scalar
from .initializer import Initializer
from .intervals import ANY, Interval, of_activation
from .penalty import Penalty
from .schedules.base import Scalar

if TYPE_CHECKING:
    from ._core import LayerSpec

__all__ = [
    "Activation",
    "AlphaDropout",
    "Dense",
    "Dropout",
    "GaussianNoise",
    "Layer",
    "LayerScale",
    "Residual",
    "Standardize",
]


class Layer(Abstract):
    """Base of the layers."""

    abstract: ClassVar[bool] = True

    random: ClassVar[bool] = False  # whether training draws random numbers for it
    keeps_averages: ClassVar[bool] = False  # of what batches were like, to normalise with in evaluation

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        raise NotImplementedError

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output for `width` columns of input; raises where they do not fit."""
        return width

    def reach(self, given: Interval) -> Interval:
        """What its outputs can be, for inputs in an interval and any parameters."""
        return ANY

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of its parameter with this role; None: the core's own value."""
        return None

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of the matrices that it has for `width` columns of input."""
        yield from ()

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step; a number where none does."""
        return "", 0.0, SHARE

    def codes(self) -> list[int]:
        """The columns of the input that hold codes, which are no quantities."""
        return []

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """The layer and those inside it, each with its position."""
        yield position, self


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An elementwise function as a layer of its own.

    Parameters
    ----------
    name : str
        One of ``gradcore.names("activation")``.
    alpha : float, optional
        Slope, scale or frequency of the functions that have one (leaky_relu, elu, celu, sin, squareplus).

    Examples
    --------
    >>> from gradcore import Activation
    >>> Activation("leaky_relu", alpha=0.2)
    Activation('leaky_relu', alpha=0.2)
    """

    name: str
    alpha: float | None = None
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        choice(self.name, "activation", _core.names("activation"))
        if self.alpha is not None:
            object.__setattr__(self, "alpha", number(self.alpha, "Activation: alpha"))
            if not float(_core.describe("activation", self.name, "alpha") or 0.0):
                raise ArgumentError(f"Activation: alpha: expected none for {self.name}, got {self.alpha}")
            lowest = float(_core.describe("activation", self.name, "lowest_alpha") or 0.0)
            if self.alpha < lowest:
                raise ArgumentError(f"Activation: alpha: expected a number >= {lowest:g}, got {self.alpha}")

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        spec: LayerSpec = {"kind": "activation", "activation": self.name}
        if self.alpha is not None:
            spec["alpha"] = self.alpha
        yield spec

    def reach(self, given: Interval) -> Interval:
        """What the function returns there."""
        return of_activation(self.name, self.alpha, given)


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
            object.__setattr__(self, "weight_init", initializers.get(self.weight_init, "Dense: weight_init"))
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
        own = self.activation
        return ANY if own is None else (Activation(own) if isinstance(own, str) else own).reach(ANY)

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of its weight."""
        yield f"{position}.weight", (width, self.units)

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of the parameter with this role, "weight" or "bias"."""
        if role not in ("weight", "bias"):
            return None
        if role == "bias":
            value = self.bias_init
            return value if isinstance(value, Initializer) else initializers.Constant(value)
        if self.weight_init is not None:
            return initializers.get(self.weight_init)
        activation = self.activation.name if isinstance(self.activation, Activation) else self.activation
        default = _core.describe("activation", activation or "identity", "initializer")
        if default == "siren":
            return initializers.Siren(_alpha_of(self.activation))
        return initializers.get(default or "glorot_uniform")


def _alpha_of(activation: str | Activation | None) -> float:
    if isinstance(activation, Activation) and activation.alpha is not None:
        return activation.alpha
    name = activation.name if isinstance(activation, Activation) else activation
    return float(_core.describe("activation", name or "identity", "alpha") or 0.0)


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, zero each value with probability `rate` and scale the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    rate : float or schedule
        In [0, 1). A schedule says the rate of every training step, by its number.

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> from gradcore import Dropout, schedules
    >>> Dropout(schedules.Linear(0.5, 0.1, steps=1000))
    Dropout(Linear(0.5, 0.1, 1000))
    """

    rate: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", scalar(self.rate, "Dropout: rate", SHARE))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "rate", self.rate, SHARE

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "dropout"} | _rate_spec("rate", self.rate)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


@dataclass(frozen=True, repr=False)
class AlphaDropout(Layer):
    """Dropout for networks of selu: what is dropped becomes the limit of selu at minus infinity, and a linear
    function restores mean 0 and variance 1. Only in training.

    With the limit -1.7581 and ``a = ((1 - rate) (1 + rate limit^2))^(-1/2)``, a value becomes
    ``a x - a limit rate``, or ``a limit - a limit rate`` with probability `rate`: PyTorch's formula.

    Parameters
    ----------
    rate : float or schedule
        In [0, 1).

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-Normalizing Neural Networks", NeurIPS 2017.
    """

    rate: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", scalar(self.rate, "AlphaDropout: rate", SHARE))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "rate", self.rate, SHARE

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "alpha_dropout"} | _rate_spec("rate", self.rate)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


@dataclass(frozen=True, repr=False)
class GaussianNoise(Layer):
    """In training, add normal noise with mean 0 to every value.

    The noise depends on the seed, the step, the layer and the element alone, like the masks of Dropout.

    Parameters
    ----------
    std : float or schedule
        Standard deviation of the noise, at least 0.
    """

    std: Scalar
    random: ClassVar[bool] = True
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", scalar(self.std, "GaussianNoise: std", DEVIATION))

    def rate_of_a_step(self) -> tuple[str, Scalar, Range]:
        """Name, value and range of what a schedule may change from step to step."""
        return "std", self.std, DEVIATION

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "gaussian_noise"} | _rate_spec("std", self.std)

    def reach(self, given: Interval) -> Interval:
        """In evaluation, what it gets."""
        return given


@dataclass(frozen=True, repr=False)
class LayerScale(Layer):
    """``x * gamma``: a learned factor for every column.

    Parameters
    ----------
    initial : float, default 1e-4
        What all of ``gamma`` (columns,) begins with: small at the end of a residual block, so that a deep
        network begins close to the identity.

    References
    ----------
    Touvron et al., "Going deeper with Image Transformers", ICCV 2021.

    Examples
    --------
    >>> from gradcore import Dense, LayerNorm, LayerScale, Residual
    >>> Residual(LayerNorm(), Dense(64, "gelu"), Dense(16), LayerScale())
    Residual(LayerNorm(), Dense(64, 'gelu'), Dense(16), LayerScale())
    """

    initial: float = 1e-4
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", factor(self.initial, "LayerScale: initial"))

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "layer_scale", "initial": self.initial}


@dataclass(frozen=True, repr=False)
class Standardize(Layer):
    """``(x - mean) * inverse_std`` for every input column; only as the first layer of a network.

    The first fit() sets both from its training rows and their sample weights (see `Network.standardize`),
    unless they were set before; a first step() sets them from its batch, with a warning. They are parameters
    that no optimizer touches, and travel with the saved network. Columns of codes for an `Embedding` right
    behind it stay as they are.
    """

    __repr__ = compact_repr

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "standardize"}

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output; raises if this is not the network's first layer."""
        if position != "0":
            raise ArgumentError(f"layers[{position}]: expected Standardize only as the first layer")
        return width


@dataclass(frozen=True, init=False, repr=False)
class Residual(Layer):
    """``x + block(x)``: the inner layers must return as many columns as they get, or the skip is projected.

    Parameters
    ----------
    *layers : Layer
    projection : bool, default False
        Add ``x @ projection``, a learned matrix (columns in, columns out), instead of x; then the block may
        change the number of columns.
    gain : float, optional
        Multiply the block's output by a learned number, ``gain`` (1,), that begins at this value. At 0 the
        block is absent in the beginning (ReZero), and very deep networks train from the first step on. See
        also `LayerScale`, for a factor a column.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. Bachlechner et al.,
    "ReZero is All You Need: Fast Convergence at Large Depth", UAI 2021.

    Examples
    --------
    >>> from gradcore import Activation, Dense, Network, Residual
    >>> Residual(Dense(8), Activation("relu"), gain=0.0)
    Residual(Dense(8), Activation('relu'), gain=0.0)
    >>> net = Network([Residual(Dense(16, "relu"), projection=True)], inputs=4)
    >>> {name: value.shape for name, value in net.parameters().items()}
    {'0.0.weight': (4, 16), '0.0.bias': (16,), '0.projection': (4, 16)}
    """

    layers: tuple[Layer, ...]
    projection: bool = False
    gain: float | None = None

    def __init__(self, *layers: Layer, projection: bool = False, gain: float | None = None) -> None:
        object.__setattr__(self, "layers", check_layers(layers, "Residual"))
        object.__setattr__(self, "projection", flag(projection, "Residual: projection"))
        object.__setattr__(self, "gain", None if gain is None else factor(gain, "Residual: gain"))

    def __repr__(self) -> str:
        options = ", projection=True" if self.projection else ""
        options += "" if self.gain is None else f", gain={self.gain}"
        return f"Residual({', '.join(map(repr, self.layers))}{options})"

    def specs(self) -> Iterator[LayerSpec]:
        """The rows that the core compiles."""
        yield {"kind": "residual"}
        for layer in self.layers:
            yield from layer.specs()
        end: LayerSpec = {"kind": "end", "projection": self.projection}
        if self.gain is not None:
            end |= {"gain": True, "initial": self.gain}
        yield end

    def width_after(self, width: int, position: str) -> int:
        """Columns of the output; raises if the block's width does not fit its input."""
        inner = width
        for index, layer in enumerate(self.layers):
            inner = layer.width_after(inner, f"{position}.{index}")
        if inner != width and not self.projection:
            raise ShapeError(
                f"layers[{position}]: expected the Residual's last layer to return {width} columns, "
                f"as many as it gets, got {inner}; projection=True lets them differ"
            )
        return inner

    def reach(self, given: Interval) -> Interval:
        """The sum; a projection and a learned factor can have either sign."""
        inner = given
        for layer in self.layers:
            inner = layer.reach(inner)
        return ANY if self.projection or self.gain is not None else given + inner

    def initializer(self, role: str) -> Initializer | None:
        """The rule for the initial values of the projection."""
        return initializers.get("glorot_uniform") if role == "projection" else None

    def matrices(self, width: int, position: str) -> Iterator[tuple[str, tuple[int, int]]]:
        """Name and shape of the matrices that it and the layers inside it have."""
        inner = width
        for index, layer in enumerate(self.layers):
            yield from layer.matrices(inner, f"{position}.{index}")
            inner = layer.width_after(inner, f"{position}.{index}")
        if self.projection:
            yield f"{position}.projection", (width, inner)

    def walk(self, position: str) -> Iterator[tuple[str, Layer]]:
        """The block and the layers inside it, each with its position."""
        yield position, self
        for index, layer in enumerate(self.layers):
            yield from layer.walk(f"{position}.{index}")


def _rate_spec(key: Literal["rate", "std"], value: Scalar) -> LayerSpec:
    """A number as it is; the core hears a schedule's values step by step."""
    if callable(value):
        return {"scheduled": True}
    return {"rate": value} if key == "rate" else {"std": value}


def factor(value: object, name: str) -> float:
    """A number that a learned factor may begin with."""
    result = number(value, name)
    if not -1e30 <= result <= 1e30:
        raise ArgumentError(f"{name}: expected a number from -1e30 to 1e30, got {result}")
    return result


def check_layers(layers: object, name: str) -> tuple[Layer, ...]:
    """`layers` as a non-empty tuple of Layer objects."""
    is_table = hasattr(type(layers), "shape")
    if isinstance(layers, Layer | str) or not isinstance(layers, Iterable) or is_table:
        raise DTypeError(f"{name}: expected a list of layers, got {shown(layers)}")
    result = tuple(layers)
    for index, layer in enumerate(result):
        if not isinstance(layer, Layer):
            hint = f"; use {layer.__name__}(...)" if isinstance(layer, type) else ""
            if name == "Residual" and isinstance(layer, list | tuple):
                hint = "; give the layers one by one, as in Residual(*layers)"
            raise DTypeError(f"{name}[{index}]: expected a layer, got {shown(layer)}{hint}")
    if not result:
        raise ArgumentError(f"{name}: expected at least one layer, got none")
    return result
