"""ReduceOnPlateau: the epochs of PyTorch, optax and Keras, and its state in a training and in checkpoints."""

import json

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import FormatError, Trainer, optimizers, schedules
from gradcore.network import files
from gradcore.schedules.plateau import PlateauState
from support import cases, public
from vectors import make_schedule

VECTORS = np.load(make_schedule.PATH)


def rates(rule, metrics):
    state = PlateauState()
    out = []
    for value in metrics:
        state.see(rule, {"loss": value, "accuracy": -value}, 0)
        out.append(rule.reduced(0, state.scale))
    return out


@pytest.mark.parametrize("name", make_schedule.PLATEAUS)
def test_reductions_are_those_of_pytorch_and_optax(name):
    rule = eval(make_schedule.PLATEAUS[name][0], public(schedules))
    assert rates(rule, make_schedule.metrics()) == pytest.approx(VECTORS[name], rel=1e-12)


@pytest.mark.parametrize("patience", [1, 2, 10])
@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("lowest", [0.0, 0.1])
def test_reductions_are_those_of_keras(patience, cooldown, lowest):
    peer = oracle.schedules.KerasPlateau(0.3, 0.8, patience, 0.005, cooldown, lowest)
    rule = schedules.ReduceOnPlateau(0.3, 0.8, patience, 0.005, None, cooldown, lowest, style="keras")
    metrics = make_schedule.metrics()
    assert rates(rule, metrics) == pytest.approx([peer.see(value) for value in metrics], rel=1e-12)


def test_pytorch_waits_one_epoch_longer_than_keras():
    """A metric that never improves after epoch 1: bad epochs are 2, 3, ..."""
    for style, epoch in (("torch", 12), ("keras", 11), ("optax", 11)):
        got = rates(schedules.ReduceOnPlateau(1.0, style=style), [1.0] * 15)
        assert got.index(0.1) + 1 == epoch


def trainer_of(lr, **more):
    net = cases.network(gradcore, [cases.dense(3, "tanh"), cases.dense(2)], 4)
    return Trainer(net, "cross_entropy", optimizers.SGD(lr, **more))


def data():
    return np.random.default_rng(1).normal(size=(24, 4)), np.arange(24) % 2  # nothing to be learnt


def fit(trainer, epochs, **more):
    x, y = data()
    trainer.fit(x, y, epochs=epochs, batch_size=8, progress=False, **more)
    return trainer.history.lr


def test_the_validation_loss_drives_it():
    rule = schedules.ReduceOnPlateau(0.5, factor=0.5, patience=2)
    trainer = trainer_of(rule)
    history = fit(trainer, 40, validation=0.25)
    want = [0.5, *rates(rule, trainer.history.val_loss)[:-1]]
    assert history == want
    assert min(want) < 0.5
    assert trainer.learning_rate == rates(rule, trainer.history.val_loss)[-1]


def test_without_validation_data_the_training_loss_does():
    rule = schedules.ReduceOnPlateau(3.0, factor=0.5, patience=1)
    trainer = trainer_of(rule)
    assert fit(trainer, 30) == [3.0, *rates(rule, trainer.history.loss)[:-1]]


def test_any_hyperparameter_takes_one_and_a_schedule_inside():
    decay = schedules.ReduceOnPlateau(schedules.Linear(0.5, 0.1, 100), factor=0.5, patience=1, monitor="loss")
    trainer = trainer_of(schedules.ReduceOnPlateau(3.0, patience=1), weight_decay=decay)
    fit(trainer, 30)
    first, second = trainer._state.hypers.plateaus.values()
    assert first is not second
    row = trainer._state.hypers.row(trainer.steps)
    assert row[1] == decay(trainer.steps) * second.scale < decay(trainer.steps)


def test_a_checkpoint_in_the_middle_goes_on_with_the_same_rates(tmp_path):
    rule = schedules.ReduceOnPlateau(3.0, factor=0.7, patience=1, cooldown=1)
    whole = trainer_of(rule)
    fit(whole, 30)
    part = trainer_of(rule)
    fit(part, 13)
    part.save(tmp_path / "trainer")
    resumed = Trainer.load(tmp_path / "trainer")
    assert resumed._state.hypers.plateaus == part._state.hypers.plateaus
    fit(resumed, 17)
    assert resumed.history.lr == whole.history.lr
    assert len(set(whole.history.lr)) > 3
    assert resumed._state.hypers.plateaus == whole._state.hypers.plateaus


@pytest.mark.parametrize(
    "field", [{"scale": 0.0}, {"scale": 2.0}, {"bad": -1}, {"best": "low"}, {"worse": 1}]
)
def test_a_damaged_state_is_refused(tmp_path, field):
    trainer = trainer_of(schedules.ReduceOnPlateau(0.1))
    fit(trainer, 2)
    trainer.save(tmp_path / "trainer")
    tensors, metadata = files.read(tmp_path / "trainer")
    about = json.loads(metadata["trainer"])
    about["plateaus"]["optimizer.lr"].update(field)
    metadata["trainer"] = json.dumps(about)
    files.write(tmp_path / "trainer", list(tensors.items()), metadata)
    with pytest.raises(FormatError):
        Trainer.load(tmp_path / "trainer")


def test_by_itself_it_is_the_schedule_inside():
    rule = schedules.ReduceOnPlateau(schedules.Cosine(0.1, 10))
    assert [rule(step) for step in range(12)] == [schedules.Cosine(0.1, 10)(step) for step in range(12)]
    w = np.ones(1)
    optimizers.SGD(rule).update([w], [np.ones(1)])
    assert w[0] == pytest.approx(0.9)
