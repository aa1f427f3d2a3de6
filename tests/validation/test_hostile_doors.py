"""Methods, kernels, data sets, health, minimize: every public door, called with what nobody should pass.

What comes out is a GradcoreError or a result, never another error, never a crash; and what was called still
works. What a function of the user's raises is the user's.
"""

import contextlib
import inspect
import os
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Heads,
    History,
    Network,
    Residual,
    Standardize,
    Trainer,
    datasets,
    health,
    initializers,
    kernels,
    losses,
    optimizers,
    pruning,
)
from test_hostile_calls import HOSTILE
from test_odd_arguments import Agreeable, Stubborn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 2
V = RNG.normal(size=(12, 2)).astype(np.float32)


class Thrower:
    """Raises what it can where NumPy looks."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __len__(self):
        raise RuntimeError("no length")

    def __getattr__(self, name):
        raise RuntimeError("no attribute")


class Recursive(list):
    """Contains itself."""

    def __init__(self):
        super().__init__()
        self.append(self)


HUGE = [lambda: np.broadcast_to(np.float32(1), (2**40, 3)), lambda: np.broadcast_to(1, 2**40)]
MORE = [
    lambda: np.zeros((0, 3)),
    lambda: np.zeros((12, 0)),
    lambda: np.zeros((1, 1, 1, 1, 3)),
    lambda: np.full((12, 3), np.nan),
    lambda: np.full((12, 3), 1e300),
    lambda: np.array([Stubborn()] * 12, object),
    lambda: np.array([2**70] * 12, object),
    lambda: np.array([10**400] * 12, object),
    lambda: np.ma.masked_array(X, X > 0),
    lambda: np.zeros(12, "datetime64[s]"),
    lambda: np.zeros(12, [("a", int), ("b", float)]),
    lambda: np.zeros((12, 3), complex),
    lambda: np.zeros((12, 3), np.longdouble),
    lambda: np.full(12, 2**64 - 1, np.uint64),
    lambda: np.full(12, -(2**63)),
    lambda: np.array(["a", "b"] * 6),
    lambda: [[1, 2], [3]],
    lambda: [["a", None, 3.0]] * 12,
    lambda: memoryview(b"abcdefghijkl"),
    lambda: range(12),
    lambda: (x for x in range(12)),
    lambda: {"0.weight": "a"},
    lambda: {"0.weight": np.zeros(2**10)},
    lambda: {"a": Y, "b": None},
    lambda: {1: 2, "a": [3]},
    lambda: [Stubborn()] * 12,
    lambda: (X, Y),
    lambda: (None, None),
    Recursive,
    Stubborn,
    Agreeable,
    Thrower,
    lambda: Network,
    lambda: gradcore,
    lambda: Network([Dense(2)], inputs=3),
    lambda: os.devnull,
    lambda: "/",
    lambda: "none/at/all",
    lambda: "x" * 5000,
    lambda: print,
    lambda: np.exp,
]
FUNCTION_ARGUMENTS = ("fun", "function", "grads")
VALUES = [*(lambda value=value: value for value in HOSTILE), *MORE]


def network(*layers):
    net = Network([*layers, Dense(4, "tanh"), Dense(2)], inputs=3, seed=0, threads=1)
    net.forward(X[:2])
    return net


def trainer(**more):
    made = Trainer(network(), "cross_entropy", optimizers.EMA(optimizers.Adam(0.01)), **more)
    made.step(X, Y)
    return made


def heads():
    net = Network([Dense(4, "tanh"), Heads({"a": Dense(2), "b": Dense(1)})], inputs=3, threads=1)
    return Trainer(net, {"a": "cross_entropy", "b": "mse"}, optimizers.Adam(0.01))


def history():
    made = History()
    made.append(
        {"epoch": 1, "step": 3, "loss": 0.5, "lr": 0.1, "grad_norm": 1.0, "skipped": 0, "seconds": 0.1}
    )
    return made


def bowl(x):
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, list) else [x]
    double = [2 * np.asarray(part, np.float64) for part in parts]
    slope = dict(zip(x, double, strict=True)) if isinstance(x, dict) else double
    return float(sum((part**2).sum() for part in double)) / 4, slope if isinstance(
        x, dict | list
    ) else double[0]


def total(output, target):
    return float(output.sum()), np.ones_like(output)


def table():
    columns = (np.arange(6.0), np.array(["a", "b"] * 3, object), np.arange(6.0))
    return datasets.Table("t", ("size", "town", "price"), columns)


def encoding():
    return datasets.Encoding.learn(table(), "price")


def flow():
    return health.gradient_flow(trainer(), X, Y)


FIT = {"X": X, "y": Y, "epochs": 1, "batch_size": 6, "progress": False}
B = {"a": Y, "b": X[:, :1]}
METHODS = {  # by "Class.method": an object, and arguments that it takes
    "Network.predict": (network, {"X": X, "output": "raw"}),
    "Network.forward": (network, {"X": X, "training": True, "step": 1}),
    "Network.backward": (network, {"d_out": V[:2]}),
    "Network.gradients": (lambda: backwarded(), {}),
    "Network.activations": (network, {"X": X}),
    "Network.parameters": (network, {}),
    "Network.effective_weights": (network, {}),
    "Network.set_parameters": (network, {"parameters": {"1.bias": [1.0, 2.0]}}),
    "Network.hvp": (network, {"X": X, "y": V, "loss": "mse", "v": np.ones(26), "sample_weight": None}),
    "Network.gnvp": (network, {"X": X, "y": V, "loss": "mse", "v": np.ones(26), "sample_weight": None}),
    "Network.refresh_norms": (lambda: network(BatchNorm()), {"X": X, "batch_size": 4}),
    "Network.standardize": (lambda: network(Standardize()), {"X": X, "sample_weight": None}),
    "Network.save": (network, {"path": "net", "metadata": None}),
    "Network.load": (lambda: saved_network(), {"path": "net", "threads": 1, "isa": None}),
    "Network.clone": (network, {}),
    "Network.fold_batchnorm": (network, {}),
    "Network.summary": (network, {}),
    "Network.columns=": (network, {"columns": ["a", "b", "c"]}),
    "Network.classes=": (network, {"classes": ["a", "b"]}),
    "Network.classes= of heads": (lambda: heads().net, {"classes": {"a": ["x", "y"]}}),
    "Network.predict of heads": (lambda: heads().net, {"X": X, "output": {"a": "class"}}),
    "Network.backward of heads": (lambda: forwarded_heads(), {"d_out": {"a": V, "b": X[:, :1]}}),
    "Trainer.step": (trainer, {"X": X, "y": Y, "sample_weight": None}),
    "Trainer.step of heads": (heads, {"X": X, "y": B, "sample_weight": None}),
    "Trainer.gradients": (trainer, {"X": X, "y": Y, "sample_weight": None}),
    "Trainer.evaluate": (trainer, {"X": X, "y": Y, "sample_weight": None}),
    "Trainer.evaluate of heads": (heads, {"X": X, "y": B, "sample_weight": {"a": np.ones(12)}}),
    "Trainer.fit": (
        trainer,
        {
            **FIT, "validation": (X, Y), "shuffle": True, "sample_weight": None, "class_weight": None,
            "early_stopping": 2, "callbacks": (), "resume": None, "evaluate_averaged": False,
        },
    ),
    "Trainer.fit of heads": (
        heads,
        {**FIT, "y": B, "sample_weight": None, "class_weight": {"a": "balanced"}, "validation": 0.5},
    ),
    "Trainer.abandon_fit": (trainer, {}),
    "Trainer.branch": (trainer, {}),
    "Trainer.averaged": (trainer, {}),
    "Trainer.clip_ledger": (trainer, {}),
    "Trainer.conflicts": (lambda: surgeon(), {}),
    "Trainer.masks": (trainer, {}),
    "Trainer.set_masks": (trainer, {"masks": {"1.bias": [True, False]}}),
    "Trainer.edited": (
        trainer,
        {"optimizer": optimizers.SGD(0.1), "clip": None, "constraint": None, "loss": "mse",
         "layers": [Dense(4, "relu"), Dense(2)], "parameters": {"1.bias": [1.0, 2.0]}, "positions": None},
    ),
    "Trainer.edited of heads": (
        heads,
        {"loss": ..., "layers": [Dense(4), Heads({"a": Dense(2), "b": Dense(1)})], "positions": {"1": "1"}},
    ),
    "Trainer.save": (trainer, {"path": "trainer"}),
    "Trainer.load": (
        lambda: saved_trainer(),
        {"path": "trainer", "threads": 1, "isa": None, "optimizer": None, "clip": ..., "frozen": None},
    ),
    "History.append": (history, {"row": {"epoch": 2, "step": 4, "loss": 0.5, "lr": 0.1, "grad_norm": 1.0,
                                         "skipped": 0, "seconds": 0.1}}),
    "History.complete": (history, {"row": {"mine": 3.0}}),
    "History.columns": (history, {}),
    "History.last": (history, {}),
    "History.since": (history, {"start": 0}),
    "History.to_csv": (history, {"path": "h.csv"}),
    "History.to_dict": (history, {}),
    "History.to_pandas": (history, {}),
    "Table.__getitem__": (table, {"name": "town"}),
    "Table.without": (table, {"names": ["town"]}),
    "Table.place": (table, {"row": 1, "name": "town"}),
    "Encoding.learn": (lambda: datasets.Encoding, {"table": table(), "target": "price", "task": None}),
    "Encoding.inputs": (encoding, {"table": table(), "exact": False}),
    "Encoding.targets": (encoding, {"table": table()}),
    "Encoding.unscaled": (encoding, {"outputs": np.ones((3, 1))}),
    "Encoding.to_json": (encoding, {}),
    "Encoding.from_json": (lambda: datasets.Encoding, {"text": encoding().to_json()}),
    "GradientFlow.__str__": (flow, {}),
    "Adam.update": (
        lambda: optimizers.Adam(0.1),
        {"params": {"w": np.ones((2, 2))}, "grads": {"w": np.ones((2, 2))}},
    ),
}  # fmt: skip


def backwarded():
    net = network()
    net.backward(V[:2])
    return net


def forwarded_heads():
    net = heads().net
    net.forward(X)
    return net


def surgeon():
    net = Network([Dense(4), Heads({"a": Dense(2), "b": Dense(1)})], inputs=3, threads=1)
    return Trainer(net, losses.PerHead({"a": "cross_entropy", "b": "mse"}, surgery=True), optimizers.SGD(0.1))


def saved_network():
    network().save("net")
    return Network


def saved_trainer():
    trainer().save("trainer")
    return Trainer


def array_files():
    np.savez("a.npz", X=X, y=Y)
    with open("t.csv", "w") as file:
        file.write("a,b\n1,x\n2,y\n3,x\n")
    with open("i.idx", "wb") as file:
        file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3]))


FUNCTIONS = {
    "kernels.gemm": {"a": X, "b": X.T.copy(), "bias": np.ones(12, np.float32), "out": None, "threads": 1,
                     "isa": None},
    "kernels.pack": {"w": X},
    "kernels.dense_forward": {"x": X, "w": V[:3], "b": None, "activation": "elu", "alpha": 0.5, "out": None},
    "kernels.dense_backward": {"x": X, "w": V[:3], "d_y": V, "activation": "elu", "alpha": 0.5, "z": V,
                               "out": None},
    "kernels.softmax": {"z": X, "out": None},
    "datasets.load_digits": {},
    "datasets.load_idx": {"folder": "."},
    "datasets.load_npz": {"path": "a.npz"},
    "datasets.load_csv": {"path": "t.csv", "header": None, "text": (), "names": ()},
    "datasets.load_parquet": {"path": "t.parquet", "text": ()},
    "datasets.read_idx": {"path": "i.idx"},
    "health.gradient_flow": {"model": trainer, "X": X, "y": Y, "loss": None},
    "initializers.depth_scaled": {"net": lambda: residual()},
    "initializers.fixup": {"net": lambda: residual(), "head": True},
    "initializers.gain": {"activation": "relu", "alpha": None},
    "initializers.get": {"value": "he_normal", "name": "initializer"},
    "initializers.lsuv": {"net": network, "X": X, "tolerance": 0.01, "tries": 2},
    "initializers.names": {},
    "pruning.compact": {"net": network},
    "pruning.magnitude_masks": {"net": network, "sparsity": 0.5, "scope": "global", "skip": ()},
    "pruning.shrink": {"net": network, "share": 0.5, "skip": ()},
    "pruning.sparsity": {"net": network},
    "optimizers.minimize": {"fun": bowl, "x0": np.ones(3), "method": "lbfgs"},
    "losses.check": {"function": total, "output": X, "target": X},
    "gradcore.names": {"family": "loss"},
    "gradcore.build_info": {},
    "datasets.Table": {"source": "t", "names": ("a",), "columns": (np.ones(3),), "header": True,
                       "lines": None},
    "datasets.Encoding": {"features": ("a",), "target": "b", "categories": {}, "classes": (), "mean": 0.0,
                          "scale": 1.0, "header": True},
}  # fmt: skip
for name in kernels.__all__:
    if f"kernels.{name}" not in FUNCTIONS and not isinstance(getattr(kernels, name), type):
        named = {p.name for p in inspect.signature(getattr(kernels, name)).parameters.values()}
        more = {"out": None, **({"alpha": None} if "alpha" in named else {})}
        if "target" in named:
            target = {"cross_entropy": Y, "focal": Y, "softmax_cross_entropy": Y}.get(name, np.abs(V) / 9)
            FUNCTIONS[f"kernels.{name}"] = {"z": V, "target": target, "gradient": True, **more}
        else:
            FUNCTIONS[f"kernels.{name}"] = {"x": X, **({"d_y": X} if "d_y" in named else {}), **more}


def residual():
    return Network([Dense(4), Residual(Dense(4, "relu"), Dense(4)), Dense(2)], inputs=3, threads=1)


def parts(module):
    return [name for name in module.__all__ if not name.startswith("_")]


def test_every_door_is_in_the_tables():
    methods = {name.split(" of ")[0].rstrip("=") for name in METHODS}
    for kind in (Network, Trainer, History, datasets.Table, datasets.Encoding):
        for name, member in inspect.getmembers(kind):
            public = not name.startswith("_") and callable(member)
            assert not public or f"{kind.__name__}.{name}" in methods, name
    for module in (kernels, datasets, health, pruning, initializers):
        for name in parts(module):
            member = getattr(module, name)
            known = isinstance(member, type) or f"{module.__name__.split('.')[-1]}.{name}" in FUNCTIONS
            assert known, f"{module.__name__}.{name}"


@contextlib.contextmanager
def nothing_else(described):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except gradcore.GradcoreError as error:
        assert str(error), described
    except Exception as error:
        raise AssertionError(f"{described}: {type(error).__name__}: {error}") from error


def shown(value):
    try:
        return f"{type(value).__name__} {value!r:.60}"
    except Exception:
        return type(value).__name__


@pytest.mark.parametrize("door", METHODS)
def test_methods(door, tmp_path, monkeypatch):
    if door.endswith("to_pandas"):
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    make, good = METHODS[door]
    kind, name = door.split(" of ")[0].split(".")
    faults = []
    for argument in good:
        for value in VALUES + HUGE:
            odd, made = value(), make()
            odd = None if argument in FUNCTION_ARGUMENTS and callable(odd) else odd
            with collected(faults), nothing_else((door, argument, shown(odd))):
                if name.endswith("="):
                    setattr(made, name[:-1], odd)
                else:
                    getattr(made, name)(**{**good, argument: odd})
            net = made.net if isinstance(made, Trainer) else made
            if isinstance(net, Network):
                net.predict(X)
    made = make()
    if name.endswith("="):
        setattr(made, name[:-1], next(iter(good.values())))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(made, name)(**good)
    assert not faults, "\n".join(faults)


@contextlib.contextmanager
def collected(faults):
    try:
        yield
    except AssertionError as error:
        faults.append(str(error))


@pytest.mark.parametrize("door", FUNCTIONS)
def test_functions(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    array_files()
    module, name = door.split(".")
    home = gradcore if module == "gradcore" else getattr(gradcore, module)
    function, good = getattr(home, name), FUNCTIONS[door]
    faults = []
    for argument in good:
        for value in VALUES + HUGE:
            odd = value()
            arguments = {key: make() if key in ("net", "model") else make for key, make in good.items()}
            odd = None if argument in FUNCTION_ARGUMENTS and callable(odd) else odd
            with collected(faults), nothing_else((door, argument, shown(odd))):
                function(**{**arguments, argument: odd})
    assert not faults, "\n".join(faults)
