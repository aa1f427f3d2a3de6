"""Every gradient, by parameters and by inputs: four-point differences in float64, the oracle, float32."""

import gradcore
import numpy as np
import oracle
import pytest
from gradcore import _core, optimizers
from support import cases, norm_error
from support.loss_cases import CASES

INPUTS, ROWS = 5, 9

ALPHA = {"sin": {"alpha": 1.5}}  # a difference quotient cannot follow 30
ACTIVATION_NETS = {
    name: [cases.dense(7, name, **ALPHA.get(name, {})), cases.activation(name, **ALPHA.get(name, {})),
           cases.dense(3)]
    for name in oracle.activations.ACTIVATIONS
}  # fmt: skip
ACTIVATION_NETS["exponential"][1:1] = [cases.activation("tanh")]  # its double would overflow
LAYER_NETS = {
    "linear": [cases.dense(3)],
    "no bias": [cases.dense(6, "tanh", bias=False), cases.dense(3, bias=False)],
    "activation first": [cases.activation("silu"), cases.dense(3)],
    "activation last": [cases.dense(3), cases.activation("softplus")],
    "alpha": [cases.dense(6, "elu", alpha=0.4), cases.activation("leaky_relu", alpha=0.3), cases.dense(3)],
    "standardize": [cases.standardize(), cases.dense(6, "sigmoid"), cases.dense(3)],
    "projection": [
        cases.dense(6), cases.residual(cases.dense(9, "gelu"), projection=True),
        cases.residual(cases.dense(9, "tanh"), projection=True), cases.dense(3),
    ],
    "projection first": [cases.residual(cases.dense(3, "tanh"), projection=True, gain=0.3)],
    "projections inside": [
        cases.residual(
            cases.residual(cases.dense(17, "tanh"), projection=True, gain=-1.0),
            cases.dense(5, "gelu"), gain=0.5,
        ),
        cases.dense(3),
    ],
    "gain": [
        cases.dense(6), cases.residual(cases.dense(9, "gelu"), cases.dense(6), gain=0.5),
        cases.residual(cases.activation("tanh"), gain=0.0), cases.dense(3),
    ],
    "gain alone": [cases.residual(cases.activation("tanh"), gain=2.0), cases.dense(3)],
    "layer scale": [
        cases.layer_scale(0.7), cases.residual(cases.dense(5, "gelu"), cases.layer_scale(0.3)),
        cases.dense(3), cases.layer_scale(-2.0),
    ],
    "alpha dropout": [
        cases.alpha_dropout(0.3), cases.dense(8, "tanh"), cases.alpha_dropout(0.5), cases.dense(3),
    ],
    "noise": [cases.gaussian_noise(0.3), cases.dense(8, "tanh"), cases.gaussian_noise(1.5), cases.dense(3)],
    "weight norm": [
        cases.dense(7, "gelu", weight_norm=True), cases.dense(2, "tanh", weight_norm=True, bias=False),
        cases.residual(cases.dense(17, "softplus", weight_norm=True), projection=True),
        cases.dense(3, weight_norm=True),
    ],
    "spectral norm": [
        cases.dense(7, "gelu", spectral_norm=True), cases.dense(20, "tanh", spectral_norm=True, bias=False),
        cases.dense(3, spectral_norm=True),
    ],
    "batch norm": [cases.dense(7, "tanh"), cases.batch_norm(), cases.dense(3)],
    "batch norm first": [cases.batch_norm(eps=1e-3), cases.dense(6, "silu"), cases.batch_norm(scale=False)]
    + [cases.residual(cases.dense(6, "tanh"), cases.batch_norm(shift=False), cases.activation("tanh"))]
    + [cases.dense(3, bias=False), cases.batch_norm(scale=False, shift=False, momentum=None)],
    "layer norm": [cases.dense(7, "tanh"), cases.layer_norm(), cases.dense(3)],
    "layer norm first": [cases.layer_norm(eps=1e-3), cases.dense(6, "silu"), cases.layer_norm(scale=False)]
    + [cases.dense(5), cases.layer_norm(shift=False), cases.dense(3), cases.layer_norm(eps=0.1)],
    "rms norm": [cases.rms_norm(), cases.dense(7, "tanh"), cases.rms_norm(scale=False), cases.dense(3)],
    "pre-norm": [
        cases.dense(6), cases.residual(cases.layer_norm(), cases.dense(9, "gelu"), cases.dense(6)),
        cases.residual(cases.rms_norm(eps=1e-3), cases.dense(6, "tanh")), cases.layer_norm(), cases.dense(3),
    ],
    "post-norm": [
        cases.dense(6), cases.residual(cases.dense(9, "gelu"), cases.dense(6)), cases.layer_norm(),
        cases.dense(3),
    ],
    "glu": [cases.dense(14), cases.glu(), cases.dense(3)],
    "swiglu, geglu": [
        cases.dense(34), cases.glu("silu"), cases.dense(8, "tanh"), cases.glu("gelu"), cases.dense(3),
    ],
    "bilinear": [cases.dense(6), cases.glu("identity"), cases.dense(6), cases.glu("elu", alpha=0.3)],
    "maxout": [cases.maxout(7, 3), cases.maxout(17, 2, bias=False), cases.maxout(3, 1)],
    "prelu": [
        cases.prelu(alpha=-0.5), cases.dense(19), cases.prelu(), cases.dense(7), cases.prelu(1, 0.1),
        cases.dense(3),
    ],
    "shared prelu first and last": [
        cases.prelu(1), cases.dense(70), cases.prelu(1, 0.4), cases.dense(3), cases.prelu(1),
    ],
    "gates in residuals": [
        cases.dense(6),
        cases.residual(cases.dense(16), cases.glu("silu"), cases.dropout(0.2), cases.prelu(), cases.dense(6)),
        cases.residual(cases.maxout(6, 2), cases.prelu(1)), cases.dense(6), cases.glu(),
    ],
    "dropout": [cases.dropout(0.3), cases.dense(8, "tanh"), cases.dropout(0.5), cases.dense(3)],
    "residual": [
        cases.dense(6, "tanh"), cases.residual(cases.dense(6, "gelu"), cases.dense(6)), cases.dense(3),
    ],
    "residual first": [cases.residual(cases.dense(INPUTS, "silu")), cases.dense(3)],
    "residual last": [cases.dense(3), cases.residual(cases.dense(3, "tanh"))],
    "residual of an activation": [cases.dense(6), cases.residual(cases.activation("gelu")), cases.dense(3)],
    "nested residuals": [
        cases.dense(6),
        cases.residual(
            cases.dense(4, "tanh"),
            cases.residual(cases.dense(4, "silu"), cases.dropout(0.25)),
            cases.dense(6),
        ),
        cases.dense(3),
    ],
    "deep": [*[cases.dense(5, "selu") for _ in range(12)], cases.dense(3)],
    "all": [
        cases.standardize(), cases.dropout(0.2), cases.dense(9, "gelu"),
        cases.residual(cases.dense(4, "elu"), cases.dropout(0.4), cases.dense(9, "tanh")),
        cases.activation("softplus"), cases.dense(3),
    ],
}  # fmt: skip
held = {kind for layers in [*ACTIVATION_NETS.values(), *LAYER_NETS.values()] for kind in cases.kinds(layers)}
held |= {*cases.BRACKETS, "heads", "embedding"}  # the latter have tests of their own
LAYER_NETS |= {
    kind: [cases.dense(6, "tanh"), cases.example(kind), cases.dense(3)]
    for kind in _core.names("layer")
    if kind not in held
}


