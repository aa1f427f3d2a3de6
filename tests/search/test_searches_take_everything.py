"""Every search function with every optimizer, wrapper, loss and kind of data that a Trainer takes.

It works and leaves what it was given as it was, or refuses by name.
"""

import dataclasses
import itertools
import math

import gradcore
import numpy as np
import pytest
from gradcore import (
    ArgumentError,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    Heads,
    Network,
    Standardize,
    Trainer,
    clipping,
    losses,
    optimizers,
    schedules,
    search,
)
from gradcore.optimizers.interface import AnyOptimizer
from support import assert_same

ROWS = 48
X = np.random.default_rng(0).normal(size=(ROWS, 4))
VALUES = X[:, :1] * 0.5 + 0.1
LABELS = (X[:, 0] > 0).astype(np.int64)

RULES = [
    kind
    for name in optimizers.__all__
    if isinstance(kind := getattr(optimizers, name), type)
    and dataclasses.is_dataclass(kind)
    and issubclass(kind, AnyOptimizer)
    and kind not in (optimizers.FirstOrder, optimizers.Optimizer)
    and not issubclass(kind, optimizers.EMA.__mro__[1])
]
WRAPPERS = {
    "none": lambda inner: inner,
    "EMA": lambda inner: optimizers.EMA(inner, 0.9),
    "SWA": lambda inner: optimizers.SWA(inner, start=2),
    "Lookahead": lambda inner: optimizers.Lookahead(inner, 3),
    "SAM": lambda inner: optimizers.SAM(inner),
    "Accumulate": lambda inner: optimizers.Accumulate(inner, 2),
    "all": lambda inner: optimizers.EMA(optimizers.SAM(optimizers.Accumulate(inner, 2)), 0.9),
}
NO_RATE = ("Rprop", "LBFGS", "ConjugateGradient", "LevenbergMarquardt", "NewtonCG")


def new_net(outputs=1, seed=0, **more):
    return Network([Standardize(), Dense(5, "tanh"), Dense(outputs)], inputs=4, seed=seed, threads=1, **more)


def make(kind):
    needs = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    return kind(0.01) if "lr" in needs else kind()


def range_test(net, y, loss, x=X, **more):
    return search.range_test(net, x, y, loss=loss, **{"steps": 24, "repeats": 2, "batch_size": 16, **more})


def works_or_refuses(call):
    """What it returns; None where it refuses with one of the library's errors, which names an argument."""
    try:
        return call()
    except gradcore.GradcoreError as error:
        assert ": expected" in str(error), error
        return None


# ---- Optimizers ----


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_the_range_test_sweeps_the_rate_of_every_optimizer_in_every_wrapper(kind):
    for wrapper, wrap in WRAPPERS.items():
        try:
            optimizer = wrap(make(kind))
        except gradcore.GradcoreError:
            continue  # not a combination that there is
        net = new_net()
        before, described = net.parameters(), repr(optimizer)
        if kind.__name__ in NO_RATE:
            with pytest.raises(
                ArgumentError, match=f"optimizer: expected one whose learning rate .*{kind.__name__}"
            ):
                range_test(net, VALUES, "mse", optimizer=optimizer)
            continue
        test = range_test(net, VALUES, "mse", optimizer=optimizer)
        assert np.isfinite(test.mean[:3]).all(), wrapper
        assert test.lrs == pytest.approx(np.geomspace(1e-6, 10, 24), rel=1e-9), wrapper
        assert repr(optimizer) == described and not net._model.standardized
        assert_same(net.parameters(), before)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_rate_rises_within_a_wrapper_as_it_does_in_a_training_by_hand(wrapper):
    test = range_test(
        new_net(),
        VALUES,
        "mse",
        optimizer=WRAPPERS[wrapper](optimizers.SGD(7.0)),
        repeats=1,
        smoothing=0.0,
        high=0.3,
    )
    net = new_net()
    net.standardize(X)
    optimizer = WRAPPERS[wrapper](optimizers.SGD(lambda step: test.lrs[step]))
    trainer = Trainer(net, "mse", optimizer, seed=0)
    want = []
    for step in range(24):
        order = gradcore._core.shuffle(0, step // 3, ROWS)[16 * (step % 3) : 16 * (step % 3) + 16]
        want.append(trainer.step(X[order], VALUES[order]))
    assert test.losses[0].tolist() == want


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.__name__)
def test_trials_train_with_every_optimizer_or_say_what_they_need(kind):
    for (wrapper, wrap), function in itertools.product(
        WRAPPERS.items(), (search.random_search, search.successive_halving)
    ):
        try:
            wrap(make(kind))
        except gradcore.GradcoreError:
            continue

        def build(config, seed, wrap=wrap):
            return Trainer(new_net(seed=seed, dtype="float64"), "mse", wrap(make(kind)))

        batch = None if make(kind).full_batch else 16
        done = function(build, {"a": 1}, X, VALUES, trials=2, epochs=1, batch_size=batch, workers=1)
        assert math.isfinite(done.best.score), wrapper
        if batch is None:
            with pytest.raises(ArgumentError, match=r"trial 0, .*batch_size: expected None or all"):
                function(build, {"a": 1}, X, VALUES, trials=2, epochs=1, batch_size=16, workers=1)


