"""CoreNetwork: a network of the core, its parameters and what it predicts; who may use it now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .arrays import Array
from .losses import HeadLoss, LossOptions

class LayerSpec(TypedDict, total=False):
    kind: str  # one of names("layer")
    activation: str
    units: int
    pieces: int
    alpha: float
    rate: float
    eps: float
    bias: bool
    scale: bool
    shift: bool
    momentum: float
    cumulative: bool
    column: int
    width: int
    initial: float
    std: float
    projection: bool
    gain: bool
    rescaled: bool
    continues: bool
    scheduled: bool
    name: str  # of a head
    uncertain: bool

class ParameterInfo(TypedDict):
    name: str  # "0.weight"
    role: str  # "weight", "bias", "mean", "inverse_std", "gamma", "beta", ...
    trainable: bool
    shape: tuple[int, ...]
    activation: str
    alpha: float

class Steps:
    """Who steps, who changes the network, and who waits for it; sharing.Turns has the rules."""

    stepper: int  # the thread that is in a single step, or 0
    changer: tuple[int, int] | None  # process and thread of who changes it in slices
    @property
    def waiting(self) -> set[tuple[int, int]]: ...
    def begin_step(self) -> None: ...

class CoreNetwork:
    """Owns a gradcore_network."""

    inputs: int
    outputs: int
    dtype: np.dtype[Any]
    threads: int
    isa: str
    elements: int  # trainable numbers
    parameters: list[ParameterInfo]
    heads: list[tuple[str, int, int]]  # name, first column, columns of each head
    def __init__(
        self,
        layers: Sequence[LayerSpec],
        inputs: int,
        *,
        dtype: str = "float32",
        threads: int = 0,
        isa: str | None = None,
        flush_denormals: bool = False,
    ) -> None: ...
    def branch(self) -> CoreNetwork: ...
    def read(self, index: int) -> Array: ...
    def write(self, arrays: Mapping[int, Array]) -> None: ...  # all or nothing; exact shape and dtype
    def set_penalty(self, index: int, l1: float, l2: float) -> None: ...  # l1 sum |w| + l2 sum w^2
    def schedule_penalty(self, index: int) -> None: ...  # l1 and l2 are two columns more of set_rates
    def penalty(self) -> float: ...  # of all parameters
    def read_flat(self) -> Array: ...  # (elements,): the trainable parameters, one after the other
    def write_flat(self, flat: Array) -> None: ...  # all or nothing
    # The thread that calls own(), if nobody has, is then the only one whose calls may change the network and
    # its trainers; True if it is the first call. Others get a BusyError, from require_free() too.
    def own(self) -> bool: ...
    def disown(self) -> None: ...
    def require_free(self) -> None: ...
    @property
    def owned_elsewhere(self) -> bool: ...  # by another thread of this process
    @property
    def training(self) -> bool: ...  # a call of a trainer is running
    @property
    def inside(self) -> bool: ...  # this thread is within one
    def plain(self, x: object) -> Array | None: ...  # a plain array, converted where it must be
    def predict_now(self, x: object, turns: Steps) -> Array | None: ...  # None: not plain, or in use now
    def predict(self, x: Array, out: Array | None = None) -> Array: ...  # (rows, inputs) -> (rows, outputs)
    def evaluate(
        self,
        loss: str,
        x: Array,
        target: Array,
        weight: NDArray[np.float64] | None = None,
        options: LossOptions | None = None,
    ) -> tuple[float, float, float, float]: ...
    # weighted mean loss, accuracy (NaN for regression losses), what each was divided by
    def evaluate_heads(
        self,
        losses: Iterable[HeadLoss],
        x: Array,
        target: Iterable[Array],
        weight: Iterable[NDArray[np.float64] | None] | None = None,
    ) -> list[tuple[float, float, float, float]]: ...  # the same for each head
