"""Losses in Trainer: options and their checks, kinds of targets, class weights, checkpoints."""

import math

import numpy as np
import oracle
import pytest
from gradcore import Dense, Network, Trainer, kernels, losses, optimizers
from gradcore.errors import ArgumentError, DTypeError, GradcoreError, ShapeError, StateError
from oracle import exact
from support import cases
from support.loss_cases import CASES

A, D, S = ArgumentError, DTypeError, ShapeError
BAD = {
    "delta 0": (lambda: losses.Huber(delta=0.0), A, "Huber: delta: expected a number > 0"),
    "delta infinite": (lambda: losses.Huber(delta=math.inf), A, "finite"),
    "delta text": (lambda: losses.Huber(delta="1"), D, "delta"),
    "delta bool": (lambda: losses.Huber(delta=True), D, "delta"),
    "beta negative": (lambda: losses.SmoothL1(beta=-1.0), A, "beta"),
    "q 0": (lambda: losses.Quantile(q=0.0), A, r"in \(0, 1\)"),
    "q 1": (lambda: losses.Quantile(q=1.0), A, r"in \(0, 1\)"),
    "flag": (lambda: losses.Poisson(full=1), D, "full"),
    "eps": (lambda: losses.GaussianNLL(eps=0.0), A, "eps"),
    "gamma": (lambda: losses.Focal(gamma=-1.0), A, "gamma"),
    "alpha": (lambda: losses.BinaryFocal(alpha=1.5), A, "alpha"),
    "alpha per class": (lambda: losses.Focal(alpha=[1.0, -1.0]), A, r"alpha\[1\]"),
    "smoothing": (lambda: losses.CrossEntropy(label_smoothing=1.1), A, "label_smoothing"),
    "weights negative": (lambda: losses.CrossEntropy(class_weight={0: -1.0}), A, r"class_weight\[0\]"),
    "weights nan": (lambda: losses.CrossEntropy(class_weight=[1.0, math.nan]), A, "class_weight"),
    "weights one number": (lambda: losses.CrossEntropy(class_weight=2.0), D, "class_weight"),
    "weights text": (lambda: losses.CrossEntropy(class_weight="equal"), A, "balanced"),
    "weights key": (lambda: losses.CrossEntropy(class_weight={1.5: 1.0}), D, "class"),
    "weights matrix": (lambda: losses.CrossEntropy(class_weight=np.ones((2, 2))), S, "one dimension"),
    "weighting": (lambda: losses.CrossEntropy(weighting="mean"), A, "weighting"),
    "ignore_index": (lambda: losses.CrossEntropy(ignore_index=1.0), D, "ignore_index"),
    "pos_weight": (lambda: losses.BinaryCrossEntropy(pos_weight=[-1.0]), A, "pos_weight"),
    "too few weights": (lambda: make(losses.CrossEntropy(class_weight=[1.0, 2.0])), S, "expected 3 numbers"),
    "weight of no class": (lambda: make(losses.CrossEntropy(class_weight={3: 1.0})), A, "0..2"),
    "too many pos_weights": (lambda: make(losses.BinaryCrossEntropy([1.0] * 4)), S, "expected 3 numbers"),
    "odd outputs": (lambda: make(losses.GaussianNLL()), S, "even number of outputs"),
    "one output": (lambda: make(losses.Focal(), outputs=1), S, "binary_focal"),
    "option of the function": (lambda: kernels.huber(np.ones((1, 1)), [1.0], delta=-1.0), A, "delta"),
}
TARGETS = {
    "hinge of counts": (losses.Hinge(), [[0, 1, 2]] * 4, A, r"in \[-1, 1\]"),
    "hinge of both kinds": (losses.Hinge(), [[0, 1, -1]] * 4, A, "expected -1 or 1"),
    "hinge of halves": (losses.SquaredHinge(), [[0, 1, 0.5]] * 4, A, "expected 0 or 1"),
    "focal of halves": (losses.BinaryFocal(), [[0, 1, 0.5]] * 4, A, "expected 0 or 1"),
    "poisson below 0": (losses.Poisson(), [[0, 1, -1]] * 4, A, ">= 0"),
    "divergence below 0": (losses.KLDivergence(), [[0.5, 1, -0.5]] * 4, A, "probabilities"),
    "divergence of sums": (losses.KLDivergence(), [[0.5, 1, 0.5]] * 4, A, "sum 1"),
    "soft of sums": (losses.CrossEntropy(), [[0.5, 1, 0.5]] * 4, A, "sum 1"),
    "soft NaN": (losses.CrossEntropy(), [[0.5, math.nan, 0.5]] * 4, A, "probabilities"),
    "ignored by another": (losses.CrossEntropy(ignore_index=-1), [0, 1, -2, -1], A, "class ids"),
    "focal of shares": (losses.Focal(), [[0.5, 0.25, 0.25]] * 4, S, "argmax"),
}


def make(loss, outputs=3, dtype="float64", **options):
    net = Network([Dense(5, "tanh"), Dense(outputs)], inputs=4, seed=1, dtype=dtype)
    return Trainer(net, loss, optimizers.Adam(0.05), **options)


