"""What predict turns outputs into: probabilities and classes, accurate, of the same bits everywhere."""

import gradcore
import numpy as np
import pytest
from gradcore import kernels
from oracle import exact
from support import cases


def softmax(z):
    z = z.astype(np.longdouble)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype(np.float64)


@pytest.mark.parametrize("cols", [2, 3, 17, 300, 1000])
def test_softmax_is_accurate_and_sums_to_one(dtype, cols):
    z = cases.normal((33, cols), dtype, "z") * 20
    got = kernels.softmax(z)
    want, below = softmax(z), z.max(axis=1, keepdims=True) - z  # whose rounding exp magnifies
    bound = cases.unit(dtype) * (12 + np.sqrt(cols) + below) * want + 4 * np.finfo(dtype).smallest_subnormal
    assert got.dtype == dtype and (np.abs(got - want) <= bound).all()
    assert np.abs(got.astype(np.float64).sum(axis=1) - 1).max() < 8 * cases.unit(dtype) * np.sqrt(cols)
    assert kernels.softmax(z, out=z) is z and exact.same_bits(z, got)


def test_softmax_of_special_rows(dtype):
    huge, inf, nan = np.finfo(dtype).max, np.inf, np.nan
    z = np.array([[huge, -huge], [1e4, 1e4], [-inf, 0], [inf, 0], [nan, 0], [-inf, -inf]], dtype)
    with np.errstate(over="ignore"):
        got = kernels.softmax(z)
    want = [[1, 0], [0.5, 0.5], [0, 1], [nan, nan], [nan, nan], [nan, nan]]
    assert np.array_equal(got, np.array(want, dtype), equal_nan=True)


@pytest.mark.parametrize("output", ["raw", "softmax", "sigmoid", "class"])
def test_predictions_have_the_same_bits_everywhere(dtype, output):
    x = cases.normal((300, 7), dtype, "x")
    seen = set()
    for isa in gradcore.names("isa"):
        for threads in (1, 3):
            net = cases.network(gradcore, [cases.dense(65, "tanh"), cases.dense(5)], 7, dtype=dtype, isa=isa,
                                threads=threads)  # fmt: skip
            whole = net.predict(x, output=output)
            assert exact.same_bits(net.predict(x[99:100], output=output)[0], whole[99])
            seen.add(whole.tobytes())
    assert len(seen) == 1
    raw = net.predict(x).astype(np.float64)
    want = {
        "raw": raw,
        "softmax": softmax(raw),
        "sigmoid": 1 / (1 + np.exp(-raw)),
        "class": raw.argmax(axis=1),
    }
    assert np.allclose(whole, want[output], rtol=20 * cases.unit(dtype), atol=0)


def test_a_single_output_is_a_class_where_it_is_positive():
    net = gradcore.Network([gradcore.Activation("identity")], inputs=1, dtype="float64")
    x = np.array([[-1.0], [0.0], [2.0]])
    assert net.predict(x, output="class").tolist() == [0, 0, 1]
    with pytest.raises(gradcore.ArgumentError, match="output: expected 'sigmoid'"):
        net.predict(x, output="softmax")
    with pytest.raises(gradcore.ArgumentError, match="output: expected one of"):
        net.predict(x, output="probability")
    with pytest.raises(gradcore.DTypeError, match="output"):
        net.predict(x, output=1)
    with pytest.raises(gradcore.ShapeError, match="z"):
        kernels.softmax(np.zeros(3))