def trainer_for(layers, loss, dtype="float64", isa=None, threads=None):
    net = cases.network(gradcore, layers, INPUTS, seed=4, dtype=dtype, isa=isa, threads=threads)
    if layers[0]["kind"] == "standardize":
        net.set_parameters(
            {"0.mean": np.linspace(-1, 1, INPUTS), "0.inverse_std": np.linspace(0.5, 2, INPUTS)}
        )
    rng = cases.generator("gradients")
    for name, value in net.parameters().items():
        if name.endswith("bias"):
            net.set_parameters({name: value + rng.normal(scale=0.3, size=value.shape)})
    return gradcore.Trainer(net, CASES[loss].loss, optimizers.SGD(0.1))


def batch(loss, rows=ROWS, outputs=3):
    """`loss` is a name of loss_cases.CASES."""
    rng = cases.generator("batch", loss)
    x, weight = rng.normal(size=(rows, INPUTS)), rng.uniform(0.2, 2, rows)
    if loss == "cross_entropy":
        return x, rng.integers(0, outputs, rows), weight
    return x, CASES[loss].target(rows, outputs, np.float64), weight


def assert_gradients_are_differences(layers, loss, weighted=True, kinks=False, outputs=3):
    """A kink within the stencil spoils a difference; elsewhere the bound is 1e-8 of the whole gradient.

    The loss is that of the engine itself, in training mode at one and the same step, so dropout's masks
    stay as they are."""
    trainer = trainer_for(layers, loss)
    x, y, weight = batch(loss, outputs=outputs)
    weight = weight if weighted else None
    _, gradients = trainer.gradients(x, y, weight)
    start = trainer.net.parameters()
    h = 1e-5 if kinks else 1e-3
    for name, gradient in gradients.items():
        values = start[name].copy()

        def value(name=name, values=values):
            trainer.net.set_parameters({name: values})
            return trainer.gradients(x, y, weight)[0]

        differences = oracle.four_point(value, values, h)
        trainer.net.set_parameters({name: start[name]})
        assert norm_error(gradient, differences) <= 1e-8, name


