"""The oracle itself: its formulas agree with differences, with exact fractions and with stored vectors."""

import math
from fractions import Fraction

import cases
import exact
import make_vectors
import numpy as np
import pytest
import reference


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_an_oracle_derivative_is_the_difference_quotient(name):
    x = np.linspace(-6.03, 6.05, 97)
    alpha = make_vectors.ALPHA.get(name, 0.0)
    points = x.copy()
    quotient = reference.four_point(lambda: reference.activation(name, points, alpha).sum(), points)
    assert np.abs(quotient - reference.d_activation(name, x, alpha)).max() < 1e-9


@pytest.mark.parametrize("name", reference.LOSSES)
def test_an_oracle_loss_gradient_is_the_difference_quotient(name):
    z = cases.normal((7, 5), "float64", name)
    target, weight = targets(name, 7, 5), np.arange(7) + 0.5
    points = z.copy()
    quotient = reference.four_point(lambda: reference.loss(name, points, target, weight)[0], points)
    assert np.abs(quotient - reference.loss(name, z, target, weight)[1]).max() < 1e-10


def targets(name, rows, columns):
    rng = cases.generator("targets", name, rows, columns)
    if name == "cross_entropy":
        return rng.integers(0, columns, rows)
    if name == "binary_cross_entropy":
        return rng.integers(0, 2, (rows, columns)).astype(np.float64)
    return rng.standard_normal((rows, columns))


def test_oracle_backward_is_the_difference_quotient():
    layers = [
        cases.standardize(), cases.dense(4, "tanh"), cases.dropout(0.5),
        cases.residual(cases.dense(4, "gelu"), cases.activation("elu", alpha=0.7)), cases.dense(3),
    ]  # fmt: skip
    rng = cases.generator("oracle backward")
    parameters = {"0.mean": rng.normal(size=5), "0.inverse_std": rng.uniform(0.5, 2, 5)}
    for name, shape in (("1", (5, 4)), ("3.0", (4, 4)), ("4", (4, 3))):
        parameters[f"{name}.weight"] = rng.normal(size=shape)
        parameters[f"{name}.bias"] = rng.normal(size=shape[1])
    net = reference.Net(layers, parameters, {"2": rng.integers(0, 2, (6, 4)) * 2.0})
    x, labels = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)

    def value():
        return reference.loss("cross_entropy", net.forward(x), labels)[0]

    _, d, _ = reference.loss("cross_entropy", net.forward(x), labels)
    d_x = net.backward(d)
    assert np.abs(reference.four_point(value, x) - d_x).max() < 1e-9
    for name, gradient in net.gradients.items():
        assert np.abs(reference.four_point(value, parameters[name]) - gradient).max() < 1e-9


@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_emulated_fma_rounds_once(dtype):
    rng = cases.generator("fma", dtype)
    a, b, c = (
        (rng.standard_normal(3000) * 2.0 ** rng.integers(-15, 15, 3000)).astype(dtype) for _ in range(3)
    )
    c[:1500] = -(a * b)[:1500] * (1 + rng.integers(-2, 3, 1500) * np.finfo(dtype).eps).astype(dtype)
    got = exact.fma(a, b, c)
    for i in range(a.size):
        true = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
        error = abs(Fraction(float(got[i])) - true)
        even = got.view(f"i{got.itemsize}")[i] % 2 == 0
        for direction in (-np.inf, np.inf):
            other = Fraction(float(np.nextafter(got[i], got.dtype.type(direction))))
            assert error < abs(other - true) or (even and error == abs(other - true))


def test_ulp_error_counts_units_in_the_last_place():
    one = np.float32(1)
    assert exact.ulp_error(one, np.float64(1)) == 0
    assert exact.ulp_error(np.nextafter(one, np.float32(2)), np.float64(1)) == 1
    assert exact.ulp_error(np.float32(np.nan), np.float64(1)) == math.inf
    assert exact.ulp_error(np.float32(np.inf), np.float64(1e300)) == 0


@pytest.mark.parametrize("name", make_vectors.CONFIGURATIONS)
def test_oracle_optimizers_follow_pytorch(name):
    _, options, rates, kind, _ = make_vectors.CONFIGURATIONS[name]
    want = np.load(make_vectors.PATH)[name]
    weights, states = make_vectors.start(), [{}, {}, {}]
    largest = np.maximum.accumulate(np.abs(want))  # a 1e6 gradient and its reverse cancel: so far, not now
    for step, gradients in enumerate(make_vectors.gradients()):
        for i, gradient in enumerate(gradients):
            lr = rates[step >= make_vectors.CHANGE]
            update = reference.OPTIMIZERS[kind.lower()]
            weights[i] = update(weights[i], gradient, states[i], lr, step + 1, **options)
        got = np.concatenate([w.reshape(-1) for w in weights])
        assert (np.abs(got - want[step]) <= 1e-12 * largest[step]).all()


def test_philox_known_answers():
    """From the Random123 distribution, kat_vectors."""
    ones = 0xFFFFFFFF
    for counter, key, want in (
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ones] * 4, [ones] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
         [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ):  # fmt: skip
        assert reference.philox(counter, key).tolist() == want
