"""Sound trainings that look odd: what a threshold on some statistic would take for a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gradcore import clipping, initializers, schedules

from . import losses
from .cases import Case
from .faults import VALUES, all_weights, learnable, own_loss, plain_style, some_layer, span
from .plans import SCALE_FREE, Plan

Change = Callable[[Plan, float, np.random.Generator], None]


@dataclass(frozen=True)
class Odd:
    """What it does to a plan, and where it can be put."""

    apply: Change
    suits: Callable[[Case], bool]


ODD: dict[str, Odd] = {}


def odd(suits: Callable[[Case], bool] | None = None) -> Callable[[Change], Change]:
    """Enter a function into ODD, under its own name."""

    def enter(function: Change) -> Change:
        ODD[function.__name__] = Odd(function, suits or learnable)
        return function

    return enter


@odd()
def brisk_rate(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A rate near the highest that works."""
    plan.lr *= span(level, 1.5, 6.0)


@odd()
def patient(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A low rate, and epochs enough for it."""
    factor = span(level, 2.0, 5.0)
    plan.lr, plan.epochs = plan.lr / factor, round(plan.epochs * min(factor, 3.0))


@odd()
def converged(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Most of the training comes after all has been learned."""
    plan.epochs = round(plan.epochs * span(level, 2.0, 4.0))


@odd()
def fading_rate(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A cosine to 0, or a plateau of a lower rate, over the last part."""

    def schedule(lr: float, steps: int) -> schedules.Checked:
        return schedules.Cosine(lr, steps) if level < 0.5 else schedules.MultiStep(lr, (steps // 2,), 0.03)

    plan.schedule = schedule


@odd()
def warm_start(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The rate begins at 0."""

    def schedule(lr: float, steps: int) -> schedules.Checked:
        return schedules.Linear(0.0, lr, steps=max(2, round(steps * 0.1 * (1 + level))))

    plan.schedule = schedule


@odd(lambda case: learnable(case) and case.activation in ("relu", "relu6") and case.width >= 32)
def spare_units(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Units of a wide layer are off from the beginning; those that are left do."""
    layer = some_layer(plan, rng)
    plan.biases[layer] = -span(level, 0.3, 1.2)
    plan.width = max(plan.width, 96)


@odd(lambda case: learnable(case) and case.data not in ("mixed", "prices"))
def wide_scales(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Columns of all sizes, far from 0, behind a Standardize."""
    columns = plan.data.x.shape[1]
    factor = (10.0 ** rng.uniform(-3 * level - 1, 3 * level + 1, columns)).astype(np.float32)
    shift = rng.uniform(-3, 3, columns).astype(np.float32)
    for x in (plan.data.x, plan.data.held_x):
        x += shift
        x *= factor
    plan.standardize = True


@odd(lambda case: learnable(case) and case.data not in ("mixed", "prices", "waves"))
def idle_columns(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Some columns are constant; the others hold all there is."""
    data, extra = plan.data, 1 + round(4 * level)
    data.x, data.held_x = (
        np.concatenate([x, np.full((len(x), extra), np.float32(rng.integers(2)))], axis=1)
        for x in (data.x, data.held_x)
    )


@odd()
def zero_end(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The last layer begins at 0, so that no gradient passes it in the first step."""
    plan.weights[-1] = initializers.Constant(0.0)


@odd()
def small_end(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The last layer begins small."""
    plan.weights[-1] = plan.gain(span(level, 0.2, 0.01))


@odd(lambda case: learnable(case) and case.style in ("rezero", "residual"))
def very_deep(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Blocks in great number, absent in the beginning."""
    plan.style = "rezero"
    plan.depth, plan.width = round(span(level, 20, 100)), min(plan.width, 24)
    plan.lr, plan.epochs = plan.lr * 0.5, max(10, plan.epochs // 2)


@odd(lambda case: learnable(case) and case.style == "batchnorm")
def wild_weights(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Initial weights of any size, which a BatchNorm behind them takes out."""
    for i in range(plan.depth):
        plan.weights[i] = plan.gain(span(rng.random(), 0.1, 10.0))


@odd(lambda case: learnable(case) and case.optimizer in SCALE_FREE)
def scaled_loss(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A loss times a factor that the optimizer divides out again."""
    own_loss(plan, level, rng)
    factor = span(level, 3.0, 300.0) if rng.random() < 0.5 else 1 / span(level, 3.0, 300.0)
    plan.loss = losses.scaled(losses.right(plan.data.classes), factor)


@odd(lambda case: learnable(case) and case.optimizer in SCALE_FREE)
def always_clipped(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A clip that is tight, and whose factor the optimizer divides out again."""
    plan.clip = clipping.GlobalNorm(span(level, 0.3, 0.01))


@odd(lambda case: learnable(case) and case.style != "batchnorm")
def small_batches(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Batches of a few rows, at a rate for them."""
    plan.batch, plan.epochs = 4, max(6, plan.epochs // 3)
    plan.lr *= 0.4


@odd()
def whole_batches(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All rows in each step."""
    plan.batch, plan.epochs = len(plan.data.x), plan.epochs * 5
    plan.lr *= 1.5


@odd(lambda case: learnable(case) and case.width >= 48)
def some_dropout(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Dropout that a wide network bears."""
    plan.dropout = 0.1 + 0.3 * level


@odd(lambda case: learnable(case) and case.width >= 48)
def frozen_features(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The first layer is frozen, and its random features are enough."""
    plan.frozen, plan.width = (0,), max(plan.width, 128)


@odd()
def mild_decay(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Weight decay as usual."""
    plan.settings["weight_decay"] = 10 ** (-4 + 1.5 * level)


@odd(lambda case: learnable(case) and case.data not in (*VALUES, "mixed"))
def wrong_labels(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A share of the labels is wrong, which nothing can mend."""
    for y in (plan.data.y, plan.data.held_y):
        rows = np.flatnonzero(rng.random(len(y)) < 0.05 + 0.2 * level)
        y[rows] = rng.integers(plan.data.classes, size=len(rows))


@odd(lambda case: plain_style(case) and case.optimizer in SCALE_FREE and case.depth <= 3)
def small_start(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Small initial weights that an optimizer without a scale grows at once."""
    all_weights(plan, span(level, 0.7, 0.1))


@odd(lambda case: case.data in ("blobs", "plane", "texts", "digits", "skewed") and case.style == "plain")
def linear(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """No activation, and none is needed."""
    plan.activation, plan.depth = "identity", min(plan.depth, 3)


@odd(lambda case: case.data in ("blobs", "plane") and case.style == "plain" and case.depth <= 3)
def very_narrow(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Layers of a few units, which are enough."""
    plan.width = 3 + round(2 * level)


@odd(lambda case: learnable(case) and case.optimizer in ("momentum", "nesterov"))
def long_memory(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A high momentum, at a rate for it."""
    plan.settings["momentum"] = 0.97 + 0.015 * level
    plan.lr *= 0.2
