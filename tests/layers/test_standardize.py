"""Standardize: what it takes from which rows, numbers far from zero, columns that do not vary, files."""

import json
import pickle
import warnings

import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Embedding,
    Heads,
    Network,
    Standardize,
    Trainer,
    errors,
    initializers,
    losses,
    optimizers,
    pruning,
    search,
)
from gradcore.cli import main
from oracle import exact
from support import assert_same, cases

START = 1.7e9  # a Unix time


def far(rows=600):
    """A time within a day, a small number, the same pressure in Pa but for 50, all in float64."""
    rng = cases.generator("far", rows)
    return np.stack(
        [START + rng.uniform(0, 86400, rows), rng.normal(size=rows), 101325 + 50 * rng.normal(size=rows)],
        axis=1,
    )


def target(x):
    return np.sin((x[:, 0] - START) / 15000) + 0.3 * x[:, 1]


def make(dtype="float32", inputs=3, **more):
    return Network([Standardize(), Dense(12, "tanh"), Dense(1)], inputs=inputs, seed=1, dtype=dtype, **more)


def trained(dtype, x, y, **more):
    trainer = Trainer(make(dtype), "mse", optimizers.Adam(0.01))
    trainer.fit(x, y, epochs=8, batch_size=50, progress=False, **more)
    return trainer


# ---- Numbers far from zero ----


@pytest.mark.parametrize("kind", ["float64", "int64", "longdouble", "fortran", "list"])
def test_a_float32_network_sees_what_a_float64_network_sees(kind):
    x = far()
    y = target(x)
    narrow, wide = (
        trained("float32", _as(x, kind), y, validation=0.2),
        trained("float64", x, y, validation=0.2),
    )
    if kind == "int64":
        wide = trained("float64", _as(x, kind), y, validation=0.2)
    assert narrow.history.loss == pytest.approx(wide.history.loss, rel=2e-4)
    assert narrow.history.val_loss == pytest.approx(wide.history.val_loss, rel=2e-4)
    x = _as(far(200), kind)
    y = target(np.asarray(x, float))
    want = wide.net.predict(x)
    bar = 2e-5
    assert np.abs(narrow.net.predict(x) - want).max() < bar
    assert np.abs(narrow.net.forward(x) - want).max() < bar
    assert np.abs(narrow.net.activations(x)["2"] - want).max() < bar
    assert np.abs(narrow.net.activations(x)["0"] - wide.net.activations(x)["0"]).max() < 1e-5
    assert narrow.evaluate(x, y)["loss"] == pytest.approx(wide.evaluate(x, y)["loss"], rel=1e-4)
    (loss, found), (other, there) = narrow.gradients(x, y), wide.gradients(x, y)
    assert loss == pytest.approx(other, rel=1e-4)
    for name in there:
        assert np.abs(found[name] - there[name]).max() < 1e-4
    assert narrow.step(x, y) == pytest.approx(wide.step(x, y), rel=1e-4)


def _as(x, kind):
    if kind == "fortran":
        return np.asfortranarray(x)
    return x.tolist() if kind == "list" else x.astype(kind)


def test_rows_within_seconds_of_each_other_keep_their_digits():
    x = START + np.arange(60.0).reshape(-1, 1)
    net = Network([Standardize()], inputs=1)
    net.standardize(x)
    want = (x - x.mean()) / x.std()
    assert np.abs(net.predict(x) - want).max() < 1e-6
    assert np.abs(net.predict(x.astype(np.int64)) - want).max() < 1e-6


def test_the_mean_is_shown_and_set_as_ever():
    x = far()
    net = make()
    net.standardize(x)
    shown = net.parameters()
    assert np.allclose(shown["0.mean"], x.mean(axis=0), rtol=1e-6, atol=1e-7)
    assert np.allclose(shown["0.inverse_std"], 1 / x.std(axis=0), rtol=1e-6)
    before = net.predict(x)
    net.set_parameters(shown)  # rounded, but still the same
    assert exact.same_bits(net.predict(x), before)
    by_hand = make()
    by_hand.set_parameters({**shown, "0.mean": x.mean(axis=0)})
    assert np.abs(by_hand.predict(x) - before).max() < 1e-6
    by_hand.set_parameters({"0.mean": np.zeros(3, np.float32)})
    plain = make()
    plain.set_parameters({**shown, "0.mean": np.zeros(3)})
    assert exact.same_bits(by_hand.predict(x), plain.predict(x))


