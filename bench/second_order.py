"""Losses that full-batch methods reach in the same time.

    python bench/second_order.py

surrogate: a 2-20-1 tanh network fits a smooth function; every contender gets the same number of seconds.
digits: scikit-learn's lbfgs runs a number of iterations, and gradcore's gets the seconds that those took.
Both in rounds: each has initial weights of its own, from which all contenders start, one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import harness
import numpy as np
from harness import Record, Worker, WorkerError, say
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = list[tuple[Array, Array]]

SURROGATE = (2, 20, 1)
DIGITS = (64, 64, 10)
ITERATIONS = (3, 10, 30)  # of scikit-learn, on the digits
SECONDS = 1.0  # of everyone, on the surrogate
ADAM_RATES = (3e-3, 1e-2, 3e-2)  # Adam is as good as the best of them
FACTOR = 100.0  # wanted between the mean squared errors of Adam and Levenberg-Marquardt
FOREVER = 1_000_000


def surrogate() -> tuple[Array, Array]:
    """500 rows of a smooth function of two variables."""
    x = np.random.default_rng(1).uniform(-1, 1, (500, 2))
    return x, (np.sin(3 * x[:, 0]) * np.cos(2 * x[:, 1]) + x[:, 0] * x[:, 1]).reshape(-1, 1)


def digits() -> tuple[Array, Array]:
    """The 8 by 8 digits that gradcore ships, scaled to [0, 1]."""
    from gradcore import datasets

    x, y, *_ = datasets.load_digits()
    return x / np.max(x), y


def initial(widths: Sequence[int], seed: int) -> Weights:
    """Glorot's uniform weights and no bias, in float64."""
    rng = np.random.default_rng(seed)
    pairs = zip(widths[:-1], widths[1:], strict=True)
    return [(rng.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b)), np.zeros(b)) for a, b in pairs]


def loss_of(weights: Weights, x: Array, y: Array) -> float:
    """Mean squared error or cross-entropy in float64, one formula for everybody."""
    h = np.asarray(x, np.float64)
    for w, b in weights[:-1]:
        h = np.tanh(h @ w + b)
    z = h @ weights[-1][0] + weights[-1][1]
    if y.ndim == 2:
        return float(((z - y) ** 2).mean())
    z = z - z.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())


class Gradcore:
    """One optimizer; `train` stops at a deadline."""

    def __init__(
        self, case: str, optimizer: str, options: Mapping[str, Any], dtype: str, batch: int | None
    ) -> None:
        self.optimizer, self.options, self.dtype, self.batch = optimizer, dict(options), dtype, batch
        self.x, self.y = surrogate() if case == "surrogate" else digits()
        self.x = self.x.astype(dtype)
        if case == "surrogate":
            self.y = self.y.astype(dtype)
        self.loss = "mse" if case == "surrogate" else "cross_entropy"
        self.steps = 0  # that fit into the last training, for the cosine of the next

    def train(self, weights: Weights, seconds: float) -> tuple[float, int, Weights]:
        """Seconds, epochs and final weights."""
        from gradcore import Dense, Network, Trainer, optimizers, schedules

        widths = [w.shape[1] for w, _ in weights]
        layers = [*(Dense(width, "tanh") for width in widths[:-1]), Dense(widths[-1])]
        net = Network(layers, inputs=len(weights[0][0]), dtype=self.dtype)
        net.set_parameters(
            {
                f"{i}.{name}": part
                for i, pair in enumerate(weights)
                for name, part in zip(("weight", "bias"), pair, strict=True)
            }
        )
        options = dict(self.options)
        if self.steps:
            options["lr"] = schedules.Cosine(options["lr"], steps=self.steps)
        trainer = Trainer(net, self.loss, getattr(optimizers, self.optimizer)(**options))
        start = time.perf_counter()

        class Deadline:
            def on_epoch_end(self, trainer: Any, row: Any) -> bool:
                return time.perf_counter() - start >= seconds

        history = trainer.fit(
            self.x, self.y, epochs=FOREVER, batch_size=self.batch, callbacks=[Deadline()], progress=False
        )
        taken = time.perf_counter() - start
        if self.optimizer == "Adam":
            self.steps = int(trainer.steps * seconds / taken)
        values = list(net.parameters().values())
        return taken, len(history), list(zip(values[::2], values[1::2], strict=True))

    def close(self) -> None:
        """Nothing is held."""


