"""Layers of few outputs, and inputs used where they lie: other ways through memory, the same bits."""

import numpy as np
import pytest
from gradcore import Dense, LayerNorm, Network, Standardize, Trainer, optimizers
from oracle import exact
from support import cases

ROWS = (1, 3, 4, 7, 8, 15, 16, 17, 33)
FAN_IN = (1, 2, 3, 4, 5, 15, 16, 17, 37, 256, 257, 600)


def dense(fan_in, outputs, isa, dtype, bias=True):
    network = Network([Dense(outputs, bias=bias)], inputs=fan_in, dtype=dtype, isa=isa, threads=1, seed=3)
    if bias:
        network.set_parameters({"0.bias": cases.normal(outputs, dtype, "bias", outputs)})
    return network


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("fan_in", FAN_IN)
def test_a_narrow_layer_is_the_chains_of_the_contract(fan_in, outputs, isa, dtype):
    network = dense(fan_in, outputs, isa, dtype)
    weights = network.parameters()
    x = cases.normal((max(ROWS), fan_in), dtype, "x", fan_in)
    expected = exact.gemm(x, weights["0.weight"], weights["0.bias"])
    for rows in ROWS:
        assert exact.same_bits(network.predict(x[:rows]), expected[:rows])


def test_a_narrow_layer_without_bias(isa, dtype):
    network = dense(21, 2, isa, dtype, bias=False)
    x = cases.normal((19, 21), dtype, "x")
    assert exact.same_bits(network.predict(x), exact.gemm(x, network.parameters()["0.weight"]))


@pytest.mark.parametrize("fan_in", [3, 256, 300])
def test_a_sum_of_negative_zeros_is_one(fan_in, isa, dtype):
    """A chain begins with the bias, and a block after the first with +0."""
    network = dense(fan_in, 2, isa, dtype)
    network.set_parameters({"0.weight": np.full((fan_in, 2), -0.0), "0.bias": [-0.0, 0.0]})
    sign = np.signbit(network.predict(np.ones((5, fan_in))))
    assert (sign == [fan_in <= 256, False]).all()


@pytest.mark.parametrize("fan_in", [1, 7, 8, 9, 16, 17, 40])
def test_gradients_of_a_narrow_layer_are_those_of_the_same_columns_of_a_wide_one(fan_in, isa, dtype):
    x, d = cases.normal((300, fan_in), dtype, "x", fan_in), cases.normal((300, 2), dtype, "d", fan_in)
    narrow, wide = dense(fan_in, 2, isa, dtype), dense(fan_in, 40, isa, dtype)
    weight = narrow.parameters()["0.weight"]
    wide.set_parameters({"0.weight": np.hstack([weight, np.zeros((fan_in, 38), dtype)])})
    dx = []
    for network, outputs in ((narrow, 2), (wide, 40)):
        network.forward(x)
        dx.append(network.backward(np.hstack([d, np.zeros((300, outputs - 2), dtype)])))
    assert exact.same_bits(dx[0], dx[1])
    assert exact.same_bits(narrow.gradients()["0.weight"], wide.gradients()["0.weight"][:, :2].copy())


@pytest.mark.parametrize("fan_in", [5, 16, 33])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_training_keeps_lanes_past_fan_in_out_of_it(fan_in, threads, isa, dtype):
    """sigmoid(0) = 1/2 stands in the padding of the hidden layer: it must reach neither weights nor norm."""
    network = Network([Dense(fan_in, "sigmoid"), Dense(1)], inputs=6, dtype=dtype, isa=isa, threads=threads)
    trainer = Trainer(network, "mse", optimizers.Adam(1e-2))
    x, y = cases.normal((40, 6), dtype, "x"), cases.normal((40, 1), dtype, "y")
    for _ in range(5):
        _, gradients = trainer.gradients(x, y)
        norm = np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients.values()))
        history = trainer.fit(x, y, epochs=1, batch_size=40, shuffle=False, progress=False)
        np.testing.assert_allclose(history["grad_norm"][-1], norm, rtol=1e-6)
    weights = network.parameters()
    hidden = 1 / (1 + np.exp(-(x.astype(np.float64) @ weights["0.weight"] + weights["0.bias"])))
    outputs = hidden @ weights["1.weight"] + weights["1.bias"]
    np.testing.assert_allclose(network.predict(x), outputs, rtol=2e-5, atol=1e-6)


NETS = {
    "dense": [Dense(20, "relu"), Dense(3)],
    "standardized": [Standardize(), Dense(20, "tanh"), Dense(3)],
    "narrow first": [Dense(3)],
    "normalised": [LayerNorm(), Dense(20, "relu"), Dense(3)],
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("inputs", [6, 17, 256, 512])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_in_order_give_the_bits_of_gathered_rows(net, inputs, threads, dtype):
    """A step reads rows in order where they lie; rows by index are copied first."""
    x, y = cases.normal((70, inputs), dtype, "x", inputs), cases.normal((70, 3), dtype, "y")
    views = {"contiguous": x, "strided": cases.row_strided(x), "off by one": cases.off_by_one_element(x)}
    results = {}
    for name, rows in views.items():
        network = Network(NETS[net], inputs=inputs, dtype=dtype, threads=threads, seed=1)
        trainer = Trainer(network, "mse", optimizers.Adam(1e-2))
        for begin in range(0, 70, 32):
            trainer.step(rows[begin : begin + 32], y[begin : begin + 32])
        results[name] = network.parameters()
    if net != "standardized":  # which fit would fit to the data
        network = Network(NETS[net], inputs=inputs, dtype=dtype, threads=threads, seed=1)
        whole = Trainer(network, "mse", optimizers.Adam(1e-2))
        whole.fit(x, y, epochs=1, batch_size=32, shuffle=False, progress=False)
        results["fit"] = network.parameters()
    first = results.pop("contiguous")
    for other in results.values():
        assert all(exact.same_bits(first[name], other[name]) for name in first)
