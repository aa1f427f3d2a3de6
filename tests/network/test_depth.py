"""Depth: what trains through two hundred blocks, what through fifty plain layers, and what does not."""

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
SLOW = pytest.mark.slow


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


@pytest.mark.parametrize(
    "name", [name if name == "gain alone" else pytest.param(name, marks=SLOW) for name in BLOCKS]
)
def test_two_hundred_residual_blocks_learn_the_digits(name):
    layers = [Dense(32), *[BLOCKS[name]() for _ in range(200)], LayerNorm(), Dense(10)]
    trainer, norms = trained(layers, optimizers.AdamW(warm(2e-3, 15), weight_decay=0.3), epochs=15)
    assert 1e-3 < norms[0] / norms[-1] < 1e3
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95
    assert trainer.evaluate(X_TEST, Y_TEST)["accuracy"] >= (0.9 if name == "pre-norm" else 0.95)


# ---- Fifty plain layers: the same optimizer, epochs and widths, two activations with their weights ----


def fifty(activation, epochs, **options):
    """Trainer after some epochs, and the gradient's norm at each of the 51 weights before the first."""
    layers = [*[Dense(64, activation, **options) for _ in range(50)], Dense(10)]
    return trained(layers, optimizers.AdamW(warm(5e-4, epochs), weight_decay=0.5), epochs)


@pytest.mark.slow
def test_fifty_plain_layers_of_tanh_learn_them_with_the_default_initial_values():
    """At every layer arrives a gradient of about the size of that at the last. 0.95 is of the training rows:
    a net as deep and plain as this one is less sure of the others."""
    trainer, norms = fifty("tanh", 60)
    assert len(norms) == 51
    assert max(norms) < 10 * min(norms)
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95
    assert trainer.evaluate(X_TEST, Y_TEST)["accuracy"] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.01), optimizers.Adam(3e-4)], ids=repr)
def test_fifty_plain_layers_of_tanh_learn_their_rows_with_defaults_alone(optimizer):
    """No decay, no warm-up, no clip, at a rate that this depth bears: of Adam, 1e-3 is too much."""
    layers = [*[Dense(64, "tanh") for _ in range(50)], Dense(10)]
    trainer, norms = trained(layers, optimizer, epochs=30)
    assert 1e-2 < norms[0] / norms[-1] < 1e2
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_fifty_plain_layers_of_tanh_learn_their_rows_with_every_default(seed):
    """Adam() and whatever the layers begin with. Steps of 1e-3 a number move a layer by its width times that:
    of 32 outputs fifty such layers bear them, with batches whose gradients agree; 64 need a lower rate."""
    layers = [Standardize(), *[Dense(32, "tanh") for _ in range(50)], Dense(10)]
    trainer = Trainer(Network(layers, inputs=64, seed=seed), "cross_entropy", optimizers.Adam())
    trainer.net.standardize(X)
    trainer.fit(X, Y, epochs=150, batch_size=256, progress=False)
    assert trainer.evaluate(X, Y)["accuracy"] >= 0.95


def test_fifty_layers_of_sigmoid_with_small_normal_weights_do_not():
    """Each layer takes the gradient times at most a quarter of its weights, whose largest singular value is
    about 0.1 (8 + 8): at most 0.4 of it is left, and at the first layer nothing. Nothing goes forward either:
    the outputs of the last layer of sigmoid are the same for every row."""
    trainer, norms = fifty("sigmoid", 20, weight_init=initializers.Normal(std=0.1))
    behind = norms[1:50]  # the first layer's gradient has the size of the inputs, the last's of no sigmoid
    ratios = [near / far for near, far in zip(behind[:-1], behind[1:], strict=True)]
    assert max(ratios) < 0.4
    assert norms[0] < 1e-25 * norms[-1]
    kept = trainer.net.activations(X)
    assert kept["50"].std(axis=0).max() < 1e-3
    assert trainer.evaluate(X, Y)["accuracy"] < 0.2
    assert trainer.net.elements > 200_000  # it is not for want of parameters
