"""Writes docs/catalogue.md from the engine's tables: python docs/make_catalogue.py. A test compares."""

from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import ModuleType

import gradcore
from gradcore import _core, clipping, initializers, optimizers, schedules

PAGE = Path(__file__).with_name("catalogue.md")
LAYERS = {
    "dense": "`Dense(units, activation)`: y = f(x W + b), W (fan_in, fan_out)",
    "activation": "`Activation(name, alpha)`: y = f(x)",
    "dropout": "`Dropout(rate)`: in training y = x / (1 - rate) or 0, otherwise y = x",
    "alpha_dropout": "`AlphaDropout(rate)`: dropout that keeps mean and variance behind selu",
    "gaussian_noise": "`GaussianNoise(std)`: in training y = x + std n, n standard normal; otherwise y = x",
    "weight_norm": "`Dense(..., weight_norm=True)`: W = weight magnitude / |weight|, by columns",
    "spectral_norm": "`Dense(..., spectral_norm=True)`: W = weight / its largest singular value",
    "embedding": "`Embedding(columns)`: columns of integer codes replaced by rows of learned tables",
    "standardize": "`Standardize()`: y = (x - mean) inverse_std, column by column",
    "residual": "`Residual(*layers, projection, gain)`: y = gain layers(x) + x, or + x projection",
    "heads": "`Heads(branches, uncertainty)`: several named outputs, each a stack of layers on one value",
    "layer_scale": "`LayerScale(initial)`: y = x gamma, a learned factor a column",
    "layer_norm": "`LayerNorm(eps, scale, shift)`: each row (x - mean) / sqrt(variance + eps) gamma + beta",
    "batch_norm": "`BatchNorm(momentum, eps, scale, shift)`: the same by columns; running averages predict",
    "glu": '`GLU(gate)`: a f(b), a and b the left and right half of the columns: SwiGLU is `GLU("silu")`',
    "maxout": "`Maxout(units, pieces)`: the largest of `pieces` linear functions, W (fan_in, pieces units)",
    "prelu": "`PReLU(shared, initial)`: x > 0 ? x : alpha x, alpha learned",
    "rms_norm": "`RMSNorm(eps, scale)`: each row x / sqrt(mean(x^2) + eps) gamma",
}


LOSS_NOTES = """\
Every class in `gradcore.losses` has the source of its formula. Targets: *values* are (rows, outputs),
*labels* (rows,) class ids, *halves* (rows, outputs / 2), each with a mean and a variance among the outputs.
The vector is one number for each output.

A batch's loss is the sum of weight times row loss over the sum of the weights. Where others differ:

| | gradcore | PyTorch | Keras | scikit-learn |
| --- | --- | --- | --- | --- |
| squared error | no 1/2, mean over outputs too | the same | the same | `MLPRegressor`: 1/2 |
| class and sample weights | divided by the sum of weights; `weighting="count"`: by the rows | class \
weights: by their sum for labels, by the rows for probabilities | by the rows | by the sum |
| label smoothing with class weights | weighs the smoothed terms per class | the same | no class weights | – |
| huber | e^2 / 2, then delta (\\|e\\| - delta / 2) | the same; `smooth_l1` is that / beta | the same | – |
| kl_divergence | logits in, sum over classes, mean over rows | log-probabilities in; `"batchmean"` | \
probabilities in, mean over rows | – |
| poisson | logarithm of the rate in | the same | the rate in, eps 1e-7 | – |
| cosine | 1 - cosine | `1 - cosine_similarity` | minus the cosine | – |
| focal | alpha: none | torchvision: alpha 0.25 | alpha 0.25 for several classes | – |
| hinge | targets 0 and 1, or -1 and 1 | none like it | the same | -1 and 1 |
"""


