"""Trainer.load(optimizer=, clip=, frozen=): another optimizer takes over the moments in the file."""

import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, clipping, errors, optimizers, schedules
from support import StopAt, assert_same, cases

STEPS = 5
ACCUMULATE = optimizers.Accumulate


def make(optimizer, **options):
    net = Network([Dense(6, "tanh"), Dense(2)], inputs=3, seed=4, dtype="float64")
    return Trainer(net, "mse", optimizer, **options)


def data():
    rng = cases.generator("reloading")
    x = rng.normal(size=(24, 3))
    return x, x[:, :2] * 3


def trained(optimizer, path, steps=STEPS, **options):
    trainer = make(optimizer, **options)
    for _ in range(steps):
        trainer.step(*data())
    trainer.save(path)
    return trainer


def state(trainer):
    core = trainer._state.core
    return {
        f"{slot}.{info['name']}": core.state_read(slot, i)
        for slot in range(core.slots)
        for i, info in enumerate(trainer.net._model.infos)
        if info["trainable"]
    } | {"running": core.running_read()}


def changing(first, second):
    return lambda step: first if step < STEPS else second


OTHERS = {
    "Adam, lr": (lambda lr, d: optimizers.Adam(lr), 0.1, 0.01),
    "Adam, beta": (lambda b, d: optimizers.Adam(0.01, betas=(b, 0.999)), 0.9, 0.5),
    "Adam, decay": (lambda d, _: optimizers.Adam(0.01, weight_decay=d), 0.0, 0.1),
    "SGD": (lambda lr, d: optimizers.SGD(lr, momentum=0.9), 0.1, 0.3),
    "Prodigy": (lambda lr, d: optimizers.Prodigy(lr), 1.0, 0.5),
    "EMA of Adam": (lambda lr, d: optimizers.EMA(optimizers.Adam(lr), decay=0.9), 0.1, 0.01),
    "Lookahead": (lambda a, d: optimizers.Lookahead(optimizers.Adam(0.02), every=2, alpha=a), 0.5, 0.9),
    "Accumulate": (lambda lr, d: optimizers.Accumulate(optimizers.Adam(lr), 2), 0.1, 0.01),
    "ScheduleFreeAdamW": (lambda lr, d: optimizers.ScheduleFreeAdamW(lr), 0.05, 0.01),
    "SOAP": (lambda lr, d: optimizers.SOAP(lr), 0.05, 0.01),
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_goes_on_as_if_the_number_had_changed_at_that_step(name, tmp_path):
    """The oracle is a schedule: a function of the step, one number until the file, another after it."""
    build, first, second = OTHERS[name]
    saved = trained(build(first, 0), tmp_path / "t")
    loaded = Trainer.load(tmp_path / "t", optimizer=build(second, 0))
    assert loaded.steps == STEPS
    assert_same(state(loaded), state(saved))
    whole = make(build(changing(first, second), 0))
    for _ in range(2 * STEPS):
        whole.step(*data())
    for _ in range(STEPS):
        loaded.step(*data())
    assert_same(loaded.net.parameters(), whole.net.parameters())


def test_a_schedule_goes_on_from_the_step_of_the_file(tmp_path):
    trained(optimizers.Adam(0.1), tmp_path / "t")
    lr = schedules.Exponential(0.1, 0.5, 1)
    assert Trainer.load(tmp_path / "t", optimizer=optimizers.Adam(lr)).learning_rate == 0.1 * 0.5**STEPS
    loaded = Trainer.load(tmp_path / "t", optimizer=optimizers.Adam(schedules.ReduceOnPlateau(0.1)))
    assert loaded.learning_rate == 0.1
    loaded.save(tmp_path / "u")
    assert Trainer.load(tmp_path / "u", optimizer=optimizers.Adam(0.3)).learning_rate == 0.3


def test_frozen_parameters_stay_and_others_go_on(tmp_path):
    saved = trained(optimizers.Adam(0.1), tmp_path / "t")
    loaded = Trainer.load(tmp_path / "t", frozen=["0.*"])
    assert_same(state(loaded), state(saved))
    for _ in range(3):
        loaded.step(*data())
    for name, value in saved.net.parameters().items():
        same = np.array_equal(loaded.net.parameters()[name], value)
        assert same == name.startswith("0."), name
    loaded.save(tmp_path / "u")
    free = Trainer.load(tmp_path / "u", frozen=[])
    before = free.net.parameters()
    free.step(*data())
    assert all((free.net.parameters()[name] != value).any() for name, value in before.items())


def test_frozen_in_wrappers_and_beside_other_groups(tmp_path):
    groups = [("1.*", {"frozen": True, "lr_factor": 0.5}), ("0.*", {"weight_decay": 0.1})]
    trained(optimizers.EMA(optimizers.SGD(0.1, groups=groups)), tmp_path / "t")
    loaded = Trainer.load(tmp_path / "t", frozen=("*.bias",))
    found = loaded.optimizer.rule.groups
    assert [(g.pattern, g.frozen, g.lr_factor, g.weight_decay) for g in found] == [
        ("*.bias", True, 1.0, None), ("1.*", False, 0.5, None), ("0.*", False, 1.0, 0.1)
    ]  # fmt: skip
    both = Trainer.load(tmp_path / "t", optimizer=optimizers.EMA(optimizers.SGD(0.2)), frozen=["1.*"])
    assert both.learning_rate == 0.2
    assert [g.pattern for g in both.optimizer.rule.groups] == ["1.*"]


def test_another_clip(tmp_path):
    saved = trained(optimizers.SGD(0.1), tmp_path / "t", clip=clipping.GlobalNorm(1e-6))
    for clip, scale in ((clipping.GlobalNorm(1e-3), 1e-3), (None, None)):
        loaded = Trainer.load(tmp_path / "t", clip=clip)
        assert loaded.clip == clip
        before = loaded.net.parameters()
        _, gradients = loaded.gradients(*data())
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        loaded.step(*data())
        for name, g in gradients.items():
            step = before[name] - loaded.net.parameters()[name]
            want = 0.1 * g * (1.0 if scale is None else scale / norm)
            np.testing.assert_allclose(step, want, rtol=1e-9, atol=1e-15)
    assert Trainer.load(tmp_path / "t").clip == saved.clip


def test_statistics_of_a_clip_stay_with_the_same_clip(tmp_path):
    saved = trained(optimizers.Adam(0.1), tmp_path / "t", clip=clipping.AutoClip())
    kept = Trainer.load(tmp_path / "t", optimizer=optimizers.Adam(0.2))
    assert kept._state.plan.statistic.state() == saved._state.plan.statistic.state()
    fresh = Trainer.load(tmp_path / "t", clip=clipping.AutoClip(percentile=50))
    assert fresh._state.plan.statistic.state() != saved._state.plan.statistic.state()


def test_in_the_middle_of_a_fit(tmp_path):
    x, y = data()

    def fit(trainer, **more):
        return trainer.fit(x, y, epochs=4, batch_size=5, progress=False, **more)

    with pytest.raises(InterruptedError):
        fit(make(optimizers.Adam(0.1)), callbacks=[StopAt(7, tmp_path / "t")])
    loaded = Trainer.load(tmp_path / "t", optimizer=optimizers.Adam(0.01))
    whole = make(optimizers.Adam(lambda step: 0.1 if step < 7 else 0.01))
    fit(whole)
    assert fit(loaded).step == [5, 10, 15, 20]
    assert_same(loaded.net.parameters(), whole.net.parameters())


@pytest.mark.parametrize(
    ("saved", "other", "what"),
    [
        (optimizers.Adam(), optimizers.SGD(0.1), "rule"),
        (optimizers.SGD(0.1, momentum=0.9), optimizers.SGD(0.1), "keeps"),
        (optimizers.SGD(0.1), optimizers.SGD(0.1, momentum=0.9), "keeps"),
        (optimizers.Adam(), optimizers.Adam(amsgrad=True), "keeps"),
        (optimizers.EMA(optimizers.Adam()), optimizers.Adam(), "averages"),
        (optimizers.Adam(), optimizers.SWA(optimizers.Adam()), "averages"),
        (optimizers.EMA(optimizers.Adam()), optimizers.SWA(optimizers.Adam()), "averages"),
        (ACCUMULATE(optimizers.Adam(), 2), ACCUMULATE(optimizers.Adam(), 3), "averages"),
        (optimizers.SOAP(), optimizers.SOAP(max_size=4), "matrices"),
    ],
    ids=str,
)
def test_what_keeps_something_else_is_refused(saved, other, what, tmp_path):
    trained(saved, tmp_path / "t")
    with pytest.raises(errors.ArgumentError, match=f"optimizer: expected .*differs in .*{what}"):
        Trainer.load(tmp_path / "t", optimizer=other)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "adam"}, errors.DTypeError, "optimizer: expected one of"),
        ({"optimizer": 0.1}, errors.DTypeError, "optimizer: expected one of"),
        ({"clip": 1.0}, errors.DTypeError, "clip"),
        ({"frozen": "0.*"}, errors.DTypeError, "frozen: expected a list"),
        ({"frozen": [1]}, errors.DTypeError, r"frozen\[0\]"),
        ({"frozen": ["7.*"]}, errors.ArgumentError, r"frozen\[0\]: expected a pattern of 0.weight"),
    ],
)
def test_what_is_no_such_thing_is_refused(options, error, message, tmp_path):
    trained(optimizers.Adam(), tmp_path / "t")
    with pytest.raises(error, match=message):
        Trainer.load(tmp_path / "t", **options)


def test_full_batch_methods_keep_their_memory(tmp_path):
    x, y = data()
    trainer = make(optimizers.LBFGS())
    trainer.fit(x, y, epochs=4, progress=False)
    trainer.save(tmp_path / "t")
    loaded = Trainer.load(tmp_path / "t", optimizer=optimizers.LBFGS(tolerance=1e-2))
    assert loaded.optimizer.tolerance == 1e-2
    for mine, theirs in zip(loaded._state.run.memory["s"], trainer._state.run.memory["s"], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(errors.ArgumentError, match="rule"):
        Trainer.load(tmp_path / "t", optimizer=optimizers.ConjugateGradient())
    with pytest.raises(errors.ArgumentError, match="frozen: expected an optimizer with groups"):
        Trainer.load(tmp_path / "t", frozen=["0.*"])
