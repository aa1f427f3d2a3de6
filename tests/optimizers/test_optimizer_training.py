"""Optimizers inside a trainer: bits, checkpoints, groups, and the weights of schedule-free ones.

The hashes are those of numerics version 2; see test_reproducible.py.
"""

import functools

import golden
import gradcore
import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Embedding,
    Heads,
    LayerNorm,
    LayerScale,
    Network,
    PReLU,
    Residual,
    Standardize,
    Trainer,
    errors,
    optimizers,
)
from oracle import exact
from support import assert_same, cases, digest, exact_labels, exact_uniform, in_turn, ways
from support.optimizer_cases import classes, rates

THREADS = {"float32": (1, 3), "float64": (8, 2)}
# options besides those of `rates`, so that every slot and every running number is in use
MORE = {"SGD": {"nesterov": True}, "RMSprop": {"momentum": 0.5, "centered": True}, "Adam": {"amsgrad": True},
        "ScheduleFreeSGD": {"warmup": 4}, "ScheduleFreeAdamW": {"warmup": 4, "power": 0.5}}  # fmt: skip


def optimizer_of(name, **more):
    options, *_, lr = rates(name)
    return getattr(optimizers, name)(lr=lr, **{**options, **MORE.get(name, {}), "weight_decay": 0.01, **more})


def data(dtype):
    return exact_uniform((384, 70), dtype, 1), exact_labels(384, 10, 2).astype(np.int32)


def trainer_of(name, dtype, threads=None, isa=None):
    layers = [cases.dense(96, "relu"), cases.dense(64, "gelu"), cases.dense(10)]
    net = cases.network(gradcore, layers, 70, seed=11, dtype=dtype, threads=threads, isa=isa)
    return Trainer(net, "cross_entropy", optimizer_of(name), clip=gradcore.clipping.GlobalNorm(1.0))


def train(trainer, dtype, first, last):
    x, y = data(dtype)
    for step in range(first, last):
        at = slice(step % 3 * 128, (step % 3 + 1) * 128)
        trainer.step(x[at], y[at])


@functools.lru_cache
def trained_hash(name, dtype, threads, isa):
    trainer = trainer_of(name, dtype, threads, isa)
    train(trainer, dtype, 0, 14)
    assert trainer.skipped == 0
    return digest(trainer.net.parameters())


CASES = [(name, dtype) for name in classes() for dtype in ("float32", "float64")]
GOLDEN = golden.table("optimizers", CASES, lambda *case: trained_hash(*case, None, None))


@pytest.mark.parametrize("name", classes())
def test_threads_and_instruction_sets_give_the_golden_hash(dtype, name):
    found = {way: trained_hash(name, dtype, *way) for way in ways(THREADS[dtype], scalar=False)}
    assert set(found.values()) == {GOLDEN[name, dtype]}, found


@pytest.mark.parametrize(("name", "dtype"), in_turn(classes()))
def test_the_scalar_kernels_give_the_golden_hash(name, dtype):
    assert trained_hash(name, dtype, 3, "scalar") == GOLDEN[name, dtype]


@pytest.mark.parametrize("name", classes())
@pytest.mark.quick
def test_a_checkpoint_goes_on_bit_for_bit(dtype, name, tmp_path):
    trainer = trainer_of(name, dtype)
    train(trainer, dtype, 0, 5)
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=2)
    assert other.optimizer == trainer.optimizer
    assert_same(other.net.parameters(), trainer.net.parameters())
    x, y = data(dtype)
    assert trainer.gradients(x[:50], y[:50])[0] == other.gradients(x[:50], y[:50])[0]
    for each in (trainer, other):
        train(each, dtype, 5, 8)
        each.step(x[:200], y[:200])  # a larger batch: the state moves to a larger core
        train(each, dtype, 9, 14)
    assert_same(other.net.parameters(), trainer.net.parameters())