def test_files_copies_and_other_networks_made_of_it_keep_the_digits(tmp_path):
    x = far()
    trainer = trained("float32", x, target(x))
    net, want = trainer.net, trainer.net.predict(x)
    net.save(tmp_path / "net")
    trainer.save(tmp_path / "trainer")
    again = Trainer.load(tmp_path / "trainer")
    for other in (
        net.clone(), Network.load(tmp_path / "net"), pickle.loads(pickle.dumps(net)), again.net,
        Network.load(tmp_path / "trainer"), net.fold_batchnorm(), pickle.loads(pickle.dumps(trainer)).net,
    ):  # fmt: skip
        assert exact.same_bits(other.predict(x), want)
        assert_same(other.parameters(), net.parameters())
    assert np.allclose(pruning.compact(net).predict(x), want, atol=1e-6)
    assert pruning.shrink(net, 0.99).predict(x).shape == want.shape
    assert again.step(x[:50], target(x[:50])) > 0


def test_a_restored_best_keeps_the_digits():
    x = far()
    trainer = trained("float32", x, target(x), validation=(x[:100], target(x[:100])), early_stopping=2)
    assert trainer.evaluate(x[:100], target(x[:100]))["loss"] == pytest.approx(min(trainer.history.val_loss))


def test_fold_batchnorm_keeps_the_digits():
    x = far()
    net = Network([Standardize(), Dense(8), BatchNorm(), Dense(1)], inputs=3, seed=1)
    Trainer(net, "mse", optimizers.Adam(0.01)).fit(x, target(x), epochs=3, batch_size=50, progress=False)
    assert np.allclose(net.fold_batchnorm().predict(x), net.predict(x), atol=1e-5)


def test_searches_and_initialisers_see_the_digits():
    x = far()
    y = target(x)
    descents = [
        search.line_search_fit(make(dtype), x, y, loss="mse", steps=5) for dtype in ("float32", "float64")
    ]
    assert np.allclose(descents[0].losses, descents[1].losses, rtol=1e-3)
    ranges = [
        search.range_test(
            make(dtype), x, y, loss="mse", optimizer=optimizers.SGD(0.1), steps=20, batch_size=50
        )
        for dtype in ("float32", "float64")
    ]
    assert np.allclose(ranges[0].mean, ranges[1].mean, rtol=1e-3, equal_nan=True)
    nets = [make(dtype) for dtype in ("float32", "float64")]
    for net in nets:
        initializers.lsuv(net, x, tolerance=0.01)
        net.standardize(x)
    assert np.allclose(nets[0].predict(x), nets[1].predict(x), atol=1e-4)
    v = {
        name: np.ones_like(value) for name, value in nets[0].parameters().items() if not name.startswith("0.")
    }
    found, want = (net.hvp(x, y, "mse", v) for net in nets)
    assert all(np.allclose(found[name], want[name], rtol=1e-3, atol=1e-4) for name in v)


def test_full_batch_methods_see_the_digits():
    x = far(100)
    y = target(x)
    histories = []
    for dtype in ("float32", "float64"):
        trainer = Trainer(make(dtype), "mse", optimizers.LBFGS())
        histories.append(trainer.fit(x, y, epochs=3, progress=False).loss)
    assert histories[0][:2] == pytest.approx(histories[1][:2], rel=1e-3)


def test_float32_inputs_keep_their_bits():
    """Values that came rounded are standardised as they came: no digit is to be saved."""
    x = far().astype(np.float32)
    net = make()
    net.standardize(x)
    mean, inverse = x.astype(float).mean(axis=0), 1 / x.astype(float).std(axis=0)
    want = (x - mean.astype(np.float32)) * inverse.astype(np.float32)
    assert exact.same_bits(net.activations(x)["0"], want)
    assert exact.same_bits(net.activations(x.astype(float))["0"], want)


