"""Whatever works on "the weight" sees the one that multiplies x: right values are NumPy's, in float64."""

import re

import gradcore
import numpy as np
import pytest
from gradcore import (
    Activation,
    ArgumentError,
    Dense,
    Dropout,
    Embedding,
    Heads,
    LayerNorm,
    Maxout,
    Network,
    Residual,
    Trainer,
    _core,
    clipping,
    health,
    initializers,
    losses,
    optimizers,
    pruning,
    schedules,
)
from oracle.clipping import max_norm, unit_norm
from oracle.effective import effective, effectives
from support import assert_same, cases

WEIGHT_NORM, SPECTRAL_NORM = {"weight_norm": True}, {"spectral_norm": True}
BAR = {"float32": 2e-6, "float64": 1e-13}


def shaken(net, seed=0, magnitudes=True):
    """The network with magnitudes and biases of its own, some of them 0 and some negative."""
    rng = np.random.default_rng(seed)
    values = net.parameters()
    for name, value in values.items():
        if name.endswith(".magnitude") and magnitudes:
            values[name] = rng.normal(size=value.shape) * (rng.random(value.shape) < 0.9)
        elif name.endswith(".bias"):
            values[name] = 0.1 * rng.normal(size=value.shape)
    net.set_parameters(values)
    return net


def stack(options=WEIGHT_NORM, dtype="float64", outputs=3, **more):
    layers = [Dense(40, "tanh", **options), Dropout(0.1), Dense(19, "gelu", bias=False, **options)]
    return shaken(Network([*layers, Dense(outputs, **options)], inputs=7, seed=3, dtype=dtype, **more))


def batch(net, rows=33):
    return cases.normal((rows, net.inputs), str(net.dtype), "x"), cases.normal(
        (rows, net.outputs), str(net.dtype), "y"
    )


# ---- What it is ----


@pytest.mark.parametrize("options", [{}, WEIGHT_NORM, SPECTRAL_NORM], ids=str)
def test_the_network_shows_what_it_multiplies_by(dtype, options):
    net = stack(options, dtype)
    want = effectives(net)
    got = net.effective_weights()
    assert list(got) == list(want)
    for name, weight in got.items():
        assert weight.dtype == net.dtype
        np.testing.assert_allclose(weight, want[name], rtol=BAR[dtype], atol=BAR[dtype])
    x = np.eye(net.inputs)
    bias = net.parameters()["0.bias"]
    first = Network([Dense(40)], inputs=7, dtype=dtype)
    first.set_parameters({"0.weight": got["0.weight"], "0.bias": bias})
    np.testing.assert_allclose(
        np.arctanh(net.activations(x)["0"].astype(np.float64)), first.predict(x), rtol=1e-3, atol=1e-5
    )


def test_projections_multiply_too_and_tables_do_not():
    layers = [
        Embedding({1: (5, 3)}),
        Residual(Dense(8, **WEIGHT_NORM), projection=True),
        Maxout(4, 2),
        Heads({"a": Dense(2, **SPECTRAL_NORM), "b": [Dense(3), Dense(1)]}),
    ]
    net = Network(layers, inputs=4)
    names = ["1.0.weight", "1.projection", "2.weight", "3.a.0.weight", "3.b.0.weight", "3.b.1.weight"]
    assert list(net.effective_weights()) == names


@pytest.mark.parametrize("options", [{}, WEIGHT_NORM], ids=str)
def test_they_are_copies(options):
    net = stack(options)
    for weight in net.effective_weights().values():
        weight[:] = np.nan
    assert np.isfinite(net.predict(batch(net)[0])).all()


# ---- Initial values ----


@pytest.mark.parametrize("rule", ["zeros", "identity", initializers.Sparse(2)], ids=repr)
def test_columns_of_zeros_begin_with_a_direction_and_train(dtype, rule):
    net = Network(
        [Dense(6, "tanh"), Dense(9, weight_init=rule, **WEIGHT_NORM)], inputs=4, dtype=dtype, seed=1
    )
    index = list(net.parameters()).index("1.weight")
    want = initializers.get(rule).values((6, 9), 1, index)
    np.testing.assert_allclose(net.effective_weights()["1.weight"], want, rtol=BAR[dtype], atol=0)
    assert np.linalg.norm(net.parameters()["1.weight"], axis=0).all()
    x, y = batch(net)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    trainer.fit(x, y, epochs=3, batch_size=11, progress=False)
    last = net.effective_weights()["1.weight"]
    assert np.linalg.norm(last, axis=0).all(), "no column is dead"


