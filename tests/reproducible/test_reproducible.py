"""Same seed, same data: the same bits for any number of threads, every instruction set, and when resumed.

The hashes are those of numerics versions 2 and 3; they change only with GRADCORE_NUMERICS_VERSION.
"""

import functools

import golden
import gradcore
import numpy as np
import pytest
from gradcore import clipping, optimizers, schedules
from oracle import exact
from support import StopAt, cases, digest, exact_labels, exact_uniform, in_turn, run_python, ways

THREADS, MORE_THREADS = (1, 3, 8), (2, 5)
STEPS = 200

# Large enough that eight threads are worth their while. Batches of 1100 rows are five blocks of KC, whose
# gradients are kept apart and then added; the 400 rows at the end of an epoch take the other way. The first
# layer of "large" is split by columns wherever the threads divide its panels.
NETS = {
    "wide": {"inputs": 70, "widths": (96, 64, 10), "rows": 640, "batch": 128,
             "clip": clipping.GlobalNorm(0.5), "optimizer": optimizers.AdamW},
    "long": {"inputs": 37, "widths": (64, 29, 10), "rows": 1500, "batch": 1100,
             "clip": clipping.ByValue(0.003), "optimizer": optimizers.RMSprop},
    "large": {"inputs": 260, "widths": (192, 64, 10), "rows": 650, "batch": 40,
              "clip": clipping.GlobalNorm(0.5), "optimizer": optimizers.Adam},
}  # fmt: skip


def data(name, dtype):
    about = NETS[name]
    x = exact_uniform((about["rows"], about["inputs"]), dtype, 1)
    return x, exact_labels(about["rows"], about["widths"][-1], 2).astype(np.int32)


def trainer_for(name, dtype, threads, isa):
    about = NETS[name]
    first, second, last = about["widths"]
    layers = [
        cases.standardize(), cases.dense(first, "relu"), cases.dropout(0.2), cases.dense(second, "gelu"),
        cases.residual(cases.dense(second, "tanh"), cases.dropout(0.1)), cases.dense(last),
    ]  # fmt: skip
    net = cases.network(gradcore, layers, about["inputs"], seed=11, dtype=dtype, threads=threads, isa=isa)
    # a straight line and no library function: its bits are the same everywhere
    rate = schedules.Warmup(schedules.Constant(0.01), steps=150, start=0.001)
    return gradcore.Trainer(
        net, "cross_entropy", about["optimizer"](rate, weight_decay=0.01), clip=about["clip"]
    )


