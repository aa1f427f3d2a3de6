"""Promises hold: masks, constraints and frozen parameters, in random networks under random trainers.

A configuration is one integer. It decides a network, a loss, an optimizer within wrappers, rules on weights
and gradients, what is frozen, and a sequence of actions; after each of them everything that shows weights is
looked at. `check(seed, folder)` runs one again, and so does ``GRADCORE_PROMISES=seed pytest -k one_by_hand``.
"""

import copy
import fnmatch
import os
import pickle
import random
import warnings
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from gradcore import (
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
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
    callbacks,
    clipping,
    errors,
    losses,
    optimizers,
    pruning,
    schedules,
)
from gradcore.losses import penalties
from oracle.exact import same_bits
from support import assert_same
from support.optimizer_cases import classes, rates

COLUMNS, CODES, ROWS = 5, 4, 24
FULL_BATCH = {
    "LBFGS": lambda: optimizers.LBFGS(weight_decay=1e-3),
    "LBFGS of fixed steps": lambda: optimizers.LBFGS(line_search=None, lr=0.01),
    "ConjugateGradient": lambda: optimizers.ConjugateGradient(weight_decay=1e-3),
    "NewtonCG": lambda: optimizers.NewtonCG(weight_decay=1e-3),
    "Gauss-Newton": lambda: optimizers.NewtonCG(curvature="gauss_newton", damping=1e-3),
    "LevenbergMarquardt": lambda: optimizers.LevenbergMarquardt(),
}
WRAPPERS = {
    "EMA": lambda rule: optimizers.EMA(rule, 0.8),
    "SWA": lambda rule: optimizers.SWA(rule, start=1, every=2),
    "Lookahead": lambda rule: optimizers.Lookahead(rule, 3),
    "Accumulate": lambda rule: optimizers.Accumulate(rule, 2),
    "SAM": lambda rule: optimizers.SAM(rule, 0.1),
    "ASAM": lambda rule: optimizers.SAM(rule, 0.5, adaptive=True),
}
CLIPS = (
    None,
    clipping.GlobalNorm(0.5),
    clipping.ByValue(0.1),
    clipping.Adaptive(0.05),
    clipping.AutoClip(),
    [clipping.Centralize(), clipping.Noise(0.01)],
)
# Lists are such that a rule leaves what those before it have made true.
CONSTRAINTS = (
    [clipping.Box(-0.2, 0.2)],
    [clipping.Box(-0.2, 0.2, biases=True)],
    [clipping.Box(0.05, 0.4)],
    [clipping.NonNegative()],
    [clipping.NonNegative(biases=True)],
    [clipping.MaxNorm(0.6)],
    [clipping.UnitNorm(0.7)],
    [clipping.UnitNorm(0.7, skip=("0",))],
    [clipping.NonNegative(), clipping.UnitNorm(1.5)],
    [clipping.NonNegative(), clipping.MaxNorm(0.3)],
    [clipping.Box(-0.3, 0.3), clipping.MaxNorm(0.4)],
    [clipping.MaxNorm(0.4), clipping.Box(-0.1, 0.2)],
)


