"""Losses: values, gradients and accuracy against the oracle, in the tails, with weights, on every ISA."""

from dataclasses import fields

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import _core
from oracle import exact
from support import cases, loss_cases, raw
from support.loss_cases import CASES

SHAPES = [(1, 1), (1, 2), (3, 7), (5, 8), (4, 9), (17, 15), (16, 16), (33, 18), (2, 31), (2, 32), (7, 127)]
SCALES = (0.01, 1.0, 30.0)


def run(kernels, case, z, target, scale, ld=None, gradient=True):
    """(loss, correct, d) of rows that lie ld apart; d keeps what the kernel wrote into the padding."""
    rows, cols = z.shape
    ld = ld or cols
    wide = np.full((rows, ld), 7, z.dtype)
    wide[:, :cols] = z
    loss, correct = np.full(rows, np.nan), np.full(rows, -1, np.int32)
    d = np.full((rows, ld), 7, z.dtype) if gradient else None
    kernels.loss(case.name, rows, cols, wide, ld, target, target.shape[1] if target.ndim == 2 else 1,
                 scale if gradient else None, d, loss, correct, **arguments(case, cols, z.dtype))  # fmt: skip
    return loss, correct, d


def arguments(case, cols, dtype):
    """The loss's options as the kernel takes them."""
    vector = case.loss.vector(cols)
    ignore = getattr(case.loss, "ignore_index", None)
    return {
        "p": case.loss.options(cols)["parameters"],
        "weight": None if vector is None else vector.astype(dtype),
        "probabilities": case.soft,
        "ignore": None if case.soft else ignore,
    }


def expected(case, z, target, scale):
    """The oracle's values, right rows and gradient, and the magnitudes that rounding is measured by."""
    z = z.astype(np.float64)
    real = target if target.ndim == 1 else target.astype(np.float64)
    values, d, right = oracle.losses.LOSSES[case.name](z, real, **case.oracle(z.shape[1]))
    return values, right, d * scale[:, None]


def magnitudes(case, z, target):
    """(rows, 1) and (rows, cols): the size of the terms that a row's value, and each slope, is made of."""
    z = np.abs(z.astype(np.float64))
    vector = case.loss.vector(z.shape[1])
    top = 1.0 if vector is None else max(1.0, vector.max())
    if case.name == "poisson":
        size = (np.exp(z) if case.loss.log_input else z) + 4 * np.abs(target) * (1 + z)
        return size.mean(axis=1), size / z.shape[1]
    if case.name == "gaussian_nll":
        half = z.shape[1] // 2
        size = 4 + 4 * np.exp(z[:, half:]) * (1 + z[:, :half] + np.abs(target)) ** 2
        return size.mean(axis=1), np.concatenate([size, size], 1) / half
    if case.name == "cosine":
        return np.ones(len(z)), 0 * z + 1 / np.sqrt((z * z).sum(axis=1, keepdims=True))
    if case.name == "kl_divergence":
        return 4 + z.max(axis=1), 0 * z + 0.1
    if "focal" in case.name:  # a power of what is rounded: gamma (1 + |log p|) times as much
        return np.zeros(len(z)), 0 * z + 0.1
    return np.zeros(len(z)), 0 * z + (0.1 * top if case.name == "cross_entropy" else 0.0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.quick
def test_value_gradient_and_accuracy(isa, dtype, name):
    case, u, kernels = CASES[name], cases.unit(dtype), raw.Kernels(isa, dtype)
    for rows, cols in SHAPES:
        for scale in SCALES if case.fits(cols) else ():
            z = cases.normal((rows, cols), dtype, case.name, rows, cols) * np.dtype(dtype).type(scale)
            z, target = case.outputs(z), case.target(rows, cols, dtype)
            row_scale = cases.generator(rows).uniform(0, 2, rows)
            loss, correct, d = run(kernels, case, z, target, row_scale)
            want, right, d_want = expected(case, z, target, row_scale)
            size, d_size = magnitudes(case, z, target)
            power = (
                1 + 2 * np.abs(z.astype(np.float64)).max(axis=1) if "focal" in case.name else np.ones(rows)
            )
            assert (np.abs(loss - want) <= 12 * u * power * (np.abs(want) + size) + 8 * u * u).all()
            bound = 24 * u * (power[:, None] * np.abs(d_want) + (0.02 + d_size) * row_scale[:, None])
            assert (np.abs(d - d_want) <= bound).all()
            assert correct.tolist() == right.astype(int).tolist()


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "focal 0", "binary_focal 0"])
def test_tails_keep_their_digits(isa, dtype, name):
    """A loss near zero of a confident right row, and a large one of a confident wrong row."""
    kernels, case = raw.Kernels(isa, dtype), CASES[name]
    labels = case.name in ("cross_entropy", "focal")
    for gap in (5.0, 15.0, 30.0, 60.0, 85.0, 500.0):
        z = np.array([[gap, 0.0], [0.0, gap]] if labels else [[gap], [-gap]], dtype)
        target = np.array([0, 0], np.int32) if labels else np.array([[1], [1]], dtype)
        loss, _, d = run(kernels, case, z, target, np.ones(2))
        want, _, _ = expected(case, z, target, np.ones(2))
        assert np.allclose(
            loss, [np.log1p(np.exp(-gap)), gap + np.log1p(np.exp(-gap))], rtol=1e-5, atol=1e-40
        )
        assert np.allclose(loss, want, rtol=16 * cases.unit(dtype), atol=1e-40)
        slope = np.exp(-gap) / (1 + np.exp(-gap))
        assert np.allclose(d[0, 0], -slope, rtol=32 * cases.unit(dtype), atol=1e-40)


