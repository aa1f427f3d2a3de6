"""The binding to the C core: arrays in, status out. No policy; every argument is checked here or in C.

Each module is an extension that calls the C functions of others and of libgradcore; its stub (.pyi) has the
contracts. It is imported when one of its names is first asked for.

Errors raised: the classes of gradcore.errors, one per gradcore_status. Arrays that are written to (`out`)
must be C-contiguous, aligned, writable, native byte order, of the network's dtype. Input arrays of that
dtype may have any row stride as long as columns are contiguous; others are refused with DTypeError or
ShapeError (the Python layer converts before it calls).
"""

from ..lazy import by_table

_NAMES = {
    "gradcore._core.arrays": ("all_finite", "plain_labels", "plain_targets"),
    "gradcore._core.files": ("decode", "encode", "load_file", "save_file"),
    "gradcore._core.kernels": (
        "activation",
        "activation_backward",
        "activation_forward",
        "loss",
        "loss_of",
        "softmax",
    ),
    "gradcore._core.network": ("CoreNetwork", "Steps"),
    "gradcore._core.passes": ("Pass",),
    "gradcore._core.products": ("Packed", "dense_backward", "gemm", "product"),
    "gradcore._core.random": ("fill", "shuffle"),
    "gradcore._core.registry": (
        *("build_info", "constants", "describe", "names"),
        *("AVERAGE", "AVERAGES", "CLIP", "DECAY_ALL", "HEAD_NAME", "HYPERS", "LR", "MOST_HEADS"),
        *("OPTIMIZER_OPTIONS", "OWN", "RUNNING", "SLOTS", "WEIGHT_DECAY"),
    ),
    "gradcore._core.trainer": ("REPORT_DTYPE", "CoreTrainer", "add_reports"),
    "gradcore._core.updates": (
        "UpdateAgain",
        "average",
        "optimizer_slots",
        "optimizer_step",
        "optimizer_update",
    ),
}
__getattr__, __dir__ = by_table(__name__, (), _NAMES)
