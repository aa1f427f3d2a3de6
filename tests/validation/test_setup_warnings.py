"""Warnings of a last layer that does not suit the loss, and of targets that the outputs can hardly become."""

import itertools
import pickle
import warnings

import gradcore
import numpy as np
import pytest
from gradcore import (
    GLU,
    Activation,
    BatchNorm,
    Dense,
    Dropout,
    GaussianNoise,
    GradcoreWarning,
    Heads,
    LayerNorm,
    LayerScale,
    Maxout,
    Network,
    PReLU,
    Residual,
    SetupWarning,
    Trainer,
    losses,
    optimizers,
    search,
)
from gradcore.validation.intervals import ANY, Interval, of_activation

ROWS = 40
X = np.random.default_rng(0).normal(size=(ROWS, 3))
VALUES = X @ [[1.0], [-2.0], [0.5]]
YES = (X[:, 0] > 0).astype(np.int64)
LABELS = np.arange(ROWS) % 3


def network(*layers, **more):
    return Network([Dense(4, "tanh"), *layers], inputs=3, seed=0, **more)


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in found if issubclass(one.category, SetupWarning)]


def at_trainer(layers, loss):
    return caught(lambda: Trainer(network(*layers), loss, optimizers.Adam()))


def at_fit(layers, loss, y, optimizer=None, x=X, batch_size=8, epochs=1):
    trainer = Trainer(network(*layers), loss, optimizer or optimizers.Adam())
    return caught(lambda: trainer.fit(x, y, epochs=epochs, batch_size=batch_size, progress=False))


# ---- What activations return ----


@pytest.mark.parametrize("name", gradcore.names("activation"))
def test_the_interval_of_an_activation_holds_what_it_returns(name):
    found = of_activation(name, None)
    points = np.random.default_rng(1).normal(size=(1, 4000)) * 8
    values = gradcore._core.activation_forward(name, points, None, float(
        gradcore._core.describe("activation", name, "alpha") or 0
    ))  # fmt: skip
    assert found.low <= values.min() + 1e-5 and values.max() - 1e-5 <= found.high
    assert min(abs(found.low), abs(found.high)) > 1e-3 or 0 in (found.low, found.high)


def test_the_intervals_are_the_known_ones():
    want = {
        "identity": (-np.inf, np.inf), "leaky_relu": (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6),
        "sigmoid": (0, 1), "tanh": (-1, 1), "softsign": (-1, 1), "softplus": (0, np.inf), "sin": (-1, 1),
        "exponential": (0, np.inf), "log_sigmoid": (-np.inf, 0), "gaussian": (0, 1), "elu": (-1, np.inf),
    }  # fmt: skip
    for name, (low, high) in want.items():
        found = of_activation(name, None)
        assert found.low == pytest.approx(low, abs=1e-5) and found.high == pytest.approx(high, abs=1e-5), name
    assert of_activation("silu", None).low == pytest.approx(-0.278465, abs=1e-5)
    assert of_activation("elu", 3.0).low == pytest.approx(-3)
    assert of_activation("relu", None, Interval(-1, 1)) == Interval(0, 1)
    assert of_activation("leaky_relu", None, Interval(0, 2)) == Interval(0, 2)


# ---- Mismatches, each with what to write instead ----

LOGITS = {
    "binary_cross_entropy": 1, "binary_focal": 1, "cross_entropy": 3, "focal": 3, "kl_divergence": 3,
    "poisson": 1, "gaussian_nll": 2,
}  # fmt: skip
BOUNDED = (
    "sigmoid",
    "tanh",
    "relu",
    "softplus",
    "elu",
    "gelu",
    "hard_sigmoid",
    "relu6",
    "exponential",
    "gaussian",
)


@pytest.mark.parametrize("loss", LOGITS)
def test_a_bounded_function_before_a_loss_of_logits(loss):
    units = LOGITS[loss]
    for name in BOUNDED:
        for layers, place, remedy in (
            ([Dense(units, name)], "layers[1]", f"write Dense({units}) there"),
            ([Dense(units), Activation(name)], "layers[2]", "leave it out"),
            ([Dense(units, name), Dropout(0.1)], "layers[1]", f"write Dense({units}) there"),
            ([Dense(units, name, bias=False, weight_norm=True), GaussianNoise(0.1)], "layers[1]",
             f"write Dense({units}, bias=False, weight_norm=True) there"),
            ([Dense(units, "softplus"), Residual(Dense(units, name))], "layers[2]",
             f"put Dense({units}) behind it"),
        ):  # fmt: skip
            (message,) = at_trainer(layers, loss)
            assert message.startswith("loss: expected outputs that are "), message
            assert f"for {loss}, got those of {place}, " in message and remedy in message, message
            assert eval(f"network({remedy_layers(layers, remedy)})", {**globals(), "network": network})


