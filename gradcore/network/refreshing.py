"""Running averages of BatchNorm for weights that were not trained: one pass over data, in training mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..layers.rates import rates_of
from ..losses.regression import MAE
from ..validation.arrays import Array
from .compiled import Compiled

if TYPE_CHECKING:
    from .._core import LayerSpec

BATCH = 1024  # rows, where nothing else is said
_ROLES = ("running_mean", "running_var", "batches")


def refreshed(
    model: Compiled,
    x: Array,
    order: NDArray[np.int64] | None,
    batch_size: int,
    *,
    held: frozenset[str] = frozenset(),
    rates: NDArray[np.float64] | None = None,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Array]:
    """The running averages that the batches of x, in this order, give the weights of `model`, by name.

    Plain means over the batches, of their means and unbiased variances. The network is not changed: a copy
    whose layers average so takes steps of length 0, the only thing that moves running averages in the core.
    Empty where no batch has two rows, which a variance needs. Layers at the positions `held` normalise by the
    averages that they have, which stay. `rates` are those of layers with a schedule; `check` is called after
    every batch.
    """
    core = _core.CoreNetwork(
        [_cumulative(spec) for layer in model.layers for spec in layer.specs()],
        model.inputs,
        dtype=str(model.dtype),
        threads=model.asked_threads or 0,
        isa=model.asked_isa,
        flush_denormals=model.flush_denormals,
    )
    values = model.core_parameters()
    names = {info["name"]: index for index, info in enumerate(core.parameters)}
    roles = {info["name"]: info["role"] for info in core.parameters}
    kept = {name for name in names if name.rpartition(".")[0] in held and name in values}
    weights = {
        index: values[name] for name, index in names.items() if roles[name] not in _ROLES or name in kept
    }
    core.write(weights)
    rows = len(x) if order is None else len(order)
    batch_size = min(batch_size, rows)
    if batch_size < 2:
        return {}
    options: dict[str, Any] = {"optimizer": "sgd", "flags": 0, "clip": None, "nonfinite": "propagate"}
    trainer = _core.CoreTrainer(core, **_loss(model), **options, capacity=batch_size, seed=seed)
    for name in kept:
        if roles[name] in _ROLES:
            trainer.set_group(names[name], 1.0, math.nan, True)
    heads = model.heads or [("", 0, model.outputs)]
    target = [np.zeros((batch_size, columns), model.dtype) for _, _, columns in heads]
    still = np.zeros(_core.HYPERS)
    columns = len(rates_of(model.places.items()))  # without those of penalties, which the copy does not have
    scheduled = None if rates is None or not columns else rates[:columns].reshape(1, -1).copy()
    for at in _batches(order, rows, batch_size):
        batch = x[at]
        zeros = [part[: len(batch)] for part in target]
        if scheduled is not None:
            trainer.set_rates(trainer.step, scheduled)
        trainer.train_step(batch, zeros if model.heads else zeros[0], None, still)
        if not math.isfinite(trainer.last_report()[3]):  # an infinite gradient moves even at length 0
            core.write(weights)
        check()
    found = (name for name in values if roles[name] in _ROLES and name not in kept)
    return {name: core.read(names[name]) for name in found}


def _batches(order: NDArray[np.int64] | None, rows: int, size: int) -> Iterator[Any]:
    for start in range(0, rows, size):
        yield slice(start, start + size) if order is None else order[start : start + size]


def _cumulative(spec: LayerSpec) -> LayerSpec:
    if spec.get("kind") != "batch_norm":
        return spec
    changed: Mapping[str, Any] = {key: value for key, value in spec.items() if key != "momentum"}
    return {**changed, "cumulative": True}  # type: ignore[typeddict-item]


def _loss(model: Compiled) -> dict[str, Any]:
    """Nothing is learned from it; the slope of this one is finite whatever the outputs are."""
    any_loss = MAE()
    if model.heads:
        return {"loss": None, "heads": [(any_loss.name, any_loss.options(n), 1.0) for _, _, n in model.heads]}
    return {"loss": any_loss.name, "loss_options": any_loss.options(model.outputs)}