def batch(name, rows=12, outputs=4, dtype="float64"):
    return cases.normal((rows, 4), dtype, "x"), CASES[name].target(rows, outputs, dtype)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.quick
def test_a_bad_option_is_refused(name):
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("name", TARGETS)
def test_a_bad_target_is_refused_and_nothing_changes(name):
    loss, y, error, text = TARGETS[name]
    trainer = make(loss)
    before = trainer.net.parameters()
    for call in (trainer.step, trainer.gradients, trainer.evaluate):
        with pytest.raises(error, match=text):
            call(np.ones((4, 4)), y)
    assert all(exact.same_bits(value, before[key]) for key, value in trainer.net.parameters().items())
    assert trainer.steps == 0


@pytest.mark.parametrize("name", CASES)
@pytest.mark.quick
def test_training_brings_the_loss_down_and_history_and_evaluate_tell(name):
    case, (x, y) = CASES[name], batch(name)
    layers = [Dense(16, "tanh"), Dense(4, "softplus" if name.startswith("poisson rate") else None)]
    trainer = Trainer(Network(layers, inputs=4, seed=1), case.loss, optimizers.Adam(0.03))
    x, y = x.astype(np.float32), y.astype(np.float32) if y.ndim == 2 else y
    before = trainer.evaluate(x, y)
    history = trainer.fit(x, y, epochs=60, batch_size=12, validation=(x, y))
    after = trainer.evaluate(x, y)
    assert after["loss"] < before["loss"] - 1e-3
    assert history.val_loss[-1] == after["loss"]
    assert history.loss[0] == pytest.approx(before["loss"], rel=1e-5)
    assert ("accuracy" in after) == case.loss.classifies


@pytest.mark.parametrize("name", [name for name in CASES if "weights" not in name and " a" not in name])
def test_a_checkpoint_has_the_loss_and_resumes_bit_for_bit(tmp_path, name):
    case, (x, y) = CASES[name], batch(name)
    layers = [Dense(5, "tanh"), Dense(4, "softplus" if name.startswith("poisson rate") else None)]
    trainer = Trainer(Network(layers, inputs=4, seed=1), case.loss, optimizers.Adam(0.01))
    for _ in range(3):
        trainer.step(x, y)
    trainer.save(tmp_path / "t")
    resumed = Trainer.load(tmp_path / "t")
    assert resumed.loss == trainer.loss
    assert repr(resumed) == repr(trainer)
    assert [trainer.step(x, y) for _ in range(3)] == [resumed.step(x, y) for _ in range(3)]
    for key, value in trainer.net.parameters().items():
        assert exact.same_bits(value, resumed.net.parameters()[key])


def test_vector_options_are_saved(tmp_path):
    for loss in (
        losses.CrossEntropy(class_weight={1: 2.5}, ignore_index=2, weighting="count", label_smoothing=0.1),
        losses.CrossEntropy(class_weight=np.array([1, 2, 3])),
        losses.Focal(alpha=[0.5, 1, 2]),
        losses.BinaryCrossEntropy(pos_weight=2),
    ):
        trainer = make(loss)
        trainer.save(tmp_path / "t")
        assert Trainer.load(tmp_path / "t").loss == loss


def test_one_hot_probabilities_are_labels():
    x, labels = cases.normal((9, 4), "float64", "x"), np.arange(9) % 3
    for options in ({}, {"label_smoothing": 0.2, "class_weight": [1, 2, 3]}):
        trainer = make(losses.CrossEntropy(**options))
        hard, soft = trainer.gradients(x, labels), trainer.gradients(x, np.eye(3)[labels])
        assert soft[0] == pytest.approx(hard[0], rel=1e-14)
        for key, value in hard[1].items():
            assert np.allclose(soft[1][key], value, rtol=1e-12, atol=1e-15)
        assert trainer.evaluate(x, labels) == pytest.approx(trainer.evaluate(x, np.eye(3)[labels]), rel=1e-14)


def test_a_trainer_may_change_between_labels_and_probabilities():
    """Its optimizer's state and step count move along."""
    x, labels = cases.normal((9, 4), "float64", "x"), np.arange(9) % 3
    mixed, plain = make("cross_entropy"), make("cross_entropy")
    for step in range(6):
        one = mixed.step(x, np.eye(3)[labels] if step % 2 else labels)
        assert one == pytest.approx(plain.step(x, labels), rel=1e-12)
    assert mixed.steps == 6


def test_class_weights_of_the_loss_and_of_fit_and_sample_weights_multiply():
    x, labels = cases.normal((12, 4), "float64", "x"), np.arange(12) % 3
    weight, table = np.linspace(0.5, 2, 12), np.array([1.0, 3.0, 0.5])
    in_loss = make(losses.CrossEntropy(class_weight=table))
    by_hand = make("cross_entropy")
    assert in_loss.gradients(x, labels, weight)[0] == pytest.approx(
        by_hand.gradients(x, labels, weight * table[labels])[0], rel=1e-14
    )
    both = make(losses.CrossEntropy(class_weight=table))
    both.fit(x, labels, epochs=3, batch_size=12, class_weight={1: 2.0}, sample_weight=weight, shuffle=False)
    factors = weight * table[labels] * np.where(labels == 1, 2.0, 1.0)
    by_hand.fit(x, labels, epochs=3, batch_size=12, sample_weight=factors, shuffle=False)
    for key, value in both.net.parameters().items():
        assert np.allclose(value, by_hand.net.parameters()[key], rtol=1e-10, atol=1e-12)


