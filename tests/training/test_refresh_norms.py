"""Running averages of BatchNorm for weights that were not trained with them: by hand, and of averages."""

import copy
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Heads,
    Network,
    Residual,
    Standardize,
    Trainer,
    callbacks,
    errors,
    optimizers,
    schedules,
)
from oracle import exact
from support import assert_same, cases

AVERAGES = {
    "EMA": lambda: optimizers.EMA(optimizers.Adam(0.01), decay=0.9),
    "SWA": lambda: optimizers.SWA(optimizers.SGD(0.2), start=10),
    "Lookahead": lambda: optimizers.Lookahead(optimizers.Adam(0.01)),
    "EMA of Lookahead": lambda: optimizers.EMA(optimizers.Lookahead(optimizers.Adam(0.01)), decay=0.9),
    "Accumulate": lambda: optimizers.Accumulate(optimizers.EMA(optimizers.SGD(0.1), decay=0.8), 2),
    "SAM": lambda: optimizers.SAM(optimizers.EMA(optimizers.SGD(0.1), decay=0.8)),
    "ScheduleFreeSGD": lambda: optimizers.ScheduleFreeSGD(0.5),
    "ScheduleFreeAdamW": lambda: optimizers.ScheduleFreeAdamW(0.02),
}


def network(*last, dtype="float64", **options):
    block = Residual(Dense(9), BatchNorm(momentum=None), Activation("tanh"))
    layers = [Standardize(), Dense(9), BatchNorm(), Activation("relu"), block, *(last or [Dense(3)])]
    return Network(layers, inputs=5, seed=2, dtype=dtype, **options)


def data(rows=64):
    rng = cases.generator("refresh", rows)
    x = rng.normal(size=(rows, 5)) * 2 + 1
    return x, x[:, :3].argmax(axis=1)


def fit(trainer, **more):
    x, y = data()
    return trainer.fit(x, y, **{"epochs": 4, "batch_size": 10, "progress": False, **more})


def averages(net):
    return {name: v for name, v in net.parameters().items() if ".running_" in name or ".batches" in name}


def by_hand(net, x, batches):
    """What the batches (index arrays) give the weights of `net`, in NumPy: means by layer."""
    p = {name: value.astype(np.float64) for name, value in net.parameters().items()}

    def normalise(h, at, sums):
        mean, variance = h.mean(axis=0), h.var(axis=0)
        if len(h) < 2:  # normalised with what there is, and not counted
            raise AssertionError
        sums.setdefault(at, []).append((mean, variance * len(h) / (len(h) - 1)))
        return (h - mean) / np.sqrt(variance + 1e-5) * p[f"{at}.gamma"] + p[f"{at}.beta"]

    sums = {}
    for rows in batches:
        h = (x[rows].astype(np.float64) - p["0.mean"]) * p["0.inverse_std"]
        h = np.maximum(normalise(h @ p["1.weight"] + p["1.bias"], "2", sums), 0)
        normalise(h @ p["4.0.weight"] + p["4.0.bias"], "4.1", sums)
    found = {}
    for at, pairs in sums.items():
        found[f"{at}.running_mean"] = np.mean([mean for mean, _ in pairs], axis=0)
        found[f"{at}.running_var"] = np.mean([variance for _, variance in pairs], axis=0)
    return found


def assert_close(got, want, rtol=1e-12):
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=rtol, atol=rtol, err_msg=name)


