"""Trainer.edited: a new trainer with another optimizer, rule, loss or network, from where one stands."""

import math
import pickle
import threading
import warnings

import numpy as np
import pytest
from gradcore import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Heads,
    LayerNorm,
    Network,
    Residual,
    Standardize,
    Trainer,
    clipping,
    errors,
    losses,
    optimizers,
    schedules,
)
from oracle import exact
from support import StopAt, assert_same, cases, heads_problem, optimizer_cases

O = optimizers  # noqa: E741
STACK = (Dense(6, "tanh"), Dense(5, "relu"), Dense(2))


def data(rows=24):
    rng = cases.generator("edited")
    x = rng.normal(size=(rows, 3))
    return x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], 1)


def make(optimizer=None, layers=STACK, loss="mse", **options):
    net = Network(layers, inputs=3, seed=4, dtype="float64")
    return Trainer(net, loss, optimizer or O.Adam(0.02), **options)


def steps(trainer, count=5, x=None, y=None):
    x, y = data() if x is None else (x, y)
    for _ in range(count):
        trainer.step(x, y)
    return trainer


def state(trainer):
    """Everything that training depends on, as arrays by name."""
    core, model = trainer._state.core, trainer.net._model
    found = dict(trainer.net.parameters()) | {f"mask {k}": v for k, v in trainer.masks().items()}
    if core is None:
        return found
    for slot in range(core.slots):
        for i, info in enumerate(model.infos):
            if info["trainable"]:
                found[f"{slot} {info['name']}"] = core.state_read(slot, i)
    found["running"] = core.running_read()
    found["counts"] = np.array([core.step, core.updates, trainer.skipped, trainer._state.epochs])
    found["ledger"] = trainer._state.ledger + core.ledger()
    if core.accumulates:
        found["accumulated"] = core.accumulated_read()
    return found


def moments(trainer, slot, name):
    return trainer._state.core.state_read(slot, trainer.net._model.index[name])


@pytest.fixture
def kept():
    """Trainers that must be the same to the bit at the end of a test."""
    watched = []

    def watch(trainer):
        watched.append((trainer, state(trainer), trainer.history.to_dict(), repr(trainer)))
        return trainer

    yield watch
    for trainer, before, history, text in watched:
        assert_same(state(trainer), before)
        assert trainer.history.to_dict() == history
        assert repr(trainer) == text


# ---- Nothing is changed ----

WRAPPED = [
    O.EMA(O.Adam(0.02), decay=0.8),
    O.SWA(O.SGD(0.1), start=2, every=2),
    O.Lookahead(O.Adam(0.02), every=3),
    O.SAM(O.SGD(0.1, momentum=0.9), rho=0.1),
    O.SAM(O.Adam(0.02), adaptive=True),
    O.Accumulate(O.Adam(0.02), 3),
    O.EMA(O.Lookahead(O.Accumulate(O.RMSprop(0.01), 2), every=2), decay=0.5),
    O.Accumulate(O.ScheduleFreeAdamW(0.02), 2),
    O.Adam(schedules.Cosine(0.05, 20)),
    O.Adam(0.02, groups=[("0.*", {"frozen": True}), ("*.bias", {"lr_factor": 2.0})]),
    O.SGD(0.1, momentum=0.9, dampening=0.3),
]
ALL = [getattr(O, name)(0.02) for name in optimizer_cases.classes()] + WRAPPED


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_without_arguments_it_goes_on_bit_for_bit(optimizer, kept):
    layers = (Dense(6, "tanh"), Dropout(0.2), BatchNorm(), Dense(6, "relu", weight_norm=True), Dense(2))
    rules = {"clip": clipping.AutoClip(50), "constraint": clipping.MaxNorm(1.5)}
    trainer = make(optimizer, layers, **rules)
    mask = np.arange(18).reshape(3, 6) % 3 != 0
    trainer.set_masks({"0.weight": mask})
    steps(trainer, 7)
    before = state(trainer)
    twin = trainer.edited()
    third = kept(twin).edited()
    assert_same(state(third), before)
    steps(third, 6)
    assert_same(state(trainer), before)
    found, want = state(third), state(steps(trainer, 6))
    np.testing.assert_allclose(found.pop("ledger"), want.pop("ledger"), rtol=1e-12)  # sums of two parts
    assert_same(found, want)
    assert third.clip_ledger().keys() == trainer.clip_ledger().keys()


@pytest.mark.parametrize("at", [3, 5, 8])
@pytest.mark.parametrize(
    "optimizer",
    [O.Adam(0.02), O.EMA(O.Adam(0.02)), O.Accumulate(O.SGD(0.1), 3), O.ScheduleFreeSGD(0.1)],
    ids=repr,
)
def test_in_the_middle_of_a_fit(optimizer, at, tmp_path, kept):
    x, y = data()
    lr = schedules.ReduceOnPlateau(0.05, patience=1, threshold=0.5)
    options = {"epochs": 3, "batch_size": 5, "progress": False, "validation": 0.2, "early_stopping": 2}
    with pytest.raises(InterruptedError):
        make(optimizer.with_rate(lr)).fit(x, y, **options, callbacks=[StopAt(at, tmp_path / "t")])
    trainer = Trainer.load(tmp_path / "t")
    twin = trainer.edited()
    kept(trainer)
    loaded = Trainer.load(tmp_path / "t")
    histories = [one.fit(x, y, **options).to_dict() for one in (twin, loaded)]
    for history in histories:
        history.pop("seconds")
    assert histories[0] == histories[1]
    assert_same(state(twin), state(loaded))


def test_in_a_callback(kept):
    x, y = data()
    made = []

    class Edit:
        every_steps = 7

        def on_slice(self, trainer, reports):
            if trainer.steps == 7:
                made.append(trainer.edited())

    options = {"epochs": 3, "batch_size": 5, "progress": False}
    trainer = make()
    trainer.fit(x, y, **options, callbacks=[Edit()])
    assert made[0].steps == 7
    made[0].fit(x, y, **options, resume=True)
    assert_same(state(made[0]), state(trainer))


