"""IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, NotFoundError
from ..validation.checks import path_name
from .tables import opening

__all__ = ["load_idx", "read_idx"]

Array = NDArray[Any]

# The third byte of an IDX file; all are big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


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
