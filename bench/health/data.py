"""Families of data. Each draws a task from one generator and rows of it from another.

The task (centres, frequencies, which words go with which topic) is the same in all runs of a case; the rows
differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gradcore import datasets
from numpy.typing import NDArray

Array = NDArray[Any]
HELD_OUT = 400  # rows

Rows = tuple[Array, Array]  # (rows, columns) and labels (rows,) or values (rows,)


@dataclass
class Data:
    """Rows to train on and rows held out. Faults write into it."""

    x: Array
    y: Array  # labels, int64 (rows,), or values, float32 (rows, 1)
    held_x: Array
    held_y: Array
    classes: int  # 0: values
    codes: tuple[int, ...] = ()  # cardinality of each of the last columns, which are codes
    noise: bool = False  # nothing can be learnt


@dataclass(frozen=True)
class Family:
    """How to draw rows, and what they are."""

    draw: Callable[[np.random.Generator, np.random.Generator, int], Rows]  # task, rows, their number
    classes: int = 0
    linear: bool = False  # a linear network does as well as any
    wide: bool = False  # more than 20 columns
    noise: bool = False
    codes: tuple[int, ...] = ()


def blobs(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Three normal clouds in the plane that overlap a little."""
    angle = 2 * np.pi * (np.arange(3) / 3 + task.random())
    centres = 2.4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    y = rng.integers(3, size=rows)
    return centres[y] + rng.standard_normal((rows, 2)), y