class ScikitLearn:
    """MLPClassifier(solver="lbfgs"); `train` does a number of iterations."""

    def __init__(self, dtype: str) -> None:
        from sklearn.neural_network import MLPClassifier

        warnings.filterwarnings("ignore", module="sklearn")
        self.x, self.y = digits()
        self.x = self.x.astype(dtype)
        self.make = MLPClassifier

    def train(self, weights: Weights, iterations: int) -> tuple[float, int, Weights]:
        """Seconds, iterations and final weights."""
        hidden = [w.shape[1] for w, _ in weights[:-1]]
        model = self.make(
            hidden, activation="tanh", solver="lbfgs", alpha=0.0, tol=0.0, max_iter=1, warm_start=True
        )
        model.fit(self.x, self.y)  # makes the arrays, which then get our values
        for (w, b), coef, intercept in zip(weights, model.coefs_, model.intercepts_, strict=True):
            coef[...], intercept[...] = w, b
        model.set_params(max_iter=iterations)
        start = time.perf_counter()
        model.fit(self.x, self.y)
        taken = time.perf_counter() - start
        return taken, int(model.n_iter_), list(zip(model.coefs_, model.intercepts_, strict=True))

    def close(self) -> None:
        """Nothing is held."""


def gradcore_worker(**keywords: Any) -> Worker:
    return Worker("second_order:Gradcore", keywords)


def surrogate_workers() -> dict[str, Callable[[], Worker]]:
    """Every contender of the surrogate."""

    def worker(optimizer: str, options: Mapping[str, Any], batch: int | None) -> Callable[[], Worker]:
        return lambda: gradcore_worker(
            case="surrogate", optimizer=optimizer, options=options, dtype="float64", batch=batch
        )

    workers = {
        "LevenbergMarquardt": worker("LevenbergMarquardt", {}, None),
        "LevenbergMarquardt 3/2": worker("LevenbergMarquardt", {"decrease": 3.0, "increase": 2.0}, None),
        "LBFGS": worker("LBFGS", {"tolerance": 0.0}, None),
    }
    for rate in ADAM_RATES:
        for batch in (32, 500):
            workers[f"Adam {rate:g}, batch {batch}"] = worker("Adam", {"lr": rate}, batch)
    return workers


def measure_surrogate(rounds: int, seconds: float) -> list[Record]:
    """Final losses: the samples of these records are mean squared errors, not times."""
    x, y = surrogate()
    workers = {name: make() for name, make in surrogate_workers().items()}
    losses: dict[str, list[float]] = {name: [] for name in workers}
    epochs: dict[str, list[int]] = {name: [] for name in workers}
    try:
        for worker in workers.values():
            worker.call("train", initial(SURROGATE, 0), seconds)  # unmeasured; finds the cosine's length
        for i in range(rounds):
            names = list(workers)
            for name in names[i % len(names) :] + names[: i % len(names)]:
                harness.settle(list(workers.values()))
                _, count, weights = workers[name].call("train", initial(SURROGATE, i + 1), seconds)
                losses[name].append(loss_of(weights, x, y))
                epochs[name].append(count)
            say(f"surrogate: round {i + 1} of {rounds}")
    finally:
        for worker in workers.values():
            worker.close()
    return [
        harness.make_record(
            "second_order", f"surrogate {seconds:g} s", name, losses[name], unit="mse", calls=1,
            epochs=statistics.median(epochs[name]),
        )
        for name in workers
    ]  # fmt: skip


