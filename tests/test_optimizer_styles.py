"""The catalogue of optimizers: other libraries' trajectories, styles, and that each of them optimises."""

import make_optimizer_vectors as others
import make_vectors
import numpy as np
import pytest
from gradcore import optimizers

BARS = {"float64": 1e-12, "float32": 2e-6}
VECTORS = np.load(others.PATH)
# A sum of small differences of weights decides the rate: in float32 it has their rounding errors.
LOOSER = {("prodigy", "float32"): 1e-5}


@pytest.mark.parametrize("name", others.CONFIGURATIONS)
def test_updates_follow_the_library_of_the_style(dtype, name):
    """25 steps with an exact zero, 1e-20, 1e6, a sign flip, an all-zero step and a change of lr; errors are
    relative to the largest value that the number has had."""
    *_, rates, kind, options = others.CONFIGURATIONS[name]
    weights = [value.astype(dtype) for value in make_vectors.start()]
    optimizer = getattr(optimizers, kind)(lr=lambda step: rates[step >= make_vectors.CHANGE], **options)
    largest = np.abs(np.concatenate([w.reshape(-1) for w in weights])).astype(np.float64)
    kept = iter(zip(others.KEPT, VECTORS[name], strict=True))
    at, want = next(kept)
    for step, gradients in enumerate(make_vectors.gradients()):
        optimizer.update(weights, [gradient.astype(dtype) for gradient in gradients])
        got = np.concatenate([w.reshape(-1) for w in weights]).astype(np.float64)
        largest = np.maximum(largest, np.abs(got))
        if step == at:
            error = np.abs(got - want) / np.maximum(largest, np.abs(want))
            bar = LOOSER.get((name, dtype), BARS[dtype])
            assert error.max() <= bar, f"step {step}, number {error.argmax()}: {error.max()}"
            at, want = next(kept, (None, None))
