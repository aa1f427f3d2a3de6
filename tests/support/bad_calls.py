"""The table of test_bad_input.py: calls that must be refused, with the error and what its message names.

A call gets a World (see there): a trained trainer `t` on labels, one on values `m`, its network `net`, good
data x, y, v, and a folder. Errors: A argument, S shape, D dtype, T state, N not found, F file, B format.
"""

import gradcore
import numpy as np
from gradcore import (
    Activation,
    Dense,
    Dropout,
    Network,
    Residual,
    Standardize,
    Trainer,
    _core,
    callbacks,
    clipping,
    errors,
    initializers,
    kernels,
    losses,
    optimizers,
    schedules,
)

A, S, D, T = errors.ArgumentError, errors.ShapeError, errors.DTypeError, errors.StateError
N, F, B = errors.NotFoundError, errors.FileError, errors.FormatError
nan, inf = float("nan"), float("inf")


def net_of(*layers, **options):
    return lambda w: Network(list(layers), **{"inputs": 4, **options})


def spoiled(array, value, where=(1, 2)):
    other = np.array(array, np.float64)
    other[where] = value
    return other


def fit(**options):
    def call(w):
        arguments = {"X": w.x, "y": w.y, "epochs": 1, "batch_size": 4, "progress": False, **options}
        w.t.fit(**arguments)

    return call


def fit_x(change):
    return lambda w: w.t.fit(change(w.x), w.y, epochs=1, batch_size=4, progress=False)


def plain(params, grads, optimizer=None):
    return lambda w: (optimizer or optimizers.Adam(0.1)).update(params, grads)


def hyper(kind, **options):
    return lambda w: getattr(optimizers, kind)(**{"lr": 0.1, **options})


W = np.ones((2, 3))
read_only = np.ones((2, 3))
read_only.flags.writeable = False

LAYERS = {
    "units zero": (lambda w: Dense(0), A, "units"),
    "units negative": (lambda w: Dense(-3), A, "units"),
    "units not whole": (lambda w: Dense(2.5), D, "units"),
    "units text": (lambda w: Dense("8"), D, "units"),
    "units True": (lambda w: Dense(True), D, "units"),
    "units None": (lambda w: Dense(None), D, "units"),
    "activation unknown": (lambda w: Dense(3, "rélu"), A, "relu"),
    "activation number": (lambda w: Dense(3, 7), D, "activation"),
    "alpha negative": (lambda w: Activation("leaky_relu", alpha=-0.1), A, "alpha"),
    "alpha NaN": (lambda w: Activation("elu", alpha=nan), A, "alpha"),
    "alpha infinite": (lambda w: Activation("elu", alpha=inf), A, "alpha"),
    "alpha where none is": (lambda w: Activation("relu", alpha=0.5), A, "alpha"),
    "alpha text": (lambda w: Activation("elu", alpha="1"), D, "alpha"),
    "bias text": (lambda w: Dense(3, bias="yes"), D, "bias"),
    "weight_init unknown": (lambda w: Dense(3, weight_init="ones?"), A, "weight_init"),
    "weight_init number": (lambda w: Dense(3, weight_init=3), D, "weight_init"),
    "bias_init NaN": (lambda w: Dense(3, bias_init=nan), A, "bias_init"),
    "rate one": (lambda w: Dropout(1.0), A, "rate"),
    "rate negative": (lambda w: Dropout(-0.1), A, "rate"),
    "rate NaN": (lambda w: Dropout(nan), A, "rate"),
    "rate text": (lambda w: Dropout("half"), D, "rate"),
    "residual of nothing": (lambda w: Residual(), A, "Residual"),
    "residual of text": (lambda w: Residual("relu"), D, "Residual"),
    "residual of a class": (lambda w: Residual(Dense), D, "Dense"),
    "residual width": (net_of(Residual(Dense(5))), S, r"layers\[0\]"),
    "standardize later": (net_of(Dense(4), Standardize()), A, "Standardize"),
    "no layers": (net_of(), A, "layers"),
    "layers a layer": (lambda w: Network(Dense(3), inputs=4), D, "layers"),
    "layers text": (lambda w: Network("Dense", inputs=4), D, "layers"),
    "layers of numbers": (lambda w: Network([3, 4], inputs=4), D, r"layers\[0\]"),
    "inputs zero": (net_of(Dense(3), inputs=0), A, "inputs"),
    "inputs not whole": (net_of(Dense(3), inputs=4.0), D, "inputs"),
    "inputs huge": (net_of(Dense(2**40), inputs=2**40), errors.GradcoreError, None),
    "dtype float16": (net_of(Dense(3), dtype="float16"), A, "dtype"),
    "dtype nonsense": (net_of(Dense(3), dtype="cake"), A, "dtype"),
    "dtype None": (net_of(Dense(3), dtype=None), A, "dtype"),
    "seed negative": (net_of(Dense(3), seed=-1), A, "seed"),
    "seed too large": (net_of(Dense(3), seed=2**64), A, "seed"),
    "seed not whole": (net_of(Dense(3), seed=1.5), D, "seed"),
    "threads zero": (net_of(Dense(3), threads=0), A, "threads"),
    "threads huge": (net_of(Dense(3), threads=10**6), A, "threads"),
    "isa unknown": (net_of(Dense(3), isa="mmx"), A, "isa"),
    "initialiser std": (lambda w: initializers.Normal(std=0), A, "std"),
    "initialiser bounds": (lambda w: initializers.Uniform(1, 0), A, "low"),
    "initialiser overflow": (net_of(Dense(3, weight_init=initializers.Normal(std=1e300))), A, "weight"),
}

