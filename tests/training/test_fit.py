"""fit: what it accepts, validation, weights, early stopping, callbacks, history, bad numbers, resuming."""

import math

import numpy as np
import pytest
from gradcore import Dense, Network, Standardize, Trainer, callbacks, clipping, errors, optimizers
from oracle import exact
from support import assert_same, cases


def data(rows=53, dtype="float32", classes=3):
    rng = cases.generator("fit", rows)
    x = rng.normal(size=(rows, 4))
    return x.astype(dtype), (x[:, :classes].argmax(axis=1) if classes else x[:, :2].astype(dtype))


def make(loss="cross_entropy", outputs=3, dtype="float32", optimizer=None, **options):
    net = Network([Dense(8, "tanh"), Dense(outputs)], inputs=4, seed=5, dtype=dtype)
    return Trainer(net, loss, optimizer or optimizers.Adam(0.01), **options)


def fit(trainer, x, y, epochs=3, batch_size=8, **more):
    return trainer.fit(x, y, epochs=epochs, batch_size=batch_size, progress=False, **more)


# ---- What it accepts ----


@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.quick
def test_any_array_layout_gives_the_same_bits(dtype, layout):
    x, y = data(dtype=dtype)
    plain, other = make(dtype=dtype), make(dtype=dtype)
    fit(plain, x, y)
    fit(other, layout(x), layout(y[:, None])[:, 0])
    assert_same(other.net.parameters(), plain.net.parameters())


@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_any_layout_of_regression_targets(dtype, layout):
    x, y = data(dtype=dtype, classes=0)
    plain, other = make("mse", 2, dtype), make("mse", 2, dtype)
    fit(plain, x, y)
    fit(other, layout(x), layout(y))
    assert_same(other.net.parameters(), plain.net.parameters())


@pytest.mark.parametrize(
    "kind", [np.float16, np.int8, np.uint16, np.int64, np.longdouble, bool, ">f4", "<f8"]
)
def test_any_real_dtype(kind):
    rng = cases.generator("dtype")
    x, y = rng.integers(0, 2, (20, 4)), rng.integers(0, 3, 20)
    plain, other = make(), make()
    fit(plain, x.astype(np.float32), y)
    fit(other, x.astype(kind), y)
    assert_same(other.net.parameters(), plain.net.parameters())


def test_lists_memory_maps_and_masked_arrays_without_a_mask(tmp_path):
    x, y = data()
    plain = make()
    fit(plain, x, y)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[...] = x
    for other_x, other_y in (
        (x.tolist(), y.tolist()),
        (mapped, y),
        (np.ma.masked_array(x), y),
        (x, y[:, None]),
    ):
        other = make()
        fit(other, other_x, other_y)
        assert_same(other.net.parameters(), plain.net.parameters())


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64, np.int64, ">i4"])
def test_labels_of_any_dtype_that_holds_whole_numbers(kind):
    x, y = data()
    plain, other = make(), make()
    fit(plain, x, y)
    fit(other, x, y.astype(kind))
    assert_same(other.net.parameters(), plain.net.parameters())


def test_arrays_of_the_user_are_not_changed():
    x, y = data()
    kept = x.copy(), y.copy()
    fit(make(), x, y)
    assert exact.same_bits(x, kept[0])
    assert exact.same_bits(y, kept[1])