def test_weighting_by_count_divides_by_the_rows():
    x, labels = cases.normal((12, 4), "float64", "x"), np.arange(12) % 3
    table = [1.0, 3.0, 0.5]
    by_sum = make(losses.CrossEntropy(class_weight=table)).gradients(x, labels)
    by_count = make(losses.CrossEntropy(class_weight=table, weighting="count")).gradients(x, labels)
    assert by_count[0] == pytest.approx(by_sum[0] * np.take(table, labels).sum() / 12, rel=1e-14)


def test_balanced_weights_are_found_by_the_first_fit_and_kept(tmp_path):
    x, labels = cases.normal((12, 4), "float64", "x"), np.array([0] * 8 + [1] * 3 + [2])
    trainer = make(losses.CrossEntropy(class_weight="balanced"))
    for call in (trainer.step, trainer.gradients, trainer.evaluate):
        with pytest.raises(StateError, match="fit"):
            call(x, labels)
    trainer.fit(x, labels, epochs=2, batch_size=12, shuffle=False)
    assert trainer.loss.class_weight == pytest.approx((0.5, 12 / 9, 4.0))
    other = make("cross_entropy")
    other.fit(x, labels, epochs=2, batch_size=12, class_weight="balanced", shuffle=False)
    for key, value in trainer.net.parameters().items():
        assert np.allclose(value, other.net.parameters()[key], rtol=1e-12)
    trainer.step(x, labels)
    trainer.save(tmp_path / "t")
    assert Trainer.load(tmp_path / "t").loss == trainer.loss
    with pytest.raises(ArgumentError, match="probabilities"):
        make(losses.CrossEntropy(class_weight="balanced")).fit(x, np.eye(3)[labels], 1, 4)


def test_ignored_rows_do_not_count():
    x, labels = cases.normal((12, 4), "float64", "x"), np.arange(12) % 3
    gone = np.where(np.arange(12) % 4 == 0, -100, labels)
    keep = gone >= 0
    trainer, other = make(losses.CrossEntropy(ignore_index=-100)), make("cross_entropy")
    assert trainer.gradients(x, gone)[0] == pytest.approx(
        other.gradients(x[keep], labels[keep])[0], rel=1e-14
    )
    assert trainer.evaluate(x, gone) == pytest.approx(other.evaluate(x[keep], labels[keep]), rel=1e-14)
    for _ in range(3):
        trainer.step(x, gone)
        other.step(x[keep], labels[keep])
    for key, value in trainer.net.parameters().items():
        assert np.allclose(value, other.net.parameters()[key], rtol=1e-10)
    trainer.fit(x, gone, epochs=2, batch_size=5, class_weight="balanced")
    loss, gradients = trainer.gradients(x, np.full(12, -100))
    assert loss == 0
    assert not any(value.any() for value in gradients.values())
    assert trainer.evaluate(x, np.full(12, -100)) == {"loss": 0.0}


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_the_number_of_threads(name):
    x, y = batch(name, rows=600)
    layers = [Dense(64, "tanh"), Dense(4, "softplus" if name.startswith("poisson rate") else None)]

    def trained(threads):
        net = Network(layers, inputs=4, seed=1, dtype="float64", threads=threads)
        trainer = Trainer(net, CASES[name].loss, optimizers.SGD(0.01))
        return [trainer.step(x, y) for _ in range(3)], net.parameters()

    (one, a), (three, b) = trained(1), trained(3)
    assert one == three
    assert all(exact.same_bits(a[key], b[key]) for key in a)


def test_a_poisson_rate_that_overflows_skips_the_update():
    trainer = make("poisson", nonfinite="skip")
    trainer.net.set_parameters({"1.bias": np.full(3, 1e4)})
    assert math.isinf(trainer.step(np.ones((4, 4)), np.ones((4, 3))))
    assert trainer.skipped == 1


def test_every_error_is_gradcores():
    with pytest.raises(GradcoreError):
        losses.Huber(delta=None)


def test_evaluate_adds_its_pieces_up_by_their_divisors(monkeypatch):
    """Pieces of 256 rows have class weights of different sums."""
    x, labels = cases.normal((600, 4), "float64", "x"), np.sort(np.arange(600) % 3)
    weight, table = np.linspace(0.5, 2, 600), np.array([1.0, 30.0, 0.5])
    trainer = make(losses.CrossEntropy(class_weight=table))
    monkeypatch.setattr(Network, "elements", 2**60)
    scores = trainer.evaluate(x, labels, weight)
    z = trainer.net.predict(x)
    value, _, accuracy = oracle.loss("cross_entropy", z, labels, weight, class_weight=table)
    assert scores["loss"] == pytest.approx(value, rel=1e-12)
    assert scores["accuracy"] == pytest.approx(accuracy, rel=1e-12)