PREDICT = {
    "too few columns": (lambda w: w.net.predict(w.x[:, :3]), S, "X"),
    "too many columns": (lambda w: w.net.predict(np.ones((3, 5))), S, "X"),
    "one dimension": (lambda w: w.net.predict(np.ones(4)), S, "X"),
    "three dimensions": (lambda w: w.net.predict(np.ones((2, 2, 4))), S, "X"),
    "no rows": (lambda w: w.net.predict(np.ones((0, 4))), S, "X"),
    "a number": (lambda w: w.net.predict(3.0), S, "X"),
    "None": (lambda w: w.net.predict(None), D, "X"),
    "text": (lambda w: w.net.predict([["a"] * 4]), D, "X"),
    "objects": (lambda w: w.net.predict(np.array([[None] * 4])), D, "X"),
    "complex": (lambda w: w.net.predict(np.ones((2, 4), complex)), D, "X"),
    "dates": (lambda w: w.net.predict(np.zeros((2, 4), "M8[s]")), D, "X"),
    "records": (lambda w: w.net.predict(np.zeros((2, 4), [("a", "f4")])), D, "X"),
    "ragged": (lambda w: w.net.predict([[1, 2, 3, 4], [1, 2]]), S, "X"),
    "overflows float32": (lambda w: w.net.predict(spoiled(w.x, 1e300)), A, "X"),
    "masked": (lambda w: w.net.predict(np.ma.masked_array(w.x, w.x > 0)), A, "X"),
    "forward columns": (lambda w: w.net.forward(w.x[:, :3]), S, "X"),
    "forward training text": (lambda w: w.net.forward(w.x, training="yes"), D, "training"),
    "forward step": (lambda w: w.net.forward(w.x, step=-1), A, "step"),
    "backward first": (lambda w: w.net.clone().backward(np.ones((2, 3))), T, "backward"),
    "backward shape": (lambda w: (w.net.forward(w.x), w.net.backward(np.ones((12, 2)))), S, "d_out"),
    "backward rows": (lambda w: (w.net.forward(w.x), w.net.backward(np.ones((5, 3)))), S, "d_out"),
    "gradients first": (lambda w: w.net.clone().gradients(), T, "gradients"),
    "standardize without": (lambda w: w.net.standardize(w.x), T, "Standardize"),
    "activations columns": (lambda w: w.net.activations(w.x[:, :2]), S, "X"),
    "parameters a list": (lambda w: w.net.set_parameters([1]), D, "parameters"),
    "parameters unknown": (lambda w: w.net.set_parameters({"9.weight": W}), A, r"9\.weight"),
    "parameters shape": (lambda w: w.net.set_parameters({"0.weight": np.ones((5, 4))}), S, r"0\.weight"),
    "parameters transposed": (lambda w: w.net.set_parameters({"0.weight": np.ones((6, 4))}), S, r"0\.weight"),
    "parameters NaN": (lambda w: w.net.set_parameters({"0.bias": [nan] * 6}), A, r"0\.bias"),
    "parameters overflow": (lambda w: w.net.set_parameters({"0.bias": [1e39] * 6}), A, r"0\.bias"),
    "parameters text": (lambda w: w.net.set_parameters({"0.bias": ["a"] * 6}), D, r"0\.bias"),
    "parameters: one of two": (
        lambda w: w.net.set_parameters({"0.bias": np.ones(6), "1.bias": np.ones(4)}), S, r"1\.bias",
    ),
}  # fmt: skip

