"""Losses: values, gradients and accuracy against the oracle, in the tails, with weights, on every ISA."""

import cases
import exact
import gradcore
import numpy as np
import pytest
import raw
import reference
from gradcore import _core

SHAPES = [(1, 1), (1, 2), (3, 7), (5, 8), (4, 9), (17, 15), (16, 16), (33, 17), (2, 31), (2, 33), (7, 127)]
SCALES = (0.01, 1.0, 30.0)


def targets(name, rows, columns, dtype):
    rng = cases.generator("targets", name, rows, columns)
    if name == "cross_entropy":
        return rng.integers(0, columns, rows).astype(np.int32)
    if name == "binary_cross_entropy":
        return rng.integers(0, 2, (rows, columns)).astype(dtype)
    return rng.standard_normal((rows, columns)).astype(dtype)


def run(kernels, name, z, target, scale, ld=None, gradient=True):
    """(loss, correct, d) of rows that lie ld apart; d keeps what the kernel wrote into the padding."""
    rows, cols = z.shape
    ld = ld or cols
    wide = np.full((rows, ld), 7, z.dtype)
    wide[:, :cols] = z
    loss, correct = np.full(rows, np.nan), np.full(rows, -1, np.int32)
    d = np.full((rows, ld), 7, z.dtype) if gradient else None
    kernels.loss(name, rows, cols, wide, ld, target, cols if target.ndim == 2 else 1,
                 scale if gradient else None, d, loss, correct)  # fmt: skip
    return loss, correct, d


def expected(name, z, target, scale):
    values, d, right = reference.LOSSES[name](z.astype(np.float64), target if target.ndim == 1 else
                                              target.astype(np.float64))  # fmt: skip
    return values, right, d * scale[:, None]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("rows", "cols"), SHAPES)
@pytest.mark.parametrize("name", reference.LOSSES)
def test_value_gradient_and_accuracy(isa, dtype, name, rows, cols, scale):
    z = cases.normal((rows, cols), dtype, name, rows, cols) * np.dtype(dtype).type(scale)
    target, row_scale = targets(name, rows, cols, dtype), cases.generator(rows).uniform(0, 2, rows)
    loss, correct, d = run(raw.Kernels(isa, dtype), name, z, target, row_scale)
    want, right, d_want = expected(name, z, target, row_scale)
    u = cases.unit(dtype)
    assert (np.abs(loss - want) <= 12 * u * np.abs(want) + 8 * u * u).all()
    assert (np.abs(d - d_want) <= 24 * u * (np.abs(d_want) + 0.02 * row_scale[:, None])).all()
    assert correct.tolist() == right.astype(int).tolist()


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy"])
def test_tails_keep_their_digits(isa, dtype, name):
    """A loss near zero of a confident right row, and a large one of a confident wrong row."""
    kernels = raw.Kernels(isa, dtype)
    for gap in (5.0, 15.0, 30.0, 60.0, 85.0, 500.0):
        z = np.array([[gap, 0.0], [0.0, gap]] if name == "cross_entropy" else [[gap], [-gap]], dtype)
        target = np.array([0, 0], np.int32) if name == "cross_entropy" else np.array([[1], [1]], dtype)
        loss, _, d = run(kernels, name, z, target, np.ones(2))
        want, _, _ = expected(name, z, target, np.ones(2))
        assert np.allclose(
            loss, [np.log1p(np.exp(-gap)), gap + np.log1p(np.exp(-gap))], rtol=1e-5, atol=1e-40
        )
        assert np.allclose(loss, want, rtol=16 * cases.unit(dtype), atol=1e-40)
        slope = np.exp(-gap) / (1 + np.exp(-gap))
        assert np.allclose(d[0, 0], -slope, rtol=32 * cases.unit(dtype), atol=1e-40)


@pytest.mark.parametrize("name", reference.LOSSES)
@pytest.mark.parametrize(("rows", "cols"), [(3, 7), (5, 16), (4, 17), (20, 33)])
def test_a_row_has_the_bits_that_it_has_alone(isa, dtype, name, rows, cols):
    kernels, z = raw.Kernels(isa, dtype), cases.normal((rows, cols), dtype, name, cols)
    target, scale = targets(name, rows, cols, dtype), np.linspace(0.1, 1, rows)
    loss, correct, d = run(kernels, name, z, target, scale, ld=cols + 20)
    for row in range(rows):
        one = slice(row, row + 1)
        alone = run(kernels, name, z[one], target[one], scale[one])
        assert exact.same_bits(alone[0], loss[one])
        assert alone[1][0] == correct[row]
        assert exact.same_bits(alone[2], d[one, :cols])


@pytest.mark.parametrize("name", reference.LOSSES)
def test_padding_of_the_gradient_is_zeroed_where_it_fits_and_kept_where_not(isa, dtype, name):
    kernels = raw.Kernels(isa, dtype)
    width, cols = kernels.panel, kernels.panel - 3
    z, target = cases.normal((3, cols), dtype, "padding"), targets(name, 3, cols, dtype)
    assert not run(kernels, name, z, target, np.ones(3), ld=width)[2][:, cols:].any()
    assert (run(kernels, name, z, target, np.ones(3), ld=cols + 1)[2][:, cols:] == 7).all()
    wider = run(kernels, name, z, target, np.ones(3), ld=width + 2)[2]
    assert not wider[:, cols:width].any()
    assert (wider[:, width:] == 7).all()


