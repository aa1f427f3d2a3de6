"""What can be wrong with a training: one function a fault, at least one for every cause.

A fault changes the plan of a case; its twin is the same case without it. `prepare` changes both: it sets up
what the fault needs in order to be one (a deep network, a loss of one's own). `level` goes from harmless,
at 0, to gross, at 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gradcore import clipping, initializers, schedules

from . import losses
from .cases import Case
from .data import Array
from .plans import HAVE_EPS, SCALE_FREE, TWO_BETAS, Plan

Change = Callable[[Plan, float, np.random.Generator], None]


@dataclass(frozen=True)
class Fault:
    """A fault: what it does to a plan, what counts as the right answer, and where it can be put."""

    apply: Change
    causes: tuple[str, ...]  # any of them is right
    suits: Callable[[Case], bool]
    prepare: Change | None = None
    shown: bool = False  # data, configuration and a pass of the first rows show it before the first step
    layer: Callable[[Plan, np.random.Generator], int] | None = None  # the Dense at fault, where one is
    search: bool = True  # whether its level makes it mild or gross


FAULTS: dict[str, Fault] = {}


def fault(
    *causes: str,
    suits: Callable[[Case], bool] | None = None,
    prepare: Change | None = None,
    shown: bool = False,
    layer: Callable[[Plan, np.random.Generator], int] | None = None,
    search: bool = True,
) -> Callable[[Change], Change]:
    """Enter a function into FAULTS, under its own name."""

    def enter(function: Change) -> Change:
        always = suits or (lambda case: True)
        FAULTS[function.__name__] = Fault(function, causes, always, prepare, shown, layer, search)
        return function

    return enter


def span(level: float, low: float, high: float) -> float:
    """From low to high, evenly on the logarithmic scale."""
    return float(low * (high / low) ** level)


def learnable(case: Case) -> bool:
    return case.data not in ("random_labels", "random_values")


def ample(case: Case) -> bool:
    """Whether there is much to lose: the best networks are far better than a constant."""
    return learnable(case) and case.data not in ("few", "skewed")


def plain_style(case: Case) -> bool:
    return ample(case) and case.style == "plain"


def scale_matters(case: Case) -> bool:
    return plain_style(case) and case.optimizer not in SCALE_FREE


def labelled(case: Case) -> bool:
    return ample(case) and case.data not in VALUES


def valued(case: Case) -> bool:
    return case.data in VALUES


def curved(case: Case) -> bool:
    return case.data in ("circles", "moons", "spirals", "checks", "clouds", "friedman", "waves", "ripples")


def relu(case: Case) -> bool:
    return plain_style(case) and case.activation in ("relu", "relu6")


def normed(case: Case) -> bool:
    return ample(case) and case.style in ("batchnorm", "layernorm")


VALUES = ("prices", "friedman", "waves", "ripples", "plane")


def some_layer(plan: Plan, rng: np.random.Generator) -> int:
    """A hidden layer, never the last one."""
    return int(rng.integers(plan.depth))


def all_weights(plan: Plan, factor: float) -> None:
    for i in (*range(plan.depth), -1):
        plan.weights[i] = plan.gain(factor)


def deeper(plan: Plan, level: float, rng: np.random.Generator) -> None:
    plan.depth = max(plan.depth, 4)
    plan.width = max(plan.width, 16)


# ---- The network ----


@fault("activation_depth", suits=normed, shown=True)
def bounded_depth(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A deep stack of an activation that flattens, without the norm that carries it."""
    plan.style, plan.activation = "plain", str(rng.choice(["sigmoid", "hard_sigmoid", "gaussian"]))
    plan.depth = max(plan.depth, 2 + round(10 * level))


