"""optimizers.minimize: every method on the textbook's functions, and bad functions."""

import math

import numpy as np
import pytest
import support
from gradcore import errors, optimizers, schedules

FULL_BATCH = {
    "lbfgs": "lbfgs",
    "lbfgs short": optimizers.LBFGS(history=3),
    "ncg": "ncg",
    "ncg hestenes_stiefel": optimizers.ConjugateGradient("hestenes_stiefel"),
    "newton-cg": "newton-cg",
}


def quadratic(x):
    """Condition 1e4, minimum 0 at 0."""
    scale = np.array([1e4 ** (i / (x.size - 1)) for i in range(x.size)])  # NumPy's depend on the CPU
    return 0.5 * math.fsum(scale * x * x), scale * x


def rosenbrock(x):
    a, b = 1 - x[:-1], x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[:-1] = -2 * a - 400 * x[:-1] * b
    gradient[1:] += 200 * b
    return float((a * a).sum() + 100 * (b * b).sum()), gradient


def beale(x):
    powers = np.array([1, 2, 3])
    rest = np.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** powers)
    first = -2 * (rest * (1 - x[1] ** powers)).sum()
    return float((rest**2).sum()), np.array([first, 2 * (rest * x[0] * powers * x[1] ** (powers - 1)).sum()])


TIMES = np.linspace(0, 4, 30)
DECAY = 2.0 * np.exp(-0.7 * TIMES) + 0.3


def least_squares(x):
    """Fits a exp(-b t) + c to its own curve."""
    e = np.exp(-x[1] * TIMES)
    rest = x[0] * e + x[2] - DECAY
    jacobian = np.stack([e, -x[0] * TIMES * e, np.ones_like(e)], axis=1)
    return float(rest @ rest), 2 * jacobian.T @ rest


