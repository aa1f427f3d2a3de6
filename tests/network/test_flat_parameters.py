"""All trainable parameters as one array: the binding's read_flat, write_flat and flat_gradients."""

import numpy as np
import pytest
from gradcore import Dense, Network, Residual, Standardize, Trainer, _core, errors, optimizers
from gradcore.training.core_trainer import reserve
from support import assert_same


def make(dtype):
    layers = [Standardize(), Dense(4, "tanh"), Residual(Dense(4, bias=False)), Dense(2)]
    net = Network(layers, inputs=3, seed=1, dtype=dtype)
    trainer = Trainer(net, "cross_entropy", optimizers.SGD(0.1))
    reserve(trainer._state, 8)
    return net, trainer


def joined(parts, net):
    trained = [info["name"] for info in net._model.infos if info["trainable"]]
    return np.concatenate([parts[name].reshape(-1) for name in trained])


def test_reading_joins_the_parameters_in_layer_order(dtype):
    net, _ = make(dtype)
    flat = net._core.read_flat()
    assert (flat.dtype, flat.shape) == (net.dtype, (net.elements,))
    assert np.array_equal(flat, joined(net.parameters(), net))


def test_writing_sets_them_and_leaves_the_others(dtype):
    net, _ = make(dtype)
    before = net.parameters()
    flat = np.arange(net.elements, dtype=dtype)
    net._core.write_flat(flat)
    assert np.array_equal(net._core.read_flat(), flat)
    after = net.parameters()
    assert_same(
        {k: after[k] for k in ("0.mean", "0.inverse_std")},
        {k: before[k] for k in ("0.mean", "0.inverse_std")},
    )
    assert np.array_equal(joined(after, net), flat)


def test_gradients_are_those_by_name(dtype):
    net, trainer = make(dtype)
    x, y = np.random.default_rng(0).normal(size=(8, 3)).astype(dtype), np.arange(8, dtype=np.int32) % 2
    weight = np.linspace(0.5, 2, 8)
    loss, gradients = trainer.gradients(x, y, weight)
    out = np.empty(net.elements, dtype)
    found, correct, mass = trainer._state.core.flat_gradients(x, y, weight, out)
    assert (found, mass) == (loss, weight.sum())
    assert correct == pytest.approx(weight[net.predict(x).argmax(axis=1) == y].sum())
    assert np.array_equal(out, joined(gradients, net))


S, D, A = errors.ShapeError, errors.DTypeError, errors.ArgumentError
BAD = {
    "short": (lambda n: np.zeros(n - 1), S),
    "matrix": (lambda n: np.zeros((1, n)), S),
    "strided": (lambda n: np.zeros(2 * n)[::2], S),
    "float32": (lambda n: np.zeros(n, np.float32), D),
    "list": (lambda n: [0.0] * n, D),
    "none": (lambda n: None, D),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused(name):
    net, trainer = make("float64")
    change, kind = BAD[name]
    before = net.parameters()
    with pytest.raises(kind, match="flat"):
        net._core.write_flat(change(net.elements))
    with pytest.raises(kind, match="out"):
        trainer._state.core.flat_gradients(np.ones((2, 3)), np.zeros(2, np.int32), None, change(net.elements))
    assert_same(net.parameters(), before)


def test_what_is_not_finite_changes_nothing():
    net, trainer = make("float64")
    before = net.parameters()
    flat = np.ones(net.elements)
    flat[-1] = np.nan
    with pytest.raises(A, match="3.bias: expected finite values"):
        net._core.write_flat(flat)
    assert_same(net.parameters(), before)
    frozen = np.zeros(net.elements)
    frozen.flags.writeable = False
    with pytest.raises(A, match="out: expected a writable array"):
        trainer._state.core.flat_gradients(np.ones((2, 3)), np.zeros(2, np.int32), None, frozen)


def test_objects_that_were_never_initialised():
    for call in (lambda n: n.read_flat(), lambda n: n.write_flat(np.zeros(3))):
        with pytest.raises(errors.StateError):
            call(_core.CoreNetwork.__new__(_core.CoreNetwork))
    with pytest.raises(errors.StateError):
        _core.CoreTrainer.__new__(_core.CoreTrainer).flat_gradients(None, None, None, None)