@pytest.mark.parametrize("options", [{}, WEIGHT_NORM], ids=str)
def test_lsuv_brings_what_layers_give_to_unit_variance(dtype, options):
    layers = [Dense(30, "tanh", **options), Residual(Dense(30, **options)), Maxout(12), Dense(5, **options)]
    net = shaken(Network(layers, inputs=7, seed=3, dtype=dtype))
    x = cases.normal((200, 7), dtype, "x")
    found = initializers.lsuv(net, x)
    assert list(found) == ["0.weight", "1.0.weight", "2.weight", "3.weight"]
    values, outputs = net.parameters(), net.activations(x)
    before = {"0": x, "1.0": outputs["0"], "2": outputs["1"], "3": outputs["2"]}
    for position, h in before.items():
        z = h.astype(np.float64) @ effective(values, position) + values[f"{position}.bias"]
        assert z.var() == pytest.approx(1, abs=0.011)


def test_lsuv_leaves_tables_alone():
    net = Network([Embedding({0: (6, 3)}), Dense(8, "relu", **WEIGHT_NORM), Dense(2)], inputs=3)
    x = np.column_stack([np.arange(60) % 6, np.random.default_rng(0).normal(size=(60, 2))])
    table = net.parameters()["0.0.table"]
    assert list(initializers.lsuv(net, x)) == ["1.weight", "2.weight"]
    assert (net.parameters()["0.0.table"] == table).all()


def blocks(options, count=4):
    inner = [Dense(16, "tanh", **options), Dense(8, **options)]
    return [Dense(8, **options), *[Residual(*inner)] * count, Dense(2, **options)]


def learns(net):
    """Does every column of every weight move, and the loss fall to a tenth?"""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, net.inputs)).astype(net.dtype)
    y = np.column_stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]])[:, : net.outputs]
    before = net.effective_weights()
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    losses = trainer.fit(x, y, epochs=60, batch_size=32, progress=False).loss
    for name, weight in net.effective_weights().items():
        assert (weight != before[name]).any(axis=0).all(), name
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("options", [{}, WEIGHT_NORM], ids=str)
def test_depth_scaled_scales_what_multiplies(dtype, options):
    net = shaken(Network(blocks(options), inputs=3, dtype=dtype), magnitudes=False)
    before = effectives(net)
    assert initializers.depth_scaled(net) == 0.5
    for name, weight in effectives(net).items():
        factor = 0.5 if re.fullmatch(r"[1-4]\.1\.weight", name) else 1.0
        np.testing.assert_allclose(weight, before[name] * factor, rtol=BAR[dtype], atol=1e-30)
    learns(net)


@pytest.mark.parametrize("options", [{}, WEIGHT_NORM], ids=str)
@pytest.mark.parametrize("head", [True, False])
def test_fixup_sets_what_multiplies_and_the_network_trains(dtype, options, head):
    net = shaken(Network(blocks(options), inputs=3, dtype=dtype), magnitudes=False)
    before, biases = effectives(net), net.parameters()
    assert initializers.fixup(net, head=head) == 0.5
    for name, weight in effectives(net).items():
        zero = re.fullmatch(r"[1-4]\.1\.weight", name) or (head and name == "5.weight")
        factor = 0.0 if zero else 0.5 if re.fullmatch(r"[1-4]\.0\.weight", name) else 1.0
        np.testing.assert_allclose(weight, before[name] * factor, rtol=BAR[dtype], atol=1e-30)
    for name, value in net.parameters().items():
        if name.endswith(".bias"):
            assert (value == (0 if head and name == "5.bias" else biases[name])).all()
    learns(net)


def test_fixup_makes_the_last_layer_of_every_head_zero():
    heads = {"a": [Dense(4, "tanh"), Dense(2, **WEIGHT_NORM)], "b": Dense(1), "c": Residual(Dense(8))}
    net = shaken(Network([Dense(8), Residual(Dense(8, "relu"), Dense(8)), Heads(heads)], inputs=3))
    initializers.fixup(net)
    x = np.random.default_rng(0).normal(size=(5, 3))
    got = net.predict(x)
    assert not got["a"].any() and not got["b"].any() and got["c"].any()
    assert net.parameters()["2.a.1.weight"].any()
    assert net.parameters()["2.a.0.bias"].any()


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("lsuv", lambda net: initializers.lsuv(net, np.eye(3))),
        ("depth_scaled", initializers.depth_scaled),
        ("fixup", initializers.fixup),
        ("fixup", lambda net: initializers.fixup(net, head=False)),
    ],
)
def test_spectral_norm_is_refused_where_the_size_of_a_weight_is_set(what, call):
    net = Network(blocks(SPECTRAL_NORM), inputs=3)
    before = net.parameters()
    with pytest.raises(
        ArgumentError, match=rf"net: expected layers without spectral_norm for {what}.*layers\["
    ):
        call(net)
    assert_same(net.parameters(), before)


