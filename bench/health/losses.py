"""Losses as users write them, right and wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .data import Array

LossFunction = Callable[[Array, Array], tuple[float, Array]]


def squares(output: Array, target: Array) -> tuple[float, Array]:
    """The mean of squares."""
    error = output - target
    return float(np.mean(error**2)), 2 * error / error.size


def entropy(output: Array, target: Array) -> tuple[float, Array]:
    """Cross-entropy of logits and labels."""
    shifted = output - output.max(axis=1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    slope = np.exp(log)
    rows = np.arange(len(target))
    slope[rows, target] -= 1
    return float(-log[rows, target].mean()), slope / len(target)


def right(classes: int) -> LossFunction:
    """The loss that suits the task."""
    return entropy if classes else squares


def scaled(function: LossFunction, factor: float) -> LossFunction:
    """The loss times a factor."""

    def loss(output: Array, target: Array) -> tuple[float, Array]:
        value, slope = function(output, target)
        return value * factor, slope * output.dtype.type(factor)

    return loss


def logarithm_of_negatives(output: Array, target: Array) -> tuple[float, Array]:
    """Squares of logarithms, which do not exist for outputs below -1."""
    with np.errstate(all="ignore"):
        error = np.log1p(output) - target
        return float(np.mean(error**2)), 2 * error / (1 + output) / error.size


def entropy_that_overflows(output: Array, target: Array) -> tuple[float, Array]:
    """Cross-entropy whose exponentials are of logits times twenty, not shifted: infinite from 4.5 on."""
    with np.errstate(all="ignore"):
        power = np.exp(output * output.dtype.type(20))
        share = power / power.sum(axis=1, keepdims=True)
        rows = np.arange(len(target))
        value = float(-np.log(share[rows, target]).mean())
        slope = share.copy()
        slope[rows, target] -= 1
        return value, slope * 20 / len(target)


def wrong_sign(function: LossFunction) -> LossFunction:
    """The gradient points uphill."""

    def loss(output: Array, target: Array) -> tuple[float, Array]:
        value, slope = function(output, target)
        return value, -slope

    return loss


def without_sign(function: LossFunction) -> LossFunction:
    """The gradient lacks its sign, as of a square root of squares."""

    def loss(output: Array, target: Array) -> tuple[float, Array]:
        value, slope = function(output, target)
        return value, np.abs(slope)

    return loss


def other_rows(function: LossFunction, share: float) -> LossFunction:
    """A share of the rows get the gradient of the row before them."""

    def loss(output: Array, target: Array) -> tuple[float, Array]:
        value, slope = function(output, target)
        last = int(len(slope) * share)
        wrong = slope.copy()
        wrong[:last] = np.roll(slope, 1, axis=0)[:last]
        return value, wrong

    return loss
