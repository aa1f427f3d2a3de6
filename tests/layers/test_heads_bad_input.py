"""What is refused about networks with heads, by which error and which words; and that nothing changes."""

import numpy as np
import pytest
from gradcore import (
    ArgumentError,
    Dense,
    DTypeError,
    FormatError,
    Heads,
    Network,
    Residual,
    ShapeError,
    StateError,
    Trainer,
    _core,
    callbacks,
    clipping,
    initializers,
    losses,
    optimizers,
)
from support import assert_same

X = np.ones((4, 3), np.float32)
Y = {"a": np.array([0, 1, 0, 1]), "b": np.ones((4, 2), np.float32)}
LOSS = {"a": "cross_entropy", "b": "mse"}


def net(uncertainty=False):
    return Network(
        [Dense(5, "tanh"), Heads({"a": Dense(2), "b": Dense(2)}, uncertainty=uncertainty)], inputs=3
    )


def trainer(loss=LOSS, **options):
    return Trainer(net(), loss, optimizers.Adam(), **options)


def changed(y, **more):
    return {**y, **more}


MAKE = {
    "no heads": (lambda: Heads({}), ArgumentError, "Heads: expected at least one head, got none"),
    "heads a list of layers": (lambda: Heads([Dense(3)]), DTypeError, "Heads: expected a dict"),
    "heads a layer": (lambda: Heads(Dense(3)), DTypeError, "Heads: expected a dict"),
    "name a number": (lambda: Heads({1: Dense(3)}), DTypeError, "expected names of heads, got 1"),
    "name empty": (lambda: Heads({"": Dense(3)}), ArgumentError, "1 to 32 letters"),
    "name with a dot": (lambda: Heads({"a.b": Dense(3)}), ArgumentError, "got 'a.b'"),
    "name with a digit first": (lambda: Heads({"1a": Dense(3)}), ArgumentError, "got '1a'"),
    "name with a line's end": (lambda: Heads({"a\n": Dense(3)}), ArgumentError, "1 to 32 letters"),
    "name too long": (lambda: Heads({"a" * 33: Dense(3)}), ArgumentError, "1 to 32 letters"),
    "name twice": (lambda: Heads([("a", Dense(3)), ("a", Dense(2))]), ArgumentError, "'a' twice"),
    "empty head": (lambda: Heads({"a": []}), ArgumentError, r"Heads\['a'\]: expected at least one layer"),
    "head of a class": (lambda: Heads({"a": Dense}), DTypeError, r"Heads\['a'\]"),
    "head of text": (lambda: Heads({"a": "relu"}), DTypeError, r"Heads\['a'\]"),
    "uncertainty a number": (lambda: Heads({"a": Dense(2)}, uncertainty=1), DTypeError, "uncertainty"),
    "heads in the middle": (
        lambda: Network([Heads({"a": Dense(2)}), Dense(3)], inputs=3),
        ArgumentError,
        r"layers\[0\]: expected Heads only as the last layer",
    ),
    "heads in a block": (
        lambda: Network([Residual(Heads({"a": Dense(3)}))], inputs=3),
        ArgumentError,
        r"layers\[0.0\]: expected Heads only as the last layer",
    ),
    "heads in a head": (
        lambda: Network([Heads({"a": Heads({"b": Dense(3)})})], inputs=3),
        ArgumentError,
        r"layers\[0.a.0\]: expected Heads only as the last layer",
    ),
    "a block's width in a head": (
        lambda: Network([Heads({"a": Residual(Dense(5))})], inputs=3),
        ShapeError,
        r"layers\[0.a.0\]",
    ),
    "one loss": (lambda: trainer("mse"), ArgumentError, "loss: expected a dict of losses for the heads a, b"),
    "a function": (lambda: trainer(lambda output, target: 0), ArgumentError, "heads a, b"),
    "loss missing": (lambda: trainer({"a": "mse"}), ArgumentError, "loss: expected the heads a, b, got a$"),
    "loss unknown": (
        lambda: trainer({**LOSS, "c": "mse"}),
        ArgumentError,
        "loss: expected the heads a, b, got a, b, c",
    ),
    "loss of a head unknown": (lambda: trainer({**LOSS, "b": "mze"}), ArgumentError, "expected one of mse"),
    "loss of a head a number": (lambda: trainer({**LOSS, "b": 3}), DTypeError, "loss"),
    "loss of a head a function": (lambda: trainer({**LOSS, "b": print}), ArgumentError, r"losses\['b'\]"),
    "losses in losses": (
        lambda: losses.PerHead({"a": losses.PerHead(LOSS)}),
        ArgumentError,
        r"losses\['a'\]: expected a loss",
    ),
    "losses of nothing": (
        lambda: losses.PerHead({}),
        ArgumentError,
        "expected a loss for each head, got none",
    ),
    "losses a list": (lambda: losses.PerHead(["mse"]), DTypeError, "losses: expected a dict by head"),
    "weights of others": (
        lambda: losses.PerHead(LOSS, weights={"c": 1.0}),
        ArgumentError,
        "weights: expected some of the heads a, b",
    ),
    "weight negative": (lambda: losses.PerHead(LOSS, weights={"a": -1.0}), ArgumentError, r"weights\['a'\]"),
    "weight NaN": (lambda: losses.PerHead(LOSS, weights={"a": np.nan}), ArgumentError, r"weights\['a'\]"),
    "weight text": (lambda: losses.PerHead(LOSS, weights={"a": "1"}), DTypeError, r"weights\['a'\]"),
    "surgery text": (lambda: losses.PerHead(LOSS, surgery="yes"), DTypeError, "surgery"),
    "labels for one output": (
        lambda: Trainer(
            Network([Heads({"a": Dense(1)})], inputs=3), {"a": "cross_entropy"}, optimizers.Adam()
        ),
        ShapeError,
        "at least 2 outputs",
    ),
    "heads where there are none": (
        lambda: Trainer(Network([Dense(2)], inputs=3), LOSS, optimizers.Adam()),
        ArgumentError,
        "expected one loss for a network without Heads",
    ),
    "the whole data set": (
        lambda: Trainer(net(), LOSS, optimizers.LBFGS()),
        ArgumentError,
        "optimizer: expected one that takes batches",
    ),
    "a rule on rows": (
        lambda: trainer(clip=clipping.PerExample(1.0)).step(X, Y),
        ArgumentError,
        "without heads",
    ),
    "layers one by one": (lambda: initializers.lsuv(net(), X), ArgumentError, "without Heads"),
}