class Configuration:
    """What an integer stands for."""

    def __init__(self, seed):
        self.seed = seed
        draw = self.draw = random.Random(seed)
        self.dtype = draw.choice(["float32", "float64"])
        self.threads = draw.randrange(1, 4)
        self.method = draw.choice([*FULL_BATCH]) if draw.random() < 0.1 else None
        self.smooth = self.method in ("NewtonCG", "Gauss-Newton", "LevenbergMarquardt")
        if self.method == "LevenbergMarquardt":
            self.dtype = "float64"
        self.codes = draw.random() < 0.2 and not self.smooth
        self.heads = draw.random() < 0.25 and not self.method
        self.spectral = draw.random() < 0.15
        self.labels = draw.random() < 0.4 and not self.heads and self.method != "LevenbergMarquardt"
        self.layers = self._layers()
        self.loss = self._loss()
        self.name = self.method or draw.choice(classes())
        self.wrappers = [] if self.method else draw.sample([*WRAPPERS], draw.choice([0, 0, 1, 1, 1, 2, 2, 3]))
        if self.name.startswith("ScheduleFree") and draw.random() < 0.8:
            self.wrappers = [one for one in self.wrappers if one in ("Accumulate", "SAM", "ASAM")]
        constrained = 0.6 if self.method is None else 0.1
        some = [one for one in CONSTRAINTS if not self.spectral or all(rule.of_signs for rule in one)]
        some = some if draw.random() < 0.95 else CONSTRAINTS
        self.constraints = draw.choice(some) if draw.random() < constrained else []
        self.clip = draw.choice(CLIPS) if self.method is None and draw.random() < 0.3 else None
        self.options = {"weight_decay": draw.choice([0.0, 0.01])}
        net = self.network()
        self.names = list(net.parameters())
        self.trainable = [info["name"] for info in net._model.infos if info["trainable"]]
        self.frozen = self.to_freeze(draw) if self.method is None and draw.random() < 0.6 else []
        self.actions = [draw.choice(ACTIONS) for _ in range(draw.randrange(4, 9))]

    def _dense(self, units, activation=None):
        draw, kind = self.draw, self.draw.random()
        more = {"weight_norm": True} if kind < 0.2 else {}
        if kind > 0.5 and self.spectral:
            more = {"spectral_norm": True}
        more = {} if self.smooth else more
        penalty = penalties.L1(0.001) if draw.random() < 0.1 and not self.method else None
        return Dense(units, activation, bias=draw.random() < 0.8, penalty=penalty, **more)

    def _norm(self):
        draw = self.draw
        return draw.choice([
            BatchNorm(momentum=draw.choice([0.1, 0.5, None]), scale=draw.random() < 0.8,
                      shift=draw.random() < 0.8),
            LayerNorm(), RMSNorm(),
        ])  # fmt: skip

    def _layers(self):
        draw = self.draw
        found = [Standardize()] if draw.random() < 0.15 else []
        if self.codes:
            found.append(Embedding({1: (CODES, 3)}))
        for _ in range(draw.randrange(1, 4)):
            width = draw.randrange(2, 19)
            kind = draw.random()
            if kind < 0.5:
                found.append(self._dense(width, draw.choice([None, "tanh", "relu", "gelu"])))
            elif self.smooth:
                found += [self._dense(width), Residual(self._dense(width, "tanh"))]
            elif kind < 0.6:
                found += [self._dense(width), draw.choice([PReLU(), Maxout(5, 2)])]
            elif kind < 0.7:
                found += [self._dense(width), self._norm(), Activation("tanh")]
            elif kind < 0.9:
                inner = draw.randrange(2, 19)
                block = [self._dense(inner, "tanh")] + [self._norm()] * (draw.random() < 0.4)
                block += [LayerScale(0.5)] * (draw.random() < 0.3)
                gain = draw.choice([None, 0.0, 0.5])
                found += [self._dense(width), Residual(*block, projection=True, gain=gain)]
            else:
                found += [self._dense(width, "tanh"), self._norm()]
            if draw.random() < 0.1 and not self.method:
                found.append(Dropout(0.2))
        if self.heads:
            ends = {"a": [self._dense(4, "tanh"), self._dense(2)], "b": self._dense(3)}
            return [*found, Heads(ends, uncertainty=draw.random() < 0.4)]
        return [*found, self._dense(3)]

    def _loss(self):
        draw = self.draw
        if self.heads:
            surgery = draw.random() < 0.2 and not self.method and not self.layers[-1].uncertainty
            return losses.PerHead({"a": "mse", "b": "cross_entropy"}, weights={"a": 0.5}, surgery=surgery)
        smooth = ["mse", "log_cosh"] if self.method != "LevenbergMarquardt" else ["mse"]
        return "cross_entropy" if self.labels else draw.choice(smooth)

    def to_freeze(self, draw):
        """Patterns of names, each of something."""
        places = sorted({name.rpartition(".")[0] for name in self.names if not name.startswith("0.mean")})
        wanted = []
        for place in draw.sample(places, min(len(places), draw.randrange(1, 3))):
            kinds = ["*", "*", "*", "weight", "bias", "gamma", "beta", "running_*", "magnitude"]
            pattern = f"{place}.{draw.choice(kinds)}"
            held = [name for name in self.names if fnmatch.fnmatchcase(name, pattern)]
            if any(not name.endswith(("mean", "inverse_std")) or ".running_" in name for name in held):
                wanted.append(pattern)
        return wanted

    def network(self):
        return Network(self.layers, inputs=COLUMNS, seed=self.seed, dtype=self.dtype, threads=self.threads)

    def optimizer(self):
        if self.method:
            return FULL_BATCH[self.method]()
        options, *_, lr = rates(self.name)
        groups = [(pattern, {"frozen": True}) for pattern in self.frozen]
        groups.append(("*", {"lr_factor": 0.5}))
        more = {**options, **self.options}
        rule = getattr(optimizers, self.name)(lr=min(lr, 0.1), groups=groups, **more)
        for wrapper in self.wrappers:
            rule = WRAPPERS[wrapper](rule)
        return rule

    def trainer(self):
        constraint = self.constraints[0] if len(self.constraints) == 1 else self.constraints or None
        return Trainer(self.network(), self.loss, self.optimizer(), self.clip, constraint=constraint)

    def __str__(self):
        return (
            f"check({self.seed}): {self.dtype}, {self.threads} threads, {self.layers}, {self.loss}, "
            f"{self.name} in {self.wrappers}, clip={self.clip}, constraint={self.constraints}, "
            f"frozen={self.frozen}, {self.options}, {[action.__name__ for action in self.actions]}"
        )


