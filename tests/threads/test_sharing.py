"""One thread trains, others read or try to change: who waits for whom, and who is refused."""

import contextlib
import threading

import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Network,
    Standardize,
    Trainer,
    errors,
    initializers,
    optimizers,
    pruning,
)
from gradcore.network import sharing
from support import assert_same, cases, digest


def data(rows=64):
    rng = cases.generator("sharing", rows)
    x = rng.normal(size=(rows, 6))
    return x, x[:, :3].argmax(axis=1)


def make(optimizer=None, norm=True):
    layers = [Standardize(), Dense(16, "tanh"), *([BatchNorm()] if norm else []), Dense(3)]
    net = Network(layers, inputs=6, seed=1, dtype="float64", threads=1)
    return Trainer(net, "cross_entropy", optimizer or optimizers.EMA(optimizers.Adam(0.01)))


class Hold:
    """A callback that stays between two slices, after `begin` of them, until it may go on."""

    every_steps = 1

    def __init__(self, begin=3):
        self.begin, self.reached, self.leave = begin, threading.Event(), threading.Event()

    def on_slice(self, trainer, reports):
        if trainer.steps == self.begin:
            self.reached.set()
            assert self.leave.wait(60)


@contextlib.contextmanager
def in_thread(work):
    """`work` in another thread; on the way out it has ended, and what it raised is raised."""
    failures = []

    def body():
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(120)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def between_slices(trainer, **more):
    """While another thread's fit stands between two slices; it goes on afterwards."""
    hold = Hold()
    x, y = data()

    def work():
        trainer.fit(x, y, **{"epochs": 3, "batch_size": 16, "progress": False, "callbacks": [hold], **more})

    with in_thread(work):
        try:
            assert hold.reached.wait(60)
            yield
        finally:
            hold.leave.set()


def alone(optimizer=None, **more):
    trainer = make(optimizer)
    trainer.fit(*data(), **{"epochs": 3, "batch_size": 16, "progress": False, **more})
    return trainer


# ---- What changes something is refused ----

