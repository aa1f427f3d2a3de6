"""Activations and vector math: accuracy over the whole range, special values, aliasing, equal bits."""

import numpy as np
import oracle
import pytest
from gradcore import _core
from oracle import exact
from oracle.activations import FROM_OUTPUT
from support import cases, raw
from vectors import make_torch

ALPHA = make_torch.ALPHA
BACKWARD_BAR = 8.0  # largest error of f', in half units of the last place of the exact value
# Their derivatives pass through zero, or are a product with such a number.
CROSSING = {"gelu": 4.0, "silu": 4.0, "gelu_tanh": 6.0, "mish": 6.0, "hard_swish": 2.0, "gaussian": 4.0}


def samples(dtype):
    """Finite inputs: both tails, the kinks, and densely where functions bend."""
    parts = [cases.sweep(dtype, 1e-8, 110.0, 20_000), cases.sweep(dtype, 1e-3, 8.0, 20_000)]
    special = cases.special_values(dtype)
    return np.concatenate([*parts, special[np.isfinite(special)]])


def forward(kernels, name, z, alpha):
    y = np.empty_like(z)
    kernels.act_forward(name, 1, z.size, z, y, z.size, alpha)
    return y


def backward(kernels, name, saved, d, alpha):
    d = d.copy()
    kernels.act_backward(name, 1, saved.size, saved, d, saved.size, alpha)
    return d


def assert_close(got, want, dtype, relative, absolute=0.0, subnormals=1.0):
    """Within u (relative |want| + absolute), or some of the smallest numbers that there are."""
    with np.errstate(over="ignore", invalid="ignore"):
        bound = cases.unit(dtype) * (relative * np.abs(want) + absolute)
        bound = bound + subnormals * np.finfo(dtype).smallest_subnormal
        ok = (np.abs(got.astype(np.float64) - want) <= bound) | (got == want.astype(dtype))
    assert ok.all(), f"{np.count_nonzero(~ok)} of {ok.size}, first: {got[~ok][0]} for {want[~ok][0]}"


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
@pytest.mark.quick
def test_forward_is_accurate_in_both_tails(isa, dtype, name):
    z = samples(dtype)
    alpha = ALPHA.get(name, 0.0)
    got = forward(raw.Kernels(isa, dtype), name, z, alpha)
    alpha = float(np.dtype(dtype).type(alpha))
    # x times a share that is denormal: the rounding of the share is multiplied too
    product = name in ("gelu", "silu", "gelu_tanh", "mish")
    subnormals = 2 + 2 * np.minimum(np.abs(z.astype(np.float64)), 1e3) if product else 2.0
    bar = 2 * ulp_bar(name, dtype)
    assert_close(got, oracle.activation(name, z, alpha), dtype, bar, subnormals=subnormals)