ABOUT_ACTIVATIONS = [
    "Gain: `initializers.gain(name, alpha)`; PyTorch's for identity, relu, leaky_relu, tanh, sigmoid and",
    "selu, else the one that preserves the mean square. ULP: largest error of f in float32 where f is not",
    "nearly denormal; sin with alpha 1. At a kink the derivative is PyTorch's: that from the left for relu,",
    "leaky_relu, elu, selu and celu, 0 at both kinks of relu6, hard_tanh and hard_sigmoid, 0 at -3 and 1 at",
    '3 for hard_swish. `gelu_tanh` is `gelu(approximate="tanh")` of PyTorch and `gelu(approximate=True)` of',
    "Keras; `hard_sigmoid` is that of PyTorch and Keras 3, not of earlier Keras. `sin` multiplies by alpha",
    "without rounding in float32; in float64 beyond a product of 2^20 it takes the rounded product.",
]


ABOUT_INITIALISERS = [
    "`initializers.lsuv(net, X)`, `fixup(net)` and `depth_scaled(net)` set the weights of a whole network:",
    "from data, and from the number of its residual blocks. Of Keras HeNormal, LecunNormal, GlorotNormal are",
    'cut at two deviations: `VarianceScaling(2.0)`, `VarianceScaling()`, `VarianceScaling(mode="fan_avg")`.',
    "PyTorch's `Linear` begins with `Uniform(-1 / sqrt(fan_in), 1 / sqrt(fan_in))`, biases too.",
]


FULL_BATCH = {
    "LBFGS": '`minimize(method="lbfgs")`, `Trainer`',
    "ConjugateGradient": '`minimize(method="ncg")`, `Trainer`',
    "NewtonCG": '`minimize(method="newton-cg")`, `Trainer`',
    "LevenbergMarquardt": '`minimize(method="lm")` of residuals; `Trainer`, float64, loss `mse`',
}


def options(name: str) -> str:
    """The options of an optimizer's class with their defaults."""
    return ", ".join(f"{field.name}={field.default!r}" for field in fields(getattr(optimizers, name)))


def classes(module: ModuleType, base: type) -> list[str]:
    """Of a module's dataclasses below `base`: class, options with defaults, first line of the docs."""
    lines = []
    for name in module.__all__:
        kind = getattr(module, name)
        if not (isinstance(kind, type) and issubclass(kind, base) and is_dataclass(kind)):
            continue
        own = [field for field in fields(kind) if field.init]
        shown = ", ".join(f.name if f.default is MISSING else f"{f.name}={f.default!r}" for f in own)
        lines.append(f"| `{name}({shown})` | {first_line(kind)} |")
    return lines


def rows(family: str, *properties: str) -> list[str]:
    lines = []
    for name in _core.names(family):
        told = [(_core.describe(family, name, item) or "").replace("|", "\\|") for item in properties]
        lines.append(f"| `{name}` | " + " | ".join(told) + " |")
    return lines


def first_order() -> list[str]:
    """A paragraph for each: formula, options and defaults by style, source."""
    lines = [
        "## Optimizers",
        "",
        "`g` is the gradient after clipping, with coupled weight decay; `m^` and `v^` are",
    ]
    lines += [
        "running means corrected for their start at 0. Elementwise rules run where a gradient is ready; the"
    ]
    lines += ["others look at arrays as wholes first. A style is a preset of the options shown.", ""]
    classes = {getattr(optimizers, name, None) for name in optimizers.__all__}
    by_name = {kind.name: kind for kind in classes if hasattr(kind, "styles") and hasattr(kind, "name")}
    for name in _core.names("optimizer"):
        kind = by_name[name]
        own = [f for f in fields(kind) if f.name not in ("decay_bias", "maximize", "groups", "style")]
        first = {f.name: kind.defaults.get(f.name, f.default) for f in own if f.default is not MISSING}
        shown = ", ".join(f"{f.name}={first[f.name]!r}" if f.name in first else f.name for f in own)
        source = " ".join((kind.__doc__ or "").split("----------")[2].split("Examples")[0].split())
        lines += [f"### `{kind.__name__}({shown})`", ""]
        lines += [f"`{name}`, {(_core.describe('optimizer', name, 'kind') or '').lower()}:"]
        lines += [f"`{_core.describe('optimizer', name, 'formula')}`. {source}", ""]
        for style, preset in kind.styles.items():
            if preset:
                lines.append(
                    f"- {style}: " + ", ".join(f"`{key}={value!r}`" for key, value in preset.items())
                )
            elif len(kind.styles) > 1:
                lines.append(f"- {style}: as above")
        lines += [""] if len(kind.styles) > 1 or any(kind.styles.values()) else []
    lines += ["### Around any of them", ""]
    for kind in (optimizers.EMA, optimizers.SWA, optimizers.Lookahead, optimizers.Accumulate, optimizers.SAM):
        lines.append(
            f"- `{kind.__name__}(optimizer, ...)`: {(kind.__doc__ or '').splitlines()[0].replace('``', '`')}"
        )
    return [*lines, ""]


