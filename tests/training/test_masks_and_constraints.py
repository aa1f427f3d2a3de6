"""Masks, constraints and frozen groups: what they say of the weights holds wherever weights are seen."""

import numpy as np
import pytest
from gradcore import (
    BatchNorm,
    Dense,
    Network,
    Trainer,
    callbacks,
    clipping,
    optimizers,
    pruning,
    schedules,
)
from oracle import exact

rng = np.random.default_rng(5)
X, Y = rng.normal(size=(64, 6)), rng.normal(size=(64, 3))


def network(dtype="float64", outputs=3, **more):
    return Network([Dense(20, "tanh"), Dense(outputs)], inputs=6, seed=1, dtype=dtype, **more)


def norms(w):
    return np.linalg.norm(w.astype(np.float64), axis=0)


CONSTRAINTS = {
    "unit_norm": (clipping.UnitNorm(0.7), lambda w: np.allclose(norms(w), 0.7, rtol=1e-6, atol=0)),
    "max_norm": (clipping.MaxNorm(0.5), lambda w: (norms(w) <= 0.5 * (1 + 1e-6)).all()),
    "box": (clipping.Box(-0.1, 0.1), lambda w: np.abs(w).max() <= w.dtype.type(0.1)),
    "non_negative": (clipping.NonNegative(), lambda w: w.min() >= 0),
    "both": (
        [clipping.NonNegative(), clipping.UnitNorm()],
        lambda w: w.min() >= 0 and np.allclose(norms(w)[norms(w) > 0], 1.0, rtol=1e-6),
    ),
}
RULES = {
    "adam": lambda: optimizers.Adam(0.05),
    "schedule_free_sgd": lambda: optimizers.ScheduleFreeSGD(0.5),
    "schedule_free_adamw": lambda: optimizers.ScheduleFreeAdamW(0.05, weight_decay=0.1),
    "lookahead": lambda: optimizers.Lookahead(optimizers.Adam(0.05), every=3),
    "ema": lambda: optimizers.EMA(optimizers.Adam(0.05), decay=0.8),
    "ema_of_lookahead": lambda: optimizers.EMA(optimizers.Lookahead(optimizers.SGD(0.3), every=2), decay=0.5),
    "lookahead_of_swa": lambda: optimizers.Lookahead(optimizers.SWA(optimizers.SGD(0.3)), every=2),
    "swa": lambda: optimizers.SWA(optimizers.Adam(0.05), every=2),
    "sam": lambda: optimizers.SAM(optimizers.SGD(0.3), rho=0.5),
    "accumulate": lambda: optimizers.Accumulate(optimizers.Adam(0.05), 2),
    "accumulated_schedule_free": lambda: optimizers.Accumulate(optimizers.ScheduleFreeSGD(0.5), 2),
    "muon": lambda: optimizers.Muon(0.05),
    "prodigy": lambda: optimizers.Prodigy(),
}


def nets_of(trainer):
    """What anybody sees: the network, and the average where there is one."""
    yield trainer.net
    if any(a.kind in ("ema", "swa", "lookahead") for a in trainer.optimizer.averages()):
        yield trainer.averaged()


def assert_masked(trainer):
    for net in nets_of(trainer):
        for name, mask in trainer.masks().items():
            assert not net.parameters()[name][~mask].any(), name


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert exact.same_bits(a[name], b[name]), name


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_constraints_hold_in_all_that_is_seen(rule, constraint, outputs, dtype):
    kind, holds = CONSTRAINTS[constraint]
    trainer = Trainer(network(dtype, outputs), "mse", RULES[rule](), constraint=kind)

    def check():
        for net in nets_of(trainer):
            for name, value in net.parameters().items():
                assert not name.endswith("weight") or holds(value), name

    y = Y[:, :outputs]
    trainer.step(X, y)
    trainer.step(X, y)
    for _ in range(9):
        trainer.step(X, y)
        check()
    trainer.fit(X, y, epochs=2, batch_size=16, progress=False)
    check()
    draw = np.random.default_rng(3)
    trainer.net.set_parameters({k: draw.normal(size=v.shape) for k, v in trainer.net.parameters().items()})
    check()
    for _ in range(3):
        trainer.step(X, y)
        check()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("constraint", [None, "unit_norm", "box"])
