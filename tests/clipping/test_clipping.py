"""Rules on gradients and weights: peers, oracles, threads and instruction sets, checkpoints, the ledger."""

import math
import re

import gradcore
import numpy as np
import pytest
from gradcore import BatchNorm, Dense, LayerNorm, Network, Trainer, clipping, optimizers, schedules
from oracle import clipping as rc
from support import assert_same, public, ways
from support.clip_problem import batch, network, statistics
from vectors import make_clip

VECTORS = np.load(make_clip.PATH)
BARS = {"float64": 1e-12, "float32": 2e-6}
NAMES = {name: getattr(clipping, name) for name in clipping.__all__} | {"math": math, "schedules": schedules}


@pytest.mark.parametrize("name", make_clip.RULES)
def test_a_gradient_is_clipped_as_pytorch_optax_and_timm_clip_it(dtype, name):
    """One linear layer whose gradient is a given matrix: mse of the rows of the identity."""
    weights, gradients = make_clip.arrays()
    rows, columns = gradients["weight"].shape
    net = Network([Dense(columns)], inputs=rows, dtype=dtype)
    net.set_parameters({f"0.{key}": value for key, value in weights.items()})
    targets = net.predict(np.eye(rows)).astype(np.float64) - gradients["weight"] * rows * columns / 2
    rule = eval(make_clip.RULES[name][0], NAMES)
    before = net.parameters()
    Trainer(net, "mse", optimizers.SGD(1.0), clip=[rule]).step(np.eye(rows), targets)
    after = net.parameters()
    got = np.concatenate([(before[key].astype(float) - after[key]).reshape(-1) for key in before])
    assert got == pytest.approx(VECTORS[name], abs=100 * BARS[dtype])


# ---- Against the oracle, on networks whose widths fill panels or do not ----

RULES = {
    "GlobalNorm(0.01)": lambda g, w: rc.global_norm(g, w, 0.01),
    "GlobalNorm(0.05, order=1)": lambda g, w: rc.global_norm(g, w, 0.05, 1),
    "GlobalNorm(0.004, order=math.inf)": lambda g, w: rc.global_norm(g, w, 0.004, math.inf),
    "GlobalNorm(0.01, eps=0.005)": lambda g, w: rc.global_norm(g, w, 0.01, 2, 0.005),
    "ByValue(0.002)": lambda g, w: rc.by_value(g, w, 0.002),
    "TensorNorm(0.01)": lambda g, w: rc.tensor_norm(g, w, 0.01),
    "TensorNorm(0.03, order=1, skip=['0', '2'])": lambda g, w: rc.tensor_norm(g, w, 0.03, 1, 0, ("0.", "2.")),
    "TensorNorm(0.003, order=math.inf)": lambda g, w: rc.tensor_norm(g, w, 0.003, math.inf),
    "Adaptive(0.003)": lambda g, w: rc.adaptive(g, w, 0.003),
    "Adaptive(0.003, eps=0.5, skip=['3'])": lambda g, w: rc.adaptive(g, w, 0.003, 0.5, ("3.",)),
    "Centralize()": rc.centralize,
    "[Centralize(), TensorNorm(0.01), ByValue(0.002)]": lambda g, w: rc.by_value(
        rc.tensor_norm(rc.centralize(g, w), w, 0.01), w, 0.002
    ),
    "[GlobalNorm(0.05), GlobalNorm(0.01, order=1)]": lambda g, w: rc.global_norm(
        rc.global_norm(g, w, 0.05), w, 0.01, 1
    ),
}


def close(got, want, scale, bar):
    return all(np.abs(got[name] - want[name]).max() <= bar * scale for name in want)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("outputs", [1, 2, 8, 40])
@pytest.mark.quick
def test_a_step_takes_the_gradient_of_the_oracle(rule, outputs):
    net = network(outputs=outputs)
    x, y = batch(outputs)
    trainer = Trainer(net, "mse", optimizers.SGD(1.0), clip=eval(rule, NAMES))
    before = net.parameters()
    _, gradients = trainer.gradients(x, y)
    assert_same(net.parameters(), before)
    trainer.step(x, y)
    want = RULES[rule](gradients, before)
    got = {name: before[name] - value for name, value in net.parameters().items()}
    assert close(got, want, 1.0, 1e-13)
    assert not close(gradients, want, 1.0, 1e-6), "the rule did something"


