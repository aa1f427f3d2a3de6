"""How far a minimisation has come: what is kept between its iterations, and in checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FormatError
from ..optimizers.interface import AnyOptimizer
from ..validation.arrays import Array
from ..validation.checks import integer, number
from .points import NO_PROGRESS, Advance, Memory, Method, Objective, Point

_PATIENCE = 10  # iterations without a new lowest value after which there is no progress


@dataclass
class Run:
    """The state besides the point itself."""

    memory: Memory = field(default_factory=dict)
    iterations: int = 0
    lowest: float = math.inf
    stalled: int = 0  # iterations since the lowest value
    reason: str = ""  # why it ended
    step: float = 0.0  # length of the last step

    def begin(self) -> None:
        """A new fit: the memory stays, and counting starts anew."""
        self.iterations, self.lowest, self.stalled, self.reason = 0, math.inf, 0, ""

    def advance(self, method: Method, objective: Objective, point: Point) -> Advance:
        """One iteration."""
        done = method.advance(objective, point, self.memory)
        self.memory, self.step, self.iterations = done.memory, done.step, self.iterations + 1
        self.lowest = min(self.lowest, point.value)
        self.stalled = 0 if done.point.value < self.lowest else self.stalled + 1
        self.reason = done.reason
        if not self.reason and self.stalled >= _PATIENCE:
            self.reason = NO_PROGRESS
        return done

    # ---- Checkpoints ----

    def tensors(self, method: AnyOptimizer) -> list[tuple[str, Array]]:
        """The memory's vectors, for a file."""
        return [
            (f"run.{key}", np.stack(self.memory[key]))
            for key, kind in method.kept.items()
            if kind == "vectors" and key in self.memory
        ]

    def description(self, method: AnyOptimizer) -> dict[str, Any]:
        """All else, as JSON data."""
        rest = {key: value for key, value in self.memory.items() if method.kept[key] != "vectors"}
        lowest = None if self.lowest == math.inf else self.lowest
        counts = {"iterations": self.iterations, "stalled": self.stalled}
        return {**counts, "lowest": lowest, "reason": self.reason, "step": self.step, "memory": rest}

    @classmethod
    def read(
        cls, method: AnyOptimizer, about: Mapping[str, Any], tensors: Mapping[str, Array], elements: int
    ) -> Run:
        """The inverse of both; FormatError where they do not fit the method."""
        lowest = math.inf if about["lowest"] is None else number(about["lowest"], "run: lowest")
        memory: Memory = {
            key: [number(item, key) for item in value] if isinstance(value, list) else number(value, key)
            for key, value in about["memory"].items()
        }
        counts = set()
        for key, kind in method.kept.items():
            if kind == "vectors" and f"run.{key}" in tensors:
                value = tensors[f"run.{key}"]
                if value.dtype != np.float64 or value.ndim != 2 or value.shape[1] != elements:
                    raise FormatError(f"run.{key}: expected float64 vectors of {elements}, got {value.shape}")
                memory[key] = list(value)
            if key in memory and isinstance(memory[key], list) == (kind == "number"):
                raise FormatError(f"run.{key}: expected {kind}, got {memory[key]!r}")
            if kind != "number" and key in memory:
                counts.add(len(memory[key]))
        if memory and (set(memory) != set(method.kept) or len(counts) > 1):
            raise FormatError(f"run: expected {list(method.kept)}, of one length, got {list(memory)}")
        return cls(
            memory,
            integer(about["iterations"], "run: iterations"),
            lowest,
            integer(about["stalled"], "run: stalled"),
            str(about["reason"]),
            number(about["step"], "run: step"),
        )
