"""What this build of the core has: names with their properties, the bits of options, sizes of tables."""

from typing import TypedDict

class BuildInfo(TypedDict):
    version: str
    openmp: int
    compiler: str
    flags: str
    isa: str
    isa_reason: str
    threads: int
    threads_reason: str

def build_info() -> BuildInfo: ...
def names(family: str) -> list[str]: ...  # "activation", "loss", "optimizer", "layer", "isa"
def describe(family: str, name: str, prop: str) -> str | None: ...

HYPERS: int  # 16: lr, weight_decay, clip, then the optimizer's own in the order of describe()
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
