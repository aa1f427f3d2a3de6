"""Trainers to files and back: the network, the optimizer's state, and where a fit stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np

from .. import _core
from ..errors import FormatError
from ..losses.base import Loss
from ..network import files, stored
from ..network.describe import build, build_as, describe, plain
from ..network.network import compiled_of, network_of
from ..optimizers.interface import AnyOptimizer
from ..schedules.plateau import PlateauState
from ..validation.arrays import Array
from ..validation.checks import flag, integer, number
from .core_trainer import factors, reserve
from .early_stopping import StopState
from .fit_loop import Loop
from .fit_state import FitState, Sums, Terms
from .history import History
from .reloading import Changes
from .resuming import identify
from .setup_checks import quiet
from .state import TrainingState

T = TypeVar("T")
Make = Callable[..., tuple[T, TrainingState]]  # from a network and the other arguments of a Trainer


def save(state: TrainingState, path: object) -> None:
    """Write a checkpoint."""
    with state.model.turns.steady("save"):
        content = _content(state)
    files.write(path, *content)


def load(make: Make[T], path: object, threads: int | None, isa: str | None, changes: Changes) -> T:
    """Read a checkpoint."""
    return _restored(make, *files.read(path), threads, isa, changes)


def encode(state: TrainingState) -> bytes:
    """A checkpoint as bytes."""
    with state.model.turns.steady("copy"):
        content = _content(state)
    return files.encode(*content)


def decode(make: Make[T], data: bytes, threads: int | None, isa: str | None) -> T:
    """The trainer of `encode`."""
    known = isa if isa in _core.names("isa") else None
    return _restored(make, *files.decode(data), threads, known, Changes())


def descriptions(state: TrainingState) -> dict[str, Any]:
    """What a trainer was made of; ArgumentError where it or its network has a function, which no file can
    hold."""
    stored.description(state.model)
    found = {
        "loss": describe(state.loss, "loss"),
        "optimizer": describe(state.optimizer, "optimizer"),
        "clip": describe(state.plan.clip, "clip"),
    }
    if state.plan.constraint is not None:
        found["constraint"] = describe(state.plan.constraint, "constraint")
    return found


def _content(state: TrainingState) -> tuple[files.Tensors, dict[str, str]]:
    model, core, fit, run = state.model, state.core, state.fit, state.run
    history = asdict(state.history)
    best_epoch, added = history.pop("best_epoch"), history.pop("added")
    running: list[float] = []
    if core is not None:  # before the weights: it makes the masks true of those that others have set
        running = model.turns.read(model.core, core.running_read, "save").tolist()
    tensors = stored.tensors(model)
    if core is not None:
        tensors += [
            (f"optimizer.{slot}.{info['name']}", core.state_read(slot, index))
            for slot in range(core.slots)
            for index, info in enumerate(model.infos)
            if info["trainable"]
        ]
        tensors += [
            (f"factor.{side}.{model.infos[index]['name']}", core.factor_read(index, side))
            for index, side in factors(core, model.infos)
        ]
    if fit is not None:
        identify(fit)
        tensors += [(f"best.{name}", value) for name, value in fit.stop.parameters.items()]
        tensors += [(f"begun.{name}", value) for name, value in fit.stop.begun.items()]
    if run is not None:
        tensors += run.tensors(state.optimizer)
    about = {
        **descriptions(state),
        "nonfinite": state.nonfinite,
        "seed": state.seed,
        "steps": state.steps,
        "updates": 0 if core is None else core.updates,
        "capacity": 0 if core is None else core.capacity,
        "running": running,
        "epochs": state.epochs,
        "history": history,
        "best_epoch": best_epoch,
        "added": added,
        "fit": None if fit is None else _fit_description(fit),
        "fit_terms": None if fit is None else asdict(fit.terms),
        "run": None if run is None else run.description(state.optimizer),
    }
    if state.norms is not None:
        about["averaged_norms"] = state.norms[0]
        tensors += [(f"averaged.{name}", value) for name, value in state.norms[1].items()]
    if state.forgotten:
        about["forgotten"] = state.forgotten
    if core is not None and core.accumulates:
        about["accumulated"] = core.accumulated_read().tolist()
    if state.plan.statistic is not None:
        about["clip_state"] = state.plan.statistic.state()
    if state.masks:
        about["masks"] = list(state.masks)
        tensors += [(f"mask.{name}", mask.view(np.uint8)) for name, mask in state.masks.items()]
    if state.hypers.plateaus:
        about["plateaus"] = {name: asdict(plateau) for name, plateau in state.hypers.plateaus.items()}
    return tensors, files.header(
        "trainer", network=stored.description(model), metadata=model.metadata, trainer=about
    )


def _fit_description(fit: FitState) -> dict[str, Any]:
    """What every version reads; `fit_terms` has the rest."""
    own = {
        name: getattr(fit, name)
        for name in ("rows", "batch_size", "shuffle", "first_row", "epoch", "position", "ended")
    }
    stop = {name: getattr(fit.stop, name) for name in ("best", "best_epoch", "waited", "stopped")}
    stop["parameters"] = bool(fit.stop.parameters)
    if fit.stop.spoiled:
        stop["spoiled"] = True
    return {**own, "sums": asdict(fit.sums), "stop": stop}


def _restored(
    make: Make[T],
    tensors: dict[str, Array],
    metadata: dict[str, str],
    threads: int | None,
    isa: str | None,
    changes: Changes,
) -> T:
    with files.reading():
        about = files.parts(metadata, ("trainer",))["trainer"]
    network = network_of(stored.restored(tensors, metadata, threads, isa))
    with files.reading(), quiet():
        arguments = {
            "loss": build_as(about["loss"], Loss, "loss"),
            "optimizer": build_as(about["optimizer"], AnyOptimizer, "optimizer"),
            "clip": build(about["clip"]),
            "nonfinite": about["nonfinite"],
            "seed": about["seed"],
            "constraint": build(about.get("constraint")),
        }
        trainer, state = make(network, **arguments)
    clip = state.plan.clip
    if changes.any:  # what is wrong with these is not the file's fault
        with quiet():
            changed = changes.arguments(state.optimizer, clip, compiled_of(network))
            trainer, state = make(network, **{**arguments, **changed})
    with files.reading():
        same = state.plan.clip == clip
        if state.plan.statistic is not None and same:
            state.plan.read_statistic(about["clip_state"])
        _read_progress(state, about, tensors, changes.any)
        _read_history(state, about)
        if about.get("averaged_norms") is not None:
            state.norms = _read_norms(state, about, tensors)
        if about["fit"] is not None:
            state.fit = _read_fit(about["fit"], about.get("fit_terms"), tensors, state)
        if about.get("run") is not None:
            loop = state.optimizer.fit_loop() or Loop
            state.run = loop.read_run(state.optimizer, about["run"], tensors, state.model.elements)
    return trainer


def _read_progress(
    state: TrainingState, about: dict[str, Any], tensors: dict[str, Array], changed: bool
) -> None:
    """Masks, moments, counters and schedules; something was `changed` from what the file has."""
    model = state.model
    shapes = {info["name"]: info["shape"] for info in model.infos if info["trainable"]}
    state.masks = {
        name: files.tensor(tensors, f"mask.{name}", shapes[name], np.dtype(np.uint8)) != 0
        for name in about.get("masks", ())
    }
    if about["capacity"]:
        core = reserve(state, about["capacity"])
        # Files without the sums of weights are from before heads had means of their own.
        heads = core.head_means if "accumulated" not in about else 0
        for slot in range(core.slots - heads):
            for index, info in enumerate(model.infos):
                if info["trainable"]:
                    name = f"optimizer.{slot}.{info['name']}"
                    core.state_write(slot, index, files.tensor(tensors, name, info["shape"], model.dtype))
        for index, side in factors(core, model.infos):
            order = core.factor_order(index, side)
            name = f"factor.{side}.{model.infos[index]['name']}"
            core.factor_write(index, side, files.tensor(tensors, name, (2 * order, order), model.dtype))
        core.set_progress(about["steps"], about["updates"])
        if "accumulated" in about:
            core.accumulated_write(np.array(about["accumulated"], np.float64))
        core.running_write(np.array(about.get("running", [0.0] * _core.RUNNING), np.float64))
        if changed and state.plan.constraint is not None:  # what is no longer frozen is bound by it
            state.write({at: model.read(info["name"]) for at, info in enumerate(model.infos)})
    state.forgotten = integer(about.get("forgotten", 0), "forgotten")
    model.keeper = state.weak
    state.epochs = integer(about["epochs"], "epochs")
    _read_plateaus(state, about.get("plateaus", {}), changed)
    state.keep_strengths()


def _read_history(state: TrainingState, about: dict[str, Any]) -> None:
    own = {key: about[key] for key in ("best_epoch", "added") if key in about}
    state.history = plain(History, {**about["history"], **own}, "history")
    if state.history.best_epoch is not None:
        integer(state.history.best_epoch, "best_epoch", 1)
    if len({len(state.history[column]) for column in state.history.columns()}) != 1:
        raise FormatError("history: expected columns of one length")


def _read_norms(
    state: TrainingState, about: dict[str, Any], tensors: dict[str, Array]
) -> tuple[int, dict[str, Array]]:
    updates = integer(about["averaged_norms"], "averaged_norms")
    shapes = {info["name"]: info["shape"] for info in state.model.infos}
    return updates, {
        name: files.tensor(tensors, f"averaged.{name}", shape, state.dtype)
        for name, shape in shapes.items()
        if f"averaged.{name}" in tensors
    }


def _read_plateaus(state: TrainingState, states: dict[str, dict[str, Any]], changed: bool) -> None:
    """Where the schedules that listen to metrics stand. Files of earlier versions have no states of those
    inside other schedules, which were shown no epoch then: they begin anew, as do those that the file did not
    have where something is `changed`."""
    known = state.hypers.plateaus
    needed = set().union(*(rows.listening for rows in state.listeners))
    if changed:
        states = {name: about for name, about in states.items() if name in known}
    elif not needed <= set(states) <= set(known):
        raise FormatError(f"plateaus: expected states of {', '.join(known) or 'none'}, got {list(states)}")
    for name, about in states.items():
        known[name] = _plateau_state(name, about)


def _plateau_state(name: str, about: dict[str, Any]) -> PlateauState:
    state = PlateauState(**about)
    if not (
        0 < number(state.scale, "scale") <= 1
        and (state.best is None or (isinstance(state.best, float) and not math.isnan(state.best)))
        and all(type(value) is int and value >= 0 for value in (state.bad, state.cooling))
    ):
        raise FormatError(f"plateaus: expected the state of a schedule for {name}, got {about}")
    return state


def _read_fit(
    about: dict[str, Any], terms: dict[str, Any] | None, tensors: dict[str, Array], state: TrainingState
) -> FitState:
    def kept(prefix: str) -> dict[str, Array]:
        return {
            info["name"]: files.tensor(tensors, f"{prefix}.{info['name']}", info["shape"], state.dtype)
            for info in state.model.infos
        }

    held = {key: value for key, value in about["stop"].items() if key != "parameters"}
    stop = plain(StopState, held, "fit: stop")
    if flag(about["stop"]["parameters"], "fit: stop: parameters"):
        stop.parameters = kept("best")
    if any(name.startswith("begun.") for name in tensors):
        stop.begun = kept("begun")
    own = {key: value for key, value in about.items() if key not in ("sums", "stop")}
    fit = plain(FitState, own, "fit")
    fit.sums, fit.stop = plain(Sums, about["sums"], "fit: sums"), stop
    if terms is not None:
        fit.terms = plain(Terms, terms, "fit_terms")
    fit.loaded = True
    if not fit.batch_size or (fit.position != fit.rows and fit.position % fit.batch_size):
        raise FormatError(f"fit: expected position at the start of a batch, got {fit.position}")
    return fit