def test_spectral_norm_is_no_matter_where_nothing_is_set():
    net = Network(blocks(SPECTRAL_NORM, 1), inputs=3)
    before = net.parameters()
    assert initializers.depth_scaled(net) == 1.0
    assert_same(net.parameters(), before)


# ---- Pruning ----


@pytest.mark.parametrize("options", [WEIGHT_NORM, SPECTRAL_NORM], ids=str)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_magnitudes_are_those_of_what_multiplies(options, scope):
    net = stack(options)
    net.set_parameters({"0.weight": 50 * net.parameters()["0.weight"]})  # changes no function
    sizes = {name: np.abs(weight) for name, weight in effectives(net).items()}
    masks = pruning.magnitude_masks(net, 0.5, scope=scope)
    groups = [list(sizes)] if scope == "global" else [[name] for name in sizes]
    for names in groups:
        gone = np.concatenate([sizes[name][~masks[name]] for name in names])
        kept = np.concatenate([sizes[name][masks[name]] for name in names])
        assert gone.max() <= kept.min() * (1 + 1e-12)
        assert len(gone) == (len(gone) + len(kept)) // 2


def test_sparsity_counts_what_does_not_multiply():
    net = Network([Dense(4, **WEIGHT_NORM)], inputs=3)
    net.set_parameters({"0.magnitude": [0.0, 1.0, 2.0, 0.0]})
    assert pruning.sparsity(net) == 0.5


def test_new_masks_change_nothing_but_what_they_mask(dtype):
    net = stack(WEIGHT_NORM, dtype)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    before = effectives(net)
    masks = pruning.magnitude_masks(net, 0.6, skip=["4"] if "4.weight" in before else [])
    trainer.set_masks(masks)
    for name, weight in effectives(net).items():
        want = np.where(masks.get(name, True), before[name], 0)
        np.testing.assert_allclose(weight, want, rtol=3 * BAR[dtype], atol=0)


@pytest.mark.parametrize("options", [WEIGHT_NORM, SPECTRAL_NORM], ids=str)
@pytest.mark.parametrize("constraint", [None, clipping.NonNegative()], ids=repr)
def test_masked_weights_do_not_multiply_through_training(dtype, options, constraint):
    net = stack(options, dtype)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01), constraint=constraint)
    x, y = batch(net)
    trainer.fit(x, y, epochs=2, batch_size=11, progress=False)
    masks = pruning.magnitude_masks(net, 0.7)
    trainer.set_masks(masks)
    for _ in range(6):
        before = net.parameters()
        trainer.step(x, y)
        for name, weight in net.effective_weights().items():
            assert not weight[~masks[name]].any()
            if constraint is not None:
                assert (weight >= 0).all()
        if options is SPECTRAL_NORM:
            assert_unit_sigma(net, 0.2)
    after = net.parameters()
    assert all((after[name] != before[name])[mask].any() for name, mask in masks.items())


def test_a_masked_direction_is_no_part_of_the_norm():
    """What the update makes of masked elements does not shorten the others: the net is one without them."""
    mask = np.ones((6, 3), bool)
    mask[3:] = False
    net = Network([Dense(3, **WEIGHT_NORM)], inputs=6, dtype="float64", seed=2)
    small = Network([Dense(3, **WEIGHT_NORM)], inputs=3, dtype="float64")
    one, other = (Trainer(n, "mse", optimizers.Adam(0.1)) for n in (net, small))
    one.set_masks({"0.weight": mask})
    values = net.parameters()
    small.set_parameters(values | {"0.weight": values["0.weight"][:3]})
    x, y = batch(net)
    for _ in range(20):
        one.step(x, y)
        other.step(np.ascontiguousarray(x[:, :3]), y)
    np.testing.assert_allclose(
        net.effective_weights()["0.weight"][:3], small.effective_weights()["0.weight"], rtol=1e-9
    )


def assert_unit_sigma(net, bar):
    for name, weight in effectives(net).items():
        assert np.linalg.svd(weight, compute_uv=False)[0] == pytest.approx(1, rel=bar), name