def sample(name, rows, cols, dtype, scale=1.0):
    """The case, its outputs and its targets."""
    case = CASES[name]
    z = case.outputs(cases.normal((rows, cols), dtype, case.name, cols) * np.dtype(dtype).type(scale))
    return case, z, case.target(rows, cols, dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("rows", "cols"), [(3, 8), (20, 34)])
def test_a_row_has_the_bits_that_it_has_alone(isa, dtype, name, rows, cols):
    kernels, scale = raw.Kernels(isa, dtype), np.linspace(0.1, 1, rows)
    case, z, target = sample(name, rows, cols, dtype)
    loss, correct, d = run(kernels, case, z, target, scale, ld=cols + 20)
    for row in range(rows):
        one = slice(row, row + 1)
        alone = run(kernels, case, z[one], target[one], scale[one])
        assert exact.same_bits(alone[0], loss[one])
        assert alone[1][0] == correct[row]
        assert exact.same_bits(alone[2], d[one, :cols])


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 16, 17, 35])
@pytest.mark.parametrize("cols", [1, 2, 3, 4, 5, 8, 10, 15, 16])
def test_few_classes_have_the_bits_of_many_that_cannot_be(isa, dtype, rows, cols):
    """Rows of one panel go by blocks across the lanes; more classes, of probability 0, by themselves."""
    kernels, scale = raw.Kernels(isa, dtype), np.linspace(0.1, 1, rows)
    case, z, target = sample("cross_entropy", rows, cols, dtype, scale=5)
    wide = np.hstack([z, np.full((rows, 20), -np.inf, dtype)])
    few, many = run(kernels, case, z, target, scale), run(kernels, case, wide, target, scale)
    assert exact.same_bits(few[0], many[0])
    assert np.array_equal(few[1], many[1])
    assert exact.same_bits(few[2], np.ascontiguousarray(many[2][:, :cols]))


@pytest.mark.parametrize("name", CASES)
def test_padding_of_the_gradient_is_zeroed_where_it_fits_and_kept_where_not(isa, dtype, name):
    kernels = raw.Kernels(isa, dtype)
    width, cols = kernels.panel, kernels.panel - 4
    case, z, target = sample(name, 4, cols, dtype)
    assert not run(kernels, case, z, target, np.ones(4), ld=width)[2][:, cols:].any()
    assert (run(kernels, case, z, target, np.ones(4), ld=cols + 1)[2][:, cols:] == 7).all()
    wider = run(kernels, case, z, target, np.ones(4), ld=width + 2)[2]
    assert not wider[:, cols:width].any()
    assert (wider[:, width:] == 7).all()


