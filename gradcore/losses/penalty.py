"""The base of the penalties."""

from __future__ import annotations

from typing import ClassVar

from ..schedules.base import Scalar
from ..validation.checks import Abstract

__all__ = ["Penalty"]


class Penalty(Abstract):
    """Base of the penalties, ``l1 * sum(|w|) + l2 * sum(w**2)``."""

    abstract: ClassVar[bool] = True
    file_suffix: ClassVar[str] = "_penalty"

    def factors(self) -> tuple[Scalar, Scalar]:
        """l1 and l2."""
        raise NotImplementedError
