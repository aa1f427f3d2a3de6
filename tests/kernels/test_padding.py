"""Panels are padded with zeros, which sums, norms and products count on: nothing may write there."""

import itertools
import random
import zlib

import numpy as np
import pytest
from gradcore import (
    GLU,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Heads,
    LayerNorm,
    LayerScale,
    Maxout,
    Network,
    PReLU,
    Residual,
    RMSNorm,
    Standardize,
    Trainer,
    _testing,
    clipping,
    losses,
    optimizers,
    schedules,
)
from gradcore.losses import penalties
from support import assert_same, exact_labels, exact_uniform
from support.optimizer_cases import classes, rates

INPUTS = 7
OPTIONS = {  # so that every slot is in use, and begins and stays as far from 0 as it can
    "SGD": {"momentum": 0.9, "nesterov": True},
    "RMSprop": {"momentum": 0.5, "centered": True, "initial": 0.7},
    "Adam": {"amsgrad": True, "eps_root": 0.1},
    "Adagrad": {"initial": 0.7},
    "AdaBelief": {"eps_root": 0.1},
    "Yogi": {"initial": 0.7},
    "Adamax": {"eps": 0.5},
    "Adan": {"eps_root": 0.1},
    "ScheduleFreeSGD": {"warmup": 4},
    "ScheduleFreeAdamW": {"warmup": 4, "power": 0.5},
}
WRAPPERS = {
    "none": lambda rule: rule,
    "ema": lambda rule: optimizers.EMA(rule, 0.8),
    "swa": lambda rule: optimizers.SWA(rule, start=1, every=2),
    "lookahead": lambda rule: optimizers.Lookahead(rule, 2),
    "accumulate": lambda rule: optimizers.Accumulate(rule, 2),
    "sam": lambda rule: optimizers.SAM(rule, 0.1),
    "asam": lambda rule: optimizers.SAM(rule, 1.0, adaptive=True),
    "all": lambda rule: optimizers.EMA(optimizers.SAM(optimizers.Accumulate(rule, 2), 0.1), 0.5),
}
CLIPS = {
    "none": None,
    "global": clipping.GlobalNorm(0.05),
    "value": clipping.ByValue(0.01),
    "tensor": clipping.TensorNorm(0.05),
    "adaptive": clipping.Adaptive(0.01),
    "centralize": clipping.Centralize(),
    "noise": clipping.Noise(0.3),
    "auto": clipping.AutoClip(),
}
CONSTRAINTS = {
    "none": None,
    "box": clipping.Box(0.1, 0.9),
    "max": clipping.MaxNorm(0.5),
    "unit": clipping.UnitNorm(2.0),
    "not negative": clipping.NonNegative(),
}
PENALTIES = {
    "none": None,
    "l1": penalties.L1(0.01),
    "elastic": penalties.Elastic(0.01, schedules.Linear(0.1, 0.2, 5)),
}


def layers(kind, penalty):
    """Widths that fill no panel, in every layer that has parameters of its own."""
    block = (Dropout(0.2), Dense(17, "gaussian"), LayerScale(0.5))
    return {
        "dense": [Dense(19, "tanh", penalty=penalty), Dense(5, "exponential"), Dense(3)],
        "weight_norm": [Dense(19, "tanh", weight_norm=True, penalty=penalty), Dense(3, weight_norm=True)],
        "spectral_norm": [Dense(19, "tanh", spectral_norm=True, penalty=penalty), Dense(3)],
        "batch_norm": [Dense(19, penalty=penalty), BatchNorm(), Activation("sigmoid"), Dense(3)],
        "norms": [Standardize(), Dense(21, "softplus", penalty=penalty), LayerNorm(), RMSNorm(), Dense(3)],
        "gates": [Dense(22, penalty=penalty), GLU(), PReLU(), Dense(18), Maxout(9, 2), Dense(3)],
        "residual": [Dense(19, penalty=penalty), Residual(*block, projection=True), Dense(3)],
    }[kind]  # fmt: skip


KINDS = ("dense", "weight_norm", "spectral_norm", "batch_norm", "norms", "gates", "residual")


def rule_of(name):
    options, *_, lr = rates(name)
    more = {**options, **OPTIONS.get(name, {}), "weight_decay": 0.01}
    return getattr(optimizers, name)(lr=min(lr, 0.1), **more)


def allowed(name, wrapper):
    return not (name.startswith("ScheduleFree") and wrapper in ("ema", "swa", "lookahead", "all"))