@pytest.mark.parametrize("name", CASES)
def test_without_a_gradient_the_value_is_the_same(isa, dtype, name):
    kernels, (case, z, target) = raw.Kernels(isa, dtype), sample(name, 9, 22, dtype)
    with_gradient, alone = (run(kernels, case, z, target, np.ones(9), gradient=g) for g in (True, False))
    assert exact.same_bits(with_gradient[0], alone[0])
    assert exact.same_bits(with_gradient[1], alone[1])


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_may_overwrite_the_outputs(isa, dtype, name):
    kernels, (case, z, target) = raw.Kernels(isa, dtype), sample(name, 9, 22, dtype)
    want = run(kernels, case, z, target, np.ones(9))
    loss, correct, d = np.empty(9), np.empty(9, np.int32), z.copy()
    kernels.loss(case.name, 9, 22, d, 22, target, target.shape[1] if target.ndim == 2 else 1, np.ones(9), d,
                 loss, correct, **arguments(case, 22, z.dtype))  # fmt: skip
    assert exact.same_bits(d, want[2])
    assert exact.same_bits(loss, want[0])
    assert exact.same_bits(correct, want[1])


@pytest.mark.parametrize("name", CASES)
def test_instruction_sets_agree(dtype, name):
    parts = [sample(name, 40, 38, dtype, scale) for scale in (0.1, 1, 20, 1e4)]
    z, target = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    results = [run(raw.Kernels(isa, dtype), CASES[name], z, target, np.linspace(0, 3, len(z)))
               for isa in _core.names("isa")]  # fmt: skip
    for result in results[1:]:
        assert all(exact.same_bits(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_nan_makes_its_row_nan_and_wrong_and_no_other(isa, dtype, name):
    kernels, (case, z, target) = raw.Kernels(isa, dtype), sample(name, 5, 20, dtype)
    if target.dtype == np.int32:
        target[:] = 1  # none is ignored
    clean = run(kernels, case, z, target, np.ones(5))
    z[2, 11] = np.nan
    loss, correct, d = run(kernels, case, z, target, np.ones(5))
    assert np.isnan(loss).tolist() == [False, False, True, False, False]
    assert correct[2] == 0
    assert np.isnan(d[2]).any()
    keep = [0, 1, 3, 4]
    assert exact.same_bits(loss[keep], clean[0][keep])
    assert exact.same_bits(d[keep], clean[2][keep])


@pytest.mark.parametrize("name", CASES)
def test_an_infinite_output_gives_infinity_or_nan_and_leaves_other_rows_alone(isa, dtype, name):
    kernels, (case, z, target) = raw.Kernels(isa, dtype), sample(name, 3, 20, dtype)
    clean = run(kernels, case, z, target, np.ones(3))
    for value in (np.inf, -np.inf):
        z[1, 3] = value
        loss, _, d = run(kernels, case, z, target, np.ones(3))
        assert exact.same_bits(loss[[0, 2]], clean[0][[0, 2]])
        assert exact.same_bits(d[[0, 2]], clean[2][[0, 2]])


GROWS = ("poisson", "gaussian_nll")  # with exp(z): huge outputs are infinitely bad


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.name not in GROWS])
def test_extreme_outputs_are_finite(isa, dtype, name):
    kernels, (case, z, target) = raw.Kernels(isa, dtype), sample(name, 12, 20, dtype)
    z = (np.sign(z) * 1e4).astype(dtype)
    z[0], z[1, ::2] = 1e4, -1e4
    loss, _, d = run(kernels, case, z, target, np.ones(12))
    want, _, d_want = expected(case, z, target, np.ones(12))
    assert np.isfinite(loss).all()
    assert np.isfinite(d).all()
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert np.allclose(loss, want, rtol=tolerance, atol=tolerance)
    assert np.allclose(d, d_want, rtol=tolerance, atol=tolerance)


