"""Losses of classification; `gradcore.losses` has them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import ArgumentError, DTypeError, StateError
from ..validation import class_names
from ..validation.arrays import Array, as_array
from ..validation.checks import choice, compact_repr, integer
from ..validation.intervals import Expected, Interval, logits
from .base import Loss
from .class_weights import Weights, as_weights, balanced, refuse_texts, weights_by_number, weights_for
from .targets import Bounded, Labels, Values, YesOrNo, as_probabilities

__all__ = [
    "BinaryCrossEntropy",
    "BinaryFocal",
    "CrossEntropy",
    "Focal",
    "Hinge",
    "KLDivergence",
    "SquaredHinge",
]

_FLAGS = _core.constants("GRADCORE_LOSS_")

# ---- A yes or no for every output ----


@dataclass(frozen=True, repr=False)
class BinaryCrossEntropy(YesOrNo):
    """Mean over rows and outputs of ``softplus(z) - target * z`` for logits z.

    Targets: (rows, outputs), or (rows,) for one output, in [0, 1]; bool, int or float. With several outputs
    each is a label of its own. PyTorch's ``binary_cross_entropy_with_logits``.

    Parameters
    ----------
    pos_weight : float or sequence of float, optional
        A factor, for each output, of the loss where the target is 1. It does not enter what is divided by.
    """

    pos_weight: float | Sequence[float] | None = None
    name: ClassVar[str] = "binary_cross_entropy"
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        where = "BinaryCrossEntropy: pos_weight"
        object.__setattr__(self, "pos_weight", as_weights(self.pos_weight, where))

    def vector(self, outputs: int) -> NDArray[np.float64] | None:
        """`pos_weight` for so many outputs."""
        return weights_for(self.pos_weight, outputs, "BinaryCrossEntropy: pos_weight")  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class BinaryFocal(YesOrNo):
    """Binary cross-entropy with a factor ``alpha_t * (1 - p_t)**gamma`` that mutes what is learnt already.

    p_t is the probability of the true answer; mean over rows and outputs. Targets are 0 or 1.

    Parameters
    ----------
    gamma : float, default 2.0
        >= 0.
    alpha : float, optional
        In [0, 1]: a factor alpha where the target is 1 and 1 - alpha where it is 0. Default: none;
        torchvision's default is 0.25.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.
    """

    gamma: float = 2.0
    alpha: float | None = None
    name: ClassVar[str] = "binary_focal"
    __repr__ = compact_repr

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as a matrix of `dtype`, if all of it is 0 or 1."""
        return _core.plain_targets(y, dtype, 0.0, 1.0, True)

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as a matrix of `dtype`, all of it 0 or 1."""
        return _one_of(super().target(y, rows, outputs, dtype, name), (0, 1), name)


class _Margin(Bounded):
    low: ClassVar[float] = -1.0
    classifies: ClassVar[bool] = True
    matches_targets: ClassVar[bool] = False

    def expects(self) -> Expected:
        """Scores that can be on both sides of the margin."""
        return Expected("scores from -1 to 1 or more,", Interval(-1.0, 1.0))

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """`y` as a matrix of `dtype`, if all of it is 0 or 1, or all of it -1 or 1."""
        made = super().ready(y, outputs, dtype)
        return made if made is not None and _is_signs(made) else None

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` as a matrix of `dtype`, all of it 0 or 1, or all of it -1 or 1."""
        array = super().target(y, rows, outputs, dtype, name)
        return array if _is_signs(array) else _one_of(array, (-1, 1) if array.min() < 0 else (0, 1), name)

    def class_count(self, outputs: int) -> int | None:
        """Two, for a single output."""
        return 2 if outputs == 1 else None

    def classes(self, target: Array) -> Array | None:
        """The class, 0 or 1, of every row; None for several outputs."""
        return (target[:, 0] > 0).astype(np.int64) if target.shape[1] == 1 else None


@dataclass(frozen=True, repr=False)
class Hinge(_Margin):
    """Mean over rows and outputs of ``max(0, 1 - s * z)``, s = 1 for yes and -1 for no.

    Targets: all of them -1 or 1, or all of them 0 or 1. A prediction is the sign of z.
    scikit-learn's ``hinge_loss``, Keras's ``Hinge``.

    Examples
    --------
    >>> import numpy as np
    >>> from gradcore import kernels
    >>> kernels.hinge(np.array([[0.25], [0.25]]), [0, 1])
    array([1.25, 0.75])
    """

    name: ClassVar[str] = "hinge"
    __repr__ = compact_repr