def test_masks_hold_in_all_that_is_seen(rule, constraint, dtype, tmp_path):
    kind = None if constraint is None else CONSTRAINTS[constraint][0]
    net = network(dtype)
    trainer = Trainer(net, "mse", RULES[rule](), constraint=kind)
    for _ in range(4):
        trainer.step(X, Y)
    trainer.set_masks(pruning.magnitude_masks(net, 0.5))
    for _ in range(7):
        assert_masked(trainer)
        trainer.step(X, Y)
    net.set_parameters({name: np.full(value.shape, 0.3) for name, value in net.parameters().items()})
    assert_masked(trainer)
    trainer.fit(X, Y, epochs=3, batch_size=32, progress=False)
    assert_masked(trainer)
    trainer.save(tmp_path / "t")
    assert_masked(Trainer.load(tmp_path / "t"))
    if constraint == "unit_norm":  # a norm is one of what the masks leave
        for name, mask in trainer.masks().items():
            alive = mask.any(axis=0)
            assert np.allclose(norms(net.parameters()[name])[alive], 0.7, rtol=1e-6)


def free_reference(w, z, steps, masks, project, lr=0.5, beta=0.9):
    """Schedule-free SGD by its definition: x averages the projected z, y is between; float64."""
    x = {k: v.copy() for k, v in w.items()}
    y = {k: v.copy() for k, v in w.items()}
    net = network()
    for t in range(1, steps + 1):
        net.set_parameters(y)
        g = Trainer(net, "mse", optimizers.SGD(1.0)).gradients(X, Y)[1]
        for k in w:
            keep = masks.get(k, True)
            new = project(k, np.where(keep, z[k] - lr * g[k], 0))
            x[k] = np.where(keep, x[k] + (new - x[k]) / t, 0)
            z[k] = new
            y[k] = (1 - beta) * z[k] + beta * x[k]
    return x


