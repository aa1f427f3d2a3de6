"""Gradient flow: every trainable parameter, every activation, compared with the float64 oracle."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import (
    Activation,
    Dense,
    Embedding,
    Heads,
    Network,
    PReLU,
    Residual,
    Trainer,
    health,
    optimizers,
)
from gradcore.layers import Layer
from support import cases, heads_problem

INPUTS, ROWS = 5, 12
ACTIVATION_NETS = {
    name: [cases.dense(9, name), cases.activation(name), cases.dense(3, name)]
    for name in oracle.activations.ACTIVATIONS
    if name != "exponential"
}
ACTIVATION_NETS["exponential"] = [
    cases.dense(9, "exponential"), cases.activation("tanh"), cases.activation("exponential"), cases.dense(3),
]  # fmt: skip
LAYER_NETS = {
    "standardize": [cases.standardize(), cases.dense(6, "relu6"), cases.dense(3)],
    "alpha": [cases.dense(6, "elu", alpha=0.4), cases.activation("sin", alpha=2.0), cases.dense(3)],
    "no bias": [cases.dense(6, "hard_tanh", bias=False), cases.dense(3, bias=False)],
    "noise": [
        cases.dropout(0.0), cases.dense(8, "gelu"), cases.alpha_dropout(0.0), cases.gaussian_noise(0.0),
        cases.activation("silu"), cases.dense(3),
    ],
    "residuals": [
        cases.residual(cases.residual(cases.activation("mish"), cases.dense(INPUTS, "gelu")), gain=0.5),
        cases.residual(cases.dense(9, "silu"), cases.residual(cases.dense(9, "gelu")), projection=True),
        cases.dense(3, "softplus"),
    ],
    "norms": [
        cases.dense(6), cases.layer_norm(), cases.activation("gelu"), cases.dense(6), cases.batch_norm(),
        cases.activation("tanh"), cases.dense(6), cases.rms_norm(), cases.activation("silu"),
        cases.layer_scale(0.3), cases.dense(3),
    ],
    "gates": [
        cases.dense(14), cases.glu(), cases.dense(8), cases.glu("silu"), cases.maxout(7, 3),
        cases.prelu(0, -0.5), cases.dense(6), cases.prelu(1, 0.005), cases.dense(3),
    ],
    "weight norm": [cases.dense(7, "gelu", weight_norm=True), cases.dense(3, "tanh", weight_norm=True)],
    "spectral norm": [cases.dense(7, "gelu", spectral_norm=True), cases.dense(3, spectral_norm=True)],
    "embedding": [{"kind": "embedding", "columns": {1: (6, 3)}}, cases.dense(7, "gelu"), cases.dense(3)],
}  # fmt: skip
NETS = {**ACTIVATION_NETS, **LAYER_NETS}
HEADS = {
    "kind": [cases.dense(5)],
    "angle": [cases.dense(12, "tanh"), cases.dense(2, "relu6")],
    "stop": [cases.residual(cases.dense(23, "gelu")), cases.activation("silu"), cases.dense(1)],
}
HEAD_LOSSES = {name: loss for name, (loss, _) in heads_problem.LOSSES.items()}


def trainer_of(name):
    net = cases.network(gradcore, NETS[name], INPUTS, seed=3, dtype="float64")
    if name == "standardize":
        net.standardize(batch()[0])
    values = net.parameters()
    for key, value in values.items():
        if key.endswith(("bias", "beta")):
            values[key] = cases.normal(value.shape, "float64", key)
        if key.endswith(".weight"):
            values[key] = 3 * value  # far enough for flat sides
    if name == "exponential":
        values["0.weight"] /= 3
    net.set_parameters(values)
    return Trainer(net, "mse", optimizers.SGD(0.1))


def batch():
    x = cases.normal((ROWS, INPUTS), "float64", "x")
    x[:, 1] = np.arange(ROWS) % 4  # codes, of which an Embedding of more than four does not see the others
    return x, cases.normal((ROWS, 3), "float64", "y")


def oracle_of(layers, net, training):
    return oracle.Net(layers, net.parameters(), {}, training=training)


def largest(name, alpha):
    """Of |f'|, from the formula."""
    if name == "exponential":
        return 1.0
    points = np.concatenate([np.linspace(-9, 9, 180_001), [3 - 1e-12]])
    return np.abs(oracle.d_activation(name, points, alpha)).max()