@fault("activation_depth", "depth_gain", "init_too_large", suits=normed, shown=True)
def exponential_depth(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Exponentials of exponentials."""
    plan.style, plan.activation = "plain", "exponential"
    plan.depth = 3 + round(6 * level)


@fault("depth_gain", "init_too_small", suits=lambda c: ample(c) and c.style == "residual" and c.depth >= 5,
       shown=True)  # fmt: skip
def shrinking_depth(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Every layer makes signal and gradient smaller."""
    plan.style = "plain"
    all_weights(plan, span(level, 0.9, 0.3))


@fault("depth_gain", "init_too_large", suits=lambda c: ample(c) and c.style == "residual" and c.depth >= 5,
       shown=True)  # fmt: skip
def growing_depth(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Every layer makes signal and gradient larger."""
    plan.style = "plain"
    all_weights(plan, span(level, 1.1, 4.0))


@fault("depth_gain", "dead_units", "activation_depth", shown=True,
       suits=lambda c: ample(c) and c.style == "residual" and c.depth >= 8)  # fmt: skip
def narrow_depth(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A deep narrow stack of relu: dead, or nearly so, from the beginning."""
    plan.style, plan.activation = "plain", "relu"
    plan.width = max(2, round(6 - 4 * level))


@fault("init_too_small", suits=scale_matters, prepare=deeper, shown=True)
def small_weights(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All initial weights are too small."""
    all_weights(plan, span(level, 0.7, 0.003))


@fault("init_too_small", suits=scale_matters, prepare=deeper, shown=True, layer=some_layer)
def small_layer(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """One layer's initial weights are too small."""
    plan.weights[some_layer(plan, rng)] = plan.gain(span(level, 0.3, 1e-5))


@fault("init_too_large", suits=plain_style, shown=True)
def large_weights(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All initial weights are too large."""
    all_weights(plan, span(level, 1.5, 60.0))


@fault("init_too_large", suits=plain_style, prepare=deeper, shown=True, layer=some_layer)
def large_layer(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """One layer's initial weights are too large."""
    plan.weights[some_layer(plan, rng)] = plan.gain(span(level, 3.0, 3000.0))


@fault("init_symmetric", suits=plain_style, shown=True, search=False)
def equal_weights(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All weights of the hidden layers are one number: every unit of a layer is the same unit."""
    for i in range(plan.depth):
        plan.weights[i] = initializers.Constant(0.05 + 0.25 * level)


@fault("init_symmetric", suits=plain_style, shown=True, search=False)
def no_weights(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All weights are 0."""
    for i in (*range(plan.depth), -1):
        plan.weights[i] = initializers.Constant(0.0)


@fault("dead_units", suits=relu, shown=True, layer=some_layer)
def dead_layer(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The biases of one layer keep its units off."""
    plan.biases[some_layer(plan, rng)] = -span(level, 1.0, 60.0)


@fault("dead_units", suits=relu, shown=True)
def dead_layers(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The biases of all hidden layers keep their units off."""
    for i in range(plan.depth):
        plan.biases[i] = -span(level, 0.3, 10.0)


@fault("no_nonlinearity", suits=lambda c: curved(c) and plain_style(c), shown=True, search=False)
def linear_stack(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """No activation anywhere."""
    plan.activation = "identity"


@fault("capacity", suits=lambda c: curved(c) and plain_style(c))
def too_narrow(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A hidden layer of a few units is all there is."""
    plan.depth, plan.width = 1, max(1, round(6 - 5 * level))


@fault("dropout_too_strong", suits=lambda c: plain_style(c) or normed(c))
def much_dropout(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Most of every layer is dropped."""
    plan.dropout = 1 - span(level, 0.5, 0.02)


@fault("frozen", suits=lambda c: plain_style(c), shown=True, layer=lambda plan, rng: -1, search=False)
def frozen_end(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The last layer does not train, and began small; nor do half of the others."""
    plan.weights[-1] = plan.gain(0.01)
    plan.frozen = (-1, *range(1, plan.depth))


@fault("frozen", suits=lambda c: plain_style(c) and curved(c), shown=True)
def frozen_stack(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All layers but the last are frozen, and narrow."""
    plan.width = max(2, round(14 - 12 * level))
    plan.frozen = tuple(range(plan.depth))


@fault("head_mismatch", suits=labelled, shown=True, layer=lambda plan, rng: -1, search=False)
def bounded_logits(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """An activation before a loss that takes logits."""
    plan.end = str(rng.choice(["relu", "sigmoid", "hard_sigmoid", "tanh", "log_sigmoid"]))


@fault("head_mismatch", suits=valued, shown=True, layer=lambda plan, rng: -1, search=False)
def bounded_values(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """An activation at the end that cannot reach the targets."""
    plan.end = str(rng.choice(["relu", "sigmoid", "hard_sigmoid", "softplus"]))


# ---- The optimizer ----


@fault("lr_too_high", suits=ample)
def high_rate(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The learning rate is too high."""
    plan.lr *= span(level, 2.0, 1000.0)


@fault("lr_too_low", suits=ample)
def low_rate(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The learning rate is too low."""
    plan.lr /= span(level, 2.0, 10000.0)


@fault("momentum_too_high", suits=lambda c: ample(c) and c.optimizer in ("momentum", "nesterov"))
def high_momentum(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Momentum that remembers longer than the training lasts."""
    plan.settings["momentum"] = 1 - span(level, 0.03, 0.0001)


@fault("momentum_too_high", suits=lambda c: ample(c) and c.optimizer in TWO_BETAS)
def high_beta(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The same in an optimizer with two averages."""
    plan.settings["betas"] = (1 - span(level, 0.03, 0.0003), 0.999)


@fault("schedule_ends_early", suits=ample, shown=True)
def early_end(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The rate has come to its end long before the training has."""
    share = span(level, 0.3, 0.002)

    def schedule(lr: float, steps: int) -> schedules.Checked:
        return schedules.Linear(lr, lr * 1e-4, steps=max(1, round(share * steps)))

    plan.schedule = schedule


@fault("schedule_ends_early", "lr_too_low", suits=ample, shown=True)
def endless_warmup(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The rate is still rising when the training ends."""
    times = span(level, 3.0, 3000.0)

    def schedule(lr: float, steps: int) -> schedules.Checked:
        return schedules.Linear(0.0, lr, steps=round(times * steps))

    plan.schedule = schedule


@fault("eps_too_large", suits=lambda c: ample(c) and c.optimizer in HAVE_EPS)
def large_eps(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """eps is larger than any gradient."""
    plan.settings["eps"] = span(level, 0.1, 3000.0)


@fault("decay_too_strong", suits=lambda c: ample(c) and c.optimizer != "lion")
def strong_decay(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Weight decay outweighs the loss."""
    usual = (1.0, 100.0) if plan.optimizer == "adamw" else (0.01, 0.5)
    plan.settings["weight_decay"] = span(level, *usual)


@fault("clip_too_tight", suits=lambda c: ample(c) and c.optimizer not in SCALE_FREE, shown=True)
def tight_norm(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The norm of all gradients is clipped far below what it is."""
    plan.clip = clipping.GlobalNorm(span(level, 0.3, 1e-5))


@fault("clip_too_tight", suits=lambda c: ample(c) and c.optimizer not in SCALE_FREE, shown=True)
def tight_value(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Every element of the gradients is clipped far below what it is."""
    plan.clip = clipping.ByValue(span(level, 0.02, 1e-6))


@fault("batch_too_small", suits=ample)
def tiny_batches(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Batches of one or two rows at a rate for large ones."""
    factor = plan.batch / (1 if plan.style != "batchnorm" else 2)
    plan.batch = 1 if plan.style != "batchnorm" else 2
    plan.epochs = max(4, round(plan.epochs / factor**0.5))
    plan.lr *= span(level, 0.7, 4.0)


# ---- The loss ----


def own_loss(plan: Plan, level: float, rng: np.random.Generator) -> None:
    plan.loss = losses.right(plan.data.classes)


@fault("loss_scale", suits=lambda c: ample(c) and c.optimizer not in SCALE_FREE, prepare=own_loss)
def small_loss(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The loss is divided by a large number, and the rate is as before."""
    plan.loss = losses.scaled(losses.right(plan.data.classes), 1 / span(level, 3.0, 1e6))


@fault("loss_scale", suits=lambda c: ample(c) and c.optimizer not in SCALE_FREE, prepare=own_loss)
def large_loss(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The loss is multiplied, as by summing over rows."""
    plan.loss = losses.scaled(losses.right(plan.data.classes), span(level, 5.0, 3000.0))


@fault("loss_nonfinite", suits=ample, prepare=own_loss, shown=True, search=False)
def infinite_loss(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A loss that is NaN or infinite at outputs that occur."""
    plan.loss = losses.entropy_that_overflows if plan.data.classes else losses.logarithm_of_negatives


@fault("loss_gradient_wrong", suits=ample, prepare=own_loss, shown=True)
def mixed_rows(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The gradient of some rows is that of others."""
    plan.loss = losses.other_rows(losses.right(plan.data.classes), 0.9 + 0.1 * level)


@fault("loss_gradient_wrong", suits=ample, prepare=own_loss, shown=True, search=False)
def uphill(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """The gradient has the wrong sign, or none."""
    wrong = losses.wrong_sign if level > 0.5 else losses.without_sign
    plan.loss = wrong(losses.right(plan.data.classes))


# ---- The data ----


def both(plan: Plan) -> tuple[Array, Array]:
    return plan.data.x, plan.data.held_x


def numeric(plan: Plan) -> int:
    """The first so many columns are quantities."""
    return plan.data.x.shape[1] - len(plan.data.codes)


def number_columns(case: Case) -> bool:
    return ample(case) and case.data not in ("mixed", "prices")


@fault("input_scale", suits=lambda c: number_columns(c) and c.style != "layernorm", shown=True)
def scaled_inputs(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All columns are in another unit."""
    factor = span(level, 3.0, 3e4) if rng.random() < 0.6 else 1 / span(level, 5.0, 1e5)
    for x in both(plan):
        x *= np.float32(factor)


@fault("input_scale", suits=number_columns, shown=True)
def shifted_inputs(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """All columns sit far from 0, as years do."""
    for x in both(plan):
        x += np.float32(span(level, 2.0, 2e4))


@fault("input_scale", suits=number_columns, shown=True)
def one_large_column(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """One column is in another unit than the others."""
    factor = span(level, 3.0, 1e5)
    for x in both(plan):
        x[:, 0] *= np.float32(factor)


def standardized(plan: Plan, level: float, rng: np.random.Generator) -> None:
    plan.standardize = True


@fault("input_outliers", suits=number_columns, prepare=standardized, shown=True)
def sentinels(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Missing cells are a huge number, so that a Standardize makes all else one value."""
    share, value = 0.01 + 0.02 * rng.random(), -span(level, 10.0, 1e6)
    for x in both(plan):
        x[rng.random(x.shape) < share] = value


@fault("input_nonfinite", suits=number_columns, shown=True, search=False)
def missing_cells(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Some cells are NaN or infinite; fit refuses them."""
    value = rng.choice([np.nan, np.inf, -np.inf])
    for x in both(plan):
        x[rng.random(x.shape) < 0.002 + 0.02 * level] = value
    plan.data.x[0, -1] = value
    plan.refused = True


@fault(
    "input_codes",
    suits=lambda c: c.data in ("mixed", "prices") and c.style != "batchnorm",
    shown=True,
    search=False,
)
def codes_as_numbers(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Codes are taken for quantities."""
    plan.embed = False


@fault("input_constant", suits=lambda c: number_columns(c) and c.data not in ("digits", "texts", "waves"),
       shown=True)  # fmt: skip
def empty_columns(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Columns that matter have one value in all rows, as after a join that failed."""
    columns = plan.data.x.shape[1]
    lost = rng.permutation(min(columns, 5))[: max(1, round(min(columns, 5) * level))]
    for x in both(plan):
        x[:, lost] = np.float32(rng.integers(2))


def both_targets(plan: Plan) -> tuple[Array, Array]:
    return plan.data.y, plan.data.held_y


@fault("target_scale", suits=valued, shown=True)
def scaled_targets(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Targets are in another unit."""
    factor = span(level, 5.0, 1e6) if rng.random() < 0.7 else 1 / span(level, 5.0, 1e5)
    for y in both_targets(plan):
        y *= np.float32(factor)


@fault("target_scale", suits=valued, shown=True)
def shifted_targets(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Targets sit far from 0."""
    for y in both_targets(plan):
        y += np.float32(span(level, 5.0, 1e5))


@fault("target_nonfinite", suits=valued, shown=True, search=False)
def missing_targets(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Some targets are NaN or infinite; fit refuses them."""
    value = rng.choice([np.nan, np.inf])
    plan.data.y[rng.random(plan.data.y.shape) < 0.002 + 0.03 * level] = value
    plan.data.y[3] = value
    plan.refused = True


@fault("target_range", suits=labelled, shown=True, search=False)
def labels_from_one(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Labels count from 1, so that the last one does not exist; fit refuses them."""
    plan.data.y += 1
    plan.refused = True


@fault("target_range", "head_mismatch", suits=lambda c: c.data in ("circles", "moons", "checks", "spirals"),
       shown=True, search=False)  # fmt: skip
def signs_for_shares(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """-1 and 1 as targets of a loss that takes 0 to 1; fit refuses them."""
    plan.data.y = (2 * plan.data.y - 1).astype(np.float32)[:, None].repeat(2, axis=1)
    plan.loss, plan.refused = "binary_cross_entropy", True


@fault("target_constant", suits=ample, shown=True, search=False)
def one_target(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Every row has the same target."""
    for y in both_targets(plan):
        y[:] = plan.data.y[0]


@fault("target_unrelated", suits=ample, shown=True)
def shuffled_targets(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Targets of a share of the rows belong to others, as after sorting one of two files."""
    share = 0.5 + 0.5 * level
    for y in both_targets(plan):
        rows = np.flatnonzero(rng.random(len(y)) < share)
        y[rows] = y[rng.permutation(rows)]


@fault("target_contradictory", suits=ample, shown=True)
def contradictions(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Rows are there several times, with different targets."""
    data, share = plan.data, 0.3 + 0.65 * level
    for x, y in ((data.x, data.y), (data.held_x, data.held_y)):
        kinds = max(8, len(x) // 6)
        x[:] = x[np.arange(len(x)) % kinds]
        y[:] = y[np.arange(len(y)) % kinds]
        rows = np.flatnonzero(rng.random(len(y)) < share)
        y[rows] = y[rng.permutation(rows)]


def balanced(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Few rows of one class are left to train on; what is held out has equal shares."""
    data = plan.data
    keep = data.y != 0
    keep[np.flatnonzero(data.y == 0)[: max(4, round(len(data.y) * span(level, 0.1, 0.01)))]] = True
    data.x, data.y = data.x[keep], data.y[keep]
    held = [np.flatnonzero(data.held_y == c) for c in range(data.classes)]
    least = min(map(len, held))
    rows = np.sort(np.concatenate([at[:least] for at in held]))
    data.held_x, data.held_y = data.held_x[rows], data.held_y[rows]
    noise = np.random.default_rng([plan.case.seed, 9, plan.run])
    for x in both(plan):  # so that classes overlap
        x += np.float32(0.4 + 0.4 * level) * noise.standard_normal(x.shape, np.float32)


def weighted(plan: Plan, level: float, rng: np.random.Generator) -> None:
    balanced(plan, level, rng)
    plan.class_weight = "balanced"


@fault("class_imbalance", suits=lambda c: c.data in ("blobs", "circles", "moons", "skewed", "clouds"),
       prepare=weighted, shown=True)  # fmt: skip
def rare_class(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A class that is rare in training counts by its rows."""
    plan.class_weight = None


def kept_small(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """Few rows, columns of noise, noise in the targets; and a training that is held back."""
    data, rows = plan.data, round(span(level, 250, 120))
    noise = np.random.default_rng([plan.case.seed, 8, plan.run])
    data.x, data.y = data.x[:rows], data.y[:rows]
    data.x, data.held_x = (
        np.concatenate([x, noise.standard_normal((len(x), 10 + round(20 * level)), np.float32)], axis=1)
        for x in (data.x, data.held_x)
    )
    if data.classes:
        wrong = noise.random(rows) < 0.1 + 0.15 * level
        data.y[wrong] = (data.y[wrong] + 1) % data.classes
    else:
        data.y += np.float32(0.5 + level) * noise.standard_normal(data.y.shape, np.float32)
    plan.optimizer, plan.lr, plan.loss = "adamw", 3e-3, "cross_entropy" if data.classes else "mse"
    plan.settings = {"weight_decay": 1.0}
    plan.depth, plan.width, plan.batch, plan.epochs, plan.dropout = 1, 32, 16, 20, 0.3


@fault(
    "overfitting",
    prepare=kept_small,
    suits=lambda c: c.style == "plain" and c.data in ("friedman", "plane", "ripples", "texts"),
)
def learned_by_heart(plan: Plan, level: float, rng: np.random.Generator) -> None:
    """A large network trains on few rows until it knows each, its noise included."""
    plan.settings = {"weight_decay": 0.0}
    plan.depth, plan.width, plan.epochs, plan.dropout = 2, 256, 150, 0.0
