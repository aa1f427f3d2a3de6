"""Every public class and function of the descriptions and searches, called with what nobody should pass.

What comes out is a GradcoreError, or an object whose repr works; never another error, never a crash.
"""

import dataclasses
import inspect
import math
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import (
    Dense,
    Network,
    callbacks,
    clipping,
    initializers,
    losses,
    optimizers,
    pruning,
    schedules,
    search,
)

HOSTILE = [
    None, math.nan, math.inf, -math.inf, -1, 0, 2**70, -(2**70), 1e300, True, "", "adam",
    "\udcff\ud800", "a\0b", b"x",
    np.zeros(3), np.zeros((2, 0)), np.array(3.5), np.array(["a"]), np.float32("nan"), object(), [],
    [[]], [None], (1, 2),
    {}, {"a": 1}, {1: None}, set(), 1j, Dense, iter([1]), slice(None), Ellipsis, Dense(2),
    schedules.Constant(1.0),
    lambda *arguments: "text", lambda *arguments: None,
]  # fmt: skip
X, Y = np.linspace(-1, 1, 24).reshape(12, 2), np.ones(12)
GOOD = [
    0.01,
    2,
    optimizers.SGD(0.01),
    [0.1, 0.2],
    [5],
    {"a": Dense(1)},
    {"a": "mse"},
    "0.*",
    Dense(2),
    "relu",
]
SPECIAL = {
    "WarmupStableDecay": {"peak": 0.1, "steps": 9, "warmup": 2, "decay": 3},
    "Embedding": {"columns": {0: (5, 2)}},
    "Custom": {"function": lambda output, target: (0.0, output)},
}
MODULES = (optimizers, schedules, clipping, losses, initializers, callbacks, search)
RESULTS = (
    "Minimum",
    "RangeTest",
    "Trial",
    "SearchResult",
    "LineResult",
    "Descent",
)  # nobody makes them by hand


def classes():
    for module in MODULES:
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and name not in RESULTS:
                yield pytest.param(kind, id=f"{module.__name__}.{name}")
    for name in gradcore.__all__:
        kind = getattr(gradcore, name)
        if isinstance(kind, type) and issubclass(kind, gradcore.Layer):
            yield pytest.param(kind, id=name)
    yield pytest.param(pruning.Magnitude, id="pruning.Magnitude")


def valid_call(kind):
    """Keywords that make an object; None for a base, of which there are none."""
    if kind.__name__ in SPECIAL:
        return SPECIAL[kind.__name__]
    needed = [
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty and parameter.kind in (0, 1, 3)
    ]
    for _ in range(len(GOOD) ** min(len(needed), 2)):
        for shift in range(len(GOOD)):
            for second in range(len(GOOD)):
                chosen = {
                    name: GOOD[(shift + second * (i > 0) + (i > 1)) % len(GOOD)]
                    for i, name in enumerate(needed)
                }
                try:
                    kind(**chosen)
                    return chosen
                except gradcore.GradcoreError:
                    pass
        break
    return None


def call(function, described, /, *arguments, **options):
    """Nothing but the library's errors comes out, and what is made can be shown and compared."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = function(*arguments, **options)
        assert isinstance(repr(made), str)
    except gradcore.GradcoreError as error:
        assert str(error), described
    except Exception as error:
        raise AssertionError(f"{described}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("kind", list(classes()))
def test_no_argument_of_a_class_gets_another_error(kind):
    chosen = valid_call(kind)
    if "abstract" in kind.__dict__:
        with pytest.raises(gradcore.DTypeError, match="expected one of its subclasses"):
            kind()
        return
    several = [p for p in inspect.signature(kind).parameters.values() if p.kind == p.VAR_POSITIONAL]
    for value in HOSTILE:
        for parameter in inspect.signature(kind).parameters.values():
            if parameter.kind not in (p.kind for p in several):
                call(
                    kind,
                    (kind.__name__, parameter.name, repr(value)[:60]),
                    **{**(chosen or {}), parameter.name: value},
                )
        for _ in several:
            call(kind, (kind.__name__, repr(value)[:60]), value)
    if dataclasses.is_dataclass(kind) and chosen is not None and not several:
        made = kind(**chosen)
        assert made == kind(**chosen) and repr(made)


def quadratic(step):
    return (step - 1) * (step - 1)


def new_net():
    return Network([Dense(2, "tanh"), Dense(1)], inputs=2, seed=0, threads=1)


def build(config, seed):
    return gradcore.Trainer(new_net(), "mse", optimizers.SGD(0.1))


TRIALS = {
    "build": build, "space": {"a": 1}, "X": X, "y": Y, "trials": 1, "epochs": 1, "batch_size": 4,
    "workers": 1,
}  # fmt: skip
FUNCTIONS = {
    "values": (schedules.values, {"schedule": 0.1, "steps": 3}),
    "layerwise": (optimizers.layerwise, {"names": ["0.weight"], "factor": 0.5}),
    "get loss": (losses.get, {"value": "mse"}),
    "armijo": (
        search.armijo, {"phi": quadratic, "phi0": 1.0, "dphi0": -2.0, "step": 1.0, "max_evaluations": 3},
    ),
    "range_test": (
        search.range_test, {"net": new_net, "X": X, "y": Y, "loss": "mse", "steps": 10, "repeats": 1},
    ),
    "line_search_fit": (search.line_search_fit, {"net": new_net, "X": X, "y": Y, "loss": "mse", "steps": 2}),
    "random_search": (
        search.random_search,
        TRIALS,
    ),
    "successive_halving": (
        search.successive_halving,
        TRIALS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_argument_of_a_function_gets_another_error(name):
    function, good = FUNCTIONS[name]
    for argument in inspect.signature(function).parameters:
        for value in HOSTILE:
            options = {**good, argument: value}
            if options.get("net") is new_net:
                options["net"] = new_net()
            call(function, (name, argument, repr(value)[:60]), **options)


def test_schedules_take_any_step_that_there_is():
    for param in classes():
        kind = param.values[0]
        chosen = valid_call(kind) if kind.__module__.startswith("gradcore.schedules") else None
        if chosen is not None and "abstract" not in kind.__dict__:
            made = kind(**chosen)
            for step in (0, 1, 2**31, 2**53, 2**62):
                assert isinstance(made(step), float), (made, step)