def measure_digits(rounds: int, iterations: Sequence[int]) -> list[Record]:
    """Final losses of scikit-learn, and of gradcore in the seconds that scikit-learn took."""
    x, y = digits()
    records = []
    workers: dict[str, Worker] = {}
    try:
        for dtype in ("float32", "float64"):
            workers[f"gradcore {dtype}"] = gradcore_worker(
                case="digits", optimizer="LBFGS", options={"tolerance": 0.0}, dtype=dtype, batch=None
            )
            workers[f"scikit-learn {dtype}"] = Worker("second_order:ScikitLearn", {"dtype": dtype})
        for count in iterations:
            losses: dict[str, list[float]] = {name: [] for name in workers}
            notes: dict[str, list[tuple[float, int]]] = {name: [] for name in workers}
            for i in range(rounds):
                for dtype in ("float32", "float64") if i % 2 else ("float64", "float32"):
                    start = initial(DIGITS, i + 1)
                    harness.settle(list(workers.values()))
                    taken, *found = workers[f"scikit-learn {dtype}"].call("train", start, count)
                    harness.settle(list(workers.values()))
                    for name, answer in (
                        (f"scikit-learn {dtype}", (taken, *found)),
                        (f"gradcore {dtype}", workers[f"gradcore {dtype}"].call("train", start, taken)),
                    ):
                        losses[name].append(loss_of(answer[2], x, y))
                        notes[name].append(answer[:2])
            say(f"digits: {count} iterations of scikit-learn done")
            for name in workers:
                seconds, epochs = (statistics.median(part) for part in zip(*notes[name], strict=True))
                records.append(
                    harness.make_record(
                        "second_order", f"digits {count} iterations", name, losses[name],
                        unit="loss", calls=1, epochs=epochs, seconds=f"{seconds:.3f}",
                    )
                )  # fmt: skip
    finally:
        for worker in workers.values():
            worker.close()
    return records


def table(records: Sequence[Record]) -> str:
    """Losses, with quartiles."""
    rows = [
        [
            r.case, r.contender, f"{r.median:.2e}", f"{r.q1:.2e} to {r.q3:.2e}", f"{r.notes['epochs']:g}",
            str(r.notes.get("seconds", "")),
        ]
        for r in records
    ]  # fmt: skip
    return harness.markdown(["case", "contender", "median loss", "quartiles", "iterations", "seconds"], rows)


def verdicts(records: Sequence[Record]) -> list[str]:
    """One line per target."""
    lines = []
    by_case: dict[str, dict[str, float]] = {}
    for r in records:
        by_case.setdefault(r.case, {})[r.contender] = r.median
    for case, losses in by_case.items():
        if case.startswith("surrogate"):
            adam = min(value for name, value in losses.items() if name.startswith("Adam"))
            ratio = adam / losses["LevenbergMarquardt"]
            word = "met" if ratio >= FACTOR else "MISSED"
            lines.append(f"- {case}: mse {ratio:.3g} times below the best Adam, {FACTOR:g} wanted: {word}")
            continue
        for dtype in ("float32", "float64"):
            ours, theirs = losses[f"gradcore {dtype}"], losses[f"scikit-learn {dtype}"]
            word = "met" if ours < theirs else "MISSED"
            lines.append(f"- {case}, {dtype}: loss {ours:.2e} against {theirs:.2e}, lower wanted: {word}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Losses of full-batch methods in the same time.",
        epilog="example: python bench/second_order.py --only digits",
    )
    parser.add_argument("--only", choices=("surrogate", "digits"), help="default: both")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="surrogate (default %(default)s)")
    harness.add_common_options(parser)
    arguments = parser.parse_args(argv)
    rounds = arguments.rounds or (1 if arguments.quick else 7)
    seconds = 0.05 if arguments.quick else arguments.seconds
    records: list[Record] = []
    try:
        if arguments.only != "digits":
            records += measure_surrogate(rounds, seconds)
        if arguments.only != "surrogate":
            records += measure_digits(rounds, ITERATIONS[:1] if arguments.quick else ITERATIONS)
    except (harness.Unsupported, WorkerError) as error:
        say(f"failed: {error}")
        return 1
    parts = [table(records), "", *verdicts(records)]
    if arguments.quick:
        parts.append("\nA quick run: the losses mean little.")
    harness.finish_report(arguments, records, "\n".join(parts))
    return 0


if __name__ == "__main__":
    harness.run_script(main)
