"""Branches: a twin goes on with the bits of its trainer, shares what never changes, and nothing that does."""

import threading

import numpy as np
import pytest
from gradcore import (
    Activation,
    BatchNorm,
    BusyError,
    Dense,
    Dropout,
    Network,
    Standardize,
    Trainer,
    callbacks,
    clipping,
    losses,
    optimizers,
    schedules,
)
from support import assert_same, exact_uniform

X = exact_uniform((90, 5), np.float64, 1)
Y = np.sin(3 * X[:, :2])


def make(loss="mse", optimizer=None, **more):
    net = Network([Dense(9, "tanh"), BatchNorm(), Dropout(0.2), Dense(2)], inputs=5, seed=3, dtype="float64")
    return Trainer(net, loss, optimizer or optimizers.Adam(0.01), **more)


def fit(trainer, **more):
    return trainer.fit(X, Y, **{"epochs": 4, "batch_size": 16, "progress": False, **more})


def same(trainer, twin):
    assert_same(twin.net.parameters(), trainer.net.parameters())
    assert twin.steps == trainer.steps and twin.history.loss == trainer.history.loss
    assert twin.clip_ledger() == trainer.clip_ledger()


@pytest.mark.parametrize("steps", [0, 1, 5])
@pytest.mark.quick
def test_a_twin_goes_on_with_the_same_bits_and_alone(steps):
    trainer = make()
    for _ in range(steps):
        trainer.step(X, Y)
    before = trainer.net.parameters()
    twin = trainer.branch()
    assert type(twin) is Trainer and twin.net is not trainer.net
    same(trainer, twin)
    wanted = [twin.step(X, Y) for _ in range(3)]
    assert_same(trainer.net.parameters(), before)
    assert trainer.steps == steps
    assert [trainer.step(X, Y) for _ in range(3)] == wanted
    same(trainer, twin)
    fit(trainer), fit(twin)
    same(trainer, twin)


def test_it_shares_functions_and_descriptions():
    def loss(output, target):
        return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size

    def rate(step):
        return 0.1 / (1 + step)

    trainer = make(loss, optimizers.SGD(rate, momentum=0.5), clip=clipping.GlobalNorm(lambda step: 0.5))
    trainer.step(X, Y)
    twin = trainer.branch()
    assert twin.loss is trainer.loss and twin.optimizer is trainer.optimizer
    assert twin.net.layers is trainer.net.layers
    assert [twin.step(X, Y) for _ in range(3)] == [trainer.step(X, Y) for _ in range(3)]
    same(trainer, twin)


def test_what_is_set_in_one_is_not_in_the_other():
    trainer = make(clip=clipping.GlobalNorm(0.1), constraint=clipping.MaxNorm(1.0))
    fit(trainer)
    mask = np.ones((5, 9), bool)
    mask[0] = False
    trainer.set_masks({"0.weight": mask})
    twin = trainer.branch()
    trainer.set_masks({})
    trainer.history.loss[0] = -1.0
    assert list(twin.masks()) == ["0.weight"] and twin.history.loss[0] != -1.0
    twin.net.set_parameters({"0.weight": np.full((5, 9), 7.0)})  # as its own masks and constraints have it
    weight = twin.net.parameters()["0.weight"]
    assert not weight[0].any() and np.linalg.norm(weight, axis=0).max() < 1.0001
    assert (trainer.net.parameters()["0.weight"] != weight).any()
    kept = twin.net.predict(X)
    del trainer  # nor does it need it
    assert np.array_equal(twin.net.predict(X), kept)
    fit(twin)


def test_a_network_without_its_trainer_is_bound_by_nothing():
    trainer = make(constraint=clipping.Box(-0.1, 0.1))
    fit(trainer)
    other = Trainer(trainer.net, "mse", optimizers.SGD(0.1))
    other.step(X, Y)  # the network is this one's now
    twin = trainer.branch()
    twin.net.set_parameters({"0.weight": np.full((5, 9), 7.0)})
    assert (twin.net.parameters()["0.weight"] == 7.0).all()


@pytest.mark.parametrize("clip", [
    clipping.AutoClip(40.0), [clipping.AutoClip(schedules.Linear(90.0, 10.0, 50))],
    clipping.ZClip(threshold=0.5, warmup=3),
], ids=repr)  # fmt: skip
def test_statistics_of_norms_go_on_apart(clip, tmp_path):
    trainer = make(clip=clip)
    for i in range(12):
        trainer.step(X * (1 + i % 3), Y)
    twin, other = trainer.branch(), trainer.branch()
    for _ in range(5):
        other.step(100 * X, 100 * Y)  # norms that must stay its own
    trainer.save(tmp_path / "trainer")
    loaded = Trainer.load(tmp_path / "trainer")
    wanted = [trainer.step(X, Y) for _ in range(9)]
    for each in (twin, loaded):
        assert [each.step(X, Y) for _ in range(9)] == wanted
        assert_same(each.net.parameters(), trainer.net.parameters())


