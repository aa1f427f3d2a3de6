"""What the history and the ledger say of rules on gradients, by parameter, against NumPy."""

import math

import numpy as np
import pytest
from gradcore import Trainer, clipping, optimizers, schedules
from oracle import clipping as rc
from support import StopAt, cases, raw
from support.clip_problem import batch, network

ON_THE_WHOLE = [
    clipping.GlobalNorm(0.3),
    clipping.GlobalNorm(0.3, order=1),
    clipping.AutoClip(50),
    clipping.ZClip(0.5, warmup=2),
]
ALL = [
    *ON_THE_WHOLE,
    clipping.ByValue(0.01),
    clipping.ByValue(schedules.Linear(0.5, 0.001, steps=8)),
    clipping.TensorNorm(0.1),
    clipping.Adaptive(0.01),
    clipping.PerExample(0.5),
    [clipping.GlobalNorm(0.3), clipping.Adaptive(0.01)],
    [clipping.Centralize(), clipping.ByValue(0.01), clipping.TensorNorm(0.1)],
]


def fitted(clip, threads=1, epochs=3):
    x, y = batch(2, 24)
    trainer = Trainer(network(threads=threads), "mse", optimizers.SGD(0.1), clip=clip)
    trainer.fit(x, y, epochs=epochs, batch_size=5, progress=False)
    return trainer