def flat_by_formula(layer, position, net):
    """Where |f'| is below 1 % of its largest, or None; from what the oracle's forward kept."""
    kind = layer["kind"]
    if kind == "prelu":
        slopes = np.where(net.kept[position] > 0, 1.0, np.abs(net.parameters[f"{position}.alpha"]))
        return slopes < 0.01
    if kind == "glu":
        z = net.kept[position][:, net.kept[position].shape[1] // 2 :]
        name = layer["activation"]
    elif kind in ("activation", "dense"):
        z, name = net.kept[position][1], layer["activation"]
    else:
        return None
    if name == "identity":
        return None
    alpha = oracle.alpha_of({**layer, "activation": name})
    return np.abs(oracle.d_activation(name, z, alpha)) < 0.01 * largest(name, alpha)


def walk(layers, prefix=""):
    for i, layer in enumerate(layers):
        yield f"{prefix}{i}", layer
        yield from walk(layer.get("layers", ()), f"{prefix}{i}.")


def check_parameters(flow, net, gradients):
    """One for each gradient, in order, with the numbers of the oracle's."""
    names = [name for name in net.parameters() if name in gradients]
    assert [one.name for one in flow.parameters] == names
    activations = net.activations(batch()[0] if net.inputs == INPUTS else np.zeros((1, net.inputs)))
    for one in flow.parameters:
        gradient, value = gradients[one.name], net.parameters()[one.name]
        assert one.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-9, abs=1e-12)
        assert one.norm == pytest.approx(np.linalg.norm(value), rel=1e-12)
        assert one.ratio == (one.gradient_norm / one.norm if one.norm else 0)
        assert (one.elements, one.zeros) == (value.size, (gradient == 0).sum())
        assert (one.frozen, one.masked) == (False, 0)
        assert one.layer in activations
        assert one.name.startswith(f"{one.layer}.")
        assert one.name.endswith(one.role)


def check_activation(one, output, flat):
    dead = (output == 0).all(axis=0)
    if flat is not None:
        dead |= flat.all(axis=0)
    assert one.mean == pytest.approx(output.mean(), rel=1e-9, abs=1e-12)
    assert one.std == pytest.approx(output.std(), rel=1e-9, abs=1e-12)
    assert one.zeros == pytest.approx((output == 0).mean())
    assert one.flat == pytest.approx(0 if flat is None else flat.mean())
    assert one.dead == pytest.approx(dead.mean())


@pytest.mark.parametrize("name", NETS)
@pytest.mark.quick
def test_flow_is_the_oracles(name):
    trainer, layers = trainer_of(name), NETS[name]
    net, (x, y) = trainer.net, batch()
    flow = health.gradient_flow(trainer, x, y)
    trained, evaluated = oracle_of(layers, net, True), oracle_of(layers, net, False)
    loss, d, _ = oracle.loss("mse", trained.forward(x), y, np.ones(ROWS))
    trained.backward(d)
    evaluated.forward(x)
    assert flow.loss == pytest.approx(loss, rel=1e-9)
    check_parameters(flow, net, trained.gradients)
    flats = {position: flat_by_formula(layer, position, evaluated) for position, layer in walk(layers)}
    assert [one.name for one in flow.activations] == [
        position for position in net.activations(x) if flats[position] is not None
    ]
    for one in flow.activations:
        check_activation(one, evaluated.outputs[one.name], flats[one.name])
    assert [row.name for row in flow] == [
        position for position, layer in walk(layers) if layer["kind"] in ("dense", "maxout")
    ]
    for row in flow:
        check_activation(row, evaluated.outputs[row.name], flats[row.name])
        if not {f"{row.name}.magnitude", f"{row.name}.left"} & net.parameters().keys():
            (stored,) = (one for one in flow.parameters if one.name == f"{row.name}.weight")
            assert (row.gradient_norm, row.weight_norm) == (stored.gradient_norm, stored.norm)