@pytest.mark.parametrize("name", reference.LOSSES)
def test_without_a_gradient_the_value_is_the_same(isa, dtype, name):
    kernels, z, target = (
        raw.Kernels(isa, dtype),
        cases.normal((9, 21), dtype, name),
        targets(name, 9, 21, dtype),
    )
    with_gradient, alone = (run(kernels, name, z, target, np.ones(9), gradient=g) for g in (True, False))
    assert exact.same_bits(with_gradient[0], alone[0])
    assert exact.same_bits(with_gradient[1], alone[1])


@pytest.mark.parametrize("name", reference.LOSSES)
def test_the_gradient_may_overwrite_the_logits(isa, dtype, name):
    kernels, z, target = (
        raw.Kernels(isa, dtype),
        cases.normal((9, 21), dtype, name),
        targets(name, 9, 21, dtype),
    )
    want = run(kernels, name, z, target, np.ones(9))
    loss, correct, d = np.empty(9), np.empty(9, np.int32), z.copy()
    kernels.loss(name, 9, 21, d, 21, target, 21 if target.ndim == 2 else 1, np.ones(9), d, loss, correct)
    assert exact.same_bits(d, want[2])
    assert exact.same_bits(loss, want[0])
    assert exact.same_bits(correct, want[1])


@pytest.mark.parametrize("name", reference.LOSSES)
def test_instruction_sets_agree(dtype, name):
    z = np.concatenate([cases.normal((40, 37), dtype, name) * scale for scale in (0.1, 1, 20)]).astype(dtype)
    target = targets(name, len(z), 37, dtype)
    results = [run(raw.Kernels(isa, dtype), name, z, target, np.linspace(0, 3, len(z)))
               for isa in _core.names("isa")]  # fmt: skip
    for result in results[1:]:
        assert all(exact.same_bits(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("name", reference.LOSSES)
def test_a_nan_makes_its_row_nan_and_wrong_and_no_other(isa, dtype, name):
    z, target = cases.normal((5, 19), dtype, name), targets(name, 5, 19, dtype)
    clean = run(raw.Kernels(isa, dtype), name, z, target, np.ones(5))
    z[2, 11] = np.nan
    loss, correct, d = run(raw.Kernels(isa, dtype), name, z, target, np.ones(5))
    assert np.isnan(loss).tolist() == [False, False, True, False, False]
    assert correct[2] == 0
    assert np.isnan(d[2]).any()
    keep = [0, 1, 3, 4]
    assert exact.same_bits(loss[keep], clean[0][keep])
    assert exact.same_bits(d[keep], clean[2][keep])


def test_argmax_ties_go_to_the_lowest_class(isa, dtype):
    z = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype)
    target = np.array([0, 2, 0], np.int32)
    assert run(raw.Kernels(isa, dtype), "cross_entropy", z, target, np.ones(3))[1].tolist() == [1, 0, 1]


def test_huge_logits_are_finite(isa, dtype):
    z = np.array([[1e30, -1e30, 0], [3e38, 3e38, -3e38]], dtype)
    loss, _, d = run(raw.Kernels(isa, dtype), "cross_entropy", z, np.array([0, 1], np.int32), np.ones(2))
    assert loss[0] == 0
    assert abs(loss[1] - np.log(2)) < 1e-6
    assert np.isfinite(d).all()


@pytest.mark.parametrize("name", reference.LOSSES)
def test_the_public_function_gives_rows_and_the_gradient_of_the_mean(dtype, name):
    z, target = cases.normal((13, 5), dtype, name), targets(name, 13, 5, dtype)
    losses, d = _core.loss(name, z, target, True)
    want, _, d_want = expected(name, z, target, np.full(13, 1 / 13))
    assert np.allclose(losses, want, rtol=16 * cases.unit(dtype))
    assert np.allclose(d, d_want, rtol=32 * cases.unit(dtype), atol=cases.unit(dtype))
    assert _core.loss(name, z, target, False)[1] is None


@pytest.mark.parametrize("name", reference.LOSSES)
def test_a_trainer_uses_weighted_means(dtype, name):
    """The loss, the accuracy and all gradients are those of rows weighted by w / sum w."""
    layers = [cases.dense(6, "tanh"), cases.dense(3)]
    net = cases.network(gradcore, layers, 4, seed=3, dtype=dtype)
    trainer = gradcore.Trainer(net, name, gradcore.optimizers.SGD(0.1))
    x, y = cases.normal((11, 4), dtype, "x"), targets(name, 11, 3, dtype)
    weight = cases.generator("weight").uniform(0, 3, 11)
    weight[4] = 0
    oracle = reference.Net(layers, {key: value.astype(np.float64) for key, value in net.parameters().items()})
    value, d, accuracy = reference.loss(name, oracle.forward(x), y, weight)
    oracle.backward(d)
    got, gradients = trainer.gradients(x, y, sample_weight=weight)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert abs(got - value) <= tolerance * max(1, abs(value))
    for key, gradient in oracle.gradients.items():
        assert np.allclose(gradients[key], gradient, rtol=tolerance, atol=tolerance)
    scores = trainer.evaluate(x, y, sample_weight=weight)
    assert abs(scores["loss"] - value) <= tolerance * max(1, abs(value))
    if name != "mse":
        assert abs(scores["accuracy"] - accuracy) < 1e-12
