# Part of _core.pyx: status -> exception, and the checks of every argument.

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


# The one way from a status to an exception. Callers clear error.message[0] before the call.
cdef inline int check(gradcore_status status, gradcore_error *error) except -1:
    if status != GRADCORE_OK:
        return fail(status, error)
    return 0


# ---- Scalars and strings ----

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


# A C string that lives as long as `keep`.
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


# ---- Arrays ----

# A matrix argument as C takes it; stride in elements.
cdef struct Matrix:
    void *data
    int64_t rows
    int64_t stride


cdef str dtype_name(int typenum):
    return str(cnp.PyArray_DescrFromType(typenum))


cdef int refuse_dtype(object value, str name, str wanted) except -1:
    note = ""
    if isinstance(value, np.ndarray):
        if not value.flags.aligned:
            note = ", not aligned"
        elif not value.dtype.isnative:
            note = ", not in native byte order"
    raise errors.DTypeError(f"{name}: expected {wanted}, got {shown(value)}{note}")


cdef int refuse_shape(object value, str name, str wanted) except -1:
    raise errors.ShapeError(f"{name}: expected {wanted}, got {shown(value)}, strides {value.strides}")


cdef inline bint has_type(object value, int typenum) noexcept:
    return (cnp.PyArray_Check(value) and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>value)
            and (cnp.PyArray_TYPE(<cnp.ndarray>value) == typenum
                 or cnp.PyArray_EquivTypenums(cnp.PyArray_TYPE(<cnp.ndarray>value), typenum)))


# value must be a (rows, cols) array, rows >= 1, whose columns are contiguous and whose rows advance by
# whole elements, not backwards. A single row or column may have any stride: NumPy gives it no meaning.
cdef int matrix(object value, str name, int typenum, int64_t cols, Matrix *out) except -1:
    cdef cnp.ndarray array
    cdef cnp.npy_intp item, stride
    if not has_type(value, typenum):
        return refuse_dtype(value, name, f"a {dtype_name(typenum)} array of shape (rows, {cols})")
    array = <cnp.ndarray>value
    item = cnp.PyArray_ITEMSIZE(array)
    if (cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_DIMS(array)[1] != cols
            or cnp.PyArray_DIMS(array)[0] < 1):
        return refuse_shape(value, name, f"shape (rows, {cols}) with at least one row")
    out.data = cnp.PyArray_DATA(array)
    out.rows = cnp.PyArray_DIMS(array)[0]
    out.stride = cols
    if cols > 1 and cnp.PyArray_STRIDES(array)[1] != item:
        return refuse_shape(value, name, "contiguous columns")
    if out.rows > 1:
        stride = cnp.PyArray_STRIDES(array)[0]
        if stride < 0 or stride % item != 0:
            return refuse_shape(value, name, f"a row stride that is a non-negative multiple of {item} bytes")
        out.stride = stride // item
    return 0


# The data of a C-contiguous array of exactly this shape; dims is (rows), (rows, cols) ... by ndim.
cdef void *exact(object value, str name, int typenum, int ndim, const cnp.npy_intp *dims,
                 bint writable) except? NULL:
    cdef cnp.ndarray array
    cdef int i
    cdef bint fits
    if not has_type(value, typenum):
        refuse_dtype(value, name, f"a {dtype_name(typenum)} array")
    array = <cnp.ndarray>value
    fits = cnp.PyArray_NDIM(array) == ndim
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIMS(array)[i] == dims[i]
    if not fits or not cnp.PyArray_ISCARRAY_RO(array):
        wanted = ", ".join([str(dims[i]) for i in range(ndim)])
        refuse_shape(value, name, f"shape ({wanted}{',' if ndim == 1 else ''}), C-contiguous")
    if writable and not cnp.PyArray_ISWRITEABLE(array):
        raise errors.ArgumentError(f"{name}: expected a writable array, got a read-only one")
    return cnp.PyArray_DATA(array)


cdef inline void *vector(object value, str name, int typenum, cnp.npy_intp n) except? NULL:
    if (has_type(value, typenum) and cnp.PyArray_NDIM(<cnp.ndarray>value) == 1
            and cnp.PyArray_DIMS(<cnp.ndarray>value)[0] == n
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>value)):
        return cnp.PyArray_DATA(<cnp.ndarray>value)
    return exact(value, name, typenum, 1, &n, False)


# Rates of scheduled layers, (steps, layers).
cdef const double *rates_from(object value) except NULL:
    cdef cnp.npy_intp dims[2]
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        refuse_dtype(value, "rates", "a float64 array of shape (steps, layers)")
    dims[0], dims[1] = value.shape[0], value.shape[1]
    if dims[0] == 0:
        refuse_shape(value, "rates", "at least one step")
    return <const double *>exact(value, "rates", cnp.NPY_FLOAT64, 2, dims, False)


# The number of the element type of a C-contiguous float32 or float64 array, or an error.
cdef int float_type(object value, str name) except -1:
    cdef int typenum
    for typenum in (cnp.NPY_FLOAT32, cnp.NPY_FLOAT64):
        if has_type(value, typenum):
            return typenum
    return refuse_dtype(value, name, "a float32 or float64 array")