def test_masks_leave_a_spectral_norm_of_one(dtype):
    net = stack(SPECTRAL_NORM, dtype)
    trainer = Trainer(net, "mse", optimizers.SGD(0.01))
    trainer.set_masks(pruning.magnitude_masks(net, 0.9, scope="layer"))
    assert_unit_sigma(net, 0.1)
    trainer.set_masks({name: np.zeros_like(mask) for name, mask in trainer.masks().items()})
    assert not any(weight.any() for weight in net.effective_weights().values())


def test_freed_columns_train_again(dtype):
    net = stack(WEIGHT_NORM, dtype)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    x, y = batch(net)
    mask = np.ones((7, 40), bool)
    mask[:, 5:20] = False
    trainer.set_masks({"0.weight": mask})
    trainer.step(x, y)
    assert not net.effective_weights()["0.weight"][:, 5:20].any()
    before = effectives(net)
    trainer.set_masks({})
    for name, weight in effectives(net).items():
        np.testing.assert_array_equal(weight, before[name])
    for _ in range(3):
        trainer.step(x, y)
    assert net.effective_weights()["0.weight"][:, 5:20].any(axis=0).all()


def test_a_mask_of_the_magnitude_holds_beside_that_of_the_weight():
    net = stack(WEIGHT_NORM)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    weight, magnitude = np.ones((7, 40), bool), np.ones(40, bool)
    weight[0], magnitude[3] = False, False
    for masks in (
        {"0.weight": weight, "0.magnitude": magnitude},
        {"0.magnitude": magnitude, "0.weight": weight},
    ):
        trainer.set_masks(masks)
        for _ in range(2):
            got = net.effective_weights()["0.weight"]
            assert not got[0].any() and not got[:, 3].any() and got[1:, 4].all()
            trainer.step(*batch(net))


def test_gradual_pruning_reaches_its_sparsity_with_weight_norm():
    net = stack(WEIGHT_NORM, "float32")
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    callback = pruning.Magnitude(schedules.Polynomial(0.0, 0.8, 30, power=3), every_steps=6)
    x, y = batch(net, 66)
    trainer.fit(x, y, epochs=12, batch_size=22, callbacks=[callback], progress=False)
    total = sum(weight.size for weight in net.effective_weights().values())
    assert pruning.sparsity(net) == pytest.approx(int(0.8 * total) / total, abs=1e-12)


def prunable(options, dtype="float64", bias=True):
    layers = [
        Dense(30, "gelu", bias=bias, **options),
        Activation("sigmoid"),
        Dense(20, "tanh", bias=bias, **options),
        Dense(9, "relu", **options),
        LayerNorm(),
        Dense(11, "tanh", **options),
        Dense(4, bias=bias, **options),
    ]
    return shaken(Network(layers, inputs=5, seed=1, dtype=dtype), magnitudes=False)


@pytest.mark.parametrize("bias", [True, False])
def test_compact_is_the_same_function_with_weight_norm(dtype, bias):
    net = prunable(WEIGHT_NORM, dtype, bias)
    values = net.parameters()
    values["0.weight"][:, 3:8] = 0.0  # constant by the weight
    values["2.magnitude"][4:9] = 0.0  # constant by the magnitude
    values["2.weight"][11:15] = 0.0  # not read
    values["6.weight"][2:5] = 0.0
    values["6.magnitude"][1] = 0.0  # an output that reads nothing, and whose row is no zero
    values["3.magnitude"][2:4] = 0.0  # these stay, as a LayerNorm reads them
    if not bias:
        values["2.magnitude"][:] = 0.0  # a whole layer is constant
    net.set_parameters(values)
    small = pruning.compact(net)
    assert small.elements < net.elements
    x = np.random.default_rng(3).normal(size=(50, 5))
    bar = {"float32": {"rel": 3e-5, "abs": 3e-6}, "float64": {"rel": 1e-12, "abs": 1e-14}}[dtype]
    assert small.predict(x) == pytest.approx(net.predict(x), **bar)
    assert_same(net.parameters(), {name: values[name].astype(dtype) for name in net.parameters()})
    assert all(layer.weight_norm for layer in small.layers if isinstance(layer, Dense))
    if bias:
        assert [layer.units for layer in small.layers if isinstance(layer, Dense)] == [21, 15, 9, 8, 4]
    column_of_zeros = np.linalg.norm(small.parameters()["6.weight"], axis=0)
    assert column_of_zeros.all(), "an output that reads nothing can still learn to"


