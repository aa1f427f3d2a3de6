"""Searches: the range test leaves the net alone, trials do not depend on workers, Armijo's rule holds."""

import math
import re
import threading

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Dropout, Network, Standardize, Trainer, clipping, optimizers, search
from gradcore.search import sweep
from gradcore.training import fit_data
from support import assert_same
from support.search_problem import blobs

x, y = blobs()


def new_net(seed=0, **more):
    return Network([Standardize(), Dense(12, "relu"), Dropout(0.1), Dense(3)], inputs=4, seed=seed, **more)


# ---- The range test ----


def range_test(net=None, **more):
    options = {"loss": "cross_entropy", "steps": 60, "batch_size": 20, "repeats": 3, **more}
    return search.range_test(new_net() if net is None else net, x, y, **options)


@pytest.mark.quick
def test_the_rates_are_a_geometric_sequence():
    test = range_test(low=1e-5, high=2.0)
    assert test.lrs[0] == 1e-5
    assert test.lrs[-1] == pytest.approx(2.0, rel=1e-12)
    assert np.ptp(np.diff(np.log(test.lrs))) < 1e-12


def test_the_callers_network_and_trainer_stay_as_they_are():
    net = new_net()
    trainer = Trainer(net, "cross_entropy", optimizers.Adam(0.01))
    trainer.fit(x, y, epochs=2, batch_size=16, progress=False)
    twin = trainer.__reduce__()[0](*trainer.__reduce__()[1])
    net.forward(x, training=True)
    before, passes = net.parameters(), net._training_forwards
    range_test(net)
    assert_same(net.parameters(), before)
    assert net._training_forwards == passes
    fresh = new_net()
    range_test(fresh)
    assert not fresh._model.standardized
    for either in (trainer, twin):
        either.fit(x, y, epochs=1, batch_size=16, progress=False)
    assert_same(trainer.net.parameters(), twin.net.parameters())


def test_a_factory_is_called_once_a_repeat_and_its_nets_stay_too():
    made = []

    def make(seed):
        made.append((seed, new_net(seed)))
        return made[-1][1]

    test = range_test(make, seed=7)
    assert [seed for seed, _ in made] == [7, 8, 9]
    for seed, net in made:
        assert_same(net.parameters(), new_net(seed).parameters())
    assert len(np.unique(test.losses[:, 0])) == 3, "other nets, other losses"


