"""Data to train on: the digits that gradcore ships, and files in common formats.

Every loader checks its file whole and raises NotFoundError, FileError or FormatError with the place where
the file is not what it should be. Nothing is ever downloaded or unpickled.
"""

from __future__ import annotations

import gzip
import os
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import path_name
from .encoding import Encoding
from .errors import FormatError, NotFoundError
from .tables import Table, load_csv, load_parquet, opening

__all__ = ["Encoding", "Table", "load_csv", "load_digits", "load_idx", "load_npz", "load_parquet", "read_idx"]

Array = NDArray[Any]

# The third byte of an IDX file; all are big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Handwritten digits, 8 x 8 pixels, shipped with gradcore.

    The split is stored in the file and never changes: by class, so that every digit has its share of both
    parts. Pixels are whole numbers from 0 (paper) to 16 (ink). CC BY 4.0, see ``data/LICENSE-digits``.

    Returns
    -------
    X_train : ndarray (1437, 64) float32
    y_train : ndarray (1437,) int64
        The digit, 0 to 9.
    X_test : ndarray (360, 64) float32
    y_test : ndarray (360,) int64

    References
    ----------
    Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> from gradcore import datasets
    >>> X_train, y_train, X_test, y_test = datasets.load_digits()
    >>> X_train.shape, X_test.shape, float(X_train.max())
    ((1437, 64), (360, 64), 16.0)
    """
    with (files("gradcore") / "data" / "digits.npz").open("rb") as file, np.load(file) as parts:
        return (
            parts["x_train"].astype(np.float32),
            parts["y_train"].astype(np.int64),
            parts["x_test"].astype(np.float32),
            parts["y_test"].astype(np.int64),
        )


def load_idx(
    folder: object,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """A folder of IDX files, the format of MNIST, Fashion-MNIST and their relatives.

    Parameters
    ----------
    folder : str or path
        Has ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each plain or with ``.gz``.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images as rows of float32 pixels with the file's values (0 to 255), labels as int64.
    """
    base = Path(path_name(folder))
    if not os.path.isdir(base):
        raise NotFoundError(f"{base}: expected a folder of IDX files, found no such folder")
    x_train, y_train = _idx_pair(base, "train")
    x_test, y_test = _idx_pair(base, "t10k")
    if x_train.shape[1] != x_test.shape[1]:
        raise FormatError(
            f"{base}: expected images of one size, got {x_train.shape[1]} and {x_test.shape[1]} pixels"
        )
    return x_train, y_train, x_test, y_test


def read_idx(path: object) -> Array:
    """The array of one IDX file, plain or gzipped.

    The header is checked against the length of the file before anything is allocated for it.
    """
    name = path_name(path)
    with opening(name):
        data = Path(name).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(f"{name}: damaged gzip data: {error}") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES or data[3] == 0:
        raise FormatError(
            f"{name}: expected an IDX file, got one that begins with {data[:4].hex(' ') or 'nothing'}"
        )
    dtype = np.dtype(_IDX_TYPES[data[2]])
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise FormatError(f"{name}: expected a header of {start} bytes, got a file of {len(data)}")
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    expected = dtype.itemsize
    for size in shape:
        expected *= size
    if len(data) - start != expected:
        raise FormatError(
            f"{name}: expected {expected} bytes of data for shape {shape}, got {len(data) - start}"
        )
    try:
        return np.frombuffer(data, dtype, offset=start).reshape(shape)
    except ValueError:  # more axes, or with a zero among them larger ones, than arrays have
        raise FormatError(
            f"{name}: expected at most 64 axes whose lengths an array can have, got shape {shape[:8]}"
            f"{f' and {len(shape) - 8} more' if shape[8:] else ''}"
        ) from None


def load_npz(path: object) -> tuple[Array, Array | None, Array | None, Array | None]:
    """A NumPy archive of arrays to train on; archives with pickled objects are refused.

    Parameters
    ----------
    path : str or path
        Has ``X`` and, except for prediction, ``y``; or ``x_train``, ``y_train`` and perhaps ``x_test``,
        ``y_test``. Upper and lower case are the same; ``data`` and ``target`` stand for X and y too.

    Returns
    -------
    X, y, X_test, y_test : ndarray or None
        X as (rows, columns): further dimensions are flattened. None for what the archive does not have.
    """
    name = path_name(path)
    with opening(name):
        file = open(name, "rb")
    with file:
        try:
            archive = np.load(file, allow_pickle=False)
            if not hasattr(archive, "files"):
                raise ValueError("a single .npy array; save it with numpy.savez(path, X=X, y=y)")
            with archive:
                found = {key.lower(): archive[key] for key in archive.files}
        except Exception as error:  # zipfile, zlib, struct and NumPy raise a dozen classes on damaged files
            raise FormatError(f"{name}: cannot be read as a NumPy archive: {error}") from None

    def pick(*keys: str) -> Array | None:
        return next((found[key] for key in keys if key in found), None)

    x, y = pick("x_train", "x", "data"), pick("y_train", "y", "target")
    if x is None:
        raise FormatError(f"{name}: expected arrays X and y, or x_train and y_train, got {', '.join(found)}")
    x_test, y_test = pick("x_test"), pick("y_test")
    if (x_test is None) != (y_test is None):
        raise FormatError(f"{name}: expected both x_test and y_test, or neither")
    x, y = _examples(name, x, y)
    if x_test is not None:
        x_test, y_test = _examples(name, x_test, y_test)
        if x_test.shape[1] != x.shape[1]:
            raise FormatError(f"{name}: expected {x.shape[1]} columns in x_test, got {x_test.shape[1]}")
    return x, y, x_test, y_test


def _examples(name: str, x: Array, y: Array | None) -> tuple[Array, Array | None]:
    """X as a matrix and y as a vector of as many rows."""
    if x.ndim < 2 or not x.size or x.dtype.kind not in "biuf":
        raise FormatError(f"{name}: expected X as numbers (rows, columns), got {x.dtype} {x.shape}")
    if y is None:
        return x.reshape(len(x), -1), None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (len(x),) or y.dtype.kind not in "biufU":
        raise FormatError(
            f"{name}: expected y as numbers or text of shape ({len(x)},), got {y.dtype} {y.shape}"
        )
    return x.reshape(len(x), -1), y


def _idx_pair(base: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images = read_idx(_idx_file(base, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_idx_file(base, f"{part}-labels-idx1-ubyte"))
    if images.ndim < 2 or labels.ndim != 1 or len(images) != len(labels) or not images.size:
        raise FormatError(
            f"{base}: {part}: expected as many labels as images, got images {images.shape} "
            f"and labels {labels.shape}"
        )
    return images.reshape(len(images), -1).astype(np.float32), labels.astype(np.int64)


def _idx_file(base: Path, name: str) -> Path:
    """The file, plain, gzipped, or with a dot before "idx" as some archives have it."""
    for variant in (name, name.replace("-idx", ".idx")):
        for path in (base / variant, base / f"{variant}.gz"):
            if os.path.isfile(path):
                return path
    raise NotFoundError(f"{base}: expected {name} or {name}.gz in it, found neither")
