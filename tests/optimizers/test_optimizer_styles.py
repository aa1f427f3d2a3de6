"""The catalogue of optimizers: other libraries' trajectories, styles, and that each of them optimises."""

import numpy as np
import pytest
from gradcore import Dense, Network, Standardize, Trainer, datasets, optimizers
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
    """SOAP's rule is held by its formula in test_matrices.py."""
    held = {("SOAP", "paper")}
    held |= {(kind, options.get("style")) for *_, kind, options in make_torch.CONFIGURATIONS.values()}
    held |= {(kind, options.get("style")) for *_, kind, options in others.CONFIGURATIONS.values()}
    held |= {(kind, "keras") for *_, kind, _ in keras.CONFIGURATIONS.values()}
    held |= {("Muon", options.get("style")) for *_, options in matrices.CONFIGURATIONS.values()}
    for name in classes():
        first, *more = getattr(optimizers, name).styles
        assert (name, None) in held or (name, first) in held, name
        assert all((name, style) in held for style in more), name


# ---- Each of them really optimises ----

# rates for: a quadratic of condition 1e4, Rosenbrock's valley, digits
RATES = {
    "SGD": ({"momentum": 0.99}, 5e-3, 2e-4, 5e-3),
    "Rprop": ({}, 0.01, 0.01, 1e-3),
    "ScheduleFreeSGD": ({"momentum": 0.98}, 0.9, 1e-3, 1.0),
    "Adagrad": ({}, 1.0, 0.5, 0.05),
    "Adadelta": ({}, 0.3, 0.3, 1.0),
    "RMSprop": ({}, 0.01, 1e-3, 1e-3),
    "Adam": ({}, 0.05, 0.02, 3e-3),
    "AdamW": ({}, 0.05, 0.02, 3e-3),
    "Adamax": ({}, 0.05, 0.02, 5e-3),
    "NAdam": ({}, 0.05, 0.02, 3e-3),
    "RAdam": ({}, 5e-3, 5e-3, 1e-2),
    "AdaBelief": ({}, 0.05, 0.02, 3e-3),
    "Yogi": ({}, 0.05, 0.02, 1e-2),
    "Adan": ({}, 0.05, 0.02, 3e-3),
    "AdEMAMix": ({"betas": (0.9, 0.999, 0.99), "alpha": 1.0}, 0.02, 0.01, 2e-3),
    "ADOPT": ({"betas": (0.9, 0.99)}, 0.05, 0.02, 3e-3),
    "Lion": ({}, 1e-3, 1e-3, 1e-3),
    "ScheduleFreeAdamW": ({}, 0.1, 0.05, 1e-2),
    "LAMB": ({}, 0.01, 0.01, 1e-2),
    "LARS": ({"trust": 0.02}, 0.5, 0.05, 0.3),
    "Prodigy": ({}, 1.0, 1.0, 1.0),
    "Muon": ({"weight_decay": 0.0}, 0.05, 0.02, 3e-3),
    "SOAP": ({}, 0.05, 0.02, 3e-3),
}


def classes():
    """Of rules, not of wrappers around them."""
    found = [(name, getattr(optimizers, name)) for name in optimizers.__all__]
    return [name for name, kind in found if hasattr(kind, "styles") and kind is not optimizers.FirstOrder]


def descend(name, lr, options, gradient, start, steps):
    optimizer = getattr(optimizers, name)(lr=lr, **options)
    w = start.copy()
    for _ in range(steps):
        optimizer.update([w], [gradient(w)])
    return w


@pytest.mark.parametrize("name", classes())
def test_it_descends_an_ill_conditioned_quadratic(name):
    options, lr, *_ = RATES[name]
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
    options, _, lr, _ = RATES[name]
    start = np.array([-1.2, 1.0])
    assert rosenbrock(descend(name, lr, options, d_rosenbrock, start, 4000)) < 0.05 * rosenbrock(start)


@pytest.mark.parametrize("name", classes())
def test_it_learns_digits(name):
    options, *_, lr = RATES[name]
    x, y = (part[:1200] for part in datasets.load_digits()[:2])
    net = Network([Standardize(), Dense(32, "relu"), Dense(10)], inputs=x.shape[1], seed=1)
    trainer = Trainer(net, "cross_entropy", getattr(optimizers, name)(lr=lr, **options))
    full = name == "Rprop"  # made for the whole gradient
    trainer.fit(x, y, epochs=60 if full else 5, batch_size=1200 if full else 32, progress=False)
    assert trainer.evaluate(x, y)["accuracy"] > 0.9
