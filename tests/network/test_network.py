"""Networks: parameters in and out, forward and backward by hand, copies, what they print."""

import copy
import pickle

import gradcore
import numpy as np
import pytest
from gradcore import (
    Activation,
    Dense,
    Dropout,
    Network,
    Residual,
    Standardize,
    errors,
    initializers,
    optimizers,
)
from oracle import exact
from support import assert_same, cases, public

LAYERS = [
    cases.standardize(),
    cases.dense(6, "relu"),
    cases.residual(cases.dropout(0.5), cases.dense(6, "elu", alpha=0.5)),
    cases.activation("leaky_relu", alpha=0.2),
    cases.dense(3, bias=False),
]
NAMES = ["0.mean", "0.inverse_std", "1.weight", "1.bias", "2.1.weight", "2.1.bias", "4.weight"]


def make(dtype="float32", **options):
    return cases.network(gradcore, LAYERS, 4, seed=1, dtype=dtype, **options)


@pytest.mark.quick
def test_parameters_are_copies_in_layer_order(dtype):
    net = make(dtype)
    parameters = net.parameters()
    assert list(parameters) == NAMES
    assert parameters["1.weight"].shape == (4, 6)
    assert all(value.dtype == dtype for value in parameters.values())
    for value in parameters.values():
        value[...] = 99
    assert not any((value == 99).any() for value in net.parameters().values())


@pytest.mark.quick
def test_a_dense_layer_is_x_times_w_plus_b():
    net = Network([Dense(2)], inputs=3, dtype="float64")
    net.set_parameters({"0.weight": [[1, 2], [3, 4], [5, 6]], "0.bias": [0.5, -0.5]})
    assert net.predict([[1, 0, 2]]).tolist() == [[11.5, 13.5]]


@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_set_parameters_takes_any_array(dtype, layout):
    net = make(dtype)
    values = {name: cases.normal(value.shape, dtype, name) for name, value in net.parameters().items()}
    net.set_parameters({name: layout(value) if value.ndim == 2 else value for name, value in values.items()})
    assert_same(net.parameters(), values)


def test_set_parameters_of_some_leaves_the_others():
    net = make()
    before = net.parameters()
    net.set_parameters({"1.bias": np.arange(6)})
    after = net.parameters()
    assert after.pop("1.bias").tolist() == list(range(6))
    before.pop("1.bias")
    assert_same(after, before)


def test_one_bad_array_leaves_all_as_they_were():
    net = make()
    before = net.parameters()
    good = np.ones((4, 6))
    for bad in (np.ones((6, 4)), np.full((6, 6), np.nan), "text"):
        with pytest.raises(errors.GradcoreError, match=r"2\.1\.weight"):
            net.set_parameters({"1.weight": good, "2.1.weight": bad})
        assert_same(net.parameters(), before)


def test_new_parameters_count_from_the_next_call(dtype):
    """Also in backward, which works with a transposed copy of the weights."""
    net = make(dtype)
    x, d = cases.normal((5, 4), dtype, "x"), cases.normal((5, 3), dtype, "d")
    net.forward(x)
    net.backward(d)
    other = make(dtype)
    values = {name: value * 2 + 0.25 for name, value in net.parameters().items()}
    net.set_parameters(values)
    other.set_parameters(values)
    assert exact.same_bits(net.forward(x), other.forward(x))
    assert exact.same_bits(net.backward(d), other.backward(d))
    assert_same(net.gradients(), other.gradients())


def test_a_training_step_counts_for_forward_and_backward_too(dtype):
    net = make(dtype)
    x, d = cases.normal((5, 4), dtype, "x"), cases.normal((5, 3), dtype, "d")
    net.forward(x)
    net.backward(d)
    gradcore.Trainer(net, "mse", optimizers.SGD(0.1)).step(x, d)
    other = make(dtype)
    other.set_parameters(net.parameters())
    assert exact.same_bits(net.forward(x), other.forward(x))
    assert exact.same_bits(net.backward(d), other.backward(d))


