"""SAM: the update is by the gradient at a point up the slope, and everything else is as without it."""

import golden
import gradcore
import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Dropout,
    Network,
    Residual,
    Trainer,
    errors,
    optimizers,
    schedules,
)
from oracle import exact
from support import assert_same, cases, digest, ways

THREADS = (1, 3, 8)


def layers_of(kind):
    return {
        "dense": lambda: [Dense(9, "tanh"), Dense(3)],
        "dropout": lambda: [Dense(16, "relu"), Dropout(0.4), Dense(3)],
        "batch norm": lambda: [Dense(9), BatchNorm(), Dense(3)],
        "weight norm": lambda: [Dense(9, "tanh", weight_norm=True), Dense(3)],
        "spectral norm": lambda: [Dense(9, "tanh", spectral_norm=True), Dense(3)],
        "residual": lambda: [Dense(9), Residual(Dense(9, "tanh"), gain=0.5), Dense(1)],
    }[kind]()


KINDS = ("dense", "dropout", "batch norm", "weight norm", "spectral norm", "residual")


def make(optimizer, kind="dense", dtype="float64", **options):
    net = Network(layers_of(kind), inputs=5, seed=2, dtype=dtype, **options)
    return Trainer(net, "mse", optimizer)


def batch(trainer, step=0, rows=20):
    dtype = trainer.net.dtype
    return (
        cases.normal((rows, 5), dtype, "x", step),
        cases.normal((rows, trainer.net.outputs), dtype, "y", step),
    )


def climbed(parameters, gradients, rho, adaptive):
    weight = {name: np.abs(parameters[name]) if adaptive else 1.0 for name in gradients}
    norm = np.sqrt(sum(((weight[name] * g) ** 2).sum() for name, g in gradients.items()))
    return {
        name: parameters[name] + rho / (norm + 1e-12) * weight[name] ** 2 * g for name, g in gradients.items()
    }


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("adaptive", [False, True])
def test_matrices_of_whole_and_broken_chunks(adaptive, threads):
    """Sides of 64 and 128 rows, in which the core adds norms up, and of a few more."""

    def make_wide(optimizer):
        net = Network([Dense(64, "tanh"), Dense(70), Dense(2)], 128, seed=2, dtype="float64", threads=threads)
        return Trainer(net, "mse", optimizer)

    trainer = make_wide(optimizers.SAM(optimizers.SGD(0.1), 0.3, adaptive=adaptive))
    other = make_wide(optimizers.SGD(0.1))
    x, y = cases.normal((20, 128), "float64", "x", 0), cases.normal((20, 2), "float64", "y", 0)
    start = trainer.net.parameters()
    other.net.set_parameters(climbed(start, other.gradients(x, y)[1], 0.3, adaptive))
    second = other.gradients(x, y)[1]
    trainer.step(x, y)
    for name, value in trainer.net.parameters().items():
        assert np.allclose(value, start[name] - 0.1 * second[name], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("kind", ["dense", "dropout", "batch norm", "weight norm", "residual"])
def test_the_update_is_by_the_gradient_up_the_slope(kind, adaptive):
    """Under the same mask of dropout, which gradients() has too."""
    rho = schedules.Exponential(0.3, 0.9, 1)
    trainer = make(optimizers.SAM(optimizers.SGD(0.1), rho, adaptive=adaptive), kind)
    other = make(optimizers.SGD(0.1), kind)
    for step in range(4):
        x, y = batch(trainer, step)
        start = trainer.net.parameters()
        loss, first = other.gradients(x, y)
        other.net.set_parameters(climbed(start, first, rho(step), adaptive))
        second = other.gradients(x, y)[1]
        other.net.set_parameters(start)
        assert trainer.step(x, y) == loss  # before the update, not up the slope
        other.step(x, y)  # for its running averages and its count
        after, plain = trainer.net.parameters(), other.net.parameters()
        for name, value in after.items():
            if name in second:
                assert np.allclose(value, start[name] - 0.1 * second[name], rtol=1e-11, atol=1e-13)
            else:
                assert exact.same_bits(value, plain[name])  # learnt once, from the first pass
        other.net.set_parameters(after)


# not spectral norm, whose estimate of the largest singular value takes a step in every pass
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "spectral norm"])
def test_without_a_step_up_it_is_the_optimizer(kind, dtype):
    trainer = make(optimizers.SAM(optimizers.Adam(0.01), rho=0.0), kind, dtype)
    other = make(optimizers.Adam(0.01), kind, dtype)
    for step in range(5):
        for each in (trainer, other):
            each.step(*batch(each, step))
    assert_same(trainer.net.parameters(), other.net.parameters())


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [40, 1100])  # of which many go by blocks
def test_threads_and_instruction_sets_agree(kind, rows, dtype, adaptive):
    results = []
    for threads, isa in ways(THREADS):
        optimizer = optimizers.SAM(optimizers.Adam(0.01), adaptive=adaptive)
        trainer = make(optimizer, kind, dtype, threads=threads, isa=isa)
        for step in range(4):
            trainer.step(*batch(trainer, step, rows))
        results.append(trainer.net.parameters())
    for result in results[1:]:
        assert_same(result, results[0])


