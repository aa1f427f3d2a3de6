"""What this build of the core has: names with their properties, the bits of options, sizes of tables."""

from libc.stdint cimport int32_t, int64_t
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

cdef extern from "constants.h":
    ctypedef struct gradcore_constant "struct gradcore_constant":
        const char *name
        int64_t value
    const gradcore_constant gradcore_constants[]


# The enumerators of the C headers whose names begin so, without that: {"momentum": 1, ...} of "GRADCORE_OPTIMIZER_".
def constants(str prefix):
    cdef const gradcore_constant *row = gradcore_constants
    cdef dict found = {}
    while row.name is not NULL:
        name = text_from(row.name)
        if name.startswith(prefix):
            found[name[len(prefix):].lower()] = row.value
        row += 1
    return found


HYPERS, LR, WEIGHT_DECAY, CLIP = GRADCORE_HYPERS, GRADCORE_LR, GRADCORE_WEIGHT_DECAY, GRADCORE_CLIP
OWN, AVERAGE = GRADCORE_OWN, GRADCORE_AVERAGE
SLOTS, RUNNING, AVERAGES = GRADCORE_SLOTS, GRADCORE_RUNNING, GRADCORE_AVERAGES
MOST_HEADS, HEAD_NAME = GRADCORE_MOST_HEADS, GRADCORE_HEAD_NAME
DECAY_ALL = GRADCORE_DECAY_ALL
OPTIMIZER_OPTIONS = {name: bit for name, bit in constants("GRADCORE_OPTIMIZER_").items() if bit & (bit - 1) == 0}


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
