"""CoreTrainer: a trainer of the core, with its steps, reports and state."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .arrays import Array
from .losses import HeadLoss, LossOptions, RowWeights, Target
from .network import CoreNetwork, Steps

# One row per step of run(); a NumPy structured dtype with the fields of gradcore_report.
REPORT_DTYPE: np.dtype[np.void]  # loss, correct, weight, norm, scale: f8; applied, rows: i4

class CoreTrainer:
    """Owns a gradcore_trainer; keeps its CoreNetwork alive."""

    step: int  # updates tried so far
    updates: int  # updates applied so far (fewer where non-finite ones were skipped)
    capacity: int
    slots: int
    accumulates: bool
    head_means: int  # of slots, the last ones: where gradients of heads wait for an update
    def __init__(
        self,
        network: CoreNetwork,
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
    def reserve(self, rows: int) -> None: ...  # room for larger batches; all else stays as it is
    def branch(self) -> tuple[CoreNetwork, CoreTrainer]: ...  # twins; the rule of set_scale stays behind
    # With heads, a target is an iterable of one array for each, and a weight None or an iterable of weights.
    def conflicts(self) -> NDArray[np.float64]: ...  # (heads, heads, 3), see gradcore_trainer_conflicts
    def train_step(
        self, x: Array, target: Target, weight: RowWeights, hypers: NDArray[np.float64]
    ) -> float: ...  # one update over all rows of x; hypers (HYPERS,); the loss before it. The fast path.
    # The same without weights, of any plain x, announced to others; None, and nothing done, if it is none.
    def step_now(
        self, x: object, target: Array, hypers: NDArray[np.float64], turns: Steps
    ) -> float | None: ...
    def plain(self, x: object) -> Array | None: ...  # as a network's; None too where it has too many rows
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
    # CoreNetwork.write, within what masks and constraints allow; the trainer's network or one described alike
    def write(self, network: CoreNetwork, arrays: Mapping[int, Array]) -> None: ...
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