# ---- What is promised ----


def multiplied(layer, position, values):
    """The weight that multiplies x, in float64; of a layer with spectral_norm what is divided, which has its
    signs and zeros."""
    weight = values[f"{position}.weight"].astype(np.float64)
    if not getattr(layer, "weight_norm", False):
        return weight
    lengths = np.linalg.norm(weight, axis=0)
    scale = np.divide(values[f"{position}.magnitude"], lengths, out=np.zeros(len(lengths)), where=lengths > 0)
    return weight * scale


class Run:
    """A configuration's trainer, and what must be true of it."""

    def __init__(self, configuration, folder, look=True):
        self.configuration = configuration
        self.draw = random.Random(configuration.seed + 1)
        self.data = np.random.default_rng(configuration.seed)
        self.folder = folder
        self.look = look
        self.count = 0
        self.trainer = configuration.trainer()
        self.fresh = configuration.network()
        self.adopt_frozen(configuration.frozen)

    # data

    def batch(self, rows=None):
        rows = self.draw.randrange(2, ROWS) if rows is None else rows
        x = self.data.normal(size=(rows, COLUMNS)).astype(self.configuration.dtype)
        if self.configuration.codes:
            x[:, 1] = self.data.integers(0, CODES, rows)
        y = self.data.normal(size=(rows, 3)).astype(self.configuration.dtype)
        labels = self.data.integers(0, 3, rows)
        if self.configuration.heads:
            return x, {"a": y[:, :2], "b": labels}
        return x, labels if self.configuration.labels else y

    # frozen

    def adopt_frozen(self, patterns):
        """The parameters that patterns hold, and what goes with them: see `optimizers.Group`."""
        names = self.configuration.names
        held = {name for name in names if any(fnmatch.fnmatchcase(name, one) for one in patterns)}
        held -= {"0.mean", "0.inverse_std"}
        for name in names:
            place, _, role = name.rpartition(".")
            own = [f"{place}.{one}" for one in ("gamma", "beta") if f"{place}.{one}" in names]
            if role in ("running_mean", "running_var", "batches"):
                beside = [f"{place}.{one}" for one in ("running_mean", "running_var", "batches")]
                if (own and all(one in held for one in own)) or any(one in held for one in beside):
                    held.add(name)
            if role in ("left", "right") and f"{place}.weight" in held:
                held.add(name)
        self.held = sorted(held)
        self.remember()

    def remember(self):
        """Frozen parameters have been set by hand: they are now these."""
        values = self.trainer.net.parameters()
        self.first = {name: values[name] for name in self.held}

    # promises

    def updates(self):
        core, every = self.trainer._state.core, 1
        for average in self.trainer.optimizer.averages():
            every *= average.every if average.kind == "accumulate" else 1
        return 0 if core is None else core.updates // every

    def nets(self):
        yield "net", self.trainer.net
        if self.trainer._state.averages:
            yield "averaged", self.trainer.averaged()

    def promised(self, net, what, of_averages=True):
        values = net.parameters()
        for name, value in values.items():
            assert np.isfinite(value).all(), f"{what}: {name} is not finite"
        for name, mask in self.trainer.masks().items():
            assert not values[name][~mask].any(), f"{what}: {name} is not 0 where it is masked"
        for name, first in self.first.items():
            assert same_bits(values[name], first), f"{what}: {name} is frozen and has moved"
        if self.updates():
            for rule in self.configuration.constraints:
                self.constrained(net, values, rule, what)

    def constrained(self, net, values, rule, what):
        masks, held = self.trainer.masks(), set(self.held)
        ulps = 8 * np.finfo(net.dtype).eps
        for name, value in values.items():
            position, _, role = name.rpartition(".")
            if any(position == one or position.startswith(f"{one}.") for one in rule.skip):
                continue
            keep = masks.get(name, np.ones(value.shape, bool))
            layer = net._model.places[position]
            if role == "weight":
                free = {name}
                normed = getattr(layer, "weight_norm", False)
                if normed:
                    free = {f"{position}.magnitude"}
                    if isinstance(rule, clipping.Box | clipping.NonNegative):
                        free.add(name)
                value = multiplied(layer, position, values)
                if free & held:
                    continue
            elif not (role == "bias" and getattr(rule, "biases", False)) or name in held:
                continue
            slack = ulps if role == "weight" and getattr(layer, "weight_norm", False) else 0.0
            self.kept_within(rule, value, keep, slack, ulps, f"{what}: {name}: {rule}")

    def kept_within(self, rule, value, keep, slack, ulps, what):
        if isinstance(rule, clipping.Box):
            bounds = np.array([rule.low, rule.high], self.configuration.dtype).astype(np.float64)
            low, high = bounds - slack * np.abs(bounds) * [1, -1]
            inside = (value >= low) & (value <= high)
            if slack:  # a column of zeros has no direction to be scaled along
                inside |= (value == 0).all(axis=0)
            assert inside[keep].all(), what
        elif isinstance(rule, clipping.NonNegative):
            assert (value[keep] >= 0).all(), what
        else:
            norms = np.linalg.norm(value.astype(np.float64), axis=0)
            limit = rule.max_norm if isinstance(rule, clipping.MaxNorm) else rule.norm
            assert (norms <= limit * (1 + ulps)).all(), f"{what}: {norms.max()}"
            if isinstance(rule, clipping.UnitNorm):
                assert ((norms >= limit * (1 - ulps)) | (norms == 0)).all(), f"{what}: {norms}"

    def check(self):
        """After an action."""
        if not self.look:
            return
        x, _ = self.batch_to_look_at()
        for what, net in self.nets():
            self.promised(net, what)
            self.fresh.set_parameters(net.parameters())
            shown, same = net.predict(x), self.fresh.predict(x)
            if not self.configuration.heads:
                shown, same = {"": shown}, {"": same}
            for head, value in shown.items():
                assert np.isfinite(value).all(), f"{what}: a prediction of {head!r} is not finite"
            assert_same(shown, same)
        self.count += 1
        if self.count % 3 == 0:
            other = copy.deepcopy(self.trainer)
            assert_same(other.net.parameters(), self.trainer.net.parameters())
            assert_same(other.masks(), self.trainer.masks())

    def batch_to_look_at(self):
        state = self.data.bit_generator.state
        rows = self.batch(5)
        self.data.bit_generator.state = state
        return rows


