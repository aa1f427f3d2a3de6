"""Depth: what trains through two hundred blocks, what through fifty plain layers, and what does not."""

import gradcore
import pytest
from gradcore import (
    Dense,
    LayerNorm,
    LayerScale,
    Network,
    Residual,
    Standardize,
    Trainer,
    datasets,
    health,
    initializers,
    optimizers,
    schedules,
)

X, Y, X_TEST, Y_TEST = datasets.load_digits()
BATCH = 64


def trained(layers, optimizer, epochs):
    trainer = Trainer(Network([Standardize(), *layers], inputs=64), "cross_entropy", optimizer)
    trainer.net.standardize(X)
    norms = weight_gradients(trainer)
    trainer.fit(X, Y, epochs=epochs, batch_size=BATCH, progress=False)
    assert sum(trainer.history.skipped) == 0
    return trainer, norms


def weight_gradients(trainer):
    """The gradient's norm at every weight matrix, before any update."""
    return [row.gradient_norm for row in health.gradient_flow(trainer, X[:256], Y[:256])]


def warm(peak, epochs):
    steps = epochs * -(-len(X) // BATCH)
    return schedules.Warmup(schedules.Cosine(peak, steps=steps), steps=50)


BLOCKS = {
    "pre-norm": lambda: Residual(LayerNorm(), Dense(32, "relu")),
    "pre-norm, gain": lambda: Residual(LayerNorm(), Dense(32, "gelu"), gain=0.0),
    "pre-norm, layer scale": lambda: Residual(LayerNorm(), Dense(32, "gelu"), LayerScale(1e-4)),
    "gain alone": lambda: Residual(Dense(32, "relu"), gain=0.0),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_two_hundred_residual_blocks_learn_the_digits(name):
    layers = [Dense(32), *[BLOCKS[name]() for _ in range(200)], LayerNorm(), Dense(10)]
    trainer, norms = trained(layers, optimizers.AdamW(warm(2e-3, 15), weight_decay=0.3), epochs=15)
    assert 1e-3 < norms[0] / norms[-1] < 1e3
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95
    assert trainer.evaluate(X_TEST, Y_TEST)["accuracy"] >= (0.9 if name == "pre-norm" else 0.95)


def test_fifty_plain_layers_of_tanh_learn_them_with_the_default_initial_values():
    layers = [*[Dense(64, "tanh") for _ in range(50)], Dense(10)]
    trainer, norms = trained(layers, optimizers.Adam(3e-4), epochs=30)
    assert 1e-2 < norms[0] / norms[-1] < 1e2
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95


def test_fifty_layers_of_sigmoid_with_small_normal_weights_do_not():
    """Each layer takes the gradient times at most a quarter of its weights: at the first nothing arrives."""
    layers = [Dense(64, "sigmoid", weight_init=initializers.Normal(std=0.1)) for _ in range(50)]
    trainer, norms = trained([*layers, Dense(10)], optimizers.Adam(1e-3), epochs=10)
    assert norms[0] < 1e-25 * norms[-1]
    assert all(norms[i] < 0.5 * norms[i + 5] for i in range(0, 45, 5) if norms[i + 5] > 0)
    assert trainer.evaluate(X, Y)["accuracy"] < 0.2
    assert gradcore.Network(layers, inputs=64).elements > 200_000  # it is not for want of parameters