def ulp_bar(name, dtype):
    """That of the tables; in float64 the oracle's own error comes on top."""
    slack = 0.0 if dtype == "float32" else 4.0 if "gelu" in name else 2.0
    return float(_core.describe("activation", name, "ulp")) + slack


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_the_error_in_ulp_is_what_the_tables_say(name):
    """Over every 30011th float32, where neither the value nor a factor of it is nearly denormal."""
    x = np.arange(0, 2**32, 30011, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([x, samples("float32")])
    alpha = 1.0 if name == "sin" else ALPHA.get(name, 0.0)
    got = forward(raw.Kernels(_core.names("isa")[-1], "float32"), name, x, alpha)
    want = oracle.activation(name, x, float(np.float32(alpha)))
    error = exact.ulp_error(got, want)
    error = np.where(np.abs(want) >= 2.0**-100, error, 0.0)
    worst = int(error.argmax())
    assert error[worst] <= ulp_bar(name, "float32"), f"{error[worst]} ULP at {x[worst]}"


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
@pytest.mark.quick
def test_backward_is_accurate(isa, dtype, name):
    z = samples(dtype)
    alpha = ALPHA.get(name, 0.0)
    kernels = raw.Kernels(isa, dtype)
    saved = forward(kernels, name, z, alpha) if name in FROM_OUTPUT else z
    got = backward(kernels, name, saved, np.ones_like(z), alpha)
    alpha = float(np.dtype(dtype).type(alpha))
    want = oracle.d_activation(name, z, alpha)
    if name in FROM_OUTPUT:
        from_output = FROM_OUTPUT[name](saved.astype(np.float64), alpha)
        assert_close(
            got, from_output, dtype, BACKWARD_BAR, absolute=4.0 if name in ("elu", "selu", "celu") else 0.0
        )
        assert_close(got, want, dtype, BACKWARD_BAR, absolute=8.0)  # 1 - y^2 has y's absolute error
    else:
        assert_close(got, want, dtype, BACKWARD_BAR, CROSSING.get(name, 0.0), subnormals=100.0)


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_backward_multiplies_the_incoming_gradient(isa, dtype, name):
    z, d = cases.normal(97, dtype, name), cases.normal(97, dtype, name, "d")
    kernels, alpha = raw.Kernels(isa, dtype), ALPHA.get(name, 0.0)
    saved = forward(kernels, name, z, alpha) if name in FROM_OUTPUT else z
    slope = backward(kernels, name, saved, np.ones_like(z), alpha)
    assert np.allclose(
        backward(kernels, name, saved, d, alpha), slope * d, rtol=4 * cases.unit(dtype), atol=0
    )


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_special_values(isa, dtype, name):
    z = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)
    got = forward(raw.Kernels(isa, dtype), name, z, ALPHA.get(name, 0.0))
    want = oracle.activation(name, z, ALPHA.get(name, 0.0)).astype(dtype)
    assert np.array_equal(got, want, equal_nan=True)
    assert np.isnan(got[2])


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_a_nan_gradient_or_input_is_never_lost(isa, dtype, name):
    kernels, alpha = raw.Kernels(isa, dtype), ALPHA.get(name, 0.0)
    one = np.array([0.75, 2.0, 0.5], dtype)
    bad = np.array([np.nan, 2.0, np.nan], dtype)
    saved = forward(kernels, name, one, alpha) if name in FROM_OUTPUT else one
    assert np.isnan(backward(kernels, name, saved, bad, alpha)).tolist() == [True, False, True]


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_size_padding_and_aliasing_leave_no_trace(isa, dtype, name):
    """Each row, alone or in a padded matrix, in place or not, has the same bits; padding stays."""
    for cols in cases.FEW_SIZES:
        kernels, alpha, ld = raw.Kernels(isa, dtype), ALPHA.get(name, 0.0), cols + 3
        z = cases.normal((5, ld), dtype, name, cols)
        y = np.full_like(z, 7)
        kernels.act_forward(name, 5, cols, z, y, ld, alpha)
        assert (y[:, cols:] == 7).all()
        for row in range(5):
            one = forward(kernels, name, z[row, :cols].copy(), alpha)
            assert exact.same_bits(y[row, :cols], one)
        in_place = z.copy()
        kernels.act_forward(name, 5, cols, in_place, in_place, ld, alpha)
        assert exact.same_bits(in_place[:, :cols], y[:, :cols])
        assert exact.same_bits(in_place[:, cols:], z[:, cols:])
        d = cases.normal((5, ld), dtype, name, cols, "d")
        whole = d.copy()
        saved = y if name in FROM_OUTPUT else z
        kernels.act_backward(name, 5, cols, saved, whole, ld, alpha)
        assert exact.same_bits(whole[:, cols:], d[:, cols:])
        for row in range(5):
            one = backward(kernels, name, saved[row, :cols].copy(), d[row, :cols].copy(), alpha)
            assert exact.same_bits(whole[row, :cols], one)


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_instruction_sets_agree(dtype, name):
    z = np.concatenate([samples(dtype), cases.special_values(dtype)])
    d = cases.normal(z.size, dtype, "d")
    results = []
    for isa in _core.names("isa"):
        kernels = raw.Kernels(isa, dtype)
        y = forward(kernels, name, z, 0.3)  # sin: with huge products too
        saved = y if name in FROM_OUTPUT else z
        results.append((y, backward(kernels, name, saved, d, 0.3)))
    for y, back in results[1:]:
        assert exact.same_bits(plain_nan(y), plain_nan(results[0][0]))
        assert exact.same_bits(plain_nan(back), plain_nan(results[0][1]))


def plain_nan(a):
    """NaNs without sign and payload, which no contract fixes."""
    return np.where(np.isnan(a), np.array(np.nan, a.dtype), a)


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_the_public_functions_agree_with_the_oracle(dtype, name):
    x, d = cases.normal((11, 13), dtype, name), cases.normal((11, 13), dtype, name, "d")
    alpha = ALPHA.get(name, 0.0)
    y = _core.activation_forward(name, x, None, alpha)
    d_x = _core.activation_backward(name, x, d, None, alpha)
    assert_close(y, oracle.activation(name, x, alpha), dtype, 12, absolute=2)
    assert_close(d_x, d.astype(np.float64) * oracle.d_activation(name, x, alpha), dtype, 12, absolute=16)
    in_place = x.copy()
    assert _core.activation_forward(name, in_place, in_place, alpha) is in_place
    assert exact.same_bits(in_place, y)


