"""Tables with named columns: names are learnt, columns put in order, types mixed, what is missing named."""

import pickle

import numpy as np
import pytest
from gradcore import ArgumentError, Dense, Heads, Network, Standardize, Trainer, errors, optimizers
from oracle import exact
from support import cases

pd = pytest.importorskip("pandas")

NAMES = ["age", "height", "mass"]
ORDER = ["mass", "age", "height"]


def frame(rows=40, names=NAMES):
    return pd.DataFrame(cases.normal((rows, 3), "float64", "x"), columns=NAMES)[list(names)]


def target(x):
    return x["age"].to_numpy() - 2 * x["mass"].to_numpy()


def make(**more):
    return Trainer(
        Network([Dense(5, "tanh"), Dense(1)], inputs=3, seed=1), "mse", optimizers.Adam(0.01), **more
    )


def fit(trainer, x, y, **more):
    return trainer.fit(x, y, epochs=2, batch_size=8, progress=False, **more)


def arrow(table):
    pa = pytest.importorskip("pyarrow")
    return pa.Table.from_pandas(table, preserve_index=False)


def polars(table):
    return pytest.importorskip("polars").DataFrame({name: table[name].to_numpy() for name in table.columns})


FORMS = {"pandas": lambda table: table, "arrow": arrow, "polars": polars}


@pytest.mark.parametrize("form", FORMS)
def test_columns_in_another_order_are_put_in_order(form):
    x, form = frame(), FORMS[form]
    y = target(x)
    trainer, other = make(), make()
    fit(trainer, form(x), y, validation=(form(x[ORDER]), y))
    fit(other, x.to_numpy(), y, validation=(x.to_numpy(), y))
    assert trainer.net.columns == tuple(NAMES)
    assert trainer.history.loss == other.history.loss
    assert trainer.history.val_loss == other.history.val_loss
    shuffled, plain = form(x[ORDER]), x.to_numpy()
    net = trainer.net
    assert exact.same_bits(net.predict(shuffled), other.net.predict(plain))
    assert exact.same_bits(net.forward(shuffled), other.net.forward(plain))
    assert exact.same_bits(net.activations(shuffled)["0"], other.net.activations(plain)["0"])
    assert trainer.evaluate(shuffled, y) == other.evaluate(plain, y)
    assert trainer.gradients(shuffled, y)[0] == other.gradients(plain, y)[0]
    assert trainer.step(shuffled, y) == other.step(plain, y)
    fit(trainer, shuffled, y)
    fit(other, plain, y)
    assert trainer.history.loss == other.history.loss
    assert exact.same_bits(net.predict(plain), other.net.predict(plain)), "arrays go by position"