@pytest.mark.parametrize("name", classes())
def test_slices_of_any_length_give_the_same_bits(name):
    trainer, by_hand = trainer_of(name, "float32"), trainer_of(name, "float32")
    x, y = data("float32")
    trainer.fit(x, y, epochs=3, batch_size=128, shuffle=False, progress=False)
    train(by_hand, "float32", 0, 9)
    assert_same(trainer.net.parameters(), by_hand.net.parameters())


@pytest.mark.parametrize("name", classes())
def test_a_step_that_is_not_finite_changes_nothing(name):
    trainer, other = trainer_of(name, "float32"), trainer_of(name, "float32")
    x, y = data("float32")
    bad = x[:128].copy()
    bad[3, 4] = np.nan
    for step in range(4):
        if step in (0, 2):
            before = trainer.net.parameters()
            trainer.step(bad, y[:128])
            assert_same(trainer.net.parameters(), before)
        for each in (trainer, other):
            each.step(x[128:256], y[128:256])
    assert trainer.skipped == 2
    assert_same(trainer.net.parameters(), other.net.parameters())


@pytest.mark.parametrize("name", classes())
def test_a_trainer_and_plain_arrays_agree(name):
    """But for rounding where norms are added in another order."""
    net = Network([Dense(7, "tanh"), Dense(3)], inputs=5, seed=2, dtype="float64")
    every = {"matrices": ["*.weight"]} if name == "Muon" else {}  # else the outer layers' are not taken
    trainer = Trainer(net, "mse", optimizer_of(name, decay_bias=True, **every))
    x, y = cases.normal((20, 5), "float64", "x"), cases.normal((20, 3), "float64", "y")
    plain, w = optimizer_of(name), net.parameters()
    live = hasattr(plain, "averaged") and name.startswith("ScheduleFree")
    for _ in range(6):
        plain.update(w, trainer.gradients(x, y)[1])
        trainer.step(x, y)
        got = plain.averaged(w) if live else w
        for key, value in net.parameters().items():
            assert np.allclose(value, got[key], rtol=1e-12, atol=1e-14)


# ---- Groups ----


def steps_with(groups, names=None, **options):
    net = Network([Dense(6, "tanh"), Dense(3)], inputs=5, seed=2, dtype="float64")
    trainer = Trainer(net, "mse", optimizers.SGD(0.1, groups=groups, **options))
    x, y = cases.normal((20, 5), "float64", "x"), cases.normal((20, 3), "float64", "y")
    before, gradients = net.parameters(), trainer.gradients(x, y)[1]
    trainer.step(x, y)
    return before, gradients, net.parameters()


@pytest.mark.quick
def test_groups_have_rates_decay_and_stillness_of_their_own():
    groups = [("0.weight", {"frozen": True}), ("*.bias", {"lr_factor": 0.5, "weight_decay": 0.2})]
    before, g, after = steps_with(groups, weight_decay=0.3)
    assert exact.same_bits(after["0.weight"], before["0.weight"])
    for name in ("0.bias", "1.bias"):
        assert np.allclose(after[name], before[name] - 0.05 * (g[name] + 0.2 * before[name]), rtol=1e-13)
    want = before["1.weight"] - 0.1 * (g["1.weight"] + 0.3 * before["1.weight"])
    assert np.allclose(after["1.weight"], want, rtol=1e-13)


def test_the_first_group_that_matches_counts():
    before, g, after = steps_with([("1.*", {"lr_factor": 2.0}), ("*.weight", {"lr_factor": 0.0})])
    assert exact.same_bits(after["0.weight"], before["0.weight"])
    assert np.allclose(after["1.weight"], before["1.weight"] - 0.2 * g["1.weight"], rtol=1e-13)


def test_layerwise_rates_fall_towards_the_inputs():
    net = Network([Dense(6), Dense(6), Dense(2)], inputs=3)
    groups = optimizers.layerwise(net.parameters(), 0.5)
    assert [(group.pattern, group.lr_factor) for group in groups] == [
        ("0.*", 0.25),
        ("1.*", 0.5),
        ("2.*", 1.0),
    ]


