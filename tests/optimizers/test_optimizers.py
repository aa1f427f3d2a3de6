"""Optimizers: PyTorch's trajectories, clipping, tails, instruction sets, plain arrays."""

import itertools
import math

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import _core, optimizers, schedules
from oracle import exact
from support import cases, raw
from support.optimizer_cases import class_of, variants
from vectors import make_torch

BARS = {"float64": 1e-12, "float32": 2e-6}
VECTORS = np.load(make_torch.PATH)


def bits(names):
    return (_core.OPTIMIZER_OPTIONS[name] for name in names.split())


MOMENTUM, NESTEROV, CENTERED, LR_IN_MOMENTUM = bits("momentum nesterov centered lr_in_momentum")
EPS_INSIDE, AMSGRAD, EPS_HAT, MAXIMIZE, DECOUPLED = bits("eps_inside amsgrad eps_hat maximize decoupled")
CONSTANT_MOMENTUM, TRUST_CLIP, DECAY_IN_NORM = bits("constant_momentum trust_clip decay_in_norm")
SAFEGUARD, CLIPPED, CORRECTED = bits("safeguard clipped corrected")
# name: (flags, p) of each variant of the kernels; of those that are not here, as their classes have them
VARIANTS = {name: variants(name) for name in _core.names("optimizer")} | {
    "sgd": [(0, [0]), (MOMENTUM, [0.9]), (MOMENTUM | NESTEROV, [0.9])],
    "rmsprop": [(flags, [0.9, 1e-8, 0.8]) for flags in (0, MOMENTUM, CENTERED, MOMENTUM | CENTERED)],
    "adam": [(0, [0.9, 0.999, 1e-8])],
    "adamw": [(flags, [0.9, 0.999, 1e-8]) for flags in (0, AMSGRAD, EPS_HAT)],
    "adagrad": [(flags, [1e-8, 0.1]) for flags in (0, EPS_INSIDE, DECOUPLED)],
    "adadelta": [(0, [0.9, 1e-6])],
    "adamax": [(flags, [0.9, 0.999, 1e-8]) for flags in (0, EPS_INSIDE)],
    "nadam": [(flags, [0.9, 0.999, 1e-8, 4e-3]) for flags in (0, CONSTANT_MOMENTUM)],
    "radam": [(flags, [0.9, 0.9, 1e-8]) for flags in (0, EPS_HAT)],
    "adabelief": [(0, [0.9, 0.999, 1e-8, 1e-8])],
    "yogi": [(0, [0.9, 0.999, 1e-3, 1e-6])],
    "adan": [(0, [0.98, 0.92, 0.99, 1e-8, 1e-8])],
    "lion": [(flags, [0.9, 0.99]) for flags in (0, DECOUPLED)],
    "adopt": [(flags, [0.9, 0.99, 1e-6]) for flags in (0, CLIPPED, CLIPPED | NESTEROV)],
    "ademamix": [(0, [0.9, 0.999, 0.9999, 5.0, 1e-8])],
    "rprop": [(0, [0.5, 1.2, 1e-6, 50.0])],
    "schedule_free_sgd": [(0, [0.9, 10.0, 0.5, 2.0])],
    "schedule_free_adamw": [(0, [0.9, 0.999, 1e-8, 10.0, 0.5, 2.0])],
    "lamb": [(flags, [0.9, 0.999, 1e-6]) for flags in (0, TRUST_CLIP)],
    "lars": [(flags, [0.9, 1e-3, 1e-8]) for flags in (MOMENTUM, MOMENTUM | NESTEROV | DECAY_IN_NORM)],
    "muon": [(flags, [0.9, 3.4445, -4.775, 2.0315, 1e-8, 5.0, 0.0, 0.9, 0.999, 0.01])
             for flags in (0, MOMENTUM | NESTEROV, MOMENTUM | NESTEROV | CORRECTED)],
    "soap": [(0, [0.9, 0.99, 1e-8, 0.99, 10.0])],
    "prodigy": [(flags, [0.9, 0.999, 0.9995, 1e-8, 1e-3, 1.0]) for flags in (0, SAFEGUARD)],
}
VARIANTS["adam"] += [(flags, [0.9, 0.999, 1e-8, root]) for flags, root in ((AMSGRAD, 0), (MAXIMIZE, 1e-6))]
VARIANTS["sgd"] += [(MOMENTUM | LR_IN_MOMENTUM, [0.9, 0.3]), (DECOUPLED | MAXIMIZE, [0])]
VARIANTS["rmsprop"] += [(MOMENTUM | EPS_INSIDE | LR_IN_MOMENTUM | DECOUPLED, [0.9, 1e-8, 0.8])]
FREE = ("schedule_free_sgd", "schedule_free_adamw")
WHOLE = ("lamb", "lars", "prodigy")  # they measure the array first: a number depends on the others
RUNNING = [0.5, 0.25]  # numbers kept from earlier updates