def test_compact_is_the_same_function_with_spectral_norm(dtype):
    net = prunable(SPECTRAL_NORM, dtype)
    values = net.parameters()
    values["0.weight"][:, 3:8] = 0.0
    values["2.weight"][3:6] = 0.0  # of these neither row nor column is anything
    values["2.weight"][11:15] = 0.0  # not read, but a part of layer 0's largest singular value
    values["6.weight"][2:5] = 0.0
    values["5.weight"][:, 2:4] = 0.0
    net.set_parameters(values)
    small = pruning.compact(net)
    assert [layer.units for layer in small.layers if isinstance(layer, Dense)] == [27, 20, 9, 9, 4]
    x = np.random.default_rng(3).normal(size=(50, 5))
    bar = {"float32": {"rel": 3e-5, "abs": 3e-6}, "float64": {"rel": 1e-12, "abs": 1e-14}}[dtype]
    assert small.predict(x) == pytest.approx(net.predict(x), **bar)


@pytest.mark.parametrize(
    ("first", "second"), [(WEIGHT_NORM, {}), ({}, WEIGHT_NORM), (WEIGHT_NORM, WEIGHT_NORM)]
)
def test_shrink_leaves_what_the_units_that_stay_do(dtype, first, second):
    layers = [Dense(30, "gelu", **first), Dropout(0.2), Dense(20, "tanh", **second), Dense(3, **first)]
    net = shaken(Network(layers, inputs=5, seed=1, dtype=dtype), 7)
    weights = effectives(net)
    small = pruning.shrink(net, 0.4)
    keeps = {}
    for hidden, reader, units in ((0, 2, 30), (2, 3, 20)):
        w_in, w_out = weights[f"{hidden}.weight"], weights[f"{reader}.weight"]
        importance = np.linalg.norm(w_in, axis=0) * np.linalg.norm(w_out, axis=1)
        keeps[hidden] = np.sort(np.argsort(importance, kind="stable")[int(0.4 * units) :])
    got = small.effective_weights()
    want = {
        "0.weight": weights["0.weight"][:, keeps[0]],
        "2.weight": weights["2.weight"][np.ix_(keeps[0], keeps[2])],
        "3.weight": weights["3.weight"][keeps[2]],
    }
    for name, weight in want.items():
        np.testing.assert_allclose(got[name], weight, rtol=3 * BAR[dtype], atol=1e-30)
    assert [layer for layer in small.layers if isinstance(layer, Dense)][1].weight_norm == bool(second)
    plain = Network([Dense(18, "gelu"), Dropout(0.2), Dense(12, "tanh"), Dense(3)], inputs=5, dtype=dtype)
    biases = {name: value for name, value in small.parameters().items() if name.endswith(".bias")}
    plain.set_parameters(want | biases)
    x = np.random.default_rng(3).normal(size=(50, 5))
    bar = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert small.predict(x) == pytest.approx(plain.predict(x), rel=bar, abs=bar)


@pytest.mark.parametrize(("first", "second", "at"), [(SPECTRAL_NORM, {}, 0), ({}, SPECTRAL_NORM, 1)])
def test_shrink_names_a_layer_with_spectral_norm(first, second, at):
    net = Network([Dense(8, "relu", **first), Dense(6, "relu", **second), Dense(2)], inputs=3)
    with pytest.raises(
        ArgumentError, match=rf"net: expected layers without spectral_norm.*layers\[{at}\].*skip=\['0'\]"
    ):
        pruning.shrink(net, 0.5)
    if at == 0:
        small = pruning.shrink(net, 0.5, skip=["0"])
        assert [layer.units for layer in small.layers] == [8, 3, 2]
    assert pruning.shrink(net, 0.01).layers == net.layers  # no unit has to go


# ---- Rules on weights ----

RULES = [
    (clipping.MaxNorm(0.6), lambda w: max_norm(w, 0.6)),
    (clipping.MaxNorm(100.0), lambda w: w),
    (clipping.UnitNorm(), unit_norm),
    (clipping.UnitNorm(2.5), lambda w: unit_norm(w) * 2.5),
    (clipping.Box(-0.1, 0.2), lambda w: np.clip(w, -0.1, 0.2)),
    (clipping.Box(0.02, 0.2), lambda w: np.clip(w, 0.02, 0.2)),
    (clipping.Box(0.0, 0.0), lambda w: w * 0),
    (clipping.NonNegative(), lambda w: np.maximum(w, 0)),
    ([clipping.Box(-0.1, 0.2), clipping.UnitNorm()], lambda w: unit_norm(np.clip(w, -0.1, 0.2))),
]