cdef inline int c_dtype(int typenum) noexcept:
    return GRADCORE_FLOAT32 if typenum == cnp.NPY_FLOAT32 else GRADCORE_FLOAT64


# An uninitialised C-contiguous array; ndim 1 has `cols` elements.
cdef cnp.ndarray empty(int typenum, int ndim, int64_t rows, int64_t cols):
    cdef cnp.npy_intp dims[2]
    if ndim == 1:
        dims[0] = cols
    else:
        dims[0] = rows
        dims[1] = cols
    try:
        return cnp.PyArray_EMPTY(ndim, dims, typenum, 0)
    except (MemoryError, ValueError):
        raise errors.MemoryLimitError(f"no memory for an array of {rows} rows and {cols} columns") from None


cdef cnp.ndarray empty_like(object value, int typenum):
    cdef cnp.ndarray array = value
    try:
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), typenum, 0)
    except MemoryError:
        raise errors.MemoryLimitError(f"no memory for an array of shape {value.shape}") from None


cdef void *calloc_or_raise(size_t count, size_t size) except NULL:
    cdef void *memory = calloc(count + 1, size)
    if memory is NULL:
        raise errors.MemoryLimitError(f"no memory for {count} descriptions")
    return memory


cdef inline bint overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes) noexcept:
    return <uintptr_t>a < <uintptr_t>b + b_bytes and <uintptr_t>b < <uintptr_t>a + a_bytes


# The columns of a loss's target for so many outputs; 0 where it takes labels.
cdef int64_t target_columns(const char *loss, int64_t outputs, const gradcore_loss_options *options) except -1:
    cdef const char *target = gradcore_describe("loss", loss, "target")
    if target is NULL:
        raise errors.ArgumentError(f"loss: expected one of {', '.join(names('loss'))}, got {text_from(loss)!r}")
    if target[0] == b"l":
        return outputs if options.flags & GRADCORE_LOSS_PROBABILITIES else 0
    return max(1, outputs // 2) if target[0] == b"h" else outputs


# LossOptions, a dict of _core.pyi, as C takes them; `keep` holds what they point at. None: the defaults.
cdef int set_loss_options(object value, list keep, gradcore_loss_options *out) except -1:
    cdef cnp.ndarray vector_array
    cdef int i
    memset(out, 0, sizeof(gradcore_loss_options))
    out.size = sizeof(gradcore_loss_options)
    for i in range(GRADCORE_LOSS_PARAMETERS):
        out.parameters[i] = NAN
    if value is None:
        return 0
    if not isinstance(value, dict) or value.keys() - {"parameters", "flags", "vector", "ignore_index"}:
        raise errors.DTypeError(
            f"options: expected a dict of parameters, flags, vector and ignore_index, got {shown(value)}")
    parameters = value.get("parameters", ())
    if not isinstance(parameters, (tuple, list)) or len(parameters) > GRADCORE_LOSS_PARAMETERS:
        raise errors.DTypeError(
            f"parameters: expected at most {GRADCORE_LOSS_PARAMETERS} numbers, got {shown(parameters)}")
    for i, parameter in enumerate(parameters):
        out.parameters[i] = real(parameter, f"parameters[{i}]")
    out.flags = integer(value.get("flags", 0), "flags", 0, UINT32_MAX)
    out.ignore_index = integer(value.get("ignore_index", 0), "ignore_index", INT32_MIN, INT32_MAX)
    if value.get("vector") is not None:
        source = value["vector"]
        if not has_type(source, cnp.NPY_FLOAT64) or source.ndim != 1:
            refuse_dtype(source, "vector", "a float64 array of one dimension")
        keep.append(source)
        out.vector = <const double *>vector(source, "vector", cnp.NPY_FLOAT64, len(source))
        out.vector_size = len(source)
    return 0


# x, target (of so many columns; 0: labels) and weight of a data set or batch, as C takes them.
cdef int data_from(Network network, int64_t columns, object x, object target, object weight,
                   gradcore_data *out) except -1:
    cdef Matrix m
    matrix(x, "x", network.typenum, network.inputs, &m)
    out.size = sizeof(gradcore_data)
    out.reserved = 0
    out.x = m.data
    out.x_stride = m.stride
    out.rows = m.rows
    if columns < 0:
        out.target = NULL
        out.target_stride = 0
    elif columns == 0:
        out.target = vector(target, "target", cnp.NPY_INT32, out.rows)
        out.target_stride = 1
    else:
        matrix(target, "target", network.typenum, columns, &m)
        if m.rows != out.rows:
            return refuse_shape(target, "target", f"shape ({out.rows}, {columns})")
        out.target = m.data
        out.target_stride = m.stride
    out.weight = NULL
    if weight is not None:
        out.weight = <const double *>vector(weight, "weight", cnp.NPY_FLOAT64, out.rows)
    return 0