# ---- Losses ----

HEADS = {"a": "mse", "b": losses.CrossEntropy()}


def heads_net(seed=0):
    layers = [Dense(5, "tanh"), Heads({"a": [Dense(1)], "b": [Dense(2)]})]
    return Network(layers, inputs=4, seed=seed, threads=1)


def custom(output, target):
    error = output - target
    return float((error**2).mean() - 3.0), 2 * error / error.size


SETUPS = {
    "mse": (new_net, "mse", VALUES),
    "gaussian_nll": (lambda seed=0: new_net(2, seed), "gaussian_nll", VALUES),
    "poisson": (new_net, "poisson", np.abs(VALUES)),
    "cosine": (lambda seed=0: new_net(3, seed), "cosine", np.tile(VALUES, 3) + [0, 1, -1]),
    "cross_entropy": (lambda seed=0: new_net(2, seed), "cross_entropy", LABELS),
    "balanced": (
        lambda seed=0: new_net(2, seed), losses.CrossEntropy(class_weight="balanced"), LABELS,
    ),
    "probabilities": (lambda seed=0: new_net(2, seed), "cross_entropy", np.eye(2)[LABELS]),
    "binary_cross_entropy": (new_net, "binary_cross_entropy", LABELS),
    "custom": (new_net, custom, VALUES),
    "heads": (heads_net, HEADS, {"a": VALUES, "b": LABELS}),
    "surgery": (heads_net, losses.PerHead(HEADS, surgery=True), {"a": VALUES, "b": LABELS}),
}  # fmt: skip


@pytest.mark.parametrize("name", SETUPS)
def test_every_kind_of_loss_is_searched(name):
    make_net, loss, y = SETUPS[name]
    test = range_test(lambda seed: make_net(seed=seed), y, loss, steps=60)
    assert np.isfinite(test.losses[:, :10]).all()
    done = search.random_search(
        lambda config, seed: Trainer(make_net(seed=seed), loss, optimizers.Adam(config["lr"])),
        {"lr": search.LogUniform(1e-3, 1e-2)}, X, y, trials=2, epochs=2, batch_size=16, workers=1,
    )  # fmt: skip
    assert math.isfinite(done.best.score)
    if name == "surgery":
        return
    net = make_net()
    found = search.line_search_fit(net, X, y, loss=loss, steps=15)
    assert found.losses[-1] < found.losses[0]
    if name != "balanced":  # whose weights are those of a fit
        assert Trainer(net, loss, optimizers.SGD(1.0)).evaluate(X, y)["loss"] < found.losses[0]


@pytest.mark.parametrize("shift", [-1000.0, -0.2, 1000.0])
def test_a_constant_added_to_the_loss_changes_nothing(shift):
    def shifted(by):
        def loss(output, target):
            error = output - target
            return float((error**2).mean() + by), 2 * error / error.size

        return loss

    plain, moved = (
        range_test(
            new_net(dtype="float64"), VALUES, shifted(by), steps=80, high=1e3, optimizer=optimizers.SGD(1.0)
        )
        for by in (0.0, shift)
    )
    assert np.array_equal(np.isnan(plain.losses), np.isnan(moved.losses))
    assert np.isnan(plain.mean[-1]) and np.isfinite(plain.mean[40])
    assert moved.suggestions == pytest.approx(plain.suggestions)
    assert np.nanmax(np.abs(moved.losses - plain.losses - shift)) < 1e-9 * abs(shift)
    nets = [new_net(dtype="float64") for _ in range(2)]
    first, second = (
        search.line_search_fit(net, X, VALUES, loss=shifted(by), steps=10)
        for net, by in zip(nets, (0.0, shift), strict=True)
    )
    assert second.steps == pytest.approx(first.steps)


