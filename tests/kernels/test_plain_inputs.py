"""Plain arrays of any type and strides are converted by the binding, with the bits and the errors of the
Python layer, which takes them when they come as another class."""

import warnings

import numpy as np
import pytest
from gradcore import Dense, Network, ShapeError, Standardize, Trainer, _core, losses, optimizers
from gradcore.network import inputs
from support import assert_same, in_turn

TYPES = """
    bool int8 uint8 int16 uint16 int32 uint32 int64 uint64
    float16 float32 float64 longdouble longlong ulonglong
"""
EXTREME = np.array(
    """
    0 -0.0 1 -1 0.1 1e-45 1e-46 7e-46 1e-320 3.4028234e38 3.4028235677973366e38 16777217 0.3333333333333333
    nan inf -inf 1.1754943508222875e-38 1.401298464324817e-45 7.006492321624085e-46 65504
    """.split(),
    float,
)


class Slow(np.ndarray):
    """An array that the binding does not take for a plain one."""


def slow(array):
    return array.view(Slow) if isinstance(array, np.ndarray) else array


def outcome(call):
    """What a call returns, or its error, with all of NumPy's warnings as errors."""
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return call()
        except Exception as error:
            return type(error), str(error)


def assert_same_outcome(one, other):
    if isinstance(one, tuple) or isinstance(other, tuple):
        assert one == other
    else:
        assert_same_bits(one, other)


