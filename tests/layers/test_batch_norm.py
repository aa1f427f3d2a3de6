"""BatchNorm: PyTorch's numbers, running averages, what leaves them alone, folding, bits. And the row norms
against PyTorch."""

import pickle

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import ArgumentError, BatchNorm, Dense, DTypeError, Network, Trainer, optimizers
from oracle import exact
from support import assert_same, cases, digest, norm_error, raw
from vectors import make_norm as peer

with np.load(peer.PATH) as file:
    VECTORS = dict(file)
AFFINE = dict(zip(("0.gamma", "0.beta"), peer.affine(), strict=True))


def layer_net(kind, options, **more):
    net = Network([getattr(gradcore, kind)(**options)], inputs=peer.WIDTH, dtype="float64", **more)
    net.set_parameters({name: value for name, value in AFFINE.items() if name in net.parameters()})
    return net


def assert_batch(net, name, rows, key, training):
    x, d = peer.arrays(rows, key)
    assert norm_error(net.forward(x, training=training), VECTORS[f"{name}.y"]) < 1e-12
    # two rows are mapped to +-1: what is left of the derivative has lost digits everywhere
    assert np.abs(net.backward(d) - VECTORS[f"{name}.dx"]).max() < 1e-12
    for role, value in net.gradients().items():
        assert norm_error(value, VECTORS[f"{name}.{role[2:]}"]) < 1e-12


@pytest.mark.parametrize("name", peer.ROW_NORMS)
@pytest.mark.quick
def test_row_norms_are_pytorchs(name):
    assert_batch(layer_net(*peer.ROW_NORMS[name][2:]), name, 9, 0, training=True)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", peer.BATCH_NORMS)
@pytest.mark.quick
def test_batch_norm_is_pytorchs(name, threads):
    """Training batches one after the other, then evaluation."""
    net = layer_net("BatchNorm", peer.BATCH_NORMS[name][1], threads=threads)
    trainer = Trainer(net, "mse", optimizers.SGD(1e-300))  # no weight changes
    for key, rows in enumerate(peer.ROWS):
        assert_batch(net, f"{name}.{key}", rows, key, training=True)
        trainer.step(peer.arrays(rows, key)[0], np.zeros((rows, peer.WIDTH)))
        for role in ("running_mean", "running_var"):
            assert norm_error(net.parameters()[f"0.{role}"], VECTORS[f"{name}.{key}.{role}"]) < 1e-12
    assert_batch(net, f"{name}.eval", 9, 9, training=False)
    assert norm_error(net.predict(peer.arrays(9, 9)[0]), VECTORS[f"{name}.eval.y"]) < 1e-12


# ---- Kernels ----


def run_kernels(kernels, x, d, gamma, beta):
    rows, cols = x.shape
    mean, variance, plain, along = np.zeros((4, cols))
    y, dx = np.zeros_like(x), np.zeros_like(x)
    kernels.batch_moments(rows, cols, x, cols, mean, variance)
    about = (rows, cols, cols, 1e-5, mean, variance, gamma, beta)
    kernels.batch_forward(*about, x, y)
    kernels.batch_sums(*about, d, x, plain, along)
    kernels.batch_backward(*about, d, x, plain, along, rows, dx)
    return y, dx, plain, along, mean, variance


@pytest.mark.parametrize("rows", [2, 3, 63, 64, 65, 129, 1000])
@pytest.mark.parametrize("cols", [1, 7, 8, 9, 15, 16, 17, 61])
def test_kernels_are_the_oracle_and_agree_to_the_bit(dtype, rows, cols):
    x, d = (cases.normal((rows, cols), dtype, name, cols) + 3 for name in "xd")
    x, d = x.astype(dtype), d.astype(dtype)
    gamma, beta = (cases.normal(cols, dtype, name, cols) for name in ("gamma", "beta"))
    wide = {"gamma": gamma, "beta": beta, "running_mean": beta, "running_var": gamma}
    net = oracle.Net(
        [cases.batch_norm()], {f"0.{k}": v.astype(np.float64) for k, v in wide.items()}, training=True
    )
    want = [net.forward(x), net.backward(d), net.gradients["0.beta"], net.gradients["0.gamma"]]
    results = [run_kernels(raw.Kernels(isa, dtype), x, d, gamma, beta) for isa in gradcore.names("isa")]
    terms = np.abs(d * gamma).max() / net.kept["0"][1].min()
    bar = 1e-13 if dtype == "float64" else 1e-5
    for value, exactly, size in zip(results[0], want, (10, terms, rows * 5, rows * 5), strict=False):
        assert np.abs(value - exactly).max() <= bar * size
    for other in results[1:]:
        for value, first in zip(other, results[0], strict=True):
            assert exact.same_bits(value, first)