def test_ordinary_columns_have_the_bits_of_rounded_ones():
    x = cases.normal((300, 3), "float64", "x") * [1, 50, 1e-3] + [1, 7, 0]
    net, other = make(), make()
    net.standardize(x)
    other.standardize(x.astype(np.float32))
    assert exact.same_bits(net.predict(x), other.predict(x.astype(np.float32)))


def test_codes_stay_as_they_are():
    x = far()
    x[:, 1] = np.arange(len(x)) % 40 + 100
    net = Network([Standardize(), Embedding({1: (140, 3)}), Dense(1)], inputs=3)
    net.standardize(x)
    assert net.parameters()["0.mean"][1] == 0 and net.parameters()["0.inverse_std"][1] == 1
    net.predict(x)


# ---- Which rows, with which weights ----


def test_integer_weights_are_repeated_rows(dtype):
    x = cases.normal((40, 3), "float64", "x") * [1, 5, 0.1] + 2
    counts = cases.generator("counts").integers(0, 4, 40)
    weighted, repeated = make(dtype), make(dtype)
    x[counts == 0] = 1e30  # counts for nothing
    weighted.standardize(x, sample_weight=counts)
    repeated.standardize(np.repeat(x, counts, axis=0))
    bar = {"float32": 1e-6, "float64": 1e-13}[dtype]
    for name in ("0.mean", "0.inverse_std"):
        assert np.allclose(weighted.parameters()[name], repeated.parameters()[name], rtol=bar)
    average = np.average(x, axis=0, weights=counts)
    deviation = np.sqrt(np.average((x - average) ** 2, axis=0, weights=counts))
    assert np.allclose(weighted.parameters()["0.mean"], average, rtol=bar)
    assert np.allclose(weighted.parameters()["0.inverse_std"], 1 / deviation, rtol=bar)


def test_fit_takes_sample_weights_and_leaves_class_weights_to_the_loss():
    x, y = cases.normal((60, 3), "float64", "x"), np.arange(60) % 2
    weight = cases.generator("w").uniform(0, 2, 60)

    def fitted(**more):
        net = Network([Standardize(), Dense(2)], inputs=3, dtype="float64")
        Trainer(net, "cross_entropy", optimizers.Adam()).fit(
            x, y, epochs=1, batch_size=60, progress=False, **more
        )
        return net.parameters()

    average = np.average(x, axis=0, weights=weight)
    assert np.allclose(fitted(sample_weight=weight)["0.mean"], average, rtol=1e-12)
    assert np.allclose(fitted(sample_weight=weight, class_weight={0: 9.0})["0.mean"], average, rtol=1e-12)
    assert np.allclose(fitted(class_weight={0: 9.0})["0.mean"], x.mean(axis=0), rtol=1e-12)


def test_weights_by_head_count_as_their_mean():
    x, y = cases.normal((30, 3), "float64", "x"), np.zeros(30)
    weight = np.r_[np.full(10, 3.0), np.zeros(20)]
    net = Network([Standardize(), Heads({"a": Dense(1), "b": Dense(1)})], inputs=3, dtype="float64")
    trainer = Trainer(net, {"a": "mse", "b": "mse"}, optimizers.Adam())
    trainer.fit(x, {"a": y, "b": y}, epochs=1, batch_size=30, progress=False, sample_weight={"a": weight})
    want = np.average(x, axis=0, weights=(weight + 1) / 2)
    assert np.allclose(net.parameters()["0.mean"], want, rtol=1e-12)


# ---- Columns that do not vary ----


@pytest.mark.parametrize("magnitude", [1e-300, 0.3, 1e6, 1.7e9, 1e300])
@pytest.mark.parametrize("rows", [2, 10, 1000])
def test_a_column_constant_but_for_rounding_is_constant(magnitude, rows):
    rng = cases.generator("rounding", rows)
    x = np.stack([np.full(rows, magnitude), rng.normal(size=rows)], axis=1)
    x[:, 0] = np.nextafter(x[:, 0], np.where(np.arange(rows) % 2, np.inf, 0))
    net = make("float64", inputs=2)
    net.standardize(x)
    assert net.parameters()["0.inverse_std"][0] == 1
    assert np.isfinite(net.predict(x)).all()


