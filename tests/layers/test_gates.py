"""GLU, Maxout and PReLU: PyTorch's numbers, ties and NaN, bits everywhere, training, what they refuse."""

import gradcore
import numpy as np
import pytest
from gradcore import GLU, Activation, ArgumentError, Dense, DTypeError, Maxout, Network, PReLU, ShapeError
from oracle import exact
from support import cases, raw
from vectors import make_torch

LAYERS = {
    "glu": GLU(),
    "swiglu": GLU("silu"),
    "geglu": GLU(Activation("gelu")),
    "maxout": Maxout(4, 2, bias=False),
    "prelu": PReLU(),
    "shared": PReLU(shared=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_derivatives_are_pytorchs(isa, name):
    vectors = np.load(make_torch.GATE_PATH)
    net = Network([LAYERS[name]], inputs=8, dtype="float64", isa=isa)
    own = {"maxout": {"0.weight": np.eye(8)}, "prelu": {"0.alpha": vectors["slopes"]},
           "shared": {"0.alpha": vectors["slopes"][:1]}}  # fmt: skip
    net.set_parameters(own.get(name, {}))
    y = net.forward(vectors["x"])
    assert np.abs(y - vectors[f"{name} y"]).max() < 1e-14
    assert np.abs(net.backward(vectors["d"][:, : y.shape[1]]) - vectors[f"{name} dx"]).max() < 1e-14
    if f"{name} da" in vectors:
        got, want = net.gradients()["0.alpha"], vectors[f"{name} da"]
        assert np.abs(got - want[: got.size]).max() < 1e-13


def test_maxout_gives_ties_to_the_first_piece_and_keeps_nan(isa, dtype):
    kernels = raw.Kernels(isa, dtype)
    x = np.array([[1.0, 2.0, np.nan, 0.0, 3.0, 1.0, 5.0, -0.0, 3.0, 2.0, 4.0, np.nan]], dtype)
    y, dx, d = np.empty((1, 4), dtype), np.empty((1, 12), dtype), np.array([[1.0, 2.0, 3.0, 4.0]], dtype)
    kernels.maxout_forward(1, 4, 3, x, 12, y, 4)
    kernels.maxout_backward(1, 4, 3, x, 12, d, 4, dx)
    assert np.array_equal(y, np.array([[3, 2, np.nan, np.nan]], dtype), equal_nan=True)
    assert dx.tolist() == [[0, 2, 3, 0, 1, 0, 0, 0, 0, 0, 0, 4]]


LAYER_LISTS = [
    [cases.dense(36), cases.glu("silu"), cases.prelu(), cases.maxout(21, 3), cases.prelu(1), cases.dense(3)],
    [cases.prelu(), cases.dense(70), cases.prelu(1), cases.glu(), cases.maxout(3, 2)],
]


@pytest.mark.parametrize("rows", [1, 257, 1100])
@pytest.mark.parametrize("layers", LAYER_LISTS)
def test_bits_do_not_depend_on_threads_or_instruction_set(dtype, rows, layers):
    x, y = cases.normal((rows, 12), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for isa in gradcore.names("isa"):
        for threads in (1, 2, 5):
            net = cases.network(gradcore, layers, 12, dtype=dtype, threads=threads, isa=isa)
            trainer = gradcore.Trainer(net, "mse", gradcore.optimizers.Adam(0.01))
            _, gradients = trainer.gradients(x, y)
            for _ in range(3):
                trainer.step(x, y)
            found = [*gradients.values(), *net.parameters().values(), net.predict(x)]
            seen.add(tuple(value.tobytes() for value in found))
    assert len(seen) == 1


def test_a_row_has_the_same_bits_alone(isa, dtype):
    net = cases.network(gradcore, LAYER_LISTS[0], 12, dtype=dtype, isa=isa)
    x = cases.normal((40, 12), dtype, "x")
    whole = net.predict(x)
    assert exact.same_bits(net.predict(x[17:18])[0], whole[17])
    assert exact.same_bits(net.forward(x), whole)


def test_a_network_with_gates_learns_and_travels(tmp_path):
    net = Network([Dense(32), GLU("silu"), Maxout(8, 3), PReLU(), Dense(1)], inputs=2, seed=1)
    x = cases.normal((400, 2), "float32", "x")
    y = x[:, :1] * x[:, 1:]
    trainer = gradcore.Trainer(net, "mse", gradcore.optimizers.Adam(0.01))
    before = trainer.evaluate(x, y)["loss"]
    trainer.fit(x, y, epochs=30, batch_size=40)
    assert trainer.evaluate(x, y)["loss"] < before / 20
    assert (net.parameters()["3.alpha"] != 0.25).all()
    net.save(tmp_path / "net.gradcore")
    back = Network.load(tmp_path / "net.gradcore")
    assert back.layers == net.layers
    assert exact.same_bits(back.predict(x), net.predict(x))
    assert repr(back) == repr(net)


BAD = [
    (lambda: GLU("no_such"), ArgumentError, "GLU: gate: expected one of"),
    (lambda: GLU(3), DTypeError, "GLU: gate"),
    (lambda: Network([GLU()], inputs=5), ShapeError, "layers[0]: expected an even number of columns"),
    (lambda: Maxout(0), ArgumentError, "Maxout: units"),
    (lambda: Maxout(2, 0), ArgumentError, "Maxout: pieces"),
    (lambda: Maxout(2, 1.5), DTypeError, "Maxout: pieces"),
    (lambda: Maxout(2, weight_init="no_such"), ArgumentError, "Maxout: weight_init"),
    (lambda: Maxout(2, bias="yes"), DTypeError, "Maxout: bias"),
    (lambda: Maxout(2, bias_init="a"), DTypeError, "Maxout: bias_init"),
    (lambda: Network([Maxout(2**30, 4)], inputs=5), ShapeError, "pieces: expected 1 to 1, got 4"),
    (lambda: PReLU(shared=1), DTypeError, "PReLU: shared: expected True or False, got 1"),
    (lambda: PReLU(initial=float("inf")), ArgumentError, "PReLU: initial: expected a finite number"),
    (lambda: PReLU(initial=-2e6), ArgumentError, "PReLU: initial: expected a number from -1e6 to 1e6"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