X, Y = data(20)
CHANGES = {
    "step": lambda t: t.step(X, Y),
    "a larger step": lambda t: t.step(*data(300)),
    "gradients": lambda t: t.gradients(X, Y),
    "larger gradients": lambda t: t.gradients(*data(300)),
    "fit": lambda t: t.fit(X, Y, epochs=1, progress=False),
    "set_masks": lambda t: t.set_masks({"1.weight": np.zeros((6, 16), bool)}),
    "no masks": lambda t: t.set_masks({}),
    "abandon_fit": lambda t: t.abandon_fit(),
    "set_parameters": lambda t: t.net.set_parameters({"1.bias": np.ones(16)}),
    "standardize": lambda t: t.net.standardize(X + 5),
    "refresh_norms": lambda t: t.net.refresh_norms(X),
    "lsuv": lambda t: initializers.lsuv(t.net, X),
    "another trainer's step": lambda t: Trainer(t.net, "cross_entropy", optimizers.SGD(0.1)).step(X, Y),
    "another trainer's fit": lambda t: Trainer(t.net, "cross_entropy", optimizers.SGD(0.1)).fit(
        X, Y, epochs=1, progress=False
    ),
    "another trainer's masks": lambda t: Trainer(t.net, "cross_entropy", optimizers.SGD(0.1)).set_masks(
        pruning.magnitude_masks(t.net, 0.5)
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_threads_change_nothing_between_the_slices(name):
    trainer = make()
    with between_slices(trainer):
        before = trainer.net.parameters()
        with pytest.raises(errors.BusyError):
            CHANGES[name](trainer)
        assert_same(trainer.net.parameters(), before)
        assert trainer.steps == 3
        assert not trainer.masks()
    assert_same(trainer.net.parameters(), alone().net.parameters())
    CHANGES[name](trainer)  # afterwards it may


def test_of_full_batch_methods_too():
    trainer = make(optimizers.LBFGS(), norm=False)
    with between_slices(trainer, epochs=5, batch_size=None):
        for name in ("gradients", "set_masks", "set_parameters", "abandon_fit", "fit"):
            with pytest.raises(errors.BusyError):
                CHANGES[name](trainer)
    other = make(optimizers.LBFGS(), norm=False)
    other.fit(*data(), epochs=5, progress=False)
    assert_same(trainer.net.parameters(), other.net.parameters())


def test_the_message_names_a_way_out():
    trainer = make()
    with between_slices(trainer), pytest.raises(errors.BusyError, match=r"fit.*callbacks.*clone\(\)"):
        trainer.step(X, Y)


def test_callbacks_may_change_things():
    class Change:
        def on_epoch_end(self, trainer, row):
            for name in ("step", "gradients", "set_masks", "no masks", "set_parameters", "refresh_norms"):
                CHANGES[name](trainer)
            with pytest.raises(errors.BusyError):
                CHANGES["fit"](trainer)
            other = Trainer(trainer.net, "cross_entropy", optimizers.SGD(0.1))
            other.fit(X, Y, epochs=1, progress=False)
            other.step(X, Y)

    trainer = make()
    trainer.fit(*data(), epochs=2, batch_size=16, callbacks=[Change()], progress=False)
    assert trainer.steps == 8 + 2


def test_a_fit_that_fails_leaves_the_network_free():
    trainer = make()

    class Fail:
        def on_epoch_end(self, trainer, row):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer.fit(*data(), epochs=2, callbacks=[Fail()], progress=False)
    with in_thread(lambda: trainer.step(X, Y)):
        pass
    with pytest.raises(errors.ShapeError):
        trainer.fit(X[:, :2], Y, epochs=1)
    with in_thread(lambda: trainer.step(X, Y)):
        pass


# ---- What reads gets its turn ----

READS = {
    "predict": lambda t, path: t.net.predict(X),
    "forward": lambda t, path: t.net.forward(X),
    "activations": lambda t, path: t.net.activations(X),
    "parameters": lambda t, path: t.net.parameters(),
    "evaluate": lambda t, path: t.evaluate(X, Y),
    "clone": lambda t, path: t.net.clone(),
    "save": lambda t, path: t.save(path),
    "save the network": lambda t, path: t.net.save(path),
    "averaged": lambda t, path: t.averaged(),
}


@pytest.mark.filterwarnings("ignore:averaged")
@pytest.mark.parametrize("name", READS)
def test_other_threads_read_between_the_slices(name, tmp_path):
    trainer = make()
    with between_slices(trainer):
        READS[name](trainer, tmp_path / "f")
    assert_same(trainer.net.parameters(), alone().net.parameters())


@pytest.mark.filterwarnings("ignore:averaged")
@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("kind", ["fit", "step"])
def test_no_reader_is_refused_while_another_thread_trains(name, kind, tmp_path):
    """Slices of any length, one after the other: the reader waits for the end of one of them."""
    trainer, enough, reads = make(), threading.Event(), 0
    x, y = data(256)

    class Until:
        def on_epoch_end(self, trainer, row):
            return enough.is_set()

    def train():
        if kind == "fit":
            trainer.fit(x, y, epochs=10**6, batch_size=32, progress=False, callbacks=[Until()])
        while not enough.is_set():
            trainer.step(x, y)

    trainer.net.standardize(x)
    trainer.step(x, y)
    with in_thread(train):
        try:
            for _ in range(30):
                READS[name](trainer, tmp_path / "f")
                reads += 1
        finally:
            enough.set()
    assert reads == 30


def test_what_is_read_together_belongs_together():
    """Every checkpoint that another thread saves is the state after some step of the fit."""
    x, y = data()
    possible, trainer = {}, make(optimizers.Adam(0.01), norm=False)
    seen, done = [], threading.Event()

    class Note:
        every_steps = 1

        def on_slice(self, trainer, reports):
            possible[trainer.steps] = digest(trainer.net.parameters())

    def train():
        try:
            trainer.fit(x, y, epochs=150, batch_size=16, progress=False, callbacks=[Note()])
        finally:
            done.set()

    with in_thread(train):
        while not done.is_set():
            restore, content = trainer.__reduce__()
            copied = restore(*content)
            seen.append((copied.steps, digest(copied.net.parameters())))
    assert all(possible.get(steps, found) == found for steps, found in seen)
    assert len(possible) == 600


def test_readers_do_not_keep_a_fit_or_a_step_out():
    trainer, done = make(), threading.Event()
    x, y = data()
    big = np.tile(x, (200, 1))

    def read():
        while not done.is_set():
            trainer.net.predict(big)

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(in_thread(read))
        try:
            trainer.fit(x, y, epochs=10, batch_size=16, progress=False)
            for _ in range(20):
                trainer.step(x, y)
            trainer.net.set_parameters({"1.bias": np.ones(16)})
        finally:
            done.set()
    assert trainer.steps == 60


def test_the_wait_is_bounded(monkeypatch):
    monkeypatch.setattr(sharing, "WAIT", 0.05)
    reached, leave = threading.Event(), threading.Event()

    def loss(output, target):
        reached.set()
        assert leave.wait(60)
        return float((output**2).mean()), 2 * output / output.size

    net = Network([Dense(2)], inputs=6, dtype="float64")
    trainer = Trainer(net, loss, optimizers.SGD(0.1))
    with in_thread(lambda: trainer.fit(X, X[:, :2], epochs=1, progress=False)):
        try:
            assert reached.wait(60)
            for name in ("predict", "parameters", "evaluate"):
                with pytest.raises(errors.BusyError, match=r"within 0.05 s.*clone\(\)"):
                    {"predict": net.predict, "parameters": lambda x: net.parameters(),
                     "evaluate": lambda x: trainer.evaluate(x, x[:, :2])}[name](X)  # fmt: skip
        finally:
            leave.set()


def test_a_function_that_a_step_calls_does_not_wait_for_the_step():
    def loss(output, target):
        for call in (lambda: net.predict(X), lambda: net.parameters(), lambda: trainer.evaluate(X, X[:, :2])):
            with pytest.raises(errors.BusyError):
                call()
        return float((output**2).mean()), 2 * output / output.size

    net = Network([Dense(2)], inputs=6, dtype="float64")
    trainer = Trainer(net, loss, optimizers.SGD(0.1))
    trainer.step(X, X[:, :2])
    trainer.fit(X, X[:, :2], epochs=1, progress=False)
