"""What all optimizers share: their options, styles and groups, and the update of plain arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..schedules.base import Scalar
from ..schedules.rows import Hypers
from ..schedules.scalars import LR, NOT_NEGATIVE, OWN, POSITIVE, SHARE, WEIGHT_DECAY, Column, Range, scalar
from ..validation.checks import choice, flag, number, shown
from .interface import AnyOptimizer, Average
from .plain import GradientFunction, Gradients, Parameters, PlainState

__all__ = ["FirstOrder", "Group", "Optimizer", "layerwise"]

BY_STYLE: Any = None  # the default of an option that depends on the style

# Options that are a bit of the core's flags: fields of the same names. Momentum is one where there is any.
_MOMENTUM = _core.OPTIMIZER_OPTIONS["momentum"]
_BITS = {"decay_bias": _core.DECAY_ALL, **_core.OPTIMIZER_OPTIONS}
del _BITS["momentum"]

# Roles of what layers learn of the batches besides gradients, and a frozen group can hold.
LEARNED = ("running_mean", "running_var", "batches", "left", "right")


@dataclass(frozen=True)
class Group:
    """Parameters with settings of their own; an optimizer's `groups` are made of them.

    Parameters
    ----------
    pattern : str
        Of their names, as file names are matched: ``"*.bias"``, ``"0.*"``.
    lr_factor : float, default 1.0
        Multiplies the learning rate.
    weight_decay : float, optional
        Instead of the optimizer's, for biases too.
    frozen : bool, default False
        No update at all: the bits stay, whatever wrappers, constraints and pruning do. The gradient is still
        part of the norm that clipping sees. Of a `BatchNorm` whose gamma and beta match, or whose
        ``running_*`` do, the running averages stay too, and it normalises with them; of a `Dense` with
        `spectral_norm`, the vectors stay with the weight.

    Examples
    --------
    >>> from gradcore import optimizers
    >>> optimizers.Adam(groups=[("0.*", dict(frozen=True)), ("*.bias", dict(lr_factor=2.0))])
    Adam(groups=(Group('0.*', frozen=True), Group('*.bias', lr_factor=2.0)))
    """

    pattern: str
    lr_factor: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise DTypeError(f"Group: pattern: expected a non-empty string, got {shown(self.pattern)}")
        for key in ("lr_factor", "weight_decay"):
            value = getattr(self, key)
            if value is not None:
                value = number(value, f"Group: {key}")
                if not 0.0 <= value <= 1e10:
                    raise ArgumentError(f"Group: {key}: expected a number from 0 to 1e10, got {value}")
                object.__setattr__(self, key, value)
        if self.lr_factor is None:
            raise DTypeError("Group: lr_factor: expected a number, got None")
        object.__setattr__(self, "frozen", flag(self.frozen, "Group: frozen"))

    def __repr__(self) -> str:
        shown = [repr(self.pattern)]
        shown += [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)[1:]
            if getattr(self, f.name) != f.default
        ]
        return f"Group({', '.join(shown)})"

    def settings(self) -> tuple[float, float, bool]:
        """Factor of lr, weight decay (NaN: the optimizer's), frozen."""
        return self.lr_factor, math.nan if self.weight_decay is None else self.weight_decay, self.frozen


def _groups(value: object, name: str) -> tuple[Group, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DTypeError(f"{name}: expected a list of (pattern, dict) or Group, got {shown(value)}")
    made = []
    for i, item in enumerate(value):
        if isinstance(item, Group):
            made.append(item)
            continue
        if not (isinstance(item, Sequence) and len(item) == 2 and isinstance(item[1], dict)):
            raise DTypeError(f"{name}[{i}]: expected (pattern, dict) or a Group, got {shown(item)}")
        unknown = [key for key in item[1] if key not in ("lr_factor", "weight_decay", "frozen")]
        if unknown:
            raise ArgumentError(
                f"{name}[{i}]: expected keys lr_factor, weight_decay, frozen, got {unknown[0]!r}"
            )
        made.append(Group(item[0], **item[1]))
    return tuple(made)


class Optimizer(AnyOptimizer):
    """A first-order rule, or one with averages of the weights around it."""

    abstract: ClassVar[bool] = True

    _plain: ClassVar[PlainState | None] = None  # of `update`, made by its first call

    @property
    def rule(self) -> FirstOrder:
        """The rule that changes the weights."""
        raise NotImplementedError

    def averages(self) -> tuple[Average, ...]:
        """What is kept besides, the innermost first."""
        return ()

    def columns(self) -> list[Column]:
        """Every hyperparameter with its place in the core's rows."""
        raise NotImplementedError

    def update(self, params: Parameters, grads: Gradients | GradientFunction) -> None:
        """One update of plain arrays, in place, with the kernels of the training step.

        The state (moments and the step number) is kept in this object, by position or by key, until
        `reset`; a Trainer with the same optimizer has a state of its own. Weight decay applies to every
        array here, as in PyTorch; groups match the keys as text. Nothing is changed if any array is refused.

        Parameters
        ----------
        params : list or dict of float32 or float64 arrays
            Updated in place; any strides.
        grads : the same, or a function of params that returns it
            Same keys, shapes and dtypes; left as they are. Within `SAM` a function, which is called twice.

        Examples
        --------
        >>> import numpy as np
        >>> from gradcore import optimizers
        >>> w = np.array([1.0, -2.0])
        >>> sgd = optimizers.SGD(0.1)
        >>> sgd.update([w], [np.array([1.0, 1.0])])
        >>> w
        array([ 0.9, -2.1])
        """
        if self._plain is not None and self._plain.again(params, grads):
            return
        if callable(grads):
            grads = self._state().gradients(params, grads)
        elif any(average.is_sam for average in self.averages()):
            raise ArgumentError(
                "grads: expected a function of params within SAM, which takes gradients at two points, "
                f"got a {type(grads).__name__}"
            )
        self._state().update(params, grads)

    def _state(self) -> PlainState:
        if self._plain is None:
            rule = self.rule
            flags, hypers = rule.flags() | _core.DECAY_ALL, Hypers(self.columns())
            state = PlainState(rule, flags, hypers, self.averages())
            object.__setattr__(self, "_plain", state)
        assert self._plain is not None
        return self._plain

    def reset(self) -> None:
        """Forget the state of `update`."""
        object.__setattr__(self, "_plain", None)


@dataclass(frozen=True, repr=False)
class FirstOrder(Optimizer):
    """Base of the optimizers, frozen dataclasses with their own options and these.

    Parameters
    ----------
    decay_bias : bool, default False
        Whether weight decay applies to vectors (biases, gains of norms) too.
    maximize : bool, default False
        Go uphill.
    groups : list of (pattern, dict) or Group, default ()
        Settings of parameters whose name matches; the first match counts. See `Group`.
    style : str, optional
        Whose conventions to follow where libraries differ: a preset of flags and defaults. Options that are
        given win over it. Which styles there are, and what they set, is in `styles` and docs/catalogue.md.
    """

    abstract: ClassVar[bool] = True

    decay_bias: bool = field(default=False, kw_only=True)
    maximize: bool = field(default=False, kw_only=True)
    groups: tuple[Group, ...] = field(default=(), kw_only=True)
    style: str = field(default=BY_STYLE, kw_only=True)

    name: ClassVar[str]
    ranges: ClassVar[dict[str, Range]] = {}  # of the scalar options other than lr and weight_decay
    defaults: ClassVar[dict[str, Any]] = {}  # of the options that depend on the style
    styles: ClassVar[dict[str, dict[str, Any]]] = {
        "torch": {}
    }  # what differs from the defaults; first: default

    def __post_init__(self) -> None:
        name = type(self).__name__
        style = (
            next(iter(self.styles))
            if self.style is None
            else choice(self.style, f"{name}: style", self.styles)
        )
        self._set("style", style)
        for key, value in self._by_style().items():
            if getattr(self, key) is None:
                self._set(key, value)
        for key, range_ in {"lr": POSITIVE, "weight_decay": NOT_NEGATIVE, **self.ranges}.items():
            self._set(key, scalar(getattr(self, key), f"{name}: {key}", range_))
        if hasattr(self, "betas"):
            self._set("betas", self._checked_betas(name))
        for key in _BITS:
            if hasattr(self, key):
                self._set(key, flag(getattr(self, key), f"{name}: {key}"))
        self._set("groups", _groups(self.groups, f"{name}: groups"))
        self.reset()

    def _set(self, key: str, value: object) -> None:
        object.__setattr__(self, key, value)

    def _by_style(self) -> dict[str, Any]:
        return {**self.defaults, **self.styles[self.style]}

    def _checked_betas(self, name: str) -> tuple[Scalar, ...]:
        betas: Any = self.betas  # type: ignore[attr-defined]
        usual: Any = type(self).betas  # type: ignore[attr-defined]
        count, words = (3, "three") if len(usual) == 3 else (2, "two")
        try:
            usable = not isinstance(betas, str) and len(betas) == count
        except Exception:  # no sequence
            usable = False
        if not usable or not hasattr(betas, "__iter__"):
            raise DTypeError(f"{name}: betas: expected {words} numbers, got {shown(betas)}")
        return tuple(scalar(beta, f"{name}: betas[{i}]", SHARE) for i, beta in enumerate(betas))

    @property
    def rule(self) -> FirstOrder:
        """The rule that changes the weights: itself."""
        return self

    def own(self) -> dict[str, Scalar]:
        """The hyperparameters besides lr and weight_decay, under the core's names."""
        betas = getattr(self, "betas", ())
        return {
            **{f"beta{i + 1}": beta for i, beta in enumerate(betas)},
            **{key: getattr(self, key) for key in self.ranges},
        }

    def _range(self, key: str) -> Range:
        """What a schedule of one of those may return."""
        return self.ranges.get(key, SHARE)

    def with_rate(self, lr: Scalar) -> AnyOptimizer:
        """The same with another learning rate."""
        return replace(self, lr=lr)  # type: ignore[call-arg]  # every rule has the field

    def flags(self) -> int:
        """The core's option bits."""
        bits = sum(bit for key, bit in _BITS.items() if getattr(self, key, False))
        return bits | (_MOMENTUM if getattr(self, "momentum", 0) else 0)

    def columns(self) -> list[Column]:
        """Every hyperparameter with its place in the core's rows."""
        own = self.own()
        order = (_core.describe("optimizer", self.name, "hyperparameters") or "").split()
        return [
            Column(LR, "optimizer.lr", getattr(self, "lr"), NOT_NEGATIVE),  # noqa: B009
            Column(WEIGHT_DECAY, "optimizer.weight_decay", getattr(self, "weight_decay"), NOT_NEGATIVE),  # noqa: B009
            *(
                Column(OWN + i, f"optimizer.{key}", own[key], self._range(key))
                for i, key in enumerate(order)
                if key in own
            ),
        ]

    def settings(self, names: Sequence[str]) -> list[tuple[float, float, bool]]:
        """Factor of lr, weight decay (NaN: the optimizer's) and frozen, for each parameter's name."""
        for i, group in enumerate(self.groups):
            if not any(fnmatchcase(name, group.pattern) for name in names):
                raise ArgumentError(
                    f"groups[{i}]: expected a pattern of {', '.join(names)}, got {group.pattern!r}"
                )
        found = (next((g for g in self.groups if fnmatchcase(name, g.pattern)), None) for name in names)
        return [(1.0, math.nan, False) if group is None else group.settings() for group in found]

    def __repr__(self) -> str:
        """One that can be pasted back: options only where they differ from their default."""
        by_style, first = self._by_style(), next(iter(self.styles))
        parts = []
        for item in sorted((f for f in fields(self) if f.init), key=lambda f: bool(f.kw_only)):
            value = getattr(self, item.name)
            default = first if item.name == "style" else by_style.get(item.name, item.default)
            if item.default is MISSING:
                parts.append(repr(value))
            elif value != default or type(value) is not type(default):
                parts.append(f"{item.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def layerwise(names: Sequence[str], factor: float) -> tuple[Group, ...]:
    """Groups by which every layer before the last learns `factor` times as fast as the one after it.

    Layers are counted from the output, as in BEiT and timm. A `Residual` is one layer, with all that is in
    it. Those that have vectors alone, such as norms and factors of columns, belong to the layer before them,
    the first ones to the one after. Heads stand side by side: the last layer of each has factor 1, and what
    is before all of them is counted along the longest.

    Parameters
    ----------
    names : sequence of str
        Of the parameters, in layer order: ``net.parameters()``.
    factor : float
        In (0, 1].

    References
    ----------
    Bao, Dong, Piao and Wei, "BEiT: BERT Pre-Training of Image Transformers", ICLR 2022.

    Examples
    --------
    >>> from gradcore import Dense, Heads, Network, optimizers
    >>> net = Network([Dense(8), Dense(8), Dense(2)], inputs=4)
    >>> optimizers.layerwise(net.parameters(), 0.5)[0]
    Group('0.*', lr_factor=0.25)
    >>> net = Network([Dense(8), Heads({"a": Dense(1), "b": Dense(2)})], inputs=4)
    >>> [group.lr_factor for group in optimizers.layerwise(net.parameters(), 0.5)]
    [0.5, 1.0, 1.0]
    """
    factor = number(factor, "factor")
    if not 0.0 < factor <= 1.0:
        raise ArgumentError(f"factor: expected a number in (0, 1], got {factor}")
    if isinstance(names, str) or not isinstance(names, Iterable) or getattr(names, "ndim", 1) == 0:
        raise DTypeError(f"names: expected names of parameters, got {names!r}")
    # By head, "" for what is before them: the layers in order, and whether each has a matrix.
    branches: dict[str, dict[str, bool]] = {"": {}}
    for name in names:
        if not isinstance(name, str) or not _PARAMETER.fullmatch(name):
            raise DTypeError(f"names: expected names of parameters, such as '0.weight', got {name!r}")
        *place, own = name.split(".")
        if own in _NOT_TRAINED:
            continue
        head, layer = "", place[0]
        if len(place) == 1 and own == "log_variance":  # of the heads together, beside their last layers
            head, layer = own, name
        elif len(place) > 1 and not place[1].isdigit():
            head, layer = place[1], ".".join(place[:3])
        layers = branches.setdefault(head, {})
        layers[layer] = layers.get(layer, False) or own in _MATRICES
    trunk = branches.pop("")
    depths = {layer: depth for layers in branches.values() for layer, depth in _depths(layers, 0).items()}
    longest = max((depth + 1 for depth in depths.values()), default=0)
    return tuple(
        Group(layer if layer.endswith("log_variance") else f"{layer}.*", factor**depth)
        for layer, depth in {**_depths(trunk, longest), **depths}.items()
    )


_NOT_TRAINED = ("mean", "inverse_std", "running_mean", "running_var", "left", "right")
_MATRICES = ("weight", "table", "projection")
_PARAMETER = re.compile(r"\d+(\.[\w-]+)+")


def _depths(layers: Mapping[str, bool], last: int) -> dict[str, int]:
    """The distance of each layer from the output; `last` is that of the last one. A layer without a matrix
    has that of the one before it, or of the first with one."""
    counts: list[int] = []
    for matrix in layers.values():
        counts.append((counts[-1] if counts else 0) + matrix)
    total = max(counts, default=0)
    return {
        layer: last + total - max(min(1, total), count) for layer, count in zip(layers, counts, strict=True)
    }