def used_slots(name, flags):
    mask = _core.optimizer_slots(name, flags)
    return [slot for slot in range(_core.SLOTS) if mask >> slot & 1]


@pytest.mark.parametrize("name", make_torch.CONFIGURATIONS)
@pytest.mark.quick
def test_updates_follow_pytorch(dtype, name):
    """25 steps with an exact zero, 1e-20, 1e6, a sign flip, an all-zero step and a change of lr.

    Errors are relative to the largest value that the number has had: after gradients of +1e6 and -1e6 its
    own size means nothing."""
    *_, rates, kind, options = make_torch.CONFIGURATIONS[name]
    want = VECTORS[name]
    weights = [value.astype(dtype) for value in make_torch.start()]

    def lr(step):
        return rates[step >= make_torch.CHANGE]

    optimizer = getattr(optimizers, kind)(lr=lr, decay_bias=True, **options)
    largest = np.maximum.accumulate(np.abs(want))
    for step, gradients in enumerate(make_torch.gradients()):
        optimizer.update(weights, [gradient.astype(dtype) for gradient in gradients])
        got = np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)
        error = np.abs(got - want[step]) / largest[step]
        assert error.max() <= BARS[dtype], f"step {step}, number {error.argmax()}"


def state(name, n, dtype, flags):
    used = used_slots(name, flags)
    slots = [np.abs(cases.normal(n, dtype, name, i)) if i in used else None for i in range(_core.SLOTS)]
    if flags & CENTERED:
        slots[0] += 2 * slots[1] ** 2  # the mean square is never below the squared mean
    return slots


def update(isa, dtype, name, n, flags, p, **more):
    w, g, slots = cases.normal(n, dtype, "w"), cases.normal(n, dtype, "g"), state(name, n, dtype, flags)
    options = {"lr": 0.01, "weight_decay": 0.03, "step": 7, "running": RUNNING, **more}
    raw.Kernels(isa, dtype).opt(name, n, w, g, *slots, flags=flags, p=p, **options)
    return [w, *[slot for slot in slots if slot is not None]]


