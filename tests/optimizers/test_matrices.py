"""Muon and SOAP: against other libraries and the published rule, which matrices they take, their state."""

import numpy as np
import pytest
from gradcore import Dense, Embedding, Heads, Network, Residual, Trainer, errors, optimizers
from gradcore.training.core_trainer import reserve
from oracle import exact
from oracle import optimizers as reference
from support import assert_same, cases, ways
from vectors import make_matrix as others
from vectors import make_torch

VECTORS = np.load(others.PATH)
THREADS = (1, 3, 8)
# PyTorch iterates in bfloat16, whose numbers have eight bits.
BARS = {"float64": 1e-12, "float32": 2e-6}
LOOSE = 0.02


@pytest.mark.parametrize("name", others.CONFIGURATIONS)
def test_muon_follows_the_library_of_the_style(dtype, name):
    """25 steps with an exact zero, 1e-20, 1e6, a sign flip, an all-zero step and a change of lr; errors are
    relative to the largest value that the number has had."""
    peer, _, options = others.CONFIGURATIONS[name]
    weights = [value.astype(dtype) for value in make_torch.start()]
    muon = optimizers.Muon(
        lambda step: others.RATES[step >= make_torch.CHANGE],
        decay_bias=True,
        groups=[("2", {"frozen": True})] if peer == "torch" else (),
        **options,
    )
    largest = np.abs(np.concatenate([w.reshape(-1) for w in weights])).astype(np.float64)
    for want, gradients in zip(VECTORS[name], make_torch.gradients(), strict=True):
        muon.update(weights, [gradient.astype(dtype) for gradient in gradients])
        got = np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)
        largest = np.maximum(largest, np.abs(got))
        error = np.abs(got - want) / np.maximum(largest, np.abs(want))
        assert error.max() <= (LOOSE if peer == "torch" else BARS[dtype])


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (1, 5), (5, 1), (33, 20), (3, 70)])
def test_muon_moves_by_an_orthogonal_matrix(shape):
    """The cubic iteration goes on to singular values of 1."""
    options = {"steps": 60, "coefficients": (1.5, -0.5, 0.0), "weight_decay": 0.0}
    for scale, factor in {
        "spectral": np.sqrt(max(1, shape[1] / shape[0])),
        "unclamped": np.sqrt(shape[1] / shape[0]),
        "rms": 0.3 * np.sqrt(max(shape)),
    }.items():
        w, g = np.zeros(shape), cases.normal(shape, "float64", "g")
        optimizers.Muon(0.1, scale=scale, rms=0.3, **options).update([w], [g])
        values = np.linalg.svd(w, compute_uv=False)
        assert np.allclose(values, 0.1 * factor, rtol=1e-9)
        u, _, v = np.linalg.svd(g, full_matrices=False)
        assert np.allclose(-w / (0.1 * factor), u @ v, atol=1e-9)


def test_momentum_zero_and_gradients_of_zero_are_fine():
    w, before = np.ones((4, 3)), np.ones((4, 3))
    optimizers.Muon(0.1, momentum=0.0, weight_decay=0.0).update([w], [np.zeros((4, 3))])
    assert exact.same_bits(w, before)


# ---- Which matrices ----


def names_of(optimizer, layers, inputs=6):
    trainer = Trainer(Network(layers, inputs=inputs, seed=1), "mse", optimizer)
    pairs = zip(trainer.net._model.infos, trainer._state.whole, strict=True)
    return [info["name"] for info, whole in pairs if whole]


def test_muon_takes_the_matrices_between_the_outer_layers():
    hidden = [Dense(8, "relu"), Dense(8, "relu"), Residual(Dense(9), Dense(8)), Dense(2)]
    assert names_of(optimizers.Muon(), hidden) == ["1.weight", "2.0.weight", "2.1.weight"]
    assert names_of(optimizers.Muon(), [Dense(8), Dense(2)]) == []
    assert names_of(optimizers.Muon(), [Dense(2)]) == []
    assert names_of(optimizers.Muon(matrices=["0.*", "1.weight"]), hidden) == ["0.weight", "1.weight"]


