"""Networks with the later layers: the same bits for any number of threads, on every instruction set, and when
resumed from a checkpoint. The hashes are those of numerics version 2."""

import functools

import golden
import gradcore
import numpy as np
import pytest
from gradcore import optimizers
from support import StopAt, cases, digest, exact_labels, exact_uniform, in_turn, ways

THREADS, MORE_THREADS = (1, 3, 8), (2, 5)
STEPS = 60

# Batches of 1100 rows are five blocks of KC whose gradients are kept apart; 90 rows end in a batch of one.
NETS = {
    "rows": {"rows": 1500, "batch": 1100, "layers": [
        cases.layer_norm(eps=1e-3), cases.dense(40, "gelu"),
        cases.residual(cases.rms_norm(), cases.dense(64, "relu"), cases.dense(40), cases.layer_scale(0.1)),
        cases.layer_norm(shift=False), cases.dense(10)]},
    "batch": {"rows": 901, "batch": 90, "layers": [
        cases.dense(70, bias=False), cases.batch_norm(), cases.activation("relu"),
        cases.residual(cases.dense(33, "tanh"), cases.batch_norm(momentum=None, scale=False),
                       projection=True),
        cases.dense(10)]},
    "tall batch": {"rows": 1500, "batch": 1100, "layers": [
        cases.batch_norm(shift=False), cases.dense(31, "silu"), cases.batch_norm(), cases.dense(10)]},
    "weights": {"rows": 400, "batch": 90, "layers": [
        cases.dense(60, "tanh", weight_norm=True), cases.dense(33, "gelu", spectral_norm=True),
        cases.dense(10, weight_norm=True)]},
    "wide": {"rows": 200, "batch": 40, "layers": [
        cases.dense(256, "selu"), cases.alpha_dropout(0.1), cases.residual(
            cases.gaussian_noise(0.1), cases.dense(256, "selu"), gain=0.0),
        cases.batch_norm(), cases.dense(10)]},
}  # fmt: skip


def data(name, dtype):
    rows = NETS[name]["rows"]
    return exact_uniform((rows, 150), dtype, 1), exact_labels(rows, 10, 2).astype(np.int32)


def trainer_for(name, dtype, threads, isa):
    net = cases.network(gradcore, NETS[name]["layers"], 150, seed=11, dtype=dtype, threads=threads, isa=isa)
    return gradcore.Trainer(net, "cross_entropy", optimizers.Adam(0.003))


def fit(trainer, name, dtype, **more):
    x, y = data(name, dtype)
    per_epoch = -(-len(x) // NETS[name]["batch"])
    epochs = -(-STEPS // per_epoch)
    trainer.fit(x, y, epochs=epochs, batch_size=NETS[name]["batch"], progress=False, **more)


@functools.lru_cache
def trained_hash(name, dtype, threads, isa):
    trainer = trainer_for(name, dtype, threads, isa)
    fit(trainer, name, dtype)
    assert trainer.skipped == 0
    assert trainer.history.loss[-1] < trainer.history.loss[0]
    predictions = trainer.net.predict(data(name, dtype)[0][:50])
    return digest({**trainer.net.parameters(), "predictions": predictions})


CASES = [(name, dtype) for name in NETS for dtype in ("float32", "float64")]
SOME = in_turn(NETS)
GOLDEN = golden.table("layers", CASES, lambda *case: trained_hash(*case, None, None))


@pytest.mark.parametrize("threads", [THREADS, pytest.param(MORE_THREADS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_threads_and_instruction_sets_give_the_golden_hash(name, dtype, threads):
    scalar = threads is MORE_THREADS or name in ("weights", "batch")
    found = {way: trained_hash(name, dtype, *way) for way in ways(threads, scalar)}
    assert set(found.values()) == {GOLDEN[name, dtype]}, found


@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_resuming_with_other_threads_gives_the_golden_hash(name, dtype, tmp_path):
    trainer = trainer_for(name, dtype, 2, None)
    with pytest.raises(InterruptedError):
        fit(trainer, name, dtype, callbacks=[StopAt(23, tmp_path / "checkpoint")])
    resumed = gradcore.Trainer.load(tmp_path / "checkpoint", threads=3)
    assert resumed.steps == 23
    fit(resumed, name, dtype)
    predictions = resumed.net.predict(data(name, dtype)[0][:50])
    assert digest({**resumed.net.parameters(), "predictions": predictions}) == GOLDEN[name, dtype]