@pytest.mark.parametrize(("mean", "deviation"), [(1e6, 1.0), (-1e4, 1e-2), (0.0, 1e-12), (0.0, 1e18)])
def test_columns_far_from_zero_and_of_any_size(dtype, mean, deviation):
    x = (mean + deviation * cases.normal((200, 5), "float64", "x")).astype(dtype)
    net = Network([BatchNorm(eps=1e-30)], inputs=5, dtype=dtype)
    about = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    want = about / np.sqrt((about**2).mean(axis=0) + 1e-30)
    bar = 1e-6 if dtype == "float32" else max(1e-13, 1e-14 * abs(mean) / deviation)
    assert norm_error(net.forward(x, training=True), want) < bar


def test_a_constant_column_gives_beta(dtype):
    net = Network([BatchNorm()], inputs=3, dtype=dtype)
    net.set_parameters({"0.beta": [1, 2, 3]})
    x = np.full((40, 3), [0.0, 1e6, -3.1], dtype)
    assert np.abs(net.forward(x, training=True) - [1, 2, 3]).max() < 1e-12
    assert np.isfinite(net.backward(np.ones((40, 3)))).all()


# ---- Running averages ----


def small(dtype="float64", **options):
    """A network with two BatchNorms, its data, a trainer."""
    layers = [cases.dense(12), cases.batch_norm(**options), cases.activation("relu"), cases.batch_norm()]
    net = cases.network(gradcore, [*layers, cases.dense(3)], 5, seed=4, dtype=dtype)
    x, y = cases.normal((70, 5), dtype, "x"), np.arange(70) % 3
    return Trainer(net, "cross_entropy", optimizers.Adam(0.01)), x, y


def running(net):
    return {k: v for k, v in net.parameters().items() if "running" in k or k.endswith("batches")}


@pytest.mark.quick
def test_steps_move_them_as_the_oracle_does():
    for options in ({}, {"momentum": None}, {"momentum": 1.0}):
        trainer, x, y = small(**options)
        for rows in (70, 13, 2):
            layers = [{"kind": "dense"}, cases.batch_norm(**options), cases.activation("relu")]
            layers += [cases.batch_norm(), {"kind": "dense"}]
            expected = oracle.Net(layers, trainer.net.parameters(), training=True)
            expected.forward(x[:rows])
            trainer.step(x[:rows], y[:rows])
            for name, value in running(trainer.net).items():
                assert norm_error(value, expected.kept[name]) < 1e-12


def test_what_is_no_applied_update_leaves_them_alone(dtype):
    trainer, x, y = small(dtype)
    trainer.step(x, y)
    before = trainer.net.parameters()
    trainer.gradients(x, y)
    trainer.net.forward(x, training=True)
    trainer.net.predict(x)
    trainer.evaluate(x, y)
    bad = x.copy()
    bad[3, 2] = np.nan
    trainer.step(bad, y)  # skipped
    assert trainer.skipped == 1
    assert_same(trainer.net.parameters(), before)
    propagating = Trainer(trainer.net, "cross_entropy", optimizers.SGD(0.1), nonfinite="propagate")
    propagating.step(bad, y)
    assert np.isnan(running(trainer.net)["1.running_mean"]).any()


def test_an_update_refused_with_a_way_back_leaves_them_alone():
    trainer, x, _ = small("float32")
    before = trainer.net.parameters()
    huge = Trainer(trainer.net, "mse", optimizers.SGD(3e38))
    huge.step(x, np.full((70, 3), 1e3))
    assert huge.skipped == 1
    assert_same(trainer.net.parameters(), before)


def test_a_batch_of_one_uses_the_running_averages():
    trainer, x, y = small()
    trainer.fit(x, y, epochs=2, batch_size=23, progress=False)  # 70 = 3 * 23 + 1
    net, before = trainer.net, running(trainer.net)
    assert exact.same_bits(net.forward(x[:1], training=True), net.predict(x[:1]))
    trainer.step(x[:1], y[:1])
    assert_same(running(net), before)


def test_a_row_is_predicted_alone_as_in_a_batch(dtype):
    trainer, x, y = small(dtype)
    trainer.fit(x, y, epochs=3, batch_size=16, progress=False)
    whole = trainer.net.predict(x)
    assert exact.same_bits(np.concatenate([trainer.net.predict(row[None]) for row in x]), whole)
    assert exact.same_bits(trainer.net.forward(x), whole)


def test_variances_beyond_the_type_stay_finite():
    net = Network([BatchNorm(), Dense(2)], inputs=1, dtype="float32")
    x = np.array([[-3e38], [3e38]], np.float32)
    Trainer(net, "mse", optimizers.SGD(1e-30)).step(x, np.zeros((2, 2)))
    assert np.isfinite(running(net)["0.running_var"]).all()


