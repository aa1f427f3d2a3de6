"""Networks with heads: the same bits for any number of threads, on every instruction set, and resumed from a
checkpoint. The hashes are those of numerics version 1."""

import functools

import golden
import gradcore
import pytest
from gradcore import optimizers
from support import StopAt, cases, digest, heads_problem, in_turn, ways

THREADS, MORE_THREADS = (1, 3, 8), (2, 5)
STEPS = 40
WIDE = {
    "kind": [cases.dense(64, "relu"), cases.batch_norm(), cases.dense(5)],
    "angle": [cases.residual(cases.dense(256, "tanh")), cases.dense(2)],
    "stop": [cases.dropout(0.1), cases.dense(1)],
}

# Batches of 1100 rows are five blocks of KC whose gradients are kept apart; 90 rows end in a batch of one.
NETS = {
    "rows": {"rows": 1500, "batch": 1100, "trunk": heads_problem.TRUNK, "heads": heads_problem.HEADS},
    "batch": {"rows": 901, "batch": 90, "heads": heads_problem.HEADS, "uncertainty": True, "trunk": [
        cases.dense(70), cases.batch_norm(), cases.activation("relu"), cases.dropout(0.2), cases.dense(23)]},
    "surgery": {"rows": 901, "batch": 90, "heads": heads_problem.HEADS, "uncertainty": True, "surgery": True,
                "trunk": [cases.dense(70), cases.batch_norm(), cases.activation("relu"), cases.dense(23)]},
    "surgery by blocks": {"rows": 1500, "batch": 1100, "heads": heads_problem.HEADS, "surgery": True,
                          "trunk": heads_problem.TRUNK},
    "wide": {"rows": 200, "batch": 40, "heads": WIDE, "uncertainty": True, "surgery": True,
             "trunk": [cases.dense(256, "relu"), cases.dropout(0.1), cases.dense(256, "gelu")]},
}  # fmt: skip
CASES = [(name, dtype) for name in NETS for dtype in ("float32", "float64")]


def trainer_for(name, dtype, threads, isa):
    about = NETS[name]
    net = heads_problem.network(
        about["trunk"], about["heads"], about.get("uncertainty", False),
        seed=11, dtype=dtype, threads=threads, isa=isa,
    )  # fmt: skip
    return gradcore.Trainer(
        net,
        heads_problem.per_head(about.get("surgery", False)),
        optimizers.Adam(0.003),
        clip=gradcore.clipping.GlobalNorm(2.0),
    )


def fit(trainer, name, dtype, **more):
    rows, batch = NETS[name]["rows"], NETS[name]["batch"]
    x, y = heads_problem.data(rows, dtype)
    epochs = -(-STEPS // -(-rows // batch))
    weight = heads_problem.row_weights(rows)
    trainer.fit(x, y, epochs=epochs, batch_size=batch, sample_weight=weight, progress=False, **more)


def fingerprint(trainer, dtype):
    predictions = trainer.net.predict(heads_problem.data(50, dtype)[0])
    return digest({**trainer.net.parameters(), **predictions})


@functools.lru_cache
def trained_hash(name, dtype, threads, isa):
    trainer = trainer_for(name, dtype, threads, isa)
    fit(trainer, name, dtype)
    assert trainer.skipped == 0
    assert trainer.history.loss[-1] < trainer.history.loss[0]
    return fingerprint(trainer, dtype)


SOME = in_turn(NETS)
GOLDEN = golden.table("heads", CASES, lambda *case: trained_hash(*case, None, None))


@pytest.mark.parametrize("threads", [THREADS, pytest.param(MORE_THREADS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_threads_and_instruction_sets_give_the_golden_hash(name, dtype, threads):
    scalar = threads is MORE_THREADS or name in ("batch", "surgery")
    found = {way: trained_hash(name, dtype, *way) for way in ways(threads, scalar)}
    assert set(found.values()) == {GOLDEN[name, dtype]}, found


@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_resuming_with_other_threads_gives_the_golden_hash_and_history(name, dtype, tmp_path):
    whole = trainer_for(name, dtype, 1, None)
    fit(whole, name, dtype)
    trainer = trainer_for(name, dtype, 2, None)
    with pytest.raises(InterruptedError):
        fit(trainer, name, dtype, callbacks=[StopAt(23, tmp_path / "checkpoint")])
    resumed = gradcore.Trainer.load(tmp_path / "checkpoint", threads=3)
    assert resumed.steps == 23
    assert resumed.loss == trainer.loss
    fit(resumed, name, dtype)
    assert fingerprint(resumed, dtype) == GOLDEN[name, dtype]
    for column in whole.history.columns():
        if column != "seconds":
            assert str(resumed.history[column]) == str(whole.history[column]), column