# name: (function, start, minimum, most evaluations that any method may take)
PROBLEMS = {
    "quadratic": (quadratic, np.ones(20), np.zeros(20), 1200),
    "rosenbrock 2": (rosenbrock, np.array([-1.2, 1.0]), np.ones(2), 300),
    "rosenbrock 10": (rosenbrock, np.tile([-1.2, 1.0], 5), np.ones(10), 700),
    "beale": (beale, np.array([1.0, 1.0]), np.array([3.0, 0.5]), 100),
    "least squares": (least_squares, np.array([1.0, 1.0, 0.0]), np.array([2.0, 0.7, 0.3]), 200),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("method", FULL_BATCH)
@pytest.mark.quick
def test_every_method_finds_the_minimum(method, problem):
    fun, start, minimum, evaluations = PROBLEMS[problem]
    kept = start.copy()
    found = optimizers.minimize(fun, start, FULL_BATCH[method])
    assert found.converged, found.reason
    np.testing.assert_allclose(found.x, minimum, atol=2e-6)
    assert found.gradient_norm <= 1e-7
    assert found.gradient_norm == np.abs(fun(found.x)[1]).max()
    assert found.value == fun(found.x)[0] == min(found.history)
    assert len(found.history) == found.iterations + 1
    assert found.evaluations <= evaluations
    assert np.array_equal(start, kept)


@pytest.mark.parametrize("method", FULL_BATCH)
def test_values_fall_and_runs_repeat(method):
    first = optimizers.minimize(rosenbrock, np.tile([-1.2, 1.0], 5), FULL_BATCH[method])
    second = optimizers.minimize(rosenbrock, np.tile([-1.2, 1.0], 5), FULL_BATCH[method])
    assert first.history == second.history
    assert all(b <= a for a, b in zip(first.history, first.history[1:], strict=False))


# name: (optimizer, steps, largest value of the quadratic after them, from 105)
FIRST_ORDER = {
    "sgd": (optimizers.SGD(1e-1), 300, 1e-10),
    "momentum": (optimizers.SGD(5e-2, momentum=0.9), 400, 1e-8),
    "rmsprop": (optimizers.RMSprop(1e-2), 600, 1e-3),
    "adam": (optimizers.Adam(5e-2), 600, 1e-6),
    "adamw": (optimizers.AdamW(5e-2, weight_decay=0.0), 600, 1e-6),
    "adam with a schedule": (optimizers.Adam(schedules.Cosine(0.1, steps=400)), 400, 1e-4),
}


@pytest.mark.parametrize("name", FIRST_ORDER)
def test_first_order_optimizers_take_steps(name):
    optimizer, steps, bound = FIRST_ORDER[name]

    def mild(x):
        scale = np.array([1.0, 4.0, 10.0])
        return 0.5 * float((scale * x * x).sum()), scale * x

    found = optimizers.minimize(mild, [3.0, -3.0, 3.0], optimizer, steps=steps)
    assert found.value <= bound
    assert found.reason in ("iterations", "gradient tolerance")
    assert found.evaluations == found.iterations + 1


def test_a_first_order_step_is_the_step_of_update_and_leaves_its_state():
    adam, start = optimizers.Adam(0.1), np.array([1.0, -2.0])
    found = optimizers.minimize(lambda x: (float(x @ x), 2 * x), start, adam, steps=3)
    x = start.copy()
    for _ in range(3):
        adam.update([x], [2 * x])
    assert np.array_equal(found.x, x)


# ---- Residuals ----


def exponentials(x):
    """Sums of two exponentials through ten points, of which (1, -0.5, 2, -3) is exact."""
    t = np.linspace(0, 2, 10)
    parts = np.exp(x[1] * t), np.exp(x[3] * t)
    want = np.exp(-0.5 * t) + 2 * np.exp(-3 * t)
    jacobian = np.stack([parts[0], x[0] * t * parts[0], parts[1], x[2] * t * parts[1]], axis=1)
    return x[0] * parts[0] + x[2] * parts[1] - want, jacobian


LM = ("lm", optimizers.LevenbergMarquardt(mu=1.0), optimizers.LevenbergMarquardt(damping="fletcher"))


@pytest.mark.parametrize("method", LM, ids=str)
def test_levenberg_marquardt_takes_residuals(method):
    found = optimizers.minimize(exponentials, [0.7, -0.2, 1.5, -4.0], method, tolerance=1e-12)
    np.testing.assert_allclose(found.x, [1.0, -0.5, 2.0, -3.0], atol=1e-8)
    assert found.value == 0.5 * float((exponentials(found.x)[0] ** 2).sum()) or found.value < 1e-20
    assert found.iterations < 60
    assert all(b < a for a, b in zip(found.history, found.history[1:], strict=False))


def test_residuals_that_stay_are_those_of_scipy():
    """A line through points that lie on none: the normal equations, half the sum of squares."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((20, 3)), rng.standard_normal(20)
    found = optimizers.minimize(lambda x: (a @ x - b, a), np.zeros(3), "lm", tolerance=1e-10)
    best, rest, *_ = np.linalg.lstsq(a, b, rcond=None)
    np.testing.assert_allclose(found.x, best, rtol=1e-7)
    assert np.isclose(found.value, 0.5 * rest[0], rtol=1e-12)


def test_residuals_of_structures():
    """The Jacobian has x's structure, with a row for each residual."""
    target = {"m": np.array([[1.0, 2.0], [3.0, 4.0]]), "v": np.array([-1.0])}

    def fun(x):
        rest = np.concatenate([(x["m"] - target["m"]).reshape(-1), x["v"] - target["v"]])
        return rest, {"m": np.eye(5)[:, :4].reshape(5, 2, 2), "v": np.eye(5)[:, 4:]}

    found = optimizers.minimize(fun, {"m": np.zeros((2, 2)), "v": np.zeros(1)}, "lm")
    for key, value in target.items():
        np.testing.assert_allclose(found.x[key], value, atol=1e-6)


@pytest.mark.parametrize("rule", [
    optimizers.Muon(0.05, weight_decay=0.0), optimizers.SOAP(0.05, weight_decay=0.0), optimizers.LAMB(0.05)
], ids=str)  # fmt: skip
def test_rules_of_matrices_minimise_lists_of_them(rule):
    """Of a product of two matrices that is to be a third."""
    rng = np.random.default_rng(5)
    want = rng.standard_normal((4, 6))

    def fun(x):
        rest = x[0] @ x[1] - want
        return float((rest**2).sum()) / 2, [rest @ x[1].T, x[0].T @ rest]

    start = [0.3 * rng.standard_normal((4, 5)), 0.3 * rng.standard_normal((5, 6))]
    found = optimizers.minimize(fun, start, rule, steps=400)
    assert found.value < 0.02 * fun(start)[0]
    assert found.evaluations == found.iterations + 1


STRUCTURES = {
    "list": [np.ones((2, 3)), np.full(2, -1.0, np.float32)],
    "dict": {"w": np.ones((2, 3), np.float32), "b": np.full((), 2.0)},
    "number": 3,
    "nested": [[1, 2], [3, 4]],
}


@pytest.mark.parametrize("method", ["lbfgs", "ncg", "newton-cg", optimizers.Adam(0.1)], ids=str)
@pytest.mark.parametrize("name", STRUCTURES)
def test_x_keeps_its_structure(name, method):
    start = STRUCTURES[name]
    plain = isinstance(start, dict) or (isinstance(start, list) and isinstance(start[0], np.ndarray))
    seen = []

    def parts(x):
        return list(x.values()) if isinstance(x, dict) else x if plain else [x]

    def fun(x):
        seen.append(x)
        slopes = [2 * part for part in parts(x)]
        if isinstance(x, dict):
            slopes = dict(zip(x, slopes, strict=True))
        return sum((part**2).sum() for part in parts(x)), slopes if plain else slopes[0]

    found = optimizers.minimize(fun, start, method, steps=200)
    assert found.value < 1e-6
    for x in (*seen, found.x):
        assert type(x) is (type(start) if plain else np.ndarray)
        for got, want in zip(parts(x), parts(start) if plain else [np.asarray(start, float)], strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)


def test_float32_variables_stop_where_they_can_hold_no_more():
    start = np.tile(np.float32([-1.2, 1.0]), 5)

    def fun(x):
        assert x.dtype == np.float32
        value, gradient = rosenbrock(x.astype(np.float64))
        return np.float32(value), gradient.astype(np.float32)

    for method in ("lbfgs", "ncg"):
        found = optimizers.minimize(fun, start, method, tolerance=1e-3)
        np.testing.assert_allclose(found.x, 1.0, atol=1e-3)
        tight = optimizers.minimize(fun, start, method, tolerance=0.0)
        assert tight.reason in ("no progress", "gradient tolerance")
        assert tight.value <= found.value


def test_exact_products_are_used():
    """Newton's method on a quadratic needs one product for each distinct eigenvalue and no difference."""
    matrix = np.diag([1.0, 10.0, 100.0])
    calls = []

    def hvp(x, v):
        calls.append((x, v))
        return matrix @ v

    found = optimizers.minimize(
        lambda x: (0.5 * x @ matrix @ x, matrix @ x), np.ones(3), "newton-cg", hvp=hvp
    )
    assert found.converged
    assert calls
    assert found.evaluations <= found.iterations * 2 + 1


def test_negative_curvature_is_left():
    """x^4 - x^2 + y^2: the start is where the Hessian is indefinite."""

    def saddle(x):
        return x[0] ** 4 - x[0] ** 2 + x[1] ** 2, np.array([4 * x[0] ** 3 - 2 * x[0], 2 * x[1]])

    for method in FULL_BATCH.values():
        found = optimizers.minimize(saddle, [1e-3, 1.0], method)
        assert found.value == pytest.approx(-0.25, abs=1e-12)


def test_limits_and_callback():
    found = optimizers.minimize(rosenbrock, [-1.2, 1.0], steps=3)
    assert (found.iterations, found.reason, found.converged) == (3, "iterations", False)
    assert optimizers.minimize(rosenbrock, [-1.2, 1.0], optimizers.LBFGS(max_iterations=4)).iterations == 4
    assert optimizers.minimize(rosenbrock, [1.0, 1.0]).iterations == 0
    loose = optimizers.minimize(rosenbrock, [-1.2, 1.0], tolerance=1.0)
    assert 1e-7 < loose.gradient_norm <= 1.0

    seen = []

    def callback(x, value):
        seen.append((x.copy(), value))
        x[:] = 99.0  # a copy
        return len(seen) == 2

    found = optimizers.minimize(rosenbrock, [-1.2, 1.0], callback=callback)
    assert (found.reason, found.iterations) == ("callback", 2)
    assert [value for _, value in seen] == list(found.history[1:])


# ---- Bad functions ----


@pytest.mark.parametrize("method", [*FULL_BATCH.values(), optimizers.Adam(0.5)], ids=str)
def test_a_function_that_is_not_finite_everywhere(method):
    """-log(x) + x from 0.1: what is not above 0 has no value."""

    def barrier(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return (x - np.log(x)).sum(), np.where(x > 0, 1 - 1 / x, np.nan)

    found = optimizers.minimize(barrier, np.array([0.01, 3.0]), method)
    if isinstance(method, optimizers.Adam):
        assert math.isfinite(found.value)
    else:
        np.testing.assert_allclose(found.x, 1.0, atol=1e-6)


def test_divergence_ends_with_the_best_point():
    sgd = optimizers.SGD(1e3)
    with np.errstate(over="ignore"):
        found = optimizers.minimize(lambda x: (float(x @ x), 2 * x), np.ones(2), sgd, steps=500)
    assert found.reason == "not finite"
    assert found.value == 2.0
    fixed = optimizers.LBFGS(line_search=None, lr=1e3)
    assert optimizers.minimize(lambda x: (float((x**4).sum()), 4 * x**3), np.ones(2), fixed).reason in (
        "not finite",
        "no progress",
    )


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-160, 1e-30, 1e30, 1e150, 1e300])
@pytest.mark.parametrize("method", [*FULL_BATCH.values(), optimizers.LBFGS(line_search=None)], ids=str)
def test_any_scale_ends_without_an_error(method, scale):
    with np.errstate(over="ignore"):
        found = optimizers.minimize(
            lambda x: (scale * float((x**4).sum()), scale * 4 * x**3), [1.0, -2.0], method, tolerance=0.0
        )
    assert found.value <= 17 * scale
    if 1e-30 <= scale <= 1e30 and not str(method).endswith("line_search=None)"):
        assert found.value < 1e-6 * scale


