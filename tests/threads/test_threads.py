"""Threads of Python, forked children and Ctrl-C: the same bits, a clear error, or a valid trainer."""

import multiprocessing
import signal
import sys
import threading
import time

import gradcore
import numpy as np
import pytest
from gradcore import Trainer, clipping, errors, losses, optimizers
from oracle import exact
from support import assert_same, cases, digest, run_python, started

LAYERS = [cases.dense(200, "relu"), cases.dropout(0.2), cases.dense(100, "tanh"), cases.dense(10)]


def make(threads=2):
    net = cases.network(gradcore, LAYERS, 64, seed=3, threads=threads)
    return Trainer(net, "cross_entropy", optimizers.Adam(1e-3))


def batch(rows=512):
    return cases.normal((rows, 64), "float32", "x"), cases.generator("y").integers(0, 10, rows)


def run_in_threads(work, count):
    """work(i) in `count` threads that start together; the results, exceptions included."""
    results, gate = [None] * count, threading.Barrier(count)

    def body(i):
        gate.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    return results


@pytest.mark.quick
def test_predictions_from_many_threads_have_the_same_bits():
    net = make().net
    x = batch()[0]
    want = net.predict(x)
    for result in run_in_threads(lambda i: [net.predict(x[: 512 - i]) for _ in range(30)], 6):
        assert isinstance(result, list), result
        for y in result:
            assert exact.same_bits(y, want[: len(y)])


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 63, 65, 97, 257, 500])
def test_predictions_shared_by_threads_have_the_bits_of_one(rows):
    x = batch(rows)[0]
    one, three = (make(threads).net.predict(x) for threads in (1, 3))
    assert exact.same_bits(one, three)


def test_steps_that_try_out_numbers_of_threads_have_the_bits_of_one():
    """Enough steps for a choice, among them short batches that come and, in the end, stay."""

    def train(threads):
        trainer = Trainer(
            cases.network(gradcore, [cases.dense(64, "tanh"), cases.dense(10)], 64, seed=3, threads=threads),
            "cross_entropy",
            optimizers.Adam(1e-3),
        )
        x, y = batch(64)
        for i in range(150):
            rows = 64 if i % 5 and i < 100 else 23
            trainer.step(x[:rows], y[:rows])
        trainer.fit(*batch(640), epochs=40, batch_size=64, progress=False)
        return digest(trainer.net.parameters())

    assert train(1) == train(2) == train(8)


def train_a_little():
    trainer = make(2)
    trainer.fit(*batch(8), epochs=3, batch_size=1, progress=False)
    return digest(trainer.net.parameters())


def test_an_exact_number_of_threads_has_the_same_bits():
    code = "import test_threads as t; print(t.train_a_little())"
    done = run_python(code, env={"GRADCORE_EXACT_THREADS": "1"})
    assert done.stdout.strip() == train_a_little()


def test_evaluations_from_many_threads_agree():
    trainer = make()
    x, y = batch()
    want = trainer.evaluate(x, y)
    assert run_in_threads(lambda i: trainer.evaluate(x, y), 5) == [want] * 5


def test_two_threads_on_one_trainer_get_busy_or_their_turn():
    """Steps that were refused did nothing; those that were taken are the same as one after the other."""
    trainer, x, y = make(), *batch()
    trainer.step(x, y)

    def work(i):
        done = refused = 0
        for _ in range(40):
            try:
                trainer.step(x, y)
                done += 1
            except errors.BusyError:
                refused += 1
        return done, refused

    results = run_in_threads(work, 4)
    done = sum(result[0] for result in results)
    assert done + sum(result[1] for result in results) == 160
    assert trainer.steps == done + 1
    alone = make()
    for _ in range(done + 1):
        alone.step(x, y)
    assert_same(trainer.net.parameters(), alone.net.parameters())


def test_a_trainer_that_is_in_a_step_is_busy_for_others():
    """A rule on norms is asked within a step: until it answers, all that would change is refused."""
    reached, leave, failures = threading.Event(), threading.Event(), []

    class Hold:
        def __call__(self, norm):
            reached.set()
            assert leave.wait(60)
            return 1.0

        def state(self):
            return {}

    class HoldClip(clipping.AutoClip):
        def statistic(self, state=None):
            return Hold()

    x, y = batch()
    net = cases.network(gradcore, LAYERS, 64, seed=3, threads=2)
    trainer = Trainer(net, "cross_entropy", optimizers.Adam(1e-3), clip=HoldClip())

    def work():
        try:
            trainer.fit(x, y, epochs=3, batch_size=128, progress=False)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert reached.wait(60)
        for call in (
            lambda: trainer.step(x, y),
            lambda: trainer.gradients(x, y),
            lambda: net.set_parameters({"0.bias": np.zeros(200)}),
        ):
            with pytest.raises(errors.BusyError, match="bus|us(e|ing)"):
                call()
    finally:
        leave.set()
        thread.join(60)
    assert not thread.is_alive()
    assert not failures
    assert trainer.steps == 12
    assert all(np.isfinite(value).all() for value in net.parameters().values())


