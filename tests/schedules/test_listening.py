"""A ReduceOnPlateau inside other schedules, wherever a schedule may stand; its `lowest`; its monitors."""

import json
import math

import gradcore
import numpy as np
import pytest
from gradcore import (
    ArgumentError,
    Dense,
    Dropout,
    FormatError,
    GaussianNoise,
    Heads,
    Network,
    Trainer,
    clipping,
    losses,
    optimizers,
    pruning,
    schedules,
)
from gradcore.network import files
from gradcore.schedules import Cosine, Join, Linear, ReduceOnPlateau, Scale, Warmup
from gradcore.schedules.listening import hear, listens
from support import public

STEPS = 3  # of an epoch of `fit` below


def never_content(value, **more):
    """Reduces after every epoch that it hears of but the first, which has nothing before it."""
    return ReduceOnPlateau(value, **{"factor": 0.5, "patience": 0, "threshold": 1.0} | more)


def network(*layers, **more):
    return Network([Dense(3, "tanh"), *layers, Dense(2)], inputs=4, seed=1, dtype="float64", **more)


def data():
    return np.random.default_rng(1).normal(size=(24, 4)), np.arange(24) % 2


def fit(trainer, epochs, **more):
    x, y = data()
    trainer.fit(x, y, epochs=epochs, batch_size=8, progress=False, **more)
    return trainer


def trained(lr, epochs, **more):
    return fit(Trainer(network(), "cross_entropy", optimizers.SGD(lr, **more)), epochs)


def by_epoch(schedule, epochs, metrics=None):
    """The value in the last step of each epoch, for a loss that does not improve or for given ones."""
    states = {}
    heard = hear(schedule, "lr", states)
    out = []
    for epoch in range(epochs):
        out.append(heard.value(STEPS * (epoch + 1) - 1))
        for listener in heard.listeners:
            row = {"loss": 1.0 if metrics is None else metrics[epoch]}
            listener.see(states, row, STEPS * (epoch + 1))
    return out


# ---- The values, from closed forms ----


def test_warmup_leaves_out_the_epochs_that_end_on_its_line():
    """The line is over at step 7, in the third epoch, which is the first that counts."""
    lr = trained(Warmup(never_content(0.8), 7), 6).history.lr
    assert lr == pytest.approx([0.8 * 2 / 7, 0.8 * 5 / 7, 0.8, 0.8, 0.4, 0.2], rel=1e-15)


def test_warmup_that_goes_on_falls_with_the_schedule_that_it_leads_to():
    """Around a Warmup, everything counts, and the line goes to what is reduced by then."""
    lr = trained(never_content(Warmup(0.8, 7)), 5).history.lr
    assert lr == pytest.approx([0.8 * 2 / 7, 0.8 * 5 / 7, 0.4, 0.2, 0.1], rel=1e-15)


def test_join_lets_each_listen_in_its_turn_alone():
    """Two of them, the second from step 9 on."""
    lr = trained(Join([never_content(0.8), never_content(0.6)], [9]), 7).history.lr
    assert lr == pytest.approx([0.8, 0.8, 0.4, 0.6, 0.6, 0.3, 0.15], rel=1e-15)


def test_the_own_step_of_what_is_inside_decides_what_a_reduction_is_worth():
    """Cosine(0.8, 10) within Join from step 3."""
    inner = never_content(Cosine(0.8, 10))
    lr = trained(Join([0.1, inner], [3]), 4).history.lr
    cosine = [0.4 * (1 + math.cos(math.pi * step / 10)) for step in (2, 5, 8)]
    assert lr == pytest.approx([0.1, cosine[0], cosine[1], cosine[2] / 2], rel=1e-14)


def test_scale_multiplies_what_both_have_become():
    lr = trained(Scale(never_content(0.8), never_content(1.0, factor=0.1)), 4).history.lr
    assert lr == pytest.approx([0.8 * 0.05**reductions for reductions in (0, 0, 1, 2)], rel=1e-14)


def test_the_same_one_twice_has_two_states():
    plateau = never_content(0.8)
    lr = trained(Scale(plateau, plateau), 4).history.lr
    assert lr == pytest.approx([0.64, 0.64, 0.16, 0.04], rel=1e-14)


def test_at_any_depth():
    deep = Warmup(Join([Linear(0.4, 0.4, 1), Scale(0.5, Warmup(never_content(0.8), 1))], [3]), 3)
    assert by_epoch(deep, 6) == pytest.approx([0.4 * 2 / 3, 0.4, 0.4, 0.4, 0.2, 0.1], rel=1e-14)
    around = never_content(Scale(never_content(0.8), 0.5), factor=0.1)
    assert by_epoch(around, 4) == pytest.approx([0.4, 0.4, 0.02, 0.001], rel=1e-14)


