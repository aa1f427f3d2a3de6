"""A loss for each head of a network that ends in `Heads`, and the arrays that come by head."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError
from ..schedules.base import Checked
from ..validation import class_names
from ..validation.arrays import Array, as_weights
from ..validation.by_head import Places, by_head, is_pair
from ..validation.checks import flag, number, shown
from .base import Loss, Model
from .custom import Custom
from .names import one

if TYPE_CHECKING:
    from .._core import HeadLoss

__all__ = ["PerHead"]


class ByHead:
    """Arrays of one number of rows, one for each head; rows are taken from all of them."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts)

    def __getitem__(self, rows: Any) -> ByHead:
        return ByHead([None if part is None else part[rows] for part in self.parts])

    def __mul__(self, other: ByHead) -> ByHead:
        pairs = zip(self.parts, other.parts, strict=True)
        return ByHead([b if a is None else a if b is None else a * b for a, b in pairs])

    def sum(self) -> float:
        """The least of the heads' sums; None stands for ones."""
        return min(math.inf if part is None else float(part.sum()) for part in self.parts)


@dataclass(frozen=True, init=False, repr=False)
class PerHead(Loss):
    """A loss for each head of a network with `Heads`: the sum of weight times loss.

    ``Trainer(net, {"steer": "mse", "gear": "cross_entropy"}, ...)`` is short for the one without options.

    Parameters
    ----------
    losses : dict of name to Loss or str
        One for each head; any but `Custom`.
    weights : dict of name to float, optional
        Numbers >= 0, 1 where there is none. With ``Heads(..., uncertainty=True)`` they multiply the whole
        term of a head.
    surgery : bool, default False
        PCGrad: each head has its own gradient of the layers before the heads, by a pass of its own. From
        each, taking the others in a random order that the seed and the step decide, the part along another
        head's gradient is removed where the two point against each other,
        ``g_i -= (g_i . g_j / g_j . g_j) g_j``; the update takes the sum. A step costs a forward and a
        backward pass for every head.
        `Trainer.conflicts` and the history tell how much the gradients disagree.

    References
    ----------
    Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.PerHead({"steer": "mse", "gear": losses.CrossEntropy()}, weights={"steer": 0.5})
    PerHead({'steer': MSE(), 'gear': CrossEntropy()}, weights={'steer': 0.5})
    """

    name: ClassVar[str] = "per_head"
    losses: tuple[tuple[str, Loss], ...]
    weights: tuple[tuple[str, float], ...] = ()
    surgery: bool = False
    places: Places = field(default=(), init=False, compare=False)

    def __init__(
        self,
        losses: Mapping[str, Loss | str] | Sequence[tuple[str, Loss]],
        *,
        weights: Mapping[str, float] | Sequence[tuple[str, float]] | None = None,
        surgery: bool = False,
    ) -> None:
        found = {}
        for head, loss in _pairs(losses, "losses"):
            own = callable(loss) and not isinstance(loss, Loss | type | Checked)
            if own or isinstance(loss, Mapping | Custom | PerHead):
                raise ArgumentError(f"losses[{head!r}]: expected a loss of gradcore for a head, got {loss!r}")
            found[head] = one(loss)
        if not found:
            raise ArgumentError("losses: expected a loss for each head, got none")
        given = {} if weights is None else dict(_pairs(weights, "weights"))
        by_head(given, list(found), "weights", some=True)
        for head, weight in given.items():
            given[head] = number(weight, f"weights[{head!r}]")
            if not 0 <= given[head] <= 1e30:
                raise ArgumentError(f"weights[{head!r}]: expected a number from 0 to 1e30, got {weight}")
        object.__setattr__(self, "losses", tuple(found.items()))
        object.__setattr__(self, "weights", tuple(given.items()))
        object.__setattr__(self, "surgery", flag(surgery, "PerHead: surgery"))
        object.__setattr__(self, "places", ())

    def __repr__(self) -> str:
        options = f", weights={dict(self.weights)}" if self.weights else ""
        options += ", surgery=True" if self.surgery else ""
        return f"PerHead({dict(self.losses)}{options})"

    def with_places(self, losses: Sequence[tuple[str, Loss]], places: Places) -> PerHead:
        """The same for other losses, at home in a network whose heads lie so."""
        result = PerHead(tuple(losses), weights=self.weights, surgery=self.surgery)
        object.__setattr__(result, "places", tuple(places))
        return result

    @property
    def names(self) -> list[str]:
        """Of the heads, in the network's order."""
        return [name for name, _ in self.losses]

    def _each(self) -> Iterator[tuple[str, Loss, int]]:
        """Name, loss and columns of each head."""
        for (name, loss), (_, _, columns) in zip(self.losses, self.places, strict=True):
            yield name, loss, columns

    # ---- What a trainer asks of a loss ----

    def bound(self, outputs: int, heads: Places) -> Loss:
        """The loss for these heads, in their order."""
        if not heads:
            raise ArgumentError(f"loss: expected one loss for a network without Heads, got {self!r}")
        given = by_head(dict(self.losses), [name for name, _, _ in heads], "loss")
        for name, _, columns in heads:
            given[name].check_outputs(columns)
        return self.with_places(tuple(given.items()), heads)

    def check_optimizer(self, optimizer: object, full_batch: bool) -> None:
        """Refuse one that works on the whole data set."""
        if full_batch:
            raise ArgumentError(
                f"optimizer: expected one that takes batches for a network with Heads, got {optimizer!r}"
            )

    def numbered(
        self, y: object, known: class_names.ByEnd, outputs: int, name: str
    ) -> tuple[object, class_names.ByEnd]:
        """`y` with numbers for the texts of every head, and their classes."""
        given = by_head(y, self.names, name)
        found: class_names.ByEnd = {}
        for head, loss, columns in self._each():
            of_head = loss.class_count(columns), known.get(head), f"{name}[{head!r}]"
            given[head], names = class_names.numbered(given[head], *of_head)
            if names is not None:
                found[head] = names
        return given, found

    def named(self, known: class_names.ByEnd) -> Loss:
        """With the numbers of classes that the heads' losses know by texts."""
        named = tuple(
            (head, loss.named({"": known[head]} if head in known else {})) for head, loss in self.losses
        )
        same = all(new is old for (_, new), (_, old) in zip(named, self.losses, strict=True))
        return self if same else self.with_places(named, self.places)

    def heads(self, target: Any = None) -> list[HeadLoss]:
        """The losses as the core takes them, for targets like `target`."""
        parts = [None] * len(self.losses) if target is None else list(target)
        weights = dict(self.weights)
        return [
            (loss.name, loss.options(columns, part), weights.get(name, 1.0))
            for (name, loss, columns), part in zip(self._each(), parts, strict=True)
        ]

    def for_core(self, outputs: int, target: Any) -> dict[str, Any]:
        """What the core's trainer is to know of it, for targets like `target`."""
        return {"loss": None, "heads": self.heads(target), "surgery": self.surgery}

    def soft(self, target: Any) -> int:
        """A bit for each head whose targets are probabilities where labels would do too."""
        pairs = zip(self.losses, target, strict=True)
        return sum(int(loss.soft(part)) << i for i, ((_, loss), part) in enumerate(pairs))

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """None: a dict is looked at more closely."""
        return None

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Any:
        """A dict of targets as the core takes them."""
        given = by_head(y, self.names, name)
        return ByHead(
            [
                loss.target(given[head], rows, columns, dtype, f"{name}[{head!r}]")
                for head, loss, columns in self._each()
            ]
        )

    def parts(self, target: Any, name: str) -> Iterator[tuple[str, Array]]:
        """The arrays of a converted target, each with its name in messages."""
        for head, part in zip(self.names, target, strict=True):
            yield f"{name}[{head!r}]", part

    def row_weights(self, value: object, rows: int) -> Any:
        """Weights for all heads alike, or a dict with those of some."""
        if not isinstance(value, Mapping):
            return ByHead([as_weights(value, "sample_weight", rows)] * len(self.losses))
        given = by_head(value, self.names, "sample_weight", some=True)
        checked = {head: as_weights(part, f"sample_weight[{head!r}]", rows) for head, part in given.items()}
        return ByHead([checked.get(head) for head in self.names])

    def absent(self, y: object, weight: Any, name: str) -> Any:
        """The rows without a target for each head."""
        if weight is None:
            return None
        given = by_head(y, self.names, name)
        return [
            loss.absent(given[head], part, f"{name}[{head!r}]")
            for (head, loss), part in zip(self.losses, weight, strict=True)
        ]

    def filled(self, y: object, weight: Any, name: str) -> object:
        """`y` with some target in every row of a head that has none."""
        if weight is None:
            return y
        given = by_head(y, self.names, name)
        return {
            head: loss.filled(given[head], part, f"{name}[{head!r}]")
            for (head, loss), part in zip(self.losses, weight, strict=True)
        }

    def class_factors(
        self,
        value: object,
        target: Any,
        rows: Array | None,
        outputs: int,
        name: str = "class_weight",
        absent: Any = None,
        known: class_names.ByEnd | None = None,
    ) -> Any:
        """A factor for each row of the heads that the dict `value` names."""
        given = by_head(value, self.names, name, some=True)
        factors: list[NDArray[np.float64] | None] = [None] * len(self.losses)
        for index, ((head, loss, columns), part) in enumerate(zip(self._each(), target, strict=True)):
            if head in given:
                own = f"{name}[{head!r}]"
                missing = None if absent is None else absent[index]
                names = {"": known[head]} if known and head in known else None
                factors[index] = loss.class_factors(given[head], part, rows, columns, own, missing, names)
        return ByHead(factors)

    def fitted(self, target: Any, rows: Array | None, outputs: int, absent: Any = None) -> Loss:
        """With all that the heads' losses take from the training rows."""
        missing = [None] * len(self.losses) if absent is None else absent
        each = zip(self._each(), target, missing, strict=True)
        fitted = [
            (name, loss.fitted(part, rows, columns, gone)) for (name, loss, columns), part, gone in each
        ]
        return self if tuple(fitted) == self.losses else self.with_places(fitted, self.places)

    def check_monitor(self, monitor: str, name: str = "early_stopping") -> None:
        """Refuse columns that the history of such a training does not have."""
        known = ["loss", "grad_norm", *(f"{head}.loss" for head in self.names)]
        known += [f"{head}.accuracy" for head, loss in self.losses if loss.classifies]
        if monitor.removeprefix("val_") not in known:
            raise ArgumentError(
                f"{name}: expected one of {', '.join(known)}, with or without val_, got {monitor}"
            )

    # ---- Sums over the steps of an epoch ----

    def report(self, steps: int) -> NDArray[np.float64] | None:
        """Room for what the core tells of the heads."""
        return np.zeros((steps, 3 * len(self.losses) + 2))

    def add(
        self, sums: list[float], reports: NDArray[np.float64], chain: Callable[[float, Array], float]
    ) -> None:
        """Add steps to the sums of an epoch, in step order."""
        heads = len(self.losses)
        if not sums:
            sums.extend([0.0] * (3 * heads + 3))
        for at in range(0, 3 * heads, 3):
            loss, correct, weight = reports[:, at : at + 3].T
            for offset, values in enumerate((loss * weight, correct, weight)):
                sums[at + offset] = chain(sums[at + offset], values)
        told = reports[np.isfinite(reports[:, 3 * heads]), 3 * heads :]
        for offset, values in enumerate((told[:, 0], told[:, 1], np.ones(len(told)))):
            sums[3 * heads + offset] = chain(sums[3 * heads + offset], values)

    def row(self, sums: Sequence[float]) -> dict[str, float]:
        """The history's columns of an epoch."""
        row = {}
        heads = 3 * len(self.losses)
        for at, (name, loss) in zip(range(0, heads, 3), self.losses, strict=True):
            summed, correct, weight = sums[at : at + 3] if sums else (0.0, 0.0, 0.0)
            row[f"{name}.loss"] = summed / weight if weight else math.nan
            if loss.classifies:
                row[f"{name}.accuracy"] = correct / weight if weight else math.nan
        if self.surgery:
            cosine, conflicts, steps = sums[heads:] if sums else (0.0, 0.0, 0.0)
            row["cosine"] = cosine / steps if steps else math.nan
            row["conflicts"] = conflicts / steps if steps else math.nan
        return row

    # ---- Evaluation ----

    def whole(self, log_variances: Array | None, means: Sequence[float]) -> float:
        """The loss from those of the heads, without penalties; by learned variances, if any."""
        weights = dict(self.weights)
        terms = list(means)
        if log_variances is not None:
            s = log_variances
            precision = _core.activation_forward("exponential", -s.reshape(1, -1), None, 0.0)[0]
            factors = [1.0 if loss.classifies else 0.5 for _, loss in self.losses]
            parts = zip(factors, precision.tolist(), means, s.tolist(), strict=True)
            terms = [factor * p * mean + variance / 2 for factor, p, mean, variance in parts]
        return math.fsum(weights.get(name, 1.0) * term for name, term in zip(self.names, terms, strict=True))

    def score(
        self, model: Model, x: Array, target: Any, weight: Any, check: Callable[[], None]
    ) -> dict[str, float]:
        """Scores of all heads, and the whole loss, in pieces of a size that only the network decides."""
        heads = self.heads(target)
        step = max(256, 2**28 // max(1, model.elements))
        sums = np.zeros((len(heads), 4))
        for start in range(0, len(x), step):
            at = slice(start, start + step)
            some, counts = _weighty(None if weight is None else weight[at], len(heads))
            parts = model.evaluate_heads(heads, x[at], target[at], some)
            for row, (mean, right, divisor, mass), counted in zip(sums, parts, counts, strict=True):
                if counted:
                    row += (mean * divisor, 0.0 if math.isnan(right) else right * mass, divisor, mass)
            check()
        means = [summed / divisor if divisor else 0.0 for summed, _, divisor, _ in sums.tolist()]
        result = {"loss": self.whole(model.log_variances(), means)}
        for (name, loss), mean, (_, right, _, mass) in zip(self.losses, means, sums.tolist(), strict=True):
            result[f"{name}.loss"] = mean
            if loss.classifies and mass:
                result[f"{name}.accuracy"] = right / mass
        return result


def _weighty(weight: ByHead | None, heads: int) -> tuple[ByHead | None, list[bool]]:
    """Weights that the core evaluates with, and which heads have one above 0 in these rows."""
    if weight is None:
        return None, [True] * heads
    counts = [part is None or bool(part.any()) for part in weight]
    return ByHead([part if counted else None for part, counted in zip(weight, counts, strict=True)]), counts


def _pairs(value: object, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        value = tuple(value.items())
    pairs = isinstance(value, tuple | list) and all(map(is_pair, value))
    if not pairs or any(not isinstance(head, str) for head, _ in value):  # type: ignore[attr-defined]
        raise DTypeError(f"{name}: expected a dict by head, got {shown(value)}")
    return [(head, item) for head, item in value]  # type: ignore[attr-defined]