@pytest.mark.parametrize("name", oracle.optimizers.OPTIMIZERS)
@pytest.mark.quick
def test_an_update_is_the_formula_of_the_paper(name):
    """A dozen steps in float64, with and without weight decay; square, so that soap's bases are unique."""
    for options in ({}, {"weight_decay": 0.05}):
        optimizer = class_of(name)(lr=0.03, **options)
        w = cases.normal((5, 5), "float64", "w")
        want, kept = w.copy(), {}
        for step in range(12):
            g = cases.normal((5, 5), "float64", "g", step)
            optimizer.update([w], [g])
            want = oracle.optimizers.OPTIMIZERS[name](want, g, kept, 0.03, step + 1, **options)
            assert np.allclose(w, want, rtol=1e-12, atol=1e-13), step


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in WHOLE])
def test_an_element_has_the_bits_that_it_has_alone(isa, dtype, name):
    for (flags, p), n in itertools.product(VARIANTS[name], (*cases.FEW_SIZES, 127)):
        whole = update(isa, dtype, name, n, flags, p)
        for i in (0, n // 2, n - 1):
            w, g = (
                cases.normal(n, dtype, "w")[i : i + 1].copy(),
                cases.normal(n, dtype, "g")[i : i + 1].copy(),
            )
            slots = state(name, n, dtype, flags)
            one = [None if slot is None else slot[i : i + 1].copy() for slot in slots]
            raw.Kernels(isa, dtype).opt(
                name, 1, w, g, *one, flags=flags, p=p, lr=0.01, weight_decay=0.03, step=7, running=RUNNING
            )
            for got, want in zip([w, *[s for s in one if s is not None]], whole, strict=True):
                assert exact.same_bits(got, want[i : i + 1])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.quick
def test_instruction_sets_agree(dtype, name):
    for flags, p in VARIANTS[name]:
        for more in ({}, {"grad_scale": 0.37}, {"grad_limit": 0.5}):
            results = [update(isa, dtype, name, 61, flags, p, **more) for isa in _core.names("isa")]
            for result in results[1:]:
                assert all(exact.same_bits(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_unused_slots_are_not_touched(isa, dtype, name):
    for flags, p in VARIANTS[name]:
        used = used_slots(name, flags)
        slots = [np.ones(33, dtype) if slot in used else None for slot in range(_core.SLOTS)]
        w, g = np.ones(33, dtype), np.ones(33, dtype)
        raw.Kernels(isa, dtype).opt(name, 33, w, g, *slots, flags=flags, p=p, lr=0.1)
        assert np.isfinite(w).all()
        assert (g == 1).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_clipping_scales_then_clamps_before_decay(isa, dtype, name):
    """A clipped update is the update by the clipped gradient."""
    flags, p = VARIANTS[name][-1]
    scale, limit = 0.25, 0.125
    g = cases.normal(45, dtype, "g")
    clipped = np.clip(g * np.dtype(dtype).type(scale), -limit, limit).astype(dtype)
    results = []
    for gradient, options in ((g, {"grad_scale": scale, "grad_limit": limit}), (clipped, {})):
        w, slots = (
            cases.normal(45, dtype, "w"),
            [np.ones(45, dtype), *(np.zeros(45, dtype) for _ in range(3))],
        )
        raw.Kernels(isa, dtype).opt(name, 45, w, gradient, *slots, flags=flags, p=p, lr=0.1,
                                    weight_decay=0.5, step=3, **options)  # fmt: skip
        results.append([w, *slots])
    assert all(exact.same_bits(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", VARIANTS)
def test_nan_gradients_reach_the_weight_through_the_clamp(isa, dtype, name):
    flags, p = VARIANTS[name][-1]
    w, g, slots = np.ones(9, dtype), np.ones(9, dtype), [np.ones(9, dtype) for _ in range(4)]
    g[4] = np.nan
    raw.Kernels(isa, dtype).opt(name, 9, w, g, *slots, flags=flags, p=p, lr=0.1, step=3, grad_limit=0.5)
    assert np.isnan(w).tolist() == [i == 4 for i in range(9)]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in ("rprop", *FREE)])
def test_a_zero_learning_rate_changes_no_weight(isa, dtype, name):
    for flags, p in VARIANTS[name]:
        p = [*p[:9], 0.0] if name == "muon" else p  # its rate for what is no matrix
        if flags & LR_IN_MOMENTUM:  # earlier velocities go on
            continue
        assert exact.same_bits(
            update(isa, dtype, name, 33, flags, p, lr=0.0)[0], cases.normal(33, dtype, "w")
        )


OPTIMIZERS = {
    "sgd": optimizers.SGD(0.05),
    "momentum": optimizers.SGD(0.01, momentum=0.9),
    "nesterov": optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "rmsprop": optimizers.RMSprop(0.01),
    "centered": optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adam": optimizers.Adam(0.02),
    "adamw": optimizers.AdamW(0.02, weight_decay=1e-4),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_optimises(dtype, name):
    """A quadratic bowl, by `update` alone."""
    w = {"a": cases.normal(13, dtype, "a"), "b": cases.normal((3, 5), dtype, "b")}
    curvature = {"a": np.linspace(0.5, 3, 13, dtype=dtype), "b": np.full((3, 5), 2, dtype)}
    optimizer = OPTIMIZERS[name]
    for _ in range(400):
        optimizer.update(w, {key: curvature[key] * value for key, value in w.items()})
    optimizer.reset()
    assert max(np.abs(value).max() for value in w.values()) < 0.05


@pytest.mark.parametrize("layout", [cases.fortran, cases.column_strided, cases.row_strided, cases.misaligned])
def test_plain_arrays_may_have_any_layout(layout, dtype):
    w, g = cases.normal((6, 7), dtype, "w"), cases.normal((6, 7), dtype, "g")
    other_w, other_g = layout(w), layout(g)
    first, second = optimizers.Adam(0.1), optimizers.Adam(0.1)
    for _ in range(3):
        first.update([w], [g])
        second.update([other_w], [other_g])
    assert exact.same_bits(w, other_w)


def test_state_belongs_to_the_optimizer_object(dtype):
    """Two optimizers with equal settings do not share moments; reset starts anew."""
    w = [cases.normal(9, dtype, "w") for _ in range(3)]
    g = cases.normal(9, dtype, "g")
    first, second = optimizers.Adam(0.1), optimizers.Adam(0.1)
    for _ in range(4):
        first.update([w[0]], [g])
    second.update([w[1]], [g])
    first.reset()
    first.update([w[2]], [g])
    assert exact.same_bits(w[1], w[2])
    assert not exact.same_bits(w[0], w[1])


# ---- Clipping in a trainer ----


def trained(clip, dtype="float64", scale=1.0, steps=3, isa=None, threads=None):
    layers = [cases.dense(9, "tanh"), cases.dense(4)]
    net = cases.network(gradcore, layers, 5, seed=1, dtype=dtype, isa=isa, threads=threads)
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(0.1), clip=clip)
    x = cases.normal((12, 5), dtype, "x") * np.dtype(dtype).type(scale)
    y = cases.normal((12, 4), dtype, "y") * np.dtype(dtype).type(scale)
    history = []
    for _ in range(steps):
        gradients = trainer.gradients(x, y)[1]
        before = net.parameters()
        trainer.step(x, y)
        history.append((before, gradients, net.parameters()))
    return history


def test_clip_by_value_in_a_trainer_is_the_oracle():
    for before, gradients, after in trained(gradcore.clipping.ByValue(0.02)):
        clipped = oracle.clipping.by_value(gradients, None, 0.02)
        assert any(np.abs(g).max() > 0.02 for g in gradients.values())
        for name, value in before.items():
            assert np.allclose(after[name], value - 0.1 * clipped[name], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("factor", [0.1, 0.999, 1.0, 1.001, 50.0])
def test_clip_by_global_norm_scales_only_above_the_limit(factor):
    _, gradients, _ = trained(None, steps=1)[0]
    limit = factor * oracle.clipping.norm(gradients.values())
    before, gradients, after = trained(gradcore.clipping.GlobalNorm(limit), steps=1)[0]
    clipped = oracle.clipping.global_norm(gradients, None, limit)
    free = trained(None, steps=1)[0][2]
    for name, value in before.items():
        assert np.allclose(after[name], value - 0.1 * clipped[name], rtol=1e-13, atol=1e-15)
        if factor > 1:
            assert exact.same_bits(after[name], free[name])


def test_a_global_norm_of_huge_gradients_does_not_overflow():
    for before, gradients, after in trained(gradcore.clipping.GlobalNorm(0.5), "float32", scale=1e15):
        assert oracle.clipping.norm(gradients.values()) > 1e14
        moved = {name: (after[name].astype(np.float64) - before[name]) / 0.1 for name in before}
        assert math.isclose(oracle.clipping.norm(moved.values()), 0.5, rel_tol=1e-3)


def test_a_scheduled_limit_is_read_every_step():
    limits = schedules.Exponential(0.05, 0.5, 1)
    for step, (before, gradients, after) in enumerate(trained(gradcore.clipping.ByValue(limits))):
        clipped = oracle.clipping.by_value(gradients, None, 0.05 * 0.5**step)
        for name, value in before.items():
            assert np.allclose(after[name], value - 0.1 * clipped[name], rtol=1e-13, atol=1e-15)


def test_weight_decay_leaves_biases_alone_unless_asked():
    layers = [cases.dense(4, "tanh"), cases.dense(2)]
    x, y = cases.normal((6, 3), "float64", "x"), cases.normal((6, 2), "float64", "y")
    bias = {}
    for decay_bias in (False, True):
        net = cases.network(gradcore, layers, 3, seed=1, dtype="float64")
        net.set_parameters({"0.bias": np.ones(4)})
        optimizer = optimizers.SGD(0.1, weight_decay=0.5, decay_bias=decay_bias)
        trainer = gradcore.Trainer(net, "mse", optimizer)
        gradients = trainer.gradients(x, y)[1]
        before = net.parameters()
        trainer.step(x, y)
        after = net.parameters()
        for name, value in before.items():
            decay = 0.5 * value if decay_bias or name.endswith("weight") else 0
            assert np.allclose(after[name], value - 0.1 * (gradients[name] + decay), rtol=1e-13, atol=1e-15)
        bias[decay_bias] = after["0.bias"]
    assert not np.array_equal(bias[False], bias[True])


def test_scheduled_hyperparameters_are_read_every_step():
    rates = [0.1, 0.02, 0.3]
    layers = [cases.dense(2)]
    net = cases.network(gradcore, layers, 3, seed=1, dtype="float64")
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(lambda step: rates[step]))
    x, y = cases.normal((6, 3), "float64", "x"), cases.normal((6, 2), "float64", "y")
    for rate in rates:
        gradients, before = trainer.gradients(x, y)[1], net.parameters()
        trainer.step(x, y)
        for name, value in net.parameters().items():
            assert np.allclose(value, before[name] - rate * gradients[name], rtol=1e-13, atol=1e-15)
