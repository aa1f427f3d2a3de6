"""Pruning: masks hold through training and checkpoints, units leave without changing the function."""

import math
import re

import gradcore
import numpy as np
import pytest
from gradcore import (
    Activation,
    Dense,
    Dropout,
    LayerNorm,
    Network,
    Residual,
    Standardize,
    Trainer,
    _core,
    clipping,
    optimizers,
    pruning,
    schedules,
)
from support import assert_same
from support.search_problem import blobs

x, y = blobs()


def network(outputs=3, dtype="float32", **more):
    layers = [Dense(40, "relu"), Dropout(0.1), Dense(19, "tanh"), Dense(outputs)]
    return Network(layers, inputs=4, seed=2, dtype=dtype, **more)


def weights(net):
    return {name: value for name, value in net.parameters().items() if name.endswith("weight")}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_smallest_are_masked(share, scope):
    net = network()
    masks = pruning.magnitude_masks(net, share, scope=scope)
    sizes = {name: np.abs(w) for name, w in weights(net).items()}
    assert list(masks) == list(sizes)
    groups = [list(masks)] if scope == "global" else [[name] for name in masks]
    for names in groups:
        gone = np.concatenate([sizes[name][~masks[name]] for name in names])
        kept = np.concatenate([sizes[name][masks[name]] for name in names])
        assert len(gone) == math.floor(share * (len(gone) + len(kept)))
        assert not len(gone) or gone.max() <= kept.min()


def test_ties_go_by_position():
    net = Network([Dense(4)], inputs=2)
    net.set_parameters({"0.weight": np.ones((2, 4))})
    assert pruning.magnitude_masks(net, 0.5)["0.weight"].tolist() == [[False] * 4, [True] * 4]


@pytest.mark.parametrize("outputs", [2, 3, 20])
@pytest.mark.parametrize(
    "optimizer", [optimizers.SGD(0.1, momentum=0.9), optimizers.Adam(0.01), optimizers.AdamW(0.01)], ids=repr
)
@pytest.mark.quick
def test_masked_weights_stay_zero_and_the_others_train(dtype, outputs, optimizer):
    labels = y % outputs
    net = network(outputs, dtype)
    trainer = Trainer(net, "cross_entropy", optimizer)
    trainer.fit(x, labels, epochs=2, batch_size=16, progress=False)
    masks = pruning.magnitude_masks(net, 0.7, skip=["3"])
    trainer.set_masks(masks)
    assert_same(trainer.masks(), masks)
    before = net.parameters()
    trainer.step(x, labels)
    trainer.fit(x, labels, epochs=2, batch_size=50, progress=False)
    after = net.parameters()
    for name, mask in masks.items():
        assert not after[name][~mask].any()
        assert (after[name] != before[name])[mask].mean() > 0.5
    assert (after["3.weight"] != before["3.weight"]).any()
    trainer.set_masks({})
    trainer.step(x, labels)
    assert any(net.parameters()[name][~mask].any() for name, mask in masks.items())


def test_masks_come_after_constraints_and_rules():
    net = network()
    clip = [clipping.TensorNorm(0.1)] * 4
    trainer = Trainer(
        net, "cross_entropy", optimizers.Adam(0.01), clip, constraint=[clipping.Box(0.01, 1)] * 4
    )
    masks = pruning.magnitude_masks(net, 0.5)
    trainer.set_masks(masks)
    trainer.step(x, y)
    for name, mask in masks.items():
        w = net.parameters()[name]
        assert not w[~mask].any()
        assert w[mask].min() >= np.float32(0.01)


def gradual(**more):
    sparsity = schedules.Polynomial(0.0, 0.8, 40, power=3)
    net = network(**more)
    trainer = Trainer(net, "cross_entropy", optimizers.Adam(0.01))
    return trainer, pruning.Magnitude(sparsity, every_steps=10)


def test_sparsity_follows_its_schedule():
    trainer, callback = gradual()
    seen = []

    class Watch:
        every_steps = 10

        def on_slice(self, trainer, reports):
            if trainer.steps % 10 == 0:
                seen.append((trainer.steps, pruning.sparsity(trainer.net)))

    trainer.fit(x, y, epochs=6, batch_size=20, callbacks=[callback, Watch()], progress=False)
    total = sum(w.size for w in weights(trainer.net).values())
    assert [step for step, _ in seen] == [10, 20, 30, 40, 50]
    for step, share in seen:
        assert share == math.floor(callback.sparsity(step) * total) / total
    assert trainer.evaluate(x, y)["accuracy"] > 0.8


