"""Random numbers, the shuffle and initial weights: known answers, statistics, and what they depend on."""

import math
from statistics import NormalDist

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import _core
from oracle import exact
from support import cases, run_python, ways

SEEDS = (0, 1, 12345, 2**32 + 7, 2**64 - 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stream", [0, 3, 2**32 - 2])
def test_uniform_is_philox(seed, stream):
    got = _core.fill("uniform", seed, stream, 7, 13, 0.0, 1.0)
    assert exact.same_bits(got.reshape(-1), oracle.rng.uniform(seed, stream, 91))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000, 4097])
@pytest.mark.parametrize("seed", SEEDS)
def test_shuffle_is_fisher_yates_over_philox(seed, size):
    for epoch in (0, 1, 2**33 + 5):
        assert _core.shuffle(seed, epoch, size).tolist() == oracle.rng.shuffle(seed, epoch, size)


def test_shuffle_moves_every_row_everywhere():
    """Chi-square over the 5 x 5 table of (row, place) in 10,000 epochs: 16 degrees of freedom."""
    places = np.zeros((5, 5))
    for epoch in range(10_000):
        places[np.arange(5), _core.shuffle(9, epoch, 5)] += 1
    assert ((places - 2000) ** 2 / 2000).sum() < 50


def test_normal_is_the_inverse_distribution_of_uniform_numbers():
    got = _core.fill("normal", 5, 2, 100, 100, 3.0, 0.5).reshape(-1)
    shares = oracle.rng.uniform(5, 2, got.size)
    bits = np.floor(shares * 2**52) + 0.5  # the odd multiples of 2^-53
    inverse = NormalDist(3.0, 0.5).inv_cdf
    want = [inverse(share) for share in bits / 2**52]
    assert np.allclose(got, want, rtol=1e-13, atol=1e-13)


