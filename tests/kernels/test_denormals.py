"""Numbers that would stay denormal become 0: what dead units and improbable classes leave behind."""

from __future__ import annotations

import numpy as np
import pytest
from gradcore import kernels, optimizers

TYPES = ("float32", "float64")


def least_normal(dtype: str) -> float:
    return float(np.finfo(dtype).tiny)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.Adam(1e-3),
        lambda: optimizers.AdamW(1e-3, weight_decay=0.0),
        lambda: optimizers.Adam(1e-3, amsgrad=True),
        lambda: optimizers.NAdam(1e-3),
        lambda: optimizers.RAdam(1e-3),
        lambda: optimizers.SGD(1e-3, momentum=0.9),
        lambda: optimizers.SGD(1e-3, momentum=0.9, nesterov=True),
    ],
    ids=["adam", "adamw", "amsgrad", "nadam", "radam", "momentum", "nesterov"],
)
def test_a_unit_without_gradient_leaves_no_denormal_state(make, dtype):
    """Without the rule the first state would stay at the smallest numbers for good."""
    optimizer = make()
    w = [np.zeros(37, dtype)]
    optimizer.update(w, [np.full(37, 40 * least_normal(dtype), dtype)])
    (slots,) = optimizer._state()._slots.values()
    assert (slots[0] > 0).all()
    for _ in range(400):
        optimizer.update(w, [np.zeros(37, dtype)])
        assert ((slots[0] == 0) | (slots[0] >= least_normal(dtype))).all()
    np.testing.assert_array_equal(slots[0], 0)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("classes", [3, 16, 40])
def test_gradients_of_impossible_classes_are_zero(classes, dtype):
    gap = np.log(least_normal(dtype)) - 3  # exp(gap) is denormal
    z = np.zeros((5, classes), dtype)
    z[:, 1:] = gap
    z[:, 2] = -1
    d = kernels.softmax_cross_entropy(z, np.zeros(5, np.int32), gradient=True)[1]
    assert (np.abs(d[:, 0]) > 0).all() and (np.abs(d[:, 2]) > 0).all()
    others = np.delete(d, [0, 2], axis=1)
    np.testing.assert_array_equal(others, 0)


@pytest.mark.parametrize("dtype", TYPES)
def test_small_normal_gradients_stay(dtype):
    z = np.zeros((4, 3), dtype)
    z[:, 1] = np.log(least_normal(dtype)) + 6
    d = kernels.softmax_cross_entropy(z, np.zeros(4, np.int32), gradient=True)[1]
    assert (d[:, 1] >= least_normal(dtype)).all()