def remedy_layers(layers, remedy):
    """The layers as the message has them; none of these warns."""
    if remedy == "leave it out":
        fixed = [repr(layer) for layer in layers[:-1]]
    elif remedy.startswith("put "):
        fixed = [*map(repr, layers), remedy.removeprefix("put ").removesuffix(" behind it")]
    else:
        fixed = [remedy.removeprefix("write ").removesuffix(" there"), *map(repr, layers[1:])]
    return ", ".join(fixed)


def test_the_remedy_is_sound_and_tells_how_to_predict():
    (message,) = at_trainer([Dense(1, "sigmoid")], "binary_cross_entropy")
    assert "net.predict(X, output='sigmoid') gives probabilities" in message
    net = network(Dense(1))
    assert not caught(lambda: Trainer(net, "binary_cross_entropy", optimizers.Adam()).fit(X, YES, epochs=1))
    assert ((net.predict(X, output="sigmoid") > 0) & (net.predict(X, output="sigmoid") < 1)).all()
    (message,) = at_trainer([Dense(3, "relu")], "cross_entropy")
    assert "net.predict(X, output='softmax') gives probabilities" in message


def test_margins_need_both_signs():
    for loss in ("hinge", "squared_hinge"):
        for name in ("sigmoid", "relu", "softplus"):
            assert len(at_trainer([Dense(1, name)], loss)) == 1
        for name in ("tanh", "hard_tanh", None, "leaky_relu"):
            assert not at_trainer([Dense(1, name)], loss)


def test_rates_of_poisson_must_not_be_negative():
    loss = losses.Poisson(log_input=False)
    for name in (None, "tanh", "elu"):
        (message,) = at_trainer([Dense(1, name)], loss)
        assert "rates, not negative" in message and "write Dense(1, 'softplus') there" in message
    for name in ("softplus", "exponential", "relu", "squareplus", "sigmoid"):
        assert not at_trainer([Dense(1, name)], loss)


def test_each_head_has_its_own():
    net = Network(
        [
            Dense(4, "relu"),
            Heads({"a": [Dense(1, "relu")], "b": [Dense(4), Dense(3, "tanh")], "c": Dense(1)}),
        ],
        inputs=3, seed=0,
    )  # fmt: skip
    own = {"a": "mse", "b": "cross_entropy", "c": "mse"}
    trainers = []
    (message,) = caught(lambda: trainers.append(Trainer(net, own, optimizers.Adam())))
    assert message.startswith("loss['b']: expected") and "layers[1.b.1], Dense(3, 'tanh')" in message
    y = {"a": VALUES, "b": LABELS, "c": VALUES * 1e5}
    messages = caught(lambda: trainers[0].fit(X, y, epochs=1, batch_size=8, progress=False))
    assert [message.split(":")[0] for message in messages] == ["y['a']", "y['c']"]
    assert "layers[1.a.0], Dense(1, 'relu')" in messages[0] and "net.predict(X)['c'] * " in messages[1]


@pytest.mark.parametrize(
    ("name", "y", "bad"),
    [
        ("relu", VALUES, True), ("relu", np.abs(VALUES), False),
        ("sigmoid", np.abs(VALUES), True), ("sigmoid", np.clip(VALUES, 0, 1), False),
        ("tanh", VALUES * 3, True), ("tanh", np.clip(VALUES, -1, 1), False),
        ("softplus", VALUES, True), ("exponential", np.abs(VALUES) + 0.1, False),
        ("relu6", np.abs(VALUES) * 9, True), ("elu", VALUES * 9, True), ("leaky_relu", VALUES, False),
        ("log_sigmoid", -np.abs(VALUES), False), (None, VALUES, False),
    ],
)  # fmt: skip
def test_targets_out_of_the_outputs_reach(name, y, bad):
    for loss in ("mse", "mae", "huber", losses.Quantile(0.9), "log_cosh", "smooth_l1"):
        messages = at_fit([Dense(1, name)], loss, y)
        assert len(messages) == bad, (loss, messages)
        if bad:
            assert messages[0].startswith("y: expected targets that the outputs can reach, got some from ")
            assert messages[0].endswith("write Dense(1) there")


def test_cosine_needs_the_signs_alone():
    y = np.tile(VALUES, 2) * 1e6 + [0, 1]
    assert at_fit([Dense(2, "relu")], "cosine", y)
    assert not at_fit([Dense(2, "relu")], "cosine", np.abs(y))
    assert not at_fit([Dense(2, "tanh")], "cosine", y)