STEP = {
    "label too large": (lambda w: w.t.step(w.x, np.full(12, 3)), A, "y"),
    "label negative": (lambda w: w.t.step(w.x, np.full(12, -1)), A, "y"),
    "label int32 too large": (lambda w: w.t.step(w.x, np.full(12, 3, np.int32)), A, "y"),
    "label not whole": (lambda w: w.t.step(w.x, np.full(12, 0.5)), A, "y"),
    "label NaN": (lambda w: w.t.step(w.x, np.full(12, nan)), A, "y"),
    "label beyond int64": (lambda w: w.t.step(w.x, np.full(12, 2**63, np.uint64)), A, "y"),
    "labels text": (lambda w: w.t.step(w.x, ["a"] * 12), A, r"y: expected \d different labels"),
    "labels counts": (lambda w: w.t.step(w.x, 2 * np.eye(3)[w.y]), A, "sum 1"),
    "labels one-hot of others": (lambda w: w.t.step(w.x, np.eye(4)[w.y]), S, "class ids"),
    "labels too few": (lambda w: w.t.step(w.x, w.y[:11]), S, "y"),
    "labels None": (lambda w: w.t.step(w.x, None), D, "y"),
    "rows none": (lambda w: w.t.step(w.x[:0], w.y[:0]), S, "X"),
    "columns": (lambda w: w.t.step(w.x[:, :3], w.y), S, "X"),
    "columns int32 labels": (lambda w: w.t.step(w.x[:, :3], w.y.astype(np.int32)), S, "X"),
    "values shape": (lambda w: w.m.step(w.x, w.v[:, :1]), S, "y"),
    "values rows": (lambda w: w.m.step(w.x, w.v[:5]), S, "y"),
    "values one dimension": (lambda w: w.m.step(w.x, w.v[:, 0]), S, "y"),
    "values text": (lambda w: w.m.step(w.x, [["a"] * 3] * 12), D, "y"),
    "probabilities above one": (lambda w: w.p.step(w.x, np.full((12, 3), 1.5)), A, "y"),
    "probabilities below zero": (lambda w: w.p.step(w.x, np.full((12, 3), -0.5, np.float32)), A, "y"),
    "weight negative": (lambda w: w.t.step(w.x, w.y, [-1] * 12), A, "sample_weight"),
    "weight NaN": (lambda w: w.t.step(w.x, w.y, [nan] * 12), A, "sample_weight"),
    "weight infinite": (lambda w: w.t.step(w.x, w.y, [inf] * 12), A, "sample_weight"),
    "weights all zero": (lambda w: w.t.step(w.x, w.y, [0] * 12), A, "sample_weight"),
    "weights too few": (lambda w: w.t.step(w.x, w.y, [1] * 11), S, "sample_weight"),
    "weights 2-D": (lambda w: w.t.step(w.x, w.y, np.ones((12, 1))), S, "sample_weight"),
    "gradients NaN": (lambda w: w.t.gradients(spoiled(w.x, nan), w.y), A, "X"),
    "gradients infinite": (lambda w: w.t.gradients(spoiled(w.x, inf), w.y), A, "X"),
    "gradients columns": (lambda w: w.t.gradients(w.x[:, :1], w.y), S, "X"),
    "evaluate NaN": (lambda w: w.t.evaluate(spoiled(w.x, nan), w.y), A, "X"),
    "evaluate labels": (lambda w: w.t.evaluate(w.x, w.y + 3), A, "y"),
    "evaluate weights": (lambda w: w.t.evaluate(w.x, w.y, [1]), S, "sample_weight"),
}

