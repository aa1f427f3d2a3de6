"""The full-batch methods against other libraries: iterations of PyTorch's L-BFGS, the end of SciPy's fits."""

import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, optimizers
from vectors import make_full_batch as vectors

VECTORS = np.load(vectors.PATH)


@pytest.mark.parametrize("name", vectors.TORCH)
def test_lbfgs_without_a_line_search_takes_pytorchs_steps(name):
    history, lr = vectors.TORCH[name]
    method = optimizers.LBFGS(history, tolerance=0.0, line_search=None, lr=lr)
    seen = []
    optimizers.minimize(
        vectors.valley,
        vectors.START,
        method,
        steps=vectors.STEPS,
        callback=lambda x, value: seen.append(x.copy()),
    )
    want = VECTORS[name]
    assert len(seen) == len(want) == vectors.STEPS
    for got, expected in zip(seen, want, strict=True):
        assert np.abs(got - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.parametrize(
    "options", [{}, {"decrease": 3.0, "increase": 2.0}, {"damping": "fletcher"}], ids=str
)
def test_levenberg_marquardt_ends_where_scipys_does(options):
    x, y, start = vectors.regression()
    net = Network([Dense(vectors.WIDTHS[1], "tanh"), Dense(1)], inputs=2, dtype="float64")
    for layer, (weight, bias) in enumerate(start):
        net.set_parameters({f"{layer}.weight": weight, f"{layer}.bias": bias})
    trainer = Trainer(net, "mse", optimizers.LevenbergMarquardt(tolerance=1e-10, **options))
    history = trainer.fit(x, y, epochs=30, progress=False)
    assert len(history) < 30
    assert trainer.evaluate(x, y)["loss"] == pytest.approx(float(VECTORS["scipy"]), rel=1e-12)
