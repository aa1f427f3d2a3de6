"""Statuses of the core as exceptions; numbers and texts of Python as C takes them. Nothing here is for Python."""

import operator

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport UINT64_MAX
from libc.stdlib cimport calloc
from libc.string cimport strlen

from gradcore.gradcore cimport *

import numpy as np

from gradcore import errors

cdef dict ERRORS = {
    GRADCORE_INVALID: errors.ArgumentError,
    GRADCORE_SHAPE: errors.ShapeError,
    GRADCORE_NO_MEMORY: errors.MemoryLimitError,
    GRADCORE_BUSY: errors.BusyError,
    GRADCORE_NONFINITE: errors.NonFiniteError,
    GRADCORE_NOT_FOUND: errors.NotFoundError,
    GRADCORE_IO: errors.FileError,
    GRADCORE_FORMAT: errors.FormatError,
    GRADCORE_STATE: errors.StateError,
}


cdef int fail(gradcore_status status, gradcore_error *error) except -1:
    cdef object message = text_from(error.message) or f"the call failed with status {<int>status}"
    if status == GRADCORE_BUSY:
        message += "; clone() of a network makes a copy of your own"
    raise ERRORS.get(<int>status, errors.GradcoreError)(message)


cdef str shown(object value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)[:80]
    return type(value).__name__


cdef int64_t integer(object value, str name, object low, object high) except? -1:
    if type(value) is int and low <= value <= high:
        return value
    try:
        number = operator.index(value)
    except TypeError:
        raise errors.DTypeError(f"{name}: expected an integer, got {shown(value)}") from None
    if not low <= number <= high:
        raise errors.ArgumentError(f"{name}: expected an integer from {low} to {high}, got {shown(number)}")
    return number


cdef uint64_t unsigned64(object value, str name) except? 0:
    try:
        number = operator.index(value)
    except TypeError:
        raise errors.DTypeError(f"{name}: expected an integer, got {shown(value)}") from None
    if not 0 <= number <= UINT64_MAX:
        raise errors.ArgumentError(f"{name}: expected an integer from 0 to 2**64 - 1, got {shown(number)}")
    return number


cdef double real(object value, str name) except? -1.0:
    try:
        return float(value) if not isinstance(value, str) else <double>value
    except (TypeError, ValueError):
        raise errors.DTypeError(f"{name}: expected a number, got {shown(value)}") from None
    except OverflowError:
        raise errors.ArgumentError(f"{name}: expected a number that fits a float, got one too large") from None


cdef int truth(object value, str name) except -1:
    if not isinstance(value, (bool, np.bool_, int)):
        raise errors.DTypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


cdef const char *text(object value, str name, list keep) except NULL:
    cdef bytes encoded
    if not isinstance(value, str):
        raise errors.DTypeError(f"{name}: expected a string, got {shown(value)}")
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise errors.ArgumentError(f"{name}: expected text that UTF-8 can hold, got {value!a}") from None
    if b"\0" in encoded:
        raise errors.ArgumentError(f"{name}: expected text without NUL characters, got {value!r}")
    keep.append(encoded)
    return <const char *>encoded


cdef const char *optional_text(object value, str name, list keep) except? NULL:
    if value is None:
        return NULL
    return text(value, name, keep)


cdef str text_from(const char *value):
    return "" if value is NULL else PyUnicode_DecodeUTF8(value, strlen(value), "replace")


cdef void *calloc_or_raise(size_t count, size_t size) except NULL:
    cdef void *memory = calloc(count + 1, size)
    if memory is NULL:
        raise errors.MemoryLimitError(f"no memory for {count} descriptions")
    return memory