@pytest.mark.parametrize(("constraint", "oracle"), RULES, ids=[repr(rule) for rule, _ in RULES])
@pytest.mark.parametrize("outputs", [1, 3, 24])
def test_a_rule_holds_for_what_multiplies(dtype, constraint, oracle, outputs):
    nets = [stack(WEIGHT_NORM, dtype, outputs) for _ in range(2)]
    for net in nets:
        weight = net.parameters()["2.weight"]
        weight[:, 5] = 0.0
        net.set_parameters({"2.weight": weight})
    x, y = batch(nets[0])
    optimizer = optimizers.SGD(0.05, momentum=0.9)
    free = Trainer(nets[0], "mse", optimizer)
    bound = Trainer(nets[1], "mse", optimizer, constraint=constraint)
    for trainer in (free, bound):
        trainer.step(x, y)
    want = {name: oracle(weight) for name, weight in effectives(nets[0]).items()}
    for name, weight in nets[1].effective_weights().items():
        np.testing.assert_allclose(weight, want[name], rtol=4 * BAR[dtype], atol=4 * BAR[dtype])
    again = Network(list(nets[1].layers), inputs=7, dtype=dtype)
    again.set_parameters(nets[1].parameters())
    np.testing.assert_array_equal(again.predict(x), nets[1].predict(x))
    np.testing.assert_array_equal(nets[1].clone().predict(x), nets[1].predict(x))
    for _ in range(3):
        bound.step(x, y)
    for weight in nets[1].effective_weights().values():
        want = (
            unit_norm(weight) if isinstance(constraint, list) else oracle(weight)
        )  # the last of a list holds
        np.testing.assert_allclose(weight, want, rtol=4 * BAR[dtype], atol=4 * BAR[dtype])


def test_what_a_rule_leaves_keeps_its_bits():
    nets = [stack(WEIGHT_NORM, "float32") for _ in range(2)]
    x, y = batch(nets[0])
    Trainer(nets[0], "mse", optimizers.SGD(0.01)).step(x, y)
    Trainer(
        nets[1], "mse", optimizers.SGD(0.01), constraint=[clipping.Box(-9, 9), clipping.MaxNorm(99)]
    ).step(x, y)
    assert_same(nets[1].parameters(), nets[0].parameters())


def test_columns_that_a_rule_empties_can_come_back():
    net = Network([Dense(5, **WEIGHT_NORM)], inputs=3, dtype="float64")
    weight = -np.abs(net.parameters()["0.weight"])
    net.set_parameters({"0.weight": weight})
    trainer = Trainer(net, "mse", optimizers.SGD(0.1), constraint=clipping.NonNegative())
    x = np.abs(cases.normal((40, 3), "float64", "x"))
    trainer.step(x, np.full((40, 5), -1.0))
    assert not net.effective_weights()["0.weight"].any()
    for _ in range(20):
        trainer.step(x, np.full((40, 5), 3.0))
    assert net.effective_weights()["0.weight"].any(axis=0).all()
    assert (net.effective_weights()["0.weight"] >= 0).all()


@pytest.mark.parametrize("constraint", [rule for rule, _ in RULES], ids=repr)
def test_masks_and_rules_hold_together(constraint):
    net = stack(WEIGHT_NORM)
    trainer = Trainer(net, "mse", optimizers.Adam(0.05), constraint=constraint)
    masks = pruning.magnitude_masks(net, 0.4)
    trainer.set_masks(masks)
    for _ in range(4):
        trainer.step(*batch(net))
        for name, weight in net.effective_weights().items():
            assert not weight[~masks[name]].any()
            for rule, oracle in RULES[:-1]:
                if rule == constraint:
                    kept, want = weight[masks[name]], oracle(weight)[masks[name]]
                    np.testing.assert_allclose(kept, want, rtol=1e-12, atol=1e-14)