def test_sums_of_shares_are_one_column_of_ones(dtype):
    shares = cases.generator("shares").dirichlet(np.ones(9), 500).astype(dtype)
    x = np.stack([shares.sum(axis=1), shares[:, 0]], axis=1)
    assert len(np.unique(x[:, 0])) > 1
    net = make(dtype, inputs=2)
    net.standardize(x)
    assert net.parameters()["0.inverse_std"][0] == 1


def test_a_small_deviation_above_rounding_counts():
    for size, dtype in ((1e-9, "float64"), (1e-4, "float32")):
        x = (1 + size * cases.normal((200, 1), "float64", "x")).astype(dtype)
        net = Network([Standardize()], inputs=1, dtype=dtype)
        net.standardize(x)
        assert net.parameters()["0.inverse_std"][0] == pytest.approx(1 / x.astype(float).std(), rel=1e-3)


def test_a_float32_network_tells_constant_from_rounded_to_constant():
    x = np.stack([1 + 1e-9 * np.arange(100), np.full(100, 1 + 1e-9)], axis=1)
    net = Network([Standardize()], inputs=2)
    net.standardize(x)
    y = net.predict(x)
    want = (np.arange(100) - 49.5) / np.arange(100).std()
    assert np.abs(y[:, 0] - want).max() < 1e-4
    assert not y[:, 1].any()


@pytest.mark.parametrize("value", [0.0, 5.5, -1e30, 1e-310, 1.7e9 + 0.3])
def test_one_row_is_constant(value):
    for dtype in ("float32", "float64"):
        net = Network([Standardize()], inputs=1, dtype=dtype)
        net.standardize([[value]])
        assert net.parameters()["0.inverse_std"][0] == 1
        assert net.predict([[value]])[0, 0] == 0


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e30, 1e300])
def test_extreme_columns_stay_finite(scale):
    x = np.arange(20.0).reshape(-1, 1) * scale
    net = Network([Standardize()], inputs=1, dtype="float64")
    net.standardize(x)
    assert np.isfinite(net.predict(x)).all()
    x = cases.normal((50, 2), "float64", "x")
    x[3, 0] = 1e30
    net = Network([Standardize()], inputs=2)
    net.standardize(x)
    assert net.predict(x)[3, 0] == pytest.approx(7.0, rel=1e-5)  # (n - 1) / sqrt(n - 1)


# ---- Steps by hand ----


def test_a_first_step_standardises_from_its_batch_and_says_so():
    x = cases.normal((30, 3), "float64", "x") * 50 + 7
    trainer = Trainer(make("float64"), "mse", optimizers.SGD(0.1))
    with pytest.warns(RuntimeWarning, match=r"step: Standardize takes mean and deviation from the 30 rows"):
        trainer.step(x, x[:, 0])
    assert np.allclose(trainer.net.parameters()["0.mean"], x.mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.step(x + 9, x[:, 0])
    assert np.allclose(trainer.net.parameters()["0.mean"], x.mean(axis=0))
    by_hand = Trainer(make("float64"), "mse", optimizers.SGD(0.1))
    by_hand.net.standardize(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_hand.step(x, x[:, 0])
        by_hand.step(x + 9, x[:, 0])
    assert_same(by_hand.net.parameters(), trainer.net.parameters())


def test_a_first_step_that_fails_leaves_it_as_it_was():
    trainer = Trainer(make("float64"), "mse", optimizers.SGD(0.1), nonfinite="raise")
    x = cases.normal((5, 3), "float64", "x")
    before = trainer.net.parameters()
    with pytest.raises(errors.StateError, match=r"one row cannot tell; call net.standardize\(X\)"):
        trainer.step(x[:1], x[:1, 0])
    with pytest.raises(errors.ArgumentError, match=r"X: expected finite values, got nan at \[0, 0\]"):
        trainer.step(np.full((2, 3), np.nan), x[:2, 0])
    with pytest.raises(errors.NonFiniteError), pytest.warns(RuntimeWarning):
        trainer.step(x, np.full(5, 1e300))
    assert_same(trainer.net.parameters(), before)
    assert not trainer.net._model.standardized


def test_gradients_and_training_forwards_without_it_say_so():
    trainer = Trainer(make(), "mse", optimizers.SGD(0.1))
    x = cases.normal((5, 3), "float32", "x")
    with pytest.warns(RuntimeWarning, match=r"gradients: Standardize has no mean and deviation yet"):
        trainer.gradients(x, x[:, 0])
    with pytest.warns(RuntimeWarning, match=r"forward: Standardize has no mean"):
        trainer.net.forward(x, training=True)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(4), r"sample_weight: expected shape \(5,\)"),
        (np.zeros(5), "sample_weight: expected a positive, finite sum"),
        (-np.ones(5), "sample_weight: expected values >= 0"),
    ],
)
def test_bad_weights_are_refused(weight, message):
    net = make()
    with pytest.raises(errors.GradcoreError, match=message):
        net.standardize(cases.normal((5, 3), "float64", "x"), sample_weight=weight)
    assert not net._model.standardized


