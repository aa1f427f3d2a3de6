"""Numbers that are not finite: found on the step where they arise, and what each policy does then."""

import math

import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, errors, optimizers
from support import assert_same, cases


def data(rows):
    rng = cases.generator("nonfinite", rows)
    return rng.normal(size=(rows, 4)).astype(np.float32), rng.normal(size=(rows, 2)).astype(np.float32)


def fit(trainer, x, y, epochs):
    return trainer.fit(x, y, epochs=epochs, batch_size=8, shuffle=False, progress=False)


def poisoned(policy):
    """The third batch of an epoch has a row that makes the gradient overflow."""
    x, y = data(24)
    x[17] = 1e38
    y[17] = -1e38
    return make(nonfinite=policy), x, y


def make(**options):
    return Trainer(
        Network([Dense(2)], inputs=4, seed=1), "mse", optimizers.SGD(0.01, momentum=0.9), **options
    )


def test_skip_keeps_the_last_finite_state_says_so_and_goes_on():
    trainer, x, y = poisoned("skip")
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = fit(trainer, x, y, epochs=2)
    assert history.skipped == [1, 1]
    assert trainer.steps == 6
    assert all(np.isfinite(value).all() for value in trainer.net.parameters().values())
    clean = make()
    for _ in range(2):
        for start in (0, 8):
            clean.step(x[start : start + 8], y[start : start + 8])
    assert_same(trainer.net.parameters(), clean.net.parameters())


def test_raise_leaves_the_state_before_the_bad_step():
    trainer, x, y = poisoned("raise")
    with pytest.raises(errors.NonFiniteError, match="finite"):
        fit(trainer, x, y, epochs=2)
    assert trainer.steps == 2
    clean = make()
    for start in (0, 8):
        clean.step(x[start : start + 8], y[start : start + 8])
    assert_same(trainer.net.parameters(), clean.net.parameters())
    assert math.isfinite(trainer.step(x[:8], y[:8]))


def test_skipped_updates_do_not_count_for_the_optimizer(tmp_path):
    """Adam's bias correction goes by applied updates; also after a checkpoint, and in a larger buffer."""
    x, y = data(8)
    bad = x.copy()
    bad[0] = np.nan
    adam = optimizers.Adam(0.1)
    trainer = Trainer(Network([Dense(2)], inputs=4, seed=1), "mse", adam)
    clean = Trainer(Network([Dense(2)], inputs=4, seed=1), "mse", adam)
    for rows in (bad, x, bad, bad, x):
        trainer.step(rows, y)
    for _ in range(2):
        clean.step(x, y)
    assert (trainer.steps, clean.steps) == (5, 2)
    trainer.save(tmp_path / "t")
    resumed = Trainer.load(tmp_path / "t")
    twice, targets = np.concatenate([x, x]), np.concatenate([y, y])
    for other in (trainer, resumed, clean):
        other.step(twice, targets)
    assert_same(trainer.net.parameters(), clean.net.parameters())
    assert_same(resumed.net.parameters(), clean.net.parameters())
    assert resumed.steps == 6


def test_propagate_goes_through():
    trainer, x, y = poisoned("propagate")
    fit(trainer, x, y, epochs=1)
    assert not all(np.isfinite(value).all() for value in trainer.net.parameters().values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "y"])
def test_a_step_by_hand_with_a_bad_number_changes_nothing(value, where):
    """Also where tanh makes an infinite input finite again: its weight gradient is not."""
    clean_x, clean_y = data(8)
    x, y = clean_x.copy(), clean_y.copy()
    (x if where == "x" else y)[3, 1] = value
    for policy in ("skip", "raise"):
        net = Network([Dense(8, "tanh"), Dense(2)], inputs=4, seed=5)
        trainer = Trainer(net, "mse", optimizers.Adam(0.1), nonfinite=policy)
        trainer.step(clean_x, clean_y)
        before = trainer.net.parameters()
        if policy == "raise":
            with pytest.raises((errors.NonFiniteError, errors.ArgumentError)):
                trainer.step(x, y)
        else:
            trainer.step(x, y)
        assert_same(trainer.net.parameters(), before)
        assert math.isfinite(trainer.step(clean_x, clean_y))


@pytest.mark.parametrize("optimizer", [optimizers.SGD(1e20), optimizers.SGD(1e10, momentum=0.99)], ids=repr)
def test_an_update_that_would_overflow_is_skipped_too(optimizer):
    """Loss and gradient are finite; the weight after the update would not be."""
    net = Network([Dense(1, bias=False)], inputs=1)
    net.set_parameters({"0.weight": [[1e18]]})
    trainer = Trainer(net, "mse", optimizer)
    x, y = np.full((1, 1), 10, np.float32), np.zeros((1, 1), np.float32)
    for _ in range(6):
        assert math.isfinite(trainer.step(x, y))
        assert np.isfinite(net.parameters()["0.weight"]).all()
    assert trainer.steps == 6
