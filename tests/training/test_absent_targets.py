"""Targets of weight 0 may be NaN: what is trained and told is what it is without these rows."""

import gradcore
import numpy as np
import pytest
from gradcore import (
    ArgumentError,
    Dense,
    DTypeError,
    Heads,
    Network,
    ShapeError,
    Standardize,
    Trainer,
    losses,
    optimizers,
)
from support import assert_same, cases

ROWS = 40
GONE = np.arange(ROWS) % 3 == 1
WEIGHT = np.where(GONE, 0.0, 0.5 + np.arange(ROWS) % 4)
X = cases.normal((ROWS, 3), "float64", "x")


def targets(name, columns):
    """Good targets of a loss, float64."""
    z = cases.normal((ROWS, columns), "float64", "y", name)
    kind = gradcore._core.describe("loss", name, "target")
    if kind == "labels":
        return (np.arange(ROWS) % columns).astype(float)
    if name == "kl_divergence":
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    if name == "gaussian_nll":
        return z[:, : columns // 2]
    if name in ("hinge", "squared_hinge"):
        return np.where(z > 0, 1.0, -1.0)
    if isinstance(losses.get(name), losses.BinaryCrossEntropy | losses.BinaryFocal):
        return (z > 0).astype(float)
    return np.abs(z) + 0.1


def trainer(loss, columns=4, dtype="float64", **more):
    net = Network([Dense(5, "tanh"), Dense(columns)], inputs=3, seed=1, dtype=dtype, **more)
    return Trainer(net, loss, optimizers.SGD(0.01))


def spoiled(y, value=np.nan):
    y = y.copy()
    y[GONE] = value
    return y


@pytest.mark.parametrize("name", gradcore.names("loss"))
def test_every_loss_sees_the_rows_that_have_a_target_and_no_others(name, dtype):
    y = targets(name, 4)
    keep = ~GONE
    bar = {"float32": 1e-5, "float64": 1e-12}[dtype]
    one, other = trainer(name, dtype=dtype), trainer(name, dtype=dtype)
    (loss, found), (want, there) = (
        one.gradients(X, spoiled(y), WEIGHT), other.gradients(X[keep], y[keep], WEIGHT[keep])
    )  # fmt: skip
    assert loss == pytest.approx(want, rel=bar)
    for key in there:
        assert np.allclose(found[key], there[key], rtol=bar, atol=bar)
    scores = one.evaluate(X, spoiled(y), WEIGHT)
    assert scores == pytest.approx(other.evaluate(X[keep], y[keep], WEIGHT[keep]), rel=bar)
    assert one.step(X, spoiled(y), WEIGHT) == pytest.approx(
        other.step(X[keep], y[keep], WEIGHT[keep]), rel=bar
    )
    history = one.fit(X, spoiled(y), epochs=3, batch_size=ROWS, sample_weight=WEIGHT, progress=False)
    expected = other.fit(
        X[keep], y[keep], epochs=3, batch_size=99, sample_weight=WEIGHT[keep], progress=False
    )
    assert history.loss == pytest.approx(expected.loss, rel=bar)
    assert history.accuracy == pytest.approx(expected.accuracy, nan_ok=True)
    for key, value in other.net.parameters().items():
        assert np.allclose(one.net.parameters()[key], value, rtol=10 * bar, atol=10 * bar)
    assert one.skipped == 0


def test_squares_against_numpy():
    y = targets("mse", 2)
    done = trainer("mse", 2)
    error = done.net.predict(X) - y
    want = np.average((error**2).mean(axis=1), weights=WEIGHT)
    assert done.evaluate(X, spoiled(y), WEIGHT)["loss"] == pytest.approx(want, rel=1e-12)
    assert done.gradients(X, spoiled(y), WEIGHT)[0] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_with_heads_each_has_its_own_rows(value):
    heads = Heads({"a": Dense(1), "b": Dense(4), "c": Dense(2)})
    net = Network([Dense(5, "tanh"), heads], inputs=3, seed=1, dtype="float64")
    made = Trainer(net, {"a": "mse", "b": "cross_entropy", "c": "mse"}, optimizers.SGD(0.1))
    a, b, c = targets("mse", 1), targets("cross_entropy", 4), targets("mse", 2)
    late = np.where(np.arange(ROWS) < 10, 1.0, 0.0)
    y = {"a": spoiled(a, value), "b": np.where(late == 0, value, b), "c": c}
    weight = {"a": WEIGHT, "b": late}
    plain = {"a": a, "b": b, "c": c}
    assert made.evaluate(X, y, weight) == made.evaluate(X, plain, weight)
    loss, found = made.gradients(X, y, weight)
    want, there = made.gradients(X, plain, weight)
    assert loss == want
    assert_same(found, there)
    history = made.fit(X, y, epochs=3, batch_size=8, sample_weight=weight, shuffle=False, progress=False)
    assert np.isfinite(history.loss).all() and sum(history.skipped) == 0, (
        "batches without a row of b among them"
    )
    keep = WEIGHT > 0
    error = made.net.predict(X[keep])["a"] - a[keep]
    score = made.evaluate(X, y, weight)["a.loss"]
    assert score == pytest.approx(np.average(error[:, 0] ** 2, weights=WEIGHT[keep]), rel=1e-12)


@pytest.mark.slow
def test_evaluation_of_many_rows_where_a_head_has_none_for_a_while():
    layers = [Dense(300_000), Heads({"a": Dense(1), "b": Dense(1)})]  # so that pieces are of 256 rows
    net = Network(layers, inputs=3, dtype="float64")
    made = Trainer(net, {"a": "mse", "b": "mse"}, optimizers.SGD(0.1))
    rows = 1000
    x = cases.normal((rows, 3), "float64", "x")
    y = np.where(np.arange(rows) < 5, 1.0, np.nan)
    scores = made.evaluate(x, {"a": y, "b": np.ones(rows)}, {"a": np.where(np.arange(rows) < 5, 1.0, 0.0)})
    want = np.mean((net.predict(x[:5])["a"] - 1) ** 2)
    assert scores["a.loss"] == pytest.approx(want, rel=1e-12)


def test_a_held_out_share_and_validation_may_lack_targets():
    y = spoiled(targets("mse", 4))
    made = trainer("mse")
    options = {"epochs": 2, "batch_size": 8, "sample_weight": WEIGHT, "progress": False}
    history = made.fit(X, y, validation=0.3, **options)
    assert np.isfinite(history.val_loss).all()
    history = made.fit(X, y, validation=(X, y, WEIGHT), **options)
    assert np.isfinite(history.val_loss).all()
    with pytest.raises(ArgumentError, match=r"^validation y: expected finite values, got nan at \[1, 0\]$"):
        made.fit(X, y, validation=(X, y), **options)


def test_without_weight_zero_they_are_refused_as_ever():
    y = spoiled(targets("mse", 4))
    made = trainer("mse")
    for weight in (None, np.ones(ROWS), np.where(np.arange(ROWS) == 1, 0.0, 1.0)):
        with pytest.raises(ArgumentError, match=r"^y: expected finite values, got nan at \[[14], 0\]$"):
            made.fit(X, y, epochs=1, batch_size=8, sample_weight=weight, progress=False)


def test_one_missing_number_of_several_is_enough():
    y = targets("mse", 4)
    y[GONE, 2] = np.nan
    done, other = trainer("mse"), trainer("mse")
    loss = done.evaluate(X, y, WEIGHT)["loss"]
    assert loss == pytest.approx(other.evaluate(X[~GONE], y[~GONE], WEIGHT[~GONE])["loss"], rel=1e-12)


def test_balanced_weights_do_not_count_rows_without_a_target():
    y = targets("cross_entropy", 4)
    y[:20] = 0
    keep = ~GONE
    for where in ("loss", "fit"):
        by_loss = losses.CrossEntropy(class_weight="balanced")
        one, other = (trainer(by_loss if where == "loss" else "cross_entropy") for _ in range(2))
        more = {"class_weight": "balanced"} if where == "fit" else {}
        one.fit(X, spoiled(y), epochs=1, batch_size=ROWS, sample_weight=WEIGHT, progress=False, **more)
        other.fit(
            X[keep], y[keep], epochs=1, batch_size=99, sample_weight=WEIGHT[keep], progress=False, **more
        )
        assert one.history.loss == pytest.approx(other.history.loss, rel=1e-12)


def test_hvp_and_full_batch_methods_take_them_too():
    y = spoiled(targets("mse", 2))
    done = trainer("mse", 2)
    v = np.ones(done.net.elements)
    found = done.net.hvp(X, y, "mse", v, sample_weight=WEIGHT)
    want = done.net.hvp(X[~GONE], y[~GONE], "mse", v, sample_weight=WEIGHT[~GONE])
    assert np.allclose(found, want, rtol=1e-10, atol=1e-12)
    made = Trainer(done.net, "mse", optimizers.LBFGS())
    assert np.isfinite(made.fit(X, y, epochs=2, sample_weight=WEIGHT, progress=False).loss).all()


def test_a_row_of_weight_zero_whose_loss_overflows_does_not_count():
    net = Network([Dense(1, bias=False)], inputs=1)
    net.set_parameters({"0.weight": [[1.0]]})
    made = Trainer(net, "poisson", optimizers.SGD(0.1))
    x, y, weight = np.array([[1.0], [1000.0]]), np.ones(2), np.array([1.0, 0.0])
    want = np.exp(1) - 1
    assert made.evaluate(x, y, weight)["loss"] == pytest.approx(want, rel=1e-6)
    loss, found = made.gradients(x, y, weight)
    assert loss == pytest.approx(want, rel=1e-6)
    assert found["0.weight"][0, 0] == pytest.approx(want, rel=1e-6)


# ---- Weights of classes ----

LABELS = np.arange(ROWS) % 3


def fitted(class_weight, loss="cross_entropy", y=LABELS, outputs=3):
    net = Network([Standardize(), Dense(outputs)], inputs=3, seed=1, dtype="float64")
    made = Trainer(net, loss, optimizers.SGD(0.1))
    made.fit(X, y, epochs=2, batch_size=8, class_weight=class_weight, progress=False)
    return made.history.loss


@pytest.mark.parametrize(
    "given",
    [
        [2.0, 1.0, 0.5], (2, 1, 0.5), np.array([2.0, 1, 0.5]), np.array([2, 1, 0.5], np.float32),
        {0: 2, 2: 0.5}, {np.int64(0): 2.0, np.int32(2): 0.5}, {0.0: 2, 2.0: 0.5},
    ],
)  # fmt: skip
def test_weights_of_classes_come_in_many_forms(given):
    assert fitted(given) == fitted({0: 2.0, 1: 1.0, 2: 0.5})


def test_a_series_goes_by_its_index():
    pd = pytest.importorskip("pandas")
    assert fitted(pd.Series([0.5, 2.0], index=[2, 0])) == fitted({0: 2.0, 2: 0.5})


def test_true_and_false_are_classes():
    y = LABELS == 1
    loss = "binary_cross_entropy"
    assert fitted({True: 3.0}, loss, y, 1) == fitted({1: 3.0}, loss, y, 1) == fitted([1, 3], loss, y, 1)


def test_balanced_leaves_out_ignored_rows():
    y = np.where(LABELS == 2, -100, LABELS)
    loss = losses.CrossEntropy(ignore_index=-100)
    counts = np.bincount(y[y >= 0])
    want = {c: counts.sum() / (2 * counts[c]) for c in (0, 1)}
    assert fitted("balanced", loss, y) == pytest.approx(fitted(want, loss, y), rel=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([1.0, 2.0], ShapeError, r"expected 3 numbers, one for each class, got shape \(2,\)"),
        (np.ones((3, 1)), ShapeError, r"expected 3 numbers, one for each class, got shape \(3, 1\)"),
        ([1.0, -2.0, 1.0], ArgumentError, r"class_weight\[1\]: expected a number >= 0, got -2"),
        ([1.0, np.nan, 1.0], ArgumentError, r"expected finite values, got nan at \[1\]"),
        (["a", "b", "c"], DTypeError, "expected real numbers"),
        ({"cat": 2.0}, ArgumentError, "expected classes as they are in y, integers, got the text 'cat'"),
        ({0.5: 2.0}, DTypeError, "class: expected an integer, got 0.5"),
        ({float("nan"): 2.0}, DTypeError, "class: expected an integer, got nan"),
        ({3: 2.0}, ArgumentError, r"expected classes in 0\.\.2, got 3"),
        ({-1: 2.0}, ArgumentError, "class: expected an integer >= 0, got -1"),
        ({0: "2"}, DTypeError, r"class_weight\[0\]: expected a number, got '2'"),
        ("even", ArgumentError, "expected one of balanced, got 'even'"),
        (2.0, DTypeError, "expected a dict, 3 numbers or 'balanced', got a float"),
        (np.broadcast_to(1.0, 2**40), ShapeError, "expected 3 numbers"),
        ([0.0, 0.0, 0.0], ArgumentError, "expected a positive sum over the training rows"),
    ],
)
def test_bad_weights_of_classes_are_named(given, error, message):
    with pytest.raises(error, match=message):
        fitted(given)
