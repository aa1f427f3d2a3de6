"""Builds the training of a case, trains it, and scores it on the rows held out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from gradcore import Trainer
from gradcore.errors import GradcoreError

from . import data
from .cases import Case
from .data import Array
from .faults import FAULTS
from .plans import Plan, plain
from .sound import ODD

Remedy = Callable[[Plan], None]


@dataclass
class Run:
    """A training that is over, as rule sets get it."""

    plan: Plan
    trainer: Trainer
    score: float
    refused: str = ""  # what fit said of data that it does not take
    layer: int | None = None  # the Dense at fault

    @property
    def place(self) -> str | None:
        """The position of the layer at fault, as in `net.activations`."""
        return None if self.layer is None else self.plan.places()[self.layer]


def generator(case: Case, run: int, purpose: int) -> np.random.Generator:
    """Random numbers of a case, apart from those of its rows."""
    return np.random.default_rng([case.seed, purpose, 100 + run])


def make_plan(case: Case, run: int = 0, twin: bool = False) -> Plan:
    """The plan of a case in one of its runs; that of its twin has all but the fault."""
    plan = plain(case, data.draw(case.data, case.rows, case.seed, run), run)
    if case.kind in ODD:
        ODD[case.kind].apply(plan, case.level, generator(case, 0, 3))
    elif case.kind in FAULTS:
        fault = FAULTS[case.kind]
        if fault.prepare:
            fault.prepare(plan, case.level, generator(case, 0, 4))
        if not twin:
            fault.apply(plan, case.level, generator(case, 0, 5))
    return plan


def layer_at_fault(case: Case, plan: Plan) -> int | None:
    """The Dense that the fault was put into; None where it is in none, or in all."""
    fault = FAULTS.get(case.kind)
    return fault.layer(plan, generator(case, 0, 5)) if fault and fault.layer else None


def train(
    case: Case,
    run: int = 0,
    twin: bool = False,
    remedy: Remedy | None = None,
    watch: Callable[[Trainer], Iterable[object]] = lambda trainer: (),
) -> Run:
    """Train a case.

    Parameters
    ----------
    twin : without the fault
    remedy : changes the plan before it is built
    watch : gives the callbacks that `fit` gets: where a rule set looks at what the trainer's record lacks
    """
    plan = make_plan(case, run, twin)
    layer = None if twin else layer_at_fault(case, plan)
    if remedy:
        remedy(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = plan.trainer()
        try:
            trainer.fit(
                plan.data.x, plan.data.y, epochs=plan.epochs, batch_size=min(plan.batch, len(plan.data.x)),
                class_weight=plan.class_weight, callbacks=watch(trainer), progress=False,
            )  # fmt: skip
        except GradcoreError as error:
            if not plan.refused:
                raise
            return Run(plan, trainer, 0.0, str(error), layer)
        return Run(plan, trainer, score(trainer, plan), layer=layer)


def score(trainer: Trainer, plan: Plan) -> float:
    """Accuracy or R2 on the rows held out, as a share of the span from the best constant to perfect."""
    x, y = plan.data.held_x, plan.data.held_y
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        return 0.0
    output = np.asarray(trainer.net.predict(x), np.float64)
    return share_of_span(output, y, plan.data.classes)


def share_of_span(output: Array, y: Array, classes: int) -> float:
    """0: no better than a constant, or not a number; 1: perfect."""
    if not np.isfinite(output).all():
        return 0.0
    if classes:
        wrong = float(np.mean(output.argmax(axis=1) != y))
        of_constant = 1 - float(np.bincount(y, minlength=classes).max()) / len(y)
    else:
        wrong = float(np.mean((output - y) ** 2))
        of_constant = float(np.mean((y - y.mean(axis=0)) ** 2))
    return 0.0 if of_constant <= 0 else min(1.0, max(0.0, 1 - wrong / of_constant))