FULL = [
    kind()
    for name in O.__all__
    if getattr(kind := getattr(O, name), "full_batch", False) and "abstract" not in kind.__dict__
]


@pytest.mark.parametrize("method", FULL, ids=repr)
def test_full_batch_methods_go_on_with_their_memory(method, kept):
    x, y = data()
    trainer = make(method)
    trainer.fit(x, y, epochs=3, progress=False)
    twin = trainer.edited()
    assert_same(state(twin), state(trainer))
    kept(trainer)
    for one in (copy := pickle.loads(pickle.dumps(trainer)), twin):
        one.fit(x, y, epochs=3, progress=False)
    assert_same(state(twin), state(copy))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = trainer.edited(optimizer=O.Adam(0.01))
    assert other.steps == 3
    assert other.skipped == 0
    assert_same(state(steps(other, 3)), state(steps(like_new(trainer, O.Adam(0.01)), 3)) | counts(other))


def test_heads_and_surgery(kept):
    x, y = heads_problem.data(20)
    loss = losses.PerHead(
        {"kind": "cross_entropy", "angle": "mse", "stop": "binary_cross_entropy"}, surgery=True
    )
    for optimizer in (O.Adam(0.01), O.Accumulate(O.Adam(0.01), 3)):
        trainer = Trainer(heads_problem.network(dtype="float64", uncertainty=True), loss, optimizer)
        steps(trainer, 4, x, y)
        twin = kept(trainer).edited()
        assert twin.conflicts() == trainer.conflicts()
        assert_same(state(twin), state(trainer))
        assert_same(
            state(steps(twin, 4, x, y)), state(steps(pickle.loads(pickle.dumps(trainer)), 4, x, y))
            | {"ledger": twin._state.ledger + twin._state.core.ledger()}
        )  # fmt: skip


def test_tables_with_names_classes_and_codes(kept):
    rng = cases.generator("edited codes")
    x = np.column_stack([rng.integers(0, 4, 30), rng.normal(1e6, 1.0, (30, 2))])
    y = np.where(x[:, 1] > 1e6, "up", "down")
    layers = [Standardize(), Embedding({0: (4, 2)}), Dense(5, "relu"), Dense(2)]
    net = Network(layers, inputs=3, seed=1)
    trainer = Trainer(net, "cross_entropy", O.Adam(0.02))
    trainer.fit(x, y, epochs=2, batch_size=8, progress=False)
    net.columns, net.metadata = ["a", "b", "c"], {"of": "mine"}
    kept(trainer)
    for options in ({}, {"layers": [*layers[:2], Dense(5, "tanh"), Dense(2)]}):
        twin = trainer.edited(**options)
        assert (twin.net.classes, twin.net.columns) == (("down", "up"), ("a", "b", "c"))
        assert twin.net.metadata == {"of": "mine"}
        assert_same(twin.net.parameters(), net.parameters())
        twin.fit(x, y, epochs=1, progress=False)
    assert (trainer.edited().net.predict(x) == net.predict(x)).all()
    front = trainer.edited(layers=[*layers[1:]])
    assert_same(
        {n: v for n, v in front.net.parameters().items() if "table" in n},
        {"0.0.table": net.parameters()["1.0.table"]},
    )


def test_before_the_first_step(kept):
    trainer = make()
    trainer.set_masks({"0.weight": np.eye(3, 6, dtype=bool)})
    kept(trainer)
    twin = trainer.edited(
        optimizer=O.SGD(0.1), layers=[STACK[0], Residual(STACK[1], projection=True), STACK[2]]
    )
    assert (twin.steps, list(twin.masks())) == (0, ["0.weight"])
    steps(twin)


def test_what_a_network_was_made_with(kept):
    net = Network(STACK, inputs=3, seed=9, threads=2, isa="scalar", flush_denormals=True)
    trainer = kept(steps(Trainer(net, "mse", O.Adam(), nonfinite="raise", seed=5), 2))
    twin = trainer.edited(layers=[STACK[0], Dense(5, "gelu"), STACK[2]])
    assert repr(twin) == repr(trainer).replace("Dense(5, 'relu')", "Dense(5, 'gelu')")


# ---- The optimizer ----


def changing(first, second):
    return lambda step: first if step < 5 else second


SAME = {
    "Adam, lr": (lambda lr: O.Adam(lr), 0.1, 0.01),
    "Adam, beta": (lambda b: O.Adam(0.01, betas=(b, 0.999)), 0.9, 0.5),
    "Adam, decay": (lambda d: O.Adam(0.01, weight_decay=d), 0.0, 0.1),
    "SGD": (lambda lr: O.SGD(lr, momentum=0.9), 0.1, 0.3),
    "Prodigy": (lambda lr: O.Prodigy(lr), 1.0, 0.5),
    "EMA": (lambda d: O.EMA(O.Adam(0.02), decay=d), 0.9, 0.5),
    "Lookahead": (lambda a: O.Lookahead(O.Adam(0.02), every=2, alpha=a), 0.5, 0.9),
    "Accumulate": (lambda lr: O.Accumulate(O.Adam(lr), 2), 0.1, 0.01),
    "ScheduleFreeAdamW": (lambda lr: O.ScheduleFreeAdamW(lr), 0.05, 0.01),
    "SOAP": (lambda lr: O.SOAP(lr), 0.05, 0.01),
    "Muon": (lambda lr: O.Muon(lr), 0.05, 0.01),
    "NAdam": (lambda lr: O.NAdam(lr), 0.05, 0.01),
}


@pytest.mark.parametrize("name", SAME)
def test_another_number_is_as_if_it_had_changed_at_that_step(name, kept):
    build, first, second = SAME[name]
    trainer = kept(steps(make(build(first))))
    found = steps(trainer.edited(optimizer=build(second)))
    whole = steps(make(build(changing(first, second))), 10)
    assert_same(state(found), state(whole))