@pytest.mark.parametrize("constraint", [None, "box", "max_norm"])
def test_schedule_free_averages_projected_iterates(constraint):
    net = network()
    masks = pruning.magnitude_masks(net, 0.3)
    kind = None if constraint is None else CONSTRAINTS[constraint][0]
    trainer = Trainer(
        net, "mse", optimizers.ScheduleFreeSGD(0.5, power=0.0, lr_power=0.0), constraint=kind
    )
    trainer.set_masks(masks)
    start = net.parameters()

    def project(name, w):
        if constraint is None or w.ndim == 1:
            return w
        if constraint == "box":
            return np.clip(w, -0.1, 0.1)
        return w * np.minimum(1, 0.5 / np.maximum(np.linalg.norm(w, axis=0), 1e-300))

    want = free_reference(start, {k: v.copy() for k, v in start.items()}, 12, masks, project)
    for _ in range(12):
        trainer.step(X, Y)
    for name, value in net.parameters().items():
        assert value == pytest.approx(want[name], rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("rule", ["schedule_free_sgd", "lookahead", "ema_of_lookahead"])
def test_looking_does_not_change_a_training(rule):
    """A fit in slices of any length and single steps have the same bits, though weights are shown between."""
    first, second = (
        Trainer(network("float32"), "mse", RULES[rule](), constraint=clipping.UnitNorm()) for _ in range(2)
    )
    first.fit(X, Y, epochs=10, batch_size=64, shuffle=False, progress=False)
    for _ in range(10):
        second.step(X, Y)
    assert_same(first.net.parameters(), second.net.parameters())


# ---- frozen ----


@pytest.mark.parametrize("rule", RULES)
def test_a_frozen_layer_keeps_its_bits(rule):
    inner = RULES[rule]()
    where = inner
    while hasattr(where, "optimizer"):
        where = where.optimizer
    object.__setattr__(where, "groups", (optimizers.Group("0.*", frozen=True),))
    net = network()
    trainer = Trainer(
        net, "mse", inner, constraint=[clipping.UnitNorm(0.3), clipping.Box(-0.2, 0.2, biases=True)]
    )
    before = net.parameters()
    for _ in range(5):
        trainer.step(X, Y)
    trainer.fit(X, Y, epochs=2, batch_size=20, progress=False)
    for seen in nets_of(trainer):
        for name in ("0.weight", "0.bias"):
            assert exact.same_bits(seen.parameters()[name], before[name])
    assert np.abs(net.parameters()["1.weight"]).max() <= 0.2
    mine = {"0.weight": np.full((6, 20), 2.5), "0.bias": np.full(20, -3.0)}
    net.set_parameters(mine)
    trainer.step(X, Y)
    trainer.step(X, Y)
    for seen in nets_of(trainer):
        for name, value in mine.items():
            assert np.array_equal(seen.parameters()[name], value), "frozen weights are as they were set"


def with_norm(**more):
    return Network(
        [Dense(8), BatchNorm(**more), Dense(8, "relu"), BatchNorm(**more), Dense(3)],
        inputs=6,
        seed=2,
        dtype="float64",
    )


FROZEN = {
    "layer": [("1.*", {"frozen": True})],
    "parameters": [("1.gamma", {"frozen": True}), ("1.beta", {"frozen": True})],
    "averages": [("1.running_*", {"frozen": True})],
    "everything": [("*", {"frozen": True})],
}


@pytest.mark.parametrize("groups", FROZEN)
@pytest.mark.parametrize("wrap", ["plain", "sam", "accumulate", "schedule_free", "ema"])
@pytest.mark.parametrize("cumulative", [False, True])
def test_a_frozen_batch_norm_keeps_its_averages(groups, wrap, cumulative):
    net = with_norm(momentum=None) if cumulative else with_norm()
    draw = np.random.default_rng(0)
    net.set_parameters({"1.running_mean": draw.normal(size=8), "1.running_var": draw.uniform(1, 2, 8)})
    rule = {
        "plain": lambda g: optimizers.Adam(0.01, groups=g),
        "sam": lambda g: optimizers.SAM(optimizers.SGD(0.1, groups=g)),
        "accumulate": lambda g: optimizers.Accumulate(optimizers.SGD(0.1, groups=g), 2),
        "schedule_free": lambda g: optimizers.ScheduleFreeSGD(0.1, groups=g),
        "ema": lambda g: optimizers.EMA(optimizers.SGD(0.1, groups=g)),
    }[wrap](FROZEN[groups])
    trainer = Trainer(net, "mse", rule)
    before = net.parameters()
    trainer.fit(X, Y, epochs=3, batch_size=16, progress=False)
    after = net.parameters()
    held = [name for name in after if "running" in name or "batches" in name]
    for name in held:
        if name.startswith("1.") or groups == "everything":
            assert exact.same_bits(after[name], before[name]), name
        else:
            assert (after[name] != before[name]).any(), name
    assert exact.same_bits(after["1.gamma"], before["1.gamma"]) == (groups != "averages")
    if wrap in ("ema", "schedule_free"):  # whose running averages are made anew at the end of a fit
        average = trainer.averaged().parameters()
        for name in held:
            if name.startswith("1."):
                assert exact.same_bits(average[name], before[name]), name


def test_a_frozen_batch_norm_trains_as_it_predicts():
    """Loss and gradients are those of inference mode there, which a central difference of evaluate() has."""
    net = with_norm()
    draw = np.random.default_rng(1)
    for layer in ("1", "3"):
        net.set_parameters(
            {f"{layer}.running_mean": draw.normal(size=8), f"{layer}.running_var": draw.uniform(0.5, 2, 8)}
        )
    groups = [("*.running_*", {"frozen": True})]
    trainer = Trainer(net, "mse", optimizers.SGD(1e-300, groups=groups))
    loss, gradients = trainer.gradients(X, Y)
    assert loss == pytest.approx(trainer.evaluate(X, Y)["loss"], rel=1e-13)
    for name, gradient in gradients.items():
        value = net.parameters()[name]
        direction = draw.normal(size=value.shape)
        sides = []
        for sign in (1, -1):
            net.set_parameters({name: value + sign * 1e-6 * direction})
            sides.append(trainer.evaluate(X, Y)["loss"])
        net.set_parameters({name: value})
        slope = (sides[0] - sides[1]) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-8), name


