"""Rules on weights: they hold after every update, and do what the oracle does."""

import numpy as np
import pytest
from gradcore import Dense, LayerNorm, Network, Trainer, clipping, optimizers
from oracle import clipping as rc
from oracle import exact
from support.clip_problem import batch, network


@pytest.mark.parametrize("outputs", [1, 3, 20])
@pytest.mark.quick
def test_constraints_hold_after_every_update(dtype, outputs):
    x, y = batch(outputs, 40)
    for constraint, holds in (
        (clipping.MaxNorm(0.5), lambda w: (rc.unit_norms(w) <= 0.5 * (1 + 1e-6)).all()),
        (clipping.UnitNorm(2.0), lambda w: np.allclose(rc.unit_norms(w), 2.0, rtol=1e-6)),
        (clipping.Box(-0.05, 0.1), lambda w: w.min() >= np.float32(-0.05) and w.max() <= np.float32(0.1)),
        (clipping.NonNegative(), lambda w: w.min() == 0),
    ):
        net = network((50, 17), outputs, dtype)
        trainer = Trainer(net, "mse", optimizers.Adam(0.05), constraint=constraint)
        for _ in range(3):
            trainer.step(x, y)
            for name, value in net.parameters().items():
                if name.endswith("weight"):
                    assert holds(value.astype(np.float64)), name
        assert all(net.parameters()[f"{i}.bias"].any() for i in range(3))
        scores = trainer.evaluate(x, y)["loss"]
        clone = net.clone()
        assert exact.same_bits(net.predict(x), clone.predict(x)), "copies of the weights were refreshed"
        assert trainer.step(x, y) == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize(
    ("constraint", "oracle"),
    [
        (clipping.MaxNorm(0.6), lambda w: rc.max_norm(w, 0.6)),
        (clipping.UnitNorm(), rc.unit_norm),
        (clipping.Box(-0.1, 0.2), lambda w: np.clip(w, -0.1, 0.2)),
        (clipping.NonNegative(), lambda w: np.maximum(w, 0)),
    ],
    ids=["MaxNorm", "UnitNorm", "Box", "NonNegative"],
)
@pytest.mark.parametrize("outputs", [1, 2, 24])
def test_a_constraint_does_what_the_oracle_does(constraint, oracle, outputs):
    x, y = batch(outputs)
    free, bound = network(outputs=outputs), network(outputs=outputs)
    weight = free.parameters()["1.weight"]
    weight[:, 5] = 0.0
    for net in (free, bound):
        net.set_parameters({"1.weight": weight})
    Trainer(free, "mse", optimizers.SGD(1e-300)).step(x, y)
    Trainer(bound, "mse", optimizers.SGD(1e-300), constraint=constraint).step(x, y)
    for name, value in free.parameters().items():
        want = oracle(value) if name.endswith("weight") else value
        assert bound.parameters()[name] == pytest.approx(want, rel=1e-14, abs=1e-300)


def test_layer_norms_gammas_are_no_weights():
    net = Network([Dense(12), LayerNorm(), Dense(2)], inputs=9, dtype="float64")
    Trainer(net, "mse", optimizers.SGD(1e-9), constraint=clipping.UnitNorm(0.1)).step(*batch())
    assert net.parameters()["1.gamma"] == pytest.approx(np.ones(12), abs=1e-6)
    assert rc.unit_norms(net.parameters()["2.weight"]) == pytest.approx(np.full(2, 0.1))
