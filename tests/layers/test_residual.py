"""Residual blocks with a projection or a gain, and LayerScale: what they begin as, options, files, bits."""

import gradcore
import numpy as np
import pytest
from gradcore import ArgumentError, Dense, DTypeError, LayerScale, Network, Residual, ShapeError, optimizers
from oracle import exact
from support import assert_same, cases, norm_error


def test_a_gain_of_zero_begins_as_the_identity(dtype):
    net = Network([Residual(Dense(300, "gelu"), Dense(40), gain=0.0)], inputs=40, dtype=dtype)
    x = cases.normal((21, 40), dtype, "x")
    assert exact.same_bits(net.predict(x), x)
    net.forward(x)
    net.backward(np.ones_like(x))
    gradients = net.gradients()
    assert gradients["0.gain"] != 0
    assert not gradients["0.0.weight"].any()


def test_a_plain_block_is_one_with_the_gain_of_one(dtype):
    x = cases.normal((21, 40), dtype, "x")
    plain, gained = (
        Network([Residual(Dense(40, "tanh"), gain=gain)], inputs=40, dtype=dtype, seed=5)
        for gain in (None, 1.0)
    )
    assert exact.same_bits(plain.predict(x), gained.predict(x))


def test_layer_scale_multiplies_columns(dtype):
    net = Network([LayerScale(0.25)], inputs=33, dtype=dtype)
    x = cases.normal((70, 33), dtype, "x")
    assert exact.same_bits(net.predict(x), x * np.array(0.25, dtype))
    gamma = cases.normal(33, dtype, "gamma")
    net.set_parameters({"0.gamma": gamma})
    assert exact.same_bits(net.forward(x), x * gamma)
    assert exact.same_bits(net.backward(x), x * gamma)
    assert norm_error(net.gradients()["0.gamma"], (x.astype(np.float64) ** 2).sum(axis=0)) < 1e-6


@pytest.mark.parametrize("widths", [(1, 1), (3, 16), (17, 2), (31, 33), (64, 1), (1, 64)])
@pytest.mark.parametrize("rows", [1, 17, 300, 1100])
def test_a_projection_of_any_size(dtype, widths, rows):
    """A block of zeros leaves the projection alone: an ordinary product."""
    net = Network([Residual(Dense(widths[1]), projection=True)], inputs=widths[0], dtype=dtype, threads=2)
    net.set_parameters({"0.0.weight": np.zeros(widths)})
    p = net.parameters()["0.projection"]
    x, d = cases.normal((rows, widths[0]), dtype, "x"), cases.normal((rows, widths[1]), dtype, "d")
    assert exact.same_bits(net.predict(x) + 0, exact.gemm(x, p) + 0)
    net.forward(x)
    assert exact.same_bits(net.backward(d) + 0, exact.gemm(d, np.ascontiguousarray(p.T)) + 0)
    gradients = net.gradients()
    assert exact.same_bits(gradients["0.projection"], gradients["0.0.weight"])
    trainer = gradcore.Trainer(net, "mse", optimizers.Adam(0.01))
    before, y = trainer.evaluate(x, d)["loss"], d
    for _ in range(3):
        trainer.step(x, y)
    assert trainer.evaluate(x, y)["loss"] < before


@pytest.mark.parametrize("rows", [1, 130, 600, 1100])
def test_bits_do_not_depend_on_threads(dtype, rows):
    layers = [
        cases.residual(cases.layer_norm(), cases.dense(40, "tanh"), projection=True, gain=0.3),
        cases.residual(cases.dense(40, "relu"), cases.layer_scale(0.1), gain=0.0), cases.dense(3),
    ]  # fmt: skip
    x, y = cases.normal((rows, 12), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        net = cases.network(gradcore, layers, 12, dtype=dtype, threads=threads)
        trainer = gradcore.Trainer(net, "mse", optimizers.SGD(0.1))
        trainer.step(x, y)
        _, gradients = trainer.gradients(x, y)
        _, d = gradcore.kernels.mse(net.forward(x), y, gradient=True)
        net.backward(d)
        assert_same(net.gradients(), gradients)
        seen.add(tuple(value.tobytes() for value in [*gradients.values(), *net.parameters().values()]))
    assert len(seen) == 1


def test_files_keep_the_options(tmp_path):
    layers = [
        Residual(Dense(7), projection=True, gain=0.5),
        Residual(LayerScale(0.3), gain=-1.0),
        Residual(Dense(7)),
    ]
    net = Network(layers, inputs=3, seed=8)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert again.layers == net.layers
    assert_same(again.parameters(), net.parameters())
    assert repr(again) == repr(net)
    assert "projection=True, gain=0.5" in repr(net)


BAD_OPTIONS = [
    (lambda: Residual(Dense(2), gain="0"), DTypeError, "Residual: gain: expected a number, got '0'"),
    (lambda: Residual(Dense(2), gain=1e31), ArgumentError, "Residual: gain: expected a number from -1e30"),
    (lambda: Residual(Dense(2), gain=float("inf")), ArgumentError, "gain: expected a finite number"),
    (lambda: Residual(Dense(2), projection=1), DTypeError, "projection: expected True or False, got 1"),
    (lambda: Residual(projection=True), ArgumentError, "Residual: expected at least one layer"),
    (lambda: LayerScale(None), DTypeError, "LayerScale: initial: expected a number, got None"),
    (lambda: LayerScale(-1e31), ArgumentError, "LayerScale: initial: expected a number from -1e30 to 1e30"),
    (lambda: Network([Residual(Dense(2))], inputs=3), ShapeError,
     "layers[0]: expected the Residual's last layer to return 3 columns, as many as it gets, got 2; "
     "projection=True lets them differ"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