@pytest.mark.parametrize("lr", [
    schedules.ReduceOnPlateau(0.05, patience=1, threshold=0.5),
    schedules.Warmup(schedules.ReduceOnPlateau(0.05, patience=1, threshold=0.5), 3),
], ids=["plain", "inside"])  # fmt: skip
def test_schedules_that_listen_go_on_apart(lr):
    trainer = make(optimizer=optimizers.SGD(lr))
    fit(trainer, epochs=3)
    twin, other = trainer.branch(), trainer.branch()
    fit(other, epochs=5)
    assert twin.learning_rate == trainer.learning_rate > other.learning_rate
    fit(twin, epochs=5), fit(trainer, epochs=5)
    same(trainer, twin)
    assert twin.history.lr == trainer.history.lr


def test_scheduled_rates_and_strengths_go_along():
    rate = schedules.Linear(0.5, 0.0, 20)
    penalty = losses.penalties.L2(schedules.Linear(0.1, 0.0, 20))
    layers = [Dense(9, "tanh", penalty=penalty), Dropout(rate), Dense(2)]
    trainer = Trainer(Network(layers, inputs=5, seed=3), "mse", optimizers.Adam(0.01))
    fit(trainer, epochs=2)
    twin = trainer.branch()
    fit(twin), fit(trainer)
    same(trainer, twin)
    assert twin.evaluate(X, Y) == trainer.evaluate(X, Y)


class Branching(callbacks.Callback):
    every_steps = 8

    def __init__(self, at):
        self.at, self.twins = at, []

    def on_slice(self, trainer, reports):
        if trainer.steps == self.at:
            self.twins.append(trainer.branch())


@pytest.mark.parametrize("more", [{}, {"validation": 0.2, "early_stopping": 2}], ids=["plain", "stopping"])
@pytest.mark.parametrize("lesser", [Standardize(), Activation("tanh")], ids=["standardize", "plain"])
def test_in_a_fit_it_is_one_that_was_interrupted(more, lesser):
    net = Network([lesser, Dense(9, "relu"), Dense(2)], inputs=5, seed=3, dtype="float64")
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    branching = Branching(16)
    fit(trainer, callbacks=[branching], epochs=7, **more)
    (twin,) = branching.twins
    assert twin.steps == 16
    fit(twin, epochs=7, **more)
    same(trainer, twin)
    assert twin.history.val_loss == trainer.history.val_loss or not more


def test_a_fit_on_other_data_is_another_one():
    trainer, branching = make(), Branching(16)
    fit(trainer, callbacks=[branching])
    (twin,) = branching.twins
    with pytest.warns(RuntimeWarning, match="expected the same data"):
        twin.fit(X + 1, Y, epochs=4, batch_size=16, progress=False)
    assert twin.steps == 16 + 4 * 6


@pytest.mark.parametrize("method", [optimizers.LBFGS(), optimizers.ConjugateGradient()], ids=str)
def test_methods_on_all_data_go_on(method):
    net = Network([Dense(9, "tanh"), Dense(2)], inputs=5, seed=3, dtype="float64")
    trainer = Trainer(net, "mse", method)
    trainer.fit(X, Y, epochs=5, progress=False)
    twin = trainer.branch()
    for each in (twin, trainer):
        each.fit(X, Y, epochs=5, progress=False)
    same(trainer, twin)


def test_inside_a_step_it_is_refused():
    found = []

    def loss(output, target):
        try:
            trainer.branch()
        except BusyError as error:
            found.append(error)
        return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size

    trainer = make(loss)
    trainer.step(X, Y)
    trainer.step(X, Y)
    assert len(found) == 2 and trainer.steps == 2


def test_another_thread_may_branch_between_the_slices_of_a_fit():
    trainer, twins = make(), []
    thread = threading.Thread(target=lambda: [twins.append(trainer.branch()) for _ in range(20)])
    thread.start()
    fit(trainer, epochs=60)
    thread.join()
    again = make()
    fit(again, epochs=60)
    same(trainer, again)
    assert len(twins) == 20
    for twin in twins[::5]:
        assert np.isfinite(twin.step(X, Y))
