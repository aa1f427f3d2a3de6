"""L-BFGS, conjugate gradients, Newton-CG and Levenberg-Marquardt as a Trainer's optimizer."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
from gradcore import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    LayerNorm,
    Network,
    Residual,
    Standardize,
    Trainer,
    callbacks,
    clipping,
    datasets,
    errors,
    losses,
    names,
    optimizers,
    schedules,
)
from gradcore.second_order import fit_loop
from support import assert_same, cases, digest

FALLING = losses.L2(schedules.Step(0.1, 3, 0.5))
METHODS = {
    "lbfgs": optimizers.LBFGS(),
    "lbfgs short": optimizers.LBFGS(history=2),
    "lbfgs fixed": optimizers.LBFGS(line_search=None, lr=0.5),
    "ncg": optimizers.ConjugateGradient(),
    "ncg hestenes_stiefel": optimizers.ConjugateGradient("hestenes_stiefel"),
    "newton-cg": optimizers.NewtonCG(),
    "gauss-newton": optimizers.NewtonCG(curvature="gauss_newton", damping=1e-4),
    "lm": optimizers.LevenbergMarquardt(),
    "lm fletcher": optimizers.LevenbergMarquardt(damping="fletcher", mu=1.0, decrease=3, increase=2),
}


def data(rows=60):
    x = cases.generator("full batch", rows).normal(size=(rows, 3))
    return x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2]


def make(method, dtype="float64", **options):
    net = Network([Dense(6, "tanh"), Dense(1)], inputs=3, seed=2, dtype=dtype)
    return Trainer(net, "mse", METHODS.get(method, method), **options)


def fit(trainer, x, y, epochs=6, **more):
    return trainer.fit(x, y, epochs=epochs, progress=False, **more)


# ---- Losses after a fixed number of iterations ----

# name: iterations, loss of a softmax regression on the digits that they reach, from 2.5
SOFTMAX = {"lbfgs": (60, 0.02), "ncg": (60, 0.03), "newton-cg": (12, 0.01), "gauss-newton": (12, 0.01)}


@pytest.mark.parametrize("method", SOFTMAX)
def test_softmax_on_the_digits(method, dtype):
    x, y, *_ = datasets.load_digits()
    net = Network([Dense(10)], inputs=64, seed=0, dtype=dtype)
    trainer = Trainer(net, "cross_entropy", METHODS[method])
    epochs, bound = SOFTMAX[method]
    history = fit(trainer, x / np.max(x), y, epochs)
    assert history.loss[-1] < bound
    assert history.accuracy[-1] > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_losses_fall_and_runs_repeat(method, dtype):
    if method.startswith("lm") and dtype == "float32":
        return
    x, y = data()
    first, second = make(method, dtype), make(method, dtype)
    history = fit(first, x, y, 12)
    fit(second, x, y, 12)
    assert history.loss[-1] < history.loss[0] / 3
    if method != "lbfgs fixed":
        assert all(b <= a for a, b in zip(history.loss, history.loss[1:], strict=False))
    assert_same(first.net.parameters(), second.net.parameters())


def test_a_linear_least_squares_problem_is_solved_at_once():
    x = cases.generator("linear", 50).normal(size=(50, 4))
    y = x @ [[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [-1.0, 0.5]] + [0.3, -0.2]
    for method, epochs in (("lm", 4), ("newton-cg", 8), ("gauss-newton", 8)):
        trainer = Trainer(Network([Dense(2)], inputs=4, dtype="float64"), "mse", METHODS[method])
        fit(trainer, x, y, epochs)
        assert trainer.evaluate(x, y)["loss"] < 1e-12


@pytest.mark.parametrize("method", ["lbfgs", "ncg"])
def test_fit_is_minimize_of_the_mean_loss(method):
    x, y = data()
    trainer, other = make(method), make(method)
    keys = list(other.net.parameters())

    def fun(parameters):
        other.net.set_parameters(dict(zip(keys, parameters, strict=True)))
        loss, gradients = other.gradients(x, y)
        return loss, list(gradients.values())

    start = list(other.net.parameters().values())
    found = optimizers.minimize(fun, start, METHODS[method], steps=10)
    history = fit(trainer, x, y, 10)
    assert history.loss == list(found.history[:-1])
    assert_same(trainer.net.parameters(), dict(zip(keys, found.x, strict=True)))


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg"])
def test_bits_do_not_depend_on_threads_or_instruction_set(method):
    x, y = data(700)
    found = set()
    for isa in names("isa"):
        for threads in (1, 2):
            layers = [Dense(40, "tanh"), Residual(Dense(40, "gelu")), Dense(1)]
            net = Network(layers, 3, isa=isa, threads=threads)
            fit(Trainer(net, "mse", METHODS[method]), x, y, 4)
            found.add(digest(net.parameters()))
    assert len(found) == 1


# ---- What fit() offers ----


def test_history_steps_and_reason():
    x, y = data()
    trainer = make("lbfgs")
    history = fit(trainer, x, y, 5, validation=(x[:10], y[:10]))
    assert history.epoch == history.step == [1, 2, 3, 4, 5]
    assert trainer.steps == 5
    assert trainer.stop_reason == ""
    assert all(math.isfinite(v) for column in ("loss", "val_loss", "grad_norm") for v in history[column])
    assert all(lr > 0 for lr in history.lr)
    loss, gradients = make("lbfgs").gradients(x, y)
    assert history.loss[0] == loss
    norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert history.grad_norm[0] == pytest.approx(norm, rel=1e-12)
    more = fit(trainer, x, y, 3)
    assert more.epoch == [6, 7, 8]
    assert more.loss[0] < history.loss[-1]


def test_convergence_ends_a_fit():
    x, y = data()
    trainer = make(optimizers.LBFGS(tolerance=1e-2))
    history = fit(trainer, x, y, 500)
    assert len(history) < 500
    assert trainer.stop_reason == "gradient tolerance"
    again = fit(trainer, x, y, 5)  # there is nothing left to do
    assert len(again) == 1
    trainer = make(optimizers.LBFGS(max_iterations=3))
    assert len(fit(trainer, x, y, 500)) == 3
    assert trainer.stop_reason == "iterations"
    assert len(fit(trainer, x, y, 500)) == 3


def test_no_progress_ends_a_fit():
    x, y = data(12)
    trainer = make(optimizers.LBFGS(tolerance=0.0), dtype="float32")
    assert len(fit(trainer, x, y, 3000)) < 3000
    assert trainer.stop_reason == "no progress"


@pytest.mark.parametrize("method", ["lbfgs", "ncg"])
def test_normalising_layers(method):
    """Batch statistics are those of all rows: the loss is a function of the parameters."""
    x, y = data()
    block = Residual(LayerNorm(), Dense(6), projection=True)
    layers = [Dense(8), BatchNorm(), Activation("tanh"), block, Dense(1)]
    trainer = Trainer(Network(layers, inputs=3, dtype="float64"), "mse", METHODS[method])
    history = fit(trainer, x + 3, y, 60)
    assert all(b <= a for a, b in zip(history.loss, history.loss[1:], strict=False))
    assert history.loss[-1] < history.loss[0] / 10
    assert trainer.evaluate(x + 3, y)["loss"] < history.loss[0] / 5  # running averages follow


@pytest.mark.parametrize(
    "layers", [[Dense(5, "relu"), Dense(1)], [Standardize(), Activation("tanh"), Dense(1)]]
)
def test_other_networks(layers):
    x, y = data()
    for method in METHODS.values():
        trainer = Trainer(Network(layers, inputs=3, dtype="float64"), "mse", method)
        history = fit(trainer, x, y, 8)
        assert history.loss[-1] < history.loss[0]


def test_early_stopping_and_callbacks():
    x, y = data(40)
    events = []

    class Hook:
        def on_epoch_begin(self, trainer, epoch):
            events.append(("begin", epoch))

        def on_slice(self, trainer, reports):
            events.append(("slice", int(reports["rows"][0]), trainer.steps))

        def on_epoch_end(self, trainer, row):
            events.append(("end", row["epoch"]))
            return row["epoch"] == 2

    fit(make("lbfgs"), x, y, 9, callbacks=[Hook()])
    assert events == [("begin", 1), ("slice", 40, 1), ("end", 1), ("begin", 2), ("slice", 40, 2), ("end", 2)]

    trainer = make("lbfgs")
    rng = cases.generator("noise")
    history = fit(trainer, x, y + rng.normal(size=40), 400, validation=0.5, early_stopping=5)
    best = int(np.argmin(history.val_loss))
    assert len(history) <= best + 6 < 400


def test_validation_share_and_batch_size():
    x, y = data(40)
    trainer = make("lbfgs")
    fit(trainer, x, y, 2, validation=0.25, batch_size=30)
    other = make("lbfgs")
    fit(other, x, y, 2, validation=0.25)
    assert_same(trainer.net.parameters(), other.net.parameters())
    with pytest.raises(errors.ArgumentError, match="batch_size: expected None or all 30 training rows"):
        fit(make("lbfgs"), x, y, 2, validation=0.25, batch_size=40)


@pytest.mark.parametrize("method", METHODS)
def test_weights_count_rows(method):
    x, y = data(20)
    counts = cases.generator("counts").integers(0, 3, 20)
    weighted, repeated = make(method), make(method)
    fit(weighted, x, y, 4, sample_weight=counts)
    fit(repeated, np.repeat(x, counts, axis=0), np.repeat(y, counts), 4)
    if method.startswith("lm"):  # mu means the same only for as many rows
        assert weighted.history.loss[1] == pytest.approx(repeated.history.loss[1], rel=0.3)
    else:
        np.testing.assert_allclose(weighted.history.loss, repeated.history.loss, rtol=1e-6)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "lbfgs fixed"])
def test_weight_decay_is_part_of_what_is_minimised(method):
    """At the end the gradient of the loss balances the pull on the weights, and biases have none."""
    x, y = data()
    trainer = make(dataclasses.replace(METHODS[method], weight_decay=0.02, tolerance=1e-6))
    history = fit(trainer, x, y, 1000)
    assert trainer.stop_reason == "gradient tolerance"
    loss, gradients = trainer.gradients(x, y)
    for name, value in trainer.net.parameters().items():
        pull = 0.02 * value if name.endswith("weight") else 0.0
        np.testing.assert_allclose(gradients[name], -pull, rtol=0, atol=1e-6)
    assert history.loss[-1] == pytest.approx(loss, rel=1e-3)  # before the last step, and without the pull


@pytest.mark.parametrize("method", METHODS)
def test_large_data_goes_in_pieces(method, monkeypatch):
    x, y = data(100)
    weight = cases.generator("weights").uniform(0, 1, 100)
    weight[32:64] = 0.0  # a piece without any
    whole, pieces = make(method), make(method)
    fit(whole, x, y, 3, sample_weight=weight)
    monkeypatch.setattr(fit_loop, "ROWS", 32)
    monkeypatch.setattr(fit_loop, "JACOBIAN", 31 * 7)
    fit(pieces, x, y, 3, sample_weight=weight)
    assert pieces._state.core.capacity == 32
    np.testing.assert_allclose(pieces.history.loss, whole.history.loss, rtol=1e-9)


# ---- Interruptions ----


class Stop(Exception):
    pass


@pytest.mark.parametrize("where", ["epoch", "step"])
@pytest.mark.parametrize("method", METHODS)
def test_a_checkpoint_resumes_with_the_same_bits(method, where, tmp_path):
    x, y = data()
    whole = make(method)
    fit(whole, x, y, 9, validation=0.2, early_stopping=50)
    path = tmp_path / "checkpoint"
    keep = callbacks.Checkpoint(path, every_steps=5 if where == "step" else None)

    class Break:
        def on_epoch_end(self, trainer, row):
            if trainer.steps == 5:
                raise Stop

    broken = make(method)
    with pytest.raises(Stop):
        fit(broken, x, y, 9, validation=0.2, early_stopping=50, callbacks=[keep, Break()])
    copied = pickle.loads(pickle.dumps(broken))
    for other, resume in ((Trainer.load(path), None), (broken, True), (copied, None)):
        assert other.optimizer == METHODS[method]
        fit(other, x, y, 9, validation=0.2, early_stopping=50, resume=resume)
        assert_same(other.net.parameters(), whole.net.parameters())
        assert other.history.loss == whole.history.loss
        assert other.history.lr == whole.history.lr


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_iteration_leaves_no_trace(method, monkeypatch):
    x, y = data()
    trainer = make(method)
    fit(trainer, x, y, 3)
    before, history, kept = trainer.net.parameters(), len(trainer.history), copy.deepcopy(trainer)
    inner, calls = fit_loop.NetworkObjective.__call__, []

    def failing(self, point):
        calls.append(1)
        found = inner(self, point)
        if len(calls) == 2:  # the first evaluates the start
            raise Stop
        return found

    monkeypatch.setattr(fit_loop.NetworkObjective, "__call__", failing)
    with pytest.raises(Stop):
        fit(trainer, x, y, 5)
    assert len(calls) == 2
    assert_same(trainer.net.parameters(), before)
    assert len(trainer.history) == history
    monkeypatch.undo()
    fit(trainer, x, y, 5)
    fit(kept, x, y, 5)
    assert_same(trainer.net.parameters(), kept.net.parameters())


def test_parameters_that_a_callback_sets_are_seen():
    x, y = data()

    class Reset:
        def on_epoch_begin(self, trainer, epoch):
            if epoch == 3:
                trainer.net.set_parameters(start)

    trainer = make("lbfgs")
    start = trainer.net.parameters()
    history = fit(trainer, x, y, 4, callbacks=[Reset()])
    assert history.loss[2] == history.loss[0]
    assert history.loss[3] < history.loss[2]


def test_a_thread_may_predict_meanwhile():
    import threading

    x, y = data(500)
    trainer, alone = make("lbfgs"), make("lbfgs")
    stop = threading.Event()

    def predict():
        while not stop.is_set():
            trainer.net.predict(x)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        fit(trainer, x, y, 20)
    finally:
        stop.set()
        thread.join()
    fit(alone, x, y, 20)
    assert_same(trainer.net.parameters(), alone.net.parameters())


def test_a_network_without_parameters_has_nothing_to_train():
    x, y = data()
    trainer = Trainer(Network([Standardize(), Activation("tanh")], inputs=3), "mse", LBFGS)
    assert len(fit(trainer, x, x, 5)) == 1
    assert (trainer.stop_reason, trainer.skipped) == ("gradient tolerance", 0)


# ---- What cannot be ----


@pytest.mark.parametrize("method", METHODS)
def test_a_loss_that_is_not_finite(method):
    x, y = data()
    trainer = make(method)
    trainer.net.set_parameters({"1.bias": [1e200]})
    before = trainer.net.parameters()
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = fit(trainer, x, y, 5)
    assert (len(history), history.skipped, trainer.stop_reason) == (1, [1], "not finite")
    assert_same(trainer.net.parameters(), before)
    strict = make(method, nonfinite="raise")
    strict.net.set_parameters(before)
    with pytest.raises(errors.NonFiniteError, match="expected a finite loss"):
        fit(strict, x, y, 5)
    assert_same(strict.net.parameters(), before)


def big():
    return Network([Dense(300, "tanh"), Dense(300), Dense(1)], inputs=3, dtype="float64")


def small(dtype="float64"):
    return Network([Dense(2)], inputs=3, dtype=dtype)


LM, NEWTON, LBFGS = METHODS["lm"], METHODS["newton-cg"], METHODS["lbfgs"]
A = errors.ArgumentError
BAD = {
    "clip": (
        lambda: Trainer(small(), "mse", LBFGS, clipping.GlobalNorm(1.0)),
        A,
        "clip: expected None for LBFGS",
    ),
    "constraint": (
        lambda: Trainer(small(), "mse", LBFGS, constraint=clipping.MaxNorm(1.0)),
        A,
        "constraint: expected None for LBFGS",
    ),
    "noise": (
        lambda: Trainer(Network([GaussianNoise(0.1), Dense(1)], inputs=2), "mse", LBFGS),
        A,
        r"layers\[0\]: expected no GaussianNoise",
    ),
    "norm": (
        lambda: Trainer(Network([LayerNorm(), Dense(1)], inputs=2), "mse", NEWTON),
        A,
        r"layers\[0\]: expected Dense, Activation",
    ),
    "projection": (
        lambda: Trainer(Network([Residual(Dense(3), projection=True)], inputs=2), "mse", NEWTON),
        A,
        "0.projection: expected parameters of Dense layers alone",
    ),
    "dropout": (
        lambda: Trainer(Network([Residual(Dropout(0.1)), Dense(1)], inputs=2), "mse", LBFGS),
        A,
        r"layers\[0.0\]: expected no Dropout\(0.1\) for LBFGS",
    ),
    "scheduled penalty": (
        lambda: Trainer(Network([Dense(1, penalty=FALLING)], inputs=2), "mse", LBFGS),
        A,
        "net: expected penalties of constant strength for LBFGS",
    ),
    "lm loss": (
        lambda: Trainer(small(), "cross_entropy", LM),
        A,
        "loss: expected mse for LevenbergMarquardt",
    ),
    "lm float32": (lambda: Trainer(small("float32"), "mse", LM), A, "expected a network of dtype float64"),
    "lm size": (lambda: Trainer(big(), "mse", LM), A, "expected at most 20,000 parameters"),
    "step": (
        lambda: Trainer(small(), "mse", LBFGS).step(np.ones((2, 3)), np.ones((2, 2))),
        errors.StateError,
        "step: expected an optimizer that takes batches, got LBFGS",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name):
    make_it, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        make_it()


def test_step_is_refused_after_a_fit_too():
    x, y = data()
    trainer = make("lbfgs")
    fit(trainer, x, y, 2)
    with pytest.raises(errors.StateError, match="use fit"):
        trainer.step(x, y.reshape(-1, 1))
