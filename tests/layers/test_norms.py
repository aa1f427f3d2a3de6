"""Normalisation of rows: accuracy, hard rows, options, bits."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import ArgumentError, DTypeError, LayerNorm, RMSNorm
from oracle import exact
from support import cases, norm_error, raw

LAYERS = {"layer_norm": cases.layer_norm, "rms_norm": cases.rms_norm}
WIDTHS = (1, 2, 7, 8, 9, 15, 16, 17, 31, 61, 127, 1000)


def run_kernels(kernels, centered, x, gamma, beta, d):
    """y, dx and the column sums, from arrays whose rows lie 5 elements further apart than they are long."""
    rows, cols = x.shape
    ld = cols + 5
    wide = {name: np.full((rows, ld), np.nan, x.dtype) for name in ("x", "y", "d", "dx")}
    wide["x"][:, :cols], wide["d"][:, :cols] = x, d
    stats, sums = np.zeros((rows, 3), x.dtype), np.zeros(cols, x.dtype)
    kernels.norm_forward(rows, cols, wide["x"], wide["y"], ld, stats, centered, 1e-5, gamma, beta)
    kernels.norm_backward(rows, cols, wide["d"], wide["x"], stats, wide["dx"], ld, centered, gamma)
    kernels.norm_columns(rows, cols, wide["d"], wide["x"], stats, ld, sums)
    assert np.isnan(wide["y"][:, cols:]).all()
    return wide["y"][:, :cols], wide["dx"][:, :cols], sums


def expected(centered, x, gamma, beta, d):
    layer = {"kind": "layer_norm" if centered else "rms_norm", "eps": 1e-5}
    parameters = {"0.gamma": gamma, "0.beta": beta}
    net = oracle.Net([layer], {k: v.astype(np.float64) for k, v in parameters.items() if v is not None})
    y = net.forward(x)
    dx = net.backward(d)
    terms = np.asarray(d, np.float64) * (1.0 if gamma is None else gamma) / net.kept["0"][1]
    sizes = [np.abs(y).max(), np.abs(terms).max(), np.abs(d).max() * len(d)]
    return (y, dx, (np.asarray(d, np.float64) * net.kept["0"][0]).sum(axis=0)), sizes


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("cols", WIDTHS)
def test_kernels_are_the_oracle_and_agree_to_the_bit(dtype, centered, cols):
    x, d = (cases.normal((9, cols), dtype, name, cols) for name in "xd")
    gamma, beta = (cases.normal(cols, dtype, name, cols) for name in ("gamma", "beta"))
    bar = 1e-14 if dtype == "float64" else 2e-6
    for g, b in ((gamma, beta), (gamma, None), (None, beta), (None, None)):
        got = [run_kernels(raw.Kernels(isa, dtype), centered, x, g, b, d) for isa in gradcore.names("isa")]
        for value, want, size in zip(got[0], *expected(centered, x, g, b, d), strict=True):
            assert np.abs(value - want).max() <= bar * size
        for other in got[1:]:
            for value, want in zip(other, got[0], strict=True):
                assert exact.same_bits(value, want)


@pytest.mark.parametrize(
    ("mean", "deviation"), [(1e6, 1.0), (-1e4, 1e-2), (3e7, 100.0), (0.0, 1e-12), (0.0, 1e18)]
)
def test_rows_far_from_zero_and_of_any_size(dtype, mean, deviation):
    """The mean is large beside the deviation: what the numbers of the row hold is not lost."""
    x = (mean + deviation * cases.normal((5, 333), "float64", "x")).astype(dtype)
    net = gradcore.Network([LayerNorm(eps=1e-30)], inputs=333, dtype=dtype)
    exact_x = x.astype(np.float64)
    center = exact_x.mean(axis=1, keepdims=True)
    want = (exact_x - center) / np.sqrt(((exact_x - center) ** 2).mean(axis=1, keepdims=True) + 1e-30)
    u = 1e-6 if dtype == "float32" else max(1e-13, 1e-14 * abs(mean) / deviation)
    assert norm_error(net.predict(x), want) < u


@pytest.mark.parametrize("value", [0.0, 1.0, -3.1, 1e6, 1e30])
def test_a_constant_row_gives_beta(dtype, value):
    net = gradcore.Network([LayerNorm()], inputs=77, dtype=dtype)
    beta = cases.normal(77, dtype, "beta")
    net.set_parameters({"0.beta": beta})
    got = net.predict(np.full((3, 77), value, dtype))
    assert np.abs(got - beta).max() <= 1e-12
    net.forward(np.full((3, 77), value, dtype))
    assert np.isfinite(net.backward(np.ones((3, 77)))).all()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_disturbs_no_other(dtype, kind, bad):
    layers = [cases.dense(20, "tanh"), LAYERS[kind](), cases.dense(4)]
    net = cases.network(gradcore, layers[1:], 33, seed=3, dtype=dtype)
    x = cases.normal((50, 33), dtype, "x")
    want = net.predict(x)
    x[17, 5] = bad
    got = net.predict(x)
    keep = np.arange(50) != 17
    assert np.isnan(got[17]).any()
    assert exact.same_bits(got[keep], want[keep])


@pytest.mark.parametrize("kind", LAYERS)
def test_a_row_has_the_same_bits_alone(isa, dtype, kind):
    net = cases.network(gradcore, [LAYERS[kind](), cases.dense(5)], 3001, dtype=dtype, isa=isa, threads=3)
    x = cases.normal((300, 3001), dtype, "x")
    whole = net.predict(x)
    for row in (0, 130, 299):
        assert exact.same_bits(net.predict(x[row : row + 1])[0], whole[row])
    assert exact.same_bits(net.forward(x), whole)


@pytest.mark.parametrize("rows", [1, 255, 256, 257, 600, 1100])
def test_gradients_do_not_depend_on_threads(dtype, rows):
    """Batches of one block of KC, of more, and tall ones, by hand and in a trainer."""
    layers = [cases.dense(40, "tanh"), cases.layer_norm(), cases.dense(33), cases.rms_norm(), cases.dense(3)]
    x, y = cases.normal((rows, 12), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        net = cases.network(gradcore, layers, 12, dtype=dtype, threads=threads)
        trainer = gradcore.Trainer(net, "mse", gradcore.optimizers.SGD(0.1))
        _, gradients = trainer.gradients(x, y)
        _, d = gradcore.kernels.mse(net.forward(x), y, gradient=True)
        net.backward(d)
        for found in (gradients, net.gradients()):
            seen.add(tuple(value.tobytes() for value in found.values()))
    assert len(seen) == 1


BAD_OPTIONS = [
    (lambda: LayerNorm(eps=0), ArgumentError, "LayerNorm: eps: expected a number from 1e-30 to 1, got 0.0"),
    (lambda: LayerNorm(eps=-1e-5), ArgumentError, "eps: expected a number from 1e-30 to 1"),
    (lambda: LayerNorm(eps=2), ArgumentError, "eps"),
    (lambda: LayerNorm(eps=float("nan")), ArgumentError, "LayerNorm: eps: expected a finite number"),
    (lambda: LayerNorm(eps="1e-5"), DTypeError, "LayerNorm: eps: expected a number, got '1e-5'"),
    (lambda: LayerNorm(scale=1), DTypeError, "LayerNorm: scale: expected True or False, got 1"),
    (lambda: LayerNorm(shift=None), DTypeError, "LayerNorm: shift: expected True or False"),
    (lambda: RMSNorm(eps=1e-31), ArgumentError, "RMSNorm: eps: expected a number from 1e-30 to 1"),
    (lambda: RMSNorm(scale="yes"), DTypeError, "RMSNorm: scale: expected True or False"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