def like_new(trainer, optimizer, **options):
    """A new trainer on a copy of the network."""
    options = {"clip": trainer.clip, "seed": trainer.seed, **options}
    return Trainer(trainer.net.clone(), trainer.loss, optimizer, **options)


def counts(trainer):
    """What differs where steps are counted on."""
    found = state(trainer)
    return {name: found[name] for name in ("counts", "ledger")}


OTHER = [
    (O.Adam(0.02), O.SGD(0.1, momentum=0.9, dampening=0.5)),
    (O.SGD(0.1, momentum=0.9), O.Adam(0.02)),
    (O.RMSprop(0.01), O.AdamW(0.02)),
    (O.Adam(0.02), O.NAdam(0.02)),
    (O.AdaBelief(0.01), O.Adam(0.02)),
    (O.ScheduleFreeAdamW(0.02), O.EMA(O.Adam(0.02), decay=0.5)),
    (O.Lookahead(O.SGD(0.1), every=2), O.ScheduleFreeSGD(0.1)),
    (O.Adam(0.02), O.Muon(0.02)),
    (O.SOAP(0.02), O.SWA(O.SGD(0.1), every=2)),
    (O.Accumulate(O.SGD(0.1), 2), O.Accumulate(O.Prodigy(), 3)),
    (O.SOAP(), O.SOAP(max_size=4)),
    (O.Adam(0.02), O.Lookahead(O.ADOPT(0.01), every=2)),
    (O.Adam(0.02), O.Accumulate(O.Adagrad(0.1), 2)),
]


@pytest.mark.parametrize(("before", "after"), OTHER, ids=repr)
def test_what_keeps_other_things_begins_anew(before, after, kept):
    trainer = kept(steps(make(before)))
    found, new = trainer.edited(optimizer=after), like_new(trainer, after)
    assert (found.steps, found.skipped) == (5, 0)
    assert_same(state(steps(found, 6)), state(steps(new, 6)) | counts(found))
    assert (found.steps, found.skipped) == (11, 0)


def test_schedules_go_on_where_the_state_begins_anew():
    trainer = steps(make(O.SGD(0.1)))
    lr = schedules.Exponential(0.1, 0.5, 1)
    assert trainer.edited(optimizer=O.Adam(lr)).learning_rate == 0.1 * 0.5**5


def test_a_state_that_began_anew_is_saved(tmp_path):
    found = steps(steps(make(O.SGD(0.1))).edited(optimizer=O.Adam(0.02)), 2)
    found.step(np.full((2, 3), np.inf), np.zeros((2, 2)))
    assert found.skipped == 1
    found.save(tmp_path / "t")
    loaded = Trainer.load(tmp_path / "t")
    assert (loaded.steps, loaded.skipped) == (8, 1)
    assert_same(state(steps(loaded, 3)), state(steps(found, 3)))
    assert loaded.skipped == found.edited().skipped == 1


@pytest.mark.parametrize(
    "after",
    [O.AdamW(0.02, weight_decay=0.0), O.Adam(0.02, eps_root=0.0), O.AdEMAMix(0.02, alpha=0.0),
     O.AdamW(0.02, weight_decay=0.0, amsgrad=True)],
    ids=repr,
)  # fmt: skip
def test_moments_go_on_in_a_rule_that_has_the_same(after, kept):
    """With these options all of them are Adam, and so the oracle is an Adam that just goes on."""
    trainer = kept(steps(make(O.Adam(0.02, betas=(0.9, 0.999)))))
    found = trainer.edited(optimizer=after)
    whole = steps(pickle.loads(pickle.dumps(trainer)), 1)
    for name, value in steps(found, 1).net.parameters().items():
        np.testing.assert_allclose(value, whole.net.parameters()[name], rtol=1e-12, atol=1e-14)


def test_moments_of_other_betas_are_the_same_once_corrected():
    trainer = steps(make(O.Adam(0.02, betas=(0.9, 0.99))), 7)
    found = trainer.edited(optimizer=O.RAdam(0.01, betas=(0.8, 0.999)))
    for slot, old, new in ((0, 0.9, 0.8), (1, 0.99, 0.999)):
        before, after = (moments(one, slot, "0.weight") for one in (trainer, found))
        np.testing.assert_allclose(after / (1 - new**7), before / (1 - old**7), rtol=1e-12)


def test_averages_that_are_new_begin_at_the_weights_as_they_are(kept):
    trainer = kept(steps(make(O.Adam(0.02))))
    begun = trainer.net.parameters()
    found = trainer.edited(optimizer=O.EMA(O.Adam(0.02), decay=0.75))
    assert_same(moments_of(found, 0), moments_of(trainer, 0))
    steps(found, 1)
    for name, value in found.averaged().parameters().items():
        want = 0.75 * begun[name] + 0.25 * found.net.parameters()[name]
        np.testing.assert_allclose(value, want, rtol=1e-13)
    back = found.edited(optimizer=O.Adam(0.02))
    assert_same(back.net.parameters(), steps(trainer.edited(), 1).net.parameters())


def moments_of(trainer, slot):
    model = trainer.net._model
    return {i["name"]: moments(trainer, slot, i["name"]) for i in model.infos if i["trainable"]}


def test_a_mean_that_would_have_begun_is_refused(kept):
    trainer = kept(steps(make(O.SGD(0.1))))
    with pytest.raises(errors.ArgumentError, match=r"optimizer: expected SWA with start=5 or later.*start=3"):
        trainer.edited(optimizer=O.SWA(O.SGD(0.1), start=3))
    found = trainer.edited(optimizer=O.SWA(O.SGD(0.1), start=5))
    seen = [steps(found, 1).net.parameters()["0.weight"] for _ in range(3)]
    np.testing.assert_allclose(found.averaged().parameters()["0.weight"], np.mean(seen, 0), rtol=1e-13)