def test_muon_leaves_the_last_layer_of_every_head_alone():
    heads = {"a": [Dense(7), Residual(Dense(7)), Dense(3)], "b": Dense(2), "c": [Dense(4, "relu"), Dense(1)]}
    losses = dict.fromkeys(heads, "mse")

    def taken(*trunk):
        trainer = Trainer(Network([*trunk, Heads(heads)], inputs=6, seed=1), losses, optimizers.Muon())
        pairs = zip(trainer.net.parameters(), trainer._state.whole, strict=True)
        return [name for name, whole in pairs if whole]

    assert taken(Dense(8), Dense(8)) == ["1.weight", "2.a.0.weight", "2.a.1.0.weight", "2.c.0.weight"]
    assert taken(Dense(8)) == ["1.a.0.weight", "1.a.1.0.weight", "1.c.0.weight"]
    assert taken() == ["0.a.1.0.weight"]


def test_muon_leaves_tables_of_embeddings_alone():
    layers = [Dense(8), Dense(8), Dense(2)]
    net = Network([Embedding({0: (5, 3)}), *layers], inputs=3, seed=1)
    trainer = Trainer(net, "mse", optimizers.Muon())
    pairs = zip(net._model.infos, trainer._state.whole, strict=True)
    taken = [info["name"] for info, whole in pairs if whole]
    assert taken == ["1.weight", "2.weight"]


def test_soap_takes_all_matrices_and_vectors_if_asked():
    layers = [Dense(8, "relu"), Dense(2)]
    assert names_of(optimizers.SOAP(), layers) == ["0.weight", "1.weight"]
    assert names_of(optimizers.SOAP(precondition_1d=True), layers) == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]
    assert names_of(optimizers.SOAP(matrices=["1.*"]), layers) == ["1.weight"]


@pytest.mark.parametrize("kind", ["Muon", "SOAP"])
def test_patterns_have_to_match_a_matrix(kind):
    for patterns, error in ((["3.*"], errors.ArgumentError), (["0.bias"], errors.ArgumentError)):
        with pytest.raises(error, match=f"{kind}: matrices"):
            names_of(getattr(optimizers, kind)(matrices=patterns), [Dense(8), Dense(2)])
    for patterns in ("0.*", [3], [""], 7):
        with pytest.raises(errors.DTypeError, match=f"{kind}: matrices"):
            getattr(optimizers, kind)(matrices=patterns)


def test_what_is_no_matrix_moves_by_adamw():
    muon = optimizers.Muon(0.1, adam_lr=0.03, betas=(0.8, 0.97), weight_decay=0.2, eps=1e-6)
    adam = optimizers.AdamW(0.03, betas=(0.8, 0.97), weight_decay=0.2, eps=1e-6)
    v, w = cases.normal(9, "float64", "v"), cases.normal(9, "float64", "v")
    for step in range(4):
        g = cases.normal(9, "float64", "g", step)
        muon.update({"v": v, "m": np.ones((2, 2))}, {"v": g, "m": np.ones((2, 2))})
        adam.update([w], [g])
    assert exact.same_bits(v, w)


BAD = [
    ("Muon", {"scale": "frobenius"}, errors.ArgumentError, "scale"),
    ("Muon", {"rms": 0.0}, errors.ArgumentError, "rms"),
    ("Muon", {"steps": 0}, errors.ArgumentError, "steps"),
    ("Muon", {"steps": 2.5}, errors.DTypeError, "steps"),
    ("Muon", {"coefficients": (1.0, 2.0)}, errors.DTypeError, "coefficients"),
    ("Muon", {"coefficients": (1.0, 2.0, float("nan"))}, errors.ArgumentError, "coefficients"),
    ("Muon", {"adam_lr": 0.0}, errors.ArgumentError, "adam_lr"),
    ("SOAP", {"frequency": 0}, errors.ArgumentError, "frequency"),
    ("SOAP", {"max_size": -1}, errors.ArgumentError, "max_size"),
    ("SOAP", {"shampoo_beta": 1.5}, errors.ArgumentError, "shampoo_beta"),
    ("SOAP", {"precondition_1d": 1}, errors.DTypeError, "precondition_1d"),
]


