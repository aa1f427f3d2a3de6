"""Every row of the tables and every rule on gradients or weights: one golden hash for any number of threads
and every instruction set. A new row without a hash fails. The hashes are those of numerics version 2; see
test_reproducible.py, and test_optimizer_training.py for the optimizers."""

import functools
import math

import cases
import gradcore
import numpy as np
import pytest
import test_heads_reproducible
from gradcore import Trainer, _core, clipping, losses, optimizers
from support import digest, exact_labels, exact_uniform

THREADS = range(1, 9)
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
CONSTRAINTS = {
    "Box": clipping.Box(-0.1, 0.2),
    "MaxNorm": clipping.MaxNorm(0.5),
    "NonNegative": clipping.NonNegative(),
    "UnitNorm": clipping.UnitNorm(),
}

GOLDEN = {
    ("activation", "identity", "float32"): "e8a6351a902ed06e",
    ("activation", "identity", "float64"): "b0b6278b292238d1",
    ("activation", "relu", "float32"): "f396ebf8f8608aa9",
    ("activation", "relu", "float64"): "0601dafe05993ca9",
    ("activation", "leaky_relu", "float32"): "98930e92d156601b",
    ("activation", "leaky_relu", "float64"): "a68e6906a127b002",
    ("activation", "tanh", "float32"): "0c2a3d694e2999a9",
    ("activation", "tanh", "float64"): "50d1464276552fa1",
    ("activation", "sigmoid", "float32"): "b7ec2faa82de519b",
    ("activation", "sigmoid", "float64"): "b272c6e922e3172b",
    ("activation", "elu", "float32"): "19b770a3aea86c08",
    ("activation", "elu", "float64"): "2cf113acbf72ccf0",
    ("activation", "selu", "float32"): "a108d61eb941ae09",
    ("activation", "selu", "float64"): "9d8cc7ab41439868",
    ("activation", "gelu", "float32"): "294e085b16bb2a2e",
    ("activation", "gelu", "float64"): "6c8750b2e07b4261",
    ("activation", "silu", "float32"): "7919f761fecfdade",
    ("activation", "silu", "float64"): "8d53d97d5b4e8c94",
    ("activation", "softplus", "float32"): "b1ea09b7001b1c69",
    ("activation", "softplus", "float64"): "206749a53c202c90",
    ("activation", "celu", "float32"): "19b770a3aea86c08",
    ("activation", "celu", "float64"): "2cf113acbf72ccf0",
    ("activation", "gelu_tanh", "float32"): "aad4c79646b15062",
    ("activation", "gelu_tanh", "float64"): "81a38ba5b332e009",
    ("activation", "mish", "float32"): "7c91feee20f3bc6b",
    ("activation", "mish", "float64"): "842b18f36fabd5cc",
    ("activation", "hard_swish", "float32"): "18248ded567f86b6",
    ("activation", "hard_swish", "float64"): "49392c7b938361b8",
    ("activation", "hard_sigmoid", "float32"): "2b2ae43f973311e6",
    ("activation", "hard_sigmoid", "float64"): "1af84011e43b667a",
    ("activation", "hard_tanh", "float32"): "e3ed30a9e62ecad9",
    ("activation", "hard_tanh", "float64"): "c0920f6b2df50f4f",
    ("activation", "relu6", "float32"): "f396ebf8f8608aa9",
    ("activation", "relu6", "float64"): "0601dafe05993ca9",
    ("activation", "softsign", "float32"): "cadaef9f886a4345",
    ("activation", "softsign", "float64"): "43f74e04435df6fd",
    ("activation", "log_sigmoid", "float32"): "a6b2eaa29d465197",
    ("activation", "log_sigmoid", "float64"): "23859083fc2468f1",
    ("activation", "exponential", "float32"): "28d8549d25750bbd",
    ("activation", "exponential", "float64"): "a01344a94d1e5302",
    ("activation", "sin", "float32"): "f939acfd152af1f8",
    ("activation", "sin", "float64"): "56427356d3e9bfe9",
    ("activation", "squareplus", "float32"): "474240de320193a7",
    ("activation", "squareplus", "float64"): "9bc48a72412c43ab",
    ("activation", "gaussian", "float32"): "ff80a4337b2b8107",
    ("activation", "gaussian", "float64"): "fc9ddd91c7340b92",
    ("layer", "dense", "float32"): "2324f0a9acc6e961",
    ("layer", "dense", "float64"): "050a9156b2c57c05",
    ("layer", "activation", "float32"): "74f914877f2af0b4",
    ("layer", "activation", "float64"): "602bc08d9ceed95a",
    ("layer", "dropout", "float32"): "dc6efe26d98a9fde",
    ("layer", "dropout", "float64"): "2db48c5b9cecbda3",
    ("layer", "standardize", "float32"): "07340731c51a304a",
    ("layer", "standardize", "float64"): "da9793f400108415",
    ("layer", "residual", "float32"): "c0eb622309b87730",
    ("layer", "residual", "float64"): "e965ad4affdc6b32",
    ("layer", "layer_scale", "float32"): "99c6579da87c1f37",
    ("layer", "layer_scale", "float64"): "a7d3c66898316001",
    ("layer", "alpha_dropout", "float32"): "180a375874ef3681",
    ("layer", "alpha_dropout", "float64"): "c017c838d9cb528d",
    ("layer", "gaussian_noise", "float32"): "9e0ca53709bdab59",
    ("layer", "gaussian_noise", "float64"): "e96163301f3307b5",
    ("layer", "weight_norm", "float32"): "0ed3aab97bc6d80c",
    ("layer", "weight_norm", "float64"): "07545125999c7066",
    ("layer", "spectral_norm", "float32"): "090701546203c22c",
    ("layer", "spectral_norm", "float64"): "6170a5d207c2b81f",
    ("layer", "embedding", "float32"): "6052b18b4577c598",
    ("layer", "embedding", "float64"): "850a7fe0bcbb3499",
    ("layer", "layer_norm", "float32"): "1a867668f895f896",
    ("layer", "layer_norm", "float64"): "f0cf90f05a3ffef5",
    ("layer", "batch_norm", "float32"): "dce9e44a32259a8c",
    ("layer", "batch_norm", "float64"): "2ab222faa851e4bd",
    ("layer", "rms_norm", "float32"): "79848642dd5bcaea",
    ("layer", "rms_norm", "float64"): "5a21f9463b8e62f8",
    ("layer", "glu", "float32"): "8b6eee3720ca2ec0",
    ("layer", "glu", "float64"): "1956a587adcab469",
    ("layer", "maxout", "float32"): "2a45b63c9d12fdbe",
    ("layer", "maxout", "float64"): "56fcd7b1cba975f0",
    ("layer", "prelu", "float32"): "dfc6774f467b078f",
    ("layer", "prelu", "float64"): "3571cbb813a1460e",
    ("loss", "mse", "float32"): "7cb2d839f0d2ce5e",
    ("loss", "mse", "float64"): "e0d1e9a3c6bac843",
    ("loss", "cross_entropy", "float32"): "c04dfbc2bc61823d",
    ("loss", "cross_entropy", "float64"): "300573651901b926",
    ("loss", "binary_cross_entropy", "float32"): "3b4dbe0ac6b147d7",
    ("loss", "binary_cross_entropy", "float64"): "8461aedeed59c62f",
    ("loss", "mae", "float32"): "052bc06c4f4c6ed6",
    ("loss", "mae", "float64"): "f5c3d3c98e0a9897",
    ("loss", "huber", "float32"): "1bc19449f8cf785e",
    ("loss", "huber", "float64"): "39c0ba07d2a899db",
    ("loss", "smooth_l1", "float32"): "1bc19449f8cf785e",
    ("loss", "smooth_l1", "float64"): "39c0ba07d2a899db",
    ("loss", "log_cosh", "float32"): "c714559802c3813d",
    ("loss", "log_cosh", "float64"): "be34d0a49c2d1c39",
    ("loss", "quantile", "float32"): "af278246288d0355",
    ("loss", "quantile", "float64"): "e391dec5c298b688",
    ("loss", "poisson", "float32"): "f2dca6b50ac8f369",
    ("loss", "poisson", "float64"): "3a69adc5f2aa2c1b",
    ("loss", "gaussian_nll", "float32"): "492d7702cfd02e20",
    ("loss", "gaussian_nll", "float64"): "7afce63221369fbc",
    ("loss", "cosine", "float32"): "577c28066fa73e39",
    ("loss", "cosine", "float64"): "7e851fcde839bab7",
    ("loss", "hinge", "float32"): "3eb1a7a8f9e160f6",
    ("loss", "hinge", "float64"): "e35c994ad8117081",
    ("loss", "squared_hinge", "float32"): "37f626d596bb02c5",
    ("loss", "squared_hinge", "float64"): "34ff48a13a5d33b6",
    ("loss", "binary_focal", "float32"): "129fa4267bfe6b3f",
    ("loss", "binary_focal", "float64"): "900b7d018e8e950d",
    ("loss", "focal", "float32"): "03a74aa39d08aeef",
    ("loss", "focal", "float64"): "8e6d604d35df8ba5",
    ("loss", "kl_divergence", "float32"): "0c6642c1bc27a5b4",
    ("loss", "kl_divergence", "float64"): "669ee2b1c3b9e7a4",
    ("clip", "Adaptive", "float32"): "b8cfec5432b6ab7f",
    ("clip", "Adaptive", "float64"): "c2391d5c08120fd0",
    ("clip", "AutoClip", "float32"): "24915d14c6861224",
    ("clip", "AutoClip", "float64"): "9361581d754ea318",
    ("clip", "ByValue", "float32"): "39751d4b3820663b",
    ("clip", "ByValue", "float64"): "897aed75dcfa869c",
    ("clip", "Centralize", "float32"): "472be43b35285681",
    ("clip", "Centralize", "float64"): "e22f4bf368c2a056",
    ("clip", "GlobalNorm", "float32"): "8f7beb29baf0d217",
    ("clip", "GlobalNorm", "float64"): "a8087da8e4b7bcf2",
    ("clip", "GlobalNorm 1", "float32"): "2c8ca7de712c8345",
    ("clip", "GlobalNorm 1", "float64"): "55a669fee5c3e07b",
    ("clip", "GlobalNorm inf", "float32"): "e7197a3d15e27a3a",
    ("clip", "GlobalNorm inf", "float64"): "0400fe5b8216e022",
    ("clip", "Noise", "float32"): "f680d4492265f0a0",
    ("clip", "Noise", "float64"): "8e1aca4f5d79f16b",
    ("clip", "PerExample", "float32"): "b1442b53086006b2",
    ("clip", "PerExample", "float64"): "0ab16707fbb7dc6c",
    ("clip", "TensorNorm", "float32"): "b652fe7a6ec96ab4",
    ("clip", "TensorNorm", "float64"): "40554c9937466ecc",
    ("clip", "ZClip", "float32"): "c04dfbc2bc61823d",
    ("clip", "ZClip", "float64"): "300573651901b926",
    ("constraint", "Box", "float32"): "0cc51b783bfedba6",
    ("constraint", "Box", "float64"): "5d72e17a43e69f39",
    ("constraint", "MaxNorm", "float32"): "a8e05ad67c249dbc",
    ("constraint", "MaxNorm", "float64"): "463845f61d459922",
    ("constraint", "NonNegative", "float32"): "53268c508bfc37be",
    ("constraint", "NonNegative", "float64"): "9e8637db1af1f064",
    ("constraint", "UnitNorm", "float32"): "ba8afaf5d2f536bc",
    ("constraint", "UnitNorm", "float64"): "2a8d9e4bc3727aa0",
}