@pytest.mark.parametrize(("parts", "updates"), [(3, 2), (1, 2), (4, 1)])
def test_gradients_that_wait_are_dropped_where_another_number_of_them_makes_an_update(parts, updates, kept):
    trainer = kept(steps(make(O.Accumulate(O.Adam(0.02), 3)), 7))
    after = O.Accumulate(O.Adam(0.02), parts) if parts > 1 else O.Adam(0.02)
    found = trainer.edited(optimizer=after, clip=clipping.GlobalNorm(1e9))
    core = found._state.core
    assert core.updates == (7 if parts == 3 else updates * parts)
    assert found.skipped == 0
    for slot, beta in ((0, 0.9), (1, 0.999)):
        before, now = (moments(one, slot, "1.weight") for one in (trainer, found))
        np.testing.assert_allclose(now / (1 - beta**updates), before / (1 - beta**2), rtol=1e-12)


# ---- Rules and losses ----


def test_clip_and_constraint(kept):
    trainer = kept(steps(make(O.SGD(0.1), clip=clipping.GlobalNorm(1e-6))))
    for clip, scale in ((clipping.GlobalNorm(1e-3), 1e-3), (None, None)):
        found = trainer.edited(clip=clip)
        assert found.clip == clip
        before = found.net.parameters()
        _, gradients = found.gradients(*data())
        norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
        steps(found, 1)
        for name, g in gradients.items():
            want = 0.1 * g * (1.0 if scale is None else scale / norm)
            np.testing.assert_allclose(
                before[name] - found.net.parameters()[name], want, rtol=1e-9, atol=1e-15
            )
        assert found.clip_ledger().keys() == (set() if clip is None else trainer.clip_ledger().keys())
    held = trainer.edited(constraint=clipping.MaxNorm(0.25))
    weight = held.net.parameters()["0.weight"]
    assert np.linalg.norm(trainer.net.parameters()["0.weight"], axis=0).max() > 0.5
    assert np.linalg.norm(weight, axis=0).max() <= 0.25 * (1 + 1e-12)
    free = held.edited(constraint=None)
    assert_same(free.net.parameters(), held.net.parameters())
    assert free.constraint is None


@pytest.mark.parametrize("rule", [clipping.AutoClip(30), clipping.ZClip(warmup=3)], ids=repr)
def test_statistics_of_a_rule_stay_with_an_equal_one(rule, kept):
    trainer = kept(steps(make(clip=rule)))
    statistic = trainer._state.plan.statistic.state()
    equal = type(rule)(
        *([30] if isinstance(rule, clipping.AutoClip) else []),
        **({"warmup": 3} if isinstance(rule, clipping.ZClip) else {}),
    )
    found = steps(trainer.edited(clip=equal, optimizer=O.SGD(0.1)), 2)
    assert len(str(found._state.plan.statistic.state())) != len(str(statistic))
    assert trainer._state.plan.statistic.state() == statistic
    assert trainer.edited()._state.plan.statistic.state() == statistic
    other = trainer.edited(clip=clipping.AutoClip(90))
    assert other._state.plan.statistic.state() == {"norms": []}


def mean_fourth_power(output, target):
    error = output - target
    return float((error**4).mean()), 4 * error**3 / error.size


def test_losses_and_functions(kept):
    trainer = kept(steps(make(O.Adam(lambda step: 0.02 / (step + 1)), loss=mean_fourth_power)))
    found = steps(trainer.edited(), 2)
    assert found.loss == trainer.loss
    assert found.loss.function is mean_fourth_power
    assert found.optimizer.lr is trainer.optimizer.lr
    huber = kept(trainer.edited(loss=losses.Huber(delta=0.5)))
    x, y = data()
    error = np.abs(huber.net.predict(x) - y)
    want = np.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25)).mean()
    assert math.isclose(huber.evaluate(x, y)["loss"], want, rel_tol=1e-12)
    assert_same(moments_of(huber, 0), moments_of(trainer, 0))
    back = huber.edited(loss=mean_fourth_power)
    assert_same(steps(back, 3).net.parameters(), steps(trainer.edited(), 3).net.parameters())


def test_all_at_once(kept):
    trainer = kept(steps(make(clip=clipping.GlobalNorm(1.0))))
    layers = [STACK[0], LayerNorm(), STACK[1], Dropout(lambda step: 0.1), STACK[2]]
    found = trainer.edited(
        optimizer=O.EMA(O.SGD(0.1)),
        clip=[clipping.Centralize(), clipping.GlobalNorm(2.0)],
        constraint=clipping.MaxNorm(9.0),
        loss="mae",
        layers=layers,
        parameters={"1.gamma": np.full(6, 2.0)},
    )
    assert found.net.layers == tuple(layers)
    assert (found.net.parameters()["1.gamma"] == 2).all()
    assert_same({"w": found.net.parameters()["4.weight"]}, {"w": trainer.net.parameters()["2.weight"]})
    steps(found, 3)


# ---- Fits ----


def interrupted(tmp_path, **options):
    with pytest.raises(InterruptedError):
        make(**options).fit(
            *data(), epochs=4, batch_size=5, progress=False, callbacks=[StopAt(7, tmp_path / "t")]
        )
    return Trainer.load(tmp_path / "t")


def fit(trainer, **more):
    return trainer.fit(*data(), epochs=4, batch_size=5, progress=False, **more)


def test_a_fit_goes_on_with_an_optimizer_of_the_same_form(tmp_path, kept):
    trainer = kept(interrupted(tmp_path, optimizer=O.Adam(0.1)))
    found = trainer.edited(optimizer=O.Adam(0.01), clip=clipping.GlobalNorm(1e9))
    whole = make(O.Adam(lambda step: 0.1 if step < 7 else 0.01))
    fit(whole)
    assert fit(found, resume=True).step == [5, 10, 15, 20]
    for name, value in whole.net.parameters().items():
        np.testing.assert_allclose(found.net.parameters()[name], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "options",
    [{"optimizer": O.SGD(0.1)}, {"loss": "mae"}, {"layers": [STACK[0], Dense(5, "gelu"), STACK[2]]}],
    ids=str,
)
def test_else_it_is_forgotten(options, tmp_path, kept):
    trainer = kept(interrupted(tmp_path))
    found = trainer.edited(**options)
    with pytest.raises(errors.StateError, match="resume: expected a fit that was interrupted"):
        fit(found, resume=True)
    assert found.steps == 7
    assert (found.history.step, found._state.epochs) == ([5], 1)
    assert fit(found).step == [12, 17, 22, 27]
    assert found.history.epoch == [1, 2, 3, 4, 5]