@pytest.mark.parametrize(("kind", "options", "error", "message"), BAD)
def test_bad_options_are_refused(kind, options, error, message):
    with pytest.raises(error, match=f"{kind}: {message}"):
        getattr(optimizers, kind)(**options)


# ---- SOAP ----


def factors_of(soap, key=0):
    """(gram, basis) of the rows and of the columns of a plain array."""
    slots = soap._plain._slots[key][2:]
    return [None if s is None else (s[: len(s) // 2], s[len(s) // 2 :]) for s in slots]


# The second basis is defined only if the gradients so far span the space.
OFTEN = {"frequency": 3, "betas": (0.9, 0.8)}
SPANNED = [
    *((shape, {}) for shape in [(6, 6), (5, 7), (7, 5), (12, 3), (7, 1), (1, 4), (40, 17)]),
    *((shape, OFTEN) for shape in [(6, 6), (5, 7), (7, 5), (12, 3), (1, 4), (40, 17)]),
    *((shape, {"frequency": 1}) for shape in [(6, 6), (5, 7), (7, 5)]),
    *((shape, {"max_size": 6}) for shape in [(5, 7), (7, 5), (12, 3), (7, 1), (40, 17)]),
]


@pytest.mark.parametrize(("shape", "options"), SPANNED)
def test_soap_is_the_published_rule(shape, options):
    """Where the first gradient leaves some eigenvectors open, the rule goes on from ours."""
    soap = optimizers.SOAP(0.01, **options)
    most, rest = options.get("max_size", 10_000), {k: v for k, v in options.items() if k != "max_size"}
    sides = tuple(1 < n <= most for n in shape)
    w = cases.normal(shape, "float64", "w")
    want, state, bases = w.copy(), {}, None
    for step in range(25):
        g = cases.normal(shape, "float64", "g", step) if step != 12 else np.zeros(shape)
        soap.update([w], [g])
        if step == 0:
            bases = [
                np.eye(n) if f is None else f[1].copy() for n, f in zip(shape, factors_of(soap), strict=True)
            ]
        want = reference.soap(want, g, state, 0.01, step + 1, sides=sides, bases=bases, **rest)
        assert np.abs(w - want).max() <= 1e-12


def test_soap_in_float32_is_near(dtype):
    soap, w = optimizers.SOAP(0.01), cases.normal((9, 9), dtype, "w")
    want, state = w.astype(np.float64), {}
    for step in range(25):
        g = cases.normal((9, 9), dtype, "g", step)
        soap.update([w], [g])
        want = reference.soap(want, g.astype(np.float64), state, 0.01, step + 1)
    assert np.abs(w - want).max() <= (1e-12 if dtype == "float64" else 1e-5)


def test_the_first_update_of_soap_changes_no_weight():
    soap = optimizers.SOAP(0.1)
    w = [np.ones((3, 4)), np.ones(5)]
    soap.update(w, [np.ones((3, 4)), np.ones(5)])
    assert (w[0] == 1).all()
    assert (w[1] == 1).all()
    soap.update(w, [np.ones((3, 4)), np.ones(5)])
    assert (w[0] != 1).all()
    assert (w[1] != 1).all()


def test_vectors_are_adams_one_update_later_unless_they_have_a_basis():
    plain, rotated = (
        optimizers.SOAP(0.1, weight_decay=0.0),
        optimizers.SOAP(0.1, weight_decay=0.0, precondition_1d=True),
    )
    v, u, want, state = np.ones(6), np.ones((1, 6)), np.ones(6), {}
    flat = np.ones(6)
    for step in range(12):
        g = cases.normal(6, "float64", "g", step)
        plain.update([v], [g])
        rotated.update([flat], [g])
        optimizer = state.setdefault("soap", optimizers.SOAP(0.1, weight_decay=0.0))
        optimizer.update([u], [g.reshape(1, 6)])
        if step:
            m = state["m"] = 0.95 * state.get("m", 0) + 0.05 * g
            s = state["s"] = 0.95 * state.get("s", 0) + 0.05 * g * g
            rate = 0.1 * np.sqrt(1 - 0.95**step) / (1 - 0.95**step)
            want = want - rate * m / (np.sqrt(s) + 1e-8)
    assert np.allclose(v, want, rtol=1e-13)
    assert exact.same_bits(flat, u[0])


def graded(n, rank, rng):
    """A gradient whose gram matrix has eigenvalues over many orders of magnitude, or of 0."""
    left, right = np.linalg.qr(rng.standard_normal((n, n)))[0], np.linalg.qr(rng.standard_normal((n, n)))[0]
    sizes = np.geomspace(1, 1e-5, n) * (np.arange(n) < rank)
    return left @ np.diag(sizes) @ right.T


@pytest.mark.parametrize("n", [2, 3, 5, 16, 31, 64, 65, 150])
@pytest.mark.parametrize("kind", ["graded", "low rank", "zero", "ones", "diagonal", "huge", "tiny"])
def test_the_first_bases_are_eigenvectors(n, kind):
    rng = np.random.default_rng(n)
    g = {
        "graded": lambda: graded(n, n, rng),
        "low rank": lambda: graded(n, max(1, n // 3), rng),
        "zero": lambda: np.zeros((n, n)),
        "ones": lambda: np.ones((n, n)),
        "diagonal": lambda: np.diag(rng.permutation(n) + 1.0),
        "huge": lambda: 1e120 * rng.standard_normal((n, n)),
        "tiny": lambda: 1e-120 * rng.standard_normal((n, n)),
    }[kind]()
    soap = optimizers.SOAP()
    soap.update([np.ones((n, n))], [g])
    for gram, basis in factors_of(soap):
        scale = np.abs(gram).max() or 1.0
        turned = basis.T @ (gram / scale) @ basis
        values = turned.diagonal()
        assert np.abs(basis.T @ basis - np.eye(n)).max() < 1e-13 * n
        assert np.abs(turned - np.diag(values)).max() < 1e-14 * n
        assert (np.diff(values) <= 1e-14 * n).all()
        assert np.allclose(values, np.linalg.eigvalsh(gram / scale)[::-1], rtol=0, atol=1e-14 * n)


def test_bases_stay_orthonormal(dtype):
    soap, w = optimizers.SOAP(frequency=2), np.ones((70, 33), dtype)
    for step in range(30):
        g = cases.normal((70, 33), dtype, "g", step)
        g[:, 5:] *= np.dtype(dtype).type(1e-4 if step < 20 else 0)
        soap.update([w], [g])
    for _, basis in factors_of(soap):
        error = np.abs(basis.T.astype(np.float64) @ basis - np.eye(len(basis))).max()
        assert error < (1e-13 if dtype == "float64" else 1e-6)


# ---- In a trainer ----


def trainer_of(optimizer, widths=(33, 70, 3), dtype="float32", **options):
    layers = [cases.dense(width, "tanh") for width in widths]
    import gradcore

    net = cases.network(gradcore, layers, 19, seed=3, dtype=dtype, **options)
    return Trainer(net, "mse", optimizer)


def train(trainer, first, last, scale=1.0):
    dtype = trainer.net.dtype
    for step in range(first, last):
        x = cases.normal((128, 19), dtype, "x", step) * dtype.type(scale)
        trainer.step(x, cases.normal((128, trainer.net.outputs), dtype, "y", step))


EVERY = ["*.weight"]
MADE = {
    "muon": lambda: optimizers.Muon(0.02, matrices=EVERY),
    "muon optax": lambda: optimizers.Muon(0.02, matrices=EVERY, style="optax"),
    "soap": lambda: optimizers.SOAP(0.01, frequency=3),
    "soap vectors": lambda: optimizers.SOAP(0.01, frequency=2, precondition_1d=True, max_size=40),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("widths", [(33, 70, 3), (130, 1), (16, 16, 16)])
def test_threads_and_instruction_sets_agree(name, widths, dtype):
    results = []
    for threads, isa in ways(THREADS):
        trainer = trainer_of(MADE[name](), widths, dtype, threads=threads, isa=isa)
        train(trainer, 0, 8)
        results.append(trainer.net.parameters())
    for result in results[1:]:
        assert_same(result, results[0])


@pytest.mark.parametrize("name", MADE)
def test_an_update_that_overflows_leaves_all_state_alone(name, tmp_path):
    """Gradients of 1e30 have no gram matrix in float32; they have a direction."""
    trainer, other = trainer_of(MADE[name]()), trainer_of(MADE[name]())
    for each in (trainer, other):
        train(each, 0, 4)
    before = trainer.net.parameters()
    x, y = np.ones((8, 19), np.float32), np.full((8, 3), 1e30, np.float32)
    trainer.step(x, y)
    if name.startswith("soap"):
        assert trainer.skipped == 1
    if trainer.skipped:
        assert_same(trainer.net.parameters(), before)
        for each in (trainer, other):
            train(each, 4, 9)
        assert_same(trainer.net.parameters(), other.net.parameters())
    else:
        assert all(np.isfinite(value).all() for value in trainer.net.parameters().values())


def test_frozen_matrices_stay_and_groups_have_their_rates():
    groups = [("0.weight", {"frozen": True}), ("1.weight", {"lr_factor": 0.5, "weight_decay": 0.0})]
    trainer = trainer_of(optimizers.Muon(0.02, matrices=EVERY, groups=groups), dtype="float64")
    plain = optimizers.Muon(0.01, weight_decay=0.0)
    before = trainer.net.parameters()
    x, y = cases.normal((128, 19), "float64", "x", 0), cases.normal((128, 3), "float64", "y", 0)
    g = trainer.gradients(x, y)[1]
    train(trainer, 0, 1)
    after = trainer.net.parameters()
    assert exact.same_bits(after["0.weight"], before["0.weight"])
    want = before["1.weight"].copy()
    plain.update([want], [g["1.weight"]])
    assert np.allclose(after["1.weight"], want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["soap", "soap vectors"])
def test_factors_are_kept_in_checkpoints(name, tmp_path):
    trainer = trainer_of(MADE[name]())
    train(trainer, 0, 7)
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=2)
    for index in range(len(trainer.net._model.infos)):
        for side in (0, 1):
            order = trainer._state.core.factor_order(index, side)
            assert other._state.core.factor_order(index, side) == order
            if order:
                assert exact.same_bits(
                    trainer._state.core.factor_read(index, side), other._state.core.factor_read(index, side)
                )
    for each in (trainer, other):
        train(each, 7, 12)
    assert_same(trainer.net.parameters(), other.net.parameters())


def test_the_core_refuses_what_is_no_matrix():
    trainer = trainer_of(MADE["soap"]())
    train(trainer, 0, 1)
    core, count = trainer._state.core, len(trainer.net._model.infos)
    with pytest.raises(errors.StateError, match="before the first step"):
        core.set_matrices(bytes(count), 10)
    with pytest.raises(errors.ShapeError, match="mask"):
        core.set_matrices(bytes(count + 1), 10)
    with pytest.raises(errors.ArgumentError, match="factor"):
        core.factor_read(1, 0)
    with pytest.raises(errors.ShapeError, match="value"):
        core.factor_write(0, 0, np.zeros((3, 3), np.float32))
    bad = core.factor_read(0, 0)
    bad[0, 0] = np.nan
    with pytest.raises(errors.ArgumentError, match="finite"):
        core.factor_write(0, 0, bad)
    adam = trainer_of(optimizers.Adam())
    reserve(adam._state, 4)
    with pytest.raises(errors.StateError, match="optimizer of matrices"):
        adam._state.core.set_matrices(bytes(count), 10)
    muon = trainer_of(optimizers.Muon())
    with pytest.raises(errors.ArgumentError, match="trainable matrix"):
        reserve(muon._state, 4).set_matrices(bytes([0, 1, 0, 0, 0, 0]), 10)


def test_plain_matrices_may_have_any_layout(dtype):
    for kind in (optimizers.Muon, optimizers.SOAP):
        w = cases.normal((6, 7), dtype, "w")
        other, first, second = cases.fortran(w), kind(0.1), kind(0.1)
        for step in range(4):
            g = cases.normal((6, 7), dtype, "g", step)
            first.update([w], [g])
            second.update([other], [cases.fortran(g)])
        assert exact.same_bits(w, other)