FIT = {
    "X NaN": (fit_x(lambda x: spoiled(x, nan)), A, r"X.*\[1, 2\]"),
    "X infinite": (fit_x(lambda x: spoiled(x, -inf)), A, "X"),
    "X float32 NaN": (fit_x(lambda x: spoiled(x, nan).astype(np.float32)), A, "X"),
    "X overflows float32": (fit_x(lambda x: spoiled(x, 1e300)), A, "X"),
    "X columns": (fit_x(lambda x: x[:, :3]), S, "X"),
    "X rows": (fit_x(lambda x: x[:5]), S, "y"),
    "y out of range": (fit(y=np.full(12, 3)), A, "y"),
    "y NaN": (lambda w: w.m.fit(w.x, spoiled(w.v, nan), 1, 4, progress=False), A, "y"),
    "epochs zero": (fit(epochs=0), A, "epochs"),
    "epochs not whole": (fit(epochs=1.5), D, "epochs"),
    "batch_size zero": (fit(batch_size=0), A, "batch_size"),
    "batch_size negative": (fit(batch_size=-4), A, "batch_size"),
    "batch_size text": (fit(batch_size="all"), D, "batch_size"),
    "shuffle text": (fit(shuffle="yes"), D, "shuffle"),
    "progress text": (fit(progress="bar"), D, "progress"),
    "validation zero": (fit(validation=0.0), A, "validation"),
    "validation one": (fit(validation=1.0), A, "validation"),
    "validation NaN": (fit(validation=nan), A, "validation"),
    "validation text": (fit(validation="half"), D, "validation"),
    "validation of one part": (fit(validation=(np.ones((2, 4)),)), A, "validation"),
    "validation shape": (fit(validation=(np.ones((2, 3)), [0, 1])), S, "validation X"),
    "validation labels": (fit(validation=(np.ones((2, 4)), [0, 9])), A, "validation y"),
    "validation NaN rows": (fit(validation=(np.full((2, 4), nan), [0, 1])), A, "validation X"),
    "validation leaves none": (lambda w: w.t.fit(w.x[:1], w.y[:1], 1, 1, validation=0.5), S, "validation"),
    "sample_weight shape": (fit(sample_weight=[1, 2]), S, "sample_weight"),
    "sample_weight zero": (fit(sample_weight=[0] * 12), A, "sample_weight"),
    "class_weight text": (fit(class_weight="even"), A, "class_weight"),
    "class_weight list": (fit(class_weight=[1, 2]), S, "class_weight"),
    "class_weight unknown class": (fit(class_weight={3: 1.0}), A, "class_weight"),
    "class_weight negative": (fit(class_weight={0: -1.0}), A, "class_weight"),
    "class_weight NaN": (fit(class_weight={0: nan}), A, "class_weight"),
    "class_weight of values": (
        lambda w: w.m.fit(w.x, w.v, 1, 4, class_weight="balanced", progress=False), A, "class_weight",
    ),
    "early_stopping zero": (fit(early_stopping=0), A, "early_stopping"),
    "early_stopping text": (fit(early_stopping="soon"), D, "early_stopping"),
    "early_stopping without data": (fit(early_stopping=callbacks.EarlyStopping("val_loss")), A, "val_loss"),
    "early_stopping accuracy of values": (
        lambda w: w.m.fit(w.x, w.v, 1, 4, early_stopping=callbacks.EarlyStopping("accuracy"), progress=False),
        A, "accuracy",
    ),
    "monitor unknown": (lambda w: callbacks.EarlyStopping("speed"), A, "monitor"),
    "patience zero": (lambda w: callbacks.EarlyStopping(patience=0), A, "patience"),
    "min_delta negative": (lambda w: callbacks.EarlyStopping(min_delta=-1), A, "min_delta"),
    "callbacks a number": (fit(callbacks=3), D, "callbacks"),
    "callbacks of numbers": (fit(callbacks=[3]), D, r"callbacks\[0\]"),
    "callbacks a class": (fit(callbacks=[callbacks.Callback]), D, r"callbacks\[0\]"),
}  # fmt: skip

