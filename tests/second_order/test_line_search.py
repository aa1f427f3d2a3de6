"""The line search on the functions of More and Thuente, "Line Search Algorithms with Guaranteed Sufficient
Decrease", ACM Transactions on Mathematical Software 20, 1994, and on bad ones."""

import math

import pytest
from gradcore import errors
from gradcore.search_line import strong_wolfe


def bowl(t, beta=2.0):
    return -t / (t * t + beta), (t * t - beta) / (t * t + beta) ** 2


def steep(t, beta=0.004):
    u = t + beta
    return u**5 - 2 * u**4, 5 * u**4 - 8 * u**3


def wavy(t, beta=0.01, waves=39):
    if t <= 1 - beta:
        value, slope = 1 - t, -1.0
    elif t >= 1 + beta:
        value, slope = t - 1, 1.0
    else:
        value, slope = (t - 1) ** 2 / (2 * beta) + beta / 2, (t - 1) / beta
    angle = waves * math.pi / 2
    value += 2 * (1 - beta) / (waves * math.pi) * math.sin(angle * t)
    return value, slope + (1 - beta) * math.cos(angle * t)


def yanai(beta1, beta2):
    def share(beta):
        return math.sqrt(1 + beta * beta) - beta

    def phi(t):
        right, left = math.hypot(1 - t, beta2), math.hypot(t, beta1)
        value = share(beta1) * right + share(beta2) * left
        return value, share(beta1) * (t - 1) / right + share(beta2) * t / left

    return phi


# name: (function, c1, c2); a little above the paper's equal constants, since c1 < c2 here
FUNCTIONS = {
    "1 bowl": (bowl, 1e-3, 0.1),
    "2 steep": (steep, 0.1, 0.11),
    "3 wavy": (wavy, 0.1, 0.11),
    "4 yanai": (yanai(1e-3, 1e-3), 1e-3, 1.1e-3),
    "5 yanai": (yanai(1e-2, 1e-3), 1e-3, 1.1e-3),
    "6 yanai": (yanai(1e-3, 1e-2), 1e-3, 1.1e-3),
}


@pytest.mark.parametrize("first", [1e-3, 1e-1, 1e1, 1e3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_conditions_hold(name, first):
    phi, c1, c2 = FUNCTIONS[name]
    value, slope = phi(0.0)
    found = strong_wolfe(phi, value, slope, first, c1, c2)
    assert found.converged
    assert (found.value, found.slope) == phi(found.step)
    assert found.value <= value + c1 * found.step * slope
    assert abs(found.slope) <= c2 * abs(slope)
    assert found.evaluations <= 25


def test_the_first_step_is_kept_where_it_will_do():
    calls = []

    def phi(t):
        calls.append(t)
        return (t - 1) ** 2, 2 * (t - 1)

    found = strong_wolfe(phi, 1.0, -2.0, 1.1)
    assert (found.step, found.evaluations, calls) == (1.1, 1, [1.1])


def test_a_cubic_is_solved_by_one_interpolation():
    """x^3 - 3x from -0.5 has its minimum at x = 1, which the cubic through two points finds."""

    def phi(t):
        x = t - 0.5
        return x**3 - 3 * x, 3 * x * x - 3

    found = strong_wolfe(phi, *phi(0.0), 2.5, c1=1e-4, c2=1e-3)
    assert found.evaluations == 2
    assert found.step == pytest.approx(1.5, abs=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_too_high(bad):
    """Finite only below 1, where the function falls: as log barriers have it."""

    def phi(t):
        return (bad, bad) if t >= 1 else (-t, -1.0 if t < 0.9 else 0.5)

    found = strong_wolfe(phi, 0.0, -1.0, 64.0, c2=0.6)
    assert 0 < found.step < 1
    assert found.converged


def test_a_function_without_a_minimum_ends():
    found = strong_wolfe(lambda t: (-t, -1.0), 0.0, -1.0, 1.0)
    assert not found.converged
    assert found.evaluations <= 25
    assert found.value < 0


def test_nothing_lower_gives_step_zero():
    """The slope lies: the function rises at once."""
    found = strong_wolfe(lambda t: (t, 1.0), 0.0, -1.0, 1.0)
    assert (found.step, found.value, found.converged) == (0.0, 0.0, False)


def test_the_number_of_evaluations_is_kept():
    calls = []

    def phi(t):
        calls.append(t)
        return wavy(t)

    found = strong_wolfe(phi, *wavy(0.0), 1e-6, 1e-4, 2e-4, max_evaluations=5)
    assert len(calls) == found.evaluations == 5
    assert found.value <= wavy(0.0)[0]


BAD = {
    "slope": ({"dphi0": 0.0}, errors.ArgumentError, "dphi0: expected a slope < 0, got 0.0"),
    "slope nan": ({"dphi0": math.nan}, errors.ArgumentError, "dphi0"),
    "value": ({"phi0": "low"}, errors.DTypeError, "phi0: expected a number"),
    "step": ({"step": 0.0}, errors.ArgumentError, "step: expected a number > 0"),
    "constants": ({"c1": 0.9, "c2": 0.1}, errors.ArgumentError, "expected 0 < c1 < c2 < 1"),
    "evaluations": ({"max_evaluations": 0}, errors.ArgumentError, "max_evaluations"),
    "function": ({"phi": 3}, errors.DTypeError, "phi: expected a function"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    change, kind, message = BAD[name]
    arguments = {"phi": bowl, "phi0": 0.0, "dphi0": -1.0, "step": 1.0, **change}
    with pytest.raises(kind, match=message):
        strong_wolfe(**arguments)