# ---- By hand ----


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize(("rows", "batch"), [(64, 64), (64, 10), (60, 7), (64, None), (3000, None)])
def test_they_are_the_means_over_the_batches(dtype, rtol, rows, batch):
    net, (x, _) = network(dtype=dtype), data(rows)
    x = x.astype(dtype)
    net.standardize(x)
    before = net.parameters()
    net.refresh_norms(x, batch_size=batch)
    size = batch or 1024
    want = by_hand(net, x, [np.arange(i, min(i + size, rows)) for i in range(0, rows, size)])
    assert_close(net.parameters(), want, rtol)
    assert net.parameters()["4.1.batches"] == -(-rows // size)
    rest = {name: value for name, value in before.items() if name not in averages(net)}
    assert_same({name: net.parameters()[name] for name in rest}, rest)


def test_they_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    x = data(50)[0]
    layers = [Dense(7), BatchNorm(), Activation("relu"), Dense(6), BatchNorm()]
    net = Network(layers, inputs=5, dtype="float64")
    modules = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.ReLU(), torch.nn.Linear(7, 6),
        torch.nn.BatchNorm1d(6),
    ).double()  # fmt: skip
    values = net.parameters()
    with torch.no_grad():
        for at, name in ((0, "0"), (3, "3")):
            modules[at].weight.copy_(torch.tensor(values[f"{name}.weight"].T.copy()))
            modules[at].bias.copy_(torch.tensor(values[f"{name}.bias"]))
    loader = torch.utils.data.DataLoader(torch.tensor(x), batch_size=12)
    torch.optim.swa_utils.update_bn(loader, modules)
    net.refresh_norms(x, batch_size=12)
    for at in (1, 4):
        for name in ("running_mean", "running_var"):
            got, want = net.parameters()[f"{at}.{name}"], getattr(modules[at], name)
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_it_does_not_matter_what_they_were():
    net, (x, _) = network(), data()
    net.refresh_norms(x, batch_size=16)
    want = net.parameters()
    net.set_parameters({"2.running_mean": np.full(9, 1e5), "2.running_var": np.full(9, 1e-3)})
    net.refresh_norms(x, batch_size=16)
    assert_same(net.parameters(), want)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_bits_do_not_depend_on_threads(threads):
    x = data(500)[0]
    one, more = network(threads=1), network(threads=threads)
    for net in (one, more):
        net.refresh_norms(x, batch_size=128)
    assert_same(more.parameters(), one.parameters())


def test_a_last_row_alone_is_left_out():
    net, other, (x, _) = network(), network(), data(33)
    net.refresh_norms(x, batch_size=16)
    other.refresh_norms(x[:32], batch_size=16)
    assert_same(net.parameters(), other.parameters())


def test_heads_and_outputs_of_any_size():
    net, plain, (x, _) = network(Heads({"a": Dense(1), "b": Dense(3)})), network(), data()
    plain.set_parameters({n: v for n, v in net.parameters().items() if n.split(".")[0] in "0124"})
    net.set_parameters({"5.a.0.weight": np.full((9, 1), 1e300)})
    for one in (net, plain):
        one.refresh_norms(x, batch_size=16)
    assert_same(averages(net), averages(plain))


def test_dropout_is_active_and_may_have_a_schedule():
    """As in a training step: half of the columns are 0, and the others twice as large."""
    rate = schedules.Exponential(0.5, 0.9, 10)
    for layer in (Dropout(0.5), Dropout(rate)):
        net = Network([layer, BatchNorm()], inputs=2, dtype="float64")
        net.refresh_norms(np.ones((4000, 2)), batch_size=2000)
        np.testing.assert_allclose(net.parameters()["1.running_mean"], 1.0, atol=0.1)
        np.testing.assert_allclose(net.parameters()["1.running_var"], 1.0, atol=0.1)


def test_without_batch_norm_nothing_changes():
    net = Network([Dense(3)], inputs=5)
    before = net.parameters()
    net.refresh_norms(data()[0])
    assert_same(net.parameters(), before)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.ones((4, 6)), {}, errors.ShapeError, "X: expected"),
        (np.full((4, 5), np.nan), {}, errors.ArgumentError, "X: expected"),
        (np.ones((1, 5)), {}, errors.ShapeError, "X: expected at least 2 rows"),
        (np.ones((4, 5)), {"batch_size": 1}, errors.ArgumentError, "batch_size: expected an integer >= 2"),
        (np.ones((4, 5)), {"batch_size": 2.0}, errors.DTypeError, "batch_size"),
    ],
)
def test_what_is_refused_changes_nothing(x, options, error, message):
    net = network()
    before = net.parameters()
    with pytest.raises(error, match=message):
        net.refresh_norms(x, **options)
    assert_same(net.parameters(), before)


