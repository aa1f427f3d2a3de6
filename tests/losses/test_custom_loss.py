"""Losses that are Python functions: the same training as the core's own, their errors, their checks."""

import math
import threading

import numpy as np
import pytest
from gradcore import BatchNorm, Dense, Dropout, Network, Trainer, clipping, losses, optimizers
from gradcore.errors import ArgumentError, BusyError, DTypeError, NonFiniteError, ShapeError
from oracle import exact
from support import cases


def mse(output, target):
    error = output.astype(np.float64) - target
    return (error**2).mean(), 2 * error / error.size


def make(loss, dtype="float64", threads=None, penalty=None, **options):
    layers = [Dense(40, "tanh", penalty=penalty), Dropout(0.2), Dense(3)]
    net = Network(layers, inputs=5, seed=2, dtype=dtype, threads=threads)
    return Trainer(net, loss, optimizers.Adam(0.01), **options)


def data(rows, dtype="float64"):
    return cases.normal((rows, 5), dtype, "own x"), cases.normal((rows, 3), dtype, "own y")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [7, 1100])
def test_layers_that_see_the_whole_batch(rows, threads):
    """BatchNorm, whose running averages a failed call must not move."""
    x, y = data(rows)

    def build(loss):
        layers = [Dense(40, "tanh"), BatchNorm(), Dense(3)]
        net = Network(layers, inputs=5, seed=2, dtype="float64", threads=threads)
        return Trainer(net, loss, optimizers.Adam(0.01))

    own, core, broken = build(mse), build("mse"), build(failing(0))
    before = broken.net.parameters()
    with pytest.raises(OwnError):
        broken.step(x, y)
    assert all(exact.same_bits(value, before[key]) for key, value in broken.net.parameters().items())
    for _ in range(3):
        assert own.step(x, y) == pytest.approx(core.step(x, y), rel=1e-11)
    for key, value in core.net.parameters().items():
        assert np.allclose(own.net.parameters()[key], value, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("rows", [7, 1100])
def test_single_rows_are_clipped(rows):
    x, y = data(rows)
    own, core = (make(loss, threads=3, clip=clipping.PerExample(1e-3)) for loss in (mse, "mse"))
    for _ in range(3):
        assert own.step(x, y) == pytest.approx(core.step(x, y), rel=1e-11)
    for key, value in core.net.parameters().items():
        assert np.allclose(own.net.parameters()[key], value, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [7, 300, 1100])
def test_a_function_trains_as_the_cores_own_loss_does(rows, threads):
    """Batches of one block of rows a thread, of several, and by blocks; dropout, clipping, a penalty."""
    x, y = data(rows)
    options = {"clip": clipping.GlobalNorm(0.5), "penalty": losses.L2(0.01), "threads": threads}
    own, core = make(mse, **options), make("mse", **options)
    got, want = own.gradients(x, y), core.gradients(x, y)
    assert got[0] == pytest.approx(want[0], rel=1e-13)
    for key, value in want[1].items():
        assert np.allclose(got[1][key], value, rtol=1e-10, atol=1e-13)
    for _ in range(3):
        assert own.step(x, y) == pytest.approx(core.step(x, y), rel=1e-11)
    assert own.evaluate(x, y)["loss"] == pytest.approx(core.evaluate(x, y)["loss"], rel=1e-10)
    assert list(own.evaluate(x, y)) == ["loss"]
    for key, value in core.net.parameters().items():
        assert np.allclose(own.net.parameters()[key], value, rtol=1e-8, atol=1e-10)


def test_fit_shuffles_validates_and_reports(dtype):
    x, y = data(50, dtype)
    own, core = make(mse, dtype), make("mse", dtype)
    arguments = {"epochs": 4, "batch_size": 8, "validation": 0.2}
    history, other = own.fit(x, y, **arguments), core.fit(x, y, **arguments)
    assert history.loss == pytest.approx(other.loss, rel=1e-4)
    assert history.val_loss == pytest.approx(other.val_loss, rel=1e-4)
    assert "accuracy" not in history.to_dict()


def test_bits_do_not_depend_on_threads():
    x, y = data(600)
    results = []
    for threads in (1, 2, 3):
        trainer = make(mse, threads=threads)
        results.append(([trainer.step(x, y) for _ in range(3)], trainer.net.parameters()))
    for steps, parameters in results[1:]:
        assert steps == results[0][0]
        assert all(exact.same_bits(parameters[key], value) for key, value in results[0][1].items())


def test_targets_are_the_users_own():
    """Any dtype and number of dimensions; shuffled along with X."""
    x = np.arange(12.0).reshape(12, 1) / 12
    y = np.arange(24).reshape(12, 1, 2)
    seen = []

    def look(output, target):
        seen.append(target)
        return 0.0, np.zeros_like(output)

    trainer = Trainer(Network([Dense(1)], inputs=1, dtype="float64"), look, optimizers.SGD(0.1))
    trainer.fit(x, y, epochs=1, batch_size=5)
    assert [part.shape for part in seen] == [(5, 1, 2), (5, 1, 2), (2, 1, 2)]
    assert sorted(np.concatenate(seen)[:, 0, 0].tolist()) == y[:, 0, 0].tolist()
    assert np.concatenate(seen).dtype == y.dtype
    seen.clear()
    trainer.fit(x, y, epochs=1, batch_size=5, shuffle=False)
    assert np.array_equal(np.concatenate(seen), y)


def test_the_output_is_the_functions_to_destroy():
    def destroy(output, target):
        result = mse(output, target)
        output[...] = np.nan
        return result

    x, y = data(9)
    a, b = make(mse), make(destroy)
    assert [a.step(x, y) for _ in range(3)] == [b.step(x, y) for _ in range(3)]


class OwnError(Exception):
    """Of the user."""


def failing(after):
    calls = []

    def function(output, target):
        calls.append(1)
        if len(calls) > after:
            raise OwnError("no more")
        return mse(output, target)

    return function


BAD_ANSWERS = {
    "no pair": (lambda z, y: 1.0, DTypeError, "a pair"),
    "loss a row": (lambda z, y: (np.ones(len(z)), z), DTypeError, "expected a number"),
    "loss text": (lambda z, y: ("1", z), DTypeError, "expected a number"),
    "loss none": (lambda z, y: (None, z), DTypeError, "expected a number"),
    "loss complex": (lambda z, y: (1j, z), DTypeError, "expected a number"),
    "gradient of integers": (lambda z, y: (1.0, np.ones(z.shape, int)), DTypeError, "floats"),
    "gradient of another shape": (lambda z, y: (1.0, z[:, :1]), ShapeError, "expected shape"),
    "gradient text": (lambda z, y: (1.0, "d"), DTypeError, "d_output"),
    "exception": (failing(0), OwnError, "no more"),
    "interrupt": (lambda z, y: (_ for _ in ()).throw(KeyboardInterrupt("stop")), KeyboardInterrupt, "stop"),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_what_a_function_does_wrong_comes_out_and_changes_nothing(name, threads):
    function, error, text = BAD_ANSWERS[name]
    trainer, (x, y) = make(function, threads=threads), data(300)
    before = trainer.net.parameters()
    for call in (trainer.step, trainer.gradients, trainer.evaluate):
        with pytest.raises(error, match=text):
            call(x, y)
    with pytest.raises(error, match=text):
        trainer.fit(x, y, epochs=1, batch_size=100)
    assert trainer.steps == 0
    assert all(exact.same_bits(value, before[key]) for key, value in trainer.net.parameters().items())


def test_an_exception_in_the_middle_of_a_fit_leaves_the_steps_before_it():
    x, y = data(40)
    trainer, plain = make(failing(6)), make(mse)
    with pytest.raises(OwnError):
        trainer.fit(x, y, epochs=2, batch_size=8, shuffle=False)
    for i in range(6):
        at = slice(8 * (i % 5), 8 * (i % 5) + 8)
        plain.step(x[at], y[at])
    assert trainer.steps == 6
    assert all(
        exact.same_bits(value, plain.net.parameters()[key]) for key, value in trainer.net.parameters().items()
    )
    with pytest.raises(OwnError):  # goes on where it stopped
        trainer.fit(x, y, epochs=2, batch_size=8, shuffle=False)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_meets_the_policy(where):
    def bad(output, target):
        loss, slope = mse(output, target)
        if where == "loss":
            return math.nan, slope
        slope[0, 0] = np.inf
        return loss, slope

    x, y = data(9)
    trainer = make(bad)
    before = trainer.net.parameters()
    trainer.step(x, y)
    assert trainer.skipped == 1
    assert all(exact.same_bits(value, before[key]) for key, value in trainer.net.parameters().items())
    with pytest.raises(NonFiniteError):
        make(bad, nonfinite="raise").step(x, y)


def test_bad_calls():
    x, y = data(9)
    trainer = make(mse)
    with pytest.raises(ArgumentError, match="sample_weight"):
        trainer.step(x, y, sample_weight=np.ones(9))
    with pytest.raises(ArgumentError, match="sample_weight"):
        trainer.fit(x, y, 1, 9, validation=(x, y, np.ones(9)))
    with pytest.raises(ArgumentError, match="class_weight"):
        trainer.fit(x, y, 1, 9, class_weight={0: 2.0})
    with pytest.raises(ShapeError, match="9 rows"):
        trainer.step(x, y[:5])
    with pytest.raises(DTypeError, match="loss"):
        make(losses.MSE)
    with pytest.raises(DTypeError, match="function"):
        losses.Custom(3)


def test_it_cannot_be_saved_but_its_network_can(tmp_path):
    trainer = make(mse)
    with pytest.raises(ArgumentError, match="loss"):
        trainer.save(tmp_path / "t")
    trainer.net.save(tmp_path / "n")
    assert "Custom" in repr(trainer)


def test_the_trainer_is_busy_inside():
    def nested(output, target):
        with pytest.raises(BusyError):
            trainer.step(x, y)
        with pytest.raises(BusyError):
            trainer.net.set_parameters({"0.bias": np.zeros(40)})
        return mse(output, target)

    x, y = data(9)
    trainer = make(nested)
    assert trainer.step(x, y) > 0


def test_trainers_in_several_threads():
    x, y = data(60)
    results = [None] * 4

    def work(i):
        trainer = make(mse, threads=2)
        results[i] = [trainer.step(x, y) for _ in range(20)]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(result == results[0] for result in results)


def test_check_tells_right_gradients_from_wrong_ones():
    z, y = data(4)[1], data(4)[1] + 1
    assert losses.check(mse, z, y) < 1e-9
    assert losses.check(losses.Custom(mse), z.astype(np.float32), y) < 1e-9
    assert 0.4 < losses.check(lambda a, b: (mse(a, b)[0], mse(a, b)[1] / 2), z, y) < 0.6
    assert losses.check(lambda a, b: (1.0, 0 * a), z, y) == 0
    with pytest.raises(ArgumentError, match="finite"):
        losses.check(lambda a, b: (math.nan, a), z, y)
    with pytest.raises(ShapeError, match="rows"):
        losses.check(mse, z, y[:2])
    with pytest.raises(OwnError):
        losses.check(failing(0), z, y)