def test_a_loss_that_explodes_ends_a_repeat_also_below_zero():
    def loss(output, target):
        error = output - target
        return float((error**2).mean() - 50.0), 2 * error / error.size

    test = range_test(new_net(), VALUES, loss, steps=80, high=1e4, optimizer=optimizers.SGD(1.0), repeats=1)
    seen = test.losses[0][np.isfinite(test.losses[0])]
    assert 40 < len(seen) < 80
    assert seen.max() < -45.0, "it was stopped long before infinity"
    assert test.suggestion is not None and 1e-4 < test.suggestion < 10


def test_a_loss_that_is_not_finite_from_the_start_is_refused():
    def loss(output, target):
        return math.nan, np.zeros_like(output)

    with pytest.raises(ArgumentError, match="net: expected a finite loss before the first update, got nan"):
        range_test(new_net(), VALUES, loss)
    with pytest.raises(ArgumentError, match="net: expected a finite loss and gradient at step 0"):
        search.line_search_fit(new_net(), X, VALUES, loss=loss, steps=3)


# ---- Weights, masks, constraints, data ----


def test_class_weights_are_those_of_fit():
    labels = np.r_[np.zeros(40, np.int64), np.ones(8, np.int64)]
    weight = np.where(labels == 0, ROWS / (2 * 40), ROWS / (2 * 8))
    net = new_net(2, dtype="float64")
    net.standardize(X)
    wanted = range_test(net, labels, "cross_entropy", sample_weight=weight)
    for more in ({"class_weight": "balanced"}, {"class_weight": {0: weight[0], 1: weight[-1]}}):
        np.testing.assert_array_equal(range_test(net, labels, "cross_entropy", **more).mean, wanted.mean)
    first, second = net.clone(), net.clone()
    search.line_search_fit(first, X, labels, loss="cross_entropy", steps=5, class_weight="balanced")
    search.line_search_fit(second, X, labels, loss="cross_entropy", steps=5, sample_weight=weight)
    assert_same(first.parameters(), second.parameters())


def test_a_batch_without_weight_has_no_loss_and_takes_its_step_of_the_rate():
    weight = np.zeros(ROWS)
    weight[:20] = 1
    test = range_test(
        new_net(), VALUES, "mse", sample_weight=weight, batch_size=1, steps=40, repeats=1, smoothing=0.5
    )
    order = gradcore._core.shuffle(0, 0, ROWS)[:40]
    assert not weight[order].all()
    held = np.flatnonzero(weight[order[1:]] == 0) + 1
    assert np.array_equal(test.losses[0][held], test.losses[0][held - 1], equal_nan=True)
    assert not (test.losses[0] == 0).any()


def test_masks_and_constraints_hold_while_rates_are_tried():
    net = new_net(dtype="float64")
    mask = {"1.weight": np.zeros((4, 5), bool)}
    seen = []

    def loss(output, target):
        seen.append(float(np.ptp(output)))
        return float((output**2).mean()), 2 * output / output.size

    range_test(net, VALUES, loss, masks=mask)
    assert max(seen) == 0.0, "nothing of the input passes"
    search.line_search_fit(net, X, VALUES, loss="mse", steps=5, masks=mask)
    assert not net.parameters()["1.weight"].any() and net.parameters()["2.bias"].any()
    free = range_test(net.clone(), VALUES, "mse", optimizer=optimizers.SGD(1.0), high=1e3)
    held = range_test(
        net.clone(),
        VALUES,
        "mse",
        optimizer=optimizers.SGD(1.0),
        high=1e3,
        constraint=clipping.Box(-0.1, 0.1),
    )
    assert np.nanmax(held.losses) < 1.0
    assert np.isfinite(held.mean).sum() > np.isfinite(free.mean).sum()


def test_what_listens_to_metrics_stays_what_it_begins_as():
    def plateau(value):
        return schedules.Scale(1.0, schedules.ReduceOnPlateau(value, patience=0, monitor="val_loss"))

    plain, listening = (
        range_test(new_net(), VALUES, "mse", optimizer=optimizers.SGD(lr, weight_decay=decay))
        for lr, decay in ((0.1, 0.3), (plateau(0.1), plateau(0.3)))
    )
    assert listening.losses.tolist() == plain.losses.tolist()