@pytest.mark.parametrize("name", make_torch.ACTIVATIONS)
def test_values_and_derivatives_are_pytorchs(name):
    """At kinks too: the points hold every one of them. PyTorch takes 1 / 6 in hardsigmoid's derivative from
    float32."""
    vectors = np.load(make_torch.ACTIVATION_PATH)
    x, alpha = vectors["x"], ALPHA.get(name, 0.0)
    y, slope = vectors[name]
    got = _core.activation_forward(name, x, None, alpha)
    d_x = _core.activation_backward(name, x, np.ones_like(x), None, alpha)
    assert (np.abs(got - y) <= 1e-12 * np.maximum(1, np.abs(y))).all()
    bar = (1e-8 if name == "hard_sigmoid" else 1e-12) * np.maximum(1, np.abs(slope))
    assert (np.abs(d_x - slope) <= bar).all()
    assert (np.abs(oracle.activation(name, x, alpha) - y) <= 1e-12 * np.maximum(1, np.abs(y))).all()
    assert (np.abs(oracle.d_activation(name, x, alpha) - slope) <= bar).all()


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_values_stay_in_their_range(isa, dtype, name):
    """The range in the tables is closed where a bracket is, to the last digit that it gives."""
    alpha = float(_core.describe("activation", name, "alpha"))
    text = _core.describe("activation", name, "range").replace("all numbers", "(-inf, inf)")
    low, high = (float(end) for end in text.strip("[]()").replace("alpha", str(alpha)).split(","))
    z = np.concatenate([samples(dtype), np.array([np.inf, -np.inf], dtype)])
    y = forward(raw.Kernels(isa, dtype), name, z, alpha)
    y = y[~np.isnan(y)]
    slack = 1e-4 if "." in text.replace(str(alpha), "").replace(".0", "") else 0.0
    assert low - slack <= y.min() and y.max() <= high + slack


@pytest.mark.parametrize("alpha", [1.0, 30.0])
def test_sine_and_cosine_over_all_magnitudes(isa, dtype, alpha):
    """To 1 ULP, with the exact product in float32; in float64 beyond 2^20 that of the rounded product."""
    rng = cases.generator("sine", dtype)
    info = np.finfo(dtype)
    x = np.concatenate([
        rng.uniform(-1e4, 1e4, 40_000), np.exp(rng.uniform(-60, np.log(info.max / 100), 2000)),
        np.arange(-2000, 2000) * (np.pi / 2 / alpha), 2.0 ** np.arange(12, 24),
        2.0 ** np.arange(12, 24) * 0.9999999,
    ]).astype(dtype)  # fmt: skip
    kernels = raw.Kernels(isa, dtype)
    sine, cosine = forward(kernels, "sin", x, alpha), backward(kernels, "sin", x, np.ones_like(x), alpha)
    slack = 0.0 if dtype == "float32" else 1.0  # the rounding of the oracle
    error = exact.ulp_error(sine, oracle.activation("sin", x, alpha))
    assert error.max() <= 1 + slack, x[error.argmax()]
    error = exact.ulp_error(cosine, oracle.d_activation("sin", x, alpha))
    assert error.max() <= 2 + slack, x[error.argmax()]


def test_sine_of_special_values(isa, dtype):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(dtype).smallest_subnormal], dtype)
    got = forward(raw.Kernels(isa, dtype), "sin", x, 1.0)
    assert exact.same_bits(got[[0, 1, 5]], x[[0, 1, 5]]) and np.isnan(got[2:5]).all()


# ---- exp, log, tanh, erf by themselves ----

BARS = {"exp": 2.0, "log": 2.0, "tanh": 2.0, "erf": 1.5}
TRUE = {"exp": np.exp, "log": np.log, "tanh": np.tanh, "erf": oracle.activations.erf}


def math_samples(dtype, name, count):
    if name == "log":
        info = np.finfo(dtype)
        rng = cases.generator("log", dtype)
        wide = np.exp(rng.uniform(np.log(info.tiny), np.log(info.max), count)).astype(dtype)
        near_one = (1 + rng.uniform(-0.3, 0.3, count)).astype(dtype)
        denormal = (rng.uniform(0, 1, 100) * info.tiny).astype(dtype)
        return np.concatenate([wide, near_one, denormal, cases.special_values(dtype)])
    high = 104.0 if dtype == "float32" else 745.0
    top = high if name == "exp" else 20.0
    return np.concatenate(
        [
            cases.sweep(dtype, 1e-30, top, count),
            cases.sweep(dtype, 1e-3, 6.0, count),
            cases.special_values(dtype),
        ]
    )


def evaluate(kernels, name, x):
    y = np.empty_like(x)
    getattr(kernels, name)(x.size, x, y)
    return y


@pytest.mark.parametrize("name", BARS)
def test_vector_math_error_in_ulp(isa, dtype, name):
    x = math_samples(dtype, name, 8000)
    with np.errstate(all="ignore"):
        # float64: the C library's own error, up to 1 ULP of the float64 result, comes on top
        true = TRUE[name](x.astype(np.float64))
    slack = 0.0 if dtype == "float32" else 1.0
    error = exact.ulp_error(evaluate(raw.Kernels(isa, dtype), name, x), true)
    worst = int(error.argmax())
    assert error[worst] <= BARS[name] + slack, f"{error[worst]} ULP at {x[worst]}"


@pytest.mark.long
@pytest.mark.parametrize("name", BARS)
def test_vector_math_over_every_float32(isa, name):
    kernels = raw.Kernels(isa, "float32")
    true = TRUE[name] if name != "erf" else _erf_fast()
    for begin in range(0, 2**32, 2**24):
        x = np.arange(begin, begin + 2**24, dtype=np.uint64).astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            error = exact.ulp_error(evaluate(kernels, name, x), true(x.astype(np.float64)))
        worst = int(error.argmax())
        assert error[worst] <= BARS[name], f"{error[worst]} ULP at {x[worst]}"


def _erf_fast():
    return pytest.importorskip("scipy.special").erf