def configurations(count, seed):
    """Every value of every axis comes up, in random company."""
    draw = random.Random(seed)
    axes = (classes(), list(WRAPPERS), KINDS, list(CLIPS), list(CONSTRAINTS), list(PENALTIES))
    turns = [itertools.cycle(draw.sample(axis, len(axis))) for axis in axes]
    found = []
    while len(found) < count:
        name, wrapper, *others = (next(turn) if draw.random() < 0.7 else draw.choice(axis)
                                  for turn, axis in zip(turns, axes, strict=True))  # fmt: skip
        wrapper = wrapper if allowed(name, wrapper) else draw.choice(["none", "accumulate", "sam"])
        if others[0] == "spectral_norm" and others[2] != "none":  # no stored weight gives both
            others[2] = "none"
        found.append((name, wrapper, *others, draw.choice(("float32", "float64")), draw.randrange(1, 4)))
    return found


def assert_zero(trainer, when, stepped=True):
    found = _testing.padding(trainer.net._core, trainer._state.core)
    if stepped and not np.isfinite(trainer._state.core.norms()[:, 0]).all():
        del found["gradient"]  # of a step that is left out: infinity times zero is no zero
    assert {name: value for name, value in found.items() if value} == {}, when


def exercise(optimizer, wrapper, kind, clip, constraint, penalty, dtype, threads, folder):
    """Random steps, weights and states from outside, a file, and steps after them."""
    seed = zlib.crc32(f"{optimizer} {wrapper} {kind}".encode()) & 0xFFFF
    net = Network(layers(kind, PENALTIES[penalty]), inputs=INPUTS, seed=seed, dtype=dtype, threads=threads)
    rule = WRAPPERS[wrapper](rule_of(optimizer))
    trainer = Trainer(net, "mse", rule, CLIPS[clip], constraint=CONSTRAINTS[constraint])
    assert _testing.padding(net._core) == {"weights": 0, "derived": 0}
    draw = np.random.default_rng(seed)
    if kind == "norms":
        net.standardize(draw.normal(size=(30, INPUTS)))

    def steps(each, count):
        for _ in range(count):
            rows = int(draw.integers(2, 40))
            x, y = draw.normal(size=(rows, INPUTS)), draw.normal(size=(rows, 3))
            each.step(x, y, draw.random(rows) if draw.random() < 0.5 else None)
            assert_zero(each, "after a step")

    steps(trainer, 3)
    net.set_parameters({name: value * 1.01 for name, value in net.parameters().items()})
    assert_zero(trainer, "after set_parameters")
    steps(trainer, 1)
    trainer.save(folder / "t")
    again = Trainer.load(folder / "t")
    assert_zero(again, "after load", stepped=False)
    steps(again, 2)
    for each in (
        again.net.clone(),
        *([again.averaged()] if wrapper in ("ema", "swa", "lookahead", "all") else []),
    ):
        assert _testing.padding(each._core) == {"weights": 0, "derived": 0}
    return trainer


@pytest.mark.parametrize("name", classes())
def test_no_optimizer_writes_into_padding(name, dtype, tmp_path):
    """Every rule alone, and within every wrapper that it may have."""
    for wrapper in WRAPPERS:
        if allowed(name, wrapper):
            exercise(name, wrapper, "dense", "none", "none", "none", dtype, 2, tmp_path)