@pytest.mark.parametrize("style", ["min", "max"])
def test_the_plain_one_and_one_scaled_by_1_are_pytorch_s(style):
    torch = pytest.importorskip("torch")
    metrics = np.random.default_rng(3).normal(size=60).cumsum() * 0.01 + 1
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    peer_optimizer = torch.optim.SGD([weight], lr=0.3)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(
        peer_optimizer, mode=style, factor=0.7, patience=2, cooldown=1, min_lr=0.01
    )
    want = []
    for value in metrics:
        want.append(peer_optimizer.param_groups[0]["lr"])
        peer.step(float(value))
    monitor = "loss" if style == "min" else "accuracy"
    rule = ReduceOnPlateau(0.3, 0.7, 2, cooldown=1, lowest=0.01, monitor=monitor)
    for schedule in (rule, Scale(rule, 1.0), Scale(1.0, rule), Join([rule, 1.0], [10**9])):
        states = {}
        heard = hear(schedule, "lr", states)
        got = []
        for epoch, value in enumerate(metrics):
            got.append(heard.value(epoch))
            for listener in heard.listeners:
                listener.see(states, {monitor: float(value)}, epoch + 1)
        assert got == pytest.approx(want, rel=1e-12)
    assert len(set(want)) > 4


# ---- lowest ----


def test_the_value_is_never_below_the_lowest_and_no_reduction_raises_it():
    schedule = ReduceOnPlateau(Linear(0.8, 0.0, 8), factor=0.1, patience=1, threshold=1.0, lowest=0.3)
    assert [schedule(step) for step in range(9)] == pytest.approx(
        [max(0.3, 0.8 - 0.1 * step) for step in range(9)], rel=1e-12
    )
    for scale in (1.0, 0.5, 0.1, 1e-9):
        values = [schedule.reduced(step, scale) for step in range(12)]
        assert min(values) >= 0.3
        assert all(a <= b for a, b in zip(values, [schedule(step) for step in range(12)], strict=True))


@pytest.mark.parametrize("value", [0.001, schedules.Constant(0.001), 0])
def test_a_number_below_the_lowest_is_refused(value):
    with pytest.raises(ArgumentError, match=r"ReduceOnPlateau: lowest: expected at most 0.*, got 0.01"):
        ReduceOnPlateau(value, lowest=0.01)


@pytest.mark.parametrize("style", ["torch", "keras", "optax"])
def test_at_the_lowest_value_it_stays(style):
    rule = ReduceOnPlateau(0.1, 0.5, 1, lowest=0.03, style=style, threshold=1.0)
    values = by_epoch(Scale(rule, 1.0), 20)
    assert values[-1] == 0.03
    assert all(a >= b for a, b in zip(values, values[1:], strict=False))


# ---- Every hyperparameter ----


def places():
    """Name of the hyperparameter, and a trainer with a schedule there."""

    def plain(optimizer, **more):
        return Trainer(network(), "cross_entropy", optimizer, **more)

    def layer(*layers):
        return Trainer(network(*layers), "cross_entropy", optimizers.SGD(0.1))

    sgd = optimizers.SGD
    return {
        "optimizer.lr": lambda s: plain(sgd(s)),
        "optimizer.momentum": lambda s: plain(sgd(0.1, momentum=s)),
        "optimizer.weight_decay": lambda s: plain(sgd(0.1, weight_decay=s)),
        "optimizer.beta1": lambda s: plain(optimizers.Adam(betas=(s, 0.999))),
        "optimizer.decay": lambda s: plain(optimizers.EMA(sgd(0.1), decay=s)),
        "optimizer.alpha": lambda s: plain(optimizers.Lookahead(sgd(0.1), alpha=s)),
        "optimizer.rho": lambda s: plain(optimizers.SAM(sgd(0.1), rho=s)),
        "clip.max_norm": lambda s: plain(sgd(0.1), clip=clipping.GlobalNorm(s)),
        "clip.limit": lambda s: plain(sgd(0.1), clip=clipping.ByValue(s)),
        "clip.percentile": lambda s: plain(sgd(0.1), clip=clipping.AutoClip(s)),
        "layers[1]: rate": lambda s: layer(Dropout(s)),
        "layers[1]: std": lambda s: layer(GaussianNoise(s)),
        "layers[1]: penalty: l2": lambda s: layer(Dense(3, penalty=losses.L2(s))),
        "layers[1]: penalty: l1": lambda s: layer(Dense(3, penalty=losses.Elastic(s, 0.1))),
    }


