"""Hostile arguments at every public entry: a GradcoreError that is also the built-in one would catch, a
message that names the argument, and every object as it was, bit for bit, and usable.

bad_calls.py has the table.
"""

import pickle
from types import SimpleNamespace

import gradcore
import numpy as np
import pytest
from gradcore import Dense, Network, Residual, Trainer, callbacks, errors, optimizers
from oracle import exact
from support import bad_calls, cases, digest

ROWS = [(table, name) for table, rows in bad_calls.TABLES.items() for name in rows]
BUILTIN = {
    errors.ArgumentError: ValueError, errors.ShapeError: ValueError, errors.DTypeError: TypeError,
    errors.StateError: RuntimeError, errors.NotFoundError: FileNotFoundError, errors.FileError: OSError,
    errors.FormatError: ValueError, errors.NonFiniteError: FloatingPointError, errors.BusyError: RuntimeError,
    errors.MemoryLimitError: MemoryError, errors.DependencyError: ImportError,
}  # fmt: skip


def make_world(folder):
    w = SimpleNamespace(folder=folder)
    w.x = cases.normal((12, 4), "float32", "x")
    w.y = np.arange(12) % 3
    w.v = cases.normal((12, 3), "float32", "v")
    w.square, w.long = np.ones((4, 4)), np.ones(9)
    w.net = Network([Dense(6, "tanh"), Dense(3)], inputs=4, seed=2)
    w.t = Trainer(w.net, "cross_entropy", optimizers.Adam(0.01), clip=gradcore.clipping.GlobalNorm(0.1))
    w.m = Trainer(w.net.clone(), "mse", optimizers.SGD(0.01, momentum=0.9))
    w.p = Trainer(w.net.clone(), "binary_cross_entropy", optimizers.RMSprop(0.01))
    for _ in range(2):
        use(w)

    def file(data):
        path = folder / "file"
        path.write_bytes(data)
        return path

    def saved():
        w.net.save(folder / "saved")
        return folder / "saved"

    w.file, w.saved = file, saved
    return w


def use(w):
    """One step of each trainer; what it returns and leaves must not depend on what was refused before."""
    losses = w.t.step(w.x, w.y), w.m.step(w.x, w.v), w.p.step(w.x, w.v > 0)
    return losses, [digest(trainer.net.parameters()) for trainer in (w.t, w.m, w.p)]


