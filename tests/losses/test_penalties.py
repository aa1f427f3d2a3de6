"""Penalties on weights: value, gradient, where they are reported, files, bits."""

import numpy as np
import oracle
import pytest
from gradcore import Dense, Network, Residual, Trainer, _core, clipping, losses, optimizers
from gradcore.errors import ArgumentError, DTypeError
from oracle import exact
from support import cases, norm_error, raw

PENALTIES = {
    "L1": (losses.L1(0.03), 0.03, 0.0),
    "L2": (losses.L2(0.05), 0.0, 0.05),
    "Elastic": (losses.Elastic(0.02, 0.07), 0.02, 0.07),
    "none": (losses.L2(0.0), 0.0, 0.0),
}
BAD = {
    "negative": (lambda: losses.L1(-1.0), ArgumentError, "L1: strength"),
    "nan": (lambda: losses.L2(np.nan), ArgumentError, "finite"),
    "huge": (lambda: losses.Elastic(1.0, 1e11), ArgumentError, "Elastic: l2"),
    "text": (lambda: losses.L2("1"), DTypeError, "strength"),
    "no penalty": (lambda: Dense(3, penalty=0.1), DTypeError, "Dense: penalty"),
}


def make(penalty, dtype="float64", threads=None, width=70, batch=9, **options):
    layers = [Dense(width, "tanh", penalty=penalty), Residual(Dense(width, penalty=penalty)), Dense(3)]
    net = Network(layers, inputs=5, seed=2, dtype=dtype, threads=threads)
    x, y = cases.normal((batch, 5), dtype, "penalty x"), cases.normal((batch, 3), dtype, "penalty y")
    return Trainer(net, "mse", optimizers.Adam(0.01), **options), x, y


def expected(net, l1, l2):
    """The penalty of the weights of the first two layers."""
    weights = [net.parameters()[name].astype(np.float64) for name in ("0.weight", "1.0.weight")]
    return sum(l1 * np.abs(w).sum() + l2 * (w * w).sum() for w in weights)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_penalty_is_refused(name):
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("name", PENALTIES)
def test_it_is_part_of_loss_and_gradient_and_of_evaluate(dtype, name):
    penalty, l1, l2 = PENALTIES[name]
    (trainer, x, y), (plain, _, _) = make(penalty, dtype), make(None, dtype)
    value, tolerance = expected(trainer.net, l1, l2), 1e-5 if dtype == "float32" else 1e-12
    loss, gradients = trainer.gradients(x, y)
    bare, without = plain.gradients(x, y)
    assert loss == pytest.approx(bare + value, rel=tolerance)
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(
        plain.evaluate(x, y)["loss"] + value, rel=tolerance
    )
    for key, gradient in gradients.items():
        w = trainer.net.parameters()[key]
        own = l1 * np.sign(w) + 2 * l2 * w if key in ("0.weight", "1.0.weight") else 0 * w
        assert np.allclose(gradient, without[key] + own, rtol=tolerance, atol=tolerance)
    norm = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients.values()))
    trainer.step(x, y)
    assert trainer._state.core.last_report()[3] == pytest.approx(norm, rel=tolerance)


def test_gradients_are_four_point_differences():
    trainer, x, y = make(losses.Elastic(0.02, 0.07), width=4)
    start = trainer.net.parameters()
    _, gradients = trainer.gradients(x, y)
    for name, gradient in gradients.items():
        values = start[name].copy()

        def value(name=name, values=values):
            trainer.net.set_parameters({name: values})
            return trainer.gradients(x, y)[0]

        assert norm_error(gradient, oracle.four_point(value, values, 1e-5)) <= 1e-8
        trainer.net.set_parameters({name: start[name]})


@pytest.mark.parametrize("batch", [9, 1100])
def test_bits_are_the_same_for_any_number_of_threads_and_instruction_set(dtype, batch):
    """Large batches of small networks make their gradients by blocks of rows."""
    results = []
    for threads in (1, 2, 3):
        trainer, x, y = make(
            losses.Elastic(0.02, 0.07), dtype, threads, batch=batch, clip=clipping.GlobalNorm(0.5)
        )
        results.append(([trainer.step(x, y) for _ in range(3)], trainer.net.parameters()))
    for steps, parameters in results[1:]:
        assert steps == results[0][0]
        assert all(exact.same_bits(parameters[key], value) for key, value in results[0][1].items())
    assert trainer.gradients(x, y)[0] == pytest.approx(trainer.evaluate(x, y)["loss"], rel=1e-6)


def test_kernels_agree(dtype):
    w, g = cases.normal(77, dtype, "w"), cases.normal(77, dtype, "g")
    w[5] = 0
    results = []
    for isa in _core.names("isa"):
        out = g.copy()
        value = raw.Kernels(isa, dtype).penalize(77, w, 0.3, 0.7, out)
        assert raw.Kernels(isa, dtype).penalize(77, w, 0.3, 0.7, None) == value
        results.append((value, out))
    assert all(value == results[0][0] and exact.same_bits(out, results[0][1]) for value, out in results)
    wide = w.astype(np.float64)
    assert results[0][0] == pytest.approx(0.3 * np.abs(wide).sum() + 0.7 * (wide**2).sum(), rel=1e-14)
    assert results[0][1][5] == g[5]


def test_passes_by_hand_leave_it_out():
    trainer, x, y = make(losses.L2(0.05))
    plain, _, _ = make(None)
    for net in (trainer.net, plain.net):
        net.backward(2 * (net.forward(x, training=True) - y) / y.size)
    got, want = trainer.net.gradients(), plain.net.gradients()
    assert all(exact.same_bits(got[key], want[key]) for key in want)


def test_files_keep_it_and_a_checkpoint_resumes_bit_for_bit(tmp_path):
    trainer, x, y = make(losses.Elastic(0.02, 0.07))
    trainer.step(x, y)
    trainer.save(tmp_path / "t")
    resumed = Trainer.load(tmp_path / "t")
    assert resumed.net.layers == trainer.net.layers
    assert [trainer.step(x, y) for _ in range(3)] == [resumed.step(x, y) for _ in range(3)]
    trainer.net.save(tmp_path / "n")
    again = Trainer(Network.load(tmp_path / "n"), "mse", optimizers.SGD(0.1))
    assert again.evaluate(x, y) == trainer.evaluate(x, y)


def test_l1_makes_weights_small_and_history_reports_it():
    trainer, x, y = make(losses.L1(0.01))
    before = np.abs(trainer.net.parameters()["0.weight"]).mean()
    history = trainer.fit(x, y, epochs=50, batch_size=9, validation=(x, y))
    assert np.abs(trainer.net.parameters()["0.weight"]).mean() < 0.7 * before
    assert history.val_loss[-1] == trainer.evaluate(x, y)["loss"]
    assert history.loss[-1] == pytest.approx(history.val_loss[-2], rel=1e-9)


def test_the_core_checks_too():
    net = make(None)[0].net._core
    for arguments in ((0, -1.0, 0.0), (0, 0.0, np.inf), (99, 0.0, 0.0)):
        with pytest.raises(ArgumentError):
            net.set_penalty(*arguments)
