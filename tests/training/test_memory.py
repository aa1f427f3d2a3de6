"""Memory: steps allocate nothing that stays, objects give back what they took, hostile sizes are refused."""

import gc
import os
import weakref

import numpy as np
import pytest
from gradcore import Dense, Network, Trainer, errors, optimizers
from support import run_python

# The anonymous pages in memory, counted by the kernel page by page (statm may be off by hundreds).
RESIDENT = """
import gc, gradcore, numpy as np
from gradcore import Dense, Network, Trainer, optimizers, clipping

def resident():
    gc.collect()
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))

def assert_steady(run, warm, times, limit):
    for _ in range(warm):
        run()
        resident()  # which itself allocates, the first time
    before = resident()
    for _ in range(times):
        run()
    assert resident() - before < limit, f"{resident() - before} bytes more"

net = Network([Dense(8, "tanh"), Dense(1)], inputs=4, seed=0)
trainer = Trainer(net, "mse", optimizers.Adam(1e-3), clip=clipping.GlobalNorm(1.0))
x, y = np.ones((1000, 4), np.float32), np.zeros((1000, 1), np.float32)
"""

FITS = """
def run():
    trainer.fit(x, y, epochs=EPOCHS, batch_size=4, progress=False)
    trainer.history = gradcore.History()  # a row an epoch stays; a step leaves nothing

assert_steady(run, 4, 10, 65536)
assert trainer.steps == 14 * 250 * EPOCHS
"""

CALLS = """
def run():
    for _ in range(2000):
        trainer.step(x[:4], y[:4])
        trainer.gradients(x[:4], y[:4])
        net.predict(x[:4])
        net.forward(x[:4])
        net.backward(y[:4])
        trainer.evaluate(x[:4], y[:4])
        try:
            trainer.step(x[:, :3], y)
        except ValueError:
            pass

assert_steady(run, 3, 5, 65536)
"""

CREATED = """
def run():
    for _ in range(20):
        net = Network([Dense(300, "relu"), Dense(10)], inputs=200)
        trainer = Trainer(net, "mse", optimizers.Adam())
        x, d = np.zeros((60, 200), np.float32), np.zeros((60, 10), np.float32)
        trainer.step(x, d)
        net.forward(x)
        net.backward(d)
        net.predict(x)

assert_steady(run, 3, 10, 1 << 20)  # each of the 200 takes more than a megabyte
"""


# glibc's heap grows and shrinks by the page, not by 128 KiB, so that noise is smaller than the limits.
BY_THE_PAGE = {"MALLOC_TOP_PAD_": "0", "MALLOC_TRIM_THRESHOLD_": "4096"}


@pytest.mark.parametrize("epochs", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_million_steps_of_fit_keep_their_memory(epochs):
    """In the slow case; in the other, a hundred thousand."""
    run_python(f"EPOCHS = {epochs}\n" + RESIDENT + FITS, timeout=600, env=BY_THE_PAGE)


@pytest.mark.slow
def test_calls_by_hand_and_errors_keep_their_memory():
    run_python(RESIDENT + CALLS, timeout=300, env=BY_THE_PAGE)


def test_networks_and_trainers_give_their_memory_back():
    run_python(RESIDENT + CREATED, timeout=300, env=BY_THE_PAGE)


def test_the_meter_sees_a_leak():
    leak = "kept = []\nassert_steady(lambda: kept.append(b'x' * (200_000 + len(kept))), 3, 10, 65536)"
    assert "bytes more" in run_python(RESIDENT + leak, env=BY_THE_PAGE, check=False).stderr


def test_nothing_keeps_a_network_alive():
    net = Network([Dense(3)], inputs=2)
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    trainer.step(np.zeros((1, 2)), np.zeros((1, 3)))
    seen = weakref.ref(net), weakref.ref(trainer)
    del net, trainer
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_a_trainer_keeps_its_network_alive():
    trainer = Trainer(Network([Dense(3)], inputs=2), "mse", optimizers.SGD(0.1))
    gc.collect()
    assert trainer.step(np.zeros((1, 2)), np.zeros((1, 3))) == 0.0
    assert trainer.net.predict(np.zeros((1, 2))).tolist() == [[0.0] * 3]


def test_results_outlive_what_made_them():
    net = Network([Dense(3)], inputs=2, seed=1)
    y, parameters = net.predict(np.ones((4, 2))), net.parameters()
    kept = y.copy(), parameters["0.weight"].copy()
    del net
    gc.collect()
    assert np.array_equal(y, kept[0])
    assert np.array_equal(parameters["0.weight"], kept[1])


@pytest.mark.parametrize("units", [2**31, 2**40, 2**62, 2**63 - 1])
def test_a_network_too_large_for_any_memory_is_an_error(units):
    with pytest.raises(errors.GradcoreError):
        Network([Dense(units)], inputs=2**33)


def test_a_batch_too_large_for_memory_is_an_error():
    """The rows share one row's memory, so only the engine's own needs are large."""
    net = Network([Dense(512), Dense(512)], inputs=2)
    rows = np.lib.stride_tricks.as_strided(np.zeros((1, 2), np.float32), (2**42, 2), (0, 4))
    targets = np.lib.stride_tricks.as_strided(np.zeros((1, 512), np.float32), (2**42, 512), (0, 4))
    trainer = Trainer(net, "mse", optimizers.SGD(0.1))
    with pytest.raises((errors.GradcoreError, MemoryError)):
        trainer.step(rows, targets)
    with pytest.raises((errors.GradcoreError, MemoryError)):
        net.forward(rows)
    trainer.step(np.zeros((2, 2)), np.zeros((2, 512)))


def test_under_a_memory_limit_an_allocation_fails_cleanly():
    run_python("""
import resource, numpy as np, gradcore
from gradcore import Dense, Network, Trainer, optimizers
from gradcore.training.core_trainer import reserve
net = Network([Dense(64), Dense(64)], inputs=8)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), used + (64 << 20)))
for attempt in (
    lambda: Network([Dense(8192), Dense(8192)], inputs=8192),
    lambda: reserve(Trainer(net, "mse", optimizers.Adam())._state, 10**6),
):
    try:
        attempt()
    except MemoryError as error:
        assert isinstance(error, gradcore.GradcoreError), error
    else:
        raise SystemExit("no error")
trainer = Trainer(net, "mse", optimizers.Adam())
trainer.step(np.zeros((4, 8)), np.zeros((4, 64)))
""")


def test_no_file_stays_open(tmp_path):
    net = Network([Dense(3)], inputs=2)
    before = len(os.listdir("/proc/self/fd"))
    for i in range(20):
        net.save(tmp_path / "n")
        Network.load(tmp_path / "n")
        (tmp_path / "bad").write_bytes(bytes(i))
        with pytest.raises(errors.FormatError):
            Network.load(tmp_path / "bad")
    assert len(os.listdir("/proc/self/fd")) == before
