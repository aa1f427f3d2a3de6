"""Accumulated gradients are those of one large batch, whatever the batches, weights and heads are."""

import json

import numpy as np
import pytest
from gradcore import BatchNorm, Dense, Network, Trainer, clipping, errors, losses, optimizers
from gradcore.losses import penalties
from gradcore.network import files
from support import assert_same, exact_labels, exact_uniform, heads_problem

SIZES = (7, 1, 12, 4)  # of the batches of an update
ROWS = sum(SIZES)
X = exact_uniform((ROWS, 5), "float64", 1)
LABELS = exact_labels(ROWS, 3, 2)
VALUES = exact_uniform((ROWS, 3), "float64", 3)
EVEN = None
UNEVEN = np.abs(exact_uniform(ROWS, "float64", 4)) + 0.01
SPARSE = (exact_uniform(ROWS, "float64", 5) > 0.3).astype(np.float64)
SPARSE[[0, 7, 8, 20]] = 1  # something in every batch
IGNORED = np.where(exact_uniform(ROWS, "float64", 6) > 0.4, -1, LABELS)

CASES = {
    "mse": ("mse", VALUES, EVEN),
    "mse, uneven": ("mse", VALUES, UNEVEN),
    "mse, sparse": ("mse", VALUES, SPARSE),
    "huber, uneven": (losses.Huber(0.3), VALUES, UNEVEN),
    "classes": ("cross_entropy", LABELS, EVEN),
    "class weights": (losses.CrossEntropy(class_weight={0: 0.2, 1: 5.0, 2: 1.0}), LABELS, EVEN),
    "class weights, uneven": (losses.CrossEntropy(class_weight={0: 0.2, 1: 5.0, 2: 1.0}), LABELS, UNEVEN),
    "ignored": (losses.CrossEntropy(ignore_index=-1), IGNORED, EVEN),
    "ignored, uneven": (losses.CrossEntropy(ignore_index=-1, label_smoothing=0.1), IGNORED, UNEVEN),
    "own loss": (lambda output, y: (((output - y) ** 2).mean(), 2 * (output - y) / y.size), VALUES, EVEN),
}


def make(loss, optimizer, seed=1, **options):
    penalty = penalties.Elastic(0.01, 0.02)
    net = Network([Dense(9, "tanh", penalty=penalty), Dense(3)], inputs=5, seed=seed, dtype="float64")
    return Trainer(net, loss, optimizer, **options)


def cut(value, at):
    """Rows of an array, of each array of a dict, of nothing."""
    return (
        {k: v[at] for k, v in value.items()}
        if isinstance(value, dict)
        else None
        if value is None
        else value[at]
    )


def parts(trainer, x, y, weight, sizes=SIZES):
    first = 0
    for size in sizes:
        at = slice(first, first + size)
        trainer.step(x[at], cut(y, at), cut(weight, at))
        first += size


def close(got, want, tolerance=1e-13):
    assert list(got) == list(want)
    for name, value in want.items():
        assert np.allclose(got[name], value, rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize(
    "clip", [None, clipping.GlobalNorm(0.05), clipping.ByValue(0.01), clipping.Adaptive(0.02)]
)
@pytest.mark.parametrize("case", CASES)
def test_batches_of_any_size_and_weight_are_the_large_batch(case, clip):
    loss, y, weight = CASES[case]
    large = make(loss, optimizers.SGD(0.3, momentum=0.9), clip=clip)
    small = make(loss, optimizers.Accumulate(optimizers.SGD(0.3, momentum=0.9), 4), clip=clip)
    for _ in range(3):
        large.step(X, y, weight)
        parts(small, X, y, weight)
    close(small.net.parameters(), large.net.parameters())
    assert (large._state.core.updates, small._state.core.updates) == (3, 12)


@pytest.mark.parametrize("empty", [slice(0, 6), slice(0, 12), slice(6, 12), slice(18, 24)])
def test_a_batch_without_weight_has_no_share(empty):
    """The first, the first two, one between, the last; penalties are there all the same."""
    weight = UNEVEN.copy()
    weight[empty] = 0
    large = make("mse", optimizers.SGD(0.3))
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.3), 4))
    for trainer, size in ((large, ROWS), (small, 6)):
        trainer.fit(X, VALUES, epochs=3, batch_size=size, shuffle=False, sample_weight=weight, progress=False)
    close(small.net.parameters(), large.net.parameters())