def trained_hash(dtype):
    from test_optimizer_training import data

    layers = [cases.dense(96, "relu"), cases.dense(64, "gelu"), cases.dense(10)]
    net = cases.network(gradcore, layers, 70, seed=11, dtype=dtype)
    trainer = Trainer(net, "cross_entropy", optimizers.SAM(optimizers.SGD(0.05, momentum=0.9)))
    x, y = data(dtype)
    trainer.fit(x, y, epochs=4, batch_size=128, shuffle=False, progress=False)
    return digest(net.parameters())


GOLDEN = golden.table("sam", ("float32", "float64"), trained_hash)


@pytest.mark.quick
def test_the_golden_hash(dtype):
    assert trained_hash(dtype) == GOLDEN[dtype]


WRAPPED = {
    "momentum": lambda: optimizers.SAM(optimizers.SGD(0.05, momentum=0.9)),
    "asam": lambda: optimizers.SAM(optimizers.AdamW(0.01), 0.5, adaptive=True),
    "ema": lambda: optimizers.EMA(optimizers.SAM(optimizers.Adam(0.01)), decay=0.9),
    "around lookahead": lambda: optimizers.SAM(optimizers.Lookahead(optimizers.Adam(0.01), every=3)),
    "accumulated": lambda: optimizers.Accumulate(optimizers.SAM(optimizers.Adam(0.01)), 3),
    "schedule free": lambda: optimizers.SAM(optimizers.ScheduleFreeAdamW(0.01)),
    "muon": lambda: optimizers.SAM(optimizers.Muon(0.01, matrices=["*.weight"])),
    "soap": lambda: optimizers.SAM(optimizers.SOAP(0.01, frequency=2)),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, kind) for name in WRAPPED for kind in ("dropout", "batch norm")), ("asam", "spectral norm")],
)
def test_checkpoints_go_on_bit_for_bit(name, kind, tmp_path):
    trainer = make(WRAPPED[name](), kind, "float32")
    for step in range(5):
        trainer.step(*batch(trainer, step))
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=2)
    assert other.optimizer == trainer.optimizer
    for step in range(5, 12):
        for each in (trainer, other):
            each.step(*batch(each, step, 20 if step < 8 else 30))
    assert_same(other.net.parameters(), trainer.net.parameters())


@pytest.mark.parametrize("name", WRAPPED)
def test_slices_of_any_length_give_the_same_bits(name):
    trainer, by_hand = make(WRAPPED[name](), "batch norm"), make(WRAPPED[name](), "batch norm")
    x, y = batch(trainer, rows=60)
    trainer.fit(x, y, epochs=3, batch_size=20, shuffle=False, progress=False)
    for step in range(9):
        at = slice(step % 3 * 20, step % 3 * 20 + 20)
        by_hand.step(x[at], y[at])
    if name == "schedule free":  # a fit leaves averages of the weights that are evaluated
        by_hand.net.refresh_norms(x, batch_size=20)
    assert_same(trainer.net.parameters(), by_hand.net.parameters())


@pytest.mark.parametrize("kind", ["batch norm", "spectral norm"])
@pytest.mark.parametrize("rho", [0.05, 1e30])
def test_a_step_that_is_not_finite_changes_nothing(rho, kind):
    """At the weights themselves, or only up the slope."""
    trainer = make(
        optimizers.SAM(optimizers.Adam(0.01), lambda step: rho if step in (2, 3) else 0.1), kind, "float32"
    )
    other = make(optimizers.SAM(optimizers.Adam(0.01), 0.1), kind, "float32")
    for step in range(7):
        x, y = batch(trainer, min(step, 2) if step < 4 else step - 2)
        if step in (2, 3):
            bad = x.copy()
            if rho < 1:
                bad[3, 1] = np.nan
            before = trainer.net.parameters()
            trainer.step(bad, y * np.float32(1e8 if rho > 1 else 1))
            assert_same(trainer.net.parameters(), before)
            continue
        for each in (trainer, other):
            each.step(x, y)
    assert trainer.skipped == 2
    assert_same(trainer.net.parameters(), other.net.parameters())


