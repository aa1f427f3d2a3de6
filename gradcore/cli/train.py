"""``gradcore train``: from a file of data to a saved model."""

from __future__ import annotations

import json
import math
import os
import warnings
from argparse import Namespace
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Dense, Dropout, History, Network, Standardize, Trainer, names, optimizers
from ..datasets.encoding import Encoding, column_at
from ..errors import ArgumentError, FormatError
from ..layers.base import Layer
from ..validation.checks import choice
from .source import ARRAY_TARGET, METADATA_KEY, check_writable, is_archive, read_data

OPTIMIZERS = {
    "adam": optimizers.Adam,
    "adamw": optimizers.AdamW,
    "sgd": optimizers.SGD,
    "rmsprop": optimizers.RMSprop,
}
_STEPS = 2000  # that small data should see at least, within the limit on epochs
_MOST_EPOCHS = 500


@dataclass(frozen=True)
class Data:
    """What all seeds train on."""

    encoding: Encoding
    x: NDArray[Any]
    y: NDArray[Any]
    test: tuple[NDArray[Any], NDArray[Any]] | None
    held_out: float


def run(arguments: Namespace) -> None:
    """Train, test and save as the arguments say."""
    choice(arguments.activation, "--activation", names("activation"))
    choice(arguments.optimizer, "--optimizer", OPTIMIZERS)
    check_writable(arguments.output, arguments.history)
    data = read(arguments)
    batch, epochs = amount(arguments, data)
    runs: list[dict[str, Any]] = []
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        trainer = trainer_for(arguments, data.encoding, seed)
        if not runs and not arguments.json:
            print(_heading(arguments, data, trainer.net, batch, epochs), flush=True)
        started = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # skipped steps stand in the report
            history = trainer.fit(
                data.x,
                data.y,
                epochs=epochs,
                batch_size=batch,
                validation=data.held_out or None,
                early_stopping=arguments.patience,
            )
        seconds = perf_counter() - started
        runs.append({"seconds": seconds, **_scores(trainer, data, history, arguments.patience)})
        if len(runs) == 1:
            _save(arguments, trainer.net, data.encoding, history)
        if not arguments.json:
            print(_line(data.encoding, runs[-1]), flush=True)
    mean = _means(runs)
    if arguments.json:
        print(json.dumps(_report(arguments, data, batch, epochs, runs, mean)))
        return
    if len(runs) > 1:
        print(f"mean     {_text(data.encoding, mean)}  over {len(runs)} seeds")
    if arguments.output:
        print(f"saved    {arguments.output}")
    else:
        print("saved    nothing; --output MODEL saves the model for gradcore predict")


def read(arguments: Namespace) -> Data:
    """The data that the arguments name, encoded."""
    table, test = read_data(arguments.data, header=arguments.header, text=arguments.text)
    if arguments.test is not None:
        names = table.names if table.header else ()
        other, its_test = read_data(arguments.test, header=arguments.header, text=arguments.text, names=names)
        test = its_test or other
    for name in arguments.text:
        table[name]
    if is_archive(arguments.data) and ARRAY_TARGET not in table:
        raise FormatError(f"{arguments.data}: expected an array y beside X, got none")
    target = column_at(table, arguments.target or "-1")
    if target in arguments.drop:
        raise ArgumentError(f"--drop: expected columns other than the target, got {target!r}")
    table = table.without(arguments.drop)
    labels = os.path.isdir(arguments.data)  # IDX labels are classes, however many
    encoding = Encoding.learn(table, target, task=arguments.task or ("classes" if labels else None))
    rows = len(table)
    held_out = arguments.validation
    if round(held_out * rows) < 1:
        held_out = 0.0
    elif round(held_out * rows) >= rows:
        raise ArgumentError(f"--validation: expected rows left to train on, got {held_out:g} of {rows}")
    tested = None if test is None else (encoding.inputs(test, exact=True), encoding.targets(test))
    x = encoding.inputs(table, exact=True)
    return Data(encoding, x, encoding.targets(table), tested, held_out)


def amount(arguments: Namespace, data: Data) -> tuple[int, int]:
    """Batch size and epochs: small data gets small batches and many epochs, unless the user says."""
    rows = len(data.x)
    batch = arguments.batch_size or (128 if rows >= 2000 else 32)
    steps = math.ceil(rows * (1 - data.held_out) / batch)
    return batch, arguments.epochs or min(_MOST_EPOCHS, max(10, math.ceil(_STEPS / steps)))


def trainer_for(arguments: Namespace, encoding: Encoding, seed: int) -> Trainer:
    """The network and the optimizer that the arguments describe."""
    layers: list[Layer] = [Standardize()] if arguments.standardize else []
    for width in arguments.hidden:
        layers.append(Dense(width, arguments.activation))
        if arguments.dropout:
            layers.append(Dropout(arguments.dropout))
    layers.append(Dense(encoding.outputs))
    net = Network(layers, inputs=encoding.width, seed=seed, threads=arguments.threads)
    loss = "cross_entropy" if encoding.classes else "mse"
    return Trainer(net, loss, OPTIMIZERS[arguments.optimizer](lr=arguments.lr))


