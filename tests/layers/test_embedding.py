"""Embedding: codes to learned vectors, its gradients, hard codes, options, files, bits."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import (
    ArgumentError,
    Dense,
    DTypeError,
    Embedding,
    Network,
    ShapeError,
    Standardize,
    Trainer,
    optimizers,
)
from oracle import exact
from support import assert_same, cases, norm_error

COLUMNS = {1: (5, 3), 2: (2, 17), 4: (300, 20)}


def data(rows, dtype):
    x = cases.normal((rows, 6), dtype, "x")
    for column, (cardinality, _) in COLUMNS.items():
        x[:, column] = cases.generator("codes", column).integers(0, cardinality, rows)
    return x


def make(dtype, columns=COLUMNS, **more):
    return Network([Embedding(columns), Dense(9, "tanh"), Dense(3)], inputs=6, dtype=dtype, seed=3, **more)


@pytest.mark.quick
def test_codes_become_the_rows_of_their_tables(dtype):
    net, x = Network([Embedding(COLUMNS)], inputs=6, dtype=dtype), data(50, dtype)
    tables = net.parameters()
    want = [x[:, :1], tables["0.1.table"][x[:, 1].astype(int)], tables["0.2.table"][x[:, 2].astype(int)],
            x[:, 3:4], tables["0.4.table"][x[:, 4].astype(int)], x[:, 5:]]  # fmt: skip
    assert exact.same_bits(net.predict(x), np.concatenate(want, axis=1))
    assert net.outputs == 6 - 3 + 3 + 17 + 20
    assert list(net.activations(x)) == ["0"]
    assert sorted(tables) == ["0.1.table", "0.2.table", "0.4.table"]
    assert abs(tables["0.4.table"].std() - 1) < 0.05


def standardized(x):
    """By NumPy, codes apart."""
    codes = list(COLUMNS)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    scaled[:, codes] = x[:, codes]
    return scaled


def test_standardize_before_it_leaves_codes_alone(tmp_path, dtype):
    x, y = 7 * data(200, "float64") + 3, cases.normal((200, 3), dtype, "y")
    x[:, list(COLUMNS)] = data(200, "float64")[:, list(COLUMNS)]
    x = x.astype(dtype)
    nets = [
        Network([*before, Embedding(COLUMNS), Dense(9, "tanh"), Dense(3)], inputs=6, dtype=dtype, seed=3)
        for before in ((), (Standardize(),))
    ]
    behind = {f"{int(name[0]) + 1}{name[1:]}": value for name, value in nets[0].parameters().items()}
    nets[1].set_parameters(behind)
    plain, net = (Trainer(net, "mse", optimizers.SGD(0.05)) for net in nets)
    plain.fit(standardized(x.astype(float)), y, epochs=3, batch_size=50, progress=False)
    net.fit(x, y, epochs=3, batch_size=50, progress=False)
    names = net.net.parameters()
    assert exact.same_bits(names["0.mean"][[1, 2, 4]], np.zeros(3, dtype))
    assert exact.same_bits(names["0.inverse_std"][[1, 2, 4]], np.ones(3, dtype))
    assert "1.4.table" in names
    bar = {"float32": 1e-4, "float64": 1e-9}[dtype]
    assert net.history.loss == pytest.approx(plain.history.loss, rel=bar)
    net.net.save(tmp_path / "net")
    assert exact.same_bits(Network.load(tmp_path / "net").predict(x), net.net.predict(x))
    net.net.forward(x[:4], training=True)
    d_x = net.net.backward(np.ones((4, 3), dtype))
    assert (d_x[:, list(COLUMNS)] == 0).all() and (d_x[:, [0, 3, 5]] != 0).all()


@pytest.mark.parametrize("rows", [1, 33, 300, 1100])
def test_gradients_are_the_oracles_with_the_same_bits_for_any_threads(dtype, rows):
    x, y = data(rows, dtype), cases.normal((rows, 3), dtype, "y")
    layers = [{"kind": "embedding", "columns": COLUMNS}, cases.dense(9, "tanh"), cases.dense(3)]
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        for isa in gradcore.names("isa") if threads == 2 else [None]:
            net = make(dtype, threads=threads, isa=isa)
            _, gradients = Trainer(net, "mse", optimizers.SGD(0.1)).gradients(x, y)
            _, d = gradcore.kernels.mse(net.forward(x), y, gradient=True)
            d_x = net.backward(d)
            assert_same(net.gradients(), gradients)
            seen.add(tuple(value.tobytes() for value in [*gradients.values(), d_x]))
    assert len(seen) == 1
    expected = oracle.Net(layers, {k: v.astype(np.float64) for k, v in net.parameters().items()})
    _, d, _ = oracle.loss("mse", expected.forward(x), y.astype(np.float64))
    want = expected.backward(d)
    bar = 1e-12 if dtype == "float64" else 1e-5
    assert norm_error(d_x, want) < bar
    assert not d_x[:, list(COLUMNS)].any()
    for name, gradient in expected.gradients.items():
        assert norm_error(gradients[name], gradient) < bar


def test_it_learns_what_only_the_code_tells():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 40, 2000)
    x = np.stack([rng.standard_normal(2000), codes], axis=1)
    y = (codes * 7919 % 40) % 3
    net = Network([Embedding({1: (40, 8)}), Dense(16, "relu"), Dense(3)], inputs=2)
    trainer = Trainer(net, "cross_entropy", optimizers.Adam(0.01))
    trainer.fit(x, y, epochs=10, batch_size=64, progress=False)
    assert trainer.evaluate(x, y)["accuracy"] > 0.99


def test_files_keep_it(tmp_path):
    net = Network([Embedding(COLUMNS, weight_init="he_normal"), Dense(3)], inputs=6)
    net.save(tmp_path / "net")
    again = Network.load(tmp_path / "net")
    assert_same(again.parameters(), net.parameters())
    assert again.layers == net.layers
    assert repr(again) == repr(net)
    assert hash(again.layers[0]) == hash(net.layers[0])
    assert repr(Embedding({3: (4, 2), 1: (5, 1)})) == "Embedding({1: (5, 1), 3: (4, 2)})"


BAD_CALLS = [
    (lambda: Embedding({}), ArgumentError, "Embedding: columns: expected at least one column, got none"),
    (lambda: Embedding([1, 2]), DTypeError, "Embedding: columns: expected a dict of int to"),
    (lambda: Embedding({0: 5}), DTypeError, "Embedding: columns[0]: expected (cardinality, width), got 5"),
    (lambda: Embedding({0: (0, 5)}), ArgumentError, "columns[0]: cardinality: expected an integer in ["),
    (lambda: Embedding({0: (5, 0)}), ArgumentError, "columns[0]: width: expected an integer in [1,"),
    (lambda: Embedding({-1: (5, 2)}), ArgumentError, "Embedding: column: expected an integer in [0,"),
    (lambda: Embedding({"a": (5, 2)}), DTypeError, "Embedding: column: expected an integer, got 'a'"),
    (lambda: Network([Embedding({3: (5, 2)})], inputs=3), ShapeError,
     "layers[0]: expected columns from 0 to 2, got 3"),
    (lambda: Network([Dense(3), Embedding({0: (5, 2)})], inputs=3), ArgumentError,
     "layers[1]: expected Embedding only as the first layer, or right behind Standardize"),
    (lambda: Network([Standardize(), Dense(3), Embedding({0: (5, 2)})], inputs=3), ArgumentError,
     "layers[2]: expected Embedding only as the first layer, or right behind Standardize"),
    (lambda: Network([Embedding({0: (5, 2)}), Standardize()], inputs=3), ArgumentError,
     "layers[1]: expected Standardize only as the first layer"),
]  # fmt: skip


@pytest.mark.parametrize(("make_it", "error", "message"), BAD_CALLS)
def test_bad_options_are_named(make_it, error, message):
    with pytest.raises(error) as caught:
        make_it()
    assert message in str(caught.value)


def test_gradients_of_tables_are_four_point_differences():
    net = make("float64", {**COLUMNS, 4: (12, 20)})
    x, y = data(9, "float64"), cases.normal((9, 3), "float64", "y")
    x[:, 4] %= 12
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    _, gradients = trainer.gradients(x, y)
    for name, values in net.parameters().items():

        def value(name=name, values=values):
            net.set_parameters({name: values})
            return trainer.gradients(x, y)[0]

        differences = oracle.four_point(value, values)
        net.set_parameters({name: values})
        assert norm_error(gradients[name], differences) <= 1e-8, name