@pytest.mark.parametrize(
    "y", [VALUES + 1e5, VALUES * 1e5, VALUES - 3e4, VALUES * 2000, np.hstack([VALUES, VALUES + 1e6])]
)
def test_targets_far_from_the_size_of_outputs(y):
    y = np.asarray(y)
    for loss in ("mse", "mae", "huber"):
        (message,) = at_fit([Dense(y.shape[1])], loss, y)
        assert message.startswith("y: expected targets of about the size that outputs begin with")
    fit_with = message.partition("fit with ")[2].partition(", and predict")[0]
    scaled = eval(fit_with)
    net = network(Dense(y.shape[1]), dtype="float64")
    trainer = Trainer(net, "mse", optimizers.Adam(0.03))
    assert not caught(lambda: trainer.fit(X, scaled, epochs=150, batch_size=8, progress=False))
    back = eval(message.partition("predict with ")[2], {"net": net, "X": X, "y": y})
    assert np.abs(back - y).mean() < 0.2 * y.std(axis=0).max()


def test_a_network_that_is_there_already_is_not_warned_of():
    net = network(Dense(1))
    y = VALUES + 1e5
    net.set_parameters({"1.bias": [1e5]})
    trainer = Trainer(net, "mse", optimizers.Adam())
    assert not caught(lambda: trainer.fit(X, y, epochs=1, batch_size=8, progress=False))
    assert not at_fit([Dense(1)], "mse", y, optimizers.LBFGS(), batch_size=None)


def test_batches_of_one_row_before_batch_norm():
    (message,) = at_fit([BatchNorm(), Dense(1)], "mse", VALUES, batch_size=1)
    assert message.startswith("batch_size: expected batches of several rows for layers[1], BatchNorm()")
    assert not at_fit([LayerNorm(), Dense(1)], "mse", VALUES, batch_size=1)
    assert not at_fit([BatchNorm(), Dense(1)], "mse", VALUES[:33], x=X[:33], batch_size=8)


def test_targets_that_do_not_differ():
    for loss, units, y in (("mse", 1, np.zeros(ROWS)), ("cross_entropy", 3, np.full(ROWS, 2)),
                           ("binary_cross_entropy", 1, np.ones(ROWS))):  # fmt: skip
        (message,) = at_fit([Dense(units)], loss, y)
        assert message.startswith("y: expected targets that differ")


# ---- Once, where the user stands, and to be turned off ----


def test_it_comes_once_and_names_the_line_of_the_user():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer = Trainer(network(Dense(1, "relu")), "mse", optimizers.Adam())
        for _ in range(3):
            trainer.fit(X, VALUES, epochs=1, batch_size=8, progress=False)
        sigmoid = Trainer(network(Dense(1, "sigmoid")), "binary_cross_entropy", optimizers.Adam())
        pickle.loads(pickle.dumps(sigmoid)).fit(X, YES, epochs=1, batch_size=8, progress=False)
        pickle.loads(pickle.dumps(trainer)).fit(X, VALUES, epochs=1, batch_size=8, progress=False)
        search.range_test(network(Dense(1, "sigmoid")), X, YES, loss="binary_cross_entropy", steps=10)
    mine = [one for one in found if issubclass(one.category, SetupWarning)]
    assert len(mine) == 3
    assert {one.filename for one in mine} == {__file__}


def test_it_can_be_filtered_by_class():
    assert issubclass(SetupWarning, GradcoreWarning) and issubclass(GradcoreWarning, UserWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SetupWarning)
        Trainer(network(Dense(1, "sigmoid")), "binary_cross_entropy", optimizers.Adam())
    net = network(Dense(1, "relu"))
    trainer = Trainer(net, "mse", optimizers.Adam())
    before = net.parameters()
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradcoreWarning)
        with pytest.raises(SetupWarning):
            trainer.fit(X, VALUES, epochs=1, batch_size=8, progress=False)
    assert trainer.steps == 0
    assert all(np.array_equal(value, before[name]) for name, value in net.parameters().items())


# ---- Sound set-ups ----

LAST = (
    lambda units: [Dense(units)],
    lambda units: [Dense(units, "identity")],
    lambda units: [Dense(units, "leaky_relu")],
    lambda units: [Dense(units), PReLU()],
    lambda units: [Dense(units), Dropout(0.1)],
    lambda units: [Dense(units, weight_norm=True)],
    lambda units: [Dense(units, spectral_norm=True)],
    lambda units: [Dense(units), Residual(Dense(units, "relu"))],
    lambda units: [Residual(Dense(units, "relu"), projection=True)],
    lambda units: [Dense(units, "relu"), Residual(Dense(units, "relu"), gain=0.0)],
    lambda units: [Dense(units, "tanh"), LayerScale()],
    lambda units: [Dense(units, "relu"), BatchNorm()],
    lambda units: [Dense(2 * units), GLU()],
    lambda units: [Maxout(units)],
)
SOUND = {
    "mse": (1, VALUES), "mae": (1, VALUES), "huber": (1, VALUES), "quantile": (1, VALUES),
    "log_cosh": (1, VALUES),
    "cross_entropy": (3, LABELS), "focal": (3, LABELS), "binary_cross_entropy": (1, YES), "hinge": (1, YES),
    "poisson": (1, np.floor(np.abs(VALUES) * 400)), "gaussian_nll": (2, VALUES),
    "kl_divergence": (3, np.random.default_rng(2).dirichlet(np.ones(3), ROWS)),
    "cosine": (3, np.tile(VALUES, 3) - 1),
}  # fmt: skip