def test_memory_of_whole_data_methods_is_of_one_loss(kept):
    trainer = make(O.LBFGS())
    trainer.fit(*data(), epochs=4, progress=False)
    kept(trainer)
    assert trainer.edited(optimizer=O.LBFGS(tolerance=1e-2))._state.run.memory["s"]
    assert trainer.edited(loss=losses.Huber())._state.run is None
    assert trainer.edited(layers=[STACK[0], Dense(5, "gelu"), STACK[2]])._state.run is None
    with pytest.raises(errors.ArgumentError, match="clip: expected None for LBFGS"):
        steps(make(clip=clipping.GlobalNorm(1.0))).edited(optimizer=O.LBFGS())


# ---- Layers ----


def test_a_block_that_begins_absent_changes_no_prediction(kept):
    trainer = kept(steps(make()))
    x, _ = data()
    layers = [STACK[0], Residual(LayerNorm(), Dense(6, "gelu"), gain=0.0), *STACK[1:]]
    found = trainer.edited(layers=layers)
    assert exact.same_bits(found.net.predict(x), trainer.net.predict(x))
    old, new = trainer.net.parameters(), found.net.parameters()
    for now, before in {"0.weight": "0.weight", "2.bias": "1.bias", "3.weight": "2.weight"}.items():
        assert exact.same_bits(new[now], old[before])
    drawn = Network(layers, inputs=3, seed=4, dtype="float64").parameters()
    assert_same({n: v for n, v in new.items() if n.startswith("1.")},
                {n: v for n, v in drawn.items() if n.startswith("1.")})  # fmt: skip
    assert_same(new, trainer.edited(layers=layers).net.parameters())
    before = found.evaluate(*data())["loss"]
    assert steps(found, 40).evaluate(*data())["loss"] < before


def test_a_block_around_a_layer_and_away_again(kept):
    layers = [Dense(6, "tanh"), Dense(6, "relu"), Dense(2)]
    trainer = kept(steps(make(layers=layers)))
    x, _ = data()
    wrapped = trainer.edited(layers=[layers[0], Residual(layers[1]), layers[2]])
    for slot in (0, 1):  # nothing is new, so the moments are as they were
        assert exact.same_bits(moments(wrapped, slot, "1.0.weight"), moments(trainer, slot, "1.weight"))
    inner = trainer.net.activations(x)
    want = (inner["0"] + inner["1"]) @ trainer.net.parameters()["2.weight"] + trainer.net.parameters()[
        "2.bias"
    ]
    np.testing.assert_allclose(wrapped.net.predict(x), want, rtol=1e-12)
    back = wrapped.edited(layers=layers)
    assert_same(state(back), state(trainer))


def test_options_that_change_no_shape(kept):
    layers = [Dense(6, "tanh"), Dropout(0.1), Dense(6, "tanh"), Dense(2)]
    trainer = kept(steps(make(layers=layers)))
    found = trainer.edited(
        layers=[Dense(6, "relu", penalty=losses.L2(0.1)), Dropout(0.5), Dense(6, "relu"), Dense(2)]
    )
    assert_same(found.net.parameters(), trainer.net.parameters())
    assert_same(moments_of(found, 1), moments_of(trainer, 1))
    assert found._state.core.updates == 5


def test_layers_with_parameters_come_before_those_without(kept):
    trainer = kept(steps(make(layers=[Dense(6, "tanh"), Dropout(0.1), Activation("relu"), Dense(2)])))
    found = trainer.edited(layers=[Activation("relu"), Dropout(0.1), Dense(6, "gelu"), Dense(2)])
    for name, value in found.net.parameters().items():
        assert exact.same_bits(value, trainer.net.parameters()[name.replace("2.", "0.")]), name


@pytest.mark.parametrize("count", [4, 30])
def test_moments_beside_new_ones_are_the_same_once_corrected(count, kept):
    trainer = kept(steps(make(O.AdamW(0.02)), count))
    found = trainer.edited(layers=[*STACK[:2], Residual(Dense(5), gain=0.5), STACK[2]])
    now = min(count, 10)
    assert (found._state.core.updates, found.steps, found.skipped) == (now, count, 0)
    for slot, beta in ((0, 0.9), (1, 0.999)):
        before, after = moments(trainer, slot, "2.weight"), moments(found, slot, "3.weight")
        np.testing.assert_allclose(after / (1 - beta**now), before / (1 - beta**count), rtol=1e-12)
        assert not moments(found, slot, "2.0.weight").any()


def test_steps_of_a_new_parameter_are_not_much_too_long():
    """The oracle is an Adam of its own, whose count begins with the parameter."""
    trainer = steps(make(O.Adam(0.001)), 400)
    found = trainer.edited(layers=[*STACK[:2], Dense(5), STACK[2]])
    m = v = 0.0
    for t in range(1, 60):
        _, gradients = found.gradients(*data())
        before = found.net.parameters()["2.weight"]
        steps(found, 1)
        g = gradients["2.weight"]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        right = 0.001 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        done = before - found.net.parameters()["2.weight"]
        assert np.linalg.norm(done) <= 1.13 * np.linalg.norm(right)
        assert np.linalg.norm(done) >= 0.45 * np.linalg.norm(right)