@pytest.mark.parametrize("pattern", ["0.*", "0.weight"])
@pytest.mark.parametrize("wrap", ["plain", "sam", "schedule_free"])
def test_a_frozen_spectral_norm_keeps_its_vectors(pattern, wrap):
    layers = [Dense(9, "tanh", spectral_norm=True), Dense(4, spectral_norm=True), Dense(3)]
    net = Network(layers, inputs=6, seed=3, dtype="float64")
    groups = [(pattern, {"frozen": True})]
    rule = {
        "plain": lambda: optimizers.Adam(0.01, groups=groups),
        "sam": lambda: optimizers.SAM(optimizers.SGD(0.1, groups=groups)),
        "schedule_free": lambda: optimizers.ScheduleFreeSGD(0.1, groups=groups),
    }[wrap]()
    before = net.parameters()
    trainer = Trainer(net, "mse", rule)
    for _ in range(3):
        trainer.step(X, Y)
    after = net.parameters()
    for role in ("weight", "left", "right"):
        assert exact.same_bits(after[f"0.{role}"], before[f"0.{role}"]), role
        assert (after[f"1.{role}"] != before[f"1.{role}"]).any(), role
    assert exact.same_bits(after["0.bias"], before["0.bias"]) == (pattern == "0.*")


def test_pruning_leaves_frozen_layers_alone():
    net = network()
    trainer = Trainer(net, "mse", optimizers.Adam(0.01, groups=[("0.*", {"frozen": True})]))
    before = net.parameters()
    trainer.fit(
        X, Y, epochs=3, batch_size=16, progress=False, callbacks=[pruning.Magnitude(0.5, every_steps=2)]
    )
    assert exact.same_bits(net.parameters()["0.weight"], before["0.weight"])
    assert (net.parameters()["1.weight"] == 0).mean() == 0.5
    trainer.set_masks({"0.weight": np.zeros((6, 20), bool)})
    assert not net.parameters()["0.weight"].any(), "but a mask that is set by hand holds"


# ---- weights from outside ----


def test_lookahead_takes_weights_that_were_set():
    def make():
        return Trainer(network(), "mse", optimizers.Lookahead(optimizers.SGD(0.1), every=5, alpha=0.5))

    trainer = make()
    for _ in range(7):
        trainer.step(X, Y)
    start = {name: np.full(value.shape, 0.2) for name, value in trainer.net.parameters().items()}
    trainer.net.set_parameters(start)
    plain = Trainer(network(), "mse", optimizers.SGD(0.1))
    plain.net.set_parameters(start)
    for _ in range(3):
        trainer.step(X, Y)
        plain.step(X, Y)
    for name, value in plain.net.parameters().items():  # slow weights began where the fast ones were put
        want = start[name] + 0.5 * (value - start[name])
        assert trainer.net.parameters()[name] == pytest.approx(want, rel=1e-13, abs=1e-15), name
        assert exact.same_bits(trainer.averaged().parameters()[name], trainer.net.parameters()[name])