def state(w):
    """Everything that a checkpoint holds: parameters, moments, step numbers, history."""
    return [pickle.dumps(trainer) for trainer in (w.t, w.m, w.p)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return use(make_world(tmp_path_factory.mktemp("undisturbed")))


def test_there_are_enough_of_them():
    assert len(ROWS) >= 120


@pytest.mark.parametrize(("table", "name"), ROWS)
@pytest.mark.quick
def test_a_bad_call_is_refused_and_changes_nothing(table, name, tmp_path, undisturbed):
    call, error, pattern = bad_calls.TABLES[table][name]
    w = make_world(tmp_path)
    before = state(w)
    with pytest.raises(error, match=pattern) as caught:
        call(w)
    kind = type(caught.value)
    assert issubclass(kind, errors.GradcoreError)
    assert isinstance(caught.value, BUILTIN[kind])
    assert len(str(caught.value)) > 10
    assert "Errno None" not in str(caught.value)
    assert state(w) == before
    assert use(w) == undisturbed


def test_an_unknown_option_is_a_type_error():
    """No keyword is swallowed."""
    for call in (
        lambda: Network([Dense(3)], inputs=4, sead=3),
        lambda: Dense(3, activatoin="relu"),
        lambda: Trainer(Network([Dense(3)], inputs=4), "mse", optimizers.Adam(), clips=None),
        lambda: optimizers.Adam(learning_rate=0.1),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.quick
def test_messages_say_what_was_expected_and_what_came():
    net = Network([Dense(3)], inputs=784)
    with pytest.raises(errors.ShapeError, match=r"^X: expected shape \(rows, 784\), got \(64, 783\)$"):
        net.predict(np.ones((64, 783)))
    with pytest.raises(errors.ArgumentError, match=r"expected one of identity, relu, .*, got 'rellu'"):
        Dense(3, "rellu")
    trainer = Trainer(net, "cross_entropy", optimizers.Adam())
    with pytest.raises(errors.ArgumentError, match=r"^y: expected class ids in 0\.\.2, got 7 at \[1\]$"):
        trainer.step(np.ones((3, 784)), [0, 7, 1])


@pytest.mark.parametrize(
    ("y", "advice"),
    [
        ([0, "b", "a"], "for labels that are texts, use classes, y = numpy.unique(y, return_inverse=True)"),
        (np.array([b"a", b"b", b"a"]), "for labels that are texts, use classes, y ="),
        (np.array([True, 0, 1.0], object), "use y.astype(float)"),
        ((label for label in [0, 1, 2]), "got a generator; use list(y)"),
        (None, "got a NoneType"),
    ],
)
def test_targets_of_other_types_are_refused_with_advice(y, advice):
    trainer = Trainer(Network([Dense(3)], inputs=2), "cross_entropy", optimizers.Adam())
    with pytest.raises(errors.DTypeError) as caught:
        trainer.fit(np.ones((3, 2)), y, epochs=1, batch_size=3)
    assert str(caught.value).startswith("y: expected real numbers, got") and advice in str(caught.value)


def test_other_mistakes_are_refused_with_advice():
    trainer = Trainer(Network([Dense(3)], inputs=2), "cross_entropy", optimizers.Adam())
    x, y = np.ones((3, 2)), [0, 1, 2]
    stop = callbacks.EarlyStopping(patience=3)
    with pytest.raises(errors.DTypeError, match="give it as early_stopping="):
        trainer.fit(x, y, epochs=1, batch_size=3, callbacks=[stop])
    half = type("Half", (), {"on_slice": lambda *_: None, "on_epoch_end": 3})()
    with pytest.raises(errors.DTypeError, match=r"^callbacks\[0\]: expected a method on_epoch_end, got 3"):
        trainer.fit(x, y, epochs=1, batch_size=3, callbacks=[half])
    with pytest.raises(errors.DTypeError, match="expected an EarlyStopping, a number of epochs or None"):
        trainer.fit(x, y, epochs=1, batch_size=3, early_stopping={"patience": 3})
    with pytest.raises(errors.DTypeError, match="one by one"):
        Residual([Dense(3)])
    with pytest.raises(errors.DTypeError, match="turn texts into numbers first"):
        trainer.net.predict([["a", "b"]])


@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_what_can_be_converted_is_accepted_with_the_right_result(layout):
    """Unaligned, byte-swapped, strided and read-only arrays at every entry that takes data."""
    w, other = make_world(None), make_world(None)
    x, v, weight = layout(w.x), layout(w.v), layout(np.linspace(1, 2, 12)[:, None])[:, 0]
    labels = layout(w.y.astype(np.int32)[:, None])[:, 0]
    assert other.t.step(x, labels, weight) == w.t.step(w.x, w.y, np.linspace(1, 2, 12))
    assert other.m.step(x, v) == w.m.step(w.x, w.v)
    assert other.t.evaluate(x, labels, weight) == w.t.evaluate(w.x, w.y, np.linspace(1, 2, 12))
    assert exact.same_bits(other.net.predict(x), w.net.predict(w.x))
    w.net.forward(w.x)
    other.net.forward(x)
    assert exact.same_bits(other.net.backward(v), w.net.backward(w.v))
    got, want = other.t.gradients(x, labels), w.t.gradients(w.x, w.y)
    assert got[0] == want[0]
    assert all(exact.same_bits(got[1][name], want[1][name]) for name in want[1])


def test_a_failed_step_with_a_larger_batch_keeps_the_moments():
    """The engine's buffers grow with the batch; state must move along, also when the batch is refused."""
    w, other = make_world(None), make_world(None)
    big = np.concatenate([w.x] * 40)
    with pytest.raises(errors.GradcoreError):
        w.t.step(big, np.full(480, 3))
    with pytest.raises(errors.GradcoreError):
        w.t.step(big, np.full(480, 3, np.int32))
    assert state(w) == state(other)
    assert use(w) == use(other)
    labels = np.concatenate([w.y] * 40)
    assert w.t.step(big, labels) == other.t.step(big, labels)
    assert use(w) == use(other)


def test_an_object_whose_construction_failed_is_of_no_use_and_no_harm():
    net = Network.__new__(Network)
    with pytest.raises((AttributeError, errors.GradcoreError)):
        net.predict(np.ones((1, 1)))
    from gradcore import _core

    x = np.ones((1, 1), np.float32)
    arguments = {"predict": (x,), "forward": (x, False, 0, 0), "gradients": (x, x, None)}
    for kind in (_core.CoreNetwork, _core.Pass, _core.CoreTrainer):
        empty = kind.__new__(kind)
        for name in ("predict", "forward", "gradients", "activations", "norms"):
            if hasattr(empty, name):
                with pytest.raises(errors.GradcoreError):
                    getattr(empty, name)(*arguments.get(name, ()))