DOORS = {
    "predict": lambda t, x: t.net.predict(x),
    "forward": lambda t, x: t.net.forward(x),
    "activations": lambda t, x: t.net.activations(x),
    "evaluate": lambda t, x: t.evaluate(x, np.zeros(len(x))),
    "gradients": lambda t, x: t.gradients(x, np.zeros(len(x))),
    "step": lambda t, x: t.step(x, np.zeros(len(x))),
    "fit": lambda t, x: fit(t, x, np.zeros(len(x))),
    "validation": lambda t, x: fit(t, frame(), target(frame()), validation=(x, np.zeros(len(x)))),
    "hvp": lambda t, x: t.net.hvp(x, np.zeros(len(x)), "mse", np.zeros(t.net.elements)),
}
WRONG = {
    "missing": (frame().drop(columns="mass"), "none named 'mass'"),
    "renamed": (frame().rename(columns={"mass": "Mass"}), "none named 'mass' and also 'Mass'"),
    "one more": (frame().assign(weight=1.0), "also 'weight'"),
    "twice": (pd.concat([frame(), frame()[["age"]]], axis=1), "got 'age' twice"),
    "numbers": (frame().set_axis([2, 0, 1], axis=1), "none named 'age', 'height', 'mass' and also 2, 0, 1"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", WRONG)
def test_other_columns_are_refused_at_every_door(door, wrong):
    trainer = make()
    fit(trainer, frame(), target(frame()))
    table, message = WRONG[wrong]
    before = trainer.net.predict(frame())
    with pytest.raises(ArgumentError, match=message) as caught:
        DOORS[door](trainer, table)
    assert str(caught.value).startswith("validation X: " if door == "validation" else "X: ")
    assert trainer.net.columns == tuple(NAMES)
    assert exact.same_bits(trainer.net.predict(frame()), before)


def test_validation_of_a_first_fit_goes_by_the_names_of_its_rows():
    trainer = make()
    with pytest.raises(ArgumentError, match="^validation X: expected the columns 'age', 'height', 'mass'"):
        fit(trainer, frame(), target(frame()), validation=(WRONG["renamed"][0], target(frame())))
    assert trainer.net.columns is None and trainer.steps == 0


def test_names_travel_with_files_and_copies(tmp_path):
    trainer = make()
    fit(trainer, frame(), target(frame()))
    net = trainer.net
    net.save(tmp_path / "net")
    trainer.save(tmp_path / "trainer")
    for other in (
        Network.load(tmp_path / "net"), net.clone(), pickle.loads(pickle.dumps(net)), net.fold_batchnorm(),
        Trainer.load(tmp_path / "trainer").net, pickle.loads(pickle.dumps(trainer)).net,
    ):  # fmt: skip
        assert other.columns == tuple(NAMES)
        assert exact.same_bits(other.predict(frame(names=ORDER)), net.predict(frame()))
    assert net.summary().splitlines()[-1] == "columns 'age', 'height', 'mass'"


def test_step_and_standardize_learn_names_too():
    trainer = make()
    trainer.step(frame(), target(frame()))
    assert trainer.net.columns == tuple(NAMES)
    net = Network([Standardize()], inputs=3)
    net.standardize(frame())
    assert net.columns == tuple(NAMES)
    assert exact.same_bits(net.predict(frame(names=ORDER)), net.predict(frame()))


def test_what_only_reads_learns_nothing():
    trainer = make()
    trainer.net.predict(frame())
    trainer.evaluate(frame(), target(frame()))
    trainer.gradients(frame(), target(frame()))
    assert trainer.net.columns is None


def test_names_are_forgotten_and_set_by_hand():
    net = make().net
    net.columns = NAMES
    assert exact.same_bits(net.predict(frame(names=ORDER)), net.predict(frame().to_numpy()))
    net.columns = None
    assert exact.same_bits(net.predict(frame(names=ORDER)), net.predict(frame(names=ORDER).to_numpy()))
    for bad, error in (
        ("abc", errors.DTypeError), (["a", "b"], errors.ShapeError), (["a", "b", "a"], ArgumentError),
        (["a", "b", 2.5], errors.DTypeError), (3, errors.DTypeError), ([True, 1, 2], errors.DTypeError),
    ):  # fmt: skip
        with pytest.raises(error, match="^columns: expected"):
            net.columns = bad
        assert net.columns is None


def test_numbered_columns():
    x = cases.normal((20, 3), "float64", "x")
    numbered = pd.DataFrame(x)
    trainer = make()
    fit(trainer, numbered, x[:, 0])
    want = trainer.net.predict(x)
    assert exact.same_bits(trainer.net.predict(numbered[[2, 0, 1]]), want)
    assert exact.same_bits(trainer.net.predict(pd.DataFrame(x, columns=NAMES)), want), (
        "they were only numbered"
    )
    named = make()
    fit(named, pd.DataFrame(x, columns=NAMES), x[:, 0])
    assert exact.same_bits(named.net.predict(numbered), want), "without names they go by position"
    years = make()
    fit(years, pd.DataFrame(x, columns=[2019, 2020, 2021]), x[:, 0])
    assert years.net.columns == (2019, 2020, 2021)
    assert exact.same_bits(
        years.net.predict(pd.DataFrame(x, columns=[2019, 2020, 2021])[[2021, 2019, 2020]]), want
    )


def test_names_of_other_kinds_are_kept_as_texts(tmp_path):
    x = cases.normal((20, 3), "float64", "x")
    table = pd.DataFrame(x, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]))
    trainer = make()
    fit(trainer, table, x[:, 0])
    trainer.net.save(tmp_path / "net")
    net = Network.load(tmp_path / "net")
    assert exact.same_bits(net.predict(table.iloc[:, [2, 0, 1]]), trainer.net.predict(x))


def test_twice_the_same_name_is_refused_before_anything_is_learnt():
    table = pd.DataFrame(np.ones((5, 3)), columns=["a", "b", "a"])
    trainer = make()
    with pytest.raises(ArgumentError, match="^X: expected different column names, got 'a' twice"):
        fit(trainer, table, np.ones(5))
    assert trainer.net.columns is None


