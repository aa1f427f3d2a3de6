"""Every row of the tables and every rule on gradients or weights: one golden hash for any number of threads
and every instruction set. A new row without a hash fails. The hashes are those of numerics version 2; see
test_reproducible.py, and test_optimizer_training.py for the optimizers."""

import functools
import math

import golden
import gradcore
import numpy as np
import pytest
from gradcore import Trainer, _core, clipping, losses, optimizers
from support import cases, digest, exact_labels, exact_uniform, in_turn, ways
from support.clip_problem import statistics

THREADS = {"float32": (1, 3), "float64": (8, 2)}
INPUTS, OUTPUTS, ROWS, BATCH, STEPS = 70, 10, 384, 128, 6

LAYERS = {
    "dense": [cases.dense(96, "relu")],
    "activation": [cases.dense(96), cases.activation("tanh")],
    "dropout": [cases.dense(96, "relu"), cases.dropout(0.3)],
    "standardize": [cases.standardize(), cases.dense(96, "relu")],
    "residual": [cases.dense(96), cases.residual(cases.dense(96, "gelu"), projection=True, gain=0.5)],
    "layer_scale": [cases.dense(96), cases.layer_scale(0.1)],
    "alpha_dropout": [cases.dense(96, "selu"), cases.alpha_dropout(0.2)],
    "gaussian_noise": [cases.gaussian_noise(0.1), cases.dense(96, "relu")],
    "weight_norm": [cases.dense(96, "relu", weight_norm=True)],
    "spectral_norm": [cases.dense(96, "relu", spectral_norm=True)],
    "embedding": [],  # a class of its own, in `trainer_of`
    "layer_norm": [cases.dense(96), cases.layer_norm(), cases.activation("relu")],
    "batch_norm": [cases.dense(96), cases.batch_norm(), cases.activation("relu")],
    "rms_norm": [cases.dense(96), cases.rms_norm(), cases.activation("relu")],
    "glu": [cases.dense(96), cases.glu("silu")],
    "maxout": [cases.maxout(96, 2)],
    "prelu": [cases.dense(96), cases.prelu()],
}
OWN = ("heads", *cases.BRACKETS)  # heads have hashes of their own, in test_heads_reproducible.py
LAYERS |= {
    kind: [cases.dense(96), cases.example(kind), cases.activation("relu")]
    for kind in _core.names("layer")
    if kind not in (*LAYERS, *OWN)
}
CLIPS = {
    "Adaptive": clipping.Adaptive(0.01),
    "AutoClip": clipping.AutoClip(40.0),
    "ByValue": clipping.ByValue(0.002),
    "Centralize": clipping.Centralize(),
    "GlobalNorm": clipping.GlobalNorm(0.5),
    "GlobalNorm 1": clipping.GlobalNorm(0.5, order=1),
    "GlobalNorm inf": clipping.GlobalNorm(0.01, order=math.inf),
    "Noise": clipping.Noise(0.001),
    "PerExample": clipping.PerExample(0.5),
    "TensorNorm": clipping.TensorNorm(0.1),
    "ZClip": clipping.ZClip(threshold=0.5, warmup=2),
}
CLIPS |= {type(rule).__name__: rule for rule in statistics() if type(rule).__name__ not in CLIPS}
CONSTRAINTS = {
    "Box": clipping.Box(-0.1, 0.2),
    "MaxNorm": clipping.MaxNorm(0.5),
    "NonNegative": clipping.NonNegative(),
    "UnitNorm": clipping.UnitNorm(),
}


def rows():
    """(family, name) of all that must have a hash; of the rules, their classes' names."""
    found = [(family, name) for family in ("activation", "layer", "loss") for name in _core.names(family)]
    for base in (clipping.Clip, clipping.Constraint):
        kinds = [getattr(clipping, name) for name in clipping.__all__]
        family = base.__name__.lower()
        found += [(family, kind.__name__) for kind in kinds if issubclass(kind, base) and kind is not base]
    return [(family, name) for family, name in found if family != "layer" or name not in OWN]


