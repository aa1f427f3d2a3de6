"""Arguments that are no numbers, names or flags but arrays, tables and objects with minds of their own."""

import numpy as np
import pytest
from gradcore import Dense, Heads, Network, Trainer, clipping, errors, losses, optimizers, schedules

X, Y = np.ones((6, 3)), np.arange(6) % 2


class Stubborn:
    """Answers nothing."""

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = object.__hash__

    def __bool__(self):
        raise RuntimeError("no")

    def __len__(self):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


class Agreeable:
    """Equals everything."""

    def __eq__(self, other):
        return True

    __hash__ = object.__hash__


def tables():
    pd = pytest.importorskip("pandas")
    return [pd.DataFrame({"a": [1, 2]}), pd.Series([1, 2])]


ODD = {
    "array": lambda: np.ones(3),
    "matrix": lambda: np.ones((2, 2)),
    "empty": lambda: np.ones(0),
    "huge": lambda: np.broadcast_to(1.0, 2**40),
    "frame": lambda: tables()[0],
    "series": lambda: tables()[1],
    "stubborn": Stubborn,
    "agreeable": Agreeable,
}


def net():
    return Network([Dense(2)], inputs=3)


def trainer():
    return Trainer(net(), "cross_entropy", optimizers.Adam())


def fit(**option):
    trainer().fit(**{"X": X, "y": Y, "epochs": 1, "batch_size": 3, "progress": False, **option})


CALLS = {
    "output": lambda value: net().predict(X, output=value),
    "output of a head": lambda value: Network([Heads({"a": Dense(2)})], inputs=3).predict(
        X, output={"a": value}
    ),
    "training": lambda value: net().forward(X, training=value),
    "step": lambda value: net().forward(X, True, step=value),
    "shuffle": lambda value: fit(shuffle=value),
    "epochs": lambda value: fit(epochs=value),
    "batch_size": lambda value: fit(batch_size=value),
    "validation": lambda value: fit(validation=value),
    "early_stopping": lambda value: fit(early_stopping=value),
    "progress": lambda value: fit(progress=value),
    "resume": lambda value: fit(resume=value),
    "class_weight": lambda value: fit(class_weight=value),
    "dtype": lambda value: Network([Dense(2)], inputs=3, dtype=value),
    "seed": lambda value: Network([Dense(2)], inputs=3, seed=value),
    "isa": lambda value: Network([Dense(2)], inputs=3, isa=value),
    "flush_denormals": lambda value: Network([Dense(2)], inputs=3, flush_denormals=value),
    "units": Dense,
    "activation": lambda value: Dense(3, value),
    "bias": lambda value: Dense(3, bias=value),
    "optimizer": lambda value: Trainer(net(), "mse", value),
    "loss": lambda value: Trainer(net(), value, optimizers.Adam()),
    "clip": lambda value: Trainer(net(), "mse", optimizers.Adam(), clip=value),
    "nonfinite": lambda value: Trainer(net(), "mse", optimizers.Adam(), nonfinite=value),
    "lr": optimizers.Adam,
    "nesterov": lambda value: optimizers.SGD(0.1, nesterov=value),
    "max_norm": clipping.GlobalNorm,
    "delta": lambda value: losses.Huber(delta=value),
    "ignore_index": lambda value: losses.CrossEntropy(ignore_index=value),
    "weighting": lambda value: losses.CrossEntropy(weighting=value),
    "steps": lambda value: schedules.Cosine(0.1, steps=value),
    "path": Network.load,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("argument", CALLS)
def test_odd_values_of_options_are_typed_errors(argument, odd):
    value = ODD[odd]()
    if (argument, odd) == ("class_weight", "series"):
        pytest.skip("a number for each class")
    with pytest.raises(errors.GradcoreError) as caught:
        CALLS[argument](value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("call", ["step", "gradients", "evaluate", "fit"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize(
    "loss", ["mse", "cross_entropy", "binary_cross_entropy", "binary_focal", "hinge", "poisson"]
)
def test_shapes_are_compared_before_values_are_looked_at(call, dtype, loss):
    """Of 2**40 rows: whoever looked at them would take minutes and hear no signal."""
    made = Trainer(net(), loss, optimizers.Adam())
    x = X.astype(np.float32)
    made.step(x, Y if loss == "cross_entropy" else np.ones((6, 2), np.float32))
    more = {"epochs": 1, "batch_size": 3, "progress": False} if call == "fit" else {}
    for shape in ((2**40,), (2**40, 2), (2**40, 1)):
        with pytest.raises(errors.ShapeError, match="^y: expected"):
            getattr(made, call)(x, np.broadcast_to(dtype(1), shape), **more)
    with pytest.raises(errors.ShapeError, match="^sample_weight: expected"):
        good = Y if loss == "cross_entropy" else np.ones((6, 2))
        getattr(made, call)(x, good, sample_weight=np.broadcast_to(1.0, 2**40), **more)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_inputs_that_fit_no_memory_are_named(dtype):
    huge = np.broadcast_to(dtype(1), (2**44, 3))
    made = trainer()
    for call in (
        lambda: made.net.predict(huge),
        lambda: made.net.activations(huge),
        lambda: made.evaluate(huge, Y),
        lambda: made.step(huge, Y),
        lambda: made.fit(huge, Y, epochs=1, batch_size=3),
    ):
        with pytest.raises(errors.MemoryLimitError, match="^X: expected an array that fits in memory"):
            call()


def test_an_output_that_is_an_array_is_named():
    with pytest.raises(
        errors.DTypeError, match=r"^output: expected one of raw, .*, got float64 array of shape \(3,\)$"
    ):
        net().predict(X, output=np.ones(3))
