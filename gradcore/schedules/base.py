"""What the schedules share: checked fields, a repr that can be pasted back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..errors import ArgumentError, DTypeError
from ..validation.checks import Abstract, choice, compact_repr, integer, number, shown

__all__ = ["Scalar", "Schedule"]

Schedule = Callable[[int], float]
Scalar = float | Schedule  # what every scalar hyperparameter accepts

Check = Callable[[Any, str], Any]  # (value, name) -> the value as it is kept, or an error


class Checked(Abstract):
    """Base of the schedules, frozen dataclasses whose fields `checks` converts and `validate` relates."""

    abstract: ClassVar[bool] = True

    checks: ClassVar[dict[str, Check]]
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        for key, check in self.checks.items():
            object.__setattr__(self, key, check(getattr(self, key), f"{type(self).__name__}: {key}"))
        self.validate()

    def validate(self) -> None:
        """Refuse fields that do not fit each other."""

    def own_step(self, field: str, index: int | None, step: int) -> int | None:
        """The step that the schedule in `field`, or at `index` of it, counts at `step` of this one; None
        while it is not its turn."""
        return step

    def refuse(self, field: str, expected: str) -> ArgumentError:
        """The error that says what `field` should have been."""
        return ArgumentError(
            f"{type(self).__name__}: {field}: expected {expected}, got {getattr(self, field)}"
        )


def within(text: str, holds: Callable[[float], bool]) -> Check:
    """The check for a number for which `holds`; `text` says so in words."""

    def check(value: Any, name: str) -> float:
        result = number(value, name)
        if not holds(result):
            raise ArgumentError(f"{name}: expected a number {text}, got {result}")
        return result

    return check


def count(value: Any, name: str) -> int:
    """A whole number >= 1."""
    return integer(value, name, 1)


def natural(value: Any, name: str) -> int:
    """A whole number >= 0."""
    return integer(value, name)


def word64(value: Any, name: str) -> int:
    """A whole number of 64 bits."""
    return integer(value, name, 0, 2**64 - 1)


def one_of(*options: str) -> Check:
    """The check for one of these words."""
    return lambda value, name: choice(value, name, options)


def optional(check: Check) -> Check:
    """The same, with None let through."""
    return lambda value, name: None if value is None else check(value, name)


def scalar(value: Any, name: str) -> Scalar:
    """A schedule as it is, or a number."""
    if callable(value) and not isinstance(value, type):
        return value  # type: ignore[no-any-return]
    try:
        return number(value, name)
    except DTypeError:
        raise DTypeError(f"{name}: expected a schedule or a number, got {shown(value)}") from None


def sequence(check: Check) -> Check:
    """The check for a list or tuple, kept as a tuple, of what `check` takes."""

    def every(value: Any, name: str) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise DTypeError(f"{name}: expected a list, got {shown(value)}")
        return tuple(check(item, f"{name}[{i}]") for i, item in enumerate(value))

    return every


def increasing_steps(value: Any, name: str) -> tuple[int, ...]:
    """Steps >= 1, each after the one before it; at least one."""
    steps: tuple[int, ...] = sequence(count)(value, name)
    if not steps or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ArgumentError(f"{name}: expected steps in increasing order, at least one, got {steps}")
    return steps


POSITIVE = within("> 0", lambda x: x > 0)
NOT_NEGATIVE = within(">= 0", lambda x: x >= 0)
SHARE = within("in [0, 1]", lambda x: 0 <= x <= 1)


def value_at(of: Scalar, step: int) -> float:
    """The value of a number or schedule at a step."""
    return of(step) if callable(of) else of