def kolmogorov(sample, cdf):
    """The test statistic times sqrt n; beyond 1.95 in one of a thousand."""
    ordered = np.sort(sample)
    below = np.array([cdf(x) for x in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return math.sqrt(len(ordered)) * max((steps[1:] - below).max(), (below - steps[:-1]).max())


def test_distributions_fit():
    normal = NormalDist()
    inside = normal.cdf(2) - normal.cdf(-2)
    drawn = {kind: _core.fill(kind, 77, 1, 100, 200, 0.0, 1.0).reshape(-1) for kind in
             ("uniform", "normal", "truncated_normal")}  # fmt: skip
    assert kolmogorov(drawn["uniform"], lambda x: x) < 1.95
    assert kolmogorov(drawn["normal"], normal.cdf) < 1.95
    assert kolmogorov(drawn["truncated_normal"], lambda x: (normal.cdf(x) - normal.cdf(-2)) / inside) < 1.95
    assert np.abs(drawn["truncated_normal"]).max() <= 2


def test_streams_and_seeds_are_uncorrelated():
    drawn = [_core.fill("normal", seed, stream, 1, 20_000, 0.0, 1.0)[0] for seed, stream in
             ((1, 0), (1, 1), (2, 0), (2**32 + 1, 0))]  # fmt: skip
    correlation = np.corrcoef(drawn) - np.eye(4)
    assert np.abs(correlation).max() < 0.03


ORTHOGONAL_SHAPES = [
    (1, 1),
    (7, 7),
    (5, 64),
    (64, 5),
    (1, 9),
    (9, 1),
    (33, 31),
    (64, 64),
    (65, 130),
    (257, 193),
]


@pytest.mark.parametrize(("rows", "columns"), ORTHOGONAL_SHAPES)
def test_orthogonal_is_the_orthogonal_factor_of_a_normal_matrix(rows, columns):
    q = _core.fill("orthogonal", 3, 0, rows, columns, 1.5, 0.0)
    few, many = sorted((rows, columns))
    q = q if rows <= columns else q.T
    assert np.abs(q @ q.T - 2.25 * np.eye(few)).max() < 1e-13
    lower = _core.fill("normal", 3, 0, few, many, 0.0, 1.0) @ q.T
    assert np.abs(np.triu(lower, 1)).max() < 1e-12 and (np.diag(lower) > 0).all()


BITS = """
import gradcore, hashlib
from gradcore import _core
for rows, columns in ((64, 5), (65, 130), (400, 300)):
    print(hashlib.sha256(_core.fill("orthogonal", 3, 7, rows, columns, 1.0, 0.0).tobytes()).hexdigest())
"""


def test_orthogonal_has_the_same_bits_for_any_threads_and_instruction_set():
    seen = {
        run_python(BITS, env={"GRADCORE_ISA": isa, "GRADCORE_NUM_THREADS": threads}).stdout
        for threads, isa in ways("125")
    }
    assert len(seen) == 1 and len(seen.pop().split()) == 3


def test_a_longer_draw_begins_with_the_shorter_one():
    long = _core.fill("normal", 8, 4, 10, 10, 0.0, 1.0).reshape(-1)
    short = _core.fill("normal", 8, 4, 3, 11, 0.0, 1.0).reshape(-1)
    assert exact.same_bits(long[:33], short)


@pytest.mark.parametrize("activation", oracle.activations.ACTIVATIONS)
def test_default_weights_have_the_spread_of_their_initialiser(activation):
    net = gradcore.Network([gradcore.Dense(300, activation)], inputs=200, seed=4, dtype="float64")
    weight, bias = (net.parameters()[f"0.{name}"] for name in ("weight", "bias"))
    kind = _core.describe("activation", activation, "initializer")
    limit = oracle.initializers.initial_limit(kind, 200, 300)
    assert not bias.any()
    assert abs(weight.mean()) < 4 * limit / math.sqrt(weight.size)
    if kind.endswith("uniform") or kind == "siren":
        assert 0.999 * limit < np.abs(weight).max() <= limit
        limit /= math.sqrt(3)
    assert abs(weight.std() / limit - 1) < 0.01


def test_initial_weights_depend_on_seed_and_shapes_alone(isa, dtype):
    layers = [cases.dense(37, "relu"), cases.residual(cases.dense(37, "tanh")), cases.dense(5)]

    def weights(seed, **options):
        return cases.network(gradcore, layers, 21, seed=seed, dtype=dtype, **options).parameters()

    first = weights(0)
    assert all(exact.same_bits(a, b) for a, b in zip(first.values(), weights(0, isa=isa, threads=3).values(),
                                                     strict=True))  # fmt: skip
    assert not exact.same_bits(first["0.weight"], weights(1)["0.weight"])
    assert not np.array_equal(first["1.0.weight"][:5, :5], first["0.weight"][:5, :5])


def test_float32_weights_are_the_rounded_float64_weights():
    one, two = (gradcore.Network([gradcore.Dense(50, "gelu")], inputs=30, seed=6, dtype=dtype).parameters()
                for dtype in cases.DTYPES)  # fmt: skip
    assert exact.same_bits(one["0.weight"], two["0.weight"].astype(np.float32))


# ---- Gains ----

PYTORCH_GAINS = {"identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


@pytest.mark.parametrize("name", oracle.activations.ACTIVATIONS)
def test_gains_are_pytorchs_or_preserve_the_mean_square(name):
    got = gradcore.initializers.gain(name)
    if name == "leaky_relu":
        assert got == pytest.approx(1.4141428569978354, rel=1e-15)
        assert gradcore.initializers.gain(name, 0.2) == pytest.approx(1.3867504905630728, rel=1e-15)
    elif name in PYTORCH_GAINS:
        assert got == PYTORCH_GAINS[name]
    else:
        z = np.linspace(-14, 14, 280_001)
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        value = oracle.activation(name, z, oracle.activations.DEFAULT_ALPHA.get(name, 0.0))
        assert got == pytest.approx(1 / math.sqrt((value**2 * density).sum() * (z[1] - z[0])), rel=1e-7)


def test_gain_refuses_what_is_not_there():
    for arguments in (("no_such",), ("relu", 0.3), ("elu", -1.0), ("celu", 0.0), ("sin", 1e7)):
        with pytest.raises(gradcore.ArgumentError):
            gradcore.initializers.gain(*arguments)


def test_siren_weights_are_bounded_by_their_place():
    Dense, Residual = gradcore.Dense, gradcore.Residual
    sine = gradcore.Activation("sin", alpha=20)
    net = gradcore.Network([Dense(300, sine), Residual(Dense(300, "sin")), Dense(9, weight_init="siren")],
                           inputs=7, seed=2)  # fmt: skip
    for name, limit in (("0", 1 / 7), ("1.0", math.sqrt(6 / 300) / 30), ("2", math.sqrt(6 / 300) / 30)):
        largest = np.abs(net.parameters()[f"{name}.weight"]).max()
        assert 0.98 * limit < largest <= limit * (1 + 1e-6)
    with pytest.raises(gradcore.ArgumentError, match="omega"):
        gradcore.initializers.Siren(0)