def test_bits_do_not_depend_on_threads_or_instruction_sets():
    nets = []
    for isa in _core.names("isa"):
        for threads in (1, 3):
            trainer, callback = gradual(isa=isa, threads=threads)
            trainer.fit(x, y, epochs=4, batch_size=20, callbacks=[callback], progress=False)
            nets.append(trainer.net.parameters())
    for other in nets[1:]:
        assert_same(other, nets[0])


def test_a_checkpoint_takes_the_masks_along(tmp_path):
    class Stop(Exception):
        pass

    class Interrupt:
        every_steps = 15

        def on_slice(self, trainer, reports):
            if trainer.steps == 15:
                trainer.save(tmp_path / "trainer")
                raise Stop

    whole, callback = gradual()
    whole.fit(x, y, epochs=4, batch_size=20, callbacks=[callback], progress=False)
    part, callback = gradual()
    with pytest.raises(Stop):
        part.fit(x, y, epochs=4, batch_size=20, callbacks=[callback, Interrupt()], progress=False)
    resumed = Trainer.load(tmp_path / "trainer")
    assert_same(resumed.masks(), part.masks())
    resumed.fit(x, y, epochs=4, batch_size=20, callbacks=[callback], progress=False)
    assert_same(resumed.net.parameters(), whole.net.parameters())


@pytest.mark.parametrize(
    ("frozen", "skip", "message"),
    [
        (["*"], (), "neither skipped nor frozen, got none: frozen are the layers 0, 2, 3"),
        (["*.weight"], (), "neither skipped nor frozen"),
        (["2.*", "3.weight"], ["0"], "neither skipped nor frozen"),
        ([], ["0", "2", "3"], "expected a layer with weights left"),
        ([], ["1"], "expected layers that have weights, got '1'"),
        ([], ["0", "7"], "expected layers that have weights, got '7'"),
    ],
)
def test_a_fit_without_a_layer_to_prune_is_refused_before_its_first_step(frozen, skip, message):
    groups = [(pattern, {"frozen": True}) for pattern in frozen]
    trainer = Trainer(network(), "cross_entropy", optimizers.Adam(0.01, groups=groups))
    before = trainer.net.parameters()
    callback = pruning.Magnitude(0.5, every_steps=10, skip=skip)
    with pytest.raises(gradcore.ArgumentError, match=message):
        trainer.fit(x, y, epochs=4, batch_size=20, callbacks=[callback], progress=False)
    assert trainer.steps == 0
    assert_same(trainer.net.parameters(), before)


@pytest.mark.parametrize(
    ("sparsity", "message"),
    [
        (schedules.Polynomial(0.0, 1.0, 40), r"in \[0, 1\) from its schedule, got 1.0 at step 40"),
        (schedules.Join([schedules.Constant(0.5), schedules.Constant(1.5)], [30]), "got 1.5 at step 30"),
        (lambda step: -0.1 if step == 50 else 0.5, "got -0.1 at step 50"),
        (lambda step: "half", "got 'half' at step 10"),
    ],
)
def test_a_schedule_that_leaves_its_range_in_the_fit_is_refused_before_its_first_step(sparsity, message):
    trainer = Trainer(network(), "cross_entropy", optimizers.Adam(0.01))
    callback = pruning.Magnitude(sparsity, every_steps=10)
    options = {"batch_size": 20, "callbacks": [callback], "progress": False}
    with pytest.raises(gradcore.ArgumentError, match=message):
        trainer.fit(x, y, epochs=6, **options)
    assert trainer.steps == 0