def test_values_that_are_not_finite_are_refused_and_leave_it_as_it_was():
    net = make()
    x = far(20)
    x[3, 2] = np.nan
    with pytest.raises(errors.ArgumentError, match=r"X: expected finite values, got nan at \[3, 2\]"):
        net.standardize(x)
    assert not net._model.standardized
    net.standardize(far())
    before = net.predict(far())
    with pytest.raises(errors.ArgumentError, match=r"expected values that float32 can hold, got 1e\+300"):
        net.predict([[1e300, 0, 0]])
    assert exact.same_bits(net.predict(far()), before)


def test_a_broken_centre_in_a_file_is_refused(tmp_path):
    from gradcore.network import files, stored

    net = make()
    net.standardize(far())
    tensors, metadata = stored.content(net._model, {})
    for spoiled in (np.zeros(2), np.full(3, np.nan), np.zeros(3, np.float32)):
        broken = [(name, spoiled if name == "0.centre" else value) for name, value in tensors]
        files.write(tmp_path / "broken", broken, metadata)
        with pytest.raises(errors.FormatError, match=r"0\.centre"):
            Network.load(tmp_path / "broken")


def test_a_custom_loss_sees_the_digits():
    def loss(output, y):
        return float(((output - y) ** 2).mean()), 2 * (output - y) / output.size

    x = far(100)
    y = target(x).reshape(-1, 1)
    results = []
    for dtype in ("float32", "float64"):
        trainer = Trainer(make(dtype), losses.Custom(loss), optimizers.Adam(0.01))
        trainer.fit(x, y.astype(dtype), epochs=3, batch_size=20, progress=False)
        results.append(trainer.evaluate(x, y.astype(dtype))["loss"])
    assert results[0] == pytest.approx(results[1], rel=1e-3)


def test_refreshed_averages_are_those_of_the_digits():
    x = far()
    averages = []
    for dtype in ("float32", "float64"):
        net = Network([Standardize(), Dense(4), BatchNorm(), Dense(1)], inputs=3, seed=1, dtype=dtype)
        net.standardize(x)
        net.refresh_norms(x)
        averages.append(net.parameters())
    for name in ("2.running_mean", "2.running_var"):
        assert np.allclose(averages[0][name], averages[1][name], rtol=1e-4, atol=1e-5)


def test_the_command_line_keeps_the_digits(capsys, tmp_path):
    """A column of Unix times trains and predicts as the same times counted from the first one."""
    x = far(300)
    reports, predictions = [], []
    for name, start in (("unix", 0.0), ("first", START)):
        table = np.column_stack([np.round(x[:, 0] - start, 1), x[:, 1], target(x)])
        data, model = tmp_path / f"{name}.csv", tmp_path / f"{name}.gradcore"
        np.savetxt(data, table, "%.6f", ",", header="time,other,y", comments="")
        options = ["--target", "y", "--epochs", "15", "--lr", "0.01", "--hidden", "16", "--json"]
        assert main(["train", str(data), *options, "--output", str(model)]) == 0
        reports.append(json.loads(capsys.readouterr().out)["mean"]["validation"]["rmse"])
        assert main(["predict", str(model), str(data), "--json"]) == 0
        predictions.append(json.loads(capsys.readouterr().out)["predictions"])
    assert reports[0] == pytest.approx(reports[1], rel=1e-2)
    assert np.allclose(*predictions, atol=1e-2)
    assert np.std(predictions[0]) > 0.5
