"""Dense layers with weight or spectral normalisation: PyTorch's formulas, state, files, bits, bad input."""

import pickle

import gradcore
import numpy as np
import pytest
from gradcore import ArgumentError, Dense, DTypeError, Network, Trainer, _core, optimizers
from oracle.layers import power_iteration
from support import assert_same, cases, norm_error

OPTIONS = ({"weight_norm": True}, {"spectral_norm": True})


def net_of(option, dtype="float64", **more):
    layers = [Dense(40, "gelu", **option), Dense(33, "tanh", bias=False, **option), Dense(3, **option)]
    return Network(layers, inputs=12, dtype=dtype, seed=4, **more)


def test_weight_norm_begins_as_the_layer_without_it(dtype):
    plain = Network(
        [Dense(40, "gelu"), Dense(33, "tanh", bias=False), Dense(3)], inputs=12, dtype=dtype, seed=4
    )
    net = net_of({"weight_norm": True}, dtype)
    net.set_parameters({"0.weight": plain.parameters()["0.weight"]})
    x = cases.normal((30, 12), dtype, "x")
    first = net.activations(x)["0"]
    assert norm_error(first, plain.activations(x)["0"]) < (1e-14 if dtype == "float64" else 1e-6)
    assert list(net.activations(x)) == ["0", "1", "2"]  # one position a layer
    assert list(net.parameters())[:3] == ["0.weight", "0.magnitude", "0.bias"]


def test_spectral_norm_makes_the_largest_singular_value_one(dtype):
    net = Network([Dense(40, spectral_norm=True, bias=False)], inputs=12, dtype=dtype, seed=4)
    values = net.parameters()
    left, w, right = (values[f"0.{name}"].astype(np.float64) for name in ("left", "weight", "right"))
    sigma = np.linalg.svd(w, compute_uv=False)[0]
    assert left @ w @ right == pytest.approx(sigma, rel=0.05)  # 15 iterations of a matrix without structure
    assert abs(np.linalg.norm(left) - 1) < 1e-6
    got = net.predict(np.eye(12))
    assert norm_error(got, w / (left @ w @ right)) < (1e-14 if dtype == "float64" else 1e-6)


def test_an_applied_update_is_followed_by_one_iteration(dtype):
    net = Network([Dense(40, spectral_norm=True), Dense(2)], inputs=12, dtype=dtype, seed=4)
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    x, y = cases.normal((30, 12), dtype, "x"), cases.normal((30, 2), dtype, "y")
    for _ in range(5):
        before = net.parameters()
        trainer.gradients(x, y)
        net.forward(x, training=True)
        assert_same(net.parameters(), before)
        trainer.step(x, y)
        after = net.parameters()
        left, right = power_iteration(
            after["0.weight"].astype(np.float64), before["0.left"].astype(np.float64)
        )
        bar = 1e-13 if dtype == "float64" else 1e-5
        assert norm_error(after["0.left"], left) < bar
        assert norm_error(after["0.right"], right) < bar
    before = net.parameters()
    trainer.step(np.full_like(x, np.nan), y)
    assert trainer.skipped == 1
    assert_same(net.parameters(), before)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("rows", [1, 130, 600, 1100])
def test_bits_do_not_depend_on_threads_or_instruction_sets(dtype, rows, option):
    x, y = cases.normal((rows, 12), dtype, "x"), cases.normal((rows, 3), dtype, "y")
    seen = set()
    for threads in (1, 2, 3, 5, 8):
        for isa in gradcore.names("isa") if threads == 3 else [None]:
            net = net_of(option, dtype, threads=threads, isa=isa)
            trainer = Trainer(net, "mse", optimizers.Adam(0.01))
            for _ in range(3):
                trainer.step(x, y)
            _, gradients = trainer.gradients(x, y)
            _, d = gradcore.kernels.mse(net.forward(x), y, gradient=True)
            net.backward(d)
            assert_same(net.gradients(), gradients)
            predictions = net.predict(x)
            seen.add(
                tuple(v.tobytes() for v in [*gradients.values(), *net.parameters().values(), predictions])
            )
    assert len(seen) == 1