@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_predict_takes_any_layout(dtype, layout):
    net = make(dtype)
    x = cases.normal((9, 4), dtype, "x")
    assert exact.same_bits(net.predict(layout(x)), net.predict(x))
    assert exact.same_bits(net.forward(layout(x)), net.predict(x))


@pytest.mark.parametrize("value", [
    [[1, 2, 3, 4], [5, 6, 7, 8]], ((1, 2, 3, 4), (5, 6, 7, 8)), np.arange(1, 9).reshape(2, 4),
    np.arange(1, 9, dtype=np.int8).reshape(2, 4), np.arange(1, 9, dtype=np.float16).reshape(2, 4),
    np.arange(1, 9, dtype=np.longdouble).reshape(2, 4), np.arange(1, 9, dtype=">u2").reshape(2, 4),
    np.ma.masked_array(np.arange(1.0, 9).reshape(2, 4)), memoryview(np.arange(1.0, 9).reshape(2, 4)),
], ids=lambda value: str(getattr(value, "dtype", type(value).__name__)))  # fmt: skip
def test_predict_takes_any_array_like(value):
    net = make("float64")
    assert exact.same_bits(net.predict(value), net.predict(np.arange(1.0, 9).reshape(2, 4)))


@pytest.mark.quick
def test_backward_fills_gradients_once_a_forward():
    net = make()
    with pytest.raises(errors.StateError):
        net.backward(np.ones((2, 3)))
    with pytest.raises(errors.StateError):
        net.gradients()
    net.forward(np.ones((2, 4)))
    with pytest.raises(errors.StateError):
        net.gradients()
    net.backward(np.ones((2, 3)))
    gradients = net.gradients()
    assert list(gradients) == NAMES[2:]
    with pytest.raises(errors.StateError):
        net.backward(np.ones((2, 3)))
    assert_same(net.gradients(), gradients)


def test_forward_with_fewer_and_then_more_rows(dtype):
    net = make(dtype)
    for rows in (3, 1, 40, 2):
        x, d = cases.normal((rows, 4), dtype, rows), cases.normal((rows, 3), dtype, rows, "d")
        fresh = make(dtype)
        assert exact.same_bits(net.forward(x), fresh.forward(x))
        assert exact.same_bits(net.backward(d), fresh.backward(d))
        assert_same(net.gradients(), fresh.gradients())


@pytest.mark.parametrize("threads", [1, 3])
def test_predictions_of_ever_more_rows(dtype, threads):
    """The workspace of a prediction is kept for the next one, which may need a larger one."""
    net = make(dtype, threads=threads)
    x = cases.normal((5000, 4), dtype, "x")
    want = make(dtype, threads=threads).predict(x)
    for rows in (1, 3, 64, 65, 300, 5000, 2):
        assert exact.same_bits(net.predict(x[:rows]), want[:rows])


def test_training_forwards_draw_new_masks_unless_told_the_step():
    net = make()
    x = np.ones((4, 4))
    first, second = net.forward(x, training=True), net.forward(x, training=True)
    assert not np.array_equal(first, second)
    assert np.array_equal(net.forward(x, training=True, step=0), first)


def test_activations_are_named_by_position():
    net = make()
    x = cases.normal((5, 4), "float32", "x")
    activations = net.activations(x)
    assert sorted(activations) == ["0", "1", "2", "2.0", "2.1", "3", "4"]
    assert exact.same_bits(activations["4"], net.predict(x))
    assert np.allclose(activations["2"], activations["1"] + activations["2.1"])


def test_standardize_sets_mean_and_deviation(dtype):
    net = make(dtype)
    x = cases.normal((300, 4), "float64", "x") * [1, 10, 1e-3, 0] + [5, -3, 100, 7]
    net.standardize(x)
    y = net.activations(x)["0"].astype(np.float64)
    bar = 1e-9 if dtype == "float64" else 0.05
    assert np.abs(y.mean(axis=0)).max() < bar
    assert np.abs(y[:, :3].std(axis=0) - 1).max() < bar
    assert net.parameters()["0.inverse_std"][3] == 1
    assert not y[:, 3].any()


