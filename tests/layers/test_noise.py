"""AlphaDropout and GaussianNoise: their numbers, moments and bits; only in training."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import AlphaDropout, ArgumentError, DTypeError, GaussianNoise, Network
from oracle import exact
from support import cases, raw


@pytest.mark.parametrize("layer", [AlphaDropout(0.3), GaussianNoise(0.5)])
def test_they_act_in_training_alone_and_anew_every_step(dtype, layer):
    net = Network([layer], inputs=40, dtype=dtype, seed=1)
    x = cases.normal((30, 40), dtype, "x")
    assert exact.same_bits(net.predict(x), x)
    assert exact.same_bits(net.forward(x), x)
    first = net.forward(x, training=True, step=0)
    assert not np.array_equal(first, x)
    assert exact.same_bits(first, net.forward(x, training=True, step=0))
    assert not np.array_equal(first, net.forward(x, training=True, step=1))


def test_a_rate_or_deviation_of_zero_does_nothing():
    x = cases.normal((30, 40), "float32", "x")
    net = Network([AlphaDropout(0.0), GaussianNoise(0.0)], inputs=40)
    assert exact.same_bits(net.forward(x, training=True), x)
    net.backward(x)


def test_noise_is_the_quantile_of_its_word(isa, dtype):
    """Every element, whatever rows it is made with; the smallest and largest words too."""
    rows, cols = 23, 37
    kernels, zeros = raw.Kernels(isa, dtype), np.zeros((rows, cols), dtype)
    got, part = zeros.copy(), zeros[:5].copy()
    kernels.gaussian_noise(rows, cols, cols, 0, 9, 3, 7, 1.0, zeros, got)
    want = oracle.rng.normal_numbers(rows, cols, 9, 3, 7)
    bar = 1e-14 if dtype == "float64" else 4e-7
    assert (np.abs(got - want) <= bar * np.maximum(np.abs(want), 1e-3)).all()
    kernels.gaussian_noise(5, cols, cols, 11, 9, 3, 7, 1.0, zeros, part)
    assert exact.same_bits(part, got[11:16])
    scalar = zeros.copy()
    raw.Kernels("scalar", dtype).gaussian_noise(rows, cols, cols, 0, 9, 3, 7, 1.0, zeros, scalar)
    assert exact.same_bits(scalar, got)


def test_noise_is_normal():
    net = Network([GaussianNoise(2.0)], inputs=1000)
    noise = net.forward(np.zeros((1000, 1000)), training=True).astype(np.float64).reshape(-1)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 2) < 0.005
    assert abs((np.abs(noise) < 2).mean() - 0.682689) < 0.003
    assert 8.5 < np.abs(noise).max() < 12


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    net = Network([AlphaDropout(rate)], inputs=1000, seed=2)
    x = cases.normal((1000, 1000), "float32", "x")
    y = net.forward(x, training=True)
    assert abs(y.mean(dtype=np.float64)) < 0.01
    assert abs(y.std(dtype=np.float64) - 1) < 0.01
    values, counts = np.unique(y, return_counts=True)
    assert abs(counts.max() / x.size - rate) < 0.005
    a = ((1 - rate) * (1 + rate * 1.7580993408473766**2)) ** -0.5
    assert values[counts.argmax()] == pytest.approx(-1.7580993408473766 * a * (1 - rate), rel=1e-5)


@pytest.mark.parametrize("rows", [3, 300, 1100])
def test_bits_do_not_depend_on_threads_or_instruction_sets(dtype, rows):
    layers = [cases.gaussian_noise(0.1), cases.dense(40, "selu"), cases.alpha_dropout(0.2), cases.dense(3)]
    x, y = cases.normal((rows, 13), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        for isa in gradcore.names("isa") if threads == 1 else [None]:
            net = cases.network(gradcore, layers, 13, dtype=dtype, threads=threads, isa=isa)
            trainer = gradcore.Trainer(net, "mse", gradcore.optimizers.SGD(0.1))
            seen.add(tuple(value.tobytes() for value in trainer.gradients(x, y)[1].values()))
    assert len(seen) == 1


BAD_OPTIONS = [
    (lambda: AlphaDropout(1.0), ArgumentError, "AlphaDropout: rate: expected a number in [0, 1), got 1.0"),
    (lambda: AlphaDropout("0.5"), DTypeError, "rate: expected a number or a schedule, got '0.5'"),
    (lambda: GaussianNoise(-0.1), ArgumentError, "GaussianNoise: std: expected a number from 0 to 1e30"),
    (lambda: GaussianNoise(None), DTypeError, "std: expected a number or a schedule, got None"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