def assert_same_bits(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def values_of(dtype, shape, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    with np.errstate(all="ignore"):
        return rng.normal(size=shape).astype(dtype)


def layouts(array):
    """The same numbers in all the ways that they may lie in memory."""
    rows, cols = array.shape
    wide = np.zeros((rows, 2 * cols), array.dtype)
    wide[:, ::2] = array
    tall = np.zeros((3 * rows, cols + 2), array.dtype)
    tall[::3, 1:-1] = array
    frozen = array.copy()
    frozen.flags.writeable = False
    odd = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(rows, cols)
    odd[...] = array
    yield "contiguous", array
    yield "fortran", np.asfortranarray(array)
    yield "columns", wide[:, ::2]
    yield "rows", tall[::3, 1:-1]
    yield "backwards", array[::-1].copy()[::-1]
    yield "mirrored", array[:, ::-1].copy()[:, ::-1]
    yield "read-only", frozen
    yield "unaligned", odd
    if array.dtype.itemsize > 1:
        yield "swapped", array.astype(array.dtype.newbyteorder())


@pytest.mark.parametrize("net_type", ["float32", "float64"])
@pytest.mark.parametrize("dtype", TYPES.split())
def test_predict_takes_every_type_and_layout(dtype, net_type):
    net = Network([Dense(5, "tanh"), Dense(2)], inputs=7, dtype=net_type, seed=3)
    for rows in (1, 3, 40):
        array = values_of(np.dtype(dtype), (rows, 7))
        want = outcome(lambda: net.predict(slow(array)))  # noqa: B023
        for name, given in layouts(array):
            before = given.copy()
            assert_same_outcome(outcome(lambda: net.predict(given)), want)  # noqa: B023
            assert np.array_equal(given, before), name


@pytest.mark.parametrize("net_type", ["float32", "float64"])
@pytest.mark.parametrize("dtype", TYPES.split())
def test_the_binding_converts_as_the_python_layer_does(dtype, net_type):
    net = Network([Dense(1)], inputs=3, dtype=net_type)
    for array in (values_of(np.dtype(dtype), (9, 3)), values_of(np.dtype(dtype), (20000, 3), 1)):
        for name, given in layouts(array):
            found = net._core.plain(given)
            plain = given.flags.aligned and dtype not in ("float16", "longdouble") and given.dtype.isnative
            assert (found is not None) == plain, name
            if plain:
                want = inputs.convert(net._model, slow(given), "X")
                assert found.dtype == want.dtype and found.flags.aligned
                assert found.tobytes() == want.tobytes()
                assert (found is given) == (inputs.convert(net._model, given, "X") is given), name


@pytest.mark.parametrize("net_type", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("at", range(len(EXTREME)))
def test_extreme_values_come_out_alike(at, dtype, net_type):
    net = Network([Dense(2)], inputs=2, dtype=net_type)
    with np.errstate(all="ignore"):
        array = np.array([[1.0, EXTREME[at]], [EXTREME[at], -2.0]]).astype(dtype)
    one, other = outcome(lambda: net.predict(array)), outcome(lambda: net.predict(slow(array)))
    assert_same_outcome(one, other)
    found = net._core.plain(array)
    if found is not None:
        assert found.tobytes() == inputs.convert(net._model, slow(array), "X").tobytes()


@pytest.mark.parametrize("bits", [0x7FF0000000000001, 0xFFF8000000000123, 0x7FF4000000000000])
def test_the_bits_of_nan_come_out_alike(bits):
    net = Network([Dense(2)], inputs=1, dtype="float32")
    array = np.array([[bits]], np.uint64).view(np.float64)
    found = net._core.plain(array)
    assert found.tobytes() == inputs.convert(net._model, slow(array), "X").tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3), np.zeros((2, 2)), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros((1, 1, 3)),
        np.float64(1.0), np.array(1.0), np.zeros((2, 3), complex), np.array([["a", "b", "c"]]),
        np.zeros((2, 3), object),
        np.zeros((2, 3), "datetime64[s]"), np.zeros((2, 3), "timedelta64[s]"), np.array([[1e39, 0, 0]]),
        np.array([[0, 0, 0], [0, 0, -1e300]]), np.zeros((2, 3), [("a", "f4")]), None, "x", [[1, 2, 3]],
        np.ma.masked_array(np.zeros((1, 3)), [[0, 1, 0]]),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_plain_is_refused_or_taken_alike(array):
    net = Network([Dense(1)], inputs=3)
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    trainer.step(np.zeros((5, 3), np.float32), np.zeros(5, np.float32))
    is_array = type(array) is np.ndarray
    other = slow(array) if is_array else array
    assert_same_outcome(outcome(lambda: net.predict(array)), outcome(lambda: net.predict(other)))
    before, steps = net.parameters(), trainer.steps
    y = np.zeros(max(1, len(array) if np.ndim(array) else 1))
    one, two = (outcome(lambda: trainer.step(x, y)) for x in (array, other))  # noqa: B023
    if isinstance(one, tuple):
        assert one == two
        assert_same(net.parameters(), before)
        assert trainer.steps == steps


def test_a_broadcast_row_is_read_as_rows():
    net = Network([Dense(2, "tanh")], inputs=3)
    row = np.array([0.5, -1.0, 2.0], np.float32)
    assert_same_bits(net.predict(np.broadcast_to(row, (4, 3))), net.predict(np.tile(row, (4, 1))))


# ---- Targets ----

LOSSES = {
    "mse": (losses.MSE(), 1), "mse2": (losses.MSE(), 2), "poisson": (losses.Poisson(), 1),
    "gaussian": (losses.GaussianNLL(), 2), "bce": (losses.BinaryCrossEntropy(), 1),
    "bce3": (losses.BinaryCrossEntropy(), 3), "focal2": (losses.BinaryFocal(), 1),
    "hinge": (losses.Hinge(), 1),
    "ce": (losses.CrossEntropy(), 3), "ignoring": (losses.CrossEntropy(ignore_index=-100), 3),
    "ignoring a class": (losses.CrossEntropy(ignore_index=1), 3), "focal": (losses.Focal(), 3),
    "kl": (losses.KLDivergence(), 3),
}  # fmt: skip
TARGETS = [
    np.array([0, 1, 1, 0]), np.array([0, 1, 2, 0]), np.array([1, 2, 3, 1]), np.array([-1, 1, 1, -1]),
    np.array([0, -100, 2, 1]), np.array([[0], [1], [1], [0]]), np.array([0.25, 0.5, 1.0, 0.0]),
    np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 1.0, np.nan, 0.0]), np.array([0.0, np.inf, 1.0, 0.0]),
    np.array([1e300, 0, 0, 0]), np.array([1e-60, 1, 0, 1]), np.array([2.0**31, 0, 1, 2]),
    np.array([2**40, 0, 1, 2]), np.array([-(2**40), 0, 1, 2]), np.array([2**32, 0, 1, 2]),
    np.array([2**32 + 1, 0, 1, 2], np.uint64), np.array([2**64 - 100, 0, 1, 2], np.uint64),
    np.eye(4)[:, :3], np.eye(4)[:, :2], np.full((4, 3), 1 / 3), np.array([0, 1, 1]), np.zeros((4, 0)),
    np.array(1),
    np.array(["a", "b", "a", "b"]), np.array([1 + 1j] * 4), np.array([True, False, True, True]),
    np.array([0.5, 1.5, 2.5, 0.5]), np.array([[0, 1], [1, 0], [1, 1], [0, 0]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "net_type"), in_turn(LOSSES))
def test_a_step_takes_every_target_alike(name, net_type):
    loss, outputs = LOSSES[name]
    x = values_of(np.dtype(net_type), (4, 3))
    for y in TARGETS:
        kinds = (
            "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 longdouble bool >i4"
        )
        fitting = [y]
        for kind in kinds.split() if y.dtype.kind in "biuf" else ():
            with np.errstate(all="ignore"):
                cast = y.astype(kind)
            if np.array_equal(cast, y, equal_nan=True):
                fitting.append(cast)
        for turn, given in enumerate(fitting):  # each kind in one layout, each layout with some kinds
            variants = [given]
            if given.ndim == 1:
                variants += [np.stack([given, given], axis=1)[:, 0], given[::-1].copy()[::-1]]
            elif given.ndim == 2 and given.size:
                variants += [np.asfortranarray(given)]
            for variant in [variants[turn % len(variants)]]:
                results = []
                for y_given in (variant, slow(variant)):
                    net = Network([Dense(outputs)], inputs=3, dtype=net_type, seed=1)
                    trainer = Trainer(net, loss, optimizers.Adam(0.1))
                    first = np.zeros((4, outputs)) if name == "kl" else np.zeros((4, max(1, outputs // 2)))
                    good = {"kl": np.full((4, 3), 1 / 3)}.get(name)
                    if good is None:
                        good = np.zeros(4, int) if loss.classifies and outputs > 1 else first
                        good = np.zeros((4, 3)) if name == "bce3" else good
                        good = np.zeros((4, 2)) if name == "mse2" else good
                    trainer.step(x, good)
                    result = outcome(lambda: trainer.step(x, y_given))  # noqa: B023
                    results.append((result, net.parameters(), trainer.steps))
                (one, weights, steps), (other, expected, wanted) = results
                assert one == other or (one != one and other != other), (variant, one, other)
                assert steps == wanted
                assert_same(weights, expected)


@pytest.mark.parametrize("classes", [2, 7, 300])
@pytest.mark.parametrize("ignored", [None, -1, 3, 1000])
@pytest.mark.parametrize("dtype", "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split())
def test_labels_are_read_as_they_are_or_left_to_the_python_layer(dtype, ignored, classes):
    loss = losses.CrossEntropy(ignore_index=ignored)
    rng = np.random.default_rng(classes)
    for low, high in ((0, min(classes, 100)), (0, classes + 1), (-1, classes), (-1, 5)):
        labels = rng.integers(low, high, 50).astype(dtype)
        found = _core.plain_labels(labels, classes, ignored)
        if found is labels:
            continue
        want = outcome(lambda: loss.target(labels, 50, classes, np.dtype("float32")))  # noqa: B023
        if found is None:
            assert isinstance(want, tuple), (labels, want)
        else:
            assert found.dtype == np.int32
            assert_same_bits(found, want)


# ---- What is beside the conversion ----


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_a_step_has_the_same_bits_however_its_batch_lies(dtype):
    x = values_of(np.dtype("int8"), (6, 4)).astype(dtype)
    y = values_of(np.dtype("float32"), (6, 1), 5)
    want = None
    for _, given in layouts(x):
        for array in (given, slow(given)):
            net = Network([Dense(3, "tanh"), Dense(1)], inputs=4, seed=2)
            trainer = Trainer(net, "mse", optimizers.Adam(0.01))
            results = [trainer.step(array, y.astype("float64")) for _ in range(3)]
            want = want or results
            assert results == want


def test_scaling_and_names_take_the_longer_way():
    """What is far from zero is centred before it is rounded."""
    x = 1.7e9 + np.arange(8.0).reshape(8, 1)
    net = Network([Standardize(), Dense(1)], inputs=1)
    net.standardize(x)
    assert np.ptp(net.predict(x)) > 0
    assert_same_bits(net.predict(x), net.predict(slow(x)))


def test_more_rows_than_the_trainer_has_room_for():
    net = Network([Dense(1)], inputs=2)
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    for rows in (1, 5, 3, 64):
        trainer.step(np.ones((rows, 2)), np.ones(rows))
    assert trainer.steps == 4


def test_two_trainers_of_one_network_take_turns():
    """What each of them holds at 0 stays there after its own steps."""
    net = Network([Dense(2)], inputs=2, seed=1)
    first, second = (Trainer(net, "mse", optimizers.SGD(0.1)) for _ in range(2))
    first.set_masks({"0.weight": [[False, True], [True, True]]})
    x, y = np.ones((3, 2)), np.ones((3, 2))
    for _ in range(3):
        second.step(x, y)
        assert net._model.keeper() is second._state
        first.step(x, y)
        assert net._model.keeper() is first._state
        assert net.parameters()["0.weight"][0, 0] == 0


def test_a_refused_step_does_not_make_a_trainer_the_keeper():
    net = Network([Dense(1)], inputs=2)
    first, second = (Trainer(net, "mse", optimizers.SGD(0.1)) for _ in range(2))
    x, y = np.ones((3, 2)), np.ones(3)
    second.step(x, y)
    first.step(x, y)
    with pytest.raises(ShapeError, match=r"^X: expected shape \(rows, 2\), got \(3, 5\)"):
        second.step(np.ones((3, 5)), y)
    assert net._model.keeper() is first._state
