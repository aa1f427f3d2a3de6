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

# Columns of the HYPERS hyperparameters: those of every optimizer, from OWN on its own in the order of
# describe(), from AVERAGE on those of what is around it.
HYPERS: int
LR: int
WEIGHT_DECAY: int
CLIP: int
OWN: int
AVERAGE: int

SLOTS: int  # state arrays that an optimizer may have
RUNNING: int  # numbers that it may keep
AVERAGES: int  # averages that may be around it
MOST_HEADS: int
HEAD_NAME: int  # characters of a head's name

# Bits by name: GRADCORE_OPTIMIZER_NESTEROV is OPTIMIZER_OPTIONS["nesterov"].
OPTIMIZER_OPTIONS: dict[str, int]
DECAY_ALL: int  # one more of an optimizer's: weight decay on biases too

# Every enumerator of the C headers whose name begins so, without that and in lower case:
def constants(prefix: str) -> dict[str, int]: ...