@pytest.mark.parametrize("index", range(60))
def test_nothing_else_writes_into_padding(index, tmp_path):
    exercise(*configurations(60, seed=1)[index], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
def test_nothing_at_all_writes_into_padding(seed, tmp_path):
    for configuration in configurations(100, seed):
        exercise(*configuration, tmp_path)


def test_every_axis_is_in_the_sample():
    sample = configurations(60, seed=1)
    for axis, values in enumerate((classes(), WRAPPERS, KINDS, CLIPS, CONSTRAINTS, PENALTIES)):
        assert {configuration[axis] for configuration in sample} == set(values)


def test_heads_masks_and_the_methods_that_take_all_rows_leave_it_alone():
    x, y = exact_uniform((24, INPUTS), "float64", 1), exact_labels(24, 5, 2)
    heads = Heads({"kind": [Dense(17, "tanh"), Dense(5)], "size": Dense(1)}, uncertainty=True)
    net = Network([Dense(19, "tanh"), heads], inputs=INPUTS, seed=1)
    for surgery in (False, True):
        loss = losses.PerHead({"kind": "cross_entropy", "size": "mse"}, surgery=surgery)
        if surgery:
            net = Network([Dense(19, "tanh"), Heads({"kind": Dense(5), "size": Dense(1)})], inputs=INPUTS)
        trainer = Trainer(net, loss, optimizers.Accumulate(optimizers.Yogi(0.01, initial=0.5), 2))
        trainer.set_masks(
            {name: np.abs(value) > 0.05 for name, value in net.parameters().items() if value.ndim == 2}
        )
        for rows in (8, 3, 13, 1):
            trainer.step(x[:rows], {"kind": y[:rows], "size": x[:rows, 0]}, {"kind": np.arange(rows) + 1.0})
            assert_zero(trainer, surgery)
    for method in (optimizers.LBFGS(), optimizers.ConjugateGradient(), optimizers.NewtonCG(),
                   optimizers.LevenbergMarquardt()):  # fmt: skip
        net = Network([Dense(19, "tanh"), Dense(3)], inputs=INPUTS, seed=1, dtype="float64")
        Trainer(net, "mse", method).fit(x, x[:, :3], epochs=3, progress=False)
        assert _testing.padding(net._core) == {"weights": 0, "derived": 0}


def test_the_view_sees_what_is_there():
    net = Network([Dense(19), Dense(3)], inputs=INPUTS, seed=1)
    _testing.set_padding(net._core, 0.25)
    assert _testing.padding(net._core)["weights"] == 0.25
    _testing.set_padding(net._core, np.nan)
    assert _testing.padding(net._core)["weights"] == np.inf


# ---- What follows from it ----


@pytest.mark.parametrize("widths", [(19, 5), (16, 8), (1, 33)])
def test_yogi_with_a_start_has_the_norms_and_losses_of_numpy(widths, dtype):
    """The formula on the true elements alone; norms and penalties are over them, not over padding."""
    strength, lr, (b1, b2), eps, initial = 0.05, 0.02, (0.9, 0.999), 1e-3, 0.3
    net = Network([Dense(width, penalty=penalties.L2(strength)) for width in widths], inputs=INPUTS, seed=4,
                  dtype=dtype)  # fmt: skip
    rule = optimizers.Yogi(lr, betas=(b1, b2), eps=eps, initial=initial)
    trainer = Trainer(net, "mse", rule)
    x, y = exact_uniform((12, INPUTS), dtype, 1), exact_uniform((12, widths[-1]), dtype, 2)
    w = {name: value.astype(np.float64) for name, value in net.parameters().items()}
    m = {name: np.full(value.shape, initial) for name, value in w.items()}
    v = {name: np.full(value.shape, initial) for name, value in w.items()}
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for step in range(1, 6):
        hidden = x @ w["0.weight"] + w["0.bias"]
        error = hidden @ w["1.weight"] + w["1.bias"] - y
        loss = (error**2).mean() + strength * sum((w[f"{k}.weight"] ** 2).sum() for k in (0, 1))
        d = 2 * error / error.size
        d_hidden = d @ w["1.weight"].T
        g = {"0.weight": x.T @ d_hidden + 2 * strength * w["0.weight"], "0.bias": d_hidden.sum(0),
             "1.weight": hidden.T @ d + 2 * strength * w["1.weight"], "1.bias": d.sum(0)}  # fmt: skip
        report = trainer.step(x, y)
        assert np.isclose(report, loss, rtol=tolerance)
        norms = trainer._state.core.norms()
        for row, name in zip(norms, w, strict=True):
            assert np.isclose(row[0], np.sqrt((g[name] ** 2).sum()), rtol=10 * tolerance)
            square = g[name] ** 2
            m[name] = b1 * m[name] + (1 - b1) * g[name]
            v[name] -= (1 - b2) * np.sign(v[name] - square) * square
            root = np.sqrt(v[name] / (1 - b2**step)) + eps
            w[name] = w[name] - lr * m[name] / (1 - b1**step) / root
            assert np.isclose(row[1], np.sqrt((w[name] ** 2).sum()), rtol=10 * tolerance)
    for name, value in net.parameters().items():
        assert np.allclose(value, w[name], rtol=tolerance * 10, atol=tolerance * 10)


@pytest.mark.parametrize("name", ["Yogi", "RMSprop", "Adagrad", "Rprop", "Adamax", "AdaBelief"])
def test_a_file_goes_on_bit_for_bit_where_slots_do_not_begin_at_0(name, dtype, tmp_path):
    net = Network([Dense(19, "tanh", weight_norm=True), Dense(3)], inputs=INPUTS, seed=4, dtype=dtype)
    trainer = Trainer(net, "mse", rule_of(name), clipping.GlobalNorm(0.1))
    x, y = exact_uniform((12, INPUTS), dtype, 1), exact_uniform((12, 3), dtype, 2)
    for _ in range(3):
        trainer.step(x, y)
    trainer.save(tmp_path / "t")
    again = Trainer.load(tmp_path / "t")
    for _ in range(4):
        assert trainer.step(x, y) == again.step(x, y)
        assert trainer._state.core.norms().tolist() == again._state.core.norms().tolist()
    assert_same(again.net.parameters(), trainer.net.parameters())
