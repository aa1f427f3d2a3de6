"""A process forks while other threads use the core: what the child finds works, or says why it does not.

What the parent's threads were only reading is as it was. What they were changing may be changed by half,
and a child must not go on with that.
"""

import os
import threading
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import Trainer, clipping, errors, optimizers
from oracle import exact
from support import cases, digest

LAYERS = [cases.dense(40, "tanh"), cases.dense(3)]
WHERE = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
pytestmark = [WHERE, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


def make(loss="mse", **options):
    net = cases.network(gradcore, LAYERS, 8, seed=3, threads=2)
    return Trainer(net, loss, optimizers.Adam(1e-3), **options)


def batch(rows=64):
    return cases.normal((rows, 8), "float32", "x"), cases.normal((rows, 3), "float32", "y")


def in_child(body):
    """Run body() in a forked child, and fail where it fails."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        message = b""
        try:
            body()
        except BaseException as error:
            message = f"{type(error).__name__}: {error}".encode()
        finally:
            os.write(writing, message or b"fine")
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read().decode() == "fine"
    os.waitpid(child, 0)


class Held:
    """A thread that stands still inside of a call, where `stop` was called, while the block runs."""

    def __init__(self, call):
        self.reached, self.go, self.failures = threading.Event(), threading.Event(), []
        self.call, self.thread = call, threading.Thread(target=self.run)

    def run(self):
        try:
            self.call()
        except BaseException as error:
            self.failures.append(error)
            self.reached.set()

    def stop(self):
        self.reached.set()
        assert self.go.wait(60)

    def __enter__(self):
        self.thread.start()
        assert self.reached.wait(60)
        return self

    def __exit__(self, *caught):
        self.go.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert not self.failures


class HoldClip(clipping.AutoClip):
    """A clip that asks `held` in the middle of each step."""

    def statistic(self, state=None):
        class Ask:
            def __call__(self, norm):
                holder[0].stop()
                return 1.0

            def state(self):
                return {}

        return Ask()


holder = [None]


def test_a_step_that_the_fork_cut_in_two_is_refused_by_name():
    trainer, (x, y) = make(clip=HoldClip()), batch()
    whole = {name: np.zeros_like(value) for name, value in trainer.net.parameters().items()}
    other = make()

    def child():
        step, gradients = lambda: trainer.step(x, y), lambda: trainer.gradients(x, y)
        for call in (step, gradients, lambda: trainer.save(os.devnull)):
            with pytest.raises(errors.StateError, match="forked"):
                call()
        for call in (lambda: trainer.net.predict(x), trainer.net.parameters, lambda: trainer.evaluate(x, y)):
            with pytest.raises(errors.StateError, match="forked"):
                call()
        with pytest.raises(errors.StateError, match="forked"):
            trainer.net.set_parameters({"0.bias": np.zeros(40)})
        other.step(x, y)
        trainer.net.set_parameters(whole)
        assert (trainer.net.predict(x) == 0).all()
        again = Trainer(trainer.net, "mse", optimizers.Adam(1e-3))
        assert np.isfinite(again.step(x, y))
        with pytest.raises(errors.StateError, match="forked"):
            trainer.step(x, y)

    holder[0] = held = Held(lambda: trainer.step(x, y))
    with held:
        in_child(child)
        with pytest.raises(errors.BusyError):
            trainer.step(x, y)
    assert np.isfinite(trainer.step(x, y))


def test_a_fit_in_another_thread_leaves_a_child_that_can_fit():
    """Between two slices nothing is half done; the fit's turn belongs to a thread that the child has not."""
    trainer, (x, y) = make(), batch()

    class Stop:
        def on_slice(self, trainer, reports):
            held.stop()

    def child():
        assert np.isfinite(trainer.step(x, y))
        trainer.fit(x, y, epochs=2, batch_size=32, progress=False)
        assert trainer.evaluate(x, y)["loss"] < 2

    held = Held(lambda: trainer.fit(x, y, epochs=2, batch_size=32, progress=False, callbacks=[Stop()]))
    with held:
        in_child(child)
        with pytest.raises(errors.BusyError):
            trainer.fit(x, y, epochs=2, batch_size=32, progress=False)


def test_gradients_that_the_fork_cut_in_two_are_made_anew():
    """They only read the weights: the child trains on, with the bits of anybody else."""
    x, y = batch()

    def own_loss(output, target):
        if asking:
            held.stop()
        return float(((output - target) ** 2).mean()), (2 * (output - target) / output.size).astype("float32")

    trainer, twin, asking = make(own_loss), make(own_loss), []
    trainer.step(x, y)
    twin.step(x, y)

    def child():
        asking.clear()
        trainer.fit(x, y, epochs=3, batch_size=20, progress=False)
        twin.fit(x, y, epochs=3, batch_size=20, progress=False)
        assert digest(trainer.net.parameters()) == digest(twin.net.parameters())

    def ask():
        asking.append(True)
        trainer.gradients(x, y)

    held = Held(ask)
    with held:
        in_child(child)
        with pytest.raises(errors.BusyError):
            trainer.step(x, y)


@pytest.mark.parametrize("children", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_children_of_a_parent_that_predicts_and_trains(children):
    """Wherever the fork falls, the child's own objects work, and shared ones work or say why not."""
    x, y = batch(512)
    shared, trained, want = make(), make(), {}
    want["y"], finished = shared.net.predict(x), threading.Event()

    def repeat(call):
        while not finished.is_set():
            call()

    def child():
        assert exact.same_bits(shared.net.predict(x), want["y"])
        assert np.isfinite(shared.step(x, y))
        shared.net.set_parameters(shared.net.parameters())
        out = shared.net.forward(x)
        shared.net.backward(np.ones_like(out))
        try:
            trained.step(x, y)
        except errors.StateError as error:
            assert "forked" in str(error)

    calls = (
        lambda: shared.net.predict(x),
        lambda: shared.evaluate(x, y),
        lambda: trained.step(x, y),
    )
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    try:
        for _ in range(children):
            in_child(child)
    finally:
        finished.set()
        for thread in threads:
            thread.join(60)
    assert exact.same_bits(shared.net.predict(x), want["y"])
    assert np.isfinite(trained.step(x, y))