@pytest.mark.parametrize("option", OPTIONS)
def test_files_pickles_and_checkpoints_keep_their_state(tmp_path, option):
    trainer = Trainer(net_of(option), "cross_entropy", optimizers.Adam(0.01))
    x, y = cases.normal((70, 12), "float64", "x"), np.arange(70) % 3
    trainer.fit(x, y, epochs=3, batch_size=16, progress=False)
    trainer.net.save(tmp_path / "net")
    trainer.save(tmp_path / "trainer")
    for again in (
        Network.load(tmp_path / "net"),
        pickle.loads(pickle.dumps(trainer.net)),
        trainer.net.clone(),
    ):
        assert_same(again.parameters(), trainer.net.parameters())
        assert np.array_equal(again.predict(x), trainer.net.predict(x))
        assert again.layers == trainer.net.layers
    resumed = Trainer.load(tmp_path / "trainer")
    for one in (trainer, resumed):
        one.fit(x, y, epochs=2, batch_size=16, progress=False)
    assert_same(resumed.net.parameters(), trainer.net.parameters())


@pytest.mark.parametrize("option", OPTIONS)
def test_weights_of_zero_give_the_bias(option):
    net = Network([Dense(5, **option)], inputs=3)
    net.set_parameters({"0.weight": np.zeros((3, 5)), "0.bias": np.arange(5)})
    assert np.array_equal(net.predict(np.ones((2, 3))), np.tile(np.arange(5), (2, 1)))


@pytest.mark.parametrize("option", OPTIONS)
def test_folding_leaves_them_alone(option):
    net = Network([Dense(5, **option), gradcore.BatchNorm()], inputs=3, dtype="float64")
    assert [type(layer).__name__ for layer in net.fold_batchnorm().layers] == ["Dense", "BatchNorm"]


BAD_OPTIONS = [
    ({"weight_norm": 1}, DTypeError, "Dense: weight_norm: expected True or False, got 1"),
    ({"spectral_norm": None}, DTypeError, "Dense: spectral_norm: expected True or False"),
    (
        {"weight_norm": True, "spectral_norm": True},
        ArgumentError,
        "Dense: spectral_norm: expected False beside",
    ),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_OPTIONS)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error) as caught:
        Dense(4, **options)
    assert message in str(caught.value)


DENSE = {"kind": "dense", "units": 3, "bias": False, "rescaled": True}
BAD_DESCRIPTIONS = [
    [DENSE],
    [DENSE, {"kind": "activation", "activation": "relu"}],
    [DENSE, {"kind": "weight_norm"}],
    [{**DENSE, "bias": True}, {"kind": "weight_norm", "continues": True}],
    [{"kind": "weight_norm", "continues": True}],
    [{"kind": "dense", "units": 3}, {"kind": "spectral_norm", "continues": True}],
    [{"kind": "activation", "activation": "relu", "continues": True}],
    [{"kind": "residual"}, {"kind": "activation", "activation": "relu", "continues": True}, {"kind": "end"}],
    [{"kind": "residual"}, DENSE, {"kind": "end"}],
]


@pytest.mark.parametrize("specs", BAD_DESCRIPTIONS)
def test_the_core_refuses_descriptions_that_make_no_sense(specs):
    with pytest.raises(ArgumentError, match="layers"):
        _core.CoreNetwork(specs, 3)


@pytest.mark.parametrize("options", OPTIONS)
def test_weights_to_evaluate_and_weights_to_train_have_scales_of_their_own(options, tmp_path):
    """A schedule-free optimizer trains other weights than those that predict."""
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((96, 12), dtype=np.float32), rng.integers(0, 3, 96).astype(np.int32)

    def steps(trainer, numbers):
        for i in numbers:
            at = slice(i % 3 * 32, i % 3 * 32 + 32)
            trainer.step(X[at], y[at])
        return trainer

    def start():
        net = Network([Dense(16, "tanh", **options), Dense(3)], inputs=12, seed=0)
        return Trainer(net, "cross_entropy", optimizers.ScheduleFreeAdamW(lr=1e-2))

    whole, half = steps(start(), range(20)), steps(start(), range(10))
    same = Network(list(whole.net.layers), inputs=12)
    same.set_parameters(whole.net.parameters())
    np.testing.assert_array_equal(whole.net.predict(X), same.predict(X))
    half.save(tmp_path / "half")
    resumed = steps(Trainer.load(tmp_path / "half"), range(10, 20))
    for name, value in whole.net.parameters().items():
        np.testing.assert_array_equal(resumed.net.parameters()[name], value)