def test_bits_of_rules_and_masks_do_not_depend_on_threads_or_instruction_sets(dtype):
    rules = [clipping.Box(-0.2, 0.3), clipping.MaxNorm(0.9), clipping.NonNegative()]
    seen = set()
    for threads in (1, 2, 3, 5):
        for isa in gradcore.names("isa") if threads == 3 else [None]:
            net = stack(WEIGHT_NORM, dtype, 20, threads=threads, isa=isa)
            trainer = Trainer(net, "mse", optimizers.Adam(0.02), constraint=rules)
            trainer.set_masks(pruning.magnitude_masks(net, 0.3) | {"0.magnitude": np.arange(40) != 3})
            x, y = batch(net, 130)
            for _ in range(4):
                trainer.step(x, y)
            seen.add(tuple(v.tobytes() for v in [*net.parameters().values(), net.predict(x)]))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "constraint",
    [
        clipping.MaxNorm(0.5),
        clipping.UnitNorm(),
        clipping.Box(-1, 1),
        [clipping.NonNegative(), clipping.Box(0, 1)],
    ],
    ids=repr,
)
def test_rules_that_spectral_norm_leaves_no_room_for_are_refused_at_once(constraint):
    net = Network([Dense(4), Residual(Dense(4, **SPECTRAL_NORM))], inputs=3)
    before = net.parameters()
    with pytest.raises(
        ArgumentError, match=r"constraint: expected layers without spectral_norm.*layers\[1\.0\].*skip="
    ):
        Trainer(net, "mse", optimizers.SGD(0.1), constraint=constraint)
    assert_same(net.parameters(), before)


def test_rules_may_skip_a_layer_with_spectral_norm():
    net = Network([Dense(4), Residual(Dense(4, **SPECTRAL_NORM))], inputs=3, dtype="float64")
    trainer = Trainer(net, "mse", optimizers.SGD(0.1), constraint=clipping.MaxNorm(0.1, skip=["1.0"]))
    trainer.step(*batch(net))
    assert np.linalg.norm(net.parameters()["0.weight"], axis=0).max() <= 0.1 * (1 + 1e-12)
    assert_unit_sigma_of(net, "1.0")


def assert_unit_sigma_of(net, position):
    weight = effective(net.parameters(), position)
    assert np.linalg.svd(weight, compute_uv=False)[0] == pytest.approx(1, rel=0.05)


def test_spectral_norm_and_no_negative_weights(dtype):
    net = stack(SPECTRAL_NORM, dtype)
    trainer = Trainer(net, "mse", optimizers.SGD(0.05), constraint=clipping.NonNegative())
    for _ in range(8):
        trainer.step(*batch(net))
        for weight in net.effective_weights().values():
            assert weight.min() >= 0 and weight.any()
    assert_unit_sigma(net, 0.05)


@pytest.mark.parametrize("name", ["box", "max_norm", "unit_norm"])
def test_the_core_refuses_them_too(name):
    net = Network([Dense(3, **SPECTRAL_NORM)], inputs=3)
    core = _core.CoreTrainer(
        net._core, loss="mse", optimizer="sgd", flags=0, clip=None, nonfinite="skip", capacity=4, seed=0
    )
    everywhere = bytes([1] * len(net._model.infos))
    with pytest.raises(ArgumentError, match=rf"rules\[0\]: expected {name} to leave 0.weight alone"):
        core.set_rules([(name, 1.0, 0.5, 2.0, False, everywhere)], {})
    core.set_rules([(name, 1.0, 0.5, 2.0, False, bytes(len(net._model.infos)))], {})


# ---- Penalties ----

PENALTIES = [losses.L1(0.1), losses.L2(0.2), losses.Elastic(0.1, 0.2)]


def penalized(options, penalty, dtype="float64", **more):
    layers = [Dense(21, "tanh", penalty=penalty, **options), Dense(2, penalty=penalty, **options)]
    net = shaken(Network(layers, inputs=70, dtype=dtype, seed=1, **more))
    weight = net.parameters()["0.weight"]
    weight[3, 4], weight[:, 7] = 0.0, 0.0
    net.set_parameters({"0.weight": weight})
    return net


def penalty_of(values, penalty):
    """Of stored parameters by name, in float64."""
    l1, l2 = penalty.factors()
    weights = [effective(values, str(i)) for i in range(2)]
    return sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in weights)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("options", [{}, WEIGHT_NORM, SPECTRAL_NORM], ids=str)
@pytest.mark.parametrize("rows", [9, 700])
def test_a_penalty_is_of_what_multiplies(options, penalty, rows):
    net, free = penalized(options, penalty), penalized(options, None)
    x, y = batch(net, rows)
    trainer, plain = Trainer(net, "mse", optimizers.SGD(0.1)), Trainer(free, "mse", optimizers.SGD(0.1))
    (loss, gradients), (base, without) = trainer.gradients(x, y), plain.gradients(x, y)
    values = net.parameters()
    assert loss - base == pytest.approx(penalty_of(values, penalty), rel=1e-12)
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(
        plain.evaluate(x, y)["loss"] + loss - base, rel=1e-12
    )
    rng = np.random.default_rng(0)
    for name in gradients:
        if name.endswith(".bias"):
            np.testing.assert_array_equal(gradients[name], without[name])
            continue
        direction = rng.normal(size=values[name].shape) * (values[name] != 0)  # not across a kink
        ends = [penalty_of(values | {name: values[name] + h * direction}, penalty) for h in (1e-5, -1e-5)]
        got = ((gradients[name] - without[name]) * direction).sum()
        assert got == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("options", [WEIGHT_NORM, SPECTRAL_NORM], ids=str)