def test_argmax_ties_go_to_the_lowest_class(isa, dtype):
    z = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype)
    target = np.array([0, 2, 0], np.int32)
    for name in ("cross_entropy", "cross_entropy smooth", "focal"):
        assert run(raw.Kernels(isa, dtype), CASES[name], z, target, np.ones(3))[1].tolist() == [1, 0, 1]


def test_huge_logits_are_finite(isa, dtype):
    z = np.array([[1e30, -1e30, 0], [3e38, 3e38, -3e38]], dtype)
    case, target = CASES["cross_entropy"], np.array([0, 1], np.int32)
    loss, _, d = run(raw.Kernels(isa, dtype), case, z, target, np.ones(2))
    assert loss[0] == 0
    assert abs(loss[1] - np.log(2)) < 1e-6
    assert np.isfinite(d).all()


@pytest.mark.parametrize("name", CASES)
def test_the_public_function_gives_rows_and_the_gradient_of_the_mean(dtype, name):
    case, z, target = sample(name, 13, 6, dtype)
    options = case.loss.options(6, target)
    losses, d = _core.loss(case.name, z, target, True, options)
    real = target if target.ndim == 1 else target.astype(np.float64)
    values, _, _ = expected(case, z, target, np.ones(13))
    _, d_want, _ = oracle.loss(case.name, z, real, **case.oracle(6))
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert np.allclose(losses, values, rtol=tolerance, atol=tolerance)
    assert np.allclose(d, d_want, rtol=tolerance, atol=tolerance)
    assert _core.loss(case.name, z, target, False, options)[1] is None


@pytest.mark.parametrize("name", CASES)
def test_a_trainer_uses_weighted_means(dtype, name):
    """The loss, the accuracy and all gradients are those of rows weighted by w / sum w."""
    case = CASES[name]
    layers = [cases.dense(6, "tanh"), cases.dense(4)]
    if name.startswith("poisson rate"):  # its outputs are positive
        layers.append(cases.activation("softplus"))
    net = cases.network(gradcore, layers, 4, seed=3, dtype=dtype)
    trainer = gradcore.Trainer(net, case.loss, gradcore.optimizers.SGD(0.1))
    x, y = cases.normal((11, 4), dtype, "x"), case.target(11, 4, dtype)
    weight = cases.generator("weight").uniform(0, 3, 11)
    weight[4] = 0
    expected = oracle.Net(layers, {key: value.astype(np.float64) for key, value in net.parameters().items()})
    real = y if y.ndim == 1 else y.astype(np.float64)
    value, d, accuracy = oracle.loss(case.name, expected.forward(x), real, weight, **case.oracle(4))
    expected.backward(d)
    got, gradients = trainer.gradients(x, y, sample_weight=weight)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert abs(got - value) <= tolerance * max(1, abs(value))
    for key, gradient in expected.gradients.items():
        assert np.allclose(gradients[key], gradient, rtol=tolerance, atol=tolerance)
    scores = trainer.evaluate(x, y, sample_weight=weight)
    assert abs(scores["loss"] - value) <= tolerance * max(1, abs(value))
    if case.loss.classifies:
        assert abs(scores["accuracy"] - accuracy) < 1e-12
    else:
        assert "accuracy" not in scores


@pytest.mark.parametrize("name", loss_cases.CASES)
def test_a_class_and_its_row_of_the_tables_agree(name):
    """Names and defaults of the parameters, targets, accuracy."""
    case = CASES[name]
    known = {field.name: field.default for field in fields(case.loss)}
    for word in _core.describe("loss", case.name, "parameters").split():
        parameter, default, _ = word.split(":")
        assert (None if default == "nan" else float(default)) == known[parameter]
    vector = _core.describe("loss", case.name, "vector")
    assert not vector or vector in known
    assert case.loss.classifies == (case.name in oracle.losses.CLASSIFY)