def test_an_unbounded_function_ends():
    found = optimizers.minimize(lambda x: (float(-x.sum()), -np.ones(2)), np.zeros(2), steps=50)
    assert found.reason in ("iterations", "not finite", "no progress")


@pytest.mark.parametrize("method", FULL_BATCH.values(), ids=str)
def test_a_wrong_gradient_ends(method):
    found = optimizers.minimize(lambda x: (float(x @ x), -2 * x), np.ones(3), method)
    assert found.reason == "no progress"
    assert np.array_equal(found.x, np.ones(3))


@pytest.mark.parametrize("method", [*FULL_BATCH.values(), optimizers.Adam(0.5)], ids=str)
def test_an_exception_comes_through(method):
    start, calls = np.ones(3), []

    def fun(x):
        calls.append(1)
        if len(calls) == 4:
            raise KeyError("mine")
        x_squared = float(quadratic(x)[0])
        x += 7.0  # its own copy
        return x_squared, np.array([1.0, 2.0, 3.0])

    with pytest.raises(KeyError, match="mine"):
        optimizers.minimize(fun, start, method)
    assert np.array_equal(start, np.ones(3))


def good(x):
    return float(x @ x), 2 * x


A, D, S, N = errors.ArgumentError, errors.DTypeError, errors.ShapeError, errors.NonFiniteError
BAD = {
    "nan at the start": (
        {"fun": lambda x: (math.nan, x)},
        N,
        "finite value and gradient at x0, got the value nan",
    ),
    "gradient nan": ({"fun": lambda x: (1.0, x * math.nan)}, N, "finite value and gradient"),
    "no pair": ({"fun": lambda x: 1.0}, D, "value and gradient, got 'float'"),
    "three": ({"fun": lambda x: (1.0, x, x)}, D, "value and gradient, got 3 of them"),
    "gradient short": ({"fun": lambda x: (1.0, x[:1])}, S, r"fun: gradient: expected shape \(2,\) as in x0"),
    "gradient text": ({"fun": lambda x: (1.0, ["a", "b"])}, D, "fun: gradient"),
    "value array": ({"fun": lambda x: (x, x)}, S, "fun: value: expected a single number"),
    "value none": ({"fun": lambda x: (None, x)}, D, "fun: value"),
    "value complex": ({"fun": lambda x: (1j, x)}, D, "fun: value"),
    "no function": ({"fun": 3}, D, "fun: expected a function"),
    "x0 nan": ({"x0": [math.nan, 1.0]}, A, r"x0: expected finite values, got nan at \[0\]"),
    "x0 text": ({"x0": "start"}, D, "x0: expected"),
    "x0 empty": ({"x0": np.zeros(0)}, S, "x0: expected at least one number"),
    "x0 empty list": ({"x0": []}, S, "x0: expected at least one number"),
    "method name": ({"method": "bfgs"}, A, "method: expected one of lbfgs, ncg, newton-cg, lm, got 'bfgs'"),
    "method class": ({"method": optimizers.LBFGS}, D, "method: expected one of lbfgs"),
    "lm of a value": ({"method": "lm"}, S, r"fun: residuals: expected shape \(n,\)"),
    "lm one part": ({"method": "lm", "fun": lambda x: x}, D, "residuals and their Jacobian"),
    "lm short": (
        {"method": "lm", "fun": lambda x: (x, np.eye(3))},
        S,
        r"fun: Jacobian: expected shape \(2, 2\) as in x0, got \(3, 3\)",
    ),
    "lm turned": ({"method": "lm", "fun": lambda x: (np.ones(3), np.ones((2, 3)))}, S, "fun: Jacobian"),
    "lm nan": ({"method": "lm", "fun": lambda x: (x, np.full((2, 2), math.nan))}, N, "finite value"),
    "lm large": ({"method": "lm", "x0": np.ones(20_001)}, A, "x0: expected at most 20,000"),
    "hvp for lm": ({"method": "lm", "hvp": lambda x, v: v}, A, "hvp: expected none"),
    "gauss-newton": ({"method": optimizers.NewtonCG(curvature="gauss_newton")}, A, "curvature 'hessian'"),
    "weight_decay": ({"method": optimizers.LBFGS(weight_decay=0.1)}, A, "expected no weight_decay"),
    "hvp for lbfgs": ({"hvp": lambda x, v: v}, A, "hvp: expected none for LBFGS"),
    "hvp text": ({"method": "newton-cg", "hvp": "exact"}, D, "hvp: expected a function"),
    "hvp short": ({"method": "newton-cg", "hvp": lambda x, v: v[:1]}, S, "hvp: expected shape"),
    "steps": ({"steps": 0}, A, "steps: expected an integer >= 1"),
    "tolerance": ({"tolerance": -1.0}, A, "tolerance: expected a number >= 0"),
    "callback": ({"callback": True}, D, "callback: expected a function"),
    "dict gradient": (
        {"x0": {"a": np.ones(2)}, "fun": lambda x: (1.0, x["a"])},
        D,
        "expected a dict as x0 is",
    ),
    "dict keys": ({"x0": {"a": np.ones(2)}, "fun": lambda x: (1.0, {"b": x["a"]})}, A, r"the parts \['a'\]"),
    "list gradient": ({"x0": [np.ones(2)], "fun": lambda x: (1.0, x[0])}, D, "expected a list as x0 is"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    change, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        optimizers.minimize(**{"fun": good, "x0": [1.0, 2.0], **change})


BAD_OPTIONS = {
    "history": (lambda: optimizers.LBFGS(history=0), A, "LBFGS: history: expected an integer >= 1"),
    "history float": (lambda: optimizers.LBFGS(history=2.5), D, "LBFGS: history"),
    "tolerance": (lambda: optimizers.LBFGS(tolerance=-1), A, "LBFGS: tolerance: expected a number >= 0"),
    "iterations": (lambda: optimizers.LBFGS(max_iterations=0), A, "LBFGS: max_iterations"),
    "line search": (lambda: optimizers.LBFGS(line_search="armijo"), A, "LBFGS: line_search"),
    "lr": (lambda: optimizers.LBFGS(lr=0), A, "LBFGS: lr: expected a number > 0"),
    "c1": (lambda: optimizers.LBFGS(c1=0), A, r"LBFGS: c1: expected a number in \(0, 1\)"),
    "c2 below c1": (lambda: optimizers.LBFGS(c1=0.5, c2=0.4), A, "LBFGS: c1, c2: expected c1 < c2"),
    "evaluations": (lambda: optimizers.LBFGS(max_evaluations=0), A, "LBFGS: max_evaluations"),
    "formula": (lambda: optimizers.ConjugateGradient("fletcher"), A, "ConjugateGradient: formula"),
    "restart": (lambda: optimizers.ConjugateGradient(restart=0), A, "ConjugateGradient: restart"),
    "inner": (lambda: optimizers.NewtonCG(inner_iterations=0), A, "NewtonCG: inner_iterations"),
    "curvature": (lambda: optimizers.NewtonCG(curvature="fisher"), A, "NewtonCG: curvature"),
    "damping": (lambda: optimizers.NewtonCG(damping=-1.0), A, "NewtonCG: damping"),
    "weight_decay": (lambda: optimizers.NewtonCG(weight_decay=-1.0), A, "NewtonCG: weight_decay"),
    "mu": (lambda: optimizers.LevenbergMarquardt(mu=0.0), A, "LevenbergMarquardt: mu: expected a number > 0"),
    "decrease": (lambda: optimizers.LevenbergMarquardt(decrease=1.0), A, "decrease: expected a number > 1"),
    "max_mu": (lambda: optimizers.LevenbergMarquardt(mu=1.0, max_mu=0.5), A, "max_mu: expected at least mu"),
    "lm damping": (lambda: optimizers.LevenbergMarquardt(damping="none"), A, "LevenbergMarquardt: damping"),
    "update": (lambda: optimizers.LBFGS().update([np.ones(1)], [np.ones(1)]), errors.StateError, "minimize"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(name):
    make, kind, message = BAD_OPTIONS[name]
    with pytest.raises(kind, match=message):
        make()


def test_the_methods_are_imported_when_they_are_named():
    support.run_python("""
import sys, gradcore
assert not [name for name in sys.modules if name.startswith("gradcore.second_order")]
assert gradcore.optimizers.LBFGS() == gradcore.optimizers.LBFGS(history=10)
assert repr(gradcore.optimizers.LBFGS(5)) == "LBFGS(history=5)"
""")