MAKE = {
    "trainer of no network": (lambda w: Trainer("net", "mse", optimizers.Adam()), D, "net"),
    "trainer: loss unknown": (lambda w: Trainer(w.net, "no_such", optimizers.Adam()), A, "cross_entropy"),
    "trainer: loss number": (lambda w: Trainer(w.net, 3, optimizers.Adam()), D, "loss"),
    "trainer: optimizer text": (lambda w: Trainer(w.net, "mse", "adam"), D, "optimizer"),
    "trainer: optimizer class": (lambda w: Trainer(w.net, "mse", optimizers.Adam), D, "optimizer"),
    "trainer: clip number": (lambda w: Trainer(w.net, "mse", optimizers.Adam(), clip=1.0), D, "clip"),
    "nonfinite": (lambda w: Trainer(w.net, "mse", optimizers.SGD(1), nonfinite="no"), A, "nonfinite"),
    "trainer: seed": (lambda w: Trainer(w.net, "mse", optimizers.Adam(), seed=-1), A, "seed"),
    "cross_entropy of one output": (
        lambda w: Trainer(Network([Dense(1)], inputs=2), "cross_entropy", optimizers.Adam()), S, "binary",
    ),
    "lr zero": (hyper("SGD", lr=0), A, "lr"),
    "lr negative": (hyper("Adam", lr=-0.1), A, "lr"),
    "lr NaN": (hyper("RMSprop", lr=nan), A, "lr"),
    "lr infinite": (hyper("AdamW", lr=inf), A, "lr"),
    "lr text": (hyper("SGD", lr="fast"), D, "lr"),
    "lr None": (hyper("SGD", lr=None), D, "lr"),
    "lr True": (hyper("SGD", lr=True), D, "lr"),
    "momentum one": (hyper("SGD", momentum=1.0), A, "momentum"),
    "momentum negative": (hyper("RMSprop", momentum=-0.1), A, "momentum"),
    "nesterov without momentum": (hyper("SGD", nesterov=True), A, "nesterov"),
    "nesterov text": (hyper("SGD", momentum=0.9, nesterov="yes"), D, "nesterov"),
    "weight_decay negative": (hyper("SGD", weight_decay=-1e-3), A, "weight_decay"),
    "weight_decay NaN": (hyper("AdamW", weight_decay=nan), A, "weight_decay"),
    "alpha of rmsprop one": (hyper("RMSprop", alpha=1.0), A, "alpha"),
    "eps zero": (hyper("Adam", eps=0), A, "eps"),
    "eps negative": (hyper("RMSprop", eps=-1e-8), A, "eps"),
    "beta1 one": (hyper("Adam", betas=(1.0, 0.999)), A, "betas"),
    "beta2 negative": (hyper("Adam", betas=(0.9, -0.1)), A, "betas"),
    "betas a number": (hyper("Adam", betas=0.9), D, "betas"),
    "betas of three": (hyper("Adam", betas=(0.9, 0.99, 0.999)), D, "betas"),
    "clip zero": (lambda w: clipping.GlobalNorm(0), A, "max_norm"),
    "clip negative": (lambda w: clipping.ByValue(-1), A, "limit"),
    "clip NaN": (lambda w: clipping.ByValue(nan), A, "limit"),
    "clip text": (lambda w: clipping.GlobalNorm("1"), D, "max_norm"),
    "schedule steps zero": (lambda w: schedules.Cosine(0.1, 0), A, "steps"),
    "schedule decay": (lambda w: schedules.Exponential(0.1, 0.0, 10), A, "decay"),
    "schedule NaN": (lambda w: schedules.Constant(nan), A, "value"),
    "schedule of text": (lambda w: schedules.Warmup("fast", 10), D, "schedule"),
    "schedule steps not whole": (lambda w: schedules.Warmup(0.1, 1.5), D, "steps"),
    "losses.get": (lambda w: losses.get("no"), A, "loss"),
    "initializers.get": (lambda w: initializers.get("no"), A, "initializer"),
    "update: list and dict": (plain([W], {"a": W}), D, "grads"),
    "update: keys": (plain({"a": W}, {"b": W}), A, "grads"),
    "update: count": (plain([W, W], [W]), A, "grads"),
    "update: shape": (plain([W], [np.ones((3, 2))]), S, "grads"),
    "update: dtype": (plain([W], [W.astype(np.float32)]), D, "grads"),
    "update: integers": (plain([W.astype(int)], [W.astype(int)]), D, "params"),
    "update: byte order": (plain([W.astype(">f8")], [W.astype(">f8")]), D, "params"),
    "update: read-only": (plain([read_only], [W]), A, "params"),
    "update: a list of lists": (plain([[1.0]], [[1.0]]), D, "params"),
    "update: an array": (plain(W, W), D, "params"),
}  # fmt: skip

