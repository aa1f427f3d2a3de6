"""Dense neural networks on the CPU: fast, and bit for bit the same for any number of threads."""

from . import alerts, errors
from ._core import build_info, names
from .alerts import GradcoreWarning, SetupWarning
from .errors import (
    ArgumentError,
    BusyError,
    DependencyError,
    DTypeError,
    FileError,
    FormatError,
    GradcoreError,
    MemoryLimitError,
    NonFiniteError,
    NotFoundError,
    ShapeError,
    StateError,
)
from .lazy import add, by_table

# What users find on a lower floor than the one where it lives.
add("gradcore.initializers", "gradcore.network.whole_network_init")
add("gradcore.optimizers", "gradcore.second_order.*")

__getattr__, __dir__ = by_table(
    __name__,
    [*errors.__all__, *alerts.__all__, "build_info", "names"],
    {
        "gradcore.callbacks": (),
        "gradcore.clipping": (),
        "gradcore.datasets": (),
        "gradcore.health": (),
        "gradcore.history": ("History",),
        "gradcore.initializers": (),
        "gradcore.kernels": (),
        "gradcore.layers": None,
        "gradcore.losses": (),
        "gradcore.network": ("Network",),
        "gradcore.optimizers": (),
        "gradcore.pruning": (),
        "gradcore.schedules": (),
        "gradcore.search": (),
        "gradcore.trainer": ("Trainer",),
    },
)

__version__: str = build_info()["version"]
