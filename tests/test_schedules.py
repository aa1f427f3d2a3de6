"""Schedules: values against the oracle, end points, composition, and what a run does with them."""

import math
import pickle

import cases
import gradcore
import numpy as np
import pytest
import reference
from gradcore import optimizers, schedules
from hypothesis import given
from hypothesis import strategies as st

steps = st.integers(0, 10**7)
lengths = st.integers(1, 10**6)
values = st.floats(1e-6, 10.0)


@given(values, st.floats(0.01, 2.0), lengths, st.integers(0, 1000), st.booleans())
def test_exponential(initial, decay, length, periods, staircase):
    for step in (periods * length, periods * length + length // 2, periods * length + length - 1):
        exponent = step // length if staircase else step / length
        if abs(exponent * math.log(decay)) > 700:
            continue
        got = schedules.Exponential(initial, decay, length, staircase)(step)
        assert got == pytest.approx(reference.exponential(initial, decay, length, staircase)(step), rel=1e-12)


@given(values, lengths, st.floats(0.0, 5.0), steps)
def test_cosine(initial, length, final, step):
    got = schedules.Cosine(initial, length, final)(step)
    assert got == pytest.approx(reference.cosine(initial, length, final)(step), rel=1e-9, abs=1e-12)
    assert min(initial, final) - 1e-9 <= got <= max(initial, final) + 1e-9


def test_cosine_end_points_are_exact():
    cosine = schedules.Cosine(0.3, 1000, 0.07)
    assert cosine(0) == 0.3
    assert cosine(1000) == cosine(10**9) == 0.07
    assert cosine(500) == pytest.approx(0.185)


@given(values, lengths, st.floats(0.0, 1.0), steps)
def test_warmup(value, length, start, step):
    inner = schedules.Cosine(value, 1000)
    got = schedules.Warmup(inner, length, start)(step)
    assert got == pytest.approx(reference.warmup(inner, length, start)(step), rel=1e-9, abs=1e-12)


def test_warmup_meets_its_schedule_without_a_jump():
    inner = schedules.Exponential(0.5, 0.9, 10)
    warm = schedules.Warmup(inner, 20, 0.1)
    assert warm(0) == 0.1
    assert warm(20) == inner(0) == 0.5
    assert warm(10) == pytest.approx(0.3)
    assert warm(27) == inner(7)


def test_constant():
    assert schedules.Constant(0.25)(0) == schedules.Constant(0.25)(10**12) == 0.25


ALL = [
    schedules.Constant(0.1),
    schedules.Exponential(0.1, 0.5, 30),
    schedules.Exponential(0.1, 0.5, 30, staircase=True),
    schedules.Cosine(0.1, 100, 0.01),
    schedules.Warmup(schedules.Warmup(schedules.Cosine(0.1, 100), 5), 10, start=0.2),
]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_schedule_is_pure_pickles_and_prints_so_that_it_can_be_pasted_back(schedule):
    namespace = {name: getattr(schedules, name) for name in schedules.__all__}
    for other in (pickle.loads(pickle.dumps(schedule)), eval(repr(schedule), namespace)):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert [other(step) for step in range(200)] == [schedule(step) for step in range(200)]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_run_sees_the_schedule_of_its_steps(schedule):
    """The history's lr is that of the last step of each epoch, whatever the slices."""
    net = cases.network(gradcore, [cases.dense(1)], 2)
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(schedule))
    x, y = np.ones((13, 2), np.float32), np.zeros((13, 1), np.float32)
    history = trainer.fit(x, y, epochs=9, batch_size=2, progress=False)
    assert history.step == [7 * epoch for epoch in range(1, 10)]
    assert history.lr == [schedule(step - 1) for step in history.step]
    assert trainer.learning_rate == schedule(63)


def test_own_functions_are_schedules():
    net = cases.network(gradcore, [cases.dense(1)], 2)
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(lambda step: 1 / (1 + step)))
    assert trainer.learning_rate == 1.0
    trainer.step(np.ones((1, 2)), np.zeros((1, 1)))
    assert trainer.learning_rate == 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, "fast", None])
def test_a_bad_value_from_a_schedule_stops_before_its_step(value):
    """The steps before it are done; the one that would use it is not, and training can go on."""
    net = cases.network(gradcore, [cases.dense(1)], 2)
    bad = [value]
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(lambda step: bad[0] if step == 3 else 0.01))
    x, y = np.ones((1, 2)), np.ones((1, 1))
    for _ in range(3):
        trainer.step(x, y)
    before = net.parameters()
    with pytest.raises(gradcore.GradcoreError, match="optimizer.lr"):
        trainer.step(x, y)
    assert trainer.steps == 3
    assert all(np.array_equal(a, b) for a, b in zip(before.values(), net.parameters().values(), strict=True))
    bad[0] = 0.01
    trainer.step(x, y)
    assert trainer.steps == 4