@dataclass(frozen=True, repr=False)
class SquaredHinge(_Margin):
    """Mean over rows and outputs of ``max(0, 1 - s * z)**2``; targets as for `Hinge`."""

    name: ClassVar[str] = "squared_hinge"
    __repr__ = compact_repr


def _is_signs(y: Array) -> bool:
    return bool(((y == 1) | (y == 0)).all() or ((y == 1) | (y == -1)).all())


def _one_of(array: Array, values: tuple[int, int], name: str) -> Array:
    """`array` if it has only these two values."""
    wrong = ~np.isin(array, values)
    if wrong.any():
        row, col = np.argwhere(wrong)[0]
        raise ArgumentError(
            f"{name}: expected {values[0]} or {values[1]}, got {array[row, col]} at [{row}, {col}]"
        )
    return array


# ---- One of several classes ----


@dataclass(frozen=True, repr=False)
class CrossEntropy(Labels):
    """``-log softmax(logits)[label]``, or ``-sum_c q_c log softmax(logits)_c`` for probabilities q.

    Targets: class ids (rows,), whole numbers from 0 to outputs - 1, or probabilities (rows, outputs).

    Parameters
    ----------
    label_smoothing : float, default 0.0
        In [0, 1]: the target becomes ``(1 - s) * q + s / classes``.
    class_weight : dict, sequence or "balanced", optional
        w: term c of the sum is multiplied by w_c, that of the smoothing too, as PyTorch does. A dict gives 1
        to the classes that it lacks; its keys are as the labels in y, numbers or texts. "balanced",
        ``rows / (classes * count)``, is found by the first fit().
        Multiplies sample weights. Accuracy is not weighted by it.
    weighting : {"sum", "count"}, default "sum"
        What the weighted sum over the rows is divided by: the sum of the rows' weights, which are the sample
        weight times w_label (for probabilities ``sum_c q_c w_c``), as PyTorch and scikit-learn do for labels;
        or the number of rows, as Keras does, and PyTorch for probabilities.
    ignore_index : int, optional
        Rows with this label do not count, in either way of weighting. PyTorch's default is -100.

    Notes
    -----
    In a history, the loss of an epoch is the mean of those of its batches, each with the sum of its sample
    weights.

    Examples
    --------
    >>> from gradcore import losses
    >>> losses.CrossEntropy(label_smoothing=0.1, class_weight={2: 5.0})
    CrossEntropy(label_smoothing=0.1, class_weight=((2, 5.0),))
    """

    label_smoothing: float = 0.0
    class_weight: Mapping[int | str, float] | Sequence[float] | Weights | Literal["balanced"] | None = None
    weighting: Literal["sum", "count"] = "sum"
    ignore_index: int | None = None
    name: ClassVar[str] = "cross_entropy"
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        where = "CrossEntropy: class_weight"
        if isinstance(self.class_weight, str):
            choice(self.class_weight, where, ["balanced"])
        else:
            weights = as_weights(self.class_weight, where, texts=True)
            if isinstance(weights, float):
                raise DTypeError(f"{where}: expected a dict, a sequence or 'balanced', got {weights}")
            object.__setattr__(self, "class_weight", weights)
        choice(self.weighting, "CrossEntropy: weighting", ["sum", "count"])
        if self.ignore_index is not None:
            index = integer(self.ignore_index, "CrossEntropy: ignore_index", -(2**31), 2**31 - 1)
            object.__setattr__(self, "ignore_index", index)

    def options(self, outputs: int, target: Array | None = None) -> _core.LossOptions:
        """The loss's parameters as the core takes them."""
        if self.class_weight == "balanced":
            raise StateError(
                "class_weight: expected fit() first, which finds the 'balanced' weights from its training "
                "rows; CrossEntropy(class_weight=[...]) gives them beforehand"
            )
        refuse_texts(self.class_weight, "class_weight")
        soft = target is not None and self.soft(target)
        flags = _FLAGS["by_count"] if self.weighting == "count" else 0
        if soft:
            flags |= _FLAGS["probabilities"]
        elif self.ignore_index is not None:
            flags |= _FLAGS["ignores"]
        return {**super().options(outputs), "flags": flags, "ignore_index": self.ignore_index or 0}

    def vector(self, outputs: int) -> NDArray[np.float64] | None:
        """`class_weight` for so many classes; None while it is unknown."""
        weights = self.class_weight
        return None if weights == "balanced" else weights_for(weights, outputs, "CrossEntropy: class_weight")  # type: ignore[arg-type]

    def named(self, known: class_names.ByEnd) -> Loss:
        """The loss with the numbers of the classes in `class_weight`."""
        weights = weights_by_number(self.class_weight, known, "class_weight")
        return self if weights is self.class_weight else replace(self, class_weight=weights)

    def fitted(self, target: Array, rows: Array | None, outputs: int, absent: Any = None) -> Loss:
        """The loss with the "balanced" weights of these rows."""
        if self.class_weight != "balanced":
            return self
        labels = self.counted(target, absent)
        if labels is None:
            raise ArgumentError("class_weight: expected labels of classes for 'balanced', got probabilities")
        return replace(self, class_weight=tuple(balanced(labels if rows is None else labels[rows], outputs)))

    def ignored(self) -> int | None:
        """`ignore_index`."""
        return self.ignore_index

    def soft(self, target: Array) -> bool:
        """Whether it is a matrix."""
        return target.ndim == 2

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` (rows,) or (rows, 1) as int32 labels, or (rows, outputs) as probabilities of `dtype`."""
        array = as_array(y, name)
        if array.shape == (rows, outputs):
            return as_probabilities(array, rows, outputs, dtype, name)
        return super().target(array, rows, outputs, dtype, name)


@dataclass(frozen=True, repr=False)
class Focal(Labels):
    """``alpha[label] * (1 - p)**gamma * -log p`` with p = softmax(logits)[label], mean over rows.

    Targets: class ids (rows,). Keras's ``CategoricalFocalCrossentropy`` has alpha 0.25 and gamma 2.

    Parameters
    ----------
    gamma : float, default 2.0
        >= 0; 0 without alpha is the cross-entropy.
    alpha : float, sequence or dict of float, optional
        A factor for each class; the keys of a dict are as the labels in y, numbers or texts. It does not
        enter what is divided by.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.
    """

    gamma: float = 2.0
    alpha: float | Sequence[float] | Mapping[int | str, float] | Weights | None = None
    name: ClassVar[str] = "focal"
    __repr__ = compact_repr

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "alpha", as_weights(self.alpha, "Focal: alpha", texts=True))

    def options(self, outputs: int, target: Array | None = None) -> _core.LossOptions:
        """The loss's parameters as the core takes them."""
        refuse_texts(self.alpha, "alpha")
        return super().options(outputs, target)

    def named(self, known: class_names.ByEnd) -> Loss:
        """The loss with the numbers of the classes in `alpha`."""
        alpha = weights_by_number(self.alpha, known, "alpha")
        return self if alpha is self.alpha else replace(self, alpha=alpha)

    def vector(self, outputs: int) -> NDArray[np.float64] | None:
        """`alpha` for so many classes."""
        return weights_for(self.alpha, outputs, "Focal: alpha")  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False)
class KLDivergence(Values):
    """Sum over classes of ``target * (log target - log softmax(logits))``, mean over rows.

    Targets: probabilities (rows, outputs); 0 log 0 is 0. PyTorch's ``kl_div(log_softmax(z), target,
    reduction="batchmean")``: its default reduction also divides by the number of classes.
    """

    name: ClassVar[str] = "kl_divergence"
    matches_targets: ClassVar[bool] = False
    __repr__ = compact_repr

    def expects(self) -> Expected:
        """Logits."""
        return logits("softmax")

    def ready(self, y: object, outputs: int, dtype: np.dtype[Any]) -> Array | None:
        """None: sums are to be checked."""
        return None

    def target(self, y: object, rows: int, outputs: int, dtype: np.dtype[Any], name: str = "y") -> Array:
        """`y` (rows, outputs) as probabilities of `dtype`."""
        return as_probabilities(y, rows, outputs, dtype, name)