def test_predicting_while_training_is_safe():
    """A prediction sees the weights between two steps, or Busy; never half of an update."""
    trainer, x, y = make(), *batch()
    possible = set()
    shadow = make()
    for _ in range(13):
        possible.add(digest({"y": shadow.net.predict(x[:64])}))
        shadow.step(x, y)
    seen, finished = [], threading.Event()

    def train():
        for _ in range(12):
            while True:
                try:
                    trainer.step(x, y)
                    break
                except errors.BusyError:
                    time.sleep(1e-4)

    def predict():
        while not finished.is_set():
            try:
                seen.append(digest({"y": trainer.net.predict(x[:64])}))
            except errors.BusyError:
                pass
            time.sleep(1e-4)

    def work(i):
        if i:
            return predict()
        try:
            return train()
        finally:
            time.sleep(0.05)
            finished.set()

    assert run_in_threads(work, 4) == [None] * 4
    assert seen
    assert set(seen) <= possible


def test_separate_trainers_in_threads_have_the_same_bits():
    x, y = batch()

    def work(i):
        trainer = make(threads=1 + i % 3)
        trainer.fit(x, y, epochs=3, batch_size=100, progress=False)
        return digest(trainer.net.parameters())

    assert len(set(run_in_threads(work, 5))) == 1


@pytest.mark.parametrize("weighed", [False, True])
def test_labels_that_another_thread_overwrites_are_no_addresses(weighed):
    """A label out of range that comes after the check ends the call with an error, wherever it is read."""
    loss = losses.CrossEntropy(class_weight=np.linspace(0.5, 2, 10)) if weighed else "cross_entropy"
    net = cases.network(gradcore, LAYERS, 64, seed=3, threads=2)
    trainer = Trainer(net, loss, optimizers.Adam(1e-3))
    x, y = batch(2048)
    y = np.ascontiguousarray(y, "int32")
    kept, finished = y.copy(), threading.Event()

    def intrude():
        while not finished.is_set():
            y[::7] = 2 * 10**9
            y[::7] = kept[::7]

    calls = (
        lambda: trainer.fit(x, y, epochs=1, batch_size=64, progress=False),
        lambda: trainer.fit(x, y, epochs=1, batch_size=500, shuffle=False, progress=False),
        lambda: trainer.step(x, y),
        lambda: trainer.gradients(x, y),
        lambda: trainer.evaluate(x, y),
        lambda: gradcore.kernels.softmax_cross_entropy(x, y),
    )
    writer = threading.Thread(target=intrude)
    writer.start()
    try:
        for call in calls * 5:
            try:
                call()
            except errors.ArgumentError as error:
                known = ("class ids in 0..9, got 2000000000", "a class from 0 to", "another thread")
                assert any(text in str(error) for text in known), error
                trainer.abandon_fit()
    finally:
        finished.set()
        writer.join()
    assert np.isfinite(trainer.step(x, kept))


# ---- fork ----


def _in_child(connection, trainer, x, y):
    trainer.step(x, y)
    connection.send((trainer.net.predict(x), digest(trainer.net.parameters())))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_the_same_bits_and_does_not_hang():
    """After the parent has used its thread pool; the child's copy of the pool is dead."""
    trainer, x, y = make(threads=4), *batch(2048)
    trainer.step(x, y)
    trainer.net.predict(x)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(there, trainer, x, y))
    child.start()
    assert here.poll(60), "the child hangs"
    prediction, weights = here.recv()
    child.join(30)
    assert child.exitcode == 0
    trainer.step(x, y)
    assert exact.same_bits(trainer.net.predict(x), prediction)
    assert digest(trainer.net.parameters()) == weights


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_child_and_a_pool_of_workers():
    trainer, x, y = make(threads=4), *batch(2048)
    trainer.step(x, y)
    want = trainer.net.predict(x)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = [pool.apply_async(trainer.net.predict, (x,)) for _ in range(6)]
        assert all(exact.same_bits(result.get(60), want) for result in results)


# ---- Ctrl-C ----

