"""Levenberg-Marquardt, step by step, and what it reaches."""

import numpy as np
import pytest
from gradcore import Dense, Network, Residual, Standardize, Trainer, optimizers
from gradcore.second_order import fit_loop
from gradcore.second_order.points import Point
from gradcore.training.core_trainer import reserve
from gradcore.training.fit_state import Data
from oracle import exact
from support import cases

LM = optimizers.LevenbergMarquardt()


def test_levenberg_marquardt_fits_a_smooth_function_to_small_residuals():
    """2-20-1 tanh: an mse that first-order methods do not reach."""
    x = cases.generator("surrogate", 400).uniform(-1, 1, (400, 2))
    y = np.sin(3 * x[:, 0]) * np.cos(2 * x[:, 1]) + x[:, 0] * x[:, 1]
    for options in ({}, {"decrease": 3.0, "increase": 2.0}, {"damping": "fletcher"}):
        net = Network([Dense(20, "tanh"), Dense(1)], inputs=2, seed=0, dtype="float64")
        trainer = Trainer(net, "mse", optimizers.LevenbergMarquardt(**options))
        trainer.fit(x, y, epochs=200, progress=False)
        assert trainer.evaluate(x, y)["loss"] < 2e-6, options


def jacobian(net, x, step=1e-6):
    """By central differences: (rows * outputs, parameters)."""
    flat = net._core.read_flat()
    columns = []
    for i in range(len(flat)):
        values = []
        for sign in (1, -1):
            shifted = flat.copy()
            shifted[i] += sign * step
            net._core.write_flat(shifted)
            values.append(net.predict(x).reshape(-1))
        columns.append((values[0] - values[1]) / (2 * step))
    net._core.write_flat(flat)
    return np.stack(columns, axis=1)


def normal_case(weighted):
    net = Network(
        [Standardize(), Dense(4, "silu"), Residual(Dense(4, "tanh")), Dense(2)], inputs=3, dtype="float64"
    )
    x = cases.generator("jacobian").normal(size=(11, 3))
    y = cases.generator("target").normal(size=(11, 2))
    weight = cases.generator("weight").uniform(0.5, 2, 11) if weighted else None
    net.standardize(x)
    trainer = Trainer(net, "mse", LM)
    reserve(trainer._state, 11)
    data = Data(x, y, weight, None, None, trainer.loss, None, None, {})
    objective = fit_loop.NetworkObjective(trainer._state, data)
    return net, x, y, weight, trainer, objective


@pytest.mark.parametrize("weighted", [False, True])
def test_the_normal_equations_are_exact(weighted):
    net, x, y, weight, _, objective = normal_case(weighted)
    point = objective(objective.parameters())
    matrix, right = objective.normal_matrix(point)
    j, r = jacobian(net, x), (net.predict(x) - y).reshape(-1)
    w = np.ones(22) if weight is None else np.repeat(weight / weight.mean(), 2)
    np.testing.assert_allclose(matrix, j.T @ (w[:, None] * j), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(right, j.T @ (w * r), rtol=1e-7, atol=1e-8)
    assert np.array_equal(matrix, matrix.T)


def test_a_step_solves_the_damped_equations_and_mu_follows():
    net, x, y, _, trainer, objective = normal_case(False)
    point = objective(objective.parameters())
    matrix, right = objective.normal_matrix(point)
    done = LM.advance(objective, point, {"mu": 0.5, "scale": []})
    damped = matrix + 0.5 * np.eye(len(right))
    np.testing.assert_allclose(done.point.x, point.x - np.linalg.solve(damped, right), rtol=1e-9)
    assert done.memory["mu"] == 0.05
    assert done.point.value < point.value

    class Worse(fit_loop.NetworkObjective):
        """The first three trials are too high."""

        trials = 0

        def __call__(self, at):
            self.trials += 1
            found = super().__call__(at)
            return Point(at, found.value + 1e3 * (self.trials <= 3), found.gradient)

    worse = Worse(trainer._state, Data(x, y, None, None, None, trainer.loss, None, None, {}))
    done = LM.advance(worse, point, {"mu": 0.5, "scale": []})
    assert worse.trials == 4
    assert done.memory["mu"] == 0.5 * 1000 / 10
    worse.trials = -1000
    done = LM.advance(worse, point, {"mu": 0.5, "scale": []})
    assert (done.reason, done.point) == ("no progress", point)


@pytest.mark.parametrize("damping", ["identity", "fletcher"])
def test_parameters_that_move_nothing_stay_and_keep_nobody_else(damping):
    """Units of relu that no row wakes have no column in J; nor has an input that is 0 throughout."""
    net = Network([Dense(4, "relu"), Dense(1)], inputs=2, seed=0, dtype="float64")
    dead = {"0.bias": np.array([0.0, 0.0, -50.0, -60.0])}
    net.set_parameters(dead)
    x = np.linspace([-1.0, 0.0], [1.0, 0.0], 21)
    before = net.parameters()
    trainer = Trainer(net, "mse", optimizers.LevenbergMarquardt(damping=damping))
    history = trainer.fit(x, np.abs(x[:, :1]), epochs=30, progress=False)
    assert history.loss[-1] < 0.5 * history.loss[0]
    after = net.parameters()
    for name in ("0.weight", "0.bias"):
        assert exact.same_bits(after[name][..., 2:], before[name][..., 2:])
    assert exact.same_bits(after["0.weight"][1], before["0.weight"][1])
