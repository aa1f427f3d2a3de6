"""What contention.py measures, inside its workers: single calls with their times, and crowds of trainers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np
from nets import Data
from peers import Contender, Fields, Unsupported, open_contender

BESIDE = 300  # rows and columns of the product in NumPy before a call
LEAST_CALLS = 5  # of a turn, however long they take,
SHORT = 0.01  # seconds of a turn that is too short for that: of a quick run
AHEAD = 2  # batches that the loading thread makes before they are wanted
POOL = 4096  # rows that it picks from


class Calls:
    """One call, timed again and again while something else may happen in the same process."""

    def __init__(self, call: Callable[[], object], data: Data | None = None) -> None:
        """data: what a loading thread picks rows from; None for a job that has no rows."""
        self.call = call
        self.data = data
        rng = np.random.default_rng(11)
        self.factors = [rng.standard_normal((BESIDE, BESIDE), np.float32) for _ in range(2)]
        self.product = np.empty((BESIDE, BESIDE), np.float32)

    def sample(self, beside: str, seconds: float) -> list[float]:
        """The seconds of every call within about `seconds`, after a tenth of that unmeasured.

        beside: "", "numpy" (a product before every call) or "loader" (a thread that makes batches).
        """
        with self.company(beside) as before:
            self.repeat(before, seconds / 10, 1)
            return self.repeat(before, seconds, LEAST_CALLS if seconds > SHORT else 1)

    def repeat(self, before: Callable[[], object], seconds: float, least: int) -> list[float]:
        call, taken = self.call, []
        deadline = perf_counter() + seconds
        while True:
            before()
            start = perf_counter()
            call()
            end = perf_counter()
            taken.append(end - start)
            if end > deadline and len(taken) >= least:
                return taken

    @contextmanager
    def company(self, beside: str) -> Iterator[Callable[[], object]]:
        """What is called before every call."""
        if beside == "numpy":
            yield lambda: np.matmul(*self.factors, out=self.product)
        elif beside == "loader":
            with loading(self.data) as batches:
                yield batches.get
        else:
            yield lambda: None

    def close(self) -> None:
        pass


@contextmanager
def loading(data: Data | None) -> Iterator[queue.Queue[Any]]:
    """A thread that picks random rows, scales them and puts them into a queue, as a loader of data does."""
    if data is None:
        raise Unsupported("has no rows to load")
    batches: queue.Queue[Any] = queue.Queue(AHEAD)
    done = threading.Event()
    rng = np.random.default_rng(12)
    pool = rng.random((POOL, data.x.shape[1]), np.float32)
    mean, scale = pool.mean(axis=0), 1 / pool.std(axis=0)

    def work() -> None:
        while not done.is_set():
            batch = pool[rng.integers(POOL, size=data.batch)]
            batch -= mean
            batch *= scale
            batches.put(batch)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield batches
    finally:
        done.set()
        while thread.is_alive():  # it may wait for room
            try:
                batches.get_nowait()
            except queue.Empty:
                thread.join(1e-3)


def open_job(job: str, name: str, net: Fields, rows: int, options: Fields) -> Calls:
    """job: step, fit (one epoch over the rows) or predict (one batch) of a contender of training.py."""
    contender = open_contender(name, net, rows, None, options)
    calls = {
        "step": lambda: contender.run("step", 1),
        "fit": lambda: contender.run("epoch", 1),
        "predict": lambda: contender.predict(batch),
    }
    batch = contender.data.batches()[0][0]
    calls[job]()  # a contender that cannot do it says so now
    return Calls(calls[job], contender.data)


def open_product(name: str, size: tuple[int, int, int], options: Fields) -> Calls:
    """size: rows, inner, columns of float32 matrices."""
    rows, inner, columns = size
    rng = np.random.default_rng(13)
    a = rng.standard_normal((rows, inner), np.float32)
    b = rng.standard_normal((inner, columns), np.float32)
    out = np.empty((rows, columns), np.float32)
    if name == "gradcore":
        kernels: Any = import_module("gradcore.kernels")
        return Calls(lambda: kernels.gemm(a, b, out=out, **options))
    if name == "numpy":
        return Calls(lambda: np.matmul(a, b, out=out))
    if name.startswith("torch"):
        torch: Any = import_module("torch")
        left, right, result = map(torch.from_numpy, (a, b, out))
        return Calls(lambda: torch.mm(left, right, out=result))
    raise Unsupported("has no product that is called from outside")


class Crowd:
    """Trainers that step at once, each in a Python thread of its own."""

    def __init__(self, trainers: list[Contender]) -> None:
        self.trainers = trainers

    def rates(self, seconds: float) -> list[float]:
        """Steps a second of each trainer, after a quarter of the time unmeasured."""
        rates = [0.0] * len(self.trainers)
        start = threading.Barrier(len(self.trainers))

        def train(index: int) -> None:
            trainer = self.trainers[index]
            start.wait()
            steps_within(trainer, seconds / 4)
            rates[index] = steps_within(trainer, seconds)

        threads = [threading.Thread(target=train, args=(i,)) for i in range(len(rates))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return rates

    def close(self) -> None:
        for trainer in self.trainers:
            trainer.close()


def steps_within(trainer: Contender, seconds: float) -> float:
    """Steps a second."""
    steps, begin = 0, perf_counter()
    while True:
        trainer.run("step", 1)
        steps += 1
        taken = perf_counter() - begin
        if taken >= seconds:
            return steps / taken


def open_crowd(name: str, net: Fields, rows: int, options: Fields, count: int) -> Crowd:
    return Crowd([open_contender(name, net, rows, None, options) for _ in range(count)])