@pytest.mark.parametrize("name", ACTIVATION_NETS)
@pytest.mark.quick
def test_parameter_gradients_of_every_activation(name):
    kinks = name.startswith(("relu", "leaky_relu", "elu", "selu", "celu", "hard_"))
    assert_gradients_are_differences(ACTIVATION_NETS[name], "mse", kinks=kinks)


@pytest.mark.parametrize("name", LAYER_NETS)
@pytest.mark.quick
def test_parameter_gradients_of_every_layer(name):
    kinks = (
        name in ("alpha", "deep", "all", "bilinear", "gates in residuals") or "prelu" in name or "max" in name
    )
    assert_gradients_are_differences(LAYER_NETS[name], "cross_entropy", kinks=kinks)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [name for name in CASES if name != "gaussian_nll variance"])
def test_parameter_gradients_of_every_loss(loss, weighted):
    """But of a variance below eps, whose slope is PyTorch's and not the derivative."""
    layers = [cases.dense(6, "tanh"), cases.residual(cases.dense(6, "gelu")), cases.dense(4)]
    if loss.startswith(("poisson rate", "gaussian_nll variance")):  # its outputs are positive
        layers.append(cases.activation("softplus"))
    kinks = any(loss.startswith(name) for name in oracle.losses.KINKED)
    assert_gradients_are_differences(layers, loss, weighted, kinks, outputs=4)


@pytest.mark.parametrize("name", [*ACTIVATION_NETS, *LAYER_NETS])
def test_input_gradients(name):
    """Of a loss of the caller's own, through forward and backward, dropout active."""
    layers = {**ACTIVATION_NETS, **LAYER_NETS}[name]
    net = trainer_for(layers, "mse").net
    x = cases.normal((ROWS, INPUTS), "float64", "x")
    factor = cases.normal((ROWS, 3), "float64", "factor")
    net.forward(x, training=True, step=5)
    d_x = net.backward(factor)
    points = x.copy()

    def value():
        return float((net.forward(points, training=True, step=5) * factor).sum())

    assert norm_error(d_x, oracle.four_point(value, points, 2e-4)) <= 1e-8