def test_a_loss_of_your_own_is_called_twice_a_step():
    calls = []

    def loss(output, target):
        calls.append(1)
        return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size

    net = Network(layers_of("dense"), inputs=5, seed=2, dtype="float64")
    trainer = Trainer(net, loss, optimizers.SAM(optimizers.SGD(0.1)))
    other = make(optimizers.SAM(optimizers.SGD(0.1)))
    for step in range(3):
        assert np.isclose(trainer.step(*batch(trainer, step)), other.step(*batch(other, step)), rtol=1e-12)
    assert len(calls) == 6

    def fails(output, target):
        if len(calls) % 2 == 1:  # up the slope
            raise KeyError("mine")
        return loss(output, target)

    trainer = Trainer(net, fails, optimizers.SAM(optimizers.SGD(0.1)))
    calls.clear()
    before = net.parameters()
    with pytest.raises(KeyError, match="mine"):
        for step in range(3):
            trainer.step(*batch(trainer, step))
    assert_same(net.parameters(), before)


def test_frozen_parameters_are_no_part_of_the_climb():
    groups = [("0.*", {"frozen": True})]
    trainer = make(optimizers.SAM(optimizers.SGD(0.1, groups=groups), 0.5))
    other = make(optimizers.SGD(0.1))
    x, y = batch(trainer)
    start, first = trainer.net.parameters(), other.gradients(x, y)[1]
    other.net.set_parameters(
        climbed(start, {name: g for name, g in first.items() if name.startswith("1")}, 0.5, False)
    )
    second = other.gradients(x, y)[1]
    trainer.step(x, y)
    for name, value in trainer.net.parameters().items():
        want = start[name] - (0.1 * second[name] if name.startswith("1") else 0)
        assert np.allclose(value, want, rtol=1e-12, atol=1e-14)


# ---- Plain arrays ----


def slopes(params):
    return {key: np.arange(1, value.size + 1).reshape(value.shape) * value for key, value in params.items()}


@pytest.mark.parametrize("adaptive", [False, True])
def test_plain_arrays_take_a_function(adaptive):
    sam = optimizers.SAM(optimizers.SGD(0.1), 0.3, adaptive=adaptive)
    w = {"a": cases.normal((3, 2), "float64", "a"), "b": cases.normal(4, "float64", "b")}
    for _ in range(5):
        start = {key: value.copy() for key, value in w.items()}
        second = slopes(climbed(start, slopes(start), 0.3, adaptive))
        sam.update(w, slopes)
        for key, value in w.items():
            assert np.allclose(value, start[key] - 0.1 * second[key], rtol=1e-12)


def test_plain_arrays_without_a_function_are_refused():
    w = [np.ones(3)]
    for optimizer in (
        optimizers.SAM(optimizers.SGD(0.1)),
        optimizers.EMA(optimizers.SAM(optimizers.SGD(0.1))),
    ):
        with pytest.raises(errors.ArgumentError, match="grads: expected a function of params within SAM"):
            optimizer.update(w, [np.ones(3)])
    assert (w[0] == 1).all()


def test_any_optimizer_takes_a_function():
    w, u = [np.ones(3)], [np.ones(3)]
    optimizers.Adam(0.1).update(w, lambda params: [2 * params[0]])
    optimizers.Adam(0.1).update(u, [2 * u[0]])
    assert exact.same_bits(w[0], u[0])


def test_an_exception_up_the_slope_leaves_the_arrays_alone():
    w, calls = [np.ones(3)], []

    def gradients(params):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("mine")
        return [params[0].copy()]

    with pytest.raises(KeyError, match="mine"):
        optimizers.SAM(optimizers.SGD(0.1)).update(w, gradients)
    assert (w[0] == 1).all()


def test_minimize_goes_by_sam():
    found = optimizers.minimize(
        lambda x: (float(x @ x), 2 * x), np.ones(3), optimizers.SAM(optimizers.SGD(0.1), 0.01), steps=50
    )
    assert found.value < 1e-3
    assert found.evaluations == 2 * found.iterations + 1


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"rho": -0.1}, errors.ArgumentError, "SAM: rho"),
    ({"rho": "far"}, errors.DTypeError, "SAM: rho"),
    ({"adaptive": 1}, errors.DTypeError, "SAM: adaptive"),
    ({"optimizer": 3}, errors.DTypeError, "SAM: optimizer"),
    ({"optimizer": optimizers.SAM(optimizers.SGD(0.1))}, errors.ArgumentError, "SAM: optimizer"),
    ({"optimizer": optimizers.EMA(optimizers.SAM(optimizers.SGD(0.1)))}, errors.ArgumentError, "within it"),
])  # fmt: skip
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        optimizers.SAM(**{"optimizer": optimizers.SGD(0.1), **options})
