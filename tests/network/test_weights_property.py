"""Random networks: after every public function that touches weights, what multiplies x is what NumPy says."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from gradcore import (
    Activation,
    ArgumentError,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Heads,
    LayerNorm,
    Maxout,
    Network,
    Residual,
    Standardize,
    StateError,
    Trainer,
    clipping,
    health,
    initializers,
    losses,
    optimizers,
    pruning,
)
from oracle.clipping import max_norm, unit_norm
from oracle.effective import effectives

SAMPLE, ALL = range(24), range(24, 400)
OPTIONS = [{}, {"weight_norm": True}, {"weight_norm": True}, {"spectral_norm": True}]
CODES = 5


def pytest_generate_tests(metafunc):
    """Every test meets a sample of the networks, and all of them with --long."""
    if "seed" in metafunc.fixturenames:
        more = [pytest.param(seed, marks=pytest.mark.long) for seed in ALL]
        metafunc.parametrize("seed", [*SAMPLE, *(more if metafunc.config.getoption("--long") else ())])


class Case:
    """A random network, rows for it, and a loss."""

    def __init__(self, seed, spectral=True):
        self.rng = rng = np.random.default_rng(seed)
        self.dtype = str(rng.choice(["float32", "float64"]))
        self.options = OPTIONS if spectral else OPTIONS[:3]
        self.inputs = int(rng.integers(3, 20))
        layers = []
        self.has_codes = rng.random() < 0.3
        if rng.random() < 0.3:
            layers.append(Standardize())
        if self.has_codes:
            layers.append(Embedding({1: (CODES, 3)}))
        for _ in range(int(rng.integers(1, 5))):
            layers += self.some()
        self.outputs = int(rng.choice([1, 2, 3, 17]))
        if rng.random() < 0.3:
            last = Heads({"a": [self.dense(6), self.dense(self.outputs)], "b": self.dense(2)})
        else:
            last = self.dense(self.outputs)
        threads = int(rng.integers(1, 4))
        self.net = Network([*layers, last], self.inputs, seed=seed, dtype=self.dtype, threads=threads)
        self.x, self.y = self.rows(40)
        if isinstance(layers[0], Standardize):
            self.net.standardize(self.x)
        self.shake()
        self.bar = 1e-5 if self.dtype == "float32" else 1e-12

    def dense(self, units):
        activation = self.rng.choice([None, "tanh", "gelu", "relu"])
        penalty = losses.Elastic(1e-3, 1e-3) if self.rng.random() < 0.2 else None
        options = self.options[self.rng.integers(len(self.options))]
        bias = bool(self.rng.random() < 0.8)
        return Dense(units, activation and str(activation), bias=bias, penalty=penalty, **options)

    def some(self):
        width = int(self.rng.choice([2, 8, 16, 33]))
        kind = self.rng.integers(6)
        if kind == 0:
            return [Residual(self.dense(width), self.dense(9), projection=True)]
        if kind == 1:
            return [self.dense(width), Residual(LayerNorm(), self.dense(7), self.dense(width))]
        if kind == 2:
            return [self.dense(width), BatchNorm()]
        if kind == 3:
            return [Maxout(width)]
        return [self.dense(width), Dropout(0.1), Activation("tanh")]

    def rows(self, count):
        x = self.rng.normal(size=(count, self.inputs)).astype(self.dtype)
        if self.has_codes:
            x[:, 1] = self.rng.integers(0, CODES, count)
        y = self.rng.normal(size=(count, self.net.outputs)).astype(self.dtype)
        if self.net._model.heads:
            y = {name: y[:, first : first + width].copy() for name, first, width in self.net._model.heads}
        return x, y

    def shake(self):
        values = self.net.parameters()
        for name, value in values.items():
            if name.endswith(".magnitude"):
                values[name] = value * self.rng.choice([-1.5, 0.0, 0.5, 1.0, 2.0], value.shape)
            elif name.endswith((".bias", ".gamma")):
                values[name] = value + 0.2 * self.rng.normal(size=value.shape)
            elif name.endswith(".weight") and f"{name[:-6]}left" not in values and self.rng.random() < 0.3:
                value[:, self.rng.integers(value.shape[1])] = 0.0
        self.net.set_parameters(values)

    def trainer(self, optimizer=None, **more):
        loss = {name: "mse" for name, _, _ in self.net._model.heads} or "mse"
        return Trainer(self.net, loss, optimizer or optimizers.Adam(0.01), **more)

    def close(self, got, want, scale=1.0):
        assert list(got) == list(want)
        for name in want:
            size = np.abs(want[name]).max(initial=0.0)
            np.testing.assert_allclose(
                got[name],
                want[name],
                rtol=scale * self.bar,
                atol=scale * self.bar * (size + 1e-3),
                err_msg=name,
            )


def weights(net):
    return {name: w for name, w in net.effective_weights().items() if name.endswith(".weight")}


def predictions(net, x):
    found = net.predict(x)
    return found if isinstance(found, dict) else {"": found}


def plain(layer):
    """The layer and those inside it, storing what they multiply by."""
    if isinstance(layer, Dense):
        return replace(layer, weight_norm=False, spectral_norm=False)
    if isinstance(layer, Residual):
        return Residual(*map(plain, layer.layers), projection=layer.projection, gain=layer.gain)
    if isinstance(layer, Heads):
        return Heads({name: [plain(part) for part in layers] for name, layers in layer.branches})
    return layer


def twin(net):
    """The plain network with the effective weights."""
    made = Network([plain(layer) for layer in net.layers], net.inputs, dtype=net.dtype)
    values = net.parameters() | effectives(net)
    made.set_parameters({name: values[name] for name in made.parameters()})
    return made


def is_spectral(net, name):
    return name.replace(".weight", ".left") in net.parameters()


def test_a_plain_network_with_the_effective_weights_predicts_the_same(seed, tmp_path):
    case = Case(seed)
    net = case.net
    case.close(weights(net), effectives(net))
    case.close(predictions(net, case.x), predictions(twin(net), case.x), 30)
    case.trainer().step(case.x, case.y)
    case.close(weights(net), effectives(net))
    case.close(predictions(net, case.x), predictions(twin(net), case.x), 30)
    net.save(tmp_path / "net")
    for again in (Network.load(tmp_path / "net"), pickle.loads(pickle.dumps(net)), net.clone()):
        for name, weight in again.effective_weights().items():
            np.testing.assert_array_equal(weight, net.effective_weights()[name])
    x = case.rows(7)[0]
    case.close(predictions(net.fold_batchnorm(), x), predictions(net, x), 100)


def test_masks_and_magnitudes(seed):
    case = Case(seed)
    net, share = case.net, float(case.rng.uniform(0, 0.9))
    before = effectives(net)
    total = sum(w.size for w in before.values())
    masks = pruning.magnitude_masks(net, share)
    gone = np.concatenate([np.abs(before[name])[~mask] for name, mask in masks.items()])
    kept = np.concatenate([np.abs(before[name])[mask] for name, mask in masks.items()])
    assert len(gone) == int(share * total)
    assert not len(gone) or gone.max() <= kept.min() * (1 + case.bar)
    trainer = case.trainer()
    trainer.set_masks(masks)
    after = effectives(net)
    for name, mask in masks.items():
        want = np.where(mask, before[name], 0)
        if is_spectral(net, name) and want.any():  # one factor for what is left
            want *= (want * after[name]).sum() / (want * want).sum()
        np.testing.assert_allclose(after[name], want, rtol=20 * case.bar, atol=case.bar * np.abs(want).max())
    assert pruning.sparsity(net) >= int(share * total) / total
    trainer.fit(case.x, case.y, epochs=2, batch_size=16, progress=False)
    for name, mask in masks.items():
        assert not effectives(net)[name][~mask].any()


def test_units_that_leave(seed):
    case = Case(seed)
    net = case.net
    stored = net.parameters()
    for name, value in stored.items():
        if name.endswith(".weight") and case.rng.random() < 0.5:
            value[case.rng.random(value.shape[0]) < 0.3] = 0.0
    net.set_parameters(stored)
    case.close(predictions(pruning.compact(net), case.x), predictions(net, case.x), 50)
    before, x = effectives(net), case.rows(7)[0]
    try:
        small = pruning.shrink(net, 0.4)
    except ArgumentError as error:
        assert "spectral_norm" in str(error) and any(is_spectral(net, name) for name in before)
        return
    case.close(predictions(small, x), predictions(pruning.shrink(twin(net), 0.4), x), 50)


@pytest.mark.parametrize("call", [initializers.fixup, initializers.depth_scaled, initializers.lsuv])
def test_initial_values_of_whole_networks(seed, call):
    case = Case(seed, spectral=bool(seed % 3 == 0))
    net, other = case.net, twin(case.net)
    more = (case.x,) if call is initializers.lsuv else ()
    stored = net.parameters()
    try:
        found = call(net, *more)
    except ArgumentError as error:
        assert "spectral_norm" in str(error) or "Heads" in str(error)
        for name, value in net.parameters().items():
            np.testing.assert_array_equal(value, stored[name])
        return
    except StateError:  # no residual block, or a constant layer: so is the plain network's
        with pytest.raises(StateError):
            call(other, *more)
        return
    if call is not initializers.lsuv:  # which draws by the parameters' numbers, others in a plain network
        assert found == call(other, *more)
        case.close(weights(net), weights(other))
    for name, value in net.parameters().items():
        if name.endswith(".magnitude"):  # no column that could train has become one that cannot
            weight = name.replace("magnitude", "weight")
            before, after = (np.linalg.norm(v[weight], axis=0) for v in (stored, net.parameters()))
            assert after[(value == 0) & (before > 0)].all()


RULES = [
    (clipping.MaxNorm(0.7), lambda w: max_norm(w, 0.7)),
    (clipping.UnitNorm(1.5), lambda w: unit_norm(w) * 1.5),
    (clipping.Box(-0.15, 0.1), lambda w: np.clip(w, -0.15, 0.1)),
    (clipping.NonNegative(), lambda w: np.maximum(w, 0)),
]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("constraint", "oracle"), RULES, ids=[repr(rule) for rule, _ in RULES])
def test_rules_on_weights(seed, constraint, oracle):
    case = Case(seed)
    spectral = {name.rpartition(".")[0] for name in effectives(case.net) if is_spectral(case.net, name)}
    if spectral and not isinstance(constraint, clipping.NonNegative):
        with pytest.raises(ArgumentError, match="spectral_norm"):
            case.trainer(constraint=constraint)
        constraint = replace(constraint, skip=tuple(sorted(spectral)))
    free, bound = Case(seed), case
    free.trainer().step(free.x, free.y)
    bound.trainer(constraint=constraint).step(bound.x, bound.y)
    got = effectives(bound.net)
    for name, weight in effectives(free.net).items():
        ruled = name.rpartition(".")[0] not in constraint.skip
        if is_spectral(bound.net, name) and ruled:
            assert got[name].min() >= 0
            continue
        want = oracle(weight) if ruled else weight
        np.testing.assert_allclose(got[name], want, rtol=20 * case.bar, atol=20 * case.bar, err_msg=name)
    case.close(predictions(bound.net, case.x), predictions(twin(bound.net), case.x), 30)


def test_penalties_and_looking(seed):
    case = Case(seed)
    net, trainer = case.net, case.trainer()
    want = 0.0
    for name, weight in effectives(net).items():
        layer = net._model.places[name.rpartition(".")[0]]
        if getattr(layer, "penalty", None) is not None:
            want += 1e-3 * (np.abs(weight).sum() + (weight**2).sum())
    other = Network([plain(layer) for layer in net.layers], net.inputs, dtype=net.dtype)
    other.set_parameters(twin(net).parameters())
    same = Trainer(other, trainer.loss, optimizers.SGD(0.1))
    assert net._core.penalty() == pytest.approx(want, rel=case.bar * 30)
    assert other._core.penalty() == pytest.approx(want, rel=case.bar * 30)
    got, plain_scores = (one.evaluate(case.x, case.y)["loss"] for one in (trainer, same))
    assert got == pytest.approx(plain_scores, rel=case.bar * 30)
    for row in health.gradient_flow(trainer, case.x, case.y):
        weight = effectives(net)[f"{row.name}.weight"]
        assert row.weight_norm == pytest.approx(np.linalg.norm(weight), rel=case.bar * 10)