def test_what_was_not_set_keeps_its_slow_weights():
    def run(poke):
        trainer = Trainer(network(), "mse", optimizers.Lookahead(optimizers.SGD(0.1), every=5))
        for step in range(9):
            if step == 7 and poke:
                trainer.net.set_parameters({"1.bias": trainer.net.parameters()["1.bias"]})
            trainer.step(X, Y)
        return trainer

    first, second = run(False), run(True)
    assert_same(first.net.parameters(), second.net.parameters())
    one = second.averaged().parameters()
    second.net.set_parameters({"1.bias": np.ones(3)})
    two = second.averaged().parameters()
    assert np.array_equal(two["1.bias"], np.ones(3))
    for name in ("0.weight", "0.bias", "1.weight"):
        assert exact.same_bits(one[name], two[name]), name


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("change", ["set_parameters", "some", "set_masks", "restore_best", "another"])
def test_a_checkpoint_after_a_change_goes_on_as_the_trainer_does(rule, change, tmp_path):
    trainer = Trainer(network("float32"), "mse", RULES[rule]())
    for _ in range(6):
        trainer.step(X, Y)
    if change == "set_parameters":
        trainer.net.set_parameters({k: 0.5 * v for k, v in trainer.net.parameters().items()})
    elif change == "some":
        trainer.net.set_parameters({"0.bias": np.full(20, 0.1)})
    elif change == "set_masks":
        trainer.set_masks(pruning.magnitude_masks(trainer.net, 0.5))
    elif change == "restore_best":
        trainer.fit(
            X[:40], Y[:40], epochs=6, batch_size=20, progress=False, validation=(X[40:], -Y[40:]),
            early_stopping=callbacks.EarlyStopping(patience=5),
        )  # fmt: skip
    else:
        Trainer(trainer.net, "mse", optimizers.SGD(0.3)).step(X, Y)
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t", threads=1)
    assert_same(trainer.net.parameters(), other.net.parameters())
    for _ in range(7):
        for each in (trainer, other):
            each.step(X, Y)
        assert_same(trainer.net.parameters(), other.net.parameters())
    other.save(tmp_path / "o")
    trainer.save(tmp_path / "t")
    assert (tmp_path / "o").read_bytes() == (tmp_path / "t").read_bytes()


@pytest.mark.parametrize("rule", ["adam", "schedule_free_adamw", "lookahead"])
def test_saving_does_not_change_a_training(rule, tmp_path):
    first, second = (Trainer(network("float32"), "mse", RULES[rule]()) for _ in range(2))
    for step in range(9):
        for each in (first, second):
            each.step(X, Y)
            if step == 4:
                each.net.set_parameters({k: 0.9 * v for k, v in each.net.parameters().items()})
                each.set_masks(pruning.magnitude_masks(each.net, 0.3))
        second.save(tmp_path / "t")
    assert_same(first.net.parameters(), second.net.parameters())


def test_constraints_begin_with_the_first_update():
    net = network()
    trainer = Trainer(net, "mse", optimizers.SGD(1e-300), constraint=clipping.MaxNorm(0.1))
    mine = {name: np.ones(value.shape) for name, value in net.parameters().items()}
    net.set_parameters(mine)
    assert np.array_equal(net.parameters()["0.weight"], mine["0.weight"])
    trainer.step(X, Y)
    net.set_parameters(mine)
    assert norms(net.parameters()["0.weight"]) == pytest.approx(np.full(20, 0.1), rel=1e-14)
    assert np.array_equal(net.parameters()["0.bias"], mine["0.bias"])
    held = net.parameters()
    net.set_parameters(held)
    assert_same(net.parameters(), held)  # what was within it stays, bit for bit
    clone = net.clone()
    clone.set_parameters(mine)
    assert np.array_equal(clone.parameters()["0.weight"], mine["0.weight"])
    del trainer
    net.set_parameters(mine)
    assert np.array_equal(net.parameters()["0.weight"], mine["0.weight"]), "nobody promises anything any more"


# ---- restored and averaged ----


def test_a_restored_best_is_masked_and_was_measured():
    net = network()
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    sparsity = schedules.Polynomial(0.0, 0.8, 20, power=3)
    history = trainer.fit(
        X[:40], Y[:40], epochs=40, batch_size=20, progress=False, validation=(X[40:], Y[40:]),
        early_stopping=callbacks.EarlyStopping(patience=30),
        callbacks=[pruning.Magnitude(sparsity, every_steps=5)],
    )  # fmt: skip
    assert_masked(trainer)
    assert pruning.sparsity(net) >= 0.79
    scores = trainer.evaluate(X[40:], Y[40:])["loss"]
    assert scores in history["val_loss"], "the weights are those of an epoch"
    after = history["val_loss"][9:]  # the masks are made at step 20, the end of epoch 10, for the last time
    assert scores == min(after)