@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_the_large_batch_of_numpy(threads):
    """Class weights, row weights, a penalty counted once: one layer, in closed form."""
    classes, strength = np.array([0.2, 5.0, 1.0]), 0.05
    net = Network(
        [Dense(3, penalty=penalties.L2(strength))], inputs=5, seed=2, dtype="float64", threads=threads
    )
    w, b = net.parameters().values()
    loss = losses.CrossEntropy(class_weight=dict(enumerate(classes)))
    small = Trainer(net, loss, optimizers.Accumulate(optimizers.SGD(0.5), 4))
    parts(small, X, LABELS, UNEVEN)
    z = X @ w + b
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = UNEVEN * classes[LABELS]
    d = (p - np.eye(3)[LABELS]) * (rows / rows.sum())[:, None]
    want = {"0.weight": w - 0.5 * (X.T @ d + 2 * strength * w), "0.bias": b - 0.5 * d.sum(0)}
    close(net.parameters(), want)
    assert np.abs(want["0.weight"] - w).max() > 0.01


@pytest.mark.parametrize(
    "wrap", [lambda rule: optimizers.SAM(rule, 0.0), lambda rule: optimizers.EMA(rule, 0.5)]
)
def test_with_another_wrapper_inside_or_outside(wrap):
    for nest in (lambda r: optimizers.Accumulate(wrap(r), 4), lambda r: wrap(optimizers.Accumulate(r, 4))):
        large, small = make("mse", wrap(optimizers.Adam(0.05))), make("mse", nest(optimizers.Adam(0.05)))
        for _ in range(2):
            large.step(X, VALUES, UNEVEN)
            parts(small, X, VALUES, UNEVEN)
        close(small.net.parameters(), large.net.parameters(), 1e-11)


def test_a_short_last_batch_of_an_epoch_counts_as_its_rows():
    large = make("mse", optimizers.SGD(0.2))
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.2), 3))
    for weight in (None, UNEVEN):
        large.fit(X, VALUES, epochs=4, batch_size=ROWS, shuffle=False, sample_weight=weight, progress=False)
        small.fit(X, VALUES, epochs=4, batch_size=10, shuffle=False, sample_weight=weight, progress=False)
    close(small.net.parameters(), large.net.parameters())


@pytest.mark.parametrize("case", ["mse, uneven", "class weights, uneven", "ignored"])
def test_slices_and_single_steps_give_the_same_bits(case):
    loss, y, weight = CASES[case]
    by_fit, by_hand = (make(loss, optimizers.Accumulate(optimizers.Adam(0.02), 3)) for _ in range(2))
    by_fit.fit(X, y, epochs=2, batch_size=7, shuffle=False, sample_weight=weight, progress=False)
    for _ in range(2):
        parts(by_hand, X, y, weight, (7, 7, 7, 3))
    assert_same(by_fit.net.parameters(), by_hand.net.parameters())


def test_a_batch_that_is_not_finite_is_left_out():
    bad = X.copy()
    bad[7] = np.nan  # the second batch
    keep = np.arange(ROWS) != 7
    large = make("mse", optimizers.SGD(0.2))
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.2), 3))
    large.step(X[keep], VALUES[keep], UNEVEN[keep])
    parts(small, bad, VALUES, UNEVEN)
    assert small.skipped == 1
    close(small.net.parameters(), large.net.parameters())


def test_an_update_that_overflows_takes_along_what_waited():
    """Every gradient is finite, what the optimizer makes of their mean is not: the next ones start anew."""
    small, fresh = (make("mse", optimizers.Accumulate(optimizers.SGD(1e200), 2)) for _ in range(2))
    before = small.net.parameters()
    huge = VALUES * 1e150
    small.step(X[:4], huge[:4])
    small.step(X[4:9], VALUES[4:9])
    assert_same(small.net.parameters(), before)
    assert small._state.core.updates == 0
    for trainer in (small, fresh):
        trainer.step(X[9:11], VALUES[9:11] * 1e-201)
        trainer.step(X[11:], VALUES[11:] * 1e-201)
    assert small.steps == 4 and small._state.core.updates == fresh._state.core.updates
    assert_same(small.net.parameters(), fresh.net.parameters())


