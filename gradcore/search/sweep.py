"""The learning-rate range test: a short training whose rate rises until the loss explodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..clipping.base import Clip, Constraint
from ..errors import ArgumentError, DTypeError
from ..losses.base import Loss
from ..losses.custom import LossFunction
from ..network.network import Network
from ..optimizers import Adam
from ..optimizers.interface import AnyOptimizer
from ..schedules import Exponential
from ..schedules.scalars import LR
from ..training import fit_data
from ..training.fit_state import Data
from ..training.setup_checks import quiet
from ..training.state import TrainingState
from ..training.steps import step_of
from ..training.trainer import Targets, Trainer, state_of
from ..validation.checks import choice, integer, number, shown

__all__ = ["RangeTest", "range_test"]

RULES = ("steepest", "middle", "minimum")
_CALM = 5  # steps at least from which a repeat learns how much losses differ
# The 97.5 % quantile of Student's t for 1, 2, ... degrees of freedom; beyond, a series about the normal one.
_T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw.

    Attributes
    ----------
    lrs : ndarray (steps,)
        The learning rates, equally far apart on a logarithmic scale.
    losses : ndarray (repeats, steps)
        The smoothed loss of each step, before its update; NaN from where a repeat was stopped.
    mean, low, high : ndarray (steps,)
        Mean over the repeats and the 95 % confidence band of that mean (Student's t); NaN from where a repeat
        was stopped, and for the band where there is one repeat only.
    suggestions : dict of str to float
        By rule, None where it finds nothing. "steepest": where the mean falls fastest, as a line through a
        tenth of the steps. "middle": halfway, on the logarithmic scale, between where a tenth of the fall is
        behind (it begins at the mean over the first tenth of the steps) and where the mean is lowest.
        "minimum": a tenth of the rate where the mean is lowest.
    rule : str
        The rule of `suggestion`.
    """

    lrs: NDArray[np.float64]
    losses: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    suggestions: dict[str, float | None]
    rule: str

    @property
    def suggestion(self) -> float | None:
        """The learning rate of `rule`, or None if the loss never fell."""
        return self.suggestions[self.rule]

    def plot(self, path: object = None, *, axes: Any = None) -> Any:
        """A picture: mean, band and suggestions; needs matplotlib.

        Parameters
        ----------
        path : str or path, optional
            A file to write; its suffix (.png, .svg, .pdf) decides the format.
        axes : matplotlib Axes, optional
            Where to draw. Default: a figure of its own.

        Returns
        -------
        matplotlib Axes
        """
        from ..charts import new_axes, save_axes

        axes = new_axes() if axes is None else axes
        axes.plot(self.lrs, self.mean, label=f"mean of {len(self.losses)}")
        if len(self.losses) > 1:
            axes.fill_between(self.lrs, self.low, self.high, alpha=0.25, label="95 % band of the mean")
        for name, lr in self.suggestions.items():
            if lr is not None:
                axes.axvline(lr, linestyle="-" if name == self.rule else ":", label=f"{name}: {lr:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.legend()
        if path is not None:
            save_axes(axes, path)
        return axes


def range_test(
    net: Network | Callable[[int], Network],
    X: ArrayLike,
    y: Targets,
    *,
    loss: Loss | str | LossFunction | Mapping[str, Loss | str],
    optimizer: AnyOptimizer | None = None,
    clip: Clip | Sequence[Clip] | None = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 64,
    repeats: int = 3,
    smoothing: float = 0.9,
    stop: float = 4.0,
    rule: str = "steepest",
    seed: int = 0,
    sample_weight: Targets | None = None,
    class_weight: Mapping[Any, Any] | Literal["balanced"] | None = None,
    constraint: Constraint | Sequence[Constraint] | None = None,
    masks: Mapping[str, ArrayLike] | None = None,
) -> RangeTest:
    """Train copies with a rate that rises from `low` to `high`, and suggest a learning rate.

    Parameters
    ----------
    net : Network or callable
        Copied, never changed; or ``net(seed) -> Network``, called with seed, seed + 1, ... for each repeat.
    X : array-like (rows, inputs)
    y : array-like, or dict by head
        Targets as the loss takes them.
    loss : Loss, str, callable or dict by head
        As a Trainer takes it.
    optimizer : Optimizer, default ``Adam()``
        Its learning rate is replaced by the rising one, within averages, `SAM` and their like too. Refused
        are those that find the length of their steps themselves: `Rprop` and the full-batch methods. What
        listens to metrics stays what it begins as.
    clip : Clip or list of Clip, optional
    low, high : float, default 1e-6 and 10
        0 < low < high.
    steps : int, default 100
        >= 10.
    batch_size : int, default 64
    repeats : int, default 3
        Each with its own order of the rows.
    smoothing : float, default 0.9
        In [0, 1): weight of the past in the running mean of the losses, corrected for its start.
    stop : float, default 4.0
        > 1: a repeat ends when its loss is not finite, or the smoothed one has risen from its lowest by more
        than ``stop - 1`` times what it had fallen from the mean of the first tenth of the steps; where the
        losses of that tenth differ by more than it had fallen, than ``stop - 1`` times that. A constant added
        to the loss changes nothing.
    rule : {"steepest", "middle", "minimum"}, default "steepest"
        What `RangeTest.suggestion` is.
    seed : int, default 0
    sample_weight : array-like (rows,), optional
    class_weight : dict or "balanced", optional
        As in `Trainer.fit`.
    constraint : Constraint or list of Constraint, optional
    masks : dict of name to array-like of bool, optional
        As `Trainer.set_masks` takes them.

    Returns
    -------
    RangeTest

    Raises
    ------
    ArgumentError
        If the loss is not finite before the first update, or an argument is not as above.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, search
    >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> net = Network([Dense(16, "tanh"), Dense(1)], inputs=1)
    >>> test = search.range_test(net, X, X**2, loss="mse", batch_size=16)
    >>> 1e-3 < test.suggestion < 1
    True
    """
    base = _optimizer(optimizer)
    low, high = number(low, "low"), number(high, "high")
    if not 0 < low < high:
        raise ArgumentError(f"low, high: expected 0 < low < high, got {low} and {high}")
    steps, repeats = integer(steps, "steps", 10), integer(repeats, "repeats", 1)
    seed = integer(seed, "seed", 0, 2**64 - 1)
    smoothing, stop = number(smoothing, "smoothing"), number(stop, "stop")
    if not 0 <= smoothing < 1:
        raise ArgumentError(f"smoothing: expected a number in [0, 1), got {smoothing}")
    if not stop > 1:
        raise ArgumentError(f"stop: expected a number > 1, got {stop}")
    choice(rule, "rule", RULES)
    batch_size = integer(batch_size, "batch_size", 1)
    rising = Exponential(low, (high / low) ** (1 / (steps - 1)), 1, end_value=high)
    swept = base.with_rate(rising)
    losses = np.full((repeats, steps), np.nan)
    for repeat in range(repeats):
        own = (seed + repeat) % 2**64
        with nullcontext() if repeat == 0 else quiet():
            trainer = Trainer(_network(net, own), loss, swept, clip, seed=own, constraint=constraint)
        if masks is not None:
            trainer.set_masks(masks)
        state = state_of(trainer)
        data = fit_data.prepare(state, X, y, None, sample_weight, class_weight)
        fit_data.take(state, data)
        _sweep(state, data, batch_size, smoothing, stop, losses[repeat])
    lrs = np.array([state.hypers.row(step)[LR] for step in range(steps)])
    mean, below, above = _band(losses)
    suggestions = {name: _SUGGEST[name](lrs, mean) for name in RULES}
    return RangeTest(lrs, losses, mean, below, above, suggestions, rule)


def _optimizer(optimizer: AnyOptimizer | None) -> AnyOptimizer:
    if optimizer is None:
        return Adam()
    if not isinstance(optimizer, AnyOptimizer):
        raise DTypeError(f"optimizer: expected one of gradcore.optimizers, got {shown(optimizer)}")
    return optimizer


def _network(net: object, seed: int) -> Network:
    if isinstance(net, Network):
        return net.clone()
    made = net(seed) if callable(net) else None
    if not isinstance(made, Network):
        raise DTypeError(
            f"net: expected a Network or a function of the seed that makes one, got {shown(net)}"
        )
    return made.clone()


def _sweep(
    state: TrainingState,
    data: Data,
    batch_size: int,
    smoothing: float,
    stop: float,
    out: NDArray[np.float64],
) -> None:
    """Fill `out` with smoothed losses until they explode."""
    x, target, weight = data.x, data.target, data.weight
    batch = min(batch_size, len(x))
    each = len(x) // batch  # whole batches only: a small last one would have another noise
    average = decay = smooth = 0.0
    lowest, calm = math.inf, max(_CALM, len(out) // 10)
    first: list[float] = []  # losses of the calm steps, before rates matter
    for step in range(len(out)):
        epoch, position = divmod(step, each)
        if position == 0:
            order = _core.shuffle(state.seed, epoch, len(x))
        rows = order[position * batch : (position + 1) * batch]
        part = None if weight is None else weight[rows]
        value = step_of(state, x[rows], target[rows], part)
        if part is None or part.sum() > 0:  # else the batch has no loss
            average, decay = (
                smoothing * average + (1 - smoothing) * value,
                smoothing * decay + (1 - smoothing),
            )
            smooth = average / decay
            if not first and not math.isfinite(value):
                raise ArgumentError(f"net: expected a finite loss before the first update, got {value}")
            if step < calm or not first:
                first.append(value)
            lowest = min(lowest, smooth)
        if not math.isfinite(smooth):
            return
        if step >= calm and smooth - lowest > (stop - 1) * max(
            _mean(first) - lowest, max(first) - min(first)
        ):
            return
        out[step] = smooth if first else math.nan


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _band(losses: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean over the repeats, and the ends of its 95 % band."""
    count = len(losses)
    mean = losses.mean(axis=0)
    if count == 1:
        empty = np.full_like(mean, np.nan)
        return mean, empty, empty
    half = _t_quantile(count - 1) * losses.std(axis=0, ddof=1) / math.sqrt(count)
    return mean, mean - half, mean + half


def _t_quantile(freedom: int) -> float:
    if freedom <= len(_T_QUANTILES):
        return _T_QUANTILES[freedom - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _seen(mean: NDArray[np.float64]) -> int:
    """Steps up to the lowest mean; what comes after is the explosion."""
    return int(np.nanargmin(mean)) + 1 if np.isfinite(mean).any() else 0


def _steepest(lrs: NDArray[np.float64], mean: NDArray[np.float64]) -> float | None:
    seen, half = _seen(mean), max(2, len(lrs) // 20)
    slopes = [
        np.polyfit(np.arange(-half, half + 1), mean[at - half : at + half + 1], 1)[0]
        for at in range(half, seen - half)
    ]
    at = int(np.argmin(slopes)) if slopes else 0
    return float(lrs[at + half]) if slopes and slopes[at] < 0 else None


def _minimum(lrs: NDArray[np.float64], mean: NDArray[np.float64]) -> float | None:
    seen = _seen(mean)
    return float(lrs[seen - 1]) / 10.0 if seen > 1 else None


def _middle(lrs: NDArray[np.float64], mean: NDArray[np.float64]) -> float | None:
    seen = _seen(mean)
    if seen < 3:
        return None
    top = mean[: max(1, len(lrs) // 10)].mean()
    fallen = top - 0.1 * (top - mean[seen - 1])
    above = np.flatnonzero(mean[:seen] > fallen)
    if not mean[seen - 1] < fallen < top or not len(above):
        return None
    return float(math.sqrt(lrs[above[-1]] * lrs[seen - 1]))


_SUGGEST = {"middle": _middle, "steepest": _steepest, "minimum": _minimum}
