"""A new trainer from one that runs, with another optimizer, clip or loss, or other layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..errors import ArgumentError
from ..layers.base import check_layers
from ..network import alignment, effective
from ..network.compiled import Compiled
from ..network.initial_values import initial_values
from ..network.network import network_of
from ..validation.arrays import Array
from ..validation.checks import shown
from .carrying import Carriage, carry, planned, settle
from .conflicts import all_conflicts
from .core_trainer import reserve
from .fit_state import FitState
from .resuming import identify
from .setup_checks import quiet
from .state import Run, TrainingState

T = TypeVar("T")
Make = Callable[..., tuple[T, TrainingState]]  # from a network and the other arguments of a Trainer


@dataclass(frozen=True)
class Edit:
    """What is to be otherwise; `...`: nothing."""

    optimizer: Any = ...
    clip: Any = ...
    constraint: Any = ...
    loss: Any = ...
    layers: Any = ...
    parameters: Any = None
    positions: Any = None

    @property
    def any(self) -> bool:
        """Whether there is something."""
        return self != Edit()


def edited(make: Make[T], old: TrainingState, edit: Edit) -> T:
    """See `Trainer.edited`."""
    with old.model.turns.steady("edited"), _unmasked(old):
        model, found = _network(old.model, edit)
        if edit.parameters is not None:
            model.checked(edit.parameters)
        chosen = {
            "optimizer": old.optimizer if edit.optimizer is ... else edit.optimizer,
            "clip": old.plan.clip if edit.clip is ... else edit.clip,
            "constraint": old.plan.constraint if edit.constraint is ... else edit.constraint,
            "loss": _loss(old, model) if edit.loss is ... else edit.loss,
        }
        arguments = {**chosen, "nonfinite": old.nonfinite, "seed": old.seed}
        if edit.loss is ... and found is None:
            with quiet():
                trainer, new = make(network_of(model), **arguments)
        else:
            trainer, new = make(network_of(model), **arguments)
        _carry(old, new, edit, found)
    return trainer


@contextmanager
def _unmasked(old: TrainingState) -> Iterator[None]:
    """While the state is read, which makes the masks true of weights that another trainer has set; they are
    put back as they were."""
    model, core = old.model, old.core
    if core is None:
        yield
        return
    held = {}
    if old.masks and model.keeper is not old.weak:
        held = {index: model.core.read(index) for index in range(len(model.infos))}
    try:
        model.turns.read(model.core, core.running_read, "edited")  # before the weights
        yield
    finally:
        if any(model.core.read(index).tobytes() != value.tobytes() for index, value in held.items()):
            model.write(held)


# ---- The network ----


def _network(old: Compiled, edit: Edit) -> tuple[Compiled, dict[str, str] | None]:
    """The new network, and where its layers were in the old one; None where nothing has moved."""
    layers = old.layers if edit.layers is ... else check_layers(edit.layers, "layers")
    if edit.positions is not None and edit.layers is ...:
        raise ArgumentError(f"positions: expected None without layers, got {shown(edit.positions)}")
    new = old.again(layers)
    if layers == old.layers and edit.positions is None:
        found = None
        new.core.write({index: old.core.read(index) for index in range(len(old.infos))})
        new.read_scaling(old.centre, old.standardized)
    else:
        found = alignment.align(old, new, edit.positions)
        new.core.write(initial_values(new))
        drawn = {index: new.core.read(index) for index in range(len(new.infos))}
        new.core.write(drawn | _values(old, new, found))
        if "0.mean" in new.index and found.get("0") == "0":
            new.read_scaling(_centre(old, new), old.standardized)
    new.columns, new.metadata = old.columns, dict(old.metadata)
    widths = _ends(new)
    new.classes = {end: names for end, names in old.classes.items() if _ends(old)[end] == widths.get(end)}
    return new, found


def _values(old: Compiled, new: Compiled, found: Mapping[str, str]) -> dict[int, Array]:
    """The parameters that go on, by their new places."""
    places = alignment.sources(old, new, found)
    values = {index: old.core.read(before) for index, before in places.items()}
    for index in [at for at, info in enumerate(new.infos) if at in values and info["role"] == "weight"]:
        name, before = new.infos[index]["name"], old.infos[places[index]]["name"]
        position = name.rpartition(".")[0]
        if _kind(new, position) == _kind(old, found[position]):
            continue
        weight = effective.of_network(old, [before])[before]  # so that the layer goes on with what it does
        layer, stored = new.places[position], {name: weight}
        if getattr(layer, "spectral_norm", False):
            stored |= effective.iterated(weight, new.read(f"{position}.left"), position)
        elif effective.is_rescaled(layer):
            stored = effective.split(layer, position, {name: weight}, weight, new.seed, index)
        values |= {new.index[one]: value for one, value in stored.items()}
    if found.get("0") == "0" and "0.mean" in new.index:
        for column, _, _ in new.tables:  # codes arrive as they are
            values[new.index["0.mean"]][column] = 0.0
            values[new.index["0.inverse_std"]][column] = 1.0
    return values


def _centre(old: Compiled, new: Compiled) -> Any:
    """The centres of the columns that are no codes."""
    if old.centre is None or not new.tables:
        return old.centre
    centre = old.centre.copy()
    centre[[column for column, _, _ in new.tables]] = 0.0
    return centre if centre.any() else None


def _kind(model: Compiled, position: str) -> tuple[bool, bool]:
    """How the weight that is stored makes the one that multiplies x."""
    layer = model.places[position]
    return bool(getattr(layer, "weight_norm", False)), bool(getattr(layer, "spectral_norm", False))


def _ends(model: Compiled) -> dict[str, int]:
    """The width of the output, or of each head."""
    return {name: width for name, _, width in model.heads} or {"": model.outputs}


def _loss(old: TrainingState, model: Compiled) -> Any:
    """The loss as it is, for outputs as they were."""
    if _ends(model) != _ends(old.model):
        now, before = (one.get("", one) for one in (_ends(model), _ends(old.model)))
        raise ArgumentError(
            f"layers: expected outputs as before, {before}, got {now}; give loss= as well to change them"
        )
    return old.loss


# ---- The training ----


def _carry(old: TrainingState, new: TrainingState, edit: Edit, found: Mapping[str, str] | None) -> None:
    """All that the training knows besides the network."""
    if found is None:
        places = {index: index for index in range(len(old.model.infos))}
    else:
        places = alignment.sources(old.model, new.model, found)
        _check_settings(old, new, edit, places)
    same = found is None and new.loss == old.loss
    state_places = {at: place for at, place in places.items() if _keeps_state(old, new, found, at)}
    plan = planned(old, new, state_places, same)
    new.masks = {
        new.model.infos[at]["name"]: old.masks[name].copy()
        for at, place in places.items()
        if (name := old.model.infos[place]["name"]) in old.masks
    }
    new.history, new.epochs = old.history.since(0), old.epochs
    if old.plan.statistic is not None and new.plan.clip == old.plan.clip:
        new.plan.read_statistic(copy.deepcopy(old.plan.statistic.state()))
    _carry_plateaus(old, new, found)
    if new.plan.clip == old.plan.clip:
        _carry_ledger(old, new, places)
    if same:
        conflicts = all_conflicts(old)
        new.conflicts = None if conflicts is None else conflicts.copy()
    new.model.keeper = new.weak
    if old.core is not None:
        reserve(new, old.core.capacity if new.full_batch == old.full_batch else 1)
        carry(plan)
        if edit.any and new.plan.constraint is not None:  # what is new, or no longer frozen, is bound by it
            new.write({at: new.model.core.read(at) for at in range(len(new.model.infos))})
    if edit.parameters is not None:
        new.model.set_parameters(edit.parameters)
    if old.core is not None:
        settle(plan)
    new.keep_strengths()
    if plan.whole or (same and old.core is None):
        _carry_fit(old, new, plan)


def _keeps_state(old: TrainingState, new: TrainingState, found: Mapping[str, str] | None, index: int) -> bool:
    """Whether a parameter means what it did; a weight that is stored in another way does not."""
    info = new.model.infos[index]
    position = info["name"].rpartition(".")[0]
    if found is None or info["role"] != "weight":
        return True
    return _kind(new.model, position) == _kind(old.model, found[position])


def _check_settings(old: TrainingState, new: TrainingState, edit: Edit, places: Mapping[int, int]) -> None:
    """Refuse patterns and positions that were written for the old layers and say something else now."""
    before, now = dict(old.groups), dict(new.groups)
    names = {
        at: (new.model.infos[at]["name"], old.model.infos[place]["name"]) for at, place in places.items()
    }
    for at, place in places.items():
        if edit.optimizer is ... and repr(before.get(place)) != repr(now.get(at)):
            name, was = names[at]
            raise ArgumentError(
                f"optimizer: expected one whose groups suit the new positions: {name}, which was {was}, "
                "would have other settings; give optimizer= as well"
            )
    for what, given, rules in (
        ("clip", edit.clip, old.plan.clip),
        ("constraint", edit.constraint, old.plan.constraint),
    ):
        for rule in () if given is not ... else rules if isinstance(rules, tuple) else (rules,):
            if rule is None:
                continue
            applied, applies = rule.applies(old.model), rule.applies(new.model)
            for at, place in places.items():
                if applied[place] != applies[at]:
                    name, was = names[at]
                    raise ArgumentError(
                        f"{what}: expected a rule that suits the new positions: {rule!r} is about other "
                        f"layers where {was} is {name}; give {what}= as well"
                    )


def _carry_plateaus(old: TrainingState, new: TrainingState, found: Mapping[str, str] | None) -> None:
    """Where schedules stand that listen to metrics."""
    known = new.hypers.plateaus
    moved = {f"layers[{before}]:": f"layers[{now}]:" for now, before in (found or {}).items()}
    for name, plateau in old.hypers.plateaus.items():
        head, colon, rest = name.partition(":")
        if colon and head.startswith("layers[") and found is not None:
            name = moved.get(head + colon, "") + rest
        if name in known:
            known[name] = replace(plateau)


def _carry_ledger(old: TrainingState, new: TrainingState, places: Mapping[int, int]) -> None:
    total = old.ledger
    if old.core is not None:
        total = total + old.model.turns.read(old.model.core, old.core.ledger, "edited")
    for at, place in places.items():
        new.ledger[at] = total[place]


def _carry_fit(old: TrainingState, new: TrainingState, plan: Carriage) -> None:
    """What a fit in its middle, and one that has ended, have left."""
    if old.fit is not None:
        new.fit = _copied(old.fit)
    if old.run is not None:
        run: Run = copy.copy(old.run)
        run.memory = {key: list(v) if isinstance(v, list) else v for key, v in old.run.memory.items()}
        new.run = run
    if old.norms is not None and plan.whole:
        new.norms = old.norms[0], dict(old.norms[1])


def _copied(fit: FitState) -> FitState:
    stop = replace(fit.stop, parameters=dict(fit.stop.parameters), begun=dict(fit.stop.begun))
    found = replace(fit, sums=copy.deepcopy(fit.sums), stop=stop, terms=copy.deepcopy(fit.terms), loaded=True)
    identify(found)
    found.data = None
    return found
