"""Codes that name no row of their table: refused at every door, with row, column, code and table."""

import numpy as np
import pytest
from gradcore import ArgumentError, Dense, Embedding, Heads, Network, Standardize, Trainer, optimizers, search
from oracle import exact
from support import assert_same, cases

BAD = [-1.0, 5.0, 0.5, np.nan, np.inf, -np.inf, 1e30]


def data(rows, dtype="float32"):
    x = cases.normal((rows, 4), dtype, "x")
    x[:, 1] = np.arange(rows) % 5
    x[:, 3] = np.arange(rows) % 300
    return x, cases.normal((rows, 3), dtype, "y")


def make(dtype="float32", before=()):
    layers = [*before, Embedding({1: (5, 3), 3: (300, 2)}), Dense(3)]
    return Network(layers, inputs=4, dtype=dtype, seed=3)


DOORS = {
    "predict": lambda t, x, y: t.net.predict(x),
    "forward": lambda t, x, y: t.net.forward(x),
    "activations": lambda t, x, y: t.net.activations(x),
    "evaluate": lambda t, x, y: t.evaluate(x, y),
    "gradients": lambda t, x, y: t.gradients(x, y),
    "step": lambda t, x, y: t.step(x, y),
    "step with weights": lambda t, x, y: t.step(x, y, np.ones(len(x))),
    "fit": lambda t, x, y: t.fit(x, y, epochs=1, batch_size=8, progress=False),
    "fit in order": lambda t, x, y: t.fit(x, y, epochs=1, batch_size=8, shuffle=False, progress=False),
    "fit with a share": lambda t, x, y: t.fit(x, y, epochs=1, batch_size=8, validation=0.5, progress=False),
    "line search": lambda t, x, y: search.line_search_fit(t.net, x, y, loss="mse", steps=1),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("code", BAD)
def test_every_door_refuses_it_and_nothing_changes(door, code, dtype):
    x, y = data(40, dtype)
    trainer = Trainer(make(dtype), "mse", optimizers.Adam())
    trainer.step(x, y)
    before = trainer.net.parameters()
    wrong = x.copy()
    wrong[7, 1] = code
    finite = "fit" in door or door in ("evaluate", "gradients", "line search")
    pattern = r"X\[7, 1\]: expected a code from 0 to 4, a row of the table 0\.1\.table \(5 rows\), got "
    if finite and not np.isfinite(code):
        pattern = r"X: expected finite values, got -?(nan|inf) at \[7, 1\]"
    with pytest.raises(ArgumentError, match=pattern):
        DOORS[door](trainer, wrong, y)
    assert_same(trainer.net.parameters(), before)
    assert trainer.steps == 1 and trainer.skipped == 0
    DOORS[door](trainer, x, y)


@pytest.mark.parametrize("make_it", [np.float64, np.int64, list])
def test_other_arrays_are_refused_alike(make_it):
    x, y = data(20)
    x = np.floor(x) + 3
    x[4, 3] = 300
    given = x.tolist() if make_it is list else x.astype(make_it)
    trainer = Trainer(make(), "mse", optimizers.Adam())
    with pytest.raises(
        ArgumentError, match=r"X\[[0-9]+, 1\]|X\[4, 3\]: .* 0\.3\.table \(300 rows\), got 300$"
    ):
        trainer.net.predict(given)


def test_behind_standardize_codes_are_what_was_given(dtype):
    x, y = data(60, dtype)
    net = make(dtype, [Standardize()])
    trainer = Trainer(net, "mse", optimizers.Adam())
    wrong = x.copy()
    wrong[50, 3] = 301
    with pytest.raises(ArgumentError, match=r"X\[50, 3\]: .* 1\.3\.table \(300 rows\), got 301$"):
        trainer.fit(wrong, y, epochs=1, batch_size=8, progress=False)
    assert not net._model.standardized
    trainer.fit(x, y, epochs=1, batch_size=8, progress=False)
    with pytest.raises(ArgumentError, match=r"X\[50, 3\]"):
        net.predict(wrong)


def test_validation_names_its_own_rows():
    x, y = data(20)
    wrong = x[:5].copy()
    wrong[2, 1] = 9
    trainer = Trainer(make(), "mse", optimizers.Adam())
    with pytest.raises(ArgumentError, match=r"^validation X\[2, 1\]: expected a code from 0 to 4"):
        trainer.fit(x, y, epochs=1, batch_size=8, validation=(wrong, y[:5]), progress=False)
    assert trainer.steps == 0


def test_with_heads():
    x, y = data(20)
    layers = [Embedding({1: (5, 3)}), Heads({"a": Dense(3), "b": Dense(1)})]
    net = Network(layers, inputs=4)
    trainer = Trainer(net, {"a": "mse", "b": "mse"}, optimizers.Adam())
    targets = {"a": y, "b": y[:, 0]}
    x[3, 1] = -1
    for call in (
        lambda: net.predict(x),
        lambda: trainer.step(x, targets),
        lambda: trainer.evaluate(x, targets),
        lambda: trainer.fit(x, targets, epochs=1, batch_size=8, progress=False),
    ):
        with pytest.raises(ArgumentError, match=r"X\[3, 1\]: .* got -1$"):
            call()


@pytest.mark.slow
def test_a_large_code_is_written_out_and_the_largest_is_taken():
    net = Network([Embedding({0: (2**24, 1)})], inputs=1)
    net.predict([[2**24 - 1]])
    with pytest.raises(ArgumentError, match=r"from 0 to 16777215, .* got 16777216$"):
        net.predict([[2**24]])


def test_other_columns_may_be_nan_in_prediction(dtype):
    x, _ = data(9, dtype)
    want = make(dtype).predict(x)
    x[2, 0] = np.nan
    got = make(dtype).predict(x)
    assert np.isnan(got[2]).all()
    assert exact.same_bits(np.delete(got, 2, axis=0), np.delete(want, 2, axis=0))
