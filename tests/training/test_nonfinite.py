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


# ---- Fits that do nothing but skip ----


def spoil(x, y, rows):
    x[rows], y[rows] = 1e38, -1e38


def messages(found):
    return [str(one.message) for one in found if one.category is RuntimeWarning]


@pytest.mark.parametrize("batch", [1, 3, 8, 24])
def test_a_fit_that_skips_every_update_says_so(batch):
    x, y = data(24)
    spoil(x, y, slice(None))
    trainer = make()
    before = trainer.net.parameters()
    with pytest.warns(RuntimeWarning) as found:
        history = trainer.fit(x, y, epochs=2, batch_size=batch, progress=False)
    steps = 2 * (24 // batch)
    assert trainer.skipped == sum(history.skipped) == steps and len(history) == 2
    assert_same(trainer.net.parameters(), before)
    first, told = messages(found)
    assert first.startswith("step 1: ") and "not finite" in first
    if steps < 20:
        assert told.startswith(f"fit: all {steps} updates of this fit had a loss or a gradient that was not")
    else:
        assert told.startswith("step 20: all 20 updates of this fit had")
    assert "learning rate" in told


def test_the_only_update_is_no_plural():
    x, y = data(24)
    spoil(x, y, slice(None))
    with pytest.warns(RuntimeWarning, match="^fit: the only update of this fit had"):
        make().fit(x, y, epochs=1, batch_size=24, progress=False)


@pytest.mark.parametrize("bad", [19, 20, 21])
@pytest.mark.parametrize("before", [0, 7])
def test_twenty_in_a_row_are_said_at_the_twentieth(bad, before):
    """Whatever the slices are: the number of the step is that of the step."""
    rows = before + bad + 5
    x, y = data(rows)
    spoil(x, y, slice(before, before + bad))
    trainer = make()
    with pytest.warns(RuntimeWarning) as found:
        trainer.fit(x, y, epochs=1, batch_size=1, shuffle=False, progress=False)
    first, *rest = messages(found)
    assert first.startswith(f"step {before + 1}: ")
    assert len(rest) == (bad >= 20)
    if rest:
        what = "the last 20 updates were all skipped" if before else "all 20 updates of this fit"
        assert rest[0].startswith(f"step {before + 20}: {what}")
    assert trainer.skipped == bad


def test_rows_of_skipped_updates_go_on_over_epochs_and_end_with_an_update():
    x, y = data(8)
    spoil(x, y, slice(1, None))
    trainer = make()
    with pytest.warns(RuntimeWarning) as found:
        trainer.fit(x, y, epochs=9, batch_size=1, shuffle=False, progress=False)
    assert len(messages(found)) == 1 and trainer.skipped == 63


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.01), optimizers.LBFGS()], ids=str)
def test_it_is_said_of_the_line_that_calls_fit(optimizer):
    x, y = data(8)
    trainer = Trainer(Network([Dense(2)], inputs=4, seed=1, dtype="float64"), "mse", optimizer)
    trainer.net.set_parameters({"0.bias": [1e200, 0.0]})
    with pytest.warns(RuntimeWarning) as found:
        trainer.fit(x, y, epochs=1, progress=False)
    said = [one for one in found if one.category is RuntimeWarning]
    assert len(said) == 2 and {one.filename for one in said} == {__file__}


def test_a_sound_fit_says_nothing(recwarn):
    make().fit(*data(24), epochs=30, batch_size=1, progress=False)
    assert not messages(recwarn)
