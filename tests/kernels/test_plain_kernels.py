"""`gradcore.kernels`: results, and that `out=` gets them bit for bit, in place."""

import numpy as np
import pytest
from gradcore import kernels

DTYPES = ("float32", "float64")


@pytest.fixture(params=DTYPES)
def layer(request):
    """x, w, b and d_y of a dense layer."""
    rng = np.random.default_rng(3)
    shapes = ((5, 4), (4, 3), (3,), (5, 3))
    return tuple(rng.normal(size=shape).astype(request.param) for shape in shapes)


def test_dense_forward_writes_out(layer):
    x, w, b, _ = layer
    out = np.full((5, 3), np.nan, x.dtype)
    assert kernels.dense_forward(x, w, b, out=out) is out
    assert (out == kernels.gemm(x, w, b)).all() and np.allclose(out, x @ w + b, atol=1e-5)


def test_dense_backward_writes_out(layer):
    x, w, _, d_y = layer
    expected = kernels.dense_backward(x, w, d_y)
    for got, right in zip(expected, (d_y @ w.T, x.T @ d_y, d_y.sum(0)), strict=True):
        assert np.allclose(got, right, atol=1e-5)
    out = tuple(np.full_like(part, np.nan) for part in expected)
    for got, mine, right in zip(kernels.dense_backward(x, w, d_y, out=out), out, expected, strict=True):
        assert got is mine and (got == right).all()
    some = kernels.dense_backward(x, w, d_y, out=(None, out[1], None))
    assert some[1] is out[1] and (some[0] == expected[0]).all() and (some[2] == expected[2]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_write_out(dtype):
    z = np.random.default_rng(4).normal(size=(6, 3)).astype(dtype)
    labels = [0, 1, 2, 2, 1, 0]
    losses, d_z = kernels.softmax_cross_entropy(z, labels, gradient=True)
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert np.allclose(losses, -np.log(shares[np.arange(6), labels]), atol=1e-6)
    assert np.allclose(d_z, (shares - np.eye(3)[labels]) / 6, atol=1e-6)
    rows = np.empty(6)
    assert kernels.softmax_cross_entropy(z, labels, out=rows) is rows and (rows == losses).all()
    rows[:] = 0
    got = kernels.softmax_cross_entropy(z, labels, gradient=True, out=(rows, z))
    assert got[0] is rows and got[1] is z and (rows == losses).all() and (z == d_z).all()


def test_activations_write_out_over_their_argument():
    x = np.linspace(-2, 2, 9)
    right = kernels.tanh(x)
    assert kernels.tanh(x, out=x) is x and (x == right).all()