def value_of(trainer, name):
    for hypers in filter(None, (trainer._state.hypers, trainer._state.rates)):
        for column, _ in hypers._scheduled:
            if column.name == name:
                return hypers.at(column.index, trainer.steps)
    raise AssertionError(name)


@pytest.mark.parametrize("name", places())
def test_every_hyperparameter_hears_through_a_composition(name, tmp_path):
    trainer = fit(places()[name](Scale(0.5, Warmup(never_content(0.8), 2, 0.1))), 5)
    assert value_of(trainer, name) == pytest.approx(0.4 * 0.5**4, rel=1e-14)
    trainer.save(tmp_path / "trainer")
    assert value_of(Trainer.load(tmp_path / "trainer"), name) == value_of(trainer, name)


def test_layerwise_factors_multiply_what_it_has_become():
    groups = optimizers.layerwise(network().parameters(), 0.25)
    changed = []
    for lr in (never_content(0.8), Scale(never_content(0.8), 1.0)):
        changed.append(fit(Trainer(network(), "cross_entropy", optimizers.SGD(lr, groups=groups)), 4))
        assert changed[-1].learning_rate == 0.1
    changed.append(Trainer(network(), "cross_entropy", optimizers.SGD(0.1, groups=groups)))
    for trainer in changed:
        trainer.net.set_parameters(network().parameters())
        trainer.step(*data())
    for name, value in changed[2].net.parameters().items():
        assert np.array_equal(changed[0].net.parameters()[name], value), name
        assert np.array_equal(changed[1].net.parameters()[name], value), name


def test_hyperparameters_of_one_name_have_states_of_their_own(tmp_path):
    """Averages of averages have a decay each, as RMSprop and Lookahead have an alpha."""
    for optimizer in (
        optimizers.EMA(
            optimizers.EMA(optimizers.SGD(0.1), decay=never_content(0.8)), decay=never_content(0.4)
        ),
        optimizers.Lookahead(optimizers.RMSprop(alpha=never_content(0.8)), alpha=never_content(0.4)),
    ):
        trainer = fit(Trainer(network(), "cross_entropy", optimizer), 3)
        assert [state.scale for state in trainer._state.hypers.plateaus.values()] == [0.25, 0.25]
        trainer.save(tmp_path / "trainer")
        assert Trainer.load(tmp_path / "trainer")._state.hypers.plateaus == trainer._state.hypers.plateaus


# ---- Checkpoints ----


def composition():
    first = ReduceOnPlateau(Cosine(1.0, 40), factor=0.7, patience=1, cooldown=1, threshold=0.02)
    second = ReduceOnPlateau(1.0, factor=0.5, patience=2, lowest=0.1, monitor="grad_norm")
    return Warmup(Join([Scale(first, second), Scale(0.5, second)], [60]), 5)


def test_a_checkpoint_in_the_middle_goes_on_with_the_same_bits(tmp_path):
    whole, part = trained(composition(), 30), trained(composition(), 11)
    part.save(tmp_path / "trainer")
    resumed = fit(Trainer.load(tmp_path / "trainer"), 19)
    assert resumed.history.lr == whole.history.lr
    assert len({state.scale for state in whole._state.hypers.plateaus.values()}) > 2
    assert resumed._state.hypers.plateaus == whole._state.hypers.plateaus
    for name, value in whole.net.parameters().items():
        assert np.array_equal(value, resumed.net.parameters()[name])


def altered(tmp_path, lr, change):
    trained(lr, 2).save(tmp_path / "trainer")
    tensors, metadata = files.read(tmp_path / "trainer")
    about = json.loads(metadata["trainer"])
    change(about)
    metadata["trainer"] = json.dumps(about)
    files.write(tmp_path / "trainer", list(tensors.items()), metadata)
    return Trainer.load(tmp_path / "trainer")