@pytest.mark.parametrize("duplicate", [Network.clone, copy.deepcopy, copy.copy,
                                       lambda net: pickle.loads(pickle.dumps(net))])  # fmt: skip
@pytest.mark.quick
def test_copies_are_independent_and_equal(dtype, duplicate):
    net = make(dtype, threads=2)
    net.set_parameters({"1.bias": np.arange(6)})
    other = duplicate(net)
    x = cases.normal((9, 4), dtype, "x")
    assert exact.same_bits(other.predict(x), net.predict(x))
    assert repr(other) == repr(net)
    before = net.parameters()
    gradcore.Trainer(other, "mse", optimizers.SGD(0.1)).step(x, np.ones((9, 3)))
    assert_same(net.parameters(), before)


@pytest.mark.quick
def test_it_prints_so_that_it_can_be_pasted_back():
    net = make("float64", threads=3)
    assert_same(eval(repr(net), public(gradcore)).parameters(), net.parameters())
    assert "67" in Network([Dense(8, "relu"), Dense(3)], inputs=4).summary()


def test_what_it_is():
    net = make("float64", threads=3, isa="scalar")
    assert (net.inputs, net.outputs, net.dtype, net.seed, net.threads, net.isa) == (
        4,
        3,
        np.float64,
        1,
        3,
        "scalar",
    )
    assert net.elements == 4 * 6 + 6 + 6 * 6 + 6 + 6 * 3
    assert len(net.layers) == 5


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "lecun_uniform", "orthogonal", "zeros"])
def test_initialisers_by_name_and_by_object(name):
    by_name = Network([Dense(30, weight_init=name)], inputs=20, seed=3)
    by_object = Network([Dense(30, weight_init=initializers.get(name))], inputs=20, seed=3)
    assert_same(by_name.parameters(), by_object.parameters())


def test_activation_objects_carry_their_alpha():
    one = Network([Dense(3, Activation("leaky_relu", alpha=0.5))], inputs=2, dtype="float64")
    one.set_parameters({"0.weight": -np.ones((2, 3))})
    assert one.predict([[1.0, 1.0]]).tolist() == [[-1.0] * 3]


def test_an_identity_network_passes_bits_through(dtype):
    net = Network([Residual(Dropout(0.5)), Activation("identity")], inputs=7, dtype=dtype)
    x = cases.normal((5, 7), dtype, "x")
    assert exact.same_bits(net.predict(x), 2 * x)


def test_no_rows_or_a_network_of_one_number():
    net = Network([Dense(1, bias=False)], inputs=1)
    assert net.predict([[2.0]]).shape == (1, 1)
    assert Network([Standardize()], inputs=2).predict([[1, 2]]).tolist() == [[1, 2]]


def test_flushing_denormals_is_an_option_that_changes_bits():
    tiny = np.finfo(np.float32).tiny
    results = {}
    for flush in (False, True):
        net = Network([Dense(1, bias=False)], inputs=1, flush_denormals=flush)
        net.set_parameters({"0.weight": [[0.5]]})
        results[flush] = net.predict(np.array([[tiny]], np.float32))[0, 0]
    assert results[False] == tiny / 2
    assert results[True] == 0
    assert np.float32(tiny) / np.float32(2) != 0, "the caller's own arithmetic still has denormals"


@pytest.mark.parametrize("factor", [2.0**900, 2.0**-900])
def test_standardizing_numbers_whose_squares_leave_the_range(factor):
    x = np.random.default_rng(0).normal(size=(40, 3))
    plain, far = (Network([Standardize()], inputs=3, dtype="float64") for _ in range(2))
    plain.standardize(x)
    far.standardize(x * factor)
    assert exact.same_bits(far.predict(x * factor), plain.predict(x))
