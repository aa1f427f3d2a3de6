"""``gradcore predict``: apply a model that ``gradcore train`` saved."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from argparse import Namespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import Network
from ..datasets.encoding import Encoding
from ..datasets.tables import Table
from ..errors import ArgumentError, FormatError
from ..network.outputs import softmax
from .source import METADATA_KEY, check_writable, read_data, write_text


def run(arguments: Namespace) -> None:
    """Write one line for every row of the data; with the target in the data, say how good they are."""
    check_writable(arguments.output)
    net = Network.load(arguments.model, threads=arguments.threads)
    if METADATA_KEY not in net.metadata:
        raise FormatError(
            f"{arguments.model}: expected a model that gradcore train saved; use Network.predict"
        )
    encoding = Encoding.from_json(net.metadata[METADATA_KEY])
    if (net.inputs, net.outputs) != (encoding.width, encoding.outputs):
        raise FormatError(
            f"{arguments.model}: expected a network of {encoding.width} inputs and {encoding.outputs} "
            f"outputs, got {net.inputs} and {net.outputs}"
        )
    if arguments.proba and not encoding.classes:
        raise ArgumentError("--proba: expected a model of classes, got one of a number")
    names = encoding.features if encoding.header else ()
    table, test = read_data(arguments.data, header=arguments.header, text=encoding.categories, names=names)
    table = test or table
    outputs = net.predict(encoding.inputs(table, exact=True))
    columns = _columns(encoding, outputs, arguments.proba)
    score = _score(encoding, table, outputs)
    if arguments.json:
        text = json.dumps({"target": encoding.target, "rows": len(table), **columns, "score": score}) + "\n"
    else:
        text = _csv(encoding, columns)
    if arguments.output:
        write_text(arguments.output, text)
    else:
        sys.stdout.write(text)
    if score is not None and not arguments.json:
        shown = f"accuracy {100 * score:.2f} %" if encoding.classes else f"root mean square error {score:.6g}"
        print(f"{len(table):,} rows, {shown}", file=sys.stderr)


def _columns(encoding: Encoding, outputs: NDArray[Any], proba: bool) -> dict[str, Any]:
    """The predictions, and the probabilities by class."""
    if not encoding.classes:
        return {"predictions": encoding.unscaled(outputs).tolist()}
    columns: dict[str, Any] = {"predictions": [encoding.classes[i] for i in outputs.argmax(axis=1)]}
    if proba:
        shares = softmax(outputs.astype(np.float64))
        columns["probabilities"] = {name: shares[:, i].tolist() for i, name in enumerate(encoding.classes)}
    return columns


def _score(encoding: Encoding, table: Table, outputs: NDArray[Any]) -> float | None:
    """Accuracy, or the root mean square error in units of the target; None where the data has no target."""
    if encoding.target not in table:
        return None
    right = encoding.targets(table)
    if encoding.classes:
        return float((outputs.argmax(axis=1) == right).mean())
    return math.sqrt(float(np.square(outputs[:, 0].astype(np.float64) - right).mean())) * encoding.scale


def _csv(encoding: Encoding, columns: dict[str, Any]) -> str:
    shares = columns.get("probabilities", {})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([encoding.target, *(f"p({name})" for name in shares)])
    numbers = [[f"{value:.6g}" for value in values] for values in shares.values()]
    predictions = columns["predictions"]
    if not encoding.classes:
        predictions = [f"{value:.9g}" for value in predictions]
    writer.writerows(zip(predictions, *numbers, strict=True))
    return file.getvalue()
