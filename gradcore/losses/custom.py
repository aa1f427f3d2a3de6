"""Losses of the user's own, as Python functions of arrays, and a check of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ArgumentError, DTypeError, ShapeError
from ..schedules.base import Checked
from ..validation.arrays import Array, as_array, as_dtype, as_matrix
from ..validation.checks import compact_repr, shown
from .base import Loss, Model

__all__ = ["Custom", "check"]

LossFunction = Callable[[Array, Array], tuple[float, Array]]
_STEP = 1e-3  # of the differences in `check`, relative to the size of an output


@dataclass(frozen=True, repr=False)
class Custom(Loss):
    """A loss that a Python function computes: ``Trainer(net, function, ...)`` is the same.

    Parameters
    ----------
    function : callable
        ``function(output, target) -> (loss, d_output)``: output is a new (rows, outputs) array of the
        network's dtype, target the batch's rows of y; loss is a number, d_output its derivative by output, of
        floats and of the same shape. NaN and infinities in them meet the trainer's `nonfinite`.
        What it raises comes out of step(), fit() or evaluate(), and the batch has changed nothing then. It
        must not use the trainer or its network, which are busy.

    Notes
    -----
    y may be any array of numbers with a row for every row of X. The function sees whole batches, so what it
    computes may mix rows; sample and class weights are its own affair. evaluate() calls it once, with all
    rows. No file can hold it: a trainer with such a loss cannot be saved; its network can.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import Dense, Network, Trainer, optimizers
    >>> def mean_fourth_power(output, target):
    ...     error = output - target
    ...     return (error**4).mean(), 4 * error**3 / error.size
    >>> trainer = Trainer(Network([Dense(1)], inputs=2), mean_fourth_power, optimizers.Adam(0.1))
    >>> history = trainer.fit(np.eye(2), [[1.0], [2.0]], epochs=200, batch_size=2)
    >>> history.loss[-1] < 1e-3
    True
    """

    function: LossFunction
    name: ClassVar[str] = "custom"
    has_plain_targets: ClassVar[bool] = False
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        own = callable(self.function) and not isinstance(self.function, type | Checked)
        if not own:
            raise DTypeError(f"Custom: function: expected a function, got {shown(self.function)}")

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """None: the number of its rows is to be checked."""
        return None

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as an array of numbers with so many rows."""
        array = as_array(y, name)
        if array.ndim < 1 or len(array) != rows:
            raise ShapeError(f"{name}: expected {rows} rows, as many as X has, got shape {array.shape}")
        return array

    def for_core(self, outputs: int, target: Any) -> dict[str, Any]:
        """What the core's trainer is to know of it."""
        return {"loss": self}

    def row_weights(self, value: object, rows: int) -> Any:
        """Refused: the function sees whole batches."""
        raise ArgumentError("sample_weight: expected none for a loss of your own, which sees whole batches")

    def score(
        self, model: Model, x: Array, target: Any, weight: Any, check: Callable[[], None]
    ) -> dict[str, float]:
        """The loss of all rows at once."""
        return {"loss": self(model.predict(x, "evaluate"), target)[0]}

    def __call__(self, output: Array, target: Array) -> tuple[float, Array]:
        """Loss and gradient, checked, of `output`'s dtype; the core and evaluate() call this."""
        answer = self.function(output, target)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise DTypeError(
                f"loss: expected a pair (loss, d_output) from the function, got {_brief(answer)}"
            )
        loss, slope = answer
        if np.ndim(loss) != 0 or np.asarray(loss).dtype.kind not in "fiu":
            raise DTypeError(f"loss: expected a number from the function, got {_brief(loss)}")
        slope = as_array(slope, "d_output")
        if slope.dtype.kind != "f":
            raise DTypeError(f"d_output: expected floats from the function, got {slope.dtype}")
        if slope.shape != output.shape:
            raise ShapeError(f"d_output: expected shape {output.shape} from the function, got {slope.shape}")
        with np.errstate(over="ignore", invalid="ignore"):
            return float(loss), np.require(slope, output.dtype, ["C", "A"])


def _brief(value: object) -> str:
    return f"a {type(value).__name__} of shape {np.shape(value)}" if hasattr(value, "shape") else repr(value)


def check(function: LossFunction, output: ArrayLike, target: ArrayLike) -> float:
    """How far the gradient of a loss of your own is from four-point differences of its value, in float64.

    Parameters
    ----------
    function : callable
        As `Custom` takes it.
    output : array-like (rows, outputs)
        Where to look: some values that a network might return, away from kinks.
    target : array-like
        With as many rows.

    Returns
    -------
    float
        ``norm(d_output - differences) / norm(differences)``, or the norm of d_output where all differences
        are 0: about 1e-10 for a smooth loss and a right gradient, about 1 for a wrong one.

    Raises
    ------
    ArgumentError
        If the loss or its gradient is not finite there.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import losses
    >>> right = lambda output, target: (((output - target) ** 2).sum(), 2 * (output - target))
    >>> wrong = lambda output, target: (((output - target) ** 2).sum(), output - target)
    >>> losses.check(right, np.eye(3), np.ones((3, 3))) < 1e-9
    True
    >>> losses.check(wrong, np.eye(3), np.ones((3, 3))) > 0.4
    True
    """
    custom = function if isinstance(function, Custom) else Custom(function)
    z = as_matrix(output, "output", np.dtype(np.float64), finite=True).copy()
    y = custom.target(target, len(z), z.shape[1], z.dtype, "target")
    if y.dtype.kind == "f":
        y = as_dtype(y, "target", z.dtype)
    loss, slope = custom(z.copy(), y)
    if not (np.isfinite(loss) and np.isfinite(slope).all()):
        raise ArgumentError(f"function: expected a finite loss and gradient, got the loss {loss}")
    differences = np.empty_like(z)
    for index in np.ndindex(*z.shape):
        kept = z[index]
        h = _STEP * max(1.0, abs(float(kept)))
        values = []
        for shift in (2 * h, h, -h, -2 * h):
            z[index] = kept + shift
            values.append(custom(z.copy(), y)[0])
        z[index] = kept
        differences[index] = (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * h)
    size = float(np.linalg.norm(differences))
    return float(np.linalg.norm(slope - differences)) / (size or 1.0)