@pytest.mark.parametrize("order", [1, 2, math.inf])
@pytest.mark.parametrize("kind", [clipping.GlobalNorm, clipping.TensorNorm])
def test_gradients_within_the_limit_keep_their_bits(dtype, kind, order):
    x, y = batch()
    nets = [network(dtype=dtype) for _ in range(3)]
    for net, clip in zip(nets, (None, kind(1e6, order=order), clipping.Adaptive(1e6)), strict=True):
        trainer = Trainer(net, "mse", optimizers.Adam(0.01), clip=clip)
        trainer.fit(x, y, epochs=3, batch_size=5, progress=False)
    assert_same(nets[1].parameters(), nets[0].parameters())
    assert_same(nets[2].parameters(), nets[0].parameters())


ALL = [
    clipping.TensorNorm(0.01),
    clipping.GlobalNorm(0.05, order=1),
    clipping.GlobalNorm(0.05, order=math.inf, eps=1e-6),
    clipping.Adaptive(0.01),
    clipping.PerExample(0.1),
    clipping.AutoClip(40.0),
    clipping.ZClip(threshold=0.5, warmup=5),
    [clipping.Centralize(), clipping.Noise(0.001), clipping.TensorNorm(schedules.Linear(0.1, 0.01, 20))],
]
ALL += [made for made in statistics() if type(made) not in map(type, ALL)]
CONSTRAINTS = [
    clipping.MaxNorm(0.5),
    clipping.UnitNorm(),
    clipping.Box(-0.05, 0.1),
    [clipping.NonNegative(biases=True), clipping.MaxNorm(0.4, skip=["0"])],
]
CASES = [*[(clip, None) for clip in ALL], *[(None, constraint) for constraint in CONSTRAINTS]]


def train(clip, constraint, dtype="float32", widths=(150, 64, 33), outputs=3, **more):
    net = network(widths, outputs, dtype, **more)
    x, y = batch(outputs, 40)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01), clip=clip, constraint=constraint)
    trainer.fit(x, y, epochs=4, batch_size=16, progress=False)
    return trainer


@pytest.mark.parametrize(("clip", "constraint"), CASES, ids=repr)
def test_bits_do_not_depend_on_threads_or_instruction_sets(dtype, clip, constraint):
    widths = (300, 260, 70)
    first = train(clip, constraint, dtype, widths, threads=1)
    assert not first.history.skipped[-1]
    for threads, isa in ways((3, 2), scalar=dtype == "float64"):
        other = train(clip, constraint, dtype, widths, threads=threads, isa=isa)
        assert_same(other.net.parameters(), first.net.parameters())
        assert other.history.clip_scale[-1] == pytest.approx(first.history.clip_scale[-1], nan_ok=True)
        assert other.clip_ledger() == first.clip_ledger()


@pytest.mark.parametrize(("clip", "constraint"), CASES, ids=repr)
def test_a_checkpoint_in_the_middle_of_a_fit_goes_on_bit_for_bit(tmp_path, clip, constraint):
    class Stop(Exception):
        pass

    class Interrupt:
        every_steps = 5

        def on_slice(self, trainer, reports):
            if trainer.steps >= 5:
                trainer.save(tmp_path / "trainer")
                raise Stop

    x, y = batch(3, 40)
    whole = train(clip, constraint)
    net = network((150, 64, 33), 3, "float32")
    part = Trainer(net, "mse", optimizers.Adam(0.01), clip=clip, constraint=constraint)
    with pytest.raises(Stop):
        part.fit(x, y, epochs=4, batch_size=16, progress=False, callbacks=[Interrupt()])
    resumed = Trainer.load(tmp_path / "trainer")
    assert repr(resumed.clip) == repr(part.clip)
    assert repr(resumed.constraint) == repr(part.constraint)
    resumed.fit(x, y, epochs=4, batch_size=16, progress=False)
    assert_same(resumed.net.parameters(), whole.net.parameters())
    assert resumed.history.clip_scale == pytest.approx(whole.history.clip_scale, nan_ok=True)


