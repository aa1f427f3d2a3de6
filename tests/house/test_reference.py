"""The oracle itself: its formulas agree with differences, with exact fractions and with stored vectors."""

import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from oracle import exact
from support import cases
from support.loss_cases import CASES
from vectors import make_torch


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_an_oracle_derivative_is_the_difference_quotient(name):
    x = np.linspace(-6.03, 6.05, 97)
    alpha = make_torch.ALPHA.get(name, 0.0)
    points = x.copy()
    quotient = oracle.four_point(lambda: oracle.activation(name, points, alpha).sum(), points)
    assert np.abs(quotient - oracle.d_activation(name, x, alpha)).max() < 1e-9


@pytest.mark.parametrize("name", [name for name in CASES if name != "gaussian_nll variance"])
def test_an_oracle_loss_gradient_is_the_difference_quotient(name):
    """But of a variance below eps, whose slope is PyTorch's and not the derivative."""
    case = CASES[name]
    z, weight = case.outputs(cases.normal((7, 6), "float64", name)), np.arange(7) + 0.5
    target, points = case.target(7, 6, np.float64), z.copy()
    h = 1e-5 if case.name in oracle.losses.KINKED else 1e-3
    quotient = oracle.four_point(
        lambda: oracle.loss(case.name, points, target, weight, **case.oracle(6))[0], points, h
    )
    gradient = oracle.loss(case.name, z, target, weight, **case.oracle(6))[1]
    assert np.abs(quotient - gradient).max() < 1e-9 * max(1.0, np.abs(gradient).max())


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
    net = oracle.Net(layers, parameters, {"2": rng.integers(0, 2, (6, 4)) * 2.0})
    x, labels = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)

    def value():
        return oracle.loss("cross_entropy", net.forward(x), labels)[0]

    _, d, _ = oracle.loss("cross_entropy", net.forward(x), labels)
    d_x = net.backward(d)
    assert np.abs(oracle.four_point(value, x) - d_x).max() < 1e-9
    for name, gradient in net.gradients.items():
        assert np.abs(oracle.four_point(value, parameters[name]) - gradient).max() < 1e-9


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


@pytest.mark.parametrize("name", make_torch.CONFIGURATIONS)
def test_oracle_optimizers_follow_pytorch(name):
    _, options, rates, kind, _ = make_torch.CONFIGURATIONS[name]
    want = np.load(make_torch.PATH)[name]
    weights, states = make_torch.start(), [{}, {}, {}]
    largest = np.maximum.accumulate(np.abs(want))  # a 1e6 gradient and its reverse cancel: so far, not now
    for step, gradients in enumerate(make_torch.gradients()):
        for i, gradient in enumerate(gradients):
            lr = rates[step >= make_torch.CHANGE]
            update = oracle.optimizers.OPTIMIZERS[kind.lower()]
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
        assert oracle.rng.philox(counter, key).tolist() == want