def test_a_refused_update_leaves_what_waits():
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.1), 2), nonfinite="raise")
    other = make("mse", optimizers.Accumulate(optimizers.SGD(0.1), 2))
    small.step(X[:4], VALUES[:4])
    state = small._state.core.accumulated_read(), [small._state.core.state_read(0, i) for i in range(4)]
    with pytest.raises(errors.NonFiniteError):
        small.step(X[4:9], VALUES[4:9] * 1e200)
    assert np.array_equal(state[0], small._state.core.accumulated_read())
    assert all(np.array_equal(small._state.core.state_read(0, i), state[1][i]) for i in range(4))
    small.step(X[9:], VALUES[9:])
    other.step(X[:4], VALUES[:4])
    other.step(X[9:], VALUES[9:])
    assert_same(small.net.parameters(), other.net.parameters())


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_checkpoint_between_the_batches_goes_on_bit_for_bit(stop, tmp_path):
    loss, y, weight = CASES["class weights, uneven"]
    trainer = make(loss, optimizers.Accumulate(optimizers.Adam(0.02), 4))
    parts(trainer, X, y, weight)
    parts(trainer, X, y, weight, SIZES[:stop])
    trainer.save(tmp_path / "t")
    again = Trainer.load(tmp_path / "t")
    first = sum(SIZES[:stop])
    for each in (trainer, again):
        parts(each, X[first:], y[first:], weight[first:], SIZES[stop:])
        parts(each, X, y, weight, (20, 2, 1, 1))  # a larger batch: the state moves to a larger core
    assert_same(again.net.parameters(), trainer.net.parameters())


def test_a_file_without_the_sums_of_weights_counts_its_batches_alike(tmp_path):
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.5), 3))
    large = make("mse", optimizers.SGD(0.5))
    parts(small, X, VALUES, None, (8, 8))
    small.save(tmp_path / "t")
    tensors, metadata = files.read(tmp_path / "t")
    about = json.loads(metadata["trainer"])
    assert about.pop("accumulated") == [0.0, 16.0]
    metadata["trainer"] = json.dumps(about)
    files.write(tmp_path / "t", list(tensors.items()), metadata)
    small = Trainer.load(tmp_path / "t")
    assert small._state.core.accumulated_read()[1] == -1
    small.step(X[16:], VALUES[16:])
    large.step(X, VALUES)
    close(small.net.parameters(), large.net.parameters())


@pytest.mark.parametrize("numbers", [[0.5, 1.0], [1.0, 1.0], [0.0, -2.0], [0.0, np.inf], [0.0, np.nan]])
def test_sums_of_weights_that_cannot_be_are_refused(numbers):
    small = make("mse", optimizers.Accumulate(optimizers.SGD(0.5), 3))
    small.step(X, VALUES)
    with pytest.raises(errors.ArgumentError, match="accumulated"):
        small._state.core.accumulated_write(np.array(numbers))
    assert small._state.core.accumulated_read().tolist() == [0.0, ROWS]
    with pytest.raises(errors.StateError, match="accumulated"):
        plain = make("mse", optimizers.SGD(0.5))
        plain.step(X, VALUES)
        plain._state.core.accumulated_read()


def test_statistics_of_batch_norm_are_those_of_each_batch():
    """They move once for each batch, and know nothing of the others: the large batch has others."""
    net = Network([BatchNorm(momentum=0.25), Dense(3)], inputs=5, seed=1, dtype="float64")
    small = Trainer(net, "mse", optimizers.Accumulate(optimizers.SGD(0.1), 2))
    mean, variance = np.zeros(5), np.ones(5)
    for at in (slice(0, 6), slice(6, 16), slice(16, 24)):
        small.step(X[at], VALUES[at])
        rows = at.stop - at.start
        mean += 0.25 * (X[at].mean(0) - mean)
        variance += 0.25 * (X[at].var(0) * rows / (rows - 1) - variance)
        got = net.parameters()
        assert np.allclose(got["0.running_mean"], mean, rtol=1e-13, atol=1e-15)
        assert np.allclose(got["0.running_var"], variance, rtol=1e-13)


# ---- Heads ----

HEADS_X, HEADS_Y = heads_problem.data(ROWS)


def heads_trainer(optimizer, loss=None, uncertainty=False, **options):
    net = heads_problem.network(seed=3, dtype="float64", uncertainty=uncertainty, **options)
    return Trainer(net, loss or heads_problem.per_head(), optimizer)


def class_weights(surgery=False):
    kinds = losses.CrossEntropy(class_weight={0: 0.1, 1: 3.0, 2: 1.0, 3: 0.7, 4: 2.0})
    return losses.PerHead({"kind": kinds, "angle": "mse", "stop": "binary_cross_entropy"},
                          weights=heads_problem.WEIGHTS, surgery=surgery)  # fmt: skip


