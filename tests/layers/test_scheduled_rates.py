"""Dropout and noise whose rate is a schedule: a step has the rate of its number, wherever it is taken."""

import numpy as np
import pytest
from gradcore import (
    AlphaDropout,
    ArgumentError,
    Dense,
    Dropout,
    DTypeError,
    GaussianNoise,
    Network,
    Residual,
    ShapeError,
    Trainer,
    clipping,
    losses,
    optimizers,
    schedules,
)
from gradcore.training.core_trainer import reserve
from oracle import exact
from support import cases

LINE = schedules.Linear(0.0, 0.9, steps=30)  # at 0 nothing is dropped, and masks are needed all the same
KINDS = {"dropout": Dropout, "alpha_dropout": AlphaDropout, "gaussian_noise": GaussianNoise}


def network(rate, dtype="float32", threads=None, kind=Dropout):
    layers = [Dense(8, "tanh"), kind(rate), Residual(Dense(8, "tanh"), kind(rate)), Dense(2)]
    return Network(layers, inputs=5, seed=3, dtype=dtype, threads=threads)


def data(rows, dtype="float32"):
    return cases.normal((rows, 5), dtype, "x"), cases.normal((rows, 2), dtype, "y")


@pytest.mark.parametrize("step", [0, 1, 17, 30, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_has_the_rate_of_its_step(dtype, kind, step):
    """The same bits, forward and backward, as with that rate for good."""
    x, d = data(20, dtype)
    got, want = network(LINE, dtype, kind=KINDS[kind]), network(LINE(step), dtype, kind=KINDS[kind])
    one, other = (net.forward(x, training=True, step=step) for net in (got, want))
    assert exact.same_bits(one, other)
    assert exact.same_bits(got.backward(d), want.backward(d))
    assert exact.same_bits(got.predict(x), want.predict(x))


@pytest.mark.parametrize("kind", KINDS)
def test_steps_by_hand_have_the_rates_of_their_numbers(kind):
    """A trainer with one constant rate after the other, moved on to every step, is the oracle."""
    x, y = data(16)
    got = Trainer(network(LINE, kind=KINDS[kind]), "mse", optimizers.SGD(0.1))
    for step in range(8):
        once = Trainer(network(LINE(step), kind=KINDS[kind]), "mse", optimizers.SGD(0.1))
        once.step(x, y)
        once._state.core.set_progress(step, step)
        once.net.set_parameters(got.net.parameters())
        assert got.gradients(x, y)[0] == once.gradients(x, y)[0]
        assert got.step(x, y) == once.step(x, y)
        for name, value in once.net.parameters().items():
            assert exact.same_bits(got.net.parameters()[name], value)


def test_a_fit_is_its_steps_for_any_number_of_threads():
    x, y = data(64)
    by_hand = Trainer(network(LINE), "mse", optimizers.Adam(0.01))
    for _ in range(5):
        for first in range(0, 64, 16):
            by_hand.step(x[first : first + 16], y[first : first + 16])
    for threads in (1, 2, 5):
        trainer = Trainer(network(LINE, threads=threads), "mse", optimizers.Adam(0.01))
        trainer.fit(x, y, epochs=5, batch_size=16, shuffle=False)
        for name, value in by_hand.net.parameters().items():
            assert exact.same_bits(trainer.net.parameters()[name], value)


def test_a_schedule_that_stays_is_the_number():
    x, y = data(40)
    seen = set()
    for rate in (0.3, schedules.Constant(0.3)):
        trainer = Trainer(network(rate), "mse", optimizers.Adam(0.01), clip=clipping.GlobalNorm(1.0))
        trainer.fit(x, y, epochs=3, batch_size=16)
        seen.add(trainer.net.parameters()["0.weight"].tobytes())
    assert len(seen) == 1


def test_a_checkpoint_in_the_middle_goes_on_bit_for_bit(tmp_path):
    x, y = data(64)
    rate = schedules.ReduceOnPlateau(LINE, factor=0.5, patience=0, threshold=10.0)
    whole = Trainer(network(rate), "mse", optimizers.Adam(0.01))
    whole.fit(x, y, epochs=6, batch_size=16)
    half = Trainer(network(rate), "mse", optimizers.Adam(0.01))
    half.fit(x, y, epochs=3, batch_size=16)
    half.save(tmp_path / "half.gradcore")
    resumed = Trainer.load(tmp_path / "half.gradcore")
    assert resumed.net.layers == half.net.layers
    assert repr(resumed.net) == repr(half.net)
    scales = {name: state.scale for name, state in resumed._state.hypers.plateaus.items()}
    assert set(scales) == {"layers[1]: rate", "layers[2.1]: rate"}
    assert max(scales.values()) < 1
    resumed.fit(x, y, epochs=3, batch_size=16)
    for name, value in whole.net.parameters().items():
        assert exact.same_bits(resumed.net.parameters()[name], value)


def test_a_larger_batch_later_takes_the_rates_along():
    x, y = data(64)
    once, grown = (Trainer(network(LINE), "mse", optimizers.SGD(0.1)) for _ in range(2))
    reserve(once._state, 64)
    for trainer in (once, grown):
        trainer.step(x[:8], y[:8])
        trainer.step(x, y)
    assert exact.same_bits(once.net.parameters()["0.weight"], grown.net.parameters()["0.weight"])


def test_networks_with_schedules_copy_and_save(tmp_path):
    net = network(LINE)
    net.save(tmp_path / "net.gradcore")
    x, _ = data(9)
    want = net.forward(x, training=True, step=12)
    for other in (net.clone(), Network.load(tmp_path / "net.gradcore")):
        assert exact.same_bits(other.forward(x, training=True, step=12), want)
    with pytest.raises(ArgumentError, match=r"layers\[1\]\.rate: expected a number or a class of gradcore"):
        network(lambda step: 0.1).save(tmp_path / "own.gradcore")


@pytest.mark.parametrize(("value", "error"), [(1.0, ArgumentError), (-0.1, ArgumentError), ("a", DTypeError)])
def test_a_bad_value_stops_before_its_step(value, error):
    x, y = data(8)
    trainer = Trainer(network(lambda step: value if step == 2 else 0.5), "mse", optimizers.SGD(0.1))
    trainer.step(x, y)
    trainer.step(x, y)
    before = trainer.net.parameters()
    with pytest.raises(error, match=r"layers\[1\]: rate: expected a .* at step 2"):
        trainer.step(x, y)
    assert trainer.steps == 2
    assert all(exact.same_bits(value, before[name]) for name, value in trainer.net.parameters().items())


BAD_TABLES = [
    (np.zeros((1, 1)), ShapeError, "rates: expected 2 columns, for what is scheduled, got 1"),
    (np.zeros(2), DTypeError, "rates: expected a float64 array of shape"),
    (np.zeros((0, 2)), ShapeError, "rates: expected at least one step"),
    (np.full((3, 2), 1.0), ArgumentError, r"rates: expected a number in \[0, 1\) at step 7, got 1"),
    (np.full((3, 2), np.nan), ArgumentError, "at step 7, got nan"),
]


@pytest.mark.parametrize(("table", "error", "message"), BAD_TABLES)
def test_the_core_checks_its_table(table, error, message):
    x, y = data(8)
    trainer = Trainer(network(LINE), "mse", optimizers.SGD(0.1))
    trainer.step(x, y)
    with pytest.raises(error, match=message):
        trainer._state.core.set_rates(7, table)
    with pytest.raises(ShapeError, match="expected 0 columns"):
        constant = Trainer(network(0.1), "mse", optimizers.SGD(0.1))
        constant.step(x, y)
        constant._state.core.set_rates(0, np.zeros((1, 2)))


# ---- Strengths of penalties ----

FALLING = schedules.Linear(0.3, 0.0, steps=10)
STRENGTHS = {
    "L1": (losses.L1(FALLING), lambda s: losses.L1(FALLING(s))),
    "L2": (losses.L2(FALLING), lambda s: losses.L2(FALLING(s))),
    "Elastic": (losses.Elastic(0.02, FALLING), lambda s: losses.Elastic(0.02, FALLING(s))),
}


def penalized(penalty, dtype="float32", threads=None, rate=0.2):
    layers = [Dense(8, "tanh", penalty=penalty), Dropout(rate), Residual(Dense(8, penalty=penalty)), Dense(2)]
    return Network(layers, inputs=5, seed=3, dtype=dtype, threads=threads)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_step_has_the_strengths_of_its_number(dtype, name):
    """A trainer with one constant strength after the other is the oracle; beside a scheduled rate too."""
    x, y = data(16, dtype)
    schedule, at = STRENGTHS[name]
    got = Trainer(penalized(schedule, dtype, rate=LINE), "mse", optimizers.SGD(0.1))
    for step in range(12):
        once = Trainer(penalized(at(step), dtype, rate=LINE), "mse", optimizers.SGD(0.1))
        once.step(x, y)
        once._state.core.set_progress(step, step)
        once.net.set_parameters(got.net.parameters())
        assert got.gradients(x, y)[0] == once.gradients(x, y)[0]
        if step == 0:
            assert got.evaluate(x, y) == once.evaluate(x, y)
        assert got.step(x, y) == once.step(x, y)
        assert got.evaluate(x, y) == once.evaluate(x, y), "the last step's strengths"
        for key, value in once.net.parameters().items():
            assert exact.same_bits(got.net.parameters()[key], value)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_fit_with_penalties_is_its_steps_and_resumes(name, tmp_path):
    x, y = data(64)
    schedule, _ = STRENGTHS[name]
    by_hand = Trainer(penalized(schedule), "mse", optimizers.Adam(0.01), clip=clipping.GlobalNorm(1.0))
    for _ in range(4):
        for first in range(0, 64, 16):
            by_hand.step(x[first : first + 16], y[first : first + 16])
    for threads in (1, 2, 5):
        trainer = Trainer(penalized(schedule, threads=threads), "mse", optimizers.Adam(0.01),
                          clip=clipping.GlobalNorm(1.0))  # fmt: skip
        trainer.fit(x, y, epochs=2, batch_size=16, shuffle=False)
        trainer.save(tmp_path / "half.gradcore")
        resumed = Trainer.load(tmp_path / "half.gradcore")
        assert resumed.evaluate(x, y) == trainer.evaluate(x, y)
        assert resumed.net.layers == trainer.net.layers
        for one in (trainer, resumed):
            one.fit(x, y, epochs=2, batch_size=16, shuffle=False)
            for key, value in by_hand.net.parameters().items():
                assert exact.same_bits(one.net.parameters()[key], value)


def test_a_strength_that_listens_to_the_loss_resumes_as_it_was(tmp_path):
    x, y = data(64)
    plateau = schedules.ReduceOnPlateau(0.1, factor=0.5, patience=0, threshold=10.0)  # never content
    penalty = losses.Elastic(plateau, 0.01)
    whole, half = (Trainer(penalized(penalty), "mse", optimizers.Adam(0.01)) for _ in range(2))
    whole.fit(x, y, epochs=6, batch_size=16)
    half.fit(x, y, epochs=3, batch_size=16)
    half.save(tmp_path / "half.gradcore")
    resumed = Trainer.load(tmp_path / "half.gradcore")
    assert resumed.evaluate(x, y) == half.evaluate(x, y)
    assert max(state.scale for state in resumed._state.hypers.plateaus.values()) < 0.5
    resumed.fit(x, y, epochs=3, batch_size=16)
    assert resumed.evaluate(x, y) == whole.evaluate(x, y)
    for name, value in whole.net.parameters().items():
        assert exact.same_bits(resumed.net.parameters()[name], value)


def test_a_strength_out_of_range_stops_before_its_step():
    x, y = data(8)
    penalty = losses.L2(lambda step: -1.0 if step == 2 else 0.5)
    trainer = Trainer(penalized(penalty), "mse", optimizers.SGD(0.1))
    trainer.step(x, y)
    trainer.step(x, y)
    before, scores = trainer.net.parameters(), trainer.evaluate(x, y)
    with pytest.raises(ArgumentError, match=r"layers\[0\]: penalty: l2: .* 0 to 1e10 .* at step 2"):
        trainer.step(x, y)
    with pytest.raises(ArgumentError, match="rates: expected a number from 0 to 1e10 at step 5, got -1"):
        trainer._state.core.set_rates(5, np.full((1, 4), -1.0))
    assert trainer.steps == 2 and trainer.evaluate(x, y) == scores
    assert all(exact.same_bits(value, before[name]) for name, value in trainer.net.parameters().items())


def test_a_refused_step_leaves_the_strengths_of_evaluation():
    x, y = data(8)
    trainer = Trainer(penalized(losses.L1(FALLING)), "mse", optimizers.SGD(0.1), nonfinite="raise")
    trainer.step(x, y)
    scores = trainer.evaluate(x, y)
    with pytest.raises(FloatingPointError):
        trainer.step(np.full_like(x, np.nan), y)
    assert trainer.steps == 1 and trainer.evaluate(x, y) == scores