@pytest.mark.parametrize("name", MAKE)
def test_it_cannot_be_made(name):
    make, kind, words = MAKE[name]
    with pytest.raises(kind, match=words):
        make()


NAN = np.array([[1, 1], [1, np.nan], [1, 1], [1, 1]], np.float32)
USE = {
    "targets an array": (
        lambda t: t.step(X, Y["b"]),
        DTypeError,
        "y: expected a dict with the heads a, b, got a ndarray",
    ),
    "targets missing": (
        lambda t: t.step(X, {"a": Y["a"]}),
        ArgumentError,
        "y: expected the heads a, b, got a$",
    ),
    "targets of none": (lambda t: t.step(X, {}), ArgumentError, "y: expected the heads a, b, got none"),
    "targets unknown": (
        lambda t: t.step(X, changed(Y, c=1)),
        ArgumentError,
        "y: expected the heads a, b, got a, b, c",
    ),
    "labels out of range": (
        lambda t: t.step(X, changed(Y, a=[0, 1, 2, 0])),
        ArgumentError,
        r"y\['a'\]: expected class ids in 0..1, got 2",
    ),
    "too few rows": (
        lambda t: t.step(X, changed(Y, a=[0, 1])),
        ShapeError,
        r"y\['a'\]: expected class ids of shape",
    ),
    "columns": (
        lambda t: t.gradients(X, changed(Y, b=np.ones((4, 3)))),
        ShapeError,
        r"y\['b'\]: expected shape \(4, 2\)",
    ),
    "NaN": (lambda t: t.evaluate(X, changed(Y, b=NAN)), ArgumentError, r"y\['b'\]: expected finite values"),
    "text": (lambda t: t.step(X, changed(Y, b="text")), DTypeError, r"y\['b'\]"),
    "validation": (
        lambda t: t.fit(X, Y, 1, 2, validation=(X, Y["b"])),
        DTypeError,
        "validation y: expected a dict with the heads",
    ),
    "weights unknown": (
        lambda t: t.step(X, Y, {"c": np.ones(4)}),
        ArgumentError,
        "sample_weight: expected some of the heads a, b, got c",
    ),
    "weights short": (
        lambda t: t.step(X, Y, {"b": np.ones(3)}),
        ShapeError,
        r"sample_weight\['b'\]: expected shape",
    ),
    "weights negative": (
        lambda t: t.step(X, Y, [1, 1, 1, -1]),
        ArgumentError,
        "sample_weight: expected values >= 0",
    ),
    "class weights for all": (
        lambda t: t.fit(X, Y, 1, 2, class_weight="balanced"),
        DTypeError,
        "class_weight: expected a dict with the heads",
    ),
    "class weights of numbers": (
        lambda t: t.fit(X, Y, 1, 2, class_weight={"b": "balanced"}),
        ArgumentError,
        r"class_weight\['b'\]: expected labels of classes, got targets of mse",
    ),
    "class unknown": (
        lambda t: t.fit(X, Y, 1, 2, class_weight={"a": {5: 1.0}}),
        ArgumentError,
        r"class_weight\['a'\]: expected classes",
    ),
    "no rows left of a head": (
        lambda t: t.fit(X, Y, 1, 2, class_weight={"a": {0: 0.0, 1: 0.0}}),
        ArgumentError,
        "positive sum",
    ),
    "monitor of no head": (
        lambda t: t.fit(X, Y, 1, 2, early_stopping=callbacks.EarlyStopping("c.loss")),
        ArgumentError,
        "early_stopping: expected one of loss, grad_norm, a.loss, b.loss, a.accuracy",
    ),
    "monitor of no class": (
        lambda t: t.fit(X, Y, 1, 2, early_stopping=callbacks.EarlyStopping("b.accuracy")),
        ArgumentError,
        "b.accuracy",
    ),
    "monitor of all classes": (
        lambda t: t.fit(X, Y, 1, 2, early_stopping=callbacks.EarlyStopping("accuracy")),
        ArgumentError,
        "got accuracy",
    ),
    "conflicts without surgery": (lambda t: t.conflicts(), StateError, "surgery=True"),
    "output unknown": (lambda t: t.net.predict(X, output={"a": "hard"}), ArgumentError, "raw, softmax"),
    "output of no head": (
        lambda t: t.net.predict(X, output={"c": "class"}),
        ArgumentError,
        "some of the heads a, b",
    ),
    "output a number": (lambda t: t.net.predict(X, output=3), DTypeError, "output"),
    "backward an array": (lambda t: t.net.backward(np.ones((4, 4))), StateError, "forward"),
    "binding: losses": (
        lambda t: t.net._core.evaluate_heads([("mse", None, 1.0)], X, [Y["b"]]),
        ShapeError,
        "expected 2 losses, got 1",
    ),
    "binding: targets": (
        lambda t: t._state.core.train_step(X, [Y["b"]], None, np.zeros(_core.HYPERS)),
        ShapeError,
        "one for each head",
    ),
    "binding: weight of a loss": (
        lambda t: t.net._core.evaluate_heads([("mse", None, 1.0), ("mse", None, -1.0)], X, [Y["b"], Y["b"]]),
        ArgumentError,
        r"heads\[1\].weight",
    ),
    "binding: heads and a loss": (
        lambda t: _core.CoreTrainer(
            t.net._core,
            loss="mse",
            heads=[("mse", None, 1.0)] * 2,
            optimizer="adam",
            flags=0,
            clip=None,
            nonfinite="skip",
            capacity=4,
            seed=0,
        ),
        ArgumentError,
        "loss: expected NULL",
    ),
}