LAYERWISE = [
    (
        "heads side by side, the trunk after the longest",
        [Dense(4), Heads({"a": [Dense(3), Dense(1)], "b": Dense(2), "c": [Dense(3), Dense(3), Dense(1)]})],
        {"0": 3, "1.a.0": 1, "1.a.1": 0, "1.b.0": 0, "1.c.0": 2, "1.c.1": 1, "1.c.2": 0},
    ),
    (
        "what weighs the heads is beside their last layers",
        [Dense(4), Heads({"a": Dense(1), "b": Dense(2)}, uncertainty=True)],
        {"0": 1, "1.a.0": 0, "1.b.0": 0, "1.log_variance": 0},
    ),
    (
        "a block is one layer, with its branches",
        [Dense(4), Residual(LayerNorm(), Dense(4, "relu"), Dense(4), projection=True, gain=0.5), Dense(2)],
        {"0": 2, "1": 1, "2": 0},
    ),
    (
        "a block in a head, and one in a block",
        [Residual(Dense(3), Residual(Dense(3))), Heads({"a": [Residual(Dense(3)), LayerScale(), Dense(1)]})],
        {"0": 2, "1.a.0": 1, "1.a.1": 1, "1.a.2": 0},
    ),
    (
        "norms belong to the layer before them, the first to the one after",
        [Standardize(), Embedding({0: (5, 2)}), LayerNorm(), Dense(4), BatchNorm(), PReLU(), Dense(2)],
        {"1": 2, "2": 2, "3": 1, "4": 1, "5": 1, "6": 0},
    ),
    ("a norm alone", [LayerNorm(), Dense(4), Dense(2)], {"0": 1, "1": 1, "2": 0}),
    ("rescaled weights", [Dense(4, spectral_norm=True), Dense(2, weight_norm=True)], {"0": 1, "1": 0}),
]


@pytest.mark.parametrize(
    ("layers", "depths"), [row[1:] for row in LAYERWISE], ids=[row[0] for row in LAYERWISE]
)
def test_layerwise_counts_from_the_outputs(layers, depths):
    net = Network(layers, inputs=3)
    groups = optimizers.layerwise(net.parameters(), 0.5)
    trained = [info["name"] for info in net._model.infos if info["trainable"]]
    factors = [factor for factor, _, _ in optimizers.SGD(0.1, groups=groups).settings(trained)]
    for name, factor in zip(trained, factors, strict=True):
        place = max((key for key in depths if f"{name}.".startswith(f"{key}.")), key=len)
        assert factor == 0.5 ** depths[place], name
    scaled, plain = (
        Trainer(net.clone(), _losses(net), optimizers.SGD(0.1, groups=more)) for more in (groups, ())
    )
    if not any(isinstance(layer, Embedding) for layer in layers):
        y = {name: np.ones((4, width)) for name, _, width in net._model.heads} or np.ones((4, 2))
        before = net.parameters()
        for trainer in (scaled, plain):
            trainer.net.standardize(np.eye(4, 3)) if not trainer.net._model.standardized else None
            trainer.step(np.eye(4, 3), y)
        for name, factor in zip(trained, factors, strict=True):
            moved, whole = (t.net.parameters()[name] - before[name] for t in (scaled, plain))
            assert np.allclose(moved, factor * whole, rtol=1e-4, atol=1e-7), name


def _losses(net):
    return {name: "mse" for name, _, _ in net._model.heads} or "mse"


@pytest.mark.parametrize("names", ["0.weight", [3], ["weight"], ["0"], None, 3])
def test_layerwise_refuses_what_are_no_names_of_parameters(names):
    with pytest.raises(gradcore.DTypeError, match="names: expected names of parameters"):
        optimizers.layerwise(names, 0.5)