CASES = [
    *[("activation", name) for name in _core.names("activation")],
    *[("layer", name) for name in LAYERS],
    *[("loss", name) for name in _core.names("loss")],
    *[("clip", name) for name in CLIPS],
    *[("constraint", name) for name in CONSTRAINTS],
]


@pytest.mark.quick
def test_every_row_and_rule_has_hashes():
    held = {(family, name.partition(" ")[0]) for family, name in CASES}
    missing = set(rows()) - held
    assert not missing, f"{missing}: write them into CLIPS or CONSTRAINTS in {__file__}"
    assert not held - set(rows())


def target_of(name, dtype):
    """Labels, one of them as numbers, or values in [0, 1), as the loss wants them."""
    kind, labels = _core.describe("loss", name, "target").lower(), exact_labels(ROWS, OUTPUTS, 2)
    if kind == "labels" and name != "kl_divergence":
        return labels.astype(np.int32)
    if name in ("kl_divergence", "hinge", "squared_hinge", "binary_cross_entropy", "binary_focal"):
        return np.eye(OUTPUTS, dtype=dtype)[labels]
    return np.abs(exact_uniform((ROWS, OUTPUTS // (2 if kind == "halves" else 1)), dtype, 2))


def trainer_of(family, name, dtype, **more):
    layers = [cases.dense(96, "relu"), cases.dense(64, "gelu")]
    if family == "activation":
        layers = [cases.dense(96, name), cases.activation("tanh"), cases.activation(name)]
    elif family == "layer":
        layers = LAYERS[name]
    net = cases.network(gradcore, [*layers, cases.dense(OUTPUTS)], INPUTS, seed=11, dtype=dtype, **more)
    if name == "embedding":
        first = [gradcore.Embedding({0: (16, 8), 3: (16, 5)}), gradcore.Dense(OUTPUTS)]
        net = gradcore.Network(first, inputs=INPUTS, seed=11, dtype=dtype, **more)
    loss = losses.get(name if family == "loss" else "cross_entropy")
    rules = {"clip": CLIPS, "constraint": CONSTRAINTS}
    options = {family: rules[family][name]} if family in rules else {}
    return Trainer(net, loss, optimizers.SGD(0.05, momentum=0.9), **options)


@functools.lru_cache
def trained_hash(family, name, dtype, threads, isa):
    trainer = trainer_of(family, name, dtype, threads=threads, isa=isa)
    x = exact_uniform((ROWS, INPUTS), dtype, 1)
    y = target_of(name if family == "loss" else "cross_entropy", dtype)
    if name == "embedding":
        x[:, [0, 3]] = np.floor(8 * x[:, [0, 3]] + 8)
    if name == "standardize":
        trainer.net.standardize(x)
    before = digest(trainer.net.parameters())
    for step in range(STEPS):
        at = slice(step % 3 * BATCH, (step % 3 + 1) * BATCH)
        trainer.step(x[at], y[at])
    assert trainer.skipped == 0
    assert digest(trainer.net.parameters()) != before
    return digest({**trainer.net.parameters(), "predictions": trainer.net.predict(x[:50])})


GOLDEN = golden.table(
    "rows",
    [(*case, dtype) for case in CASES for dtype in ("float32", "float64")],
    lambda *case: trained_hash(*case, None, None),
)


@pytest.mark.parametrize(("family", "name"), CASES)
@pytest.mark.quick
def test_threads_and_instruction_sets_give_the_golden_hash(dtype, family, name):
    found = {way: trained_hash(family, name, dtype, *way) for way in ways(THREADS[dtype], scalar=False)}
    assert set(found.values()) == {GOLDEN[family, name, dtype]}, found


@pytest.mark.parametrize(("case", "dtype"), in_turn(CASES))
@pytest.mark.quick
def test_the_scalar_kernels_give_the_golden_hash(case, dtype):
    assert trained_hash(*case, dtype, 3, "scalar") == GOLDEN[*case, dtype]