@pytest.mark.parametrize(
    ("optimizer", "start"),
    [(O.SGD(0.1, momentum=0.9), 0.0), (O.RMSprop(0.01), 0.0), (O.RMSprop(0.01, initial=0.5), 0.5),
     (O.Adagrad(0.1, initial=0.25), 0.25), (O.Adadelta(), 0.0), (O.Lion(), 0.0), (O.LARS(0.1), 0.0)],
    ids=repr,
)  # fmt: skip
def test_rules_without_corrections_keep_their_state_beside_new_ones(optimizer, start, kept):
    trainer = kept(steps(make(optimizer)))
    found = trainer.edited(layers=[*STACK[:2], Dense(5), STACK[2]])
    assert exact.same_bits(moments(found, 0, "3.weight"), moments(trainer, 0, "2.weight"))
    assert (moments(found, 0, "2.weight") == start).all()
    assert found._state.core.updates == 5
    steps(found, 2)


def test_rprop_begins_with_its_rate():
    groups = [("2.*", {"lr_factor": 0.5})]
    trainer = steps(make(O.Rprop(0.01)))
    layers = [*STACK[:2], Dense(5), STACK[2]]
    found = trainer.edited(layers=layers, optimizer=O.Rprop(0.02, groups=groups))
    assert (moments(found, 1, "2.weight") == 0.01).all()
    assert exact.same_bits(moments(found, 1, "3.weight"), moments(trainer, 1, "2.weight"))


@pytest.mark.parametrize(
    "optimizer",
    [O.NAdam(), O.Adan(), O.ADOPT(), O.Yogi(), O.Prodigy(), O.SOAP(), O.Muon(), O.ScheduleFreeSGD(0.1),
     O.ScheduleFreeAdamW(), O.SGD(0.1, momentum=0.9, dampening=0.5), O.SWA(O.Adam(0.02), every=2)],
    ids=repr,
)  # fmt: skip
def test_all_others_begin_anew_beside_new_ones(optimizer, kept):
    trainer = kept(steps(make(optimizer)))
    found = trainer.edited(layers=[*STACK[:2], Dense(5), STACK[2]])
    new = Trainer(found.net.clone(), "mse", optimizer, seed=trainer.seed)
    assert_same(state(steps(found, 5)), state(steps(new, 5)) | counts(found))


def test_averages_beside_new_parameters(kept):
    trainer = kept(steps(make(O.Lookahead(O.EMA(O.Adam(0.02), decay=0.5), every=4)), 30))
    found = trainer.edited(layers=[*STACK[:2], Dense(5), STACK[2]])
    assert found._state.core.updates % 4 == 30 % 4
    for slot in (2, 3):
        assert exact.same_bits(moments(found, slot, "3.weight"), moments(trainer, slot, "2.weight"))
        assert exact.same_bits(moments(found, slot, "2.weight"), found.net.parameters()["2.weight"])
    steps(found, 6)


def test_the_weight_that_multiplies_x_stays():
    x, _ = data()
    trainer = steps(make())
    normed = trainer.edited(layers=[Dense(6, "tanh", weight_norm=True), *STACK[1:]])
    np.testing.assert_allclose(normed.net.predict(x), trainer.net.predict(x), rtol=1e-12, atol=1e-13)
    steps(normed, 3)
    plain = normed.edited(layers=STACK)
    np.testing.assert_allclose(plain.net.predict(x), normed.net.predict(x), rtol=1e-12, atol=1e-13)
    divided = trainer.edited(layers=[Dense(6, "tanh", spectral_norm=True), *STACK[1:]])
    values = np.linalg.svd(divided.net.effective_weights()["0.weight"])[1]
    assert math.isclose(values[0], 1.0, rel_tol=1e-2)
    steps(divided, 3)


def test_heads_by_name(kept):
    x, y = data()
    by_head = {"a": y[:, :1], "b": y[:, 1:]}
    heads = Heads({"a": [Dense(4, "relu"), Dense(1)], "b": Dense(1)})
    trainer = Trainer(
        Network([Dense(6, "tanh"), heads], inputs=3, dtype="float64"), {"a": "mse", "b": "mse"}, O.Adam(0.02)
    )
    kept(steps(trainer, 4, x, by_head))
    turned = Heads({"b": Dense(1), "a": [Dense(4, "relu"), Residual(Dense(4), gain=0.0), Dense(1)]})
    with pytest.raises(errors.ArgumentError, match="give loss= as well"):
        trainer.edited(layers=[Dense(6, "tanh"), Heads({"b": Dense(1)})])
    found = trainer.edited(layers=[Dense(6, "tanh"), turned], loss={"a": "mse", "b": "mse"})
    for head in "ab":
        assert exact.same_bits(found.net.predict(x)[head], trainer.net.predict(x)[head])
    steps(found, 3, x, by_head)
    one = trainer.edited(layers=[Dense(6, "tanh"), Dense(4, "relu"), Dense(1)], loss="mse")
    assert exact.same_bits(one.net.predict(x), trainer.net.predict(x)["a"])


def test_standardize_in_front_has_yet_to_learn(kept):
    trainer = kept(steps(make()))
    found = trainer.edited(layers=[Standardize(), *STACK])
    assert exact.same_bits(found.net.parameters()["1.weight"], trainer.net.parameters()["0.weight"])
    x, y = data()
    found.fit(5 + 3 * x, y, epochs=1, progress=False)
    np.testing.assert_allclose(found.net.parameters()["0.mean"], (5 + 3 * x).mean(axis=0))


def test_columns_that_become_codes_arrive_as_they_are():
    rng = cases.generator("edited codes")
    x = np.column_stack([rng.integers(0, 4, 30), rng.normal(size=(30, 2))])
    y = x[:, 1:]
    net = Network([Standardize(), *STACK], inputs=3, seed=1, dtype="float64")
    trainer = Trainer(net, "mse", O.Adam(0.02))
    trainer.fit(x, y, epochs=1, progress=False)
    found = trainer.edited(layers=[Standardize(), Embedding({0: (4, 1)}), *STACK])
    assert_same({"w": found.net.parameters()["2.weight"]}, {"w": net.parameters()["1.weight"]})
    assert found.net.parameters()["0.mean"].tolist() == [0.0, *net.parameters()["0.mean"][1:]]
    found.fit(x, y, epochs=1, progress=False)