def sparse_weights():
    """Heads whose weights lie in different batches."""
    found = heads_problem.row_weights(ROWS)
    found["angle"][1:7] = 0
    found["kind"][9:18] = 0
    found["angle"][[0, 7, 8, 20]] = 1
    return found


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("surgery", [False, True])
@pytest.mark.parametrize("uncertainty", [False, True])
@pytest.mark.parametrize("weighted", ["even", "rows", "sparse", "classes"])
def test_each_head_counts_its_batches_by_its_own_weights(weighted, uncertainty, surgery, threads):
    if surgery and uncertainty:
        pytest.skip("not together")
    loss = class_weights(surgery) if weighted == "classes" else heads_problem.per_head(surgery)
    weight = {"rows": heads_problem.row_weights(ROWS), "sparse": sparse_weights()}.get(weighted)
    large = heads_trainer(optimizers.SGD(0.2), loss, uncertainty)
    small = heads_trainer(optimizers.Accumulate(optimizers.SGD(0.2), 4), loss, uncertainty, threads=threads)
    for _ in range(1 if surgery else 3):  # the order of projections is drawn anew for every step
        large.step(HEADS_X, HEADS_Y, weight)
        parts(small, HEADS_X, HEADS_Y, weight)
    if not surgery:
        close(small.net.parameters(), large.net.parameters())
    else:
        assert small._state.core.updates == 4


@pytest.mark.parametrize("uncertainty", [False, True])
def test_a_batch_without_weight_for_a_head_has_no_share_in_it(uncertainty):
    weight = heads_problem.row_weights(ROWS)
    weight["angle"][:6] = 0
    weight["kind"][6:18] = 0
    large = heads_trainer(optimizers.SGD(0.2), uncertainty=uncertainty)
    small = heads_trainer(optimizers.Accumulate(optimizers.SGD(0.2), 4), uncertainty=uncertainty)
    options = {"epochs": 3, "shuffle": False, "sample_weight": weight, "progress": False}
    for trainer, size in ((large, ROWS), (small, 6)):
        trainer.fit(HEADS_X, HEADS_Y, batch_size=size, **options)
    close(small.net.parameters(), large.net.parameters())


def test_two_heads_are_reconciled_as_those_of_the_large_batch():
    """Two heads have no order of projections, so surgery has to agree to rounding."""
    heads = {name: heads_problem.HEADS[name] for name in ("kind", "angle")}
    loss = losses.PerHead({"kind": "cross_entropy", "angle": "mse"}, surgery=True)
    y = {name: HEADS_Y[name] for name in heads}
    weight = {name: value for name, value in sparse_weights().items() if name in heads}
    for each in (None, weight):
        large = heads_trainer(optimizers.SGD(0.2), loss, heads=heads)
        small = heads_trainer(optimizers.Accumulate(optimizers.SGD(0.2), 4), loss, heads=heads)
        for _ in range(3):
            large.step(HEADS_X, y, each)
            parts(small, HEADS_X, y, each)
        close(small.net.parameters(), large.net.parameters(), 1e-12)


@pytest.mark.parametrize("surgery", [False, True])
def test_waiting_gradients_of_heads_are_saved(surgery, tmp_path):
    weight = sparse_weights()
    trainer = heads_trainer(optimizers.Accumulate(optimizers.Adam(0.02), 4), heads_problem.per_head(surgery))
    parts(trainer, HEADS_X, HEADS_Y, weight)
    trainer.step(HEADS_X[:7], cut(HEADS_Y, slice(7)), cut(weight, slice(7)))
    trainer.save(tmp_path / "t")
    again = Trainer.load(tmp_path / "t")
    rest = slice(7, None)
    for each in (trainer, again):
        parts(each, HEADS_X[rest], cut(HEADS_Y, rest), cut(weight, rest), SIZES[1:])
        parts(each, HEADS_X, HEADS_Y, weight, (20, 2, 1, 1))
    assert_same(again.net.parameters(), trainer.net.parameters())


def test_row_weights_of_heads_that_begin_within_an_update_are_refused():
    """The gradients that wait are one sum by then: nobody could weigh its heads one by one."""
    trainer = heads_trainer(optimizers.Accumulate(optimizers.SGD(0.2), 2))
    weight = heads_problem.row_weights(ROWS)
    trainer.step(HEADS_X, HEADS_Y)
    before, state = trainer.net.parameters(), trainer._state.core.accumulated_read()
    with pytest.raises(errors.StateError, match="weight"):
        trainer.step(HEADS_X, HEADS_Y, weight)
    assert trainer.steps == 1
    assert np.array_equal(trainer._state.core.accumulated_read(), state)
    trainer.step(HEADS_X, HEADS_Y)
    trainer.step(HEADS_X, HEADS_Y, weight)  # a new update
    trainer.step(HEADS_X, HEADS_Y)
    assert trainer._state.core.updates == 4
    assert any((before[name] != value).any() for name, value in trainer.net.parameters().items())