def oracle_for(layers, net, rows, seed=None, step=None):
    """The reference network with the engine's parameters and, in training, its dropout masks."""
    masks = {}
    if step is not None:
        masks = dict(_masks(layers, "", net, rows, seed, step, count := [0]))
        assert count[0] >= len(layers)
    parameters = {name: value.astype(np.float64) for name, value in net.parameters().items()}
    return oracle.Net(layers, parameters, masks, training=step is not None)


def _masks(layers, prefix, net, rows, seed, step, op):
    """A dropout's random stream is its place among the ops: a residual is two, at its start and end."""
    widths = {name: value.shape[1] for name, value in net.activations(np.zeros((1, INPUTS))).items()}
    for i, layer in enumerate(layers):
        name = f"{prefix}{i}"
        if layer["kind"] in ("dropout", "alpha_dropout"):
            yield name, oracle.rng.dropout_mask(rows, widths[name], layer["rate"], seed, op[0], step)
        if layer["kind"] == "gaussian_noise":
            yield name, oracle.rng.normal_numbers(rows, widths[name], seed, op[0], step)
        op[0] += 1
        if layer["kind"] == "residual":
            yield from _masks(layer["layers"], f"{name}.", net, rows, seed, step, op)
            op[0] += 1


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("name", [*ACTIVATION_NETS, *LAYER_NETS])
@pytest.mark.quick
def test_loss_and_gradients_are_the_oracles(name, loss):
    layers = {**ACTIVATION_NETS, **LAYER_NETS}[name]
    trainer = trainer_for(layers, loss)
    x, y, weight = batch(loss)
    for step in range(2):
        expected = oracle_for(layers, trainer.net, ROWS, trainer.seed, step)
        value, d, _ = oracle.loss(loss, expected.forward(x), y, weight)
        expected.backward(d)
        got, gradients = trainer.gradients(x, y, weight)
        assert got == pytest.approx(value, rel=1e-12)
        assert list(gradients) == sorted(expected.gradients, key=list(trainer.net.parameters()).index)
        for key, gradient in expected.gradients.items():
            assert norm_error(gradients[key], gradient) < 1e-12
        trainer.step(x, y, weight)


@pytest.mark.parametrize("name", [*ACTIVATION_NETS, *LAYER_NETS])
def test_predictions_and_activations_are_the_oracles(name):
    layers = {**ACTIVATION_NETS, **LAYER_NETS}[name]
    net = trainer_for(layers, "mse").net
    x = cases.normal((ROWS, INPUTS), "float64", "x")
    expected = oracle_for(layers, net, ROWS)
    assert norm_error(net.predict(x), expected.forward(x)) < 1e-13
    activations = net.activations(x)
    assert set(activations) == set(expected.outputs)
    for key, value in expected.outputs.items():
        assert norm_error(activations[key], value) < 1e-13


@pytest.mark.parametrize("depth", [1, 4, 16])
def test_float32_gradients_are_close_to_float64(isa, depth):
    layers = [*[cases.dense(40, "tanh") for _ in range(depth)], cases.dense(3)]
    one = trainer_for(layers, "cross_entropy", "float32", isa)
    two = trainer_for(layers, "cross_entropy", "float64")
    two.net.set_parameters(one.net.parameters())
    x, y, _ = batch("cross_entropy", 64)
    gradients = [trainer.gradients(x.astype(np.float32), y)[1] for trainer in (one, two)]
    for name in gradients[1]:
        assert norm_error(gradients[0][name], gradients[1][name]) <= 2e-6 * np.sqrt(depth + 1)


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 255, 256, 257, 513, 600, 1025])
@pytest.mark.parametrize("widths", [(1, 1), (3, 16), (17, 2), (31, 33), (64, 8)])
def test_every_batch_size_and_width(dtype, rows, widths):
    """Tails of rows and columns, and batches of more than one block of KC."""
    layers = [cases.dense(widths[0], "tanh"), cases.dense(widths[1])]
    net = cases.network(gradcore, layers, INPUTS, seed=rows, dtype=dtype, threads=2)
    trainer = gradcore.Trainer(net, "mse", optimizers.SGD(0.1))
    x, y = cases.normal((rows, INPUTS), dtype, "x", rows), cases.normal((rows, widths[1]), dtype, "y", rows)
    expected = oracle.Net(layers, {key: value.astype(np.float64) for key, value in net.parameters().items()})
    value, d, _ = oracle.loss("mse", expected.forward(x), y.astype(np.float64))
    d_x = expected.backward(d)
    got, gradients = trainer.gradients(x, y)
    bar = 1e-12 if dtype == "float64" else 4e-6
    assert got == pytest.approx(value, rel=bar)
    assert norm_error(joined(gradients), joined(expected.gradients, gradients)) <= bar
    net.forward(x)
    assert norm_error(net.backward(d.astype(dtype)), d_x) <= bar
    assert norm_error(joined(net.gradients()), joined(expected.gradients, gradients)) <= bar