@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
def test_masks_at_the_end_of_an_epoch_outdate_its_best(monitor):
    class Prune(callbacks.Callback):
        def on_epoch_end(self, trainer, row):
            if trainer.steps == 8:
                trainer.set_masks(pruning.magnitude_masks(trainer.net, 0.5))

    net = network()
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    trainer.fit(
        X[:40], Y[:40], epochs=4, batch_size=20, progress=False, validation=(X[40:], Y[40:]),
        early_stopping=callbacks.EarlyStopping(monitor), callbacks=[Prune()],
    )  # fmt: skip
    assert_masked(trainer)
    assert pruning.sparsity(net) == 0.5


def test_a_failed_set_masks_changes_nothing():
    trainer = Trainer(network(), "mse", optimizers.Adam(0.05))
    masks = pruning.magnitude_masks(trainer.net, 0.5)
    trainer.step(X, Y)
    trainer.set_masks(masks)
    before = trainer.net.parameters()

    def refused(values):
        raise RuntimeError("no")

    trainer._state.write = refused
    with pytest.raises(RuntimeError):
        trainer.set_masks({})
    del trainer._state.write
    assert_same(trainer.net.parameters(), before)
    assert trainer.masks().keys() == masks.keys()
    trainer.step(X, Y)
    assert_masked(trainer)


# ---- methods that work on the whole data set ----

FULL_BATCH = {
    "lbfgs": lambda: optimizers.LBFGS(weight_decay=1e-3),
    "cg": lambda: optimizers.ConjugateGradient(),
    "newton": lambda: optimizers.NewtonCG(weight_decay=1e-3),
    "gauss_newton": lambda: optimizers.NewtonCG(curvature="gauss_newton", damping=1e-3),
    "lm": lambda: optimizers.LevenbergMarquardt(),
    "lm fletcher": lambda: optimizers.LevenbergMarquardt(damping="fletcher"),
}


@pytest.mark.parametrize("method", FULL_BATCH)
def test_full_batch_methods_stay_within_masks(method, tmp_path):
    net = Network([Dense(5, "tanh"), Dense(3)], inputs=6, seed=1, dtype="float64")
    trainer = Trainer(net, "mse", FULL_BATCH[method]())
    before = trainer.evaluate(X, Y)["loss"]
    for share in (0.3, 0.6):  # the second one meets a memory of steps in a larger space
        trainer.set_masks(pruning.magnitude_masks(net, share))
        losses = trainer.fit(X, Y, epochs=6, progress=False).loss
        assert losses[-1] < losses[0]
        assert_masked(trainer)
        assert pruning.sparsity(net) == pytest.approx(share, abs=0.03)
    assert trainer.evaluate(X, Y)["loss"] < before
    net.set_parameters({name: np.full(value.shape, 0.3) for name, value in net.parameters().items()})
    assert_masked(trainer)
    trainer.save(tmp_path / "t")
    other = Trainer.load(tmp_path / "t")
    for each in (trainer, other):
        each.fit(X, Y, epochs=4, progress=False)
    assert_same(trainer.net.parameters(), other.net.parameters())
    assert_masked(other)


@pytest.mark.parametrize("method", ["lbfgs", "cg", "newton", "lm"])
def test_a_masked_fit_is_one_of_the_smaller_network(method):
    """Units whose incoming and outgoing weights are masked are not there: the same minimum without them."""
    large = Network([Dense(6), Dense(3)], inputs=6, seed=1, dtype="float64")
    masks = {name: np.ones(value.shape, bool) for name, value in large.parameters().items()}
    masks["0.weight"][:, 2:] = masks["0.bias"][2:] = masks["1.weight"][2:] = False
    trainer = Trainer(large, "mse", FULL_BATCH[method]())
    trainer.set_masks(masks)
    small = Network([Dense(2), Dense(3)], inputs=6, seed=1, dtype="float64")
    mine = large.parameters()
    small.set_parameters({
        "0.weight": mine["0.weight"][:, :2], "0.bias": mine["0.bias"][:2],
        "1.weight": mine["1.weight"][:2], "1.bias": mine["1.bias"],
    })  # fmt: skip
    reference = Trainer(small, "mse", trainer.optimizer)
    for each in (trainer, reference):
        each.fit(X, Y, epochs=3, progress=False)
    assert large.predict(X) == pytest.approx(small.predict(X), rel=1e-7, abs=1e-9)