@pytest.mark.parametrize(
    ("rows", "batch"), [(1, 1), (1, 100), (7, 7), (7, 3), (7, 1), (53, 52), (53, 54), (300, 257)]
)
def test_rows_and_batches_of_any_size(rows, batch):
    x, y = data(rows)
    trainer = make()
    history = fit(trainer, x, y, epochs=2, batch_size=batch)
    assert trainer.steps == 2 * -(-rows // batch)
    assert history.step == [trainer.steps // 2, trainer.steps]
    assert all(math.isfinite(loss) for loss in history.loss)


# ---- It trains ----


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.quick
def test_it_learns(dtype, loss):
    rng = cases.generator("learns")
    x = rng.normal(size=(400, 4)).astype(dtype)
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)
    outputs = 2 if loss == "cross_entropy" else 1
    trainer = make(loss, outputs, dtype, optimizers.Adam(0.02))
    history = fit(trainer, x, labels, epochs=80, batch_size=32)
    assert history.loss[-1] < 0.35 * history.loss[0]
    if loss != "mse":
        assert trainer.evaluate(x, labels)["accuracy"] > 0.95
        assert history.accuracy[-1] > 0.95


def test_every_row_is_seen_once_an_epoch_in_a_new_order():
    """The weights of a linear map without bias are its inputs, one row at a time."""
    seen = []

    class Look:
        every_steps = 1

        def on_slice(self, trainer, reports):
            seen.append(trainer.net.parameters()["0.weight"].ravel().copy())

    net = Network([Dense(1, bias=False)], inputs=10, dtype="float64")
    net.set_parameters({"0.weight": np.zeros((10, 1))})
    trainer = Trainer(net, "mse", optimizers.SGD(0.5))
    trainer.fit(np.eye(10), np.arange(1.0, 11), epochs=2, batch_size=1, progress=False, callbacks=[Look()])
    order = [int(np.flatnonzero(b - a)[0]) for a, b in zip([np.zeros(10), *seen], seen, strict=False)
             if (b - a).any()]  # fmt: skip
    assert sorted(order[:10]) == list(range(10))
    assert order[:10] != list(range(10))


def test_without_shuffle_the_order_is_that_of_the_rows():
    x, y = data(20, "float64", 0)
    trainer, by_hand = make("mse", 2, "float64"), make("mse", 2, "float64")
    fit(trainer, x, y, epochs=2, batch_size=6, shuffle=False)
    for _ in range(2):
        for start in range(0, 20, 6):
            by_hand.step(x[start : start + 6], y[start : start + 6])
    assert_same(trainer.net.parameters(), by_hand.net.parameters())


def test_the_seed_of_the_trainer_decides_the_order():
    x, y = data()
    results = []
    for seed in (None, 5, 6):
        trainer = make(seed=seed)
        fit(trainer, x, y)
        results.append(trainer.net.parameters()["0.weight"])
    assert exact.same_bits(results[0], results[1])
    assert not exact.same_bits(results[0], results[2])


def test_fitting_twice_goes_on():
    x, y = data()
    once, twice = make(), make()
    fit(once, x, y, epochs=5)
    fit(twice, x, y, epochs=2)
    second = fit(twice, x, y, epochs=3)
    assert_same(once.net.parameters(), twice.net.parameters())
    assert second.epoch == [3, 4, 5]
    assert twice.history.epoch == [1, 2, 3, 4, 5]


def test_the_first_fit_standardises_from_its_training_rows():
    x, y = data(200)
    x = x * 50 + 7
    net = Network([Standardize(), Dense(3)], inputs=4)
    Trainer(net, "cross_entropy", optimizers.Adam(0.01)).fit(x, y, epochs=1, batch_size=20, progress=False)
    first = net.parameters()
    assert np.allclose(first["0.mean"], x.mean(axis=0), rtol=1e-5)
    assert np.allclose(first["0.inverse_std"], 1 / x.std(axis=0), rtol=1e-5)
    Trainer(net, "cross_entropy", optimizers.Adam(0.01)).fit(
        x + 9, y, epochs=1, batch_size=20, progress=False
    )
    assert exact.same_bits(net.parameters()["0.mean"], first["0.mean"])


# ---- Validation ----


@pytest.mark.quick
def test_a_validation_pair_is_evaluated_after_every_epoch():
    x, y = data()
    trainer = make()
    history = fit(trainer, x[:40], y[:40], validation=(x[40:], y[40:]))
    scores = trainer.evaluate(x[40:], y[40:])
    assert len(history.val_loss) == 3
    assert history.val_loss[-1] == scores["loss"]
    assert history.val_accuracy[-1] == scores["accuracy"]


def test_validation_may_have_weights():
    x, y = data()
    weight = np.r_[np.ones(5), np.zeros(8)]
    history = fit(make(), x[:40], y[:40], validation=(x[40:], y[40:], weight))
    other = fit(make(), x[:40], y[:40], validation=(x[40:45], y[40:45]))
    assert history.val_loss == pytest.approx(other.val_loss, rel=1e-6)


def test_a_validation_share_is_held_out_and_the_same_every_time():
    x, y = data(100)
    trainer, other = make(), make()
    history = fit(trainer, x, y, validation=0.25, batch_size=5)
    fit(other, x, y, validation=0.25, batch_size=5)
    assert_same(trainer.net.parameters(), other.net.parameters())
    assert history.step == [15, 30, 45]
    full = fit(make(), x, y, batch_size=5)
    assert full.step == [20, 40, 60]
    assert "val_loss" not in full.to_dict()


# ---- Weights ----


def test_integer_weights_equal_repeated_rows():
    """In one batch: the weighted mean is that of the repeated rows."""
    x, y = data(12, "float64")
    counts = np.array([1, 2, 3, 1, 0, 1, 2, 1, 4, 1, 1, 0])
    weighted, repeated = make(dtype="float64"), make(dtype="float64")
    fit(weighted, x, y, epochs=20, batch_size=12, shuffle=False, sample_weight=counts)
    fit(repeated, np.repeat(x, counts, axis=0), np.repeat(y, counts), epochs=20, batch_size=99, shuffle=False)
    for name, value in repeated.net.parameters().items():
        assert np.allclose(weighted.net.parameters()[name], value, rtol=1e-9, atol=1e-12)
    assert weighted.history.loss == pytest.approx(repeated.history.loss, rel=1e-9)
    assert weighted.history.accuracy == pytest.approx(repeated.history.accuracy, rel=1e-12)


def test_equal_weights_are_no_weights_but_for_rounding():
    x, y = data(dtype="float64")
    plain, weighted = make(dtype="float64"), make(dtype="float64")
    fit(plain, x, y)
    fit(weighted, x, y, sample_weight=np.full(53, 2.5))
    for name, value in plain.net.parameters().items():
        assert np.allclose(weighted.net.parameters()[name], value, rtol=1e-9)


def test_class_weights_are_the_weights_of_the_rows_of_a_class():
    x, y = data(dtype="float64")
    by_class, by_row = make(dtype="float64"), make(dtype="float64")
    fit(by_class, x, y, class_weight={0: 2.0, 2: 0.5}, sample_weight=np.full(53, 1.5))
    fit(by_row, x, y, sample_weight=np.array([2.0, 1.0, 0.5])[y] * 1.5)
    assert_same(by_class.net.parameters(), by_row.net.parameters())


def test_balanced_class_weights():
    x, y = data(dtype="float64")
    balanced, by_hand = make(dtype="float64"), make(dtype="float64")
    fit(balanced, x, y, class_weight="balanced")
    fit(by_hand, x, y, class_weight={c: 53 / (3 * (y == c).sum()) for c in range(3)})
    assert_same(balanced.net.parameters(), by_hand.net.parameters())


def test_batches_of_weight_zero_change_nothing():
    x, y = data(16, "float64")
    weight = np.r_[np.ones(8), np.zeros(8)]
    trainer = make(dtype="float64", optimizer=optimizers.SGD(0.1))
    other = make(dtype="float64", optimizer=optimizers.SGD(0.1))
    fit(trainer, x, y, epochs=1, batch_size=8, shuffle=False, sample_weight=weight)
    fit(other, x[:8], y[:8], epochs=1, batch_size=8, shuffle=False)
    for name, value in other.net.parameters().items():
        assert np.allclose(trainer.net.parameters()[name], value, rtol=1e-12)


# ---- Early stopping and callbacks ----


class Script:
    """Replaces validation: sets chosen parameters so that val_loss follows a script."""

    def __init__(self, values):
        self.values, self.epochs = list(values), 0

    def on_slice(self, trainer, reports):
        if trainer.steps % 2 == 0:
            trainer.net.set_parameters({"0.bias": [math.sqrt(self.values[trainer.steps // 2 - 1])]})


def scripted(values, **options):
    """A net whose prediction is its bias, target 0: val_loss is bias^2."""
    net = Network([Dense(1)], inputs=1, dtype="float64")
    net.set_parameters({"0.weight": [[0.0]]})
    trainer = Trainer(net, "mse", optimizers.SGD(1e-300))
    script = Script(values)
    script.every_steps = 1
    held_out = np.zeros((1, 1)), np.zeros(1)
    options |= {"epochs": len(values), "batch_size": 1, "validation": held_out, "callbacks": [script]}
    history = trainer.fit(np.zeros((2, 1)), np.zeros(2), progress=False, **options)
    return trainer, history


@pytest.mark.quick
def test_early_stopping_waits_patience_epochs_and_restores_the_best():
    values = [5.0, 4.0, 3.0, 3.5, 3.25, 3.0, 2.0, 1.0]
    trainer, history = scripted(values, early_stopping=3)
    assert history.val_loss == pytest.approx(values[:6])
    assert trainer.net.parameters()["0.bias"][0] ** 2 == pytest.approx(3.0)


def test_early_stopping_may_keep_the_last():
    rule = callbacks.EarlyStopping(patience=2, restore_best=False)
    trainer, history = scripted([5.0, 3.0, 4.0, 4.5, 1.0], early_stopping=rule)
    assert len(history) == 4
    assert trainer.net.parameters()["0.bias"][0] ** 2 == pytest.approx(4.5)


def test_early_stopping_ignores_changes_below_min_delta():
    rule = callbacks.EarlyStopping(patience=2, min_delta=0.5)
    trainer, history = scripted([5.0, 4.75, 4.6, 1.0], early_stopping=rule)
    assert len(history) == 3
    assert trainer.net.parameters()["0.bias"][0] ** 2 == pytest.approx(5.0)


def test_without_an_early_end_the_best_is_restored_too():
    trainer, history = scripted([5.0, 2.0, 3.0, 2.5], early_stopping=9)
    assert len(history) == 4
    assert trainer.net.parameters()["0.bias"][0] ** 2 == pytest.approx(2.0)


@pytest.mark.quick
def test_callbacks_are_called_in_order():
    calls = []

    class Log(callbacks.Callback):
        def on_train_begin(self, trainer):
            calls.append("begin")

        def on_epoch_begin(self, trainer, epoch):
            calls.append(f"epoch {epoch}")

        def on_slice(self, trainer, reports):
            calls.extend("step" for _ in reports)

        def on_epoch_end(self, trainer, row):
            calls.append(f"end {row['epoch']:.0f}")
            return row["epoch"] == 2

        def on_train_end(self, trainer):
            calls.append("done")

    x, y = data(16)
    history = fit(make(), x, y, epochs=5, callbacks=[Log()])
    assert calls == ["begin", "epoch 1", "step", "step", "end 1", "epoch 2", "step", "step", "end 2", "done"]
    assert len(history) == 2


def test_reports_of_slices_are_those_of_the_steps():
    reports = []

    class Keep:
        def on_slice(self, trainer, rows):
            reports.extend(rows.copy())

    x, y = data(50, "float64")
    trainer = make(dtype="float64", clip=clipping.GlobalNorm(0.05))
    history = fit(trainer, x, y, epochs=2, batch_size=16, callbacks=[Keep()])
    assert [int(r["rows"]) for r in reports] == [16, 16, 16, 2] * 2
    for epoch in range(2):
        rows = reports[4 * epoch : 4 * epoch + 4]
        weight = sum(r["weight"] for r in rows)
        assert history.loss[epoch] == pytest.approx(sum(r["loss"] * r["weight"] for r in rows) / weight)
        assert history.accuracy[epoch] == pytest.approx(sum(r["correct"] for r in rows) / weight)
        assert history.grad_norm[epoch] == pytest.approx(np.mean([r["norm"] for r in rows]))
        assert history.clipped[epoch] == np.mean([r["norm"] > 0.05 for r in rows])
    for r in reports:
        assert r["scale"] == pytest.approx(min(1.0, 0.05 / r["norm"]))


def test_an_exception_in_a_callback_leaves_a_trainer_that_can_go_on():
    class Stop:
        every_steps = 5

        def on_slice(self, trainer, reports):
            if trainer.steps == 5:
                raise ZeroDivisionError

    x, y = data()
    trainer, straight = make(), make()
    with pytest.raises(ZeroDivisionError):
        fit(trainer, x, y, callbacks=[Stop()])
    assert trainer.steps == 5
    with pytest.raises(errors.StateError, match="batch_size"):
        fit(trainer, x, y, batch_size=9, resume=True)
    fit(trainer, x, y, resume=True)
    fit(straight, x, y)
    assert_same(trainer.net.parameters(), straight.net.parameters())
    assert trainer.history.loss == straight.history.loss


def test_an_interrupted_fit_can_be_abandoned():
    class Stop:
        every_steps = 2

        def on_slice(self, trainer, reports):
            raise ZeroDivisionError

    x, y = data()
    trainer = make()
    with pytest.raises(ZeroDivisionError):
        fit(trainer, x, y, callbacks=[Stop()])
    trainer.abandon_fit()
    assert len(fit(trainer, x, y, batch_size=9, epochs=2)) == 2


def test_checkpoints_while_training(tmp_path):
    x, y = data()
    path = tmp_path / "c"
    trainer = make()
    fit(trainer, x, y, epochs=2, callbacks=[callbacks.Checkpoint(path)])
    resumed = Trainer.load(path)
    with pytest.warns(RuntimeWarning, match="no step is taken"):
        fit(resumed, x, y, epochs=2)
    assert_same(resumed.net.parameters(), trainer.net.parameters())


# ---- History ----


@pytest.mark.quick
def test_history_columns():
    x, y = data()
    history = fit(make(), x, y, validation=0.2, epochs=4)
    columns = history.to_dict()
    names = "epoch step loss accuracy val_loss val_accuracy lr grad_norm skipped seconds"
    assert set(columns) == set(names.split())
    assert all(len(column) == 4 for column in columns.values())
    assert columns["epoch"] == [1, 2, 3, 4]
    assert columns["lr"] == [0.01] * 4
    assert all(seconds > 0 for seconds in columns["seconds"])
    assert history.last()["loss"] == history.loss[-1]
    assert "loss" in repr(history)


def test_history_as_csv(tmp_path):
    x, y = data()
    history = fit(make(), x, y)
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,step,loss")
    assert len(lines) == 4


# ---- Before the first step ----


class Refuses:
    """Ends a fit as it begins."""

    def __init__(self, before=None):
        self.before = before

    def on_train_begin(self, trainer):
        if self.before:
            self.before(trainer)
        raise OSError("no room")


def scaled_trainer(loss="cross_entropy", outputs=2):
    net = Network([Standardize(), Dense(outputs)], inputs=2, seed=0)
    return Trainer(net, loss, optimizers.SGD(0.1))


@pytest.mark.parametrize("named", [False, True])
def test_a_fit_that_ends_before_its_first_step_has_learnt_nothing(named):
    x = 50 + 3 * np.random.default_rng(0).normal(size=(64, 2))
    y, other, turned = (x[:, 0] > 50).astype(int), x + 100, (x[:, 0] <= 50).astype(int)
    if named:
        pandas = pytest.importorskip("pandas")
        x = pandas.DataFrame(x, columns=["a", "b"])
        other = x[["b", "a"]].rename(columns={"b": "c"})
        y, turned = np.array(["cat", "dog"])[y], np.array(["dog", "eel"])[y]
    trainer, fresh = scaled_trainer(), scaled_trainer()
    before = trainer.net.parameters()
    with pytest.raises(OSError, match="no room"):
        fit(trainer, x, y, callbacks=[Refuses()])
    assert_same(trainer.net.parameters(), before)
    assert trainer.net.classes is None or not len(trainer.net.classes)
    for one in (trainer, fresh):  # with names of columns and classes that the first did not have
        fit(one, other, turned)
    assert_same(trainer.net.parameters(), fresh.net.parameters())
    assert list(trainer.net.classes or ()) == list(fresh.net.classes or ())


def test_after_a_step_in_a_callback_what_was_learnt_stays():
    x = 50 + np.random.default_rng(0).normal(size=(64, 2))
    y = x[:, :1] - 50
    trainer = scaled_trainer("mse", 1)
    with pytest.raises(OSError, match="no room"):
        fit(trainer, x, y, callbacks=[Refuses(lambda t: t.step(x, y))])
    assert trainer.steps == 1
    assert np.allclose(trainer.net.parameters()["0.mean"], x.mean(axis=0), rtol=1e-5)
