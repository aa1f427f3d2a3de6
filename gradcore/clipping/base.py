"""What the rules share, and how those of a trainer are laid out for the core."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..errors import ArgumentError, DTypeError
from ..schedules.base import Scalar
from ..schedules.scalars import CLIP, POSITIVE, Column, Range, scalar
from ..validation.checks import Abstract, compact_repr, shown

if TYPE_CHECKING:
    from .._core import ParameterInfo

__all__ = ["Clip", "Constraint"]

CoreRule = tuple[str, float, float, float, bool, bytes]  # as _core.CoreTrainer.set_rules takes it


class Parameters(Protocol):
    """What rules must know of a network."""

    @property
    def infos(self) -> Sequence[ParameterInfo]:
        """Its parameters."""

    @property
    def places(self) -> Mapping[str, Any]:
        """Its layers by position."""


class Rule(Abstract):
    """Base of the rules, frozen dataclasses."""

    abstract: ClassVar[bool] = True

    name: ClassVar[str]  # in the core
    bounded: ClassVar[str] = ""  # the field with the number that the rule is about
    span: ClassVar[Range] = POSITIVE  # of it
    __repr__ = compact_repr

    def bound(self) -> Scalar:
        """The number that the rule is about; may be a schedule."""
        return getattr(self, self.bounded) if self.bounded else 0.0

    def other(self) -> float:
        """The rule's second number."""
        return 0.0

    def norm_order(self) -> float:
        """Of its norm."""
        return 2.0

    def applies(self, to: Parameters) -> list[bool]:
        """Whether it does, for each parameter of a network."""
        return [bool(info["trainable"]) for info in to.infos]

    def compiled(self, to: Parameters) -> CoreRule:
        """The rule as the core takes it."""
        bound = self.bound()
        number = 0.0 if callable(bound) else bound
        return self.name, number, self.other(), self.norm_order(), callable(bound), bytes(self.applies(to))


class Clip(Rule):
    """Base of the rules on gradients."""

    abstract: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.bounded:
            name = f"{type(self).__name__}: {self.bounded}"
            object.__setattr__(self, self.bounded, scalar(getattr(self, self.bounded), name, self.span))

    def column(self) -> Column | None:
        """The bound as a hyperparameter."""
        return Column(CLIP, f"clip.{self.bounded}", self.bound(), self.span) if self.bounded else None

    def alone(self) -> str | None:
        """The core's own clip that does the same without a pass over the gradients, if there is one."""
        return None

    def statistic(self, state: dict[str, Any] | None = None) -> Statistic | None:
        """For a rule made from statistics: its running state, new or from `Statistic.state`."""
        return None


class Constraint(Rule):
    """Base of the rules on weights."""

    abstract: ClassVar[bool] = True


class Statistic(Protocol):
    """The state of a rule made from the norms of a training."""

    bound: float  # the rule's number; where that is a schedule, set to its value before every call

    def __call__(self, norm: float) -> float:
        """The factor for the gradients of a step; called once for each."""

    def state(self) -> dict[str, Any]:
        """All of it, as JSON has it."""


@dataclass
class Plan:
    """The rules of a trainer as the core takes them."""

    option: str | None = None
    columns: list[Column] = field(default_factory=list)
    rules: list[CoreRule] = field(default_factory=list)
    clip: Clip | tuple[Clip, ...] | None = None
    constraint: Constraint | tuple[Constraint, ...] | None = None
    statistic: Statistic | None = None
    scales: bool = False  # a step's report says by how much

    def read_statistic(self, state: dict[str, Any]) -> None:
        """Let the rule made from statistics, which stands alone, go on from where `state` says."""
        rule = self.clip[0] if isinstance(self.clip, tuple) else self.clip
        assert rule is not None
        self.statistic = rule.statistic(state)


def plan(clip: object, constraint: object, to: Parameters) -> Plan:
    """Check the rules of a trainer against each other and its network."""
    clips = _several(clip, "clip", Clip)
    constraints = _several(constraint, "constraint", Constraint)
    made = Plan(clip=clip, constraint=constraint)  # type: ignore[arg-type]
    if isinstance(clip, list | tuple):
        made.clip = tuple(clips)
    if isinstance(constraint, list | tuple):
        made.constraint = tuple(constraints)
    statistics = [one for one in clips if one.statistic() is not None]
    if statistics and len(clips) > 1:
        raise ArgumentError(f"clip: expected {statistics[0]!r} alone, got {len(clips)} rules")
    made.scales = any(one.name not in ("centralize", "noise") for one in clips)
    if statistics or (len(clips) == 1 and clips[0].alone()):
        made.statistic = clips[0].statistic()
        made.option = None if statistics else clips[0].alone()
        made.columns = [column for column in [clips[0].column()] if column is not None]
    else:
        scheduled = [column for one in clips if (column := one.column()) and callable(column.value)]
        if len(scheduled) > 1:
            names = " and ".join(column.name for column in scheduled)
            raise ArgumentError(f"clip: expected one schedule among its rules, got {names}")
        made.columns = scheduled
        made.rules = [one.compiled(to) for one in clips]
    made.rules += [one.compiled(to) for one in constraints]
    if len(made.rules) > 8:
        raise ArgumentError(f"clip, constraint: expected at most 8 rules, got {len(made.rules)}")
    return made


def _several(value: object, name: str, kind: type[Any]) -> list[Any]:
    if value is None:
        return []
    rules: Sequence[object] = value if isinstance(value, list | tuple) else [value]
    for i, rule in enumerate(rules):
        if not isinstance(rule, kind):
            where = f"{name}[{i}]" if isinstance(value, list | tuple) else name
            what = "rules on gradients" if kind is Clip else "constraints"
            raise DTypeError(f"{where}: expected one of the {what} of gradcore.clipping, got {shown(rule)}")
    return list(rules)


def layers(value: object, name: str) -> tuple[str, ...]:
    """Positions of layers, as the names of parameters begin: "2" or "2.1"."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DTypeError(f"{name}: expected a list of layers such as '2' or '2.1', got {shown(value)}")
    for i, item in enumerate(value):
        if not isinstance(item, str):
            raise DTypeError(f"{name}[{i}]: expected a layer such as '2' or '2.1', got {shown(item)}")
    return tuple(value)


def apart_from(skip: tuple[str, ...], to: Parameters, name: str, keep: Callable[[Any], bool]) -> list[bool]:
    """For each parameter: trainable, as `keep` has it, and in none of the layers of `skip`."""
    for layer in skip:
        if not any(info["name"].startswith(f"{layer}.") for info in to.infos):
            raise ArgumentError(f"{name}: expected layers that have parameters, got {layer!r}")
    return [
        bool(info["trainable"] and keep(info))
        and not any(info["name"].startswith(f"{layer}.") for layer in skip)
        for info in to.infos
    ]


def check_order(value: object, name: str) -> float:
    """1, 2 or infinity."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value not in (1, 2, math.inf):
        raise ArgumentError(f"{name}: expected 1, 2 or math.inf, got {shown(value)}")
    return float(value)
