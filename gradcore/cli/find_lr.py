"""``gradcore find-lr``: a learning rate for ``gradcore train``, from a range test."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import names, search
from ..charts import check_matplotlib, log_bars
from ..errors import ArgumentError
from ..validation.checks import choice
from .source import check_writable, solid_block
from .train import OPTIMIZERS, amount, read, trainer_for

_BARS = 25  # lines of the chart


def run(arguments: Namespace) -> None:
    """Read the data, sweep the rate, print what it says."""
    choice(arguments.activation, "--activation", names("activation"))
    choice(arguments.optimizer, "--optimizer", OPTIMIZERS)
    if not arguments.low < arguments.high:
        raise ArgumentError(f"--high: expected a rate above {arguments.low:g}, got {arguments.high:g}")
    if arguments.steps < 10:
        raise ArgumentError(f"--steps: expected at least 10, got {arguments.steps}")
    check_writable(arguments.plot)
    if arguments.plot:
        check_matplotlib()
    data = read(arguments)
    batch, _ = amount(arguments, data)
    trainer = trainer_for(arguments, data.encoding, arguments.seed)
    test = search.range_test(
        lambda seed: trainer_for(arguments, data.encoding, seed).net,
        data.x,
        data.y,
        loss=trainer.loss,
        optimizer=trainer.optimizer,
        low=arguments.low,
        high=arguments.high,
        steps=arguments.steps,
        batch_size=batch,
        repeats=arguments.repeats,
        seed=arguments.seed,
    )
    if arguments.plot:
        test.plot(arguments.plot)
    if arguments.json:
        print(json.dumps(_report(arguments, batch, test)))
    else:
        print(_text(arguments, batch, test))


def _text(arguments: Namespace, batch: int, test: search.RangeTest) -> str:
    seen = np.flatnonzero(np.isfinite(test.mean))
    lines = [
        f"{arguments.optimizer}, batch {batch}, {arguments.steps} steps, "
        f"mean loss of {arguments.repeats} seeds by learning rate, logarithmic bars:",
        "",
    ]
    if len(seen):
        shown = seen[np.unique(np.linspace(0, len(seen) - 1, min(_BARS, len(seen))).astype(int))]
        labels, values = [f"{lr:.1e}" for lr in test.lrs[shown]], test.mean[shown].tolist()
        lines += [log_bars(labels, values, low=0.9 * min(values), block=solid_block()), ""]
    if len(seen) < len(test.lrs):
        lines.append(f"From {test.lrs[len(seen)]:.1e} on a loss exploded.")
    for rule, lr in test.suggestions.items():
        lines.append(f"{rule:<9} {'nothing: the loss did not fall' if lr is None else f'{lr:.2g}'}")
    if test.suggestion is not None:
        lines.append(f"\nTry: gradcore train ... --lr {test.suggestion:.2g}")
    if arguments.plot:
        lines.append(f"Picture: {arguments.plot}")
    return "\n".join(lines)


def _report(arguments: Namespace, batch: int, test: search.RangeTest) -> dict[str, Any]:
    return {
        "data": arguments.data,
        "optimizer": arguments.optimizer,
        "batch_size": batch,
        "steps": arguments.steps,
        "repeats": arguments.repeats,
        "suggestion": test.suggestion,
        "rule": test.rule,
        "suggestions": test.suggestions,
        "lrs": test.lrs.tolist(),
        "mean": _numbers(test.mean),
        "low": _numbers(test.low),
        "high": _numbers(test.high),
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