def test_masks_go_with_their_layer_and_hold(kept):
    trainer = make(O.Lookahead(O.Adam(0.02), every=2))
    mask = np.arange(10).reshape(5, 2) % 3 != 0
    trainer.set_masks({"2.weight": mask, "0.bias": np.arange(6) > 2})
    kept(steps(trainer))
    layers = [Dense(7, "tanh"), STACK[1], Residual(Dense(5)), STACK[2]]
    found = trainer.edited(layers=layers, parameters={"3.weight": np.ones((5, 2))})
    assert list(found.masks()) == ["3.weight"]
    assert exact.same_bits(found.net.parameters()["3.weight"], mask.astype(np.float64))
    steps(found, 3)
    assert not found.net.parameters()["3.weight"][~mask].any()


def test_weights_that_another_trainer_has_set_stay_as_they_are():
    trainer = make(O.SGD(0.1))
    mask = np.eye(3, 6, dtype=bool)
    trainer.set_masks({"0.weight": mask})
    steps(trainer)
    steps(Trainer(trainer.net, "mse", O.SGD(0.1)))
    before = trainer.net.parameters()
    assert before["0.weight"][~mask].all()
    found = trainer.edited()
    assert_same(trainer.net.parameters(), before)
    assert not found.net.parameters()["0.weight"][~mask].any()
    assert_same(steps(trainer, 2).net.parameters(), steps(found, 2).net.parameters())


def test_parameters_come_last_and_within_constraints(kept):
    trainer = kept(steps(make(constraint=clipping.MaxNorm(1.0))))
    for optimizer in (O.Adam(0.02), O.SGD(0.1), O.ScheduleFreeSGD(0.1), O.Lookahead(O.Adam(0.02))):
        found = trainer.edited(parameters={"0.weight": np.full((3, 6), 7.0)}, optimizer=optimizer)
        np.testing.assert_allclose(found.net.parameters()["0.weight"], 1 / math.sqrt(3), rtol=1e-12)
        steps(found, 3)
        assert np.linalg.norm(found.net.parameters()["0.weight"], axis=0).max() <= 1 + 1e-12
    found = steps(make()).edited(parameters={"0.weight": np.full((3, 6), 7.0)})
    assert (found.net.parameters()["0.weight"] == 7).all()


# ---- Positions ----


def test_positions_say_what_alignment_cannot_know(kept):
    layers = [Dense(6, "tanh"), Dense(6, "tanh"), Dense(2)]
    trainer = kept(steps(make(layers=layers)))
    deeper = [layers[0], layers[0], layers[0], layers[2]]
    weights = {name: trainer.net.parameters()[name] for name in ("1.weight", "2.weight")}
    guessed = trainer.edited(layers=deeper).net.parameters()
    assert exact.same_bits(guessed["1.weight"], weights["1.weight"])
    told = trainer.edited(layers=deeper, positions={"1": None}).net.parameters()
    assert exact.same_bits(told["2.weight"], weights["1.weight"])
    assert exact.same_bits(told["3.weight"], weights["2.weight"])
    twice = trainer.edited(layers=deeper, positions={1: "1", 2: 1})
    assert exact.same_bits(twice.net.parameters()["1.weight"], twice.net.parameters()["2.weight"])
    turned = trainer.edited(layers=[*layers[:1], Dense(6), layers[2]], positions={"1": None})
    assert not np.array_equal(turned.net.parameters()["1.weight"], weights["1.weight"])
    block = [layers[0], Residual(layers[1]), layers[2]]
    inside = trainer.edited(layers=block, positions={"1.0": None}).net.parameters()
    assert not np.array_equal(inside["1.0.weight"], weights["1.weight"])


def test_what_is_said_of_a_block_holds_inside():
    layers = [Dense(6), Residual(Dense(6, "tanh"), Dense(6)), Residual(Dense(6, "tanh"), Dense(6)), Dense(2)]
    trainer = steps(make(layers=layers))
    old = trainer.net.parameters()
    turned = trainer.edited(layers=layers, positions={"1": "2", "2": "1"}).net.parameters()
    for name in ("0.weight", "1.bias"):
        assert exact.same_bits(turned[f"1.{name}"], old[f"2.{name}"])
        assert exact.same_bits(turned[f"2.{name}"], old[f"1.{name}"])
    new = trainer.edited(layers=layers, positions={"2": None}).net.parameters()
    drawn = make(layers=layers).net.parameters()
    assert exact.same_bits(new["2.0.weight"], drawn["2.0.weight"])
    assert exact.same_bits(new["1.0.weight"], old["1.0.weight"])


# ---- A property: layers that differ in width are known by it ----


@pytest.mark.parametrize("seed", range(12))
def test_layers_are_followed_through_random_edits(seed):
    """Every unit count is there once, so that it says which layer is which, whatever is done."""
    rng = np.random.default_rng(seed)
    layers = [Dense(int(w), "tanh") for w in rng.permutation(range(3, 9))] + [Dense(2)]
    optimizer = [O.Adam(0.01), O.SGD(0.05, momentum=0.9), O.RMSprop(0.01), O.EMA(O.Adam(0.01))][seed % 4]
    trainer = steps(make(optimizer, layers), 3)
    for _ in range(4):
        new = list(trainer.net.layers)
        at = int(rng.integers(len(new) - 1))
        kind = rng.integers(5)
        if kind == 0:
            new.insert(at, Activation("softplus"))
        elif kind == 1:
            new.insert(at, Residual(Dropout(0.1), gain=0.0))
        elif kind == 2 and new[at] in (Residual(Dropout(0.1), gain=0.0), Activation("softplus")):
            del new[at]
        elif kind == 3 and isinstance(new[at], Dense):
            new[at] = Dense(new[at].units, ["relu", "gelu"][int(rng.integers(2))])
        elif isinstance(new[at], Dense):
            new[at] = Residual(new[at], projection=True)
        before, held = trainer.net.parameters(), state(trainer)
        found = trainer.edited(layers=new)
        assert_same(state(trainer), held)
        byshape = {value.shape: value for name, value in before.items() if name.endswith(".weight")}
        values = {n: v for n, v in found.net.parameters().items() if n.endswith(".weight")}
        assert len(values) == len(byshape)
        for value in values.values():
            assert exact.same_bits(value, byshape[value.shape])
        assert found.steps == trainer.steps
        trainer = steps(found, 2)