KERNELS = {
    "gemm shapes": (lambda w: kernels.gemm(W, W), S, "b"),
    "gemm dtypes": (lambda w: kernels.gemm(W, W.T.astype(np.float32)), D, "b"),
    "gemm integers": (lambda w: kernels.gemm(W.astype(int), W.T), D, "a"),
    "gemm bias": (lambda w: kernels.gemm(W, W.T, np.ones(3)), S, "bias"),
    "gemm out shape": (lambda w: kernels.gemm(W, W.T, out=np.ones((3, 3))), S, "out"),
    "gemm out dtype": (lambda w: kernels.gemm(W, W.T, out=np.ones((2, 2), np.float32)), D, "out"),
    "gemm out strided": (lambda w: kernels.gemm(W, W.T, out=np.ones((2, 4))[:, ::2]), A, "out"),
    "gemm out overlaps": (lambda w: kernels.gemm(w.square, w.square.T, out=w.square), A, "out"),
    "gemm threads": (lambda w: kernels.gemm(W, W.T, threads=0), A, "threads"),
    "gemm isa": (lambda w: kernels.gemm(W, W.T, isa="mmx"), A, "isa"),
    "dense_backward rows": (lambda w: kernels.dense_backward(W, W.T, np.ones((3, 2))), S, "d_y"),
    "dense_backward out": (lambda w: kernels.dense_backward(W, W.T, W @ W.T, out=np.ones((2, 3))), D, "out"),
    "dense_backward two out": (lambda w: kernels.dense_backward(W, W.T, W @ W.T, out=(None,) * 2), D, "out"),
    "dense_backward out is x": (
        lambda w: kernels.dense_backward(w.square, w.square, w.square, out=(w.square, None, None)),
        A,
        r"out\[0\].*apart from x",
    ),
    "dense_backward out twice": (
        lambda w: kernels.dense_backward(
            w.square, w.square, w.square, out=(s := np.ones(w.square.shape), s, None)
        ),
        A,
        r"out\[1\].*apart from out\[0\]",
    ),
    "mse out dtype": (lambda w: kernels.mse(W, W, out=np.ones(2, np.float32)), D, "out"),
    "mse gradient out": (lambda w: kernels.mse(W, W, gradient=True, out=np.ones(2)), D, "out"),
    "relu alpha": (lambda w: kernels.relu(W, alpha=0.1), A, "alpha"),
    "relu of text": (lambda w: kernels.relu("abc"), D, "x"),
    "relu of integers": (lambda w: kernels.relu(W.astype(int)), D, "x"),
    "relu out read-only": (lambda w: kernels.relu(W, out=read_only), A, "out"),
    "relu out overlaps in part": (lambda w: kernels.relu(w.long[:4], out=w.long[1:5]), A, "out"),
    "elu alpha NaN": (lambda w: kernels.elu(W, alpha=nan), A, "alpha"),
    "elu alpha negative": (lambda w: kernels.elu(W, alpha=-1.0), A, "alpha"),
    "tanh_backward shape": (lambda w: kernels.tanh_backward(W, W.T), S, "d_y"),
    "mse target": (lambda w: kernels.mse(W, W.T), S, "target"),
    "cross_entropy label": (lambda w: kernels.cross_entropy(W, [0, 3]), A, "target"),
    "no such kernel": (lambda w: gradcore.names("cake"), errors.GradcoreError, "family"),
}