@pytest.mark.parametrize(("clip", "constraint"), CASES, ids=repr)
def test_a_larger_batch_later_takes_the_rules_along(clip, constraint):
    x, y = batch(3, 40)
    nets = []
    for first in (40, 8):
        net = network((30,), 3)
        trainer = Trainer(net, "mse", optimizers.SGD(0.1), clip=clip, constraint=constraint)
        trainer.gradients(x[:first], y[:first])
        trainer.step(x[:8], y[:8])
        trainer.step(x, y)
        nets.append(net)
        ledger = trainer.clip_ledger()
    assert_same(nets[0].parameters(), nets[1].parameters())
    assert ledger == trainer.clip_ledger()


# ---- Rows ----


@pytest.mark.parametrize("outputs", [1, 3, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_per_example_clipping_is_that_of_brute_force(dtype, outputs, weighted):
    net = network((40, 17), outputs, dtype)
    x, y = batch(outputs, 30)
    weight = np.random.default_rng(1).uniform(0.0, 2.0, 30) if weighted else np.ones(30)
    weight[3] = 0.0 if weighted else 1.0
    plain = Trainer(net, "mse", optimizers.SGD(1.0))
    rows = [plain.gradients(x[i : i + 1], y[i : i + 1])[1] for i in range(30)]
    norms = [rc.norm(gradients.values()) for gradients in rows]
    limit = float(np.median(norms))
    scale = [rc.factor(norm, limit) * w / weight.sum() for norm, w in zip(norms, weight, strict=True)]
    before = net.parameters()
    want = {
        name: sum(s * g[name].astype(np.float64) for s, g in zip(scale, rows, strict=True)) for name in before
    }
    trainer = Trainer(net, "mse", optimizers.SGD(1.0), clip=clipping.PerExample(limit))
    trainer.step(x, y, weight if weighted else None)
    got = {name: before[name].astype(float) - value for name, value in net.parameters().items()}
    assert close(got, want, 1.0, {"float64": 1e-13, "float32": 1e-6}[dtype])


def test_the_ledger_of_rows_counts_rows():
    x, y = batch()
    trainer = Trainer(network(), "mse", optimizers.SGD(1e-9), clip=clipping.PerExample(0.8))
    norms = [
        rc.norm(trainer.gradients(x[row : row + 1], y[row : row + 1])[1].values()) for row in range(len(x))
    ]
    factors = [rc.factor(norm, 0.8) for norm in norms]
    trainer.step(x, y)
    for entry in trainer.clip_ledger().values():
        assert entry["clipped"] == np.mean(np.array(norms) > 0.8)
        assert entry["scale"] == pytest.approx(np.mean(factors), rel=1e-9)


# ---- Noise ----


def test_noise_is_normal_and_keyed_by_seed_step_and_element():
    net = Network([Dense(300)], inputs=200, dtype="float64", seed=1)
    other = Network([Dense(300)], inputs=200, dtype="float64", seed=1, threads=1)
    x, y = np.zeros((1, 200)), np.zeros((1, 300))
    changes = []
    for one, seed, skipped in ((net, 7, 0), (other, 7, 1), (other, 8, 1)):
        one.set_parameters({"0.weight": np.zeros((200, 300)), "0.bias": np.zeros(300)})
        trainer = Trainer(one, "mse", optimizers.SGD(1.0), clip=clipping.Noise(0.5), seed=seed)
        trainer.step(x, y)
        if skipped:
            one.set_parameters({"0.weight": np.zeros((200, 300)), "0.bias": np.zeros(300)})
            trainer.step(x, y)
        changes.append(one.parameters()["0.weight"])
    first, second, reseeded = changes
    assert abs(first.mean()) < 0.01
    assert first.std() == pytest.approx(0.5, rel=0.01)
    assert abs(np.corrcoef(first.reshape(-1), second.reshape(-1))[0, 1]) < 0.02
    assert abs(np.corrcoef(reseeded.reshape(-1), second.reshape(-1))[0, 1]) < 0.02
    quiet = Trainer(network(), "mse", optimizers.SGD(0.1), clip=clipping.Noise(0.0))
    plain = Trainer(network(), "mse", optimizers.SGD(0.1))
    for trainer in (quiet, plain):
        trainer.step(*batch())
    assert_same(quiet.net.parameters(), plain.net.parameters())


def test_noise_does_not_depend_on_how_weights_are_stored():
    """Layers of few outputs are stored the other way round; the noise of an element is that of its number."""
    x, y = np.zeros((1, 40)), np.zeros((1, 1))
    net = Network([Dense(1)], inputs=40, dtype="float64")
    net.set_parameters({"0.weight": np.zeros((40, 1)), "0.bias": np.zeros(1)})
    Trainer(net, "mse", optimizers.SGD(1.0), clip=clipping.Noise(1.0), seed=9).step(x, y)
    wide = Network([Dense(40)], inputs=1, dtype="float64")
    wide.set_parameters({"0.weight": np.zeros((1, 40)), "0.bias": np.zeros(40)})
    trainer = Trainer(wide, "mse", optimizers.SGD(1.0), clip=clipping.Noise(1.0), seed=9)
    trainer.step(np.zeros((1, 1)), np.zeros((1, 40)))
    assert net.parameters()["0.weight"].reshape(-1) == pytest.approx(
        wide.parameters()["0.weight"].reshape(-1), rel=1e-15
    )


# ---- Statistics ----


@pytest.mark.parametrize("text", rc.STATISTICS)
@pytest.mark.quick
def test_factors_are_those_of_the_oracle_and_reach_the_update(text):
    rule = eval(text, public(clipping))
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((300, 9)), rng.standard_normal((300, 2))
    y[::23] *= 30  # spikes
    trainer = Trainer(network((8,)), "mse", optimizers.SGD(1e-3), clip=rule)
    norms, factors = [], []
    for at in range(0, 300, 3):
        before = trainer.net.parameters()
        _, gradients = trainer.gradients(x[at : at + 3], y[at : at + 3])
        trainer.step(x[at : at + 3], y[at : at + 3])
        after = trainer.net.parameters()
        norms.append(rc.norm(gradients.values()))
        factors.append(rc.norm([before[name] - after[name] for name in before]) / norms[-1] / 1e-3)
    want = rc.STATISTICS[text](norms)
    assert factors == pytest.approx(want, rel=1e-9)
    assert 0 < np.mean(np.array(want) < 1) < 1


def test_a_window_forgets():
    norms = np.random.default_rng(2).uniform(0.1, 2.0, 200)
    state = clipping.AutoClip(30.0, window=20).statistic()
    got = [state(norm) for norm in norms]
    for i, factor in enumerate(got):
        recent = norms[max(0, i - 19) : i + 1]
        assert factor == pytest.approx(min(1.0, np.percentile(recent, 30.0) / norms[i]), rel=1e-12)
    assert len(state.state()["norms"]) == 20


def test_the_state_of_statistics_comes_back():
    for rule in (clipping.AutoClip(30.0, window=20), clipping.ZClip(warmup=8)):
        norms = np.random.default_rng(2).uniform(0.1, 2.0, 60).tolist()
        whole, part = rule.statistic(), rule.statistic()
        want = [whole(norm) for norm in norms]
        got = [part(norm) for norm in norms[:31]]
        resumed = rule.statistic(part.state())
        assert got + [resumed(norm) for norm in norms[31:]] == want


def test_an_error_in_a_rule_ends_the_step_before_the_update():
    class Broken(clipping.Clip):
        name = "broken"

        def statistic(self, state=None):
            return Failing()

    class Failing:
        def __call__(self, norm):
            if self.fails:
                raise KeyError("no such norm")
            return 0.5

        def state(self):
            return {}

        fails = True

    x, y = batch()
    trainer = Trainer(network(), "mse", optimizers.SGD(0.1), clip=Broken())
    before = trainer.net.parameters()
    for _ in range(2):
        with pytest.raises(KeyError, match="no such norm"):
            trainer.step(x, y)
    with pytest.raises(KeyError, match="no such norm"):
        trainer.fit(x, y, epochs=1, batch_size=4, progress=False)
    assert_same(trainer.net.parameters(), before)
    assert trainer.steps == 0
    Failing.fails = False
    trainer.fit(x, y, epochs=1, batch_size=4, progress=False)
    assert trainer.history.clip_scale == [0.5]


# ---- Not finite ----


@pytest.mark.parametrize("clip", ALL, ids=repr)
@pytest.mark.parametrize("policy", ["skip", "propagate"])
def test_a_step_that_is_not_finite_is_skipped_or_lets_nan_through(clip, policy):
    x, y = batch()
    trainer = Trainer(network(), "mse", optimizers.SGD(0.1), clip=clip, nonfinite=policy)
    trainer.step(x, y)
    before = trainer.net.parameters()
    x[0, 0] = np.nan
    trainer.step(x, y)
    if policy == "skip":
        assert_same(trainer.net.parameters(), before)
        assert trainer.skipped == 1
    else:
        assert np.isnan(trainer.net.parameters()["0.weight"]).any()


# ---- History, schedules, refusals ----


def test_the_history_says_how_often_and_how_much():
    x, y = batch()
    trainer = Trainer(network(), "mse", optimizers.SGD(1e-12), clip=clipping.TensorNorm(0.05))
    _, gradients = trainer.gradients(x, y)
    factors = {name: rc.factor(rc.norm([g]), 0.05) for name, g in gradients.items()}
    trainer.fit(x, y, epochs=2, batch_size=len(x), progress=False)
    assert trainer.history.clipped == [1.0, 1.0]
    assert trainer.history.clip_scale[0] == pytest.approx(np.mean(list(factors.values())), rel=1e-9)
    for name, entry in trainer.clip_ledger().items():
        assert entry["clipped"] == (factors[name] < 1)
        assert entry["scale"] == pytest.approx(factors[name], rel=1e-9)
    quiet = Trainer(network(), "mse", optimizers.SGD(0.1), clip=clipping.Adaptive(1e9))
    quiet.fit(x, y, epochs=1, batch_size=4, progress=False)
    assert quiet.history.clipped == [0.0]
    assert quiet.history.clip_scale == [1.0]
    plain = Trainer(network(), "mse", optimizers.SGD(0.1))
    plain.fit(x, y, epochs=1, batch_size=4, progress=False)
    assert plain.clip_ledger() == {} and math.isnan(plain.history.clip_scale[0])


def test_a_scheduled_limit_is_that_of_its_step():
    x, y = batch()
    limits = schedules.Linear(0.1, 0.01, 5)
    trainer = Trainer(network(), "mse", optimizers.SGD(1.0), clip=[clipping.TensorNorm(limits)])
    for step in range(7):
        before = trainer.net.parameters()
        _, gradients = trainer.gradients(x, y)
        trainer.step(x, y)
        want = rc.tensor_norm(gradients, before, limits(step))
        got = {name: before[name] - value for name, value in trainer.net.parameters().items()}
        assert close(got, want, 1.0, 1e-13)


def trainer_with(clip=None, constraint=None, net=None):
    return Trainer(network() if net is None else net, "mse", optimizers.SGD(0.1), clip, constraint=constraint)


BAD = [
    ("clip", lambda: trainer_with(1.0)),
    ("clip", lambda: trainer_with(clipping.MaxNorm(1.0))),
    ("clip[1]", lambda: trainer_with([clipping.ByValue(1.0), None])),
    ("clip", lambda: trainer_with([clipping.AutoClip(), clipping.ByValue(1.0)])),
    ("clip", lambda: trainer_with([clipping.ByValue(schedules.Constant(1))] * 2)),
    ("clip, constraint", lambda: trainer_with([clipping.ByValue(1.0)] * 9)),
    ("constraint", lambda: trainer_with(constraint=clipping.ByValue(1.0))),
    ("Adaptive: skip", lambda: trainer_with(clipping.Adaptive(skip=["9"]))),
    ("MaxNorm: skip", lambda: trainer_with(constraint=clipping.MaxNorm(1, skip=["0.weight"]))),
    ("GlobalNorm: order", lambda: clipping.GlobalNorm(1.0, order=3)),
    ("GlobalNorm: eps", lambda: clipping.GlobalNorm(1.0, eps=-1)),
    ("TensorNorm: max_norm", lambda: clipping.TensorNorm(0.0)),
    ("TensorNorm: skip", lambda: clipping.TensorNorm(1.0, skip="2")),
    ("TensorNorm: skip[0]", lambda: clipping.TensorNorm(1.0, skip=[2])),
    ("Adaptive: ratio", lambda: clipping.Adaptive(-1)),
    ("Adaptive: eps", lambda: clipping.Adaptive(eps=math.nan)),
    ("PerExample: max_norm", lambda: clipping.PerExample(0)),
    ("Noise: deviation", lambda: clipping.Noise(-1)),
    ("AutoClip: percentile", lambda: clipping.AutoClip(101)),
    ("AutoClip: window", lambda: clipping.AutoClip(window=0)),
    ("ZClip: threshold", lambda: clipping.ZClip(0)),
    ("ZClip: decay", lambda: clipping.ZClip(decay=1)),
    ("ZClip: warmup", lambda: clipping.ZClip(warmup=1)),
    ("ZClip: max_norm", lambda: clipping.ZClip(max_norm=-1)),
    ("ZClip: mode", lambda: clipping.ZClip(mode="clip")),
    ("Box: high", lambda: clipping.Box(1, 0)),
    ("Box: biases", lambda: clipping.Box(0, 1, biases=1)),
    ("MaxNorm: max_norm", lambda: clipping.MaxNorm(0)),
    ("UnitNorm: norm", lambda: clipping.UnitNorm(1e11)),
]


@pytest.mark.parametrize(("name", "call"), BAD, ids=[f"{name} {i}" for i, (name, _) in enumerate(BAD)])
@pytest.mark.quick
def test_bad_rules_are_refused(name, call):
    with pytest.raises(gradcore.GradcoreError, match=f"{re.escape(name)}: expected"):
        call()


def test_per_example_clipping_needs_a_network_of_dense_layers():
    net = Network([Dense(4), LayerNorm(), Dense(2)], inputs=9)
    with pytest.raises(gradcore.ArgumentError, match="dense layers alone"):
        trainer_with(clipping.PerExample(1.0), net=net).step(*batch())
    net = Network([Dense(4), BatchNorm(scale=False, shift=False), Dense(2)], inputs=9)
    with pytest.raises(gradcore.ArgumentError, match="without batch, weight or spectral"):
        trainer_with(clipping.PerExample(1.0), net=net).step(*batch())


@pytest.mark.parametrize(
    "rule",
    [
        ("cake", 1.0, 0.0, 2.0, False),
        ("value", -1.0, 0.0, 2.0, False),
        ("value", math.nan, 0.0, 2.0, False),
        ("tensor_norm", 1.0, -1.0, 2.0, False),
        ("tensor_norm", 1.0, 0.0, 3.0, False),
        ("box", 0.0, 1.0, 2.0, False),
    ],
)
def test_the_core_refuses_bad_rules_and_keeps_those_it_has(rule):
    x, y = batch()
    nets = [network(), network()]
    trainers = [trainer_with(clipping.TensorNorm(0.01), net=net) for net in nets]
    for trainer in trainers:
        trainer.step(x, y)
    with pytest.raises(gradcore.ArgumentError):
        trainers[0]._state.core.set_rules([(*rule, bytes(8))])
    with pytest.raises(gradcore.ShapeError):
        trainers[0]._state.core.set_rules([("value", 1.0, 0.0, 2.0, False, bytes(3))])
    for trainer in trainers:
        trainer.step(x, y)
    assert_same(nets[0].parameters(), nets[1].parameters())
