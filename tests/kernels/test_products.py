"""Products of plain arrays in `gradcore.kernels`: the bits of the contract on every way that one can take,
whatever the sizes, strides and threads; packed weights; dense layers in one go."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from gradcore import GradcoreError, _core, errors, kernels
from oracle import exact
from support import cases, run_python

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67)
DEPTHS = (1, 2, 3, 4, 5, 8, 31, 255, 256, 257, 523)


def matrix(shape, dtype, *key):
    return cases.normal(shape, dtype, *key, *shape)


def turned(array):
    """The same numbers in Fortran order."""
    return np.asfortranarray(array)


def scattered(array):
    """The same numbers, apart from each other both ways."""
    room = np.full((2 * len(array), 3 * array.shape[1]), np.nan, array.dtype)
    room[::2, ::3] = array
    return room[::2, ::3]


LAYOUTS = (np.ascontiguousarray, turned, scattered, cases.reversed_rows, cases.padded)


@pytest.mark.parametrize("m", SIZES)
def test_every_size_has_the_bits_of_the_contract(dtype, m):
    """Each way for few rows, few columns, whole panels and what is left of them."""
    for n in SIZES:
        k = DEPTHS[(m + n) % len(DEPTHS)]
        a, b, bias = matrix((m, k), dtype, "a"), matrix((k, n), dtype, "b"), cases.normal(n, dtype, "bias")
        right = exact.gemm(a, b, bias)
        for isa, left in itertools.product(_core.names("isa"), (a, turned(a))):
            for factor in (b, turned(b), kernels.pack(b)):
                assert exact.same_bits(kernels.gemm(left, factor, bias, isa=isa), right), (m, n, k)


@pytest.mark.parametrize("k", DEPTHS)
@pytest.mark.parametrize(("m", "n"), [(1, 40), (40, 1), (2, 3), (3, 2), (9, 35), (19, 4)])
def test_every_depth_and_layout_has_the_bits_of_the_contract(dtype, m, n, k):
    a, b = matrix((m, k), dtype, "a"), matrix((k, n), dtype, "b")
    right = exact.gemm(a, b)
    for isa, left, factor in itertools.product(_core.names("isa"), LAYOUTS, LAYOUTS):
        assert exact.same_bits(kernels.gemm(left(a), factor(b), isa=isa), right)


LARGE = [(301, 97, 143), (1, 1100, 1300), (700, 600, 1), (33, 2048, 70), (520, 40, 300)]


@pytest.mark.parametrize("shape", LARGE)
@pytest.mark.parametrize("layouts", [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)])
def test_large_ones_are_cut_up_without_a_trace(dtype, shape, layouts):
    """Blocks of A copied together, strips of B packed, parts for threads: against the smallest products."""
    m, k, n = shape
    a, b = matrix((m, k), dtype, "a"), matrix((k, n), dtype, "b")
    left, factor = LAYOUTS[layouts[0]](a), LAYOUTS[layouts[1]](b)
    whole = kernels.gemm(left, factor, threads=1)
    for threads in (2, 3, 8):
        assert exact.same_bits(kernels.gemm(left, factor, threads=threads), whole)
    assert exact.same_bits(kernels.gemm(left, kernels.pack(factor), threads=2), whole)
    for row in (0, m // 2, m - 1):
        for cols in (slice(0, 24), slice(max(0, n - 24), n)):
            part = kernels.gemm(a[row : row + 1], np.ascontiguousarray(b[:, cols]))
            assert exact.same_bits(part, whole[row : row + 1, cols].copy())


def test_rows_that_meet_in_few_sets_of_the_caches(isa, dtype):
    """Leading dimensions of 4096 bytes and multiples, for which operands are copied together."""
    width = 4096 // np.dtype(dtype).itemsize
    a = matrix((60, 2 * width), dtype, "a")[:, :300]
    b = matrix((300, width), dtype, "b")[:, :70]
    right = exact.gemm(a, b)
    assert exact.same_bits(kernels.gemm(a, b, isa=isa), right)
    tall = matrix((300, 2 * width), dtype, "t")[:, :60]
    assert exact.same_bits(kernels.gemm(tall.T, b, isa=isa), exact.gemm(np.ascontiguousarray(tall.T), b))


def test_zero_strides(dtype):
    """Broadcast operands."""
    row, column = cases.normal(30, dtype, "row"), cases.normal((40, 1), dtype, "column")
    a, b = np.broadcast_to(row, (40, 30)), np.broadcast_to(cases.normal((30, 1), dtype, "b"), (30, 20))
    assert exact.same_bits(kernels.gemm(a, b), exact.gemm(a.copy(), b.copy()))
    one = np.broadcast_to(column, (40, 30))
    assert exact.same_bits(kernels.gemm(one, b[:, :1]), exact.gemm(one.copy(), b[:, :1].copy()))


def test_misaligned_operands(dtype):
    item = np.dtype(dtype).itemsize
    room = np.zeros(30 * 20 * item + 1, np.uint8)
    b = np.frombuffer(room.data, dtype, 600, 1).reshape(30, 20)
    b[...] = matrix((30, 20), dtype, "b")
    a = matrix((3, 30), dtype, "a")
    assert exact.same_bits(kernels.gemm(a, b), exact.gemm(a, b.copy()))


def test_what_is_no_plain_array(dtype):
    a, b = matrix((3, 4), dtype, "a"), matrix((4, 5), dtype, "b")
    right = kernels.gemm(a, b)

    class Own(np.ndarray):
        pass

    out = np.empty((3, 5), dtype).view(Own)
    assert kernels.gemm(a.view(Own), b, out=out) is out and exact.same_bits(np.asarray(out), right)
    assert exact.same_bits(kernels.gemm(a, b.tolist()), right)
    read_only = a.copy()
    read_only.flags.writeable = False
    assert exact.same_bits(kernels.gemm(read_only, b), right)
    with pytest.raises(errors.DTypeError, match="^b: "):
        kernels.gemm(a, b.astype(b.dtype.newbyteorder()))
    with pytest.raises(errors.ArgumentError, match="^out: .*contiguous"):
        kernels.gemm(a, b, out=np.empty((3, 10), dtype)[:, ::2])


@pytest.mark.parametrize("which", ["a", "b", "bias", "reversed"])
def test_out_may_not_overlap(dtype, which):
    room = np.zeros(200, dtype)
    out = room[40:65].reshape(5, 5)
    a, b, bias = np.ones((5, 5), dtype), np.ones((5, 5), dtype), None
    if which == "a":
        a = room[64:89].reshape(5, 5)
    elif which == "b":
        b = room[16:41].reshape(5, 5).T
    elif which == "bias":
        bias = room[60:65]
    else:
        a = room[60:85].reshape(5, 5)[::-1, ::-1]
    name = "a" if which == "reversed" else which
    with pytest.raises(errors.ArgumentError, match=f"^out: .* {name}, got an overlap"):
        kernels.gemm(a, b, bias, out=out)
    assert not room.any()


def test_out_beside_the_operands(dtype):
    """Memory that touches, and lies between rows of, is refused only where it is in reach."""
    room = np.ones(75, dtype)
    a, out, b = room[:25].reshape(5, 5), room[25:50].reshape(5, 5), room[50:].reshape(5, 5)
    assert kernels.gemm(a, b, out=out) is out and (out == 5).all()


# ---- packed ----


@pytest.mark.parametrize("cols", [1, 2, 4, 5, 16, 40])
def test_a_packed_matrix_is_a_copy(dtype, cols):
    w = matrix((20, cols), dtype, "w")
    right, x = w.copy(), matrix((7, 20), dtype, "x")
    packed = kernels.pack(turned(w))
    w[...] = np.nan
    assert (packed.shape, packed.dtype) == ((20, cols), np.dtype(dtype))
    assert repr(packed) == f"Packed(shape=(20, {cols}), dtype={dtype})"
    for one in (packed, pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed), copy.copy(packed)):
        assert exact.same_bits(one.unpack(), right)
        product = kernels.gemm(x, right)
        assert exact.same_bits(kernels.dense_forward(x, one), product)
        assert exact.same_bits(kernels.gemm(x.tolist() if dtype == "float64" else x, one), product)


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda p: kernels.gemm(np.ones((2, 5)), p), errors.ShapeError, "b"),
        (lambda p: kernels.gemm(np.ones((2, 4), np.float32), p), errors.DTypeError, "b"),
        (lambda p: kernels.dense_forward(np.ones((2, 5)), p), errors.ShapeError, "w"),
        (lambda p: kernels.gemm(p, np.ones((3, 2))), errors.DTypeError, "a"),
        (lambda p: kernels.dense_backward(np.ones((2, 4)), p, np.ones((2, 3))), errors.DTypeError, "w"),
        (lambda p: kernels.pack(p), errors.DTypeError, "w"),
        (lambda p: kernels.pack(np.ones(3)), errors.ShapeError, "w"),
        (lambda p: kernels.pack(np.ones((0, 3))), errors.ShapeError, "w"),
        (lambda p: kernels.pack(np.ones((2, 3), int)), errors.DTypeError, "w"),
        (lambda p: type(p)(np.ones(3)), errors.ShapeError, "w"),
        (lambda p: type(p)(None), errors.DTypeError, "w"),
    ],
)
def test_packed_ones_are_refused_where_they_do_not_fit(call, error, name):
    with pytest.raises(error, match=f"^{name}: "):
        call(kernels.pack(np.ones((4, 3))))


# ---- dense layers ----


@pytest.mark.parametrize("name", _core.names("activation"))
@pytest.mark.parametrize(("rows", "inner", "cols"), [(5, 4, 3), (1, 30, 70), (70, 300, 33), (20, 9, 200)])
def test_a_fused_layer_is_the_product_and_then_the_function(isa, dtype, name, rows, inner, cols, monkeypatch):
    monkeypatch.setenv("GRADCORE_ISA", isa)
    x, w = matrix((rows, inner), dtype, "x"), matrix((inner, cols), dtype, "w")
    b = cases.normal(cols, dtype, "b")
    z = kernels.gemm(x, w, b)
    y = getattr(kernels, name)(z) if name != "identity" else z
    for factor in (w, kernels.pack(w)):
        assert exact.same_bits(kernels.dense_forward(x, factor, b, activation=name), y)
    d_y = matrix((rows, cols), dtype, "d")
    d_z = getattr(kernels, f"{name}_backward")(z, d_y) if name != "identity" else d_y
    right = kernels.dense_backward(x, w, d_z)
    for got, part in zip(kernels.dense_backward(x, w, d_y, activation=name, z=z), right, strict=True):
        assert exact.same_bits(got, part)
    try:
        from_y = kernels.dense_backward(x, w, d_y, activation=name, y=y)
    except errors.ArgumentError as error:
        assert str(error).startswith("y: expected z")
    else:
        assert all(exact.same_bits(got, part) for got, part in zip(from_y, right, strict=True))


def test_alpha_reaches_the_function(dtype):
    x, w = matrix((4, 6), dtype, "x"), matrix((6, 20), dtype, "w")
    z = kernels.gemm(x, w)
    got = kernels.dense_forward(x, w, activation="leaky_relu", alpha=0.3)
    assert exact.same_bits(got, kernels.leaky_relu(z, alpha=0.3))
    assert not exact.same_bits(got, kernels.leaky_relu(z))
    d_y = np.ones_like(z)
    got = kernels.dense_backward(x, w, d_y, activation="leaky_relu", alpha=0.3, z=z)
    right = kernels.dense_backward(x, w, kernels.leaky_relu_backward(z, d_y, alpha=0.3))
    assert all(exact.same_bits(one, two) for one, two in zip(got, right, strict=True))


LAYERS = [(1, 1, 1), (5, 4, 3), (300, 17, 1), (600, 33, 65), (2, 90, 257)]


@pytest.mark.parametrize(("rows", "inner", "cols"), LAYERS)
def test_backward_is_three_products(isa, dtype, rows, inner, cols, monkeypatch):
    monkeypatch.setenv("GRADCORE_ISA", isa)
    x, w = matrix((rows, inner), dtype, "x"), matrix((inner, cols), dtype, "w")
    d_y = matrix((rows, cols), dtype, "d")
    ones = np.ones((1, rows), dtype)
    right = exact.gemm(d_y, w.T.copy()), exact.gemm(x.T.copy(), d_y), exact.gemm(ones, d_y)[0]
    for layout in (np.ascontiguousarray, turned, cases.padded):
        for got, part in zip(kernels.dense_backward(layout(x), layout(w), layout(d_y)), right, strict=True):
            assert exact.same_bits(got, part)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"activation": "no such"}, errors.ArgumentError, "activation"),
        ({"activation": "relu\0"}, errors.ArgumentError, "activation"),
        ({"activation": 3}, errors.DTypeError, "activation"),
        ({"activation": ["relu"]}, errors.DTypeError, "activation"),
        ({"activation": "relu", "alpha": 1.0}, errors.ArgumentError, "alpha"),
        ({"activation": "elu", "alpha": float("nan")}, errors.ArgumentError, "alpha"),
        ({"activation": "elu", "alpha": "1"}, errors.DTypeError, "alpha"),
        ({"alpha": 1.0}, errors.ArgumentError, "alpha"),
    ],
)
def test_wrong_activations_are_refused(options, error, name):
    x, z = np.ones((2, 2)), np.ones((2, 2))
    with pytest.raises(error, match=f"^{name}: "):
        kernels.dense_forward(x, x, **options)
    with pytest.raises(error, match=f"^{name}: "):
        kernels.dense_backward(x, x, x, z=z, **options)


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"activation": "relu"}, errors.ArgumentError, "activation"),
        ({"activation": "relu", "z": 1, "y": 1}, errors.ArgumentError, "activation"),
        ({"z": 1}, errors.ArgumentError, "z"),
        ({"y": 1}, errors.ArgumentError, "y"),
        ({"activation": "relu", "z": [[1.0, 2.0]]}, errors.ShapeError, "z"),
        ({"activation": "relu", "y": np.ones((2, 2), np.float32)}, errors.DTypeError, "y"),
        ({"activation": "gelu", "y": np.ones((2, 2))}, errors.ArgumentError, "y"),
    ],
)
def test_backward_needs_what_its_activation_was_made_from(options, error, name):
    x = np.ones((2, 2))
    with pytest.raises(error, match=f"^{name}: "):
        kernels.dense_backward(x, x, x, **options)


def test_a_refused_call_leaves_its_outputs_alone():
    x, z = np.ones((2, 2)), np.ones((2, 2))
    out = tuple(np.full(shape, 7.0) for shape in ((2, 2), (2, 2), (2,)))
    for options in ({"activation": "gelu", "y": z}, {"activation": "elu", "alpha": -1.0, "z": z}):
        with pytest.raises(GradcoreError):
            kernels.dense_backward(x, x, x, out=out, **options)
    with pytest.raises(GradcoreError):
        kernels.gemm(x, x, isa="mmx", out=out[0])
    assert all((part == 7).all() for part in out)


# ---- around them ----


def test_products_in_several_threads_at_once():
    """Each with memory of its own to work in."""
    a, b = matrix((90, 700), "float32", "a"), matrix((700, 150), "float32", "b")
    right, wrong = kernels.gemm(a, b.T.copy().T), []

    def work():
        for threads in (1, 2, 3) * 4:
            if not exact.same_bits(kernels.gemm(a, turned(b), threads=threads), right):
                wrong.append(threads)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_it_stays_within_its_arrays(isa, dtype):
    run_python(f"import test_products as t; t.run_fenced({isa!r}, {dtype!r})", env={"GRADCORE_ISA": isa})


FENCED = [(1, 1, 1), (1, 9, 5), (2, 7, 33), (3, 4, 70), (9, 5, 3), (33, 6, 1), (17, 19, 17), (35, 260, 20)]


def run_fenced(isa, dtype):
    import test_guard_pages

    for at_end in (True, False):
        fence = test_guard_pages.Fence(at_end, dtype)
        for m, k, n in FENCED:
            x, w, d = fence.normal((m, k), "x"), fence.normal((k, n), "w"), fence.normal((m, n), "d")
            turned_x, turned_w = fence.normal((k, m), "x").T, fence.normal((n, k), "w").T
            out, bias = fence.empty((m, n)), fence.normal(n, "b")
            for left in (x, turned_x):
                for factor in (w, turned_w, kernels.pack(w)):
                    kernels.gemm(left, factor, bias, out=out, isa=isa)
            kernels.dense_forward(x, w, bias, activation="gelu", out=out)
            results = fence.empty((m, k)), fence.empty((k, n)), fence.empty(n)
            kernels.dense_backward(x, w, d, activation="tanh", y=out, out=results)
            kernels.dense_backward(x, turned_w, d, activation="tanh", z=out, out=results)
            fence.maps.clear()