def joined(gradients, order=None):
    """All of them as one vector: that of a single number may be a small difference of large ones."""
    return np.concatenate([gradients[name].reshape(-1).astype(np.float64) for name in order or gradients])


def test_gradients_change_nothing():
    trainer = trainer_for(LAYER_NETS["all"], "cross_entropy")
    x, y, weight = batch("cross_entropy")
    trainer.step(x, y, weight)
    before, steps = trainer.net.parameters(), trainer.steps
    first, second = trainer.gradients(x, y, weight), trainer.gradients(x, y, weight)
    assert first[0] == second[0]
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])
    assert trainer.steps == steps
    assert all(np.array_equal(value, trainer.net.parameters()[name]) for name, value in before.items())


def test_dropout_masks_change_with_the_step_and_with_the_seed_alone():
    net = cases.network(gradcore, [cases.dropout(0.5)], 40, seed=1)
    x = np.ones((8, 40), np.float32)
    first = net.forward(x, training=True, step=0)
    assert np.array_equal(first, net.forward(x, training=True, step=0))
    assert not np.array_equal(first, net.forward(x, training=True, step=1))
    other = cases.network(gradcore, [cases.dropout(0.5)], 40, seed=2)
    assert not np.array_equal(first, other.forward(x, training=True, step=0))
    assert np.array_equal(net.forward(x, training=False), x)
    assert set(np.unique(first)) == {0, 2}
    assert 0.4 < (first == 0).mean() < 0.6


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate):
    net = cases.network(gradcore, [cases.dropout(rate)], 200, seed=1, dtype="float64")
    y = net.forward(np.ones((500, 200)), training=True)
    deviation = np.sqrt(rate / (1 - rate) / y.size)
    assert abs(y.mean() - 1) < 5 * deviation
    assert abs((y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / y.size)


def test_the_kernel_level_functions_agree(dtype):
    """kernels.dense_backward, the activations and losses compose to the network's own gradient."""
    from gradcore import kernels

    net = cases.network(gradcore, [cases.dense(6, "tanh"), cases.dense(3)], INPUTS, seed=3, dtype=dtype)
    w0, b0, w1, b1 = net.parameters().values()
    x = cases.normal((8, INPUTS), dtype, "x")
    labels = np.arange(8) % 3
    z0 = kernels.dense_forward(x, w0, b0)
    h = kernels.tanh(z0)
    _, d = kernels.softmax_cross_entropy(kernels.dense_forward(h, w1, b1), labels, gradient=True)
    d_h, d_w1, d_b1 = kernels.dense_backward(h, w1, d)
    d_x, d_w0, d_b0 = kernels.dense_backward(x, w0, kernels.tanh_backward(z0, d_h))
    trainer = gradcore.Trainer(net, "cross_entropy", optimizers.SGD(0.1))
    _, gradients = trainer.gradients(x, labels)
    bar = 1e-13 if dtype == "float64" else 2e-6
    for got, want in zip((d_w0, d_b0, d_w1, d_b1), gradients.values(), strict=True):
        assert norm_error(got, want) < bar
    assert d_x.shape == x.shape