def test_the_losses_are_the_smoothed_losses_of_a_training_by_hand():
    test = range_test(repeats=1, smoothing=0.8, seed=3, high=0.1)
    trainer = Trainer(new_net(), "cross_entropy", optimizers.Adam(lambda step: test.lrs[step]), seed=3)
    trainer.net.standardize(x)
    average, want = 0.0, []
    for step in range(60):
        epoch, position = divmod(step, len(x) // 20)
        rows = gradcore._core.shuffle(3, epoch, len(x))[20 * position : 20 * position + 20]
        average = 0.8 * average + 0.2 * trainer.step(x[rows], y[rows])
        want.append(average / (1 - 0.8 ** (step + 1)))
    assert test.losses[0] == pytest.approx(want, rel=1e-9)


def test_the_band_is_that_of_students_t():
    stats = pytest.importorskip("scipy.stats")
    test = range_test(high=0.1, repeats=4)
    low, high = stats.t.interval(0.95, 3, test.losses.mean(axis=0), stats.sem(test.losses, axis=0))
    assert test.low == pytest.approx(low, rel=1e-3)
    assert test.high == pytest.approx(high, rel=1e-3)
    assert np.isnan(range_test(repeats=1).low).all()
    for freedom in (1, 5, 10, 11, 20, 100):
        assert sweep._t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_an_explosion_ends_a_repeat():
    test = range_test(optimizer=optimizers.SGD(1.0), high=1e6, steps=80)
    assert np.isfinite(test.mean[:20]).all()
    assert np.isnan(test.mean[-1])
    assert np.isnan(test.losses[:, -1]).any()


@pytest.mark.parametrize("rule", ["steepest", "middle", "minimum"])
def test_the_suggestion_trains(rule):
    test = range_test(rule=rule, optimizer=optimizers.SGD(1.0, momentum=0.9), clip=clipping.GlobalNorm(5.0))
    assert test.rule == rule
    assert test.suggestion == test.suggestions[rule]
    trainer = Trainer(new_net(), "cross_entropy", optimizers.SGD(test.suggestion, momentum=0.9))
    history = trainer.fit(x, y, epochs=20, batch_size=20, progress=False)
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_nothing_is_suggested_where_nothing_falls():
    test = search.range_test(new_net(), x, y, loss="cross_entropy", low=1e-15, high=1e-14, batch_size=len(x))
    assert test.suggestions["steepest"] is None and test.suggestion is None
    constant = np.full(50, 1.0)
    assert sweep._middle(test.lrs[:50], constant) is None
    assert sweep._minimum(test.lrs[:50], constant) is None
    assert sweep._steepest(test.lrs[:50], np.full(50, np.nan)) is None


def test_the_rules_find_what_they_say():
    """A loss of 1 that falls linearly in the logarithm from 1e-3 to 1e-1, then explodes."""
    lrs = np.geomspace(1e-6, 10, 141)
    decades = np.log10(lrs)
    mean = np.interp(decades, [-6, -3, -1, -0.5, 1], [1, 1, 0.1, 5, 9])
    assert sweep._minimum(lrs, mean) == pytest.approx(1e-2)
    assert 1e-3 < sweep._steepest(lrs, mean) < 1e-1
    assert math.log10(sweep._middle(lrs, mean)) == pytest.approx((-3 + 0.2 - 1) / 2, abs=0.06)


def test_a_picture_of_a_range_test(tmp_path):
    pytest.importorskip("matplotlib")
    axes = range_test().plot(tmp_path / "test.svg")
    assert axes.get_xscale() == "log"
    assert (tmp_path / "test.svg").stat().st_size > 1000


# ---- Trials ----

SPACE = {
    "lr": search.LogUniform(1e-4, 1e-1),
    "width": search.Choice([4, 8, 16]),
    "dropout": search.Uniform(0.0, 0.5),
    "layers": search.Integer(1, 3),
    "loss": "cross_entropy",
}


def build(config, seed):
    hidden = [Dense(config["width"], "relu") for _ in range(config["layers"])]
    net = Network(
        [Standardize(), *hidden, Dropout(config["dropout"]), Dense(3)], inputs=4, seed=seed, threads=1
    )
    return Trainer(net, config["loss"], optimizers.Adam(config["lr"]))


def run(kind=search.random_search, **more):
    options = {"trials": 9, "epochs": 4, "batch_size": 20, **more}
    return kind(options.pop("build", build), options.pop("space", SPACE), x, y, **options)


@pytest.mark.parametrize("kind", [search.random_search, search.successive_halving])
def test_the_result_does_not_depend_on_the_workers(kind):
    first, *others = [run(kind, workers=workers, seed=5) for workers in (1, 2, 5)]
    for other in others:
        assert other.rows() == first.rows()
        for a, b in zip(first.trials, other.trials, strict=True):
            assert_same(a.trainer.net.parameters(), b.trainer.net.parameters())


def test_trials_are_ranked_and_reproducible():
    result = run(seed=3)
    scores = [trial.score for trial in result.trials]
    assert scores == sorted(scores)
    assert result.monitor == "val_loss"
    assert sorted(trial.index for trial in result.trials) == list(range(9))
    assert result.rows()[0] == {
        "index": result.best.index, "epochs": 4, "val_loss": result.best.score, **result.best.config,
    }  # fmt: skip
    assert run(seed=3).rows() == result.rows()
    assert run(seed=4).rows() != result.rows()


def test_draws_stay_in_their_ranges_and_do_not_depend_on_other_names():
    from gradcore.search.space import draw

    drawn = [draw(SPACE, 1, trial) for trial in range(400)]
    logs = np.log10([config["lr"] for config in drawn])
    assert logs.min() >= -4 and logs.max() < -1
    assert np.abs(np.histogram(logs, 3, (-4, -1))[0] / 400 - 1 / 3).max() < 0.07
    assert {config["width"] for config in drawn} == {4, 8, 16}
    assert {config["layers"] for config in drawn} == {1, 2, 3}
    assert all(0 <= config["dropout"] < 0.5 for config in drawn)
    assert [draw({"lr": SPACE["lr"]}, 1, trial)["lr"] for trial in range(400)] == [c["lr"] for c in drawn]


def test_halving_gives_the_best_more_epochs():
    result = run(search.successive_halving, trials=9, epochs=9, factor=3, seed=2)
    assert sorted(trial.epochs for trial in result.trials) == [1] * 6 + [3] * 2 + [9]
    assert result.best.epochs == 9
    whole = build(result.best.config, result.best.seed)
    rows, held = fit_data.held_out(0.2, len(x), 2)
    history = whole.fit(
        x[rows], y[rows], epochs=9, batch_size=20, validation=(x[held], y[held]), progress=False
    )
    assert history.val_loss[-1] == result.best.score, "going on is the same as never having stopped"


def test_halving_keeps_who_was_best_in_each_round():
    short = run(search.random_search, trials=9, epochs=1, seed=2)
    halved = run(search.successive_halving, trials=9, epochs=9, factor=3, seed=2)
    went_on = {trial.index for trial in halved.trials if trial.epochs > 1}
    assert went_on == {trial.index for trial in short.trials[:3]}


def test_accuracy_is_better_when_higher():
    result = run(monitor="val_accuracy")
    scores = [trial.score for trial in result.trials]
    assert scores == sorted(scores, reverse=True)


def test_a_trial_that_explodes_comes_last():
    space = {**SPACE, "lr": search.Choice([1e-2, 1e30])}
    with pytest.warns(RuntimeWarning):
        result = run(space=space, workers=1)
    assert {trial.config["lr"] for trial in result.trials[:2]} == {1e-2}
    assert result.trials[-1].config["lr"] == 1e30

    def strict(config, seed):
        trainer = build(config, seed)
        return Trainer(trainer.net, "cross_entropy", trainer.optimizer, nonfinite="raise")

    last = run(space=space, build=strict).trials[-1]
    assert math.isnan(last.score)


def test_no_threads_are_left_behind():
    before = threading.active_count()
    run(workers=3)
    with pytest.raises(gradcore.GradcoreError):
        run(workers=3, validation=(x[:, :2], y))
    assert threading.active_count() == before


def many_threads(config, seed):
    return Trainer(Network([Dense(3)], inputs=4, threads=2), "cross_entropy", optimizers.Adam())


def descend(net=None, **more):
    net = plain_net() if net is None else net
    return search.line_search_fit(net, x, y, **{"loss": "cross_entropy", "steps": 20, **more})


def plain_net(dtype="float64"):
    return Network([Standardize(), Dense(12, "tanh"), Dense(3)], inputs=4, seed=1, dtype=dtype)


BAD = [
    ("loss", lambda: search.range_test(new_net(), x, y, loss="cake")),
    ("net", lambda: range_test(3)),
    ("net", lambda: range_test(lambda seed: None)),
    ("optimizer", lambda: range_test(optimizer="adam")),
    ("low, high", lambda: range_test(low=1.0, high=0.1)),
    ("steps", lambda: range_test(steps=3)),
    ("repeats", lambda: range_test(repeats=0)),
    ("batch_size", lambda: range_test(batch_size=0)),
    ("smoothing", lambda: range_test(smoothing=1.0)),
    ("stop", lambda: range_test(stop=1.0)),
    ("rule", lambda: range_test(rule="valley")),
    ("build", lambda: run(build=3)),
    ("build", lambda: run(build=lambda config, seed: None)),
    ("build", lambda: run(build=many_threads, workers=2)),
    ("space", lambda: run(space={})),
    ("space", lambda: run(space={1: 2})),
    ("trials", lambda: run(trials=0)),
    ("epochs", lambda: run(epochs=0)),
    ("batch_size", lambda: run(batch_size=0)),
    ("monitor", lambda: run(monitor="auc")),
    ("monitor", lambda: run(validation=None, monitor="val_loss")),
    ("validation", lambda: run(validation=1.5)),
    ("workers", lambda: run(workers=0)),
    ("factor", lambda: run(search.successive_halving, factor=1)),
    ("min_epochs", lambda: run(search.successive_halving, min_epochs=5)),
    ("high", lambda: search.Uniform(1, 1)),
    ("low", lambda: search.LogUniform(0, 1)),
    ("high", lambda: search.Integer(2, 1)),
    ("values", lambda: search.Choice([])),
    ("values", lambda: search.Choice("abc")),
    ("net", lambda: descend(3)),
    ("net", lambda: descend(new_net())),
    ("steps", lambda: descend(steps=0)),
    ("batch_size", lambda: descend(batch_size=0)),
    ("first_step", lambda: descend(first_step=0.0)),
    ("growth", lambda: descend(growth=0.5)),
    ("tolerance", lambda: descend(tolerance=-1.0)),
    ("c1", lambda: descend(c1=1.0)),
    ("method", lambda: descend(method="exact")),
    ("c2", lambda: descend(method="strong_wolfe", c2=0.05)),
    ("shrink", lambda: descend(shrink=0.0)),
    ("phi", lambda: search.armijo(3, 1.0, -1.0)),
    ("dphi0", lambda: search.armijo(abs, 1.0, 0.0)),
    ("step", lambda: search.armijo(abs, 1.0, -1.0, 0.0)),
    ("c1", lambda: search.armijo(abs, 1.0, -1.0, c1=1.0)),
    ("shrink", lambda: search.armijo(abs, 1.0, -1.0, shrink=0.0)),
    ("max_evaluations", lambda: search.armijo(abs, 1.0, -1.0, max_evaluations=0)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{name} {i}" for i, (name, _) in enumerate(BAD)])
def test_bad_arguments_are_refused(name, call):
    with pytest.raises(gradcore.GradcoreError, match=f"{re.escape(name)}.*: expected"):
        call()


# ---- Steps along a line ----


def test_armijo_takes_the_first_step_that_lowers_enough():
    seen = []

    def phi(step):
        seen.append(step)
        return (step - 0.1) ** 4

    result = search.armijo(phi, 1e-4, -4e-3, 1.0, c1=0.1, shrink=0.5)
    assert seen == [0.5**i for i in range(len(seen))]
    enough = [phi(step) <= 1e-4 + 0.1 * step * -4e-3 for step in seen[: result.evaluations]]
    assert enough == [False] * (result.evaluations - 1) + [True]
    assert result.value == phi(result.step)


def test_armijo_gives_up_and_steps_back_from_what_is_not_finite():
    assert search.armijo(lambda t: 1.0 + t, 1.0, -1.0) == search.LineResult(0.0, 1.0, 25)
    assert search.armijo(lambda t: 1 - t if t < 0.3 else math.nan, 1.0, -1.0).step == 0.25
    assert search.armijo(lambda t: -math.inf if t > 0.3 else 1 - t, 1.0, -1.0).step == 0.25


# ---- Descent with such steps ----


def test_on_all_rows_the_loss_falls_at_every_step_as_armijo_promises(dtype):
    net = plain_net(dtype)
    done = descend(net, steps=40, c1=0.3)
    assert len(done.losses) == len(done.steps) == 40
    assert done.evaluations >= 40
    assert (np.diff(done.losses) < 0).all()
    assert Trainer(net, "cross_entropy", optimizers.SGD(1.0)).evaluate(x, y)["loss"] < 0.3 * done.losses[0]


def test_a_step_is_the_gradient_times_its_length():
    net = plain_net()
    net.standardize(x)
    before = net.parameters()
    _, gradients = Trainer(net, "cross_entropy", optimizers.SGD(1.0)).gradients(x, y)
    done = descend(net, steps=1, first_step=64.0)
    assert 0 < done.steps[0] < 64.0
    for name, gradient in gradients.items():
        assert (net.parameters()[name] == before[name] - done.steps[0] * gradient).all()


def test_batches_are_taken_in_an_order_that_the_seed_decides():
    nets = [plain_net() for _ in range(3)]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        descend(net, steps=30, batch_size=25, seed=seed)
    assert_same(nets[0].parameters(), nets[1].parameters())
    assert (nets[0].parameters()["1.weight"] != nets[2].parameters()["1.weight"]).any()
    assert Trainer(nets[0], "cross_entropy", optimizers.SGD(1.0)).evaluate(x, y)["accuracy"] > 0.8


def test_it_ends_where_the_gradient_is_small():
    assert len(descend(tolerance=1e9).losses) == 0


def test_strong_wolfe_steps_satisfy_both_conditions():
    """By plain gradients: steps are low enough, and flat enough, which Armijo's are not."""
    flat = {}
    for method in ("armijo", "strong_wolfe"):
        net, slopes = plain_net(), []
        net.standardize(x)
        trainer = Trainer(net, "cross_entropy", optimizers.SGD(1.0))
        for _ in range(15):
            before, start = trainer.gradients(x, y)
            descend(net, steps=1, method=method, first_step=1e-3, c1=1e-4, c2=0.2)
            after, there = trainer.gradients(x, y)
            slope = -sum((g * g).sum() for g in start.values())
            end = -sum((there[name] * g).sum() for name, g in start.items())
            assert after < before
            slopes.append(abs(end) <= 0.2 * abs(slope))
        flat[method] = slopes
    assert all(flat["strong_wolfe"]) and not any(flat["armijo"])


def test_strong_wolfe_goes_further_and_is_repeatable():
    found = descend(method="strong_wolfe", steps=40)
    again = descend(method="strong_wolfe", steps=40)
    assert found.losses.tolist() == again.losses.tolist()
    assert found.losses[-1] < 0.5 * found.losses[0]
    assert (np.diff(found.losses) < 0).all()
    assert found.evaluations >= len(found.steps) and (found.steps > 0).all()
