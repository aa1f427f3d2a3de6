"""A checkpoint read with another optimizer, clip or choice of frozen parameters, its state kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..network.compiled import Compiled
from ..optimizers.averages import Averaging
from ..optimizers.base import LEARNED, FirstOrder, Group
from ..optimizers.interface import AnyOptimizer
from ..validation.checks import shown, texts

__all__ = ["Changes", "form"]


@dataclass(frozen=True)
class Changes:
    """What is to be otherwise than in the file; `...`: nothing."""

    optimizer: Any = None
    clip: Any = ...
    frozen: Any = None

    @property
    def any(self) -> bool:
        """Whether there is something."""
        return self.optimizer is not None or self.clip is not ... or self.frozen is not None

    def arguments(self, optimizer: AnyOptimizer, clip: Any, model: Compiled) -> dict[str, Any]:
        """The arguments of a Trainer that are changed, or not, from what the file has."""
        return {
            "optimizer": self._optimizer_from(optimizer, model),
            "clip": clip if self.clip is ... else self.clip,
        }

    def _optimizer_from(self, saved: AnyOptimizer, model: Compiled) -> AnyOptimizer:
        """The optimizer to go on with, which takes the state of the `saved` one as it is."""
        found = saved if self.optimizer is None else self.optimizer
        if not isinstance(found, AnyOptimizer):
            raise DTypeError(f"optimizer: expected one of gradcore.optimizers, got {shown(found)}")
        if self.frozen is not None:
            found = _with_frozen(found, self.frozen, model)
        for what, kept, wanted in zip(_STATE, form(saved, model), form(found, model), strict=True):
            if kept != wanted:
                raise ArgumentError(
                    f"optimizer: expected one with the state of the one in the file, {saved!r}, got "
                    f"{found!r}, which differs in {what}; make a Trainer of the network to begin anew"
                )
        return found


_STATE = ("its rule", "what it keeps of each parameter", "the averages around it", "matrices that it takes")


def form(optimizer: AnyOptimizer, model: Compiled) -> tuple[Any, ...]:
    """What decides how the state of an optimizer looks, in the order of `_STATE`."""
    shapes = {info["name"]: info["shape"] for info in model.infos if info["trainable"]}
    roles = {info["name"]: info["role"] for info in model.infos}
    whole = optimizer.whole(shapes, roles)
    method = type(optimizer).__name__ if optimizer.full_batch else optimizer.name
    slots = _core.optimizer_slots(optimizer.name, optimizer.flags())
    averages = [(one.kind, one.every if one.kind == "accumulate" else 0) for one in optimizer.averages()]
    return method, slots, averages, (sorted(whole), optimizer.largest_factor if whole else 0)


def _with_frozen(optimizer: AnyOptimizer, patterns: object, model: Compiled) -> AnyOptimizer:
    """The optimizer with these parameters frozen, and no others."""
    given = texts(patterns, "frozen")
    names = [info["name"] for info in model.infos if info["trainable"] or info["role"] in LEARNED]
    for index, pattern in enumerate(given):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ArgumentError(f"frozen[{index}]: expected a pattern of {', '.join(names)}, got {pattern!r}")
    found: AnyOptimizer = _refrozen(optimizer, given)
    return found


def _refrozen(optimizer: Any, patterns: Sequence[str]) -> Any:
    if isinstance(optimizer, Averaging):
        return replace(optimizer, optimizer=_refrozen(optimizer.optimizer, patterns))
    if not isinstance(optimizer, FirstOrder):
        raise ArgumentError(f"frozen: expected an optimizer with groups, got {optimizer!r}")
    first = [Group(pattern, frozen=True) for pattern in patterns]
    rest = [replace(group, frozen=False) for group in optimizer.groups]
    return replace(optimizer, groups=(*first, *rest))