def _save(arguments: Namespace, net: Network, encoding: Encoding, history: History) -> None:
    if arguments.output:
        net.save(arguments.output, metadata={METADATA_KEY: encoding.to_json()})
    if arguments.history:
        history.to_csv(arguments.history)


def _scores(trainer: Trainer, data: Data, history: History, patience: int | None) -> dict[str, Any]:
    """What a run reached: training, validation and test scores, errors in units of the target."""
    row = _kept_row(history, patience)
    scores: dict[str, dict[str, float]] = {"training": {"loss": history.loss[row]}}
    if data.held_out:
        scores["validation"] = {"loss": history.val_loss[row]}
    if data.encoding.classes:
        scores["training"]["accuracy"] = history.accuracy[row]
        if data.held_out:
            scores["validation"]["accuracy"] = history.val_accuracy[row]
    if data.test is not None:
        scores["test"] = trainer.evaluate(*data.test)
    for part in scores.values():
        if not math.isfinite(part["loss"]):
            raise ArgumentError(
                f"--lr: expected a rate that training survives, got {trainer.learning_rate:g}"
            )
        if not data.encoding.classes:
            part["rmse"] = math.sqrt(part["loss"]) * data.encoding.scale
    return {"seed": trainer.seed, "epochs": len(history), "skipped": sum(history.skipped), **scores}


def _kept_row(history: History, patience: int | None) -> int:
    """The epoch whose parameters the network has: the last, or with early stopping the best."""
    if patience is None:
        return -1
    losses = history.loss if all(map(math.isnan, history.val_loss)) else history.val_loss
    return int(np.nanargmin(losses)) if not all(map(math.isnan, losses)) else -1


def _means(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The mean over the seeds of every score."""
    parts = [name for name in ("training", "validation", "test") if name in runs[0]]
    return {
        part: {key: sum(run[part][key] for run in runs) / len(runs) for key in runs[0][part]}
        for part in parts
    }


def _heading(arguments: Namespace, data: Data, net: Network, batch: int, epochs: int) -> str:
    encoding = data.encoding
    test = "" if data.test is None else f", {len(data.test[0]):,} to test"
    if encoding.classes:
        shown = ", ".join(encoding.classes[:10]) + (", ..." if encoding.classes[10:] else "")
        target = f"{encoding.target!r}, {len(encoding.classes)} classes: {shown}"
    else:
        target = (
            f"{encoding.target!r}, a number of mean {encoding.mean:.4g} and deviation {encoding.scale:.4g}"
        )
    widths = "-".join(map(str, (encoding.width, *arguments.hidden, encoding.outputs)))
    hidden = f" {arguments.activation}" if arguments.hidden else ""
    scaled = ", standardized inputs" if arguments.standardize else ""
    held = f", {data.held_out:.0%} of the rows held out" if data.held_out else ""
    return "\n".join(
        [
            f"data     {arguments.data}: {len(data.x):,} rows, {len(encoding.features):,} columns{test}",
            f"target   {target}",
            f"network  {widths}{hidden}, {net.elements:,} parameters{scaled}",
            f"training {arguments.optimizer} {arguments.lr:g}, batch {batch}, up to {epochs} epochs{held}"
            if arguments.patience
            else f"training {arguments.optimizer} {arguments.lr:g}, batch {batch}, {epochs} epochs{held}",
        ]
    )


def _line(encoding: Encoding, run: dict[str, Any]) -> str:
    skipped = f"  ({run['skipped']} steps skipped, not finite)" if run["skipped"] else ""
    return f"seed {run['seed']:<3} {_text(encoding, run)}  {run['seconds']:.1f} s{skipped}"


def _text(encoding: Encoding, scores: dict[str, Any]) -> str:
    """The scores of a run, or their means, for people."""
    parts = [name for name in ("training", "validation", "test") if name in scores]
    if encoding.classes:
        return "  ".join(f"{name} accuracy {100 * scores[name]['accuracy']:.2f} %" for name in parts)
    return "  ".join(f"{name} RMSE {scores[name]['rmse']:.4g}" for name in parts)


def _report(
    arguments: Namespace,
    data: Data,
    batch: int,
    epochs: int,
    runs: list[dict[str, Any]],
    mean: dict[str, dict[str, float]],
) -> dict[str, Any]:
    encoding = data.encoding
    return {
        "data": arguments.data,
        "rows": len(data.x),
        "test_rows": 0 if data.test is None else len(data.test[0]),
        "target": encoding.target,
        "task": encoding.task,
        "classes": list(encoding.classes),
        "inputs": encoding.width,
        "hidden": list(arguments.hidden),
        "batch_size": batch,
        "epochs": epochs,
        "runs": runs,
        "mean": mean,
        "model": arguments.output,
    }
