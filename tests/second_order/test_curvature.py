"""Hessian- and Gauss-Newton-vector products: differences of gradients, PyTorch's, symmetries."""

import numpy as np
import oracle
import pytest
import support
from gradcore import Activation, Dense, Dropout, Network, Residual, Standardize, Trainer, errors, optimizers
from vectors import make_curvature as vectors

VECTORS = np.load(vectors.PATH)
SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "softplus", "identity")
KINKED = ("relu", "leaky_relu", "elu", "selu")  # elu and selu have no second derivative at 0
LOSSES = ("mse", "cross_entropy", "binary_cross_entropy")

NETS = {
    **{name: ([Dense(5, name), Dense(4, name), Dense(3)], 4) for name in (*SMOOTH, *KINKED)},
    "no bias": ([Dense(5, "tanh", bias=False), Dense(3, bias=False)], 4),
    "activation layers": ([Activation("softplus"), Dense(4), Activation("elu", 0.7), Dense(3)], 4),
    "residual": (
        [Dense(4, "tanh"), Residual(Dense(6, "silu"), Residual(Dense(6, "tanh")), Dense(4)), Dense(3)],
        4,
    ),
    "residual first": ([Residual(Dense(4, "tanh")), Dense(3)], 4),
    "standardize": ([Standardize(), Dense(5, "gelu"), Dense(3, "tanh")], 4),
    "one layer": ([Dense(3)], 4),
    "dropout": ([Dense(5, "tanh"), Dropout(0.5), Dense(3)], 4),
}


def data(loss, rows=9, inputs=4, outputs=3, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, inputs))
    y = {
        "mse": lambda: rng.standard_normal((rows, outputs)),
        "cross_entropy": lambda: rng.integers(0, outputs, rows),
        "binary_cross_entropy": lambda: rng.uniform(0, 1, (rows, outputs)),
    }[loss]()
    return x, y, rng.uniform(0, 2, rows)


def network(name, dtype="float64"):
    layers, inputs = NETS[name]
    net = Network(layers, inputs=inputs, seed=3, dtype=dtype)
    rng = np.random.default_rng(2)
    for key, value in net.parameters().items():
        if "mean" in key or "std" in key or "bias" in key:
            net.set_parameters({key: rng.uniform(0.5, 1.5, value.shape)})
    return net


def direction(net, seed=5):
    rng = np.random.default_rng(seed)
    return {
        info["name"]: rng.standard_normal(info["shape"]).astype(net.dtype)
        for info in net._model.infos
        if info["trainable"]
    }


def flat(parts):
    return np.concatenate([np.asarray(part).reshape(-1) for part in parts.values()])


def difference(net, x, y, loss, v, weight, step=1e-4):
    """Four gradients of a network without dropout: an error of the order step^4."""
    trainer = Trainer(net, loss, optimizers.SGD(0.1))
    start = net.parameters()
    total = 0.0
    for factor, shift in ((8, step), (-8, -step), (-1, 2 * step), (1, -2 * step)):
        net.set_parameters({key: start[key] + shift * v[key] for key in v})
        total = total + factor * flat(trainer.gradients(x, y, weight)[1])
    net.set_parameters(start)
    return total / (12 * step)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [name for name in NETS if name != "dropout"])
def test_hvp_is_the_derivative_of_the_gradient(name, loss, weighted):
    net = network(name)
    x, y, weight = data(loss)
    v = direction(net)
    weight = weight if weighted else None
    want = difference(net, x, y, loss, v, weight)
    got = net.hvp(x, y, loss, v, weight)
    assert list(got) == list(v)
    assert support.norm_error(flat(got), want) < 1e-9
    assert np.array_equal(net.hvp(x, y, loss, flat(v), weight), flat(got))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", NETS)
def test_gnvp_is_jacobian_hessian_jacobian(name, loss):
    """From the Jacobian by differences of predictions and the loss's Hessian by differences of its slope."""
    net = network(name)
    x, y, weight = data(loss)
    v = direction(net)
    start, step = net.parameters(), 1e-4

    def predict(shift):
        net.set_parameters({key: start[key] + shift * v[key] for key in v})
        return net.predict(x)

    change = 8 * (predict(step) - predict(-step)) - (predict(2 * step) - predict(-2 * step))
    change /= 12 * step
    net.set_parameters(start)
    z = net.predict(x)

    def slope(shift):
        return oracle.loss(loss, z + shift * change, y, weight)[1]

    bent = (8 * (slope(step) - slope(-step)) - (slope(2 * step) - slope(-2 * step))) / (12 * step)
    net.forward(x)
    net.backward(bent)
    want = flat(net.gradients())
    assert support.norm_error(flat(net.gnvp(x, y, loss, v, weight)), want) < 1e-8


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["tanh", "gelu", "residual", "standardize"])
def test_products_are_symmetric_linear_and_gauss_newton_is_not_negative(name, loss):
    net = network(name)
    x, y, _ = data(loss)
    a, b = flat(direction(net, 1)), flat(direction(net, 2))
    for product in (net.hvp, net.gnvp):
        first, second = product(x, y, loss, a), product(x, y, loss, b)
        assert b @ first == pytest.approx(a @ second, rel=1e-10)
        both = product(x, y, loss, 2 * a - 3 * b)
        np.testing.assert_allclose(both, 2 * first - 3 * second, rtol=0, atol=1e-12 * np.abs(both).max())
    assert a @ net.gnvp(x, y, loss, a) >= 0


