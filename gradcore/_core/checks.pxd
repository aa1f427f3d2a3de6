from libc.stdint cimport int64_t, uint64_t

from gradcore.gradcore cimport GRADCORE_OK, gradcore_error, gradcore_status

cdef int fail(gradcore_status status, gradcore_error *error) except -1


# The one way from a status to an exception. Callers clear error.message[0] before the call.
cdef inline int check(gradcore_status status, gradcore_error *error) except -1:
    if status != GRADCORE_OK:
        return fail(status, error)
    return 0

# A value as messages show it.
cdef str shown(object value)
# Arguments: `name` is for the message. A text lives as long as `keep`.
cdef int64_t integer(object value, str name, object low, object high) except? -1
cdef uint64_t unsigned64(object value, str name) except? 0
cdef double real(object value, str name) except? -1.0
cdef int truth(object value, str name) except -1
cdef const char *text(object value, str name, list keep) except NULL
cdef const char *optional_text(object value, str name, list keep) except? NULL

cdef str text_from(const char *value)
# Room for one more than `count`, zeroed.
cdef void *calloc_or_raise(size_t count, size_t size) except NULL