def test_every_activation_that_dies_is_seen_flat():
    """So that the comparison above is not one of zeros."""
    for name in oracle.activations.ACTIVATIONS:
        trainer, (x, y) = trainer_of(name), batch()
        found = max([one.flat for one in health.gradient_flow(trainer, x, y).activations], default=0)
        dies = gradcore._core.describe("activation", name, "derivative_dies")
        if dies.startswith("nowhere"):
            assert found == 0, name
        elif "only as" not in dies and name != "sin":  # these fade slowly, or come back
            assert found > 0, name


def test_heads_by_head():
    net = heads_problem.network(heads=HEADS, uncertainty=True, dtype="float64", seed=2)
    net.set_parameters({name: 2 * v for name, v in net.parameters().items() if name.endswith("weight")})
    net.set_parameters({f"{len(net.layers) - 1}.log_variance": [0.3, -0.5, 0.1]})
    x, y = heads_problem.data(ROWS)
    flow = health.gradient_flow(
        net, x, y, loss={name: loss for name, (loss, _) in heads_problem.LOSSES.items()}
    )
    expected = oracle.heads.HeadsNet(heads_problem.TRUNK, HEADS, net.parameters())
    loss, gradients = expected.loss_and_gradients(x, heads_problem.LOSSES, heads_problem.as_columns(y))
    assert flow.loss == pytest.approx(loss, rel=1e-9)
    check_parameters(flow, net, gradients)
    at = len(heads_problem.TRUNK)
    places = [("", heads_problem.TRUNK, expected.trunk)]
    places += [(f"{at}.{name}.", HEADS[name], expected.heads[name]) for name in HEADS]
    flats = {
        prefix + position: (own.outputs[position], flat_by_formula(layer, position, own))
        for prefix, layers, own in places
        for position, layer in walk(layers)
    }
    assert {one.name for one in flow.activations} == {k for k, (_, flat) in flats.items() if flat is not None}
    for one in [*flow.activations, *flow.rows]:
        check_activation(one, *flats[one.name])


# ---- Nothing is left out ----


def layers_here():
    nets = [cases.network(gradcore, layers, INPUTS) for layers in NETS.values()]
    nets.append(heads_problem.network(heads=HEADS))
    return [layer for net in nets for i, own in enumerate(net.layers) for _, layer in own.walk(str(i))]


def test_every_layer_class_and_kind_is_in_a_network_here():
    """One that is missing: add it to NETS, and what its function's derivative is to flat_by_formula."""
    offered = {getattr(gradcore, name) for name in gradcore.__all__}
    classes = {one for one in offered if isinstance(one, type) and issubclass(one, Layer)} - {Layer}
    assert {type(layer) for layer in layers_here()} >= classes
    kinds = {spec["kind"] for layer in layers_here() for spec in layer.specs()}
    assert kinds >= set(gradcore._core.names("layer"))


def test_every_layer_that_tells_the_core_of_an_activation_is_seen():
    """One that fails: its class needs a method `flat`."""
    for layer in layers_here():
        inside = len(list(layer.walk("0"))) > 1  # of a block the layers inside tell it
        if not inside and any("activation" in spec for spec in layer.specs()):
            assert type(layer).flat is not Layer.flat, layer


@pytest.mark.parametrize("name", [*NETS, "heads"])
def test_every_trainable_parameter_is_there_once(name):
    if name == "heads":
        net = heads_problem.network(heads=HEADS, uncertainty=True)
        (x, y), loss = heads_problem.data(ROWS), HEAD_LOSSES
    else:
        net, (x, y), loss = trainer_of(name).net, batch(), "mse"
    trainer = Trainer(net, loss, optimizers.Adam())
    names = [one.name for one in health.gradient_flow(trainer, x, y).parameters]
    assert names == list(trainer.gradients(x, y)[1])
    assert sum(one.elements for one in health.gradient_flow(trainer, x, y).parameters) == net.elements


# ---- What flat and dead mean ----


def flow_of(layers, x, **values):
    net = Network(layers, inputs=np.shape(x)[1], dtype="float64")
    net.set_parameters({name.replace("_", "."): value for name, value in values.items()})
    return health.gradient_flow(net, x, np.zeros((len(x), net.outputs)), loss="mse")


