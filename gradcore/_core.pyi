"""The binding to the C core: arrays in, status out. No policy; every argument is checked here or in C.

Errors raised: the classes of gradcore.errors, one per gradcore_status. Arrays that are written to (`out`)
must be C-contiguous, aligned, writable, native byte order, of the network's dtype. Input arrays of
the network's dtype may have any row stride as long as columns are contiguous; others are refused with
DTypeError / ShapeError (the Python layer converts before it calls).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of the network's dtype
HYPERS: int  # 16: lr, weight_decay, clip, then the optimizer's own in the order of describe()

class LossOptions(TypedDict, total=False):
    parameters: Sequence[float]  # in the order of describe(); NaN: the default
    flags: int  # of gradcore_loss_options
    vector: NDArray[np.float64] | None  # (outputs,)
    ignore_index: int

Target = Array | Iterable[Array]  # iterables: of one for each head
RowWeights = NDArray[np.float64] | Iterable[NDArray[np.float64] | None] | None
HeadLoss = tuple[str, LossOptions | None, float]  # name, options, weight

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

class BuildInfo(TypedDict):
    version: str
    openmp: int
    compiler: str
    flags: str
    isa: str
    isa_reason: str
    threads: int
    threads_reason: str

# One row per step of run(); a NumPy structured dtype with the fields of gradcore_report.
REPORT_DTYPE: np.dtype[np.void]  # loss, correct, weight, norm, scale: f8; applied, rows: i4

def build_info() -> BuildInfo: ...

# Arrays of plain types, native byte order and any strides as the core takes them: themselves or copies.
# None: not plain, or not in range; the Python layer looks closer. `dtype` is float32 or float64.
def plain_targets(
    y: object, dtype: np.dtype[Any], low: float | None = None, high: float | None = None, whole: bool = False
) -> Array | None: ...  # (rows, columns), or (rows,) as one column
def all_finite(value: object) -> bool | None: ...  # None: no contiguous array of float32 or float64
def plain_labels(y: object, classes: int, ignored: int | None = None) -> Array | None: ...  # int32 (rows,)
def names(family: str) -> list[str]: ...  # "activation", "loss", "optimizer", "layer", "isa"
def describe(family: str, name: str, prop: str) -> str | None: ...

class Steps:
    """Who steps, who changes the network, and who waits for it; sharing.Turns has the rules."""

    stepper: int  # the thread that is in a single step, or 0
    changer: tuple[int, int] | None  # process and thread of who changes it in slices
    @property
    def waiting(self) -> set[tuple[int, int]]: ...
    def begin_step(self) -> None: ...

class Network:
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

class Pass:
    """Forward and backward by hand; keeps the activations of one batch."""

    capacity: int
    def __init__(self, network: Network, capacity: int) -> None: ...
    def forward(self, x: Array, training: bool, seed: int, step: int) -> Array: ...
    def set_rates(self, first: int, rates: NDArray[np.float64]) -> None: ...  # (steps, scheduled layers)
    def backward(self, d_out: Array) -> Array: ...  # d_x
    def gradient(self, index: int) -> Array: ...  # of parameters[index], which must be trainable
    def activations(self) -> dict[str, Array]: ...  # {"0": (rows, width), ...}, containers included

class Trainer:
    """Owns a gradcore_trainer; keeps its Network alive."""

    step: int  # updates tried so far
    updates: int  # updates applied so far (fewer where non-finite ones were skipped)
    capacity: int
    slots: int
    accumulates: bool
    head_means: int  # of slots, the last ones: where gradients of heads wait for an update
    def __init__(
        self,
        network: Network,
        *,
        loss: str | Callable[[Array, Array], tuple[float, Array]],
        optimizer: str,
        flags: int,  # MOMENTUM | NESTEROV | CENTERED | DECAY_ALL
        clip: str | None,  # None, "value", "global_norm"
        nonfinite: str,
        capacity: int,
        seed: int,
        loss_options: LossOptions | None = None,
        heads: Iterable[HeadLoss] | None = None,  # instead of loss, which is None then
        surgery: bool = False,
    ) -> None: ...
    # With heads, a target is an iterable of one array for each, and a weight None or an iterable of weights.
    def conflicts(self) -> NDArray[np.float64]: ...  # (heads, heads, 3), see gradcore_trainer_conflicts
    def train_step(
        self, x: Array, target: Target, weight: RowWeights, hypers: NDArray[np.float64]
    ) -> float: ...  # one update over all rows of x; hypers (HYPERS,); the loss before it. The fast path.
    # The same without weights, of any plain x, announced to others; None, and nothing done, if it is none.
    def step_now(
        self, x: object, target: Array, hypers: NDArray[np.float64], turns: Steps
    ) -> float | None: ...
    def plain(self, x: object) -> Array | None: ...  # as Network.plain; None too where it has too many rows
    def last_report(self) -> tuple[float, float, float, float, float, bool, int]: ...  # of train_step
    def run(
        self,
        x: Array,
        target: Target,
        weight: RowWeights,
        order: NDArray[np.int64] | None,
        begin: int,
        end: int,
        batch: int,
        hypers: NDArray[np.float64],  # (steps, HYPERS)
        reports: NDArray[np.void],  # (steps,) of REPORT_DTYPE, filled
        heads: NDArray[np.float64] | None = None,  # (steps, 3 heads + 2), see gradcore_run.heads
        ledger: NDArray[np.float64] | None = None,  # (parameters, 3), added to as ledger() counts
    ) -> int: ...  # steps done; GIL released
    def gradients(self, x: Array, target: Target, weight: RowWeights) -> float: ...
    def gradient(self, index: int) -> Array: ...
    def flat_gradients(
        self, x: Array, target: Target, weight: RowWeights, out: Array
    ) -> tuple[float, float, float]: ...  # fills out (elements,); loss, weight of right rows, weight of all
    def norms(self) -> NDArray[np.float64]: ...  # (parameters, 2): gradient norm, weight norm
    # (name, limit, other, order, scheduled, a flag for each parameter), as gradcore_rule says
    # keep: by parameter, multiplies the weights after every update; exact shape and dtype
    def set_rules(
        self,
        rules: Sequence[tuple[str, float, float, float, bool, bytes]],
        keep: Mapping[int, Array] | None = None,
    ) -> None: ...
    def ledger(self) -> NDArray[np.float64]: ...  # (parameters, 3): units seen, scaled, sum of factors
    def set_rates(self, first: int, rates: NDArray[np.float64]) -> None: ...  # (steps, scheduled layers)
    def set_scale(self, rule: Callable[[float, int], float] | None) -> None: ...  # of norm and step
    def set_progress(self, step: int, updates: int) -> None: ...
    def accumulated_read(self) -> NDArray[np.float64]: ...  # (1 + losses,)
    def accumulated_write(self, value: NDArray[np.float64]) -> None: ...
    def running_read(self) -> NDArray[np.float64]: ...  # (RUNNING,)
    def running_write(self, value: NDArray[np.float64]) -> None: ...
    def add_average(self, kind: str, every: int, start: int) -> None: ...
    def set_group(self, index: int, lr_factor: float, weight_decay: float, frozen: bool) -> None: ...
    def set_matrices(self, mask: bytes, largest: int) -> None: ...  # before the first step
    def factor_order(self, index: int, side: int) -> int: ...  # of its rows (0) or columns (1); 0: none
    def factor_read(self, index: int, side: int) -> Array: ...  # (2 order, order)
    def factor_write(self, index: int, side: int, value: Array) -> None: ...
    # Network.write, within what masks and constraints allow; the trainer's network or one described alike
    def write(self, network: Network, arrays: Mapping[int, Array]) -> None: ...
    def state_read(self, slot: int, index: int) -> Array: ...
    def state_write(self, slot: int, index: int, value: Array) -> None: ...

# The sums of an epoch (loss * weight, correct, weight, norm, scale) with the first `done` reports added, in
# step order and without updates that were skipped; then how many were applied, and how many of these scaled.
def add_reports(
    reports: NDArray[np.void],
    done: int,
    loss: float,
    correct: float,
    weight: float,
    norm: float,
    scale: float,
) -> tuple[float, float, float, float, float, int, int]: ...

MOMENTUM: int
NESTEROV: int
CENTERED: int
DECAY_ALL: int
LR_IN_MOMENTUM: int
EPS_INSIDE: int
AMSGRAD: int
EPS_HAT: int
MAXIMIZE: int
DECOUPLED: int
CONSTANT_MOMENTUM: int
TRUST_CLIP: int
DECAY_IN_NORM: int
SAFEGUARD: int
CLIPPED: int
CORRECTED: int
UNCLAMPED: int
SLOTS: int  # 4: state arrays that an optimizer may have
RUNNING: int  # 4: numbers that it may keep

def optimizer_update(
    optimizer: str,
    flags: int,
    step: int,
    hypers: NDArray[np.float64],
    w: Array,  # float32 or float64, contiguous, writable; updated in place
    g: Array,  # same dtype and size
    slots: Sequence[Array | None],  # up to SLOTS; same dtype and size; updated in place
) -> None: ...
def average(
    kind: str, every: int, start: int, step: int, rate: float, w: Array, mean: Array
) -> None: ...  # both updated in place
def optimizer_slots(optimizer: str, flags: int) -> int: ...  # bit i: slot i is needed
class UpdateAgain:
    """optimizer_step once more, of arrays of the same shapes; False: they are not, nothing was done."""

    def __init__(
        self,
        optimizer: str,
        flags: int,
        running: NDArray[np.float64],
        keys: list[Any] | None,  # of dicts
        arrays: Sequence[tuple[Array, Array, Sequence[Array | None], float, float, int]],
    ) -> None: ...
    def __call__(
        self, params: Any, grads: Any, step: int, row: Callable[[int], NDArray[np.float64]]
    ) -> bool: ...

def optimizer_step(
    optimizer: str,
    flags: int,
    step: int,
    hypers: NDArray[np.float64],
    running: NDArray[np.float64],  # (RUNNING,), updated in place
    arrays: Sequence[tuple[Array, Array, Sequence[Array | None], float, float, int]],
    threads: int = 0,
) -> None: ...  # (w, g, SLOTS slots, lr_factor, weight_decay or NaN, rows of a matrix or 0) of each
def activation_forward(name: str, x: Array, out: Array | None, alpha: float, threads: int = 0) -> Array: ...
def activation_backward(
    name: str, x: Array, d_y: Array, out: Array | None, alpha: float, threads: int = 0
) -> Array: ...
def loss(
    name: str, z: Array, target: Array, gradient: bool, options: LossOptions | None = None, threads: int = 0
) -> tuple[NDArray[np.float64], Array | None]: ...

# The same, and softmax, of arguments that need no conversion; None, and nothing done, where one may.
def activation(
    index: int, alpha: float, x: object, d_y: object, out: object, threads: int
) -> Array | None: ...
def softmax(z: object, out: object, threads: int) -> Array | None: ...
def loss_of(
    index: int,
    z: object,
    target: object,
    out: object,
    gradient: object,
    options: LossOptions | None,
    threads: int,
) -> Array | tuple[Array, Array] | None: ...
def fill(
    kind: str, seed: int, stream: int, rows: int, cols: int, a: float, b: float
) -> NDArray[np.float64]: ...
def shuffle(seed: int, epoch: int, n: int) -> NDArray[np.int64]: ...

# Products. a, b: 2-D of one float dtype, any strides that are multiples of the item size.
def gemm(
    a: Array,
    b: Array | Packed,
    bias: Array | None,
    out: Array | None,
    threads: int = 0,
    isa: str | None = None,
    activation: str | None = None,
    alpha: float = 0.0,
) -> Array: ...
def product(  # gemm of exact arrays that serve as they are, and None, nothing done, of anything else
    a: object,
    b: object,
    bias: object,
    out: object,
    threads: object,
    isa: object,
    activation: str | None = None,
    alpha: float = 0.0,
) -> Array | None: ...
def dense_backward(  # (d_x, d_w, d_b), or None likewise; results: three arrays or None
    x: object,
    w: object,
    d_y: object,
    results: object,
    activation: str | None = None,
    alpha: float = 0.0,
    saved: object = None,  # z, or what the activation returned
    from_output: bool = False,
) -> tuple[Array, Array, Array] | None: ...

class Packed:
    def __init__(self, w: Array) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def unpack(self) -> Array: ...

# Files: (name, array) in order, string metadata. Arrays F32, F64, I32, I64, U8, U64.
def save_file(path: bytes, tensors: Sequence[tuple[str, Array]], metadata: Mapping[str, str]) -> None: ...
def load_file(path: bytes) -> tuple[dict[str, Array], dict[str, str]]: ...
def encode(tensors: Sequence[tuple[str, Array]], metadata: Mapping[str, str]) -> bytes: ...
def decode(data: bytes) -> tuple[dict[str, Array], dict[str, str]]: ...