@pytest.mark.parametrize("loss", SOUND)
def test_sound_set_ups_are_silent(loss):
    units, y = SOUND[loss]
    for last in LAST:
        trainer = Trainer(network(*last(units)), loss, optimizers.Adam())
        assert not caught(lambda t=trainer: t.fit(X, y, epochs=1, batch_size=8, progress=False)), last(units)
        assert not at_trainer(last(units), loss), last(units)


def test_sound_set_ups_of_other_kinds_are_silent():
    def own(output, target):
        return float((output**2).mean()), 2 * output / output.size

    several = np.hstack([VALUES > 0, VALUES > 1]).astype(float)
    for layers, loss, y in (
        ([Dense(1, "relu")], own, np.zeros(ROWS)),
        ([Dense(2)], "binary_cross_entropy", several),
        ([Dense(3)], "cross_entropy", np.eye(3)[LABELS]),
        ([Dense(1)], "mse", VALUES * 200),
        ([Dense(2, "softplus")], losses.GaussianNLL(log_variance=False), np.abs(VALUES)),
        ([Dense(1, "exponential")], "mse", np.abs(VALUES) * 1e5 + 1),
    ):
        assert not at_trainer(layers, loss)
        assert not at_fit(layers, loss, y)


# ---- Labels that are not what the loss takes: the error says what to write ----


@pytest.mark.parametrize(
    ("units", "loss", "y", "hint"),
    [
        (3, "cross_entropy", LABELS + 1, "; for labels that begin at 1 use y - 1"),
        (3, "focal", LABELS + 1.0, "; for labels that begin at 1 use y - 1"),
        (3, losses.CrossEntropy(ignore_index=-100), np.where(LABELS, LABELS + 1, -100), None),
        (1, "binary_cross_entropy", LABELS, "; for 3 classes use cross_entropy and a last layer Dense(3)"),
        (1, "binary_cross_entropy", YES * 2 - 1, "; for labels -1 and 1 use (y + 1) / 2, or the loss hinge"),
        (2, "binary_cross_entropy", LABELS, "or cross_entropy and Dense(3) for 3 classes"),
        (2, "binary_cross_entropy", YES, "use Dense(1) for a yes or no, or cross_entropy and Dense(2)"),
        (1, "cross_entropy", YES, "use binary_cross_entropy for one output"),
    ],
)  # fmt: skip
def test_labels_of_another_kind(units, loss, y, hint):
    with pytest.raises(gradcore.GradcoreError) as caught_error:
        Trainer(network(Dense(units)), loss, optimizers.Adam()).fit(X, y, epochs=1, batch_size=8)
    assert ": expected" in str(caught_error.value)
    assert hint is None or hint in str(caught_error.value), caught_error.value


def test_intervals_add_and_print():
    assert Interval(0.0) + Interval(-1.0, 2.0) == Interval(-1.0)
    assert [str(one) for one in (ANY, Interval(0.0), Interval(high=1.0), Interval(0, 1))] == [
        "any number", "nothing below 0", "nothing above 1", "nothing outside [0, 1]",
    ]  # fmt: skip
    points = (-2.0, 0.0, 3.0)
    for low, high in itertools.combinations(points, 2):
        assert ANY.holds(Interval(low, high)) and not Interval(low, high).holds(ANY)


@pytest.mark.parametrize("scale", [1e200, 1.7e308])
def test_targets_near_the_largest_number_bring_this_warning_alone(scale):
    """Not one of NumPy's, which is an error where those are errors."""
    net = Network([Dense(1)], inputs=2, dtype="float64")
    trainer = Trainer(net, "mse", optimizers.SGD(1e-3))
    x = np.linspace([0.0, 1.0], [1.0, 0.0], 8)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        trainer.fit(x, scale * np.linspace(-1, 1, 8), epochs=1, batch_size=8, progress=False)
    size, skipped, nothing = [str(each.message) for each in seen]
    assert "the size that outputs begin with" in size and "not finite" in skipped
    assert "nothing was trained" in nothing