# ---- What is done ----


def step(run):
    for _ in range(run.draw.randrange(1, 4)):
        run.trainer.step(*run.batch())


def fit(run):
    """With what a fit can have, and with looks from inside of it."""
    trainer, draw = run.trainer, run.draw
    x, y = run.batch(ROWS)
    validation = draw.choice([None, 0.25, run.batch(8)])
    stop = None
    if draw.random() < 0.5:
        monitor = draw.choice([None, "loss", "val_loss"] if validation is not None else [None, "loss"])
        stop = callbacks.EarlyStopping(monitor, draw.randrange(1, 4), restore_best=draw.random() < 0.8)
    hooks = [Looks(run)]
    if draw.random() < 0.4:
        share = draw.choice([0.3, schedules.Polynomial(0.0, 0.7, 10, power=3)])
        held = {name.rpartition(".")[0] for name in run.held if name.endswith((".weight", ".magnitude"))}
        names = [name for name in run.configuration.names if name.endswith(".weight")]
        if any(name.rpartition(".")[0] not in held for name in names):
            scope = draw.choice(["global", "layer"])
            hooks.insert(0, pruning.Magnitude(share, every_steps=draw.randrange(1, 5), scope=scope))
    average = validation is not None and trainer._state.averages and draw.random() < 0.5
    size = None if run.configuration.method else draw.randrange(4, 16)
    trainer.fit(
        x, y, epochs=draw.randrange(1, 4), batch_size=size,
        validation=validation, shuffle=draw.random() < 0.8, early_stopping=stop, callbacks=hooks,
        progress=False, evaluate_averaged=bool(average),
    )  # fmt: skip