@pytest.mark.parametrize(
    "layers", [[Dense(3), BatchNorm(scale=False, shift=False)], [Dense(3, bias=False, spectral_norm=True)]]
)
def test_gradients_of_single_rows_are_refused_where_rows_meet(layers):
    trainer = Trainer(
        Network(layers, inputs=2), "mse", optimizers.SGD(0.1), clip=gradcore.clipping.PerExample(1.0)
    )
    with pytest.raises(ArgumentError, match="without batch, weight or spectral"):
        trainer.step(np.ones((4, 2)), np.ones((4, 3)))


def test_they_are_checked_when_set():
    trainer, _, _ = small()
    with pytest.raises(ArgumentError, match=r"1.running_var: expected numbers of at least 0, got -1.0"):
        trainer.net.set_parameters({"1.running_var": np.full(12, -1.0)})


def test_files_and_pickles_keep_them(tmp_path):
    trainer, x, y = small(momentum=None)
    trainer.fit(x, y, epochs=2, batch_size=16, progress=False)
    trainer.net.save(tmp_path / "net")
    trainer.save(tmp_path / "trainer")
    for again in (
        Network.load(tmp_path / "net"),
        pickle.loads(pickle.dumps(trainer.net)),
        trainer.net.clone(),
    ):
        assert_same(again.parameters(), trainer.net.parameters())
    resumed = Trainer.load(tmp_path / "trainer")
    for one in (trainer, resumed):
        one.fit(x, y, epochs=2, batch_size=16, progress=False)
    assert_same(resumed.net.parameters(), trainer.net.parameters())
    assert running(resumed.net)["1.batches"] == 20


# ---- Bits ----


@pytest.mark.parametrize("rows", [2, 3, 130, 600, 1100])
def test_bits_do_not_depend_on_threads(dtype, rows):
    """Fewer rows than threads, one block of KC, more, and tall batches whose gradients are kept apart."""
    layers = [cases.dense(70, "tanh"), cases.batch_norm(), cases.dense(33), cases.batch_norm(momentum=None)]
    x, y = cases.normal((rows, 12), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        for isa in gradcore.names("isa") if threads == 2 else [None]:
            net = cases.network(
                gradcore, [*layers, cases.dense(3)], 12, dtype=dtype, threads=threads, isa=isa
            )
            trainer = Trainer(net, "mse", optimizers.SGD(0.1))
            for _ in range(2):
                trainer.step(x, y)
            _, gradients = trainer.gradients(x, y)
            _, d = gradcore.kernels.mse(net.forward(x, training=True), y, gradient=True)
            d_x = net.backward(d)
            assert_same(net.gradients(), gradients)
            seen.add(digest({**gradients, **net.parameters(), "d_x": d_x}))
    assert len(seen) == 1


# ---- Folding ----


def test_a_folded_network_predicts_the_same(dtype):
    block = cases.residual(
        cases.batch_norm(), cases.dense(9, "tanh"), cases.dense(9, bias=False), cases.batch_norm()
    )
    layers = [
        cases.standardize(), cases.batch_norm(), cases.dense(9), cases.batch_norm(scale=False),
        cases.activation("relu"), block, cases.dense(7, "gelu"), cases.batch_norm(shift=False),
        cases.activation("tanh"), cases.batch_norm(momentum=None), cases.dense(3, bias=False),
    ]  # fmt: skip
    net = cases.network(gradcore, layers, 5, dtype=dtype)
    trainer = Trainer(net, "cross_entropy", optimizers.Adam(0.05))
    x, y = cases.normal((90, 5), dtype, "x") * 4 + 2, np.arange(90) % 3
    trainer.fit(x, y, epochs=20, batch_size=16, progress=False)
    folded = net.fold_batchnorm()
    kinds = [type(inner).__name__ for layer in folded.layers for _, inner in layer.walk("")]
    assert kinds.count("BatchNorm") == 1  # between GELU and tanh there is no Dense to take it
    assert norm_error(folded.predict(x), net.predict(x)) < (1e-13 if dtype == "float64" else 1e-5)
    assert digest(net.fold_batchnorm().parameters()) == digest(folded.parameters())


BAD_OPTIONS = [
    ({"momentum": 0}, ArgumentError, "BatchNorm: momentum: expected a number in (0, 1] or None, got 0.0"),
    ({"momentum": 1.1}, ArgumentError, "BatchNorm: momentum: expected a number in (0, 1] or None, got 1.1"),
    ({"momentum": "0.1"}, DTypeError, "BatchNorm: momentum: expected a number"),
    ({"eps": 0}, ArgumentError, "BatchNorm: eps: expected a number from 1e-30 to 1, got 0.0"),
    ({"scale": 1}, DTypeError, "BatchNorm: scale: expected True or False"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error) as caught:
        BatchNorm(**options)
    assert message in str(caught.value)
