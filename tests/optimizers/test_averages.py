"""Averages of the weights: EMA, SWA, Lookahead, alone and around each other."""

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, errors, optimizers, schedules
from oracle import exact
from support import assert_same, cases, digest, ways

STEPS = 17


def make(optimizer, dtype="float64", **options):
    net = Network([Dense(9, "tanh"), Dense(3)], inputs=5, seed=2, dtype=dtype, **options)
    return Trainer(net, "mse", optimizer)


def batch(step=0):
    return cases.normal((20, 5), "float64", "x", step), cases.normal((20, 3), "float64", "y", step)


def trajectory(optimizer, steps=STEPS):
    """The weights after every step, the averaged ones, and the trainer."""
    trainer = make(optimizer)
    weights, means = [], []
    for step in range(steps):
        trainer.step(*batch(step))
        weights.append(trainer.net.parameters())
        means.append(trainer.averaged().parameters())
    return weights, means, trainer


@pytest.mark.quick
def test_ema_starts_at_the_first_weights_and_decays():
    decay = schedules.Exponential(0.9, 0.99, 1)
    weights, means, _ = trajectory(optimizers.EMA(optimizers.Adam(0.01), decay=decay))
    mean = weights[0]
    for step, w in enumerate(weights):
        if step:
            mean = {key: mean[key] + (1 - decay(step)) * (w[key] - mean[key]) for key in w}
        for key, value in mean.items():
            assert np.allclose(means[step][key], value, rtol=1e-13, atol=1e-15)


def test_an_ema_leaves_the_training_alone():
    plain = make(optimizers.Adam(0.01))
    for step in range(STEPS):
        plain.step(*batch(step))
    weights, _, _ = trajectory(optimizers.EMA(optimizers.Adam(0.01)))
    assert_same(weights[-1], plain.net.parameters())


def test_swa_is_the_mean_of_every_so_many_weights():
    start, every = 4, 3
    weights, means, _ = trajectory(optimizers.SWA(optimizers.SGD(0.05), start=start, every=every))
    counted = []
    for step, w in enumerate(weights):
        if step >= start and (step - start) % every == 0:
            counted.append(w)
        for key in w:
            want = np.mean([c[key] for c in counted], axis=0) if counted else w[key]
            assert np.allclose(means[step][key], want, rtol=1e-12, atol=1e-14)


def test_lookahead_goes_a_part_of_the_way_and_on_from_there():
    trainer = make(optimizers.Lookahead(optimizers.SGD(0.1), every=4, alpha=0.3))
    w = trainer.net.parameters()
    slow = w
    for step in range(STEPS):
        gradients = trainer.gradients(*batch(step))[1]
        trainer.step(*batch(step))
        w = {key: w[key] - 0.1 * gradients[key] for key in w}
        if (step + 1) % 4 == 0:
            slow = {key: slow[key] + 0.3 * (w[key] - slow[key]) for key in w}
            w = slow
        for key, value in trainer.net.parameters().items():
            assert np.allclose(value, w[key], rtol=1e-11, atol=1e-13)


WRAPPED = {
    "ema": lambda: optimizers.EMA(optimizers.Adam(0.01), decay=0.9),
    "swa": lambda: optimizers.SWA(optimizers.SGD(0.05, momentum=0.9), start=2, every=2),
    "lookahead": lambda: optimizers.Lookahead(optimizers.Lion(1e-3, weight_decay=0.0), every=3),
    "all": lambda: optimizers.EMA(
        optimizers.SWA(optimizers.Lookahead(optimizers.LAMB(0.01)), start=1), decay=0.5
    ),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_checkpoint_keeps_averages_bit_for_bit(name, dtype, tmp_path):
    trainer = make(WRAPPED[name](), dtype)
    for step in range(6):
        trainer.step(*batch(step))
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=2, isa="scalar")
    assert other.optimizer == trainer.optimizer
    for each in (trainer, other):
        for step in range(6, STEPS):
            each.step(*batch(step))
    assert_same(trainer.net.parameters(), other.net.parameters())
    assert_same(trainer.averaged().parameters(), other.averaged().parameters())


@pytest.mark.parametrize("name", WRAPPED)
def test_threads_and_instruction_sets_change_no_bit(name, dtype):
    found = set()
    for threads, isa in ways():
        trainer = make(WRAPPED[name](), dtype, threads=threads, isa=isa)
        for step in range(8):
            trainer.step(*batch(step))
        found.add(
            digest(
                {
                    **trainer.net.parameters(),
                    **{f"mean.{k}": v for k, v in trainer.averaged().parameters().items()},
                }
            )
        )
    assert len(found) == 1


@pytest.mark.parametrize("name", ["ema", "swa", "lookahead"])
def test_plain_arrays_are_averaged_alike(name):
    trainer, plain = make(WRAPPED[name]()), WRAPPED[name]()
    w = trainer.net.parameters()
    for step in range(STEPS):
        gradients = trainer.gradients(*batch(step))[1]
        plain.update(w, gradients)
        trainer.step(*batch(step))
        assert_same(w, trainer.net.parameters())
        assert_same(plain.averaged(w), trainer.averaged().parameters())


# ---- Accumulated gradients ----


def parts(step, count=4):
    x, y = batch(step)
    return [(x[i::count], y[i::count]) for i in range(count)]


ACCUMULATED = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adamw": lambda: optimizers.AdamW(0.01),
    "prodigy": lambda: optimizers.Prodigy(),
    "schedule_free": lambda: optimizers.ScheduleFreeAdamW(0.01),
    "ema": lambda: optimizers.EMA(optimizers.Adam(0.01), decay=0.8),
}