class Looks(callbacks.Callback):
    def __init__(self, run):
        self.run, self.every_steps = run, run.draw.choice([2, 5])

    def on_slice(self, trainer, reports):
        if self.run.look:
            for what, net in self.run.nets():
                self.run.promised(net, f"{what} in a fit")


class Stop(Exception):
    pass


class Interrupts(callbacks.Callback):
    every_steps = 1

    def __init__(self, count):
        self.count = count

    def on_slice(self, trainer, reports):
        self.count -= 1
        if self.count <= 0:
            raise Stop


def interrupted_fit(run):
    """And finished by the trainer, or by a copy of it from a file, or not at all."""
    x, y = run.batch(ROWS)
    arguments = {
        "epochs": 3, "batch_size": None if run.configuration.method else 10, "progress": False,
        "early_stopping": run.draw.choice([None, 2]),
    }  # fmt: skip
    try:
        run.trainer.fit(x, y, callbacks=[Interrupts(run.draw.randrange(1, 8))], **arguments)
    except Stop:
        run.check()
        how = run.draw.randrange(3)
        if how == 0:
            run.trainer.fit(x, y, resume=True, **arguments)
        elif how == 1:
            other = reloaded(run)
            other.fit(x, y, **arguments)
            run.trainer.fit(x, y, resume=True, **arguments)
            same_trainers(run, other)
        else:
            run.trainer.abandon_fit()


def overflow(run):
    """A step that is skipped."""
    x, y = run.batch()
    run.trainer.step(*run.batch())
    skipped = run.trainer.skipped
    x[0, 0] = np.nan
    run.trainer.step(x, y)
    assert run.trainer.skipped == skipped + 1


def set_parameters(run):
    values = run.trainer.net.parameters()
    some = [name for name in values if run.draw.random() < 0.5 and name not in ("0.mean", "0.inverse_std")]
    given = {}
    for name in some:
        value = values[name] * 1.1 + run.data.normal(size=values[name].shape) * 0.1
        given[name] = np.abs(value) if name.endswith(("running_var", "batches")) else value
        if name.endswith("batches"):
            given[name] = np.round(given[name])
    run.trainer.net.set_parameters(given)
    run.remember()  # what is frozen may be set by hand


def set_masks(run):
    kind = run.draw.random()
    net = run.trainer.net
    if kind < 0.15:
        masks = {}
    elif kind < 0.5:
        scope = run.draw.choice(["global", "layer"])
        masks = pruning.magnitude_masks(net, run.draw.choice([0.3, 0.6]), scope=scope)
    else:
        values = net.parameters()
        some = [name for name in run.configuration.trainable if run.draw.random() < 0.4]
        masks = {name: run.data.random(values[name].shape) < run.draw.choice([0.5, 0.9]) for name in some}
        for name in some:
            if masks[name].ndim == 2 and run.draw.random() < 0.3:
                masks[name][:, 0] = False
    run.trainer.set_masks(masks)
    assert run.trainer.masks().keys() == masks.keys()
    run.remember()  # what is frozen may be set by hand


def reloaded(run, **changes):
    """The trainer from a file or a pickle, with other threads, or its twin."""
    kind = run.draw.random()
    if kind < 0.4 or changes:
        path = run.folder / f"{run.configuration.seed}"
        run.trainer.save(path)
        return Trainer.load(path, threads=run.draw.randrange(1, 4), **changes)
    if kind < 0.5:
        return pickle.loads(pickle.dumps(run.trainer))
    return copy.deepcopy(run.trainer) if kind < 0.6 else run.trainer.branch()


def same_trainers(run, other):
    assert_same(other.net.parameters(), run.trainer.net.parameters())
    if run.trainer._state.averages:
        assert_same(other.averaged().parameters(), run.trainer.averaged().parameters())