def test_a_schedule_is_looked_at_no_further_than_the_fit_goes():
    trainer = Trainer(network(), "cross_entropy", optimizers.Adam(0.01))
    callback = pruning.Magnitude(schedules.Polynomial(0.0, 1.0, 40), every_steps=10)
    steps = -(-len(x) // 20)
    assert 10 < 3 * steps < 40
    trainer.fit(x, y, epochs=3, batch_size=20, callbacks=[callback], progress=False)
    assert trainer.steps == 3 * steps


# ---- Units ----


@pytest.mark.parametrize("bias", [True, False])
def test_compact_is_the_same_function_in_smaller_matrices(dtype, bias):
    net = Network(
        [Dense(30, "gelu", bias=bias), Activation("sigmoid"), Dropout(0.5), Dense(20, "tanh"),
         LayerNorm(), Dense(9, "relu"), Dense(2, bias=bias)],
        inputs=4, seed=1, dtype=dtype,
    )  # fmt: skip
    values = net.parameters()
    rng = np.random.default_rng(0)
    values = {
        name: value + 0.1 * rng.standard_normal(value.shape).astype(dtype) for name, value in values.items()
    }
    values["0.weight"][:, 3:8] = 0.0  # constant
    values["3.weight"][10:14] = 0.0  # not read
    values["3.weight"][7:9] = 0.0  # one constant and not read, one not read
    values["5.weight"][:, :] = 0.0  # a whole layer is constant
    net.set_parameters(values)
    small = pruning.compact(net)
    if bias:
        assert [layer.units for layer in small.layers if isinstance(layer, Dense)] == [20, 20, 1, 2]
    assert small.elements < net.elements
    wide = np.random.default_rng(3).standard_normal((50, 4))
    bars = {"float32": {"rel": 2e-5, "abs": 1e-6}, "float64": {"rel": 1e-12, "abs": 1e-14}}[dtype]
    assert small.predict(wide) == pytest.approx(net.predict(wide), **bars)
    assert_same(net.parameters(), {name: values[name] for name in net.parameters()})


def test_compact_leaves_a_dense_network_as_it_is():
    net = network()
    assert_same(pruning.compact(net).parameters(), net.parameters())


def test_shrink_takes_the_least_important_units_out():
    net = Network(
        [Standardize(), Dense(10, "relu"), Dropout(0.2), Dense(6, "tanh"), Dense(3)], inputs=4, seed=1
    )
    net.standardize(x)
    small = pruning.shrink(net, 0.5, skip=["3"])
    assert [layer.units for layer in small.layers if isinstance(layer, Dense)] == [5, 6, 3]
    w = net.parameters()
    importance = np.linalg.norm(w["1.weight"], axis=0) * np.linalg.norm(w["3.weight"], axis=1)
    kept = np.sort(np.argsort(importance, kind="stable")[5:])
    got = small.parameters()
    assert (got["1.weight"] == w["1.weight"][:, kept]).all()
    assert (got["1.bias"] == w["1.bias"][kept]).all()
    assert (got["3.weight"] == w["3.weight"][kept]).all()
    assert (got["0.mean"] == w["0.mean"]).all()
    history = Trainer(small, "cross_entropy", optimizers.Adam(0.02)).fit(
        x, y, epochs=20, batch_size=20, progress=False
    )
    assert history.accuracy[-1] > 0.8


def test_layers_before_something_else_stay():
    layers = [Dense(8, "relu"), Residual(Dense(8, "relu")), Dense(8), LayerNorm(), Dense(3)]
    net = Network(layers, inputs=4)
    assert_same(pruning.shrink(net, 0.5).parameters(), net.parameters())


BAD = [
    ("net", lambda: pruning.magnitude_masks(3, 0.5)),
    ("sparsity", lambda: pruning.magnitude_masks(network(), 1.0)),
    ("scope", lambda: pruning.magnitude_masks(network(), 0.5, scope="unit")),
    ("skip", lambda: pruning.magnitude_masks(network(), 0.5, skip=["1"])),
    ("skip", lambda: pruning.magnitude_masks(network(), 0.5, skip=["0", "2", "3"])),
    ("Magnitude: sparsity", lambda: pruning.Magnitude(-0.1)),
    ("Magnitude: every_steps", lambda: pruning.Magnitude(0.5, every_steps=0)),
    ("Magnitude: scope", lambda: pruning.Magnitude(0.5, scope="all")),
    ("Magnitude: skip", lambda: pruning.Magnitude(0.5, skip="0")),
    ("share", lambda: pruning.shrink(network(), 1.0)),
    ("net", lambda: pruning.shrink(None, 0.5)),
    ("net", lambda: pruning.compact(None)),
    ("net", lambda: pruning.sparsity(None)),
    ("masks", lambda: gradual()[0].set_masks([])),
    ("masks", lambda: gradual()[0].set_masks({"9.weight": [True]})),
    ("masks['0.bias']", lambda: gradual()[0].set_masks({"0.bias": np.ones(40)})),
    ("masks['0.bias']", lambda: gradual()[0].set_masks({"0.bias": np.ones(39, bool)})),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{name} {i}" for i, (name, _) in enumerate(BAD)])
def test_bad_arguments_are_refused(name, call):
    with pytest.raises(gradcore.GradcoreError, match=f"{re.escape(name)}: expected"):
        call()
