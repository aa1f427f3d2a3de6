"""Functions of plain arrays on several threads: the bits of one, whatever the size and place of arrays."""

import numpy as np
import pytest
from gradcore import _core, errors, kernels

DTYPES = ("float32", "float64")
THREADS = (2, 3, 5, 8)
# Around vectors, ranges (1,024 elements) and the sizes from which work is shared.
SIZES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 1023, 1024, 1025, 2053, 8191, 8192, 8193, 40961, 300007)
NAMES = list(_core.names("activation"))
VALUES = [name for name in _core.names("loss") if name not in ("cross_entropy", "focal")]
LABELS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def numbers(size, dtype, seed=1):
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "identity"])
def test_activations_have_the_bits_of_one_thread_at_every_size(name, dtype):
    forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
    for size in SIZES:
        x, d = numbers(size, dtype), numbers(size, dtype, 2)
        y, d_x = forward(x, threads=1), backward(x, d, threads=1)
        assert same(forward(x), y) and same(backward(x, d), d_x)
        for threads in THREADS:
            assert same(forward(x, threads=threads), y) and same(backward(x, d, threads=threads), d_x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_activation_has_the_bits_of_its_elements_alone(name, dtype):
    forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
    x, d = numbers(5003, dtype), numbers(5003, dtype, 2)
    y, d_x = forward(x, threads=3), backward(x, d, threads=3)
    for at in (0, 1, 1023, 1024, 2048, 5002):
        assert same(forward(x[at : at + 1].copy()), y[at : at + 1])
        assert same(backward(x[at : at + 1].copy(), d[at : at + 1].copy()), d_x[at : at + 1])


def test_backward_is_what_the_training_step_makes_of_forward():
    x, d = numbers(700, "float64"), numbers(700, "float64", 2)
    assert np.allclose(kernels.tanh_backward(x, d), d * (1 - np.tanh(x) ** 2), rtol=1e-12, atol=1e-14)
    assert (kernels.relu_backward(x, d) == d * (x > 0)).all()


@pytest.mark.parametrize("threads", (None, 1, 4))
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_take_arrays_of_every_kind(dtype, threads):
    x, d = numbers((90, 140), dtype), numbers((90, 140), dtype, 2)
    y, d_x = kernels.silu(x), kernels.silu_backward(x, d)
    strided = np.zeros((180, 280), dtype)[::2, ::2]
    strided[:] = x
    packed = np.zeros(x.nbytes + 1, np.uint8)[1:].view(dtype).reshape(x.shape)
    packed[:] = x
    fixed = x.copy()
    fixed.flags.writeable = False
    for other in (strided, packed, fixed, np.asfortranarray(x)):
        assert same(kernels.silu(other, threads=threads), y)
        assert same(kernels.silu_backward(other, d, threads=threads), d_x)
        assert same(kernels.silu_backward(x, np.array(d), threads=threads), d_x)
    for over in (x.copy(), d.copy()):
        source = over.copy()
        assert kernels.silu(over, out=over, threads=threads) is over
        assert same(over, kernels.silu(source))
    grad = d.copy()
    assert kernels.silu_backward(x, grad, out=grad, threads=threads) is grad and same(grad, d_x)
    assert kernels.silu(np.float32(1).reshape(())).shape == ()
    assert kernels.silu(np.empty((0, 3), dtype), threads=threads).shape == (0, 3)
    with pytest.raises(errors.ArgumentError, match="out"):
        kernels.silu_backward(x, d, out=x, threads=threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", (1, 2, 5, 8, 16, 17, 100, 256, 257, 600))
def test_softmax_has_the_bits_of_a_row_alone(cols, dtype):
    for rows in (1, 7, 8, 9, 16, 33, 515):
        z = numbers((rows, cols), dtype)
        y = kernels.softmax(z)
        powers = np.exp(z.astype(np.float64) - z.max(1, keepdims=True))
        assert np.allclose(y, powers / powers.sum(1, keepdims=True), rtol=200 * np.finfo(dtype).eps, atol=0)
        assert all(same(kernels.softmax(z, threads=threads), y) for threads in (1, *THREADS))
        assert same(kernels.softmax(z[rows // 2 : rows // 2 + 1].copy()), y[rows // 2 : rows // 2 + 1])
        assert kernels.softmax(z, out=z) is z and same(z, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (9, 17), (8, 256), (20, 257), (31, 600)])
def test_softmax_adds_powers_as_a_product_with_ones_does(shape, dtype):
    z = 5 * numbers(shape, dtype)
    powers = kernels.exponential(z - z.max(1, keepdims=True))
    right = powers / kernels.gemm(powers, np.ones((shape[1], 1), dtype))
    assert same(kernels.softmax(z), right)


def test_softmax_of_rows_without_one():
    z = np.zeros((9, 5), np.float32)
    z[0, 1], z[1, 2], z[2], z[3, 0] = np.nan, np.inf, -np.inf, -np.inf
    y = kernels.softmax(z)
    assert np.isnan(y[:3]).all() and y[3].tolist() == [0, 0.25, 0.25, 0.25, 0.25] and (y[4:] == 0.2).all()


def test_softmax_writes_over_a_part_of_its_argument():
    long = numbers(120, "float32")
    right = kernels.softmax(long[:100].reshape(10, 10).copy())
    assert same(kernels.softmax(long[:100].reshape(10, 10), out=long[10:110].reshape(10, 10)), right)
    with pytest.raises(errors.ShapeError, match="out"):
        kernels.softmax(np.ones((2, 3)), out=np.ones((3, 2)))


def cases(name, rows, cols, dtype):
    """z, and a target that the loss takes."""
    rng = np.random.default_rng(7)
    z = (2 * rng.standard_normal((rows, cols))).astype(dtype)
    if name in ("cross_entropy", "focal"):
        return z, rng.integers(0, cols, rows)
    if name in ("hinge", "squared_hinge", "binary_focal"):
        return z, rng.integers(0, 2, (rows, cols)).astype(dtype)
    target = rng.random((rows, cols // 2 if name == "gaussian_nll" else cols)).astype(dtype)
    return z, target / target.sum(1, keepdims=True, dtype=dtype) if name == "kl_divergence" else target


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", _core.names("loss"))
def test_losses_have_the_bits_of_one_thread_and_of_a_row_alone(name, dtype):
    function = getattr(kernels, name)
    for rows, cols in ((1, 2), (15, 6), (16, 16), (17, 18), (65, 34), (257, 10), (2048, 20), (130, 1000)):
        z, target = cases(name, rows, cols, dtype)
        losses, d = function(z, target, gradient=True, threads=1)
        assert same(function(z, target), losses)
        for threads in THREADS:
            found = function(z, target, gradient=True, threads=threads)
            assert same(found[0], losses) and same(found[1], d)
            assert same(function(z, target, threads=threads), losses)
        last = slice(rows - 1, rows)
        assert same(function(z[last].copy(), target[last].copy()), losses[last])
        over, out = z.copy(), np.empty(rows)
        got = function(over, target, gradient=True, out=(out, over))
        assert got[0] is out and got[1] is over and same(out, losses) and same(over, d)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("name", ("cross_entropy", "focal"))
def test_labels_of_every_integer_type_and_stride(name, kind):
    function = getattr(kernels, name)
    for rows in (1, 2, 63, 64, 65, 700):
        z, labels = cases(name, rows, 11, "float32")
        losses, d = function(z, labels.astype(np.int32), gradient=True)
        table = np.zeros((rows, 3), kind)
        table[:, 1] = labels
        backwards = labels[::-1].astype(kind)[::-1]
        unaligned = np.zeros(rows * table.itemsize + 1, np.uint8)[1:].view(kind)
        unaligned[:] = labels
        swapped = labels.astype(np.dtype(kind).newbyteorder())
        read_only = labels.astype(kind)
        read_only.flags.writeable = False
        for target in (read_only, table[:, 1], table[:, 1:2], backwards, unaligned, swapped):
            found = function(z, target, gradient=True, threads=None if rows > 64 else 3)
            assert same(found[0], losses) and same(found[1], d)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(kind, wrong) for kind in LABELS for wrong in (-1, 3, 100, 2**32, 2**63, -(2**63))
     if np.iinfo(kind).min <= wrong <= np.iinfo(kind).max],
)  # fmt: skip
@pytest.mark.parametrize("options", ({}, {"label_smoothing": 0.1}, {"threads": 2}))
def test_labels_out_of_range_are_refused_by_name_and_place(kind, wrong, options):
    z, labels, out = numbers((70, 3), "float64"), np.zeros(70, kind), np.full(70, 5.0)
    labels[66] = wrong
    with pytest.raises(errors.ArgumentError, match=rf"target: .*0\.\.2, got {wrong} at \[66\]"):
        kernels.cross_entropy(z, labels, out=out, **options)
    assert (out == 5).all()


def test_ignored_labels_of_another_type():
    z, labels = numbers((40, 4), "float32"), np.arange(40) % 4
    labels[::3] = -100
    right = kernels.cross_entropy(z, labels.astype(np.int32), gradient=True, ignore_index=-100)
    for kind in ("int8", "int16", "int64"):
        found = kernels.cross_entropy(z, labels.astype(kind), gradient=True, ignore_index=-100, threads=3)
        assert same(found[0], right[0]) and same(found[1], right[1])
    assert not right[0][::3].any() and not right[1][::3].any() and right[0][1] > 0
    with pytest.raises(errors.ArgumentError, match="target"):
        kernels.cross_entropy(z, labels)


@pytest.mark.parametrize("name", VALUES)
def test_values_that_a_loss_is_not_made_for_are_refused_at_every_place(name):
    bounded = {"binary_cross_entropy": 1.5, "poisson": -0.5, "binary_focal": 0.5, "hinge": 0.5,
               "squared_hinge": 0.5}  # fmt: skip
    for rows, cols in ((1, 2), (9, 6), (40, 34)):
        z, target = cases(name, rows, cols, "float32")
        for at in (0, target.size // 2, target.size - 1):
            spoiled = target.copy()
            spoiled.flat[at] = bounded.get(name, -1.0 if name == "kl_divergence" else 7.0)
            if name in (*bounded, "kl_divergence"):
                with pytest.raises(errors.ArgumentError, match="target"):
                    getattr(kernels, name)(z, spoiled)
            else:
                assert (getattr(kernels, name)(z, spoiled) != getattr(kernels, name)(z, target)).sum() == 1
            spoiled.flat[at] = np.nan
            if name in (*bounded, "kl_divergence"):
                with pytest.raises(errors.ArgumentError, match="target"):
                    getattr(kernels, name)(z, spoiled)


def test_hinge_takes_signs_and_bits_but_no_mixture():
    z = numbers((3, 2), "float32")
    bits = np.array([[0, 1], [1, 1], [0, 0]], np.float32)
    assert same(kernels.hinge(z, bits), kernels.hinge(z, 2 * bits - 1))
    with pytest.raises(errors.ArgumentError, match="target"):
        kernels.hinge(z, np.array([[0, 1], [-1, 1], [0, 0]], np.float32))


def test_losses_write_over_what_overlaps_in_part():
    z, labels = numbers((6, 4), "float64"), np.arange(6) % 4
    right = kernels.cross_entropy(z, labels, gradient=True)
    out = z.reshape(-1)[:6]
    assert same(kernels.cross_entropy(z, labels, out=out), right[0])
    long = np.concatenate([numbers((6, 4), "float64").ravel(), np.zeros(4)])
    out = (None, long[4:].reshape(6, 4))
    found = kernels.cross_entropy(long[:24].reshape(6, 4), labels, gradient=True, out=out)
    assert same(found[0], right[0]) and same(found[1], right[1])


@pytest.mark.parametrize("threads", (0, -1, 1025, 2.0, "2", True))
@pytest.mark.parametrize(
    "call",
    [
        lambda **options: kernels.relu(np.ones(3), **options),
        lambda **options: kernels.relu_backward(np.ones(3), np.ones(3), **options),
        lambda **options: kernels.softmax(np.ones((2, 3)), **options),
        lambda **options: kernels.mse(np.ones((2, 3)), np.ones((2, 3)), **options),
    ],
)
def test_threads_are_checked(call, threads):
    kind = errors.ArgumentError if type(threads) is int else errors.DTypeError
    with pytest.raises(kind, match="threads"):
        call(threads=threads)


OPTIMIZERS = sorted(set(_core.names("optimizer")) - {"muon", "soap"})


def updated(name, dtype, threads, sizes=(1, 1023, 1025, 9001, 70001)):
    """All that three updates of some arrays make."""
    words = _core.describe("optimizer", name, "hyperparameters").split()
    own = {"beta1": 0.9, "beta2": 0.99, "beta3": 0.9, "momentum": 0.9, "alpha": 0.9, "rho": 0.9, "eps": 1e-6,
           "eps_root": 1e-9, "shrink": 0.5, "grow": 1.2, "smallest": 1e-6, "largest": 1.0, "initial": 1e-3,
           "coefficient": 1.0, "trust": 0.01, "power": 1.0, "lr_power": 2.0}  # fmt: skip
    hypers = np.zeros(_core.HYPERS)
    hypers[0], hypers[1] = 1e-3, 1e-2
    for i, word in enumerate(words):
        hypers[3 + i] = own.get(word, 0.0)
    used, running = _core.optimizer_slots(name, 0), np.zeros(_core.RUNNING)
    arrays = []
    for seed, size in enumerate(sizes):
        slots = [np.zeros(size, dtype) if used >> i & 1 else None for i in range(_core.SLOTS)]
        arrays.append((numbers(size, dtype, seed), numbers(size, dtype, 50 + seed), slots, 1.0, np.nan, 0))
    for step in (1, 2, 3):
        _core.optimizer_step(name, 0, step, hypers, running, arrays, threads)
    found = [part for w, g, slots, *_ in arrays for part in (w, g, *slots) if part is not None]
    return [*found, running]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_have_the_bits_of_one_thread(name, dtype):
    alone = updated(name, dtype, 1)
    assert np.isfinite(np.concatenate([part.ravel() for part in alone])).all()
    assert not same(alone[0], numbers(1, dtype, 0))
    for threads in (0, *THREADS):
        found = updated(name, dtype, threads)
        assert all(same(a, b) for a, b in zip(alone, found, strict=True))


def test_an_update_checks_its_threads():
    for threads in (-1, 1025):
        with pytest.raises(errors.ArgumentError, match="threads"):
            updated("sgd", "float32", threads, (3,))