@pytest.mark.parametrize(
    ("name", "column", "flat", "zeros", "dead"),
    [
        ("relu6", [6.0, 7.0, 9.0], 1, 0, 1),  # at 6
        ("relu6", [-1.0, 7.0, -2.0], 1, 2 / 3, 1),  # at 0 or at 6
        ("relu6", [-1.0, 3.0, 7.0], 2 / 3, 1 / 3, 0),
        ("relu", [-1.0, -2.0, 0.0], 1, 1, 1),
        ("hard_tanh", [-1.0, -2.0, 3.0], 1, 0, 1),
        ("hard_tanh", [0.0, 0.0, 0.0], 0, 1, 1),  # exactly 0 for every row, as ever
        ("hard_tanh", [0.0, 2.0, -2.0], 2 / 3, 1 / 3, 0),
        ("hard_sigmoid", [3.0, -3.0, 4.0], 1, 2 / 3 - 1 / 3, 1),
        ("tanh", [3.0, -3.0, 2.9], 2 / 3, 0, 0),  # 1 - tanh(2.9)^2 is 0.0120, that of 3 0.0099
        ("sigmoid", [6.0, -6.0, 5.9], 2 / 3, 0, 0),  # 1 % of 1/4
        ("leaky_relu", [-1.0, -2.0, -3.0], 0, 0, 0),  # 1 %, and no less
        ("hard_swish", [-1.455015, -1.45, 3.0], 1 / 3, 0, 0),  # the derivative jumps from its largest, 1.5
        ("exponential", [-4.5, -4.7, 30.0], 1 / 3, 0, 0),
    ],
)
def test_flat_sides(name, column, flat, zeros, dead):
    x = np.array(column).reshape(-1, 1)
    (alone,) = flow_of([Activation(name)], x).activations
    (row,) = flow_of([Dense(1, name)], x, **{"0_weight": [[1.0]]})
    for one in (alone, row):
        assert (one.flat, one.zeros, one.dead) == pytest.approx((flat, zeros, dead)), name


def test_a_learned_slope_is_looked_at():
    x = -np.ones((3, 2))
    (one,) = flow_of([PReLU()], x, **{"0_alpha": [0.009, 0.011]}).activations
    assert (one.flat, one.dead) == (0.5, 0.5)
    (one,) = flow_of([PReLU()], -x, **{"0_alpha": [101.0, 99.0]}).activations
    assert one.flat == 0.5  # beside such slopes, 1 is little
    (one,) = flow_of([Activation("leaky_relu", alpha=0.009)], x).activations
    assert one.flat == 1


@pytest.mark.parametrize("layer", [PReLU(initial=0.01), Activation("leaky_relu")])
def test_a_slope_of_one_percent_is_not_flat(layer, dtype):
    x = -np.ones((3, 2))
    (one,) = health.gradient_flow(Network([layer], 2, dtype=dtype), x, x, loss="mse").activations
    assert one.flat == 0


def test_a_linear_layer_has_no_flat_side():
    flow = flow_of([Dense(2)], np.ones((3, 1)), **{"0_weight": [[0.0, 1.0]]})
    assert flow.activations == ()
    assert (flow.rows[0].flat, flow.rows[0].zeros, flow.rows[0].dead) == (0, 0.5, 0.5)


@pytest.mark.parametrize("name", [*oracle.activations.ACTIVATIONS, "prelu"])
def test_nan_is_on_no_flat_side(name):
    end = PReLU(initial=0.001) if name == "prelu" else Activation(name)
    net = Network([Dense(2), Dense(1), end], inputs=1)
    net.set_parameters({"0.weight": np.float32([[3e38, -3e38]]), "1.weight": np.ones((2, 1))})
    for one in health.gradient_flow(net, [[30.0]], [[0.0]], loss="mse").activations:
        assert np.isnan(one.mean)
        assert (one.flat, one.dead) == (0, 0)


# ---- Frozen and masked ones, tables, and what is left alone ----


