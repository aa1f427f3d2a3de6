"""Small files of every kind and what comes of them: written once, read by every later version.

They are what commit 879a2dd wrote, so nothing here changes with the catalogue, and they are not written
again. A later format gets a program and a folder of its own.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from gradcore import (
    GLU,
    Activation,
    AlphaDropout,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    GaussianNoise,
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
    initializers,
    losses,
    optimizers,
    pruning,
    schedules,
)
from support import StopAt, digest, exact_labels, exact_uniform

FOLDER = Path(__file__).parent / "old_files"
ROWS, BATCH, EPOCHS, STOP, INPUTS, OUTPUTS = 20, 6, 3, 6, 5, 4  # four steps an epoch: stopped in the second
FIRST_ORDER = """ADOPT LAMB LARS SGD SOAP AdEMAMix Adan AdaBelief Adadelta Adagrad Adam AdamW Adamax Lion
    Muon NAdam Prodigy RAdam RMSprop Rprop ScheduleFreeAdamW ScheduleFreeSGD Yogi""".split()
ACTIVATIONS = """identity relu leaky_relu tanh sigmoid elu selu gelu silu softplus celu gelu_tanh mish
    hard_swish hard_sigmoid hard_tanh relu6 softsign log_sigmoid exponential sin squareplus
    gaussian""".split()
INITIALIZERS = """Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform
    Normal Orthogonal Siren Sparse TruncatedNormal Uniform VarianceScaling""".split()
FULL_BATCH = ("LBFGS", "ConjugateGradient", "NewtonCG", "LevenbergMarquardt")

SCHEDULES = [
    schedules.Constant(0.01),
    schedules.Step(0.02, 4),
    schedules.MultiStep(0.02, [3, 8], 0.5),
    schedules.Piecewise([3, 8], [0.02, 0.01, 0.005], "linear"),
    schedules.Exponential(0.02, 0.5, 5, end_value=0.002),
    schedules.InverseTime(0.02, 0.5, 5),
    schedules.InverseSqrt(0.02, 4),
    schedules.Linear(0.02, 0.001, 10),
    schedules.Polynomial(0.02, 0.001, 5, 2.0, cycle=True),
    schedules.Cosine(0.02, 12, 0.001),
    schedules.WarmRestarts(0.02, 3, 0.001, 1.5, 0.9),
    schedules.OneCycle(0.02, 12),
    schedules.Cyclic(0.001, 0.02, 3, 2, "exp_range", 0.99),
    schedules.Warmup(schedules.Cosine(0.02, 10), 3, 0.001),
    schedules.Join([0.01, schedules.Linear(0.01, 0.001, 8)], [4]),
    schedules.Scale(schedules.Linear(0.2, 0.01, 12), 0.1),
    schedules.WarmupStableDecay(0.02, 12, 3, 4, shape="sqrt"),
    schedules.FlatCosine(0.02, 12, 0.5),
    schedules.Uniform(0.005, 0.02, 3),
    schedules.LogUniform(0.005, 0.02, 3),
    schedules.Walk(0.01, 0.1, 0.001, 0.1, 3),
    schedules.ReduceOnPlateau(0.02, patience=0, threshold=0.5, monitor="loss"),
]
CLIPS = [
    None,
    clipping.GlobalNorm(schedules.Linear(0.5, 0.1, 10), eps=1e-6),
    clipping.ByValue(0.05),
    clipping.TensorNorm(0.1, skip=("1",)),
    clipping.Adaptive(0.05),
    (clipping.Centralize(), clipping.GlobalNorm(0.5, order=1)),
    clipping.Noise(0.01),
    clipping.PerExample(0.3),
    clipping.AutoClip(40.0, window=5),
    clipping.ZClip(1.0, warmup=3),
]
CONSTRAINTS = [
    None,
    clipping.MaxNorm(1.0),
    clipping.Box(-0.4, 0.5, biases=True),
    None,
    clipping.UnitNorm(0.9),
    (clipping.NonNegative(skip=("0",)), clipping.MaxNorm(2.0)),
    None,
]
LOSSES = [
    losses.CrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0, 0.5, 1.0], ignore_index=-1),
    losses.MSE(),
    losses.MAE(),
    losses.Huber(0.5),
    losses.SmoothL1(0.5),
    losses.LogCosh(),
    losses.Quantile(0.8),
    losses.Poisson(full=True),
    losses.GaussianNLL(eps=0.01),
    losses.Cosine(),
    losses.Hinge(),
    losses.SquaredHinge(),
    losses.BinaryCrossEntropy(pos_weight=[1.0, 2.0, 0.5, 3.0]),
    losses.BinaryFocal(1.5, 0.3),
    losses.Focal(1.5, [1.0, 2.0, 0.5, 1.0]),
    losses.KLDivergence(),
]
OPTIONS = {
    "SGD": {"momentum": schedules.OneCycleMomentum(12), "nesterov": True},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Adam": {"amsgrad": True, "groups": [("0.*", {"lr_factor": 0.5}), ("*.bias", {"frozen": True})]},
    "AdamW": {"style": "keras"},
    "Muon": {"matrices": ["*.weight"], "adam_lr": 0.01},
    "SOAP": {"frequency": 3, "precondition_1d": True},
    "ScheduleFreeSGD": {"warmup": 4},
    "ScheduleFreeAdamW": {"warmup": 4, "power": 0.5},
    "Prodigy": {"safeguard": True},
    "LevenbergMarquardt": {"mu": 0.1},
    "LBFGS": {"history": 3},
    "NewtonCG": {"curvature": "gauss_newton"},
}
WRAPPED = {
    "EMA": lambda: optimizers.EMA(optimizers.Adam(0.01), schedules.Linear(0.5, 0.9, 10)),
    "SWA": lambda: optimizers.SWA(optimizers.SGD(0.02), start=2, every=2),
    "Lookahead": lambda: optimizers.Lookahead(optimizers.Adam(0.01), every=4, alpha=0.7),
    "Accumulate": lambda: optimizers.Accumulate(optimizers.Adam(0.01), 4),
    "SAM": lambda: optimizers.SAM(optimizers.SGD(0.02, momentum=0.9), 0.1, adaptive=True),
    "EMA of SAM": lambda: optimizers.EMA(optimizers.SAM(optimizers.Lion(0.01)), 0.9),
}


def inputs(dtype, rows=ROWS, columns=INPUTS):
    return exact_uniform((rows, columns), dtype, 1)


def target(loss, dtype, rows=ROWS):
    """Targets as a loss takes them, of a network with OUTPUTS outputs."""
    name = loss.name
    labels = exact_labels(rows, OUTPUTS, 2)
    if name in ("cross_entropy", "focal"):
        return np.where(labels == 3, -1, labels) if getattr(loss, "ignore_index", None) == -1 else labels
    if name in ("kl_divergence", "hinge", "squared_hinge", "binary_cross_entropy", "binary_focal"):
        return np.eye(OUTPUTS, dtype=dtype)[labels]
    columns = OUTPUTS // 2 if name == "gaussian_nll" else OUTPUTS
    return np.abs(exact_uniform((rows, columns), dtype, 2))


# ---- Trainers ----


def trainers():
    """name: (trainer, x, y, options of fit)"""
    made = {}
    rates, clips, bounds, kinds = (itertools.cycle(rows) for rows in (SCHEDULES, CLIPS, CONSTRAINTS, LOSSES))
    dtypes = itertools.cycle(("float32", "float64"))
    for name in FIRST_ORDER:
        kind = getattr(optimizers, name)
        loss, dtype = next(kinds), next(dtypes)
        net = Network([Dense(6, "tanh"), Dense(OUTPUTS)], inputs=INPUTS, seed=3, dtype=dtype)
        optimizer = kind(lr=next(rates), **OPTIONS.get(name, {}))
        trainer = Trainer(net, loss, optimizer, next(clips), constraint=next(bounds), seed=5)
        made[name] = trainer, inputs(dtype), target(loss, dtype), {}
    for name, make in WRAPPED.items():
        dtype = next(dtypes)
        net = Network([Dense(6, "relu"), BatchNorm(), Dense(OUTPUTS)], inputs=INPUTS, seed=3, dtype=dtype)
        trainer = Trainer(net, losses.MSE(), make())
        made[name] = trainer, inputs(dtype), target(losses.MSE(), dtype), {}
    for name in FULL_BATCH:
        net = Network([Dense(4, "tanh"), Dense(1)], inputs=INPUTS, seed=3, dtype="float64")
        trainer = Trainer(net, losses.MSE(), getattr(optimizers, name)(**OPTIONS.get(name, {})))
        made[name] = trainer, inputs("float64"), np.abs(exact_uniform(ROWS, "float64", 2)), {}
    made |= special()
    return made


def special():
    made = {}
    net = Network([Standardize(), Dense(6, "relu"), Dropout(schedules.Linear(0.1, 0.3, 10)), Dense(3)],
                  inputs=INPUTS, seed=3)  # fmt: skip
    texts = np.array(["pear", "apple", "fig"])[exact_labels(ROWS, 3, 2)]
    made["class names"] = Trainer(net, "cross_entropy", optimizers.Adam(0.01)), inputs("float32"), texts, {}

    layers = [Dense(6, "relu", penalty=losses.L2(schedules.Linear(0.1, 0.01, 10))), Dense(1)]
    net = Network(layers, inputs=INPUTS, seed=3, dtype="float64")
    rate = schedules.ReduceOnPlateau(schedules.Constant(0.05), patience=0, threshold=0.9, factor=0.5)
    y = np.abs(exact_uniform(ROWS, "float64", 2))
    options = {"validation": 0.25, "early_stopping": callbacks.EarlyStopping(patience=2)}
    made["validation"] = Trainer(net, "mse", optimizers.Adam(rate)), inputs("float64"), y, options

    trunk = [Dense(6, "tanh"), LayerNorm()]
    branches = {"kind": Dense(3), "size": [Dense(4, "relu"), Dense(2)]}
    for surgery in (False, True):
        net = Network([*trunk, Heads(branches, uncertainty=True)], inputs=INPUTS, seed=3)
        own = {"kind": losses.CrossEntropy(), "size": losses.Huber(0.5)}
        loss = losses.PerHead(own, weights={"size": 2.0}, surgery=surgery)
        y = {"kind": exact_labels(ROWS, 3, 2), "size": exact_uniform((ROWS, 2), "float32", 4)}
        trainer = Trainer(net, loss, optimizers.Adam(0.01), clipping.GlobalNorm(1.0))
        made["surgery" if surgery else "heads"] = trainer, inputs("float32"), y, {}

    net = Network([Dense(6, "relu"), Dense(OUTPUTS)], inputs=INPUTS, seed=3)
    trainer = Trainer(net, "mse", optimizers.Adam(0.01))
    trainer.set_masks(pruning.magnitude_masks(net, 0.5))
    made["masks"] = trainer, inputs("float32"), target(losses.MSE(), "float32"), {}

    layers = [Dense(6, "relu", weight_norm=True), RMSNorm(), Dense(6, "tanh", spectral_norm=True), PReLU(),
              GaussianNoise(0.1), AlphaDropout(0.1), Dense(OUTPUTS)]  # fmt: skip
    net = Network(layers, inputs=INPUTS, seed=3)
    weight = np.abs(exact_uniform(ROWS, "float64", 7)) + 0.5
    options = {"sample_weight": weight, "shuffle": True}
    trainer = Trainer(net, "mse", optimizers.AdamW(0.01), nonfinite="raise")
    made["layers"] = trainer, inputs("float32"), target(losses.MSE(), "float32"), options
    return made


def fit(trainer, x, y, options, **more):
    if type(trainer.optimizer).__name__ in FULL_BATCH:
        trainer.fit(x, y, epochs=EPOCHS, progress=False, **options, **more)
    else:
        trainer.fit(x, y, epochs=EPOCHS, batch_size=BATCH, progress=False, **options, **more)


def interrupted(path, trainer, x, y, options):
    """Writes the checkpoint of a fit in its second epoch; of a full-batch method, between two fits."""
    if type(trainer.optimizer).__name__ in FULL_BATCH:
        fit(trainer, x, y, options)
        trainer.save(path)
        return
    try:
        fit(trainer, x, y, options, callbacks=[StopAt(STOP, path)])
    except InterruptedError:
        return
    raise AssertionError(f"{path}: the fit was not interrupted")


# ---- Networks ----


def networks():
    """name: (network, x)"""
    made = {}
    for dtype in ("float32", "float64"):
        layers = [
            Standardize(),
            Embedding({0: (4, 3)}),
            Dense(7, Activation("leaky_relu", alpha=0.2), weight_norm=True, penalty=losses.L1(0.01)),
            BatchNorm(momentum=None, shift=False),
            Residual(
                LayerNorm(eps=1e-3), Dense(6, "gelu"), Dense(7), LayerScale(0.3), projection=True, gain=0.5
            ),
            RMSNorm(),
            GaussianNoise(0.1),
            Dense(8, "selu", spectral_norm=True, penalty=losses.Elastic(0.01, 0.02)),
            AlphaDropout(0.1),
            GLU("silu"),
            Maxout(5, 3),
            PReLU(shared=True),
            Dropout(0.2),
            Dense(OUTPUTS, bias=False),
        ]
        net = Network(layers, inputs=INPUTS, seed=3, dtype=dtype)
        x = inputs(dtype)
        x[:, 0] = np.floor(2 * x[:, 0] + 2)
        net.standardize(x)
        Trainer(net, "mse", optimizers.SGD(0.01)).step(x, target(losses.MSE(), dtype))
        net.columns = [f"column {i}" for i in range(INPUTS)]
        net.metadata = {"what": "every layer", "more": "\N{GREEK SMALL LETTER ALPHA}"}
        made[f"every layer {dtype}"] = net, x
    layers = [Dense(3, name) for name in ACTIVATIONS]
    made["activations"] = Network([*layers, Dense(2)], inputs=INPUTS, seed=3), inputs("float32")
    layers = []
    for name in INITIALIZERS:
        more = {"Sparse": {"nonzero": 2}, "Siren": {"first": False}}.get(name, {})
        weight = getattr(initializers, name)(**more)
        layers.append(Dense(4, weight_init=weight, bias_init=initializers.Constant(0.1)))
    made["initializers"] = Network(layers, inputs=4, seed=3, dtype="float64"), inputs("float64", columns=4)
    net = Network([Dense(6, "tanh"), Heads({"kind": Dense(3), "size": Dense(1)})], inputs=INPUTS, seed=3)
    net.classes = {"kind": ["apple", "fig", "pear"]}
    made["heads with names"] = net, inputs("float32")
    return made


# ---- What comes of them ----


def fingerprint(net, x):
    found = net.predict(x)
    return digest({**net.parameters(), **(found if isinstance(found, dict) else {"": found})})


def resume(trainer, x, y, options):
    """The rest of the fit, and the bits that came of it."""
    fit(trainer, x, y, options)
    found = {"resumed": fingerprint(trainer.net, x), "losses": digest({"": np.array(trainer.history.loss)})}
    if isinstance(trainer.optimizer, optimizers.EMA | optimizers.SWA | optimizers.Lookahead):
        found["averaged"] = fingerprint(trainer.averaged(), x)
    if isinstance(trainer.optimizer, optimizers.LevenbergMarquardt):
        return {"close": trainer.history.loss}  # the order of LAPACK's sums is its own
    return found


def file_name(name, kind):
    return f"{name.replace(' ', '_')}.{kind}"


def main():
    folder = FOLDER
    folder.mkdir(parents=True)
    results = {}
    for name, (net, x) in networks().items():
        path = folder / file_name(name, "network")
        net.save(path)
        results[path.name] = {"loaded": fingerprint(net, x)}
    for name, (trainer, x, y, options) in trainers().items():
        path = folder / file_name(name, "trainer")
        interrupted(path, trainer, x, y, options)
        other = Trainer.load(path)
        results[path.name] = {"loaded": fingerprint(other.net, x), **resume(other, x, y, options)}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
