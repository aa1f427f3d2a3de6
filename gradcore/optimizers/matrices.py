"""Optimizers that take matrices as wholes: Muon and SOAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..schedules.base import Scalar
from ..schedules.scalars import NOT_NEGATIVE, POSITIVE, UNIT, Range, scalar
from ..validation.checks import choice, integer, number, shown
from .base import BY_STYLE, FirstOrder

__all__ = ["Muon", "SOAP"]

SCALES = ("spectral", "unclamped", "rms")


def _patterns(value: object, name: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DTypeError(f"{name}: expected a list of patterns or None, got {shown(value)}")
    for i, pattern in enumerate(value):
        if not isinstance(pattern, str) or not pattern:
            raise DTypeError(f"{name}[{i}]: expected a non-empty string, got {shown(pattern)}")
    return tuple(value)


def _matching(
    patterns: Sequence[str], shapes: Mapping[str, tuple[int, ...]], name: str, dimensions: tuple[int, ...]
) -> set[str]:
    """The names that match; every pattern has to match something that the optimizer can take."""
    found: set[str] = set()
    for i, pattern in enumerate(patterns):
        matches = {key for key, shape in shapes.items() if fnmatchcase(key, pattern)}
        fits = {key for key in matches if len(shapes[key]) in dimensions}
        if not fits:
            raise ArgumentError(
                f"{name}[{i}]: expected a pattern of a matrix among {', '.join(shapes)}, got {pattern!r}"
            )
        found |= fits
    return found


def _head_of(layer: str) -> str | None:
    """Of "2.steer.0", "2.steer": positions are numbers and names of heads are none."""
    parts = layer.split(".")
    named = [i for i, part in enumerate(parts) if not part.isdecimal()]
    return ".".join(parts[: named[0] + 1]) if named else None


def hidden_matrices(shapes: Mapping[str, tuple[int, ...]], roles: Mapping[str, str]) -> set[str]:
    """Matrices between others: not those of the first layer and of the last, of each head's last where there
    are heads, and no learned tables."""
    layers = {name: name.rpartition(".")[0] for name, shape in shapes.items() if len(shape) == 2}
    branches: dict[str | None, list[str]] = {}
    for layer in layers.values():
        branches.setdefault(_head_of(layer), []).append(layer)
    trunk = branches.get(None)
    firsts = {branch[0] for branch in ([trunk] if trunk else branches.values())}
    lasts = {branch[-1] for head, branch in branches.items() if head is not None or len(branches) == 1}
    return {name for name, layer in layers.items() if layer not in firsts | lasts and roles[name] != "table"}


@dataclass(frozen=True, repr=False)
class Muon(FirstOrder):
    """Momentum made orthogonal, for hidden matrices; AdamW for the rest.

    A matrix moves by ``lr`` times a factor of its shape times its momentum with (nearly) all singular
    values set to 1, by a few Newton-Schulz iterations ``x = a x + (b x x' + c (x x')^2) x``. In a Trainer,
    `matrices` left out, these are the two-dimensional weights between the first and the last layer, tables
    of embeddings left out: for the outer layers the rule is not meant. `update` takes all two-dimensional
    arrays. What is left is updated by AdamW with `adam_lr` and `betas`. Iterations are made in the
    parameters' own precision.

    The factor is made of fan_in and fan_out, rows and columns of an array here; PyTorch's arrays are the
    transposes. PyTorch iterates in bfloat16, so its steps agree to some per cent.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        > 0. Of the order of 0.02 for `scale` "spectral", where `adam_lr` should be less.
    momentum : float or Schedule, default 0.95
        In [0, 1).
    nesterov : bool, default True
        Look ahead along the momentum.
    weight_decay : float or Schedule, default 0.1
        >= 0, decoupled: ``w *= 1 - lr * weight_decay``. Keras: 0.004; optax: 0. For the rest too.
    scale : {"spectral", "unclamped", "rms"}, default "spectral"
        The factor: ``sqrt(max(1, fan_out / fan_in))``, ``sqrt(fan_out / fan_in)`` or
        ``rms * sqrt(max(fan_in, fan_out))``, as large as AdamW's steps. Keras: "rms".
    rms : float, default 0.2
        > 0: for `scale` "rms".
    steps : int, default 5
        Iterations, 1 to 100.
    coefficients : three floats, default (3.4445, -4.775, 2.0315)
        a, b and c.
    eps : float or Schedule, default 1e-7
        > 0: the least norm that momentum is divided by, in Keras and optax added to it; AdamW's eps too.
        optax: 1e-8.
    adam_lr : float or Schedule, optional
        > 0: the rate of the rest. Default: `lr`.
    betas : pair of float or Schedule, default (0.9, 0.999)
        Of the rest, each in [0, 1).
    matrices : list of str, optional
        Patterns of the names, or of the keys, of the matrices that Muon is for, as `Group` has them.
    corrected : bool, default False
        Correct the momentum for its start at 0, and with `nesterov` the rest is NAdamW. optax: True.
    eps_inside : bool, default True
        eps is a least norm rather than added. Keras, optax: False.
    eps_hat : bool, default False
        eps is meant for a momentum that is a sum of gradients, and is beside AdamW's uncorrected root.
        Keras: True.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024; the scale "rms": Liu et al.,
    "Muon is Scalable for LLM Training", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, Trainer, optimizers
    >>> net = Network([Dense(16, "relu"), Dense(16, "relu"), Dense(1)], inputs=2, seed=0)
    >>> muon = optimizers.Muon(lr=0.02, adam_lr=1e-3)
    >>> muon.whole({"a": (2, 16), "b": (16,)})  # of plain arrays, all that are matrices
    {'a'}
    >>> loss = Trainer(net, "mse", muon).step(np.eye(2), [1, 2])
    """

    lr: Scalar = 1e-3
    momentum: Scalar = 0.95
    nesterov: bool = field(default=True, kw_only=True)
    weight_decay: Scalar = field(default=BY_STYLE, kw_only=True)
    scale: str = field(default=BY_STYLE, kw_only=True)
    rms: float = field(default=0.2, kw_only=True)
    steps: int = field(default=5, kw_only=True)
    coefficients: tuple[float, float, float] = field(default=(3.4445, -4.7750, 2.0315), kw_only=True)
    eps: Scalar = field(default=BY_STYLE, kw_only=True)
    adam_lr: Scalar | None = field(default=None, kw_only=True)
    betas: tuple[Scalar, Scalar] = field(default=(0.9, 0.999), kw_only=True)
    matrices: tuple[str, ...] | None = field(default=None, kw_only=True)
    corrected: bool = field(default=BY_STYLE, kw_only=True)
    eps_inside: bool = field(default=BY_STYLE, kw_only=True)
    eps_hat: bool = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str] = "muon"
    ranges: ClassVar[dict[str, Range]] = {
        "momentum": Range("in [0, 1)", lambda x: 0.0 <= x < 1.0),
        "eps": POSITIVE,
    }
    defaults: ClassVar[dict[str, Any]] = {
        "weight_decay": 0.1,
        "scale": "spectral",
        "eps": 1e-7,
        "corrected": False,
        "eps_inside": True,
        "eps_hat": False,
    }
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {},
        "keras": {"weight_decay": 0.004, "scale": "rms", "eps_inside": False, "eps_hat": True},
        "optax": {"weight_decay": 0.0, "eps": 1e-8, "corrected": True, "eps_inside": False},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("scale", choice(self.scale, "Muon: scale", SCALES))
        self._set("rms", number(self.rms, "Muon: rms"))
        if not 0.0 < self.rms <= 1e10:
            raise ArgumentError(f"Muon: rms: expected a number > 0, got {self.rms}")
        self._set("steps", integer(self.steps, "Muon: steps", 1, 100))
        if self.adam_lr is not None:
            self._set("adam_lr", scalar(self.adam_lr, "Muon: adam_lr", POSITIVE))
        try:
            if isinstance(self.coefficients, str) or len(self.coefficients) != 3:
                raise TypeError
        except Exception:  # no sequence
            raise DTypeError(
                f"Muon: coefficients: expected three numbers, got {shown(self.coefficients)}"
            ) from None
        numbers = tuple(number(c, f"Muon: coefficients[{i}]") for i, c in enumerate(self.coefficients))
        if not all(abs(c) <= 1e10 for c in numbers):
            raise ArgumentError(f"Muon: coefficients: expected finite numbers, got {self.coefficients!r}")
        self._set("coefficients", numbers)
        self._set("matrices", _patterns(self.matrices, "Muon: matrices"))

    def own(self) -> dict[str, Scalar]:
        """The hyperparameters besides lr and weight_decay, under the core's names."""
        return {
            **super().own(),
            **dict(zip("abc", self.coefficients, strict=True)),
            "steps": float(self.steps),
            "rms": self.rms if self.scale == "rms" else 0.0,
            "adam_lr": self.lr if self.adam_lr is None else self.adam_lr,
        }

    def _range(self, key: str) -> Range:
        return NOT_NEGATIVE if key == "adam_lr" else super()._range(key)

    def flags(self) -> int:
        """The core's option bits."""
        option = _core.OPTIMIZER_OPTIONS
        bits = super().flags() | (option["unclamped"] if self.scale == "unclamped" else 0)
        return bits if bits & option["momentum"] else bits & ~option["nesterov"]

    def whole(
        self, shapes: Mapping[str, tuple[int, ...]], roles: Mapping[str, str] | None = None
    ) -> set[str]:
        """The names of what is taken as a matrix."""
        if self.matrices is not None:
            return _matching(self.matrices, shapes, "Muon: matrices", (2,))
        if roles is None:
            return {name for name, shape in shapes.items() if len(shape) == 2}
        return hidden_matrices(shapes, roles)