@pytest.mark.parametrize("name", USE)
def test_it_cannot_be_used_so_and_nothing_changes(name):
    call, kind, words = USE[name]
    t = trainer()
    t.step(X, Y)
    before, steps = t.net.parameters(), t.steps
    with pytest.raises(kind, match=words):
        call(t)
    assert_same(t.net.parameters(), before)
    assert t.steps == steps
    assert len(t.history) == 0
    other = trainer()
    other.step(X, Y)
    assert t.step(X, Y) == other.step(X, Y)


def test_backward_wants_all_heads():
    n = net()
    y = n.forward(X)
    with pytest.raises(DTypeError, match="d_out: expected a dict with the heads a, b"):
        n.backward(np.ones((4, 4), np.float32))
    with pytest.raises(ArgumentError, match="d_out: expected the heads a, b, got b"):
        n.backward({"b": y["b"]})
    with pytest.raises(ShapeError, match=r"d_out\['b'\]: expected shape \(rows, 2\)"):
        n.backward({**y, "b": np.ones((4, 3))})
    with pytest.raises(ShapeError, match=r"d_out\['b'\]: expected 4 rows"):
        n.backward({**y, "b": np.ones((3, 2))})
    assert n.backward(y).shape == (4, 3)


DENSE = {"kind": "dense", "units": 3}
SPECS = {
    "no head": [{"kind": "heads"}, DENSE],
    "nothing": [{"kind": "heads"}, {"kind": "end_heads"}],
    "head alone": [{"kind": "head", "name": "a"}],
    "end alone": [DENSE, {"kind": "end_heads"}],
    "not closed": [{"kind": "heads"}, {"kind": "head", "name": "a"}, DENSE],
    "closed as a block": [{"kind": "heads"}, {"kind": "head", "name": "a"}, DENSE, {"kind": "end"}],
    "block not closed": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        {"kind": "residual"},
        DENSE,
        {"kind": "end_heads"},
    ],
    "head in a block": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        {"kind": "residual"},
        {"kind": "head", "name": "b"},
    ],
    "empty branch": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        {"kind": "head", "name": "b"},
        DENSE,
        {"kind": "end_heads"},
    ],
    "empty last branch": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        DENSE,
        {"kind": "head", "name": "b"},
        {"kind": "end_heads"},
    ],
    "heads in heads": [{"kind": "heads"}, {"kind": "head", "name": "a"}, {"kind": "heads"}],
    "heads in a block": [{"kind": "residual"}, {"kind": "heads"}],
    "more behind": [{"kind": "heads"}, {"kind": "head", "name": "a"}, DENSE, {"kind": "end_heads"}, DENSE],
    "names twice": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        DENSE,
        {"kind": "head", "name": "a"},
        DENSE,
        {"kind": "end_heads"},
    ],
    "no name": [{"kind": "heads"}, {"kind": "head"}, DENSE, {"kind": "end_heads"}],
    "name with a dot": [{"kind": "heads"}, {"kind": "head", "name": "a.b"}, DENSE, {"kind": "end_heads"}],
    "a continuation": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        {"kind": "activation", "activation": "relu", "continues": True},
        {"kind": "end_heads"},
    ],
    "flags": [
        {"kind": "heads"},
        {"kind": "head", "name": "a"},
        DENSE,
        {"kind": "end_heads", "projection": True},
    ],
    "too many": [
        {"kind": "heads"},
        *[spec for i in range(300) for spec in ({"kind": "head", "name": f"a{i}"}, DENSE)],
        {"kind": "end_heads"},
    ],
}


@pytest.mark.parametrize("name", SPECS)
def test_descriptions_that_the_core_refuses(name):
    with pytest.raises((ArgumentError, ShapeError), match="layers"):
        _core.CoreNetwork(SPECS[name], 3)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "net"
    net(uncertainty=True).save(path)
    text = path.read_bytes()
    for old, new in ((b'[\\"a\\",', b'[\\"b\\",'), (b'"1.log_variance"', b'"1.log_varyance"')):
        assert old in text
        path.write_bytes(text.replace(old, new, 1))
        with pytest.raises(FormatError):
            Network.load(path)