# ---- Refused ----


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"optimizer": "adam"}, errors.DTypeError, "optimizer: expected one of gradcore.optimizers"),
        ({"optimizer": None}, errors.DTypeError, "optimizer: expected one of gradcore.optimizers"),
        ({"clip": 1.0}, errors.DTypeError, "clip: expected one of the rules on gradients"),
        ({"constraint": clipping.GlobalNorm(1.0)}, errors.DTypeError, "constraint: expected one of"),
        ({"loss": "nonsense"}, errors.ArgumentError, "loss: expected"),
        ({"loss": {"a": "mse"}}, errors.ArgumentError, "loss"),
        ({"layers": None}, errors.DTypeError, "layers: expected a list of layers"),
        ({"layers": []}, errors.ArgumentError, "layers: expected at least one layer"),
        ({"layers": [3]}, errors.DTypeError, r"layers\[0\]: expected a layer"),
        ({"layers": [Dense(6), Residual(Dense(4)), Dense(2)]}, errors.ShapeError, r"layers\[1\]"),
        ({"layers": [Dense(6), Dense(3)]}, errors.ArgumentError, "layers: expected outputs as before, 2"),
        ({"layers": [Dense(3)], "loss": "mse", "optimizer": 1}, errors.DTypeError, "optimizer"),
        ({"parameters": {"9.weight": 1.0}}, errors.ArgumentError, "parameters: expected names among"),
        ({"parameters": {"0.bias": np.ones(3)}}, errors.ShapeError, r"0.bias: expected shape \(6,\)"),
        ({"parameters": {"0.bias": np.full(6, np.nan)}}, errors.GradcoreError, "0.bias"),
        ({"parameters": [1]}, errors.DTypeError, "parameters: expected a dict"),
        ({"positions": {"0": "0"}}, errors.ArgumentError, "positions: expected None without layers"),
        ({"layers": STACK, "positions": [0]}, errors.DTypeError, "positions: expected a dict"),
        ({"layers": STACK, "positions": {"7": "0"}}, errors.ArgumentError, "positions: .*the new layers"),
        ({"layers": STACK, "positions": {"0": "7"}}, errors.ArgumentError, r"positions\['0'\]: .*old layers"),
        ({"layers": STACK, "positions": {0.5: "0"}}, errors.DTypeError, "positions: expected positions"),
        ({"layers": STACK, "positions": {"0": True}}, errors.DTypeError, r"positions\['0'\]"),
        ({"layers": STACK, "positions": {"0": "1"}}, errors.ArgumentError, r"positions\['0'\]: .*like one"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_suit_is_refused(options, error, message, kept):
    trainer = kept(steps(make(clip=clipping.AutoClip())))
    with pytest.raises(error, match=message):
        trainer.edited(**options)


def test_patterns_and_positions_that_mean_other_layers_now_are_refused(kept):
    layers = [LayerNorm(), *STACK]
    groups = [("0.*", {"frozen": True})]
    trainer = kept(steps(make(O.Adam(0.02, groups=groups))))
    with pytest.raises(errors.ArgumentError, match=r"optimizer: .*1.weight, which was 0.weight"):
        trainer.edited(layers=layers)
    found = trainer.edited(layers=layers, optimizer=O.Adam(0.02, groups=[("1.*", {"frozen": True})]))
    before = found.net.parameters()["1.weight"]
    assert exact.same_bits(steps(found, 2).net.parameters()["1.weight"], before)
    trainer.edited(layers=[STACK[0], LayerNorm(), *STACK[1:]])
    held = kept(steps(make(constraint=clipping.MaxNorm(1.0, skip=("0",)))))
    with pytest.raises(errors.ArgumentError, match=r"constraint: .*give constraint= as well"):
        held.edited(layers=layers)
    held.edited(layers=layers, constraint=None)


def test_where_a_last_layer_bounds_the_outputs_of_a_loss_there_is_a_warning():
    trainer = steps(make())
    with pytest.warns(errors.SetupWarning if hasattr(errors, "SetupWarning") else UserWarning, match="loss"):
        trainer.edited(loss="binary_cross_entropy", layers=[*STACK[:2], Dense(2, "relu")])


def test_branches_and_rules_in_a_list(kept):
    trainer = kept(steps(make(O.SGD(0.1), clip=[clipping.AutoClip(30)])))
    statistic = trainer._state.plan.statistic.state()
    found = trainer.edited(optimizer=O.Adam(0.02))
    assert found._state.plan.statistic.state() == statistic
    found.step(np.full((2, 3), np.inf), np.zeros((2, 2)))
    for twin in (found.branch(), found.branch().edited()):
        assert (twin.steps, twin.skipped) == (6, 1)
        assert_same(state(steps(twin, 3)), state(steps(found.branch(), 3)))


def test_beside_a_fit_in_another_thread():
    x, y = data()
    trainer, alone = make(O.EMA(O.Adam(0.02))), make(O.EMA(O.Adam(0.02)))
    options = {"epochs": 100, "batch_size": 5, "progress": False}
    thread = threading.Thread(target=lambda: trainer.fit(x, y, **options))
    thread.start()
    found = []
    while thread.is_alive() and len(found) < 8:
        found.append(trainer.edited(layers=[STACK[0], Residual(Dense(6), gain=0.0), *STACK[1:]]))
    thread.join()
    alone.fit(x, y, **options)
    assert_same(trainer.net.parameters(), alone.net.parameters())
    for one in found:
        assert len(one.history) == one._state.epochs
        assert 0 <= one.steps - 5 * one._state.epochs <= 5
        steps(one, 1)
