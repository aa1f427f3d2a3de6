"""The digits that gradcore ships."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_digits"]


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