def test_groups_are_kept_in_checkpoints(tmp_path):
    net = Network([Dense(6, "tanh"), Dense(3)], inputs=5, seed=2)
    trainer = Trainer(net, "mse", optimizers.Adam(groups=[("0.*", {"frozen": True})]))
    trainer.step(np.ones((4, 5)), np.ones((4, 3)))
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t")
    assert other.optimizer.groups == trainer.optimizer.groups
    before = other.net.parameters()["0.weight"]
    other.step(np.ones((4, 5)), np.ones((4, 3)))
    assert exact.same_bits(other.net.parameters()["0.weight"], before)


def test_groups_of_plain_arrays_match_their_keys():
    w = {"a": np.ones(3), "b": np.ones(3)}
    optimizers.SGD(0.1, groups=[("a", {"frozen": True})]).update(w, {"a": np.ones(3), "b": np.ones(3)})
    assert w["a"].tolist() == [1.0] * 3
    assert np.allclose(w["b"], 0.9)


@pytest.mark.parametrize(("groups", "error", "message"), [
    ([("2.*", {"frozen": True})], errors.ArgumentError, "groups.0.*0.weight"),
    ("0.*", errors.DTypeError, "groups"),
    ([("0.*", {"lr": 1.0})], errors.ArgumentError, "lr_factor"),
    ([("0.*", {"lr_factor": -1.0})], errors.ArgumentError, "lr_factor"),
    ([("0.*", {"weight_decay": float("nan")})], errors.ArgumentError, "weight_decay"),
    ([("0.*", {"frozen": 1})], errors.DTypeError, "frozen"),
    ([(3, {})], errors.DTypeError, "pattern"),
    ([("0.*",)], errors.DTypeError, "groups"),
])  # fmt: skip
def test_bad_groups_are_refused(groups, error, message):
    net = Network([Dense(6, "tanh"), Dense(3)], inputs=5, seed=2)
    with pytest.raises(error, match=message):
        Trainer(net, "mse", optimizers.SGD(0.1, groups=groups))


@pytest.mark.parametrize("name", classes())
def test_bad_options_are_refused(name):
    kind = getattr(optimizers, name)
    for options, error in [
        ({"style": "caffe"}, errors.ArgumentError),
        ({"lr": 0.0}, errors.ArgumentError),
        ({"lr": "fast"}, errors.DTypeError),
        ({"maximize": 1}, errors.DTypeError),
        ({"weight_decay": -1.0}, errors.ArgumentError),
        *([({"betas": (0.9,)}, errors.DTypeError)] if hasattr(kind, "betas") else []),
        *(({key: float("inf")}, errors.ArgumentError) for key in kind.ranges),
    ]:  # fmt: skip
        with pytest.raises(error, match=name):
            kind(**{"lr": 0.1, **options})


# ---- Schedule-free: the network holds what is to be evaluated ----


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_a_schedule_free_network_holds_the_average(name):
    from oracle.optimizers import OPTIMIZERS

    net = Network([Dense(3)], inputs=5, seed=2, dtype="float64")
    optimizer = getattr(optimizers, name)(lr=0.05)
    trainer = Trainer(net, "mse", optimizer)
    x, y = cases.normal((20, 5), "float64", "x"), cases.normal((20, 3), "float64", "y")
    oracle = OPTIMIZERS[{"ScheduleFreeSGD": "schedule_free_sgd"}.get(name, "schedule_free_adamw")]
    live, states = net.parameters(), {key: {} for key in net.parameters()}
    for step in range(8):
        gradients = trainer.gradients(x, y)[1]
        residual = x @ live["0.weight"] + live["0.bias"] - y
        assert np.allclose(gradients["0.bias"], 2 * residual.mean(axis=0) / 3, rtol=1e-10)  # at y, not x
        trainer.step(x, y)
        for key, value in live.items():
            live[key] = oracle(value, gradients[key], states[key], 0.05, step + 1)
            assert np.allclose(net.parameters()[key], states[key]["x"], rtol=1e-11, atol=1e-13)
    kept = net.parameters()
    net.set_parameters({key: value * 0.5 for key, value in kept.items()})
    trainer.step(x, y)  # begins anew from there
    assert max(np.abs(net.parameters()[key] - 0.5 * kept[key]).max() for key in kept) < 0.1
