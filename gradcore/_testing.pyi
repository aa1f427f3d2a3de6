"""Every kernel of every instruction set, for tests and benchmarks. Nothing is checked: not for users.

The methods of Kernels take the arguments of the C kernels, whose contracts stand in
src_c/kernels/kernels.h. A pointer is given as an array (its first element), another buffer, an
address or None (NULL); sizes and leading dimensions count elements.
"""

from collections.abc import Sequence

from typing_extensions import Buffer

from ._core import CoreNetwork, CoreTrainer

Pointer = Buffer | int | None

KC: int  # block length of the chains of a product
SAVES: dict[str, str]  # activation -> what its backward needs: "nothing", "output" or "input"

def isas() -> list[str]: ...  # compiled in and runnable here, slowest first
def philox(seed: int, stream: int, step: int, block: int) -> tuple[int, int, int, int]: ...

# The largest number in the padding of the parameter vector, of the gradient, of each vector of the state.
def padding(network: CoreNetwork, trainer: CoreTrainer | None = None) -> dict[str, float]: ...
def set_padding(
    network: CoreNetwork, value: float
) -> None: ...  # of the parameter vector, as nobody else may

class Kernels:
    name: str
    dtype: str
    panel: int  # elements of a panel row: 16 float32, 8 float64
    def __init__(self, isa: str, dtype: str) -> None: ...
    def gemm(
        self,
        m: int,
        n: int,
        k: int,
        a: Pointer,
        a_row: int,
        a_col: int,
        b: Pointer,
        b_row: int,
        b_panel: int,
        c: Pointer,
        c_row: int,
        c_panel: int,
        init: Pointer = None,
    ) -> None: ...
    def act_forward(
        self, name: str, rows: int, cols: int, z: Pointer, y: Pointer, ld: int, alpha: float
    ) -> None: ...
    def act_backward(
        self, name: str, rows: int, cols: int, saved: Pointer, d: Pointer, ld: int, alpha: float
    ) -> None: ...
    def loss(
        self,
        name: str,
        rows: int,
        cols: int,
        z: Pointer,
        ld: int,
        target: Pointer,
        target_ld: int,
        row_scale: Pointer,  # float64 (rows)
        d: Pointer,
        losses: Pointer,  # float64 (rows)
        correct: Pointer,  # int32 (rows)
        p: Sequence[float] | None = None,  # None: the defaults
        weight: Pointer = None,  # (cols) of the element type
        probabilities: bool = False,
        ignore: int | None = None,
    ) -> None: ...
    def opt(
        self,
        name: str,
        n: int,
        w: Pointer,
        g: Pointer,
        s0: Pointer = None,
        s1: Pointer = None,
        s2: Pointer = None,
        s3: Pointer = None,
        *,
        lr: float,
        weight_decay: float = 0.0,
        grad_scale: float = 1.0,
        grad_limit: float = ...,  # infinity
        p: Sequence[float] = (),
        step: int = 1,
        flags: int = 0,
        running: Sequence[float] = (),
    ) -> None: ...
    def add(self, rows: int, cols: int, x: Pointer, ldx: int, y: Pointer, ldy: int) -> None: ...
    def multiply(self, rows: int, cols: int, x: Pointer, m: Pointer, y: Pointer, ld: int) -> None: ...
    def standardize(
        self,
        rows: int,
        cols: int,
        x: Pointer,
        ldx: int,
        mean: Pointer,
        scale: Pointer,
        y: Pointer,
        ldy: int,
    ) -> None: ...
    def column_sums(self, rows: int, cols: int, x: Pointer, ld: int, sums: Pointer) -> None: ...
    def penalize(self, n: int, w: Pointer, l1: float, l2: float, g: Pointer) -> float: ...
    def sum_squares(self, n: int, x: Pointer) -> float: ...
    def max_abs(self, n: int, x: Pointer) -> float: ...
    def dropout_mask(
        self,
        rows: int,
        cols: int,
        ld: int,
        first_row: int,
        seed: int,
        stream: int,
        step: int,
        threshold: int,
        scale: float,
        mask: Pointer,
    ) -> None: ...
    def pack(self, rows: int, cols: int, x: Pointer, ld: int, panels: Pointer) -> None: ...
    def unpack(self, rows: int, cols: int, panels: Pointer, x: Pointer, ld: int) -> None: ...
    def transpose(
        self,
        rows: int,
        cols: int,
        panels: Pointer,
        row: int,
        row_count: int,
        panel: int,
        panel_count: int,
        out: Pointer,
    ) -> None: ...
    def accumulate(self, n: int, src: Pointer, dst: Pointer) -> None: ...
    def strip_reduce(self, kind: int, rows: int, x: Pointer, out: Pointer) -> None: ...
    def strip_affine(self, rows: int, scale: Pointer, shift: Pointer, x: Pointer) -> None: ...
    def clamp(self, n: int, low: float, high: float, x: Pointer) -> None: ...
    def exp(self, n: int, x: Pointer, y: Pointer) -> None: ...
    def log(self, n: int, x: Pointer, y: Pointer) -> None: ...
    def tanh(self, n: int, x: Pointer, y: Pointer) -> None: ...
    def erf(self, n: int, x: Pointer, y: Pointer) -> None: ...
    def norm_forward(
        self,
        rows: int,
        cols: int,
        x: Pointer,
        y: Pointer,
        ld: int,
        stats: Pointer,
        centered: bool,
        eps: float,
        gamma: Pointer = None,
        beta: Pointer = None,
    ) -> None: ...
    def norm_backward(
        self,
        rows: int,
        cols: int,
        d: Pointer,
        x: Pointer,
        stats: Pointer,
        dx: Pointer,
        ld: int,
        centered: bool,
        gamma: Pointer = None,
    ) -> None: ...
    def norm_columns(
        self, rows: int, cols: int, d: Pointer, x: Pointer, stats: Pointer, ld: int, sums: Pointer
    ) -> None: ...
    def batch_moments(
        self, rows: int, cols: int, x: Pointer, ld: int, mean: Pointer, variance: Pointer
    ) -> None: ...
    def batch_forward(
        self,
        rows: int,
        cols: int,
        ld: int,
        eps: float,
        mean: Pointer,
        variance: Pointer,
        gamma: Pointer,
        beta: Pointer,
        x: Pointer,
        y: Pointer,
        running: bool = False,
    ) -> None: ...
    def batch_sums(
        self,
        rows: int,
        cols: int,
        ld: int,
        eps: float,
        mean: Pointer,
        variance: Pointer,
        gamma: Pointer,
        beta: Pointer,
        d: Pointer,
        x: Pointer,
        plain: Pointer,
        along: Pointer,
        running: bool = False,
    ) -> None: ...
    def batch_backward(
        self,
        rows: int,
        cols: int,
        ld: int,
        eps: float,
        mean: Pointer,
        variance: Pointer,
        gamma: Pointer,
        beta: Pointer,
        d: Pointer,
        x: Pointer,
        plain: Pointer,
        along: Pointer,
        count: int,
        dx: Pointer,
        running: bool = False,
    ) -> None: ...
    def scale_add(
        self, rows: int, cols: int, factor: float, x: Pointer, ldx: int, y: Pointer, ldy: int
    ) -> None: ...
    def dot(self, n: int, x: Pointer, y: Pointer) -> float: ...
    def gaussian_noise(
        self,
        rows: int,
        cols: int,
        ld: int,
        first_row: int,
        seed: int,
        stream: int,
        step: int,
        std: float,
        x: Pointer,
        y: Pointer,
    ) -> None: ...
    def alpha_dropout(
        self, rows: int, cols: int, x: Pointer, m: Pointer, kept: float, dropped: float, y: Pointer, ld: int
    ) -> None: ...
    def maxout_forward(
        self, rows: int, units: int, pieces: int, x: Pointer, ldx: int, y: Pointer, ldy: int
    ) -> None: ...
    def maxout_backward(
        self, rows: int, units: int, pieces: int, x: Pointer, ldx: int, d: Pointer, ldd: int, dx: Pointer
    ) -> None: ...
    def prelu_forward(
        self, rows: int, cols: int, x: Pointer, slope: Pointer, shared: bool, y: Pointer, ld: int
    ) -> None: ...
    def prelu_backward(
        self,
        rows: int,
        cols: int,
        x: Pointer,
        slope: Pointer,
        shared: bool,
        d: Pointer,
        by_slope: Pointer,
        ld: int,
    ) -> None: ...
