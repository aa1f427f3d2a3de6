"""What commands share: data in any of the formats as tables, the place of the encoding, output."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.idx import load_idx
from ..datasets.npz import load_npz
from ..datasets.tables import Table, load_csv, load_parquet
from ..errors import ArgumentError, FileError, NotFoundError
from ..validation.checks import path_name

METADATA_KEY = "data"  # of a model file; holds Encoding.to_json()
ARRAY_TARGET = "y"  # the column that the labels of NPZ files and IDX folders become

_CSV = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")


def read_data(
    path: str, *, header: bool | None = None, text: Collection[str] = (), names: Collection[str] = ()
) -> tuple[Table, Table | None]:
    """The data to train on and, where the format has a place for it, the data to test on.

    `names` are those that a header would have, where they are known.
    """
    lower = path.lower()
    if os.path.isdir(path):
        arrays: tuple[Any, ...] = load_idx(path)
    elif is_archive(path):
        arrays = load_npz(path)
    elif lower.endswith((".parquet", ".pq")):
        return load_parquet(path, text=text), None
    elif lower.endswith(_CSV) or not os.path.exists(path):
        return load_csv(path, header=header, text=text, names=names), None
    else:
        raise ArgumentError(f"{path}: expected a file that ends in {', '.join(_CSV[:3])}, .parquet or .npz")
    x, y, x_test, y_test = arrays
    test = None if x_test is None else _as_table(path, x_test, y_test)
    return _as_table(path, x, y), test


def is_archive(path: str) -> bool:
    """Whether a path is that of an NPZ file."""
    return path.lower().endswith(".npz")


def _as_table(source: str, x: NDArray[Any], y: NDArray[Any] | None) -> Table:
    names = tuple(str(i) for i in range(x.shape[1]))
    if y is None:
        return Table(source, names, tuple(x.T), header=False)
    if y.dtype.kind == "U":
        texts = np.empty(len(y), object)
        texts[:] = y.tolist()
        y = texts
    return Table(source, (*names, ARRAY_TARGET), (*x.T, y), header=False)


def check_writable(*paths: str | None) -> None:
    """Refuse paths that cannot be written to before any work is done for them."""
    for path in paths:
        if path is None:
            continue
        path_name(path)
        if not os.path.isdir(Path(path).absolute().parent):
            raise NotFoundError(f"{path}: no such folder to write to")
        if os.path.isdir(path):
            raise FileError(f"{path}: expected the name of a file to write, found a folder")


def write_text(path: str, content: str) -> None:
    """Write a file of text."""
    try:
        Path(path_name(path)).write_text(content, encoding="utf-8", newline="", errors="surrogateescape")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None


def solid_block() -> str:
    """A solid block where standard output can show it."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"
