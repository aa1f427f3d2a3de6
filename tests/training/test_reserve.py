"""CoreTrainer.reserve: room for larger batches, and nothing else changes."""

import threading

import numpy as np
import pytest
from gradcore import _core, errors
from support import cases

LAYERS = [
    {"kind": "dense", "units": 7, "activation": "tanh"},
    {"kind": "dropout", "rate": 0.25},
    {"kind": "dense", "units": 2},
]
X, Y = cases.normal((24, 3), "float32", "x"), cases.normal((24, 2), "float32", "y")
HYPERS = np.zeros(_core.HYPERS)
HYPERS[_core.LR], HYPERS[_core.OWN : _core.OWN + 3] = 0.01, (0.9, 0.999, 1e-8)


def made(capacity):
    net = _core.CoreNetwork(LAYERS, 3)
    net.write({i: cases.normal(p["shape"], "float32", i) for i, p in enumerate(net.parameters)})
    options = {"loss": "mse", "optimizer": "adam", "flags": 0, "clip": None, "nonfinite": "raise"}
    return _core.CoreTrainer(net, **options, capacity=capacity, seed=5)


def test_larger_batches_give_the_bits_that_they_would_have_given():
    late, early = made(4), made(24)
    for trainer in (late, early):
        trainer.train_step(X[:4], Y[:4], None, HYPERS)
    late.reserve(24)
    assert (late.capacity, late.step, late.updates) == (24, 1, 1)
    for _ in range(3):
        assert late.train_step(X, Y, None, HYPERS) == early.train_step(X, Y, None, HYPERS)
    assert np.array_equal(late.network.read_flat(), early.network.read_flat())
    for slot in (0, 1):
        assert np.array_equal(late.state_read(slot, 0), early.state_read(slot, 0))


def test_fewer_rows_change_nothing():
    trainer = made(8)
    for rows in (3, 8):
        trainer.reserve(rows)
        assert trainer.capacity == 8


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (0, errors.ArgumentError),
        (-3, errors.ArgumentError),
        (2**31, errors.ShapeError),
        (2**70, errors.ArgumentError),
        (4.0, errors.DTypeError),
        (None, errors.DTypeError),
    ],
)
def test_a_refused_call_changes_nothing(rows, error):
    trainer = made(8)
    with pytest.raises(error):
        trainer.reserve(rows)
    assert trainer.capacity == 8
    with pytest.raises(errors.ShapeError):
        trainer.train_step(X, Y, None, HYPERS)
    trainer.train_step(X[:8], Y[:8], None, HYPERS)
    with pytest.raises(errors.StateError):
        _core.CoreTrainer.__new__(_core.CoreTrainer).reserve(1)


def test_a_network_that_another_thread_fits_is_left_alone():
    trainer = made(8)
    thread = threading.Thread(target=trainer.network.own)
    thread.start()
    thread.join()
    with pytest.raises(errors.BusyError):
        trainer.reserve(24)
    trainer.network.disown()
    trainer.reserve(24)
    assert trainer.capacity == 24