def test_standardize_and_heads_go_with_names():
    net = Network([Standardize(), Heads({"a": Dense(1), "b": Dense(1)})], inputs=3)
    trainer = Trainer(net, {"a": "mse", "b": "mse"}, optimizers.Adam())
    y = {"a": np.zeros(40), "b": np.ones(40)}
    fit(trainer, frame(), y, validation=(frame(names=ORDER), y))
    one, other = net.predict(frame()), net.predict(frame(names=ORDER))
    assert all(exact.same_bits(one[name], other[name]) for name in one)


# ---- Types side by side ----


def mixed(rows=12):
    return pd.DataFrame(
        {
            "flag": np.arange(rows) % 3 == 0,
            "whole": pd.array(np.arange(rows), dtype="Int64"),
            "maybe": pd.array(np.arange(rows) % 2 == 0, dtype="boolean"),
            "narrow": np.linspace(0, 1, rows, dtype=np.float32),
            "real": np.linspace(-1, 1, rows),
            "nullable": pd.array(np.linspace(2, 3, rows), dtype="Float64"),
        }
    )


def test_flags_integers_and_nullable_columns_stand_beside_floats(dtype):
    table = mixed()
    net = Network([Dense(2)], inputs=6, dtype=dtype)
    want = np.stack([np.asarray(table[name], float) for name in table], axis=1)
    assert exact.same_bits(net.predict(table), net.predict(want))
    one_hot = pd.get_dummies(pd.DataFrame({"town": ["Oslo", "Bern", "Oslo"], "size": [1.5, 2.0, 3.0]}))
    net = Network([Dense(2)], inputs=3, dtype=dtype)
    assert exact.same_bits(net.predict(one_hot), net.predict([[1.5, 0, 1], [2, 1, 0], [3, 0, 1]]))
    category = pd.DataFrame({"a": pd.Categorical([3, 1, 3]), "b": [True, False, True], "c": [0.5, 1, 2]})
    assert exact.same_bits(net.predict(category), net.predict([[3, 1, 0.5], [1, 0, 1], [3, 1, 2]]))


def test_arrow_columns_of_different_types():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [True, False, None], "b": [1, 2, 3], "c": [0.5, None, 1.0]})
    net = Network([Standardize()], inputs=3)
    y = net.predict(table)
    assert exact.same_bits(y, np.array([[1, 1, 0.5], [0, 2, np.nan], [np.nan, 3, 1]], np.float32))
    backed = table.to_pandas(types_mapper=pd.ArrowDtype)
    assert exact.same_bits(net.predict(backed), y)


@pytest.mark.parametrize("name", ["whole", "maybe", "nullable", "real"])
def test_what_is_missing_is_refused_by_its_column(name):
    table = mixed()
    table.loc[4, name] = np.nan if name == "real" else pd.NA
    trainer = Trainer(Network([Dense(1)], inputs=6), "mse", optimizers.Adam())
    at = list(table).index(name)
    with pytest.raises(
        ArgumentError, match=rf"^X: expected finite values, got nan at \[4, {at}\], column '{name}'$"
    ):
        fit(trainer, table, np.zeros(12))
    assert np.isnan(trainer.net.predict(table)[:, 0]).tolist() == [row == 4 for row in range(12)]


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (["a"] * 12, "got dtype (str|object|string) in column 'bad'; turn texts into numbers first"),
        (pd.date_range("2020", periods=12), r"got dtype datetime64\[.*\] in column 'bad'"),
        ([None, "a"] * 6, "got dtype (str|object) in column 'bad'; turn texts"),
        ([{}] * 12, r"got dtype object in column 'bad'; turn it into numbers first"),
        (np.ones(12, complex), "got dtype complex128 in column 'bad'"),
    ],
)
def test_columns_that_are_no_numbers_are_named(column, got):
    table = mixed().assign(bad=column)
    with pytest.raises(errors.DTypeError, match=f"^X: expected real numbers, {got}"):
        Network([Dense(1)], inputs=7).predict(table)


def test_series_of_nullable_targets_and_weights():
    x = frame()
    y = pd.Series(np.arange(40) % 7, dtype="Int64")
    plain, nullable = make(), make()
    fit(plain, x, np.arange(40) % 7, sample_weight=np.arange(40))
    fit(nullable, x, y, sample_weight=pd.Series(np.arange(40), dtype="Float64"))
    assert plain.history.loss == nullable.history.loss
    y[3] = pd.NA
    with pytest.raises(ArgumentError, match=r"^y: expected finite values, got nan at \[3, 0\]$"):
        fit(nullable, x, y)
    labels = Trainer(Network([Dense(7)], inputs=3), "cross_entropy", optimizers.Adam())
    fit(labels, x, pd.Series(np.arange(40) % 7, dtype="Int64"))
