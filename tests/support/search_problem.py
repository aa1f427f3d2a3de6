"""Three clouds of points that a small network tells apart."""

import numpy as np


def blobs(rows=180):
    rng = np.random.default_rng(11)
    y = np.arange(rows) % 3
    centres = np.array([[2, 0, 0, 1], [0, 2, 0, -1], [0, 0, 2, 0]])
    return centres[y] + 0.7 * rng.standard_normal((rows, 4)), y