def test_frames_are_taken_by_all_of_them():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"), index=np.arange(ROWS)[::-1])
    target = pandas.Series(VALUES[:, 0], index=frame.index)
    weight = pandas.Series(np.linspace(1, 2, ROWS), index=frame.index)
    for more in ({}, {"sample_weight": weight}):
        plain = {key: value.to_numpy() for key, value in more.items()}
        assert range_test(new_net(), target, "mse", x=frame, **more).losses.tolist() == (
            range_test(new_net(), VALUES, "mse", **plain).losses.tolist()
        )
        results = [
            search.random_search(
                lambda config, seed: Trainer(new_net(seed=seed), "mse", optimizers.Adam(config["lr"])),
                {"lr": search.LogUniform(1e-3, 1e-2)}, x, y, trials=3, epochs=2, batch_size=8,
                workers=1, **weights,
            )
            for x, y, weights in (
                (frame, target, more), (X, VALUES, plain), (X.tolist(), VALUES.tolist(), plain)
            )
        ]  # fmt: skip
        assert results[0].rows() == results[1].rows() == results[2].rows()


def test_held_out_rows_of_heads_and_a_column_of_one_to_compare():
    y = {"a": VALUES, "b": LABELS}
    done = search.random_search(
        lambda config, seed: Trainer(heads_net(seed), HEADS, optimizers.Adam(0.01)),
        {"a": 1}, X, y, trials=3, epochs=2, batch_size=16, monitor="val_b.accuracy",
        class_weight={"b": "balanced"}, workers=1,
    )  # fmt: skip
    scores = [trial.score for trial in done.trials]
    assert scores == sorted(scores, reverse=True)
    assert done.best.trainer.history["val_b.accuracy"][-1] == scores[0]


def shared_network():
    net = new_net()
    return lambda config, seed: Trainer(net, "mse", optimizers.Adam())


def trials(build=None, y=VALUES, **more):
    build = build or (lambda config, seed: Trainer(new_net(seed=seed), "mse", optimizers.Adam()))
    return search.random_search(
        build, {"a": 1}, X, y, **{"trials": 2, "epochs": 1, "batch_size": 8, "workers": 1} | more
    )


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("build: expected a new trainer and network", lambda: trials(shared_network())),
        ("monitor: expected a loss or an accuracy", lambda: trials(monitor="grad_norm")),
        ("monitor: expected a network with Heads", lambda: trials(monitor="val_b.loss")),
        ("monitor: expected a classification loss", lambda: trials(monitor="val_accuracy")),
        ("X, y: expected as many rows, got 48 and 47", lambda: trials(y=VALUES[1:])),
        ("X, sample_weight: expected as many rows", lambda: trials(sample_weight=np.ones(3))),
        ("y: expected rows", lambda: trials(y=3.0)),
        ("class_weight", lambda: trials(class_weight="even")),
        ("sample_weight: expected none for a loss of your own",
         lambda: range_test(new_net(), VALUES, custom, sample_weight=np.ones(ROWS))),
        ("class_weight: expected labels",
         lambda: range_test(new_net(), VALUES, "mse", class_weight="balanced")),
        ("masks", lambda: range_test(new_net(), VALUES, "mse", masks={"7.weight": [True]})),
        ("constraint", lambda: range_test(new_net(), VALUES, "mse", constraint=3)),
        ("optimizer", lambda: range_test(new_net(), VALUES, "mse", optimizer=optimizers.SGD)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(message, call):
    with pytest.raises(gradcore.GradcoreError, match=message):
        call()


@pytest.mark.parametrize(
    "layer",
    [Dropout(0.1), GaussianNoise(0.1), BatchNorm(), Dense(3, penalty=losses.L2(schedules.Constant(0.1)))],
    ids=repr,
)
def test_line_search_fit_refuses_a_loss_that_is_no_function_of_the_weights(layer):
    net = Network([Standardize(), layer, Dense(1)], inputs=4, seed=0)
    before = net.parameters()
    with pytest.raises(ArgumentError, match=r"net: .*expected"):
        search.line_search_fit(net, X, VALUES, loss="mse", steps=3)
    assert_same(net.parameters(), before)
    assert not net._model.standardized
