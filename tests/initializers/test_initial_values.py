"""Every initializer in one table: mean, variance, bounds, orthogonality; bits; those of whole networks."""

import hashlib
import math

import gradcore
import numpy as np
import pytest
from gradcore import Activation, ArgumentError, Dense, DTypeError, Maxout, Network, Residual, StateError
from gradcore import initializers as rules
from oracle import exact
from support import run_python, ways

ROWS, COLS = 300, 400
BOTH = (ROWS + COLS) / 2
CUT = 0.87962566103423978  # deviation of a normal cut at two of its own

# name: (rule, mean, variance, largest absolute value or None)
TABLE = {
    "constant": (rules.Constant(0.3), 0.3, 0.0, 0.3),
    "uniform": (rules.Uniform(-1, 3), 1.0, 16 / 12, 3.0),
    "normal": (rules.Normal(0.5, 2.0), 0.5, 4.0, None),
    "truncated_normal": (rules.TruncatedNormal(0.0, 0.5), 0.0, (0.5 * CUT) ** 2, 1.0),
    "corrected": (rules.TruncatedNormal(1.0, 0.5, corrected=True), 1.0, 0.25, 1 + 1 / CUT),
    "glorot_uniform": (rules.GlorotUniform(), 0.0, 1 / BOTH, math.sqrt(3 / BOTH)),
    "glorot_normal": (rules.GlorotNormal(), 0.0, 1 / BOTH, None),
    "he_uniform": (rules.HeUniform(), 0.0, 2 / ROWS, math.sqrt(6 / ROWS)),
    "he_normal": (rules.HeNormal(), 0.0, 2 / ROWS, None),
    "lecun_uniform": (rules.LecunUniform(), 0.0, 1 / ROWS, math.sqrt(3 / ROWS)),
    "lecun_normal": (rules.LecunNormal(), 0.0, 1 / ROWS, None),
    "scaled": (rules.VarianceScaling(2.0), 0.0, 2 / ROWS, 2 * math.sqrt(2 / ROWS) / CUT),
    "fan_out": (
        rules.VarianceScaling(mode="fan_out", distribution="uniform"),
        0,
        1 / COLS,
        math.sqrt(3 / COLS),
    ),
    "fan_avg": (rules.VarianceScaling(3.0, mode="fan_avg", distribution="normal"), 0.0, 3 / BOTH, None),
    "orthogonal": (rules.Orthogonal(2.0), 0.0, 4 / COLS, 2.0),
    "delta_orthogonal": (rules.get("delta_orthogonal"), 0.0, 1 / COLS, 1.0),
    "sparse": (rules.Sparse(15, 2.0), 0.0, 4 * 15 / ROWS, None),
    "identity": (rules.Identity(3.0), 3 / COLS, 9 / COLS * (1 - 1 / COLS), 3.0),
    "siren": (rules.Siren(30.0, False), 0.0, 2 / ROWS / 900, math.sqrt(6 / ROWS) / 30),
    "siren_first": (rules.Siren(30.0, True), 0.0, 1 / (3 * ROWS**2), 1 / ROWS),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.quick
def test_values_have_the_statistics_of_their_rule(name):
    rule, mean, variance, bound = TABLE[name]
    values = rule.values((ROWS, COLS), 5, 3)
    assert values.shape == (ROWS, COLS) and values.dtype == np.float64
    assert abs(values.mean() - mean) <= 5 * math.sqrt(variance / values.size) + 1e-15
    assert values.var() == pytest.approx(variance, rel=0.05 if name == "sparse" else 0.02, abs=1e-15)
    if bound is not None:
        assert np.abs(values).max() <= bound * (1 + 1e-12)
    if "orthogonal" in name:
        gram = values @ values.T
        assert np.abs(gram - gram[0, 0] * np.eye(ROWS)).max() < 1e-13
    assert exact.same_bits(values, rule.values((ROWS, COLS), 5, 3))
    random = name not in ("constant", "identity")
    assert random != exact.same_bits(values, rule.values((ROWS, COLS), 6, 3))
    assert random != exact.same_bits(values, rule.values((ROWS, COLS), 5, 4))


BITS = """
import hashlib
from test_initial_values import TABLE, ROWS, COLS, network_digest
for name, (rule, *_) in TABLE.items():
    print(name, hashlib.sha256(rule.values((ROWS, COLS), 5, 3).tobytes()).hexdigest())
print(network_digest())
"""


def network_digest():
    """After lsuv, fixup and depth_scaled."""
    sha = hashlib.sha256()
    x = np.linspace(-1, 1, 600).reshape(200, 3) ** 3
    for rule in (lambda net: rules.lsuv(net, x), rules.fixup, rules.depth_scaled):
        net = deep(3)
        rule(net)
        for value in net.parameters().values():
            sha.update(value.tobytes())
    return sha.hexdigest()


def deep(blocks, inputs=3):
    inner = (Dense(24, "relu"), Dense(12, "gelu"), Dense(16))
    layers = [Dense(16, "tanh"), *[Residual(*inner)] * blocks, Maxout(8, 2), Dense(2)]
    return Network(layers, inputs=inputs, seed=3)


def test_bits_do_not_depend_on_threads_or_instruction_set():
    seen = {
        run_python(BITS, env={"GRADCORE_ISA": isa, "GRADCORE_NUM_THREADS": threads}).stdout
        for threads, isa in ways("13")
    }
    assert len(seen) == 1


def test_sparse_and_identity_have_their_shape():
    values = rules.Sparse(4).values((9, 6), 1, 0)
    assert ((values != 0).sum(axis=0) == 4).all()
    assert (rules.Sparse(20).values((9, 6), 1, 0) != 0).all()
    assert (rules.Sparse(2).values((5,), 1, 0) != 0).sum() == 2
    assert np.array_equal(rules.Identity(2.0).values((3, 5), 0, 0), 2 * np.eye(3, 5))
    net = Network([Dense(4, weight_init="identity")], inputs=4, dtype="float64")
    assert np.array_equal(net.predict(np.eye(4)), np.eye(4))


def test_sparse_chooses_every_input_alike():
    """Chi-square of the 40 inputs' counts over 4000 units: 39 degrees of freedom."""
    counts = (rules.Sparse(5).values((40, 4000), 2, 0) != 0).sum(axis=1)
    assert ((counts - 500) ** 2 / 500).sum() < 75


@pytest.mark.parametrize("name", rules.names())
def test_every_name_makes_a_network_and_travels(name, tmp_path):
    net = Network([Dense(5, weight_init=name), Dense(2)], inputs=4, seed=2)
    net.save(tmp_path / "net")
    assert Network.load(tmp_path / "net").layers == net.layers


def test_lsuv_gives_every_layer_unit_variance():
    x = np.random.default_rng(1).normal(size=(300, 3)) * 7 + 2
    net = deep(4)
    before = net.parameters()
    first = rules.lsuv(net, x)
    assert list(first) == [name for name in before if name.endswith("weight")]
    assert all(value > 0 for value in first.values())
    values = net.parameters()
    outputs = net.activations(x)
    linear = Network([Dense(2)], inputs=8)
    linear.set_parameters({"0.weight": values["6.weight"], "0.bias": values["6.bias"]})
    assert outputs["6"].var() == pytest.approx(1, abs=0.011)
    hidden = np.arctanh(outputs["0"].astype(np.float64).clip(-0.9999999, 0.9999999))
    assert 0.5 < hidden.var() < 1.05  # the clip takes from the tails
    assert outputs["1.2"].var() == pytest.approx(1, abs=0.011)
    assert exact.same_bits(linear.predict(outputs["5"]), outputs["6"])
    gram = values["1.0.weight"] @ values["1.0.weight"].T
    assert np.abs(gram / gram[0, 0] - np.eye(16)).max() < 1e-5
    again = deep(4)
    rules.lsuv(again, x)
    assert all(
        exact.same_bits(a, b) for a, b in zip(values.values(), again.parameters().values(), strict=True)
    )


def test_lsuv_changes_nothing_where_it_fails():
    net = Network([Dense(4, "relu", bias_init=-100.0), Dense(2)], inputs=3)
    before = net.parameters()
    with pytest.raises(StateError, match="1.weight: expected outputs of a variance above 0, got 0.0"):
        rules.lsuv(net, np.eye(3))
    assert all(exact.same_bits(a, b) for a, b in zip(before.values(), net.parameters().values(), strict=True))
    for arguments, error in (({"tolerance": 0}, ArgumentError), ({"tries": 0}, ArgumentError),
                             ({"tries": 1.5}, DTypeError), ({"tolerance": "a"}, DTypeError)):  # fmt: skip
        with pytest.raises(error):
            rules.lsuv(net, np.eye(3), **arguments)
    with pytest.raises(ArgumentError, match="X: expected at least 2 rows"):
        rules.lsuv(net, np.ones((1, 3)))
    with pytest.raises(gradcore.ShapeError, match="X"):
        rules.lsuv(net, np.ones((5, 2)))


def test_lsuv_leaves_standardize_to_fit():
    net = Network([gradcore.Standardize(), Dense(4)], inputs=3, dtype="float64")
    x = np.random.default_rng(0).normal(5, 3, (100, 3))
    rules.lsuv(net, x)
    assert not net.parameters()["0.mean"].any()
    net.standardize(x)
    assert net.predict(x).var() == pytest.approx(1, abs=0.011)


def test_fixup_blocks_begin_as_the_identity():
    net = deep(4)
    before = net.parameters()
    assert rules.fixup(net) == pytest.approx(4 ** (-1 / 4))
    values = net.parameters()
    for block in "1234":
        assert not values[f"{block}.2.weight"].any()
        for i in "01":
            name = f"{block}.{i}.weight"
            assert np.allclose(values[name], before[name] * 4 ** (-1 / 4), rtol=1e-6)
    assert not values["6.weight"].any() and exact.same_bits(values["5.weight"], before["5.weight"])
    outputs = net.activations(np.eye(3))
    assert np.array_equal(outputs["4"], outputs["0"])
    net = deep(4)
    rules.fixup(net, head=False)
    assert net.parameters()["6.weight"].any()


def test_depth_scaled_divides_the_last_weights_of_blocks():
    net = deep(4)
    before = net.parameters()
    assert rules.depth_scaled(net) == 0.5
    for name, value in net.parameters().items():
        factor = 0.5 if name.endswith(".2.weight") else 1.0
        assert exact.same_bits(value, before[name] * np.float32(factor))


def test_residual_rules_want_residual_blocks():
    for rule in (rules.fixup, rules.depth_scaled):
        for layers in ([Dense(3)], [Residual(Activation("relu")), Dense(3)]):
            with pytest.raises(StateError, match="expected a Residual block with a layer that has weights"):
                rule(Network(layers, inputs=3))


BAD = [
    (lambda: rules.Sparse(0), ArgumentError, "Sparse: nonzero"),
    (lambda: rules.Sparse(std=-1), ArgumentError, "Sparse: std: expected a number > 0"),
    (lambda: rules.Identity("1"), DTypeError, "Identity: gain"),
    (lambda: rules.VarianceScaling(0), ArgumentError, "VarianceScaling: scale: expected a number > 0"),
    (lambda: rules.VarianceScaling(mode="fan"), ArgumentError, "VarianceScaling: mode: expected one of"),
    (lambda: rules.VarianceScaling(distribution="x"), ArgumentError, "VarianceScaling: distribution"),
    (lambda: rules.TruncatedNormal(corrected=1), DTypeError, "TruncatedNormal: corrected"),
    (lambda: rules.Siren(first="no"), DTypeError, "Siren: first"),
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_options_are_named(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