def test_files_of_earlier_versions_begin_anew_what_they_never_told(tmp_path):
    trainer = altered(tmp_path, Warmup(never_content(0.8), 1), lambda about: about.pop("plateaus"))
    assert trainer.learning_rate == 0.8


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.pop("plateaus"),
        lambda about: about["plateaus"].update({"optimizer.momentum": about["plateaus"]["optimizer.lr"]}),
        lambda about: about["plateaus"]["optimizer.lr"].update(bad=True),
        lambda about: about["plateaus"]["optimizer.lr"].update(best=math.nan),
        lambda about: about["plateaus"]["optimizer.lr"].update(scale=math.nan),
    ],
)
def test_a_state_that_is_missing_or_damaged_is_refused(tmp_path, change):
    with pytest.raises(FormatError):
        altered(tmp_path, never_content(0.8), change)


# ---- Refusals ----


def test_a_function_that_calls_one_is_refused_by_name():
    plateau = never_content(0.8)
    for lr in (
        lambda step: plateau(step) / 2,
        Warmup(lambda step: plateau(step), 3),
        Scale(0.5, plateau.__call__),
    ):
        trainer = Trainer(network(), "cross_entropy", optimizers.SGD(lr))
        before = trainer.net.parameters()
        for call in (lambda t=trainer: fit(t, 1), lambda t=trainer: t.step(*data())):
            with pytest.raises(
                ArgumentError, match=r"optimizer\.lr: expected a ReduceOnPlateau by itself or"
            ):
                call()
        assert trainer.steps == 0
        assert all(np.array_equal(value, before[name]) for name, value in trainer.net.parameters().items())
    assert plateau(0) == 0.8  # outside a training


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_loss", "expected validation data to monitor val_loss"),
        ("val_accuracy", "expected validation data to monitor val_accuracy"),
        ("out.loss", "expected a network with Heads to monitor out.loss"),
    ],
)
def test_a_monitor_that_the_history_will_lack_is_refused(monitor, message):
    for lr in (ReduceOnPlateau(0.1, monitor=monitor), Scale(1.0, ReduceOnPlateau(0.1, monitor=monitor))):
        with pytest.raises(ArgumentError, match=message):
            trained(lr, 1)


def test_accuracy_needs_a_loss_that_classifies():
    net = Network([Dropout(ReduceOnPlateau(0.1, monitor="accuracy")), Dense(1)], inputs=4, seed=0)
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    with pytest.raises(ArgumentError, match=r"layers\[0\]: rate: expected a classification loss"):
        fit(trainer, 1)


def test_the_column_of_a_head_can_be_monitored():
    net = Network(
        [Dense(3, "tanh"), Heads({"a": [Dense(1)], "b": [Dense(2)]})], inputs=4, seed=0, dtype="float64"
    )
    lr = Warmup(never_content(0.8, monitor="val_b.accuracy", threshold=10.0), 1)
    trainer = Trainer(net, {"a": "mse", "b": "cross_entropy"}, optimizers.SGD(lr))
    x, y = data()
    trainer.fit(x, {"a": y, "b": y}, epochs=4, batch_size=8, validation=0.25, progress=False)
    assert trainer.history.lr[-1] == pytest.approx(0.8 * 0.5**2, rel=1e-12)


def test_pruning_is_told_of_no_metrics():
    for sparsity in (ReduceOnPlateau(0.5), Scale(0.5, ReduceOnPlateau(1.0))):
        with pytest.raises(ArgumentError, match="Magnitude: sparsity: expected a schedule of the step alone"):
            pruning.Magnitude(sparsity)
    assert pruning.Magnitude(Scale(0.5, 1.0))


# ---- Outside a training it is what it begins as ----


def test_previews_and_plain_arrays_see_what_it_begins_as():
    schedule = Warmup(never_content(0.8), 4)
    assert listens(schedule) and not listens(Warmup(0.8, 4)) and not listens(0.8) and not listens(abs)
    assert schedules.values(schedule, 6).tolist() == schedules.values(Warmup(0.8, 4), 6).tolist()
    w = np.ones(1)
    optimizers.SGD(Scale(never_content(0.8), 0.5)).update([w], [np.ones(1)])
    assert w[0] == pytest.approx(0.6)
    trained(schedule, 3)
    assert schedule(4) == 0.8  # the description has not changed
    assert eval(repr(schedule), public(schedules)) == schedule


def test_full_batch_methods_refuse_it():
    for make in (
        lambda: optimizers.LBFGS(weight_decay=never_content(0.1)),
        lambda: Trainer(network(Dropout(never_content(0.1))), "cross_entropy", optimizers.LBFGS()),
        lambda: Trainer(
            network(Dense(3, penalty=losses.L2(Scale(never_content(0.1), 1.0)))),
            "cross_entropy",
            optimizers.LBFGS(),
        ),
    ):
        with pytest.raises(gradcore.GradcoreError):
            make()
