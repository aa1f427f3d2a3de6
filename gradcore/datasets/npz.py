"""NumPy's archives of training data."""

from __future__ import annotations

import numpy as np

from ..errors import FormatError
from ..validation.checks import path_name
from .idx import Array
from .tables import opening

__all__ = ["load_npz"]


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