@pytest.mark.parametrize("name", ACCUMULATED)
def test_small_batches_add_up_to_a_large_one(name):
    large, small = make(ACCUMULATED[name]()), make(optimizers.Accumulate(ACCUMULATED[name](), 4))
    for step in range(6):
        large.step(*batch(step))
        for i, part in enumerate(parts(step)):
            before = small.net.parameters()
            small.step(*part)
            assert (i < 3) == all(exact.same_bits(v, before[k]) for k, v in small.net.parameters().items())
        for key, value in large.net.parameters().items():
            assert np.allclose(small.net.parameters()[key], value, rtol=1e-9, atol=1e-11)
    assert (small.steps, small.skipped) == (24, 0)
    if name == "ema":
        for key, value in large.averaged().parameters().items():
            assert np.allclose(small.averaged().parameters()[key], value, rtol=1e-9, atol=1e-11)


def test_clipping_sees_the_mean_gradient():
    clip = gradcore.clipping.GlobalNorm(0.05)
    net = [Network([Dense(3)], inputs=5, seed=2, dtype="float64") for _ in range(2)]
    large = Trainer(net[0], "mse", optimizers.SGD(1.0), clip=clip)
    small = Trainer(net[1], "mse", optimizers.Accumulate(optimizers.SGD(1.0), 4), clip=clip)
    large.step(*batch())
    for part in parts(0):
        small.step(*part)
    for key, value in net[0].parameters().items():
        assert np.allclose(net[1].parameters()[key], value, rtol=1e-10)


@pytest.mark.parametrize("name", ACCUMULATED)
def test_a_checkpoint_between_small_batches_goes_on_bit_for_bit(name, dtype, tmp_path):
    trainer = make(optimizers.Accumulate(ACCUMULATED[name](), 3), dtype, threads=3)
    for step in range(7):
        trainer.step(*batch(step))
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=1, isa="scalar")
    for each in (trainer, other):
        for step in range(7, STEPS):
            each.step(*batch(step))
    assert_same(trainer.net.parameters(), other.net.parameters())


def test_a_batch_that_is_not_finite_does_not_spoil_the_others():
    trainer, other = (make(optimizers.Accumulate(optimizers.Adam(0.01), 3)) for _ in range(2))
    for step in range(6):
        x, y = batch(step)
        if step in (0, 4):
            trainer.step(np.full_like(x, np.nan), y)
        for each in (trainer, other):
            each.step(x, y)
    assert trainer.skipped == 2
    assert_same(trainer.net.parameters(), other.net.parameters())


def test_plain_arrays_accumulate_alike():
    trainer, plain = (
        make(optimizers.Accumulate(optimizers.Adam(0.01), 3)),
        optimizers.Accumulate(optimizers.Adam(0.01), 3),
    )
    w = trainer.net.parameters()
    for step in range(7):
        plain.update(w, trainer.gradients(*batch(step))[1])
        trainer.step(*batch(step))
        assert_same(w, trainer.net.parameters())


def test_a_skipped_step_is_not_averaged():
    trainer, other = make(WRAPPED["all"]()), make(WRAPPED["all"]())
    for step in range(8):
        x, y = batch(step)
        if step in (0, 3):
            trainer.step(np.full_like(x, np.nan), y)
        for each in (trainer, other):
            each.step(x, y)
    assert_same(trainer.averaged().parameters(), other.averaged().parameters())


def test_an_average_scores_as_a_network(tmp_path):
    _, means, trainer = trajectory(optimizers.EMA(optimizers.Adam(0.01)))
    net = trainer.averaged()
    net.save(tmp_path / "n")
    assert exact.same_bits(Network.load(tmp_path / "n").predict(batch()[0]), net.predict(batch()[0]))
    assert_same(net.parameters(), means[-1])


def test_without_an_average_there_is_none():
    with pytest.raises(errors.StateError, match="EMA"):
        make(optimizers.Adam()).averaged()
    trainer = make(optimizers.EMA(optimizers.Adam()))
    assert_same(trainer.averaged().parameters(), trainer.net.parameters())


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: optimizers.Accumulate(optimizers.Adam(), 0), errors.ArgumentError, "every"),
    (lambda: optimizers.Accumulate(optimizers.Accumulate(optimizers.Adam(), 2), 2),
     errors.ArgumentError, "accumulate"),
    (lambda: optimizers.EMA("adam"), errors.DTypeError, "optimizer"),
    (lambda: optimizers.EMA(optimizers.Adam(), decay=1.0), errors.ArgumentError, "decay"),
    (lambda: optimizers.EMA(optimizers.ScheduleFreeSGD()), errors.ArgumentError, "schedule-free"),
    (lambda: optimizers.SWA(optimizers.Adam(), every=0), errors.ArgumentError, "every"),
    (lambda: optimizers.SWA(optimizers.Adam(), start=1.5), errors.DTypeError, "start"),
    (lambda: optimizers.Lookahead(optimizers.Adam(), alpha=1.5), errors.ArgumentError, "alpha"),
    (lambda: optimizers.Lookahead(optimizers.Adam(), every=-1), errors.ArgumentError, "every"),
    (lambda: optimizers.EMA(optimizers.EMA(optimizers.EMA(optimizers.EMA(optimizers.Adam())))),
     errors.ArgumentError, "at most 3"),
])  # fmt: skip
def test_bad_averages_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