def rows():
    """(family, name) of all that must have a hash; of the rules, their classes' names."""
    found = [(family, name) for family in ("activation", "layer", "loss") for name in _core.names(family)]
    for base in (clipping.Clip, clipping.Constraint):
        kinds = [getattr(clipping, name) for name in clipping.__all__]
        family = base.__name__.lower()
        found += [(family, kind.__name__) for kind in kinds if issubclass(kind, base) and kind is not base]
    return [(family, name) for family, name in found if family != "layer" or name not in cases.BRACKETS]


CASES = [
    *[("activation", name) for name in _core.names("activation")],
    *[("layer", name) for name in LAYERS],
    *[("loss", name) for name in _core.names("loss")],
    *[("clip", name) for name in CLIPS],
    *[("constraint", name) for name in CONSTRAINTS],
]


def test_every_row_and_rule_has_hashes():
    held = {(family, name.partition(" ")[0]) for family, name in CASES}
    held |= {("layer", "heads")} if test_heads_reproducible.GOLDEN else set()  # has hashes of its own
    assert held == set(rows())
    assert set(GOLDEN) == {(*case, dtype) for case in CASES for dtype in ("float32", "float64")}


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


@pytest.mark.parametrize(("family", "name"), CASES)
def test_threads_and_instruction_sets_give_the_golden_hash(dtype, family, name):
    found = {trained_hash(family, name, dtype, threads, None) for threads in THREADS}
    found |= {trained_hash(family, name, dtype, 3, isa) for isa in _core.names("isa")}
    assert found == {GOLDEN.get((family, name, dtype))}
