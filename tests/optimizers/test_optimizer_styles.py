"""The catalogue of optimizers: other libraries' trajectories, styles, and that each of them optimises."""

import numpy as np
import pytest
from gradcore import Dense, Network, Standardize, Trainer, datasets, optimizers
from oracle.optimizers import ALONE
from support.optimizer_cases import classes, rates
from vectors import make_keras as keras
from vectors import make_matrix as matrices
from vectors import make_optimizer as others
from vectors import make_torch

BARS = {"float64": 1e-12, "float32": 2e-6}
VECTORS = np.load(others.PATH)
# A sum of small differences of weights decides the rate: in float32 it has their rounding errors.
LOOSER = {("prodigy", "float32"): 1e-5}


@pytest.mark.parametrize("name", others.CONFIGURATIONS)
def test_updates_follow_the_library_of_the_style(dtype, name):
    """25 steps with an exact zero, 1e-20, 1e6, a sign flip, an all-zero step and a change of lr; errors are
    relative to the largest value that the number has had."""
    *_, rates, kind, options = others.CONFIGURATIONS[name]
    weights = [value.astype(dtype) for value in make_torch.start()]
    optimizer = getattr(optimizers, kind)(lr=lambda step: rates[step >= make_torch.CHANGE], **options)
    largest = np.abs(np.concatenate([w.reshape(-1) for w in weights])).astype(np.float64)
    kept = iter(zip(others.KEPT, VECTORS[name], strict=True))
    at, want = next(kept)
    for step, gradients in enumerate(make_torch.gradients()):
        optimizer.update(weights, [gradient.astype(dtype) for gradient in gradients])
        got = np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)
        largest = np.maximum(largest, np.abs(got))
        if step == at:
            error = np.abs(got - want) / np.maximum(largest, np.abs(want))
            bar = LOOSER.get((name, dtype), BARS[dtype])
            assert error.max() <= bar, f"step {step}, number {error.argmax()}: {error.max()}"
            at, want = next(kept, (None, None))


KERAS = np.load(keras.PATH)


@pytest.mark.parametrize("name", keras.CONFIGURATIONS)
def test_updates_of_style_keras_follow_keras(dtype, name):
    """The same, of Keras itself."""
    _, _, kind, options = keras.CONFIGURATIONS[name]
    rates = keras.rates_of(kind)
    weights = [value.astype(dtype) for value in make_torch.start()]
    optimizer = getattr(optimizers, kind)(
        lr=lambda step: rates[step >= make_torch.CHANGE], style="keras", **options
    )
    largest = np.abs(np.concatenate([w.reshape(-1) for w in weights])).astype(np.float64)
    kept = dict(zip(keras.KEPT, KERAS[name], strict=True))
    for step, gradients in enumerate(make_torch.gradients()):
        optimizer.update(weights, [gradient.astype(dtype) for gradient in gradients])
        got = np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)
        largest = np.maximum(largest, np.abs(got))
        if step in kept:
            error = np.abs(got - kept[step]) / np.maximum(largest, np.abs(kept[step]))
            assert error.max() <= BARS[dtype], f"step {step}, number {error.argmax()}: {error.max()}"


def test_every_style_has_a_trajectory_of_a_peer():
    held = {(kind, next(iter(getattr(optimizers, kind).styles))) for kind in ALONE}
    held |= {(kind, options.get("style")) for *_, kind, options in make_torch.CONFIGURATIONS.values()}
    held |= {(kind, options.get("style")) for *_, kind, options in others.CONFIGURATIONS.values()}
    held |= {(kind, "keras") for *_, kind, _ in keras.CONFIGURATIONS.values()}
    held |= {("Muon", options.get("style")) for *_, options in matrices.CONFIGURATIONS.values()}
    for name in classes():
        first, *more = getattr(optimizers, name).styles
        known = {style for kind, style in held if kind == name}
        missing = {*([] if {None, first} & known else [first]), *more} - known
        assert not missing, (
            f"{name}: tests/vectors have no trajectory of another library for the styles {missing}; if none "
            "has this rule, name it in ALONE in tests/oracle/optimizers.py"
        )


# ---- Each of them really optimises ----

def descend(name, lr, options, gradient, start, steps):
    optimizer = getattr(optimizers, name)(lr=lr, **options)
    w = start.copy()
    for _ in range(steps):
        optimizer.update([w], [gradient(w)])
    return w


@pytest.mark.parametrize("name", classes())
def test_it_descends_an_ill_conditioned_quadratic(name):
    options, lr, *_ = rates(name)
    curvature = np.geomspace(1e-2, 1e2, 20)
    start = np.ones(20)
    w = descend(name, lr, options, lambda w: curvature * w, start, 3000)
    loss, first = (curvature * w**2).sum(), (curvature * start**2).sum()
    assert loss < 1e-3 * first


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def d_rosenbrock(w):
    slope = 200 * (w[1] - w[0] ** 2)
    return np.array([-2 * (1 - w[0]) - 2 * w[0] * slope, slope])


@pytest.mark.parametrize("name", classes())
def test_it_follows_rosenbrocks_valley(name):
    options, _, lr, _ = rates(name)
    start = np.array([-1.2, 1.0])
    assert rosenbrock(descend(name, lr, options, d_rosenbrock, start, 4000)) < 0.05 * rosenbrock(start)


@pytest.mark.parametrize("name", classes())
def test_it_learns_digits(name):
    options, *_, lr = rates(name)
    x, y = (part[:1200] for part in datasets.load_digits()[:2])
    net = Network([Standardize(), Dense(32, "relu"), Dense(10)], inputs=x.shape[1], seed=1)
    trainer = Trainer(net, "cross_entropy", getattr(optimizers, name)(lr=lr, **options))
    full = name == "Rprop"  # made for the whole gradient
    trainer.fit(x, y, epochs=60 if full else 5, batch_size=1200 if full else 32, progress=False)
    assert trainer.evaluate(x, y)["accuracy"] > 0.9