def fit(trainer, name, dtype, **more):
    x, y = data(name, dtype)
    per_epoch = -(-len(x) // NETS[name]["batch"])
    epochs = -(-STEPS // per_epoch)
    trainer.fit(x, y, epochs=epochs, batch_size=NETS[name]["batch"], progress=False, **more)


@functools.lru_cache
def trained_hash(name, dtype, threads, isa):
    """Of the weights, and of the history but for its clock."""
    trainer = trainer_for(name, dtype, threads, isa)
    fit(trainer, name, dtype)
    assert trainer.steps >= STEPS
    assert sum(trainer.history.skipped) == 0
    assert trainer.history.loss[-1] < trainer.history.loss[0]
    return result_hash(trainer)


def result_hash(trainer):
    younger = ["clip_scale", *trainer.history.layers]  # than the hashes, as is what ByValue clipped
    if isinstance(trainer.clip, clipping.ByValue):
        younger.append("clipped")
    later = ["seconds", *younger]
    history = {key: np.array(value) for key, value in trainer.history.to_dict().items() if key not in later}
    return digest({**trainer.net.parameters(), **history})


def assert_one_hash(hash_of, configurations):
    """The checker: every configuration must give the same fingerprint."""
    found = {configuration: hash_of(*configuration) for configuration in configurations}
    assert len(set(found.values())) == 1, f"bits differ: {found}"
    return next(iter(found.values()))


CASES = [(name, dtype) for name in NETS for dtype in ("float32", "float64")]
SOME = [pytest.param(*case, marks=pytest.mark.slow) if case[0] == "long" else case for case in in_turn(NETS)]
GOLDEN = golden.table("fit", CASES, lambda *case: trained_hash(*case, None, None))


@pytest.mark.parametrize("threads", [THREADS, pytest.param(MORE_THREADS, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_threads_and_instruction_sets_give_the_golden_hash(name, dtype, threads):
    scalar = threads is MORE_THREADS or name in ("large",)
    found = {way: trained_hash(name, dtype, *way) for way in ways(threads, scalar)}
    assert set(found.values()) == {GOLDEN[name, dtype]}, found


@pytest.mark.parametrize(("name", "dtype"), SOME)
def test_resuming_in_a_fresh_process_with_other_threads_gives_the_golden_hash(name, dtype, tmp_path):
    """Saved at step 73, in the middle of an epoch."""
    path = tmp_path / "checkpoint"
    trainer = trainer_for(name, dtype, 2, None)
    with pytest.raises(InterruptedError):
        fit(trainer, name, dtype, callbacks=[StopAt(73, path)])
    done = run_python(f"""
import gradcore, test_reproducible as t
trainer = gradcore.Trainer.load({str(path)!r}, threads=3, isa="scalar" if {dtype!r} == "float64" else None)
assert trainer.steps == 73
t.fit(trainer, {name!r}, {dtype!r})
print(t.result_hash(trainer))
""")
    assert done.stdout.strip() == GOLDEN[name, dtype]
    fit(trainer, name, dtype, resume=True)  # and the interrupted trainer itself can go on
    assert result_hash(trainer) == GOLDEN[name, dtype]


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"GRADCORE_NUM_THREADS": "3", "GRADCORE_ISA": "scalar"}, marks=pytest.mark.slow),
        {"OMP_NUM_THREADS": "3"},
    ],
)
def test_the_environment_changes_no_bit(variables):
    done = run_python("import test_reproducible as t; print(t.trained_hash('wide', 'float32', None, None))",
                      env=variables)  # fmt: skip
    assert done.stdout.strip() == GOLDEN["wide", "float32"]


def test_steps_by_hand_are_the_steps_of_fit(dtype):
    trainer, by_hand = trainer_for("wide", dtype, 2, None), trainer_for("wide", dtype, 3, None)
    x, y = data("wide", dtype)
    trainer.fit(x, y, epochs=3, batch_size=128, shuffle=False, progress=False)
    by_hand.net.standardize(x)
    losses = [by_hand.step(x[i : i + 128], y[i : i + 128]) for _ in range(3) for i in range(0, len(x), 128)]
    assert digest(trainer.net.parameters()) == digest(by_hand.net.parameters())
    assert trainer.history.loss[0] == pytest.approx(np.mean(losses[:5]), rel=1e-12)


def test_the_callers_floating_point_state_changes_no_bit():
    """Denormals flushed and another rounding mode, set behind NumPy's back, are neither used nor lost."""
    run_python("""
import ctypes, ctypes.util, test_reproducible as t
libm = ctypes.CDLL(ctypes.util.find_library("m"))
trainer = t.trainer_for("wide", "float32", 1, None)
x, y = t.data("wide", "float32")
again = t.trainer_for("wide", "float32", 1, None)
for either in (trainer, again):
    either.net.standardize(x)
want = [trainer.step(x, y), t.result_hash(trainer)]
upward = 0x800
assert libm.fesetround(upward) == 0
got = again.step(x, y)
assert libm.fegetround() == upward
libm.fesetround(0)
assert [got, t.result_hash(again)] == want
""")


# ---- The checker itself ----


def numpy_training(threads, by_thread):
    """Gradient descent whose batch gradient is summed by thread (wrong) or in fixed blocks (right)."""
    x, y = exact_uniform((96, 7), np.float32, 3), exact_uniform((96, 2), np.float32, 4)
    w = np.zeros((7, 2), np.float32)
    for _ in range(20):
        d = (x @ w - y).astype(np.float32)
        parts = np.array_split(np.arange(96), threads if by_thread else 6)
        gradient = np.zeros_like(w)
        for rows in parts:
            gradient = gradient + np.einsum("rf,ro->fo", x[rows], d[rows])
        w = w - np.float32(0.01) * gradient
    return digest({"w": w})


def test_the_checker_catches_a_sum_in_thread_order():
    configurations = [(threads,) for threads in (1, 2, 3, 5, 8)]
    assert_one_hash(lambda threads: numpy_training(threads, by_thread=False), configurations)
    with pytest.raises(AssertionError, match="bits differ"):
        assert_one_hash(lambda threads: numpy_training(threads, by_thread=True), configurations)


def test_the_fingerprint_sees_one_bit():
    w = np.ones(1000, np.float32)
    other = w.copy()
    other[500] = np.nextafter(np.float32(1), np.float32(2))
    assert digest({"w": w}) != digest({"w": other})
    assert digest({"w": np.zeros(1)}) != digest({"w": -np.zeros(1)})


# ---- Rows and batches ----


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 15, 64, 255, 257, 1000])
def test_a_row_predicted_alone_has_the_bits_that_it_has_in_a_batch(isa, dtype, rows):
    layers = [cases.dense(50, "gelu"), cases.residual(cases.dense(50, "selu")), cases.dense(7, "softplus")]
    net = cases.network(gradcore, layers, 300, seed=2, dtype=dtype, isa=isa, threads=3)
    x = cases.normal((rows, 300), dtype, "rows", rows)
    whole = net.predict(x)
    for row in {0, rows // 2, rows - 1}:
        assert exact.same_bits(net.predict(x[row : row + 1])[0], whole[row])
    assert exact.same_bits(net.predict(x[::-1])[::-1], whole)
    assert exact.same_bits(net.forward(x), whole)


def test_a_nan_row_disturbs_no_other_row(dtype):
    net = cases.network(gradcore, [cases.dense(33, "tanh"), cases.dense(5)], 12, seed=2, dtype=dtype)
    x = cases.normal((70, 12), dtype, "nan row")
    want = net.predict(x)
    x[41, 3] = np.nan
    got = net.predict(x)
    assert np.isnan(got[41]).all()
    keep = np.arange(70) != 41
    assert exact.same_bits(got[keep], want[keep])


def test_layer_products_are_exact_chains_in_a_network_too(isa, dtype):
    """Inputs longer than a chain, through the public network: the emulation of oracle/exact.py to the bit."""
    net = cases.network(gradcore, [cases.dense(5)], 700, seed=3, dtype=dtype, isa=isa)
    net.set_parameters({"0.bias": cases.normal(5, dtype, "bias")})
    w, b = net.parameters().values()
    x = cases.normal((9, 700), dtype, "x")
    assert exact.same_bits(net.predict(x), exact.gemm(x, w, b))
    d = cases.normal((9, 5), dtype, "d")
    net.forward(x)
    assert exact.same_bits(net.backward(d), exact.gemm(d, np.ascontiguousarray(w.T)))
    assert exact.same_bits(net.gradients()["0.weight"], exact.gemm(np.ascontiguousarray(x.T), d))


def test_gradients_are_chains_over_the_rows_of_the_batch(isa, dtype):
    """Blocks of KC rows whose sums are added in order, on any number of threads, by hand or in a trainer."""
    for rows in (600, 1100):
        x, target = cases.normal((rows, 33), dtype, "x"), cases.normal((rows, 17), dtype, "y")
        for threads in (1, 2, 5):
            net = cases.network(gradcore, [cases.dense(17)], 33, dtype=dtype, isa=isa, threads=threads)
            _, d = gradcore.kernels.mse(net.forward(x), target, gradient=True)
            net.backward(d)
            weight, bias = exact.gemm(np.ascontiguousarray(x.T), d), sum_of_rows(d)
            trainer = gradcore.Trainer(net, "mse", optimizers.SGD(0.1))
            for gradients in (net.gradients(), trainer.gradients(x, target)[1]):
                assert exact.same_bits(gradients["0.weight"], weight)
                assert exact.same_bits(gradients["0.bias"], bias)


def sum_of_rows(d):
    """Row after row within a block of KC, block after block."""
    total = None
    for begin in range(0, len(d), exact.KC):
        block = d[begin].copy()
        for row in d[begin + 1 : begin + exact.KC]:
            block = block + row
        total = block if total is None else total + block
    return total
