"""Trainers to files and back: the network, the optimizer's state, and where a fit stands."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..clipping.base import Clip
from ..errors import FormatError
from ..losses.base import Loss
from ..network import files
from ..network.describe import build, build_as, describe, plain
from ..network.network import Network
from ..optimizers.rule import Rule
from ..schedules.plateau import PlateauState
from ..validation.arrays import Array
from ..validation.checks import flag, integer, number
from .callbacks import StopState
from .core_trainer import factors
from .fit_loop import FitState, Sums
from .history import History
from .reloading import Changes
from .resuming import Terms
from .setup_checks import quiet

if TYPE_CHECKING:
    from .trainer import Trainer


def save(trainer: Trainer, path: object) -> None:
    """Write a checkpoint."""
    with trainer.net._turns.steady("save"):
        content = _file(trainer)
    files.write(path, *content)


def load(
    kind: type[Trainer], path: object, threads: int | None, isa: str | None, changes: Changes
) -> Trainer:
    """Read a checkpoint."""
    return _from_file(kind, *files.read(path), threads, isa, changes)


def encode(trainer: Trainer) -> bytes:
    """A checkpoint as bytes."""
    with trainer.net._turns.steady("copy"):
        content = _file(trainer)
    return files.encode(*content)


def restore(data: bytes, threads: int | None, isa: str | None) -> Trainer:
    """The trainer of `encode`."""
    from .trainer import Trainer

    known = isa if isa in _core.names("isa") else None
    return _from_file(Trainer, *files.decode(data), threads, known)


def descriptions(trainer: Trainer) -> dict[str, Any]:
    """What a trainer was made of; ArgumentError where it or its network has a function, which no file can
    hold."""
    trainer.net._description()
    found = {
        "loss": describe(trainer.loss, "loss"),
        "optimizer": describe(trainer.optimizer, "optimizer"),
        "clip": describe(trainer.clip, "clip"),
    }
    if trainer.constraint is not None:
        found["constraint"] = describe(trainer.constraint, "constraint")
    return found


def _file(trainer: Trainer) -> tuple[files.Tensors, dict[str, str]]:
    core, fit, run = trainer._core, trainer._fit, trainer._run
    history = asdict(trainer.history)
    best_epoch, added = history.pop("best_epoch"), history.pop("added")
    running: list[float] = []
    if core is not None:  # before the weights: it makes the masks true of those that others have set
        running = trainer.net._turns.read(trainer.net._core, core.running_read, "save").tolist()
    tensors = trainer.net._tensors()
    if core is not None:
        tensors += [
            (f"optimizer.{slot}.{info['name']}", core.state_read(slot, index))
            for slot in range(core.slots)
            for index, info in enumerate(trainer.net._info)
            if info["trainable"]
        ]
        tensors += [
            (f"factor.{side}.{trainer.net._info[index]['name']}", core.factor_read(index, side))
            for index, side in factors(core, trainer.net._info)
        ]
    if fit is not None:
        fit.identify()
        tensors += [(f"best.{name}", value) for name, value in fit.stop.parameters.items()]
        tensors += [(f"begun.{name}", value) for name, value in fit.stop.begun.items()]
    if run is not None:
        tensors += run.tensors(trainer.optimizer)
    about = {
        **descriptions(trainer),
        "nonfinite": trainer.nonfinite,
        "seed": trainer.seed,
        "steps": trainer.steps,
        "updates": 0 if trainer._core is None else trainer._core.updates,
        "capacity": 0 if core is None else core.capacity,
        "running": running,
        "epochs": trainer._epochs,
        "history": history,
        "best_epoch": best_epoch,
        "added": added,
        "fit": None if fit is None else _fit_description(fit),
        "fit_terms": None if fit is None else asdict(fit.terms),
        "run": None if run is None else run.description(trainer.optimizer),
    }
    if trainer._norms is not None:
        about["averaged_norms"] = trainer._norms[0]
        tensors += [(f"averaged.{name}", value) for name, value in trainer._norms[1].items()]
    if core is not None and core.accumulates:
        about["accumulated"] = core.accumulated_read().tolist()
    if trainer._plan.statistic is not None:
        about["clip_state"] = trainer._plan.statistic.state()
    if trainer._masks:
        about["masks"] = list(trainer._masks)
        tensors += [(f"mask.{name}", mask.view(np.uint8)) for name, mask in trainer._masks.items()]
    if trainer._hypers.plateaus:
        about["plateaus"] = {name: asdict(state) for name, state in trainer._hypers.plateaus.items()}
    return tensors, files.header(
        "trainer", network=trainer.net._description(), metadata=trainer.net.metadata, trainer=about
    )


def _fit_description(fit: FitState) -> dict[str, Any]:
    """What every version reads; `fit_terms` has the rest."""
    plain = {
        name: getattr(fit, name)
        for name in ("rows", "batch_size", "shuffle", "first_row", "epoch", "position", "ended")
    }
    stop = {name: getattr(fit.stop, name) for name in ("best", "best_epoch", "waited", "stopped")}
    stop["parameters"] = bool(fit.stop.parameters)
    if fit.stop.spoiled:
        stop["spoiled"] = True
    return {**plain, "sums": asdict(fit.sums), "stop": stop}


def _from_file(
    kind: type[Trainer],
    tensors: dict[str, Array],
    metadata: dict[str, str],
    threads: int | None,
    isa: str | None,
    changes: Changes | None = None,
) -> Trainer:
    with files.reading():
        about = files.parts(metadata, ("trainer",))["trainer"]
    network = Network._from_file(tensors, metadata, threads, isa)
    changes = changes or Changes()
    with files.reading(), quiet():
        arguments = {
            "loss": build_as(about["loss"], Loss, "loss"),
            "optimizer": build_as(about["optimizer"], Rule, "optimizer"),
            "clip": build(about["clip"]),
            "nonfinite": about["nonfinite"],
            "seed": about["seed"],
            "constraint": build(about.get("constraint")),
        }
        trainer = kind(network, **arguments)
    clip = trainer.clip
    if changes.any:  # what is wrong with these is not the file's fault
        with quiet():
            trainer = kind(network, **{**arguments, **changes.arguments(trainer.optimizer, clip, network)})
    with files.reading():
        same = trainer.clip == clip
        if isinstance(trainer.clip, Clip) and trainer._plan.statistic is not None and same:
            trainer._plan.statistic = trainer.clip.statistic(about["clip_state"])
        shapes = {info["name"]: info["shape"] for info in network._info if info["trainable"]}
        trainer._masks = {
            name: files.tensor(tensors, f"mask.{name}", shapes[name], np.dtype(np.uint8)) != 0
            for name in about.get("masks", ())
        }
        if about["capacity"]:
            core = trainer._reserve(about["capacity"])
            # Files without the sums of weights are from before heads had means of their own.
            heads = core.head_means if "accumulated" not in about else 0
            for slot in range(core.slots - heads):
                for index, info in enumerate(network._info):
                    if info["trainable"]:
                        name = f"optimizer.{slot}.{info['name']}"
                        value = files.tensor(tensors, name, info["shape"], network.dtype)
                        core.state_write(slot, index, value)
            for index, side in factors(core, network._info):
                order = core.factor_order(index, side)
                name = f"factor.{side}.{network._info[index]['name']}"
                core.factor_write(index, side, files.tensor(tensors, name, (2 * order, order), network.dtype))
            core.set_progress(about["steps"], about["updates"])
            if "accumulated" in about:
                core.accumulated_write(np.array(about["accumulated"], np.float64))
            core.running_write(np.array(about.get("running", [0.0] * _core.RUNNING), np.float64))
            if changes.any and trainer.constraint is not None:  # what is no longer frozen is bound by it
                trainer._write({at: network._read(info["name"]) for at, info in enumerate(network._info)})
        network._keeper = trainer._weak
        trainer._epochs = integer(about["epochs"], "epochs")
        _read_plateaus(trainer, about.get("plateaus", {}), changes.any)
        trainer._keep_strengths()
        own = {key: about[key] for key in ("best_epoch", "added") if key in about}
        trainer.history = plain(History, {**about["history"], **own}, "history")
        if trainer.history.best_epoch is not None:
            integer(trainer.history.best_epoch, "best_epoch", 1)
        if len({len(trainer.history[column]) for column in trainer.history.columns()}) != 1:
            raise FormatError("history: expected columns of one length")
        if about.get("averaged_norms") is not None:
            updates = integer(about["averaged_norms"], "averaged_norms")
            shapes = {info["name"]: info["shape"] for info in network._info}
            trainer._norms = (
                updates,
                {
                    name: files.tensor(tensors, f"averaged.{name}", shape, network.dtype)
                    for name, shape in shapes.items()
                    if f"averaged.{name}" in tensors
                },
            )
        if about["fit"] is not None:
            trainer._fit = _fit_state(about["fit"], about.get("fit_terms"), tensors, network)
        if about.get("run") is not None:
            from ..second_order.run import Run

            trainer._run = Run.read(trainer.optimizer, about["run"], tensors, network.elements)
    return trainer


def _read_plateaus(trainer: Trainer, states: dict[str, dict[str, Any]], changed: bool) -> None:
    """Where the schedules that listen to metrics stand. Files of earlier versions have no states of those
    inside other schedules, which were shown no epoch then: they begin anew, as do those that the file did not
    have where something is `changed`."""
    known = trainer._hypers.plateaus
    rates = trainer._rates
    needed = trainer._hypers.listening | (set() if rates is None else rates.listening)
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


def _fit_state(
    about: dict[str, Any], terms: dict[str, Any] | None, tensors: dict[str, Array], network: Network
) -> FitState:
    def kept(prefix: str) -> dict[str, Array]:
        return {
            info["name"]: files.tensor(tensors, f"{prefix}.{info['name']}", info["shape"], network.dtype)
            for info in network._info
        }

    held = {key: value for key, value in about["stop"].items() if key != "parameters"}
    stop = plain(StopState, held, "fit: stop")
    if flag(about["stop"]["parameters"], "fit: stop: parameters"):
        stop.parameters = kept("best")
    if any(name.startswith("begun.") for name in tensors):
        stop.begun = kept("begun")
    own = {key: value for key, value in about.items() if key not in ("sums", "stop")}
    state = plain(FitState, own, "fit")
    state.sums, state.stop = plain(Sums, about["sums"], "fit: sums"), stop
    if terms is not None:
        state.terms = plain(Terms, terms, "fit_terms")
    state.loaded = True
    if not state.batch_size or (state.position != state.rows and state.position % state.batch_size):
        raise FormatError(f"fit: expected position at the start of a batch, got {state.position}")
    return state