def save_and_load(run):
    """Both go on for a while, and one of them goes on from there."""
    other = reloaded(run)
    same_trainers(run, other)
    if run.configuration.method:
        x, y = run.batch(ROWS)
        for each in (run.trainer, other):
            each.fit(x, y, epochs=2, progress=False)
    else:
        for _ in range(run.draw.randrange(1, 4)):
            batch = run.batch()
            for each in (run.trainer, other):
                each.step(*batch)
            same_trainers(run, other)
        x, y = run.batch(ROWS)
        if run.draw.random() < 0.5:
            for each in (run.trainer, other):
                each.fit(x, y, epochs=1, batch_size=9, progress=False)
    same_trainers(run, other)
    if run.draw.random() < 0.5:
        run.trainer = other


def freeze(run):
    """From a file, with others frozen."""
    patterns = run.configuration.to_freeze(run.draw) if not run.configuration.method else ["*"]
    if run.configuration.method:
        with pytest.raises(errors.ArgumentError, match="frozen"):
            reloaded(run, frozen=patterns)
        return
    run.trainer = reloaded(run, frozen=patterns)
    run.adopt_frozen(patterns)


def save_net(run):
    path = run.folder / f"{run.configuration.seed}-net"
    run.trainer.net.save(path)
    assert_same(Network.load(path).parameters(), run.trainer.net.parameters())


def look_around(run):
    """What changes nothing."""
    before = run.trainer.net.parameters()
    batch = run.batch()
    run.trainer.evaluate(*batch)
    run.trainer.gradients(*batch)
    after = run.trainer.net.parameters()
    assert_same(after, before)


ACTIONS = (
    step, step, step, fit, fit, fit, interrupted_fit, overflow, set_parameters, set_masks, set_masks,
    save_and_load, save_and_load, freeze, save_net, look_around,
)  # fmt: skip
FOR_WHOLE_DATA = {step: fit, overflow: fit}


@contextmanager
def named(configuration, done):
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{configuration}\nafter {done}: {type(error).__name__}: {error}") from error


def perform(run, done):
    run.check()
    for action in run.configuration.actions:
        if run.configuration.method:
            action = FOR_WHOLE_DATA.get(action, action)
        done.append(action.__name__)
        action(run)
        run.check()


def check(seed, folder):
    """One configuration: "trained", or the message of the typed error that refused it."""
    configuration = Configuration(seed)
    done = []
    with warnings.catch_warnings(), np.errstate(all="ignore"), named(configuration, done):
        warnings.simplefilter("ignore")
        try:
            run = Run(configuration, folder)
        except errors.GradcoreError as error:
            return f"{type(error).__name__}: {error}"
        perform(run, done)
        if seed % 4 == 0:
            other = Run(configuration, folder, look=False)
            perform(other, done)
            assert_same(other.trainer.net.parameters(), run.trainer.net.parameters())
    return "trained"


def block(seeds, folder):
    """Most of them are trained; others are refused as what is not to be had, and nothing fails."""
    found = Counter(check(seed, folder) for seed in seeds)
    assert found["trained"] > 0.75 * len(seeds), found


@pytest.mark.parametrize(
    "first", [*range(0, 56, 8), *(pytest.param(at, marks=pytest.mark.slow) for at in range(56, 120, 8))]
)
def test_promises_hold_in_a_sample(first, tmp_path):
    block(range(first, first + 8), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 3200, 100))
def test_promises_hold(first, tmp_path):
    block(range(first, first + 100), tmp_path)


@pytest.mark.skipif("GRADCORE_PROMISES" not in os.environ, reason="GRADCORE_PROMISES has no seed")
def test_one_by_hand(tmp_path):
    assert check(int(os.environ["GRADCORE_PROMISES"]), tmp_path) == "trained"


def test_every_axis_is_in_the_sample():
    sample = [Configuration(seed) for seed in range(120)]
    assert {one.name for one in sample} >= {*classes()}
    assert {one.method for one in sample} >= {"LBFGS", "ConjugateGradient", "NewtonCG"}
    assert {wrapper for one in sample for wrapper in one.wrappers} == {*WRAPPERS}
    assert {str(rule) for one in sample for rule in one.constraints} == {
        str(rule) for rules in CONSTRAINTS for rule in rules
    }
    assert {action for one in sample for action in one.actions} == {*ACTIONS}
    assert {(one.dtype, one.threads) for one in sample if not one.method} == {
        (dtype, threads) for dtype in ("float32", "float64") for threads in (1, 2, 3)
    }