LONG_FIT = """
import sys, test_threads as t
trainer, (x, y) = t.make(), t.batch(4096)

class Ready:
    def on_slice(self, trainer, reports):
        if trainer.steps == len(reports):
            print("ready", flush=True)

try:
    trainer.fit(x, y, epochs=10**6, batch_size={batch}, progress=False, callbacks=[Ready()])
except KeyboardInterrupt:
    import numpy as np
    assert trainer.steps > 0
    assert all(np.isfinite(v).all() for v in trainer.net.parameters().values())
    other = t.make()
    steps, per_epoch = trainer.steps, -(-4096 // {batch})
    class Stop:
        every_steps = steps
        def on_slice(self, trainer, reports):
            if trainer.steps == steps: raise ZeroDivisionError
    try:
        other.fit(x, y, epochs=10**6, batch_size={batch}, progress=False, callbacks=[Stop()])
    except ZeroDivisionError:
        pass
    t.assert_same(trainer.net.parameters(), other.net.parameters())
    class End:
        def on_epoch_end(self, trainer, row):
            return row["step"] > steps
    trainer.fit(x, y, epochs=10**6, batch_size={batch}, progress=False, callbacks=[End()], resume=True)
    assert trainer.steps == (steps // per_epoch + 1) * per_epoch
    print("valid")
"""


@pytest.mark.parametrize("rows", [16, 1024])
def test_ctrl_c_inside_fit_leaves_a_valid_trainer(rows):
    """The weights are those of a whole number of steps, and the next fit() goes on from there."""
    with started("-c", LONG_FIT.format(batch=rows)) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert out == "valid\n", err


# ---- Counts ----


def test_the_thread_count_follows_argument_and_environment():
    code = "import gradcore; print(gradcore.Network([gradcore.Dense(2)], inputs=2{}).threads)"
    assert run_python(code.format(", threads=5")).stdout == "5\n"
    assert run_python(code.format(", threads=5"), env={"GRADCORE_NUM_THREADS": "3"}).stdout == "5\n"
    assert run_python(code.format(""), env={"GRADCORE_NUM_THREADS": "3"}).stdout == "3\n"
    assert run_python(code.format(""), env={"OMP_NUM_THREADS": "4"}).stdout == "4\n"
    assert (
        run_python(code.format(""), env={"GRADCORE_NUM_THREADS": "3", "OMP_NUM_THREADS": "4"}).stdout == "3\n"
    )


def test_the_instruction_set_can_be_lowered_but_not_raised():
    code = "import gradcore; print(gradcore.Network([gradcore.Dense(2)], inputs=2{}).isa)"
    names = gradcore.names("isa")
    for isa in names:
        assert run_python(code.format(""), env={"GRADCORE_ISA": isa}).stdout.strip() == isa
    assert run_python(code.format(""), env={"GRADCORE_ISA": ""}).stdout.strip() == names[-1]
    assert run_python(code.format(", isa='scalar'")).stdout.strip() == "scalar"


def test_inside_an_openmp_limit_of_one_thread_all_is_the_same():
    code = """
import test_threads as t
trainer, (x, y) = t.make(threads=4), t.batch()
trainer.step(x, y)
print(t.digest(trainer.net.parameters()))
"""
    assert run_python(code, env={"OMP_THREAD_LIMIT": "1"}).stdout == run_python(code).stdout


WIDE = """
import os, threading, time
import gradcore, numpy as np
net = gradcore.Network([gradcore.Dense(256, "relu"), gradcore.Dense(256)], inputs=256, threads={threads})
x = np.ones(({rows}, 256), np.float32)
tasks = lambda: len(os.listdir("/proc/self/task"))
"""


@pytest.mark.slow
def test_more_callers_at_once_than_pools_are_kept_leave_few_threads():
    code = """
want, wrong = net.predict(x).tobytes(), []
def call():
    for _ in range(20):
        if net.predict(x).tobytes() != want:
            wrong.append(1)
for _ in range(3):
    callers = [threading.Thread(target=call) for _ in range(12)]
    [c.start() for c in callers]
    [c.join() for c in callers]
assert not wrong
most = 1 + 4 + 1  # this thread, four pools of one worker, one of NumPy's at most
end = time.monotonic() + 30
while tasks() > most:  # a thread that was joined is listed until the system has put it away
    assert time.monotonic() < end, tasks()
    time.sleep(0.01)
"""
    run_python(WIDE.format(threads=2, rows=1000) + code, env={"OPENBLAS_NUM_THREADS": "1"})


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_signals_are_for_the_threads_of_others():
    code = """
import signal, threading
net.predict(x)  # with workers
catchable = sum(1 << (s - 1) for s in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
mine, workers = threading.get_native_id(), 0
for task in os.listdir("/proc/self/task"):
    with open(f"/proc/self/task/{task}/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
    assert mask & catchable == (0 if int(task) == mine else catchable), (task, mine, hex(mask))
    workers += int(task) != mine
assert workers > 0
"""
    run_python(WIDE.format(threads=3, rows=2000) + code, env={"OPENBLAS_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_pool_that_got_fewer_threads_than_asked_for_is_found_again():
    code = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
net.predict(x)
first = tasks()
for _ in range(2):
    net.predict(x)
assert tasks() == first, (first, tasks())
"""
    run_python(WIDE.format(threads=512, rows=200_000) + code)