def clouds(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Six classes of two clouds each in eight dimensions."""
    centres = 1.6 * task.standard_normal((6, 2, 8))
    y = rng.integers(6, size=rows)
    return centres[y, rng.integers(2, size=rows)] + rng.standard_normal((rows, 8)), y


def circles(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A ring within a ring."""
    y = rng.integers(2, size=rows)
    angle = 2 * np.pi * rng.random(rows)
    radius = np.where(y == 1, 0.6, 1.4)
    x = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    return x + 0.15 * rng.standard_normal((rows, 2)), y


def moons(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Two half circles that reach into each other."""
    y = rng.integers(2, size=rows)
    angle = np.pi * rng.random(rows)
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    x[y == 1] = np.array([1.0, 0.4]) - x[y == 1]
    return (x - [0.5, 0.2]) * 1.4 + 0.15 * rng.standard_normal((rows, 2)), y


def spirals(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Two arms, a turn each."""
    y = rng.integers(2, size=rows)
    along = np.sqrt(rng.random(rows))
    angle = 2 * np.pi * along + np.pi * y
    x = 1.8 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return x + 0.05 * rng.standard_normal((rows, 2)), y


def checks(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A board of 3 by 3 fields, whose colours alternate, and two columns of noise."""
    x = rng.uniform(-1.5, 1.5, (rows, 4))
    cell = np.floor(x[:, :2] + 1.5).astype(np.int64)
    return x, (cell[:, 0] + cell[:, 1]) % 2


@functools.cache
def _digits() -> Rows:
    x, y, more_x, more_y = datasets.load_digits()
    return np.concatenate([x, more_x]) / 16.0, np.concatenate([y, more_y])


def digits(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """The digits that gradcore ships, pixels from 0 to 1; no row twice."""
    x, y = _digits()
    chosen = rng.permutation(len(x))[:rows]
    return x[chosen], y[chosen]


def texts(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Word counts of short texts on four topics, mostly zeros."""
    words, topics, length = 120, 4, 25
    frequency = task.dirichlet(np.full(words, 0.3), topics) * 0.5 + task.dirichlet(np.full(words, 1.0)) * 0.5
    y = rng.integers(topics, size=rows)
    return np.stack([rng.multinomial(length, frequency[topic]) for topic in y]), y


def mixed(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A table: five quantities and two columns of codes whose values say nothing by their order."""
    first, second = 1.5 * task.standard_normal(12), 1.5 * task.standard_normal(20)
    weight = task.standard_normal(5)
    a, b = rng.integers(12, size=rows), rng.integers(20, size=rows)
    x = rng.standard_normal((rows, 5))
    hidden = x @ weight + first[a] + second[b] + x[:, 0] * x[:, 1]
    y = (hidden + 0.4 * rng.standard_normal(rows) > 0).astype(np.int64)
    return np.column_stack([x, a, b]), y


def prices(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A table with a value to predict: four quantities and a column of fifteen codes."""
    level = 1.2 * task.standard_normal(15)
    code = rng.integers(15, size=rows)
    x = rng.standard_normal((rows, 4))
    y = level[code] + np.tanh(x[:, 0] * 1.5) + 0.5 * x[:, 1] * x[:, 2] + 0.2 * rng.standard_normal(rows)
    return np.column_stack([x, code]), y


def friedman(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Friedman's function of five columns among ten, scaled."""
    x = rng.random((rows, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return (x - 0.5) * 3.46, (y - 14.4 + 0.5 * rng.standard_normal(rows)) / 5


def waves(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A sum of three sines of one column."""
    frequency, phase = task.uniform(1.0, 4.0, 3), task.uniform(0, 2 * np.pi, 3)
    x = rng.uniform(-1.7, 1.7, (rows, 1))
    return x, np.sin(x * frequency + phase).sum(axis=1) * 0.8 + 0.05 * rng.standard_normal(rows)


def ripples(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A surface over two columns, with two more that do not matter."""
    x = rng.uniform(-1.7, 1.7, (rows, 4))
    angle = task.uniform(0, np.pi)
    along = x[:, 0] * np.cos(angle) + x[:, 1] * np.sin(angle)
    return x, np.sin(2.2 * along) + 0.6 * np.cos(1.7 * x[:, 0] * x[:, 1]) + 0.1 * rng.standard_normal(rows)


def plane(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """A linear function of eight columns, and noise."""
    weight = task.standard_normal(8)
    x = rng.standard_normal((rows, 8))
    return x, x @ weight / np.linalg.norm(weight) + 0.3 * rng.standard_normal(rows)


def skewed(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Two clouds in five dimensions, one of which has a fifth of the rows."""
    direction = task.standard_normal(5)
    y = (rng.random(rows) < 0.2).astype(np.int64)
    x = rng.standard_normal((rows, 5)) + np.outer(y, 2.6 * direction / np.linalg.norm(direction))
    return x, y


def few(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Two columns of forty tell the classes apart; a tenth of the labels are wrong."""
    direction = task.standard_normal(2)
    x = rng.standard_normal((rows, 40))
    y = (x[:, :2] @ direction > 0) ^ (rng.random(rows) < 0.05)
    return x, y.astype(np.int64)


def random_labels(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Labels that have nothing to do with the rows."""
    return rng.standard_normal((rows, 6)), rng.integers(3, size=rows)


def random_values(task: np.random.Generator, rng: np.random.Generator, rows: int) -> Rows:
    """Values that have nothing to do with the rows."""
    return rng.standard_normal((rows, 6)), rng.standard_normal(rows)


FAMILIES = {
    "blobs": Family(blobs, 3, linear=True),
    "clouds": Family(clouds, 6),
    "circles": Family(circles, 2),
    "moons": Family(moons, 2),
    "spirals": Family(spirals, 2),
    "checks": Family(checks, 2),
    "digits": Family(digits, 10, linear=True, wide=True),
    "texts": Family(texts, 4, linear=True, wide=True),
    "mixed": Family(mixed, 2, codes=(12, 20)),
    "prices": Family(prices, codes=(15,)),
    "friedman": Family(friedman),
    "waves": Family(waves),
    "ripples": Family(ripples),
    "plane": Family(plane, linear=True),
    "skewed": Family(skewed, 2, linear=True),
    "few": Family(few, 2, linear=True, wide=True),
    "random_labels": Family(random_labels, 3, linear=True, noise=True),
    "random_values": Family(random_values, linear=True, noise=True),
}


def draw(name: str, rows: int, seed: int, run: int) -> Data:
    """The data of one run: `rows` to train on and HELD_OUT rows more of the same task."""
    family = FAMILIES[name]
    task, rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2, run])
    x, y = family.draw(task, rng, rows + HELD_OUT)
    x = np.ascontiguousarray(x, np.float32)
    y = y.astype(np.int64) if family.classes else y.astype(np.float32)[:, None]
    return Data(x[:rows], y[:rows], x[rows:], y[rows:], family.classes, family.codes, family.noise)