FILES = {
    "load nothing": (lambda w: Network.load(w.folder / "none"), N, "none"),
    "load a folder": (lambda w: Network.load(w.folder), A, "path"),
    "load a number": (lambda w: Network.load(3.5), D, "path"),
    "load an empty path": (lambda w: Network.load(""), A, "path"),
    "load NUL": (lambda w: Network.load("a\0b"), A, "path"),
    "load text": (lambda w: Network.load(w.file(b"hello")), B, None),
    "load nothing at all": (lambda w: Network.load(w.file(b"")), B, None),
    "load a pickle": (lambda w: Network.load(w.file(b"\x80\x04K\x01.")), B, None),
    "load threads": (lambda w: Network.load(w.saved(), threads=0), A, "threads"),
    "load isa": (lambda w: Network.load(w.saved(), isa="mmx"), A, "isa"),
    "trainer of a network's file": (lambda w: Trainer.load(w.saved()), B, "trainer"),
    "save to nowhere": (lambda w: w.net.save(w.folder / "no" / "x"), N, "folder"),
    "save to a folder": (lambda w: w.t.save(w.folder), A, "path"),
    "save a lambda": (
        lambda w: Trainer(w.net, "mse", optimizers.SGD(lambda s: 1)).save(w.folder / "x"),
        A,
        "lr",
    ),
    "checkpoint every none": (lambda w: callbacks.Checkpoint("x", every_steps=0), A, "every_steps"),
    "history column": (lambda w: w.t.history["speed"], A, "column"),
    "history to nowhere": (lambda w: w.t.history.to_csv(w.folder / "no" / "x"), F, "no"),
}


def run(**options):
    """A slice of two steps through the binding, with some arguments exchanged."""

    def call(w):
        arguments = {
            "x": w.x,
            "target": w.y.astype(np.int32),
            "weight": None,
            "order": np.arange(12),
            "begin": 0,
            "end": 8,
            "batch": 4,
            "hypers": np.tile(np.resize([0.1, 0, 1, 0.9, 0.999, 1e-8, 0, 0], _core.HYPERS), (2, 1)),
            "reports": np.zeros(2, _core.REPORT_DTYPE),
            **options,
        }
        w.t._state.core.run(*arguments.values())

    return call


def order(**places):
    """A training order with some rows exchanged."""
    rows = np.arange(12)
    for place, row in places.items():
        rows[int(place[1:])] = row
    return rows