def activations() -> list[str]:
    lines = rows("activation", "formula", "alpha", "initializer", "range", "derivative_dies", "ulp")
    for index, name in enumerate(_core.names("activation")):
        cells = lines[index].replace("\\|", "\0").split(" | ")
        cells.insert(4, f"{initializers.gain(name):.4f}")
        lines[index] = " | ".join(cells).replace("\0", "\\|")
    return lines


def initial_values() -> list[str]:
    lines = []
    for name in initializers.names():
        rule = type(initializers.get(name))
        lines.append(f"| `{name}` | `{rule.__name__}` | {first_line(rule)} |")
    return lines


def layer(kind: str) -> str:
    """What LAYERS says of a row; else its class, options and first line; nothing of what closes a block."""
    name = {name.lower(): name for name in gradcore.__all__}.get(kind.replace("_", ""))
    if kind in LAYERS or name is None:
        return LAYERS.get(kind, "")
    options = ", ".join(field.name for field in fields(getattr(gradcore, name)) if field.init)
    return f"`{name}({options})`: {first_line(getattr(gradcore, name))}"


def first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0].replace("``", "`").rstrip(".")


def table(title: str, head: str, lines: list[str]) -> list[str]:
    columns = head.count("|") - 1
    return [f"## {title}", "", head, "|" + " --- |" * columns, *lines, ""]


def loss_row(name: str) -> str:
    told = [(_core.describe("loss", name, item) or "").replace("|", "\\|") for item in ("formula", "target")]
    words = [word.split(":") for word in (_core.describe("loss", name, "parameters") or "").split()]
    parameters = ", ".join(f"{key} {'none' if value == 'nan' else value}" for key, value, _ in words)
    vector = _core.describe("loss", name, "vector") or ""
    return f"| `{name}` | {told[0]} | {told[1]} | {parameters} | {vector} |"


def page() -> str:
    """The page as text."""
    lines = ["# Catalogue", "", "Made from `src_c/base/tables.h` by `docs/make_catalogue.py`.", ""]
    lines += table(
        "Activations",
        "| name | f(x) | default alpha | default initialiser | gain | values | its derivative dies | ULP |",
        activations(),
    )
    lines[-1:] = ["", *ABOUT_ACTIVATIONS, ""]
    lines += table(
        "Losses",
        "| name | value | target | parameters and defaults | vector |",
        [line for name in _core.names("loss") for line in [loss_row(name)]],
    )
    lines += [LOSS_NOTES, ""]
    lines += first_order()
    lines += table(
        "Full-batch methods",
        "| class | for | options |",
        [f"| `{name}` | {use} | `{options(name)}` |" for name, use in FULL_BATCH.items()],
    )
    lines += table("Initialisers", "| name | class | values |", initial_values())
    lines[-1:] = ["", *ABOUT_INITIALISERS, ""]
    head = "| class | what it does |"
    lines += table("Schedules", head, classes(schedules, object))
    lines += table("Rules on gradients", head, classes(clipping, clipping.Clip))
    lines += table("Rules on weights", head, classes(clipping, clipping.Constraint))
    layers = [f"| `{kind}` | {about} |" for kind in _core.names("layer") if (about := layer(kind))]
    lines += table("Layers", "| kind | class |", layers)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
