"""Writes docs/catalogue.md from the engine's tables: python docs/make_catalogue.py. A test compares."""

from pathlib import Path

from gradcore import _core

PAGE = Path(__file__).with_name("catalogue.md")
LAYERS = {
    "dense": "`Dense(units, activation)`: y = f(x W + b), W (fan_in, fan_out)",
    "activation": "`Activation(name, alpha)`: y = f(x)",
    "dropout": "`Dropout(rate)`: in training y = x / (1 - rate) or 0, otherwise y = x",
    "alpha_dropout": "`AlphaDropout(rate)`: dropout that keeps mean and variance behind selu",
    "gaussian_noise": "`GaussianNoise(std)`: in training y = x + std n, n standard normal; otherwise y = x",
    "standardize": "`Standardize()`: y = (x - mean) inverse_std, column by column",
    "residual": "`Residual(*layers, projection, gain)`: y = gain layers(x) + x, or + x projection",
    "layer_scale": "`LayerScale(initial)`: y = x gamma, a learned factor a column",
    "layer_norm": "`LayerNorm(eps, scale, shift)`: each row (x - mean) / sqrt(variance + eps) gamma + beta",
    "batch_norm": "`BatchNorm(momentum, eps, scale, shift)`: the same by columns; running averages predict",
    "rms_norm": "`RMSNorm(eps, scale)`: each row x / sqrt(mean(x^2) + eps) gamma",
}


def rows(family: str, *properties: str) -> list[str]:
    lines = []
    for name in _core.names(family):
        told = [(_core.describe(family, name, item) or "").replace("|", "\\|") for item in properties]
        lines.append(f"| `{name}` | " + " | ".join(told) + " |")
    return lines


def table(title: str, head: str, lines: list[str]) -> list[str]:
    columns = head.count("|") - 1
    return [f"## {title}", "", head, "|" + " --- |" * columns, *lines, ""]


def page() -> str:
    """The page as text."""
    lines = ["# Catalogue", "", "Made from `src_c/tables.h` by `docs/make_catalogue.py`.", ""]
    lines += table(
        "Activations",
        "| name | f(x) | default alpha | default initialiser |",
        rows("activation", "formula", "alpha", "initializer"),
    )
    lines += table("Losses", "| name | value | target |", rows("loss", "formula", "target"))
    lines += table(
        "Optimizers",
        "| name | own hyperparameters, beside lr and weight_decay |",
        rows("optimizer", "hyperparameters"),
    )
    layers = [f"| `{kind}` | {LAYERS[kind]} |" for kind in _core.names("layer") if kind != "end"]
    lines += table("Layers", "| kind | class |", layers)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