def test_bits_of_penalties_do_not_depend_on_threads_or_instruction_sets(dtype, options):
    penalty = losses.Elastic(schedules.Linear(0.01, 0.02, steps=4), 0.03)
    seen = set()
    for threads in (1, 2, 3, 5):
        for isa in gradcore.names("isa") if threads == 3 else [None]:
            net = penalized(options, penalty, dtype, threads=threads, isa=isa)
            trainer = Trainer(net, "mse", optimizers.Adam(0.02))
            x, y = batch(net, 130)
            losses_seen = [trainer.step(x, y) for _ in range(4)]
            seen.add((*losses_seen, *(v.tobytes() for v in net.parameters().values())))
    assert len(seen) == 1


def test_an_l2_penalty_shortens_what_multiplies_and_not_what_is_stored():
    net = Network([Dense(6, penalty=losses.L2(0.5), **WEIGHT_NORM)], inputs=5, dtype="float64")
    before = net.parameters()
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    for _ in range(200):
        trainer.step(np.zeros((1, 5)), np.zeros((1, 6)))
    assert np.abs(net.effective_weights()["0.weight"]).max() < 1e-8
    np.testing.assert_allclose(net.parameters()["0.weight"], before["0.weight"], rtol=1e-12)


# ---- Looking ----


def test_gradient_flow_measures_what_multiplies():
    """Against a plain network with the same weights, whose gradients are those by what multiplies."""
    net = stack(WEIGHT_NORM)
    values = net.parameters()
    values |= {name: np.abs(value) + 0.1 for name, value in values.items() if name.endswith(".magnitude")}
    net.set_parameters(values)
    plain = Network(
        [Dense(40, "tanh"), Dropout(0.0), Dense(19, "gelu", bias=False), Dense(3)], 7, dtype="float64"
    )
    same = Network(
        [
            Dense(40, "tanh", **WEIGHT_NORM),
            Dropout(0.0),
            Dense(19, "gelu", bias=False, **WEIGHT_NORM),
            Dense(3, **WEIGHT_NORM),
        ],
        7,
        dtype="float64",
    )
    same.set_parameters(net.parameters())
    plain.set_parameters(effectives(net) | {k: v for k, v in net.parameters().items() if k.endswith(".bias")})
    x, y = batch(net)
    flows = [health.gradient_flow(one, x, y, loss="mse") for one in (same, plain)]
    for got, want in zip(*flows, strict=True):
        assert (got.gradient_norm, got.weight_norm) == pytest.approx(
            (want.gradient_norm, want.weight_norm), rel=1e-9
        )


def test_gradient_flow_of_a_spectral_norm_is_of_the_divided_weight():
    net = Network([Dense(12, spectral_norm=True)], inputs=7, dtype="float64")
    net.set_parameters({"0.weight": 30 * net.parameters()["0.weight"]})
    x, y = batch(net)
    (row,) = health.gradient_flow(net, x, y, loss="mse")
    values = net.parameters()
    weight = effective(values, "0")
    by_weight = x.T @ (2 * (net.predict(x) - y) / y.size)
    across = by_weight - (by_weight * weight).sum() * np.outer(values["0.left"], values["0.right"])
    assert row.weight_norm == pytest.approx(np.linalg.norm(weight))
    assert row.gradient_norm == pytest.approx(np.linalg.norm(across))


@pytest.mark.parametrize("options", [WEIGHT_NORM, SPECTRAL_NORM], ids=str)
def test_second_order_products_name_the_layer(options):
    net = Network([Dense(4, "tanh"), Residual(Dense(4, **options))], inputs=3, dtype="float64")
    x, y = batch(net)
    for call in (net.hvp, net.gnvp):
        with pytest.raises(
            ArgumentError, match=r"layers\[1\.0\]: expected Dense without weight_norm and spectral_norm"
        ):
            call(x, y, "mse", np.zeros(net.elements))
    for optimizer in (optimizers.NewtonCG(), optimizers.LevenbergMarquardt()):
        with pytest.raises(ArgumentError, match=r"layers\[1\.0\]: expected Dense without"):
            Trainer(net, "mse", optimizer)