# ---- After a fit ----


@pytest.mark.parametrize("name", AVERAGES)
def test_the_average_after_a_fit_has_its_own_averages(name, tmp_path):
    trainer, (x, _) = Trainer(network(), "cross_entropy", AVERAGES[name]()), data()
    fit(trainer, shuffle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        average = trainer.averaged()
    batches = [np.arange(i, min(i + 10, 64)) for i in range(0, 64, 10)]
    assert_close(average.parameters(), by_hand(average, x, batches))
    trainer.save(tmp_path / "t")
    for other in (Trainer.load(tmp_path / "t"), copy.deepcopy(trainer)):
        assert_same(other.averaged().parameters(), average.parameters())
    if name.startswith("ScheduleFree"):  # the network is the average
        assert_same(trainer.net.parameters(), average.parameters())


@pytest.mark.parametrize("name", AVERAGES)
def test_with_shuffled_batches_too(name):
    """Sorted rows would give variances within the groups alone."""
    trainer, (x, y) = Trainer(network(), "cross_entropy", AVERAGES[name]()), data()
    order = np.argsort(x[:, 0])
    trainer.fit(x[order], y[order], epochs=4, batch_size=8, progress=False)
    average = trainer.averaged()
    want = by_hand(average, x, [np.arange(64)])
    assert_close(average.parameters(), {"2.running_mean": want["2.running_mean"]}, 1e-9)
    assert (average.parameters()["2.running_var"] > 0.8 * want["2.running_var"]).all()


def test_digits_are_read_by_the_average():
    x, y, x_test, y_test = gradcore.datasets.load_digits()
    hidden = [Dense(64), BatchNorm(), Activation("relu")]
    net = Network([*hidden, *hidden, Dense(10)], inputs=64, seed=0)
    trainer = Trainer(net, "cross_entropy", optimizers.SWA(optimizers.SGD(0.1, momentum=0.9)))
    trainer.fit(x / 16, y, epochs=12, batch_size=32, progress=False)
    right = (trainer.averaged().predict(x_test / 16).argmax(axis=1) == y_test).mean()
    assert right > 0.95


@pytest.mark.parametrize("name", ["EMA", "ScheduleFreeSGD"])
def test_updates_after_the_fit_are_warned_of(name):
    trainer, (x, y) = Trainer(network(), "cross_entropy", AVERAGES[name]()), data()
    trainer.averaged()  # nothing has been averaged
    trainer.step(x, y)
    with pytest.warns(RuntimeWarning, match="refresh_norms"):
        trainer.averaged()
    fit(trainer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.averaged()
    trainer.step(x, y)
    with pytest.warns(RuntimeWarning, match="refresh_norms"):
        trainer.averaged()


def test_without_batch_norm_nothing_is_warned_of():
    trainer = Trainer(Network([Dense(3)], inputs=5, dtype="float64"), "cross_entropy", AVERAGES["EMA"]())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.step(*data())
        trainer.averaged()
        fit(trainer)
        trainer.step(*data())
        trainer.averaged()


def test_callbacks_see_the_right_average():
    x, _ = data()

    class Look:
        def on_epoch_end(self, trainer, row):
            average = trainer.averaged()
            assert_close(average.parameters(), by_hand(average, x, np.split(np.arange(64), 8)))

    trainer = Trainer(network(), "cross_entropy", AVERAGES["EMA"]())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(trainer, batch_size=8, shuffle=False, callbacks=[Look()])


def test_batches_of_one_row_keep_what_there_is():
    trainer = Trainer(network(), "cross_entropy", AVERAGES["EMA"]())
    fit(trainer, batch_size=1, epochs=1)
    assert_same(averages(trainer.averaged()), averages(trainer.net))


# ---- evaluate_averaged ----


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("share", [False, True])
def test_validation_of_the_average(name, share):
    """With the rows that are held out left out of the running averages."""
    trainer, (x, y) = Trainer(network(), "cross_entropy", AVERAGES[name]()), data()
    seen = []

    class Look:
        def on_epoch_end(self, trainer, row):
            seen.append(trainer.averaged())

    held = (x[:9] + 0.1, y[:9])
    history = fit(trainer, validation=0.25 if share else held, evaluate_averaged=True, callbacks=[Look()])
    if not share:
        for net, loss in zip(seen, history.val_loss, strict=True):
            assert Trainer(net, "cross_entropy", optimizers.SGD(0.1)).evaluate(*held)["loss"] == loss
    assert_same(trainer.averaged().parameters(), seen[-1].parameters())


@pytest.mark.parametrize("name", AVERAGES)
def test_early_stopping_goes_back_to_the_average_that_it_measured(name):
    trainer, (x, y) = Trainer(network(), "cross_entropy", AVERAGES[name]()), data()
    held = (x[:30] + 1.0, y[::-1][:30])  # which it gets worse at
    history = fit(trainer, epochs=30, validation=held, early_stopping=3, evaluate_averaged=True)
    assert history.best_epoch < len(history)
    assert trainer.evaluate(*held)["loss"] == min(history.val_loss)
    assert history.val_loss[history.best_epoch - 1] == min(history.val_loss)


def test_training_is_the_same_with_and_without(tmp_path):
    x, y = data()
    trainers = [Trainer(network(), "cross_entropy", AVERAGES["EMA"]()) for _ in range(3)]
    fit(trainers[0], validation=(x, y), evaluate_averaged=True)
    fit(trainers[1], validation=(x, y))
    with pytest.raises(KeyboardInterrupt):
        fit(trainers[2], validation=(x, y), evaluate_averaged=True, callbacks=[Stop(tmp_path / "c")])
    resumed = Trainer.load(tmp_path / "c")
    with pytest.raises(errors.StateError, match="evaluate_averaged: expected True"):
        fit(Trainer.load(tmp_path / "c"), validation=(x, y), resume=True)
    fit(resumed, validation=(x, y), evaluate_averaged=True)
    for other in (trainers[1], resumed):
        assert_same(other.net.parameters(), trainers[0].net.parameters())
        assert_same(other.averaged().parameters(), trainers[0].averaged().parameters())
    assert resumed.history.val_loss == trainers[0].history.val_loss


class Stop:
    every_steps = 17

    def __init__(self, path):
        self.path = path

    def on_slice(self, trainer, reports):
        if trainer.steps == 17:
            trainer.save(self.path)
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("optimizer", "options", "error", "message"),
    [
        (optimizers.Adam(), {"validation": 0.2}, errors.ArgumentError, "evaluate_averaged: .*without"),
        (optimizers.Accumulate(optimizers.Adam(), 2), {"validation": 0.2}, errors.ArgumentError, "without"),
        (optimizers.LBFGS(), {"validation": 0.2, "batch_size": None}, errors.ArgumentError, "without"),
        (optimizers.EMA(optimizers.Adam()), {}, errors.ArgumentError, "expected validation data"),
        (optimizers.EMA(optimizers.Adam()), {"evaluate_averaged": 1}, errors.DTypeError, "evaluate_averaged"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(optimizer, options, error, message):
    trainer = Trainer(Network([Dense(3)], inputs=5, dtype="float64"), "cross_entropy", optimizer)
    with pytest.raises(error, match=message):
        fit(trainer, **{"evaluate_averaged": True, **options})
    assert trainer.steps == 0


def test_a_column_of_the_training_pass_belongs_to_the_trained_weights():
    trainer = Trainer(network(), "cross_entropy", AVERAGES["EMA"]())
    plain = Trainer(network(), "cross_entropy", AVERAGES["EMA"]())
    rule = callbacks.EarlyStopping("loss")
    fit(trainer, validation=0.25, early_stopping=rule, evaluate_averaged=True)
    fit(plain, validation=0.25, early_stopping=rule)
    assert_same(trainer.net.parameters(), plain.net.parameters())
    assert exact.same_bits(trainer.history.loss, plain.history.loss)