def test_the_hessian_of_a_linear_model_is_its_gauss_newton_matrix():
    net = network("one layer")
    for loss in LOSSES:
        x, y, _ = data(loss)
        v = direction(net)
        np.testing.assert_allclose(
            flat(net.hvp(x, y, loss, v)), flat(net.gnvp(x, y, loss, v)), rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("case", vectors.CASES)
def test_products_agree_with_pytorch(case):
    activation, loss = case.split()
    net = Network([Dense(6, activation), Dense(5, activation), Dense(3)], inputs=4, dtype="float64")
    parameters, v = vectors.parameters(1), vectors.parameters(2)
    net.set_parameters(parameters)
    x, y = vectors.data(loss)
    for kind, product in (("hvp", net.hvp), ("gnvp", net.gnvp)):
        assert support.norm_error(flat(product(x, y, loss, v)), VECTORS[f"{case} {kind}"]) < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus", "residual"])
def test_float32_products_are_near_those_of_float64(name, loss):
    net, wide = network(name, "float32"), network(name)
    wide.set_parameters(net.parameters())
    x, y, _ = data(loss, rows=200)
    x = x.astype(np.float32)
    y = y.astype(np.float32) if loss != "cross_entropy" else y
    v = direction(net)
    for got, want in (
        (net.hvp(x, y, loss, v), wide.hvp(x, y, loss, v)),
        (net.gnvp(x, y, loss, v), wide.gnvp(x, y, loss, v)),
    ):
        assert all(part.dtype == np.float32 for part in got.values())
        assert support.norm_error(flat(got), flat(want)) < 1e-5


def test_bits_do_not_depend_on_threads_or_instruction_set():
    from gradcore import names

    x, y, _ = data("cross_entropy", rows=300)
    found = set()
    for isa in names("isa"):
        for threads in (1, 2):
            net = Network([Dense(40, "tanh"), Dense(3)], inputs=4, seed=1, threads=threads, isa=isa)
            found.add(net.hvp(x, y, "cross_entropy", np.ones(net.elements)).tobytes())
    assert len(found) == 1


def test_probabilities_as_targets_have_the_hessian_of_labels():
    from gradcore.network.curvature import LOSSES as HESSIANS

    rng = np.random.default_rng(4)
    z, labels, r = rng.normal(size=(5, 3)), rng.integers(0, 3, 5), rng.normal(size=(5, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    target = rng.dirichlet(np.ones(3), 5)
    one = HESSIANS["cross_entropy"](z, labels, p - np.eye(3)[labels])(r)
    np.testing.assert_allclose(HESSIANS["cross_entropy"](z, target, p - target)(r), one, atol=1e-15)


def test_nothing_is_changed():
    net = network("residual")
    x, y, _ = data("mse")
    before = net.parameters()
    v = direction(net)
    kept = {key: value.copy() for key, value in v.items()}
    net.hvp(x, y, "mse", v)
    support.assert_same(net.parameters(), before)
    support.assert_same(v, kept)


def test_extreme_arguments_stay_finite():
    for name in SMOOTH:
        net = Network([Dense(3, name), Dense(3)], inputs=4, dtype="float32")
        x = np.array([[1e4, -1e4, 1e3, 60.0], [-1e4, 1e4, -60.0, 0.0]])
        assert np.isfinite(net.hvp(x, [0, 1], "cross_entropy", np.ones(net.elements))).all(), name


A, D, S = errors.ArgumentError, errors.DTypeError, errors.ShapeError
BAD = {
    "flat short": ({"v": np.ones(3)}, S, r"v: expected shape \(19,\) or a dict of arrays, got \(3,\)"),
    "flat nan": ({"v": np.full(19, np.nan)}, A, "v: expected finite values"),
    "flat text": ({"v": "ones"}, D, "v: expected"),
    "names": ({"v": {"0.weight": np.ones((4, 3))}}, A, "v: expected the names 0.weight, 0.bias, 1.weight"),
    "shape": (
        {
            "v": {
                "0.weight": np.ones((3, 4)),
                "0.bias": np.ones(3),
                "1.weight": np.ones((3, 1)),
                "1.bias": [1],
            }
        },
        S,
        "0.weight: expected shape",
    ),
    "loss": ({"loss": "huber_of_mine"}, A, "loss: expected one of"),
    "outputs": ({"loss": "cross_entropy"}, S, "loss: expected a network of at least 2 outputs"),
    "x": ({"X": np.ones((5, 3))}, S, "X: expected shape"),
    "x nan": ({"X": np.full((5, 4), np.nan)}, A, "X: expected finite values"),
    "y": ({"y": np.ones(4)}, S, "y: expected shape"),
    "y nan": ({"y": np.full(5, np.nan)}, A, "y: expected finite values"),
    "weight": ({"sample_weight": np.zeros(5)}, A, "sample_weight: expected a positive, finite sum"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    change, kind, message = BAD[name]
    net = Network([Dense(3, "tanh"), Dense(1)], inputs=4, dtype="float64")
    arguments = {"X": np.ones((5, 4)), "y": np.ones(5), "loss": "mse", "v": np.ones(19), **change}
    for product in (net.hvp, net.gnvp):
        with pytest.raises(kind, match=message):
            product(**arguments)