@pytest.mark.parametrize("clip", ON_THE_WHOLE, ids=repr)
def test_rules_on_the_whole_gradient_are_in_every_parameters_columns(clip):
    history = fitted(clip).history
    assert 0 < max(history.clipped)
    for name in network().parameters():
        assert history[f"{name}.clipped"] == history.clipped
        assert history[f"{name}.clip_scale"] == pytest.approx(history.clip_scale, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("limit", [1e-3, 0.02, 10.0])
def test_clamped_elements_are_counted(dtype, limit):
    x, y = batch()
    trainer = Trainer(network(dtype=dtype), "mse", optimizers.SGD(1e-12), clip=clipping.ByValue(limit))
    _, gradients = trainer.gradients(x, y)
    trainer.fit(x, y, epochs=1, batch_size=len(x), progress=False)
    factors = []
    bar = {"float32": 1e-6, "float64": 1e-12}[dtype]
    for name, gradient in gradients.items():
        size = np.abs(gradient.astype(np.float64))
        factor = np.minimum(1.0, limit / np.maximum(size, 1e-300))
        factors.append(factor.ravel())
        entry = trainer.clip_ledger()[name]
        assert trainer.history[f"{name}.clipped"] == [entry["clipped"]] == [np.mean(size > limit)]
        assert trainer.history[f"{name}.clip_scale"] == [entry["scale"]]
        assert entry["scale"] == pytest.approx(factor.mean(), rel=bar)
    mean = np.concatenate(factors).mean()
    assert trainer.history.clipped == [float(mean < 1)]
    assert trainer.history.clip_scale[0] == pytest.approx(mean, rel=bar)


def unit_factors(gradients, weights, rows):
    """Of rules on parts of the gradient: {parameter: the factor of each unit}."""
    smallest = 1e-300

    def of_norms(order, limit):
        return {name: [rc.factor(rc.norm([g], order), limit)] for name, g in gradients.items()}

    def adaptive(ratio):
        sizes = {name: np.atleast_1d(rc.unit_norms(g)) for name, g in gradients.items()}
        most = {name: ratio * np.maximum(rc.unit_norms(w), 1e-3) for name, w in weights.items()}
        return {n: np.minimum(1.0, most[n] / np.maximum(size, smallest)) for n, size in sizes.items()}

    def by_value(limit):
        sizes = {name: np.maximum(np.abs(g), smallest) for name, g in gradients.items()}
        return {name: np.minimum(1.0, limit / size) for name, size in sizes.items()}

    def of_rows(limit):
        factors = [rc.factor(rc.norm(row.values()), limit) for row in rows]
        return dict.fromkeys(gradients, factors)

    largest = rc.norm(gradients.values(), math.inf)
    return [
        (clipping.TensorNorm(0.1), of_norms(2, 0.1)),
        (clipping.TensorNorm(0.5, order=1), of_norms(1, 0.5)),
        (clipping.TensorNorm(0.02, order=math.inf), of_norms(math.inf, 0.02)),
        (clipping.GlobalNorm(0.3, order=math.inf), dict.fromkeys(gradients, [rc.factor(largest, 0.3)])),
        (clipping.GlobalNorm(0.03, order=math.inf), dict.fromkeys(gradients, [rc.factor(largest, 0.03)])),
        (clipping.Adaptive(0.01), adaptive(0.01)),
        (clipping.PerExample(0.5), of_rows(0.5)),
        ([clipping.ByValue(0.02), clipping.Noise(1e-9)], by_value(0.02)),
        ([clipping.ByValue(5.0), clipping.Noise(1e-9)], by_value(5.0)),
    ]


@pytest.mark.parametrize("outputs", [1, 2, 40])
def test_units_are_counted_as_the_oracle_has_them(isa, outputs):
    """In float64; layers of few outputs are stored the other way round."""
    x, y = batch(outputs)
    plain = Trainer(network(outputs=outputs, isa=isa), "mse", optimizers.SGD(1.0))
    _, gradients = plain.gradients(x, y)
    rows = [plain.gradients(x[i : i + 1], y[i : i + 1])[1] for i in range(len(x))]
    for clip, factors in unit_factors(gradients, plain.net.parameters(), rows):
        trainer = Trainer(network(outputs=outputs, isa=isa), "mse", optimizers.SGD(1e-12), clip=clip)
        trainer.fit(x, y, epochs=1, batch_size=len(x), progress=False)
        ledger = trainer.clip_ledger()
        assert set(ledger) == set(gradients)
        for name, factor in factors.items():
            entry, scaled = ledger[name], np.asarray(factor) < 1
            assert trainer.history[f"{name}.clipped"] == [entry["clipped"]]
            assert entry["clipped"] == pytest.approx(np.mean(scaled), rel=1e-12), (clip, name)
            assert entry["scale"] == pytest.approx(np.mean(factor), rel=1e-9), (clip, name)


@pytest.mark.parametrize("clip", ALL, ids=repr)
def test_the_columns_are_the_same_for_any_threads_and_after_a_resume(clip, tmp_path):
    whole = fitted(clip)
    assert len(whole.history.layers) == 2 * len(whole.net.parameters())
    for threads in (2, 5):
        assert fitted(clip, threads).history.layers == whole.history.layers
    x, y = batch(2, 24)
    part = Trainer(network(), "mse", optimizers.SGD(0.1), clip=clip)
    stop = StopAt(7, tmp_path / "part.gradcore")  # in the second epoch
    with pytest.raises(InterruptedError):
        part.fit(x, y, epochs=3, batch_size=5, progress=False, callbacks=[stop])
    resumed = Trainer.load(tmp_path / "part.gradcore")
    assert len(resumed.history) == 1
    resumed.fit(x, y, epochs=3, batch_size=5, progress=False)
    assert resumed.history.layers == whole.history.layers
    assert resumed.history.since(1).layers == {key: value[1:] for key, value in whole.history.layers.items()}


@pytest.mark.parametrize("clip", ALL, ids=repr)
def test_the_ledger_is_the_epochs_together(clip):
    trainer = fitted(clip)
    for name, entry in trainer.clip_ledger().items():
        assert entry["clipped"] == pytest.approx(np.mean(trainer.history[f"{name}.clipped"]))
        assert entry["scale"] == pytest.approx(np.mean(trainer.history[f"{name}.clip_scale"]))


def test_skipped_steps_and_steps_without_rules_are_not_in_it():
    x, y = batch()
    plain = fitted(None)
    assert plain.history.layers == {} and plain.clip_ledger() == {}
    assert fitted([clipping.Noise(1e-3), clipping.Centralize()]).history.layers == {}
    trainer = Trainer(network(), "mse", optimizers.SGD(0.1), clip=clipping.ByValue(1e-9))
    x[0, 0] = np.nan
    trainer.step(x, y)
    assert trainer.clip_ledger() == {}


def test_accumulated_gradients_are_counted_once_an_update():
    x, y = batch()
    rule = optimizers.Accumulate(optimizers.SGD(1e-12), 3)
    trainer = Trainer(network(), "mse", rule, clip=clipping.ByValue(0.02))
    _, gradients = trainer.gradients(x, y)
    for _ in range(3):
        trainer.step(x, y)
    for name, entry in trainer.clip_ledger().items():
        assert entry["clipped"] == pytest.approx(np.mean(np.abs(gradients[name]) > 0.02), abs=1e-3)


def test_columns_reach_tables_and_not_the_printed_one(tmp_path):
    history = fitted(clipping.GlobalNorm(0.3)).history
    assert "0.weight.clipped" in history.to_dict() and "0.weight" not in repr(history)
    history.to_csv(tmp_path / "history.csv")
    assert "0.weight.clip_scale" in (tmp_path / "history.csv").read_text().split("\n", 1)[0]


@pytest.mark.parametrize("n", [0, *cases.SIZES, 1000])
def test_the_kernel_counts_what_lies_beyond(isa, dtype, n):
    kernels = raw.Kernels(isa, dtype)
    x = cases.normal(n, dtype, "beyond", n)
    limit = float(np.dtype(dtype).type(0.7))
    beyond = np.abs(x) > limit
    count, share = kernels.beyond(n, limit, x)
    assert count == beyond.sum()
    assert share == pytest.approx(float((limit / np.abs(x[beyond]).astype(np.float64)).sum()), rel=1e-6)
    assert raw.Kernels("scalar", dtype).beyond(n, limit, x) == (count, share)
    if n > 2:
        x[:3] = np.nan, np.inf, -np.inf
        count, share = kernels.beyond(n, limit, x)
        assert count == (np.abs(x) > limit).sum() and np.isfinite(share)
