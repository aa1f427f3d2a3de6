"""Schedules: values against the oracle, end points, composition, and what a run does with them."""

import json
import math
import pickle
import re
import sys
from pathlib import Path

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import optimizers, schedules
from gradcore.network import describe
from hypothesis import given
from hypothesis import strategies as st
from oracle import schedules as rs
from support import cases, public
from vectors import make_schedule

VECTORS = np.load(make_schedule.PATH)
PEERS = {**make_schedule.PEERS, **make_schedule.MOMENTUM}

steps = st.integers(0, 10**7)
lengths = st.integers(1, 10**6)
values = st.floats(1e-6, 10.0)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.quick
def test_1000_steps_are_those_of_pytorch_or_optax(name):
    schedule, want = eval(PEERS[name][0], public(schedules)), VECTORS[name]
    got = schedules.values(schedule, make_schedule.STEPS)
    assert np.abs(got - want).max() <= 1e-12 * np.abs(want).max()
    assert got == pytest.approx(want, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("text", rs.FORMULAS)
def test_1000_steps_are_those_of_the_formula(text):
    want = np.array([rs.FORMULAS[text](step) for step in range(1000)])
    assert schedules.values(eval(text, public(schedules)), 1000) == pytest.approx(want, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("multiplier", [1.0, 1.1, 1.5, 2.0, 3.0])
def test_restarts_are_those_of_keras(multiplier):
    """Without a lower end, where Keras' decay of the peaks and ours are the same thing."""
    formula = rs.keras_restarts(0.3, 8, multiplier, 0.9, 0.0)
    got = schedules.values(schedules.WarmRestarts(0.3, 8, 0.0, multiplier, 0.9), 1000)
    assert got == pytest.approx(np.array([formula(t) for t in range(1000)]), rel=1e-9, abs=1e-12)


def test_restarts_are_exact_at_far_boundaries():
    lr = schedules.WarmRestarts(1.0, 3, multiplier=2)
    for cycle in range(50):
        start = 3 * (2**cycle - 1)
        assert lr(start) == 1.0
        assert cycle == 0 or lr(start - 1) < 0.3


def test_values_take_steps_or_their_number():
    lr = schedules.Linear(0, 1, 4)
    assert schedules.values(lr, 3).tolist() == schedules.values(lr, [0, 1, 2]).tolist() == [0, 0.25, 0.5]
    assert schedules.values(0.5, [10**12]).tolist() == [0.5]


def test_random_values_depend_on_seed_and_step_alone():
    for kind in (schedules.Uniform(0.1, 0.2, 5), schedules.LogUniform(0.1, 0.2, 5), schedules.Walk(0.1, 0.1)):
        backwards = [kind(step) for step in reversed(range(300))]
        assert backwards[::-1] == schedules.values(kind, 300).tolist()
        assert len(set(backwards)) == 300
        assert kind(2**32 + 5) != kind(5)
    far = schedules.Uniform(0.0, 1.0)
    assert abs(schedules.values(far, 4000).mean() - 0.5) < 0.02
    assert schedules.Uniform(0.0, 1.0, 1)(0) != far(0)
    logs = np.log10(schedules.values(schedules.LogUniform(1e-4, 1.0), 4000))
    assert np.abs(np.histogram(logs, 4, (-4, 0))[0] / 4000 - 0.25).max() < 0.03


def test_a_walk_has_normal_steps_and_stays_within_its_bounds():
    free = np.log(schedules.values(schedules.Walk(1.0, 0.01, 1e-9, 1e9, seed=4), 4097))
    steps = np.diff(free) / 0.01
    assert abs(steps.mean()) < 0.06
    assert abs(steps.std() - 1) < 0.05
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.06
    bound = schedules.values(schedules.Walk(0.3, 0.5, 0.1, 1.0), 2000)
    assert bound.min() >= 0.1
    assert bound.max() <= 1.0
    assert bound.min() < 0.12
    assert bound.max() > 0.9


BAD = [
    ("Step(0.1, 0)", "steps"),
    ("Step(0.1, 10, 0.0)", "factor"),
    ("MultiStep(0.1, [])", "milestones"),
    ("MultiStep(0.1, [5, 5])", "milestones"),
    ("MultiStep(0.1, [0])", "milestones"),
    ("Piecewise([1], [1, 2, 3])", "values"),
    ("Piecewise([1], [1, math.nan])", "values"),
    ("Piecewise([1], [1, 2], 'wavy')", "shape"),
    ("Exponential(0.1, 0.5, 10, begin=-1)", "begin"),
    ("InverseTime(0.1, -1, 10)", "decay"),
    ("InverseTime(0.1, 1, 10, power=0)", "power"),
    ("InverseSqrt(0.1, 0)", "warmup"),
    ("InverseSqrt.noam(0, 10)", "width"),
    ("Linear(0.1, 1, 0)", "steps"),
    ("Polynomial(0.1, 0, 10, power=-1)", "power"),
    ("Polynomial(0.1, 0, 10, cycle=1)", "cycle"),
    ("WarmRestarts(0.1, 10, multiplier=0.5)", "multiplier"),
    ("WarmRestarts(0.1, 10, decay=0)", "decay"),
    ("OneCycle(0.1, 10, warm_share=1.5)", "warm_share"),
    ("OneCycle(0.1, 10, warm_share=0.6, three_phases=True)", "warm_share"),
    ("OneCycle(0.1, 10, div=0)", "div"),
    ("OneCycle(0.1, 10, shape='sqrt')", "shape"),
    ("Cyclic(0.1, 1, 0)", "up"),
    ("Cyclic(0.1, 1, 5, 0)", "down"),
    ("Cyclic(0.1, 1, 5, mode='saw')", "mode"),
    ("WarmupStableDecay(0.1, 10, 5, 6)", "decay"),
    ("FlatCosine(0.1, 10, flat=2)", "flat"),
    ("Uniform(1, 1)", "high"),
    ("LogUniform(0, 1)", "low"),
    ("Walk(0, 1)", "initial"),
    ("Walk(1, 1, low=2)", "initial"),
    ("Walk(1, 1, low=1, high=1)", "high"),
    ("Join([0.1], [])", "boundaries"),
    ("Join([0.1], [5])", "schedules"),
    ("Join([0.1, 'fast'], [5])", "schedules[1]"),
    ("Join('ab', [5])", "schedules"),
    ("Scale(Constant, 1)", "schedule"),
    ("ReduceOnPlateau(0.1, factor=1)", "factor"),
    ("ReduceOnPlateau(0.1, patience=-1)", "patience"),
    ("ReduceOnPlateau(0.1, patience=0, style='keras')", "patience"),
    ("ReduceOnPlateau(0.1, monitor='auc')", "monitor"),
    ("ReduceOnPlateau(0.1, style='timm')", "style"),
    ("ReduceOnPlateau(ReduceOnPlateau(0.1))", "schedule"),
    ("values(0.1, 0)", "steps"),
    ("values(0.1, [-1])", "steps"),
    ("plot({'a': 'b'}, 10)", "schedule['a']"),
    ("plot(0.1, 10, axes=3)", "axes"),
]


@pytest.mark.parametrize(("expression", "field"), BAD, ids=[expression for expression, _ in BAD])
def test_bad_options_are_refused(expression, field):
    with pytest.raises(gradcore.GradcoreError, match=f"{re.escape(field)}.*: expected"):
        eval(expression, {"math": math, **public(schedules)})


def test_a_plot_has_the_curve(tmp_path):
    pytest.importorskip("matplotlib")
    axes = schedules.plot({"up": schedules.Linear(0, 1, 10), "flat": 0.5}, 20, path=tmp_path / "lr.svg")
    assert [line.get_label() for line in axes.lines] == ["up", "flat"]
    assert axes.lines[0].get_ydata().tolist() == schedules.values(schedules.Linear(0, 1, 10), 20).tolist()
    assert (tmp_path / "lr.svg").stat().st_size > 1000
    assert schedules.plot(0.1, 5, axes=axes) is axes
    with pytest.raises(gradcore.FileError):
        schedules.plot(0.1, 5, path=tmp_path / "no" / "lr.png")


def test_a_plot_without_matplotlib_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(gradcore.DependencyError, match="pip install matplotlib$"):
        schedules.plot(0.1, 5)


@given(values, st.floats(0.01, 2.0), lengths, st.integers(0, 1000), st.booleans())
def test_exponential(initial, decay, length, periods, staircase):
    for step in (periods * length, periods * length + length // 2, periods * length + length - 1):
        exponent = step // length if staircase else step / length
        if abs(exponent * math.log(decay)) > 700:
            continue
        got = schedules.Exponential(initial, decay, length, staircase)(step)
        want = oracle.schedules.exponential(initial, decay, length, staircase)(step)
        assert got == pytest.approx(want, rel=1e-12)


@given(values, lengths, st.floats(0.0, 5.0), steps)
def test_cosine(initial, length, final, step):
    got = schedules.Cosine(initial, length, final)(step)
    assert got == pytest.approx(oracle.schedules.cosine(initial, length, final)(step), rel=1e-9, abs=1e-12)
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
    assert got == pytest.approx(oracle.schedules.warmup(inner, length, start)(step), rel=1e-9, abs=1e-12)


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
    schedules.Exponential(1e-5, 10, 20, begin=3, end_value=0.01),
    schedules.Cosine(0.1, 100, 0.01),
    schedules.Warmup(schedules.Warmup(schedules.Cosine(0.1, 100), 5), 10, start=0.2),
    schedules.Step(0.1, 30, factor=0.3),
    schedules.MultiStep(0.1, (10, 20)),
    schedules.Piecewise((10, 20), (0.1, 0.2, 0.05), shape="linear"),
    schedules.InverseTime(0.1, 1.0, 20, power=0.5),
    schedules.InverseSqrt(0.1, 20),
    schedules.Linear(0.0, 0.1, 40, begin=5),
    schedules.Polynomial(0.1, 0.01, 30, power=2.0, cycle=True),
    schedules.WarmRestarts(0.1, 10, multiplier=1.5, decay=0.9),
    schedules.OneCycle(0.1, 60),
    schedules.OneCycleMomentum(60, 0.1, 0.05, three_phases=True),
    schedules.Cyclic(0.01, 0.1, 7, 3, mode="exp_range", gamma=0.99),
    schedules.WarmupStableDecay(0.1, 60, 10, 20, shape="sqrt"),
    schedules.FlatCosine(0.1, 60),
    schedules.Uniform(0.01, 0.1, seed=3),
    schedules.LogUniform(0.01, 0.1),
    schedules.Walk(0.03, 0.2, seed=2**64 - 1),
    schedules.Join((schedules.Linear(0, 0.1, 10), 0.05), (30,)),
    schedules.Scale(schedules.Linear(0.1, 0, 100), schedules.Cosine(1.0, 40, 0.5)),
    schedules.ReduceOnPlateau(schedules.Cosine(0.1, 100), patience=100, monitor="loss"),
]
BY_FORMULA = [eval(text, public(schedules)) for text in rs.FORMULAS]
ALL += [schedule for schedule in BY_FORMULA if type(schedule) not in map(type, ALL)]


@pytest.mark.quick
def test_every_schedule_is_in_the_table():
    kinds = {item for item in public(schedules).values() if isinstance(item, type)}
    missing = {kind.__name__ for kind in kinds - set(map(type, ALL))}
    row = '"Name(options)": formula'
    assert not missing, f"{missing}: write a row {row} into FORMULAS in tests/oracle/schedules.py"


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_checkpoint_holds_a_schedule(schedule):
    stored = json.loads(json.dumps(describe.describe(schedule, "schedule")))
    assert describe.build(stored) == schedule


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_resumed_run_sees_the_same_values(schedule, tmp_path):
    """The history of a fit that a checkpoint cut in two is that of the whole one."""

    def fit(net_or_path, epochs):
        if isinstance(net_or_path, Path):
            trainer = gradcore.Trainer.load(net_or_path)
        else:
            trainer = gradcore.Trainer(net_or_path, "mse", optimizers.SGD(schedule))
        trainer.fit(np.ones((9, 2)), np.zeros((9, 1)), epochs=epochs, batch_size=2, progress=False)
        trainer.save(tmp_path / "trainer")
        return trainer.history.lr

    whole = fit(cases.network(gradcore, [cases.dense(1)], 2), 8)
    fit(cases.network(gradcore, [cases.dense(1)], 2), 3)
    assert fit(tmp_path / "trainer", 5) == whole


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