@dataclass(frozen=True, repr=False)
class SOAP(FirstOrder):
    """Adam in the eigenbasis of Shampoo's preconditioner: for matrices; the rest by Adam itself.

    For a matrix, running means of ``g g'`` and ``g' g`` have eigenvectors L and R; Adam sees ``L' g R``,
    and its step is turned back. The first update only makes L and R and changes no weight, whatever the
    parameter; from then on they follow by one power iteration every `frequency` updates.

    Parameters
    ----------
    lr : float or Schedule, default 0.003
        > 0.
    betas : pair of float or Schedule, default (0.95, 0.95)
        Decay of Adam's first and second moment, each in [0, 1).
    eps : float or Schedule, default 1e-8
        > 0, beside the uncorrected root.
    weight_decay : float or Schedule, default 0.01
        >= 0, decoupled, after the step: ``w *= 1 - lr * weight_decay``.
    shampoo_beta : float or Schedule, optional
        In [0, 1]: decay of the means of ``g g'`` and ``g' g``. Default: the second of `betas`.
    frequency : int, default 10
        Updates from one renewal of the bases to the next.
    max_size : int, default 10000
        Sides of a matrix with more rows than that have no basis: memory and work grow with the square and
        the cube.
    precondition_1d : bool, default False
        Vectors have a basis too.
    matrices : list of str, optional
        Patterns of the names, or of the keys, of what has bases, as `Group` has them. Default: all matrices.
    decay_bias, maximize, groups, style
        See `FirstOrder`.

    References
    ----------
    Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson and Kakade, "SOAP: Improving and Stabilizing
    Shampoo using Adam", ICLR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import optimizers
    >>> w, soap = np.ones((3, 2)), optimizers.SOAP(0.1, weight_decay=0.0)
    >>> for _ in range(100):
    ...     soap.update([w], [w.copy()])
    >>> bool(abs(w).max() < 0.1)
    True
    """

    lr: Scalar = 3e-3
    betas: tuple[Scalar, Scalar] = (0.95, 0.95)
    eps: Scalar = field(default=1e-8, kw_only=True)
    weight_decay: Scalar = field(default=0.01, kw_only=True)
    shampoo_beta: Scalar | None = field(default=None, kw_only=True)
    frequency: int = field(default=10, kw_only=True)
    max_size: int = field(default=10_000, kw_only=True)
    precondition_1d: bool = field(default=False, kw_only=True)
    matrices: tuple[str, ...] | None = field(default=None, kw_only=True)

    name: ClassVar[str] = "soap"
    ranges: ClassVar[dict[str, Range]] = {"eps": POSITIVE}
    styles: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shampoo_beta is not None:
            self._set("shampoo_beta", scalar(self.shampoo_beta, "SOAP: shampoo_beta", UNIT))
        self._set("frequency", integer(self.frequency, "SOAP: frequency", 1, 10**9))
        self._set("max_size", integer(self.max_size, "SOAP: max_size", 0, 2**31 - 1))
        if not isinstance(self.precondition_1d, bool):
            raise DTypeError(
                f"SOAP: precondition_1d: expected True or False, got {shown(self.precondition_1d)}"
            )
        self._set("matrices", _patterns(self.matrices, "SOAP: matrices"))

    def own(self) -> dict[str, Scalar]:
        """The hyperparameters besides lr and weight_decay, under the core's names."""
        beta = self.betas[1] if self.shampoo_beta is None else self.shampoo_beta
        return {**super().own(), "shampoo_beta": beta, "frequency": float(self.frequency)}

    def _range(self, key: str) -> Range:
        return UNIT if key == "shampoo_beta" else super()._range(key)

    @property
    def largest_factor(self) -> int:
        """Sides of a matrix with more rows have no basis."""
        return self.max_size

    def whole(
        self, shapes: Mapping[str, tuple[int, ...]], roles: Mapping[str, str] | None = None
    ) -> set[str]:
        """The names of what is taken as a matrix."""
        dimensions = (1, 2) if self.precondition_1d else (2,)
        if self.matrices is not None:
            return _matching(self.matrices, shapes, "SOAP: matrices", dimensions)
        return {name for name, shape in shapes.items() if len(shape) in dimensions}