BINDING = {
    "predict dtype": (lambda w: w.net._core.predict(w.x.astype(np.float64)), D, "x"),
    "predict byte order": (lambda w: w.net._core.predict(w.x.astype(">f4")), D, "x"),
    "predict list": (lambda w: w.net._core.predict([[1.0] * 4]), D, "x"),
    "predict strides": (lambda w: w.net._core.predict(np.asfortranarray(w.x)), S, "x"),
    "predict backwards": (lambda w: w.net._core.predict(w.x[::-1]), S, "x"),
    "predict out": (lambda w: w.net._core.predict(w.x, np.ones((12, 4), np.float32)), S, "out"),
    "predict out overlaps": (lambda w: w.net._core.predict(w.x, w.x.ravel()[:36].reshape(12, 3)), A, "out"),
    "write index": (lambda w: w.net._core.write({9: w.x}), A, "index"),
    "write dtype": (lambda w: w.net._core.write({0: np.ones((4, 6))}), D, r"0\.weight"),
    "write shape": (lambda w: w.net._core.write({0: np.ones((6, 4), np.float32)}), S, r"0\.weight"),
    "write NaN": (lambda w: w.net._core.write({0: np.full((4, 6), nan, np.float32)}), A, r"0\.weight"),
    "read index": (lambda w: w.net._core.read(-1), A, "index"),
    "capacity zero": (lambda w: _core.Pass(w.net._core, 0), A, "capacity"),
    "forward beyond capacity": (lambda w: _core.Pass(w.net._core, 3).forward(w.x, False, 0, 0), S, "x"),
    "gradient first": (lambda w: _core.Pass(w.net._core, 3).gradient(0), T, "gradient"),
    "step beyond capacity": (
        lambda w: w.t._state.core.train_step(
            np.ones((13, 4), np.float32), np.zeros(13, np.int32), None, np.full(_core.HYPERS, 0.1)
        ),
        S,
        "13",
    ),
    "gradients beyond capacity": (
        lambda w: w.t._state.core.gradients(np.ones((13, 4), np.float32), np.zeros(13, np.int32), None),
        S,
        "13",
    ),
    "run: batch beyond capacity": (run(batch=13), errors.GradcoreError, "batch"),
    "run: batch zero": (run(batch=0), A, "batch"),
    "run: begin negative": (run(begin=-4), errors.GradcoreError, "begin"),
    "run: end beyond the order": (run(end=13, batch=7), errors.GradcoreError, "end"),
    "run: end before begin": (run(begin=8, end=4), errors.GradcoreError, "begin|end"),
    "run: a row too large": (run(order=order(p3=12)), A, "order"),
    "run: a row negative": (run(order=order(p5=-1)), A, "order"),
    "run: order dtype": (run(order=np.arange(12, dtype=np.int32)), D, "order"),
    "run: more hypers than steps": (
        run(hypers=np.full((3, _core.HYPERS), 0.1)), errors.GradcoreError, "hypers|reports"
    ),
    "run: hypers width": (run(hypers=np.full((2, _core.HYPERS - 1), 0.1)), S, "hypers"),
    "run: reports dtype": (run(reports=np.zeros(2)), D, "reports"),
    "run: label": (run(target=np.full(12, 3, np.int32)), A, "target"),
    "run: a weight is NaN": (run(weight=np.full(12, nan)), A, "weight"),
    "run: a weight is negative": (run(weight=np.full(12, -1.0)), A, "weight"),
    "run: weights too few": (run(weight=np.ones(11)), S, "weight"),
    "state slot": (lambda w: w.t._state.core.state_read(2, 0), A, "slot"),
    "state shape": (lambda w: w.t._state.core.state_write(0, 0, np.ones((6, 4), np.float32)), S, "value"),
    "progress": (lambda w: w.t._state.core.set_progress(3, 4), A, "step"),
    "trainer flags": (lambda w: core_trainer(w, flags=1 << 20), A, "flags"),
    "trainer clip": (lambda w: core_trainer(w, clip="norm"), A, "clip"),
    "trainer optimizer": (lambda w: core_trainer(w, optimizer="tiger"), A, "adamw"),
    "trainer loss": (lambda w: core_trainer(w, loss="no_such"), A, "mse"),
    "trainer capacity": (lambda w: core_trainer(w, capacity=0), A, "capacity"),
    "trainer capacity huge": (lambda w: core_trainer(w, capacity=2**60), errors.GradcoreError, None),
    "layer kind": (lambda w: _core.CoreNetwork([{"kind": "conv"}], 4), A, "dense"),
    "layer key": (lambda w: _core.CoreNetwork([{"kind": "dense", "unit": 3}], 4), A, "units"),
    "end without residual": (lambda w: _core.CoreNetwork([{"kind": "end"}], 4), A, "end|residual"),
    "residual without end": (lambda w: _core.CoreNetwork([{"kind": "residual"}], 4), A, "residual|end"),
    "fill kind": (lambda w: _core.fill("cauchy", 0, 0, 2, 2, 0.0, 1.0), A, "kind"),
    "fill huge": (lambda w: _core.fill("normal", 0, 0, 2**40, 2**40, 0.0, 1.0), errors.GradcoreError, None),
    "tensor dtype": (lambda w: _core.encode([("a", np.ones(2, complex))], {}), D, "a"),
    "tensor name twice": (lambda w: _core.encode([("a", W), ("a", W)], {}), A, "a"),
    "tensor dimensions": (lambda w: _core.encode([("a", np.ones((1, 1, 1, 1, 1)))], {}), S, "a"),
    "metadata number": (lambda w: _core.encode([], {"a": 1}), D, "a"),
    "decode text": (lambda w: _core.decode("abc"), D, "data"),
}  # fmt: skip


def core_trainer(w, **options):
    arguments = {"loss": "mse", "optimizer": "adam", "flags": 0, "clip": None, "nonfinite": "skip",
                 "capacity": 4, "seed": 0, **options}  # fmt: skip
    return _core.CoreTrainer(w.net._core, **arguments)


TABLES = {"layers": LAYERS, "predict": PREDICT, "step": STEP, "fit": FIT, "make": MAKE, "kernels": KERNELS,
          "files": FILES, "binding": BINDING}  # fmt: skip
