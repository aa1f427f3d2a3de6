"""What early stopping goes back to: the parameters whose value was the best, for every column."""

import copy

import numpy as np
import pytest
from gradcore import BatchNorm, Dense, Heads, Network, Standardize, Trainer, callbacks, optimizers
from support import StopAt, assert_same, cases


class Path:
    """A callback that keeps the parameters before and after every epoch."""

    def __init__(self):
        self.begun, self.ended = [], []

    def on_epoch_begin(self, trainer, epoch):
        self.begun.append(trainer.net.parameters())

    def on_epoch_end(self, trainer, row):
        self.ended.append(trainer.net.parameters())


def walk(weights, *, rows=1, batch=1, rule=None):
    """One weight that takes these values from epoch to epoch: the loss is its square, the gradient 2 w."""
    net = Network([Dense(1, bias=False)], inputs=1, dtype="float64")
    net.set_parameters({"0.weight": [[weights[0]]]})
    factors = [b / a for a, b in zip(weights[:-1], weights[1:], strict=True)]
    trainer = Trainer(net, "mse", optimizers.SGD(lr=lambda step: (1 - factors[step]) / 2))
    history = trainer.fit(
        np.ones((rows, 1)),
        np.zeros(rows),
        epochs=len(factors) * batch // rows,
        batch_size=batch,
        early_stopping=rule,
        progress=False,
    )
    return net.parameters()["0.weight"][0, 0], history


@pytest.mark.parametrize("monitor", ["loss", "grad_norm"])
@pytest.mark.parametrize(
    ("weights", "patience", "left", "best_epoch"),
    [
        ([4.0, 2.0, 1.0, -3.0, 5.0, -9.0], 2, 1.0, 3),  # ended by patience
        ([4.0, 2.0, 1.0, -3.0, -1.5], 9, 1.0, 3),  # not ended
        ([1.0, -3.0, 9.0], 1, 1.0, 1),  # the first is the best: where training began
        ([4.0, 2.0, 1.0, 0.5], 9, 0.5, 3),  # the last update was an improvement too: measured at the end
        ([4.0, 2.0, 1.0, -3.0], 9, 1.0, 3),  # it was none
    ],
)
def test_the_loss_belongs_to_the_weights_before_the_update(monitor, weights, patience, left, best_epoch):
    rule = callbacks.EarlyStopping(monitor, patience=patience)
    weight, history = walk(weights, rule=rule)
    assert weight == pytest.approx(left, rel=1e-12)
    want = [w**2 if monitor == "loss" else 2 * abs(w) for w in weights]
    assert history[monitor] == pytest.approx(want[: len(history)], rel=1e-12)
    assert history.best_epoch == best_epoch


def test_without_restoring_the_last_weights_stay():
    rule = callbacks.EarlyStopping("loss", restore_best=False)
    assert walk([4.0, 2.0, 1.0, -3.0], rule=rule)[0] == pytest.approx(-3.0)


def test_with_several_updates_an_epoch_it_is_what_the_epoch_began_with():
    """Means over two updates: 10, 2.5, 5, 45."""
    weights = [4.0, 2.0, 2.0, 1.0, -1.0, 3.0, -3.0, 9.0, 2.0]
    weight, history = walk(weights, rows=2, batch=1, rule=callbacks.EarlyStopping("loss"))
    assert history.loss == pytest.approx([10.0, 2.5, 5.0, 45.0])
    assert weight == pytest.approx(2.0)


def test_a_single_epoch_is_not_lost():
    weight, history = walk([4.0, 1.0], rule=callbacks.EarlyStopping("loss"))
    assert weight == pytest.approx(1.0)


def problem(rows=60):
    rng = cases.generator("early stopping")
    x = rng.normal(size=(rows, 4))
    return x, (x[:, :3] + rng.normal(size=(rows, 3))).argmax(axis=1)


def layers(inputs=4):
    return [Standardize(), Dense(6, "tanh"), BatchNorm(), Dense(3)]