def test_frozen_and_masked_parameters_are_said_to_be_so():
    net = Network([Dense(4, "tanh"), Dense(2)], inputs=3, seed=1)
    trainer = Trainer(net, "mse", optimizers.Adam(groups=[("0.*", {"frozen": True})]))
    mask = np.ones((4, 2), bool)
    mask[:3, 1] = False
    trainer.set_masks({"1.weight": mask, "0.bias": [True, True, False, True]})
    flow = health.gradient_flow(trainer, np.eye(3), np.ones((3, 2)))
    found = {one.name: (one.frozen, one.masked) for one in flow.parameters}
    assert found == {
        "0.weight": (True, 0), "0.bias": (True, 1), "1.weight": (False, 3), "1.bias": (False, 0),
    }  # fmt: skip
    assert flow.parameters[0].gradient_norm > 0
    lines = {line.split()[0]: line for line in str(flow).splitlines() if line}
    assert lines["0.bias"].endswith("frozen, 1 masked")
    assert lines["1.weight"].endswith(" 3 masked")


def test_a_table_belongs_to_its_layer_and_counts_what_was_not_seen():
    net = Network([Embedding({0: (7, 2), 2: (3, 4)}), Dense(1)], inputs=3)
    flow = health.gradient_flow(net, [[0, 0.5, 1], [6, 0.1, 1]], [[1.0], [2.0]], loss="mse")
    tables = [(one.name, one.layer, one.role, one.elements, one.zeros) for one in flow.parameters[:2]]
    assert sorted(tables) == [("0.0.table", "0", "table", 14, 10), ("0.2.table", "0", "table", 12, 8)]


def test_what_is_stored_stands_beside_what_multiplies():
    net = Network([Dense(4, "tanh", weight_norm=True)], inputs=3, seed=1, dtype="float64")
    net.set_parameters({"0.weight": 5 * net.parameters()["0.weight"]})
    flow = health.gradient_flow(net, np.eye(3), np.ones((3, 4)), loss="mse")
    assert {one.name for one in flow.parameters} == {"0.weight", "0.magnitude", "0.bias"}
    stored = next(one for one in flow.parameters if one.name == "0.weight")
    assert stored.norm == pytest.approx(5 * flow.rows[0].weight_norm)


def test_nothing_is_changed():
    for name in ("norms", "spectral norm"):
        trainer, (x, y) = trainer_of(name), batch()
        trainer.step(x, y)
        before, steps = trainer.net.parameters(), trainer.steps
        first, second = (health.gradient_flow(trainer, x, y) for _ in range(2))
        assert first == second
        assert trainer.steps == steps
        for key, value in trainer.net.parameters().items():
            assert np.array_equal(value, before[key])


def test_float32_sees_what_float64_does():
    wide = trainer_of("residuals").net
    narrow = Network(wide.layers, INPUTS)
    narrow.set_parameters({name: value.astype(np.float32) for name, value in wide.parameters().items()})
    x, y = batch()
    flows = [health.gradient_flow(net, x, y, loss="mse") for net in (narrow, wide)]
    for got, want in zip(flows[0].activations, flows[1].activations, strict=True):
        assert (got.name, got.flat, got.dead) == (want.name, want.flat, want.dead)
    for got, want in zip(flows[0].parameters, flows[1].parameters, strict=True):
        assert got.gradient_norm == pytest.approx(want.gradient_norm, rel=1e-4)


def test_the_text_has_three_tables():
    net = Network([Residual(Dense(3, "relu"), gain=0.0), Activation("tanh"), Dense(2)], inputs=3, seed=1)
    text = str(health.gradient_flow(net, np.eye(3), np.ones((3, 2)), loss="mse"))
    layers, functions, parameters, loss = text.split("\n\n")
    assert [line.split()[0] for line in layers.splitlines()] == ["layer", "0.0", "2"]
    assert [line.split()[0] for line in functions.splitlines()] == ["activation", "1"]
    assert [line.split()[0] for line in parameters.splitlines()] == [
        "parameter", "0.0.weight", "0.0.bias", "0.gain", "2.weight", "2.bias",
    ]  # fmt: skip
    assert loss.startswith("loss ")
    only = str(
        health.gradient_flow(
            Network([Heads({"a": Dense(1)})], 2), np.eye(2), {"a": [1, 2]}, loss={"a": "mse"}
        )
    )
    assert "activation" not in only


def test_what_a_flow_had_before_is_enough_to_make_one():
    row = health.LayerFlow("0", 1.0, 2.0, 0.5, 0.0, 1.0, 0.0, 0.0)
    flow = health.GradientFlow(0.5, (row,))
    assert (list(flow), len(flow), flow.parameters) == ([row], 1, ())
    assert str(flow).endswith("loss 0.5")
