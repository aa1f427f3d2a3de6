"""What this build of the core has: names with their properties, the bits of options, sizes of tables."""

from libc.stdint cimport int32_t
from libc.string cimport memset

from gradcore._core.checks cimport text, text_from
from gradcore.gradcore cimport *

from gradcore import errors

cdef extern from *:
    """
    #ifndef GRADCORE_PACKAGE_VERSION
    #define GRADCORE_PACKAGE_VERSION "unknown"
    #endif
    """
    const char *GRADCORE_PACKAGE_VERSION

HYPERS = GRADCORE_HYPERS
MOMENTUM = GRADCORE_OPTIMIZER_MOMENTUM
NESTEROV = GRADCORE_OPTIMIZER_NESTEROV
CENTERED = GRADCORE_OPTIMIZER_CENTERED
DECAY_ALL = GRADCORE_DECAY_ALL
LR_IN_MOMENTUM = GRADCORE_OPTIMIZER_LR_IN_MOMENTUM
EPS_INSIDE = GRADCORE_OPTIMIZER_EPS_INSIDE
AMSGRAD = GRADCORE_OPTIMIZER_AMSGRAD
EPS_HAT = GRADCORE_OPTIMIZER_EPS_HAT
MAXIMIZE = GRADCORE_OPTIMIZER_MAXIMIZE
DECOUPLED = GRADCORE_OPTIMIZER_DECOUPLED
CONSTANT_MOMENTUM = GRADCORE_OPTIMIZER_CONSTANT_MOMENTUM
TRUST_CLIP = GRADCORE_OPTIMIZER_TRUST_CLIP
DECAY_IN_NORM = GRADCORE_OPTIMIZER_DECAY_IN_NORM
SAFEGUARD = GRADCORE_OPTIMIZER_SAFEGUARD
CLIPPED = GRADCORE_OPTIMIZER_CLIPPED
CORRECTED = GRADCORE_OPTIMIZER_CORRECTED
UNCLAMPED = GRADCORE_OPTIMIZER_UNCLAMPED
SLOTS = GRADCORE_SLOTS
RUNNING = GRADCORE_RUNNING


def build_info():
    cdef gradcore_build_info info
    memset(&info, 0, sizeof(info))
    info.size = sizeof(info)
    gradcore_get_build_info(&info)
    return {
        "version": text_from(GRADCORE_PACKAGE_VERSION), "openmp": info.openmp,
        "compiler": text_from(info.compiler), "flags": text_from(info.flags), "isa": text_from(info.isa),
        "isa_reason": text_from(info.isa_reason), "threads": info.threads,
        "threads_reason": text_from(info.threads_reason),
    }


cdef list listed(const char *family):
    cdef list found = []
    cdef const char *name = gradcore_list(family, 0)
    while name is not NULL:
        found.append(text_from(name))
        name = gradcore_list(family, <int32_t>len(found))
    return found


def names(family):
    cdef list keep = []
    cdef list found = listed(text(family, "family", keep))
    if not found:
        raise errors.ArgumentError(
            f"family: expected 'activation', 'loss', 'optimizer', 'layer' or 'isa', got {family!r}"
        )
    return found


def describe(family, name, prop):
    cdef list keep = []
    cdef const char *found = gradcore_describe(text(family, "family", keep), text(name, "name", keep),
                                               text(prop, "prop", keep))
    return None if found is NULL else text_from(found)