def make(optimizer=None, with_heads=False):
    last = Heads({"steer": Dense(1), "gear": Dense(3)}) if with_heads else Dense(3)
    net = Network([*layers()[:-1], last], inputs=4, seed=5, dtype="float64")
    loss = {"steer": "mse", "gear": "cross_entropy"} if with_heads else "cross_entropy"
    return Trainer(net, loss, optimizer or optimizers.SGD(2.0, momentum=0.9))


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "grad_norm", "val_loss", "val_accuracy"])
@pytest.mark.parametrize("batch", [60, 16])
def test_every_column_restores_what_it_measured(monitor, batch):
    """With the statistics of Standardize and BatchNorm that belong to the weights."""
    x, y = problem()
    trainer, path = make(), Path()
    rule = callbacks.EarlyStopping(monitor, patience=50)
    held = (x[:20] + 0.1, y[:20])
    history = trainer.fit(x, y, epochs=25, batch_size=batch, validation=held, early_stopping=rule,
                          callbacks=[path], progress=False)  # fmt: skip
    values = np.array(history[monitor])
    best = int(values.argmax() if monitor.endswith("accuracy") else values.argmin())
    assert history.best_epoch == best + 1 < 25
    assert_same(trainer.net.parameters(), (path.ended if monitor.startswith("val_") else path.begun)[best])
    if monitor.startswith("val_"):
        assert trainer.evaluate(*held)[monitor.removeprefix("val_")] == values[best]


@pytest.mark.parametrize("monitor", ["steer.loss", "gear.loss", "gear.accuracy", "loss", "val_gear.loss"])
def test_columns_of_heads_too(monitor):
    x, y = problem()
    trainer, path = make(optimizers.Adam(0.1), with_heads=True), Path()

    class Push:
        def on_epoch_begin(self, trainer, epoch):
            if epoch == 19:
                trainer.net.set_parameters({"1.weight": np.full((4, 6), 5.0), "1.bias": np.full(6, 9.0)})

    targets = {"steer": x[:, 0], "gear": y}
    rule = callbacks.EarlyStopping(monitor, patience=50)
    history = trainer.fit(x, targets, epochs=20, batch_size=20, validation=(x, targets), early_stopping=rule,
                          callbacks=[Push(), path], progress=False)  # fmt: skip
    values = np.array(history[monitor])
    best = int(values.argmax() if monitor.endswith("accuracy") else values.argmin())
    assert best < 19
    assert_same(trainer.net.parameters(), (path.ended if monitor.startswith("val_") else path.begun)[best])


def test_full_batch_methods_restore_the_least_loss():
    """Conjugate gradients with steps that are far too long now and then."""
    x, y = problem()
    net = Network([Dense(8, "tanh"), Dense(3)], inputs=4, seed=5, dtype="float64")
    trainer, path = Trainer(net, "cross_entropy", optimizers.LBFGS()), Path()

    class Push:
        def on_epoch_begin(self, trainer, epoch):
            if epoch == 12:
                trainer.net.set_parameters({"1.weight": np.full((8, 3), 5.0)})

    history = trainer.fit(x, y, epochs=14, early_stopping=callbacks.EarlyStopping("loss", patience=20),
                          callbacks=[Push(), path], progress=False)  # fmt: skip
    best = int(np.argmin(history.loss))
    assert best == 10
    assert_same(net.parameters(), path.begun[best])
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(history.loss[best], rel=1e-12)


def test_full_batch_methods_keep_the_last_iteration_where_it_is_the_best():
    x, y = problem()
    nets = [Network([Dense(8, "tanh"), Dense(3)], inputs=4, seed=5, dtype="float64") for _ in range(2)]
    for net, rule in zip(nets, (None, callbacks.EarlyStopping("loss")), strict=True):
        trainer = Trainer(net, "cross_entropy", optimizers.LBFGS())
        trainer.fit(x, y, epochs=6, early_stopping=rule, progress=False)
    assert_same(nets[1].parameters(), nets[0].parameters())


@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
@pytest.mark.parametrize("step", [5, 8, 23])
def test_a_resumed_fit_restores_the_same(monitor, step, tmp_path):
    x, y = problem()

    def fit(trainer, **more):
        rule = callbacks.EarlyStopping(monitor, patience=9)
        more |= {"validation": (x, y), "early_stopping": rule, "progress": False}
        return trainer.fit(x, y, epochs=15, batch_size=16, **more)

    whole, stopped = make(), make()
    history = fit(whole)
    with pytest.raises(InterruptedError):
        fit(stopped, callbacks=[StopAt(step, tmp_path / "c")])
    for trainer in (Trainer.load(tmp_path / "c"), copy.deepcopy(stopped)):
        assert fit(trainer).best_epoch == history.best_epoch
        assert_same(trainer.net.parameters(), whole.net.parameters())
    fit(stopped, resume=True)
    assert_same(stopped.net.parameters(), whole.net.parameters())


def test_the_best_epoch_is_kept_in_files(tmp_path):
    x, y = problem()
    trainer = make()
    assert trainer.history.best_epoch is None
    trainer.fit(x, y, epochs=5, early_stopping=3, progress=False)
    assert trainer.history.best_epoch in range(1, 6)
    trainer.save(tmp_path / "t")
    assert Trainer.load(tmp_path / "t").history.best_epoch == trainer.history.best_epoch
